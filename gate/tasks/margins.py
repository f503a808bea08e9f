"""How close an answer was to another one: the best score less the second, or the distance to a threshold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate.core.outcomes import Margins

Margin = Callable[[NDArray[np.intp]], NDArray[np.float64]]
"""The margins of the rows asked for: only those of rows that flipped are ever looked at."""


def between_best_two(numbers: NDArray[Any]) -> Margin | None:
    """Of one number for each class, in their own unit; None where there is one class only.

    >>> margin = between_best_two(np.array([[0.5, 0.25, 0.25], [1.0, 3.0, 2.0]]))
    >>> margin(np.array([0, 1])).tolist()
    [0.25, 1.0]
    """
    width = numbers.shape[1]
    if width < 2:
        return None

    def margin(rows: NDArray[np.intp]) -> NDArray[np.float64]:
        best = np.partition(numbers.take(rows, axis=0).astype(np.float64), (width - 2, width - 1), axis=1)
        return _apart(best[:, -1], best[:, -2])

    return margin


def to_threshold(scores: NDArray[np.float64], threshold: float) -> Margin:
    """Of scores that are held against a threshold.

    >>> to_threshold(np.array([0.75, 0.5]), 0.5)(np.array([0, 1])).tolist()
    [0.25, 0.0]
    """
    return lambda rows: _apart(scores.take(rows), np.full(len(rows), threshold))


def margins(
    incumbent: Margin | None,
    candidate: Margin | None,
    incumbent_right: NDArray[np.bool_],
    candidate_right: NDArray[np.bool_],
) -> Margins | None:
    """The margins of both models where exactly one is right, NaN elsewhere; None where an answer carries no scores."""
    if incumbent is None or candidate is None:
        return None
    rows = np.flatnonzero(incumbent_right != candidate_right)
    of_both = np.full((2, len(candidate_right)), np.nan)
    of_both[0, rows], of_both[1, rows] = incumbent(rows), candidate(rows)
    return Margins(of_both[0], of_both[1])


def _apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(one == other, 0.0, np.abs(one - other)))  # two infinities are as close as can be
