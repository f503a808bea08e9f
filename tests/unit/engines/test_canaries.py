"""Which rows are asked twice, and when two answers count as the same; models in memory, no process."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gate.engines.answers import ModelInfo
from gate.engines.canaries import chosen, differ, moved, typical
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
def test_some_rows_are_chosen_no_row_twice_and_always_the_same(rows: int, asked: int) -> None:
    answers = pa.array(np.random.default_rng(3).normal(size=rows))
    picked = chosen(answers).tolist()
    assert len(picked) == asked == len(set(picked)) and max(picked) < rows
    assert picked == chosen(answers).tolist()
    assert asked == 1 or picked != sorted(picked)


@pytest.mark.parametrize(
    ("answers", "rare"),
    [
        (pa.array([0] * 980 + [1] * 20), 20),
        (pa.array(["ham"] * 980 + ["spam"] * 20), 20),
        (pa.array([["a", "b"], ["b", "a"]] * 490 + [[]] * 20), 20),
        (pa.array([1] * 980 + [None] * 20), 20),
        (pa.FixedSizeListArray.from_arrays(pa.array([0.9, 0.1] * 980 + [0.1, 0.9] * 20), 2), 20),
        (pa.array([True] * 500 + [False] * 500), 32),
        (pa.array(np.linspace(0, 1, 1000)), 1),  # of 64 parts of the range, the last one holds these 20 and no more
    ],
)
def test_as_many_of_each_answer_are_chosen_as_there_is_room_for(answers: pa.Array, rare: int) -> None:
    picked = chosen(answers)
    assert len(picked) == 64
    assert (picked >= (500 if rare == 32 else 980)).sum() in ((1, 2) if rare == 1 else (rare,))


def test_no_row_of_the_other_order_keeps_its_place() -> None:
    for rows in (2, 3, 40, 1001):
        assert sorted(moved(rows)) == list(range(rows))
        assert (moved(rows) != np.arange(rows)).all()


def test_a_model_that_stands_by_its_answers_is_asked_for_few_rows_more() -> None:
    model = Answering(lambda x: x > 0)
    assert run(model) == []
    assert model.asked == [400, 400, 200, 40, 20]  # of the first and of the last batch
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


def test_a_late_batch_of_a_few_rows_leaves_it_to_the_one_before() -> None:
    model = Answering(np.sign)
    list(score([model], batches(rows=807)))
    assert model.asked == [400, 400, 7, 40, 40]


def rarely(x: np.ndarray) -> np.ndarray:
    return (x > 2).astype(int)  # 2 % of the rows


@pytest.mark.parametrize("rows", [40, 400, 1000])
@pytest.mark.parametrize("reorder", [np.sort, lambda answers: answers[::-1], lambda answers: np.roll(answers, 1)])
def test_a_rare_answer_at_the_wrong_row_is_found(rows: int, reorder: Callable[[Any], Any]) -> None:
    some = pa.record_batch({"x": np.r_[3.0, np.random.default_rng(1).normal(size=rows - 1)]})
    with pytest.raises(EvidenceError, match="depend on the order or the company"):
        list(score([Answering(lambda x: reorder(rarely(x)))], [(0, some)]))


@pytest.mark.parametrize("sorted_calls", [{1, 2, 3}, {2}])
def test_a_model_that_sorts_from_the_second_batch_on_is_found(sorted_calls: set[int]) -> None:
    calls = iter(range(100))
    model = Answering(lambda x: np.sort(rarely(x)) if next(calls) in sorted_calls else rarely(x))
    with pytest.raises(EvidenceError, match="answers differently on the same rows|depend on the order"):
        run(model)


def test_one_outlier_hides_nothing() -> None:
    def answers(x: np.ndarray) -> np.ndarray:
        scores = np.where(x == x.max(), 5000.0, x)
        return np.sort(scores) if len(x) < 100 else scores

    with pytest.raises(EvidenceError, match="depend on the order or the company"):
        run(Answering(answers))


def test_of_two_scores_that_are_as_near_as_rounding_the_other_may_be_the_larger() -> None:
    def nearly_tied(x: np.ndarray) -> np.ndarray:
        scores = np.stack([x, -x], axis=1).astype(np.float32)
        scores[np.abs(x) < 0.2] = [0.5, 0.5 + (1e-6 if len(x) == 40 else -1e-6)]
        return scores

    (note,) = run(Answering(nearly_tied))
    assert re.fullmatch(
        r"candidate model: \d+ of 60 rows asked twice were answered differently in a smaller batch: near ties of its"
        " arithmetic",
        note,
    )


def test_scores_that_are_further_apart_are_no_near_tie() -> None:
    def jumps(x: np.ndarray) -> np.ndarray:
        scores = np.stack([x, -x], axis=1)
        scores[np.abs(x) < 0.2] = [0.4, 0.6] if len(x) == 40 else [0.6, 0.4]
        return scores

    with pytest.raises(EvidenceError, match=r"\d+ of 40 rows are answered differently in a smaller batch"):
        run(Answering(jumps))


def test_one_bare_label_may_be_a_near_tie_and_two_are_an_error() -> None:
    def ties(count: int) -> Callable[[np.ndarray], np.ndarray]:
        def answer(x: np.ndarray) -> np.ndarray:
            return np.where((np.argsort(np.argsort(x)) < count) & (len(x) == 40), x > x.min() - 1, x > 0)

        return answer

    assert run(Answering(ties(1))) == [
        "candidate model: 1 of 60 rows asked twice were answered differently in a smaller batch: near ties of its"
        " arithmetic"
    ]
    with pytest.raises(EvidenceError, match="2 of 40 rows are answered differently in a smaller batch"):
        run(Answering(ties(2)))


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
        ([1.5, 2.5, 5e6], [1.5, 2.6, 5e6], [False, True, False]),
        ([0, 1], [-(2**63), 1], [True, False]),
        ([2**53], [2**53 + 1], [True]),
        ([np.nan, np.inf, 0.5], [np.nan, np.inf, np.nan], [False, False, True]),
        ([np.inf, 0.5], [-np.inf, 0.5], [True, False]),
        ([1, None], [1, None], [False, False]),
        ([1, None], [1, 1], [False, True]),
    ],
)
def test_what_counts_as_the_same_answer(one: list[Any], other: list[Any], differing: list[bool]) -> None:
    before = pa.array(other)
    assert differ(pa.array(one), before, 1e-3, typical(before)).tolist() == differing


def test_whole_numbers_of_different_widths_are_compared_as_numbers() -> None:
    one, other = pa.array([255, 1, 2**63], pa.uint64()), pa.array([-1, 1, 2**63 - 1], pa.int64())
    assert differ(one, other, 1e-3).tolist() == [True, False, True]


def test_a_row_of_scores_differs_where_one_of_them_does() -> None:
    def rows(values: Any) -> pa.Array:
        return pa.FixedSizeListArray.from_arrays(pa.array(np.array(values).reshape(-1)), 2)

    before = rows([[0.5, 0.5], [0.1, 0.8]])
    assert differ(rows([[0.5, 0.5], [0.1, 0.9]]), before, 1e-3, typical(before)).tolist() == [False, True]
    assert differ(rows([[1.0, 0.0]]), rows([[0.0, 1.0]]), 1e-3).tolist() == [True], "a row of scores has an order"
