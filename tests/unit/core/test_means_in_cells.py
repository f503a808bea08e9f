"""Mean losses in cells: limits on the bound itself, tests and plans by cell, with and without a known largest change."""

from __future__ import annotations

import numpy as np
import pytest

from gate.core.flips import FlipTable, count
from gate.core.means import Means, Moments, mean_bounds, mean_tests
from gate.core.measured import Measured
from gate.core.measures import MEAN_GAIN, MEAN_LOSS, OTHERS
from gate.core.outcomes import Codes, Outcomes, Scores

LOSS, GAIN = OTHERS[MEAN_LOSS], OTHERS[MEAN_GAIN]
SIZES = {"a": 400, "b": 90, "c": 40, "d": 6}


def table(scored: bool = True, cluster: Codes | None = None) -> FlipTable:
    random = np.random.default_rng(8)
    n = sum(SIZES.values())
    part = np.repeat([*SIZES], [*SIZES.values()])
    change = np.round(random.exponential(np.where(part == "b", 0.3, 0.1), n), 3) * np.where(
        np.arange(n) % 3 == 0, 1, -1
    )
    change[part == "d"] = np.abs(change[part == "d"])  # nothing is lost there
    return count(
        Outcomes(
            np.arange(n), change <= 0, change >= 0, np.zeros(n, dtype=bool), slices={"part": Codes.of(part.tolist())},
            scores=Scores(np.zeros(n), np.clip(change, -1, 1)) if scored else None, cluster=cluster,
        )
    )  # fmt: skip


def means(largest: float | None = None, **more) -> Means:
    return Means(Measured(table(**more), 0.95), largest)


def moments(about=LOSS) -> Moments:
    scored = table().scores["part"]
    side = 0 if about is LOSS else 1
    unit = 2.0**-64
    return Moments(
        scored.columns[:, side + 1].astype(float),
        np.array([float(x) * unit for x in scored.sums[:, side]]),
        np.array([float(x) * unit * unit for x in scored.squares[:, side]]),
        scored.largest[:, side].astype(float),
    )


def test_it_is_there_where_there_are_scores():
    assert means() and not means(scored=False)


@pytest.mark.parametrize("largest", [None, 1.0])
def test_a_mean_whose_bound_is_its_limit_keeps_it_and_does_not_break_it(largest):
    found = means(largest)
    bounds = found.estimate(LOSS, "part")
    for at_most in (True, False):
        for limit in (bounds.lower, bounds.upper):
            kept, broken = found.proven(LOSS, "part", limit, at_most)
            expected = (bounds.upper <= limit, bounds.lower > limit)
            expected = expected if at_most else (bounds.lower >= limit, bounds.upper < limit)
            assert (kept.tolist(), broken.tolist()) == (expected[0].tolist(), expected[1].tolist())


@pytest.mark.parametrize("largest", [None, 1.0, 4.0])
@pytest.mark.parametrize("about", [LOSS, GAIN], ids=lambda about: about.name)
def test_bounds_and_tests_of_a_cell_are_those_of_its_own_losses(largest, about):
    found, own = means(largest), moments(about)
    estimate = found.estimate(about, "part")
    bounds = mean_bounds(own, 0.95, largest)
    assert estimate.lower.tolist() == pytest.approx(bounds.lower.tolist())
    assert estimate.upper.tolist() == pytest.approx(bounds.upper.tolist())
    limit = np.array([0.1, 0.3, 0.12, 0.2])
    better, worse = mean_tests(own, limit, largest)
    assert found.p_better(about, "part", limit).tolist() == pytest.approx(better.tolist())
    assert found.p_worse(about, "part", limit).tolist() == pytest.approx(worse.tolist())


@pytest.mark.parametrize("largest", [None, 1.0])
@pytest.mark.parametrize("limit", [0.05, 0.13, 0.3])
def test_the_rows_that_are_needed_settle_the_cell_and_clearly_fewer_do_not(largest, limit):
    found, own = means(largest), moments()
    limits, rows = np.full(4, limit), np.array([*SIZES.values()], dtype=float)
    needed = found.rows_needed(LOSS, "part", limits, True, np.ones(4, dtype=bool))

    def settled(total: np.ndarray, cell: int) -> bool:
        lower, upper = mean_bounds(own.take(np.array([cell])).times(total / rows[cell]), 0.95, largest)
        return bool(upper[0] <= limit or lower[0] > limit)

    assert np.isnan(needed[3])  # nothing was lost: there is nothing to plan by
    for cell in range(3):
        if np.isnan(needed[cell]):
            assert not settled(np.array([1e9]), cell)
            continue
        assert needed[cell] >= 1 and needed[cell] == np.floor(needed[cell])
        assert settled(np.array([rows[cell] + needed[cell]]), cell)
        if needed[cell] > 1:
            assert not settled(np.array([rows[cell] + 0.98 * needed[cell] - 1]), cell)


def test_only_cells_that_are_asked_about_are_planned_and_settled_ones_need_one_row():
    found, limits = means(1.0), np.full(4, 0.9)
    needed = found.rows_needed(LOSS, "part", limits, True, np.array([True, False, True, True]))
    assert needed.tolist() == pytest.approx([1.0, np.nan, 1.0, np.nan], nan_ok=True)
    nothing = found.rows_needed(LOSS, "part", limits, True, np.zeros(4, dtype=bool))
    assert np.isnan(nothing).all()


def test_rows_in_clusters_have_a_mean_and_no_bound_test_or_plan():
    found = means(1.0, cluster=Codes(np.arange(sum(SIZES.values())) // 2, tuple(range(268))))
    limit = np.full(4, 0.2)
    estimate = found.estimate(LOSS, "part")
    assert estimate.estimate[0] == means().estimate(LOSS, "part").estimate[0]
    assert (estimate.lower.tolist(), estimate.upper.tolist()) == ([0.0] * 4, [np.inf] * 4)
    assert estimate.method == "no bound (rows in clusters)"
    for nothing in (found.p_better(LOSS, "part", limit), found.p_worse(LOSS, "part", limit),
                    found.rows_needed(LOSS, "part", limit, True, np.ones(4, dtype=bool)),
                    found.passes_with(LOSS, "part", limit, np.ones(4, dtype=bool))):  # fmt: skip
        assert nothing.shape == (4,) and np.isnan(nothing).all()


def test_so_many_times_the_rows_are_so_many_times_the_sums_at_the_same_largest_loss():
    found = Moments(*(np.array([x]) for x in (30.0, 6.0, 2.0, 0.5))).times(np.array([4.0]))
    assert [float(part[0]) for part in found] == [120.0, 24.0, 8.0, 0.5]
    assert float(found.mean[0]) == 0.2


@pytest.mark.parametrize("largest", [None, 1.0, 2.5])
@pytest.mark.parametrize("n", [30, 31, 200])
@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_at_its_bound_a_mean_has_the_p_value_of_the_error(n, largest, confidence):
    losses = np.random.default_rng(n).uniform(0.1, 0.9, n)
    found = Moments(*(np.array([x]) for x in (float(n), losses.sum(), (losses**2).sum(), losses.max())))
    lower, upper = mean_bounds(found, confidence, largest)
    assert float(mean_tests(found, upper, largest)[0][0]) == pytest.approx(1 - confidence, rel=1e-6)
    assert float(mean_tests(found, lower, largest)[1][0]) == pytest.approx(1 - confidence, rel=1e-6)
    at_mean = [float(p[0]) for p in mean_tests(found, found.mean, largest)]
    assert all(0.4 < p <= 1.0 for p in at_mean)


def test_beyond_the_range_a_p_value_is_nothing_and_at_its_ends_it_is_not():
    found = Moments(*(np.full(6, x) for x in (5.0, 2.0, 1.0, 0.6)))
    better, worse = mean_tests(found, np.array([-0.1, 0.0, 0.4, 0.99, 1.0, 1.1]), 1.0)
    assert better.tolist()[:3] == [1.0, 1.0, 1.0] and 0 < better[3] < 0.05 and better.tolist()[4:] == [0.0, 0.0]
    assert worse.tolist() == [0.0, 0.0, 1.0, 1.0, 1.0, 1.0]
    none = Moments(*(np.zeros(4) for _ in range(4)))
    better, worse = mean_tests(none, np.array([-0.1, 0.0, 0.9, 1.1]), 1.0)
    assert (better.tolist(), worse.tolist()) == ([1.0, 1.0, 1.0, 0.0], [0.0, 1.0, 1.0, 1.0])
    _, worse = mean_tests(none, np.array([-0.1, 0.0, 1.0, 1.1]))
    assert worse.tolist() == [0.0, 1.0, 1.0, 1.0]
