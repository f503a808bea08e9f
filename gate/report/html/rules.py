"""The policy on the page: rule by rule, and of each rule the cells nearest to the limit or past it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gate.core.judgement import DecideOn, Finding, Severity, Status
from gate.core.measures import about as measure
from gate.core.outcomes import Value
from gate.decisions.record import CellRow, Decision, RateRow, WaiverRow
from gate.report import words
from gate.report.html import drawings
from gate.report.html.room import Room
from gate.report.lines import WORST_FIRST, by_rule

Key = tuple[str, type, Value]

_FAILS = {
    DecideOn.PROOF: "",
    DecideOn.ESTIMATE: ", judged by what was seen",
    DecideOn.HARM: "; fails only where harm is proven",
}
_WHERE = {"class": "class", "output": "the candidate says", "label": "label"}
_HOW = {
    DecideOn.PROOF: (
        "A rule fails where the bound on the good side is past its limit, and passes where the bound on the bad side is"
        " within it. In between it is inconclusive."
    ),
    DecideOn.HARM: "A rule that fails only where harm is proven warns in between, and a warning stops nothing.",
    DecideOn.ESTIMATE: "A rule that is judged by what was seen passes or fails by that alone, however few the rows.",
}


def key(by: str, value: Value) -> Key:
    """A cell by which to look it up: 1, 1.0 and True are three."""
    return (by, type(value), value)


def how_decided(decision: Decision) -> list[str]:
    """How rules decide, as far as this decision has such rules, and what else their tables do not say."""
    kinds = {finding.decide_on for finding in decision.findings}
    told = [_HOW[kind] for kind in DecideOn if kind in kinds]
    warns = any(finding.status is Status.WARN for finding in decision.findings)
    if warns and DecideOn.HARM not in kinds:
        told.append("A warning stops nothing.")
    if any(len(findings) > 1 for _, findings in by_rule(decision)):
        told.append(
            "Each bound stands for itself: among many cells a few lie past a limit by chance alone, unless the rule"
            " says correction: holm."
        )
    return told


def rules(decision: Decision, room: Room) -> tuple[list[dict[str, Any]], str]:
    """The rules with their cells, in the order of the policy, and what is said of those that there is no room for."""
    cells = {key(cell.by, cell.value): cell for cell in decision.cells}
    grouped = by_rule(decision)
    if len(grouped) > room.rules:
        grouped.sort(key=lambda pair: WORST_FIRST.index(pair[1][0].status))
    left = len(grouped) - room.rules
    return (
        [_rule(decision, cells, rule, findings, room) for rule, findings in grouped[: room.rules]],
        f"{words.rows(left)} more rules, none of them worse, are in the decision" if left > 0 else "",
    )


def _rule(
    decision: Decision, cells: Mapping[Key, CellRow], rule: str, findings: Sequence[Finding], room: Room
) -> dict[str, Any]:
    first, kept, several = findings[0], findings[: room.findings], len(findings) > 1
    rows = [_row(decision, cells, finding) for finding in kept]
    scale = drawings.Scale.over([value for f, row in zip(kept, rows, strict=True) for value in _drawn(f, row)])
    about = measure(first.rate, first.of)
    scale = drawings.Scale(max(scale.low, about.low), min(scale.high, about.high))
    by = f" by {words.printable(first.cell.by)}" if several else ""
    return {
        "name": words.printable(rule),
        "status": first.status.value,
        "demand": f"{measure(first.rate, first.of).title}{by} {words.limit(first)}"
        + _FAILS[first.decide_on]
        + ("" if first.severity is Severity.ENFORCE else " (only warns)"),
        "because": words.printable(first.because or ""),
        "cells": [_cell(decision, f, row, scale, several) for f, row in zip(kept, rows, strict=True)],
        "rest": _rest(findings, kept) if several else "",
        "where": _WHERE.get(first.cell.by, words.printable(first.cell.by)) if several else "where",
        "scale": f"{words.number(scale.low, first.rate, first.of)} to {words.number(scale.high, first.rate, first.of)}",
    }


def _rest(findings: Sequence[Finding], kept: Sequence[Finding]) -> str:
    told = words.tally(findings)
    if len(findings) == len(kept):
        return told
    open_ = sum(f.status is not Status.PASS for f in findings)
    more = f"; {words.rows(open_ - len(kept))} more do not pass" if open_ > len(kept) else ""
    return f"{told}{more}; the {len(kept)} furthest past their limits, or nearest to them, are shown"


def _drawn(finding: Finding, row: RateRow | None) -> tuple[float | None, ...]:
    bounds = (row.lower, row.upper) if row else ()
    return (finding.estimate, finding.limit, finding.bound, *bounds)


def _cell(
    decision: Decision, finding: Finding, row: RateRow | None, scale: drawings.Scale, several: bool
) -> dict[str, Any]:
    lower, upper = (row.lower, row.upper) if row else (None, None)
    if row is None and finding.bound is not None:
        lower, upper = (None, finding.bound) if finding.side == "upper" else (finding.bound, None)
    seen, bound = words.number(finding.estimate, finding.rate, finding.of), words.bound(finding)
    return {
        "name": words.name(finding.cell.value) if several else words.cell(finding.cell, decision.task.units),
        "n": words.rows(finding.n),
        "seen": seen,
        "bound": bound,
        "limit": limit(finding),
        "margin": words.margin(finding),
        "status": finding.status.value,
        "remark": "; ".join(_remarks(decision, finding)),
        "drawing": drawings.interval(
            scale, finding.estimate, lower, upper, finding.limit, f"{seen}, {bound}, limit {words.limit(finding)}"
        ),
    }


def _remarks(decision: Decision, finding: Finding) -> list[str]:
    """What else there is to say of a finding: rows that it lacks, who waived it, what the judge noted."""
    found = []
    if finding.rows_needed is not None:
        found.append(needs(finding))
    if finding.status is Status.WAIVED and not finding.note:
        mine = (w for w in decision.waivers if w.rule == finding.rule and w.cell in (None, finding.cell.value))
        found += [words.printable(f"by {waiver.owner} until {waiver.expires}") for waiver in mine][:1]
    if finding.note:
        found.append(words.printable(finding.note))
    return found


def limit(finding: Finding) -> str:
    """The limit of a finding as a column has it: ``≤ 2%``."""
    return words.limit(finding).replace("at most ", "≤ ").replace("at least ", "≥ ")


def needs(finding: Finding) -> str:
    """How many rows more would settle a finding."""
    return f"needs about {words.roughly(finding.rows_needed or 0)} more rows"


def _row(decision: Decision, cells: Mapping[Key, CellRow], finding: Finding) -> RateRow | None:
    rates: Sequence[RateRow] = decision.rates
    if finding.cell.by != "overall":
        cell = cells.get(key(finding.cell.by, finding.cell.value))
        rates = cell.rates if cell else ()
    return next((row for row in rates if (row.rate, row.of) == (finding.rate, finding.of)), None)


def waivers(decision: Decision) -> list[tuple[str, ...]]:
    """Each waiver: rule, where, up to, owner, until, reason."""
    return [
        (
            words.printable(one.rule),
            "all its cells" if one.cell is None else words.name(one.cell),
            _up_to(decision, one),
            words.printable(one.owner),
            one.expires,
            words.printable(one.because),
        )
        for one in decision.waivers
    ]


def _up_to(decision: Decision, one: WaiverRow) -> str:
    """How far a waiver goes, in the unit of its rule."""
    if one.up_to is None:
        return "without a limit"
    first = next((finding for finding in decision.findings if finding.rule == one.rule), None)
    percent = first is not None and measure(first.rate, first.of).percent
    return f"{one.up_to * 100:.10g}%" if percent else f"{one.up_to:.10g}"


def slack(decision: Decision) -> list[str]:
    """Of an update that is allowed, what would have stopped it: for each enforced rule its tightest margin."""
    found = []
    for rule, findings in by_rule(decision):
        near = [f for f in findings if f.margin is not None and f.severity is Severity.ENFORCE]
        if not near:
            continue
        tightest = min(near, key=lambda f: f.margin or 0.0)
        where = "" if tightest.cell.by == "overall" else f", {words.cell(tightest.cell)}"
        excused = ", and waived" if tightest.status is Status.WAIVED else ""
        found.append(f"'{words.printable(rule)}'{where}: {words.limit(tightest)}; {words.margin(tightest)}{excused}.")
    return found
