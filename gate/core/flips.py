"""The flip table: five integers per cell, from which every rate follows, and which add.

Counting one batch gives a :class:`FlipTable`; tables of batches, shards and machines are merged into the table that one
count over everything would have given.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate.core.matrix import Key, MatrixCounts
from gate.core.outcomes import Codes, Outcomes, Value

Integers = int | NDArray[Any]
"""One count, or an array of counts with one element per cell."""

OVERALL = "overall"
BY_CLASS = "class"
BY_OUTPUT = "output"
COLUMNS = ("both_right", "negative", "positive", "wrong_same", "wrong_different")
CONFIDENCE_BINS = 10

# Right or wrong, twice, and same output or not, as a number of three bits, to the column that counts it. Two right
# answers count as both right whether or not they were the same (more than one answer may be right).
_COLUMN_OF = np.zeros((8, 5), dtype=np.int64)
for _bits, _column in enumerate((4, 3, 2, 2, 1, 1, 0, 0)):  # bits: incumbent right, candidate right, same output
    _COLUMN_OF[_bits, _column] = 1


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
    def from_columns(cls, columns: NDArray[np.int64]) -> FlipCounts:
        """Read ``columns`` of shape (cells, 5), in the order of ``COLUMNS``, as counts with one element per cell."""
        return cls(*np.moveaxis(columns, -1, 0))

    @classmethod
    def from_row(cls, row: Iterable[Any]) -> FlipCounts:
        """Read five numbers, in the order of ``COLUMNS``, as the counts of one cell."""
        return cls(*(int(count) for count in row))

    def swapped(self) -> FlipCounts:
        """The counts with candidate and incumbent exchanged: negative flips become positive ones.

        >>> FlipCounts(negative=3, positive=1).swapped().negative
        1
        """
        return FlipCounts(self.both_right, self.positive, self.negative, self.wrong_same, self.wrong_different)


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


@dataclass(frozen=True, order=True)
class FlippedRow:
    """One flipped unit: what it is, what was right, what each model said. Ordered by the hash of its id."""

    digest: str
    id: Value = field(compare=False)
    kind: str = field(compare=False)
    label: Value = field(compare=False, default=None)
    incumbent: Value = field(compare=False, default=None)
    candidate: Value = field(compare=False, default=None)
    incumbent_confidence: float | None = field(compare=False, default=None)
    candidate_confidence: float | None = field(compare=False, default=None)


@dataclass(frozen=True)
class FlipTable:
    """Everything that is counted of one comparison; the sum of any partition of the rows gives the same table.

    - ``overall``: the five counts over all units.
    - ``cells``: dimension (``class``, ``output`` or a slice's name) -> its :class:`Cells`.
    - ``matrix``: (label, incumbent output, candidate output) -> how many discordant rows (exactly one model right).
    - ``samples``: the ``keep`` negative and ``keep`` positive flips whose SHA-256 of (seed, id) is smallest, so that
      every batching and sharding keeps the same ones.
    - ``confidence``: histogram of shape (2 kinds: negative, positive; 2 models: incumbent, candidate; 10 bins of
      [0, 1]), or None where the outputs carry no confidence.

    An empty table counts nothing and changes no table it is merged with.
    """

    overall: FlipCounts = FlipCounts()
    cells: Mapping[str, Cells] = field(default_factory=dict)
    matrix: Mapping[Key, int] = field(default_factory=MatrixCounts)
    samples: tuple[FlippedRow, ...] = ()
    confidence: NDArray[np.int64] | None = None
    keep: int = 100

    def __add__(self, other: FlipTable) -> FlipTable:
        return merge([self, other])


def row_digest(seed: int, unit: object) -> str:
    """SHA-256 of seed and id, as hex: decides which flipped rows are kept, the same on every engine.

    The id's type is part of it, so that ``1`` and ``"1"`` differ.

    >>> row_digest(0, "a")[:8] != row_digest(1, "a")[:8]
    True
    """
    return hashlib.sha256(f"{seed}\x1f{type(unit).__name__}\x1f{unit}".encode("utf-8", "surrogatepass")).hexdigest()


def count(outcomes: Outcomes, *, seed: int = 0, keep: int = 100) -> FlipTable:
    """Count one batch of outcomes.

    ``keep`` flipped rows of each kind are kept as samples. A batch of no rows gives an empty table.

    >>> table = count(Outcomes(
    ...     ids=np.array([10, 11, 12]),
    ...     incumbent_right=np.array([True, True, False]),
    ...     candidate_right=np.array([True, False, False]),
    ...     same_output=np.array([True, False, True]),
    ... ))
    >>> table.overall
    FlipCounts(both_right=1, negative=1, positive=0, wrong_same=1, wrong_different=0)
    >>> [(row.id, row.kind) for row in table.samples]
    [(11, 'negative')]
    """
    bits: NDArray[np.uint8] = np.left_shift(outcomes.incumbent_right.view(np.uint8), 2, dtype=np.uint8)
    bits |= np.left_shift(outcomes.candidate_right.view(np.uint8), 1, dtype=np.uint8)
    bits |= outcomes.same_output.view(np.uint8)
    overall = np.bincount(bits, minlength=8) @ _COLUMN_OF
    cells: dict[str, Cells] = {}
    if outcomes.label is not None:
        cells[BY_CLASS] = _count_by(outcomes.label, bits)
    if outcomes.candidate is not None:
        cells[BY_OUTPUT] = _count_by(outcomes.candidate, bits)
    for name, column in outcomes.slices.items():
        cells[name] = _count_by(column, bits)
    flipped = np.flatnonzero(outcomes.incumbent_right != outcomes.candidate_right)
    return FlipTable(
        overall=FlipCounts.from_row(overall),
        cells=cells,
        matrix=_matrix(outcomes, flipped),
        samples=_samples(outcomes, flipped, seed, keep),
        confidence=_confidence(outcomes, flipped),
        keep=keep,
    )


def merge(tables: Sequence[FlipTable]) -> FlipTable:
    """Add any number of tables; none gives the empty table. Order does not matter, but for the order of cells.

    >>> merge([]).overall.n
    0
    """
    if not tables:
        return FlipTable()
    dimensions = dict.fromkeys(name for table in tables for name in table.cells)
    # A table that counted nothing changes nothing, not even how many samples are kept.
    keep = min(table.keep for table in [t for t in tables if t.overall.n] or tables)
    histograms = [table.confidence for table in tables if table.confidence is not None]
    return FlipTable(
        overall=sum((table.overall for table in tables), FlipCounts()),
        cells={name: _merge_cells([t.cells[name] for t in tables if name in t.cells]) for name in dimensions},
        matrix=MatrixCounts(entry for table in tables for entry in table.matrix.items()),
        samples=_smallest((row for table in tables for row in table.samples), keep),
        confidence=np.sum(histograms, axis=0) if histograms else None,
        keep=keep,
    )


def _count_by(column: Codes, bits: NDArray[np.uint8]) -> Cells:
    cells = len(column.values)
    joint = np.bincount(column.codes.astype(np.int64, copy=False) * 8 + bits, minlength=cells * 8)
    return Cells(tuple(column.values), joint.reshape(cells, 8) @ _COLUMN_OF)


def _matrix(outcomes: Outcomes, flipped: NDArray[np.intp]) -> MatrixCounts:
    if outcomes.label is None or outcomes.incumbent is None or outcomes.candidate is None or not len(flipped):
        return MatrixCounts()
    columns = (outcomes.label, outcomes.incumbent, outcomes.candidate)
    size = max(len(column.values) for column in columns)
    label, incumbent, candidate = (column.codes[flipped].astype(np.int64) for column in columns)
    keys, rows = np.unique((label * size + incumbent) * size + candidate, return_counts=True)
    return MatrixCounts(
        (
            (
                columns[0].values[key // (size * size)],
                columns[1].values[key // size % size],
                columns[2].values[key % size],
            ),
            number,
        )
        for key, number in zip(keys.tolist(), rows.tolist(), strict=True)
    )


def _samples(outcomes: Outcomes, flipped: NDArray[np.intp], seed: int, keep: int) -> tuple[FlippedRow, ...]:
    if not keep or not len(flipped):
        return ()
    ids = outcomes.ids.take(flipped).tolist()
    negative = outcomes.incumbent_right[flipped]
    hashed = [(row_digest(seed, unit), position) for position, unit in enumerate(ids)]
    kept: list[FlippedRow] = []
    for kind, chosen in (("negative", negative), ("positive", ~negative)):
        for digest, position in heapq.nsmallest(keep, (hashed[p] for p in np.flatnonzero(chosen).tolist())):
            row = int(flipped[position])
            sure = outcomes.confidence
            kept.append(
                FlippedRow(
                    digest,
                    ids[position],
                    kind,
                    _value(outcomes.label, row),
                    _value(outcomes.incumbent, row),
                    _value(outcomes.candidate, row),
                    None if sure is None else float(sure.incumbent[row]),
                    None if sure is None else float(sure.candidate[row]),
                )
            )
    return tuple(sorted(kept))


def _value(column: Codes | None, row: int) -> Value:
    return None if column is None else column.values[int(column.codes[row])]


def _smallest(rows: Iterable[FlippedRow], keep: int) -> tuple[FlippedRow, ...]:
    everything = sorted(rows)
    chosen = (row for kind in ("negative", "positive") for row in [r for r in everything if r.kind == kind][:keep])
    return tuple(sorted(chosen))


def _confidence(outcomes: Outcomes, flipped: NDArray[np.intp]) -> NDArray[np.int64] | None:
    if outcomes.confidence is None:
        return None
    histogram = np.zeros((2, 2, CONFIDENCE_BINS), dtype=np.int64)
    positive = outcomes.candidate_right[flipped]
    for model, sure in enumerate((outcomes.confidence.incumbent, outcomes.confidence.candidate)):
        bins = np.clip((sure[flipped] * CONFIDENCE_BINS).astype(np.int64), 0, CONFIDENCE_BINS - 1)
        for kind in (0, 1):
            histogram[kind, model] = np.bincount(bins[positive == bool(kind)], minlength=CONFIDENCE_BINS)
    return histogram


def _merge_cells(parts: Sequence[Cells]) -> Cells:
    longest = max(parts, key=len)
    if all(part.values == longest.values[: len(part)] and _same_types(part, longest) for part in parts):
        total = longest.columns.copy()  # one growing vocabulary, the usual case: add by position
        for part in parts:
            if part is not longest:
                total[: len(part)] += part.columns
        return Cells(longest.values, total)
    positions: dict[tuple[type, Value], int] = {}
    for part in parts:
        for value in part.values:
            positions.setdefault((type(value), value), len(positions))
    total = np.zeros((len(positions), 5), dtype=np.int64)
    for part in parts:
        rows = [positions[(type(value), value)] for value in part.values]
        np.add.at(total, rows, part.columns)
    return Cells(tuple(value for _, value in positions), total)


def _same_types(part: Cells, longest: Cells) -> bool:
    return all(type(a) is type(b) for a, b in zip(part.values, longest.values, strict=False))
