"""Numbers that are near enough to the right one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gate.errors import EvidenceError
from gate.tasks.batch import Batch
from gate.tasks.options import Tolerance
from gate.tasks.reading import HELD_OUT, numbers, refuse

Numbers = NDArray[np.float64]
_ROUNDING = 4  # units in the last place, so that 1.1 is within 0.1 of 1.0, as everybody would say


def allowed(label: Numbers, tolerance: Tolerance, batch: Batch) -> Numbers:
    """How far each answer may be from its label, in the label's unit.

    EvidenceError for a tolerance column that is absent, or holds what is no finite number of at least 0.
    """
    if tolerance.relative is not None:
        return np.asarray(tolerance.relative * np.abs(label))
    if tolerance.column is None:
        return np.full(len(label), tolerance.absolute or 0.0)
    if tolerance.column not in batch.columns:
        raise EvidenceError(
            f"there is no column {tolerance.column!r}", where=HELD_OUT, hint="mend task.tolerance.column"
        )
    found = numbers(batch.columns[tolerance.column], batch, f"column {tolerance.column!r}", "tolerances")
    if (found < 0).any():
        refuse(found < 0, batch, f"column {tolerance.column!r}", "tolerances below 0", "a tolerance is 0 or more")
    return found


def within(label: Numbers, answer: Numbers, tolerance: Numbers) -> NDArray[np.bool_]:
    """Whether each answer is no further from its label than allowed, but for the rounding of the last digits.

    >>> within(np.array([1.0, 1.0]), np.array([1.1, 1.2]), np.array([0.1, 0.1])).tolist()
    [True, False]
    """
    rounding = _ROUNDING * np.spacing(np.maximum(np.abs(label), np.abs(answer)))
    return np.asarray(np.abs(answer - label) <= tolerance + rounding)
