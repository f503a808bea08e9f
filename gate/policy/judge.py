"""Rule by cell to finding. Sees counts and rules, never a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate.core.bounds import Floats
from gate.core.flips import OVERALL, Cells
from gate.core.judgement import Cell, DecideOn, Finding, Findings, Part, Severity, Status, statuses_of
from gate.core.measured import Measured
from gate.core.outcomes import Value
from gate.core.rates import Estimate
from gate.errors import Problem, UsageError, did_you_mean
from gate.policy.rules import Rule


def judge(rules: Sequence[Rule], measured: Measured) -> Findings:
    """What every rule finds in every cell, in the order of the rules and of the cells; no rules give no findings.

    The statuses are decided at once, everything else about a finding is worked out when the findings are read.

    UsageError, with the policy's file and line, for a rule that matches no cell or an override whose cell does not
    exist; all such mistakes are reported together.
    """
    problems: list[Problem] = []
    parts: list[Part] = []
    for rule in rules:
        cells = measured.cells(rule.by)
        mistakes = list(_mismatches(rule, cells))
        problems += mistakes
        if cells is not None and not mistakes:
            parts.append(_part(rule, cells, measured))
    if problems:
        raise UsageError(problems=problems)
    return Findings(parts)


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


def _part(rule: Rule, cells: Cells, measured: Measured) -> Part:
    """The status of each cell; everything else is worked out when the findings are read."""
    limits = _limits(rule, cells.values)
    rows = measured.rows(rule.by)
    kept, broken = measured.proven(rule.rate, rule.by, limits.limit, rule.at_most)
    value = measured.value(rule.rate, rule.by)
    with np.errstate(invalid="ignore"):
        within = value <= limits.limit if rule.at_most else value >= limits.limit
    status = statuses_of(rule.decide_on, kept, broken, np.where(np.isnan(value), np.nan, within), rows)
    short = np.zeros(len(cells), dtype=np.bool_) if rule.at_least_n is None else rows < rule.at_least_n
    if not np.isnan(limits.warn).all():
        deciding, _ = _deciding(rule, measured.estimate(rule.rate, rule.by))
        with np.errstate(invalid="ignore"):
            near = deciding > limits.warn if rule.at_most else deciding < limits.warn
        status[near & (status == Status.PASS)] = Status.WARN
    status[short & (status != Status.FAIL)] = Status.INCONCLUSIVE
    found = status.copy()
    if rule.severity is Severity.WARN:
        status[(status == Status.FAIL) | (status == Status.INCONCLUSIVE)] = Status.WARN
    return Part(
        status, rule.severity, lambda: _findings(rule, cells.values, measured, limits.limit, rows, short, found, status)
    )


def _findings(
    rule: Rule,
    values: Sequence[Value],
    measured: Measured,
    limit: Floats,
    rows: NDArray[Any],
    short: NDArray[np.bool_],
    found: NDArray[np.object_],
    status: NDArray[np.object_],
) -> list[Finding]:
    """The findings of one rule, written out. ``found`` are the statuses before the rule's severity was looked at."""
    estimate = measured.estimate(rule.rate, rule.by)
    deciding, side = _deciding(rule, estimate)
    with np.errstate(invalid="ignore"):
        margin = limit - deciding if rule.at_most else deciding - limit
    open_ = found == Status.INCONCLUSIVE
    columns = (
        values,
        status.tolist(),
        _numbers(estimate.estimate),
        _numbers(deciding),
        limit.tolist(),
        _numbers(margin),
        estimate.n.tolist(),
        estimate.numerator.tolist(),
        _numbers(_p_values(rule, measured, limit)),
        _numbers(_needed(rule, measured, limit, open_, short)),
        _numbers(_allowed(rule, measured, limit, open_ | (found == Status.FAIL))),
        rows.tolist(),
        short.tolist(),
    )
    by = rule.by or OVERALL
    return [
        Finding(
            rule=rule.id,
            rate=rule.rate.name,
            of=rule.rate.of,
            cell=Cell(by, value),
            severity=rule.severity,
            decide_on=rule.decide_on,
            status=status_,
            estimate=value_,
            bound=bound,
            side=side,
            at_most=rule.at_most,
            limit=limit_,
            margin=margin_,
            n=int(n),
            numerator=int(numerator),
            p_value=p_value,
            rows_needed=None if needed is None else int(needed),
            passes_with=None if allowed is None else int(allowed),
            because=rule.because,
            note=f"{rows_} rows, the rule asks for {rule.at_least_n}" if short_ else None,
            source=rule.source,
        )
        for (
            value, status_, value_, bound, limit_, margin_, n, numerator, p_value, needed, allowed, rows_, short_,
        ) in zip(*columns, strict=True)
    ]  # fmt: skip


def _deciding(rule: Rule, found: Estimate) -> tuple[Floats, str]:
    """The number that is held against the limit: the unfavourable bound under proof, the other one under harm."""
    if rule.decide_on is DecideOn.ESTIMATE:
        return found.estimate, "estimate"
    if rule.at_most == (rule.decide_on is DecideOn.PROOF):
        return found.upper, "upper"
    return found.lower, "lower"


def _p_values(rule: Rule, measured: Measured, limit: Floats) -> Floats:
    """Of the test that decides: under proof against "the limit is broken", under harm against "it is kept"."""
    if rule.decide_on is DecideOn.ESTIMATE:
        return np.full(limit.shape, np.nan)
    if rule.at_most == (rule.decide_on is DecideOn.PROOF):
        return measured.p_better(rule.rate, rule.by, limit)
    return measured.p_worse(rule.rate, rule.by, limit)


def _needed(
    rule: Rule, measured: Measured, limit: Floats, open_: NDArray[np.bool_], short: NDArray[np.bool_]
) -> Floats:
    if rule.decide_on is DecideOn.PROOF:
        needed = measured.rows_needed(rule.rate, rule.by, limit, rule.at_most, open_)
    else:
        needed = np.where(open_ & short, 1.0, np.nan)  # nothing is lacking but the rows that the rule asks for
    if rule.at_least_n is not None:
        lacking = (rule.at_least_n - measured.rows(rule.by)).astype(np.float64)
        needed = np.where(open_ & short, np.maximum(needed, lacking), needed)  # what nothing settles stays unsettled
    return needed


def _allowed(rule: Rule, measured: Measured, limit: Floats, asked: NDArray[np.bool_]) -> Floats:
    """The largest numerator that would have passed, for shares that must stay low and do not."""
    if rule.at_most and rule.decide_on is DecideOn.PROOF:
        return measured.passes_with(rule.rate, rule.by, limit, asked)
    return np.full(limit.shape, np.nan)


def _numbers(column: Floats) -> list[float | None]:
    return [number if isfinite(number) else None for number in column.tolist()]
