"""The numbers of a finding are those of its own cell: p-value, rows needed, flips that would have passed."""

from __future__ import annotations

import numpy as np
import pytest

from gate.core.flips import Cells, FlipCounts, FlipTable
from gate.core.judgement import Finding, Status
from gate.core.measured import Measured
from gate.core.sample_size import most_flips_allowed
from gate.policy.judge import judge
from gate.policy.load import parse_policy

CELLS = {"a": (1000, 0, 0, 0, 0), "b": (985, 15, 0, 0, 0), "c": (290, 10, 0, 0, 0), "d": (20, 0, 0, 0, 0)}
NUMBERS = (
    "status", "estimate", "bound", "side", "margin", "n", "numerator", "p_value", "rows_needed", "passes_with", "note",
)  # fmt: skip


def judged(rule: str, cells: dict[str, tuple[int, ...]]) -> list[Finding]:
    columns = np.array([*cells.values()], dtype=np.int64)
    table = FlipTable(FlipCounts.from_row(columns.sum(axis=0)), {"class": Cells(tuple(cells), columns)})
    return list(judge(parse_policy(f"version: 1\nname: x\nrules: [{{id: r, {rule}}}]\n").rules, Measured(table, 0.95)))


@pytest.mark.parametrize(
    "rule",
    ["rate: nfr, at_most: 2%", "rate: nfr, at_most: 2%, decide_on: harm", "rate: btc, at_least: 0.98",
     "rate: btc, at_least: 0.98, decide_on: harm", "rate: nfr, at_most: 2%, at_least_n: 1200",
     "rate: error_rate_change, at_most: 1%", "rate: nfr, at_most: 2%, decide_on: estimate, at_least_n: 30"],
)  # fmt: skip
def test_each_cell_is_judged_as_if_it_were_alone(rule):
    together = judged(f"{rule}, by: class", CELLS)
    assert len({one.bound for one in together}) >= 3
    for finding, (name, counts) in zip(together, CELLS.items(), strict=True):
        (alone,) = judged(rule, {name: counts})
        for number in NUMBERS:
            assert getattr(finding, number) == pytest.approx(getattr(alone, number)), (name, number)


def test_a_share_that_does_not_pass_says_with_how_many_flips_it_would_have():
    found = judged("rate: nfr, by: class, at_most: 2%", CELLS)
    most = most_flips_allowed(np.array([1000.0, 300.0]), 0.02, 0.95).tolist()
    assert [one.passes_with for one in found] == [None, most[0], most[1], None]  # a passes; 20 rows pass with none
    assert [one.status for one in found][:2] == [Status.PASS, Status.INCONCLUSIVE]
    (failed,) = judged("rate: nfr, at_most: 2%", {"a": (940, 60, 0, 0, 0)})
    assert (failed.status, failed.passes_with) == (Status.FAIL, most[0])
    for rule in ("rate: btc, at_least: 0.98", "rate: nfr, at_most: 2%, decide_on: harm"):
        assert judged(rule, {"b": CELLS["b"]})[0].passes_with is None


@pytest.mark.parametrize("decide_on", ["estimate", "harm"])
def test_where_only_rows_are_lacking_only_those_are_needed(decide_on):
    for lacking in (1, 2, 500):
        (one,) = judged(
            f"rate: nfr, at_most: 2%, decide_on: {decide_on}, at_least_n: {1000 + lacking}", {"a": CELLS["a"]}
        )
        assert (one.status, one.rows_needed) == (Status.INCONCLUSIVE, lacking)


def test_an_estimate_on_its_limit_keeps_it():
    for rule in ("rate: nfr, at_most: 2%", "rate: btc, at_least: 0.98"):
        (one,) = judged(f"{rule}, decide_on: estimate", {"a": (980, 20, 0, 0, 0)})
        assert (one.status, one.margin) == (Status.PASS, 0.0)
