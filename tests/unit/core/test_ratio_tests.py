"""The p-value of a ratio is its bound turned round: small exactly where the bound is past the limit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.core.bounds import crossing, ratio_of_proportions, ratio_test
from gate.core.counts import EffectiveCounts, FlipCounts
from gate.core.rates import rate

number = st.one_of(st.integers(0, 6), st.integers(0, 400))


@settings(deadline=None, max_examples=400)
@given(number, number, number, number, st.floats(0, 6), st.sampled_from([1.0, 2.5]), st.sampled_from([0.5, 0.05, 1e-3]))
def test_it_is_at_most_alpha_exactly_where_the_bound_at_alpha_clears_the_limit(k, more, m, rest, limit, one, alpha):
    counts = (k, k + more, m, m + rest)
    bounds = ratio_of_proportions(*counts, 1 - alpha, one, one)
    below, above = (float(ratio_test(*counts, limit, side, one, one)) for side in (True, False))
    for bound, p, past in ((bounds.upper, below, bounds.upper <= limit), (bounds.lower, above, bounds.lower > limit)):
        if abs(float(bound) - limit) > 1e-7 * max(limit, 1):
            assert (p <= alpha) == bool(past)


def test_the_bound_at_the_error_of_the_p_value_is_the_limit():
    for counts, limit in (((3, 60, 700, 1000), 0.2), ((30, 90, 880, 1000), 0.25), ((1, 400, 5, 400), 0.9)):
        for side, end in ((True, "upper"), (False, "lower")):
            p = float(ratio_test(*counts, limit, side))
            if p < 0.5:
                assert float(getattr(ratio_of_proportions(*counts, 1 - p), end)) == pytest.approx(limit)


@pytest.mark.parametrize("limit", [0.2, 0.6, 0.95])
def test_at_its_limit_a_relative_nfr_is_called_proven_as_seldom_as_promised(limit):
    random = np.random.default_rng(0)
    old, new, n = 0.3, 0.25, 500
    negative = limit * (1 - old) * new
    drawn = random.multinomial(n, [1 - old - negative, negative, old - (new - negative), new - negative], size=3000)
    counts = FlipCounts(*drawn.T, np.zeros(3000, dtype=np.int64))
    for test in (rate("relative_nfr").better_than, rate("relative_nfr").worse_than):
        p = test(counts, limit)
        for alpha in (0.2, 0.05, 0.01):
            assert (p <= alpha).mean() <= alpha


def test_no_rows_no_errors_and_no_flips_prove_nothing_that_is_not_known_anyway():
    relative = rate("relative_nfr")
    for counts in (FlipCounts(), FlipCounts(both_right=5), FlipCounts(positive=5)):
        assert float(relative.better_than(counts, 0.5)) == float(relative.worse_than(counts, 0.5)) == 1.0
    assert float(relative.worse_than(FlipCounts(90, 0, 5, 5), 0.5)) == 1.0
    assert float(relative.worse_than(FlipCounts(90, 1, 5, 5), 0.0)) == 0.0  # one flip proves that it is not 0


def test_rows_worth_less_prove_less():
    counts = FlipCounts(900, 2, 20, 60, 18)
    half = EffectiveCounts.of(counts.times(0.5), 1.5, EffectiveCounts.of(counts.times(0.25), 2.0))
    for name in ("relative_nfr", "error_rate_ratio"):
        for limit in (0.3, 0.9, 1.5):
            for side in ("better_than", "worse_than"):
                assert getattr(rate(name), side)(half, limit) >= getattr(rate(name), side)(counts, limit)


def test_an_element_is_the_same_whatever_stands_beside_it():
    rng = np.random.default_rng(1)
    n = rng.integers(1, 500, 300)
    k, m = rng.integers(0, n + 1), rng.integers(0, n + 1)
    together = ratio_test(k, n, m, n, 0.7, True)
    one_by_one = [ratio_test(a, b, c, b, 0.7, True) for a, b, c in zip(k, n, m, strict=True)]
    assert together.tobytes() == np.array(one_by_one).tobytes()


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(-0.99, 0.99), min_size=1, max_size=20), st.sampled_from([1, 3, 9]))
def test_crossings_are_bracketed_as_narrowly_as_asked(roots, power):
    at = np.array(roots)
    low, high = crossing(lambda x, some: (at[some] - x) ** power, np.full(len(at), -1.0), np.full(len(at), 1.0))
    assert ((low <= at + 1e-15) & (at <= high + 1e-15) & (high - low <= 2e-13)).all()
