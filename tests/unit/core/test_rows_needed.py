"""So many rows more settle a question, and one less does not: for every rate, whoever counts them."""

from __future__ import annotations

import numpy as np
import pytest

from gate.core.counts import EffectiveCounts, FlipCounts
from gate.core.rates import RATES, Rate
from gate.core.sample_size import most_flips_allowed, rows_needed

RNG = np.random.default_rng(7)
ROWS = RNG.integers(1, 400, 60)
COUNTS = FlipCounts.from_columns(np.array([RNG.multinomial(n, RNG.dirichlet([8, 1, 1, 2, 1])) for n in ROWS]))


def settled(kind: Rate, counts: FlipCounts, limit: float, at_most: bool, confidence: float) -> np.ndarray:
    kept, broken = kind.proven(counts, np.full(np.shape(counts.n), limit), at_most, confidence)
    return np.asarray(kept | broken)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.9999])
@pytest.mark.parametrize(("limit", "at_most"), [(0.1, True), (0.8, False)])
@pytest.mark.parametrize("kind", RATES.values(), ids=lambda kind: f"{kind.name}-{kind.of}")
def test_it_is_the_first_number_of_rows_that_settles_it(kind, limit, at_most, confidence):
    rows = np.asarray(COUNTS.n, dtype=float)
    open_ = ~settled(kind, COUNTS, limit, at_most, confidence)
    if not open_.any():
        return
    some, n = COUNTS.take(open_), rows[open_]
    needed = rows_needed(kind, some, np.full(n.shape, limit), at_most, confidence)
    known = np.isfinite(needed) & (needed < 1e7)  # beyond, the last rows are lost in rounding
    for more, expected in ((needed, True), (needed - 1, False)):
        total = np.where(known, n + more, n)
        found = settled(kind, some.times(total / n), limit, at_most, confidence)
        assert (found[known & (total > n)] == expected).all()


def test_counts_that_are_worth_less_need_more_rows():
    nfr = RATES["nfr", None]
    plain = FlipCounts(np.array([290.0]), np.array([2.0]), *(np.zeros(1),) * 3)
    worth = EffectiveCounts.of(plain.times(0.5), np.array([2.0]))
    at, rows = np.array([0.02]), np.array([292.0])
    assert rows_needed(nfr, worth, at, True, 0.95, rows)[0] > rows_needed(nfr, plain, at, True, 0.95)[0]


def test_a_limit_and_a_number_of_rows_per_cell_are_taken_as_they_come():
    n = np.array([10.0, 298.0, 299.0, 5000.0])
    allowed = most_flips_allowed(n, np.array([0.01, 0.01, 0.01, 0.5]), 0.95)
    assert allowed.tolist() == [-1, -1, 0, allowed[3]] and 2400 < allowed[3] < 2500
    assert most_flips_allowed(np.zeros(2), 0.01, 0.95).tolist() == [-1, -1]
