"""The flipped rows on the page, those first that a reader should see first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gate.core.flips import FlippedRow
from gate.decisions.record import Decision
from gate.report import words
from gate.report.html.room import Room


def samples(decision: Decision, rows: Sequence[FlippedRow], room: Room) -> tuple[list[dict[str, Any]], str]:
    """The negative flips that are kept, the most confidently wrong first, and how many of all they are."""
    negative = [row for row in rows if row.kind == "negative"]
    kept = sorted(negative, key=_first)[: room.samples]
    shown = [
        {
            "id": words.name(row.id),
            "label": words.name(row.label),
            "incumbent": words.answer(row.incumbent, row.incumbent_confidence),
            "candidate": words.answer(row.candidate, row.candidate_confidence),
        }
        for row in kept
    ]
    return shown, f"{len(kept)} of {words.rows(decision.counts.negative)}"


def _first(row: FlippedRow) -> tuple[float, str]:
    return (-(row.candidate_confidence or 0.0), row.digest)
