"""A flip counts as a near tie by the smaller margin of the two models."""

from __future__ import annotations

import numpy as np
import pytest

from gate.core.flips import count
from gate.core.near_ties import EDGES, count_near_ties
from gate.core.outcomes import Margins, Outcomes

NEGATIVE, POSITIVE = np.array([False]), np.array([True])
FIRST = np.array([0])


def near(incumbent: float, candidate: float, candidate_right: np.ndarray = NEGATIVE) -> list[list[int]]:
    return count_near_ties(Margins(np.array([incumbent]), np.array([candidate])), candidate_right, FIRST).tolist()


def test_the_smaller_margin_decides_whichever_model_has_it():
    assert near(0.5, 5e-7) == near(5e-7, 0.5) == [[1, 1, 1], [0, 0, 0]]
    assert near(5e-7, 0.5, POSITIVE) == [[0, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize("place", range(len(EDGES)))
def test_a_margin_at_an_edge_is_not_below_it(place):
    negative, _ = near(1.0, EDGES[place])
    assert negative == [int(other > place) for other in range(len(EDGES))]
    negative, _ = near(1.0, np.nextafter(EDGES[place], 0))
    assert negative == [int(other >= place) for other in range(len(EDGES))]


def test_a_margin_that_is_not_known_leaves_it_to_the_other_model():
    assert near(np.nan, 0.0) == [[1, 1, 1], [0, 0, 0]]
    assert near(np.nan, np.nan) == [[0, 0, 0], [0, 0, 0]]


def test_only_flips_are_counted_and_without_margins_there_is_nothing_to_count():
    right, wrong = np.array([True, True, False]), np.array([True, False, False])
    outcomes = Outcomes(np.arange(3), right, wrong, right == wrong, margins=Margins(np.zeros(3), np.zeros(3)))
    found = count(outcomes).near_ties
    assert found is not None
    assert found.tolist() == [[1, 1, 1], [0, 0, 0]]
    assert count(Outcomes(np.arange(3), right, wrong, right == wrong)).near_ties is None
