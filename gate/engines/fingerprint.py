"""What a model's answers rest on besides its files: the interpreter, what is installed, and the machine's kind."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path

_MOST_SOURCES = 50_000
_ABSOLUTE = re.compile(r"""['"](/[^'"\n]+)['"]""")


def fingerprint() -> str | None:
    """SHA-256 of the running interpreter's environment: Python, the machine's kind, and every installed distribution.

    Distributions are known by name and version, as their folders say; what is installed to be edited in place is known
    by the size and time of every file. None where that is too much to look at: then nothing can be said.

    >>> fingerprint() == fingerprint()
    True
    """
    told = hashlib.sha256(f"{sys.version}\n{platform.machine()}\n{platform.system()}\n".encode())
    for seen, line in enumerate(_lines()):
        if seen >= _MOST_SOURCES:
            return None
        told.update(f"{line}\n".encode("utf-8", "surrogatepass"))
    return told.hexdigest()


def _lines() -> Iterator[str]:
    for folder in sorted({os.path.realpath(place) for place in sys.path if "-packages" in place}):
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        for name in names:
            if name.endswith((".dist-info", ".egg-info", ".egg-link")):
                yield name
            if name.endswith((".pth", ".egg-link")) or name.startswith("__editable__"):
                yield from _edited(Path(folder, name))


def _edited(pointer: Path) -> Iterator[str]:
    """The files of the folders that a pointer in site-packages names."""
    try:
        text = pointer.read_text("utf-8", "replace")
    except OSError:
        return
    lines = [line.strip() for line in text.splitlines()]
    for root in sorted({line for line in lines if line.startswith("/")} | set(_ABSOLUTE.findall(text))):
        if os.path.isfile(root):
            yield _told_of(root)
        for folder, folders, files in os.walk(root):
            folders[:] = sorted(name for name in folders if not name.startswith((".", "__pycache__")))
            yield from (_told_of(os.path.join(folder, name)) for name in sorted(files) if name.endswith((".py", ".so")))


def _told_of(path: str) -> str:
    try:
        found = os.stat(path)
    except OSError:
        return path
    return f"{path} {found.st_size} {found.st_mtime_ns}"
