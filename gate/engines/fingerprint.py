"""What a model's answers rest on besides its files: the interpreter, what is installed, and the machine's kind."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gate.engines.environment import worker_environment

_MOST_SOURCES = 50_000
_ABSOLUTE = re.compile(r"""['"](/[^'"\n]+)['"]""")
_OF_A_RUN = ("HOME", "TMPDIR", "PATH")  # other each time, or where programs are that no model should need
_CARDS = "/proc/driver/nvidia/gpus"


def fingerprint(python: Path | None = None, parent: Mapping[str, str] | None = None) -> str | None:
    """SHA-256 of an environment: Python, the machine's kind and its GPUs, what models see of the variables of
    ``parent`` (default: those of this process), and everything that is installed.

    ``python`` is the interpreter of another environment, default the running one. Distributions are known by the names
    of their folders, which hold the version, single modules by their size and time, and what is installed to be edited
    in place by the size and time of every file. None where that is too much to look at: then nothing can be said.

    >>> fingerprint() == fingerprint()
    True
    """
    seen = worker_environment(os.environ if parent is None else parent, home="", threads=1)
    variables = sorted((name, value) for name, value in seen.items() if name not in _OF_A_RUN)
    told = hashlib.sha256(f"{sys.version}\n{platform.machine()}\n{platform.system()}\n{variables}\n".encode())
    for number, line in enumerate([*_cards(), *_lines(_folders(python))]):
        if number >= _MOST_SOURCES:
            return None
        told.update(f"{line}\n".encode("utf-8", "surrogatepass"))
    return told.hexdigest()


def _folders(python: Path | None) -> list[str]:
    """Where an interpreter's packages are."""
    if python is None:
        return sorted({os.path.realpath(place) for place in sys.path if "-packages" in place})
    home = python.parent.parent
    return [str(home / "pyvenv.cfg"), *map(str, home.glob("lib*/python*/site-packages"))]


def _cards() -> Iterator[str]:
    """The GPUs of this machine, by the model that their driver names."""
    try:
        cards = sorted(os.listdir(_CARDS))
    except OSError:
        return
    for card in cards:
        try:
            yield Path(_CARDS, card, "information").read_text("utf-8", "replace").splitlines()[0]
        except (OSError, IndexError):
            yield card


def _lines(folders: Sequence[str]) -> Iterator[str]:
    for folder in folders:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except NotADirectoryError:
            yield Path(folder).read_text("utf-8", "replace")
            continue
        except OSError:
            continue
        for entry in entries:
            if entry.name == "__pycache__":
                continue
            yield entry.name if entry.is_dir() else _told_of(entry.path)
            if entry.name.endswith((".pth", ".egg-link")) or entry.name.startswith("__editable__"):
                yield from _edited(Path(entry.path))


def _edited(pointer: Path) -> Iterator[str]:
    """The files of the folders that a pointer in site-packages names."""
    try:
        text = pointer.read_text("utf-8", "replace")
    except OSError:
        return
    named = set(_ABSOLUTE.findall(text))
    for line in map(str.strip, text.splitlines()):
        if line and not line.startswith(("#", "import ", "import\t")) and pointer.suffix != ".py":
            named.add(os.path.join(pointer.parent, line))
    for root in sorted(named):
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
