"""Waivers: a finding that somebody takes upon themselves, for a while and up to a limit; shown, never silent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from gate.core.judgement import Finding, Severity, Status
from gate.core.measured import Measured
from gate.errors import Problem, UsageError, did_you_mean
from gate.policy.judge import Others, judge
from gate.policy.rules import AnyRule, Cost, Override, Policy, Rule, Threshold, Waiver

_SOON = timedelta(days=14)
_BLOCKS = (Status.FAIL, Status.INCONCLUSIVE)


@dataclass(frozen=True)
class Waived:
    """A waiver, and what became of it: ``needed`` if without it the finding would stand in the way."""

    waiver: Waiver
    needed: bool
    note: str | None


def waived(
    policy: Policy, findings: Sequence[Finding], measured: Measured, others: Others, as_of: str
) -> tuple[Sequence[Finding], list[Waived]]:
    """The findings with the waived ones marked, and what became of every waiver.

    Without waivers they are the findings as given. A waiver with ``up_to`` holds only while the finding would pass at
    that limit. UsageError, with file and line, for a waiver that is expired on ``as_of`` (its last day still counts),
    or whose cell does not exist; all of them at once.
    """
    if not policy.waivers:
        return findings, []
    found = list(findings)
    told: list[Waived] = []
    problems: list[Problem] = []
    judged = {finding.rule for finding in found}
    for waiver in policy.waivers:
        where = f"{waiver.source.file}:{waiver.source.line}"
        last, today = date.fromisoformat(waiver.expires), date.fromisoformat(as_of)
        if last < today:
            problems.append(
                Problem(
                    f"the waiver of {waiver.rule!r} by {waiver.owner} expired on {waiver.expires}",
                    where,
                    "renew it with a reason, or take it out",
                )
            )
            continue
        rule = next(rule for rule in policy.rules if rule.id == waiver.rule)
        if rule.id not in judged:
            told.append(Waived(waiver, False, "its rule was not judged"))
            continue
        places = [i for i, finding in enumerate(found) if _meant(finding, waiver)]
        if not places:
            problems.append(
                Problem(
                    f"the waiver of {waiver.rule!r} names the cell {waiver.cell!r}, which does not exist"
                    + _nearest(waiver, found),
                    where,
                    "1 and '1' differ: quote the value if it is text",
                )
            )
            continue
        told.append(_applied(waiver, rule, found, places, measured, others, last - today))
    if problems:
        raise UsageError(problems=problems)
    return found, told


def _nearest(waiver: Waiver, findings: Sequence[Finding]) -> str:
    cells = [finding.cell.value for finding in findings if finding.rule == waiver.rule]
    return did_you_mean(waiver.cell, [cell if type(cell) is type(waiver.cell) else repr(cell) for cell in cells])


def _meant(finding: Finding, waiver: Waiver) -> bool:
    if finding.rule != waiver.rule:
        return False
    value = finding.cell.value
    return not waiver.by_cell or (type(value) is type(waiver.cell) and value == waiver.cell)


def _applied(
    waiver: Waiver,
    rule: AnyRule,
    found: list[Finding],
    places: list[int],
    measured: Measured,
    others: Others,
    left: timedelta,
) -> Waived:
    blocking = [i for i in places if found[i].status in _BLOCKS and found[i].severity is Severity.ENFORCE]
    if not blocking:
        return Waived(waiver, False, "not needed: the finding does not stand in the way")
    for i in blocking:
        if waiver.up_to is not None and not _holds_at(rule, waiver.up_to, found[i], measured, others):
            return Waived(waiver, True, "does not reach: the finding is beyond its limit too")
    for i in blocking:
        note = f"waived by {waiver.owner} until {waiver.expires}: {waiver.because}"
        found[i] = replace(found[i], status=Status.WAIVED, note=note)
    days = left.days
    soon = f"ends in {days} day{'' if days == 1 else 's'}" if days else "ends today"
    return Waived(waiver, True, soon if left <= _SOON else None)


def _holds_at(rule: AnyRule, limit: float, finding: Finding, measured: Measured, others: Others) -> bool:
    """Whether the finding would not block, were ``limit`` its limit."""
    moved: AnyRule
    if isinstance(rule, Rule) and rule.by is not None:  # the other cells keep their limits: Holm looks at all of them
        here = finding.cell.value
        kept = [over for over in rule.overrides if type(over.cell) is not type(here) or over.cell != here]
        moved = replace(rule, overrides=(*kept, Override(here, Threshold(limit), rule.source)))
    elif isinstance(rule, (Rule, Cost)):
        moved = replace(rule, threshold=Threshold(limit))
    else:
        return True
    again = judge([moved], measured, others)
    same = next(one for one in again if one.cell == finding.cell and type(one.cell.value) is type(finding.cell.value))
    return same.status not in _BLOCKS
