"""The five counts of each cell, and how counts made over different vocabularies are added."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import is_
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
_ROOM = threading.local()
CANDIDATE_RIGHT = (COLUMNS.index("both_right"), COLUMNS.index("positive"))
_NARROW = 1 << 16  # below it, numbers of 16 bits do


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


def bits_of(
    incumbent_right: NDArray[np.bool_], candidate_right: NDArray[np.bool_], same_output: NDArray[np.bool_]
) -> NDArray[np.uint16]:
    """Incumbent right, candidate right and same output as the three bits of one number, one for each unit.

    >>> bits_of(np.array([True, False]), np.array([False, True]), np.array([False, False])).tolist()
    [4, 2]
    """
    # Doubled by adding: NumPy adds bytes many at a time, and shifts them one by one. As wide as what they are added to.
    bits: NDArray[np.uint8] = incumbent_right.view(np.uint8) + incumbent_right.view(np.uint8)
    bits += candidate_right.view(np.uint8)
    bits += bits
    bits += same_output.view(np.uint8)
    return bits.astype(np.uint16)


def cells_and_bits(column: Codes | None, bits: NDArray[np.uint16]) -> NDArray[np.int64]:
    """The position of each unit's cell times 8, plus its three bits, plus 8, so that "no cell" (-1) is below 8.

    ``column`` is None where all units are in one cell.
    """
    if column is None:
        return bits.astype(np.int64) + 8
    return np.asarray(column.codes.astype(np.int64, copy=False) * 8 + (bits + np.uint16(8)))


def count_by(column: Codes, bits: NDArray[np.uint16]) -> Cells:
    """Count units by the cell that ``column`` puts them in (-1: in none) and their three ``bits``."""
    cells = len(column.values)
    if _is_narrow(column):
        counted = np.bincount(_joined([column], bits), minlength=cells * 8)
    else:
        counted = np.bincount(_joined_with_gaps(column, bits), minlength=(cells + 1) * 8)[8:]
    return Cells(tuple(column.values), _five(counted.reshape(cells, 8)))


def count_by_output(
    output: Codes, by_label: Cells, candidate_right: NDArray[np.bool_], bits: NDArray[np.uint16]
) -> Cells:
    """What :func:`count_by` counts of the candidate's outputs, where an answer is right if and only if it is the label.

    Where the candidate is right its output is the label, so ``by_label`` (over the same values) has counted these
    units, and only the others are looked at.
    """
    values, wrong = by_label.values, ~candidate_right
    if _is_narrow(output):
        counted = np.bincount(_joined([output], bits).compress(wrong), minlength=len(values) * 8)
        cells = Cells(values, _five(counted.reshape(len(values), 8)))
    else:
        units = np.flatnonzero(wrong)
        cells = count_by(Codes(output.codes.take(units), values), bits.take(units))
    for right in CANDIDATE_RIGHT:
        cells.columns[:, right] = by_label.columns[:, right]
    return cells


def few_enough(one: Codes, other: Codes) -> bool:
    """Whether :func:`count_by_both` may count two columns: few cells for the number of units, and each unit in one."""
    cells = len(one.values) * len(other.values)
    return cells * 8 <= min(len(one.codes) // 8, _NARROW) and _without_gaps(one) and _without_gaps(other)


def count_by_both(one: Codes, other: Codes, bits: NDArray[np.uint16]) -> tuple[Cells, Cells]:
    """What :func:`count_by` counts of each of two columns that are :func:`few_enough`, in one look at the units."""
    shape = len(one.values), len(other.values), 8
    counted = np.bincount(_joined([one, other], bits), minlength=math.prod(shape)).reshape(shape)
    return (
        Cells(tuple(one.values), _five(counted.sum(axis=1))),
        Cells(tuple(other.values), _five(counted.sum(axis=0))),
    )


def _is_narrow(column: Codes) -> bool:
    """Whether :func:`_joined` may take a column: few cells, and every unit in one."""
    return len(column.values) * 8 <= _NARROW and _without_gaps(column)


def _without_gaps(column: Codes) -> bool:
    """Whether every unit is in a cell."""
    codes = column.codes
    unsigned = codes.view(f"u{codes.dtype.itemsize}")  # of which negative numbers are the largest: one look finds both
    return int(unsigned.max(initial=0)) < len(column.values)


def _joined(columns: Sequence[Codes], bits: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """The codes of columns without gaps and the bits as one number, which is below ``_NARROW``."""
    joint = _unsigned(columns[0])
    for column in columns[1:]:
        joint = joint * np.uint16(len(column.values))
        joint += _unsigned(column)
    joint = joint * np.uint16(8)  # not in place: it may be the codes themselves
    joint += bits
    return joint


def _unsigned(column: Codes) -> NDArray[np.uint16]:
    """Codes without gaps in 16 bits, the very same where they have as many."""
    codes = column.codes
    return codes.view(np.uint16) if codes.dtype.itemsize == 2 else codes.astype(np.uint16)


def _joined_with_gaps(column: Codes, bits: NDArray[np.uint16]) -> NDArray[np.int64]:
    """What :func:`cells_and_bits` gives, good until it is called again."""
    joint = _room(len(bits))
    np.left_shift(column.codes, 3, out=joint, dtype=np.int64)  # codes of narrow integers would overflow
    joint += bits + np.uint16(8)
    return joint


def _room(rows: int) -> NDArray[np.int64]:
    """Memory to work in, the same for every batch: the system clears what is given back and asked for again."""
    room: NDArray[np.int64] | None = getattr(_ROOM, "room", None)
    if room is None or len(room) < rows:
        room = _ROOM.room = np.empty(rows, dtype=np.int64)
    return room[:rows]


def _five(joint: NDArray[np.int64]) -> NDArray[np.int64]:
    """The product with ``COLUMN_OF``, which NumPy is slow at for integers; each column lies in one piece."""
    different, same, first_positive, positive, first_negative, negative, first_right, right = joint.T
    five = np.empty((len(COLUMNS), len(joint)), dtype=np.int64)
    np.add(first_right, right, out=five[0])
    np.add(first_negative, negative, out=five[1])
    np.add(first_positive, positive, out=five[2])
    five[3], five[4] = same, different
    return five.T


def merge_cells(parts: Sequence[Cells]) -> Cells:
    """Add cells value by value; at least one part."""
    vocabularies = [part.values for part in parts]
    values = grown(vocabularies)
    rows: Sequence[slice | NDArray[np.int64]] = [slice(len(part)) for part in parts]
    if values is None:
        values, rows = unite(vocabularies)
    total = np.zeros((len(COLUMNS), len(values)), dtype=np.int64).T
    for part, at in zip(parts, rows, strict=True):
        total[at] += part.columns  # the values of one part are distinct
    return Cells(values, total)


def grown(vocabularies: Sequence[Sequence[Value]]) -> tuple[Value, ...] | None:
    """The longest of these vocabularies of typed values if all others are how it begins, the usual case; else None.

    >>> grown([("a",), ("a", 1)]), grown([("a", True), ("a", 1)])
    (('a', 1), None)
    """
    longest = max(vocabularies, key=len, default=())
    return tuple(longest) if all(_begins(longest, vocabulary) for vocabulary in vocabularies) else None


def unite(vocabularies: Sequence[Sequence[Value]]) -> tuple[tuple[Value, ...], list[NDArray[np.int64]]]:
    """One vocabulary of typed values for several, and for each of those where its values stand in the one.

    In the order in which values first come. No vocabulary gives the empty one.

    >>> unite([("a", "b"), ("b", 1)])
    (('a', 'b', 1), [array([0, 1]), array([1, 2])])
    """
    longest = grown(vocabularies)
    if longest is not None:
        return longest, [np.arange(len(vocabulary)) for vocabulary in vocabularies]
    where: dict[tuple[type, Value], int] = {}
    positions = [
        np.asarray([where.setdefault((type(value), value), len(where)) for value in vocabulary], dtype=np.int64)
        for vocabulary in vocabularies
    ]
    return tuple(value for _, value in where), positions


def _begins(longest: Sequence[Value], part: Sequence[Value]) -> bool:
    if part is longest or all(map(is_, part, longest)):  # the very same, from one vocabulary
        return True
    return all(type(a) is type(b) and a == b for a, b in zip(part, longest, strict=False))
