"""OpenMetrics text: for GitLab's metrics reports, for Prometheus, and for whatever else plots numbers over time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gate.core.flips import FlippedRow
from gate.core.judgement import Status
from gate.decisions.record import Decision
from gate.report import words


def write(decision: Decision, samples: Sequence[FlippedRow]) -> dict[str, bytes]:
    """``metrics.txt``: overall rates with their bounds, counts, findings by status, the verdict. No cell is named."""
    counts = {name: value for name, value in vars(decision.counts).items() if value is not None}
    rates = [
        ({"rate": row.rate, "of": row.of or "update", "value": kind}, value)
        for row in decision.rates
        for kind, value in (("estimate", row.estimate), ("lower", row.lower), ("upper", row.upper))
        if value is not None
    ]
    statuses = {status.value: 0 for status in Status}
    for finding in decision.findings:
        statuses[finding.status.value] += 1
    families = [
        _family("gate_allowed", "1 if the update is allowed, else 0", [({}, int(decision.exit_code == 0))]),
        _family("gate_exit_code", "only 0 allows", [({}, decision.exit_code)]),
        _family("gate_rows", "rows by what the update does to them", [({"cell": k}, v) for k, v in counts.items()]),
        _family("gate_rate", "rates and their one-sided bounds, as shares", rates),
        _family("gate_findings", "findings by status", [({"status": k}, v) for k, v in statuses.items()]),
    ]
    text = "".join(families) + "# EOF\n"
    return {"metrics.txt": text.encode("utf-8", "backslashreplace")}


def _family(name: str, help_: str, samples: Iterable[tuple[dict[str, str], float]]) -> str:
    lines = [f"# TYPE {name} gauge", f"# HELP {name} {help_}"]
    for labels, value in samples:
        inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(f"{name}{{{inside}}} {value!r}" if inside else f"{name} {value!r}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return words.printable(text).replace("\\", "\\\\").replace('"', '\\"')
