"""Rule by cell to finding. Sees counts and rules, never a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gate.core.bounds import Floats
from gate.core.counts import Cells
from gate.core.excess import Excess
from gate.core.flips import BY_CLASS, BY_OUTPUT, OVERALL
from gate.core.judgement import Cell, DecideOn, Finding, Findings, Part, Severity, Status, statuses_of
from gate.core.measured import Measured
from gate.core.multiplicity import benjamini_hochberg, holm
from gate.core.outcomes import Value
from gate.core.rates import Estimate, Rate
from gate.decisions.record import Discovery
from gate.errors import Problem, UsageError, did_you_mean
from gate.policy.exact import cost_finding, golden_finding
from gate.policy.rules import AnyRule, Cost, Golden, Rule


class _Source(Protocol):
    """What a rule is judged on: :class:`Measured`, or :class:`Excess` where it is about the noise of retraining."""

    confidence: float

    def cells(self, by: str | None) -> Cells | None: ...
    def rows(self, by: str | None) -> NDArray[np.int64]: ...
    def estimate(self, rate: Any, by: str | None) -> Estimate: ...
    def value(self, rate: Any, by: str | None) -> Floats: ...
    def proven(self, rate: Any, by: str | None, limit: Any, at_most: bool) -> tuple[NDArray[Any], NDArray[Any]]: ...
    def p_better(self, rate: Any, by: str | None, limit: Any) -> Floats: ...
    def p_worse(self, rate: Any, by: str | None, limit: Any) -> Floats: ...
    def rows_needed(
        self, rate: Any, by: str | None, limit: Floats, at_most: bool, asked: NDArray[np.bool_]
    ) -> Floats: ...
    def passes_with(self, rate: Any, by: str | None, limit: Floats, asked: NDArray[np.bool_]) -> Floats: ...


Excesses = Mapping[str, Excess]
"""The measures over the noise of retraining, by name; empty where no retrained incumbents were given."""


def judge(rules: Sequence[AnyRule], measured: Measured, excesses: Excesses = MappingProxyType({})) -> Findings:
    """What every rule finds in every cell, in the order of the rules and of the cells; no rules give no findings.

    The statuses are decided at once, everything else about a finding is worked out when the findings are read.

    UsageError, with the policy's file and line, for a rule that matches no cell or an override whose cell does not
    exist; all such mistakes are reported together.
    """
    problems: list[Problem] = []
    parts: list[Part | Sequence[Finding]] = []
    for rule in rules:
        if isinstance(rule, Golden):
            parts.append([golden_finding(rule, measured)])
        elif isinstance(rule, Cost):
            unknown = list(_unpriced(rule, measured))
            problems += unknown
            if not unknown:
                parts.append([cost_finding(rule, measured)])
        else:
            source: _Source = measured if isinstance(rule.rate, Rate) else excesses[rule.rate.name]
            cells = source.cells(rule.by)
            mistakes = list(_mismatches(rule, cells))
            problems += mistakes
            if cells is not None and not mistakes:
                parts.append(_part(rule, cells, source))
    if problems:
        raise UsageError(problems=problems)
    return Findings(parts)


def discoveries(rules: Sequence[AnyRule], measured: Measured, share: float = 0.05) -> tuple[Discovery, ...]:
    """For each rule with cells, those that break its limit by Benjamini and Hochberg; reported, never deciding.

    Rules without cells, without a test, or without such a cell are left out.
    """
    found = []
    for rule in rules:
        if not isinstance(rule, Rule) or rule.by is None or not isinstance(rule.rate, Rate):
            continue
        cells = measured.cells(rule.by)
        if cells is None:
            continue
        test = measured.p_worse if rule.at_most else measured.p_better
        p_values = test(rule.rate, rule.by, _limits(rule, cells.values).limit)
        kept = np.flatnonzero(benjamini_hochberg(np.where(measured.rows(rule.by) > 0, p_values, np.nan), share))
        if len(kept):
            found.append(Discovery(rule.id, share, tuple(Cell(rule.by, cells.values[i]) for i in kept.tolist())))
    return tuple(found)


def _mismatches(rule: Rule, cells: Cells | None) -> list[Problem]:
    where = f"{rule.source.file}:{rule.source.line}"
    if cells is None or not len(cells):
        return [Problem(f"rule {rule.id!r} matches no cell: there is no {rule.by} in this held-out set", where)]
    values = {(type(value), value) for value in cells.values} if rule.overrides else set()
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


def _unpriced(rule: Cost, measured: Measured) -> Iterator[Problem]:
    """Flips between classes that the held-out set does not know: they would cost nothing, and pass."""
    labels, outputs = (measured.cells(by) for by in (BY_CLASS, BY_OUTPUT))
    where = f"{rule.source.file}:{rule.source.line}"
    if labels is None or not len(labels):
        yield Problem(f"rule {rule.id!r} matches no cell: there is no class in this held-out set", where)
        return
    answers = [*labels.values, *(outputs.values if outputs is not None else ())]
    for price in (*rule.negative, *rule.positive):
        for value, what, known in ((price.label, "label", labels.values), (price.output, "output", answers)):
            if (type(value), value) not in {(type(one), one) for one in known}:
                near = did_you_mean(value, dict.fromkeys(repr(v) if type(v) is not type(value) else v for v in known))
                yield Problem(
                    f"rule {rule.id!r}: {what} {value!r}, which is no class of this held-out set{near}",
                    where,
                    hint="1 and '1' differ: quote the value if it is text",
                )


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


def _part(rule: Rule, cells: Cells, measured: _Source) -> Part:
    """The status of each cell; everything else is worked out when the findings are read."""
    limits = _limits(rule, cells.values)
    rows = measured.rows(rule.by)
    kept, broken = measured.proven(rule.rate, rule.by, limits.limit, rule.at_most)
    value = measured.value(rule.rate, rule.by)
    with np.errstate(invalid="ignore"):
        within = value <= limits.limit if rule.at_most else value >= limits.limit
    if rule.holm:  # of what looks proven broken, only what stands after the correction; the rest is a warning
        p_values = (measured.p_worse if rule.at_most else measured.p_better)(rule.rate, rule.by, limits.limit)
        broken = broken & holm(np.where(rows > 0, p_values, np.nan), 1.0 - measured.confidence)
    status = statuses_of(rule.decide_on, kept, broken, np.where(np.isnan(value), np.nan, within), rows)
    short = np.zeros(len(cells), dtype=np.bool_) if rule.at_least_n is None else rows < rule.at_least_n
    if not np.isnan(limits.warn).all():
        passed = np.zeros(len(cells), dtype=np.bool_)
        deciding, _ = _decided_by(rule, measured.estimate(rule.rate, rule.by), passed)
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
    measured: _Source,
    limit: Floats,
    rows: NDArray[Any],
    short: NDArray[np.bool_],
    found: NDArray[np.object_],
    status: NDArray[np.object_],
) -> list[Finding]:
    """The findings of one rule, written out. ``found`` are the statuses before the rule's severity was looked at."""
    estimate = measured.estimate(rule.rate, rule.by)
    failed = found == Status.FAIL
    deciding, sides = _decided_by(rule, estimate, failed)
    with np.errstate(invalid="ignore"):
        margin = limit - deciding if rule.at_most else deciding - limit
    open_ = found == Status.INCONCLUSIVE
    columns = (
        values,
        status.tolist(),
        _numbers(estimate.estimate),
        _numbers(deciding),
        sides,
        limit.tolist(),
        _numbers(margin),
        estimate.n.tolist(),
        estimate.numerator.tolist(),
        _numbers(_p_values(rule, measured, limit)),
        _numbers(_needed(rule, measured, limit, open_, short)),
        _numbers(_allowed(rule, measured, limit, open_ | failed)),
        rows.tolist(),
        short.tolist(),
    )
    by = rule.by or OVERALL
    return [
        Finding(
            rule=rule.id,
            rate=rule.rate.name,
            of=rule.rate.of if isinstance(rule.rate, Rate) else None,
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
            value, status_, value_, bound, side, limit_, margin_, n, numerator, p_value, needed, allowed, rows_, short_,
        ) in zip(*columns, strict=True)
    ]  # fmt: skip


def _decided_by(rule: Rule, found: Estimate, failed: NDArray[np.bool_]) -> tuple[Floats, list[str]]:
    """The number that decides each cell, and which one it is.

    A failure is proven by the favourable bound, which is past the limit; anything else hangs on the unfavourable one.
    """
    if rule.decide_on is DecideOn.ESTIMATE:
        return found.estimate, ["estimate"] * len(failed)
    upper = failed != rule.at_most
    return np.where(upper, found.upper, found.lower), ["upper" if above else "lower" for above in upper.tolist()]


def _p_values(rule: Rule, measured: _Source, limit: Floats) -> Floats:
    """Of the test that decides: under proof against "the limit is broken", under harm against "it is kept"."""
    if rule.decide_on is DecideOn.ESTIMATE:
        return np.full(limit.shape, np.nan)
    if rule.at_most == (rule.decide_on is DecideOn.PROOF):
        return measured.p_better(rule.rate, rule.by, limit)
    return measured.p_worse(rule.rate, rule.by, limit)


def _needed(rule: Rule, measured: _Source, limit: Floats, open_: NDArray[np.bool_], short: NDArray[np.bool_]) -> Floats:
    if rule.decide_on is DecideOn.PROOF:
        needed = measured.rows_needed(rule.rate, rule.by, limit, rule.at_most, open_)
    else:
        needed = np.where(open_ & short, 1.0, np.nan)  # nothing is lacking but the rows that the rule asks for
    if rule.at_least_n is not None:
        lacking = (rule.at_least_n - measured.rows(rule.by)).astype(np.float64)
        needed = np.where(open_ & short, np.maximum(needed, lacking), needed)  # what nothing settles stays unsettled
    return needed


def _allowed(rule: Rule, measured: _Source, limit: Floats, asked: NDArray[np.bool_]) -> Floats:
    """The largest numerator that would have passed, for shares that must stay low and do not."""
    if rule.at_most and rule.decide_on is DecideOn.PROOF:
        return measured.passes_with(rule.rate, rule.by, limit, asked)
    return np.full(limit.shape, np.nan)


def _numbers(column: Floats) -> list[float | None]:
    return [number if isfinite(number) else None for number in column.tolist()]
