"""Small decisions with fixed provenance, for reports that are compared whole.

``GATE_WRITE_GOLDEN=1`` writes the reports in ``golden/`` anew; read the difference before you keep it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import gate
from gate.decisions.record import Contract, ModelRow, NotJudged, Promotable, Target
from gate.stories.decide import BUILT_IN, Judgement

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Judgement]:
    """Judges columns ``y``, ``old``, ``new`` (and slices) by rules; what depends on the machine is replaced."""
    monkeypatch.chdir(tmp_path)

    def judge(columns: Mapping[str, Any], rules: str, more: str = "") -> Judgement:
        slices = ", ".join(f"{name}: {{column: {name}}}" for name in columns if name not in ("id", "y", "old", "new"))
        ids = "id: id, " if "id" in columns else ""
        Path("policy.yaml").write_text(
            f"version: 1\nname: cats-and-dogs\nholdout: {{{ids}label: y, slices: {{{slices}}}}}\n{more}rules:\n{rules}"
        )
        judged = gate.compare(dict(columns), policy="policy.yaml", incumbent="old", candidate="new", as_of="2026-01-01")
        decision = judged.decision
        origin = decision.provenance
        fixed = replace(
            decision,
            created_at="2026-01-01T00:00:00Z",
            decision_id="0123456789abcdef" * 4,
            promotable=Promotable(decision.exit_code == 0, None if decision.exit_code == 0 else "the verdict is not"),
            target=Target("sqlite:///mlflow.db", "pets", "champion", "previous"),
            contract=Contract("met", BUILT_IN),
            provenance=replace(
                origin,
                candidate=ModelRow("models:/pets/7", "pets", 7, digest="c" * 64),
                incumbent=ModelRow("models:/pets/6", "pets", 6, "champion", digest="d" * 64),
                holdout=replace(origin.holdout, uri="holdout.parquet", digest="e" * 64),
                tools={},
            ),
        )
        return replace(judged, decision=fixed)

    return judge


@pytest.fixture
def alone() -> Callable[[Judgement], Judgement]:
    """The same judgement as if there had been no incumbent: only the candidate's own rates and rules."""

    def without(judged: Judgement) -> Judgement:
        decision = judged.decision
        none = dict.fromkeys(("both_right", "negative", "positive", "wrong_same", "wrong_different"))
        own = [rate for rate in decision.rates if rate.of == "candidate"]
        left_out = tuple(
            NotJudged(rule, "it compares with an incumbent, and there is none")
            for rule in dict.fromkeys(finding.rule for finding in decision.findings if finding.of != "candidate")
        )
        bare = replace(
            decision,
            counts=replace(decision.counts, **none),  # type: ignore[arg-type]
            rates=tuple(own),
            cells=tuple(
                replace(
                    cell,
                    counts=replace(cell.counts, **none),  # type: ignore[arg-type]
                    rates=tuple(rate for rate in cell.rates if rate.of == "candidate"),
                )
                for cell in decision.cells
            ),
            findings=tuple(finding for finding in decision.findings if finding.of == "candidate"),
            flip_matrix=type(decision.flip_matrix)(),
            evidence=replace(
                decision.evidence,
                mcnemar_midp=None,
                not_judged=left_out,
                notes=("there is no @champion to compare with",),
            ),
            provenance=replace(decision.provenance, incumbent=None),
        )
        return Judgement(bare, ())

    return without


@pytest.fixture
def same_as_golden() -> Callable[[str, bytes], None]:
    """Compares a report with the file of that name in ``golden/``."""

    def check(name: str, content: bytes) -> None:
        path = GOLDEN / name
        if os.environ.get("GATE_WRITE_GOLDEN"):
            path.write_bytes(content)
        assert content.decode() == path.read_text()

    return check
