"""What a worker's process finds when it starts: its pipes, its log, and a folder of its own."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

PROGRAM = Path(__file__).resolve().parent / "in_worker" / "__main__.py"
"""What a worker runs."""
UNPLUGGED = PROGRAM.with_name("unplugged.py")
"""What gives up first what a worker has no need of."""
SOCKET_BYTES = 1 << 20


class Cradle:
    """Made before the process, and gone with it.

    ``channel`` and ``answers`` are the gate's ends, ``theirs`` the descriptors of the other ends: to read from, and to
    write to. ``home`` is where the process starts; its output goes to ``log``, in ``log_dir`` if that is given.
    """

    def __init__(self, role: str, log_dir: Path | None = None) -> None:
        self.scratch = tempfile.TemporaryDirectory(prefix="gate-worker-", ignore_cleanup_errors=True)
        self.home = Path(self.scratch.name) / "home"  # where a stray mlflow.db lands
        self.log = (log_dir or Path(self.scratch.name)) / f"{role}.log"
        self.home.mkdir()
        self.log.write_bytes(b"")
        self.channel, self._theirs = socket.socketpair()
        self.channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        self.answers, self._their_answers = os.pipe()

    @property
    def theirs(self) -> tuple[int, int]:
        """The other ends, until :meth:`given`."""
        return self._theirs.fileno(), self._their_answers

    def given(self) -> None:
        """The process has its ends: let go of them here."""
        self._theirs.close()
        os.close(self._their_answers)

    def burn(self) -> None:
        """There will be no process."""
        self.channel.close()
        os.close(self.answers)
        self.scratch.cleanup()
