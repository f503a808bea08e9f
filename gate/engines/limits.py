"""How much memory a model's process may take, and how much it takes."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gate.errors import UsageError

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", re.IGNORECASE)
_SECONDS = 0.05  # between two looks at the process itself
_TURNS = 20  # looks at the process for each look at all that it started


def size_in_bytes(text: str, *, where: str = "--memory") -> int:
    """A size such as ``4g``, ``512 MB`` or ``1.5GiB`` in bytes; units are powers of 1024. UsageError for another text.

    >>> size_in_bytes("1.5g")
    1610612736
    """
    found = _SIZE.fullmatch(text)
    size = int(float(found[1]) * _UNITS[found[2].lower()]) if found else 0
    if size <= 0:
        raise UsageError(f"{text!r} is no size of memory", where=where, hint="for example 512m, 4g or 1.5g")
    return size


def in_words(size: int) -> str:
    """A number of bytes, for a message.

    >>> in_words(1610612736), in_words(700)
    ('1.5 GiB', '700 bytes')
    """
    for unit, name in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} bytes"


def resident(process: int) -> int:
    """Bytes of memory that a process has now, 0 where it is gone or where the system does not tell.

    >>> resident(os.getpid()) > 0
    True
    """
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def group_resident(group: int) -> int:
    """Bytes of memory that all processes of a group have together; what they share counts for each.

    >>> group_resident(os.getpgrp()) > 0
    True
    """
    if not Path("/proc/self/stat").exists():
        listed = subprocess.run(["ps", "-A", "-o", "pgid=,rss="], capture_output=True, text=True, check=False).stdout
        rows = [line.split() for line in listed.splitlines()]
        return sum(int(row[1]) << 10 for row in rows if len(row) == 2 and row[0] == str(group))
    total = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError, IndexError):  # it ended meanwhile
                # The name of the program stands in brackets, and may hold some itself.
                if int(Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[2]) == group:
                    total += resident(int(name))
    return total


class MemoryWatch:
    """Looks at the memory of a process group several times a second, and calls ``exceeded`` once it is over ``limit``.

    RLIMIT_AS and RLIMIT_DATA count what a process has reserved, which for CUDA and PyTorch is many times what it uses;
    so the memory that is really there is watched. What comes and goes within some hundredths of a second is not seen.
    """

    def __init__(self, group: int, limit: int, exceeded: Callable[[], object]) -> None:
        self._group, self._limit, self._exceeded = group, limit, exceeded
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="gate watches memory", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _watch(self) -> None:
        turn = 0
        while not self._over.wait(_SECONDS):
            turn += 1
            everything = turn % _TURNS == 0
            if (group_resident(self._group) if everything else resident(self._group)) > self._limit:
                self._exceeded()
                return
