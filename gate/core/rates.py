"""Every rate that the gate knows: its formula from the five counts, its source, and the bound that fits it.

The table ``RATES`` is the one home of these formulas; the documentation's table is generated from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy import special

from gate.core import bounds, paired
from gate.core.bounds import Bounds, Floats
from gate.core.counts import EffectiveCounts, FlipCounts

CANDIDATE = "candidate"
INCUMBENT = "incumbent"
CLOPPER_PEARSON = "Clopper-Pearson"
RATIO = "ratio of Clopper-Pearson bounds, half the error each"


@dataclass(frozen=True)
class Estimate:
    """A rate of one cell or, with arrays in every field, of many.

    ``estimate`` is NaN and ``n`` is 0 where the rate is undefined. ``lower`` and ``upper`` are one-sided bounds, each
    at ``confidence``; ``numerator`` and ``n`` are counts of rows, ``effective_n`` how many independent rows of equal
    weight those ``n`` are worth (None: as many).
    """

    estimate: Floats
    lower: Floats
    upper: Floats
    numerator: Floats
    n: Floats
    confidence: float
    method: str
    effective_n: Floats | None = None


class Share(NamedTuple):
    """A quotient of counts. ``squares`` counts the rows by the square of what each adds to the numerator.

    That is the numerator itself, but where rows add -1, 0 or 1: the change of error rate. ``also`` are shares that make
    up such a numerator: if few rows are known of one of them, little is known of the whole.
    """

    numerator: Callable[[FlipCounts], Any]
    n: Callable[[FlipCounts], Any]
    squares: Callable[[FlipCounts], Any]
    also: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Rate:
    """One rate: what it means, how it follows from the counts, and how sure it is.

    ``numerator`` and ``n`` map counts to counts; the estimate is their quotient, but for ratios of rates, which bring
    their own ``value``. ``percent`` says that a limit on it carries a ``%`` sign (else it is a bare ratio). ``of`` is
    set where the rate is that of one model alone, so that it can be judged without an incumbent. ``low`` and ``high``
    are the ends of its range; ``harmful`` says whether more of it is worse.
    """

    name: str
    title: str
    meaning: str
    formula: str
    source: str
    numerator: Callable[[FlipCounts], Any]
    n: Callable[[FlipCounts], Any]
    method: str = CLOPPER_PEARSON
    percent: bool = True
    of: str | None = None
    low: float = 0.0
    high: float = 1.0
    harmful: bool = True

    @property
    def share(self) -> bool:
        return self.method == CLOPPER_PEARSON

    @property
    def parts(self) -> tuple[Share, ...]:
        """The quotients of counts that the rate is made of: itself, or where it divides two shares those two."""
        return (Share(self.numerator, self.n, self.numerator),)

    def estimate(self, counts: FlipCounts, confidence: float, found: Bounds | None = None) -> Estimate:
        """The rate with its bounds, of one cell or of many (counts with arrays); ``found`` are the bounds, if known.

        >>> found = rate("nfr").estimate(FlipCounts(both_right=290, negative=10), 0.95)
        >>> float(found.estimate.round(4)), float(found.upper.round(4))
        (0.0333, 0.0559)
        """
        numerator = np.asarray(self.numerator(counts), dtype=np.float64)
        n = np.asarray(self.n(counts), dtype=np.float64)
        found = self.bounds(counts, confidence) if found is None else found
        return Estimate(self.value(counts), found.lower, found.upper, numerator, n, confidence, self.method)

    def value(self, counts: FlipCounts) -> Floats:
        """The rate itself; NaN where it is undefined (a denominator of 0)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            top = np.asarray(self.numerator(counts), dtype=np.float64)
            bottom = np.asarray(self.n(counts), dtype=np.float64)
            return np.asarray(np.where(bottom > 0, top / bottom, np.nan))

    def bounds(self, counts: FlipCounts, confidence: float) -> Bounds:
        """The one-sided bounds, each at ``confidence``; the ends of the range where nothing is known."""
        return bounds.clopper_pearson(self.numerator(counts), self.n(counts), confidence, _one(counts))

    def proven(self, counts: FlipCounts, limit: Any, at_most: bool, confidence: float) -> tuple[Any, Any]:
        """Whether each cell is proven to keep its limit, and whether proven to break it, by tails rather than bounds.

        The same answer as holding the bounds against the limit, and much cheaper where a limit is asked about often.
        """
        alpha = 1.0 - confidence
        below, above = self._tails(counts, limit, alpha)
        # the ends of the range need no proof: no rate lies beyond them
        if at_most:
            return (below <= alpha) | (np.asarray(limit) >= self.high), above < alpha
        return (above <= alpha) | (np.asarray(limit) <= self.low), below < alpha

    def _tails(self, counts: FlipCounts, limit: Any, alpha: float) -> tuple[Floats, Floats]:
        """Both p-values, exact only as far as it matters to a comparison with ``alpha``."""
        return bounds.binomial_tail_about(self.numerator(counts), self.n(counts), limit, alpha, _one(counts))

    def worse_than(self, counts: FlipCounts, limit: Any) -> Floats:
        """One-sided p-value against "the rate is at most ``limit``"; small means proven above."""
        return bounds.upper_tail(self.numerator(counts), self.n(counts), limit, _one(counts))

    def better_than(self, counts: FlipCounts, limit: Any) -> Floats:
        """One-sided p-value against "the rate is at least ``limit``"; small means proven below."""
        return bounds.lower_tail(self.numerator(counts), self.n(counts), limit, _one(counts))

    def sureness(self, counts: FlipCounts, limit: Any, below: bool, confidence: float) -> Floats:
        """0 or more where the rate is proven ``below`` the limit (or above it): a number nearly linear in the root of
        the rows, for asking how many of them it takes."""
        p = self.better_than(counts, limit) if below else self.worse_than(counts, limit)
        return np.asarray(special.ndtri(1.0 - confidence) - special.ndtri(np.clip(p, 1e-250, 0.99)))


class _ErrorRateChange(Rate):
    @property
    def parts(self) -> tuple[Share, ...]:
        sides = (Share(_negative, _all, _negative), Share(_positive, _all, _positive))
        return (Share(self.numerator, self.n, lambda c: c.negative + c.positive, sides),)

    def bounds(self, counts: FlipCounts, confidence: float) -> Bounds:
        return paired.tango(counts.negative, counts.positive, counts.n, confidence)

    def _tails(self, counts: FlipCounts, limit: Any, alpha: float) -> tuple[Floats, Floats]:
        score = paired.tango_score(counts.negative, counts.positive, counts.n, limit)
        return np.asarray(special.ndtr(score)), np.asarray(special.ndtr(-score))

    def worse_than(self, counts: FlipCounts, limit: Any) -> Floats:
        score = paired.tango_score(counts.negative, counts.positive, counts.n, limit)
        return np.asarray(special.ndtr(-score))

    def better_than(self, counts: FlipCounts, limit: Any) -> Floats:
        score = paired.tango_score(counts.negative, counts.positive, counts.n, limit)
        return np.asarray(special.ndtr(score))


class _Ratio(Rate):
    """One share of counts over another."""

    _top: ClassVar[Share]
    _bottom: ClassVar[Share]

    @property
    def parts(self) -> tuple[Share, ...]:
        return self._top, self._bottom

    def value(self, counts: FlipCounts) -> Floats:
        top, n, bottom, m = (
            np.asarray(part(counts), dtype=np.float64)
            for part in (self._top.numerator, self._top.n, self._bottom.numerator, self._bottom.n)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.where(n * bottom > 0, (top * m) / (n * bottom), np.nan))

    def bounds(self, counts: FlipCounts, confidence: float) -> Bounds:
        hits, n, bottom_hits, bottom_n, one, bottom_one = self._two(counts)
        return bounds.ratio_of_proportions(hits, n, bottom_hits, bottom_n, confidence, one, bottom_one)

    def proven(self, counts: FlipCounts, limit: Any, at_most: bool, confidence: float) -> tuple[Any, Any]:
        # What the dividend alone, held against the limit times the divisor seen, does not prove the ratio does not
        # prove either: the divisor's own bounds lie on both sides of it. Few cells are left to compute bounds of.
        half = (1.0 - confidence) / 2.0
        hits, n, bottom_hits, bottom_n, one, bottom_one = np.broadcast_arrays(
            *(np.asarray(part, dtype=np.float64) for part in self._two(counts))
        )
        top = np.asarray(limit) * np.divide(bottom_hits, bottom_n, out=np.ones(bottom_n.shape), where=bottom_n > 0)
        below, above = bounds.binomial_tail_about(hits, n, top, half * (1 + 1e-6), one)
        open_ = (below <= half * (1 + 1e-6)) | (above <= half * (1 + 1e-6)) | (n <= 0) | (bottom_n <= 0)
        kept, broken = np.zeros(open_.shape, dtype=np.bool_), np.zeros(open_.shape, dtype=np.bool_)
        if open_.any():
            shape = open_.shape
            some = [np.broadcast_to(part, shape)[open_] for part in (hits, n, bottom_hits, bottom_n)]
            ones = [np.broadcast_to(part, shape)[open_] for part in (one, bottom_one)]
            found = bounds.ratio_of_proportions(some[0], some[1], some[2], some[3], confidence, *ones)
            at = np.broadcast_to(np.asarray(limit), open_.shape)[open_]
            past = (found.upper <= at, found.lower > at) if at_most else (found.lower >= at, found.upper < at)
            kept[open_], broken[open_] = past
        return kept, broken

    def _two(self, counts: FlipCounts) -> tuple[Any, Any, Any, Any, Any, Any]:
        under = counts.divisor if isinstance(counts, EffectiveCounts) and counts.divisor is not None else counts
        top, bottom = self._top, self._bottom
        return (
            top.numerator(counts), top.n(counts), bottom.numerator(under), bottom.n(under), _one(counts), _one(under),
        )  # fmt: skip

    def worse_than(self, counts: FlipCounts, limit: Any) -> Floats:
        hits, n, bottom_hits, bottom_n, one, bottom_one = self._two(counts)
        return bounds.ratio_test(hits, n, bottom_hits, bottom_n, limit, False, one, bottom_one)

    def better_than(self, counts: FlipCounts, limit: Any) -> Floats:
        hits, n, bottom_hits, bottom_n, one, bottom_one = self._two(counts)
        return bounds.ratio_test(hits, n, bottom_hits, bottom_n, limit, True, one, bottom_one)

    def sureness(self, counts: FlipCounts, limit: Any, below: bool, confidence: float) -> Floats:
        found, value = self.bounds(counts, confidence), self.value(counts)  # bounds are cheaper than their tests here
        bound = found.upper if below else found.lower
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.nan_to_num((np.asarray(limit) - value) / (bound - value), nan=0.0) - 1.0)


def _one(counts: FlipCounts) -> Any:
    return counts.one if isinstance(counts, EffectiveCounts) else 1.0


def _negative(counts: FlipCounts) -> Any:
    return counts.negative


def _positive(counts: FlipCounts) -> Any:
    return counts.positive


def _incumbent_right(counts: FlipCounts) -> Any:
    return counts.both_right + counts.negative


def _incumbent_wrong(counts: FlipCounts) -> Any:
    return counts.positive + counts.both_wrong


def _candidate_wrong(counts: FlipCounts) -> Any:
    return counts.negative + counts.both_wrong


def _all(counts: FlipCounts) -> Any:
    return counts.n


class _RelativeNFR(_Ratio):
    _top = Share(_negative, _candidate_wrong, _negative)
    _bottom = Share(_incumbent_right, _all, _incumbent_right)


class _ErrorRateRatio(_Ratio):
    _top = Share(_candidate_wrong, _all, _candidate_wrong)
    _bottom = Share(_incumbent_wrong, _all, _incumbent_wrong)


_TABLE = (
    Rate(
        "error_rate", "error rate of the candidate", "the share of rows that the candidate gets wrong",
        "(negative + both_wrong) / n", "by definition", _candidate_wrong, _all, of=CANDIDATE,
    ),
    Rate(
        "error_rate", "error rate of the incumbent", "the share of rows that the incumbent gets wrong",
        "(positive + both_wrong) / n", "by definition", _incumbent_wrong, _all, of=INCUMBENT,
    ),
    _ErrorRateChange(
        "error_rate_change", "error rate change",
        "candidate minus incumbent error rate; below zero the candidate is better on average",
        "(negative - positive) / n", "NFR - PFR, by algebra; bounds: Tango, Statistics in Medicine 1998",
        lambda c: c.negative - c.positive, _all, method="Tango score", low=-1.0,
    ),
    Rate(
        "nfr", "negative flip rate (NFR)", "the share of all rows that the update breaks",
        "negative / n", "Yan et al., CVPR 2021, eq. 2", lambda c: c.negative, _all,
    ),
    Rate(
        "pfr", "positive flip rate (PFR)", "the share of all rows that the update mends",
        "positive / n", "Yan et al., CVPR 2021", lambda c: c.positive, _all, harmful=False,
    ),
    _ErrorRateRatio(
        "error_rate_ratio", "error rate ratio",
        "error rate of the candidate over that of the incumbent; below 1 the candidate is better on average",
        "error_rate of candidate / error_rate of incumbent", "by definition",
        _candidate_wrong, _all, method=RATIO, percent=False, high=float("inf"),
    ),
    _RelativeNFR(
        "relative_nfr", "relative NFR",
        "NFR over what two independent models of these error rates would give; 1 is no better than chance",
        "nfr / ((1 - error_rate of incumbent) * error_rate of candidate)", "Yan et al., CVPR 2021, eq. 11",
        lambda c: c.negative, _candidate_wrong, method=RATIO,
        percent=False, high=float("inf"),
    ),
    Rate(
        "nfi", "negative flip impact (NFI)", "the share of the candidate's errors that are new",
        "negative / (negative + both_wrong)", "Cai et al., NeurIPS 2022", lambda c: c.negative, _candidate_wrong,
    ),
    Rate(
        "btc", "backward trust compatibility (BTC)", "the share of the incumbent's right rows that stay right",
        "both_right / (both_right + negative)", "Bansal et al., AAAI 2019; Srivastava et al., KDD 2020",
        lambda c: c.both_right, _incumbent_right, percent=False, harmful=False,
    ),
    Rate(
        "bec", "backward error compatibility (BEC)", "the share of the candidate's errors that are not new",
        "both_wrong / (negative + both_wrong)", "Srivastava et al., KDD 2020",
        lambda c: c.both_wrong, _candidate_wrong, percent=False, harmful=False,
    ),
    Rate(
        "churn", "churn", "the share of rows on which the two outputs differ",
        "(negative + positive + wrong_different) / n", "Milani Fard et al., NeurIPS 2016",
        lambda c: c.negative + c.positive + c.wrong_different, _all,
    ),
    Rate(
        "wrong_to_different_wrong", "wrong to different wrong",
        "the share of rows that both get wrong, each in its own way",
        "wrong_different / n", "Echterhoff et al. (MUSCLE), 2024", lambda c: c.wrong_different, _all,
    ),
    Rate(
        "both_right", "both right", "the share of rows that both get right",
        "both_right / n", "by definition", lambda c: c.both_right, _all, harmful=False,
    ),
    Rate(
        "both_wrong", "both wrong", "the share of rows that both get wrong, alike or not",
        "both_wrong / n", "by definition", lambda c: c.both_wrong, _all,
    ),
)  # fmt: skip

RATES: dict[tuple[str, str | None], Rate] = {(rate.name, rate.of): rate for rate in _TABLE}
"""Rates by (name, whose): ``of`` is ``candidate`` or ``incumbent`` for ``error_rate``, None for all others."""

NAMES: tuple[str, ...] = tuple(dict.fromkeys(rate.name for rate in _TABLE))


def rate(name: str, of: str | None = None) -> Rate:
    """The rate called ``name``; ``error_rate`` is the candidate's unless ``of`` says ``incumbent``.

    Unknown names raise KeyError.

    >>> rate("error_rate").of
    'candidate'
    >>> rate("nfr").formula
    'negative / n'
    """
    if name == "error_rate":
        of = of or CANDIDATE
    return RATES[name, of]
