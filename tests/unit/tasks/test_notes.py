"""What a reader is told of classes in which nothing can break."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from gate.core.flips import BY_CLASS, Cells, FlipTable, count
from gate.tasks.batch import Answers, Batch, Classes
from gate.tasks.kinds import KINDS
from gate.tasks.notes import FEWEST, never_right
from gate.tasks.options import TaskOptions


def notes(options: TaskOptions, label: pa.Array, incumbent: pa.Array, candidate: pa.Array) -> list[str]:
    task = KINDS[options.kind](options, Classes(options.classes))
    batch = Batch(pa.array(np.arange(len(label))), label, Answers(candidate), Answers(incumbent))
    return list(never_right(task.finish(count(task.outcomes(batch)))))


def test_a_class_that_the_incumbent_misspells_is_told() -> None:
    label = pa.array(["fraud"] * 9 + ["fine"] * 20)
    incumbent = pa.array(["Fraud"] * 9 + ["fine"] * 20)
    assert notes(TaskOptions(), label, incumbent, label) == [
        "class 'fraud': the incumbent is never right on its 9 rows: nothing there can be a negative flip"
    ]


def test_a_class_with_one_right_row_or_with_few_rows_is_not() -> None:
    label = pa.array(["fraud"] * 9 + ["rare"] * (FEWEST - 1) + ["fine"] * 20)
    incumbent = pa.array(["fraud"] + ["fine"] * (len(label) - 1))
    assert notes(TaskOptions(), label, incumbent, label) == []
    enough = pa.array(["rare"] * FEWEST + ["fine"] * 20)
    assert len(notes(TaskOptions(), enough, pa.array(["fine"] * len(enough)), enough)) == 1


def test_a_label_that_the_incumbent_never_gives_is_told_under_multilabel() -> None:
    label, nothing = pa.array([["war"]] * 8 + [[]] * 8), pa.array([[]] * 16, pa.list_(pa.string()))
    assert notes(TaskOptions("multilabel", classes=("war",)), label, nothing, label) == [
        "class 'war': the incumbent is never right on its 8 rows: nothing there can be a negative flip"
    ]


def test_a_task_without_classes_has_no_notes() -> None:
    right, wrong = pa.array([1] * 9), pa.array([0] * 9)
    assert notes(TaskOptions("scores"), pa.nulls(9), wrong, right) == []
    assert list(never_right(FlipTable())) == []


def test_of_many_such_classes_the_largest_are_named_and_the_others_counted() -> None:
    rows = np.array([[0, 0, 0, 0, 10 + i] for i in range(300)])
    found = list(never_right(FlipTable(cells={BY_CLASS: Cells(tuple(range(300)), rows)})))
    assert len(found) == 6
    assert found[0].startswith("class 299: the incumbent is never right on its 309 rows")
    assert found[-1] == "the incumbent is never right on 295 more classes, 46,315 rows in all"
