"""``gate.compare`` on every kind of task: from files and a policy to the counts, against plain pandas."""

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
from gate.decisions.canonical import read_decision, to_bytes
from gate.errors import EvidenceError, UsageError

ROWS = 400
Write = Callable[..., Path]


@pytest.fixture
def written(tmp_path: Path) -> Write:
    """Writes a policy with this task."""

    def write(task: str, holdout: str = "{label: y}", rule: str = "{id: few, rate: nfr, at_most: 90%}") -> Path:
        path = tmp_path / "policy.yaml"
        path.write_text(f"version: 1\nname: small\ntask: {{{task}}}\nholdout: {holdout}\nrules:\n  - {rule}\n")
        return path

    return write


@pytest.fixture(scope="module")
def numbers() -> pd.DataFrame:
    random = np.random.default_rng(7)
    y = random.normal(100, 20, ROWS)
    old, new = y + random.normal(0, 4, ROWS), y + random.normal(0, 3, ROWS)
    near = random.uniform(0, 6, ROWS)
    judged = [random.random(ROWS).round(2) for _ in range(2)]
    return pd.DataFrame(
        {"key": np.arange(ROWS), "y": y, "old": old, "new": new, "near": near, "a": judged[0], "b": judged[1]}
    )


def four(judged: Any) -> tuple[int, int, int, int]:
    counts = judged.decision.counts
    return counts.both_right, counts.negative, counts.positive, counts.wrong_same + counts.wrong_different


def expected(old: pd.Series, new: pd.Series) -> tuple[int, int, int, int]:
    return tuple(int(both.sum()) for both in (old & new, old & ~new, ~old & new, ~old & ~new))


def test_regression_within_the_tolerance_of_a_column(numbers, written):
    policy = written("kind: regression, tolerance: {column: near}")
    judged = gate.compare(numbers, policy=policy, incumbent="old", candidate="new")
    off = [(numbers[model] - numbers.y).abs() <= numbers.near for model in ("old", "new")]
    assert four(judged) == expected(*off)
    assert judged.decision.task.options == {"tolerance": {"absolute": None, "relative": None, "column": "near"}}
    assert read_decision(to_bytes(judged.decision)) == judged.decision


def test_a_tolerance_column_that_is_absent_is_told_with_the_nearest_name(numbers, written):
    policy = written("kind: regression, tolerance: {column: neer}")
    with pytest.raises(EvidenceError, match="no column 'neer' for the tolerance; did you mean 'near'"):
        gate.compare(numbers, policy=policy, incumbent="old", candidate="new")


def test_the_continuous_form_shows_no_rate_of_one_model_alone(numbers, written):
    policy = written("kind: regression, continuous: true")
    judged = gate.compare(numbers, policy=policy, incumbent="old", candidate="new")
    off = [(numbers[model] - numbers.y).abs() for model in ("old", "new")]
    assert four(judged) == (0, int((off[1] > off[0]).sum()), int((off[1] < off[0]).sum()), 0)
    shown = {row.rate for row in judged.decision.rates}
    assert {"nfr", "pfr", "error_rate_change"} <= shown
    assert not shown & {"error_rate", "relative_nfr", "btc", "bec", "nfi", "churn"}
    assert "error rate of the candidate" not in judged.report()


@pytest.mark.parametrize("two", [False, True], ids=["one table", "two tables"])
def test_generation_by_the_scores_of_a_judge(numbers, written, two, tmp_path):
    texts = numbers.assign(old="old text", new="new text")
    if not two:
        policy = written("kind: generation, score: {incumbent: a, candidate: b}, right_at_least: 0.4", "{}")
        judged = gate.compare(texts, policy=policy, incumbent="old", candidate="new")
    else:
        policy = written("kind: generation, score: judge, right_at_least: 0.4", "{id: key}")
        for model, score in (("old", "a"), ("new", "b")):
            table = texts[["key", model, score]].rename(columns={model: "text", score: "judge"})
            table.sample(frac=1, random_state=3).to_parquet(tmp_path / f"{model}.parquet")
        judged = gate.compare(
            policy=policy, prediction="text", incumbent_predictions=tmp_path / "old.parquet",
            candidate_predictions=tmp_path / "new.parquet",
        )  # fmt: skip
    assert four(judged) == expected(numbers.a >= 0.4, numbers.b >= 0.4)
    assert judged.decision.provenance.holdout.label is None
    assert {row.incumbent for row in judged.samples} == {"old text"}


def test_a_score_column_that_is_absent_is_an_error(numbers, written):
    policy = written("kind: generation, score: {incumbent: a, candidate: c}, right_at_least: 0.4", "{}")
    with pytest.raises(EvidenceError, match="no column 'c' for the score of candidate"):
        gate.compare(numbers, policy=policy, incumbent="old", candidate="new")


@pytest.mark.parametrize("two", [False, True], ids=["one table", "two tables"])
def test_scores_need_no_label(numbers, written, two, tmp_path):
    policy = written("kind: scores, right_at_least: 0.5", "{id: key}")
    if not two:
        judged = gate.compare(numbers, policy=policy, incumbent="a", candidate="b")
    else:
        for model in "ab":
            numbers[["key", model]].rename(columns={model: "acc"}).to_parquet(tmp_path / f"{model}.parquet")
        judged = gate.compare(
            policy=policy, prediction="acc", incumbent_predictions=tmp_path / "a.parquet",
            candidate_predictions=tmp_path / "b.parquet",
        )  # fmt: skip
    assert four(judged) == expected(numbers.a >= 0.5, numbers.b >= 0.5)
    assert "churn" not in {row.rate for row in judged.decision.rates}
    with pytest.raises(UsageError, match="no label is read"):
        gate.compare(numbers, policy=policy, incumbent="a", candidate="b", label="y")


def test_a_model_of_a_registry_is_not_asked_for_scores(written):
    with pytest.raises(UsageError, match="kind: scores reads scores that are there already"):
        gate.check(
            model="m", candidate="2", incumbent="1", data=pd.DataFrame({"x": [1]}), policy=written("kind: scores", "{}")
        )


def test_multilabel_from_parquet_with_rules_by_label_and_class(written, tmp_path):
    random = np.random.default_rng(1)
    names = ["a", "b"]
    sets = [[[n for n in names if random.random() < 0.5] for _ in range(ROWS)] for _ in range(3)]
    kind = pa.list_(pa.string())
    pq.write_table(
        pa.table({k: pa.array(v, kind) for k, v in zip(("y", "old", "new"), sets, strict=True)}), tmp_path / "p.parquet"
    )
    policy = written("kind: multilabel, classes: [a, b]", rule="{id: few, rate: nfr, by: label, at_most: 90%}")
    judged = gate.compare(tmp_path / "p.parquet", policy=policy, incumbent="old", candidate="new")
    right = {
        n: [pd.Series([(n in t) == (n in s) for t, s in zip(sets[0], side, strict=True)]) for side in sets[1:]]
        for n in names
    }
    cells = {(c.by, c.value): c.counts for c in judged.decision.cells}
    for name in names:
        found = cells["label", name]
        assert (found.both_right, found.negative, found.positive) == expected(*right[name])[:3]
    assert {value for by, value in cells if by == "class"} == {"a", "not a", "b", "not b"}
    assert judged.decision.counts.n == 2 * ROWS
    assert [f.cell.value for f in judged.decision.findings] == names


def test_each_model_is_read_at_a_threshold_of_its_own(numbers, written):
    policy = written("outputs: scores, classes: [no, yes], threshold: {candidate: 0.3, incumbent: 0.6}")
    labelled = numbers.assign(y=np.where(numbers.a + numbers.b > 1, "yes", "no"))
    judged = gate.compare(labelled, policy=policy, incumbent="a", candidate="b")
    yes = labelled.y == "yes"
    assert four(judged) == expected((labelled.a >= 0.6) == yes, (labelled.b >= 0.3) == yes)
    assert read_decision(to_bytes(judged.decision)) == judged.decision
    assert b'"threshold":{"candidate":0.3,"incumbent":0.6}' in to_bytes(judged.decision)


def test_the_batches_do_not_change_the_judgement_of_texts(written, tmp_path):
    rows = [{"y": i, "old": f"it is {i + i % 3}", "new": f"{i + (i % 5 == 0)}"} for i in range(ROWS)]
    pd.DataFrame(rows).to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    policy = written("kind: generation, match: number")
    one, many = (
        gate.compare(tmp_path / "t.jsonl", policy=policy, incumbent="old", candidate="new", rows_per_batch=size)
        for size in (ROWS, 7)
    )
    assert (
        four(one)
        == four(many)
        == expected(pd.Series([i % 3 == 0 for i in range(ROWS)]), pd.Series([i % 5 != 0 for i in range(ROWS)]))
    )
    assert one.samples == many.samples


def sets(seed: int, rows: int = ROWS) -> list[list[str]]:
    random = np.random.default_rng(seed)
    return [[name for name in "ab" if random.random() < 0.5] for _ in range(rows)]


@pytest.mark.parametrize("by", ["", "by: label, ", "by: half, "], ids=["all rows", "by label", "by slice"])
@pytest.mark.parametrize("cluster", ["", "cluster: user, "], ids=["rows", "clusters"])
def test_at_least_n_counts_rows_and_not_the_labels_of_rows(written, by, cluster):
    rows = {"y": sets(1), "old": sets(1), "new": sets(1), "user": [i // 4 for i in range(ROWS)], "half": ["h"] * ROWS}
    holdout = f"{{label: y, {cluster}slices: {{half: {{column: half}}}}}}"
    for least, status in ((ROWS, "pass"), (ROWS + 3, "inconclusive")):
        rule = f"{{id: few, rate: nfr, {by}at_most: 50%, at_least_n: {least}}}"
        policy = written("kind: multilabel, classes: [a, b]", holdout, rule)
        for finding in gate.compare(rows, policy=policy, incumbent="old", candidate="new").decision.findings:
            assert finding.status.value == status
            if least > ROWS:
                assert finding.note == "400 rows, the rule asks for 403"
                assert finding.rows_needed == 3


def test_at_least_n_of_a_class_counts_the_rows_of_that_class(written):
    rows = {"y": sets(1), "old": sets(1), "new": sets(1)}
    of_a = sum("a" in some for some in rows["y"])
    rule = f"{{id: few, rate: nfr, by: class, at_most: 50%, at_least_n: {of_a}}}"
    policy = written("kind: multilabel, classes: [a, b]", rule=rule)
    found = gate.compare(rows, policy=policy, incumbent="old", candidate="new").decision
    status = {finding.cell.value: finding.status.value for finding in found.findings}
    sizes = {cell.value: cell.counts.n for cell in found.cells if cell.by == "class"}
    assert sizes["a"] == of_a
    assert status == {value: "pass" if n >= of_a else "inconclusive" for value, n in sizes.items()}


def test_a_class_in_which_nothing_can_break_is_noted_in_the_decision(written):
    rows = {"y": ["fraud"] * 40 + ["fine"] * 360, "old": ["Fraud"] * 40 + ["fine"] * 360, "new": ["fine"] * 400}
    judged = gate.compare(rows, policy=written("kind: classification"), incumbent="old", candidate="new")
    note = "class 'fraud': the incumbent is never right on its 40 rows: nothing there can be a negative flip"
    assert judged.decision.evidence.notes == (note,)
    assert "is never right on its 40 rows" in " ".join(judged.report().split())


def test_scores_may_be_yes_and_no(numbers, written):
    words = {name: np.where(numbers[name] > 0.5, "yes", "no").astype(object) for name in ("a", "b")}
    policy = written("kind: scores", "{}")
    judged = gate.compare(words, policy=policy, incumbent="a", candidate="b")
    assert four(judged) == expected(numbers.a > 0.5, numbers.b > 0.5)
    coded = {name: pd.Categorical(column) for name, column in words.items()}
    assert four(gate.compare(pd.DataFrame(coded), policy=policy, incumbent="a", candidate="b")) == four(judged)
    words["b"][17] = "unknown"
    with pytest.raises(EvidenceError, match=r"scores that are neither yes nor no \('unknown'\).* at row 17"):
        gate.compare(words, policy=policy, incumbent="a", candidate="b")


def test_rows_keep_their_numbers_in_messages_though_others_are_excluded(numbers, written, tmp_path):
    (tmp_path / "out.csv").write_text("id,reason,owner\n0,disputed,me\n5,disputed,me\n")
    holed = numbers.assign(new=numbers.new.where(numbers.key != 40))
    policy = written("kind: regression, tolerance: {absolute: 1}", "{id: key, label: y, exclusions: out.csv}")
    with pytest.raises(EvidenceError, match="missing answers: 1 in one batch, first at row 40"):
        gate.compare(holed, policy=policy, incumbent="old", candidate="new", rows_per_batch=16)
