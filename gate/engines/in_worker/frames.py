"""What a worker and the gate tell each other: frames, and a record batch as the payload of one.

A conversation is ``LOAD -> READY``, then one ``BATCH -> ANSWER`` after another, then ``END -> DONE``. Whatever goes
wrong is a ``FAIL``, after which the worker leaves. A worker that leaves without ``DONE`` has failed, whatever its exit
code says. Each frame is a magic number, its kind, the length of its payload, and the payload: JSON, or for ``BATCH``
and ``ANSWER`` an Arrow IPC stream of one record batch. ``SHARED`` is a ``BATCH`` whose stream lies in memory that the
gate shares with its workers, and that they can only read: the payload says in which piece of it, and the descriptor of
a piece comes with the first frame that names it.
"""

from __future__ import annotations

import os
import struct
from typing import Any

import pyarrow as pa

HEADER = struct.Struct("<4sIQ")
PLACE = struct.Struct("<QQQ")  # the payload of SHARED: number and size of the piece, size of the stream
MAGIC = b"gate"
LOAD, READY, BATCH, ANSWER, END, DONE, FAIL, SHARED = range(1, 9)
LARGEST_FRAME = 1 << 34  # a length beyond it is not one that we wrote


def write_all(fd: int, data: Any) -> None:
    """Write every byte of a buffer to a blocking pipe. Raises ``BrokenPipeError`` when nobody reads any more."""
    view = memoryview(data).cast("B")
    while view:
        view = view[os.write(fd, view) :]


def write_frame(fd: int, kind: int, payload: Any = b"") -> None:
    """Write one frame: header, then payload (any bytes-like object, not copied)."""
    write_all(fd, HEADER.pack(MAGIC, kind, memoryview(payload).nbytes))
    write_all(fd, payload)


def parse_header(header: bytes) -> tuple[int, int]:
    """The kind and the payload's length of a frame. Raises ``ValueError`` for bytes that are no header.

    >>> parse_header(HEADER.pack(MAGIC, DONE, 12))
    (6, 12)
    """
    magic, kind, length = HEADER.unpack(header)
    if magic != MAGIC or not LOAD <= kind <= SHARED or length > LARGEST_FRAME:
        raise ValueError("not a frame")
    return kind, length


def to_ipc(batch: pa.RecordBatch) -> pa.Buffer:
    """A record batch as the payload of a frame: an Arrow IPC stream of one batch, schema included."""
    payload = pa.allocate_buffer(ipc_size(batch))  # measured first: one allocation, one copy
    write_ipc(batch, pa.FixedSizeBufferWriter(payload))
    return payload


def ipc_size(batch: pa.RecordBatch) -> int:
    """The number of bytes of :func:`to_ipc`."""
    size = pa.MockOutputStream()
    write_ipc(batch, size)
    return int(size.size())


def write_ipc(batch: pa.RecordBatch, sink: Any) -> None:
    """Write what :func:`to_ipc` gives into an Arrow stream."""
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)


def from_ipc(payload: pa.Buffer) -> pa.RecordBatch:
    """The record batch of a payload, without a copy. Raises ``pa.ArrowInvalid`` or ``StopIteration``'s like."""
    return pa.ipc.open_stream(payload).read_next_batch()
