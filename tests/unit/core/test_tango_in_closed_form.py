"""Tango's score and bounds where algebra gives them: without a flip, at no change, of one row, and at their ends."""

from __future__ import annotations

import numpy as np
import pytest

from gate.core.bounds import normal_quantile
from gate.core.counts import FlipCounts
from gate.core.paired import mcnemar_asymptotic, tango, tango_score
from gate.core.rates import rate


@pytest.mark.parametrize("n", [1, 2, 5, 50, 1351])
@pytest.mark.parametrize("change", [1e-4, 0.003, 0.2, 0.9])
def test_without_a_flip_the_score_is_that_of_a_share_of_none(n, change):
    expected = -np.sqrt(n * change / (1 - change))
    assert float(tango_score(0, 0, n, change)) == pytest.approx(expected, rel=1e-9)
    assert float(tango_score(0, 0, n, -change)) == pytest.approx(-expected, rel=1e-9)


@pytest.mark.parametrize("confidence", [0.6, 0.95, 0.999])
@pytest.mark.parametrize("n", [1, 2, 7, 1351])
def test_without_a_flip_the_bounds_are_z_squared_over_n_and_z_squared(n, confidence):
    z = normal_quantile(confidence)
    found = tango(0, 0, n, confidence)
    assert (float(found.lower), float(found.upper)) == pytest.approx(
        (-(z**2) / (n + z**2), z**2 / (n + z**2)), abs=1e-9
    )


@pytest.mark.parametrize(("b", "c"), [(1, 0), (0, 1), (2, 1), (7, 1), (3, 3), (40, 55)])
@pytest.mark.parametrize("more", [0, 1, 300])
def test_at_no_change_the_score_is_mcnemars(b, c, more):
    score = float(tango_score(b, c, b + c + more, 0.0))
    assert score == pytest.approx((b - c) / np.sqrt(b + c), abs=1e-12)
    assert float(mcnemar_asymptotic(b, c)) == pytest.approx(
        2 * min(float(rate("error_rate_change").worse_than(FlipCounts(more, b, c), 0.0)),
                float(rate("error_rate_change").better_than(FlipCounts(more, b, c), 0.0)))
    )  # fmt: skip


@pytest.mark.parametrize(("b", "c"), [(0, 0), (3, 3)])
def test_the_score_of_the_change_that_was_seen_is_0(b, c):
    assert float(tango_score(b, c, 50, 0.0)) == 0.0
    assert float(tango_score(5, 0, 5, 1.0)) == 0.0


def test_what_cannot_be_has_an_infinite_score():
    assert float(tango_score(0, 0, 9, 1.0)) == -np.inf
    assert float(tango_score(0, 0, 9, -1.0)) == np.inf
    assert float(tango_score(9, 0, 9, -1.0)) == np.inf


@pytest.mark.parametrize("confidence", [0.52, 0.6, 0.75, 0.95])
@pytest.mark.parametrize(("b", "c", "n"), [(1, 0, 1), (0, 1, 1), (1, 0, 2), (0, 2, 2), (1, 1, 2), (2, 0, 3)])
def test_bounds_of_one_row_and_of_a_few_solve_the_score_equation_or_are_the_ends(b, c, n, confidence):
    z, found = normal_quantile(confidence), tango(b, c, n, confidence)
    lower, upper = float(found.lower), float(found.upper)
    assert -1.0 <= lower <= (b - c) / n <= upper <= 1.0
    assert lower == -1.0 or float(tango_score(b, c, n, lower)) == pytest.approx(z, abs=1e-6)
    assert upper == pytest.approx(1.0) or float(tango_score(b, c, n, upper)) == pytest.approx(-z, abs=1e-6)


def test_the_bounds_of_a_change_and_of_the_change_back_are_mirrored_down_to_one_row():
    for b, c, n in ((1, 0, 1), (2, 1, 4), (0, 0, 1), (9, 0, 9), (30, 12, 400)):
        one, other = tango(b, c, n, 0.9), tango(c, b, n, 0.9)
        assert float(one.lower) == pytest.approx(-float(other.upper), abs=1e-9)


def test_without_a_flip_there_is_no_difference_to_be_seen():
    assert float(mcnemar_asymptotic(0, 0)) == 1.0
    assert mcnemar_asymptotic([0, 3], [0, 3]).tolist() == [1.0, 1.0]
