"""Published and enumerated numbers of one rate: exact bounds, sizes of held-out sets, relative NFR."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gate.core.bounds import binomial_tail, clopper_pearson, normal_quantile, ratio_of_proportions
from gate.core.flips import FlipCounts
from gate.core.rates import rate
from gate.core.sample_size import rows_for_power, rows_to_certify

FLIPS = (0, 1, 2, 5, 10)
SIZES = {
    0.05: (59, 93, 124, 208, 336),
    0.02: (149, 236, 313, 523, 845),
    0.01: (299, 473, 628, 1_049, 1_693),
    0.005: (598, 947, 1_258, 2_100, 3_389),
    0.001: (2_995, 4_742, 6_294, 10_511, 16_959),
}

# Yan et al., "Positive-congruent training", CVPR 2021: ER incumbent, ER candidate, NFR, relative NFR, all in %.
YAN = {
    "R18 to R18, new seed": (30.24, 30.29, 6.44, 30.48),
    "R18 to R18, focal distillation, logits": (30.24, 30.47, 2.35, 11.06),
    "R18 to R18, ensembles of 16": (26.07, 25.98, 1.70, 8.85),
    "R18 to R50": (30.24, 25.85, 4.89, 27.12),
    "R18 to R50, naive": (30.24, 24.41, 3.78, 22.20),
    "R18 to R50, focal distillation, KL": (30.24, 26.32, 2.90, 15.79),
    "R18 to R50, focal distillation, logits": (30.24, 26.53, 2.92, 15.78),
    "R18 to DenseNet-161": (30.24, 22.86, 4.03, 25.24),
    "R18 to DenseNet-161, focal distillation, KL": (30.24, 23.52, 2.50, 15.24),
    "R18 to DenseNet-161, focal distillation, logits": (30.24, 23.83, 2.56, 15.40),
}


def test_no_flip_in_300_rows_bounds_the_rate_at_0_994_percent():
    assert round(float(clopper_pearson(0, 300, 0.95).upper), 5) == 0.00994


def test_wilson_would_be_too_optimistic_there():
    # Wilson's upper bound of 0 of n is z^2 / (n + z^2): the reason for the exact one.
    z = normal_quantile(0.95)
    assert round(z * z / (300 + z * z), 5) == 0.00894 < 0.00994


def test_the_rule_of_three_is_near_and_above():
    assert float(clopper_pearson(0, 300, 0.95).upper) < 3 / 300 < 1.01 * float(clopper_pearson(0, 300, 0.95).upper)


def test_no_flip_in_50_rows_bounds_the_rate_at_5_8_percent_so_no_such_class_proves_3():
    assert round(float(clopper_pearson(0, 50, 0.95).upper), 3) == 0.058


@pytest.mark.parametrize(
    ("limit", "flips", "rows"), [(at, k, n) for at, row in SIZES.items() for k, n in zip(FLIPS, row, strict=True)]
)
def test_the_table_of_sizes_holds_in_every_entry(limit, flips, rows):
    assert rows_to_certify(limit, flips) == rows
    assert (
        float(clopper_pearson(flips, rows, 0.95).upper) <= limit < float(clopper_pearson(flips, rows - 1, 0.95).upper)
    )


@pytest.mark.parametrize(
    ("limit", "true_rate", "first", "always"),
    [(0.01, 0.005, 1_941, 2_185), (0.01, 0.002, 628, 773), (0.05, 0.04, 2_698, 2_869)],
)
def test_the_sizes_for_a_power_of_80_percent_hold(limit, true_rate, first, always):
    assert rows_for_power(limit, true_rate) == (first, always)


@pytest.mark.parametrize("n", [1_941, 2_185])
def test_the_power_crosses_80_percent_at_those_sizes_by_the_binomial_distribution(n):
    def power(rows: int) -> float:
        flips = np.arange(rows + 1)
        most = int(flips[np.asarray(clopper_pearson(flips, rows, 0.95).upper) <= 0.01].max())
        return float(binomial_tail(most, rows, 0.005)[0])

    assert power(n - 1) < 0.8 <= power(n)


@pytest.mark.parametrize("name", YAN)
def test_the_published_relative_nfr_follows_from_the_published_rates_within_their_rounding(name):
    er_old, er_new, nfr, relative = (number / 100 for number in YAN[name])
    half = 0.00005  # two digits of a percent were printed

    def relative_nfr(b: float, old: float, new: float) -> float:
        return b / ((1 - old) * new)

    low = relative_nfr(nfr - half, er_old - half, er_new + half)
    high = relative_nfr(nfr + half, er_old + half, er_new - half)
    assert low - half <= relative <= high + half


@pytest.mark.parametrize("name", YAN)
def test_the_gate_computes_the_published_relative_nfr_from_counts_of_those_rates(name):
    er_old, er_new, nfr, relative = YAN[name]
    n = 1_000_000  # the printed digits as counts, exactly
    negative = round(nfr * n / 100)
    both_wrong = round(er_new * n / 100) - negative
    positive = round(er_old * n / 100) - both_wrong
    counts = FlipCounts(n - negative - positive - both_wrong, negative, positive, both_wrong, 0)
    assert float(rate("error_rate").value(counts)) == pytest.approx(er_new / 100)
    assert float(rate("error_rate", "incumbent").value(counts)) == pytest.approx(er_old / 100)
    assert float(rate("relative_nfr").value(counts)) * 100 == pytest.approx(relative, abs=0.06)


@pytest.mark.parametrize("name", YAN)
def test_the_published_rows_keep_the_bounds_between_the_rates(name):
    er_old, er_new, nfr, _ = YAN[name]
    assert max(0.0, er_new - er_old) <= nfr <= min(er_new, 100 - er_old)


def test_relative_nfr_may_exceed_one():
    assert float(rate("relative_nfr").value(FlipCounts(1, 9, 9, 1, 0))) > 1


def test_the_bound_of_relative_nfr_is_that_of_two_exact_bounds_at_half_the_error():
    counts = FlipCounts(32_866, 2_013, 5_703, 9_418, 0)
    upper = clopper_pearson(2_013, 11_431, 0.975).upper / clopper_pearson(34_879, 50_000, 0.975).lower
    assert float(rate("relative_nfr").bounds(counts, 0.95).upper) == pytest.approx(float(upper))


def test_the_bound_of_relative_nfr_allows_wrongly_at_most_1_percent_of_the_time():
    # Two independent models on 100 rows, 5 % errors each: relative NFR 1. Every multinomial table of (b, d) is summed.
    n, right, wrong = 100, 0.95, 0.05
    allowed = 0.0
    for b in range(30):
        for d in range(12):
            rest = np.arange(0, n - b - d + 1)  # both right; the remainder are positive flips
            log_p = (
                math.lgamma(n + 1) - math.lgamma(b + 1) - math.lgamma(d + 1)
                - np.array([math.lgamma(a + 1) + math.lgamma(n - b - d - a + 1) for a in rest])
                + b * math.log(right * wrong) + d * math.log(wrong * wrong)
                + rest * math.log(right * right) + (n - b - d - rest) * math.log(wrong * right)
            )  # fmt: skip
            upper = ratio_of_proportions(b, b + d, rest + b, n, 0.95).upper
            allowed += float(np.exp(log_p)[np.asarray(upper) < 1.0].sum())
    assert allowed <= 0.01
