"""JUnit XML: a test for each rule and cell, so that every CI shows the verdict where it shows its tests.

A failure is a failure. What is inconclusive or could not be judged is an error, since a skipped test reads as green.
A waived finding is skipped, with the reason. A warning passes, and says so in its output.
"""

from __future__ import annotations

from collections.abc import Sequence

from gate.core.flips import FlippedRow
from gate.core.judgement import Finding, Status
from gate.decisions.record import Decision
from gate.report import words
from gate.report.lines import by_rule, found

MOST_CELLS = 1000
"""Of a rule with more cells than this, the passing ones beyond it are only counted."""


def write(decision: Decision, samples: Sequence[FlippedRow]) -> dict[str, bytes]:
    """``junit.xml``."""
    from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

    report = JUnitXml(f"gate: {decision.verdict.value}")
    for rule, findings in by_rule(decision):
        suite = TestSuite(words.printable(rule))
        cases = []
        kept = findings[: max(MOST_CELLS, sum(f.status is not Status.PASS for f in findings))]
        for finding in kept:
            case = TestCase(words.cell(finding.cell), classname=words.printable(rule), time=0)
            told = found(finding)
            if finding.status is Status.FAIL:
                case.result = [Failure(told, "fail")]
            elif finding.status in (Status.INCONCLUSIVE, Status.ERROR):
                case.result = [Error(told, finding.status.value)]
            elif finding.status is Status.WAIVED:
                case.result = [Skipped(_waived(decision, finding, told), "waived")]
            elif finding.status is Status.WARN:
                case.system_out = f"warning: {told}"
            cases.append(case)
        suite.add_testcases(cases)  # one at a time each would count them all again
        if len(kept) < len(findings):
            suite.add_property("passing cells that are not listed", str(len(findings) - len(kept)))
        report.add_testsuite(suite)
    suite = TestSuite("verdict")
    case = TestCase(f"models may be exchanged: {decision.verdict.value}", classname="verdict", time=0)
    if decision.exit_code:
        kind = Failure if decision.verdict.value == "refuse" else Error
        case.result = [kind(f"exit code {decision.exit_code}; only 0 allows", decision.verdict.value)]
    suite.add_testcase(case)
    report.add_testsuite(suite)
    return {"junit.xml": report.tostring() + b"\n"}


def _waived(decision: Decision, finding: Finding, told: str) -> str:
    for waiver in decision.waivers:
        if waiver.rule == finding.rule and waiver.cell in (None, finding.cell.value):
            return words.printable(f"{waiver.because} ({waiver.owner}, until {waiver.expires}): {told}")
    return told
