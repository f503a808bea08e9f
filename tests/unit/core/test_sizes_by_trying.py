"""Every answer to "how many rows?" is the one that trying each number of rows finds, by scipy's binomial tails."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special

from gate.core.counts import EffectiveCounts, FlipCounts
from gate.core.rates import rate
from gate.core.sample_size import most_flips_allowed, rows_for_power, rows_needed, rows_to_certify

SIZES = np.arange(1, 800)


@functools.cache
def most(limit: float, confidence: float = 0.95) -> NDArray[np.int64]:
    """For each of the sizes the most flips whose tail at the limit is at most the error."""
    flips = np.arange(SIZES[-1])[:, np.newaxis]
    return (special.bdtr(flips, SIZES, limit) <= 1 - confidence).sum(axis=0) - 1


@pytest.mark.parametrize("limit", [0.03, 0.2, 0.7, 0.97])
@pytest.mark.parametrize("confidence", [0.6, 0.9, 0.95])
def test_the_flips_that_are_allowed_are_those_that_trying_each_number_allows(limit, confidence):
    assert most_flips_allowed(SIZES.astype(float), limit, confidence).tolist() == most(limit, confidence).tolist()


@pytest.mark.parametrize("limit", [0.03, 0.2, 0.7, 0.97])
def test_the_rows_that_certify_are_the_first_that_allow_so_many_flips(limit):
    allowed = most(limit)
    for flips in range(6):
        first = int(SIZES[allowed >= flips][0])
        found = rows_to_certify(limit, flips)
        assert (found, type(found)) == (first, int)


@pytest.mark.parametrize(
    ("limit", "true"), [(0.1, 0.02), (0.1, 0.05), (0.3, 0.1), (0.5, 0.0), (0.5, 0.3), (0.9, 0.5), (0.05, 0.0004)]
)
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_the_two_sizes_for_a_power_are_those_that_trying_each_size_finds(limit, true, power):
    allowed = most(limit)
    reached = (allowed >= 0) & (special.bdtr(allowed, SIZES, true) >= power)
    assert reached[-100:].all()
    assert rows_for_power(limit, true, power) == (int(SIZES[reached][0]), int(SIZES[~reached][-1]) + 1)


def cells(*rows: tuple[int, ...]) -> FlipCounts:
    return FlipCounts.from_columns(np.array(rows, dtype=np.int64).reshape(-1, 5))


def needed(name: str, counts: FlipCounts, limit: float, at_most: bool = True) -> list[float]:
    return rows_needed(rate(name), counts, np.full(np.shape(counts.n), limit), at_most, 0.95).tolist()


def test_cells_with_rows_are_planned_by_their_own_rows_beside_cells_without_any():
    both = needed("nfr", cells((100, 0, 0, 0, 0), (0, 0, 0, 0, 0), (2000, 4, 0, 0, 0)), 0.01)
    assert both == [199, 299, 1]
    assert both[2] == needed("nfr", cells((2000, 4, 0, 0, 0)), 0.01)[0]


def test_a_cell_of_one_row_is_planned_by_that_row():
    assert needed("nfr", cells((0, 1, 0, 0, 0)), 0.2) == [1]  # two flips of two rows are past a fifth: 0.04 <= 0.05
    assert needed("nfr", cells((1, 0, 0, 0, 0)), 0.01) == [298]


def test_an_empty_cell_is_settled_by_one_row_where_one_row_is_enough():
    assert rows_to_certify(0.96) == 1
    assert needed("nfr", cells((0, 0, 0, 0, 0)), 0.96) == [1]


def test_at_least_is_planned_as_at_most_of_the_opposite():
    seen = cells((97, 3, 0, 0, 0), (980, 20, 0, 0, 0), (50, 0, 0, 0, 0))
    assert needed("btc", seen, 0.96, at_most=False) == needed("nfr", seen, 0.04)


def test_counts_worth_fewer_rows_keep_both_of_their_shares_when_some_cells_are_taken_or_scaled():
    columns = np.array([[9, 2, 0, 1, 0], [5, 3, 0, 0, 4]])
    under = EffectiveCounts.of(FlipCounts.from_columns(columns * 2), np.array([1.5, 2.5]))
    counts = EffectiveCounts.of(FlipCounts.from_columns(columns), np.array([1.0, 3.0]), under)
    second = counts.take(np.array([1]))
    assert (second.both_right, second.one) == ([5], [3.0])
    assert second.divisor is not None
    assert (second.divisor.both_right, second.divisor.negative, second.divisor.one) == ([10], [6], [2.5])
    twice = counts.times(2.0)
    assert (twice.negative.tolist(), twice.one.tolist()) == ([4.0, 6.0], [1.0, 3.0])
    assert twice.divisor is not None
    assert (twice.divisor.both_right.tolist(), twice.divisor.one.tolist()) == ([36.0, 20.0], [1.5, 2.5])
    assert under.take(np.array([0])).divisor is None and under.times(3.0).divisor is None
