"""The rules that are no rate in a cell: golden rows, of which none may flip, and what the flips cost."""

from __future__ import annotations

from math import isfinite

import numpy as np

from gate.core.bounds import Floats, clopper_pearson
from gate.core.flips import OVERALL
from gate.core.judgement import Cell, DecideOn, Finding, Severity, Status, statuses
from gate.core.measured import Measured
from gate.core.measures import NET_COST
from gate.core.outcomes import Value
from gate.core.rates import rate
from gate.policy.rules import Cost, FlipPrice, Golden

_MOST_ROWS = 10**9


def golden_finding(rule: Golden, measured: Measured) -> Finding:
    """Whether any golden row is a negative flip: counted, not estimated. A golden set without rows is inconclusive."""
    cells = measured.cells(rule.by)
    counts = cells.at(0) if cells is not None and len(cells) else None
    flips, n = (0, 0) if counts is None else (int(counts.negative), int(counts.n))
    status = Status.INCONCLUSIVE if n == 0 else Status.FAIL if flips else Status.PASS
    share = float(measured.value(rate("nfr"), rule.by)[0]) if n else None
    return Finding(
        rule=rule.id,
        rate="nfr",
        of=None,
        cell=Cell(rule.by, True),
        severity=rule.severity,
        decide_on=DecideOn.ESTIMATE,
        status=_capped(status, rule.severity),
        estimate=share,
        bound=share,
        side="estimate",
        at_most=True,
        limit=0.0,
        margin=None if share is None else 0.0 - share,
        n=n,
        numerator=flips,
        p_value=None,
        rows_needed=None,
        passes_with=0 if flips else None,
        because=rule.because,
        note="none of these rows may be a negative flip",
        source=rule.source,
    )


def cost_finding(rule: Cost, measured: Measured) -> Finding:
    """The net cost of the flips per so many rows, with bounds that know of flips that were not seen.

    Each kind of flip is a share of all rows with an exact bound of its own, the error split over the kinds
    (Bonferroni); the bound of the sum is the sum of the bounds. No rows are inconclusive, and so are fewer than
    ``at_least_n``, unless the cost is proven too high.
    """
    n = int(measured.table.overall.n)
    kinds = [*((price, 1.0) for price in rule.negative), *((price, -1.0) for price in rule.positive)]
    seen = np.asarray([_count(price, sign > 0, measured) for price, sign in kinds], dtype=np.float64)
    each = 1.0 - (1.0 - measured.confidence) / len(kinds)
    worth = np.asarray([sign * price.amount for price, sign in kinds]) * rule.per
    estimate = np.asarray([np.dot(worth, seen) / n if n else np.nan])
    lower, upper = (np.asarray([end]) for end in _bounds(worth, seen, n, each))
    limit = np.asarray([rule.threshold.limit])
    status: Status = statuses(rule.decide_on, True, estimate, lower, upper, limit, np.asarray([n]))[0]
    failed = status is Status.FAIL
    short = rule.at_least_n is not None and n < rule.at_least_n
    if rule.decide_on is DecideOn.ESTIMATE:
        bound, side = float(estimate[0]), "estimate"
    else:
        bound, side = (float(lower[0]), "lower") if failed else (float(upper[0]), "upper")
    if status is Status.PASS and rule.threshold.warn is not None and bound > rule.threshold.warn:
        status = Status.WARN
    if short and not failed:
        status = Status.INCONCLUSIVE
    return Finding(
        rule=rule.id,
        rate=NET_COST,
        of=None,
        cell=Cell(OVERALL),
        severity=rule.severity,
        decide_on=rule.decide_on,
        status=_capped(status, rule.severity),
        estimate=_number(float(estimate[0])),
        bound=_number(bound),
        side=side,
        at_most=True,
        limit=rule.threshold.limit,
        margin=_number(rule.threshold.limit - bound),
        n=n,
        numerator=int(seen.sum()),
        p_value=None,
        rows_needed=_needed(rule, worth, seen, n, each) if status is Status.INCONCLUSIVE else None,
        passes_with=None,
        because=rule.because,
        note=f"{n} rows, the rule asks for {rule.at_least_n}"
        if short
        else f"for {rule.per:,} rows; each of {len(kinds)} kinds of flips bounded on its own",
        source=rule.source,
    )


def _bounds(worth: Floats, seen: Floats, n: float, each: float) -> tuple[float, float]:
    found = clopper_pearson(seen, float(n), each)
    lower = float(np.dot(worth, np.where(worth > 0, found.lower, found.upper)))
    return lower, float(np.dot(worth, np.where(worth > 0, found.upper, found.lower)))


def _needed(rule: Cost, worth: Floats, seen: Floats, n: int, each: float) -> int | None:
    """How many rows more would settle it, were the flips seen to come as often; None where none would."""
    lacking = max((rule.at_least_n or 0) - n, 1)
    if rule.decide_on is not DecideOn.PROOF:
        return lacking  # nothing is lacking but the rows that the rule asks for
    limit, start = rule.threshold.limit, max(n, 1)

    def settled(rows: int) -> bool:
        lower, upper = _bounds(worth, seen * (rows / start), rows, each)
        return upper <= limit or lower > limit

    short, enough = n, start
    while not settled(enough):
        short, enough = enough, enough * 2
        if enough > _MOST_ROWS:
            return None
    while enough - short > 1:
        middle = (enough + short) // 2
        short, enough = (short, middle) if settled(middle) else (middle, enough)
    return max(enough - n, lacking)


def _count(price: FlipPrice, negative: bool, measured: Measured) -> int:
    """How many rows flipped in this way: a negative flip was right before, a positive one is right now."""
    rows = 0
    for (label, incumbent, candidate), number in measured.table.matrix.items():
        right, wrong = (incumbent, candidate) if negative else (candidate, incumbent)
        if _same(label, price.label) and _same(right, price.label) and _same(wrong, price.output):
            rows += number
    return rows


def _same(one: Value, other: Value) -> bool:
    return type(one) is type(other) and one == other


def _capped(status: Status, severity: Severity) -> Status:
    warns = severity is Severity.WARN and status in (Status.FAIL, Status.INCONCLUSIVE)
    return Status.WARN if warns else status


def _number(number: float) -> float | None:
    return number if isfinite(number) else None
