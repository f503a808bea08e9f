"""Processes of several workers that share the time of importing, seen from the gate (``in_worker/fork_server``).

Each has its own pipes, log, home and network, and ends by itself. The server is the one that hears of their ends, since
they are its children, and tells. Linux only.
"""

from __future__ import annotations

import json
import math
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from gate.engines.cradle import PROGRAM, Cradle
from gate.engines.limits import end

GRACE_SECONDS = 5.0
LONGEST_PAUSE = 0.25
HUNG_UP = 0.01
LARGEST_WORD = 256


class ForkServer:
    """The process that workers are forked from, until :meth:`close`; ``children`` are in the order of ``cradles``."""

    def __init__(
        self,
        cradles: Sequence[Cradle],
        environment: Mapping[str, str],
        *,
        network: bool,
        die_with_parent: bool,
    ) -> None:
        """Start it, with the workers' ``environment``; it returns at once. ``network`` leaves them the network."""
        self._scratch = tempfile.TemporaryDirectory(prefix="gate-workers-", ignore_cleanup_errors=True)
        self.log = Path(self._scratch.name) / "server.log"
        home = self._home = str(Path(self._scratch.name) / "home")
        os.mkdir(home)
        statuses = [os.pipe() for _ in cradles]
        told = {
            "network": network,
            "die_with_parent": die_with_parent,
            "children": [
                {
                    **dict(zip(("channel", "answers"), cradle.theirs, strict=True)),
                    "status": status,
                    "log": str(cradle.log.resolve()),
                    "home": str(cradle.home),
                }
                for cradle, (_, status) in zip(cradles, statuses, strict=True)
            ],
        }
        given = [fd for cradle in cradles for fd in cradle.theirs]
        try:
            with open(self.log, "wb") as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-B", str(PROGRAM), "--fork", json.dumps(told)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(*given, *(theirs for _, theirs in statuses)),
                    cwd=home,
                    env={**environment, "HOME": home},
                    start_new_session=True,
                )
        except BaseException:
            for ours, _ in statuses:
                os.close(ours)
            self._scratch.cleanup()
            raise
        finally:
            for _, theirs in statuses:
                os.close(theirs)
        self.children = [Forked(ours, self.log) for ours, _ in statuses]

    def close(self) -> None:
        """End it, and whatever is left of all that its workers started; for when these are over."""
        if all(child.poll() is not None and not child.abandoned for child in self.children):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE_SECONDS)  # it leaves by itself
        end(self._process.pid, self._home, over=self._process.poll() is not None)
        self._process.wait()
        for child in self.children:
            child.close()
        self._scratch.cleanup()


class Forked:
    """A forked worker's process, with as much of ``subprocess.Popen`` as a worker is asked for."""

    def __init__(self, status: int, server_log: Path) -> None:
        self.server_log = server_log
        self.returncode: int | None = None
        self.abandoned = False
        self._status = status
        self._number: int | None = None
        self._said = b""
        self._reading = threading.Lock()
        os.set_blocking(status, False)

    @property
    def pid(self) -> int | None:
        """Its number, None before it is forked."""
        self.poll()
        return self._number

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs, and before it is forked."""
        with self._reading:
            while self.returncode is None:
                try:
                    said = os.read(self._status, LARGEST_WORD)
                except BlockingIOError:
                    break
                if not said:
                    self._look()
                    break
                *lines, self._said = (self._said + said).split(b"\n")
                for line in lines:
                    what, number = line.split()
                    if what == b"born":
                        self._number = int(number)
                    else:
                        self.returncode = int(number)
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it is over. Raises ``subprocess.TimeoutExpired``."""
        until = math.inf if timeout is None else time.monotonic() + timeout
        word = select.poll()
        word.register(self._status, select.POLLIN)
        while (code := self.poll()) is None:
            left = until - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired("a forked worker", timeout or 0)
            if any(event & select.POLLHUP for _, event in word.poll(1000 * min(left, LONGEST_PAUSE))):
                time.sleep(HUNG_UP)  # nobody says anything any more: it is looked at now and then
        return code

    def abandon(self) -> None:
        """Nobody wants it any more, and it is not forked yet: it counts as killed, whatever becomes of it."""
        with self._reading:
            self.abandoned, self.returncode = True, -int(signal.SIGKILL)

    def close(self) -> None:
        """Listen no more; for when it is over."""
        os.close(self._status)

    def _look(self) -> None:
        """The server is gone and says nothing more: all that can be known is whether the process is there."""
        if self._number is None:
            self.returncode = 1
        elif is_over(self._number):
            self.returncode = -int(signal.SIGKILL)


def is_over(process: int) -> bool:
    """Whether a process is gone, or waits for its parent to notice.

    >>> is_over(os.getpid())
    False
    """
    try:
        return Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True
