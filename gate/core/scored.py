"""Answers that can be better or worse: how many lost and gained against the incumbent, and how much."""

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
    shape (len(values), 2): the sum of -D over the losses and of D over the gains, Python integers in units of 2 ** -64
    (:mod:`gate.core.exact`).
    """

    values: tuple[Value, ...]
    columns: NDArray[np.int64]
    sums: NDArray[Any]

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
    totals, _ = exact_sums(np.abs(difference), cell * 3 + side, cells * 3)
    sums = totals.reshape(cells, 3)[first:]
    return ScoredCells(
        values,
        np.stack([joint.sum(axis=1), joint[:, 2], joint[:, 1]], axis=1),
        np.stack([sums[:, 2], sums[:, 1]], axis=1),
    )


def merge_scores(parts: Sequence[ScoredCells]) -> ScoredCells:
    """Add cell by cell, by the cells' values; at least one part."""
    values, positions = unite([part.values for part in parts])
    columns = np.zeros((len(values), 3), dtype=np.int64)
    sums = np.zeros((len(values), 2), dtype=object)
    for part, rows in zip(parts, positions, strict=True):
        columns[rows] += part.columns
        sums[rows] += part.sums
    return ScoredCells(values, columns, sums)
