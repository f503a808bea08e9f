"""What a rule takes: how many rows settle its limit, with how many flips it still passes, from how many it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

from gate.core.bounds import clopper_pearson
from gate.core.counts import FlipCounts
from gate.core.judgement import DecideOn, Source
from gate.core.measures import Measure
from gate.core.outcomes import Value
from gate.core.rates import Rate
from gate.core.sample_size import rows_for_power, rows_to_certify
from gate.policy.rules import Cost, Rule

FLIPS = (0, 1, 2, 5)
_MOST_ROWS = 10**9
_MOST_POWER_ROWS = 4_000_000  # beyond that the answer is "more data than anybody has", and its saw takes long


@dataclass(frozen=True)
class Power:
    """How many rows pass with probability ``power`` if the rate truly is ``rate``: from ``first`` on now and then, from
    ``always`` on at any number of rows, since an exact bound is a saw."""

    power: float
    rate: float
    first: int
    always: int


@dataclass(frozen=True)
class Need:
    """What one limit of a rule takes.

    ``cell`` is that of an override, where ``of_cell``; ``percent`` says that the limit is written with a ``%``.
    ``rows`` says for each of ``FLIPS`` how many rows prove the limit if so many flips are seen (misses, for a limit
    from below); None where no number does, or where it depends on more than flips. ``power`` is None for the same
    reasons.
    """

    rule: str
    by: str | None
    of_cell: bool
    cell: Value
    limit: float
    percent: bool
    at_most: bool
    decide_on: DecideOn
    source: Source
    rows: tuple[int | None, ...]
    power: Power | None


def needs(rule: Rule | Cost, confidence: float, power: float = 0.8) -> Iterator[Need]:
    """What each limit of a rule takes, that of the rule first, then those of its overrides.

    ``confidence`` is that of each bound. Under ``estimate`` and ``harm`` the rows are those that would prove the limit,
    though the rule does not ask for it.

    >>> from gate.policy.load import parse_policy
    >>> text = "{version: 1, name: x, rules: [{id: few, rate: nfr, at_most: 1%}]}"
    >>> [need] = needs(parse_policy(text).rules[0], 0.95)
    >>> need.rows, need.power.first
    ((299, 473, 628, 1049), 1941)
    """
    if isinstance(rule, Cost):
        limit = rule.threshold.limit
        rows = tuple(_at_least(rule.at_least_n or 1, _rows_of_cost(rule, flips, confidence)) for flips in FLIPS)
        yield Need(rule.id, None, False, None, limit, False, True, rule.decide_on, rule.source, rows, None)
        return
    limits: list[tuple[bool, Value, float, Source]] = [(False, None, rule.threshold.limit, rule.source)]
    limits += [(True, over.cell, over.threshold.limit, over.source) for over in rule.overrides]
    for of_cell, cell, limit, source in limits:
        least = rule.fewest_units or 1
        rows = tuple(_at_least(least, rows_that_prove(rule.rate, limit, rule.at_most, k, confidence)) for k in FLIPS)
        found = power_at(rule.rate, limit, rule.at_most, None, power, confidence)
        if found is not None:
            found = Power(power, found.rate, max(found.first, least), max(found.always, least))
        yield Need(
            rule=rule.id,
            by=rule.by,
            of_cell=of_cell,
            cell=cell,
            limit=limit,
            percent=rule.rate.percent,
            at_most=rule.at_most,
            decide_on=rule.decide_on,
            source=source,
            rows=rows,
            power=found,
        )


def rows_that_prove(of: Rate | Measure, limit: float, at_most: bool, flips: int, confidence: float) -> int | None:
    """The fewest rows that prove a limit if ``flips`` of them count against it, and none in its favour.

    Rows are those that the rate divides by. None where no number of rows does, or where it depends on more than flips.

    >>> from gate.core.rates import rate
    >>> rows_that_prove(rate("nfr"), 0.01, True, 0, 0.95), rows_that_prove(rate("btc"), 0.99, False, 0, 0.95)
    (299, 299)
    """
    if isinstance(of, Rate) and of.share:
        room = limit if at_most else 1.0 - limit
        if room >= 1.0:
            return max(flips, 1)
        # 1 - 0.99 is a hair more than 0.01, which may be a row less than a limit of 1 % takes
        return rows_to_certify(float(f"{room:.12g}"), flips, confidence) if room > 0.0 else None
    if isinstance(of, Rate) and of.name == "error_rate_change" and at_most and limit > 0.0:

        def holds(n: int) -> bool:
            counts = FlipCounts(both_right=np.asarray([n - flips]), negative=np.asarray([flips]))
            return bool(of.proven(counts, np.asarray([limit]), True, confidence)[0][0])

        return _fewest(holds, max(flips, 1))
    return None


def fewest_rows(of: Rate, limit: float, at_most: bool, proven: bool, confidence: float) -> int | None:
    """The fewest rows with which a limit on the relative NFR can be proven kept, or else ``proven`` broken, whatever
    the models answer; None where no number of rows will do.

    How many errors the two models make is what it depends on most: all numbers of them are gone through.

    >>> from gate.core.rates import rate
    >>> fewest_rows(rate("relative_nfr"), 0.5, True, True, 0.95)
    39
    """
    kept = at_most == proven  # whether it is to be shown below the limit

    def holds(n: int) -> bool:
        some = np.unique(np.r_[np.arange(min(n, 200) + 1), np.geomspace(1, n, 800).astype(np.int64)])
        rest, none = n - some, np.zeros_like(some)
        # below: no flip, the errors being shared; above: all errors of the candidate new, the incumbent's all mended
        counts = FlipCounts(rest, none, none, some, none) if kept else FlipCounts(none, some, rest, none, none)
        at = np.full(some.shape, limit)
        shown, broken = of.proven(counts, at, at_most, confidence)
        return bool((shown if proven else broken).any())

    return _fewest(holds, 1)


def power_at(
    of: Rate | Measure, limit: float, at_most: bool, expected: float | None, power: float, confidence: float
) -> Power | None:
    """How many rows pass with probability ``power`` if the rate is ``expected``, or lies half way to its limit if None.

    None where the rate is no plain share, where it could not be shown, and where it would take millions of rows.
    """
    if not (isinstance(of, Rate) and of.share):
        return None
    room = float(f"{limit if at_most else 1.0 - limit:.12g}")
    if not 0.0 < room < 1.0:
        return None
    misses = room / 2 if expected is None else expected if at_most else 1.0 - expected
    if not 0.0 <= misses < room or 40.0 * room / (room - misses) ** 2 > _MOST_POWER_ROWS:
        return None
    first, always = rows_for_power(room, misses, power, confidence)
    return Power(power, misses if at_most else 1.0 - misses, first, always)


def refused_from(of: Rate | Measure, limit: float, at_most: bool, rows: int, confidence: float) -> int | None:
    """The fewest flips (misses, for a limit from below) among ``rows`` that prove a limit broken; None if none do.

    For plain shares, None for others.

    >>> from gate.core.rates import rate
    >>> refused_from(rate("nfr"), 0.03, True, 100, 0.95)
    7
    """
    if not (isinstance(of, Rate) and of.share):
        return None
    room = limit if at_most else 1.0 - limit
    flips = np.arange(1, rows + 1, dtype=np.float64)
    broken = special.bdtrc(flips - 1, rows, room) < 1.0 - confidence if room < 1.0 else np.zeros(rows, dtype=np.bool_)
    return int(np.argmax(broken)) + 1 if broken.any() else None


def _at_least(least: int, rows: int | None) -> int | None:
    return None if rows is None else max(rows, least)


def _fewest(holds: Callable[[int], bool], start: int) -> int | None:
    """The fewest rows, from ``start`` on, for which ``holds``; it must hold for ever after. None beyond a billion."""
    short, enough = start - 1, start
    while not holds(enough):
        short, enough = enough, enough * 2
        if enough > _MOST_ROWS:
            return None
    while enough - short > 1:
        middle = (enough + short) // 2
        short, enough = (short, middle) if holds(middle) else (middle, enough)
    return enough


def _rows_of_cost(rule: Cost, flips: int, confidence: float) -> int | None:
    """The fewest rows that prove the cost within its limit if ``flips`` of the dearest kind are seen, and no others."""
    each = 1.0 - (1.0 - confidence) / (len(rule.negative) + len(rule.positive))
    dearest_first = sorted((price.amount for price in rule.negative), reverse=True)
    seen = np.asarray([float(flips), *[0.0] * (len(dearest_first) - 1)])

    def holds(n: int) -> bool:
        upper = clopper_pearson(seen, float(n), each).upper
        return bool(np.dot(dearest_first, upper) * rule.per <= rule.threshold.limit)

    return _fewest(holds, max(flips, 1))
