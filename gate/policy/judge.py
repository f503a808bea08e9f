"""Rule by cell to finding. Sees counts and rules, never a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gate.core.bounds import Floats
from gate.core.bulk import numbers, rows_of, some_whole, whole
from gate.core.counts import Cells
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


class Measurement(Protocol):
    """What a rule is judged on: :class:`Measured`, or for what is no rate of one flip table
    :class:`gate.core.excess.Excess` or :class:`gate.core.means.Means`."""

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


Others = Mapping[str, Measurement]
"""What else than rates rules are about, by name: excesses over the noise of retraining, means of scores."""
NONE: Others = MappingProxyType({})


def judge(rules: Sequence[AnyRule], measured: Measured, others: Others = NONE) -> Findings:
    """What every rule finds in every cell, in the order of the rules and of the cells; no rules give no findings.

    The statuses are decided at once, everything else about a finding is worked out when the findings are read.

    UsageError, with the policy's file and line, for a rule that matches no cell or an override whose cell does not
    exist; all such mistakes are reported together.
    """
    problems: list[Problem] = []
    parts: list[Part | Sequence[Finding]] = []
    named = _Named()
    for rule in rules:
        if isinstance(rule, Golden):
            parts.append([golden_finding(rule, measured)])
        elif isinstance(rule, Cost):
            unknown = list(_unpriced(rule, measured))
            problems += unknown
            if not unknown:
                parts.append([cost_finding(rule, measured)])
        else:
            source = _source(rule, measured, others)
            cells = source.cells(rule.by)
            mistakes = list(_mismatches(rule, cells))
            problems += mistakes
            if cells is not None and not mistakes:
                parts.append(_part(rule, cells, source, named))
    if problems:
        raise UsageError(problems=problems)
    return Findings(parts)


def _source(rule: Rule, measured: Measured, others: Others) -> Measurement:
    return measured if isinstance(rule.rate, Rate) else others[rule.rate.name]


class _Named:
    """The cells of each dimension as findings name them, made once for all rules."""

    def __init__(self) -> None:
        self._cells: dict[str, tuple[Sequence[Value], list[Cell]]] = {}

    def of(self, by: str, values: Sequence[Value]) -> list[Cell]:
        known = self._cells.get(by)
        if known is None or known[0] is not values:
            known = self._cells[by] = values, rows_of(Cell, {"by": by}, {"value": values})
        return known[1]


def discoveries(
    rules: Sequence[AnyRule], measured: Measured, others: Others = NONE, share: float = 0.05
) -> tuple[Discovery, ...]:
    """For each rule with cells, those that break its limit by Benjamini and Hochberg; reported, never deciding.

    Rules without cells, without a test, or without such a cell are left out.
    """
    found = []
    for rule in rules:
        if not isinstance(rule, Rule) or rule.by is None:
            continue
        source = _source(rule, measured, others)
        cells = source.cells(rule.by)
        if cells is None:
            continue
        test = source.p_worse if rule.at_most else source.p_better
        p_values = test(rule.rate, rule.by, _limits(rule, cells.values).limit)
        kept = np.flatnonzero(benjamini_hochberg(np.where(source.rows(rule.by) > 0, p_values, np.nan), share))
        if len(kept):
            found.append(Discovery(rule.id, share, tuple(Cell(rule.by, cells.values[i]) for i in kept.tolist())))
    return tuple(found)


def _mismatches(rule: Rule, cells: Cells | None) -> list[Problem]:
    where = f"{rule.source.file}:{rule.source.line}"
    if cells is None or not len(cells):
        what = rule.by or rule.rate.name  # all rows together are always there, unless no row has scores
        return [Problem(f"rule {rule.id!r} matches no cell: there is no {what} in this held-out set", where)]
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


def _part(rule: Rule, cells: Cells, measured: Measurement, named: _Named) -> Part:
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
    short = np.zeros(len(cells), dtype=np.bool_) if rule.fewest_units is None else rows < rule.fewest_units
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

    def write() -> Sequence[Finding]:
        at = named.of(rule.by or OVERALL, cells.values)
        return _findings(rule, at, measured, limits.limit, rows, short, found, status)

    return Part(status, rule.severity, write)


def _findings(
    rule: Rule,
    cells: Sequence[Cell],
    measured: Measurement,
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
    notes: list[str | None] = [None] * len(cells)
    for i in np.flatnonzero(short).tolist():
        notes[i] = f"{rows[i] // rule.units} rows, the rule asks for {rule.at_least_n}"
    return rows_of(
        Finding,
        {
            "rule": rule.id,
            "rate": rule.rate.name,
            "of": rule.rate.of,
            "severity": rule.severity,
            "decide_on": rule.decide_on,
            "at_most": rule.at_most,
            "because": rule.because,
            "source": rule.source,
        },
        {
            "cell": cells,
            "status": status.tolist(),
            "estimate": numbers(estimate.estimate),
            "bound": numbers(deciding),
            "side": sides,
            "limit": limit.tolist(),
            "margin": numbers(margin),
            "n": whole(estimate.n),
            "numerator": whole(estimate.numerator),
            "p_value": numbers(_p_values(rule, measured, limit)),
            "rows_needed": some_whole(_needed(rule, measured, limit, open_, short)),
            "passes_with": some_whole(_allowed(rule, measured, limit, open_ | failed)),
            "note": notes,
        },
    )


def _decided_by(rule: Rule, found: Estimate, failed: NDArray[np.bool_]) -> tuple[Floats, list[str]]:
    """The number that decides each cell, and which one it is.

    A failure is proven by the favourable bound, which is past the limit; anything else hangs on the unfavourable one.
    """
    if rule.decide_on is DecideOn.ESTIMATE:
        return found.estimate, ["estimate"] * len(failed)
    upper = failed != rule.at_most
    return np.where(upper, found.upper, found.lower), ["upper" if above else "lower" for above in upper.tolist()]


def _p_values(rule: Rule, measured: Measurement, limit: Floats) -> Floats:
    """Of the test that decides: under proof against "the limit is broken", under harm against "it is kept"."""
    if rule.decide_on is DecideOn.ESTIMATE:
        return np.full(limit.shape, np.nan)
    if rule.at_most == (rule.decide_on is DecideOn.PROOF):
        return measured.p_better(rule.rate, rule.by, limit)
    return measured.p_worse(rule.rate, rule.by, limit)


def _needed(
    rule: Rule, measured: Measurement, limit: Floats, open_: NDArray[np.bool_], short: NDArray[np.bool_]
) -> Floats:
    if rule.decide_on is DecideOn.PROOF:
        needed = measured.rows_needed(rule.rate, rule.by, limit, rule.at_most, open_)
    else:
        needed = np.where(open_ & short, 1.0, np.nan)  # nothing is lacking but the rows that the rule asks for
    if rule.fewest_units is not None:
        lacking = (rule.fewest_units - measured.rows(rule.by)).astype(np.float64)
        needed = np.where(open_ & short, np.maximum(needed, lacking), needed)  # what nothing settles stays unsettled
    return np.asarray(np.ceil(needed / rule.units))


def _allowed(rule: Rule, measured: Measurement, limit: Floats, asked: NDArray[np.bool_]) -> Floats:
    """The largest numerator that would have passed, for shares that must stay low and do not."""
    if rule.at_most and rule.decide_on is DecideOn.PROOF:
        return measured.passes_with(rule.rate, rule.by, limit, asked)
    return np.full(limit.shape, np.nan)
