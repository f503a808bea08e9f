"""Distinct values, numbered in the order they first appear, over all batches and columns that share a vocabulary."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gate.core.outcomes import Codes, Value

_DIRECT = 1 << 20


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
        self._positions: dict[tuple[type, Value], int] = {}
        self._direct = np.full(0, -1, dtype=np.int64)  # small integers look up their code without hashing
        for value in values:
            self.code(value)

    def __len__(self) -> int:
        return len(self.values)

    def __contains__(self, value: Value) -> bool:
        return (type(value), value) in self._positions

    def code(self, value: Value) -> int:
        """The code of one value, a new one if it was never seen; NaN is coded as None."""
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
                return Codes(fast, self.values)
        if not pa.types.is_dictionary(column.type):
            column = plain(column).dictionary_encode(null_encoding="encode")
        local = np.fromiter((self.code(value) for value in plain(column.dictionary).to_pylist()), dtype=np.int64)
        indices = column.indices
        if indices.null_count:
            local = np.append(local, self.code(None))
            indices = indices.fill_null(len(local) - 1)
        return Codes(local[indices.to_numpy(zero_copy_only=False)], self.values)

    def _encode_small(self, numbers: NDArray[Any]) -> NDArray[np.int64] | None:
        smallest, largest = int(numbers.min()), int(numbers.max())
        if smallest < 0 or largest >= _DIRECT:
            return None
        if largest >= len(self._direct):
            grown = np.full(max(largest + 1, 2 * len(self._direct)), -1, dtype=np.int64)
            grown[: len(self._direct)] = self._direct
            self._direct = grown
        codes: NDArray[np.int64] = self._direct[numbers]
        if codes.size and codes.min() < 0:
            for number in np.unique(numbers[codes < 0]).tolist():
                self._direct[number] = self.code(number)
            codes = self._direct[numbers]
        return codes


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
