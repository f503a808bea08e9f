"""The flip matrix: how often each (label, incumbent output, candidate output) stands behind a flip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate.core.counts import grown, unite
from gate.core.outcomes import Codes, Value
from gate.errors import EvidenceError

Key = tuple[Value, Value, Value]

_BITS = 21
_MOST = 1 << _BITS  # three positions below it are one number of 63 bits
_Numbers = NDArray[np.int64]


class MatrixCounts(Mapping[Key, int]):
    """Counts by (label, incumbent output, candidate output), sparse; ``1``, ``1.0`` and ``True`` are three values.

    A plain dict would take those for one key and lose counts. Counts of one key add up; iteration is in the order in
    which the values first came; a key that is not there raises KeyError, as with any mapping.

    >>> matrix = MatrixCounts([((1, 1, 2), 3), ((True, True, 2), 4), ((1, 1, 2), 1)])
    >>> matrix[1, 1, 2], matrix[True, True, 2], len(matrix)
    (4, 4, 2)
    """

    def __init__(self, counts: Iterable[tuple[Key, int]] = ()) -> None:
        entries = list(counts)
        if not entries:
            self._set((), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
            return
        coded = Codes.of([value for key, _ in entries for value in key])
        rows = np.asarray([rows for _, rows in entries], dtype=np.int64)
        self._set(coded.values, *_summed(_packed(coded.codes.reshape(-1, 3).T), rows))

    def _set(self, values: Sequence[Value], keys: _Numbers, rows: _Numbers) -> None:
        # Kept as positions in ``values``, packed and sorted, since most of what is counted is only ever added up.
        self._values, self._keys, self._rows = values, keys, rows

    @classmethod
    def _made(cls, values: Sequence[Value], keys: _Numbers, rows: _Numbers) -> MatrixCounts:
        made = cls.__new__(cls)
        made._set(values, keys, rows)
        return made

    @classmethod
    def of(cls, label: Codes, incumbent: Codes, candidate: Codes, rows: NDArray[np.intp]) -> MatrixCounts:
        """Count the given rows of three coded columns.

        >>> codes = Codes.of(["a", "b", "a"])
        >>> dict(MatrixCounts.of(codes, codes, codes, np.array([0, 2])))
        {('a', 'a', 'a'): 2}
        """
        columns = (label, incumbent, candidate)
        values, positions = label.values, None
        if not all(column.values is values for column in columns):
            values, positions = unite([column.values for column in columns])
        codes = [column.codes.take(rows).astype(np.int64, copy=False) for column in columns]
        if positions is not None:
            codes = [at[code] for at, code in zip(positions, codes, strict=True)]
        if len(values) ** 3 <= 4 * len(rows):  # few enough to count by position rather than to sort
            return cls._made(values, *_counted(codes, len(values)))
        return cls._made(values, *_summed(_packed(codes)))

    @classmethod
    def added(cls, parts: Iterable[Mapping[Key, int]]) -> MatrixCounts:
        """The sum of several; none gives an empty one."""
        coded = [part if isinstance(part, MatrixCounts) else cls(part.items()) for part in parts]
        coded = [part for part in coded if len(part)]
        if len(coded) < 2:
            return coded[0] if coded else cls()
        keys = [part._keys for part in coded]
        values: Sequence[Value] | None = grown([part._values for part in coded])
        if values is None:
            values, positions = unite([part._values for part in coded])
            keys = [_packed([at[codes] for codes in _unpacked(key)]) for key, at in zip(keys, positions, strict=True)]
        return cls._made(values, *_summed(np.concatenate(keys), np.concatenate([part._rows for part in coded])))

    @cached_property
    def _counts(self) -> dict[tuple[Any, ...], int]:
        return {_typed(key): rows for key, rows in zip(self, self._rows.tolist(), strict=True)}

    def __getitem__(self, key: Key) -> int:
        return self._counts[_typed(key)]

    def __iter__(self) -> Iterator[Key]:
        values = self._values
        for label, incumbent, candidate in zip(*(codes.tolist() for codes in _unpacked(self._keys)), strict=True):
            yield values[label], values[incumbent], values[candidate]

    def __len__(self) -> int:
        return len(self._keys)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, MatrixCounts):
            return self._counts == other._counts
        return self._counts == MatrixCounts(other.items())._counts if isinstance(other, Mapping) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as a dict: equal by content, so not to be hashed

    def __repr__(self) -> str:
        return f"MatrixCounts({list(self.items())!r})"


def _typed(key: Key) -> tuple[Any, ...]:
    return (*key, *map(type, key))


def _packed(codes: Iterable[_Numbers]) -> _Numbers:
    """Three positions as one number; EvidenceError where there are too many values for that."""
    label, incumbent, candidate = codes
    largest = max((int(code.max()) for code in (label, incumbent, candidate) if code.size), default=0)
    if largest >= _MOST:
        raise EvidenceError(
            f"more than {_MOST:,} different labels and answers",
            where="held-out set",
            hint="classes that hardly any two rows share are no classes: is the task another one?",
        )
    return (label << (2 * _BITS)) | (incumbent << _BITS) | candidate


def _unpacked(keys: _Numbers) -> tuple[_Numbers, _Numbers, _Numbers]:
    return keys >> (2 * _BITS), (keys >> _BITS) & (_MOST - 1), keys & (_MOST - 1)


def _counted(codes: Sequence[_Numbers], size: int) -> tuple[_Numbers, _Numbers]:
    label, incumbent, candidate = codes
    dense = np.bincount((label * size + incumbent) * size + candidate, minlength=size**3)
    found = np.flatnonzero(dense)
    return _packed([found // (size * size), found // size % size, found % size]), dense[found]


def _summed(keys: _Numbers, rows: _Numbers | None = None) -> tuple[_Numbers, _Numbers]:
    """The distinct keys, sorted, and the sum of each one's rows; every key is one row where ``rows`` is None."""
    if not len(keys):
        return keys, np.zeros(0, dtype=np.int64)
    if rows is None:
        keys = np.sort(keys)
    else:
        order = np.argsort(keys, kind="stable")
        keys, rows = keys.take(order), rows.take(order)
    is_last = np.ones(len(keys), dtype=np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=is_last[:-1])
    last = np.flatnonzero(is_last)
    counts = last + 1 if rows is None else np.cumsum(rows).take(last)  # of all keys up to this one
    counts[1:] -= counts[:-1].copy()
    return keys.take(last), counts
