"""Several decisions of one command: which of them allow, and what each version breaks of every other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from gate.core.flips import FlippedRow
from gate.core.judgement import Verdict
from gate.decisions.canonical import document
from gate.decisions.record import Decision
from gate.report import markdown, words
from gate.report import text as plain
from gate.report.versions import FLIPS, matrix
from gate.report.view import view

Judged = tuple[Decision, Sequence[FlippedRow]]

_RULE = "=" * plain.WIDTH


def worst(decisions: Sequence[Decision]) -> Decision:
    """The decision with the verdict of all: error, else refuse, else inconclusive, else allow; the first of equals."""
    order = [Verdict.ERROR, Verdict.REFUSE, Verdict.INCONCLUSIVE, Verdict.ALLOW]
    return min(decisions, key=lambda one: order.index(one.verdict))


def write_text(judged: Sequence[Judged]) -> bytes:
    """A line for each decision and the flips between versions, then every report."""
    decisions = [decision for decision, _ in judged]
    lines = [f"{len(decisions)} decisions, the whole is {worst(decisions).verdict.value.upper()}", ""]
    lines += [f"  {'  '.join(line)}" for line in _aligned(_summary(decisions))]
    rows = matrix(decisions[0].versions)
    if rows:
        lines += ["", FLIPS, "", *(f"  {'  '.join(line)}" for line in _aligned(rows))]
    parts = ["\n".join(line.rstrip() for line in lines) + "\n"]
    parts += [plain.write(decision, samples)["report.txt"].decode() for decision, samples in judged]
    return f"\n{_RULE}\n\n".join(parts).encode("utf-8", "backslashreplace")


def write_markdown(judged: Sequence[Judged]) -> bytes:
    """The same as Markdown."""
    decisions = [decision for decision, _ in judged]
    header, *rows = _summary(decisions)
    parts = [
        f"## {len(decisions)} decisions, the whole is {worst(decisions).verdict.value}",
        markdown.table(header, rows),
    ]
    crossed = matrix(decisions[0].versions)
    if crossed:
        parts += [f"### {FLIPS}", markdown.table(crossed[0], crossed[1:])]
    text = "\n\n".join(parts) + "\n\n"
    return text.encode("utf-8", "backslashreplace") + b"\n".join(
        markdown.write(decision, samples)["report.md"] for decision, samples in judged
    )


def write_json(judged: Sequence[Judged]) -> bytes:
    """One JSON object: the worst verdict, its exit code, and every decision."""
    decisions = [decision for decision, _ in judged]
    found: dict[str, Any] = {
        "decisions": [document(decision) for decision in decisions],
        "exit_code": worst(decisions).exit_code,
        "verdict": worst(decisions).verdict.value,
    }
    return (json.dumps(found, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode(
        "utf-8", "backslashreplace"
    )


FORMATS = {"text": write_text, "markdown": write_markdown, "json": write_json}


def _summary(decisions: Sequence[Decision]) -> list[tuple[str, ...]]:
    header = ("verdict", "candidate", "incumbent", "negative flips", "of", "what decides")
    return [
        header,
        *(
            (
                one.verdict.value.upper(),
                words.who(one.provenance.candidate.uri),
                words.who(one.provenance.incumbent.uri) if one.provenance.incumbent else "-",
                words.rows(one.counts.negative),
                words.rows(one.counts.n),
                _decides(one),
            )
            for one in decisions
        ),
    ]


def _decides(decision: Decision) -> str:
    shown = view(decision, ())
    blocking = [rule.rule for rule in shown.rules if rule.status in ("fail", "error", "inconclusive")]
    return ", ".join(blocking[:3]) + (f" and {len(blocking) - 3} more" if len(blocking) > 3 else "")


def _aligned(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [[text.ljust(width) for text, width in zip(row, widths, strict=True)] for row in rows]
