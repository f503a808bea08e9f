"""Held-out sets and answers that are broken, given to `gate compare` and `gate check`: none of them is judged by."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Stopped = Callable[..., str]
Cli = Callable[..., Any]

COMPARE = ("--incumbent", "old", "--candidate", "new", "--policy", "p.yaml")
REPORT = ("--report", "json=decision.json")

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import this file


@pytest.fixture(autouse=True)
def policy(folder: Path) -> Callable[..., None]:
    """A policy that what is sound meets; keywords replace its parts."""

    def write(
        holdout: str = "{id: key, label: y}", rule: str = "{id: few, rate: nfr, at_most: 10%}", more: str = ""
    ) -> None:
        (folder / "p.yaml").write_text(f"version: 1\nname: signs\nholdout: {holdout}\nrules:\n  - {rule}\n{more}")

    write()
    return write


@pytest.fixture
def both(stopped: Stopped, models: Any) -> Callable[[str], str]:
    """Gives a held-out set to `gate compare` and to `gate check`, which must both end with exit code 12, saying the same."""

    def give(file: str) -> str:
        said = stopped(12, "compare", file, *COMPARE, *REPORT)
        assert stopped(12, *models.asked("better", "--data", file, *REPORT)) == said
        return said

    return give


@pytest.mark.parametrize("command", ["compare", "check"])
def test_the_held_out_set_that_is_broken_below_allows(
    command: str, cli: Cli, models: Any, folder: Path, signs: pd.DataFrame
) -> None:
    signs.to_csv("signs.csv", index=False)
    asked = models.asked("better", "--data", "signs.csv") if command == "check" else ("compare", "signs.csv", *COMPARE)
    done = cli(*asked, *REPORT)

    assert (done.code, done.out[:8]) == (0, b"ALLOWED\n")
    assert json.loads((folder / "decision.json").read_bytes())["counts"]["negative"] == 9


@pytest.mark.fault(
    12,
    given="the held-out set has no rows",
    then="gives no verdict: nothing was checked, so nothing is allowed",
    exit_code=12,
)
@pytest.mark.parametrize("file", ["signs.csv", "signs.parquet", "signs.feather"])
def test_a_held_out_set_without_rows(file: str, both: Callable[[str], str], signs: pd.DataFrame) -> None:
    empty = signs[:0]
    {".csv": partial(empty.to_csv, index=False), ".parquet": empty.to_parquet, ".feather": empty.to_feather}[
        Path(file).suffix
    ](file)

    assert both(file) == "Error: held-out set: it has no rows\n  -> nothing was checked, so nothing is allowed\n"


@pytest.mark.fault(
    13,
    given="two rows have the same id",
    then="gives no verdict, and names the ids and their rows",
    exit_code=12,
)
def test_ids_that_are_given_twice(both: Callable[[str], str], signs: pd.DataFrame) -> None:
    signs.assign(key=signs["key"].replace({399: 7, 200: 7})).to_csv("signs.csv", index=False)

    assert both("signs.csv").startswith(
        "Error: signs.csv: 3 rows share their id with another row: 7 in rows 7, 200, 399\n  -> "
    )


def two_files(signs: pd.DataFrame, incumbent: pd.DataFrame, candidate: pd.DataFrame) -> tuple[str, ...]:
    """Writes one file of answers for each model, in different orders."""
    incumbent[["key", "y", "old"]].rename(columns={"old": "answer"}).to_parquet("old.parquet")
    candidate[["key", "new"]].rename(columns={"new": "answer"})[::-1].to_parquet("new.parquet")
    return (
        "compare", "--incumbent-predictions", "old.parquet", "--candidate-predictions", "new.parquet",
        "--prediction", "answer", "--policy", "p.yaml",
    )  # fmt: skip


@pytest.mark.fault(
    14,
    given="one model answered rows that the other one did not",
    then="gives no verdict, and counts the rows that each side lacks; it never judges by the rows that they share",
    exit_code=12,
)
def test_rows_that_one_side_lacks_are_counted(stopped: Stopped, cli: Cli, folder: Path, signs: pd.DataFrame) -> None:
    asked = two_files(signs, signs[2:], signs[:-5])
    said = stopped(12, *asked, *REPORT)
    hint = "\n  -> both models must have answered the same rows: complete one file, or cut the other\n"

    assert said == (
        f"Error: new.parquet: 5 of the 398 ids of old.parquet are not here (395, 396, 397, ...){hint}"
        f"old.parquet: 2 of the 395 ids of new.parquet are not here (1, 0){hint}"
    )
    assert cli(*two_files(signs, signs, signs), *REPORT).code == 0


@pytest.mark.fault(
    15,
    given="a row has no label",
    then="gives no verdict, and names the first such row",
    exit_code=12,
)
def test_a_row_without_a_label(both: Callable[[str], str], signs: pd.DataFrame) -> None:
    signs.assign(y=signs["y"].astype("Int64").where(signs["key"] != 5)).to_csv("signs.csv", index=False)

    assert both("signs.csv") == (
        "Error: held-out set: 1 of 400 labels are missing in one batch, first at row 5\n"
        "  -> a row without a label cannot be judged: complete it, or leave it out\n"
    )


@pytest.mark.fault(
    15,
    given="the held-out set has labels that are none of the classes that the policy names",
    then="gives no verdict, and names the labels and the classes",
    exit_code=12,
)
def test_labels_that_nobody_knows(both: Callable[[str], str], policy: Callable[..., None], signs: pd.DataFrame) -> None:
    policy(more="task: {classes: [0, 1]}\n")
    signs.assign(y=signs["y"].where(signs["key"] % 100 != 5, 2)).to_csv("signs.csv", index=False)

    assert both("signs.csv") == (
        "Error: held-out set: the labels 2 are not among the policy's task.classes (0, 1): 4 rows in one batch,"
        " first at row 5\n  -> relabel, or name the classes in the policy under task.classes\n"
    )


@pytest.mark.fault(
    15,
    given="the candidate never saw a class that the incumbent knows",
    then="counts every row of that class as a wrong answer of the candidate",
    exit_code=10,
)
def test_a_class_that_only_the_incumbent_saw(
    cli: Cli, models: Any, folder: Path, signs: pd.DataFrame, policy: Callable[..., None]
) -> None:
    import mlflow
    from sklearn.linear_model import LogisticRegression

    names = np.select([signs["x"] > 0.8, signs["x"] > 0], ["high", "up"], "down")
    client = mlflow.MlflowClient(models.uri, models.uri)
    for alias, rows in (("knows_three", names != ""), ("knows_two", names != "high")):
        fitted = LogisticRegression(C=1e4).fit(signs[["x"]][rows], names[rows])
        mlflow.sklearn.save_model(fitted, str(folder / alias), pip_requirements=[], serialization_format="cloudpickle")
        version = client.create_model_version("acts", source=(folder / alias).as_uri()).version
        client.set_registered_model_alias("acts", alias, version)
    policy(holdout="{id: key, label: name, slices: {}}", rule="{id: classes, rate: nfr, by: class, at_most: 5%}")
    signs[["key", "x"]].assign(name=names).to_parquet("signs.parquet")
    done = cli(*models.asked("knows_two", "--data", "signs.parquet", *REPORT, incumbent="knows_three"))
    cells = {cell["value"]: cell["counts"] for cell in json.loads((folder / "decision.json").read_bytes())["cells"]}

    assert (done.code, done.out[:8]) == (10, b"REFUSED\n")
    assert cells["high"]["n"] == (names == "high").sum() > 50
    assert cells["high"]["both_right"] == 0


@pytest.mark.fault(
    16,
    given="the labels are numbers and the answers are text, or the other way round",
    then="gives no verdict: 1 and '1' are not the same class",
    exit_code=12,
)
@pytest.mark.parametrize("column", ["y", "new"])
def test_numbers_and_text_are_not_the_same(column: str, stopped: Stopped, models: Any, signs: pd.DataFrame) -> None:
    signs.assign(**{column: signs[column].astype(str)}).to_parquet("signs.parquet")
    texts = ("the labels are text", "the labels are integers")[column == "new"]
    asked = [("compare", "signs.parquet", *COMPARE)]
    asked.append(models.asked("better" if column == "y" else "text", "--data", "signs.parquet"))
    for command in asked:
        said = stopped(12, *command, *REPORT)

        assert said.startswith("Error: candidate model: it answers with ")
        assert texts in said
        assert "\n  -> 1 and '1' are not the same class: cast one side, or name the classes in the policy" in said


@pytest.mark.fault(
    17,
    given="a model answers fewer rows than it was given, or with something that is no answer for each row",
    then="gives no verdict, and says what came back for how many rows",
    exit_code=12,
)
@pytest.mark.parametrize(
    ("act", "said"),
    [
        ("one_row_less", "predict returned 399 rows for 400: the wrong number of rows"),
        ("a_cube", "predict returned an array of 3 dimensions"),
        ("three_numbers", "it answers with 3 numbers per row, the policy names 2 classes"),
    ],
)
@pytest.mark.parametrize("role", ["candidate", "incumbent"])
def test_answers_of_the_wrong_length_or_shape(
    act: str, said: str, role: str, stopped: Stopped, models: Any, signs: pd.DataFrame, policy: Callable[..., None]
) -> None:
    policy(more="task: {classes: [0, 1]}\n")
    signs.to_csv("signs.csv", index=False)
    sides = {"candidate": "better", "incumbent": "honest", role: act}
    asked = models.asked(sides["candidate"], "--data", "signs.csv", *REPORT, incumbent=sides["incumbent"])

    assert stopped(12, *asked).startswith(f"Error: {role} model: {said}\n  -> ")


@pytest.mark.fault(
    17,
    given="a model answers its rows in another order, as the index of its answer shows",
    then="gives no verdict, and asks for the order of the rows",
    exit_code=12,
)
def test_answers_in_another_order(stopped: Stopped, models: Any, signs: pd.DataFrame) -> None:
    signs.to_csv("signs.csv", index=False)

    assert stopped(12, *models.asked("another_order", "--data", "signs.csv", *REPORT)) == (
        "Error: candidate model: predict returned its rows in another order:"
        " the index of its answer is not the index of its input\n"
        "  -> return the answers in the order of the rows, with the index of the input\n"
    )


@pytest.mark.fault(
    18,
    given="a class that the policy names has no row in the held-out set",
    then="does not take nothing for good: the verdict is inconclusive, and says how many rows of it are needed",
    exit_code=11,
)
@pytest.mark.parametrize("decide_on", ["proof", "estimate", "harm"])
def test_a_class_without_rows_is_not_passed(
    decide_on: str, cli: Cli, folder: Path, signs: pd.DataFrame, policy: Callable[..., None]
) -> None:
    policy(
        rule=f"{{id: classes, rate: nfr, by: class, at_most: 10%, decide_on: {decide_on}}}",
        more="task: {classes: [0, 1, 2]}\n",
    )
    signs.to_csv("signs.csv", index=False)
    done = cli("compare", "signs.csv", *COMPARE, *REPORT)
    found = json.loads((folder / "decision.json").read_bytes())
    status = {finding["cell"]["value"]: finding["status"] for finding in found["findings"]}

    assert (done.code, done.out[:13]) == (11, b"INCONCLUSIVE\n")
    assert status == {0: "pass", 1: "pass", 2: "inconclusive"}
    assert found["promotable"]["value"] is False
    if decide_on == "proof":
        assert b"class 2: about 29 more rows of this kind would settle it" in done.out
        warned = cli("policy", "validate", "p.yaml", "--data", "signs.csv")
        assert "rule 'classes': can never pass: 1 of 3 cells: class 2 (0 of 29 rows)" in warned.err


@pytest.mark.fault(
    19,
    given="a score is not a number (NaN)",
    then="gives no verdict: such a row is neither right nor wrong",
    exit_code=12,
)
@pytest.mark.parametrize("column", ["old", "new"])
def test_a_score_that_is_no_number(
    column: str, stopped: Stopped, models: Any, signs: pd.DataFrame, policy: Callable[..., None]
) -> None:
    policy(more="task: {outputs: scores, classes: [0, 1], threshold: 0.0}\n")
    scores = signs["x"].where(signs["key"] != 3)
    table = pa.table({**signs.assign(old=signs["x"], new=signs["x"])}).set_column(
        signs.columns.get_loc(column), column, pa.array(scores.to_numpy(), from_pandas=False)
    )
    pq.write_table(table, "signs.parquet")
    role = "incumbent" if column == "old" else "candidate"
    sides = {"candidate": "better", "incumbent": "honest", role: "nan_scores"}
    for command in (
        ("compare", "signs.parquet", *COMPARE),
        models.asked(sides["candidate"], "--data", "signs.parquet", incumbent=sides["incumbent"]),
    ):
        said = stopped(12, *command, *REPORT)

        assert said.startswith(f"Error: {role} model: NaN in 1 scores of one batch, first at row 3\n  -> ")


@pytest.mark.fault(
    19,
    given="the two largest scores of a row are equal, or a score lies on the threshold",
    then="takes the first class of the two, and the second class on the threshold, for both models alike: a tie is no flip",
    exit_code=0,
)
@pytest.mark.parametrize("outputs", ["scores", "probabilities"])
def test_ties_are_settled_alike_for_both_models(
    outputs: str, cli: Cli, folder: Path, signs: pd.DataFrame, policy: Callable[..., None]
) -> None:
    threshold = ", threshold: 0.5" if outputs == "scores" else ""
    policy(more=f"task: {{outputs: {outputs}, classes: [0, 1]{threshold}}}\n")
    tied = pa.array([0.5] * len(signs) if outputs == "scores" else [[0.5, 0.5]] * len(signs))
    table = pa.table({"key": signs["key"], "y": signs["y"], "old": tied, "new": tied, "z": range(len(signs))})
    pq.write_table(table, "signs.parquet")
    right = int((signs["y"] == (1 if outputs == "scores" else 0)).sum())
    for batch in (7, 1000):
        done = cli("compare", "signs.parquet", *COMPARE, *REPORT, "--batch-rows", batch)
        counts = json.loads((folder / "decision.json").read_bytes())["counts"]

        assert done.code == 0
        assert (counts["both_right"], counts["wrong_same"]) == (right, len(signs) - right)


def spoil(file: str, batch: Any) -> Any:
    """Answers honestly; before its first answer it changes one number at the end of the held-out set, in place."""
    path = Path(file)
    if not path.with_suffix(".spoilt").exists():
        path.with_suffix(".spoilt").touch()
        content = bytearray(path.read_bytes())
        at = content.rindex(np.float64(0.123456789).tobytes())
        content[at : at + 8] = np.float64(0.987654321).tobytes()
        with path.open("r+b") as opened:
            opened.write(content)
    return (batch["x"].to_numpy() > 0).astype("int64")


@pytest.mark.fault(
    20,
    given="the held-out set changes while it is read",
    then="gives no verdict: the rows that were scored are not those that the contract was met by",
    exit_code=12,
)
def test_a_held_out_set_that_changes_while_it_is_read(
    cli: Cli, models: Any, folder: Path, signs: pd.DataFrame, policy: Callable[..., None]
) -> None:
    suite({"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "x"}})
    policy(holdout="{id: key, label: y, contract: suite.json}")
    signs.loc[399, ["x", "y"]] = 0.123456789, 1
    pq.write_table(
        pa.Table.from_pandas(signs.astype({"y": "int64"})), "signs.parquet", row_group_size=40, use_dictionary=False,
        compression="none",
    )  # fmt: skip
    models.add("spoils", partial(spoil, str(folder / "signs.parquet")))
    done = cli(*models.apart("spoils", "--data", "signs.parquet", "--batch-rows", 40, *REPORT))

    assert (done.code, done.out) == (12, b"")
    assert done.err == (
        "Error: signs.parquet: it changed while it was read: the contract was met by other rows than those scored\n"
        "  -> run again on a copy that nobody writes to\n"
    )
    assert (folder / "signs.spoilt").exists()
    assert not (folder / "decision.json").exists()


def suite(*expectations: dict[str, Any]) -> None:
    Path("suite.json").write_text(json.dumps({"name": "signs", "expectations": expectations}))


@pytest.mark.fault(
    21,
    given="the held-out set breaks its contract, or an expectation of the contract cannot be checked",
    then="gives no verdict, and names every expectation that was not met; what could not be checked counts as not met",
    exit_code=12,
)
@pytest.mark.parametrize(
    ("expectation", "status", "hint"),
    [
        (
            {"type": "expect_column_values_to_be_between", "kwargs": {"column": "x", "max_value": 1}},
            "expect_column_values_to_be_between (column='x', max_value=1) broken: ",
            "mend the held-out set, or the contract",
        ),
        (
            {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "z", "max_value": 1}},
            "expect_column_mean_to_be_between (column='z', max_value=1) crashed: ",
            "the expectation itself could not be checked, and what is not checked is refused",
        ),
    ],
)
def test_a_contract_that_is_broken_or_cannot_be_checked(
    expectation: dict[str, Any],
    status: str,
    hint: str,
    both: Callable[[str], str],
    signs: pd.DataFrame,
    policy: Callable[..., None],
) -> None:
    suite({"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "y"}}, expectation)
    policy(holdout="{id: key, label: y, contract: suite.json}")
    signs.to_csv("signs.csv", index=False)
    said = both("signs.csv")

    assert said.startswith(f"Error: contract signs: {status}")
    assert said.endswith(f"\n  -> {hint}\n")
    assert "not_be_null" not in said


@pytest.mark.fault(
    21,
    given="a contract has no expectations, or none that anybody knows",
    then="does not take it for met, and names the line that is wrong",
    exit_code=2,
)
@pytest.mark.parametrize(
    ("expectations", "said"),
    [
        ([], "suite.json: no expectations"),
        ([{"type": "expect_nothing", "kwargs": {}}], "unknown expectation 'expect_nothing'"),
    ],
)
def test_a_contract_that_expects_nothing(
    expectations: list[Any], said: str, stopped: Stopped, models: Any, signs: pd.DataFrame, policy: Callable[..., None]
) -> None:
    suite(*expectations)
    policy(holdout="{id: key, label: y, contract: suite.json}")
    signs.to_csv("signs.csv", index=False)
    for command in (
        ("compare", "signs.csv", *COMPARE, *REPORT),
        models.asked("better", "--data", "signs.csv", *REPORT),
        ("policy", "validate", "p.yaml"),
    ):
        found = stopped(2, *command)

        assert "Error: suite.json" in found and said in found


@pytest.mark.fault(
    22,
    given="a Parquet file is cut off, a text file is not UTF-8, or a CSV has rows of different lengths",
    then="gives no verdict, and names the file, and for a row its number, never its content",
    exit_code=12,
)
@pytest.mark.parametrize(
    ("file", "spoilt", "said"),
    [
        ("signs.parquet", lambda whole: whole[: len(whole) // 2], "signs.parquet: "),
        ("signs.parquet", lambda whole: whole[:-1], "signs.parquet: "),
        ("signs.parquet", lambda _: b"", "signs.parquet: "),
        ("signs.csv", lambda _: b"", "signs.csv: empty file: no CSV in it"),
        ("signs.csv", lambda whole: whole.replace(b"0\n", b"\xe9\n", 1), "signs.csv: column 'new' is not UTF-8"),
        ("signs.csv", lambda whole: whole.decode().encode("utf-16"), "signs.csv: not UTF-8 (it looks like UTF-16)"),
        ("signs.csv", lambda whole: whole + b"swordfish,1\n", "signs.csv: row 400: expected 5 fields, found 2"),
        ("signs.csv", lambda whole: whole + b"swordfish,1,1,1,1,1\n", "signs.csv: row 400: expected 5 fields, found 6"),
    ],
)
def test_a_file_that_is_damaged(
    file: str, spoilt: Callable[[bytes], bytes], said: str, both: Callable[[str], str], signs: pd.DataFrame
) -> None:
    if file.endswith(".csv"):
        signs.to_csv(file, index=False)
    else:
        signs.to_parquet(file)
    Path(file).write_bytes(spoilt(Path(file).read_bytes()))
    found = both(file)

    assert found.startswith(f"Error: {said}")
    assert "swordfish" not in found
