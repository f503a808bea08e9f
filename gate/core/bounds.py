"""One-sided bounds. Each is meant at its own confidence: a lower and an upper 95 % bound make a 90 % interval."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]


class Bounds(NamedTuple):
    """A lower and an upper bound, arrays of one shape."""

    lower: Floats
    upper: Floats


def clopper_pearson(hits: ArrayLike, n: ArrayLike, confidence: float) -> Bounds:
    """Exact one-sided bounds on a proportion, of which ``hits`` of ``n`` were seen.

    ``hits`` and ``n`` are counts (any shapes that broadcast; not nec. whole, for planning); ``confidence`` in (0, 1) is
    that of each bound. With ``n`` 0 nothing is known: 0 and 1. Exact: for independent rows the true proportion exceeds
    the upper bound with probability at most 1 - confidence, at any n.

    Source: Clopper and Pearson, Biometrika 26 (1934); as quantiles of the beta distribution.

    >>> float(clopper_pearson(0, 300, 0.95).upper.round(5))
    0.00994
    >>> clopper_pearson(0, 0, 0.95)
    Bounds(lower=array(0.), upper=array(1.))
    """
    k, m = np.broadcast_arrays(np.asarray(hits, dtype=np.float64), np.asarray(n, dtype=np.float64))
    alpha = 1.0 - confidence
    with np.errstate(invalid="ignore", divide="ignore"):
        lower = np.where(k > 0, special.betaincinv(np.maximum(k, 1e-300), m - k + 1, alpha), 0.0)
        upper = np.where(k < m, special.betainccinv(k + 1, np.where(k < m, m - k, 1.0), alpha), 1.0)
    return Bounds(np.asarray(lower), np.asarray(upper))


def binomial_tail(hits: ArrayLike, n: ArrayLike, rate: ArrayLike) -> tuple[Floats, Floats]:
    """P(X <= hits) and P(X >= hits) where X counts ``n`` independent draws at ``rate``.

    Shapes broadcast. With ``n`` 0 both are 1. Source: the binomial distribution as incomplete beta functions.

    >>> at_most, at_least = binomial_tail(0, 300, 0.01)
    >>> float(at_most.round(4)), float(at_least)
    (0.049, 1.0)
    """
    k, m, p = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (hits, n, rate)))
    p = np.clip(p, 0.0, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        at_least = np.where(k > 0, special.betainc(np.maximum(k, 1e-300), m - k + 1, p), 1.0)
        at_most = np.where(k < m, special.betaincc(k + 1, np.where(k < m, m - k, 1.0), p), 1.0)
    return np.asarray(at_most), np.asarray(at_least)


def normal_quantile(confidence: float) -> float:
    """The one-sided quantile z of the standard normal distribution.

    >>> round(normal_quantile(0.975), 4)
    1.96
    """
    return float(special.ndtri(confidence))


def ratio_of_proportions(
    top_hits: ArrayLike, top_n: ArrayLike, bottom_hits: ArrayLike, bottom_n: ArrayLike, confidence: float
) -> Bounds:
    """Bounds on one proportion divided by another, each taken by an exact bound at half the error (Bonferroni).

    Where the lower bound of the divisor is 0 the upper bound is infinite; with no rows: 0 and infinity. Conservative:
    DEFINITIONS.md measured 1 % wrong allows or less at a nominal 5 %.

    >>> bounds = ratio_of_proportions(10, 100, 50, 100, 0.95)
    >>> bool(bounds.lower < 0.2 < bounds.upper)
    True
    """
    half = 1.0 - (1.0 - confidence) / 2.0
    top = clopper_pearson(top_hits, top_n, half)
    bottom = clopper_pearson(bottom_hits, bottom_n, half)
    with np.errstate(divide="ignore", invalid="ignore"):
        lower = np.where(bottom.upper > 0, top.lower / bottom.upper, 0.0)
        upper = np.where(bottom.lower > 0, top.upper / bottom.lower, np.inf)
    return Bounds(np.asarray(lower), np.asarray(upper))


def bisect(holds: Any, low: Floats, high: Floats, steps: int = 64) -> tuple[Floats, Floats]:
    """Halve [low, high] ``steps`` times, elementwise, keeping ``holds`` true at low and false at high.

    ``holds`` maps an array to booleans of its shape and changes from true to false once.

    >>> low, high = bisect(lambda x: x * x < 2, np.array([0.0]), np.array([2.0]))
    >>> float(low[0].round(6))
    1.414214
    """
    low, high = low.astype(np.float64), high.astype(np.float64)
    for _ in range(steps):
        middle = (low + high) / 2.0
        yes = holds(middle)
        low, high = np.where(yes, middle, low), np.where(yes, high, middle)
    return low, high
