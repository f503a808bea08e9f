"""What is said to be proven, by whatever shortcut, is what the bounds say; and a bound on the limit keeps it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gate.core.bounds import ratio_test
from gate.core.counts import EffectiveCounts, FlipCounts
from gate.core.judgement import DecideOn, Status, statuses
from gate.core.multiplicity import benjamini_hochberg, holm
from gate.core.rates import RATES, Rate, rate

RATIOS = [kind for kind in RATES.values() if not kind.percent and kind.method.startswith("ratio")]
SMALL = [row for row in itertools.product(range(3), repeat=5) if sum(row) <= 3]
LARGE = [
    (0, 0, 970, 30, 0),  # an incumbent that is always wrong: the divisor is known almost to the last digit
    (0, 0, 100_000, 300, 0),
    (99_000, 0, 0, 1000, 0),
    (900, 10, 20, 50, 20),
    (900, 0, 100, 0, 0),  # a candidate without errors
    (0, 40, 0, 60, 0),
]


def cells(rows: list[tuple[int, ...]]) -> FlipCounts:
    return FlipCounts.from_columns(np.array(rows))


def room(kind: Rate, counts: FlipCounts, limit: np.ndarray) -> np.ndarray:
    """Where the limit lies inside the range: for a ratio, where the dividend could still lie on both sides of it."""
    inside = (limit > kind.low) & (limit < kind.high)
    if kind not in RATIOS:
        return np.asarray(inside)
    under = kind.parts[1]
    return np.asarray(inside & (np.where(inside, limit, 0.0) * under.numerator(counts) < under.n(counts)))


def held_against(kind: Rate, counts: FlipCounts, limit: float | np.ndarray, at_most: bool) -> None:
    lower, upper = kind.bounds(counts, 0.95)
    kept, broken = kind.proven(counts, np.broadcast_to(limit, np.shape(lower)), at_most, 0.95)
    expected = (upper <= limit, lower > limit) if at_most else (lower >= limit, upper < limit)
    assert np.asarray(kept).tolist() == expected[0].tolist()
    assert np.asarray(broken).tolist() == expected[1].tolist()


@pytest.mark.parametrize("at_most", [True, False])
@pytest.mark.parametrize("kind", RATES.values(), ids=lambda kind: f"{kind.name}-{kind.of}")
def test_a_limit_is_proven_kept_or_broken_exactly_where_the_bounds_say_so(kind, at_most):
    counts = cells(SMALL + LARGE)
    bounds = kind.bounds(counts, 0.95)
    for bound in bounds:
        for nudge in (-1e-6, 1e-6):
            limit = np.where(np.isfinite(bound), bound + nudge, 50.0)
            some = room(kind, counts, limit)
            held_against(kind, counts.take(some), limit[some], at_most)
    for number in (0.0255, 0.5, 0.93, 5.0):
        limit = np.full(len(SMALL + LARGE), number)
        some = room(kind, counts, limit)
        held_against(kind, counts.take(some), limit[some], at_most)


@pytest.mark.parametrize("at_most", [True, False])
@pytest.mark.parametrize("kind", RATIOS, ids=lambda kind: kind.name)
def test_a_ratio_bounded_by_exactly_its_limit_keeps_it_and_does_not_break_it(kind, at_most):
    counts = cells(LARGE)
    for bound in kind.bounds(counts, 0.95):
        some = room(kind, counts, bound)
        assert some.any()
        held_against(kind, counts.take(some), bound[some], at_most)


@pytest.mark.parametrize("at_most", [True, False])
@pytest.mark.parametrize("kind", RATIOS, ids=lambda kind: kind.name)
def test_a_ratio_of_rows_in_clusters_is_proven_by_the_bounds_that_know_of_them(kind, at_most):
    rows = cells([(900, 10, 20, 50, 20), (200, 2, 2, 40, 3), (150, 1, 9, 12, 1)])
    under = EffectiveCounts.of(rows.times(0.4), np.array([3.0, 1.0, 8.0]))
    counts = EffectiveCounts.of(rows.times(0.3), np.array([6.0, 2.5, 1.0]), under)
    plain = kind.bounds(rows.times(0.3), 0.95)
    for bound, without in zip(kind.bounds(counts, 0.95), plain, strict=True):
        assert not np.allclose(bound, without)
        for nudge in (0.999, 1.001):
            held_against(kind, counts, bound * nudge, at_most)


@pytest.mark.parametrize("kind", RATIOS, ids=lambda kind: kind.name)
def test_a_ratio_of_rows_in_clusters_is_tested_at_what_its_two_shares_are_worth(kind):
    rows = cells([(900, 10, 20, 50, 20), (200, 2, 2, 40, 3), (150, 1, 9, 12, 1)])
    under = EffectiveCounts.of(rows.times(0.4), np.array([3.0, 1.0, 8.0]))
    counts = EffectiveCounts.of(rows.times(0.3), np.array([6.0, 2.5, 1.0]), under)
    lower, upper = kind.bounds(counts, 0.95)
    assert kind.better_than(counts, upper).tolist() == pytest.approx([0.05] * 3, abs=1e-6)
    assert kind.worse_than(counts, lower).tolist() == pytest.approx([0.05] * 3, abs=1e-6)
    assert (kind.better_than(counts, upper * 1.1) < 0.05).all() and (kind.worse_than(counts, lower / 1.1) < 0.05).all()


@pytest.mark.parametrize("position", range(7))
@pytest.mark.parametrize("below", [True, False])
def test_the_test_of_a_ratio_takes_an_array_in_any_place_and_numbers_in_all_others(position, below):
    numbers: list[float] = [10, 100, 50, 90, 0.3, 2.0, 3.0]
    limit_at = 4

    def tested(given: list) -> np.ndarray:
        return ratio_test(*given[: limit_at + 1], below, *given[limit_at + 1 :])

    array = [*numbers]
    array[position] = np.array([numbers[position], numbers[position] * 1.25])
    more = [*numbers]
    more[position] *= 1.25
    assert tested(array).tolist() == pytest.approx([float(tested(numbers)), float(tested(more))])


@pytest.mark.parametrize("kind", RATES.values(), ids=lambda kind: f"{kind.name}-{kind.of}")
def test_it_is_sure_enough_exactly_past_the_bound_on_the_side_of_the_limit(kind):
    counts = cells([(900, 10, 20, 50, 20), (200, 2, 2, 40, 3)])
    value, (lower, upper) = kind.value(counts), kind.bounds(counts, 0.95)
    for below, bound in ((True, upper), (False, lower)):
        for share in (0.5, 0.99, 1.01, 1.5):
            limit = value + share * (bound - value)
            assert ((kind.sureness(counts, limit, below, 0.95) >= 0) == (share > 1)).all(), (below, share)


def test_a_candidate_without_errors_keeps_every_relative_limit_that_lies_above_what_chance_could_give():
    relative = rate("relative_nfr")
    kept, broken = relative.proven(cells([(900, 0, 100, 0, 0)]), np.array([5.0]), True, 0.95)
    assert (kept.tolist(), broken.tolist()) == ([True], [False])
    assert 1.0 < float(relative.bounds(FlipCounts(900, 0, 100), 0.95).upper) < 5.0


DOUBT = {DecideOn.PROOF: Status.INCONCLUSIVE, DecideOn.HARM: Status.WARN}


@pytest.mark.parametrize("at_most", [True, False])
@pytest.mark.parametrize("decide_on", DecideOn)
def test_statuses_follow_from_the_bounds_cell_by_cell_whoever_carries_the_proof(decide_on, at_most):
    below, above = np.array([0.1, 0.1, 0.3, 0.5, 0.1]), np.array([0.3, 0.6, 0.7, 0.8, 0.2])
    estimate, limit = np.array([0.2, 0.3, 0.6, 0.7, np.nan]), np.full(5, 0.4)
    found = statuses(decide_on, at_most, estimate, below, above, limit, np.array([9, 9, 9, 9, 0])).tolist()
    low, high = (Status.PASS, Status.FAIL) if at_most else (Status.FAIL, Status.PASS)
    doubtful = [DOUBT[decide_on]] * 2 if decide_on in DOUBT else [low, high]
    assert found == [low, *doubtful, high, Status.INCONCLUSIVE]  # the last cell has no rows


@pytest.mark.parametrize("decide_on", DecideOn)
def test_where_the_estimate_is_undefined_the_bounds_decide(decide_on):
    unknown, limit, rows = np.array([np.nan]), np.array([0.4]), np.array([9])
    found = statuses(decide_on, True, unknown, np.array([0.0]), np.array([0.3]), limit, rows)
    assert found.tolist() == [Status.PASS]


@pytest.mark.parametrize("correct", [holm, benjamini_hochberg])
def test_what_is_rejected_picks_the_cells_it_is_about(correct):
    cells_ = np.array(["a", "b", "c"])
    assert cells_[correct(np.array([0.9, 0.001, np.nan]), 0.05)].tolist() == ["b"]
    assert cells_[correct(np.full(3, np.nan), 0.05)].tolist() == []
