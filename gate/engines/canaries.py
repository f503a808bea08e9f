"""Some rows asked twice: a model that answers differently the second time is no evidence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gate.engines import worker as wire
from gate.engines.answers import Model, model_error
from gate.engines.question import Question
from gate.tasks.batch import Answers

MOST = 64
FEWEST = 8
SHARE_OF_BATCH = 10  # one row in so many is asked twice, so that a small held-out set costs little more
TOLERANCE = {"bf16": 2.0**-5}
USUAL_TOLERANCE = 1e-3
NEAR_TIES = 0.05


class Canaries:
    """Some rows of a model's first batch, asked again at the end: fewer, in another order, and in other company.

    Labels and sets must be what they were; scores as near as 0.1 % of the largest score, since arithmetic sums in
    another order in a batch of another size (3 % for a model that was told to compute in bfloat16).

    Where some differ, the whole first batch is asked again as it was. Different answers there: the model answers
    differently on the same rows, and what is counted of it would be chance. The same answers there: they depend on the
    order or the company of the rows, which may be a near tie here and there (1 row, or 5 % of those asked), and is an
    error where it is more.
    """

    def __init__(self, model: Model, first: Question, answered: Answers) -> None:
        self._model, self._first, self._answered = model, first, answered
        self._tolerance = TOLERANCE.get(str(model.ready().torch.get("dtype")), USUAL_TOLERANCE)
        self._rows = chosen(first.rows)

    def ask(self) -> None:
        """Ask for the rows; :meth:`check` waits for the answers."""
        self._model.ask(self._first.only(self._rows.tolist()))

    def check(self, note: Callable[[str], object]) -> None:
        """EvidenceError where the model does not stand by its answers; ``note`` is told of near ties."""
        asked = len(self._rows)
        differing = self._differing(self._model.reply(asked).values, self._answered.values.take(pa.array(self._rows)))
        if not differing:
            return
        self._model.ask(self._first)
        again = self._differing(self._model.reply(self._first.rows).values, self._answered.values)
        if again:
            raise model_error(
                self._model.role,
                f"answers differently on the same rows: {again} of {self._first.rows} when it was asked a second time",
                "fix its random seed, or switch it to evaluation (model.eval()); where it is meant to answer"
                " differently, ask each question several times and name the column of their numbers as holdout.sample",
            )
        if differing > max(1, int(NEAR_TIES * asked)):
            raise model_error(
                self._model.role,
                f"its answers depend on the order or the company of the rows: {differing} of {asked} rows are answered"
                " differently in a smaller batch in another order, and the first batch as before",
                "predict must answer each row for itself, and in the order of its input: does it sort its input, or"
                " scale it by the batch?",
            )
        note(
            f"{self._model.role} model: {differing} of {asked} rows asked twice were answered differently in a smaller"
            " batch: near ties of its arithmetic"
        )

    def _differing(self, answers: pa.Array, before: pa.Array) -> int:
        return int(differ(answers, before, self._tolerance).sum())


def chosen(rows: int) -> NDArray[np.int64]:
    """Which of ``rows`` rows are asked again, in which order: always the same, 8 to 64 of them (all of fewer).

    >>> chosen(3).tolist()
    [2, 0, 1]
    """
    count = min(rows, MOST, max(FEWEST, rows // SHARE_OF_BATCH))
    return np.random.default_rng(0).permutation(rows)[:count]


def differ(answers: pa.Array, others: pa.Array, tolerance: float) -> NDArray[np.bool_]:
    """Which of two columns' rows differ, for fractions by more than ``tolerance`` of the largest absolute value.

    Whole numbers, text and sets are the same or not; NaN is NaN, and null is null.

    >>> differ(pa.array([0.5, 0.25]), pa.array([0.5001, 0.5]), 1e-3).tolist()
    [False, True]
    """
    one, other = matrix(answers), matrix(others)
    if one is None or other is None:
        pairs = zip(answers.to_pylist(), others.to_pylist(), strict=True)
        return np.array([settled(a) != settled(b) for a, b in pairs], dtype=np.bool_)
    if one.shape != other.shape:
        return np.ones(len(answers), dtype=np.bool_)
    finite = np.concatenate([one[np.isfinite(one)], other[np.isfinite(other)]])
    fractions = bool((finite != np.rint(finite)).any())
    margin = tolerance * float(np.abs(finite).max()) if fractions else 0.0
    with np.errstate(invalid="ignore"):
        near = (np.abs(one - other) <= margin) | (one == other) | (np.isnan(one) & np.isnan(other))
    return np.asarray(~near.all(axis=1))


def matrix(values: pa.Array) -> NDArray[Any] | None:
    """Answers that are numbers, a row each; None for other answers, and where some are missing."""
    width = 1
    if pa.types.is_fixed_size_list(values.type):
        width, values = values.type.list_size, values.flatten()
    if values.null_count or not wire.is_number(values.type):
        return None
    return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(-1, width)


def settled(answer: Any) -> Any:
    """An answer that can be compared: a set has no order, and NaN equals itself."""
    if isinstance(answer, list):
        return sorted(answer, key=repr)
    return "NaN" if answer != answer else answer
