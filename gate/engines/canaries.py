"""Some rows asked twice: a model that answers differently the second time is no evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gate.engines.answers import Model, model_error
from gate.engines.in_worker.arrow_types import is_list, is_number
from gate.engines.question import Question
from gate.errors import EvidenceError
from gate.tasks.batch import Answers

MOST = 64
FEWEST = 8
SHARE_OF_BATCH = 10  # one row in so many is asked twice, so that a small held-out set costs little more
TOLERANCE = {"bf16": 2.0**-5}
USUAL_TOLERANCE = 1e-3
NEAR_TIES = {"bf16": 0.05}
USUAL_NEAR_TIES = 0.01
TYPICAL = 0.9  # the quantile of a column's absolute values that stands for their size; the few beyond it say nothing

ENOUGH = 1000  # rows, to say what size is typical

Part = tuple[Question, Answers]


class Canaries:
    """Rows of a model's first and of its last batch, asked again at the end: fewer, in another order and company.

    They are chosen by the first answers (:func:`chosen`): a model that puts its answers in order has given the rare
    ones to the wrong rows, and those are asked again. Whole numbers, text and sets must be what they were; scores as
    near as 0.1 % of their own or of their column's typical size (3 % for a model that was told to compute in bfloat16),
    since arithmetic sums in another order in a batch of another size.

    Where a row differs, its whole batch is asked again as it was. Different answers there: the model answers
    differently on the same rows, and what is counted of it would be chance. The same answers there: they depend on the
    order or the company of the rows, which is an error, but for near ties:

    - Scores that are as near as that, with another one of them the largest: a near tie can be seen to be one.
    - Of bare labels it cannot, and one row (1 % of 200 and more) that differs may as well be the one rare answer that a
      sorted batch has. So the whole batch is asked once more in an order in which no row keeps its place. Labels that
      moved to other rows are an error, however few: there are as many of each as before, which one near tie changes. So
      are more than 1 % of other labels.
    """

    def __init__(self, model: Model, parts: Sequence[Part]) -> None:
        self._model = model
        dtype = str(model.ready().torch.get("dtype"))
        self._tolerance = TOLERANCE.get(dtype, USUAL_TOLERANCE)
        self._near_ties = NEAR_TIES.get(dtype, USUAL_NEAR_TIES)
        self._parts = [(question, answers.values, chosen(answers.values)) for question, answers in parts]

    def ask(self) -> None:
        """Ask for the rows; :meth:`check` waits for the answers."""
        for question, _, rows in self._parts:
            self._model.ask(question.only(rows.tolist()))

    def check(self, note: Callable[[str], object]) -> None:
        """EvidenceError where the model does not stand by its answers; ``note`` is told of near ties."""
        heard = [self._model.reply(len(rows)).values for _, _, rows in self._parts]
        ties, labels, asked = 0, 0, sum(len(rows) for _, _, rows in self._parts)
        for (question, before, rows), again in zip(self._parts, heard, strict=True):
            then, sizes = before.take(pa.array(rows)), typical(before)
            differing = int(differ(again, then, self._tolerance, sizes).sum())
            if differing:
                self._stands_by_the_batch(question, before)
                labels += differing
                if sizes is not None or labels > self._allowed(asked):
                    raise self._depends(
                        f"{differing} of {len(rows)} rows are answered differently in a smaller batch in another order,"
                        " and the whole batch as before"
                    )
                self._keeps_its_rows(question, before)
            ties += differing or turned(again, then)
        if ties:
            note(
                f"{self._model.role} model: {ties} of {asked} rows asked twice were answered differently in a smaller"
                " batch: near ties of its arithmetic"
            )

    def _stands_by_the_batch(self, question: Question, before: pa.Array) -> None:
        """The whole batch as it was: other answers are an EvidenceError."""
        again = self._answers(question)
        differing = int(differ(again, before, self._tolerance, typical(before)).sum())
        if differing:
            raise model_error(
                self._model.role,
                f"answers differently on the same rows: {differing} of {len(before)} when it was asked a second time",
                "fix its random seed, or switch it to evaluation (model.eval()); where it is meant to answer"
                " differently, ask each question several times and name the column of their numbers as holdout.sample",
            )

    def _keeps_its_rows(self, question: Question, before: pa.Array) -> None:
        """The whole batch, no row at its place: labels that moved to other rows, or changed in many, are an error."""
        order = moved(len(before))
        again, then = self._answers(question.only(order.tolist())), before.take(pa.array(order))
        differing = differ(again, then, self._tolerance)
        count = int(differing.sum())
        mask = pa.array(differing)
        reordered = count and sorted(plain(again.filter(mask)), key=repr) == sorted(plain(then.filter(mask)), key=repr)
        if reordered or count > self._allowed(len(before)):
            raise self._depends(
                f"{count} of {len(before)} rows are answered differently when a whole batch is asked in another order,"
                " and as before when it is asked in the same"
            )

    def _answers(self, question: Question) -> pa.Array:
        self._model.ask(question)
        return self._model.reply(question.rows).values

    def _allowed(self, rows: int) -> int:
        return max(1, int(self._near_ties * rows))

    def _depends(self, found: str) -> EvidenceError:
        return model_error(
            self._model.role,
            f"its answers depend on the order or the company of the rows: {found}",
            "predict must answer each row for itself, and in the order of its input: does it sort its input, or scale"
            " it by the batch?",
        )


def chosen(answers: pa.Array) -> NDArray[np.int64]:
    """Which rows are asked again, in which order: always the same, 8 to 64 of them (all of fewer).

    As many of each answer as there is room for. The answer of a row of scores is the position of the largest; scores
    of one column, and labels of which there are too many, are taken from all over their range.

    >>> rows = chosen(pa.array(["ham"] * 300 + ["spam"] * 4))
    >>> len(rows), int(sum(rows >= 300))
    (30, 4)
    """
    rows = len(answers)
    count = min(rows, MOST, max(FEWEST, rows // SHARE_OF_BATCH))
    groups = grouped(answers, count)
    order = np.random.default_rng(0).permutation(rows)
    of_group = order[np.argsort(groups[order], kind="stable")]  # group by group, by chance within
    starts = np.flatnonzero(np.r_[True, np.diff(groups[of_group]) != 0])
    turn = np.arange(rows) - np.repeat(starts, np.diff(np.r_[starts, rows]))  # the first of each group, the second ...
    picked = of_group[np.lexsort((np.random.default_rng(1).random(rows), turn))[:count]]
    return np.random.default_rng(2).permutation(picked).astype(np.int64)


def grouped(answers: pa.Array, most: int) -> NDArray[np.int64]:
    """A number for each row, the same for rows with the same answer; numbers of more than ``most`` values by rank."""
    numbers = matrix(answers)
    if numbers is not None and numbers.shape[1] > 1:
        return np.asarray(np.where(np.isnan(numbers), -np.inf, numbers).argmax(axis=1), dtype=np.int64)
    if numbers is None and not is_list(answers.type):
        codes = answers.dictionary_encode().indices.fill_null(-1)
        return np.asarray(codes.to_numpy(zero_copy_only=False), dtype=np.int64)
    if numbers is None:
        found: dict[str, int] = {}
        return np.array([found.setdefault(repr(answer), len(found)) for answer in plain(answers)], dtype=np.int64)
    values, groups = np.unique(numbers[:, 0], return_inverse=True)
    if len(values) <= most:
        return np.asarray(groups, dtype=np.int64).reshape(-1)
    ranks = np.argsort(np.argsort(numbers[:, 0], kind="stable"), kind="stable")
    return np.asarray(ranks * most // len(ranks), dtype=np.int64)


def moved(rows: int) -> NDArray[np.int64]:
    """An order in which no row is where it was, always the same one (of a single row there is none)."""
    cycle = np.random.default_rng(3).permutation(rows)
    order = np.empty(rows, dtype=np.int64)
    order[cycle] = np.roll(cycle, 1)
    return order


def typical(answers: pa.Array) -> NDArray[np.float64] | None:
    """The size of each column of scores: most of its values but 0 are at most as large. None for labels and sets.

    >>> typical(pa.array([0.5, 0.25, 0.75, 5000.0]))
    array([0.75])
    >>> typical(pa.array([1.0, 0.0])) is None
    True
    """
    numbers = matrix(answers)
    if numbers is None or numbers.dtype.kind != "f":
        return None
    with np.errstate(invalid="ignore"):
        if not (np.isfinite(numbers) & (numbers != np.rint(numbers))).any():
            return None
    sizes = np.abs(numbers[:: max(1, len(numbers) // ENOUGH)].astype(np.float64))
    sizes[~np.isfinite(sizes) | (sizes == 0)] = np.nan
    empty = np.isnan(sizes).all(axis=0)
    sizes[:, empty] = 0.0
    return np.asarray(np.nanquantile(sizes, TYPICAL, axis=0, method="lower"))


def differ(
    answers: pa.Array, before: pa.Array, tolerance: float, sizes: NDArray[np.float64] | None = None
) -> NDArray[np.bool_]:
    """Which of two columns' rows differ: scores by more than ``tolerance`` of their own or of their column's ``sizes``.

    Without ``sizes`` (labels and sets) they are the same or not. NaN is NaN, and null is null.

    >>> before = pa.array([0.5, 0.25])
    >>> differ(pa.array([0.5001, 0.5]), before, 1e-3, typical(before)).tolist()
    [False, True]
    """
    one, other = matrix(answers), matrix(before)
    if one is None or other is None or (one.dtype != other.dtype and "f" not in one.dtype.kind + other.dtype.kind):
        pairs = zip(plain(answers), plain(before), strict=True)
        return np.array([a != b for a, b in pairs], dtype=np.bool_)
    if one.shape != other.shape:
        return np.ones(len(answers), dtype=np.bool_)
    with np.errstate(invalid="ignore"):
        near = (one == other) | ((one != one) & (other != other))
        if sizes is not None:
            scores, others = one.astype(np.float64), other.astype(np.float64)
            margin = tolerance * np.maximum(np.maximum(np.abs(scores), np.abs(others)), sizes)
            near |= np.isfinite(margin) & (np.abs(scores - others) <= margin)
    return np.asarray(~near.all(axis=1))


def turned(answers: pa.Array, before: pa.Array) -> int:
    """In how many rows of scores another one is the largest."""
    one, other = matrix(answers), matrix(before)
    if one is None or other is None or one.shape != other.shape or one.shape[1] < 2:
        return 0
    return int((one.argmax(axis=1) != other.argmax(axis=1)).sum())


def matrix(values: pa.Array) -> NDArray[Any] | None:
    """Answers that are numbers, a row each; None for other answers, and where some are missing."""
    width = 1
    if pa.types.is_fixed_size_list(values.type):
        width, values = values.type.list_size, values.flatten()
    if values.null_count or not is_number(values.type):
        return None
    return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(-1, width)


def plain(answers: pa.Array) -> list[Any]:
    """Answers that can be compared: a set has no order, a row of scores has one, and NaN equals itself."""
    if pa.types.is_fixed_size_list(answers.type):
        return [None if row is None else [("NaN" if x != x else x) for x in row] for row in answers.to_pylist()]
    return [
        sorted(answer, key=repr) if isinstance(answer, list) else "NaN" if answer != answer else answer
        for answer in answers.to_pylist()
    ]
