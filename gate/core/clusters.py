"""Rows that belong together (several per user, document, premise): counted by cluster, not taken for independent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from gate.core.bounds import Floats
from gate.core.counts import COLUMN_OF, COLUMNS, FlipCounts, cells_and_bits, unite
from gate.core.exact import exact_sums
from gate.core.outcomes import Codes, Value


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


@dataclass(frozen=True)
class ClusteredCells:
    """The five counts of each cluster in each cell of one dimension.

    ``values`` are the cells' values and ``clusters`` the clusters', both distinct as typed values. Each entry of
    ``cell`` and ``cluster`` (positions in the two) is one pair that has rows, sorted, each once; ``columns`` has its
    counts, of shape (pairs, 5), and ``weights``, where rows have weights, their sums as Python integers
    (:mod:`gate.core.exact`). A cluster may straddle batches: merging adds its parts.
    """

    values: tuple[Value, ...]
    clusters: tuple[Value, ...]
    cell: NDArray[np.int64]
    cluster: NDArray[np.int64]
    columns: NDArray[np.int64]
    weights: NDArray[Any] | None = None

    @property
    def counts(self) -> FlipCounts:
        """The counts, or where there are weights the weights in units of their own, one element per pair."""
        return FlipCounts.from_columns(self.columns if self.weights is None else self.weights)


def count_clusters(
    cluster: Codes, column: Codes | None, bits: NDArray[np.uint16], weight: Floats | None
) -> ClusteredCells:
    """Count units by the cell of ``column`` (None: all in one), by cluster and by their three ``bits``.

    ValueError for a unit without a cluster (a code of -1).
    """
    if len(cluster.codes) and int(cluster.codes.min()) < 0:
        raise ValueError("a unit without a cluster")
    joint = cells_and_bits(column, bits) - 8
    here = joint >= 0
    joint, code = joint[here], cluster.codes.astype(np.int64, copy=False)[here]
    many = max(len(cluster.values), 1)
    pairs, at = np.unique(joint // 8 * many + code, return_inverse=True)
    slot = at * 8 + joint % 8
    columns = np.bincount(slot, minlength=len(pairs) * 8).reshape(-1, 8) @ COLUMN_OF
    weights = None
    if weight is not None:
        totals, _ = exact_sums(weight[here], slot, len(pairs) * 8)
        weights = totals.reshape(-1, 8) @ COLUMN_OF.astype(object)
    values = (None,) if column is None else tuple(column.values)
    return ClusteredCells(values, tuple(cluster.values), pairs // many, pairs % many, columns, weights)


def merge_clusters(parts: Sequence[ClusteredCells]) -> ClusteredCells:
    """Add the counts of clusters, by their values; at least one part."""
    values, cell_at = unite([part.values for part in parts])
    clusters, cluster_at = unite([part.clusters for part in parts])
    cell = np.concatenate([at[part.cell] for at, part in zip(cell_at, parts, strict=True)])
    cluster = np.concatenate([at[part.cluster] for at, part in zip(cluster_at, parts, strict=True)])
    many = max(len(clusters), 1)
    pairs, at = np.unique(cell * many + cluster, return_inverse=True)

    def added(tables: list[NDArray[Any]]) -> NDArray[Any]:
        total = np.zeros((len(pairs), len(COLUMNS)), dtype=tables[0].dtype)
        np.add.at(total, at, np.concatenate(tables))
        return total

    columns = added([part.columns for part in parts])
    weighted = [part.weights for part in parts if part.weights is not None]
    weights = added(weighted) if len(weighted) == len(parts) else None
    return ClusteredCells(values, clusters, pairs // many, pairs % many, columns, weights)


class Spread(NamedTuple):
    """What a rate's clusters say of its precision, one element per cell.

    ``clusters`` counts those with rows that the rate divides by, ``alike`` is how many clusters of one size are worth
    as much, (sum n_k)^2 / sum n_k^2, and ``variance`` is the variance of the rate between clusters, NaN where there are
    fewer than two or nothing to divide by.
    """

    clusters: Floats
    alike: Floats
    variance: Floats


def spread(hits: NDArray[Any], n: NDArray[Any], cell: NDArray[np.int64], cells: int) -> Spread:
    """The variance of hits over n that counts each cluster as one: K/(K - 1) sum (b_k - n_k p)^2 / (sum n_k)^2.

    ``hits`` (b_k, negative ones allowed) and ``n`` (n_k) are whole numbers with one element per cluster and cell,
    ``cell`` the cell of each, from 0 to ``cells`` - 1. Exact until the last division, so that no order of clusters
    changes a bit.

    Source: the ratio estimator of cluster samples (Rao and Scott, Biometrics 48 (1992); Cochran, Sampling Techniques).

    >>> found = spread(np.array([3, 0, 0]), np.array([10, 10, 10]), np.array([0, 0, 0]), 1)
    >>> found.clusters.tolist(), found.alike.tolist(), found.variance.round(4).tolist()
    ([3.0], [3.0], [0.01])
    """
    here = np.asarray(n > 0, dtype=np.bool_)
    x, m, where = (np.asarray(part)[here] for part in (hits, n, cell))
    x, m = x.astype(object), m.astype(object)  # Python integers: squares of weights have no other home

    def summed(products: NDArray[Any]) -> list[int]:
        total = np.zeros(cells, dtype=object)
        np.add.at(total, where, products)
        return list(total)

    clusters = np.bincount(where, minlength=cells).astype(np.float64)
    alike, variance = np.zeros(cells), np.full(cells, np.nan)
    sums = zip(*map(summed, (x, m, x * x, x * m, m * m)), strict=True)
    for i, (hit, rows, xx, xm, mm) in enumerate(sums):
        if rows:
            alike[i] = rows * rows / mm
        if clusters[i] > 1:
            k = int(clusters[i])
            residual = rows * rows * xx - 2 * hit * rows * xm + hit * hit * mm
            variance[i] = k * residual / ((k - 1) * rows**4)
    return Spread(clusters, alike, variance)
