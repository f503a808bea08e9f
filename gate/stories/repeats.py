"""Questions that are asked several times: how their rows are named, and the noise that a model has against itself.

The rows of one question have one id and different sample numbers. They are no independent rows, so the question is
their cluster. The incumbent's own answers to it differ too: what a candidate flips beyond that is the excess.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gate.core.outcomes import Codes
from gate.errors import EvidenceError, datum
from gate.stories.listed import some_ids
from gate.tasks.batch import Answers, Batch, Repeats
from gate.tasks.vocabulary import Vocabulary, plain


def names(ids: pa.Array, samples: pa.Array, column: str, first_row: int = 0) -> pa.Array:
    """What names each row, ``id/sample``; null where the id is missing. ``column`` is that of the sample numbers.

    EvidenceError for sample numbers that are missing or no whole numbers, and for ids that are no text or numbers.

    >>> names(pa.array(["q1", "q1"]), pa.array([0, 1]), "epoch").to_pylist()
    ['q1/0', 'q1/1']
    """
    if not pa.types.is_integer(samples.type):
        raise EvidenceError(
            f"it is {samples.type}, and sample numbers are whole numbers",
            where=f"column {column!r}",
            hint="number the answers to each question: 0, 1, 2 and so on",
        )
    if samples.null_count:
        row = first_row + int(np.argmax(samples.is_null().to_numpy(zero_copy_only=False)))
        raise EvidenceError(
            f"{samples.null_count} rows of one batch have no sample number, first at row {row}",
            where=f"column {column!r}",
            hint="number the answers to each question: 0, 1, 2 and so on",
        )
    known = pc.invert(ids.is_null(nan_is_null=True))
    try:
        text = plain(ids).cast(pa.large_string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise EvidenceError(f"ids of type {ids.type}", where="column of the ids", hint="text and numbers do") from None
    joined = pc.binary_join_element_wise(text, samples.cast(pa.large_string()), pa.scalar("/", pa.large_string()))
    return pc.if_else(known, joined, pa.scalar(None, pa.large_string()))


@dataclass
class Questions:
    """Codes questions from batch to batch, and sees to it that each lies in one cluster."""

    where: str

    def __post_init__(self) -> None:
        self._vocabulary = Vocabulary()
        self._cluster = np.zeros(0, dtype=np.int64)  # of each question, -1 where it is not known yet

    def repeats(self, ids: pa.Array, samples: pa.Array) -> Repeats:
        """Question and sample number of the rows of a batch."""
        return Repeats(self._vocabulary.encode(ids), samples.cast(pa.int64()).to_numpy())

    def check_clusters(self, question: Codes, cluster: Codes) -> None:
        """EvidenceError for a question in two clusters: its rows would be taken for independent."""
        more = len(self._vocabulary) - len(self._cluster)
        self._cluster = np.append(self._cluster, np.full(more, -1, dtype=np.int64))
        fresh = self._cluster[question.codes] < 0
        self._cluster[question.codes[fresh]] = cluster.codes[fresh]
        apart = np.unique(question.codes[self._cluster[question.codes] != cluster.codes])
        if len(apart):
            ids = pa.array([str(question.values[code]) for code in apart[:4]])
            raise EvidenceError(
                f"{len(apart)} ids are in more than one cluster ({some_ids(ids)})",
                where=self.where,
                hint="the answers to one question belong together: name a column that holds whole questions",
            )


def against_itself(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Each batch with the incumbent's answers to the same questions the next time that they were asked.

    The next time of the last sample is the first one, so that each answer is held against one other, and none is left
    out. All batches are held in memory. EvidenceError for questions that were asked once only, and for rows of one id
    whose labels differ: they ask different things, and what differs there is no noise. Without an incumbent the batches
    stay as they are.
    """
    every = list(batches)
    held = [batch for batch in every if len(batch)]
    repeats = [batch.repeats for batch in held if batch.repeats is not None]
    answers = [batch.incumbent for batch in held if batch.incumbent is not None]
    if not held or not len(held) == len(repeats) == len(answers):
        yield from every
        return
    following = _following(repeats)
    _check_labels(_joined([batch.label for batch in held]), following, held)
    values = _joined([one.values for one in answers])
    scores = [one.score for one in answers if one.score is not None]
    score = _joined(scores) if len(scores) == len(held) else None
    start = 0
    for batch in every:
        if not len(batch) or batch.incumbent is None:
            yield batch
            continue
        rows = pa.array(following[start : start + len(batch)])
        again = Answers(_taken(values, rows), batch.incumbent.names, None if score is None else _taken(score, rows))
        yield replace(batch, retrained=(again,))
        start += len(batch)


def _following(repeats: list[Repeats]) -> NDArray[np.int64]:
    """For each row the place of the row with the same question and the next sample number, the first after the last."""
    question = np.concatenate([one.question.codes for one in repeats])
    order = np.lexsort((np.concatenate([one.sample for one in repeats]), question))
    asked = question[order]
    first = np.flatnonzero(np.append(True, asked[1:] != asked[:-1]))
    times = np.diff(np.append(first, len(asked)))
    if (times < 2).any():
        values = repeats[-1].question.values  # the vocabulary grew with the batches
        once = asked[first[times < 2]]
        raise EvidenceError(
            f"{len(once)} question{' was' if len(once) == 1 else 's were'} asked once only"
            f" ({some_ids(pa.array([str(values[code]) for code in once[:4].tolist()]))})",
            where="held-out set",
            hint="the noise of a model shows where a question is asked twice or more: ask again, or leave them out",
        )
    behind = np.arange(1, len(asked) + 1)
    behind[first + times - 1] = first
    found = np.empty(len(asked), dtype=np.int64)
    found[order] = order[behind]
    return found


def _check_labels(labels: pa.ChunkedArray, following: NDArray[np.int64], held: list[Batch]) -> None:
    others = labels.take(pa.array(following))
    if others.equals(labels):
        return
    numbers = np.concatenate([batch.row_numbers for batch in held])
    for row, (one, other) in enumerate(zip(labels.to_pylist(), others.to_pylist(), strict=True)):
        if one != other:
            raise EvidenceError(
                f"rows {numbers[row]} and {numbers[following[row]]} have the same id and different labels,"
                f" {datum(one)} and {datum(other)}",
                where="held-out set",
                hint="holdout.sample numbers the answers to one and the same question: give other questions other ids",
            )


def _joined(parts: list[pa.Array]) -> pa.ChunkedArray:
    tables = [pa.table({"answer": part}) for part in parts]
    return pa.concat_tables(tables, promote_options="permissive").column(0)


def _taken(column: pa.ChunkedArray, rows: pa.Array) -> pa.Array:
    found = column.take(rows)
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
