"""How much is lost where something is lost, and gained where something is gained: means of scores, with bounds.

No bound on a mean holds at every distribution of the losses (Bahadur and Savage): a loss so rare that none was seen may
be as large as it likes. There are two, and each says which it is.

- Where it is known how much a score can change at most, the bound of Hoeffding. It holds at any number of losses and
  any distribution: n KL(x, u) = log(1 / alpha), with x the mean and u its bound as shares of that largest change.
- Else Student's t, mended for the long tail that losses tend to have: one loss more is taken into mean and variance,
  for the upper bound one twice as large as the largest that was seen, for the lower bound one of nothing. Approximate;
  how often it errs for which losses stands in the docs, "Simulation". With fewer than 30 losses nothing is known.

Rows are taken for independent and alike. In clusters or with weights there is the mean of the rows and no bound.

Sources: Bahadur and Savage, Annals of Mathematical Statistics 27 (1956); Hoeffding, Journal of the American Statistical
Association 58 (1963), theorem 1; for what is averaged, Echterhoff et al. (MUSCLE), 2024.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from gate.core.bounds import Bounds, Floats, bisect
from gate.core.counts import Cells
from gate.core.exact import UNIT
from gate.core.flips import OVERALL
from gate.core.measured import Measured
from gate.core.measures import MEAN_LOSS, Measure
from gate.core.rates import Estimate
from gate.core.sample_size import fewest_rows
from gate.core.scored import ScoredCells

FEWEST = 30
"""With fewer losses (or gains) the approximate bounds are the ends of the range (docs, "Simulation")."""
_BEYOND = 2.0  # the loss that might as well have been seen, in units of the largest one
_MOST_ROWS = 10**9


class Moments(NamedTuple):
    """Losses, or gains, of many cells: how many, their sum, the sum of their squares, and the largest."""

    n: Floats
    total: Floats
    squares: Floats
    largest: Floats

    @property
    def mean(self) -> Floats:
        """NaN where there is none."""
        return np.asarray(np.divide(self.total, self.n, out=np.full(self.n.shape, np.nan), where=self.n > 0))

    def take(self, chosen: NDArray[Any]) -> Moments:
        return Moments(*(part[chosen] for part in self))

    def times(self, factor: Floats) -> Moments:
        """The moments of so many times the rows, at the same losses."""
        return Moments(self.n * factor, self.total * factor, self.squares * factor, self.largest)


def mean_bounds(found: Moments, confidence: float, largest: float | None = None) -> Bounds:
    """One-sided bounds on the mean; 0 and infinity (or ``largest``) where nothing is known.

    ``largest`` is what no loss exceeds, None where nobody knows: then the bounds are approximate.

    >>> found = Moments(*map(np.atleast_1d, (100.0, 20.0, 8.0, 0.9)))
    >>> [round(float(bound[0]), 3) for bound in mean_bounds(found, 0.95)]
    [0.165, 0.258]
    >>> [round(float(bound[0]), 3) for bound in mean_bounds(found, 0.95, largest=1.0)]
    [0.115, 0.309]
    """
    if largest is not None:
        return _hoeffding(found, confidence, largest)
    known = found.n >= FEWEST
    with np.errstate(invalid="ignore", divide="ignore"):
        reach = special.stdtrit(np.maximum(found.n - 1.0, 1.0), confidence)
        (low, low_error), (high, high_error) = _with_one_more(found, 0.0), _with_one_more(found, _BEYOND)
        lower = np.where(known, np.maximum(low - reach * low_error, 0.0), 0.0)
        upper = np.where(known, high + reach * high_error, np.inf)
    return Bounds(np.asarray(lower), np.asarray(upper))


def mean_tests(found: Moments, limit: Any, largest: float | None = None) -> tuple[Floats, Floats]:
    """One-sided p-values against "the mean is at least ``limit``" and against "it is at most ``limit``".

    A small first one means proven below, a small second one proven above: the same as by :func:`mean_bounds`.

    >>> found = Moments(*map(np.atleast_1d, (100.0, 20.0, 8.0, 0.9)))
    >>> [round(float(p[0]), 4) for p in mean_tests(found, 0.25)]
    [0.0912, 0.9946]
    """
    at = np.broadcast_to(np.asarray(limit, dtype=np.float64), found.n.shape)
    if largest is not None:
        seen, held = _share(found, largest), np.clip(at / largest, 0.0, 1.0)
        chance = np.exp(-found.n * _divergence(seen, held))
        below, above = np.where(held > seen, chance, 1.0), np.where(held < seen, chance, 1.0)
        # no mean lies beyond the ends of the range: that much is known without any row
        return np.where(at > largest, 0.0, below), np.where(at < 0, 0.0, above)
    known, freedom = found.n >= FEWEST, np.maximum(found.n - 1.0, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        (low, low_error), (high, high_error) = _with_one_more(found, 0.0), _with_one_more(found, _BEYOND)
        below = np.where(known, special.stdtr(freedom, (high - at) / high_error), 1.0)
        above = np.where(known, special.stdtr(freedom, (at - low) / low_error), 1.0)
    return np.asarray(below), np.where(at < 0, 0.0, above)


def _with_one_more(found: Moments, size: float) -> tuple[Floats, Floats]:
    """Mean and standard error, had there been one loss more, of ``size`` times the largest that was seen."""
    more = size * found.largest
    n, total, squares = found.n + 1.0, found.total + more, found.squares + more * more
    mean = total / n
    variance = np.maximum(squares / n - mean * mean, 0.0) * n / (n - 1.0)
    return mean, np.sqrt(variance / n)


def _hoeffding(found: Moments, confidence: float, largest: float) -> Bounds:
    seen = _share(found, largest)
    room = -math.log(1.0 - confidence)

    def within(share: Floats) -> NDArray[np.bool_]:
        with np.errstate(invalid="ignore"):
            return np.asarray(found.n * _divergence(seen, share) <= room)

    _, upper = bisect(within, seen, np.ones_like(seen))
    lower, _ = bisect(lambda share: ~within(share), np.zeros_like(seen), seen)
    none = found.n <= 0
    at_end = within(np.ones_like(seen)), within(np.zeros_like(seen))
    upper = np.where(none | at_end[0], 1.0, upper)
    lower = np.where(none | at_end[1], 0.0, lower)
    return Bounds(np.asarray(lower * largest), np.asarray(upper * largest))


def _share(found: Moments, largest: float) -> Floats:
    return np.clip(np.nan_to_num(found.mean / largest, nan=0.0), 0.0, 1.0)


def _divergence(seen: Floats, held: Floats) -> Floats:
    """KL of two coins: 0 where they are the same, infinite where what was seen cannot be."""
    return np.asarray(special.rel_entr(seen, held) + special.rel_entr(1.0 - seen, 1.0 - held))


class Means:
    """Mean loss and mean gain in each cell, with the surface that a judge needs (:class:`gate.core.measured.Measured`).

    ``largest`` is how much a score can change at most, None where nobody knows. KeyError for a dimension that there is
    not. It is false where the table has no scores.
    """

    def __init__(self, measured: Measured, largest: float | None = None) -> None:
        self.confidence = measured.confidence
        self._measured = measured
        self._scores = measured.table.scores
        self._largest = largest
        self._moments: dict[tuple[str, str], Moments] = {}
        self._estimates: dict[tuple[str, str], Estimate] = {}
        drawn = [
            ("rows in clusters", measured.table.clusters),
            ("weighted rows, each counted alike", measured.table.weights),
        ]
        self._no_bound = " and ".join(what for what, there in drawn if there)

    def __bool__(self) -> bool:
        return bool(self._scores)

    @property
    def largest_seen(self) -> float:
        """The largest change of a score in the table, either way."""
        return float(self._scores[OVERALL].largest.max()) if self._scores else 0.0

    @property
    def method(self) -> str:
        """How bounds are made, in words."""
        if self._no_bound:
            return f"no bound ({self._no_bound})"
        if self._largest is not None:
            return f"Hoeffding, of changes of at most {self._largest:g}"
        return f"Student's t with one more, twice the largest: approximate (fewer than {FEWEST}: no bound)"

    def cells(self, by: str | None) -> Cells | None:
        return self._measured.cells(by) if self._scores else None

    def rows(self, by: str | None) -> NDArray[np.int64]:
        return self._measured.rows(by)

    def value(self, about: Measure, by: str | None) -> Floats:
        return self._of(about, by).mean

    def estimate(self, about: Measure, by: str | None) -> Estimate:
        """The mean in each cell; ``numerator`` and ``n`` are both how many rows lost (or gained)."""
        key = (about.name, by or OVERALL)
        if key not in self._estimates:
            found = self._of(about, by)
            if self._no_bound:
                ends = np.zeros(found.n.shape), np.full(found.n.shape, np.inf)
                bounds = Bounds(*ends)
            else:
                bounds = mean_bounds(found, self.confidence, self._largest)
            self._estimates[key] = Estimate(
                found.mean, bounds.lower, bounds.upper, found.n, found.n, self.confidence, self.method, found.n
            )
        return self._estimates[key]

    def proven(self, about: Measure, by: str | None, limit: Any, at_most: bool) -> tuple[NDArray[Any], NDArray[Any]]:
        found = self.estimate(about, by)
        return (found.upper <= limit, found.lower > limit) if at_most else (found.lower >= limit, found.upper < limit)

    def p_better(self, about: Measure, by: str | None, limit: Any) -> Floats:
        return self._tests(about, by, limit)[0]

    def p_worse(self, about: Measure, by: str | None, limit: Any) -> Floats:
        return self._tests(about, by, limit)[1]

    def rows_needed(
        self, about: Measure, by: str | None, limit: Floats, at_most: bool, asked: NDArray[np.bool_]
    ) -> Floats:
        """How many rows more would settle the cells ``asked`` about, if the same share of them lost as much."""
        needed = np.full(limit.shape, np.nan)
        found = self._of(about, by)
        asked = asked & (found.n > 0)
        if self._no_bound or not asked.any():
            return needed
        some, at = found.take(asked), limit[asked]
        rows = np.asarray(self.rows(by), dtype=np.float64)[asked]
        target = special.ndtri(1.0 - self.confidence)

        def sure(total: Floats, which: NDArray[np.intp]) -> Floats:
            p = np.minimum(*mean_tests(some.take(which).times(total / rows[which]), at[which], self._largest))
            return np.asarray(target - special.ndtri(np.clip(p, 1e-250, 0.99)))

        everyone = np.arange(len(rows))
        most = np.full(rows.shape, float(_MOST_ROWS))
        total = np.where(sure(rows, everyone) >= 0, rows, np.nan)
        open_ = np.flatnonzero(np.isnan(total) & (sure(most, everyone) >= 0))
        total[open_] = fewest_rows(lambda x, which: sure(x, open_[which]), rows[open_], most[open_])
        needed[asked] = np.maximum(total - rows, 1.0)
        return needed

    def passes_with(self, _: Any, by: str | None, limit: Floats, asked: NDArray[np.bool_]) -> Floats:
        return np.full(asked.shape, np.nan)

    def _tests(self, about: Measure, by: str | None, limit: Any) -> tuple[Floats, Floats]:
        found = self._of(about, by)
        if self._no_bound:
            none = np.full(found.n.shape, np.nan)
            return none, none
        return mean_tests(found, limit, self._largest)

    def _of(self, about: Measure, by: str | None) -> Moments:
        key = (about.name, by or OVERALL)
        if key not in self._moments:
            cells = self._measured.cells(by)
            if cells is None:
                raise KeyError(by)
            self._moments[key] = _moments(self._scores[by or OVERALL], cells, 0 if about.name == MEAN_LOSS else 1)
        return self._moments[key]


def _moments(scored: ScoredCells, cells: Cells, side: int) -> Moments:
    """Those of one side (0: losses, 1: gains), in the order of the cells; a value without scores has none."""
    at = {(type(value), value): place for place, value in enumerate(scored.values)}
    places = [at.get((type(value), value)) for value in cells.values]

    def column(of: NDArray[Any], unit: float) -> Floats:
        return np.asarray([0.0 if i is None else float(of[i]) * unit for i in places], dtype=np.float64)

    return Moments(
        column(scored.columns[:, side + 1], 1.0),
        column(scored.sums[:, side], UNIT),
        column(scored.squares[:, side], UNIT * UNIT),
        column(scored.largest[:, side], 1.0),
    )
