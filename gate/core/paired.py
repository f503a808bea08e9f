"""The paired comparison of two models: bounds on the change of error rate, and whether there is a change at all.

``negative`` (b) counts rows that the incumbent had right and the candidate wrong, ``positive`` (c) the reverse, ``n``
all rows. The change of error rate is (b - c) / n, candidate minus incumbent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from gate.core.bounds import Bounds, Floats, bisect, normal_quantile


def _broadcast(*arrays: ArrayLike) -> list[Floats]:
    return [np.asarray(a, dtype=np.float64) for a in np.broadcast_arrays(*arrays)]


def tango_score(negative: ArrayLike, positive: ArrayLike, n: ArrayLike, change: ArrayLike) -> Floats:
    """Tango's score statistic for the hypothesis that the error rate changed by ``change``.

    Standard normal under the hypothesis; falls as ``change`` grows. Shapes broadcast; ``change`` in [-1, 1]. 0 where
    nothing was seen and nothing could be (n = 0).

    Source: Tango, Statistics in Medicine 17 (1998), 891-908.

    >>> float(tango_score(7, 1, 21, 0.0).round(4))
    2.1213
    """
    b, c, m, d = _broadcast(negative, positive, n, change)
    big_b = -b - c + (2 * m - b + c) * d
    big_c = -c * d * (1 - d)
    with np.errstate(invalid="ignore", divide="ignore"):
        q = (np.sqrt(np.maximum(big_b**2 - 8 * m * big_c, 0.0)) - big_b) / (4 * m)
        top = b - c - m * d
        spread = m * (2 * q + d * (1 - d))
        score = np.where(spread > 0, top / np.sqrt(np.maximum(spread, 1e-300)), np.sign(top) * np.inf)
        return np.asarray(np.where(m > 0, np.where(top == 0, 0.0, score), 0.0))


def tango(negative: ArrayLike, positive: ArrayLike, n: ArrayLike, confidence: float) -> Bounds:
    """One-sided score bounds on the change of error rate.

    Shapes broadcast; bounds in [-1, 1]; with ``n`` 0 they are -1 and 1. Not exact: with no flip at all and a limit of
    0.2 % at n = 1,351, 6.7 % wrong allows at a nominal 5 % (docs, "How sure").

    Source: Tango (1998); the score equation is solved by bisection.

    >>> bounds = tango(1, 7, 21, 0.975)   # 95 % two-sided
    >>> float(bounds.lower.round(4)), float(bounds.upper.round(4))
    (-0.5172, -0.026)
    """
    b, c, m = _broadcast(negative, positive, n)
    z = normal_quantile(confidence)
    seen = np.where(m > 0, (b - c) / np.maximum(m, 1.0), 0.0)
    one = np.ones_like(seen)
    # lower: the smallest change not rejected from below, T <= z; upper: the largest not rejected from above, T >= -z
    _, lower = bisect(lambda d: tango_score(b, c, m, d) > z, -one, seen)
    upper, _ = bisect(lambda d: tango_score(b, c, m, d) >= -z, seen, one)
    unknown = m <= 0
    lower = np.where(unknown, -1.0, lower)
    upper = np.where(unknown, 1.0, upper)
    return Bounds(np.asarray(np.where(tango_score(b, c, m, -one) > z, lower, -1.0)), np.asarray(upper))


def newcombe10(
    both_right: ArrayLike, negative: ArrayLike, positive: ArrayLike, both_wrong: ArrayLike, confidence: float
) -> Bounds:
    """One-sided bounds on the change of error rate by Newcombe's method 10 (square-and-add, with correlation).

    The four counts broadcast; with no rows the bounds are -1 and 1.

    Source: Newcombe, Statistics in Medicine 17 (1998), 2635-2650, method 10.

    >>> bounds = newcombe10(1, 1, 7, 12, 0.975)   # 95 % two-sided
    >>> float(bounds.lower.round(4)), float(bounds.upper.round(4))
    (-0.5069, -0.0256)
    """
    a, b, c, d = _broadcast(both_right, negative, positive, both_wrong)
    n = a + b + c + d
    m = np.maximum(n, 1.0)
    z = normal_quantile(confidence)

    def wilson(hits: Floats) -> tuple[Floats, Floats]:
        centre = (2 * hits + z * z) / (2 * (m + z * z))
        half = z * np.sqrt(z * z + 4 * hits * (1 - hits / m)) / (2 * (m + z * z))
        return centre - half, centre + half

    new, old = (b + d) / m, (c + d) / m
    new_low, new_high = wilson(b + d)
    old_low, old_high = wilson(c + d)
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    # Newcombe's continuity: a positive association is taken n/2 nearer to none, and never across it
    association = a * d - b * c
    eased = np.where(association > 0, np.maximum(association - n / 2, 0.0), association)
    phi = np.where(margins > 0, eased / np.sqrt(np.maximum(margins, 1e-300)), 0.0)
    change = new - old

    def reach(x: Floats, y: Floats) -> Floats:
        return np.asarray(np.sqrt(np.maximum(x * x - 2 * phi * x * y + y * y, 0.0)))

    lower = change - reach(new - new_low, old_high - old)
    upper = change + reach(new_high - new, old - old_low)
    return Bounds(np.where(n > 0, lower, -1.0), np.where(n > 0, upper, 1.0))


def mcnemar_exact(negative: ArrayLike, positive: ArrayLike) -> Floats:
    """Two-sided exact conditional p-value of McNemar's test: is there a difference at all?

    Given b + c discordant rows, b is binomial at one half. 1 where there are none. Conservative.

    >>> float(mcnemar_exact(1, 7).round(4))
    0.0703
    """
    b, c = _broadcast(negative, positive)
    tail = special.bdtr(np.minimum(b, c), np.maximum(b + c, 0).astype(np.int64), 0.5)
    return np.asarray(np.where(b + c > 0, np.minimum(1.0, 2 * tail), 1.0))


def mcnemar_midp(negative: ArrayLike, positive: ArrayLike) -> Floats:
    """Two-sided mid-p value of McNemar's test: the exact one less the probability of what was seen.

    1 where there are no discordant rows. It kept its level in 9,595 scenarios (Fagerland, Lydersen, Laake 2013).

    >>> float(mcnemar_midp(1, 7).round(4))
    0.0391
    """
    b, c = _broadcast(negative, positive)
    m, k = b + c, np.minimum(b, c)
    seen = np.exp(special.gammaln(m + 1) - special.gammaln(k + 1) - special.gammaln(m - k + 1) - m * np.log(2.0))
    both = 2 * special.bdtr(k, np.maximum(m, 0).astype(np.int64), 0.5) - seen
    return np.asarray(np.where(m > 0, np.minimum(1.0, both), 1.0))


def mcnemar_asymptotic(negative: ArrayLike, positive: ArrayLike) -> Floats:
    """Two-sided p-value of McNemar's chi-square without correction; 1 where there are no discordant rows.

    >>> float(mcnemar_asymptotic(1, 7).round(4))
    0.0339
    """
    b, c = _broadcast(negative, positive)
    m = b + c
    z = np.where(m > 0, np.abs(b - c) / np.sqrt(np.maximum(m, 1.0)), 0.0)
    return np.asarray(2 * special.ndtr(-z))
