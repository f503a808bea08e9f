"""How many rows does it take? The smallest held-out set that can certify a limit, and what a found rate still lacks."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import special

from gate.core.bounds import Floats, clopper_pearson, lower_tail
from gate.core.counts import FlipCounts
from gate.core.rates import Rate

_MOST_ROWS = 10**9


def rows_to_certify(limit: float, flips: int = 0, confidence: float = 0.95) -> int:
    """The smallest n whose exact upper bound is at most ``limit`` when ``flips`` flips are seen among n rows.

    ``limit`` in (0, 1), ``flips`` at least 0; the result counts rows. ValueError for a limit outside (0, 1), since
    a rate of 0 can never be certified.

    >>> rows_to_certify(0.01), rows_to_certify(0.05, flips=2)
    (299, 124)
    """
    if not 0.0 < limit < 1.0:
        raise ValueError(f"limit {limit} is not between 0 and 1: no number of rows certifies it")

    def certified(n: int) -> bool:
        return bool(clopper_pearson(flips, n, confidence).upper <= limit)

    enough = max(flips, 1)
    while not certified(enough):
        enough *= 2
    short = enough // 2
    while enough - short > 1:  # the bound falls in n while the flips stay, so one halving finds the first
        middle = (enough + short) // 2
        short, enough = (short, middle) if certified(middle) else (middle, enough)
    return enough


def rows_for_power(limit: float, true_rate: float, power: float = 0.8, confidence: float = 0.95) -> tuple[int, int]:
    """How many rows certify ``limit`` with probability ``power`` if the rate truly is ``true_rate``.

    Returns two numbers, since the power of the exact bound is a saw: the smallest n that reaches ``power``, and the n
    from which on it never falls below it again. ValueError unless 0 <= true_rate < limit < 1.

    >>> rows_for_power(0.01, 0.002)
    (628, 773)
    """
    if not 0.0 <= true_rate < limit < 1.0:
        raise ValueError(f"a rate of {true_rate} cannot be shown to be at most {limit}")
    # Normal approximation with a wide margin: behind it the power only grows.
    z = 1.0 + math.sqrt(-2.0 * math.log(1.0 - confidence)) + math.sqrt(-2.0 * math.log(1.0 - power))
    most = int(4 * (z * math.sqrt(limit) / (limit - true_rate)) ** 2 + 10 / limit)
    # Between the n from which one flip more is allowed and the next such n, more rows only make the allowed flips less
    # likely: the power is highest where a tooth of the saw begins, and lowest just before the next one.
    flips = np.arange(int(most_flips_allowed(np.asarray([float(most)]), limit, confidence)[0]) + 2, dtype=np.float64)
    begins = _first_certified(flips, limit, confidence)
    highest = special.bdtr(flips, begins.astype(np.int64), true_rate)
    lowest = special.bdtr(flips[:-1], begins[1:].astype(np.int64) - 1, true_rate)
    first = int(begins[int(np.argmax(highest >= power))])
    below = np.flatnonzero(lowest < power)
    return first, int(begins[int(below[-1]) + 1] if len(below) else begins[0])


def _first_certified(flips: Floats, limit: float, confidence: float) -> Floats:
    """For each number of flips the smallest n that certifies ``limit`` with them."""
    low, high = flips.copy(), np.ceil((flips + 1.0) * (2.0 - np.log(1.0 - confidence)) / limit) + 1.0
    while np.any(high - low > 1):
        middle = np.floor((low + high) / 2)
        fits = lower_tail(flips, middle, limit) <= 1.0 - confidence
        move = high - low > 1
        low, high = np.where(move & ~fits, middle, low), np.where(move & fits, middle, high)
    return np.asarray(high)


def most_flips_allowed(n: Floats, limit: float | Floats, confidence: float) -> Floats:
    """The largest number of flips with which ``n`` rows still certify ``limit``; -1 where not even none would do.

    >>> most_flips_allowed(np.array([298.0, 299.0, 473.0]), 0.01, 0.95)
    array([-1.,  0.,  1.])
    """
    low = np.full(n.shape, -1.0)
    high = n.astype(np.float64)
    limits = np.broadcast_to(np.asarray(limit, dtype=np.float64), n.shape)
    # where the normal approximation says, and from there in growing steps: a try or two instead of a dozen halvings
    z, mean = special.ndtri(1.0 - confidence), high * limits
    guess = mean + z * np.sqrt(mean * (1.0 - limits)) + (1.0 - 2.0 * limits) * (z * z - 1.0) / 6.0 - 0.5
    step = 1.0
    while (open_ := high - low > 1).any():
        tried = np.clip(np.floor(guess), low + 1, high - 1)[open_]
        # the tail at the limit, which says the same as the bound against it and is much cheaper
        fits = lower_tail(tried, n[open_], limits[open_]) <= 1.0 - confidence
        low[open_] = np.where(fits, tried, low[open_])
        high[open_] = np.where(fits, high[open_], tried)
        guess[open_] = tried + np.where(fits, step, -step)
        step *= 2.0
    return low


def rows_needed(
    rate: Rate, counts: FlipCounts, limit: Floats, at_most: bool, confidence: float, rows: Floats | None = None
) -> Floats:
    """How many rows more would settle the question, were the rates seen to stay as they are.

    ``counts`` and ``limit`` hold arrays with one element per cell; ``rows`` is how many rows stand behind the counts,
    where those are not counts of rows but what they are worth. The counts are scaled up until the lower or the
    upper bound clears the limit. NaN where no number of rows would: the rate seen is the limit, or nothing was seen at
    all and the limit is the end of the range.

    >>> counts = FlipCounts(both_right=np.array([100]), negative=np.array([0]))
    >>> from gate.core.rates import rate
    >>> rows_needed(rate("nfr"), counts, np.array([0.01]), True, 0.95)
    array([199.])
    """
    n = np.asarray(counts.n if rows is None else rows, dtype=np.float64)
    unseen = np.asarray(counts.n) <= 0
    # An empty cell is planned as if everything in it were to go well: rows that both models get right.
    start = np.where(unseen, 1.0, n)
    limits = np.broadcast_to(np.asarray(limit, dtype=np.float64), start.shape)

    def scaled(total: Floats, at: NDArray[np.intp]) -> FlipCounts:
        seen = counts.take(at).times(total / start[at])
        if not unseen[at].any():
            return seen
        empty = FlipCounts(total, *(np.zeros(total.shape),) * 4)
        return FlipCounts(*(np.where(unseen[at], b, a) for a, b in zip(seen.columns, empty.columns, strict=True)))

    def settled(total: Floats) -> NDArray[np.bool_]:
        kept, broken = rate.proven(scaled(total, everyone), limits, at_most, confidence)
        return np.asarray(kept | broken)

    everyone = np.arange(len(start))
    most = np.full(start.shape, float(_MOST_ROWS))
    total = np.where(settled(start), start, np.nan)
    waiting = np.isnan(total) & settled(most)
    at_end = scaled(most, everyone)
    below = rate.value(at_end) < limits
    for side in (True, False):
        at = np.flatnonzero(waiting & (below == side))
        if len(at):

            def sure(x: Floats, some: NDArray[np.intp], at: NDArray[np.intp] = at, side: bool = side) -> Floats:
                return rate.sureness(scaled(x, at[some]), limits[at[some]], side, confidence)

            total[at] = fewest_rows(sure, start[at], most[at])
    return np.asarray(np.maximum(total - n, 1.0))


def fewest_rows(sure: Callable[[Floats, NDArray[np.intp]], Floats], open_at: Floats, settled_at: Floats) -> Floats:
    """The fewest rows, elementwise, at which ``sure(rows, at)`` is 0 or more, at positions ``at`` of the elements.

    It must be so at ``settled_at`` and not at ``open_at``, and grow with the rows. What grows nearly as their root is
    found soonest: a line through the last two tries says where to try next; now and then the middle is tried, lest
    that go astray.
    """
    low, high = open_at.copy(), settled_at.copy()
    at = np.arange(len(low))
    x, tries = low.copy(), 0
    root, before = np.zeros(len(low)), np.full(len(low), np.nan)
    while len(at):
        now = sure(x, at)
        enough = now >= 0
        high[at], low[at] = np.where(enough, x, high[at]), np.where(enough, low[at], x)
        here = np.sqrt(x)
        with np.errstate(invalid="ignore", divide="ignore"):
            slope = (now - before) / (here - root)
            line = here - now / slope
        root, before = here, now
        a, b = low[at], high[at]
        middle = np.where(b > 2.0 * a, np.sqrt(np.maximum(a, 1.0) * b), (a + b) / 2.0)
        usable = (slope > 0) & (line > 0) & (tries % 4 != 3)
        x = np.where(usable, np.minimum(line, 16.0 * here) ** 2, np.where(enough | (tries > 3), middle, 4.0 * x))
        x = np.clip(np.ceil(x), np.floor(a) + 1, np.ceil(b) - 1)
        more = np.ceil(b) - np.floor(a) > 1
        at, x, root, before = at[more], x[more], root[more], before[more]
        tries += 1
    return np.ceil(high)
