"""Distinct values, numbered in the order they first appear, over all batches and columns that share a vocabulary."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gate.core.outcomes import Codes, Value

_DIRECT = 1 << 20
_DICTIONARIES = 8
_NARROW = 1 << 15
_SOME = 1 << 12


class Vocabulary:
    """Codes values as positions in a growing list. Types matter: 1, 1.0, True and "1" are four values; NaN is no value.

    >>> vocabulary = Vocabulary()
    >>> vocabulary.encode(pa.array(["b", "a", "b"])).codes.tolist()
    [0, 1, 0]
    >>> vocabulary.encode(pa.array(["c", "a"])).codes.tolist(), vocabulary.values
    ([2, 1], ['b', 'a', 'c'])
    """

    def __init__(self, values: Iterable[Value] = ()) -> None:
        self.values: list[Value] = []
        self._so_far: tuple[Value, ...] = ()
        self._positions: dict[tuple[type, Value], int] = {}  # of all but small integers
        self._direct = np.full(0, -1, dtype=np.int64)  # which look up their code without hashing
        self._lowest = 0  # the first ``_row`` values are this integer and those that follow: less it, they are codes
        self._row = 0
        self._dictionaries: list[_Dictionary] = []  # those last seen, since batches tend to share theirs
        for value in values:
            self.code(value)

    def __len__(self) -> int:
        return len(self.values)

    def __contains__(self, value: Value) -> bool:
        if _is_small(value):
            return value < len(self._direct) and bool(self._direct[value] >= 0)
        return (type(value), value) in self._positions

    @property
    def so_far(self) -> tuple[Value, ...]:
        """The values up to now: the very same tuple for as long as no new one comes, which makes comparing it cheap."""
        if len(self._so_far) != len(self.values):
            self._so_far = tuple(self.values)
        return self._so_far

    @property
    def rising(self) -> bool:
        """Whether the values are known to rise, without a look at them: an integer and those that follow it."""
        return self._row == len(self.values)

    def code(self, value: Value) -> int:
        """The code of one value, a new one if it was never seen; NaN is coded as None."""
        if _is_small(value):
            if value not in self:
                self._add_small(np.array([value]))
            return int(self._direct[value])
        if isinstance(value, float) and value != value:
            value = None  # a NaN equals nothing, so every batch would bring a new cell
        key = (type(value), value)
        found = self._positions.get(key)
        if found is None:
            found = self._positions[key] = len(self.values)
            self.values.append(value)
        return found

    def encode(self, column: pa.Array) -> Codes:
        """The codes of a column (bool, integer, float or text; nulls and NaN are the value None), one per row.

        Other types are coded by their text. An empty column gives empty codes.
        """
        if pa.types.is_integer(column.type) and column.null_count == 0 and len(column):
            fast = self._encode_small(column.to_numpy())
            if fast is not None:
                return Codes(fast, self.so_far)
        if not pa.types.is_dictionary(column.type):
            column = plain(column).dictionary_encode(null_encoding="encode")
            return Codes(self._mapped(self._coded(column.dictionary), column.indices), self.so_far)
        return Codes(self._mapped(self._known(column.dictionary), column.indices), self.so_far)

    def _encode_small(self, numbers: NDArray[Any]) -> NDArray[np.integer[Any]] | None:
        wide: NDArray[np.int64] = numbers.astype(np.int64, copy=False)
        largest = int(wide.view(np.uint64).max())  # of which negative numbers are the largest: one look finds both
        if largest >= _DIRECT:
            return None
        codes = self._looked_up(wide, largest)
        if codes is None:
            self._make_room(largest)
            self._add_small(np.flatnonzero(_seen(wide, largest) & (self._direct[: largest + 1] < 0)))
            codes = self._looked_up(wide, largest)
        return codes

    def _looked_up(self, numbers: NDArray[np.int64], largest: int) -> NDArray[np.integer[Any]] | None:
        """The codes of small integers; None where one of them is new."""
        lowest = self._lowest
        if largest < lowest + self._row and (not lowest or int(numbers.min()) >= lowest):
            codes = numbers - lowest if lowest else numbers
        elif largest < len(self._direct):
            codes = self._direct.take(numbers)
            if int(codes.min()) < 0:
                return None
        else:
            return None
        if len(self) > _NARROW:
            return codes
        return codes.astype(np.int16)  # of which four are compared in the time of one

    def _add_small(self, new: NDArray[np.int64]) -> None:
        """Number small integers that were never seen, which rise."""
        if not len(new):
            return
        first = len(self.values)
        self._make_room(int(new[-1]))
        self._direct[new] = codes = np.arange(first, first + len(new))
        self.values.extend(new.tolist())
        if self._row == first:
            self._lowest = self._lowest if first else int(new[0])
            ends = (int(new[0]) - self._lowest, int(new[-1]) - self._lowest)
            whole = ends == (first, first + len(new) - 1)  # nothing is left out
            self._row += len(new) if whole else int(np.argmin(np.append(new - self._lowest == codes, False)))

    def _make_room(self, largest: int) -> None:
        if largest >= len(self._direct):
            grown = np.full(max(largest + 1, 2 * len(self._direct)), -1, dtype=np.int64)
            grown[: len(self._direct)] = self._direct
            self._direct = grown

    def _known(self, values: pa.Array) -> _Dictionary:
        """The codes of a dictionary's values, looked up once for as long as the batches have the same dictionary."""
        for known in self._dictionaries:
            if known.values.equals(values):
                return known
        found = self._coded(values)
        self._dictionaries = [found, *self._dictionaries[: _DICTIONARIES - 1]]
        return found

    def _coded(self, values: pa.Array) -> _Dictionary:
        codes = np.fromiter(map(self.code, plain(values).to_pylist()), np.int64, len(values))
        return _Dictionary(values, codes, np.array_equal(codes, np.arange(len(codes))))

    def _mapped(self, known: _Dictionary, indices: pa.Array) -> NDArray[np.integer[Any]]:
        codes = known.codes
        if indices.null_count:
            codes = np.append(codes, self.code(None))
            indices = indices.cast(pa.int64()).fill_null(len(codes) - 1)
        elif known.own:
            found = np.asarray(indices.to_numpy(zero_copy_only=False))  # as they are: no copy, unless they are narrow
            return found if found.dtype.itemsize >= 4 else found.astype(np.int64)
        return np.asarray(codes.take(indices.to_numpy(zero_copy_only=False)))


def _seen(numbers: NDArray[np.int64], largest: int) -> NDArray[np.bool_]:
    """Which of the numbers from 0 to the largest there are; mostly the first few rows have all of them."""
    seen = np.zeros(largest + 1, dtype=np.bool_)
    seen[numbers[: max(_SOME, 12 * len(seen))]] = True
    first = int(seen.argmax())
    if not seen[first:].all() or (first and int(numbers.min()) < first):
        seen[numbers] = True
    return seen


def _is_small(value: Value) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < _DIRECT


@dataclass(frozen=True)
class _Dictionary:
    """The values of a dictionary and their codes; ``own`` if the codes are 0, 1, 2 and so on."""

    values: pa.Array
    codes: NDArray[np.int64]
    own: bool


def plain(column: pa.Array) -> pa.Array:
    """The column in one of the types that values have: bool, integer, float or text.

    >>> import datetime
    >>> plain(pa.array([datetime.date(2026, 1, 31)])).to_pylist()
    ['2026-01-31']
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return plain(column.dictionary_decode())
    if pa.types.is_null(kind) or pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return column
    return column.cast(pa.string())
