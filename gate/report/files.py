"""Reports as files: written beside and renamed, so that there is a whole report or none."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gate.core.flips import FlippedRow
from gate.decisions.record import Decision
from gate.errors import EvidenceError, UsageError, did_you_mean
from gate.report.html.page import PICTURES
from gate.report.writers import FOLDERS, WRITERS


@dataclass(frozen=True)
class Wanted:
    """A report that was asked for: a format and where to put it, a file or, for formats of several files, a folder."""

    format: str
    path: Path

    @classmethod
    def parse(cls, text: str, several: Sequence[str] = ()) -> Wanted:
        """Read ``FORMAT=PATH``; UsageError for an unknown format and for a folder that does not exist.

        ``several`` are the roles (candidate, incumbent) of which there are more than one: where their versions go must
        stand in the path, or one report would be written over the other.

        >>> Wanted.parse("json=decision.json").format
        'json'
        """
        form, separator, place = text.partition("=")
        if not separator or not place:
            raise UsageError(f"{text!r} is not FORMAT=PATH", where="--report", hint="as in json=decision.json")
        if form not in WRITERS and form not in FOLDERS:
            raise UsageError(f"unknown format {form!r}{did_you_mean(form, [*WRITERS, *FOLDERS])}", where="--report")
        strange = next((name for name in _PLACE.findall(place) if name not in _ROLES), None)
        if strange is not None and several:
            told = did_you_mean(strange, _ROLES)
            raise UsageError(f"{place} has a place for {strange!r}{told}", where="--report", hint=_PLACES)
        for role in several:
            if f"{{{role}}}" not in place:
                hint = f"say where the version goes, as in {form}=decision-{{{role}}}.json"
                raise UsageError(f"{place} would be written for each {role}", where="--report", hint=hint)
        path = Path(place)
        if form in FOLDERS:
            if path.exists() and not path.is_dir():
                raise UsageError(f"{place} is a file", where="--report", hint=f"{form} writes a folder")
        elif path.is_dir():
            raise UsageError(f"{place} is a folder", where="--report", hint=f"name a file: {form}={place}/report")
        if not path.parent.is_dir():
            raise UsageError(f"there is no folder {path.parent}", where="--report", hint="make it first")
        return cls(form, path)

    def of(self, decision: Decision, whole: bool = False) -> Wanted:
        """The same for one decision: ``{candidate}`` and ``{incumbent}`` in the path are its versions.

        ``whole`` puts their whole names there, for versions of several models.

        >>> Wanted("json", Path("out", "{candidate}.json")).path.name
        '{candidate}.json'
        """
        origin = decision.provenance
        place = str(self.path)
        for role, row in (("candidate", origin.candidate), ("incumbent", origin.incumbent)):
            version = "none" if row is None else row.uri if whole or row.version is None else str(row.version)
            place = place.replace(f"{{{role}}}", _NO_NAME.sub("-", version))
        return Wanted(self.format, Path(place))


_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_PLACE = re.compile(r"\{([A-Za-z_]*)\}")
_ROLES = ("candidate", "incumbent")
_PLACES = "there are {candidate} and {incumbent}"


def write_reports(wanted: Sequence[Wanted], decision: Decision, samples: Sequence[FlippedRow]) -> None:
    """Write every report that was asked for; none is no error. EvidenceError where one cannot be written.

    All are made before the first is written, so that one that cannot be made leaves no others.
    """
    made: list[tuple[Path, dict[Path, bytes], bool]] = []
    for report in wanted:
        if report.format in FOLDERS:
            contents = FOLDERS[report.format](decision, samples)
            made.append((report.path, {report.path / name: content for name, content in contents.items()}, True))
        else:
            (content,) = WRITERS[report.format](decision, samples).values()
            made.append((report.path.parent, {report.path: content}, False))
    for folder, files, whole in made:
        _make(folder)
        _write_together(files)
        if whole:
            _forget(folder, files)


def _forget(folder: Path, files: Collection[Path]) -> None:
    """Remove the pictures of a report that stood there before: they show rows that may not be shown any more."""
    path = folder
    try:
        for path in folder.glob(f"{PICTURES}*.png"):
            if path not in files:
                path.unlink()
    except OSError as error:
        raise EvidenceError(f"cannot be removed: {error.strerror}", where=str(path)) from None


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise EvidenceError(f"cannot be made: {error.strerror}", where=str(folder)) from None


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file by ``content``, or leave it as it was; what is no file (``/dev/stdout``, a pipe) is written to."""
    _write_together({path: content})


def _write_together(contents: Mapping[Path, bytes]) -> None:
    """Write all beside their places, and only then put them there: without room for one, all are as they were."""
    beside: dict[Path, str] = {}
    path = Path()
    try:
        for path, content in contents.items():
            if _is_open_already(path):
                with path.open("wb", buffering=0) as device:
                    _write_all(device, content)
                continue
            handle, beside[path] = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(beside[path], 0o644)
        for path in list(beside):
            os.replace(beside[path], path)
            del beside[path]
    except OSError as error:
        for left in beside.values():
            with suppress(OSError):
                os.unlink(left)
        raise EvidenceError(
            f"cannot be written: {error.strerror}", where=str(path), hint="is there room, and may you write there?"
        ) from None


def _is_open_already(path: Path) -> bool:
    """Whether a path is a device, a pipe or a stream of this process: something that must not be replaced by a file."""
    if str(path).startswith(("/dev/std", "/dev/fd/", "/proc/")):
        return True
    return path.exists() and not path.is_file() and not path.is_dir()


def _write_all(device: IO[bytes], content: bytes) -> None:
    """A pipe may take less than it is given."""
    left = memoryview(content)
    while left:
        left = left[device.write(left) :]
