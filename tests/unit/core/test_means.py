"""Mean loss and mean gain: what was summed, what the bounds say, and that they say no more than is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from gate.core.flips import FlipTable, count, merge
from gate.core.means import FEWEST, Means, Moments, mean_bounds, mean_tests
from gate.core.measured import Measured
from gate.core.measures import MEAN_GAIN, MEAN_LOSS, OTHERS
from gate.core.outcomes import Codes, Outcomes, Scores

LOSS, GAIN = OTHERS[MEAN_LOSS], OTHERS[MEAN_GAIN]
fast = settings(deadline=None, max_examples=100)


def moments(losses: list[float] | np.ndarray) -> Moments:
    x = np.asarray(losses, dtype=float)
    return Moments(*(np.asarray([v]) for v in (float(len(x)), x.sum(), (x * x).sum(), x.max(initial=0.0))))


def counted(difference: np.ndarray, part: list[str] | None = None, **how: np.ndarray | Codes) -> FlipTable:
    """Rows whose score changed by so much."""
    n = len(difference)
    return count(
        Outcomes(
            np.arange(n), difference <= 0, difference >= 0, np.zeros(n, dtype=bool),
            slices={} if part is None else {"part": Codes.of(part)},
            scores=Scores(np.zeros(n), np.asarray(difference, dtype=float)),
            **how,  # type: ignore[arg-type]
        )
    )  # fmt: skip


def means(table: FlipTable, largest: float | None = None, confidence: float = 0.95) -> Means:
    return Means(Measured(table, confidence), largest)


def test_the_mean_is_over_the_rows_that_lose_and_n_counts_them():
    found = means(counted(np.array([-1.0, -2.0, 0.0, 0.5]))).estimate(LOSS, None)
    assert (found.estimate[0], found.n[0], found.numerator[0], found.effective_n[0]) == (1.5, 2, 2, 2)
    gained = means(counted(np.array([-1.0, -2.0, 0.0, 0.5]))).estimate(GAIN, None)
    assert (gained.estimate[0], gained.n[0]) == (0.5, 1)


def test_each_cell_has_its_own_and_one_without_a_loss_has_none():
    found = means(counted(np.array([-1.0, -3.0, 2.0]), ["a", "a", "b"])).estimate(LOSS, "part")
    assert found.estimate[0] == 2.0 and np.isnan(found.estimate[1])
    assert (found.lower[1], found.upper[1]) == (0.0, np.inf)


def test_cells_are_found_by_value_though_they_stand_in_another_order():
    table = counted(np.array([-1.0, -3.0, -5.0]), ["b", "a", "a"])
    turned = FlipTable(
        **{**vars(table), "cells": {"part": type(table.cells["part"])(("a", "b"), table.cells["part"].columns[::-1])}}
    )
    assert means(turned).value(LOSS, "part").tolist() == [4.0, 1.0]


# the bound where the range is known


def test_with_a_known_range_the_bound_is_hoeffdings_whatever_the_squares():
    found = Moments(*(np.asarray([v]) for v in (100.0, 20.0, 4.0, 0.2)))
    lower, upper = (float(bound[0]) for bound in mean_bounds(found, 0.95, largest=1.0))
    kl = lambda x, u: x * np.log(x / u) + (1 - x) * np.log((1 - x) / (1 - u))  # noqa: E731
    for bound in (lower, upper):
        assert 100 * kl(0.2, bound) == pytest.approx(np.log(20))
    assert lower < 0.2 < upper
    scaled = mean_bounds(Moments(*(np.asarray([v]) for v in (100.0, 100.0, 100.0, 1.0))), 0.95, largest=5.0)
    assert float(scaled.upper[0]) == pytest.approx(5 * upper)


def test_with_a_known_range_losses_of_nothing_or_all_of_it_are_bounded_exactly():
    none, most = (mean_bounds(moments(np.full(20, size)), 0.95, largest=1.0) for size in (1e-9, 1.0))
    assert float(none.upper[0]) == pytest.approx(1 - 0.05 ** (1 / 20), rel=1e-5)
    assert (float(most.upper[0]), float(most.lower[0])) == (1.0, pytest.approx(0.05 ** (1 / 20)))


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_with_a_known_range_wrong_allows_are_rare_though_large_losses_are_seldom(share):
    random = np.random.default_rng(0)
    for n in (5, 40, 400):
        hits = random.binomial(n, share, size=4000)
        total = hits + 0.01 * (n - hits)
        found = Moments(np.full(4000, float(n)), total, total, np.ones(4000))
        true = share + 0.01 * (1 - share)
        bounds = mean_bounds(found, 0.95, largest=1.0)
        assert (bounds.upper < true).mean() <= 0.05 and (bounds.lower > true).mean() <= 0.05


@fast
@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=40), st.data())
def test_with_a_known_range_a_larger_loss_never_looks_better(losses, data):
    at = data.draw(st.integers(0, len(losses) - 1))
    worse = [*losses[:at], data.draw(st.floats(losses[at], 1.0)), *losses[at + 1 :]]
    before, after = (mean_bounds(moments(some), 0.95, 1.0) for some in (losses, worse))
    assert after.upper[0] >= before.upper[0] - 1e-12 and after.lower[0] >= before.lower[0] - 1e-12


# the bound where it is not


def test_without_a_range_it_is_students_t_with_one_loss_more():
    x = np.random.default_rng(1).exponential(size=80)
    lower, upper = (float(bound[0]) for bound in mean_bounds(moments(x), 0.95))
    reach = stats.t.ppf(0.95, 79)
    for bound, more, sign in ((upper, 2 * x.max(), 1), (lower, 0.0, -1)):
        longer = np.r_[x, more]
        assert bound == pytest.approx(longer.mean() + sign * reach * longer.std(ddof=1) / np.sqrt(81))


def test_with_fewer_than_thirty_losses_nothing_is_known():
    x = np.linspace(1, 2, FEWEST)
    few, enough = (mean_bounds(moments(part), 0.95) for part in (x[1:], x))
    assert (float(few.lower[0]), float(few.upper[0])) == (0.0, np.inf)
    assert 0 < float(enough.lower[0]) < 1.5 < float(enough.upper[0]) < 3
    assert [float(p[0]) for p in mean_tests(moments(x[1:]), 1.0)] == [1.0, 1.0]


@pytest.mark.parametrize(("draw", "true"), [
    (lambda r, size: r.exponential(size=size), 1.0),
    (lambda r, size: np.abs(r.standard_normal(size)), float(np.sqrt(2 / np.pi))),
    (lambda r, size: r.lognormal(0, 1, size), float(np.exp(0.5))),
])  # fmt: skip
def test_without_a_range_wrong_allows_stay_under_the_level_for_losses_with_a_long_tail(draw, true):
    random = np.random.default_rng(2)
    for n in (30, 200):
        x = draw(random, (3000, n))
        found = Moments(np.full(3000, float(n)), x.sum(axis=1), (x * x).sum(axis=1), x.max(axis=1))
        assert (mean_bounds(found, 0.95).upper < true).mean() <= 0.05


# both


@fast
@given(
    st.lists(st.floats(1e-3, 1.0), min_size=1, max_size=60),
    st.one_of(st.just(-0.1), st.floats(0.001, 1.1)),
    st.sampled_from([None, 1.0, 3.0]),
    st.sampled_from([0.5, 0.9, 0.95, 0.999]),
)
def test_a_p_value_is_past_alpha_exactly_where_the_bound_is_past_the_limit(losses, limit, largest, confidence):
    found, alpha = moments(losses), 1 - confidence
    lower, upper = (float(bound[0]) for bound in mean_bounds(found, confidence, largest))
    below, above = (float(p[0]) for p in mean_tests(found, limit, largest))
    if abs(limit - upper) > 1e-9 and abs(limit - lower) > 1e-9:
        assert (below <= alpha) == (upper <= limit)
        assert (above < alpha) == (lower > limit)


@fast
@given(
    st.lists(st.tuples(st.floats(-100, 100), st.sampled_from(["a", "b", None])), min_size=1, max_size=60),
    st.integers(1, 60),
    st.randoms(use_true_random=False),
    st.sampled_from([None, 100.0]),
)
def test_every_bound_is_the_same_to_the_last_bit_whatever_the_batches_and_the_order(rows, size, random, largest):
    once = counted(np.array([d for d, _ in rows]), [str(p) for _, p in rows])
    shuffled = list(rows)
    random.shuffle(shuffled)
    parts = [shuffled[i : i + size] for i in range(0, len(rows), size)]
    merged = merge([counted(np.array([d for d, _ in part]), [str(p) for _, p in part]) for part in parts])
    for about in (LOSS, GAIN):
        for by in (None, "part"):
            one, other = (means(table, largest, 0.9).estimate(about, by) for table in (once, merged))
            at = {value: i for i, value in enumerate(merged.cells["part"].values)}
            order = [at[value] for value in once.cells["part"].values] if by else [0]
            for name in ("estimate", "lower", "upper", "n"):
                assert getattr(one, name).tobytes() == getattr(other, name)[order].tobytes()


@pytest.mark.parametrize("largest", [None, 4.0])
def test_so_many_rows_more_settle_it_and_one_less_does_not(largest):
    random = np.random.default_rng(3)
    difference = np.r_[-random.exponential(size=40).clip(0, 4), np.zeros(160)]
    found = means(counted(difference), largest)
    seen = float(found.value(LOSS, None)[0])
    for at_most, limit in ((True, seen * 1.15), (True, seen * 0.85), (False, seen * 0.85)):
        (needed,) = found.rows_needed(LOSS, None, np.array([limit]), at_most, np.array([True]))
        some = found._of(LOSS, None)
        settled = [
            min(float(p[0]) for p in mean_tests(some.times(np.array([(200 + more) / 200])), limit, largest)) <= 0.05
            for more in (needed - 1, needed)
        ]
        assert settled == [False, True]


def test_no_number_of_rows_settles_the_limit_itself_nor_a_cell_without_losses():
    table = counted(np.r_[np.full(50, -1.0), np.ones(9)], ["a"] * 50 + ["b"] * 9)
    found = means(table).rows_needed(LOSS, "part", np.array([1.0, 1.0]), True, np.array([True, True]))
    assert np.isnan(found).all()


def test_rows_in_clusters_or_with_weights_have_a_mean_and_no_bound():
    difference = -np.linspace(0.1, 1, 60)
    for how, told in (
        ({"cluster": Codes(np.arange(60) // 2, tuple(range(30)))}, "no bound (rows in clusters)"),
        ({"weight": np.ones(60)}, "no bound (weighted rows, each counted alike)"),
    ):
        found = means(counted(difference, **how), 1.0)  # type: ignore[arg-type]
        estimate = found.estimate(LOSS, None)
        assert estimate.estimate[0] == pytest.approx(0.55)
        assert (estimate.lower[0], estimate.upper[0], estimate.method) == (0.0, np.inf, told)
        assert [side.any() for side in found.proven(LOSS, None, np.array([5.0]), True)] == [False, False]
        assert np.isnan(found.p_better(LOSS, None, 5.0)).all()


def test_a_table_without_scores_has_no_means():
    plain = FlipTable()
    assert not means(plain) and means(plain).cells(None) is None and means(plain).largest_seen == 0.0
    assert means(counted(np.array([-2.0, 3.0]))).largest_seen == 3.0


def test_a_dimension_that_there_is_not_is_a_key_error():
    with pytest.raises(KeyError):
        means(counted(np.array([-1.0]))).value(LOSS, "part")


def test_the_method_says_what_it_rests_on():
    table = counted(np.array([-1.0]))
    assert means(table).method.endswith("approximate (fewer than 30: no bound)")
    assert means(table, 2.5).method == "Hoeffding, of changes of at most 2.5"
    assert special.stdtrit(79, 0.95) == pytest.approx(stats.t.ppf(0.95, 79))
