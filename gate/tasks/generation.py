"""Generation: a text is right if it matches the label's, exactly, normalised, by what a pattern finds, or as a number.

A label may be a list of texts, any of which is right. Where a scorer has judged the texts already, its scores decide
and no label is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gate.core.flips import FlipTable
from gate.core.outcomes import Outcomes
from gate.errors import EvidenceError
from gate.tasks.batch import Answers, Batch
from gate.tasks.options import TaskOptions, Tolerance
from gate.tasks.reading import HELD_OUT, is_text, numbers, refuse, single, texts, whole
from gate.tasks.scores import held_against, scores
from gate.tasks.text import every_number, found_by, normalized
from gate.tasks.tolerance import allowed, within
from gate.tasks.units import judged, settled

Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class _Labels:
    """The right answers of all rows in one array, and the row that each belongs to."""

    values: pa.Array
    rows: NDArray[np.int64]


class Generation:
    """The task of one comparison; satisfies :class:`gate.tasks.batch.Task`.

    >>> task = Generation(TaskOptions("generation", match="number"))
    >>> batch = Batch(
    ...     ids=pa.array([0, 1]), label=pa.array([72, 8]),
    ...     incumbent=Answers(pa.array(["So it is 72.", "I do not know."])),
    ...     candidate=Answers(pa.array(["72 less 2 is 70", "8 apples"])),
    ... )
    >>> found = task.outcomes(batch)
    >>> found.incumbent_right.tolist(), found.candidate_right.tolist()
    ([True, False], [False, True])
    """

    def __init__(self, options: TaskOptions) -> None:
        self._options = options

    def outcomes(self, batch: Batch) -> Outcomes:
        candidate = _texts(batch.candidate, batch, "candidate")
        incumbent = None if batch.incumbent is None else _texts(batch.incumbent, batch, "incumbent")
        if self._options.score is not None:
            same = None if incumbent is None else _equal(candidate, incumbent)
            return held_against(
                self._options,
                batch,
                _scores(batch.candidate, batch, "candidate"),
                None if batch.incumbent is None else _scores(batch.incumbent, batch, "incumbent"),
                same,
            )
        if self._options.match == "number":
            return self._by_number(batch, candidate, incumbent)
        return self._by_text(batch, candidate, incumbent)

    def finish(self, table: FlipTable) -> FlipTable:
        return settled(table)

    def _by_text(self, batch: Batch, candidate: pa.Array, incumbent: pa.Array | None) -> Outcomes:
        labels = _labels(batch)
        if len(labels.values) and not is_text(labels.values.type):
            raise EvidenceError(
                f"labels of type {labels.values.type}, and text is expected",
                where=HELD_OUT,
                hint="cast them to text, or compare numbers with match: number",
            )
        label = labels.values.cast(pa.large_string())
        if self._options.match == "normalized":
            label = _mapped(label, normalized)
            nothing = np.zeros(len(batch), dtype=np.bool_)
            nothing[labels.rows[pc.equal(label, "").to_numpy(zero_copy_only=False)]] = True
            if nothing.any():
                refuse(nothing, batch, HELD_OUT, "labels of which normalising leaves nothing", "use match: exact")
        right = [
            None if keys is None else _any(labels.rows, _equal(keys.take(pa.array(labels.rows)), label), len(batch))
            for keys in (self._keys(candidate), None if incumbent is None else self._keys(incumbent))
        ]
        assert right[0] is not None  # of the candidate there always is one
        same = None if incumbent is None else self._same(candidate, incumbent)
        return judged(batch, right[0], right[1], same)

    def _keys(self, answers: pa.Array) -> pa.Array:
        """What of each answer is held against the label; null where there is no such thing."""
        if self._options.match == "normalized":
            return _mapped(answers, normalized)
        return found_by(self._options.pattern or "", answers) if self._options.match == "regex" else answers

    def _same(self, candidate: pa.Array, incumbent: pa.Array) -> Flags:
        """Two answers are the same by what is held against the label, or by their whole text where neither has any."""
        one, two = self._keys(candidate), self._keys(incumbent)
        neither = pc.and_(one.is_null(), two.is_null()).to_numpy(zero_copy_only=False)
        return np.asarray(np.where(neither, _equal(candidate, incumbent), _equal(one, two)))

    def _by_number(self, batch: Batch, candidate: pa.Array, incumbent: pa.Array | None) -> Outcomes:
        labels = _labels(batch)
        label = _label_numbers(labels, batch)
        far = allowed(label, self._options.tolerance or Tolerance(absolute=0.0), _at(batch, labels.rows))

        def right(answer: Numbers) -> Flags:
            return _any(labels.rows, within(label, answer[labels.rows], far), len(batch))

        new = self._numbers(candidate)
        if incumbent is None:
            return judged(batch, right(new), None, None)
        old = self._numbers(incumbent)
        neither = np.isnan(new) & np.isnan(old)
        same = np.where(neither, _equal(candidate, incumbent), new == old)
        return judged(batch, right(new), right(old), same)

    def _numbers(self, answers: pa.Array) -> Numbers:
        """The number that each answer gives, NaN where it gives none."""
        which = 0 if self._options.take == "first" else -1

        def number(text: str) -> float:
            found = every_number(text)
            return found[which] if found else np.nan

        coded = answers.dictionary_encode()
        known = np.array([number(text) for text in coded.dictionary.to_pylist()], dtype=np.float64)
        return known[coded.indices.to_numpy(zero_copy_only=False)] if len(answers) else np.zeros(0)


def _texts(answers: Answers, batch: Batch, role: str) -> pa.Array:
    return texts(single(answers, batch, role), batch, f"{role} model", "answers")


def _scores(answers: Answers, batch: Batch, role: str) -> Numbers:
    if answers.score is None:
        raise EvidenceError("its answers come without scores", where=f"{role} model", hint="name them in task.score")
    return scores(answers.score, batch, role)


def _labels(batch: Batch) -> _Labels:
    column = whole(batch.label, batch, HELD_OUT, "labels")
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        return _Labels(column, np.arange(len(column)))
    lengths = column.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    if (lengths == 0).any():
        refuse(lengths == 0, batch, HELD_OUT, "lists of labels without any")
    rows = np.repeat(np.arange(len(column)), lengths)
    values = column.flatten()
    if values.null_count:
        holes = np.zeros(len(batch), dtype=np.bool_)
        holes[rows[values.is_null().to_numpy(zero_copy_only=False)]] = True
        refuse(holes, batch, HELD_OUT, "lists with a missing label")
    return _Labels(values, rows)


def _label_numbers(labels: _Labels, batch: Batch) -> Numbers:
    """The labels as numbers: a text must hold exactly one."""
    if not is_text(labels.values.type):
        return numbers(labels.values, _at(batch, labels.rows), HELD_OUT, "labels")
    found = [every_number(text) for text in labels.values.to_pylist()]
    broken = np.zeros(len(batch), dtype=np.bool_)
    broken[labels.rows[[len(some) != 1 or not np.isfinite(some[0]) for some in found]]] = True
    if broken.any():
        refuse(broken, batch, HELD_OUT, "labels that do not hold exactly one number", "give the label as a number")
    return np.array([some[0] for some in found], dtype=np.float64)


def _at(batch: Batch, rows: NDArray[np.int64]) -> Batch:
    """The batch with its rows repeated for each of their labels; itself where every row has one."""
    if len(rows) == len(batch):
        return batch
    columns = {name: column.take(pa.array(rows)) for name, column in batch.columns.items()}
    ids, label = (column.take(pa.array(rows)) for column in (batch.ids, batch.label))
    return Batch(ids, label, batch.candidate, None, columns=columns, numbers=batch.row_numbers[rows])


def _any(rows: NDArray[np.int64], holds: Flags, size: int) -> Flags:
    """Whether it holds for any of a row's labels."""
    return np.asarray(np.bincount(rows[holds], minlength=size) > 0)


def _equal(one: pa.Array, two: pa.Array) -> Flags:
    equal: Flags = pc.fill_null(pc.equal(one, two), False).to_numpy(zero_copy_only=False)
    return equal


def _mapped(column: pa.Array, change: Callable[[str], str]) -> pa.Array:
    coded = column.dictionary_encode()
    return pa.array([change(text) for text in coded.dictionary.to_pylist()], pa.large_string()).take(coded.indices)
