"""Reports as files: written beside and renamed, so that there is a whole report or none."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gate.core.flips import FlippedRow
from gate.decisions.record import Decision
from gate.errors import EvidenceError, UsageError, did_you_mean
from gate.report.writers import WRITERS


@dataclass(frozen=True)
class Wanted:
    """A report that was asked for: a format and where to put it."""

    format: str
    path: Path

    @classmethod
    def parse(cls, text: str) -> Wanted:
        """Read ``FORMAT=PATH``; UsageError for an unknown format and for a folder that does not exist.

        >>> Wanted.parse("json=decision.json").format
        'json'
        """
        form, separator, place = text.partition("=")
        if not separator or not place:
            raise UsageError(f"{text!r} is not FORMAT=PATH", where="--report", hint="as in json=decision.json")
        if form not in WRITERS:
            raise UsageError(f"unknown format {form!r}{did_you_mean(form, WRITERS)}", where="--report")
        path = Path(place)
        if path.is_dir():
            raise UsageError(f"{place} is a folder", where="--report", hint=f"name a file: {form}={place}/report")
        if not path.parent.is_dir():
            raise UsageError(f"there is no folder {path.parent}", where="--report", hint="make it first")
        return cls(form, path)


def write_reports(wanted: Sequence[Wanted], decision: Decision, samples: Sequence[FlippedRow]) -> None:
    """Write every report that was asked for; none is no error. EvidenceError where one cannot be written."""
    for report in wanted:
        (content,) = WRITERS[report.format](decision, samples).values()
        write_whole(report.path, content)


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file by ``content``, or leave it as it was."""
    beside = None
    try:
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except OSError as error:
        if beside is not None:
            with suppress(OSError):
                os.unlink(beside)
        raise EvidenceError(
            f"cannot be written: {error.strerror}", where=str(path), hint="is there room, and may you write there?"
        ) from None
