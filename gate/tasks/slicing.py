"""Ways to cut the held-out set into cells: by a column, by bins of a number, by two columns, by a condition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gate.core.outcomes import Codes
from gate.errors import EvidenceError
from gate.tasks.vocabulary import Vocabulary, plain
from gate.tasks.where import Condition, columns, holds

MOST_CELLS = 100_000


class Slicing(Protocol):
    """A way to cut: which columns it needs, and the cell of each row as a typed value; null is a cell of its own."""

    @property
    def columns(self) -> tuple[str, ...]: ...

    def values(self, table: Mapping[str, pa.Array]) -> pa.Array: ...


@dataclass(frozen=True)
class ByColumn:
    """One cell for each value of a column.

    >>> ByColumn("region").values({"region": pa.array(["n", "s"])}).to_pylist()
    ['n', 's']
    """

    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def values(self, table: Mapping[str, pa.Array]) -> pa.Array:
        return table[self.column]


@dataclass(frozen=True)
class ByBins:
    """One cell for each interval between ``edges``, which rise; each edge belongs to the interval that it begins.

    Missing numbers and NaN are the cell None.

    >>> ByBins("age", (18, 65)).values({"age": pa.array([17, 18, 70, None])}).to_pylist()
    ['under 18', '18 to under 65', '65 and over', None]
    """

    column: str
    edges: tuple[float, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def names(self) -> tuple[str, ...]:
        """The cells, lowest first."""
        shown = [f"{edge:.10g}" for edge in self.edges]
        between = [f"{low} to under {high}" for low, high in pairwise(shown)]
        return (f"under {shown[0]}", *between, f"{shown[-1]} and over")

    def values(self, table: Mapping[str, pa.Array]) -> pa.Array:
        column = plain(table[self.column])
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise EvidenceError(
                f"column {self.column!r} is {column.type}, and bins need numbers",
                where="held-out set",
                hint="cut it by its values: {column: ...}",
            )
        numbers = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        missing = np.isnan(numbers) | column.is_null().to_numpy(zero_copy_only=False)
        found = np.searchsorted(np.asarray(self.edges), np.where(missing, 0.0, numbers), side="right")
        return pa.DictionaryArray.from_arrays(pa.array(found.astype(np.int32), mask=missing), pa.array(self.names))


@dataclass(frozen=True)
class ByColumns:
    """One cell for each pair of values of two columns: their intersections.

    >>> table = {"sex": pa.array(["f", "m"]), "region": pa.array(["n", None])}
    >>> ByColumns(("sex", "region")).values(table).to_pylist()
    ['f & n', 'm & (none)']
    """

    pair: tuple[str, str]

    @property
    def columns(self) -> tuple[str, ...]:
        return self.pair

    def values(self, table: Mapping[str, pa.Array]) -> pa.Array:
        return pc.binary_join_element_wise(*(_unmistakable(table[name]) for name in self.pair), " & ")


def _unmistakable(column: pa.Array) -> pa.Array:
    """Text of which no two pairs make the same cell: ``&`` is doubled, and a text ``(none)`` is no missing value."""
    text = pc.replace_substring(plain(column).cast(pa.string()), "&", "&&")
    text = pc.if_else(pc.fill_null(pc.equal(text, "(none)"), False), "'(none)'", text)
    return pc.fill_null(text, "(none)")


@dataclass(frozen=True)
class Where:
    """One cell, True: the rows for which a condition holds. All others are in no cell."""

    condition: Condition
    text: str

    @property
    def columns(self) -> tuple[str, ...]:
        return columns(self.condition)

    def values(self, table: Mapping[str, pa.Array]) -> pa.Array:
        return holds(self.condition, table)


class Slices:
    """The slices of one comparison, each with the vocabulary of its cells, which grows from batch to batch.

    >>> slices = Slices({"region": ByColumn("region")})
    >>> slices.codes({"region": pa.array(["n", "s", "n"])})["region"].codes.tolist()
    [0, 1, 0]
    """

    def __init__(self, slicings: Mapping[str, Slicing]) -> None:
        self._slicings = slicings
        self._vocabularies = {
            name: Vocabulary([True] if isinstance(slicing, Where) else ()) for name, slicing in slicings.items()
        }

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that all slices together look at."""
        return tuple(dict.fromkeys(name for slicing in self._slicings.values() for name in slicing.columns))

    @property
    def purposes(self) -> dict[str, str]:
        """What each column is for, as a message says it: ``slice region`` -> ``region``."""
        return {
            f"slice {name}" + (f" ({position + 1})" if position else ""): column
            for name, slicing in self._slicings.items()
            for position, column in enumerate(slicing.columns)
        }

    def codes(self, table: Mapping[str, pa.Array]) -> dict[str, Codes]:
        """The coded cells of a batch, by slice; EvidenceError for a slice with more than ``MOST_CELLS`` cells."""
        return {name: self._codes(name, slicing, table) for name, slicing in self._slicings.items()}

    def _codes(self, name: str, slicing: Slicing, table: Mapping[str, pa.Array]) -> Codes:
        try:
            values = slicing.values(table)
            values = values if isinstance(slicing, Where) else plain(values)
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
            raise EvidenceError(
                f"column {slicing.columns[0]!r} is {table[slicing.columns[0]].type}, and cannot be cut into cells",
                where=f"slice {name!r}",
                hint="cut by a column of text, numbers or dates",
            ) from None
        vocabulary = self._vocabularies[name]
        if isinstance(slicing, Where):
            inside = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
            return Codes(np.where(inside, 0, -1), vocabulary.values)
        coded = vocabulary.encode(values)
        if len(vocabulary) > MOST_CELLS:
            raise EvidenceError(
                f"slice {name!r} has more than {MOST_CELLS:,} cells",
                where="held-out set",
                hint="cut it by bins, or by a column with fewer values",
            )
        return coded
