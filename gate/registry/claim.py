"""A claim to the right to move an alias: who, where, what for and until when; and whether the claimant still lives."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from gate.decisions.canonical import canonical
from gate.decisions.summary import harmless
from gate.decisions.times import moment

LIFETIME = timedelta(minutes=10)
"""How long a claim counts. What is done under it takes seconds; clocks may differ by minutes."""

LARGEST_TICKET = 10**9
"""No claim counts with a larger one: whoever draws the next number must be able to write it down."""

_LARGEST_PROCESS = 2**32
_LONGEST_HOLDER = 64
_LONGEST_TEXT = 300


@dataclass(frozen=True)
class Claim:
    """What one claimant writes; ``ticket`` 0 means that it is still choosing one.

    ``holder`` is its own name, ``purpose`` what it wants to do (the same for a second run of the same), ``by`` the
    person. ``host``, ``pid`` and ``started`` tell the process from every other one; ``started`` is empty where the
    system does not say. Times are UTC, to the second.
    """

    holder: str
    ticket: int
    purpose: str
    by: str
    host: str
    pid: int
    started: str
    since: str
    until: str

    def to_text(self) -> str:
        """The claim as canonical JSON, which :func:`read_claim` reads."""
        return canonical(vars(self)).decode("utf-8").strip()

    def has_ended(self, now: datetime) -> bool:
        """Whether its time is over, or so far off that no clock explains it."""
        return not moment(self.since) - LIFETIME <= now < moment(self.until)

    def is_dead(self) -> bool:
        """Whether its process ran on this machine and runs no more. Of another machine nothing is known."""
        return self.host == this_host() and not _runs(self.pid, self.started)


def told(text: str) -> str:
    """A text as a claim takes it: short, and harmless to whoever is told of the claim.

    >>> told("ann\\n") == "ann\ufffd"
    True
    """
    return harmless(text)[:_LONGEST_TEXT]


def read_claim(text: str) -> Claim:
    """The claim that :meth:`Claim.to_text` wrote; ValueError for anything else, and for what no promoter writes.

    That is a number beyond all counting, and a text that is long or that a terminal would act upon.

    >>> read_claim("{}")
    Traceback (most recent call last):
    ...
    ValueError: not a claim
    """
    try:
        plain = json.loads(text)
        claim = Claim(**plain)
        kinds = {name: int if name in ("ticket", "pid") else str for name in vars(claim)}
        whole = all(type(value) is kinds[name] for name, value in vars(claim).items()) and _is_sane(claim)
        if whole and claim.to_text() == text and timedelta(0) <= moment(claim.until) - moment(claim.since) <= LIFETIME:
            return claim
    except (TypeError, ValueError, RecursionError):
        pass
    raise ValueError("not a claim")


def _is_sane(claim: Claim) -> bool:
    texts = (value for value in vars(claim).values() if isinstance(value, str))
    return (
        0 <= claim.ticket <= LARGEST_TICKET
        and 0 < claim.pid <= _LARGEST_PROCESS
        and 0 < len(claim.holder) <= _LONGEST_HOLDER
        and all(told(text) == text for text in texts)
    )


@cache
def this_host() -> str:
    """This machine, as no other names itself: its name, and a digest of the boot and of the process namespace.

    Containers may share a name and count processes on their own: a process number alone says little.
    """
    parts = []
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return f"{told(socket.gethostname())[:200]}:{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"


def this_process() -> tuple[int, str]:
    """The number of this process, and when it started as the system counts it (empty where it does not say).

    >>> this_process()[0] == os.getpid()
    True
    """
    return os.getpid(), _started(os.getpid()) or ""


def _runs(pid: int, started: str) -> bool:
    if Path("/proc/self/stat").exists():
        return _started(pid) == started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _started(pid: int) -> str | None:
    """When a process started; None for one that is not there, or has ended and waits to be asked how."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
