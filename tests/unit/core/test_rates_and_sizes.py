"""The rates where they are undefined, their names, and how many rows a question lacks."""

from __future__ import annotations

import numpy as np
import pytest

from gate.core.bounds import clopper_pearson
from gate.core.clusters import durkalski
from gate.core.flips import FlipCounts, FlipTable
from gate.core.measured import Measured
from gate.core.paired import newcombe10, tango, tango_score
from gate.core.rates import NAMES, RATES, rate
from gate.core.sample_size import most_flips_allowed, rows_for_power, rows_needed, rows_to_certify


def test_the_names_are_those_of_the_definitions_and_the_ratio_of_error_rates():
    assert NAMES == (
        "error_rate", "error_rate_change", "nfr", "pfr", "error_rate_ratio", "relative_nfr", "nfi", "btc", "bec", "churn",
        "wrong_to_different_wrong", "both_right", "both_wrong",
    )  # fmt: skip
    assert len(RATES) == 14


@pytest.mark.parametrize(
    ("name", "of", "value"),
    [
        ("error_rate", None, 0.50),
        ("error_rate", "incumbent", 0.55),
        ("error_rate_change", None, -0.05),
        ("nfr", None, 0.10),
        ("pfr", None, 0.15),
        ("relative_nfr", None, 0.10 / (0.45 * 0.50)),
        ("nfi", None, 0.20),
        ("btc", None, 35 / 45),
        ("bec", None, 0.80),
        ("churn", None, 0.43),
        ("wrong_to_different_wrong", None, 0.18),
        ("both_right", None, 0.35),
        ("both_wrong", None, 0.40),
    ],
)
def test_each_rate_follows_its_formula(name, of, value):
    counts = FlipCounts(both_right=35, negative=10, positive=15, wrong_same=22, wrong_different=18)
    assert float(rate(name, of).value(counts)) == pytest.approx(value)


@pytest.mark.parametrize("kind", RATES.values(), ids=lambda kind: f"{kind.name}-{kind.of}")
def test_without_rows_a_rate_is_undefined_and_its_bounds_are_the_ends_of_its_range(kind):
    found = kind.estimate(FlipCounts(), 0.95)
    assert np.isnan(found.estimate)
    assert (float(found.lower), float(found.upper)) == (kind.low, kind.high)
    assert found.n == 0


@pytest.mark.parametrize("name", ["nfi", "bec", "relative_nfr"])
def test_a_candidate_without_errors_has_no_share_of_them(name):
    assert np.isnan(rate(name).value(FlipCounts(both_right=90, positive=10)))


def test_an_incumbent_that_is_never_right_has_no_trust_to_lose():
    assert np.isnan(rate("btc").value(FlipCounts(positive=4, wrong_same=1)))
    assert np.isnan(rate("relative_nfr").value(FlipCounts(positive=4, wrong_same=1)))


def test_unknown_rates_are_key_errors():
    for name, of in (("nrf", None), ("nfr", "candidate")):
        with pytest.raises(KeyError):
            rate(name, of)


def test_p_values_of_the_change_are_those_of_the_score():
    counts = FlipCounts(80, 2, 9, 5, 4)
    change = rate("error_rate_change")
    assert float(change.worse_than(counts, 0.0)) + float(change.better_than(counts, 0.0)) == pytest.approx(1.0)
    assert float(change.better_than(counts, 0.0)) < 0.05
    assert rate("nfr").better_than(counts, 0.1) < 0.05 < rate("nfr").worse_than(counts, 0.1)


@pytest.mark.parametrize("at_most", [True, False])
def test_relative_nfr_is_proven_by_its_bounds(at_most):
    counts = FlipCounts(900, 10, 20, 50, 20)
    found = rate("relative_nfr").bounds(counts, 0.95)
    beyond = (float(found.upper) + 0.01, float(found.lower) - 0.01)
    kept = rate("relative_nfr").proven(counts, beyond[0] if at_most else beyond[1], at_most, 0.95)
    lost = rate("relative_nfr").proven(counts, beyond[1] if at_most else beyond[0], at_most, 0.95)
    assert ([bool(x) for x in kept], [bool(x) for x in lost]) == ([True, False], [False, True])


def test_the_change_without_rows_is_unknown_by_tango_and_newcombe():
    assert tuple(map(float, tango(0, 0, 0, 0.95))) == (-1.0, 1.0)
    assert tuple(map(float, newcombe10(0, 0, 0, 0, 0.95))) == (-1.0, 1.0)
    assert float(tango_score(0, 0, 0, 0.1)) == 0.0


def test_a_change_of_everything_is_bounded_by_one():
    assert float(tango(20, 0, 20, 0.95).upper) == pytest.approx(1.0)
    assert float(tango(0, 20, 20, 0.95).lower) == pytest.approx(-1.0)


@pytest.mark.parametrize("limit", [0.0, 1.0, -0.1, 1.5])
def test_no_number_of_rows_certifies_a_limit_outside_the_open_range(limit):
    with pytest.raises(ValueError, match="not between 0 and 1"):
        rows_to_certify(limit)


@pytest.mark.parametrize(("limit", "true"), [(0.01, 0.01), (0.01, 0.02), (1.0, 0.5), (0.5, -0.1)])
def test_a_rate_at_or_past_its_limit_cannot_be_shown_below_it(limit, true):
    with pytest.raises(ValueError, match="cannot be shown"):
        rows_for_power(limit, true)


def test_a_rate_of_zero_needs_as_many_rows_as_certify_without_a_flip():
    assert rows_for_power(0.01, 0.0) == (299, 299)


def test_flips_that_still_certify_are_counted_as_in_the_table():
    assert most_flips_allowed(np.array([58.0, 59.0, 92.0, 93.0]), 0.05, 0.95).tolist() == [-1, 0, 0, 1]


def settle(name: str, counts: FlipCounts, limit: float, at_most: bool = True) -> float:
    arrays = FlipCounts(*(np.array([part]) for part in vars(counts).values()))
    return float(rows_needed(rate(name), arrays, np.array([limit]), at_most, 0.95)[0])


def test_rows_without_a_flip_need_the_rest_of_the_tables_entry():
    assert settle("nfr", FlipCounts(both_right=100), 0.01) == 199
    assert settle("nfr", FlipCounts(both_right=100), 0.001) == 2_895


def test_an_empty_cell_is_planned_as_if_all_went_well():
    assert settle("nfr", FlipCounts(), 0.01) == 299


def test_a_rate_seen_at_its_limit_is_settled_by_no_number_of_rows():
    assert np.isnan(settle("nfr", FlipCounts(both_right=99, negative=1), 0.01))


def test_at_least_is_planned_from_the_other_side():
    needed = settle("btc", FlipCounts(both_right=98, negative=2), 0.95, at_most=False)
    assert 1 <= needed <= 400


def test_the_measured_rates_are_computed_once_and_an_unknown_dimension_is_a_key_error():
    measured = Measured(FlipTable(FlipCounts(9, 1, 0, 0, 0)), 0.95)
    first = measured.estimate(rate("nfr"), None)
    assert measured.estimate(rate("nfr"), "overall") is first
    assert first.estimate.tolist() == [0.1]
    assert measured.cells("region") is None
    with pytest.raises(KeyError):
        measured.estimate(rate("nfr"), "region")


def test_durkalski_weighs_clusters_alike_and_forgets_empty_ones():
    assert durkalski([1, 0], [0, 0], [2, 0]) == durkalski([10], [0], [20])
    assert durkalski([1, 1], [1, 1], [4, 2]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("b", "c", "n"), [([1], [0, 0], [2]), ([2], [0], [1]), ([-1], [0], [1]), ([[1]], [[0]], [[2]])]
)
def test_durkalski_refuses_counts_that_cannot_be(b, c, n):
    with pytest.raises(ValueError, match="cluster"):
        durkalski(b, c, n)


def test_the_ratio_of_error_rates_is_bounded_by_the_bounds_of_both():
    counts = FlipCounts(both_right=880, negative=30, positive=50, wrong_same=30, wrong_different=10)
    found = rate("error_rate_ratio").estimate(counts, 0.95)
    assert float(found.estimate) == pytest.approx(70 / 90)
    new, old = clopper_pearson(70, 1000, 0.975), clopper_pearson(90, 1000, 0.975)
    assert float(found.lower) == pytest.approx(float(new.lower / old.upper))
    assert float(found.upper) == pytest.approx(float(new.upper / old.lower))
