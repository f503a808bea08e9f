"""How much of a model has arrived, told while it arrives: MLflow itself says nothing before all of it is there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

Arrived = Callable[[int, "int | None"], None]
"""Told the bytes that are there, and how many there are in all (None: not known). Called from a thread."""

_EVERY = 0.2


@contextmanager
def arriving(folder: Path, artifacts: Any, tell: Arrived) -> Iterator[None]:
    """Tell of the bytes in ``folder`` while the body puts the files of ``artifacts`` there.

    Where nobody knows how much there is, only what has arrived is told. Nothing is told after the body's end.

    Example::

        with arriving(folder, repository, lambda done, total: print(done, total)):
            repository.download_artifacts("", dst_path=folder)
    """
    over = threading.Event()

    def watch() -> None:
        total = None
        with suppress(Exception):  # it is the download that must say what is wrong
            total = _bytes_of(artifacts, None)
        while not over.wait(_EVERY):
            tell(_bytes_in(folder), total)

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join(2 * _EVERY)


def _bytes_of(artifacts: Any, path: str | None) -> int:
    return sum(
        _bytes_of(artifacts, file.path) if file.is_dir else int(file.file_size or 0)
        for file in artifacts.list_artifacts(path)
    )


def _bytes_in(folder: Path) -> int:
    found = 0
    for file in folder.rglob("*"):
        with suppress(OSError):  # gone again, or renamed
            found += file.stat().st_size if file.is_file() else 0
    return found
