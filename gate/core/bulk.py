"""Many values of one kind at once: ten thousand cells under ten rules are a hundred thousand findings."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from itertools import repeat
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gate.core.bounds import Floats

_Kind = TypeVar("_Kind")


def rows_of(kind: type[_Kind], shared: Mapping[str, Any], columns: Mapping[str, Sequence[Any]]) -> list[_Kind]:
    """Frozen dataclasses, one for each row of the columns: what its constructor would make of them, but sooner.

    Each field is either ``shared`` by all or a column, of one length all of them; no rows give none. TypeError for a
    field that is missing or unknown, ValueError for columns of different lengths. A constructor of frozen fields sets
    them one by one, each by a call; here they come as one mapping. For dataclasses without slots and checks of their
    own.

    >>> from gate.core.judgement import Cell
    >>> rows_of(Cell, {"by": "class"}, {"value": ["cat", "dog"]})
    [Cell(by='class', value='cat'), Cell(by='class', value='dog')]
    """
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    if sorted(names) != sorted([*shared, *columns]):
        raise TypeError(f"{kind.__name__} has the fields {', '.join(names)}; found {', '.join([*shared, *columns])}")
    if len({len(column) for column in columns.values()}) != 1:
        raise ValueError(f"columns of {sorted({len(column) for column in columns.values()})} rows")
    made: list[_Kind] = []
    with uncollected():
        for row in zip(*(columns[name] if name in columns else repeat(shared[name]) for name in names), strict=False):
            one = object.__new__(kind)
            one.__dict__.update(zip(names, row, strict=True))
            made.append(one)
    return made


@contextmanager
def uncollected() -> Iterator[None]:
    """No search for cycles while many values are made that hold none: it goes through all of them, again and again.

    As it was before, afterwards; what holds no cycle is freed as ever.

    >>> with uncollected():
    ...     gc.isenabled()
    False
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def numbers(column: Floats) -> list[float | None]:
    """An array as plain numbers; None for what is not finite.

    >>> numbers(np.array([0.5, np.nan, np.inf]))
    [0.5, None, None]
    """
    finite = np.isfinite(column)
    if finite.all():
        return list(column.tolist())
    return [number if known else None for number, known in zip(column.tolist(), finite.tolist(), strict=True)]


def whole(column: NDArray[Any]) -> list[int]:
    """An array of whole numbers, as floats or integers, as plain integers.

    >>> whole(np.array([3.0, 7.0]))
    [3, 7]
    """
    return list(np.asarray(column).astype(np.int64).tolist())


def some_whole(column: Floats) -> list[int | None]:
    """An array of whole numbers as plain integers; None for what is not finite.

    >>> some_whole(np.array([3.0, np.nan]))
    [3, None]
    """
    known = np.isfinite(column)
    if not known.any():
        return [None] * len(column)
    found = whole(np.where(known, column, 0.0))
    return [number if there else None for number, there in zip(found, known.tolist(), strict=True)]
