"""Flips that hang by a hair: where the best scores of an answer are so close that numeric noise may have turned it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gate.core.outcomes import Margins

EDGES = (1e-6, 1e-4, 1e-2)
"""In the unit of the scores: of probabilities what single precision adds up to, what other batch sizes and hardware do,
and what bfloat16 does."""


def count_near_ties(
    margins: Margins, candidate_right: NDArray[np.bool_], flipped: NDArray[np.intp]
) -> NDArray[np.int64]:
    """How many of the units at ``flipped`` have a margin below each edge: a row for negative flips, one for positive.

    A unit counts by the smaller of its two margins, as either answer may be the one that noise turned; where one is not
    known (NaN) by the other. Each edge counts all that is below it, so a row rises. No units give zeros.

    >>> close = Margins(np.array([0.5, 0.3]), np.array([5e-5, 0.2]))
    >>> count_near_ties(close, np.array([False, True]), np.array([0, 1])).tolist()
    [[0, 1, 1], [0, 0, 0]]
    """
    smaller = np.fmin(margins.incumbent.take(flipped), margins.candidate.take(flipped))
    below = smaller[:, None] < np.asarray(EDGES)
    positive = candidate_right.take(flipped)
    return np.stack([below[~positive].sum(axis=0), below[positive].sum(axis=0)]).astype(np.int64)
