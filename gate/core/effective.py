"""What clustered and weighted rows are worth: how many independent rows of equal weight would say as much of a rate.

Weighted rows are worth n = (sum w)^2 / sum w^2 of them (Kish). Rows in clusters are worth n / deff, where the design
effect deff is the variance of the rate between clusters over the variance that independent rows would have, and at
least 1. Where few flips were seen, that variance is hardly known: the clusters that flipped are few. So one cluster
more is always added, of the size w that a row's cluster has on average (sum n_k^2 / n), all of which flips:

    deff = max(1, deff, (deff * b + w^2) / (b + w))

with b the flips, or the rows that are not if those are fewer. And where an exact bound allows for one hit that might as
well have been seen, it allows for that cluster. With no flip at all, and clusters of one size, that is the exact bound
on the number of clusters; with many flips it is the plain design effect; where every cluster is one row it is the
exact bound on the rows, but for one row. The change of error rate goes by the variance of the difference in each
cluster, and by that of its negative and of its positive flips where they vary more. The measured levels are in the
docs, "Simulation".

Sources: Kish, Survey Sampling (1965); Rao and Scott, Biometrics 48 (1992); the cluster that is added: Fay and Feuer,
Statistics in Medicine 16 (1997), for sums of weighted counts, of which this is the binomial form.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gate.core.bounds import Floats
from gate.core.clusters import ClusteredCells, spread
from gate.core.counts import COLUMNS, EffectiveCounts, FlipCounts
from gate.core.exact import UNIT
from gate.core.outcomes import Value
from gate.core.rates import Share
from gate.core.weights import WeightedCells

FEWEST_CLUSTERS = 10
"""With fewer clusters nothing is known: the bounds are the ends of the range (docs, "Simulation")."""


class Worth(NamedTuple):
    """What the rows are worth to one share, one element per cell.

    ``n`` is the number of independent rows of equal weight; ``one`` what one more hit counts; ``clusters`` how many
    there are, NaN where rows are not clustered.
    """

    n: Floats
    one: Floats
    clusters: Floats


class Design:
    """How the rows of one dimension were drawn: in clusters, with weights, or both.

    ``values`` are the dimension's cells, in their order; the cells of ``clusters`` and ``weights`` are found by value.
    """

    def __init__(
        self,
        values: tuple[Value, ...],
        counts: FlipCounts,
        clusters: ClusteredCells | None,
        weights: WeightedCells | None,
    ) -> None:
        self.counts = counts
        self.weights = None if weights is None else FlipCounts.from_columns(_picked(weights, weights.sums, values))
        self._squares = None if weights is None else FlipCounts.from_columns(_picked(weights, weights.squares, values))
        self._clusters: FlipCounts | None = None
        if clusters is not None:
            at = _positions(values, clusters.values)[clusters.cell]
            self._clusters, self._cell = clusters.counts.take(at >= 0), at[at >= 0]

    @property
    def clustered(self) -> bool:
        return self._clusters is not None

    @property
    def weighed(self) -> FlipCounts:
        """The counts as floats, each row counting its weight where rows have any."""
        if self.weights is None:
            return self.counts.times(1.0)
        return FlipCounts(*(np.asarray(column).astype(np.float64) * UNIT for column in self.weights.columns))

    def worth(self, share: Share) -> Worth:
        """What the rows are worth to ``share``, and at most what they are to each share that it is made of."""
        found = self._worth(share)
        if self.clustered:
            for side in share.also:
                other = self._worth(side)
                less = other.n < found.n
                found = Worth(np.where(less, other.n, found.n), np.where(less, other.one, found.one), found.clusters)
        return found

    def _worth(self, share: Share) -> Worth:
        counts = self.counts if self.weights is None else self.weights
        hits, rows, squares = (np.asarray(part(counts)) for part in (share.numerator, share.n, share.squares))
        n = np.asarray(share.n(self.counts), dtype=np.float64)
        if self._squares is not None:
            n = _quotient(rows * rows, np.asarray(share.n(self._squares)))
        if self._clusters is None:
            return Worth(n, np.ones(n.shape), np.full(n.shape, np.nan))
        found = spread(
            np.asarray(share.numerator(self._clusters)), np.asarray(share.n(self._clusters)), self._cell, len(n)
        )
        # of n independent rows the rate would have the variance (mean of squares - square of the mean) / n
        squared, mean = _quotient(squares, rows), _quotient(hits, rows)
        single = squared - mean * mean
        with np.errstate(invalid="ignore", divide="ignore"):
            deff = np.where(single > 0, found.variance * n / single, 1.0)
            deff = np.where(np.isnan(deff), 1.0, np.maximum(deff, 1.0))
            size = np.where(n > 0, np.maximum(n / found.alike, 1.0), 1.0)
            few = n * np.minimum(squared, np.where(squares == hits, 1.0 - mean, 1.0))
            deff = np.maximum(deff, (deff * few + size * size) / (few + size))
        return Worth(n / deff, size / deff, found.clusters)

    def effective(self, share: Share, worth: Worth, fewest: int = FEWEST_CLUSTERS) -> EffectiveCounts:
        """The counts scaled to what they are worth to ``share``; nothing at all where there are too few clusters."""
        weighed = self.weighed
        rows = np.asarray(share.n(weighed), dtype=np.float64)
        factor = np.divide(worth.n, rows, out=np.zeros(rows.shape), where=rows > 0)
        factor = np.where(worth.clusters < fewest, 0.0, factor)
        return EffectiveCounts.of(weighed.times(factor), worth.one)


def _quotient(top: NDArray[np.generic], bottom: NDArray[np.generic]) -> Floats:
    """Of whole numbers, as near as doubles get; 0 where the divisor is 0."""
    pairs = zip(top.tolist(), bottom.tolist(), strict=True)
    return np.asarray([over / under if under else 0.0 for over, under in pairs], dtype=np.float64)


def _positions(values: tuple[Value, ...], of: tuple[Value, ...]) -> NDArray[np.int64]:
    """Where each value of ``of`` stands in ``values``; -1 for those that are not there."""
    at = {(type(value), value): position for position, value in enumerate(values)}
    return np.asarray([at.get((type(value), value), -1) for value in of], dtype=np.int64)


def _picked(weights: WeightedCells, table: NDArray[np.object_], values: tuple[Value, ...]) -> NDArray[np.object_]:
    """The rows of ``table`` in the order of ``values``; zeros for values that have none."""
    found = np.zeros((len(values), len(COLUMNS)), dtype=object)
    at = _positions(values, weights.values)
    found[at[at >= 0]] = table[at >= 0]
    return found
