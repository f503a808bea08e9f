"""Published numbers of the paired comparison: McNemar, Tango, Newcombe, Durkalski (docs: definitions, check numbers)."""

from __future__ import annotations

import numpy as np
import pytest

from gate.core.bounds import normal_quantile
from gate.core.clusters import durkalski
from gate.core.paired import mcnemar_asymptotic, mcnemar_exact, mcnemar_midp, newcombe10, tango, tango_score

# 29 psychiatrists: how many of their patients took part, and on how many the two answers differed, either way round.
# Donner and Petryshen, Psychiatry Research 28 (1989); reprinted by Eliasziw and Donner (1991) and Durkalski (2003);
# as in the R package clust.bin.pair 0.1.2, data set "psychiatry", columns Nh, bh and ch.
PATIENTS = [7, 6, 7, 6, 4, 6, 5, 8, 4, 7, 3, 6, 7, 6, 5, 4, 6, 5, 4, 3, 5, 4, 4, 2, 3, 2, 2, 3, 1]
PATIENT_ONLY = [0, 1, 1, 1, 0, 3, 3, 3, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0]
PSYCHIATRIST_ONLY = [4, 2, 3, 2, 1, 3, 0, 2, 2, 4, 2, 4, 3, 2, 1, 3, 1, 2, 0, 0, 0, 2, 1, 2, 2, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("test", "p_value"), [(mcnemar_exact, 0.0703), (mcnemar_midp, 0.0391), (mcnemar_asymptotic, 0.0339)]
)
def test_mcnemar_of_1_against_7_is_as_fagerland_prints_it(test, p_value):
    assert round(float(test(1, 7)), 4) == p_value
    assert round(float(test(7, 1)), 4) == p_value


def test_tango_of_1_1_7_12_is_as_published():
    found = tango(1, 7, 21, 0.975)
    assert (round(float(found.lower), 4), round(float(found.upper), 4)) == (-0.5172, -0.0260)


def test_tango_of_53_16_8_9_is_as_published():
    found = tango(16, 8, 86, 0.975)
    assert (round(float(found.lower), 4), round(float(found.upper), 4)) == (-0.0197, 0.2069)


@pytest.mark.parametrize(("b", "c", "n"), [(1, 7, 21), (16, 8, 86), (0, 0, 50), (3, 0, 40), (0, 9, 30)])
def test_tangos_bounds_solve_the_score_equation(b, c, n):
    z, found = normal_quantile(0.95), tango(b, c, n, 0.95)
    assert float(tango_score(b, c, n, found.lower)) == pytest.approx(z, abs=1e-6)
    assert float(tango_score(b, c, n, found.upper)) == pytest.approx(-z, abs=1e-6)


def test_newcombes_method_10_of_1_1_7_12_is_as_published():
    found = newcombe10(1, 1, 7, 12, 0.975)
    assert (round(float(found.lower), 4), round(float(found.upper), 4)) == (-0.5069, -0.0256)


def test_tango_without_a_flip_passes_a_margin_of_a_fifth_of_a_percent_from_1351_rows_on():
    assert float(tango(0, 0, 1350, 0.95).upper) > 0.002 >= float(tango(0, 0, 1351, 0.95).upper)


def test_tangos_wrong_allows_at_1351_rows_and_that_margin_are_6_7_percent_where_5_are_promised():
    # Enumerated over the flips that an update of exactly the margin gives if all its flips are negative.
    n, margin = 1351, 0.002
    flips = np.arange(0, 60)
    log_choose = np.cumsum(np.r_[0.0, np.log((n - flips[:-1]) / (flips[:-1] + 1))])
    probability = np.exp(log_choose + flips * np.log(margin) + (n - flips) * np.log1p(-margin))
    allowed = np.asarray(tango(flips, 0, n, 0.95).upper) <= margin
    assert probability.sum() == pytest.approx(1.0)
    assert round(float(probability[allowed].sum()), 3) == 0.067


def test_durkalski_of_the_psychiatry_data_is_as_published():
    found = durkalski(PATIENT_ONLY, PSYCHIATRIST_ONLY, PATIENTS)
    assert round(found.chi_square, 3) == 7.542
    assert found.p_value == pytest.approx(0.00603, abs=1e-5)


def test_mcnemar_of_the_psychiatry_data_which_forgets_the_clusters_is_as_published():
    b, c = sum(PATIENT_ONLY), sum(PSYCHIATRIST_ONLY)
    assert (len(PATIENTS), sum(PATIENTS), b, c) == (29, 135, 21, 50)
    assert round((b - c) ** 2 / (b + c), 2) == 11.85
    rows = np.repeat([1, 0], [b, c])
    assert round(durkalski(rows, 1 - rows, np.ones(b + c)).chi_square, 2) == 11.85
    assert float(mcnemar_asymptotic(b, c)) == pytest.approx(durkalski(rows, 1 - rows, np.ones(b + c)).p_value)
