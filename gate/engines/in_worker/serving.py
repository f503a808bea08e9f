"""One side of the conversation of ``frames``: the main loop of a worker.

Standard output and error belong to the model; the gate sends them to a log. It needs POSIX: Linux and macOS.
"""

from __future__ import annotations

import array
import gc
import io
import json
import mmap
import os
import queue
import select
import socket
import sys
import threading
import traceback
from typing import NoReturn

import pyarrow as pa

from .failures import Refusal, failure
from .frames import (
    ANSWER,
    BATCH,
    DONE,
    END,
    FAIL,
    HEADER,
    PLACE,
    READY,
    SHARED,
    from_ipc,
    parse_header,
    to_ipc,
    write_frame,
)
from .loaded import load
from .predicting import is_copied, predict

OLDEST_PYARROW = 14
AHEAD = 2  # batches that wait inside the worker while it predicts


def main() -> None:
    """Be a worker, as ``__main__.py FD_IN FD_OUT`` was told to: read from a socket, write to a pipe."""
    import faulthandler
    import resource

    fd_in, fd_out = int(sys.argv[1]), int(sys.argv[2])
    for fd in (fd_in, fd_out):
        os.set_inheritable(fd, False)  # what the model starts must not keep the pipes open
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold rows of the held-out set
    faulthandler.enable()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace", line_buffering=True)
    serve(fd_in, fd_out)


def serve(fd_in: int, fd_out: int) -> None:
    """The conversation of one worker. Returns after DONE; leaves the process after FAIL."""
    frames: queue.Queue[tuple[int, pa.Buffer]] = queue.Queue(maxsize=AHEAD)
    threading.Thread(target=read_frames, args=(socket.socket(fileno=fd_in), frames), daemon=True).start()
    stage = "starting"
    gc.disable()  # what is imported is no garbage, and looking through it takes a quarter of the time
    try:
        check_pyarrow(pa.__version__)
        import mlflow.pyfunc  # noqa: F401  while the gate still downloads the model

        _, payload = frames.get()
        stage = "loading it"
        asked = json.loads(payload.to_pybytes())
        model = load(asked["model"], asked["sets"], asked.get("options"))
        gc.collect()
        gc.freeze()  # what is loaded stays; looking through it again and again would take longer than predict
        gc.enable()
        write_frame(fd_out, READY, json.dumps(model.about).encode())
        stage, batches, rows = "predict", 0, 0
        while True:
            kind, payload = frames.get()
            if kind == END:
                break
            answer = predict(model, from_ipc(payload) if kind == BATCH else kept(payload), own=True)
            write_frame(fd_out, ANSWER, to_ipc(answer))
            batches, rows = batches + 1, rows + answer.num_rows
        write_frame(fd_out, DONE, json.dumps({"batches": batches, "rows": rows}).encode())
    except BrokenPipeError:
        os._exit(1)
    except BaseException as error:  # noqa: BLE001  sys.exit() in predict is a failure like any other
        traceback.print_exc()
        leave_with(fd_out, failure(stage, error))


def read_frames(channel: socket.socket, frames: queue.Queue[tuple[int, pa.Buffer]]) -> None:
    """Read frames ahead of the model, in a thread; leave with the gate, even while the model hangs."""
    poll = select.poll()
    poll.register(channel, 0)  # hang-ups are always reported
    pieces: dict[int, pa.Buffer] = {}
    while True:
        header = bytearray(HEADER.size)
        came = read_exactly(channel, memoryview(header))
        kind, length = parse_header(bytes(header))
        payload = pa.allocate_buffer(length)
        came += read_exactly(channel, memoryview(payload).cast("B"))
        if kind == SHARED:
            number, size, length = PLACE.unpack(payload.to_pybytes())
            if came:
                pieces[number] = mapped(came[0], size)
            payload = pieces[number].slice(0, length)
        while True:
            try:
                frames.put((kind, payload), timeout=1.0)
                break
            except queue.Full:
                if any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0)):
                    os._exit(1)


def read_exactly(channel: socket.socket, view: memoryview) -> list[int]:
    """Fill a buffer from the gate; the descriptors that came with it. The other end closed: the gate is gone, and so is
    this process."""
    came: list[int] = []
    while view:
        count, extra, _, _ = channel.recvmsg_into([view], socket.CMSG_SPACE(4))
        for level, kind, data in extra:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                came += array.array("i", data[: len(data) // 4 * 4])
        if not count:
            os._exit(1)
        view = view[count:]
    return came


def mapped(shared: int, size: int) -> pa.Buffer:
    """A piece of shared memory as a buffer, without a copy; its descriptor is closed."""
    try:
        return pa.py_buffer(mmap.mmap(shared, size, mmap.MAP_SHARED, mmap.PROT_READ))
    finally:
        os.close(shared)


def kept(payload: pa.Buffer) -> pa.RecordBatch:
    """The record batch of a payload in shared memory, which soon holds the next one.

    >>> kept(to_ipc(pa.record_batch([pa.array(["a"])], names=["word"]))).to_pydict()
    {'word': ['a']}
    """
    batch = from_ipc(payload)
    return batch if is_copied(batch) else from_ipc(pa.py_buffer(payload.to_pybytes()))


def check_pyarrow(version: str) -> None:
    """Raises :class:`Refusal` for a pyarrow that is too old for this package.

    >>> check_pyarrow("25.0.1")
    """
    if int(version.split(".")[0]) < OLDEST_PYARROW:
        found = f"its Python ({sys.executable}) has pyarrow {version}, which is too old"
        raise Refusal(found, f"install pyarrow {OLDEST_PYARROW} or newer there")


def leave_with(fd_out: int, payload: dict[str, str]) -> NoReturn:
    """Send FAIL and leave, without running what the model registered for the end."""
    write_frame(fd_out, FAIL, json.dumps(payload).encode())
    sys.stderr.flush()
    os._exit(1)
