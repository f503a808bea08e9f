"""A worker process, seen from the gate: start it, give it a model, ask it, end it.

Linux and macOS only: it stands on POSIX pipes, sessions and process groups.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from gate.engines import worker as wire
from gate.engines.answers import ModelInfo, from_batch, model_error
from gate.engines.environment import worker_environment
from gate.errors import EvidenceError
from gate.tasks.batch import Answers

PIPE_BYTES = 1 << 20
POLL_SECONDS = 0.25
GRACE_SECONDS = 5.0
LOG_LINES = 6


class Worker:
    """One model in a process of its own, between :meth:`start` and :meth:`close`.

    Errors are :class:`EvidenceError` with ``where`` = "candidate model" or "incumbent model"; after one the process is
    gone. Use it as a context manager, so that no process is left behind.

    Example::

        with Worker.start("candidate") as candidate:
            candidate.load(folder)
            print(candidate.ready().classes)
            print(candidate.answer(batch).values)
    """

    def __init__(
        self,
        role: str,
        process: subprocess.Popen[bytes],
        fd_out: int,
        fd_in: int,
        timeout: float,
        log: Path,
        scratch: Any,
    ) -> None:
        self.role = role
        self.log = log
        self.timeout = timeout
        self._process = process
        self._to_worker = fd_out
        self._from_worker = fd_in
        self._scratch = scratch
        self._info: ModelInfo | None = None
        self._asked_rows = 0
        self._asked_batches = 0
        self._done = False
        self._killed = False
        self._closed = False
        self._readable = select.poll()
        self._readable.register(fd_in, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(fd_out, select.POLLOUT)
        os.set_blocking(fd_out, False)  # so that writing to a worker that hangs can be given up

    @classmethod
    def start(
        cls, role: str, *, timeout: float = 600.0, threads: int | None = None, log_dir: Path | None = None
    ) -> Worker:
        """Spawn the process and return at once: it imports MLflow while the gate goes on.

        ``timeout`` in seconds is for loading and for each batch; ``threads`` is its share of the cores (default: half
        of them); its output goes to ``ROLE.log`` in ``log_dir`` (default: a temporary folder that goes with it).
        """
        scratch = tempfile.TemporaryDirectory(prefix="gate-worker-", ignore_cleanup_errors=True)
        home = Path(scratch.name)
        log = (log_dir or home) / f"{role}.log"
        (home / "home").mkdir()
        their_in, our_out = os.pipe()
        our_in, their_out = os.pipe()
        try:
            for fd in (our_out, our_in):
                enlarge(fd)
            with open(log, "wb") as output:
                process = subprocess.Popen(
                    [sys.executable, "-I", "-B", str(Path(wire.__file__).resolve()), str(their_in), str(their_out)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(their_in, their_out),
                    cwd=home / "home",  # where a stray mlflow.db would land
                    env=worker_environment(os.environ, home=str(home / "home"), threads=threads or default_threads()),
                    start_new_session=True,
                )
        except BaseException:
            os.close(our_out)
            os.close(our_in)
            scratch.cleanup()
            raise
        finally:
            os.close(their_in)
            os.close(their_out)
        return cls(role, process, our_out, our_in, timeout, log, scratch)

    # --- the conversation

    def load(self, model_dir: Path, sets: bool = False) -> None:
        """Tell it which model to load, and whether it may answer with sets; :meth:`ready` waits for it."""
        asked = {"model": str(Path(model_dir).resolve()), "role": self.role, "sets": sets}
        self._send(wire.LOAD, json.dumps(asked).encode())

    def ready(self) -> ModelInfo:
        """Wait until the model is loaded; what it says of itself. A second call gives the same at once."""
        if self._info is None:
            payload = self._receive(wire.READY, "while it loaded")
            self._info = ModelInfo.from_json(self.role, json.loads(payload.to_pybytes()))
        return self._info

    def ask(self, payload: pa.Buffer, rows: int) -> None:
        """Send a batch of features (``worker.to_ipc``) of ``rows`` rows; :meth:`reply` waits for the answers."""
        self._asked_rows += rows
        self._asked_batches += 1
        self._send(wire.BATCH, payload)

    def reply(self, rows: int) -> Answers:
        """Wait for the answers to the oldest batch that is unanswered, of ``rows`` rows."""
        payload = self._receive(wire.ANSWER, "while it answered a batch")
        try:
            return from_batch(wire.from_ipc(payload), rows, self.role)
        except (pa.ArrowException, StopIteration, ValueError) as error:
            raise self._failed(f"its answer cannot be read: {error}") from error

    def answer(self, batch: pa.RecordBatch) -> Answers:
        """Ask and wait: the answers to one batch of features."""
        self.ready()
        self.ask(wire.to_ipc(batch), batch.num_rows)
        return self.reply(batch.num_rows)

    def finish(self) -> None:
        """Say that no batch follows and wait for its word that it answered all. It cannot be asked again."""
        self._send(wire.END, b"")
        done = json.loads(self._receive(wire.DONE, "at the end").to_pybytes())
        if done != {"batches": self._asked_batches, "rows": self._asked_rows}:
            raise self._failed(f"answered {done}, and was asked {self._asked_batches} batches, {self._asked_rows} rows")
        self._done = True

    # --- the end

    def kill(self) -> None:
        """End the process and all that it started, at once. Another thread may still be waiting for an answer."""
        self._killed = True
        self._kill_group()
        self._process.wait()

    def close(self) -> None:
        """End the process, let go of its pipes, and remove its temporary folder. May be called again."""
        if self._closed:
            return
        self._closed = True
        if self._done:
            self._exit_code(GRACE_SECONDS)
        self.kill()
        os.close(self._to_worker)
        os.close(self._from_worker)
        self._scratch.cleanup()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- the pipes

    def _send(self, kind: int, payload: Any) -> None:
        """Write a frame. A worker that does not read any more is found out by whoever waits for its answer."""
        try:
            self._write(wire.HEADER.pack(wire.MAGIC, kind, memoryview(payload).nbytes))
            self._write(payload)
        except BrokenPipeError:
            return

    def _write(self, data: Any) -> None:
        view = memoryview(data).cast("B")
        while view and not self._killed:
            try:
                view = view[os.write(self._to_worker, view) :]
            except BlockingIOError:
                self._writable.poll(POLL_SECONDS * 1000)

    def _receive(self, expected: int, doing: str) -> pa.Buffer:
        """Read the next frame, which must be of the kind ``expected``."""
        deadline = time.monotonic() + self.timeout
        header = bytearray(wire.HEADER.size)
        self._read(memoryview(header), deadline, doing)
        try:
            kind, length = wire.parse_header(bytes(header))
            payload = pa.allocate_buffer(length)
        except (ValueError, MemoryError) as error:
            raise self._failed("wrote something into its answers that is none") from error
        self._read(memoryview(payload).cast("B"), deadline, doing)
        if kind == wire.FAIL:
            told = json.loads(payload.to_pybytes())
            found, hint, withheld = (str(told.get(key) or "") for key in ("found", "hint", "withheld"))
            raise self._failed(found, hint, withheld)
        if kind != expected:
            raise self._failed("wrote an answer that nobody had asked for")
        return payload

    def _read(self, view: memoryview, deadline: float, doing: str) -> None:
        """Fill a buffer, unless time runs out or the process ends first."""
        while view:
            if self._readable.poll(POLL_SECONDS * 1000):
                count = os.readv(self._from_worker, [view])
                if not count:
                    raise self._ended(doing)
                view = view[count:]
            elif self._killed or self._process.poll() is not None:
                raise self._ended(doing)
            elif time.monotonic() > deadline:
                hint = "give it more time with --timeout, or make it faster"
                raise self._lost(f"timed out after {self.timeout:g} s {doing}", hint)

    # --- what went wrong

    def _failed(self, found: str, hint: str = "", withheld: str = "") -> EvidenceError:
        self.kill()
        return model_error(self.role, found, hint, withheld)

    def _lost(self, found: str, hint: str = "") -> EvidenceError:
        """The error of a process that says nothing more but what its output ends with."""
        return self._failed(found + self._last_words(), hint, withheld=found)

    def _ended(self, doing: str) -> EvidenceError:
        """The error of a process that is no more there."""
        code = self._exit_code(GRACE_SECONDS)
        if code == -signal.SIGKILL and not self._killed:
            hint = "give the machine more memory, or score in smaller batches"
            return self._lost(f"killed {doing}: probably out of memory", hint)
        if code is None:
            return self._lost(f"closed its pipe {doing}")
        if code < 0:
            return self._lost(f"died {doing}: {signal_name(-code)}")
        return self._lost(
            f"died {doing}: exit code {code}" if code else f"left without a result {doing}: exit code 0 is not enough"
        )

    def _last_words(self) -> str:
        """The last lines of its output, or of its crash report, for a message."""
        try:
            with open(self.log, "rb") as output:
                output.seek(max(0, os.path.getsize(self.log) - 16_384))
                text = output.read().decode("utf-8", "replace")
        except OSError:
            return ""
        lines = [line.rstrip()[:200] for line in text.splitlines() if line.strip()]
        crash = next((at for at, line in enumerate(lines) if line.startswith("Fatal Python error")), None)
        shown = lines[-LOG_LINES:] if crash is None else lines[crash : crash + LOG_LINES]
        return "".join(f"\n    | {line}" for line in shown)

    # --- the process

    def _exit_code(self, patience: float) -> int | None:
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            return None

    def _kill_group(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
            return


def signal_name(number: int) -> str:
    """The name of a signal, for a message.

    >>> signal_name(6)
    'SIGABRT'
    """
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def default_threads() -> int:
    """Half of the cores that this process may use: two models run at a time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // 2)


def enlarge(fd: int) -> None:
    """Ask for a larger pipe, where the system has such a thing: fewer turns between the two processes per batch."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with suppress(OSError):  # over the user's limit: the default will do
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
