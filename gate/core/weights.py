"""Rows that count more or less than others: sums of their weights, exact and additive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate.core.bounds import Floats
from gate.core.counts import COLUMN_OF, COLUMNS, FlipCounts, cells_and_bits, unite
from gate.core.exact import exact_sums
from gate.core.outcomes import Codes, Value


@dataclass(frozen=True)
class WeightedCells:
    """Sums of weights and of squared weights in each cell of one dimension, column by column of the five counts.

    Both of shape (len(values), 5), Python integers in units of 2 ** -64 and 2 ** -128 (:mod:`gate.core.exact`).
    """

    values: tuple[Value, ...]
    sums: NDArray[Any]
    squares: NDArray[Any]

    @property
    def weights(self) -> FlipCounts:
        return FlipCounts.from_columns(self.sums)

    @property
    def squared(self) -> FlipCounts:
        return FlipCounts.from_columns(self.squares)


def check_weights(weight: Floats) -> None:
    """ValueError unless every weight is finite and above 0."""
    wrong = ~(np.isfinite(weight) & (weight > 0))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise ValueError(f"weight {weight[first]} at row {first}: weights must be finite and above 0")


def count_weights(weight: Floats, column: Codes | None, bits: NDArray[np.uint16]) -> WeightedCells:
    """Sum weights by the cell of ``column`` (None: all in one) and by the units' three ``bits``."""
    values = (None,) if column is None else tuple(column.values)
    joint = cells_and_bits(column, bits)
    totals, squares = exact_sums(weight, joint, (len(values) + 1) * 8)
    sums, squared = (part.reshape(-1, 8)[1:] @ COLUMN_OF.astype(object) for part in (totals, squares))
    return WeightedCells(values, sums, squared)


def merge_weights(parts: Sequence[WeightedCells]) -> WeightedCells:
    """Add sums of weights cell by cell, by the cells' values; at least one part."""
    values, positions = unite([part.values for part in parts])
    sums, squares = (np.zeros((len(values), len(COLUMNS)), dtype=object) for _ in range(2))
    for part, rows in zip(parts, positions, strict=True):
        sums[rows] += part.sums
        squares[rows] += part.squares
    return WeightedCells(values, sums, squares)
