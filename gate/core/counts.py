"""The five counts of each cell, and how counts made over different vocabularies are added."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate.core.outcomes import Codes, Value

Integers = int | NDArray[Any]
"""One count, or an array of counts with one element per cell."""

COLUMNS = ("both_right", "negative", "positive", "wrong_same", "wrong_different")

# Right or wrong, twice, and same output or not, as a number of three bits, to the column that counts it. Two right
# answers count as both right whether or not they were the same (more than one answer may be right).
COLUMN_OF = np.zeros((8, 5), dtype=np.int64)
for _bits, _column in enumerate((4, 3, 2, 2, 1, 1, 0, 0)):  # bits: incumbent right, candidate right, same output
    COLUMN_OF[_bits, _column] = 1


@dataclass(frozen=True)
class FlipCounts:
    """How many units fell into each of the four cells, the last one in two parts (see DEFINITIONS in the docs).

    Each field is an integer of at least 0, or an array of them, one element per cell, all of one shape. Counts add
    with ``+``; ``FlipCounts()`` adds nothing.

    >>> FlipCounts(both_right=7, negative=1) + FlipCounts(positive=2)
    FlipCounts(both_right=7, negative=1, positive=2, wrong_same=0, wrong_different=0)
    >>> (FlipCounts(both_right=7, negative=1) + FlipCounts(positive=2)).n
    10
    """

    both_right: Integers = 0
    negative: Integers = 0
    positive: Integers = 0
    wrong_same: Integers = 0
    wrong_different: Integers = 0

    def __add__(self, other: FlipCounts) -> FlipCounts:
        return FlipCounts(
            self.both_right + other.both_right,
            self.negative + other.negative,
            self.positive + other.positive,
            self.wrong_same + other.wrong_same,
            self.wrong_different + other.wrong_different,
        )

    @property
    def both_wrong(self) -> Integers:
        return self.wrong_same + self.wrong_different

    @property
    def n(self) -> Integers:
        return self.both_right + self.negative + self.positive + self.both_wrong

    @classmethod
    def from_columns(cls, columns: NDArray[Any]) -> FlipCounts:
        """Read ``columns`` of shape (cells, 5), in the order of ``COLUMNS``, as counts with one element per cell."""
        return cls(*np.moveaxis(columns, -1, 0))

    @classmethod
    def from_row(cls, row: Iterable[Any]) -> FlipCounts:
        """Read five numbers, in the order of ``COLUMNS``, as the counts of one cell."""
        return cls(*(int(count) for count in row))

    def take(self, chosen: NDArray[Any]) -> FlipCounts:
        """Those cells of the counts that ``chosen`` (booleans or positions) picks.

        >>> FlipCounts.from_columns(np.array([[1, 0, 0, 0, 0], [2, 0, 0, 0, 0]])).take(np.array([1])).both_right
        array([2])
        """
        return FlipCounts(*(column[chosen] for column in np.broadcast_arrays(*self.columns)))

    def times(self, factor: Any) -> FlipCounts:
        """Every count times a factor (a number, or one per cell): counts of more rows at the same rates."""
        return FlipCounts(*(np.asarray(column) * factor for column in self.columns))

    @property
    def columns(self) -> tuple[Integers, ...]:
        return self.both_right, self.negative, self.positive, self.wrong_same, self.wrong_different

    def swapped(self) -> FlipCounts:
        """The counts with candidate and incumbent exchanged: negative flips become positive ones.

        >>> FlipCounts(negative=3, positive=1).swapped().negative
        1
        """
        return FlipCounts(self.both_right, self.positive, self.negative, self.wrong_same, self.wrong_different)


@dataclass(frozen=True)
class EffectiveCounts(FlipCounts):
    """Counts of as many independent rows of equal weight as the rows that were seen are worth, for one rate.

    Not whole numbers. ``one`` is what a single hit more would count (see :func:`gate.core.bounds.clopper_pearson`).
    ``divisor`` is what a second share, by which the rate divides, is judged on; None where it is the same, or none.
    """

    one: Any = 1.0
    divisor: EffectiveCounts | None = None

    @classmethod
    def of(cls, part: FlipCounts, one: Any, divisor: EffectiveCounts | None = None) -> EffectiveCounts:
        """Plain counts with what one more hit counts."""
        a, b, c, same, different = part.columns
        return cls(a, b, c, same, different, one, divisor)

    def take(self, chosen: NDArray[Any]) -> EffectiveCounts:
        part = super().take(chosen)
        one = np.broadcast_to(np.asarray(self.one), np.shape(self.both_right))[chosen]
        return EffectiveCounts.of(part, one, None if self.divisor is None else self.divisor.take(chosen))

    def times(self, factor: Any) -> EffectiveCounts:
        part = super().times(factor)
        return EffectiveCounts.of(part, self.one, None if self.divisor is None else self.divisor.times(factor))


@dataclass(frozen=True)
class Cells:
    """The counts of all values of one dimension: the classes, the outputs, or a slice.

    ``values`` are distinct (as typed values); ``columns`` has shape (len(values), 5), in the order of ``COLUMNS``.
    """

    values: tuple[Value, ...]
    columns: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def counts(self) -> FlipCounts:
        return FlipCounts.from_columns(self.columns)

    def at(self, position: int) -> FlipCounts:
        return FlipCounts.from_row(self.columns[position])


def cells_and_bits(column: Codes | None, bits: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The position of each unit's cell times 8, plus its three bits, plus 8, so that "no cell" (-1) is below 8.

    ``column`` is None where all units are in one cell.
    """
    if column is None:
        return bits.astype(np.int64) + 8
    return np.asarray(column.codes.astype(np.int64, copy=False) * 8 + (bits + np.uint8(8)))


def count_by(column: Codes, bits: NDArray[np.uint8]) -> Cells:
    """Count units by the cell that ``column`` puts them in (-1: in none) and their three ``bits``."""
    cells = len(column.values)
    joint = np.bincount(cells_and_bits(column, bits), minlength=(cells + 1) * 8)
    return Cells(tuple(column.values), joint.reshape(cells + 1, 8)[1:] @ COLUMN_OF)


def merge_cells(parts: Sequence[Cells]) -> Cells:
    """Add cells value by value; at least one part."""
    values, positions = unite([part.values for part in parts])
    total = np.zeros((len(values), len(COLUMNS)), dtype=np.int64)
    for part, rows in zip(parts, positions, strict=True):
        total[rows] += part.columns  # the values of one part are distinct
    return Cells(values, total)


def unite(vocabularies: Sequence[Sequence[Value]]) -> tuple[tuple[Value, ...], list[NDArray[np.int64]]]:
    """One vocabulary of typed values for several, and for each of those where its values stand in the one.

    In the order in which values first come. No vocabulary gives the empty one.

    >>> unite([("a", "b"), ("b", 1)])
    (('a', 'b', 1), [array([0, 1]), array([1, 2])])
    """
    longest = max(vocabularies, key=len, default=())
    if all(_begins(longest, vocabulary) for vocabulary in vocabularies):  # one that grew, the usual case
        return tuple(longest), [np.arange(len(vocabulary)) for vocabulary in vocabularies]
    where: dict[tuple[type, Value], int] = {}
    positions = [
        np.asarray([where.setdefault((type(value), value), len(where)) for value in vocabulary], dtype=np.int64)
        for vocabulary in vocabularies
    ]
    return tuple(value for _, value in where), positions


def _begins(longest: Sequence[Value], part: Sequence[Value]) -> bool:
    if part is longest:
        return True
    return all(type(a) is type(b) and a == b for a, b in zip(part, longest, strict=False))
