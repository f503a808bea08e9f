"""Rule by cell to finding. Sees counts and rules, never a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gate.core.bounds import Floats
from gate.core.flips import OVERALL, Cells, FlipCounts, FlipTable
from gate.core.judgement import Cell, DecideOn, Finding, Severity, Status, statuses
from gate.core.outcomes import Value
from gate.core.rates import Estimate, Rate
from gate.core.sample_size import rows_needed
from gate.errors import Problem, UsageError, did_you_mean
from gate.policy.rules import Rule


class Measured:
    """The rates of one flip table with their bounds, each computed once however many rules ask for it."""

    def __init__(self, table: FlipTable, confidence: float) -> None:
        self.table = table
        self.confidence = confidence
        self._known: dict[tuple[str, str | None, str], Estimate] = {}
        row = [table.overall.both_right, table.overall.negative, table.overall.positive]
        row += [table.overall.wrong_same, table.overall.wrong_different]
        self._overall = Cells((None,), np.asarray([row], dtype=np.int64))

    def cells(self, by: str | None) -> Cells | None:
        """The cells of a dimension, ``overall`` or None being the one cell of all rows; None if there is no such."""
        return self._overall if by in (None, OVERALL) else self.table.cells.get(by or "")

    def estimate(self, rate: Rate, by: str | None) -> Estimate:
        """The rate in each cell of the dimension, in the order of its cells. KeyError if there is no such dimension."""
        key = (rate.name, rate.of, by or OVERALL)
        if key not in self._known:
            cells = self.cells(by)
            if cells is None:
                raise KeyError(by)
            self._known[key] = rate.estimate(cells.counts, self.confidence)
        return self._known[key]


def judge(rules: Sequence[Rule], measured: Measured) -> tuple[Finding, ...]:
    """What every rule finds in every cell, in the order of the rules and of the cells; no rules give no findings.

    UsageError, with the policy's file and line, for a rule that matches no cell or an override whose cell does not exist;
    all such mistakes are reported together.
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
    status = statuses(rule.decide_on, rule.at_most, found.estimate, found.lower, found.upper, limits.limit)
    short = np.zeros(len(cells), dtype=np.bool_) if rule.at_least_n is None else rows < rule.at_least_n
    with np.errstate(invalid="ignore"):
        near = deciding > limits.warn if rule.at_most else deciding < limits.warn
        margin = limits.limit - deciding if rule.at_most else deciding - limits.limit
    status[near & (status == Status.PASS)] = Status.WARN
    status[short & (status != Status.FAIL)] = Status.INCONCLUSIVE
    needed = _needed(rule, counts, limits.limit, status == Status.INCONCLUSIVE, short, measured.confidence)
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
    if rule.at_least_n is not None:
        lacking = (rule.at_least_n - np.asarray(counts.n)).astype(np.float64)
        needed = np.where(open_ & short, np.fmax(needed, lacking), needed)
    return needed


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
