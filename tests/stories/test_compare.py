"""``gate.compare``: predictions that are already there, in one table or in one for each model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gate
from gate.core.judgement import Status, Verdict
from gate.errors import EvidenceError, ExitCode, GateError, UsageError
from gate.stories.decide import Judgement

Policies = Callable[..., Path]

ROWS = 600
COLUMNS: dict[str, Any] = {"label": "y", "incumbent": "old", "candidate": "new"}


@pytest.fixture(scope="session")
def predictions() -> pd.DataFrame:
    """600 rows of three classes: the old model is right in some 80 %, the new one in some 90 %."""
    random = np.random.default_rng(11)
    truth = random.choice(["cat", "dog", "fox"], ROWS)

    def guesses(right: float) -> Any:
        return np.where(random.random(ROWS) < right, truth, random.choice(["cat", "dog", "fox"], ROWS))

    return pd.DataFrame(
        {
            "key": np.arange(ROWS) * 3,
            "y": truth,
            "old": guesses(0.7),
            "new": guesses(0.85),
            "site": random.choice(["north", "south"], ROWS),
        }
    )


@pytest.fixture
def unnamed(policy: Policies) -> Path:
    """A policy that names no column."""
    return policy(holdout="{}")


@pytest.fixture
def two_files(predictions: pd.DataFrame, tmp_path: Path) -> dict[str, Any]:
    """The same predictions as two files in different orders, only the first with the label and the slice."""
    old = predictions[["key", "y", "site", "old"]].rename(columns={"old": "answer"})
    new = predictions[["key", "new"]].rename(columns={"new": "answer"}).sample(frac=1, random_state=5)
    old.to_parquet(tmp_path / "old.parquet")
    new.to_parquet(tmp_path / "new.parquet")
    return {
        "incumbent_predictions": tmp_path / "old.parquet",
        "candidate_predictions": tmp_path / "new.parquet",
        "id": "key",
        "label": "y",
        "prediction": "answer",
    }


def refused(kind: type[GateError], **asked: Any) -> GateError:
    with pytest.raises(kind) as caught:
        gate.compare(**asked)
    return caught.value


def counts(judged: Judgement) -> dict[str, Any]:
    return vars(judged.decision.counts)


def by_hand(frame: pd.DataFrame) -> dict[str, int]:
    right, now = frame["old"] == frame["y"], frame["new"] == frame["y"]
    same = frame["old"] == frame["new"]
    return {
        "both_right": int((right & now).sum()),
        "negative": int((right & ~now).sum()),
        "positive": int((~right & now).sum()),
        "wrong_same": int((~right & ~now & same).sum()),
        "wrong_different": int((~right & ~now & ~same).sum()),
        "n": len(frame),
    }


# one table


@pytest.mark.parametrize("kind", ["file", "csv", "frame", "table", "arrays", "lists"])
def test_a_file_a_frame_a_table_and_arrays_are_counted_alike(
    kind: str, predictions: pd.DataFrame, unnamed: Path, tmp_path: Path
) -> None:
    source: Any
    if kind == "file":
        source = tmp_path / "predictions.parquet"
        predictions.to_parquet(source)
    elif kind == "csv":
        source = tmp_path / "predictions.csv"
        predictions.to_csv(source, index=False)
    elif kind == "frame":
        source = predictions
    elif kind == "table":
        source = pa.Table.from_pandas(predictions)
    elif kind == "arrays":
        source = {name: predictions[name].to_numpy() for name in predictions}
    else:
        source = {name: predictions[name].tolist() for name in predictions}

    assert counts(gate.compare(source, policy=unnamed, **COLUMNS)) == by_hand(predictions)


def test_columns_that_the_policy_names_can_be_left_out(predictions: pd.DataFrame, policy: Policies) -> None:
    path = policy(holdout="{id: key, label: y, slices: {site: {column: site}}}")
    decision = gate.compare(predictions, policy=path, incumbent="old", candidate="new").decision

    assert (decision.provenance.holdout.id, decision.provenance.holdout.label) == ("key", "y")
    north = predictions[predictions["site"] == "north"]
    (cell,) = [cell for cell in decision.cells if (cell.by, cell.value) == ("site", "north")]
    assert vars(cell.counts) == by_hand(north)


def test_probabilities_of_shape_rows_by_classes_are_read_by_their_largest(policy: Policies) -> None:
    random = np.random.default_rng(2)
    old, new = random.dirichlet([1, 1, 1], 200), random.dirichlet([1, 1, 1], 200)
    truth = random.integers(0, 3, 200)
    judged = gate.compare({"y": truth, "old": old, "new": new}, policy=policy(), incumbent="old", candidate="new")
    frame = pd.DataFrame({"y": truth, "old": old.argmax(axis=1), "new": new.argmax(axis=1)})

    assert counts(judged) == by_hand(frame)


def test_predictions_cannot_be_promoted_and_say_why(predictions: pd.DataFrame, unnamed: Path) -> None:
    decision = gate.compare(predictions, policy=unnamed, **COLUMNS).decision

    assert decision.verdict is Verdict.ALLOW
    assert decision.promotable.value is False
    assert decision.promotable.because == "predictions were compared, not versions of a registered model"
    assert decision.target.registry is None


def test_batches_do_not_change_the_judgement(predictions: pd.DataFrame, unnamed: Path) -> None:
    first, second = (
        gate.compare(predictions, policy=unnamed, rows_per_batch=rows, as_of="2026-01-01", **COLUMNS)
        for rows in (7, 1000)
    )

    assert first.decision.findings == second.decision.findings
    assert first.decision.cells == second.decision.cells
    assert first.samples == second.samples


def test_the_option_and_the_policy_must_name_the_same_column(predictions: pd.DataFrame, policy: Policies) -> None:
    path = policy(holdout="{id: key, label: y}")
    error = refused(UsageError, predictions=predictions, policy=path, label="site", incumbent="old", candidate="new")

    assert error.exit_code is ExitCode.USAGE
    assert str(error) == (
        "--label: the label column is 'site' here and 'y' in the policy's holdout.label\n"
        "  -> leave the option out, or mend the policy"
    )


def test_no_label_anywhere(predictions: pd.DataFrame, unnamed: Path) -> None:
    error = refused(UsageError, predictions=predictions, policy=unnamed, incumbent="old", candidate="new")

    assert str(error) == (
        "held-out set: no label column is named\n  -> --label COL, or holdout: {label: COL} in the policy"
    )


def test_absent_columns_are_told_together(predictions: pd.DataFrame, unnamed: Path) -> None:
    error = refused(
        EvidenceError, predictions=predictions, policy=unnamed, label="yy", incumbent="odl", candidate="new", id="kee"
    )

    assert [problem.found for problem in error.problems] == [
        "no column 'kee' for the id; did you mean 'key'?",
        "no column 'yy' for the label; did you mean 'y'?",
        "no column 'odl' for the incumbent; did you mean 'old'?",
    ]


@pytest.mark.parametrize(
    ("same", "found"),
    [
        ({"candidate": "y"}, "--candidate: label and candidate are the same column 'y'"),
        ({"incumbent": "y"}, "--incumbent: label and incumbent are the same column 'y'"),
        ({"candidate": "old"}, "--candidate: incumbent and candidate are the same column 'old'"),
        ({"id": "new"}, "--candidate: id and candidate are the same column 'new'"),
    ],
)
def test_no_column_stands_for_two_things(
    same: dict[str, str], found: str, predictions: pd.DataFrame, unnamed: Path
) -> None:
    error = refused(UsageError, predictions=predictions, policy=unnamed, **{**COLUMNS, **same})

    assert str(error) == f"{found}\n  -> each needs a column of its own"


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, "no predictions"),
        ({"predictions": "here"}, "name the two columns of predictions"),
        ({"incumbent_predictions": "here", "id": "key"}, "no predictions"),
        (
            {"predictions": "here", "incumbent_predictions": "here", "incumbent": "old", "candidate": "new"},
            "give one table of predictions or two, not both",
        ),
        (
            {"incumbent_predictions": "here", "candidate_predictions": "here", "id": "key"},
            "name the column of predictions",
        ),
        (
            {"incumbent_predictions": "here", "candidate_predictions": "here", "prediction": "old"},
            "no id column is named",
        ),
    ],
)
def test_what_is_not_enough_to_compare(
    asked: dict[str, Any], found: str, predictions: pd.DataFrame, unnamed: Path
) -> None:
    given = {name: predictions if value == "here" else value for name, value in asked.items()}
    error = refused(UsageError, policy=unnamed, label="y", **{"id": None, **given})

    assert error.problems[0].where in ("gate compare", "held-out set")
    assert error.problems[0].found == found


def test_columns_of_different_lengths(unnamed: Path) -> None:
    source = {"y": ["a", "b"], "old": ["a"], "new": ["a", "b"]}
    error = refused(UsageError, predictions=source, policy=unnamed, **COLUMNS)

    assert str(error) == "predictions: columns of different lengths: {'y': 2, 'old': 1, 'new': 2}"


def test_a_column_of_three_dimensions(unnamed: Path) -> None:
    source = {"y": ["a", "b"], "old": np.zeros((2, 2, 2)), "new": ["a", "b"]}
    error = refused(UsageError, predictions=source, policy=unnamed, **COLUMNS)

    assert str(error) == "predictions: 'old' has 3 dimensions: one, or two (rows by classes)"


def test_ids_given_twice_are_an_error(predictions: pd.DataFrame, unnamed: Path) -> None:
    twice = pd.concat([predictions, predictions[:1]])
    error = refused(EvidenceError, predictions=twice, policy=unnamed, id="key", **COLUMNS)

    assert error.exit_code is ExitCode.EVIDENCE
    assert f"2 rows share their id with another row: 0 in rows 0, {ROWS}" in str(error)


def test_no_rows_allow_nothing(predictions: pd.DataFrame, unnamed: Path) -> None:
    error = refused(EvidenceError, predictions=predictions[:0], policy=unnamed, **COLUMNS)

    assert "no rows" in str(error)


def test_a_probability_that_is_nan_is_an_error(unnamed: Path) -> None:
    old = np.array([[0.1, 0.9], [np.nan, 0.5]])
    source = {"y": [1, 0], "old": old, "new": np.array([[0.2, 0.8], [0.7, 0.3]])}
    error = refused(EvidenceError, predictions=source, policy=unnamed, **COLUMNS)

    assert str(error).startswith("incumbent model: NaN in 1 answers of one batch, first at row 1")


def test_the_labels_of_numbers_and_of_text_are_not_the_same(unnamed: Path) -> None:
    source = {"y": [1, 0], "old": ["1", "0"], "new": ["1", "0"]}
    error = refused(EvidenceError, predictions=source, policy=unnamed, **COLUMNS)

    assert "it answers with text" in str(error) and "the labels are integers" in str(error)


def test_a_rule_that_matches_no_cell_names_the_line_of_the_policy(predictions: pd.DataFrame, policy: Policies) -> None:
    rule = "{id: broken, rate: nfr, by: class, at_most: 9%, overrides: [{cell: cta, at_most: 1%}]}"
    path = policy(rule=rule, holdout="{}")
    error = refused(UsageError, predictions=predictions, policy=path, **COLUMNS)

    assert error.problems[0].where == f"{path}:5"
    assert "override for 'cta', which is no class of this held-out set; did you mean 'cat'?" in str(error)


def test_a_day_that_is_none(predictions: pd.DataFrame, unnamed: Path) -> None:
    error = refused(UsageError, predictions=predictions, policy=unnamed, as_of="tomorrow", **COLUMNS)

    assert str(error) == "--as-of: not a day: 'tomorrow'\n  -> write it as 2026-12-31 (UTC)"


def test_a_slice_value_that_is_infinite_or_nan_is_a_cell_like_any_other(
    predictions: pd.DataFrame, policy: Policies
) -> None:
    from gate.report.writers import WRITERS

    heights = np.tile([np.inf, -np.inf, np.nan, 1.5, 2.0, 1e300], ROWS // 6)
    path = policy(holdout="{label: y, slices: {height: {column: height}}}")
    judged = gate.compare(predictions.assign(height=heights), policy=path, incumbent="old", candidate="new")

    for write in WRITERS.values():
        for content in write(judged.decision, judged.samples).values():
            assert b"NaN" not in content and b"Infinity" not in content


# two tables


def test_two_files_in_different_orders_are_joined_by_id(
    two_files: dict[str, Any], predictions: pd.DataFrame, policy: Policies
) -> None:
    path = policy(holdout="{id: key, label: y, slices: {site: {column: site}}}")
    joined = gate.compare(policy=path, **two_files)
    alone = gate.compare(predictions, policy=path, incumbent="old", candidate="new")

    assert counts(joined) == by_hand(predictions)
    assert joined.decision.findings == alone.decision.findings
    assert joined.decision.cells == alone.decision.cells
    assert joined.samples == alone.samples


def test_the_label_may_be_in_the_candidates_file_alone(
    two_files: dict[str, Any], predictions: pd.DataFrame, unnamed: Path, tmp_path: Path
) -> None:
    pq.write_table(pq.read_table(tmp_path / "old.parquet").drop_columns(["y"]), tmp_path / "old.parquet")
    new = pd.read_parquet(tmp_path / "new.parquet").merge(predictions[["key", "y"]], on="key")
    new.to_parquet(tmp_path / "new.parquet")

    assert counts(gate.compare(policy=unnamed, **two_files)) == by_hand(predictions)


def test_probabilities_in_two_files_are_joined_by_id(policy: Policies, tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    old, new = random.dirichlet([1, 1, 1], 90), random.dirichlet([1, 1, 1], 90)
    truth, order = random.integers(0, 3, 90), random.permutation(90)
    ids = np.array([f"row-{i}" for i in range(90)])
    judged = gate.compare(
        incumbent_predictions={"key": ids, "y": truth, "answer": old},
        candidate_predictions={"key": ids[order], "answer": new[order]},
        id="key",
        prediction="answer",
        policy=policy(),
        rows_per_batch=16,
    )
    frame = pd.DataFrame({"y": truth, "old": old.argmax(axis=1), "new": new.argmax(axis=1)})

    assert counts(judged) == by_hand(frame)


def test_a_label_that_neither_file_has(two_files: dict[str, Any], unnamed: Path, tmp_path: Path) -> None:
    error = refused(EvidenceError, policy=unnamed, **{**two_files, "label": "truth"})

    assert "no column 'truth' for the label" in str(error)


def test_ids_that_one_side_lacks_are_counted_and_never_dropped(
    two_files: dict[str, Any], unnamed: Path, tmp_path: Path
) -> None:
    old, new = tmp_path / "old.parquet", tmp_path / "new.parquet"
    pq.write_table(pq.read_table(old).slice(2), old)
    kept = pd.read_parquet(new)
    kept[kept["key"] < 1785].to_parquet(new)
    error = refused(EvidenceError, policy=unnamed, **two_files)

    assert error.exit_code is ExitCode.EVIDENCE
    lacking = [(problem.where, problem.found.split(" (")[0]) for problem in error.problems]
    assert lacking == [
        (str(new), f"5 of the 598 ids of {old} are not here"),
        (str(old), f"2 of the 595 ids of {new} are not here"),
    ]
    assert "1785, 1788, 1791, ..." in error.problems[0].found
    assert error.problems[0].hint.startswith("both models must have answered the same rows")


@pytest.mark.parametrize("side", ["old", "new"])
def test_an_id_given_twice_on_either_side(side: str, two_files: dict[str, Any], unnamed: Path, tmp_path: Path) -> None:
    path = tmp_path / f"{side}.parquet"
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), path)
    error = refused(EvidenceError, policy=unnamed, **two_files)

    assert error.problems[0].where.startswith(str(path))
    assert "in rows 0, 600" in str(error)


def test_files_that_disagree_on_the_label(two_files: dict[str, Any], unnamed: Path, tmp_path: Path) -> None:
    labelled = pd.read_parquet(tmp_path / "new.parquet").merge(
        pd.read_parquet(tmp_path / "old.parquet")[["key", "y"]], on="key"
    )
    wrong = labelled["key"] == 6
    labelled.loc[wrong, "y"] = "owl"
    labelled.to_parquet(tmp_path / "new.parquet")
    error = refused(EvidenceError, policy=unnamed, **two_files)

    assert error.problems[0].where == "column 'y'"
    assert "the two files disagree on the label of 1 rows of one batch, first at row 2: " in str(error)
    assert "'owl'" in str(error)


def test_ids_as_numbers_and_as_text_are_not_joined(two_files: dict[str, Any], unnamed: Path, tmp_path: Path) -> None:
    text = pd.read_parquet(tmp_path / "new.parquet")
    text.assign(key=text["key"].astype(str)).to_parquet(tmp_path / "new.parquet")
    error = refused(EvidenceError, policy=unnamed, **two_files)

    assert error.problems[0].where == "column 'key'"
    assert "ids are int64 in" in str(error) and "string in" in str(error)
    assert error.problems[0].hint == "1 and '1' are not the same id: cast one side"


@pytest.mark.parametrize("side", ["old", "new"])
def test_ids_of_a_narrower_integer_type_are_joined(
    side: str, two_files: dict[str, Any], predictions: pd.DataFrame, unnamed: Path, tmp_path: Path
) -> None:
    path = tmp_path / f"{side}.parquet"
    narrow = pd.read_parquet(path)
    narrow.assign(key=narrow["key"].astype("uint16")).to_parquet(path)

    assert counts(gate.compare(policy=unnamed, **two_files)) == by_hand(predictions)


def test_an_id_too_large_for_the_other_files_type_is_one_that_the_other_lacks(
    two_files: dict[str, Any], unnamed: Path, tmp_path: Path
) -> None:
    old, new = (pd.read_parquet(tmp_path / f"{side}.parquet") for side in ("old", "new"))
    old.assign(key=old["key"].astype("int16")).to_parquet(tmp_path / "old.parquet")
    new.assign(key=new["key"].replace({9: 10**9})).to_parquet(tmp_path / "new.parquet")
    error = refused(EvidenceError, policy=unnamed, **two_files)

    assert "ids of" in str(error) and "are not here (1000000000)" in str(error)


def test_two_files_with_only_rows_that_pass_are_inconclusive_if_they_are_few(policy: Policies) -> None:
    rows = {"key": ["a", "b"], "y": [1, 0], "answer": [1, 0]}
    judged = gate.compare(
        incumbent_predictions=rows,
        candidate_predictions={"key": ["b", "a"], "answer": [0, 1]},
        id="key",
        prediction="answer",
        policy=policy(rule="{id: few, rate: nfr, at_most: 1%}"),
    )

    assert judged.verdict is Verdict.INCONCLUSIVE
    assert judged.decision.findings[0].status is Status.INCONCLUSIVE
