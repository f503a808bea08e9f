"""One line a finding, for machines that show lines: the worst first, as the other reports say it."""

from __future__ import annotations

from gate.core.judgement import Finding, Status
from gate.core.measures import about as measure
from gate.decisions.record import Decision
from gate.report import words

WORST_FIRST = (Status.ERROR, Status.FAIL, Status.INCONCLUSIVE, Status.WARN, Status.WAIVED, Status.PASS)


def by_rule(decision: Decision) -> list[tuple[str, list[Finding]]]:
    """The findings of each rule, in the order of the policy; of a rule the worst first, then by margin."""
    rules: dict[str, list[Finding]] = {}
    for finding in decision.findings:
        rules.setdefault(finding.rule, []).append(finding)
    for findings in rules.values():
        findings.sort(key=lambda f: (WORST_FIRST.index(f.status), float("inf") if f.margin is None else f.margin))
    return list(rules.items())


def found(finding: Finding) -> str:
    """A finding in one line: rate, where, what was seen, the bound that decides, and the limit.

    Example::

        found(finding)    # 'negative flip rate (NFR) of class 9: 14.29% of 91, at least 8.69%; wanted: at most 6%'
    """
    where = "" if finding.cell.by == "overall" else f" of {words.cell(finding.cell)}"
    seen = words.number(finding.estimate, finding.rate, finding.of)
    side = {"upper": ", at most ", "lower": ", at least "}.get(finding.side)
    bound = (
        "" if finding.bound is None or side is None else side + words.number(finding.bound, finding.rate, finding.of)
    )
    needed = (
        f"; about {words.roughly(finding.rows_needed)} more rows would settle it"
        if finding.rows_needed is not None
        else ""
    )
    note = f" ({words.printable(finding.note)})" if finding.note else ""
    title = measure(finding.rate, finding.of).title
    return f"{title}{where}: {seen} of {words.rows(finding.n)}{bound}; wanted: {words.limit(finding)}{needed}{note}"
