"""The decision itself, and its sidecar of flipped rows."""

from __future__ import annotations

from collections.abc import Sequence

from gate.core.flips import FlippedRow
from gate.decisions.canonical import samples_to_bytes, to_bytes
from gate.decisions.record import Decision


def write(decision: Decision, samples: Sequence[FlippedRow]) -> dict[str, bytes]:
    """``decision.json``: canonical, complete, without any row of the held-out set."""
    return {"decision.json": to_bytes(decision)}


def write_samples(decision: Decision, samples: Sequence[FlippedRow]) -> dict[str, bytes]:
    """``samples.jsonl``: the flipped rows, whose digest the decision holds."""
    return {"samples.jsonl": samples_to_bytes(samples)}
