"""What does it cost to hand batches to two processes: through a pipe each, or in memory that they share?

Run::

    python benchmarks/transport.py [--rows 16384] [--columns 50] [--batches 40] [--rounds 5]

Each round sends the same number of batches of doubles to two processes that read every value once and answer with their
sum, by turns through pipes (the bytes are written twice and read twice), through memory that is made anew for each
batch, and through pieces of memory that are used again. Prints milliseconds a batch: on the clock, and of processor
time in all three processes.
"""

from __future__ import annotations

import argparse
import os
import resource
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from machine import record

from gate.engines.in_worker.frames import from_ipc, ipc_size, to_ipc, write_ipc
from gate.engines.in_worker.serving import mapped, read_exactly
from gate.engines.shared import Piece

Way = Callable[[list[socket.socket], pa.RecordBatch], None]
WAYS = {"pipes": "through pipes", "anew": "in shared memory made anew", "again": "in shared memory used again"}
FRAME = struct.Struct("<QQQ")  # bytes of the stream; size (0: it follows) and number of the piece that holds it


def child(channel: socket.socket) -> None:
    """Answer every batch with the sum of its values."""
    pieces: dict[int, pa.Buffer] = {}
    while True:
        header = bytearray(FRAME.size)
        came = read_exactly(channel, memoryview(header))
        length, size, number = FRAME.unpack(bytes(header))
        if not length:
            os._exit(0)
        if came:
            pieces[number] = mapped(came[0], size)
        if size:
            payload = pieces[number]
        else:
            payload = pa.allocate_buffer(length)
            read_exactly(channel, memoryview(payload).cast("B"))
        batch = from_ipc(payload)
        total = sum(float(column.to_numpy().sum()) for column in batch.columns)
        channel.sendall(struct.pack("<d", total))


def through_pipes(channels: list[socket.socket], batch: pa.RecordBatch) -> None:
    payload = to_ipc(batch)

    def send(channel: socket.socket) -> None:
        channel.sendall(FRAME.pack(payload.size, 0, 0))
        channel.sendall(payload)

    threads = [threading.Thread(target=send, args=(channel,)) for channel in channels]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class ThroughMemory:
    """By pieces of shared memory; ``again``: three of them, one after the other, else a new one each time."""

    def __init__(self, again: bool) -> None:
        self.again = again
        self.pieces: list[Piece] = []
        self.sent: set[tuple[socket.socket, int]] = set()

    def __call__(self, channels: list[socket.socket], batch: pa.RecordBatch) -> None:
        length = ipc_size(batch)
        if len(self.pieces) < 3 or not self.again:
            self.pieces.append(Piece(length))
        piece = self.pieces.pop(0)
        write_ipc(batch, pa.FixedSizeBufferWriter(piece.buffer))
        for channel in channels:
            frame = FRAME.pack(length, piece.size, piece.number)
            if (channel, piece.number) in self.sent:
                channel.sendall(frame)
            else:
                socket.send_fds(channel, [frame], [piece.descriptor])
                self.sent.add((channel, piece.number))
        if self.again:
            self.pieces.append(piece)


def processes(count: int) -> list[socket.socket]:
    channels = []
    for _ in range(count):
        ours, theirs = socket.socketpair()
        if not os.fork():
            ours.close()
            for other in channels:
                other.close()
            child(theirs)
        theirs.close()
        channels.append(ours)
    return channels


def spent() -> float:
    """Processor seconds of this process and of the children that ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def measure(send: Way, batches: list[pa.RecordBatch], times: int) -> tuple[float, float]:
    """Milliseconds a batch: on the clock, and of processor time."""
    before = spent()
    channels = processes(2)
    started = time.perf_counter()
    for turn in range(times):
        send(channels, batches[turn % len(batches)])
        for channel in channels:
            channel.recv(8)
    elapsed = time.perf_counter() - started
    for channel in channels:
        channel.sendall(FRAME.pack(0, 0, 0))
        channel.close()
    for _ in channels:
        os.wait()
    return elapsed / times * 1e3, (spent() - before) / times * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=16_384)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    random = np.random.default_rng(0)
    names = [f"x{position}" for position in range(given.columns)]
    batches = [
        pa.RecordBatch.from_arrays([pa.array(random.normal(size=given.rows)) for _ in names], names=names)
        for _ in range(4)
    ]
    size = ipc_size(batches[0]) / (1 << 20)
    print(f"{given.rows:,} rows x {given.columns} doubles: {size:.1f} MiB a batch, two processes")
    ways: dict[str, Way] = {"pipes": through_pipes, "anew": ThroughMemory(False), "again": ThroughMemory(True)}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for turn in range(given.rounds):
        for name in ways if turn % 2 else reversed(list(ways)):
            found[name].append(measure(ways[name], batches, given.batches))
    kept = []
    for name, pairs in found.items():
        clock, processor = min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)
        print(f"  {name:7} least {clock:6.2f} ms on the clock, {processor:6.2f} ms of processor time")
        what = f"{size:.1f} MiB of rows to two processes, {WAYS[name]}"
        kept.append({"what": what, "value": clock, "unit": "ms", "processor_ms": processor})
    record("transport", kept)


if __name__ == "__main__":
    sys.exit(main())
