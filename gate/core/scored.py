"""Answers that can be better or worse: how many lost and gained against the incumbent, and how much.

What is said of the mean loss and the mean gain by them stands in :mod:`gate.core.means`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate.core.bounds import Floats
from gate.core.counts import unite
from gate.core.exact import UNIT, exact_sums
from gate.core.outcomes import Codes, Scores, Value


@dataclass(frozen=True)
class ScoredCells:
    """Losses and gains in each cell of one dimension; D is the candidate's score minus the incumbent's.

    ``columns`` has shape (len(values), 3): units, units with D < 0 (losses), units with D > 0 (gains). ``sums`` has
    shape (len(values), 2): the sum of -D over the losses and of D over the gains, ``squares`` those of D * D, Python
    integers in units of 2 ** -64 and 2 ** -128 (:mod:`gate.core.exact`). ``largest``, of that shape too, is the largest
    loss and the largest gain, 0 where there is none.
    """

    values: tuple[Value, ...]
    columns: NDArray[np.int64]
    sums: NDArray[Any]
    squares: NDArray[Any]
    largest: NDArray[np.float64]

    @property
    def mean_loss(self) -> Floats:
        """Mean of -D where D < 0, one element per cell; NaN where there is no loss (MUSCLE, 2024)."""
        return self._mean(0)

    @property
    def mean_gain(self) -> Floats:
        """Mean of D where D > 0, one element per cell; NaN where there is no gain."""
        return self._mean(1)

    def _mean(self, side: int) -> Floats:
        many = self.columns[:, side + 1]
        total = np.asarray([float(number) * UNIT for number in self.sums[:, side]], dtype=np.float64)
        return np.asarray(np.divide(total, many, out=np.full(len(many), np.nan), where=many > 0))


def count_scores(scores: Scores, column: Codes | None) -> ScoredCells:
    """Sum losses and gains by the cell of ``column`` (None: all in one; -1: in none).

    ValueError for a score that is not finite, or a difference beyond 1e12. One below 1e-12 is no difference.
    """
    difference = np.asarray(scores.candidate, dtype=np.float64) - np.asarray(scores.incumbent, dtype=np.float64)
    if not np.isfinite(difference).all():
        raise ValueError("scores must be finite")
    difference[np.abs(difference) < 2.0**-40] = 0.0
    values = (None,) if column is None else tuple(column.values)
    cell = np.zeros(len(difference), dtype=np.int64) if column is None else column.codes.astype(np.int64) + 1
    first, cells = (0, 1) if column is None else (1, len(values) + 1)
    side = np.sign(difference).astype(np.int64) % 3  # 0: the same, 1: gain, 2: loss
    joint = np.bincount(cell * 3 + side, minlength=cells * 3).reshape(cells, 3)[first:]
    size = np.abs(difference)
    largest = np.zeros(cells * 3)
    np.maximum.at(largest, cell * 3 + side, size)
    # of each cell: losses, then gains
    sums, squares, most = (
        part.reshape(cells, 3)[first:][:, [2, 1]] for part in (*exact_sums(size, cell * 3 + side, cells * 3), largest)
    )
    columns = np.stack([joint.sum(axis=1), joint[:, 2], joint[:, 1]], axis=1)
    return ScoredCells(values, columns, sums, squares, most)


def merge_scores(parts: Sequence[ScoredCells]) -> ScoredCells:
    """Add cell by cell, by the cells' values; at least one part."""
    values, positions = unite([part.values for part in parts])
    columns = np.zeros((len(values), 3), dtype=np.int64)
    sums, squares = (np.zeros((len(values), 2), dtype=object) for _ in range(2))
    largest = np.zeros((len(values), 2))
    for part, rows in zip(parts, positions, strict=True):
        columns[rows] += part.columns
        sums[rows] += part.sums
        squares[rows] += part.squares
        largest[rows] = np.maximum(largest[rows], part.largest)
    return ScoredCells(values, columns, sums, squares, largest)
