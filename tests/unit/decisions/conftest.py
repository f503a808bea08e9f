"""A small decision about text labels with a slice, made by the story itself."""

from __future__ import annotations

import numpy as np
import pytest

import gate
from gate.stories.decide import Judgement


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judgement:
    folder = tmp_path_factory.mktemp("decision")
    policy = folder / "policy.yaml"
    policy.write_text(
        "version: 1\nname: small\nholdout: {label: y, slices: {site: {column: site}}}\nrules:\n"
        "  - {id: few, rate: nfr, at_most: 20%}\n  - {id: sites, rate: nfr, by: site, at_most: 20%}\n"
    )
    random = np.random.default_rng(0)
    y = random.choice(["a", "b"], 200)
    flipped = np.where(random.random(200) < 0.05, np.where(y == "a", "b", "a"), y)
    source = {"y": y, "old": y, "new": flipped, "site": random.integers(0, 2, 200)}
    return gate.compare(source, policy=policy, incumbent="old", candidate="new", as_of="2026-01-01")
