"""A worker process, seen from the gate: start it, give it a model, ask it, end it.

Linux and macOS only: it stands on POSIX sockets, sessions and process groups.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from gate.engines.answers import LARGEST_JSON, ModelInfo, document, from_batch, largest_answer, model_error
from gate.engines.environment import worker_environment
from gate.engines.in_worker import frames
from gate.engines.limits import MemoryWatch, end, in_words
from gate.engines.question import Question
from gate.engines.shared import Piece
from gate.errors import EvidenceError
from gate.tasks.batch import Answers

PROGRAM = Path(__file__).resolve().parent / "in_worker" / "__main__.py"
SOCKET_BYTES = 1 << 20
POLL_SECONDS = 0.25
GRACE_SECONDS = 5.0
LOG_LINES = 6
SENT = "while it was sent a batch"
NO_FRAME = "wrote something into its answers that is none"


class Worker:
    """One model in a process of its own, between :meth:`start` and :meth:`close`.

    Errors are :class:`EvidenceError` with ``where`` = "candidate model" or "incumbent model"; after one the process is
    gone. Use it as a context manager, so that no process is left behind.

    Example::

        with Worker.start("candidate") as candidate:
            candidate.load(folder)
            print(candidate.ready().classes)
            candidate.ask(Question(batch))
            print(candidate.reply(batch.num_rows).values)
    """

    live = True

    def __init__(
        self,
        role: str,
        process: subprocess.Popen[bytes],
        channel: socket.socket,
        fd_in: int,
        log: Path,
        scratch: Any,
        *,
        timeout: float,
        total_timeout: float | None = None,
        memory: int | None = None,
        network_asked: bool = False,
    ) -> None:
        self.role = role
        self.log = log
        self.timeout = timeout
        self.total_timeout = total_timeout
        self.memory = memory
        self.network_asked = network_asked
        self.network = True
        self._process = process
        self._to_worker = channel
        self._from_worker = fd_in
        self._scratch = scratch
        self._info: ModelInfo | None = None
        self._ends_at: float | None = None
        self._shown: set[int] = set()  # pieces of shared memory that it has mapped
        self._asked_rows = 0
        self._asked_batches = 0
        self._done = False
        self._killed = False
        self._over = False
        self._too_large = False
        self._closed = False
        self._home = str(Path(scratch.name) / "home")
        self._hearing = threading.RLock()  # held while the pipes are in use: they are closed under nobody's hands
        self._sending = threading.RLock()
        self._ending = threading.Lock()
        self._readable = select.poll()
        self._readable.register(fd_in, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(channel, select.POLLOUT)
        channel.setblocking(False)  # so that writing to a worker that hangs can be given up
        self._watch = None if memory is None else MemoryWatch(process.pid, memory, self._exceeded, self._home)

    @classmethod
    def start(
        cls,
        role: str,
        *,
        timeout: float = 600.0,
        total_timeout: float | None = None,
        memory: int | None = None,
        threads: int | None = None,
        network: bool = False,
        python: str | os.PathLike[str] | None = None,
        log_dir: Path | None = None,
    ) -> Worker:
        """Spawn the process and return at once: it imports MLflow while the gate goes on.

        ``timeout`` in seconds is for loading and for each batch, ``total_timeout`` for all of it from :meth:`load` on;
        ``memory`` in bytes is the most that it and what it starts may take; ``threads`` is its share of the cores
        (default: half of them). ``network`` leaves it the network, which is turned off otherwise where the system lets
        it be; the attribute of that name says, once the model is loaded, what it came to. ``python`` is the interpreter
        of another environment. Its output goes to ``ROLE.log`` in ``log_dir`` (default: a temporary folder that goes
        with it). It ends with this process: by itself when its pipe is closed, and, where the main thread starts it
        (on Linux), by the system even where it hangs or was stopped.
        """
        scratch = tempfile.TemporaryDirectory(prefix="gate-worker-", ignore_cleanup_errors=True)
        home = Path(scratch.name)
        log = (log_dir or home) / f"{role}.log"
        (home / "home").mkdir()
        ours, theirs = socket.socketpair()
        our_in, their_out = os.pipe()
        launcher = [sys.executable, "-I", "-B", "-S", str(Path(__file__).resolve().with_name("unplugged.py"))]
        if network:
            launcher.append("--network")
        if threading.current_thread() is threading.main_thread():  # the system's word for it is the end of a thread
            launcher.append("--die-with-parent")
        program = [*launcher, str(python or sys.executable), "-I", "-B", str(PROGRAM)]
        try:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
            with open(log, "wb") as output:
                process = subprocess.Popen(
                    [*program, str(theirs.fileno()), str(their_out)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(theirs.fileno(), their_out),
                    cwd=home / "home",  # where a stray mlflow.db would land
                    env=worker_environment(os.environ, home=str(home / "home"), threads=threads or default_threads()),
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            os.close(our_in)
            scratch.cleanup()
            raise
        finally:
            theirs.close()
            os.close(their_out)
        return cls(
            role,
            process,
            ours,
            our_in,
            log,
            scratch,
            timeout=timeout,
            total_timeout=total_timeout,
            memory=memory,
            network_asked=network,
        )

    # --- the conversation

    def load(self, model_dir: Path, sets: bool = False, options: Mapping[str, Any] | None = None) -> None:
        """Tell it which model to load, and whether it may answer with sets; :meth:`ready` waits for it.

        ``options["torch"]`` is for PyTorch models: the device, and what else ``in_worker.torch_models`` knows of.
        """
        if self.total_timeout is not None:
            self._ends_at = time.monotonic() + self.total_timeout
        asked = {"model": str(Path(model_dir).resolve()), "role": self.role, "sets": sets}
        self._send(frames.LOAD, json.dumps({**asked, "options": dict(options or {})}).encode())

    def ready(self) -> ModelInfo:
        """Wait until the model is loaded; what it says of itself. A second call gives the same at once."""
        with self._hearing:
            if self._info is None:
                told = self._document(self._receive(frames.READY, "while it loaded"))
                try:
                    self._info = ModelInfo.from_json(self.role, told)
                except ValueError as error:
                    raise self._failed(f"says of itself what is none: {error}") from error
                self.network = not apart(self._process.pid)
            return self._info

    def ask(self, question: Question) -> None:
        """Send it some rows; :meth:`reply` waits for the answers."""
        self._asked_rows += question.rows
        self._asked_batches += 1
        size, payload = question.encoded()
        if isinstance(payload, Piece):
            self._send_shared(payload, size)
        else:
            self._send(frames.BATCH, payload)

    def reply(self, rows: int) -> Answers:
        """Wait for the answers to the oldest question that is unanswered, which has ``rows`` rows."""
        payload = self._receive(frames.ANSWER, "while it answered a batch", largest_answer(rows))
        try:
            return from_batch(frames.from_ipc(payload), rows, self.role)
        except (pa.ArrowException, StopIteration, ValueError, OSError, MemoryError) as error:
            raise self._failed(f"its answer cannot be read: {error}") from error

    def finish(self) -> None:
        """Say that no batch follows and wait for its word that it answered all. It cannot be asked again."""
        self._send(frames.END, b"")
        done = self._document(self._receive(frames.DONE, "at the end"))
        if done != {"batches": self._asked_batches, "rows": self._asked_rows}:
            raise self._failed(f"answered {done}, and was asked {self._asked_batches} batches, {self._asked_rows} rows")
        self._done = True

    # --- the end

    def kill(self) -> None:
        """End the process and all that it started, at once. Another thread may still be waiting for an answer."""
        self._killed = True
        self._unwatch()
        self._end()
        self._process.wait()

    def close(self) -> None:
        """End the process, let go of its pipes, and remove its temporary folder. May be called again.

        A thread that still reads or writes notices the end first, and leaves.
        """
        if self._closed:
            return
        self._closed = True
        if self._done:
            self._unwatch()
            self._exit_code(GRACE_SECONDS)
        self.kill()
        with self._sending, self._hearing:
            self._to_worker.close()
            os.close(self._from_worker)
        self._scratch.cleanup()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- the frames

    def _send(self, kind: int, payload: Any) -> None:
        """Write a frame. What a worker that is gone had to say, whoever waits for its answer finds out."""
        with self._sending, suppress(BrokenPipeError, ConnectionResetError):
            until = time.monotonic() + self.timeout
            self._write(frames.HEADER.pack(frames.MAGIC, kind, memoryview(payload).nbytes), until)
            self._write(payload, until)

    def _send_shared(self, piece: Piece, size: int) -> None:
        """Write a frame that says where in shared memory its batch is; a piece that is new to it is sent along."""
        payload = frames.PLACE.pack(piece.number, piece.size, size)
        frame = memoryview(frames.HEADER.pack(frames.MAGIC, frames.SHARED, len(payload)) + payload)
        with self._sending, suppress(BrokenPipeError, ConnectionResetError):
            until = time.monotonic() + self.timeout
            while piece.number not in self._shown and not self._killed:
                try:
                    frame = frame[socket.send_fds(self._to_worker, [frame], [piece.descriptor]) :]
                    self._shown.add(piece.number)
                except BlockingIOError:
                    self._wait(self._writable, until, SENT)
            self._write(frame, until)

    def _write(self, data: Any, until: float) -> None:
        """Write a buffer before the clock says ``until``; nothing more of it once the process is ended."""
        view = memoryview(data).cast("B")
        while view and not self._killed:
            try:
                view = view[self._to_worker.send(view) :]
            except BlockingIOError:
                self._wait(self._writable, until, SENT)

    def _receive(self, expected: int, doing: str, most: int = LARGEST_JSON) -> pa.Buffer:
        """Read the next frame, which must be of the kind ``expected`` and of at most ``most`` bytes."""
        with self._hearing:
            until = time.monotonic() + self.timeout
            header = bytearray(frames.HEADER.size)
            self._read(memoryview(header), until, doing)
            try:
                kind, length = frames.parse_header(bytes(header))
                if length > (most if kind == expected else LARGEST_JSON):
                    raise self._failed(f"wrote {in_words(length)} {doing}: more than an answer may have")
                payload = pa.allocate_buffer(length)
            except (ValueError, MemoryError) as error:
                raise self._failed(NO_FRAME) from error
            self._read(memoryview(payload).cast("B"), until, doing)
        if kind == frames.FAIL:
            told = self._document(payload)
            found, hint, withheld = (str(told.get(key) or "") for key in ("found", "hint", "withheld"))
            raise self._failed(found, hint, withheld)
        if kind != expected:
            raise self._failed("wrote an answer that nobody had asked for")
        return payload

    def _document(self, payload: pa.Buffer) -> dict[str, Any]:
        """The JSON object of a frame."""
        try:
            return document(payload.to_pybytes())
        except ValueError as error:
            raise self._failed(NO_FRAME) from error

    def _read(self, view: memoryview, until: float, doing: str) -> None:
        """Fill a buffer, unless time runs out or the process ends first."""
        while view:
            if self._killed:
                raise self._ended(doing)
            if self._wait(self._readable, until, doing):
                count = os.readv(self._from_worker, [view])
                if not count:
                    raise self._ended(doing)
                view = view[count:]
            elif self._process.poll() is not None:
                raise self._ended(doing)

    def _wait(self, pipe: select.poll, until: float, doing: str) -> bool:
        """Whether a pipe is ready within a moment. Both clocks are looked at each time, however busy the pipe is."""
        now = time.monotonic()
        if self._ends_at is not None and now > self._ends_at:
            hint = "give it more time in all with --total-timeout, or score fewer rows"
            raise self._lost(f"timed out after {self.total_timeout:g} s in all, {doing}", hint)
        if now > until:
            hint = "give it more time with --timeout, or make it faster"
            raise self._lost(f"timed out after {self.timeout:g} s {doing}", hint)
        left = min(until, self._ends_at or until) - now
        return bool(pipe.poll(1000 * min(POLL_SECONDS, left)))

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
        if self._too_large and self.memory is not None:
            hint = "allow it more with --memory, or score in smaller batches with --batch-rows"
            return self._lost(f"took more than {in_words(self.memory)} of memory {doing}, and was ended", hint)
        if code == -signal.SIGKILL and not self._killed:
            hint = "give the machine more memory, or score in smaller batches with --batch-rows"
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

    def _exceeded(self) -> None:
        """Called by the watch: end it, so that whoever waits for its answer wakes up."""
        self._too_large = True
        self._end()

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch.stop()

    def _end(self) -> None:
        """Kill it and all that it started, once: later its number may be another's."""
        with self._ending:
            if not self._over:
                end(self._process.pid, self._home, over=self._process.poll() is not None)
                self._over = True


def signal_name(number: int) -> str:
    """The name of a signal, for a message.

    >>> signal_name(6)
    'SIGABRT'
    """
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def default_threads(models: int = 2) -> int:
    """The share of the cores that this process may use, where ``models`` run at a time; at least 1.

    >>> default_threads(1_000_000)
    1
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // models)


def apart(process: int) -> bool:
    """Whether a process is in another network than this one; False where the system does not tell.

    >>> apart(os.getpid())
    False
    """
    try:
        return os.readlink(f"/proc/{process}/ns/net") != os.readlink("/proc/self/ns/net")
    except OSError:
        return False
