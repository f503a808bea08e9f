"""The formats of a report, by name. A new one is one module and one line here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gate.core.flips import FlippedRow
from gate.decisions.record import Decision
from gate.report import json, markdown, text

Writer = Callable[[Decision, Sequence[FlippedRow]], dict[str, bytes]]
"""Decision and samples to file names and their bytes. A writer reads; it neither computes nor edits."""

WRITERS: dict[str, Writer] = {
    "text": text.write,
    "json": json.write,
    "markdown": markdown.write,
    "samples": json.write_samples,
}
