"""Holm and Benjamini-Hochberg against their definitions and numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from gate.core.multiplicity import benjamini_hochberg, holm

# Benjamini and Hochberg (1995), section 3.2: fifteen tests of thrombolysis against tissue plasminogen activator.
PUBLISHED = np.array(
    [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
)  # fmt: skip
shares = st.lists(st.floats(0.0, 1.0), max_size=12).map(np.asarray)


def test_the_published_example_rejects_four_by_benjamini_hochberg_and_three_by_holm():
    assert benjamini_hochberg(PUBLISHED, 0.05).sum() == 4
    assert holm(PUBLISHED, 0.05).sum() == 3
    shuffled = np.random.default_rng(1).permutation(15)
    assert (
        benjamini_hochberg(PUBLISHED[shuffled], 0.05).tolist() == benjamini_hochberg(PUBLISHED, 0.05)[shuffled].tolist()
    )


@pytest.mark.parametrize(
    ("p_values", "rejected"),
    [
        ([], []),
        ([0.05], [True]),
        ([0.0501], [False]),
        ([0.025, 0.05], [True, True]),  # 0.05 / 2, then 0.05 / 1
        ([0.026, 0.03], [False, False]),  # the first that stays stops the rest
        ([0.03, 0.01, 0.04, 0.005], [False, True, False, True]),  # 0.0125, 0.0167, then 0.03 > 0.025
        ([np.nan, 0.04, np.nan], [False, True, False]),  # no test is no hypothesis
    ],
)
def test_holm_is_what_the_hand_works_out(p_values, rejected):
    assert holm(np.array(p_values, dtype=float), 0.05).tolist() == rejected


@settings(deadline=None)
@given(shares, st.sampled_from([0.01, 0.05, 0.2]))
def test_holm_rejects_at_least_what_bonferroni_does_and_at_most_what_benjamini_hochberg_does(p_values, alpha):
    found = holm(p_values, alpha)
    assert (found >= (p_values <= alpha / max(len(p_values), 1))).all()
    assert (found <= benjamini_hochberg(p_values, alpha)).all()


@settings(deadline=None)
@given(shares.filter(len), st.sampled_from([0.01, 0.05, 0.2]))
def test_benjamini_hochberg_is_that_of_scipy(p_values, share):
    adjusted = false_discovery_control(p_values)
    clear = np.abs(adjusted - share) > 1e-12
    assert ((adjusted <= share) == benjamini_hochberg(p_values, share))[clear].all()


def test_holm_keeps_its_level_where_every_hypothesis_is_true():
    random = np.random.default_rng(7)
    wrong = np.mean([holm(random.uniform(size=20), 0.05).any() for _ in range(2_000)])
    assert wrong < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2_000)
