"""Identities and bounds between the rates, and what each bound must do whatever the counts are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gate.core.bounds import binomial_tail, clopper_pearson, ratio_of_proportions
from gate.core.clusters import durkalski
from gate.core.flips import FlipCounts
from gate.core.judgement import DecideOn, Status, statuses
from gate.core.paired import mcnemar_asymptotic, mcnemar_exact, mcnemar_midp, newcombe10, tango, tango_score
from gate.core.rates import RATES, Rate, rate
from gate.core.sample_size import rows_needed, rows_to_certify

fast = settings(deadline=None, max_examples=100)

number = st.one_of(st.integers(0, 5), st.integers(0, 400), st.integers(0, 100_000))
counts = st.builds(FlipCounts, number, number, number, number, number)
confidence = st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99, 0.999])
any_rate = st.sampled_from(list(RATES.values()))
EPS = 1e-9


def of(found: FlipCounts, name: str, whose: str | None = None) -> float:
    return float(rate(name, whose).value(found))


@fast
@given(counts)
def test_the_identities_between_the_rates_hold(found):
    assume(found.n)
    assert of(found, "error_rate_change") == pytest.approx(of(found, "nfr") - of(found, "pfr"))
    change = of(found, "error_rate") - of(found, "error_rate", "incumbent")
    assert of(found, "error_rate_change") == pytest.approx(change, abs=EPS)
    right, wrong = 1 - of(found, "error_rate", "incumbent"), of(found, "error_rate")
    if wrong > 0:
        assert of(found, "nfi") == pytest.approx(1 - of(found, "bec"))
        assert of(found, "nfi") == pytest.approx(of(found, "nfr") / wrong)
    if right > 0:
        assert of(found, "nfr") == pytest.approx((1 - of(found, "btc")) * right, abs=EPS)
    if right > 0 and wrong > 0:
        assert of(found, "relative_nfr") == pytest.approx(of(found, "nfr") / (right * wrong))
        assert of(found, "relative_nfr") == pytest.approx(of(found, "nfi") / right)
    parts = of(found, "nfr") + of(found, "pfr") + of(found, "wrong_to_different_wrong")
    assert of(found, "churn") == pytest.approx(parts)


@fast
@given(counts)
def test_nfr_lies_between_the_bounds_that_the_error_rates_set(found):
    assume(found.n)
    old, new = of(found, "error_rate", "incumbent"), of(found, "error_rate")
    assert max(0.0, new - old) - EPS <= of(found, "nfr") <= min(new, 1 - old) + EPS


@fast
@given(any_rate, counts, confidence)
def test_the_estimate_lies_between_its_bounds_and_they_in_the_range_of_the_rate(kind: Rate, found, sure):
    result = kind.estimate(found, sure)
    assert kind.low <= result.lower <= result.upper <= kind.high
    if result.n > 0 and not np.isnan(result.estimate):
        # at 50 % a bound may fall on the estimate, or by the score method a hair beyond
        assert result.lower - EPS <= result.estimate <= result.upper + EPS


@fast
@given(any_rate, counts)
def test_more_confidence_moves_both_bounds_outwards(kind: Rate, found):
    inner, outer = kind.bounds(found, 0.9), kind.bounds(found, 0.99)
    assert outer.lower <= inner.lower + EPS
    assert inner.upper <= outer.upper + EPS


@fast
@given(any_rate, st.lists(counts, min_size=1, max_size=6), confidence)
def test_many_cells_at_once_give_what_each_gives_alone(kind: Rate, several, sure):
    columns = np.array([[c.both_right, c.negative, c.positive, c.wrong_same, c.wrong_different] for c in several])
    together = kind.estimate(FlipCounts.from_columns(columns), sure)
    for position, alone in enumerate(several):
        one = kind.estimate(alone, sure)
        for field in ("estimate", "lower", "upper", "numerator", "n"):
            x, y = float(getattr(together, field)[position]), float(getattr(one, field))
            assert x == y or (np.isnan(x) and np.isnan(y))


@fast
@given(st.integers(0, 2_000), st.integers(0, 2_000), confidence)
def test_exact_bounds_rise_with_the_hits_and_close_in_with_the_rows(hits, others, sure):
    n = hits + others
    here = clopper_pearson(hits, n, sure)
    more_hits = clopper_pearson(hits + 1, n + 1, sure)
    more_rows = clopper_pearson(hits, n + 1, sure)
    assert more_hits.upper >= here.upper - EPS
    assert more_hits.lower >= here.lower - EPS
    assert more_rows.upper <= here.upper + EPS
    assert more_rows.lower <= here.lower + EPS


@fast
@given(st.integers(1, 3_000), st.data(), confidence)
def test_an_exact_bound_leaves_the_tail_that_it_promises(n, data, sure):
    hits = data.draw(st.integers(0, n))
    found = clopper_pearson(hits, n, sure)
    at_most, _ = binomial_tail(hits, n, found.upper)
    _, at_least = binomial_tail(hits, n, found.lower)
    assert float(at_most) == pytest.approx(0.0 if hits == n else 1 - sure, abs=1e-6) or hits == n
    assert float(at_least) == pytest.approx(1 - sure, abs=1e-6) or hits == 0


@fast
@given(number, number, number, confidence)
def test_tangos_score_falls_in_the_change_and_swapping_the_flips_mirrors_its_bounds(b, c, rest, sure):
    n = b + c + rest
    assume(n)
    scores = tango_score(b, c, n, np.linspace(-0.99, 0.99, 41))
    assert np.all(np.diff(scores) <= 1e-7)
    here, mirrored = tango(b, c, n, sure), tango(c, b, n, sure)
    assert float(here.lower) == pytest.approx(-float(mirrored.upper), abs=1e-9)
    assert float(here.upper) == pytest.approx(-float(mirrored.lower), abs=1e-9)


@fast
@given(counts, confidence)
def test_newcombes_bounds_hold_the_estimate_and_mirror_too(found, sure):
    assume(found.n)
    here = newcombe10(found.both_right, found.negative, found.positive, found.both_wrong, sure)
    back = newcombe10(found.both_right, found.positive, found.negative, found.both_wrong, sure)
    assert float(here.lower) - EPS <= of(found, "error_rate_change") <= float(here.upper) + EPS
    assert float(here.lower) == pytest.approx(-float(back.upper), abs=1e-9)


@fast
@given(number, number)
def test_mcnemars_p_values_are_probabilities_symmetric_and_midp_is_below_exact(b, c):
    for test in (mcnemar_exact, mcnemar_midp, mcnemar_asymptotic):
        p = float(test(b, c))
        assert 0.0 <= p <= 1.0
        assert p == pytest.approx(float(test(c, b)), abs=1e-12)
    assert float(mcnemar_midp(b, c)) <= float(mcnemar_exact(b, c)) + 1e-12


@fast
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_durkalski_on_clusters_of_one_row_is_mcnemars_chi_square(b, c, concordant):
    negative = np.repeat([1, 0, 0], [b, c, concordant])
    positive = np.repeat([0, 1, 0], [b, c, concordant])
    found = durkalski(negative, positive, np.ones(b + c + concordant))
    assert found.chi_square == pytest.approx((b - c) ** 2 / (b + c) if b + c else 0.0)
    assert found.p_value == pytest.approx(float(mcnemar_asymptotic(b, c)))


@fast
@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 500), st.integers(0, 500), confidence)
def test_the_bounds_of_a_ratio_are_wider_than_the_ratio_of_the_estimates(top, top_rest, bottom, bottom_rest, sure):
    assume(top + top_rest and bottom)
    found = ratio_of_proportions(top, top + top_rest, bottom, bottom + bottom_rest, sure)
    ratio = (top / (top + top_rest)) / (bottom / (bottom + bottom_rest))
    assert found.lower <= ratio + EPS
    assert ratio <= found.upper + EPS


limits = st.floats(0.001, 0.999)


def far_from(bound: float, limit: float) -> bool:
    return abs(bound - limit) > 1e-7


@fast
@given(any_rate, counts, limits, st.booleans(), st.sampled_from([0.8, 0.95, 0.99]))
def test_statuses_by_bounds_agree_with_proof_by_tails(kind: Rate, found, limit, at_most, sure):
    assume(found.n)
    result = kind.estimate(found, sure)
    assume(far_from(float(result.lower), limit) and far_from(float(result.upper), limit))
    status = statuses(
        DecideOn.PROOF,
        at_most,
        *(np.atleast_1d(x) for x in (result.estimate, result.lower, result.upper, limit, found.n)),
    )[0]
    kept, broken = kind.proven(found, limit, at_most, sure)
    assert (status is Status.PASS, status is Status.FAIL) == (bool(kept), bool(broken))


@pytest.mark.parametrize("kind", RATES.values(), ids=lambda kind: f"{kind.name}-{kind.of}")
@pytest.mark.parametrize("at_most", [True, False])
def test_a_limit_at_the_end_of_the_range_is_kept_by_bounds_and_by_tails(kind: Rate, at_most):
    found, limit = FlipCounts(5, 5, 5, 5, 5), kind.high if at_most else kind.low
    assert [bool(part) for part in kind.proven(found, limit, at_most, 0.95)] == [True, False]


@fast
@given(
    st.sampled_from(["nfr", "error_rate", "error_rate_change", "churn", "relative_nfr", "nfi", "btc", "pfr"]),
    st.builds(FlipCounts, st.integers(1, 5_000), *[st.integers(0, 200)] * 4),
    limits,
    st.booleans(),
)
def test_the_rows_that_are_said_to_settle_it_do_and_clearly_fewer_do_not(name, found, limit, at_most):
    kind, sure = rate(name), 0.95
    one = FlipCounts(*(np.array([float(part)]) for part in vars(found).values()))

    def settled(rows: float) -> bool:
        grown = FlipCounts(*(part * (rows / found.n) for part in vars(one).values()))
        kept, broken = kind.proven(grown, np.array([limit]), at_most, sure)
        return bool((kept | broken)[0])

    assume(not settled(found.n))
    needed = float(rows_needed(kind, one, np.array([limit]), at_most, sure)[0])
    if np.isnan(needed):
        assert not settled(1e9)
        return
    total = found.n + needed
    assert settled(total * 1.000001 + 0.001)
    if needed > 2:
        assert not settled(found.n + 0.98 * (needed - 1))


@fast
@given(limits, st.integers(0, 50), confidence)
def test_the_rows_that_certify_a_limit_are_the_fewest_that_do(limit, flips, sure):
    n = rows_to_certify(limit, flips, sure)
    assert float(clopper_pearson(flips, n, sure).upper) <= limit
    if n > max(flips, 1):
        assert float(clopper_pearson(flips, n - 1, sure).upper) > limit
