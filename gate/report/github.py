"""Annotations of GitHub Actions: one for each rule that stands in the way, at its line of the policy."""

from __future__ import annotations

from collections.abc import Sequence

from gate.core.flips import FlippedRow
from gate.core.judgement import Finding, Severity, Status
from gate.decisions.record import Decision
from gate.report import words
from gate.report.lines import by_rule, found

MOST = 10
"""How many annotations of a kind the host shows for a step."""

_OPEN = (Status.ERROR, Status.FAIL, Status.INCONCLUSIVE, Status.WARN)


def write(decision: Decision, samples: Sequence[FlippedRow]) -> dict[str, bytes]:
    """``annotations.txt``: one line each, to be printed to the step's log. An allowed update gets a notice."""
    told = [(findings[0], findings) for _, findings in by_rule(decision) if findings[0].status in _OPEN]
    lines = [_line(worst, findings) for worst, findings in told]
    errors = [line for line in lines if line.startswith("::error")][:MOST]
    warnings = [line for line in lines if line.startswith("::warning")][:MOST]
    n = words.rows(decision.counts.n)
    flips = "" if decision.counts.negative is None else f", {words.rows(decision.counts.negative)} negative flips"
    notice = f"::notice title=gate::{_data(f'{decision.verdict.value}: {n} rows{flips}')}"
    return {"annotations.txt": ("\n".join([*errors, *warnings, notice]) + "\n").encode("utf-8", "backslashreplace")}


def _line(worst: Finding, findings: Sequence[Finding]) -> str:
    kind = "warning" if worst.status is Status.WARN or worst.severity is Severity.WARN else "error"
    others = sum(f.status is worst.status for f in findings) - 1
    more = f" (and {others} more cells)" if others else ""
    place = (
        f"file={_property(worst.source.file)},line={max(worst.source.line, 1)},title={_property(f'gate: {worst.rule}')}"
    )
    return f"::{kind} {place}::{_data(f'{worst.status.value}: {found(worst)}{more}')}"


def _data(text: str) -> str:
    """What may stand after the ``::``: no line ends, and no percent sign that could be taken for an escape."""
    return words.printable(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
