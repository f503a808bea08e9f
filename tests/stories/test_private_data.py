"""With ``samples=0`` no value of a row is in a decision, a report or an error; with samples there are some."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import gate
from gate.cli.app import run
from gate.data.contract import check_contract, read_suite
from gate.data.tables import open_table
from gate.decisions.canonical import to_bytes
from gate.errors import GateError
from gate.report.writers import WRITERS

SECRET = "jane.doe@example.com"
ROWS = 300


@pytest.fixture
def rows() -> dict[str, Any]:
    labels = ["a"] * 250 + ["b"] * 50
    return {"id": [f"r{i}" for i in range(ROWS)], "y": labels, "old": list(labels), "new": list(labels)}


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    def write(task: str = "kind: classification", holdout: str = "{id: id, label: y}", rule: str = "") -> Path:
        rule = rule or "{id: r, rate: nfr, at_most: 90%}"
        path = tmp_path / "policy.yaml"
        path.write_text(f"version: 1\nname: x\ntask: {{{task}}}\nholdout: {holdout}\nrules:\n  - {rule}\n")
        return path

    return write


def both(compare: Callable[[int], Any]) -> tuple[str, str]:
    """What an error says with samples and without; the exit code is the same."""
    raised = []
    for samples in (100, 0):
        with pytest.raises(GateError) as caught:
            compare(samples)
        raised.append(caught.value)
    assert raised[0].exit_code is raised[1].exit_code
    assert type(raised[0]) is type(raised[1])
    return str(raised[0]), str(raised[1])


def suite(folder: Path, *expectations: dict[str, Any]) -> None:
    (folder / "suite.json").write_text(json.dumps({"name": "clean", "expectations": list(expectations)}))


UNIQUE = {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "mail", "value_set": ["-"]}}
OLDEST = {"type": "expect_column_max_to_be_between", "kwargs": {"column": "age", "max_value": 99}}
SHORT = {"type": "expect_column_value_lengths_to_be_between", "kwargs": {"column": "mail", "max_value": 99}}
KNOWN = {"type": "expect_column_max_to_be_between", "kwargs": {"column": "age", "max_value": 99_999}}
MANY = {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 10}}
CRASHES = {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "mail", "min_value": 0}}


@pytest.fixture
def people(rows: dict[str, Any]) -> dict[str, Any]:
    return {**rows, "mail": [SECRET] * 3 + ["-"] * (ROWS - 3), "age": [31337] + [30] * (ROWS - 1)}


@pytest.mark.parametrize(
    ("broken", "quoted"),
    [(UNIQUE, SECRET), (OLDEST, "31337"), (CRASHES, "'mean'")],
    ids=["values", "observed", "crashed"],
)
def test_a_broken_contract_quotes_no_value(people, written, tmp_path, broken, quoted):
    suite(tmp_path, broken)
    policy = written(holdout="{id: id, label: y, contract: suite.json}")
    open_, private = both(
        lambda samples: gate.compare(people, policy=policy, incumbent="old", candidate="new", samples=samples)
    )
    assert quoted in open_
    assert quoted not in private
    assert broken["type"] in private
    if broken is UNIQUE:
        assert "3 of 300 values are not as expected" in private


def test_a_contract_that_is_met_is_recorded_without_its_values(people, written, tmp_path):
    suite(tmp_path, SHORT, KNOWN, MANY)
    policy = written(holdout="{id: id, label: y, contract: suite.json}")
    open_, private = (
        gate.compare(people, policy=policy, incumbent="old", candidate="new", samples=samples) for samples in (100, 0)
    )
    assert b"31337" in to_bytes(open_.decision)
    assert b"31337" not in to_bytes(private.decision)
    assert private.decision.contract.results[0].observed["element_count"] == ROWS
    assert private.decision.contract.results[2].observed == {"observed_value": ROWS}
    assert private.decision.contract.status == "met"


def test_the_suite_itself_is_shown_since_it_is_no_data(tmp_path):
    suite(tmp_path, UNIQUE)
    found = check_contract(
        open_table(pa.table({"mail": [SECRET, "-"]})), read_suite(tmp_path / "suite.json"), values=False
    )
    assert found.results[0].kwargs["value_set"] == ["-"]
    assert found.results[0].observed == {"element_count": 2, "missing_count": 0, "unexpected_count": 1}
    assert found.results[0].message == "1 of 2 values are not as expected"


def test_no_report_holds_a_row(rows, written):
    rows["id"][0], rows["new"][0] = SECRET, "b"
    open_, private = (
        gate.compare(rows, policy=written(), incumbent="old", candidate="new", samples=samples) for samples in (100, 0)
    )
    for form, write in WRITERS.items():
        for content in write(private.decision, private.samples).values():
            assert b"jane" not in content, form
    assert SECRET in open_.report("samples")
    assert private.samples == ()
    assert private.decision.counts == open_.decision.counts


BAD_ROWS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ids given twice": ({"id": [SECRET, SECRET, *(f"r{i}" for i in range(2, ROWS))]}, {}),
    "a label of no class": (
        {"y": [SECRET] + ["a"] * (ROWS - 1)},
        {"task": "kind: classification, classes: [a, b]"},
    ),
    "an answer of no class": (
        {"old": [SECRET] + ["a"] * (ROWS - 1)},
        {"task": "kind: classification, classes: [a, b]"},
    ),
    "answers that are never a label": ({"new": [SECRET] * ROWS}, {}),
    "answers of another kind": ({"y": [1] * ROWS, "old": [1] * ROWS, "new": [SECRET] * ROWS}, {}),
    "a label that is no whole number": ({"y": [31337.25] * ROWS}, {}),
    "an index beyond the classes": ({"new": [31337] * ROWS}, {"task": "kind: classification, classes: [a, b]"}),
    "a score that is no word": (
        {"old": ["yes"] * ROWS, "new": [SECRET] * ROWS},
        {"task": "kind: scores", "holdout": "{id: id}"},
    ),
    "a score that is not 0 or 1": (
        {"old": [1.0] * ROWS, "new": [31337.5] * ROWS},
        {"task": "kind: scores", "holdout": "{id: id}"},
    ),
    "a label of no class among several": (
        {name: [["a"]] * (ROWS - 1) + [[SECRET]] for name in ("y", "old", "new")},
        {"task": "kind: multilabel, classes: [a]"},
    ),
    "a question asked once": (
        {"id": [SECRET] + ["q"] * (ROWS - 1), "s": range(ROWS)},
        {"holdout": "{id: id, sample: s, label: y}", "rule": "{id: r, rate: excess_nfr, at_most: 1%}"},
    ),
    "one id, two labels": (
        {"id": ["q"] * ROWS, "s": range(ROWS), "y": [SECRET] + ["a"] * (ROWS - 1)},
        {"holdout": "{id: id, sample: s, label: y}", "rule": "{id: r, rate: excess_nfr, at_most: 1%}"},
    ),
    "a question in two clusters": (
        {"id": [SECRET] * ROWS, "s": range(ROWS), "c": range(ROWS)},
        {"holdout": "{id: id, sample: s, label: y, cluster: c}"},
    ),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_an_error_about_rows_quotes_none_of_them(name, rows, written):
    columns, policy = BAD_ROWS[name]
    path = written(**policy)
    open_, private = both(
        lambda samples: gate.compare(
            {**rows, **columns}, policy=path, incumbent="old", candidate="new", samples=samples
        )
    )
    assert "jane" in open_ or "31337" in open_
    assert "jane" not in private and "31337" not in private
    assert "(withheld)" in private


def test_an_error_about_two_files_or_a_list_of_ids_quotes_no_id(rows, written, tmp_path):
    old = pd.DataFrame({"id": rows["id"], "y": rows["y"], "answer": rows["old"]})
    new = old.assign(id=[SECRET, *rows["id"][1:]], y=[SECRET, *rows["y"][1:]])
    files = {"incumbent_predictions": old, "candidate_predictions": new}
    open_, private = both(lambda s: gate.compare(policy=written(), prediction="answer", samples=s, **files))
    assert "1 of the 300 ids of (in memory) are not here ('r0')" in open_ and SECRET in open_
    assert "are not here ((withheld))" in private and "r0" not in private and "jane" not in private

    files["candidate_predictions"] = new.assign(id=rows["id"])
    open_, private = both(lambda s: gate.compare(policy=written(), prediction="answer", samples=s, **files))
    assert SECRET in open_ and "jane" not in private and "first at row 0" in private

    for content, rule in (
        (f"id\n{SECRET}\n", "{id: g, must_not_regress: ids.csv}"),
        (f"id\n{SECRET}\n{SECRET}\n", "{id: g, must_not_regress: ids.csv}"),
        (f"{SECRET}\n", "{id: g, must_not_regress: ids.csv}"),
    ):
        (tmp_path / "ids.csv").write_text(content)
        path = written(rule=rule)
        open_, private = both(
            lambda s: gate.compare(rows, policy=path, incumbent="old", candidate="new", samples=s)  # noqa: B023
        )
        assert SECRET in open_ and "jane" not in private


def test_a_file_that_cannot_be_read_is_not_quoted(written, tmp_path, monkeypatch):
    monkeypatch.setattr("gate.data.formats._BLOCK", 1 << 12)
    path = tmp_path / "p.csv"
    path.write_text("id,y,old,new\n" + "".join(f"{i},1,1,1\n" for i in range(1000)) + f"{SECRET},1,1,1\n")
    open_, private = both(lambda s: gate.compare(path, policy=written(), incumbent="old", candidate="new", samples=s))
    assert SECRET in open_ and "not of type int64" in private and "jane" not in private
    mixed = pd.DataFrame({"id": [1, SECRET], "y": [1, 1], "old": [1, 1], "new": [1, 1]})
    open_, private = both(lambda s: gate.compare(mixed, policy=written(), incumbent="old", candidate="new", samples=s))
    assert "jane" not in private
    column = {"id": [1, 2], "y": [1, 1], "old": [1, 1], "new": [1, SECRET]}
    _, private = both(lambda s: gate.compare(column, policy=written(), incumbent="old", candidate="new", samples=s))
    assert "jane" not in private


@pytest.mark.parametrize("in_process", [True, False])
def test_what_a_model_says_when_it_fails_is_not_quoted(acting, signs, written, in_process):
    policy = written(holdout="{id: key, label: y}")
    open_, private = both(
        lambda samples: gate.check(
            model="acting",
            candidate="@raises",
            incumbent="@honest",
            data=signs,
            policy=policy,
            registry_uri=acting,
            log_run=False,
            in_process=in_process,
            samples=samples,
        )
    )
    assert "cannot reach postgresql" in open_
    assert "candidate model: predict raised ValueError" in private and "postgresql" not in private


def test_the_last_words_of_a_model_that_dies_are_not_quoted(acting, signs, written):
    held_out = pd.read_csv(signs)
    policy = written(holdout="{id: key, label: y}")
    _, private = both(
        lambda samples: gate.check(
            model="acting",
            candidate="@dies",
            incumbent="@honest",
            data=held_out,
            policy=policy,
            registry_uri=acting,
            log_run=False,
            samples=samples,
        )
    )
    assert "candidate model: killed while it answered" in private
    assert "\n    | " not in private


def test_the_command_line_keeps_to_it(rows, written, tmp_path, capfd):
    rows["id"][1] = rows["id"][0] = SECRET
    pd.DataFrame(rows).to_csv(tmp_path / "p.csv", index=False)
    asked = ["compare", str(tmp_path / "p.csv"), "--incumbent", "old", "--candidate", "new", "--policy", str(written())]
    said = []
    for more in ([], ["--samples", "0"]):
        assert run([*asked, *more]) == 12
        said.append(capfd.readouterr().err)
    assert SECRET in said[0] and "jane" not in said[1]


def test_classes_and_cells_are_named_even_so(rows, written):
    judged = gate.compare(rows, policy=written(), incumbent="old", candidate="new", samples=0)
    assert {cell.value for cell in judged.decision.cells if cell.by == "class"} == {"a", "b"}


def test_an_error_without_data_is_the_same_with_and_without(rows, written):
    path = written(holdout="{id: id, label: absent}")
    open_, private = both(lambda s: gate.compare(rows, policy=path, incumbent="old", candidate="new", samples=s))
    assert open_ == private


def test_an_error_of_a_retrained_incumbent_is_held_back_too(rows, written):
    rows["again"] = [SECRET, *rows["old"][1:]]
    path = written(
        "kind: classification, classes: [a, b]", "{id: id, label: y, noise_floor: [again]}",
        "{id: r, rate: excess_nfr, at_most: 1%}",
    )  # fmt: skip
    open_, private = both(lambda s: gate.compare(rows, policy=path, incumbent="old", candidate="new", samples=s))
    assert SECRET in open_ and "jane" not in private and "column 'again'" in private
