"""What flipped rows show beside their label and answers, and which come first, from real files and real models."""

from __future__ import annotations

import datetime
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import gate
from gate.core.flipped import FlippedRow
from gate.core.outcomes import Picture
from gate.decisions.canonical import samples_to_bytes, to_bytes
from gate.decisions.samples import read_samples
from gate.report.writers import FOLDERS, WRITERS
from gate.stories.beside import LONGEST_TEXT, MOST_COLUMNS, shown
from gate.stories.decide import Judgement

ROWS = 300
LONG = "word " * 1000


def png(size: tuple[int, int] = (32, 24)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "teal").save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def table() -> dict[str, Any]:
    """Every third row of class a breaks, every fifth of class b too; two of them are golden."""
    y = ["a" if i % 2 else "b" for i in range(ROWS)]
    new = ["b" if i % 6 == 3 else "a" if i % 10 == 0 else y[i] for i in range(ROWS)]
    return {
        "key": [f"r{i}" for i in range(ROWS)],
        "y": y,
        "old": y,
        "new": new,
        "guarded": [i in (3, 9, 11) for i in range(ROWS)],
        "site": ["north", "south"] * (ROWS // 2),
        "age": pa.array([None if i == 3 else i / 10 for i in range(ROWS)], pa.float32()),
        "weight": [1.0] * ROWS,
        "day": pa.array([datetime.date(2026, 1, 1)] * ROWS),
        "note": [LONG] * ROWS,
        "scan": pa.array([png()] * ROWS, pa.binary()),
    }


RULES = """
  - {id: vips, must_not_regress: {column: guarded}}
  - id: money
    net_cost: {per: 1000, negative: [{label: a, output: b, cost: 2.5}, {label: b, output: a, cost: 40}]}
    at_most: 1
  - id: more-money
    net_cost: {per: 1000, negative: [{label: a, output: b, cost: 7}]}
    at_most: 1
"""


@pytest.fixture
def compared(tmp_path: Path) -> Callable[..., Judgement]:
    def judge(columns: dict[str, Any], rules: str = RULES, holdout: str = "", **options: Any) -> Judgement:
        path = tmp_path / "policy.yaml"
        inside = holdout or "{id: key, label: y, weight: weight, slices: {site: {column: site}}}"
        path.write_text(f"version: 1\nname: p\nholdout: {inside}\nrules:{rules}")
        return gate.compare(columns, policy=path, **{"incumbent": "old", "candidate": "new", **options})

    return judge


PLAIN = "{id: key, label: y, slices: {site: {column: site}}}"


def negative(judged: Judgement) -> list[FlippedRow]:
    return [row for row in judged.samples if row.kind == "negative"]


def test_golden_rows_come_first_then_the_dearest_flips(table, compared):
    found = negative(compared(table, holdout=PLAIN, samples=20))
    golden = [row.golden for row in found]

    assert golden == sorted(golden, reverse=True)
    assert {row.id for row in found if row.golden} == {"r3", "r9"}  # r11 is golden and did not flip
    assert [row.cost for row in found] == [7.0] * 2 + [40.0] * 18
    assert len(found) == 20 < compared(table, holdout=PLAIN).decision.counts.negative


@pytest.mark.parametrize("size", [7, 64, 299])
def test_which_rows_are_kept_and_what_they_show_does_not_depend_on_the_batches(table, compared, size):
    once = compared(table, holdout=PLAIN, samples=20)
    parts = compared(table, holdout=PLAIN, samples=20, rows_per_batch=size)
    assert samples_to_bytes(parts.samples) == samples_to_bytes(once.samples)


def test_a_row_shows_its_own_columns_and_neither_ids_labels_answers_marks_nor_weights(table, compared):
    (row,) = (row for row in negative(compared(table, holdout=PLAIN)) if row.id == "r9")

    assert list(row.beside) == ["site", "scan", "age", "weight", "day", "note"]  # slices, images, the rest
    assert (row.beside["site"], row.beside["age"], row.beside["day"]) == ("south", 0.9, "2026-01-01")
    scan = row.beside["scan"]
    assert isinstance(scan, Picture) and (scan.width, scan.height) == (32, 24)
    note = row.beside["note"]
    assert isinstance(note, str) and note.startswith(LONG[:LONGEST_TEXT]) and len(note) < LONGEST_TEXT + 50

    weighted = compared(
        table, "\n  - {id: few, rate: nfr, at_most: 1%}\n  - {id: v, must_not_regress: {column: guarded}}\n"
    )
    assert "weight" not in negative(weighted)[0].beside


def test_of_a_wide_table_the_columns_that_the_policy_speaks_of_come_first(compared, table):
    wide = {**{f"f{i}": [i] * ROWS for i in range(40)}, **table}
    row = negative(compared(wide, holdout=PLAIN))[0]
    assert list(row.beside)[:2] == ["site", "scan"]
    assert len(row.beside) == MOST_COLUMNS


def test_excluded_rows_do_not_shift_what_is_shown(table, compared, tmp_path):
    (tmp_path / "out.csv").write_text("id,reason,owner\n" + "".join(f"r{i},relabelled,ann\n" for i in range(0, 280, 4)))
    found = compared(table, "\n  - {id: few, rate: nfr, at_most: 1%}\n", "{id: key, label: y, exclusions: out.csv}")
    assert found.decision.exclusions
    for row in negative(found):
        assert row.beside["age"] is None if row.id == "r3" else row.beside["age"] == pytest.approx(int(row.id[1:]) / 10)


def test_of_two_tables_the_columns_of_the_incumbents_are_shown(table, compared, tmp_path):
    old = pa.table({"key": table["key"], "y": table["y"], "answer": table["old"], "age": table["age"]})
    new = pa.table({"key": table["key"][::-1], "answer": table["new"][::-1]})
    (tmp_path / "two.yaml").write_text(
        "version: 1\nname: p\nholdout: {id: key, label: y}\nrules: [{id: few, rate: nfr, at_most: 1%}]\n"
    )
    judged = gate.compare(
        incumbent_predictions=old, candidate_predictions=new, prediction="answer", policy=tmp_path / "two.yaml"
    )
    for row in negative(judged):
        assert list(row.beside) == ["age"]
        assert row.id == "r3" or row.beside["age"] == pytest.approx(int(str(row.id)[1:]) / 10)


def test_of_several_labels_a_row_each_shows_the_row(compared, tmp_path):
    columns = {
        "key": ["x", "y"],
        "y": [["a"], ["b"]],
        "old": [["a"], ["b"]],
        "new": [["b"], ["b"]],
        "text": ["one", "two"],
    }
    path = tmp_path / "m.yaml"
    path.write_text(
        "version: 1\nname: m\ntask: {kind: multilabel, classes: [a, b]}\nholdout: {id: key, label: y}\n"
        "rules: [{id: few, rate: nfr, at_most: 1%}]\n"
    )
    judged = gate.compare(columns, policy=path, incumbent="old", candidate="new")
    assert {row.id: row.beside for row in judged.samples} == {"x: a": {"text": "one"}, "x: b": {"text": "one"}}


def test_the_file_of_samples_reads_back_as_it_was_written(table, compared, tmp_path):
    judged = compared(table, holdout=PLAIN)
    (tmp_path / "samples.jsonl").write_bytes(samples_to_bytes(judged.samples))
    read = read_samples(tmp_path / "samples.jsonl", judged.decision)

    assert [vars(row) for row in read] == [vars(row) for row in judged.samples]
    for write in (*WRITERS.values(), *FOLDERS.values()):
        assert write(judged.decision, read) == write(judged.decision, judged.samples)


@pytest.mark.parametrize("form", [*WRITERS, *FOLDERS])
def test_without_samples_nothing_of_a_row_is_anywhere(table, compared, form):
    table["note"], table["site"] = ["jane.doe@example.com"] * ROWS, ["north"] * ROWS
    private = compared(table, holdout=PLAIN, samples=0)
    shown_ = compared(table, holdout=PLAIN)

    assert private.samples == ()
    write = {**WRITERS, **FOLDERS}[form]
    files = write(private.decision, private.samples)
    assert not [name for name, content in files.items() if b"jane" in content or name.endswith(".png")]
    if form in ("html", "html-dir", "samples", "csv"):  # which do say it where samples are kept
        assert any(b"jane" in content for content in write(shown_.decision, shown_.samples).values())
    assert b"jane" not in to_bytes(shown_.decision)  # the decision itself never holds a row


def test_a_check_shows_the_features_that_the_models_see(
    sqlite_registry: str, held_out: Path, tmp_path: Path, digits: pd.DataFrame
) -> None:
    frame = digits[600:]
    pixels = [f"pixel_{i}" for i in range(64)]
    images = frame[pixels].to_numpy(dtype=np.float32) / 16
    table = pa.Table.from_pandas(frame[["row", "digit", "half", *pixels]], preserve_index=False).append_column(
        "image", pa.FixedSizeListArray.from_arrays(pa.array(images.ravel()), 64)
    )
    pq.write_table(table, tmp_path / "images.parquet")
    (tmp_path / "policy.yaml").write_text(
        "version: 1\nname: digits\nholdout: {id: row, label: digit, slices: {half: {column: half}}}\n"
        "rules: [{id: few, rate: nfr, at_most: 30%}]\n"
    )
    judged = gate.check(
        model="digits",
        candidate="3",
        incumbent="1",
        data=tmp_path / "images.parquet",
        policy=tmp_path / "policy.yaml",
        registry_uri=sqlite_registry,
        log_run=False,
        in_process=True,
    )
    assert judged.samples
    for row in judged.samples:
        assert list(row.beside) == ["pixel_0 to pixel_63", "half", "image"]
        numbers = frame.set_index("row").loc[row.id, pixels].to_numpy(float).reshape(8, 8)
        for image in (row.beside["image"], row.beside["pixel_0 to pixel_63"]):  # a list, and a column for each pixel
            assert isinstance(image, Picture)
            seen = np.asarray(Image.open(io.BytesIO(image.png)))
            assert np.array_equal(seen, np.rint(numbers / 16 * 255)) or numbers.max() < 16
        assert row.beside["half"] == ("odd" if int(str(row.id)) % 2 else "even")


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        (None, pa.int64(), None),
        (True, pa.bool_(), True),
        (0.1, pa.float32(), 0.1),
        (0.1, pa.float64(), 0.1),
        (2**60, pa.int64(), 2**60),
        ("a" * 3000, pa.string(), "a" * 2000 + "... (3,000 characters in all)"),
        (b"\x00" * 1234, pa.binary(), "(1,234 bytes)"),
        ([1, 2], pa.list_(pa.int64()), "[1, 2]"),
        ([0.5] * 100, pa.list_(pa.float32(), 100), f"[{', '.join(['0.5'] * 16)}, ... (100 in all)]"),
        ([["x"], None], pa.list_(pa.list_(pa.string())), "[[x], None]"),
        ({"a": 1}, pa.struct({"a": pa.int64()}), "{'a': 1}"),
        (2**62, pa.timestamp("s"), "(timestamp[s])"),
        (datetime.datetime(2026, 1, 2, 3), pa.timestamp("us"), "2026-01-02 03:00:00"),
    ],
)
def test_every_value_is_shown_short(value, kind, said):
    scalar = pa.scalar(value, pa.int64()).cast(kind) if said == "(timestamp[s])" else pa.scalar(value, kind)
    assert shown(scalar, pa.field("x", kind)) == said


def test_only_the_values_of_rows_that_are_kept_are_read(table, compared, monkeypatch):
    read: list[str] = []
    monkeypatch.setattr("gate.stories.beside.shown", lambda value, field: read.append(field.name))
    compared(table, holdout=PLAIN, samples=5, rows_per_batch=10)
    assert 5 * 6 <= len(read) < 40 * 6
    read.clear()
    compared(table, holdout=PLAIN, samples=0, rows_per_batch=10)
    assert read == []


def test_a_cost_that_nobody_names_is_none(table, compared):
    rules = "\n  - id: money\n    net_cost: {per: 10, negative: [{label: b, output: a, cost: 40}]}\n    at_most: 1\n"
    found = negative(compared(table, rules, PLAIN))
    assert {row.label: row.cost for row in found} == {"a": None, "b": 40.0}
    assert [row.label for row in found] == sorted((row.label for row in found), reverse=True)


def test_rows_are_copied_out_of_their_batch(table, compared):
    for row in compared(table, holdout=PLAIN).samples:
        assert type(row.beside) is dict
        assert replace(row) == row


def test_a_price_is_that_of_a_value_and_its_type(compared):
    columns = {"key": list(range(40)), "y": [1] * 40, "old": [1] * 40, "new": [0] * 20 + [1] * 20}
    rules = "\n  - id: m\n    net_cost: {per: 10, negative: [{label: %s, output: %s, cost: 3}]}\n    at_most: 1\n"
    found = compared(columns, rules % (1, 0), "{id: key, label: y}")
    assert {row.cost for row in negative(found)} == {3.0}


def test_every_label_of_a_golden_row_is_golden(tmp_path):
    columns = {"key": ["x", "y"], "y": [["a"], ["a"]], "old": [["a"], ["a"]], "new": [["b"], ["b"]], "g": [True, False]}
    path = tmp_path / "m.yaml"
    path.write_text(
        "version: 1\nname: m\ntask: {kind: multilabel, classes: [a, b]}\nholdout: {id: key, label: y}\n"
        "rules: [{id: vips, must_not_regress: {column: g}}]\n"
    )
    judged = gate.compare(columns, policy=path, incumbent="old", candidate="new")
    assert [(row.id, row.golden) for row in judged.samples][:2] in (
        [("x: a", True), ("x: b", True)],
        [("x: b", True), ("x: a", True)],
    )
    assert {row.id for row in judged.samples if row.golden} == {"x: a", "x: b"}


def test_the_table_in_mlflow_says_what_is_golden_and_what_it_costs(table, compared):
    import json

    from gate.stories.log import FLIPPED_ROWS, tables

    told = json.loads(tables(compared(table, holdout=PLAIN))[FLIPPED_ROWS])
    first = dict(zip(told["columns"], told["data"][0], strict=True))
    assert (first["kind"], first["golden"], first["cost"]) == ("negative", True, 7.0)
    plain = json.loads(tables(compared(table, "\n  - {id: few, rate: nfr, at_most: 1%}\n", PLAIN))[FLIPPED_ROWS])
    assert plain["columns"] == ["kind", "id", "label", "incumbent", "candidate"]
