"""What statsmodels says of the same numbers (``generators/statsmodels_paired.py`` wrote them, by hand)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gate.core.bounds import clopper_pearson
from gate.core.multiplicity import benjamini_hochberg, holm
from gate.core.paired import mcnemar_asymptotic, mcnemar_exact, mcnemar_midp, newcombe10

STORED = json.loads((Path(__file__).parent / "statsmodels_paired.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("row", STORED["mcnemar"], ids=lambda row: f"{row['negative']}-{row['positive']}")
def test_mcnemar_is_as_statsmodels_has_it(row):
    flips = row["negative"], row["positive"]
    assert float(mcnemar_exact(*flips)) == pytest.approx(row["exact"], rel=1e-9)
    assert float(mcnemar_asymptotic(*flips)) == pytest.approx(row["asymptotic"], rel=1e-9)
    assert float(mcnemar_midp(*flips)) == pytest.approx(row["midp"], rel=1e-9)


@pytest.mark.parametrize("row", STORED["clopper_pearson_90"], ids=lambda row: f"{row['hits']} of {row['n']}")
def test_two_one_sided_95_percent_bounds_are_statsmodels_90_percent_interval(row):
    found = clopper_pearson(row["hits"], row["n"], 0.95)
    # where nothing, or everything, was a hit the two-sided interval spends half its error on a side that has none
    assert [float(found.lower), float(found.upper)] == pytest.approx(row["interval"], abs=1e-9)


@pytest.mark.parametrize("row", STORED["newcombe_independent_90"], ids=lambda row: str(row["candidate"]))
def test_without_a_correlation_newcombes_method_10_is_his_interval_for_independent_models(row):
    (new, n), (old, _) = row["candidate"], row["incumbent"]
    both_wrong = new * old / n  # independent: the counts need not be whole
    found = newcombe10(n - new - old + both_wrong, new - both_wrong, old - both_wrong, both_wrong, 0.95)
    assert [float(found.lower), float(found.upper)] == pytest.approx(row["interval"], abs=1e-9)


def test_holm_and_benjamini_hochberg_reject_what_statsmodels_rejects():
    p_values = np.asarray(STORED["p_values"])
    assert holm(p_values, 0.05).tolist() == STORED["holm"]
    assert benjamini_hochberg(p_values, 0.05).tolist() == STORED["benjamini_hochberg"]
