"""Regression: an answer is right within a tolerance or, in the continuous form, if the other model's is no nearer.

Where there is an incumbent each row has two scores besides, minus the absolute error of each model in the label's
unit, so that mean loss and mean gain can be told.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gate.core.flips import FlipTable
from gate.core.outcomes import Outcomes, Scores
from gate.tasks.batch import Answers, Batch
from gate.tasks.options import TaskOptions, Tolerance
from gate.tasks.reading import HELD_OUT, numbers, single
from gate.tasks.tolerance import allowed, within
from gate.tasks.units import compared, judged, settled


class Regression:
    """The task of one comparison; satisfies :class:`gate.tasks.batch.Task`.

    ``options`` has a tolerance, or says ``continuous``.

    >>> import pyarrow as pa
    >>> task = Regression(TaskOptions("regression", tolerance=Tolerance(absolute=0.5)))
    >>> batch = Batch(
    ...     ids=pa.array([0, 1]), label=pa.array([10.0, 20.0]),
    ...     incumbent=Answers(pa.array([10.4, 21.0])), candidate=Answers(pa.array([11.0, 20.5])),
    ... )
    >>> found = task.outcomes(batch)
    >>> found.incumbent_right.tolist(), found.candidate_right.tolist()
    ([True, False], [False, True])
    """

    def __init__(self, options: TaskOptions) -> None:
        self._tolerance = None if options.continuous else options.tolerance or Tolerance(absolute=0.0)

    def outcomes(self, batch: Batch) -> Outcomes:
        label = numbers(batch.label, batch, HELD_OUT, "labels")
        candidate = _answers(batch.candidate, batch, "candidate")
        incumbent = None if batch.incumbent is None else _answers(batch.incumbent, batch, "incumbent")
        same = None if incumbent is None else candidate == incumbent
        of_candidate = -np.abs(candidate - label)
        of_incumbent = None if incumbent is None else -np.abs(incumbent - label)
        if self._tolerance is None:
            return compared(batch, of_candidate, of_incumbent, same)
        far = allowed(label, self._tolerance, batch)
        return judged(
            batch,
            within(label, candidate, far),
            None if incumbent is None else within(label, incumbent, far),
            same,
            None if of_incumbent is None else Scores(of_incumbent, of_candidate),
        )

    def finish(self, table: FlipTable) -> FlipTable:
        return settled(table)


def _answers(answers: Answers, batch: Batch, role: str) -> NDArray[np.float64]:
    return numbers(single(answers, batch, role), batch, f"{role} model", "answers")
