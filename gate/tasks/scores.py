"""Scores given: a row of predictions holds no answer but how good the answer was, as a harness wrote it down.

Right and wrong are written as true and false, as 1 and 0, or as yes and no (MLflow's scorers do); any other score, more
being better, needs ``right_at_least`` to be read so, or ``continuous`` to be compared as it is.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gate.core.flips import FlipTable
from gate.core.outcomes import Outcomes, Scores
from gate.errors import datum
from gate.tasks.batch import Batch
from gate.tasks.options import TaskOptions
from gate.tasks.reading import is_text, numbers, refuse, single, whole
from gate.tasks.units import compared, judged, settled

Numbers = NDArray[np.float64]


class Graded:
    """The task of one comparison; satisfies :class:`gate.tasks.batch.Task`. It reads no label.

    >>> from gate.tasks.batch import Answers
    >>> task = Graded(TaskOptions("scores", right_at_least=0.5))
    >>> batch = Batch(
    ...     ids=pa.array([0, 1]), label=pa.nulls(2),
    ...     incumbent=Answers(pa.array([0.9, 0.2])), candidate=Answers(pa.array([0.4, 0.5])),
    ... )
    >>> found = task.outcomes(batch)
    >>> found.incumbent_right.tolist(), found.candidate_right.tolist()
    ([True, False], [False, True])
    """

    def __init__(self, options: TaskOptions) -> None:
        self._options = options

    def outcomes(self, batch: Batch) -> Outcomes:
        candidate = scores(single(batch.candidate, batch, "candidate"), batch, "candidate")
        incumbent = None
        if batch.incumbent is not None:
            incumbent = scores(single(batch.incumbent, batch, "incumbent"), batch, "incumbent")
        same = None if incumbent is None else candidate == incumbent
        return held_against(self._options, batch, candidate, incumbent, same)

    def finish(self, table: FlipTable) -> FlipTable:
        return settled(table)


def scores(column: pa.Array, batch: Batch, role: str) -> Numbers:
    """A column of scores as numbers; true and false are 1 and 0, and so are the words yes and no.

    EvidenceError for any other word, and for a score that is missing, NaN or infinite.
    """
    where = f"{role} model"
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    elif is_text(column.type):
        column = _yes_or_no(whole(column, batch, where, "scores"), batch, where)
    return numbers(column, batch, where, "scores")


def _yes_or_no(column: pa.Array, batch: Batch, where: str) -> pa.Array:
    yes, no = (pc.equal(column, word).to_numpy(zero_copy_only=False) for word in ("yes", "no"))
    other = ~(yes | no)
    if other.any():
        word = datum(column[int(np.argmax(other))].as_py())
        refuse(other, batch, where, f"scores that are neither yes nor no ({word})", "give a number, or yes and no")
    return pa.array(yes.astype(np.uint8))


def held_against(
    options: TaskOptions, batch: Batch, candidate: Numbers, incumbent: Numbers | None, same: NDArray[np.bool_] | None
) -> Outcomes:
    """Both models' scores as outcomes: by ``right_at_least``, by each other, or as the 1 and 0 that they are."""
    if options.continuous:
        return compared(batch, candidate, incumbent, same)
    if options.right_at_least is None:
        _right_or_wrong(candidate, batch, "candidate")
        if incumbent is None:
            return judged(batch, candidate == 1, None, same)
        _right_or_wrong(incumbent, batch, "incumbent")
        return judged(batch, candidate == 1, incumbent == 1, same)
    least = options.right_at_least
    if incumbent is None:
        return judged(batch, candidate >= least, None, same)
    return judged(batch, candidate >= least, incumbent >= least, same, Scores(incumbent, candidate))


def _right_or_wrong(found: Numbers, batch: Batch, role: str) -> None:
    between = (found != 0) & (found != 1)
    if between.any():
        refuse(
            between,
            batch,
            f"{role} model",
            f"scores that are neither 0 nor 1 ({datum(found[between][0], '{:g}'.format)})",
            "say from where on it is right, task.right_at_least: 0.5, or compare the scores: task.continuous: true",
        )
