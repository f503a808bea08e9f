"""Mean losses in cells: limits on the bound itself, tests and plans by cell, with and without a known largest change."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from gate.core.counts import Cells
from gate.core.flips import FlipTable, count, merge
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


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_with_a_known_range_a_single_loss_is_bounded_as_any_number_of_them(n, share):
    found = Moments(*(np.array([x]) for x in (float(n), n * share * 4.0, n * (share * 4.0) ** 2, share * 4.0)))
    lower, upper = (float(bound[0]) / 4.0 for bound in mean_bounds(found, 0.8, 4.0))
    divergence = [
        share * np.log(share / held) + (1 - share) * np.log((1 - share) / (1 - held)) for held in (lower, upper)
    ]
    assert divergence == pytest.approx([np.log(5) / n] * 2)
    assert 0 < lower < share < upper < 1


def test_without_a_loss_the_bounds_are_the_ends_of_the_range_and_nobody_is_warned():
    none = Moments(*(np.zeros(1) for _ in range(4)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for largest, end in ((None, np.inf), (4.0, 4.0)):
            lower, upper = mean_bounds(none, 0.95, largest)
            assert (lower.tolist(), upper.tolist()) == ([0.0], [end])
        assert [p.tolist() for p in mean_tests(none, 0.5)] == [[1.0], [1.0]]


def test_the_largest_loss_and_the_largest_gain_of_each_cell_are_kept():
    scored = count(
        Outcomes(
            np.arange(6), *(np.zeros(6, dtype=bool),) * 3, slices={"part": Codes(np.array([0, 0, 0, 1, 1, -1]), ("a", "b"))},
            scores=Scores(np.zeros(6), np.array([-0.5, -0.75, 0.25, 0.5, 0.0, 2.0])),
        )
    ).scores  # fmt: skip
    assert scored["part"].largest.tolist() == [[0.75, 0.25], [0.0, 0.5]]
    assert scored["overall"].largest.tolist() == [[0.75, 2.0]]


def test_rows_in_clusters_that_weigh_unequally_say_both():
    rows = sum(SIZES.values())
    right = np.zeros(rows, dtype=bool)
    drawn = count(
        Outcomes(
            np.arange(rows), right, right, right, cluster=Codes(np.arange(rows) // 2, tuple(range(rows))),
            weight=1.0 + np.arange(rows) % 2, scores=Scores(np.zeros(rows), -np.ones(rows)),
        )
    )  # fmt: skip
    assert Means(Measured(drawn, 0.95)).method == "no bound (rows in clusters and weighted rows, each counted alike)"


def test_losses_and_gains_of_every_dimension_are_kept_apart_in_any_order_of_asking():
    asked = [(about, by) for about in (LOSS, GAIN) for by in ("part", None)]
    alone = {(about.name, by): means().estimate(about, by) for about, by in asked}
    for order in (asked, asked[::-1]):
        found = means()
        for about, by in order:
            estimate = found.estimate(about, by)
            assert estimate.upper.tolist() == alone[about.name, by].upper.tolist()
            assert estimate.confidence == 0.95
            assert found.value(about, by).tolist() == pytest.approx(estimate.estimate.tolist(), nan_ok=True)
    assert len({tuple(estimate.upper.tolist()) for estimate in alone.values()}) == 4
    with pytest.raises(KeyError, match="nowhere"):
        means().value(LOSS, "nowhere")


def test_a_cell_that_no_score_is_known_of_has_no_loss():
    known = table()
    cells = known.cells["part"]
    longer = Cells((*cells.values, "e"), np.vstack([cells.columns, [[5, 0, 0, 0, 0]]]))
    found = Means(Measured(replace(known, cells={"part": longer}), 0.95)).estimate(LOSS, "part")
    assert (found.n[4], found.lower[4], found.upper[4]) == (0, 0.0, np.inf) and np.isnan(found.estimate[4])
    assert found.n[:4].tolist() == means().estimate(LOSS, "part").n.tolist()


def test_means_of_merged_shards_are_those_of_all_rows():
    random = np.random.default_rng(9)
    change, part = random.normal(0, 0.3, 300), random.choice(["a", "b"], 300)

    def counted(at: slice) -> FlipTable:
        rows = np.arange(300)[at]
        right = change[at] <= 0
        return count(
            Outcomes(
                rows, right, ~right, np.zeros(len(rows), dtype=bool), slices={"part": Codes.of(part[at].tolist())},
                scores=Scores(np.zeros(len(rows)), change[at]),
            )
        )  # fmt: skip

    whole, shards = (
        counted(slice(None)),
        merge([counted(slice(0, 100)), counted(slice(100, 140)), counted(slice(140, None))]),
    )
    for about in (LOSS, GAIN):
        for largest in (None, 3.0):
            one, other = (Means(Measured(of, 0.95), largest) for of in (whole, shards))
            by_value = [whole.cells["part"].values.index(value) for value in shards.cells["part"].values]
            for number in ("estimate", "lower", "upper", "n"):
                expected = getattr(one.estimate(about, "part"), number)[by_value]
                assert getattr(other.estimate(about, "part"), number).tolist() == expected.tolist()
    assert Means(Measured(shards, 0.95)).largest_seen == Means(Measured(whole, 0.95)).largest_seen
