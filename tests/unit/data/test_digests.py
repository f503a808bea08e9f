"""Claims about the digest of a table's content."""

from __future__ import annotations

import hashlib
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.data.digests import ContentDigest, file_digest
from gate.data.tables import open_table
from gate.errors import EvidenceError, UsageError

EVERYTHING = pa.schema(
    [
        ("int", pa.int32()),
        ("float", pa.float64()),
        ("half", pa.float16()),
        ("flag", pa.bool_()),
        ("text", pa.string()),
        ("bytes", pa.binary()),
        ("fixed", pa.binary(2)),
        ("money", pa.decimal128(9, 2)),
        ("day", pa.date32()),
        ("second", pa.timestamp("s")),
        ("when", pa.timestamp("us", "Europe/Paris")),
        ("clock", pa.time32("s")),
        ("span", pa.duration("ms")),
        ("list", pa.list_(pa.list_(pa.string()))),
        ("image", pa.list_(pa.uint8(), 2)),
        ("struct", pa.struct([("a", pa.int64()), ("b", pa.list_(pa.float32()))])),
        ("map", pa.map_(pa.string(), pa.int64())),
        ("code", pa.dictionary(pa.int8(), pa.string())),
        ("none", pa.null()),
    ]
)
_words = st.text(max_size=4)
ROW = st.fixed_dictionaries(
    {
        "int": st.none() | st.integers(-(2**31), 2**31 - 1),
        "float": st.none() | st.floats(),
        "half": st.none() | st.floats(width=16).map(np.float16),
        "flag": st.none() | st.booleans(),
        "text": st.none() | _words,
        "bytes": st.none() | st.binary(max_size=4),
        "fixed": st.none() | st.binary(min_size=2, max_size=2),
        "money": st.none() | st.integers(-9999, 9999).map(lambda cents: Decimal(cents).scaleb(-2)),
        "day": st.none() | st.dates(date(1800, 1, 1), date(2200, 1, 1)),
        "second": st.none()
        | st.datetimes(datetime(1800, 1, 1), datetime(2200, 1, 1)).map(lambda t: t.replace(microsecond=0)),
        "when": st.none() | st.datetimes(datetime(1950, 1, 1), datetime(2200, 1, 1)),
        "clock": st.none() | st.integers(0, 86399).map(lambda s: time(s // 3600, s // 60 % 60, s % 60)),
        "span": st.none() | st.integers(-(10**6), 10**6).map(lambda ms: timedelta(milliseconds=ms)),
        "list": st.none() | st.lists(st.none() | st.lists(st.none() | _words, max_size=2), max_size=2),
        "image": st.none() | st.lists(st.integers(0, 255), min_size=2, max_size=2),
        "struct": st.none()
        | st.fixed_dictionaries({"a": st.none() | st.integers(-9, 9), "b": st.none() | st.lists(st.floats(width=32))}),
        "map": st.none()
        | st.dictionaries(_words, st.none() | st.integers(-9, 9), max_size=2).map(lambda d: list(d.items())),
        "code": st.none() | st.sampled_from("ab"),
        "none": st.none(),
    }
)


def table_of(rows: list[dict[str, object]]) -> pa.Table:
    columns = [pa.array([row[field.name] for row in rows], field.type) for field in EVERYTHING]
    return pa.Table.from_arrays(columns, schema=EVERYTHING)


def digest(table: pa.Table, rows: int = 1000) -> str:
    found = ContentDigest(table.schema)
    for batch in open_table(table).batches(rows):
        found.update(batch)
    assert found.rows == table.num_rows
    return found.hexdigest()


def of(values: object, type_: pa.DataType | None = None) -> str:
    return digest(pa.table({"a": values if isinstance(values, pa.Array) else pa.array(values, type_)}))


@given(rows=st.lists(ROW, max_size=6), size=st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_the_digest_does_not_depend_on_the_batches(rows: list[dict[str, object]], size: int) -> None:
    table = table_of(rows)
    assert digest(table, size) == digest(table, 1000) == digest(pa.concat_tables([table, table]).slice(0, len(rows)))


@given(rows=st.lists(ROW, max_size=6))
@settings(max_examples=25, deadline=None)
def test_the_digest_does_not_depend_on_the_format(
    rows: list[dict[str, object]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Arrow cannot read a null among lists of a fixed size back from Parquet.
    table = table_of([{**row, "image": row["image"] or [0, 0]} for row in rows])
    folder = tmp_path_factory.mktemp("formats")
    pq.write_table(table, folder / "a.parquet", row_group_size=2)
    pyarrow.feather.write_feather(table, str(folder / "a.feather"), chunksize=4)
    found = set()
    for name in ("a.parquet", "a.feather"):
        read = open_table(folder / name)
        one = ContentDigest(read.schema)
        for batch in read.batches(3):
            one.update(batch)
        found.add(one.hexdigest())
    assert found == {digest(table)}


@given(rows=st.lists(ROW, min_size=2, max_size=5), data=st.data())
@settings(max_examples=60, deadline=None)
def test_one_value_changed_changes_the_digest(rows: list[dict[str, object]], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.sampled_from([name for name in EVERYTHING.names if name != "none"]))
    other = data.draw(ROW)[column]
    edited = [dict(row) for row in rows]
    edited[at][column] = other
    before, after = table_of(rows), table_of(edited)
    same = repr(before.column(column).to_pylist()) == repr(after.column(column).to_pylist())
    assert (digest(before) == digest(after)) == same


def test_the_order_of_rows_and_columns_and_their_names_count() -> None:
    table = pa.table({"a": [1, 2], "b": [3, 4]})
    others = [table.take([1, 0]), table.select(["b", "a"]), table.rename_columns(["a", "c"]), table.slice(0, 1)]
    assert len({digest(other) for other in [table, *others]}) == 5


def test_types_count_but_not_their_encodings() -> None:
    assert of([1], pa.int32()) != of([1], pa.int64())
    assert of([b"a"], pa.binary()) != of(["a"], pa.string())
    same = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
    assert len({of(["a", None, "b"], type_) for type_ in same}) == 1
    assert len({of([[1], None, [2, 3], []], kind(pa.int8())) for kind in (pa.list_, pa.large_list, pa.list_view)}) == 1
    encoded = pa.RunEndEncodedArray.from_arrays([2, 3], ["a", None])
    assert of(encoded) == of(["a", "a", None])
    images = pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(8, dtype=np.uint8).reshape(2, 2, 2))
    assert of(images) == of([[0, 1, 2, 3], [4, 5, 6, 7]], pa.list_(pa.uint8(), 4))


def test_a_slice_has_the_digest_of_a_copy() -> None:
    table = table_of([dict.fromkeys(EVERYTHING.names)] * 3)
    assert digest(table.slice(1, 2)) == digest(table.slice(0, 2))
    for array in (pa.array([1, None, 3, 4]), pa.array(["a", None, "bc", "d"]), pa.array([True, None, False, True])):
        copy = pa.array(array.slice(1, 2).to_pylist(), array.type)
        assert of(array.slice(1, 2)) == of(copy)


def test_what_lies_beneath_a_null_does_not_count() -> None:
    valid = pa.py_buffer(b"\x05")
    arrays = [pa.Array.from_buffers(pa.int64(), 3, [valid, pa.py_buffer(np.array([1, x, 3]))]) for x in (0, 7)]
    assert arrays[0].to_pylist() == [1, None, 3]
    assert of(arrays[0]) == of(arrays[1])


def test_a_null_is_no_value() -> None:
    assert len({of([None], pa.string()), of([""], pa.string()), of([], pa.string())}) == 3
    assert len({of([None], pa.float64()), of([0.0]), of([float("nan")])}) == 3
    assert len({of([[None]], pa.list_(pa.int8())), of([[]], pa.list_(pa.int8())), of([None], pa.list_(pa.int8()))}) == 3


def test_every_nan_is_one_and_minus_zero_is_not_zero() -> None:
    payloads = np.array([0x7FF8000000000000, 0xFFF8000000000001, 0x7FF0000000000001], np.uint64).view(np.float64)
    assert len({of([nan, 1.0]) for nan in payloads}) == 1
    assert of([0.0]) != of([-0.0])


def test_values_cannot_move_across_a_border_unseen() -> None:
    assert of(["ab", "c"]) != of(["a", "bc"])
    assert of([[1], [2, 3]]) != of([[1, 2], [3]])
    assert digest(pa.table({"a": ["x"], "b": [""]})) != digest(pa.table({"a": [""], "b": ["x"]}))


def test_an_empty_table_has_the_digest_of_its_schema() -> None:
    assert ContentDigest(pa.schema([("a", pa.int64())])).hexdigest() != ContentDigest().hexdigest()
    assert len(ContentDigest().hexdigest()) == 64


def test_the_digest_of_a_known_table_stays_what_it_is() -> None:
    # Decisions already signed hold this digest: a change of it needs a new version mark.
    table = pa.table({"id": [1, 2, None], "x": [0.5, float("nan"), -0.0], "t": ["a", None, "é"], "l": [[1], [], None]})
    assert digest(table) == "c2f40dd543970d075220597f300fe2581b0e99a2451522d8c9ab06b8ec268c8c"


def test_a_batch_of_another_schema_is_refused() -> None:
    found = ContentDigest()
    found.update(pa.record_batch({"a": [1]}))
    for other in ({"b": [1]}, {"a": ["x"]}, {"a": [1], "b": [1]}):
        with pytest.raises(EvidenceError):
            found.update(pa.record_batch(other))


@pytest.mark.parametrize("wrap", [lambda union: union, lambda union: pa.StructArray.from_arrays([union], ["u"])])
def test_a_type_without_a_digest_names_its_column(wrap: object) -> None:
    union = pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])
    with pytest.raises(EvidenceError, match="column 'odd'"):
        ContentDigest().update(pa.record_batch({"odd": wrap(union)}))  # type: ignore[operator]


def test_a_file_is_digested_by_its_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    (tmp_path / "a").write_bytes(content)
    assert file_digest(tmp_path / "a") == hashlib.sha256(content).hexdigest()
    with pytest.raises(UsageError, match="no such file"):
        file_digest(tmp_path / "b")
    with pytest.raises(EvidenceError, match="cannot be read"):
        file_digest(tmp_path)
