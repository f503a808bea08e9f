"""Which rows are asked twice, and when two answers count as the same; models in memory, no process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gate.engines.answers import ModelInfo
from gate.engines.canaries import chosen, differ
from gate.engines.local import score
from gate.engines.question import Question
from gate.errors import EvidenceError
from gate.tasks.batch import Answers


class Answering:
    """A model that is a function of a column."""

    role = "candidate"
    live = True

    def __init__(self, act: Callable[[np.ndarray], Any], live: bool = True, dtype: str = "float32") -> None:
        self.act, self.live, self.dtype = act, live, dtype
        self.asked: list[int] = []
        self._questions: list[Question] = []
        self.killed = self.finished = False

    def ready(self) -> ModelInfo:
        return ModelInfo(self.role, None, ("x",), {}, torch={"dtype": self.dtype})

    def ask(self, question: Question) -> None:
        self.asked.append(question.rows)
        self._questions.append(question)

    def reply(self, rows: int) -> Answers:
        answered = self.act(self._questions.pop(0).batch.column(0).to_numpy())
        if isinstance(answered, np.ndarray) and answered.ndim == 2:
            flat = pa.array(answered.reshape(-1))
            return Answers(pa.FixedSizeListArray.from_arrays(flat, answered.shape[1]))
        return Answers(pa.array(answered))

    def finish(self) -> None:
        self.finished = True

    def kill(self) -> None:
        self.killed = True

    def close(self) -> None:
        self.kill()


def batches(rows: int = 1000, size: int = 400) -> list[tuple[int, pa.RecordBatch]]:
    whole = pa.record_batch({"x": np.random.default_rng(1).normal(size=rows)})
    return [(start, whole.slice(start, size)) for start in range(0, rows, size)]


def run(model: Answering, **options: Any) -> list[str]:
    notes: list[str] = []
    list(score([model], batches(), note=notes.append, **options))
    return notes


@pytest.mark.parametrize(("rows", "asked"), [(1, 1), (5, 5), (40, 8), (400, 40), (16_384, 64)])
def test_some_of_the_first_rows_are_chosen_no_row_twice_and_always_the_same(rows: int, asked: int) -> None:
    picked = chosen(rows).tolist()
    assert len(picked) == asked == len(set(picked)) and max(picked) < rows
    assert picked == chosen(rows).tolist()
    assert asked == 1 or picked != sorted(picked)


def test_a_model_that_stands_by_its_answers_is_asked_for_few_rows_more() -> None:
    model = Answering(lambda x: x > 0)
    assert run(model) == []
    assert model.asked == [400, 400, 200, 40]
    assert model.finished and not model.killed


def test_canaries_can_be_left_out_and_are_not_asked_of_answers_that_were_kept() -> None:
    for model, options in ((Answering(np.sign), {"canaries": False}), (Answering(np.sign, live=False), {})):
        assert run(model, **options) == []
        assert model.asked == [400, 400, 200]


def test_no_batches_ask_no_canaries() -> None:
    model = Answering(np.sign)
    assert list(score([model], [])) == []
    assert model.asked == []


def test_scores_may_differ_as_much_as_another_order_of_summing_makes_them() -> None:
    def rounding(x: np.ndarray) -> np.ndarray:
        return np.stack([x, -x], axis=1).astype(np.float32) * (1 + 1e-5 * (len(x) < 400))

    assert run(Answering(rounding)) == []
    with pytest.raises(EvidenceError, match="depend on the order or the company"):
        run(Answering(lambda x: x * (1 + 0.01 * (len(x) < 200))))
    assert run(Answering(lambda x: x * (1 + 0.01 * (len(x) < 200)), dtype="bf16")) == []


def test_one_near_tie_is_noted_and_three_are_an_error() -> None:
    def ties(count: int) -> Callable[[np.ndarray], np.ndarray]:
        nearest = np.sort(np.abs(batches()[0][1].column(0).to_numpy()[chosen(400)]))[count - 1]
        return lambda x: np.where((np.abs(x) <= nearest) & (len(x) == 40), x <= 0, x > 0)

    assert run(Answering(ties(1))) == [
        "candidate model: 1 of 40 rows asked twice were answered differently in a smaller batch: near ties of its"
        " arithmetic"
    ]
    with pytest.raises(EvidenceError, match="3 of 40 rows are answered differently in a smaller batch"):
        run(Answering(ties(3)))


def test_a_model_that_answers_otherwise_is_ended() -> None:
    random = np.random.default_rng(0)
    model = Answering(lambda x: random.integers(0, 2, len(x)))
    with pytest.raises(EvidenceError, match=r"answers differently on the same rows: \d+ of 400"):
        run(model)
    assert model.killed and not model.finished


@pytest.mark.parametrize(
    ("one", "other", "differing"),
    [
        (["a", "b", None], ["a", "c", None], [False, True, False]),
        ([True, False], [True, True], [False, True]),
        ([["a", "b"], []], [["b", "a"], ["a"]], [False, True]),
        ([1, 2, 1000], [1, 2, 1001], [False, False, True]),
        ([1.0, 1000.0], [1.0, 1001.0], [False, True]),  # labels, written as fractions
        ([1.5, 1000.0], [1.5, 1000.9], [False, False]),
        ([np.nan, np.inf, 0.5], [np.nan, np.inf, np.nan], [False, False, True]),
        ([np.inf, 0.5], [-np.inf, 0.5], [True, False]),
        ([1, None], [1, None], [False, False]),
        ([1, None], [1, 1], [False, True]),
    ],
)
def test_what_counts_as_the_same_answer(one: list[Any], other: list[Any], differing: list[bool]) -> None:
    assert differ(pa.array(one), pa.array(other), 1e-3).tolist() == differing


def test_a_row_of_scores_differs_where_one_of_them_does() -> None:
    def rows(values: Any) -> pa.Array:
        return pa.FixedSizeListArray.from_arrays(pa.array(np.array(values).reshape(-1)), 2)

    assert differ(rows([[0.5, 0.5], [0.1, 0.9]]), rows([[0.5, 0.5], [0.1, 0.8]]), 1e-3).tolist() == [False, True]
