"""Newcombe's method 10, put together from scipy's Wilson intervals, where the models agree much, little and not at all."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from gate.core.paired import newcombe10

# both right, negative flips, positive flips, both wrong
AGREE, EASED, BARELY, DISAGREE = (40, 3, 5, 30), (20, 2, 3, 1), (1, 0, 0, 1), (10, 20, 25, 5)
CROSSED, ONE_ROW, NEVER_WRONG = (0, 1, 1, 0), (1, 0, 0, 0), (30, 0, 0, 0)


def by_hand(a: int, b: int, c: int, d: int, confidence: float) -> tuple[float, float]:
    n = a + b + c + d
    new, old = (b + d) / n, (c + d) / n
    (new_low, new_high), (old_low, old_high) = (
        stats.binomtest(wrong, n).proportion_ci(2 * confidence - 1, "wilson") for wrong in (b + d, c + d)
    )
    association = a * d - b * c
    if association > 0:
        association = max(association - n / 2, 0)
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    phi = association / math.sqrt(margins) if margins else 0.0
    below, above = new - new_low, old_high - old
    lower = new - old - math.sqrt(below**2 - 2 * phi * below * above + above**2)
    below, above = old - old_low, new_high - new
    return lower, new - old + math.sqrt(below**2 - 2 * phi * below * above + above**2)


@pytest.mark.parametrize("counts", [AGREE, EASED, BARELY, DISAGREE, CROSSED, ONE_ROW, NEVER_WRONG])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_newcombes_bounds_are_square_and_add_of_wilsons_with_the_correlation_of_the_models(counts, confidence):
    found = newcombe10(*counts, confidence)
    assert (float(found.lower), float(found.upper)) == pytest.approx(by_hand(*counts, confidence), abs=1e-12)


def test_models_that_agree_are_told_apart_by_fewer_rows_than_models_that_do_not():
    alike, unlike = newcombe10(40, 3, 5, 30, 0.95), newcombe10(22, 21, 23, 12, 0.95)
    assert float(alike.upper - alike.lower) < 0.6 * float(unlike.upper - unlike.lower)
