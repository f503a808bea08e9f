"""The formats of a report, by name. A new one is one module and one line here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gate.core.flips import FlippedRow
from gate.decisions.record import Decision
from gate.report import github, json, junit, markdown, openmetrics, outputs, samples_table, sarif, text
from gate.report.html import page

Writer = Callable[[Decision, Sequence[FlippedRow]], dict[str, bytes]]
"""Decision and samples to file names and their bytes. A writer reads; it neither computes nor edits."""

WRITERS: dict[str, Writer] = {
    "text": text.write,
    "json": json.write,
    "markdown": markdown.write,
    "html": page.write,
    "junit": junit.write,
    "sarif": sarif.write,
    "github": github.write,
    "openmetrics": openmetrics.write,
    "outputs": outputs.write,
    "samples": json.write_samples,
    "csv": samples_table.write_csv,
    "parquet": samples_table.write_parquet,
}
FOLDERS: dict[str, Writer] = {"html-dir": page.write_folder}
"""The formats that are several files, and so take a folder."""
