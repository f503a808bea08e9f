"""Cells that break a limit by Benjamini and Hochberg, and what Holm's correction leaves of what looks proven."""

from __future__ import annotations

import numpy as np
import pytest

from gate.core.flips import Cells, FlipCounts, FlipTable
from gate.core.judgement import Cell, Status
from gate.core.measured import Measured
from gate.core.multiplicity import benjamini_hochberg, holm
from gate.core.rates import rate
from gate.policy.judge import discoveries, judge
from gate.policy.load import parse_policy

# 300 rows each; against 3 % the flips of h, i and j are many, those of g nearly so; k has no rows
FLIPS = {"a": 2, "b": 5, "c": 9, "d": 8, "e": 4, "f": 6, "g": 15, "h": 18, "i": 20, "j": 40}
ROWS = [(300 - flips, flips, 0, 0, 0) for flips in FLIPS.values()] + [(0, 0, 0, 0, 0)]
NAMES = (*FLIPS, "k")


def measured() -> Measured:
    columns = np.array(ROWS, dtype=np.int64)
    return Measured(FlipTable(FlipCounts.from_row(columns.sum(axis=0)), {"class": Cells(NAMES, columns)}), 0.95)


def rules(*each: str):
    lines = "".join(f"  - {{id: r{i}, {one}}}\n" for i, one in enumerate(each))
    return parse_policy(f"version: 1\nname: x\nrules:\n{lines}").rules


def p_values(limit: float) -> np.ndarray:
    found = rate("nfr").worse_than(FlipCounts.from_columns(np.array(ROWS)), np.full(len(ROWS), limit))
    return np.where(np.array(ROWS).sum(axis=1) > 0, found, np.nan)


def test_what_is_discovered_is_what_benjamini_and_hochberg_reject():
    expected = [NAMES[i] for i in np.flatnonzero(benjamini_hochberg(p_values(0.03), 0.05))]
    assert expected == ["h", "i", "j"]
    (one,) = discoveries(rules("rate: nfr, by: class, at_most: 3%"), measured())
    assert (one.rule, one.share) == ("r0", 0.05)
    assert list(one.cells) == [Cell("class", name) for name in expected]
    (more,) = discoveries(rules("rate: nfr, by: class, at_most: 3%"), measured(), share=0.2)
    assert [cell.value for cell in more.cells] == ["g", "h", "i", "j"] and more.share == 0.2


def test_a_limit_from_below_is_broken_by_the_same_cells():
    (above,) = discoveries(rules("rate: nfr, by: class, at_most: 3%"), measured())
    (below,) = discoveries(rules("rate: btc, by: class, at_least: 0.97"), measured())
    assert below.cells == above.cells


def test_a_cell_without_rows_is_no_hypothesis():
    # 15 of 300 at 3 % has a p-value of 0.045: enough alone, too much where it is one of two
    for counts, expected in (([(285, 15, 0, 0, 0), (0, 0, 0, 0, 0)], 1), ([(285, 15, 0, 0, 0), (300, 0, 0, 0, 0)], 0)):
        columns = np.array(counts, dtype=np.int64)
        two = Measured(FlipTable(FlipCounts.from_row(columns.sum(axis=0)), {"class": Cells(("a", "b"), columns)}), 0.95)
        assert len(discoveries(rules("rate: nfr, by: class, at_most: 3%"), two)) == expected


def test_each_cell_is_tested_at_its_own_limit():
    (one,) = discoveries(
        rules("rate: nfr, by: class, at_most: 3%, overrides: [{cell: j, at_most: 20%}, {cell: a, at_most: 0.01%}]"),
        measured(),
    )
    assert [cell.value for cell in one.cells] == ["a", "h", "i"]


def test_rules_without_cells_and_rules_that_no_cell_breaks_are_left_out():
    found = discoveries(
        rules(
            "rate: nfr, at_most: 1%",
            "must_not_regress: ids.csv",
            "rate: nfr, by: class, at_most: 50%",
            "rate: nfr, by: output, at_most: 1%",  # there are no outputs in this table
            "rate: nfr, by: class, at_most: 5%",
        ),
        measured(),
    )
    assert [(one.rule, [cell.value for cell in one.cells]) for one in found] == [("r4", ["j"])]


def test_under_harm_only_what_stands_after_holms_correction_refuses():
    plain, corrected = (
        judge(rules(f"rate: nfr, by: class, at_most: 3%, decide_on: harm{more}"), measured())
        for more in ("", ", correction: holm")
    )
    stands = holm(p_values(0.03), 0.05)
    failed = [one.status is Status.FAIL for one in corrected]
    assert failed == stands.tolist()
    looks = [one.status is Status.FAIL for one in plain]
    assert sum(looks) > sum(failed) > 0
    for one, other, was in zip(corrected, plain, looks, strict=True):
        if was and one.status is not Status.FAIL:
            assert one.status is Status.WARN
        elif not was:
            assert one.status is other.status


@pytest.mark.parametrize("more", ["", ", correction: holm"])
def test_from_below_harm_refuses_the_same_cells(more):
    above = judge(rules(f"rate: nfr, by: class, at_most: 3%, decide_on: harm{more}"), measured())
    below = judge(rules(f"rate: btc, by: class, at_least: 0.97, decide_on: harm{more}"), measured())
    assert [one.status for one in above] == [one.status for one in below]
    assert below[-1].status is Status.INCONCLUSIVE  # no rows
