"""Claims about the contract, with Great Expectations itself."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gate.data.contract import check_contract, read_suite
from gate.data.digests import ContentDigest
from gate.data.tables import Table, open_table
from gate.errors import EvidenceError, UsageError

ROWS = pa.table(
    {
        "id": [1, 2, 3, 4, 5],
        "age": [10, 20, 30, 400, None],
        "label": pa.array(["a", "b", "a", "c", "a"]).dictionary_encode(),
        "when": pa.array([datetime(2026, 1, day) for day in range(1, 6)], pa.timestamp("us")),
        "image": pa.array([[0, 1]] * 5, pa.list_(pa.uint8(), 2)),
    }
)
MET = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "id"}}
BROKEN = {"type": "expect_column_values_to_be_between", "kwargs": {"column": "age", "min_value": 0, "max_value": 120}}
CRASHED = {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "lable", "value_set": ["a"]}}


@pytest.fixture
def held_out(tmp_path: Path) -> Table:
    pq.write_table(ROWS, tmp_path / "held-out.parquet", row_group_size=2)
    return open_table(tmp_path / "held-out.parquet")


def suite_file(folder: Path, *expectations: dict[str, Any]) -> Path:
    path = folder / "suite.json"
    path.write_text(json.dumps({"name": "held-out", "expectations": expectations}), encoding="utf-8")
    return path


def statuses(table: Table, path: Path) -> list[str]:
    return [result.status for result in check_contract(table, read_suite(path)).results]


def refusal(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        read_suite(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_met_broken_and_crashed_are_told_apart_in_the_order_of_the_suite(
    held_out: Table, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    report = check_contract(held_out, read_suite(suite_file(tmp_path, BROKEN, CRASHED, MET, BROKEN)))
    assert [result.status for result in report.results] == ["broken", "crashed", "met", "broken"]
    assert [result.type for result in report.results] == [e["type"] for e in (BROKEN, CRASHED, MET, BROKEN)]
    assert (report.suite, report.status, report.rows) == ("held-out", "crashed", 5)
    broken, crashed, met, _ = report.results
    assert broken.kwargs == BROKEN["kwargs"]
    assert broken.observed["unexpected_count"] == 1 and broken.observed["element_count"] == 5
    assert broken.observed["unexpected_values"] == [400.0]
    assert broken.message == "1 of 5 values are not as expected, such as 400.0"
    assert "lable" in crashed.message and met.message == ""
    said = capfd.readouterr()
    assert said.out == "" and said.err == ""


def test_the_report_holds_nothing_that_json_cannot(held_out: Table, tmp_path: Path) -> None:
    path = suite_file(
        tmp_path,
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "when", "min_value": "2026-01-03T00:00:00"},
        },
        {"type": "expect_column_max_to_be_between", "kwargs": {"column": "when", "max_value": "2026-01-03T00:00:00"}},
        {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "age", "max_value": 1}},
        {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "image"}},
        {"type": "expect_column_distinct_values_to_be_in_set", "kwargs": {"column": "label", "value_set": ["a"]}},
        {"type": "expect_column_value_lengths_to_equal", "kwargs": {"column": "label", "value": 2}},
        {
            "type": "expect_column_quantile_values_to_be_between",
            "kwargs": {"column": "age", "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[0, 1]]}},
        },
        {"type": "expect_column_values_to_be_of_type", "kwargs": {"column": "id", "type_": "str"}},
        {"type": "expect_table_row_count_to_equal", "kwargs": {"value": 6}},
    )
    results = check_contract(held_out, read_suite(path)).results
    text = json.dumps([[r.type, r.kwargs, r.status, r.observed, r.message] for r in results], allow_nan=False)
    assert {result.status for result in results} == {"broken"}, text
    assert all(result.message for result in results)


def test_a_whole_suite_that_holds_is_met_and_names_the_rows_it_saw(held_out: Table, tmp_path: Path) -> None:
    columns = {"type": "expect_table_columns_to_match_ordered_list", "kwargs": {"column_list": ROWS.column_names}}
    rows = {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 5, "max_value": 5}}
    suite = read_suite(suite_file(tmp_path, MET, columns, rows))
    report = check_contract(held_out, suite)
    digest = ContentDigest()
    for batch in held_out.batches(2):
        digest.update(batch)
    assert report.status == "met" and report.content_digest == digest.hexdigest() and report.digest == suite.digest


def test_columns_count_even_where_no_expectation_names_one(held_out: Table, tmp_path: Path) -> None:
    assert statuses(
        held_out, suite_file(tmp_path, {"type": "expect_table_column_count_to_equal", "kwargs": {"value": 5}})
    ) == ["met"]


def test_a_column_named_only_by_a_condition_is_read(held_out: Table, tmp_path: Path) -> None:
    condition = {"column": "age", "max_value": 120, "row_condition": "id < 4", "condition_parser": "pandas"}
    assert statuses(
        held_out, suite_file(tmp_path, {"type": "expect_column_values_to_be_between", "kwargs": condition})
    ) == ["met"]


def test_a_broken_contract_is_broken_whatever_its_severity(held_out: Table, tmp_path: Path) -> None:
    report = check_contract(held_out, read_suite(suite_file(tmp_path, MET, {**BROKEN, "severity": "info"})))
    assert report.status == "broken"


def test_a_type_that_does_not_fit_is_a_crash_and_no_pass(held_out: Table, tmp_path: Path) -> None:
    mean = {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "label", "min_value": 0}}
    assert statuses(held_out, suite_file(tmp_path, mean, MET)) == ["crashed", "met"]


def test_a_contract_on_no_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="no rows"):
        check_contract(open_table(ROWS.slice(0, 0)), read_suite(suite_file(tmp_path, MET)))


def test_a_context_of_the_caller_stays_the_current_one(held_out: Table, tmp_path: Path) -> None:
    import great_expectations as gx
    from great_expectations.data_context.data_context.context_factory import project_manager

    mine = gx.get_context(mode="ephemeral")
    check_contract(held_out, read_suite(suite_file(tmp_path, MET)))
    assert project_manager.get_current_project() is mine


def test_yaml_and_json_say_the_same(held_out: Table, tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(
        "name: held-out\nexpectations:\n  - type: expect_column_values_to_not_be_null\n    kwargs: {column: id}\n"
        "    meta: {why: ids are joined on}\n",
        encoding="utf-8",
    )
    found = read_suite(path)
    assert found.expectations == read_suite(suite_file(tmp_path, MET)).expectations and found.name == "held-out"
    assert found.where(0) == f"{path}:3: expectations[0]"
    assert statuses(held_out, path) == ["met"]


def test_all_the_mistakes_of_a_suite_are_reported_at_once_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(
        """name: held-out
expectations:
  - type: expect_column_value_to_not_be_null
    kwargs: {column: id}
  - type: expect_column_values_to_be_between
    kwargs: {column: age, min_valu: 0, max_value: old}
  - type: expect_column_to_exist
    kwargs: {}
""",
        encoding="utf-8",
    )
    said = refusal(path)
    assert f"{path}:3: expectations[0]: unknown expectation 'expect_column_value_to_not_be_null'; did you mean" in said
    assert "'expect_column_values_to_not_be_null'?" in said
    assert f"{path}:5: expectations[1]: expect_column_values_to_be_between: unknown argument 'min_valu'; did" in said
    assert "argument 'max_value': value is not a valid" in said
    assert f"{path}:7: expectations[2]: expect_column_to_exist: argument 'column' is missing" in said


@pytest.mark.parametrize(
    "name, text, said",
    [
        ("a.json", '{"name": "s", "expectations": []}', "no expectations"),
        ("a.json", '{"name": "s"}', "no expectations"),
        ("a.json", '{"expectations": [{"kwargs": {}}]}', "the suite has no name"),
        ("a.json", '{"expectations": [{"kwargs": {}}]}', "the expectation has no type"),
        ("a.json", '{"name": "s", "expectations": [3, {"type": "t", "kwargs": 1}]}', "kwargs is not a mapping"),
        ("a.json", '{"name": "s", "expectations": [{"expectation_type": "t"}]}', "did you mean 'type'?"),
        ("a.json", '{"name": "s", "expectation": []}', "did you mean 'expectations'?"),
        (
            "a.json",
            '{"name": "s", "expectations": [{"type": "t", "kwargs": {"a": {"$PARAMETER": "x"}}}]}',
            "$PARAMETER",
        ),
        ("a.json", '{"name": "s", "name": "t", "expectations": []}', "key given twice: 'name'"),
        ("a.json", '{"name": "s", "expectations": [NaN]}', "NaN"),
        ("a.json", '{"name": ', "not JSON: Expecting value at line 1"),
        ("a.json", "[" * 100_000, "nested too deep"),
        ("a.json", "[]", "not a suite"),
        ("a.json", "", "not JSON"),
        ("a.yaml", "", "not a suite"),
        ("a.yaml", "name: s\nname: t\n", "line 2"),
        ("a.yaml", "name: s\nexpectations: [\n", "line 3"),
        ("a.yaml", "name: &x s\nexpectations: [*x]\n", "anchors"),
        ("a.yaml", "name: !!python/object:os.system s\n", "tags"),
        ("a.yaml", "[" * 5_000 + "]" * 5_000, "nested too deep"),
    ],
)
def test_a_suite_that_is_none_is_refused(name: str, text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert said in refusal(tmp_path / name)


def test_a_suite_that_is_missing_or_no_text_is_refused(tmp_path: Path) -> None:
    assert "no such expectation suite" in refusal(tmp_path / "a.json")
    (tmp_path / "b.yaml").write_bytes(b"name: \xff")
    assert "UTF-8" in refusal(tmp_path / "b.yaml")


def test_great_expectations_and_pandas_are_imported_only_when_a_contract_is_checked() -> None:
    code = "import sys, gate.data.contract; print({'great_expectations', 'pandas', 'fsspec'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
