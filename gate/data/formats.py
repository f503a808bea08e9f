"""The file formats of a held-out set. Each one tells a file's schema, and yields its rows in order.

A format is a pair of functions: ``schema(file)`` and ``chunks(file, schema, columns, rows)``. The chunks have whatever
size the format likes; :mod:`gate.data.tables` cuts them to measure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from gate.data.locations import File, reading
from gate.errors import EvidenceError, datum

# The types of a text file are inferred from its first block, and a row must fit into one. Large enough to see a rare
# decimal point among integers, small enough to be forgotten beside a model.
_BLOCK = 16 << 20

_COMPRESSED = (".gz", ".bz2", ".zst", ".lz4")


class Format(Protocol):
    """Reads one kind of file."""

    def schema(self, file: File) -> pa.Schema:
        """The columns of the file, without reading its rows where the format allows."""

    def chunks(self, file: File, schema: pa.Schema, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """The rows in file order, with at least ``columns``. ``rows`` is a wish, not a promise."""


@dataclass(frozen=True)
class Parquet:
    """Apache Parquet. Read column by column within a row group, never a whole file at once."""

    def schema(self, file: File) -> pa.Schema:
        with self._open(file) as parquet:
            return parquet.schema_arrow

    def chunks(self, file: File, schema: pa.Schema, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        with self._open(file) as parquet:
            for batch in parquet.iter_batches(batch_size=rows, columns=list(columns)):
                batch.validate(full=True)  # the reader itself does not look at UTF-8
                yield batch

    def rows(self, file: File) -> int:
        """How many rows the file has, by its table of contents."""
        with self._open(file) as parquet:
            return int(parquet.metadata.num_rows)

    def _open(self, file: File) -> pa.parquet.ParquetFile:
        # Without pre-buffering: it would keep the bytes of all row groups until the end.
        return pa.parquet.ParquetFile(file.seekable(), pre_buffer=False)


@dataclass(frozen=True)
class Arrow:
    """Feather version 2 and Arrow IPC, files and streams. Not memory-mapped: a file cut short while it is mapped kills
    the process, and a held-out set may change while it is read."""

    def schema(self, file: File) -> pa.Schema:
        with self._open(file, None) as reader:
            return reader.schema

    def chunks(self, file: File, schema: pa.Schema, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        with reading(file.shown):
            own = self.schema(file).names
        wanted = [position for position, name in enumerate(own) if name in set(columns)]
        with self._open(file, wanted) as reader:
            is_file = isinstance(reader, pa.ipc.RecordBatchFileReader)
            for batch in (reader.get_batch(i) for i in range(reader.num_record_batches)) if is_file else reader:
                batch.validate(full=True)  # offsets out of bounds would be read as they are
                yield batch

    def _open(
        self, file: File, fields: list[int] | None
    ) -> pa.ipc.RecordBatchFileReader | pa.ipc.RecordBatchStreamReader:
        options = pa.ipc.IpcReadOptions(included_fields=fields)
        source = file.seekable()
        magic = source.read(6)
        source.seek(0)
        if magic[:4] == b"FEA1":
            raise EvidenceError("Feather version 1", where=file.shown, hint="write it as Feather version 2 or Parquet")
        if magic == b"ARROW1":
            return pa.ipc.open_file(source, options=options)
        return pa.ipc.open_stream(source, options=options)


@dataclass(frozen=True)
class Csv:
    """Delimited text in UTF-8 with a header. Types are inferred from the first block and hold for the whole file.

    An empty or ``NA`` field is null, in a column of text too; in quotes it is text.
    """

    delimiter: str = ","

    def schema(self, file: File) -> pa.Schema:
        with file.stream() as source:
            start = source.read(4)
            if start[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in start:
                raise EvidenceError("not UTF-8 (it looks like UTF-16)", where=file.shown, hint="save the file as UTF-8")
        with reading(file.shown, self._explain), self._open(file, None, None) as reader:
            schema = reader.schema
        for name in schema.names:
            name.encode()
            if "\x00" in name:
                raise EvidenceError("a zero byte in the header: this is no text", where=file.shown)
        for field in schema:
            if pa.types.is_binary(field.type):
                # Arrow infers binary exactly where a text is not UTF-8.
                raise EvidenceError(
                    f"column {field.name!r} is not UTF-8", where=file.shown, hint="save the file as UTF-8"
                )
        return schema

    def chunks(self, file: File, schema: pa.Schema, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        explain = partial(self._explain, names=schema.names)
        with reading(file.shown, explain), self._open(file, schema, columns) as reader:
            yield from reader

    def _open(self, file: File, schema: pa.Schema | None, columns: Sequence[str] | None) -> pa.csv.CSVStreamingReader:
        # One thread: only then do Arrow's messages carry the row, and readahead stays at one block.
        return pa.csv.open_csv(
            file.stream(),
            read_options=pa.csv.ReadOptions(use_threads=False, block_size=_BLOCK),
            parse_options=pa.csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                column_types={field.name: field.type for field in schema} if schema is not None else None,
                include_columns=list(columns) if columns is not None else None,
            ),
        )

    def _explain(self, said: str, names: Sequence[str] = ()) -> str:
        if found := re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", said):
            return f"row {int(found[1]) - 2}: expected {found[2]} fields, found {found[3]}{_FROM_ZERO}"
        if found := re.search(r"In CSV column #(\d+): (?:Row #(\d+): )?CSV conversion error to (.*)", said):
            number = int(found[1])
            column = repr(names[number]) if number < len(names) else f"number {number}"
            row = f"row {int(found[2]) - 2}, " if found[2] else ""
            type_, _, value = found[3].partition(":")
            quoted = datum(f": {value.strip()}", str) if value else ""
            tail = "not UTF-8" if "UTF8" in found[3] else f"not of type {type_}{quoted}, as the rows before it are"
            return f"{row}column {column}: {tail}{_FROM_ZERO if row else ''}"
        return _explain_text(said, "CSV")


@dataclass(frozen=True)
class JsonLines:
    """One JSON object a line, in UTF-8. Types are inferred from the first block and hold for the whole file."""

    def schema(self, file: File) -> pa.Schema:
        with reading(file.shown, lambda said: self._explain(said, 0)), self._open(file, None) as reader:
            return reader.schema

    def chunks(self, file: File, schema: pa.Schema, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        done = 0
        with reading(file.shown, lambda said: self._explain(said, done)), self._open(file, schema) as reader:
            for batch in reader:
                batch.validate(full=True)  # the parser does not look at UTF-8
                yield batch
                done += batch.num_rows

    def _open(self, file: File, schema: pa.Schema | None) -> pa.json.JSONStreamingReader:
        return pa.json.open_json(
            file.stream(),
            read_options=pa.json.ReadOptions(use_threads=False, block_size=_BLOCK),
            parse_options=pa.json.ParseOptions(
                explicit_schema=schema, unexpected_field_behavior="infer" if schema is None else "error"
            ),
        )

    def _explain(self, said: str, done: int) -> str:
        if "Column() changed from" in said:
            return "not JSON Lines: each line must be one object"
        if found := re.search(r"JSON parse error: (?:Column\(/(.*?)\) )?(.*?)\.? in row (\d+)", said):
            column = f", column {found[1]!r}" if found[1] else ""
            return f"row {done + int(found[3])}{column}: {found[2]}{_FROM_ZERO}"
        if "unexpected field" in said:
            return f"after row {done}: a field that the first rows do not have"
        return _explain_text(said, "JSON Lines")


_FROM_ZERO = " (rows are counted from 0)"


def _explain_text(said: str, name: str) -> str:
    if "Empty" in said:
        return f"empty file: no {name} in it"
    if "straddling object" in said:
        return f"a row of more than {_BLOCK >> 20} MiB, or a quote that is never closed"
    return datum(said, str)


FORMATS: dict[str, Format] = {
    ".parquet": Parquet(),
    ".pq": Parquet(),
    ".feather": Arrow(),
    ".arrow": Arrow(),
    ".arrows": Arrow(),
    ".ipc": Arrow(),
    ".csv": Csv(),
    ".tsv": Csv("\t"),
    ".jsonl": JsonLines(),
    ".ndjson": JsonLines(),
    ".json": JsonLines(),
}


def format_of(file: File) -> Format:
    """The format that a file's name ends with; a text file may be compressed on top (``.csv.gz``).

    Any other ending is an :class:`EvidenceError`.
    """
    shown = file.shown.lower()  # a signed link's path goes on with its secrets
    name = shown.rsplit("/", 1)[-1]
    for ending in _COMPRESSED:
        name = name.removesuffix(ending)
    suffix = "." + name.rsplit(".", 1)[-1] if "." in name else ""
    found = FORMATS.get(suffix)
    compressed = shown.endswith(_COMPRESSED)
    if found is None or (compressed and isinstance(found, (Parquet, Arrow))):
        raise EvidenceError(
            "unknown format" + (f" {suffix!r}" if suffix else ": the name has no ending"),
            where=file.shown,
            hint=f"one of {', '.join(FORMATS)}; the text formats may end with {' '.join(_COMPRESSED)} too",
        )
    return found
