"""For each task one small table whose outcomes are worked out here by hand or by plain Python, not by the gate."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gate.core.flips import FlipTable, count, merge
from gate.core.outcomes import Outcomes
from gate.tasks.batch import Answers, Batch, Classes
from gate.tasks.kinds import KINDS
from gate.tasks.options import PerModel, ScoreColumns, TaskOptions, Tolerance

TOP5 = Path(__file__).parents[3] / "shared/data/imagenet-val-top5-probabilities/top5.npz"


def outcomes(options: TaskOptions, label: Any, incumbent: Any, candidate: Any, **more: Any) -> tuple[Any, Outcomes]:
    task = KINDS[options.kind](options, Classes(options.classes))
    old, new = (
        side if isinstance(side, Answers) else Answers.of(side if isinstance(side, pa.Array) else pa.array(side))
        for side in (incumbent, candidate)
    )
    rows = len(old.values)
    labels = pa.nulls(rows) if label is None else label if isinstance(label, pa.Array) else pa.array(label)
    return task, task.outcomes(Batch(pa.array(range(rows)), labels, new, old, **more))


def right(found: Outcomes) -> tuple[list[bool], list[bool]]:
    return found.incumbent_right.tolist(), found.candidate_right.tolist()


def five(found: FlipTable) -> tuple[int, ...]:
    whole = found.overall
    return tuple(map(int, (whole.both_right, whole.negative, whole.positive, whole.wrong_same, whole.wrong_different)))


def by_hand(old: list[bool], new: list[bool], same: list[bool]) -> tuple[int, ...]:
    cells = Counter(zip(old, new, strict=True))
    wrong_same = sum(s for o, n, s in zip(old, new, same, strict=True) if not o and not n)
    both_wrong = cells[False, False]
    return cells[True, True], cells[True, False], cells[False, True], wrong_same, both_wrong - wrong_same


# multilabel

TOPICS = ("art", "money", "war")
TRUTH = [["art"], ["money", "war"], [], ["art", "money", "war"], ["war"]]
OLD = [["art"], ["money"], ["art"], ["art", "money", "war"], ["money"]]
NEW = [["art", "war"], ["war", "money"], [], ["money", "war"], ["money"]]


def each_by_hand(only: str | None = None, present: bool | None = None) -> tuple[int, ...]:
    old, new = [], []
    for truth, before, now in zip(TRUTH, OLD, NEW, strict=True):
        for topic in TOPICS:
            if only in (None, topic) and present in (None, topic in truth):
                old.append((topic in before) == (topic in truth))
                new.append((topic in now) == (topic in truth))
    # of two answers, yes and no, two wrong ones are the same
    return by_hand(old, new, [True] * len(old))


def test_multilabel_each_judges_every_label_of_every_row():
    task, found = outcomes(TaskOptions("multilabel", classes=TOPICS), TRUTH, OLD, NEW)
    table = task.finish(count(found))
    assert five(table) == each_by_hand() == (9, 2, 2, 2, 0)
    cells = table.cells
    assert cells["label"].values == TOPICS
    assert [tuple(row) for row in cells["label"].columns.tolist()] == [each_by_hand(topic) for topic in TOPICS]
    of_class = dict(zip(cells["class"].values, map(tuple, cells["class"].columns.tolist()), strict=True))
    assert of_class == {
        name: each_by_hand(topic, present)
        for topic in TOPICS
        for name, present in ((topic, True), (f"not {topic}", False))
    }
    assert of_class["art"] == (1, 1, 0, 0, 0)  # row 0 stays right, row 3 loses its art
    output = dict(zip(cells["output"].values, map(tuple, cells["output"].columns.tolist()), strict=True))
    assert output["war"] == (1, 1, 1, 0, 0)  # said of row 3; wrongly of row 0, rightly at last of row 1
    assert dict(table.matrix)["art", "art", "not art"] == 1
    assert sorted(row.id for row in table.samples if row.kind == "negative") == ["0: war", "3: art"]


def test_multilabel_units_of_a_row_are_one_cluster():
    _, found = outcomes(TaskOptions("multilabel", classes=TOPICS), TRUTH, OLD, NEW)
    assert found.cluster is not None
    values = [found.cluster.values[code] for code in found.cluster.codes.tolist()]
    assert values == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]


def test_multilabel_set_is_right_if_nothing_is_missing_and_nothing_too_much():
    expected = (
        [set(t) == set(o) for t, o in zip(TRUTH, OLD, strict=True)],
        [set(t) == set(n) for t, n in zip(TRUTH, NEW, strict=True)],
    )
    same = [set(o) == set(n) for o, n in zip(OLD, NEW, strict=True)]
    for classes in (None, TOPICS):
        task, found = outcomes(TaskOptions("multilabel", match="set", classes=classes), TRUTH, OLD, NEW)
        assert right(found) == expected == ([True, False, False, True, False], [False, True, True, False, False])
        assert five(task.finish(count(found))) == by_hand(*expected, same) == (0, 2, 2, 1, 0)
        assert found.label is None


def test_multilabel_probabilities_have_a_label_from_the_threshold_on():
    options = TaskOptions(
        "multilabel", outputs="probabilities", classes=("a", "b"), threshold=PerModel(candidate=0.7, incumbent=0.4)
    )
    _, found = outcomes(options, [["a"], ["b"]], [[0.4, 0.39], [0.5, 0.5]], [[0.7, 0.1], [0.69, 0.71]])
    assert right(found) == ([True, True, False, True], [True, True, True, True])


# regression


def test_regression_is_right_within_an_absolute_tolerance():
    label, old, new = [10.0, 20.0, 30.0, 1.0], [10.5, 21.0, 30.0, 1.1], [11.0, 20.5, 29.4, 0.9]
    task, found = outcomes(TaskOptions("regression", tolerance=Tolerance(absolute=0.5)), label, old, new)
    assert right(found) == ([True, False, True, True], [False, True, False, True])
    assert five(task.finish(count(found))) == (1, 2, 1, 0, 0)
    assert found.scores is not None
    assert found.scores.incumbent.tolist() == [-abs(o - y) for o, y in zip(old, label, strict=True)]
    assert found.scores.candidate.tolist() == [-abs(n - y) for n, y in zip(new, label, strict=True)]


@pytest.mark.parametrize(
    ("tolerance", "expected"),
    [
        (Tolerance(relative=0.1), [True, False, True, True, False]),
        (Tolerance(column="near"), [True, True, False, False, True]),
        (Tolerance(absolute=0.1), [False, False, False, True, False]),
    ],
)
def test_regression_knows_relative_tolerances_and_those_of_a_column(tolerance, expected):
    label, answer = [10.0, 10.0, -10.0, 1.0, 0.0], [11.0, 11.5, -10.5, 1.1, 0.2]
    near = {"near": pa.array([1.0, 2.0, 0.0, 0.0, 0.25])}
    _, found = outcomes(TaskOptions("regression", tolerance=tolerance), label, answer, answer, columns=near)
    assert right(found) == (expected, expected)


def test_continuous_regression_flips_where_the_error_grows_or_shrinks():
    label, old, new = [0.0, 0.0, 0.0, 0.0], [1.0, -2.0, 3.0, 0.5], [2.0, 1.0, -3.0, 0.0]
    task, found = outcomes(TaskOptions("regression", continuous=True), label, old, new)
    table = task.finish(count(found))
    assert five(table) == (1, 1, 2, 0, 0)  # one got worse, two better, one is as far off on the other side
    difference = found.scores.candidate - found.scores.incumbent
    assert difference.tolist() == [-1.0, 1.0, 0.0, 0.5]
    assert (-difference[difference < 0].mean(), difference[difference > 0].mean()) == (
        1.0,
        0.75,
    )  # mean loss, mean gain


# generation


@pytest.mark.parametrize(
    ("match", "label", "answer", "expected"),
    [
        ("exact", "Paris", "Paris", True),
        ("exact", "Paris", "paris", False),
        ("exact", "Paris", "Paris ", False),
        ("normalized", "Paris", "  PARIS!\n", True),
        ("normalized", "Straße", "STRASSE", True),
        ("normalized", "ﬁne", "fine", True),
        ("normalized", "don't", "don t", True),
        ("normalized", "a b", "ab", False),
        ("normalized", "the cat", "cat", False),
        ("normalized", "5", "-5", False),
        ("normalized", "5", "–5", False),
        ("normalized", "35", "3.5", False),
        ("normalized", "5", ".5", False),
        ("normalized", "5%", "5", False),
        ("normalized", "3.5", "(3.5).", True),
        ("normalized", "$5", "5", False),
        ("number", 72, "so 70 + 2 = 72.", True),
        ("number", 72, "72 (not 70)", False),
        ("number", 72, "", False),
        ("number", 1234.5, "$1,234.50", True),
        ("number", -3, "x = −3", True),
        ("number", 3, "x = -3", False),
        ("number", 3, "5-3", True),
        ("number", 1, "v0.1", False),
        ("number", "about 12 eggs", "12", True),
        ("number", 1000, "1e3", True),
        ("number", 5, "5" * 400, False),
    ],
)
def test_a_generated_text_is_right_if_it_matches(match, label, answer, expected):
    _, found = outcomes(TaskOptions("generation", match=match), [label], [answer], [answer])
    assert right(found) == ([expected], [expected])


@pytest.mark.parametrize(("take", "expected"), [("first", [True, False]), ("last", [False, True])])
def test_the_first_or_the_last_number_of_a_text_is_the_answer(take, expected):
    _, found = outcomes(
        TaskOptions("generation", match="number", take=take), [1, 3], ["1, 2", "2, 3"], ["1, 2", "2, 3"]
    )
    assert right(found)[0] == expected


def test_a_pattern_finds_the_answer_in_the_text():
    pattern = r"answer is \(?(?P<answer>[A-D])"
    texts = ["The answer is (B).", "the answer is C", "B", "The answer is A. No, the answer is B."]
    expected = [(m := re.search(pattern, text)) is not None and m["answer"] == "B" for text in texts]
    _, found = outcomes(TaskOptions("generation", match="regex", pattern=pattern), ["B"] * 4, texts, texts)
    assert right(found) == (expected, expected)
    assert expected == [True, False, False, False]


def test_any_of_several_right_texts_is_right():
    label = [["New York", "NYC"], ["Bern"], ["Rome", "Roma"]]
    old, new = ["nyc", "Basel", "ROMA"], ["new york!", "bern", "Romeo"]
    task, found = outcomes(TaskOptions("generation", match="normalized"), label, old, new)
    assert right(found) == ([True, False, True], [True, True, False])
    assert five(task.finish(count(found))) == (1, 1, 1, 0, 0)


def test_two_wrong_texts_are_the_same_by_what_is_compared():
    old, new = ["It is 7.", "none", "none"], ["7", "none", "no number"]
    task, found = outcomes(TaskOptions("generation", match="number"), [1, 1, 1], old, new)
    assert five(task.finish(count(found))) == (0, 0, 0, 2, 1)


def test_a_scorers_scores_decide_over_texts_without_a_label():
    options = TaskOptions("generation", score=ScoreColumns("s", "s"), right_at_least=0.5)
    old = Answers(pa.array(["a", "b", "c"]), score=pa.array([0.5, 0.4, 0.1]))
    new = Answers(pa.array(["a", "b", "d"]), score=pa.array([0.4, 0.9, 0.2]))
    task, found = outcomes(options, None, old, new)
    assert right(found) == ([True, False, False], [False, True, False])
    assert five(task.finish(count(found))) == (0, 1, 1, 0, 1)
    assert found.scores.candidate.tolist() == [0.4, 0.9, 0.2]


# scores


@pytest.mark.parametrize(
    ("options", "old", "new", "expected"),
    [
        (TaskOptions("scores"), [True, True, False, False], [True, False, True, False], (1, 1, 1, 1, 0)),
        (TaskOptions("scores"), [1, 1, 0, 0], [1.0, 0.0, 1.0, 0.0], (1, 1, 1, 1, 0)),
        (TaskOptions("scores", right_at_least=0.5), [0.5, 0.6, 0.1, 0.2], [0.9, 0.4, 0.5, 0.3], (1, 1, 1, 0, 1)),
        (TaskOptions("scores", continuous=True), [0.5, 0.6, 0.1, 0.2], [0.9, 0.4, 0.5, 0.2], (1, 1, 2, 0, 0)),
    ],
)  # fmt: skip
def test_scores_that_are_there_already_are_right_or_wrong_as_asked(options, old, new, expected):
    task, found = outcomes(options, None, old, new)
    assert five(task.finish(count(found))) == expected


# classification


def test_each_model_has_a_threshold_of_its_own():
    options = TaskOptions(outputs="scores", classes=("no", "yes"), threshold=PerModel(candidate=0.4, incumbent=0.5))
    _, found = outcomes(options, ["yes", "yes", "no"], [0.45, 0.5, 0.45], [0.45, 0.39, 0.45])
    assert right(found) == ([False, True, True], [True, False, False])


def matrix(rows: Any) -> pa.Array:
    numbers = np.asarray(rows, dtype=np.float64)
    return pa.FixedSizeListArray.from_arrays(pa.array(numbers.ravel()), numbers.shape[1])


def test_top_k_counts_the_label_if_it_is_among_the_largest_and_the_first_of_equals():
    rows = [[0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.4, 0.3, 0.3], [0.4, 0.3, 0.3]]
    _, found = outcomes(TaskOptions(classes=("a", "b", "c"), top_k=2), ["b", "a", "b", "c"], matrix(rows), matrix(rows))
    assert right(found)[0] == [True, False, True, False]
    said = [found.candidate.values[code] for code in found.candidate.codes.tolist()]
    assert said == ["b", "c", "b", "a"]  # the label where it is right, the largest where it is not


@pytest.mark.skipif(not TOP5.exists(), reason=f"the ImageNet probabilities are not here ({TOP5})")
@pytest.mark.parametrize("k", [1, 5])
def test_the_gate_counts_imagenet_top_k_as_plain_numpy_does(k):
    archive = np.load(TOP5)
    label = archive["label"].astype(np.int64)
    names = sorted(name.removeprefix("top5__") for name in archive.files if name.startswith("top5__"))
    models = names[0], names[-1]
    top = [archive[f"top5__{model}"].astype(np.int64) for model in models]
    sure = [archive[f"p5__{model}"] for model in models]
    task = KINDS["classification"](TaskOptions(top_k=k if k > 1 else None), Classes())
    tables = []
    for start in range(0, len(label), 5_000):
        part = slice(start, start + 5_000)
        answers = []
        for ids, p in zip(top, sure, strict=True):
            dense = np.zeros((len(label[part]), 1_000), dtype=np.float32)
            np.put_along_axis(dense, ids[part], p[part], axis=1)
            answers.append(Answers(pa.FixedSizeListArray.from_arrays(pa.array(dense.ravel()), 1_000)))
        batch = Batch(
            pa.array(np.arange(start, start + len(dense))),
            pa.array(label[part]),
            answers[1],
            answers[0],
            first_row=start,
        )
        tables.append(count(task.outcomes(batch)))
    table = task.finish(merge(tables))
    hit = [(ids[:, :k] == label[:, None]).any(axis=1) for ids in top]
    same = (top[0][:, 0] == top[1][:, 0]).tolist()
    assert five(table) == by_hand(hit[0].tolist(), hit[1].tolist(), same)
    assert table.overall.n == 50_000
