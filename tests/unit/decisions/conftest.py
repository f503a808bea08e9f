"""A small decision about text labels with a slice, made by the story itself, and one that could move an alias."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gate
from gate.core.judgement import Verdict
from gate.decisions.canonical import sealed
from gate.decisions.keys import PrivateKey, new_keys, read_private
from gate.decisions.record import Decision, ModelRow, Promotable, Target
from gate.stories.decide import Judgement

RULES = {
    Verdict.ALLOW: "at_most: 20%",
    Verdict.REFUSE: "at_most: 0.5%",
    Verdict.INCONCLUSIVE: "at_most: 5%",
    Verdict.ERROR: "at_most: 20%, severity: warn",
}


def judge(folder: Path, rule: str) -> Judgement:
    policy = folder / "policy.yaml"
    policy.write_text(
        "version: 1\nname: small\nholdout: {label: y, slices: {site: {column: site}}}\nrules:\n"
        f"  - {{id: few, rate: nfr, {rule}}}\n  - {{id: sites, rate: nfr, by: site, {rule}}}\n"
    )
    random = np.random.default_rng(0)
    y = random.choice(["a", "b"], 200)
    flipped = np.where(random.random(200) < 0.05, np.where(y == "a", "b", "a"), y)
    source = {"y": y, "old": y, "new": flipped, "site": random.integers(0, 2, 200)}
    return gate.compare(source, policy=policy, incumbent="old", candidate="new", as_of="2026-01-01")


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judgement:
    return judge(tmp_path_factory.mktemp("decision"), RULES[Verdict.ALLOW])


@pytest.fixture(scope="session")
def judged_as(tmp_path_factory: pytest.TempPathFactory) -> dict[Verdict, Decision]:
    """A decision of each verdict."""
    return {verdict: judge(tmp_path_factory.mktemp("as"), rule).decision for verdict, rule in RULES.items()}


@pytest.fixture(scope="session")
def promotable(judged_as: dict[Verdict, Decision]) -> Callable[..., Decision]:
    """Makes a decision about versions 7 and 6 of ``fraud``, of the first second of 2026; parts of it may be others."""

    def make(verdict: Verdict = Verdict.ALLOW, incumbent: int | None = 6, **parts: Any) -> Decision:
        base = judged_as[verdict]
        old = None if incumbent is None else ModelRow(f"models:/fraud/{incumbent}", "fraud", incumbent, digest="b" * 64)
        changed = {
            "created_at": "2026-01-01T00:00:00Z",
            "promotable": Promotable(verdict is Verdict.ALLOW, None if verdict is Verdict.ALLOW else "the verdict"),
            "target": Target("sqlite:///mlflow.db", "fraud", "champion", "previous", None),
            "provenance": replace(
                base.provenance,
                candidate=ModelRow("models:/fraud/7", "fraud", 7, digest="a" * 64),
                incumbent=old,
                files={"golden.csv": "c" * 64},
            ),
            **parts,
        }
        return sealed(replace(base, **changed))

    return make


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> PrivateKey:
    return read_private(new_keys(tmp_path_factory.mktemp("keys") / "ci")[0])
