"""Scores given: a row of predictions holds no answer but how good the answer was, as a harness wrote it down.

Right and wrong are written as true and false or as 1 and 0; any other score, more being better, needs
``right_at_least`` to be read so, or ``continuous`` to be compared as it is.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gate.core.flips import FlipTable
from gate.core.outcomes import Outcomes, Scores
from gate.tasks.batch import Batch
from gate.tasks.options import TaskOptions
from gate.tasks.reading import numbers, refuse, single
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
    """A column of scores as numbers; true and false are 1 and 0."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    return numbers(column, batch, f"{role} model", "scores")


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
            f"scores that are neither 0 nor 1 ({found[between][0]:g})",
            "say from where on it is right, task.right_at_least: 0.5, or compare the scores: task.continuous: true",
        )
