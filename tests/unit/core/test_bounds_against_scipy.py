"""The exact bounds and McNemar's p-values are those of scipy.stats, which the gate itself does not import."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gate.core.bounds import Bounds, binomial_tail, bisect, clopper_pearson, normal_quantile, ratio_of_proportions
from gate.core.paired import mcnemar_exact, mcnemar_midp

GRID = [(k, n) for n in (1, 2, 5, 29, 300, 1_351, 50_000) for k in sorted({0, 1, n // 7, n // 2, n - 1, n}) if k <= n]


@pytest.mark.parametrize(("hits", "n"), GRID)
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_clopper_pearson_is_the_interval_of_scipys_binomtest(hits, n, confidence):
    found = clopper_pearson(hits, n, confidence)
    lower = stats.binomtest(hits, n, alternative="greater").proportion_ci(confidence, "exact").low
    upper = stats.binomtest(hits, n, alternative="less").proportion_ci(confidence, "exact").high
    assert float(found.lower) == pytest.approx(lower, abs=5e-12)  # scipy stops searching there
    assert float(found.upper) == pytest.approx(upper, abs=5e-12)
    if 0 < hits < n:
        assert float(found.lower) == pytest.approx(stats.beta.ppf(1 - confidence, hits, n - hits + 1), rel=1e-9)
        assert float(found.upper) == pytest.approx(stats.beta.isf(1 - confidence, hits + 1, n - hits), rel=1e-9)


@pytest.mark.parametrize(("hits", "n"), GRID)
@pytest.mark.parametrize("rate", [0.0, 0.001, 0.03, 0.5, 1.0])
def test_binomial_tails_are_the_p_values_of_scipys_binomtest(hits, n, rate):
    at_most, at_least = binomial_tail(hits, n, rate)
    assert float(at_most) == pytest.approx(stats.binomtest(hits, n, rate, "less").pvalue, rel=1e-9, abs=1e-300)
    assert float(at_least) == pytest.approx(stats.binomtest(hits, n, rate, "greater").pvalue, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (0, 1), (1, 7), (8, 8), (2_013, 5_703), (97, 120)])
def test_mcnemars_exact_and_mid_p_are_those_of_the_binomial_distribution(b, c):
    exact = stats.binomtest(min(b, c), b + c).pvalue if b + c else 1.0
    assert float(mcnemar_exact(b, c)) == pytest.approx(exact, rel=1e-9)
    midp = exact - stats.binom.pmf(min(b, c), b + c, 0.5) if b != c else 1.0
    assert float(mcnemar_midp(b, c)) == pytest.approx(midp, rel=1e-6, abs=1e-15)


def test_without_rows_nothing_is_known():
    assert tuple(map(float, clopper_pearson(0, 0, 0.95))) == (0.0, 1.0)
    assert tuple(map(float, ratio_of_proportions(0, 0, 0, 0, 0.95))) == (0.0, np.inf)
    assert tuple(map(float, binomial_tail(0, 0, 0.3))) == (1.0, 1.0)


def test_bounds_keep_the_shape_they_are_asked_in():
    found = clopper_pearson(np.arange(6).reshape(2, 3), 10, 0.95)
    assert isinstance(found, Bounds)
    assert found.lower.shape == found.upper.shape == (2, 3)


def test_the_quantile_is_scipys():
    assert normal_quantile(0.95) == pytest.approx(stats.norm.ppf(0.95))


def test_bisecting_finds_each_elements_own_turning_point():
    turns = np.array([0.1, 0.5, 0.9])
    low, high = bisect(lambda x: x < turns, np.zeros(3), np.ones(3))
    assert np.allclose(low, turns)
    assert np.all(low <= high)
