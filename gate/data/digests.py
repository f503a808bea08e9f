"""SHA-256 of what a held-out set says, whatever file says it; and of a file's bytes."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gate.errors import EvidenceError, UsageError

_VERSION = b"gate content digest 1\n"
_CHUNK = 1 << 20


class ContentDigest:
    """SHA-256 over the content of a table: names, types, values, nulls and the order of rows and columns.

    It does not depend on how the rows are cut into batches, nor on how a format keeps them: dictionaries are decoded,
    text with small, large or view offsets is the same text, seconds count as milliseconds and dates as date64 (as
    Parquet writes them), every NaN is the same NaN. 0.0 and -0.0 differ, and so do null and any value.

    Each column, and each level of a nested one, has three streams: the positions of the nulls, the lengths, and the
    values that are not null. The digest is the SHA-256 of the schema, the row count and the streams' digests.

    ``schema`` gives an empty table its own digest; without it, the schema is that of the first batch, and no batch at
    all has the digest of a table without columns. A type that is not supported (union, interval of days) and a batch
    with another schema are an :class:`EvidenceError`.

    >>> whole, halves = ContentDigest(), ContentDigest()
    >>> batch = pa.record_batch({"id": [1, 2], "label": ["a", None]})
    >>> whole.update(batch)
    >>> halves.update(batch.slice(0, 1))
    >>> halves.update(batch.slice(1, 1))
    >>> whole.hexdigest() == halves.hexdigest(), whole.rows
    (True, 2)
    """

    def __init__(self, schema: pa.Schema | None = None) -> None:
        self.rows = 0
        self._columns: list[tuple[str, _Column]] | None = None
        if schema is not None:
            self._begin(schema)

    def update(self, batch: pa.RecordBatch) -> None:
        """Add the rows of ``batch`` after those before it. Errors: see the class."""
        if self._columns is None:
            self._begin(batch.schema)
        assert self._columns is not None
        if len(self._columns) != batch.num_columns:
            raise EvidenceError(f"{batch.num_columns} columns after batches of {len(self._columns)}")
        for (name, column), field, array in zip(self._columns, batch.schema, batch.columns, strict=True):
            if field.name != name:
                raise EvidenceError(f"column {field.name!r} where the batches before have {name!r}")
            if (kind := _kind(field.type, name)) != column.kind:
                raise EvidenceError(f"column {name!r} is {kind} here, and {column.kind} in the batches before")
            column.update(array)
        self.rows += batch.num_rows

    def hexdigest(self) -> str:
        """64 hexadecimal digits for the rows so far; more may follow."""
        columns = self._columns or []
        schema = json.dumps([[name, column.kind] for name, column in columns], ensure_ascii=True)
        total = hashlib.sha256(_VERSION + schema.encode() + f"\n{self.rows}\n".encode())
        for _, column in columns:
            column.finish(total)
        return total.hexdigest()

    def _begin(self, schema: pa.Schema) -> None:
        self._columns = [(field.name, _Column(field.type, field.name)) for field in schema]


def file_digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a local file's bytes, as 64 hexadecimal digits.

    An empty file gives the SHA-256 of nothing. A file that does not exist is a :class:`UsageError`, one that cannot be
    read an :class:`EvidenceError`.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     empty = pathlib.Path(folder, "empty")
    ...     empty.touch()
    ...     file_digest(empty)[:8]
    'e3b0c442'
    """
    digest = hashlib.sha256()
    room = memoryview(bytearray(_CHUNK))
    try:
        with open(path, "rb", buffering=0) as file:
            while count := file.readinto(room):
                digest.update(room[:count])
    except FileNotFoundError as error:
        raise UsageError("no such file", where=os.fspath(path), hint="check the path") from error
    except OSError as error:
        raise EvidenceError(f"cannot be read: {error.strerror}", where=os.fspath(path)) from error
    return digest.hexdigest()


class _Column:
    """The streams of one column, or of one level of a nested column."""

    def __init__(self, type_: pa.DataType, name: str) -> None:
        self.kind = _kind(type_, name)
        self._type = _plain(type_)
        self._children = [_Column(child, name) for child in _children(self._type)]
        self._nulls = hashlib.sha256()
        self._lengths = hashlib.sha256()
        self._values = hashlib.sha256()
        self._seen = 0

    def update(self, array: pa.Array) -> None:
        seen = self._seen
        self._seen += len(array)
        if pa.types.is_null(self._type):
            return
        array = _plain_array(array, self._type)
        if array.null_count:
            # Positions, not one flag a row: a column without nulls then costs nothing, and the values left are
            # contiguous, so that the bytes hidden beneath a null cannot matter.
            at = np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False)) + seen
            self._nulls.update(at.astype("<i8", copy=False).data)
            array = array.drop_null()
        if len(array):
            self._add(array)

    def finish(self, total: Any) -> None:
        """Add this column's three digests to ``total``, then those of its children."""
        for stream in (self._nulls, self._lengths, self._values):
            total.update(stream.digest())
        for child in self._children:
            child.finish(total)

    def _add(self, array: pa.Array) -> None:
        type_ = self._type
        if pa.types.is_boolean(type_):
            self._values.update(_fixed(array.cast(pa.uint8()), 1))
        elif pa.types.is_floating(type_):
            self._values.update(_one_nan(array.to_numpy()).data)
        elif pa.types.is_large_binary(type_):
            offsets = np.frombuffer(array.buffers()[1], "<i8", len(array) + 1, array.offset * 8)
            self._lengths.update(_lengths(np.diff(offsets)))
            data = array.buffers()[2]
            if data is not None:
                self._values.update(memoryview(data)[offsets[0] : offsets[-1]])
        elif pa.types.is_fixed_size_list(type_):
            self._children[0].update(array.flatten())
        elif pa.types.is_struct(type_):
            for child, values in zip(self._children, array.flatten(), strict=True):
                child.update(values)
        elif self._children:
            self._lengths.update(_lengths(pc.list_value_length(array).to_numpy()))
            self._children[0].update(array.flatten())
        else:
            self._values.update(_fixed(array, type_.byte_width))


def _fixed(array: pa.Array, width: int) -> memoryview:
    start = array.offset * width
    return memoryview(array.buffers()[1])[start : start + len(array) * width]


def _one_nan(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    with np.errstate(invalid="ignore"):
        clean = not np.isnan(values.min())  # min() carries a NaN along, and allocates nothing
    if clean:
        return values
    return np.where(np.isnan(values), values.dtype.type("nan"), values)


def _lengths(lengths: np.ndarray[Any, Any]) -> memoryview:
    if lengths.size and int(lengths.max()) > 0xFFFFFFFF:
        raise EvidenceError("a value of more than 4 GiB")
    return lengths.astype("<u4").data


# Encodings of the same values are made one before they are hashed. Parquet keeps no seconds and no date64.
def _plain(type_: pa.DataType) -> pa.DataType:
    types = pa.types
    if isinstance(type_, pa.BaseExtensionType):
        return _plain(type_.storage_type)
    if types.is_dictionary(type_) or types.is_run_end_encoded(type_):
        return _plain(type_.value_type)
    if types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_):
        return pa.large_binary()
    if types.is_binary(type_) or types.is_large_binary(type_) or types.is_binary_view(type_):
        return pa.large_binary()
    if types.is_timestamp(type_) and type_.unit == "s":
        return pa.timestamp("ms", type_.tz)
    if types.is_time32(type_):
        return pa.time32("ms")
    if types.is_date32(type_):
        return pa.date64()
    if types.is_map(type_):
        return pa.list_(pa.struct([pa.field("key", type_.key_type, False), pa.field("value", type_.item_type)]))
    return type_


def _plain_array(array: pa.Array, plain: pa.DataType) -> pa.Array:
    if isinstance(array.type, pa.BaseExtensionType):
        return _plain_array(array.storage, plain)
    if pa.types.is_dictionary(array.type):
        return _plain_array(array.dictionary_decode(), plain)
    if pa.types.is_run_end_encoded(array.type):
        return _plain_array(pc.run_end_decode(array), plain)
    if pa.types.is_map(array.type):
        return array.cast(plain)
    if array.type == plain or pa.types.is_nested(array.type):
        return array
    if pa.types.is_string_view(array.type):
        array = array.cast(pa.large_string())
    return array.cast(plain)


def _children(plain: pa.DataType) -> list[pa.DataType]:
    if pa.types.is_struct(plain):
        return [plain.field(position).type for position in range(plain.num_fields)]
    return [plain.value_type] if pa.types.is_nested(plain) else []


def _kind(type_: pa.DataType, column: str) -> str:
    """The type by a name that does not tell one encoding from another."""
    types = pa.types
    plain = _plain(type_)
    if types.is_large_binary(plain):
        return "text" if _is_text(type_) else "bytes"
    if types.is_struct(plain):
        fields = (plain.field(position) for position in range(plain.num_fields))
        return "struct<" + ", ".join(f"{json.dumps(item.name)}: {_kind(item.type, column)}" for item in fields) + ">"
    if types.is_fixed_size_list(plain):
        return f"list<{_kind(plain.value_type, column)}>[{plain.list_size}]"
    if (
        types.is_list(plain)
        or types.is_large_list(plain)
        or types.is_list_view(plain)
        or types.is_large_list_view(plain)
    ):
        return f"list<{_kind(plain.value_type, column)}>"
    if types.is_null(plain) or (types.is_primitive(plain) and not types.is_interval(plain)) or types.is_decimal(plain):
        return str(plain)
    if types.is_fixed_size_binary(plain):
        return str(plain)
    raise EvidenceError(
        f"column {column!r} has the type {type_}, which has no digest", hint="leave it out, or cast it to another type"
    )


def _is_text(type_: pa.DataType) -> bool:
    if isinstance(type_, pa.BaseExtensionType):
        return _is_text(type_.storage_type)
    if pa.types.is_dictionary(type_) or pa.types.is_run_end_encoded(type_):
        return _is_text(type_.value_type)
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_))
