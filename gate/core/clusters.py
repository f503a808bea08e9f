"""Rows that belong together (several per user, document, premise): tests that do not take them for independent."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special


class ClusteredTest(NamedTuple):
    """A chi-square of one degree of freedom and its p-value."""

    chi_square: float
    p_value: float


def durkalski(negative: ArrayLike, positive: ArrayLike, n: ArrayLike) -> ClusteredTest:
    """Durkalski's test of "the error rate did not change", for rows that come in clusters.

    ``negative``, ``positive`` and ``n`` have one element per cluster: its negative flips, its positive flips and its
    rows, concordant ones included. The statistic is (sum d)^2 / sum d^2 with d = (negative - positive) / n of each
    cluster, against chi-square with one degree of freedom, two-sided. Every cluster weighs the same, whatever its size;
    clusters without rows count for nothing. No cluster with a net flip gives 0 and a p-value of 1. Where every cluster
    is a single row this is McNemar's chi-square without correction. A cluster that straddles shards is summed first.

    ValueError if the three differ in length, a count is negative, or a cluster has more flips than rows.

    Source: Durkalski, Palesch, Lipsitz and Rust, Statistics in Medicine 22 (2003), 2417-2428.

    >>> found = durkalski([2, 0, 1], [0, 1, 0], [10, 5, 2])
    >>> round(found.chi_square, 3), round(found.p_value, 3)
    (0.758, 0.384)
    >>> durkalski([], [], [])
    ClusteredTest(chi_square=0.0, p_value=1.0)
    """
    b, c, rows = (np.asarray(counts, dtype=np.float64) for counts in (negative, positive, n))
    if not b.shape == c.shape == rows.shape or b.ndim != 1:
        raise ValueError(f"one count per cluster each: found shapes {b.shape}, {c.shape} and {rows.shape}")
    if ((b < 0) | (c < 0) | (b + c > rows)).any():
        raise ValueError("a cluster's flips must be at least 0 and together at most its rows")
    change = (b - c) / np.where(rows > 0, rows, 1.0)
    spread = float(change @ change)
    chi_square = float(change.sum()) ** 2 / spread if spread > 0 else 0.0
    return ClusteredTest(chi_square, float(special.chdtrc(1, chi_square)))
