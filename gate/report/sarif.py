"""SARIF 2.1.0: each finding that stands in the way, at the line of its rule in the policy file.

For viewers that show results in the source. Nothing in it changes the exit code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from gate.core.flips import FlippedRow
from gate.core.judgement import Finding, Severity, Status
from gate.core.measures import about as measure
from gate.decisions.canonical import canonical
from gate.decisions.record import Decision
from gate.report import words
from gate.report.lines import by_rule, found

MOST_RESULTS = 5000
"""What the hosts that read SARIF accept in one run."""

_LEVELS = {Status.FAIL: "error", Status.INCONCLUSIVE: "error", Status.ERROR: "error", Status.WARN: "warning"}


def write(decision: Decision, samples: Sequence[FlippedRow]) -> dict[str, bytes]:
    """``gate.sarif``: a waived finding is a suppressed result, with the waiver's reason; a pass is no result."""
    grouped = by_rule(decision)
    rules = [
        {
            "id": words.printable(rule),
            "shortDescription": {"text": f"{measure(first.rate, first.of).title} {words.limit(first)}"},
            "help": {"text": words.printable(first.because or measure(first.rate, first.of).meaning)},
        }
        for rule, (first, *_) in grouped
    ]
    results = [
        _result(decision, finding, index)
        for index, (_, findings) in enumerate(grouped)
        for finding in findings
        if finding.status is not Status.PASS
    ]
    told: dict[str, Any] = {
        "executionSuccessful": True,
        "exitCode": decision.exit_code,
        "exitCodeDescription": decision.verdict.value,
    }
    if len(results) > MOST_RESULTS:
        left = f"{len(results) - MOST_RESULTS} more findings are in the decision"
        told["toolExecutionNotifications"] = [{"level": "note", "message": {"text": left}}]
    run = {
        "tool": {
            "driver": {
                "name": "gate",
                "semanticVersion": decision.provenance.tools.get("gate", "0"),
                "rules": rules,
            }
        },
        "invocations": [told],
        "results": results[:MOST_RESULTS],
        "columnKind": "unicodeCodePoints",
    }
    document = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}
    return {"gate.sarif": canonical(document)}


def _result(decision: Decision, finding: Finding, index: int) -> dict[str, Any]:
    level = "warning" if finding.severity is Severity.WARN else _LEVELS.get(finding.status, "note")
    result: dict[str, Any] = {
        "ruleId": words.printable(finding.rule),
        "ruleIndex": index,
        "level": level,
        "message": {"text": f"{finding.status.value}: {found(finding)}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(finding.source.file)},
                    "region": {"startLine": max(finding.source.line, 1)},
                },
                "logicalLocations": [{"name": words.cell(finding.cell), "kind": "cell"}],
            }
        ],
    }
    if finding.status is Status.WAIVED:
        reasons = [
            words.printable(f"{one.because} ({one.owner}, until {one.expires})")
            for one in decision.waivers
            if one.rule == finding.rule and one.cell in (None, finding.cell.value)
        ]
        result["suppressions"] = [
            {"kind": "external", "status": "accepted", "justification": reason} for reason in reasons[:1] or ["waived"]
        ]
    return result
