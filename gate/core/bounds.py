"""One-sided bounds. Each is meant at its own confidence: a lower and an upper 95 % bound make a 90 % interval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]


class Bounds(NamedTuple):
    """A lower and an upper bound, arrays of one shape."""

    lower: Floats
    upper: Floats


def clopper_pearson(hits: ArrayLike, n: ArrayLike, confidence: float, one: ArrayLike = 1.0) -> Bounds:
    """Exact one-sided bounds on a proportion, of which ``hits`` of ``n`` were seen.

    ``hits`` and ``n`` are counts (any shapes that broadcast; not nec. whole, for planning); ``confidence`` in (0, 1) is
    that of each bound. With ``n`` 0 nothing is known: 0 and 1. Exact: for independent rows the true proportion exceeds
    the upper bound with probability at most 1 - confidence, at any n. ``one`` is the hit that might as well have been
    seen besides: 1, or more where hits come in clusters (:mod:`gate.core.effective`).

    Source: Clopper and Pearson, Biometrika 26 (1934); as quantiles of the beta distribution.

    >>> float(clopper_pearson(0, 300, 0.95).upper.round(5))
    0.00994
    >>> clopper_pearson(0, 0, 0.95)
    Bounds(lower=array(0.), upper=array(1.))
    """
    k, m, e = _broadcast(hits, n, one)
    alpha = 1.0 - confidence
    with np.errstate(invalid="ignore", divide="ignore"):
        lower = np.where(k > 0, special.betaincinv(np.maximum(k, 1e-300), m - k + e, alpha), 0.0)
        upper = np.where(k < m, special.betainccinv(k + e, np.where(k < m, m - k, 1.0), alpha), 1.0)
    return Bounds(np.asarray(lower), np.asarray(upper))


def _broadcast(*arrays: ArrayLike) -> list[Floats]:
    return list(np.broadcast_arrays(*(np.asarray(array, dtype=np.float64) for array in arrays)))


def binomial_tail(hits: ArrayLike, n: ArrayLike, rate: ArrayLike, one: ArrayLike = 1.0) -> tuple[Floats, Floats]:
    """P(X <= hits) and P(X >= hits) where X counts ``n`` independent draws at ``rate``.

    Shapes broadcast. With ``n`` 0 both are 1. ``one`` as in :func:`clopper_pearson`.

    Source: the binomial distribution as incomplete beta functions.

    >>> at_most, at_least = binomial_tail(0, 300, 0.01)
    >>> float(at_most.round(4)), float(at_least)
    (0.049, 1.0)
    """
    return lower_tail(hits, n, rate, one), upper_tail(hits, n, rate, one)


def lower_tail(hits: ArrayLike, n: ArrayLike, rate: ArrayLike, one: ArrayLike = 1.0) -> Floats:
    """P(X <= hits), as :func:`binomial_tail` has it."""
    k, m, p, e = _broadcast(hits, n, rate, one)
    with np.errstate(invalid="ignore", divide="ignore"):
        tail = special.betaincc(k + e, np.where(k < m, m - k, 1.0), np.clip(p, 0.0, 1.0))
    return np.asarray(np.where(k < m, tail, 1.0))


def upper_tail(hits: ArrayLike, n: ArrayLike, rate: ArrayLike, one: ArrayLike = 1.0) -> Floats:
    """P(X >= hits), as :func:`binomial_tail` has it."""
    k, m, p, e = _broadcast(hits, n, rate, one)
    with np.errstate(invalid="ignore", divide="ignore"):
        tail = special.betainc(np.maximum(k, 1e-300), m - k + e, np.clip(p, 0.0, 1.0))
    return np.asarray(np.where(k > 0, tail, 1.0))


def binomial_tail_about(
    hits: ArrayLike, n: ArrayLike, rate: ArrayLike, alpha: float, one: ArrayLike = 1.0
) -> tuple[Floats, Floats]:
    """As :func:`binomial_tail`, for asking which side of ``alpha`` each tail lies on, and cheap: most are not computed.

    A tail that is surely smaller than ``alpha`` comes back as 0, one that is surely larger as 1, all others exactly, so
    that a comparison with ``alpha`` has the same answer as with the exact tails.

    Where hits over n is past the rate, that tail is at least one half (the median of a beta distribution lies between
    its mean and its mode); whole counts are bracketed besides.

    Source: the inequalities of Zubkov and Serov, Theory of Probability and its Applications 57 (2013):
    C(k) <= P(X <= k) <= C(k + 1), with C(k) = Phi(sign(k/n - p) sqrt(2 n KL(k/n, p))).

    >>> at_most, at_least = binomial_tail_about([0, 0, 30], 300, 0.01, 0.05)
    >>> at_most.round(4).tolist(), at_least.tolist()
    ([0.049, 0.049, 1.0], [1.0, 1.0, 0.0])
    """
    k, m, p, e = _broadcast(hits, n, rate, one)
    p = np.clip(p, 0.0, 1.0)
    inner = (m > 0) & (p > 0.0) & (p < 1.0) & (e >= 1.0)
    whole = inner & (e == 1.0) & (k == np.floor(k)) & (m == np.floor(m))
    halves = inner if alpha < 0.49 else np.zeros_like(inner)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        at, log_p, log_q = k / m, np.log(p), np.log1p(-p)
        below, here, above = (_zubkov_serov(k + step, m, at + step / m, p, log_p, log_q) for step in (-1.0, 0.0, 1.0))
    low, high = alpha * (1 - 1e-9), alpha * (1 + 1e-9) + 1e-300

    def settled(past: NDArray[np.bool_], floor: Floats, ceiling: Floats, tail: Callable[..., Floats]) -> Floats:
        large = (halves & past) | (whole & (floor > high))
        found = np.where(large, 1.0, 0.0)
        rest = ~(large | (whole & (ceiling < low)))
        if rest.any():
            found[rest] = tail(k[rest], m[rest], p[rest], e[rest])
        return found

    # below, here, above: C(k - 1), C(k), C(k + 1); P(X >= k) = 1 - P(X <= k - 1)
    at_most = settled(k >= m * p, here, above, lower_tail)
    at_least = settled(k <= m * p, 1.0 - here, 1.0 - below, upper_tail)
    return at_most, at_least


def _zubkov_serov(k: Floats, n: Floats, share: Floats, p: Floats, log_p: Floats, log_q: Floats) -> Floats:
    """C(k) for whole k from 0 to n; 0 below, 1 above."""
    kl = special.xlogy(share, share) - share * log_p + special.xlog1py(1.0 - share, -share) - (1.0 - share) * log_q
    inside = special.ndtr(np.sign(share - p) * np.sqrt(np.maximum(2.0 * n * kl, 0.0)))
    # at the ends C is defined as the exact probability
    inside = np.where(k <= 0, np.where(k == 0, np.exp(n * log_q), 0.0), inside)
    return np.asarray(np.where(k >= n, np.where(k == n, -np.expm1(n * log_p), 1.0), inside))


def normal_quantile(confidence: float) -> float:
    """The one-sided quantile z of the standard normal distribution.

    >>> round(normal_quantile(0.975), 4)
    1.96
    """
    return float(special.ndtri(confidence))


def ratio_of_proportions(
    top_hits: ArrayLike,
    top_n: ArrayLike,
    bottom_hits: ArrayLike,
    bottom_n: ArrayLike,
    confidence: float,
    top_one: ArrayLike = 1.0,
    bottom_one: ArrayLike = 1.0,
) -> Bounds:
    """Bounds on one proportion divided by another, each taken by an exact bound at half the error (Bonferroni).

    Where the lower bound of the divisor is 0 the upper bound is infinite; with no rows: 0 and infinity. Conservative:
    DEFINITIONS.md measured 1 % wrong allows or less at a nominal 5 %.

    >>> bounds = ratio_of_proportions(10, 100, 50, 100, 0.95)
    >>> bool(bounds.lower < 0.2 < bounds.upper)
    True
    """
    half = 1.0 - (1.0 - confidence) / 2.0
    top = clopper_pearson(top_hits, top_n, half, top_one)
    bottom = clopper_pearson(bottom_hits, bottom_n, half, bottom_one)
    with np.errstate(divide="ignore", invalid="ignore"):
        lower = np.where(bottom.upper > 0, top.lower / bottom.upper, 0.0)
        upper = np.where(bottom.lower > 0, top.upper / bottom.lower, np.inf)
    return Bounds(np.asarray(lower), np.asarray(upper))


def ratio_test(
    top_hits: ArrayLike,
    top_n: ArrayLike,
    bottom_hits: ArrayLike,
    bottom_n: ArrayLike,
    limit: ArrayLike,
    below: bool,
    top_one: ArrayLike = 1.0,
    bottom_one: ArrayLike = 1.0,
) -> Floats:
    """One-sided p-value against "the ratio is at least ``limit``", or not ``below`` against "it is at most ``limit``".

    That of :func:`ratio_of_proportions` turned round: the smallest error at which its bound keeps the limit, or is past
    it. The bounds at a smaller error lie around those at a larger one, so where the hypothesis is true a p-value of
    alpha at most is as rare as a wrong bound at alpha: alpha at most, and usually far less.

    At that error p there is a divisor q of which one tail of either proportion is p / 2, and that q is looked for.

    >>> p = ratio_test(10, 100, 50, 100, 0.5, below=True)
    >>> float(p.round(4)), float(ratio_of_proportions(10, 100, 50, 100, 1 - p).upper.round(6))
    (0.0208, 0.5)
    """
    shape = np.broadcast(top_hits, top_n, bottom_hits, bottom_n, limit, top_one, bottom_one).shape
    a, n, b, m, r, e, f = (
        part.ravel() for part in _broadcast(top_hits, top_n, bottom_hits, bottom_n, limit, top_one, bottom_one)
    )

    def tails(q: Floats, at: NDArray[np.intp]) -> tuple[Floats, Floats]:
        p = r[at] * q  # no share is above 1: that much is known at any error
        if below:
            return np.where(p >= 1.0, 0.0, lower_tail(a[at], n[at], p, e[at])), upper_tail(b[at], m[at], q, f[at])
        return upper_tail(a[at], n[at], p, e[at]), np.where(q >= 1.0, 0.0, lower_tail(b[at], m[at], q, f[at]))

    def apart(q: Floats, at: NDArray[np.intp]) -> Floats:
        with np.errstate(divide="ignore"):
            top, bottom = (np.maximum(np.log(tail), -1e4) for tail in tails(q, at))
        return np.asarray(top - bottom if below else bottom - top)  # falls with q

    everyone = np.arange(len(a))
    seen = np.divide(b, m, out=np.full(m.shape, 0.5), where=m > 0)
    # at the divisor that was seen its own tail is half or more: a p-value below 1 has its q on the far side of it
    low, high = (np.zeros_like(seen), seen.copy()) if below else (seen.copy(), np.ones_like(seen))
    far = (apart(high, everyone) <= 0) if below else (apart(low, everyone) > 0)
    high = np.where(far, high, seen)
    crossed = np.flatnonzero(far & (apart(low, everyone) > 0))
    if len(crossed):
        high[crossed] = crossing(lambda x, at: apart(x, crossed[at]), low[crossed], high[crossed])[1]
    return np.asarray(np.minimum(2.0 * np.maximum(*tails(high, everyone)), 1.0).reshape(shape))


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


_NEAR = 4.0 * float(np.finfo(np.float64).eps)


def crossing(
    over: Callable[[Floats, NDArray[np.intp]], Floats], low: Floats, high: Floats, near: float = 1e-13
) -> tuple[Floats, Floats]:
    """Where a function that falls crosses zero, elementwise: as :func:`bisect`, for functions that are dear.

    ``over(x, at)`` is the function at ``x`` for those elements that the positions ``at`` pick, above 0 at ``low`` and
    at most 0 at ``high``; one-dimensional. The two ends come back no further apart than ``near`` and the last bits.
    An element is done when it is done, so that its answer does not depend on which others there are.

    Source: Chandrupatla, Advances in Engineering Software 28 (1997); bisection where interpolation would go astray.

    >>> low, high = crossing(lambda x, at: 2.0 - x * x, np.array([0.0]), np.array([2.0]))
    >>> float(low[0].round(6)), float(high[0].round(6))
    (1.414214, 1.414214)
    """
    lower, upper = low.astype(np.float64), high.astype(np.float64)
    at = np.arange(len(lower))
    a, b = lower.copy(), upper.copy()  # the newest point, and the one across the root
    fa, fb = over(a, at), over(b, at)
    share = np.full(len(a), 0.5)
    while len(at):
        x = a + share * (b - a)
        fx = over(x, at)
        same = (fx > 0) == (fa > 0)
        c, fc = np.where(same, a, b), np.where(same, fa, fb)
        b, fb = np.where(same, b, a), np.where(same, fb, fa)
        a, fa = x, fx
        lower[at], upper[at] = np.where(fa > 0, a, b), np.where(fa > 0, b, a)
        width = np.abs(b - a)
        least = 0.5 * (near + _NEAR * np.maximum(np.abs(a), np.abs(b)))
        more = width > 2.0 * least
        at = at[more]
        a, b, c, fa, fb, fc, width, least = (part[more] for part in (a, b, c, fa, fb, fc, width, least))
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
            inverse = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
            straight = (phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi) & np.isfinite(inverse)
        share = np.clip(np.where(straight, inverse, 0.5), least / width, 1.0 - least / width)
    return lower, upper
