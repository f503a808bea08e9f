"""The excess over retraining in each cell, of rows in clusters and of weighted rows, held against a limit either way."""

from __future__ import annotations

import numpy as np
import pytest

from gate.core.counts import FlipCounts
from gate.core.excess import Excess, beyond
from gate.core.flips import BY_CLASS, BY_OUTPUT, FlipTable, count
from gate.core.measured import Measured
from gate.core.measures import OTHERS
from gate.core.outcomes import Codes, Outcomes

ANY = OTHERS["excess_nfr"]
ROWS = 600
RIGHT = np.ones(ROWS, dtype=bool)
PART = Codes(np.arange(ROWS) % 3, ("a", "b", "c"))
WEIGHT = np.tile([1.0, 4.0], ROWS // 2)


def outcomes(wrong: np.ndarray, **more) -> Outcomes:
    return Outcomes(np.arange(ROWS), RIGHT, ~wrong, ~wrong, **more)


def flipped(at: str, share: int) -> np.ndarray:
    """Every so-manieth row of one part."""
    rows = np.zeros(ROWS, dtype=bool)
    rows[np.flatnonzero(PART.codes == PART.values.index(at))[::share]] = True
    return rows


def tables(**more) -> list[FlipTable]:
    now = outcomes(flipped("a", 4) | flipped("c", 50), slices={"part": PART}, **more)
    return [count(beyond(now, outcomes(flipped("b", every)), churn=False)) for every in (20, 10)]


def excess(**more) -> Excess:
    return Excess([Measured(table, 0.975) for table in tables(**more)], 0.95)


def test_the_rows_that_only_one_of_the_two_flips_are_the_flips_of_the_table():
    # 50 rows of a and 4 of c against 10 rows of b
    assert tables()[0].overall == FlipCounts(both_right=ROWS - 64, negative=54, positive=10)
    now = outcomes(flipped("a", 4))
    assert count(beyond(now, now, churn=False)).overall == FlipCounts(both_right=ROWS - 50, wrong_same=50)


def test_the_excess_has_the_dimensions_of_the_candidate():
    label, answer = Codes(np.arange(ROWS) % 2, ("x", "y")), Codes(np.arange(ROWS) // 300, ("x", "y"))
    found = excess(label=label, candidate=answer)
    for by, values in ((BY_CLASS, ("x", "y")), (BY_OUTPUT, ("x", "y")), ("part", PART.values), (None, (None,))):
        cells = found.cells(by)
        assert cells is not None and cells.values == values
        assert found.rows(by).tolist() == [ROWS // len(values)] * len(values)
    assert found.cells("region") is None


def test_the_value_of_each_cell_is_its_own():
    each = [50 / 200, -(10 + 20) / 2 / 200, 4 / 200]
    assert excess().value(ANY, "part").tolist() == pytest.approx(each)
    assert excess().value(ANY, None).tolist() == pytest.approx([sum(each) / 3])
    assert excess().estimate(ANY, "part").estimate.tolist() == pytest.approx(each)


def test_one_retraining_is_enough_to_be_judged_by():
    found = Excess([Measured(tables()[0], 0.95)], 0.95)
    assert found.value(ANY, "part").tolist() == pytest.approx([50 / 200, -10 / 200, 4 / 200])
    cells = found.cells("part")
    assert cells is not None and cells.values == PART.values
    assert found.rows("part").tolist() == [200, 200, 200]
    assert found.estimate(ANY, None).method == "mean of 1 Tango score bounds, the error split over them"


@pytest.mark.parametrize("by", [None, "part"])
def test_a_limit_on_the_excess_is_held_against_the_bounds_either_way(by):
    found = excess()
    bounds = found.estimate(ANY, by)
    for limit in (bounds.lower, bounds.upper, (bounds.lower + bounds.upper) / 2):
        for nudge in (-1e-9, 0.0, 1e-9):
            at = limit + nudge
            kept, broken = found.proven(ANY, by, at, True)
            assert kept.tolist() == (bounds.upper <= at).tolist() and broken.tolist() == (bounds.lower > at).tolist()
            kept, broken = found.proven(ANY, by, at, False)
            assert kept.tolist() == (bounds.lower >= at).tolist() and broken.tolist() == (bounds.upper < at).tolist()


def test_there_are_no_tests_of_an_excess_in_any_cell():
    for by, cells in ((None, 1), ("part", 3)):
        for found in (excess().p_better(ANY, by, 0.1), excess().p_worse(ANY, by, 0.1)):
            assert found.shape == (cells,) and np.isnan(found).all()


def test_rows_in_clusters_bound_the_excess_less_tightly():
    # the flips of a come ten at a time
    cluster = np.empty(ROWS, dtype=np.int64)
    cluster[np.argsort(flipped("a", 4), kind="stable")] = np.arange(ROWS) // 10
    plain = excess().estimate(ANY, None)
    found = excess(cluster=Codes(cluster, tuple(range(60)))).estimate(ANY, None)
    assert found.estimate[0] == plain.estimate[0]
    assert found.upper[0] - found.lower[0] > 1.5 * (plain.upper[0] - plain.lower[0])
    assert "clusters" in found.method


def test_weighted_rows_weigh_in_the_excess():
    now, noise = flipped("a", 4) | flipped("c", 50), [flipped("b", every) for every in (20, 10)]
    found = excess(weight=WEIGHT).estimate(ANY, None)
    shares = [WEIGHT[rows].sum() / WEIGHT.sum() for rows in (now, *noise)]
    assert found.estimate[0] == pytest.approx(shares[0] - (shares[1] + shares[2]) / 2)
    assert found.estimate[0] != pytest.approx(excess().estimate(ANY, None).estimate[0])
