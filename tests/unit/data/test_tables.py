"""Claims about opening and batching a held-out set, sound or damaged."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.data import formats
from gate.data.locations import without_secrets
from gate.data.tables import open_table
from gate.errors import EvidenceError, UsageError

ROWS = pa.table({"id": list(range(10)), "label": [f"c{i % 3}" for i in range(10)], "x": [i / 4 for i in range(10)]})


def write_jsonl(table: pa.Table, path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()), encoding="utf-8")


def write_csv_gz(table: pa.Table, path: Path) -> None:
    with gzip.open(path, "wb") as file:
        pyarrow.csv.write_csv(table, file)


def write_ipc_stream(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=3)


WRITERS: dict[str, Callable[[pa.Table, Path], None]] = {
    ".parquet": lambda table, path: pq.write_table(table, path, row_group_size=4),
    ".feather": lambda table, path: pa.feather.write_feather(table, str(path), chunksize=3),
    ".arrow": lambda table, path: pa.feather.write_feather(table, str(path), compression="uncompressed"),
    ".arrows": write_ipc_stream,
    ".csv": lambda table, path: pyarrow.csv.write_csv(table, path),
    ".tsv": lambda table, path: pyarrow.csv.write_csv(table, path, pyarrow.csv.WriteOptions(delimiter="\t")),
    ".csv.gz": write_csv_gz,
    ".jsonl": write_jsonl,
    ".ndjson": write_jsonl,
}


def everything(source: object, rows: int = 3, columns: list[str] | None = None) -> pa.Table:
    table = open_table(source)
    schema = table.schema if columns is None else pa.schema([table.schema.field(name) for name in columns])
    return pa.Table.from_batches(table.batches(rows, columns), schema)


@pytest.mark.parametrize("ending", WRITERS)
def test_every_format_gives_the_rows_in_order_in_batches_of_one_size(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"held-out{ending}"
    WRITERS[ending](ROWS, path)
    table = open_table(path)
    assert [batch.num_rows for batch in table.batches(4)] == [4, 4, 2]
    assert everything(path).to_pylist() == ROWS.to_pylist()
    assert table.schema.names == ROWS.column_names
    assert table.uri == str(path)


@pytest.mark.parametrize("ending", WRITERS)
def test_columns_are_picked_in_the_order_asked_for(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"held-out{ending}"
    WRITERS[ending](ROWS, path)
    assert everything(path, 4, ["x", "id"]).to_pydict() == ROWS.select(["x", "id"]).to_pydict()


@given(
    pieces=st.lists(st.integers(0, 7), max_size=8),
    rows=st.integers(1, 9),
)
def test_batches_do_not_show_where_the_chunks_ended(pieces: list[int], rows: int) -> None:
    count = sum(pieces)
    chunks, start = [], 0
    for size in pieces:
        chunks.append(pa.array(range(start, start + size), pa.int64()))
        start += size
    batches = list(open_table(pa.table({"id": pa.chunked_array(chunks, pa.int64())})).batches(rows))
    assert [value for batch in batches for value in batch.column("id").to_pylist()] == list(range(count))
    assert [batch.num_rows for batch in batches[:-1]] == [rows] * (len(batches) - 1)
    assert not batches or 1 <= batches[-1].num_rows <= rows


def test_a_table_can_be_read_again(tmp_path: Path) -> None:
    pq.write_table(ROWS, tmp_path / "a.parquet")
    table = open_table(tmp_path / "a.parquet")
    assert list(table.batches(3)) == list(table.batches(3))


def test_rows_beyond_the_first_block_of_text_keep_its_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "_BLOCK", 256)
    for ending in (".csv", ".jsonl"):
        path = tmp_path / f"long{ending}"
        WRITERS[ending](pa.table({"id": range(1000), "t": ["é"] * 1000}), path)
        assert everything(path, 77).column("id").to_pylist() == list(range(1000))


def test_a_data_frame_and_an_arrow_table_open_like_a_file() -> None:
    frame = ROWS.to_pandas()
    frame.index = frame.index + 100
    assert everything(frame).to_pylist() == everything(ROWS).to_pylist() == ROWS.to_pylist()
    assert open_table(frame).uri == "(in memory)"


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    (folder / "more").mkdir(parents=True)
    pq.write_table(ROWS.slice(4, 2).select(["x", "label", "id"]), folder / "part-1.parquet")
    pq.write_table(ROWS.slice(0, 4), folder / "part-0.parquet")
    pq.write_table(ROWS.slice(6), folder / "part-2.parquet")
    (folder / "_SUCCESS").touch()
    (folder / ".part-0.parquet.crc").write_bytes(b"crc")
    assert everything(folder, 3).to_pylist() == ROWS.to_pylist()


def test_a_column_that_is_null_throughout_one_part_takes_the_type_of_the_first(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array(["x", "y"]).dictionary_encode()}), tmp_path / "0.parquet")
    pq.write_table(pa.table({"a": pa.nulls(1)}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": ["z"]}), tmp_path / "2.parquet")
    assert everything(tmp_path, 2).column("a").to_pylist() == ["x", "y", None, "z"]


def test_an_fsspec_uri_is_read() -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    with memory.open("/held/a.parquet", "wb") as file:
        pq.write_table(ROWS, file)
    memory.pipe("/held-csv/a.csv", b"id,label\n1,a\n")
    assert everything("memory://held/a.parquet").to_pylist() == ROWS.to_pylist()
    assert everything("memory://held").to_pylist() == ROWS.to_pylist()
    assert everything("memory://held-csv/a.csv").to_pylist() == [{"id": 1, "label": "a"}]
    with pytest.raises(UsageError, match="no such file"):
        open_table("memory://held/b.parquet")


@pytest.mark.fault(
    39,
    given="the held-out set is a signed link, and its format is unknown",
    then="says which ending it does not know, and nothing of the signature",
    exit_code=12,
)
def test_a_signed_link_is_read_by_its_name_and_its_signature_stays_inside() -> None:
    import fsspec

    with fsspec.open("memory://signed/a.csv?sig=s3cret", "wb") as file:
        file.write(b"id,label\n1,a\n")
    with fsspec.open("memory://signed/a.odd?sig=s3cret", "wb") as file:
        file.write(b"id,label\n1,a\n")

    assert everything("memory://signed/a.csv?sig=s3cret").to_pylist() == [{"id": 1, "label": "a"}]
    with pytest.raises(EvidenceError, match=r"unknown format '\.odd'") as error:
        open_table("memory://signed/a.odd?sig=s3cret")
    assert "s3cret" not in str(error.value)


def test_a_file_uri_is_read(tmp_path: Path) -> None:
    pq.write_table(ROWS, tmp_path / "a.parquet")
    assert everything((tmp_path / "a.parquet").as_uri()).num_rows == 10


def test_an_extension_type_is_read_as_what_it_stores(tmp_path: Path) -> None:
    images = pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(12, dtype=np.uint8).reshape(3, 2, 2))
    pq.write_table(pa.table({"image": images}), tmp_path / "a.parquet")
    found = everything(tmp_path / "a.parquet", 2)
    assert found.schema.field("image").type.value_type == pa.uint8()
    assert found.column("image").to_pylist()[2] == [8, 9, 10, 11]


def test_an_empty_or_na_field_is_null_and_a_quoted_one_is_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('n,t\n1,x\n,\n3,""\n4,NA\n5,"NA"\n', encoding="utf-8")
    found = everything(tmp_path / "a.csv").to_pydict()
    assert found == {"n": [1, None, 3, 4, 5], "t": ["x", None, "", None, "NA"]}


def test_a_set_without_rows_has_a_schema_and_no_batches(tmp_path: Path) -> None:
    pq.write_table(ROWS.slice(0, 0), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text("id,label\n", encoding="utf-8")
    for name in ("a.parquet", "a.csv"):
        table = open_table(tmp_path / name)
        assert table.schema.names[:2] == ["id", "label"]
        assert list(table.batches(5)) == []


# --- what is wrong is said -------------------------------------------------------------------------------------------


def damaged(tmp_path: Path, name: str, content: bytes) -> str:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(EvidenceError) as caught:
        everything(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_no_such_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        open_table(tmp_path / "nothing.parquet")


@pytest.mark.fault(
    39,
    given="the address of the held-out set holds a password or a signature",
    then="shows the address without them",
    exit_code=2,
)
def test_an_unknown_scheme_is_a_usage_error_and_shows_no_password() -> None:
    with pytest.raises(UsageError, match="no filesystem") as caught:
        open_table("foo://user:hunter2@host/a.parquet?sig=s3cret")
    assert "hunter2" not in str(caught.value) and "s3cret" not in str(caught.value)
    assert "foo://host/a.parquet" in str(caught.value)


@pytest.mark.parametrize("uri", ["s3://K:a/b@bucket/x", "s3://K@bucket/x", "s3://bucket/x?X-Amz-Signature=a/b#K"])
def test_credentials_are_cut_from_a_uri(uri: str) -> None:
    assert without_secrets(uri) == "s3://bucket/x"


@pytest.mark.parametrize("keep", [0, 3, 4, 100, 400])
@pytest.mark.parametrize("ending", [".parquet", ".feather", ".arrow", ".arrows"])
def test_a_truncated_file_is_named(ending: str, keep: int, tmp_path: Path) -> None:
    path = tmp_path / f"whole{ending}"
    WRITERS[ending](pa.table({"id": range(1000)}), path)
    damaged(tmp_path, f"cut{ending}", path.read_bytes()[:keep])


def test_a_parquet_file_damaged_in_the_middle_is_noticed_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "whole.parquet"
    pq.write_table(pa.table({"id": range(1000)}), path, use_dictionary=False, row_group_size=500)
    content = bytearray(path.read_bytes())
    content[len(content) // 3 : len(content) // 2] = b"\xff" * (len(content) // 2 - len(content) // 3)
    damaged(tmp_path, "bad.parquet", bytes(content))


def test_a_truncated_gzip_is_noticed(tmp_path: Path) -> None:
    whole = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (i, i * i) for i in range(10_000)))
    assert "runcated" in damaged(tmp_path, "a.csv.gz", whole[: len(whole) // 2])
    damaged(tmp_path, "b.csv.gz", b"this is not gzip\n")


@pytest.mark.parametrize("line", [b"3\n", b"3,4,5\n"])
def test_a_ragged_csv_names_the_row_and_not_its_content(line: bytes, tmp_path: Path) -> None:
    said = damaged(tmp_path, "a.csv", b"a,b\n" + b"1,2\n" * 7 + line)
    assert "row 7: expected 2 fields" in said and "3,4,5" not in said


def test_a_csv_that_changes_its_type_names_row_and_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "_BLOCK", 256)
    said = damaged(tmp_path, "a.csv", b"a,b\n" + b"1,2\n" * 500 + b"1,x\n")
    assert "row 500, column 'b': not of type int64" in said
    with pytest.raises(EvidenceError, match="row 500, column 'b'"):
        everything(tmp_path / "a.csv", 7, ["b"])
    assert everything(tmp_path / "a.csv", 7, ["a"]).num_rows == 501


@pytest.mark.parametrize("late", [False, True])
def test_a_csv_in_another_encoding_is_refused(late: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "_BLOCK", 256)
    before = "a,b\n" + "e,1\n" * (500 if late else 0)
    assert "UTF-8" in damaged(tmp_path, "a.csv", (before + "é,2\n").encode("latin-1"))


def test_a_header_in_another_encoding_is_refused(tmp_path: Path) -> None:
    assert "UTF-8" in damaged(tmp_path, "a.csv", "a,é\n1,2\n".encode("latin-1"))
    assert "UTF-16" in damaged(tmp_path, "b.csv", "a,b\n1,2\n".encode("utf-16"))


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n", encoding="utf-8-sig")
    assert open_table(tmp_path / "a.csv").schema.names == ["a", "b"]


def test_a_quote_that_never_closes_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "_BLOCK", 256)
    assert "quote" in damaged(tmp_path, "a.csv", b'a,b\n1,2\n"' + b"x,1\n" * 500)


@pytest.mark.parametrize(
    "content, said",
    [
        (b"garbage\n", "row 0: Invalid value"),
        (b'{"a": 1}\n{"a": 2\n', "row 1"),
        (b'{"a": 1}\n{"a": "x"}\n', "row 1, column 'a': changed from number to string"),
        (b'[{"a": 1}]', "each line must be one object"),
        (b'{"a": "\xff"}\n', "UTF"),
        (b'{"a": 1, "a": 2}\n', "twice"),
        (b"{}\n{}\n", "no columns"),
        (b"", "empty file"),
        (b"\n\n", "empty file"),
    ],
)
def test_json_lines_that_are_none_are_refused(content: bytes, said: str, tmp_path: Path) -> None:
    assert said in damaged(tmp_path, "a.jsonl", content)


def test_a_row_of_json_lines_is_counted_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "_BLOCK", 128)
    assert "row 500, column 'a'" in damaged(tmp_path, "a.jsonl", b'{"a": 1}\n' * 500 + b'{"a": "x"}\n')
    assert "first rows do not have" in damaged(tmp_path, "b.jsonl", b'{"a": 1}\n' * 500 + b'{"a": 1, "b": 2}\n')


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.json", "a.parquet", "a.feather"])
def test_an_empty_file_is_refused(name: str, tmp_path: Path) -> None:
    damaged(tmp_path, name, b"")


def test_an_unknown_format_lists_the_known_ones(tmp_path: Path) -> None:
    assert ".parquet" in damaged(tmp_path, "a.xlsx", b"PK")
    assert "no ending" in damaged(tmp_path, "held-out", b"PK")
    assert "unknown format" in damaged(tmp_path, "a.parquet.gz", b"PK")


def test_a_column_name_given_twice_is_refused(tmp_path: Path) -> None:
    assert "'a'" in damaged(tmp_path, "a.csv", b"a,b,a\n1,2,3\n")
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])
    for source in (twice, twice.rename_columns(["a", "b"]).to_pandas().set_axis(["a", "a"], axis=1)):
        with pytest.raises(EvidenceError, match="given twice: 'a'"):
            open_table(source)
    pq.write_table(twice, tmp_path / "a.parquet")
    with pytest.raises(EvidenceError, match="given twice"):
        open_table(tmp_path / "a.parquet")


def test_a_table_without_columns_is_refused() -> None:
    with pytest.raises(EvidenceError, match="no columns"):
        open_table(pa.table({}))


def test_a_data_frame_with_mixed_types_is_refused() -> None:
    import pandas as pd

    with pytest.raises(EvidenceError, match="in memory"):
        open_table(pd.DataFrame({"a": pd.Series([1, "x", object()], dtype=object)}))


def test_parts_that_differ_are_refused_with_their_names(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1], "b": [1]}), tmp_path / "0.parquet")
    pq.write_table(pa.table({"a": ["x"], "b": [1]}), tmp_path / "1.parquet")
    with pytest.raises(EvidenceError, match=r"1\.parquet: column 'a' is string here, and int64"):
        everything(tmp_path)
    pq.write_table(pa.table({"a": [1], "c": [1]}), tmp_path / "1.parquet")
    with pytest.raises(EvidenceError, match=r"1\.parquet: .* without 'b'; and also 'c'"):
        everything(tmp_path)


def test_a_folder_of_two_formats_or_of_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="no data file"):
        open_table(tmp_path)
    pq.write_table(ROWS, tmp_path / "0.parquet")
    (tmp_path / "1.csv").write_text("id\n1\n", encoding="utf-8")
    with pytest.raises(EvidenceError, match="another format"):
        open_table(tmp_path)


def test_a_folder_that_keeps_a_column_in_its_names_is_refused(tmp_path: Path) -> None:
    (tmp_path / "region=EU").mkdir()
    pq.write_table(ROWS, tmp_path / "region=EU" / "0.parquet")
    with pytest.raises(EvidenceError, match="partitioned"):
        open_table(tmp_path)


def test_a_file_that_vanishes_between_two_readings_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(ROWS, path)
    table = open_table(path)
    path.unlink()
    with pytest.raises(EvidenceError, match="the file is gone"):
        list(table.batches(3))


def test_an_unknown_column_names_the_nearest() -> None:
    with pytest.raises(EvidenceError, match="no column 'labl'; did you mean 'label'"):
        list(open_table(ROWS).batches(3, ["labl"]))


def test_reading_a_large_file_takes_the_memory_of_a_few_batches(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with pq.ParquetWriter(path, pa.schema([("x", pa.float64())])) as writer:
        for _ in range(20):
            writer.write_table(pa.table({"x": np.random.default_rng(0).random(100_000)}))
    before, most = pa.total_allocated_bytes(), 0
    for _ in open_table(path).batches(1000):
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 6_000_000  # of 16 MB
