"""Every rate that the gate knows: its formula from the five counts, its source, and the bound that fits it.

The table ``RATES`` is the one home of these formulas; the documentation's table is generated from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from gate.core import bounds, paired
from gate.core.bounds import Bounds, Floats
from gate.core.flips import FlipCounts

CANDIDATE = "candidate"
INCUMBENT = "incumbent"
CLOPPER_PEARSON = "Clopper-Pearson"


@dataclass(frozen=True)
class Estimate:
    """A rate of one cell or, with arrays in every field, of many.

    ``estimate`` is NaN and ``n`` is 0 where the rate is undefined. ``lower`` and ``upper`` are one-sided bounds, each
    at ``confidence``; ``numerator`` and ``n`` are counts.
    """

    estimate: Floats
    lower: Floats
    upper: Floats
    numerator: Floats
    n: Floats
    confidence: float
    method: str


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

    def estimate(self, counts: FlipCounts, confidence: float) -> Estimate:
        """The rate with its bounds, of one cell or of many (counts with arrays).

        >>> found = rate("nfr").estimate(FlipCounts(both_right=290, negative=10), 0.95)
        >>> float(found.estimate.round(4)), float(found.upper.round(4))
        (0.0333, 0.0559)
        """
        numerator = np.asarray(self.numerator(counts), dtype=np.float64)
        n = np.asarray(self.n(counts), dtype=np.float64)
        found = self.bounds(counts, confidence)
        return Estimate(self.value(counts), found.lower, found.upper, numerator, n, confidence, self.method)

    def value(self, counts: FlipCounts) -> Floats:
        """The rate itself; NaN where it is undefined (a denominator of 0)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            top = np.asarray(self.numerator(counts), dtype=np.float64)
            bottom = np.asarray(self.n(counts), dtype=np.float64)
            return np.asarray(np.where(bottom > 0, top / bottom, np.nan))

    def bounds(self, counts: FlipCounts, confidence: float) -> Bounds:
        """The one-sided bounds, each at ``confidence``; the ends of the range where nothing is known."""
        return bounds.clopper_pearson(self.numerator(counts), self.n(counts), confidence)

    def proven(self, counts: FlipCounts, limit: Any, at_most: bool, confidence: float) -> tuple[Any, Any]:
        """Whether each cell is proven to keep its limit, and whether proven to break it, by tails rather than bounds.

        The same answer as holding the bounds against the limit, and much cheaper where a limit is asked about often.
        """
        alpha = 1.0 - confidence
        below, above = self.better_than(counts, limit), self.worse_than(counts, limit)
        # the ends of the range need no proof: no rate lies beyond them
        if at_most:
            return (below <= alpha) | (np.asarray(limit) >= self.high), above < alpha
        return (above <= alpha) | (np.asarray(limit) <= self.low), below < alpha

    def worse_than(self, counts: FlipCounts, limit: Any) -> Floats:
        """One-sided p-value against "the rate is at most ``limit``"; small means proven above. NaN: no such test."""
        return bounds.binomial_tail(self.numerator(counts), self.n(counts), limit)[1]

    def better_than(self, counts: FlipCounts, limit: Any) -> Floats:
        """One-sided p-value against "the rate is at least ``limit``"; small means proven below. NaN: no such test."""
        return bounds.binomial_tail(self.numerator(counts), self.n(counts), limit)[0]


class _ErrorRateChange(Rate):
    def bounds(self, counts: FlipCounts, confidence: float) -> Bounds:
        return paired.tango(counts.negative, counts.positive, counts.n, confidence)

    def worse_than(self, counts: FlipCounts, limit: Any) -> Floats:
        score = paired.tango_score(counts.negative, counts.positive, counts.n, limit)
        return np.asarray(special.ndtr(-score))

    def better_than(self, counts: FlipCounts, limit: Any) -> Floats:
        score = paired.tango_score(counts.negative, counts.positive, counts.n, limit)
        return np.asarray(special.ndtr(score))


class _RelativeNFR(Rate):
    def value(self, counts: FlipCounts) -> Floats:
        right = np.asarray(_incumbent_right(counts), dtype=np.float64)
        wrong = np.asarray(_candidate_wrong(counts), dtype=np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            top = np.asarray(counts.negative, dtype=np.float64) * np.asarray(counts.n, dtype=np.float64)
            return np.asarray(np.where(right * wrong > 0, top / (right * wrong), np.nan))

    def bounds(self, counts: FlipCounts, confidence: float) -> Bounds:
        return bounds.ratio_of_proportions(
            counts.negative, _candidate_wrong(counts), _incumbent_right(counts), counts.n, confidence
        )

    def proven(self, counts: FlipCounts, limit: Any, at_most: bool, confidence: float) -> tuple[Any, Any]:
        found = self.bounds(counts, confidence)
        if at_most:
            return found.upper <= limit, found.lower > limit
        return found.lower >= limit, found.upper < limit

    def worse_than(self, counts: FlipCounts, limit: Any) -> Floats:
        return np.full(np.shape(counts.negative), np.nan)

    better_than = worse_than


def _incumbent_right(counts: FlipCounts) -> Any:
    return counts.both_right + counts.negative


def _incumbent_wrong(counts: FlipCounts) -> Any:
    return counts.positive + counts.both_wrong


def _candidate_wrong(counts: FlipCounts) -> Any:
    return counts.negative + counts.both_wrong


def _all(counts: FlipCounts) -> Any:
    return counts.n


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
    _RelativeNFR(
        "relative_nfr", "relative NFR",
        "NFR over what two independent models of these error rates would give; 1 is no better than chance",
        "nfr / ((1 - error_rate of incumbent) * error_rate of candidate)", "Yan et al., CVPR 2021, eq. 11",
        lambda c: c.negative, _candidate_wrong, method="ratio of Clopper-Pearson bounds, half the error each",
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
