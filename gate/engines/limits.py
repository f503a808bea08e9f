"""What a model's process started: how much memory all of it takes and may take, and its end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gate.errors import UsageError

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", re.IGNORECASE)
_NONE = -1  # no process has this number
_SECONDS = 0.05  # between two looks at the process itself
_ENDING = 5.0  # for what is started faster than it can be ended
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


@dataclass(frozen=True)
class Running:
    """A process that runs: its number, its parent's, its group's and its session's, and its memory in bytes."""

    number: int
    parent: int
    group: int
    session: int
    memory: int


def family(process: int, home: str = "") -> list[Running]:
    """A process and all that it started, whatever groups and sessions these went into; without those that are over.

    They are known by their parent, group or session, and by ``home``, their variable HOME: a process that left all the
    others has the environment still. Without Linux's /proc, parents and groups are all there is to go by.

    >>> os.getpid() in {one.number for one in family(os.getpid())}
    True
    """
    running = list(processes())
    found = {
        one.number: one
        for one in running
        if process in (one.number, one.group, one.session) or at_home(one.number, home)
    }
    while more := {one.number: one for one in running if one.number not in found and one.parent in found}:
        found |= more
    return list(found.values())


def processes() -> Iterator[Running]:
    """All processes that the system shows, without those that ended and wait for their parent."""
    if not Path("/proc/self/stat").exists():
        words = ["ps", "-A", "-o", "pid=,ppid=,pgid=,rss=,stat="]
        for line in subprocess.run(words, capture_output=True, text=True, check=False).stdout.splitlines():
            with suppress(ValueError):
                number, parent, group, memory, state = line.split()
                if not state.startswith("Z"):
                    yield Running(int(number), int(parent), int(group), 0, int(memory) << 10)
        return
    page = os.sysconf("SC_PAGE_SIZE")
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError, IndexError, ValueError):  # it ended meanwhile
                # The name of the program stands in brackets, and may hold some itself.
                told = Path(f"/proc/{name}/stat").read_text(errors="replace").rpartition(")")[2].split()
                if told[0] not in "ZX":
                    yield Running(int(name), int(told[1]), int(told[2]), int(told[3]), int(told[21]) * page)


def at_home(process: int, home: str) -> bool:
    """Whether a process began with this HOME in its environment, as far as the system tells."""
    with suppress(OSError):
        return bool(home) and f"HOME={home}".encode() in Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    return False


def end(process: int, home: str = "", *, over: bool = False) -> None:
    """Kill a process and all that it started (:func:`family`); itself last, since by it the others are found.

    Of one that is ``over``, and whose number may be another's by now, what is left is found by ``home`` and its group.
    """
    if process <= 1:  # these numbers stand for everyone, for us, and for the first of all
        raise ValueError(f"no process to end: {process}")
    if not over:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGSTOP)  # it starts nothing more meanwhile
    until = time.monotonic() + _ENDING
    while time.monotonic() < until:
        others = [one.number for one in family(_NONE if over else process, home) if one.number != process]
        if not others:
            break
        for number in others:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGKILL)
        time.sleep(0.005)
    with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        os.killpg(process, signal.SIGKILL)


class MemoryWatch:
    """Looks at the memory of a process and of all that it started, and calls ``exceeded`` once it is over ``limit``.

    The process itself several times a second, its family every second; what they share counts for each.

    RLIMIT_AS and RLIMIT_DATA count what a process has reserved, which for CUDA and PyTorch is many times what it uses;
    so the memory that is really there is watched. What comes and goes within some hundredths of a second is not seen.
    """

    def __init__(self, process: int, limit: int, exceeded: Callable[[], object], home: str = "") -> None:
        self._process, self._limit, self._exceeded, self._home = process, limit, exceeded, home
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
            taken = resident(self._process)
            if turn % _TURNS == 0:
                taken = sum(one.memory for one in family(self._process, self._home))
            if taken > self._limit:
                self._exceeded()
                return
