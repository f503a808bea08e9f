"""The digest of a model's files, which no registry keeps: what was judged, down to the last byte."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gate.errors import EvidenceError

# Written into a model's folder by a download, not by its author: MLflow's note of what it downloaded.
DOWNLOAD_NOTE = "registered_model_meta"

_CHUNK = 1 << 20


@dataclass(frozen=True, order=True)
class FileEntry:
    """One file of a model: its path in the model's folder (with ``/``), size in bytes, SHA-256 of the bytes (hex)."""

    path: str
    size: int
    sha256: str


def model_digest(folder: Path) -> str:
    """The SHA-256 over all files of a model's folder.

    64 hex digits over the sorted (relative path, size in bytes, SHA-256 of the bytes) of every file. Names count;
    times, permissions and empty folders do not. ``registered_model_meta`` at the top is left out, since a download
    writes it. ``__pycache__`` is not: Python runs what is in there in place of the source beside it. A folder that is
    absent or has no files, a link that leaves it or leads nowhere, and anything that is not a plain file or folder
    raise :class:`~gate.errors.EvidenceError`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as name:
    ...     _ = Path(name, "MLmodel").write_bytes(b"flavors: {}")
    ...     before = model_digest(Path(name))
    ...     _ = Path(name, "registered_model_meta").write_bytes(b"model_name: fraud")
    ...     model_digest(Path(name)) == before, len(before)
    (True, 64)
    """
    whole = hashlib.sha256()
    for entry in model_files(folder):
        # One JSON line a file: a name that holds a separator or a line break cannot pass for two files.
        whole.update(json.dumps([entry.path, entry.size, entry.sha256], ensure_ascii=True).encode("ascii") + b"\n")
    return whole.hexdigest()


def model_files(folder: Path) -> tuple[FileEntry, ...]:
    """The files that :func:`model_digest` covers, sorted by path; at least one.

    Raises :class:`~gate.errors.EvidenceError` as :func:`model_digest` does.

    Example::

        [entry.path for entry in model_files(Path("model"))]    # ['MLmodel', 'model.skops', 'requirements.txt']
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise EvidenceError("no such folder of model files", where=str(folder))
    try:
        entries = tuple(sorted(_entries(folder, folder.resolve())))
    except OSError as error:
        raise EvidenceError(
            f"a file of the model cannot be read: {error.strerror or error}", where=str(error.filename or folder)
        ) from None
    if not entries:
        raise EvidenceError("the model has no files", where=str(folder), hint="was its upload cut short?")
    return entries


def _entries(folder: Path, root: Path) -> Iterator[FileEntry]:
    # Each step carries the folders above it, resolved, so that a link back to one of them is seen.
    pending: list[tuple[str, tuple[Path, ...]]] = [("", (root,))]
    while pending:
        inside, above = pending.pop()
        with os.scandir(folder / inside) as listing:
            found = sorted(listing, key=lambda entry: entry.name)
        for entry in found:
            path = f"{inside}/{entry.name}" if inside else entry.name
            if entry.is_symlink():
                _stay_inside(folder / path, root)
            if entry.is_dir():
                real = Path(entry.path).resolve()
                if real in above:
                    raise EvidenceError("a link that leads back to a folder above it", where=entry.path)
                pending.append((path, (*above, real)))
            elif entry.is_file():
                if path != DOWNLOAD_NOTE:
                    yield _file(path, Path(entry.path))
            else:
                raise EvidenceError("neither a file nor a folder", where=entry.path, hint="a model is plain files")


def _stay_inside(link: Path, root: Path) -> None:
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a loop of links, before Python 3.13
        raise EvidenceError("a link that leads nowhere", where=str(link)) from None
    if not target.is_relative_to(root):
        raise EvidenceError(
            "a link that leaves the model's folder", where=str(link), hint="what it points to could change unseen"
        )


def _file(path: str, place: Path) -> FileEntry:
    digest = hashlib.sha256()
    size = 0
    with place.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return FileEntry(path, size, digest.hexdigest())
