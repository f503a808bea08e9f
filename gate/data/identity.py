"""Row ids are present and unique: checked in 8 bytes an id."""

from __future__ import annotations

from array import array as growing
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gate.errors import EvidenceError, Problem, datum

_SHOWN = 5
_AT_ONCE = 100_000  # apparent duplicates that one second reading settles
_PART = 1 << 20  # sorted keys that are held against one another at once
_ROOM = 16 << 20  # bytes to lay texts out side by side for hashing

_Keys = np.ndarray[Any, np.dtype[np.int64]]


class UniqueIds:
    """Notices ids that are null or occur twice.

    ``update`` takes the id column batch by batch, ``check`` speaks. Integers, booleans and temporal values are kept as
    they are, everything else as a 64-bit hash; 8 bytes an id either way. Ids that look the same only by their hash are
    told apart by a second reading. NaN counts as null. ``where`` names the column in messages.

    >>> ids = UniqueIds(where="holdout.parquet: column 'id'")
    >>> ids.update(pa.array(["a", "b", "a"]), first_row=0)
    >>> ids.check(lambda: iter([pa.array(["a", "b", "a"])]))
    Traceback (most recent call last):
    ...
    gate.errors.EvidenceError: holdout.parquet: column 'id': 2 rows share their id with another row: 'a' in rows 0, 2
      -> one row, one id; rows are counted from 0
    """

    def __init__(self, *, where: str = "") -> None:
        self._where = where
        self._keys = growing("q")
        self._ascending = True
        self._type: pa.DataType | None = None
        self._nulls = 0
        self._null_rows: list[int] = []

    def update(self, ids: pa.Array, first_row: int) -> None:
        """Add the ids of the rows from ``first_row`` on. A type that cannot be an id is an :class:`EvidenceError`."""
        ids = _plain(ids)
        if self._type is None:
            self._type = ids.type
        elif ids.type != self._type:
            raise EvidenceError(f"ids of type {ids.type} after ids of type {self._type}", where=self._where)
        missing = ids.is_null(nan_is_null=True)
        if nulls := missing.true_count:
            self._nulls += nulls
            room = _SHOWN - len(self._null_rows)
            at = np.flatnonzero(missing.to_numpy(zero_copy_only=False))[: max(room, 0)]
            self._null_rows += [first_row + int(row) for row in at]
            ids = ids.filter(pc.invert(missing))
        if not len(ids):
            return
        keys = _keys(ids, self._where)
        if self._ascending:
            self._ascending = bool((keys[1:] > keys[:-1]).all()) and (not self._keys or self._keys[-1] < keys[0])
        self._keys.frombytes(keys.data.cast("B"))

    def check(self, reread: Callable[[], Iterator[pa.Array]]) -> None:
        """Raise an :class:`EvidenceError` if an id is null or occurs twice; no rows at all pass.

        ``reread`` gives the same id column once more, in batches; it is called only where something looks wrong.
        """
        problems = []
        if self._nulls:
            rows = ", ".join(str(row) for row in self._null_rows)
            more = f" and {self._nulls - len(self._null_rows)} more" if self._nulls > len(self._null_rows) else ""
            many = "1 row has" if self._nulls == 1 else f"{self._nulls} rows have"
            problems.append(
                Problem(f"{many} no id: row {rows}{more}", self._where, "every row needs one; rows are counted from 0")
            )
        if found := self._duplicates(reread):
            problems.append(Problem(found, self._where, "one row, one id; rows are counted from 0"))
        if problems:
            raise EvidenceError(problems=problems)

    def _duplicates(self, reread: Callable[[], Iterator[pa.Array]]) -> str:
        if self._ascending:
            return ""
        keys = np.frombuffer(self._keys, np.int64)
        keys.sort()  # in place: the order is not needed again, since the second reading knows the rows
        repeats, repeated = _repeats(keys)
        self._ascending = not repeats
        involved = repeats + len(repeated)
        for start in range(0, len(repeated), _AT_ONCE):
            some = repeated[start : start + _AT_ONCE]
            expected = int((np.searchsorted(keys, some, "right") - np.searchsorted(keys, some, "left")).sum())
            seen = _Seen(some, self._where)
            row = 0
            for ids in reread():
                seen.update(_plain(ids), row)
                row += len(ids)
            if seen.rows != expected:
                raise EvidenceError("the ids changed while they were read", where=self._where)
            involved -= seen.rows - seen.involved
            if seen.involved:
                return f"{involved} rows share their id with another row: {seen.examples()}"
        return ""


def _repeats(keys: _Keys) -> tuple[int, _Keys]:
    """How many of the sorted keys are those before them, and which: looked at in parts, since a flag each is memory."""
    number, found = 0, [keys[:0]]
    for start in range(1, len(keys), _PART):
        part = keys[start : start + _PART]
        same = part == keys[start - 1 : start - 1 + len(part)]
        if same.any():
            number += int(same.sum())
            found.append(np.unique(part[same]))
    return number, np.unique(np.concatenate(found))


class _Seen:
    """What a second reading finds among the ids whose keys occur twice."""

    def __init__(self, keys: _Keys, where: str) -> None:
        self.rows = 0
        self._keys = keys
        self._where = where
        self._counts: dict[Any, int] = {}
        self._at: dict[Any, list[int]] = {}

    def update(self, ids: pa.Array, first_row: int) -> None:
        present = pc.invert(ids.is_null(nan_is_null=True))
        rows = np.flatnonzero(present.to_numpy(zero_copy_only=False)) + first_row
        ids = ids.filter(present)
        if not len(ids):
            return
        keys = _keys(ids, self._where)
        place = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        hit = self._keys[place] == keys
        self.rows += int(hit.sum())
        encoded = ids.filter(pa.array(hit)).dictionary_encode()
        codes = encoded.indices.to_numpy()
        order = np.argsort(codes, kind="stable")
        ends = np.cumsum(np.bincount(codes, minlength=len(encoded.dictionary)))
        start = 0
        for value, end in zip(encoded.dictionary.to_pylist(), ends.tolist(), strict=True):
            self._counts[value] = self._counts.get(value, 0) + end - start
            at = self._at.setdefault(value, [])
            at += rows[hit][order[start : min(end, start + _SHOWN - len(at))]].tolist() if len(at) < _SHOWN else []
            start = end

    @property
    def involved(self) -> int:
        return sum(count for count in self._counts.values() if count > 1)

    def examples(self) -> str:
        twice = [value for value, count in self._counts.items() if count > 1]
        shown = []
        for value in twice[:_SHOWN]:
            more = self._counts[value] - len(self._at[value])
            rows = ", ".join(str(row) for row in self._at[value]) + (f" and {more} more" if more else "")
            shown.append(f"{datum(value)} in rows {rows}")
        return "; ".join(shown) + ("; ..." if len(twice) > _SHOWN else "")


def _plain(ids: pa.Array) -> pa.Array:
    if isinstance(ids, pa.ChunkedArray):
        ids = ids.combine_chunks()
    if pa.types.is_dictionary(ids.type):
        ids = ids.dictionary_decode()
    if pa.types.is_string_view(ids.type):
        return ids.cast(pa.large_string())
    return ids.cast(pa.large_binary()) if pa.types.is_binary_view(ids.type) else ids


def _keys(ids: pa.Array, where: str) -> _Keys:
    """64 bits for each id (none is null): the same for the same id, wherever it stands."""
    type_ = ids.type
    if pa.types.is_integer(type_) or pa.types.is_boolean(type_):
        values = ids.cast(pa.int8() if pa.types.is_boolean(type_) else type_).to_numpy(zero_copy_only=False)
        keys: _Keys = values.astype(np.uint64 if type_ == pa.uint64() else np.int64).view(np.int64)
        return keys
    if pa.types.is_temporal(type_) and not pa.types.is_interval(type_):
        keys = ids.view(pa.int64() if type_.bit_width == 64 else pa.int32()).to_numpy().astype(np.int64)
        return keys
    if pa.types.is_floating(type_):
        keys = (ids.cast(pa.float64()).to_numpy() + 0.0).view(np.int64)  # + 0.0: -0.0 is the id 0.0
        return keys
    if pa.types.is_decimal(type_):
        ids = ids.cast(pa.string())
    elif pa.types.is_fixed_size_binary(type_):
        ids = ids.cast(pa.binary())
    elif not (_is_text(type_) or pa.types.is_binary(type_) or pa.types.is_large_binary(type_)):
        raise EvidenceError(f"ids of type {type_}", where=where, hint="an id is a number, a text, a date or bytes")
    return _hashed(ids.cast(pa.large_binary()))


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


def _hashed(ids: pa.Array) -> _Keys:
    offsets = np.frombuffer(ids.buffers()[1], np.int64, len(ids) + 1, ids.offset * 8)
    data = ids.buffers()[2]
    octets = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
    keys = np.empty(len(ids), np.uint64)
    width = (int(np.diff(offsets).max()) + 7) // 8 * 8 or 8
    step = max(1, _ROOM // width)
    for start in range(0, len(ids), step):
        part = offsets[start : start + step + 1]
        keys[start : start + step] = _hashed_side_by_side(octets[part[0] : part[-1]], np.diff(part), width)
    return keys.view(np.int64)


def _hashed_side_by_side(octets: Any, lengths: Any, width: int) -> Any:
    # Each text is padded with zeros to the same width, and the 8-byte words are mixed in one after the other, for all
    # texts at once. The mixing is SplitMix64 (Steele, Lea and Flood 2014).
    padded = np.zeros((len(lengths), width), np.uint8)
    if lengths.min() == width:
        padded = octets.reshape(len(lengths), width)
    else:
        padded[np.arange(width) < lengths[:, None]] = octets
    words = np.ascontiguousarray(padded).view("<u8")
    keys = lengths.astype(np.uint64)
    for position in range(words.shape[1]):
        mixed = keys ^ words[:, position]
        mixed += np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(30)
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(27)
        mixed *= np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
        # Words of padding are not mixed in: the key of a text must not depend on the longest one beside it.
        np.copyto(keys, mixed, where=lengths > 8 * position)
    return keys
