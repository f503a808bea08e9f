"""How much of a candidate's flips goes beyond what retraining the incumbent does anyway.

Each retrained incumbent gives a table of its own, in which a row counts as a negative flip where the candidate flips it
and the retrained incumbent does not, and as a positive one for the reverse. The change of error rate in that table is
the excess over this one retraining; the excess is the mean over all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate.core.bounds import Floats
from gate.core.flips import Cells
from gate.core.measured import Measured
from gate.core.outcomes import Outcomes
from gate.core.rates import Estimate, rate

_CHANGE = rate("error_rate_change")


class Excess:
    """The excess in each cell, with the surface of :class:`gate.core.measured.Measured` that a judge needs.

    ``parts`` are measured at a confidence at which all of them hold together (the error is split over them), so that
    the mean of their bounds bounds the mean. There is at least one. There are no tests, and it is not told how many
    rows would settle an open question.
    """

    def __init__(self, parts: Sequence[Measured], confidence: float) -> None:
        self._parts = parts
        self.confidence = confidence

    def cells(self, by: str | None) -> Cells | None:
        return self._parts[0].cells(by)

    def rows(self, by: str | None) -> NDArray[np.int64]:
        return self._parts[0].rows(by)

    def estimate(self, _: Any, by: str | None) -> Estimate:
        found = [part.estimate(_CHANGE, by) for part in self._parts]
        return Estimate(
            self._mean([one.estimate for one in found]),
            self._mean([one.lower for one in found]),
            self._mean([one.upper for one in found]),
            np.round(self._mean([one.numerator for one in found])),
            found[0].n,
            self.confidence,
            f"mean of {len(found)} {found[0].method} bounds, the error split over them",
        )

    def value(self, _: Any, by: str | None) -> Floats:
        return self._mean([part.value(_CHANGE, by) for part in self._parts])

    def proven(self, about: Any, by: str | None, limit: Any, at_most: bool) -> tuple[NDArray[Any], NDArray[Any]]:
        found = self.estimate(about, by)
        return (found.upper <= limit, found.lower > limit) if at_most else (found.lower >= limit, found.upper < limit)

    def p_better(self, _: Any, by: str | None, limit: Any) -> Floats:
        return np.full(self.rows(by).shape, np.nan)

    p_worse = p_better

    def rows_needed(self, _: Any, by: str | None, limit: Floats, at_most: bool, asked: NDArray[np.bool_]) -> Floats:
        return np.full(asked.shape, np.nan)

    def passes_with(self, _: Any, by: str | None, limit: Floats, asked: NDArray[np.bool_]) -> Floats:
        return np.full(asked.shape, np.nan)

    def _mean(self, arrays: Sequence[Floats]) -> Floats:
        return np.asarray(np.mean(np.asarray(arrays, dtype=np.float64), axis=0))


def beyond(candidate: Outcomes, retrained: Outcomes, churn: bool) -> Outcomes:
    """One batch of both, as the outcomes whose change of error rate is the excess of flips (or of churn).

    Both are held against the same incumbent, and have the same units in the same order.
    """
    if churn:
        now, noise = ~candidate.same_output, ~retrained.same_output
    else:
        now = candidate.incumbent_right & ~candidate.candidate_right
        noise = retrained.incumbent_right & ~retrained.candidate_right
    return Outcomes(
        ids=candidate.ids,
        incumbent_right=~noise,
        candidate_right=~now,
        same_output=now == noise,
        label=candidate.label,
        candidate=candidate.candidate,
        slices=candidate.slices,
        cluster=candidate.cluster,
        weight=candidate.weight,
    )
