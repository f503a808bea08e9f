"""Rule by cell to finding. Sees counts and rules, never a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gate.core.bounds import Floats
from gate.core.flips import OVERALL, Cells, FlipCounts
from gate.core.judgement import Cell, DecideOn, Finding, Severity, Status, statuses
from gate.core.measured import Measured
from gate.core.outcomes import Value
from gate.core.rates import Estimate
from gate.core.sample_size import most_flips_allowed, rows_needed
from gate.errors import Problem, UsageError, did_you_mean
from gate.policy.rules import Rule


def judge(rules: Sequence[Rule], measured: Measured) -> tuple[Finding, ...]:
    """What every rule finds in every cell, in the order of the rules and of the cells; no rules give no findings.

    UsageError, with the policy's file and line, for a rule that matches no cell or an override whose cell does not
    exist; all such mistakes are reported together.
    """
    problems: list[Problem] = []
    findings: list[Finding] = []
    for rule in rules:
        cells = measured.cells(rule.by)
        mistakes = list(_mismatches(rule, cells))
        problems += mistakes
        if cells is not None and not mistakes:
            findings += _findings(rule, cells, measured)
    if problems:
        raise UsageError(problems=problems)
    return tuple(findings)


def _mismatches(rule: Rule, cells: Cells | None) -> list[Problem]:
    where = f"{rule.source.file}:{rule.source.line}"
    if cells is None or not len(cells):
        return [Problem(f"rule {rule.id!r} matches no cell: there is no {rule.by} in this held-out set", where)]
    values = {(type(value), value) for value in cells.values}
    return [
        Problem(
            f"rule {rule.id!r}: override for {over.cell!r}, which is no {rule.by} of this held-out set"
            + did_you_mean(over.cell, [repr(v) if type(v) is not type(over.cell) else v for v in cells.values]),
            f"{over.source.file}:{over.source.line}",
            hint="1 and '1' differ: quote the value if it is text",
        )
        for over in rule.overrides
        if (type(over.cell), over.cell) not in values
    ]


@dataclass(frozen=True)
class _Limits:
    limit: Floats
    warn: Floats


def _limits(rule: Rule, values: Sequence[Value]) -> _Limits:
    def or_nan(number: float | None) -> float:
        return float("nan") if number is None else number

    limit = np.full(len(values), rule.threshold.limit)
    warn = np.full(len(values), or_nan(rule.threshold.warn))
    if rule.overrides:
        position = {(type(value), value): i for i, value in enumerate(values)}
        for over in rule.overrides:
            at = position[type(over.cell), over.cell]
            limit[at], warn[at] = over.threshold.limit, or_nan(over.threshold.warn)
    return _Limits(limit, warn)


def _findings(rule: Rule, cells: Cells, measured: Measured) -> list[Finding]:
    counts = cells.counts
    found = measured.estimate(rule.rate, rule.by)
    limits = _limits(rule, cells.values)
    deciding, side = _deciding(rule, found)
    rows = np.asarray(counts.n)
    status = statuses(rule.decide_on, rule.at_most, found.estimate, found.lower, found.upper, limits.limit, rows)
    short = np.zeros(len(cells), dtype=np.bool_) if rule.at_least_n is None else rows < rule.at_least_n
    with np.errstate(invalid="ignore"):
        near = deciding > limits.warn if rule.at_most else deciding < limits.warn
        margin = limits.limit - deciding if rule.at_most else deciding - limits.limit
    status[near & (status == Status.PASS)] = Status.WARN
    status[short & (status != Status.FAIL)] = Status.INCONCLUSIVE
    needed = _needed(rule, counts, limits.limit, status == Status.INCONCLUSIVE, short, measured.confidence)
    allowed = _allowed(rule, found, limits.limit, status)
    p_values = _p_values(rule, counts, limits.limit)
    if rule.severity is Severity.WARN:
        status[(status == Status.FAIL) | (status == Status.INCONCLUSIVE)] = Status.WARN
    return [
        Finding(
            rule=rule.id,
            rate=rule.rate.name,
            of=rule.rate.of,
            cell=Cell(rule.by or OVERALL, value),
            severity=rule.severity,
            decide_on=rule.decide_on,
            status=status[i],
            estimate=_number(found.estimate[i]),
            bound=_number(deciding[i]),
            side=side,
            at_most=rule.at_most,
            limit=float(limits.limit[i]),
            margin=_number(margin[i]),
            n=int(found.n[i]),
            numerator=int(found.numerator[i]),
            p_value=_number(p_values[i]),
            rows_needed=None if np.isnan(needed[i]) else int(needed[i]),
            passes_with=None if np.isnan(allowed[i]) else int(allowed[i]),
            because=rule.because,
            note=f"{int(rows[i])} rows, the rule asks for {rule.at_least_n}" if short[i] else None,
            source=rule.source,
        )
        for i, value in enumerate(cells.values)
    ]


def _deciding(rule: Rule, found: Estimate) -> tuple[Floats, str]:
    """The number that is held against the limit: the unfavourable bound under proof, the other one under harm."""
    if rule.decide_on is DecideOn.ESTIMATE:
        return found.estimate, "estimate"
    if rule.at_most == (rule.decide_on is DecideOn.PROOF):
        return found.upper, "upper"
    return found.lower, "lower"


def _p_values(rule: Rule, counts: FlipCounts, limit: Floats) -> Floats:
    """Of the test that decides: under proof against "the limit is broken", under harm against "it is kept"."""
    if rule.decide_on is DecideOn.ESTIMATE:
        return np.full(limit.shape, np.nan)
    if rule.at_most == (rule.decide_on is DecideOn.PROOF):
        return rule.rate.better_than(counts, limit)
    return rule.rate.worse_than(counts, limit)


def _needed(
    rule: Rule, counts: FlipCounts, limit: Floats, open_: NDArray[np.bool_], short: NDArray[np.bool_], confidence: float
) -> Floats:
    needed = np.full(limit.shape, np.nan)
    if rule.decide_on is DecideOn.PROOF and open_.any():
        columns = (counts.both_right, counts.negative, counts.positive, counts.wrong_same, counts.wrong_different)
        some = FlipCounts(*(np.asarray(column)[open_] for column in columns))
        needed[open_] = rows_needed(rule.rate, some, limit[open_], rule.at_most, confidence)
    elif rule.decide_on is not DecideOn.PROOF:
        needed[open_ & short] = 1.0  # nothing is lacking but the rows that the rule asks for
    if rule.at_least_n is not None:
        lacking = (rule.at_least_n - np.asarray(counts.n)).astype(np.float64)
        needed = np.where(open_ & short, np.maximum(needed, lacking), needed)  # what nothing settles stays unsettled
    return needed


def _allowed(rule: Rule, found: Estimate, limit: Floats, status: NDArray[np.object_]) -> Floats:
    """The largest numerator that would have passed, for shares that must stay low and do not."""
    allowed = np.full(limit.shape, np.nan)
    asked = (status == Status.FAIL) | (status == Status.INCONCLUSIVE)
    if rule.at_most and rule.decide_on is DecideOn.PROOF and rule.rate.share and asked.any():
        most = most_flips_allowed(found.n[asked], limit[asked], found.confidence)
        allowed[asked] = np.where(most >= 0, most, np.nan)
    return allowed


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
