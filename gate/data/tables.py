"""A held-out set as Arrow: opened once, read as often as needed, in batches of one size."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from gate.data.formats import Parquet, format_of
from gate.data.locations import File, find_files, reading
from gate.data.pictures import SHAPE
from gate.errors import EvidenceError, datum, did_you_mean

_IN_MEMORY = "(in memory)"
_Chunks = Callable[[Sequence[str], int], Iterator[pa.RecordBatch]]


@dataclass(frozen=True)
class Table:
    """Rows that can be read again and again, never all of them at once.

    ``uri`` is the source as it was given, without credentials; ``schema`` has at least one column, and no name twice.
    Made by :func:`open_table`.
    """

    uri: str
    schema: pa.Schema
    _chunks: _Chunks = field(repr=False, compare=False)
    _known: Callable[[], int | None] = field(default=lambda: None, repr=False, compare=False)

    @property
    def known_rows(self) -> int | None:
        """How many rows there are, where that can be told without reading them: in memory, and of Parquet files.

        >>> open_table(pa.table({"id": [1, 2, 3]})).known_rows
        3
        """
        return self._known()

    def batches(self, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows in file order, ``rows`` at a time: every batch has exactly that many but the last.

        ``columns`` picks columns and their order; None gives all. Where a file's row groups or a table's chunks end
        does not show. No rows give no batch. Each call reads again from the start.
        A column that does not exist, and a file that turns out to be damaged on the way, are an
        :class:`EvidenceError`.

        >>> table = open_table(pa.table({"id": [1, 2, 3], "label": ["a", "b", "a"]}))
        >>> [batch.to_pydict() for batch in table.batches(2, ["label"])]
        [{'label': ['a', 'b']}, {'label': ['a']}]
        """
        if rows < 1:
            raise ValueError(f"a batch has at least one row, not {rows}")
        wanted = self.schema.names if columns is None else list(dict.fromkeys(columns))
        if not wanted:
            raise ValueError("no columns asked for")
        for name in wanted:
            if name not in self.schema.names:
                raise EvidenceError(f"no column {name!r}{did_you_mean(name, self.schema.names)}", where=self.uri)
        return _rebatched(self._chunks(wanted, rows), rows)


def open_table(source: str | os.PathLike[str] | pa.Table | Any, *, what: str = "held-out set") -> Table:
    """Open a file, a folder of files of one format, an Arrow table or a pandas DataFrame (whose index is left out).

    Parquet, CSV and TSV, Feather and Arrow IPC, JSON Lines; the text formats also compressed. A local path, or a URI
    of ``pyarrow.fs`` or ``fsspec``. The first file's schema is the schema; a file without rows is fine. ``what`` names
    the source in messages. A path that does not exist is a :class:`UsageError`; an unreadable or empty file, an unknown
    format, no columns or a column name given twice are an :class:`EvidenceError`.

    >>> open_table(pa.table({"id": [1, 2]})).schema.names
    ['id']
    """
    if isinstance(source, pa.Table):
        return _in_memory(source)
    pandas = sys.modules.get("pandas")  # who has a DataFrame has imported it
    if pandas is not None and isinstance(source, pandas.DataFrame):
        repeated = sorted({str(name) for name in source.columns[source.columns.duplicated()]})
        if repeated:
            raise _repeated(repeated, _IN_MEMORY)
        with reading(_IN_MEMORY, lambda said: datum(said, str)):  # which quotes what it cannot convert
            return _in_memory(pa.Table.from_pandas(source, preserve_index=False))
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"the {what} is a path, a URI, an Arrow table or a DataFrame, not {type(source).__name__}")
    return _from_files(*find_files(source, what=what))


def _in_memory(table: pa.Table) -> Table:
    schema = _checked(table.schema, _IN_MEMORY)

    def chunks(columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        for chunk in table.select(list(columns)).to_batches():
            yield _conformed(chunk, schema, columns, _IN_MEMORY)

    return Table(_IN_MEMORY, schema, chunks, lambda: int(table.num_rows))


def _from_files(shown: str, files: tuple[File, ...]) -> Table:
    first, its_format = files[0], format_of(files[0])
    for file in files[1:]:
        if format_of(file) != its_format:
            raise EvidenceError(f"another format than {first.shown}", where=file.shown, hint="one format a folder")
    with reading(first.shown):
        written = its_format.schema(first)
    schema = _checked(written, first.shown)

    def chunks(columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        for file in files:
            with reading(file.shown):
                if file is not first:
                    _check_names(its_format.schema(file).names, schema.names, file.shown)
                for chunk in its_format.chunks(file, written, columns, rows):
                    yield _conformed(chunk, schema, columns, file.shown)

    def known() -> int | None:
        if isinstance(its_format, Parquet):
            with suppress(Exception):  # whoever reads it is told what is wrong with it
                return sum(its_format.rows(file) for file in files)
        return None

    return Table(shown, schema, chunks, known)


def _check_names(names: Sequence[str], first: Sequence[str], shown: str) -> None:
    missing = [repr(name) for name in first if name not in names]
    unknown = [repr(name) for name in names if name not in first]
    if missing or unknown:
        raise EvidenceError(
            "not the columns of the first file"
            + (f"; without {', '.join(missing[:5])}" if missing else "")
            + (f"; and also {', '.join(unknown[:5])}" if unknown else ""),
            where=shown,
        )


def _conformed(chunk: pa.RecordBatch, schema: pa.Schema, columns: Sequence[str], shown: str) -> pa.RecordBatch:
    """The chunk's ``columns`` in the types of ``schema``, which may only be another way to write the same values."""
    arrays = []
    for name in columns:
        array, wanted = chunk.column(name), schema.field(name).type
        if isinstance(array.type, pa.BaseExtensionType):
            array = array.storage
        if array.type != wanted:
            if not pa.types.is_null(array.type) and _plain(array.type) != _plain(wanted):
                raise EvidenceError(
                    f"column {name!r} is {array.type} here, and {wanted} in what comes before", where=shown
                )
            array = array.cast(wanted)
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema([schema.field(name) for name in columns]))


def _plain(type_: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    if pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return pa.string()
    return pa.binary() if pa.types.is_large_binary(type_) or pa.types.is_binary_view(type_) else type_


def _rebatched(chunks: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    held: list[pa.RecordBatch] = []
    missing = rows
    for chunk in chunks:
        start = 0
        while chunk.num_rows - start >= missing:
            held.append(chunk.slice(start, missing))
            yield _joined(held)
            start += missing
            held, missing = [], rows
        if start < chunk.num_rows:
            held.append(chunk.slice(start))
            missing -= chunk.num_rows - start
    if held:
        yield _joined(held)


def _joined(parts: list[pa.RecordBatch]) -> pa.RecordBatch:
    return parts[0] if len(parts) == 1 else pa.concat_batches(parts)


def _checked(schema: pa.Schema, shown: str) -> pa.Schema:
    if not schema.names:
        raise EvidenceError("no columns", where=shown)
    repeated = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if repeated:
        raise _repeated(repeated, shown)
    # Storage in place of extension types, and no metadata: what pandas or a framework noted there must not steer how
    # the gate reads the values.
    return pa.schema([pa.field(item.name, _storage(item.type), metadata=_shape(item.type)) for item in schema])


def _shape(type_: pa.DataType) -> dict[bytes, bytes] | None:
    """The shape of tensors, which their storage does not tell: only for who looks at them, models get flat lists."""
    if not isinstance(type_, pa.FixedShapeTensorType) or (type_.permutation or [0]) != sorted(type_.permutation or [0]):
        return None
    return {SHAPE: ",".join(map(str, type_.shape)).encode()}


def _storage(type_: pa.DataType) -> pa.DataType:
    if isinstance(type_, pa.BaseExtensionType):
        type_ = type_.storage_type
    if pa.types.is_string_view(type_):
        return pa.string()  # of which Arrow's functions know more
    return pa.binary() if pa.types.is_binary_view(type_) else type_


def _repeated(names: list[str], shown: str) -> EvidenceError:
    listed = ", ".join(repr(name) for name in names[:5])
    return EvidenceError(f"column names given twice: {listed}", where=shown, hint="rename or drop one of each pair")
