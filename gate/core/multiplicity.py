"""Many tests at once: Holm's correction to accuse particular cells, Benjamini and Hochberg's to report them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gate.core.bounds import Floats


def holm(p_values: Floats, alpha: float) -> NDArray[np.bool_]:
    """Which hypotheses are rejected with a chance of ``alpha`` at most that any true one is among them.

    ``p_values`` has one entry per hypothesis; NaN stands for no test and is never rejected. No entries give none.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979): the i-th smallest of m is held against alpha / (m - i).

    >>> holm(np.array([0.01, 0.04, 0.03]), 0.05).tolist()
    [True, False, False]
    """
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    size = len(order)
    passes = p_values[order] <= alpha / (size - np.arange(size))
    stop = int(np.argmin(passes)) if not passes.all() else size
    rejected = np.zeros(p_values.shape, dtype=np.bool_)
    rejected[order[:stop]] = True
    return rejected


def benjamini_hochberg(p_values: Floats, share: float) -> NDArray[np.bool_]:
    """Which hypotheses are rejected so that on average at most ``share`` of the rejected are true.

    ``p_values`` has one entry per hypothesis; NaN stands for no test and is never rejected. No entries give none. For
    independent tests.

    Source: Benjamini and Hochberg, Journal of the Royal Statistical Society B 57 (1995).

    >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03]), 0.05).tolist()
    [True, True, True]
    """
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    size = len(order)
    below = np.flatnonzero(p_values[order] <= share * np.arange(1, size + 1) / max(size, 1))
    rejected = np.zeros(p_values.shape, dtype=np.bool_)
    if len(below):
        rejected[order[: below[-1] + 1]] = True
    return rejected
