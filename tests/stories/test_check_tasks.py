"""``gate.check`` on models that do not classify."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

import gate

REGRESSION = """
version: 1
name: numbers
task: {kind: regression, tolerance: {column: near}}
holdout: {id: key, label: y}
rules:
  - {id: few-flips, rate: nfr, at_most: 50%}
"""


def test_two_regressors_are_judged_within_the_tolerance_of_a_column(acting: str, signs: Path, tmp_path: Path) -> None:
    held_out = pd.read_csv(signs).assign(near=lambda rows: np.where(rows.key % 2, 0.25, 1.0))
    policy = tmp_path / "policy.yaml"
    policy.write_text(REGRESSION)
    judged = gate.check(
        model="acting", candidate="@better", incumbent="@honest", data=held_out, policy=policy, registry_uri=acting,
        tracking_uri=acting, log_run=False, in_process=True,
    )  # fmt: skip
    missed = (held_out.y == 1) & (held_out.x <= 0.5) & (held_out.near < 1)
    counts = judged.decision.counts
    assert (counts.both_right, counts.negative, counts.positive) == (400 - missed.sum(), missed.sum(), 0)
    assert missed.sum() > 10
