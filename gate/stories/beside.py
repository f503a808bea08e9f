"""What a flipped row shows beside its label and answers, and which flipped rows are to be looked at first.

Values are taken only of the rows that are kept, and each of them is bounded: a report must not grow with the data.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gate.core.flipped import FlippedRow, smallest
from gate.core.outcomes import Outcomes, Picture, Value
from gate.data.pictures import may_hold_images, picture, picture_of_pixels, pixel_columns
from gate.policy.rules import Cost, Golden, Policy
from gate.tasks.batch import Batch

MOST_COLUMNS = 12
MOST_PICTURES = 2
"""Of one row."""
LONGEST_TEXT = 2000
LONGEST_LIST = 16

_Scalar = Value | Picture


def columns_beside(schema: pa.Schema, first: Sequence[str], but: Collection[str]) -> list[str]:
    """The columns that a flipped row shows, at most ``MOST_COLUMNS``: those named ``first``, images, then the others.

    Those in ``but`` are left out, whoever names them. Columns that hold the pixels of one image come besides.

    >>> columns_beside(pa.schema({"id": pa.int64(), "age": pa.int64(), "scan": pa.binary()}), ["age"], {"id"})
    ['age', 'scan']
    """
    images = [field.name for field in schema if may_hold_images(field)]
    named = [name for name in first if name in schema.names]
    pixels = pixel_columns(schema)
    apart = set(pixels)
    others = [name for name in schema.names if name not in apart]
    kept = [name for name in dict.fromkeys((*named, *images[:MOST_PICTURES], *others)) if name not in but]
    return list(dict.fromkeys((*kept[:MOST_COLUMNS], *pixels)))


class Beside(Mapping[str, _Scalar]):
    """The values of one row, read when they are looked at; ``pixels`` are columns that are one image together."""

    def __init__(self, columns: pa.RecordBatch, row: int, pixels: Sequence[str] = ()) -> None:
        self._columns, self._row, self._pixels = columns, row, pixels
        self._image = [f"{pixels[0]} to {pixels[-1]}"] if pixels else []

    def __getitem__(self, name: str) -> _Scalar:
        if name in self._image:
            return picture_of_pixels([self._columns[pixel][self._row].as_py() for pixel in self._pixels])
        if name not in self._columns.schema.names:
            raise KeyError(name)
        return shown(self._columns[name][self._row], self._columns.schema.field(name))

    def __iter__(self) -> Iterator[str]:
        apart = set(self._pixels)
        return iter([*self._image, *(name for name in self._columns.schema.names if name not in apart)])

    def __len__(self) -> int:
        return len(list(iter(self)))


class _Besides:
    """Of each unit of a batch; the units of a row stand side by side."""

    def __init__(self, batch: Batch, units: int) -> None:
        self._columns = batch.beside
        self._pixels = [] if batch.beside is None else pixel_columns(batch.beside.schema)
        self._first, self._numbers = batch.first_row, batch.numbers
        self._units = max(units // max(len(batch), 1), 1)

    def __getitem__(self, unit: int, /) -> Mapping[str, _Scalar]:
        return {} if self._columns is None else Beside(self._columns, self._row_of(unit), self._pixels)

    def _row_of(self, unit: int) -> int:
        row = unit // self._units
        # ``beside`` has the rows that are excluded too
        return row if self._numbers is None else int(self._numbers[row]) - self._first


def pressing(outcomes: Outcomes, batch: Batch, policy: Policy) -> Outcomes:
    """The outcomes of ``batch`` with what is known beside them, and how urgent each unit is by the policy's rules.

    A row of any golden set is golden. A negative flip costs what the dearest of the policy's prices for it says.
    """
    return replace(
        outcomes,
        golden=_golden(outcomes, policy),
        cost=_cost(outcomes, policy),
        beside=_Besides(batch, len(outcomes)),
    )


def _golden(outcomes: Outcomes, policy: Policy) -> NDArray[np.bool_] | None:
    marks = [outcomes.slices[rule.by].codes >= 0 for rule in policy.rules if isinstance(rule, Golden)]
    return np.logical_or.reduce(marks) if marks else None


def _cost(outcomes: Outcomes, policy: Policy) -> NDArray[np.float64] | None:
    prices: dict[tuple[object, ...], float] = {}
    for rule in policy.rules:
        for price in rule.negative if isinstance(rule, Cost) else ():
            flip = (*_typed(price.label), *_typed(price.output))
            prices[flip] = max(price.amount, prices.get(flip, price.amount))
    label, candidate = outcomes.label, outcomes.candidate
    if not prices or label is None or candidate is None:
        return None
    cost = np.full(len(outcomes), np.nan)
    negative = np.flatnonzero(outcomes.incumbent_right & ~outcomes.candidate_right)
    flips = np.stack([label.codes[negative], candidate.codes[negative]])
    kinds, of = np.unique(flips, axis=1, return_inverse=True)
    amounts = [
        prices.get((*_typed(label.values[right]), *_typed(candidate.values[wrong])), math.nan)
        for right, wrong in kinds.T.tolist()
    ]
    cost[negative] = np.asarray(amounts, dtype=np.float64)[of.ravel()]
    return cost


def _typed(value: Value) -> tuple[object, ...]:
    return type(value), value


class Kept:
    """The flipped rows that are still among the first of all batches so far; only their values are read."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._rows: tuple[FlippedRow, ...] = ()

    def of(self, samples: Sequence[FlippedRow]) -> tuple[FlippedRow, ...]:
        """Those of a batch's samples that can still be kept in the end, with the values beside them.

        Whatever is left out has ``keep`` others of its kind before it.
        """
        new = {id(row) for row in samples}
        first = smallest((*self._rows, *samples), self._keep)
        self._rows = tuple(replace(row, beside=dict(row.beside)) if id(row) in new else row for row in first)
        return tuple(row for row, was in zip(self._rows, first, strict=True) if id(was) in new)


def shown(value: pa.Scalar, field: pa.Field) -> _Scalar:
    """A value as a sample holds it: a picture, a number, a truth value, or a text of bounded length.

    >>> shown(pa.scalar([0.5, 1.0]), pa.field("x", pa.list_(pa.float64())))
    '[0.5, 1.0]'
    """
    kind = field.type
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not value.is_valid:
        return None
    if listed or pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        drawn = picture(value, field)
        if drawn is not None:
            return drawn
        return _list(value) if listed else f"({len(value.as_py()):,} bytes)"
    try:
        found = value.as_py()
    except (ArithmeticError, ValueError, ImportError):  # a time that Python or its calendar does not know
        return f"({kind})"
    if pa.types.is_floating(kind) and kind.bit_width < 64:
        own = np.float16 if kind.bit_width == 16 else np.float32
        return float(str(own(found)))  # 0.1, not 0.10000000149011612
    if found is None or isinstance(found, (bool, int, float)):
        return found
    return _cut(found if isinstance(found, str) else str(found))


def _list(value: pa.Scalar) -> str:
    inner = pa.field("", value.type.value_type)
    texts = [_text(shown(one, inner)) for one in value.values[:LONGEST_LIST]]
    more = f", ... ({len(value.values):,} in all)" if len(value.values) > LONGEST_LIST else ""
    return _cut(f"[{', '.join(texts)}{more}]")


def _text(value: _Scalar) -> str:
    return "(picture)" if isinstance(value, Picture) else str(value)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}... ({len(text):,} characters in all)"
