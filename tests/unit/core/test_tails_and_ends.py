"""Tails near the error, by whatever shortcut, and the ends of a rate's range, for whole counts and for counts that are not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from gate.core.bounds import binomial_tail, binomial_tail_about, clopper_pearson
from gate.core.counts import EffectiveCounts, FlipCounts
from gate.core.rates import RATES, rate

PLAIN = [kind for kind in RATES.values() if kind.share]
HITS = np.r_[np.arange(13.0), 2.4, 0.3, 29.0, 29.5, 300.0]
MORE = np.r_[np.arange(6.0), 0.5, 7.7, 60.0, 61.3, 4000.0]
SHARES = np.r_[0.0, 1e-6, 0.01, 0.09, 0.3, 0.5, 0.62, 0.9, 0.999, 1.0]


@pytest.mark.parametrize("alpha", [1e-6, 0.05, 0.3, 0.48, 0.5, 0.6, 0.75, 0.95])
@pytest.mark.parametrize("more_than_one", [1.0, 1.5, 2.0, 9.0])
def test_tails_about_any_error_lie_on_its_side_for_counts_of_any_kind(alpha, more_than_one):
    hits, more, share = np.meshgrid(HITS, MORE, SHARES)
    exact = binomial_tail(hits, hits + more, share, more_than_one)
    about = binomial_tail_about(hits, hits + more, share, alpha, more_than_one)
    for one, other in zip(exact, about, strict=True):
        assert np.array_equal(one <= alpha, other <= alpha)
        assert np.array_equal(one < alpha, other < alpha)
        open_ = (other > 0) & (other < 1)
        assert np.array_equal(one[open_], other[open_])


def test_the_shortcut_takes_one_hit_for_one_unless_told():
    about = binomial_tail_about(HITS, HITS + 20, 0.4, 0.05)
    assert [part.tolist() for part in about] == [
        part.tolist() for part in binomial_tail_about(HITS, HITS + 20, 0.4, 0.05, 1.0)
    ]
    assert [part.tolist() for part in binomial_tail(HITS, HITS + 20, 0.4)] == [
        part.tolist() for part in binomial_tail(HITS, HITS + 20, 0.4, 1.0)
    ]


def test_a_rate_past_the_ends_of_the_range_is_held_to_be_at_the_end():
    for tails in (binomial_tail(3, 9, [-0.5, 1.5]), binomial_tail_about(3, 9, [-0.5, 1.5], 0.05)):
        assert [part.tolist() for part in tails] == [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("hits", "n", "one"), [(0.5, 10.0, 1.0), (0.02, 3.3, 1.0), (7.25, 40.5, 2.5), (0.3, 20.0, 6.0)]
)
def test_counts_that_are_not_whole_are_bounded_by_the_quantiles_of_the_beta_distribution(hits, n, one):
    found = clopper_pearson(hits, n, 0.95, one)
    assert float(found.lower) == pytest.approx(stats.beta.ppf(0.05, hits, n - hits + one), rel=1e-9)
    assert float(found.upper) == pytest.approx(stats.beta.ppf(0.95, hits + one, n - hits), rel=1e-9)


@pytest.mark.parametrize("kind", [*PLAIN, rate("error_rate_change")], ids=lambda kind: f"{kind.name}-{kind.of}")
def test_the_ends_of_the_range_need_no_proof(kind):
    rows = list(itertools.product((0, 4), repeat=5))
    counts = FlipCounts.from_columns(np.array(rows))
    for at_most, end in ((True, kind.high), (False, kind.low)):
        kept, broken = kind.proven(counts, np.full(len(rows), end), at_most, 0.95)
        assert np.asarray(kept).all() and not np.asarray(broken).any()


def test_a_tail_of_exactly_the_error_proves_that_a_limit_is_kept_and_not_that_it_is_broken():
    none, one = FlipCounts(1, 0), FlipCounts(0, 1)  # of a single row at a rate of one half either is as likely
    nfr = rate("nfr")
    for counts, at_most in ((none, True), (one, False)):
        kept, broken = nfr.proven(counts, 0.5, at_most, 0.5)
        assert (bool(kept), bool(broken)) == (True, False)
    for counts, at_most in ((one, True), (none, False)):
        kept, broken = nfr.proven(counts, 0.5, at_most, 0.5)
        assert (bool(kept), bool(broken)) == (False, False)


@pytest.mark.parametrize("at_most", [True, False])
def test_rows_that_are_worth_less_are_proven_by_the_bounds_that_know_it(at_most):
    counts = EffectiveCounts.of(
        FlipCounts.from_columns(np.array([[90.5, 3.2, 0, 0, 0], [40, 0.4, 0, 0, 0]])), np.array([4.0, 2.0])
    )
    nfr = rate("nfr")
    for bound in nfr.bounds(counts, 0.95):
        for nudge in (0.999, 1.001):
            kept, broken = nfr.proven(counts, bound * nudge, at_most, 0.95)
            lower, upper = nfr.bounds(counts, 0.95)
            expected = (upper <= bound * nudge, lower > bound * nudge)
            expected = expected if at_most else (lower >= bound * nudge, upper < bound * nudge)
            assert (kept.tolist(), broken.tolist()) == (expected[0].tolist(), expected[1].tolist())


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_an_estimate_says_at_what_confidence_its_bounds_hold(confidence):
    for kind in RATES.values():
        assert kind.estimate(FlipCounts(80, 2, 9, 5, 4), confidence).confidence == confidence
