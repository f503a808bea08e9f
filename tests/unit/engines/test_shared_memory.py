"""Memory that workers share: written once, by the gate only."""

from __future__ import annotations

import gc
import mmap
import os
import sys
import threading

import numpy as np
import pyarrow as pa
import pytest

from gate.engines.in_worker.frames import from_ipc, ipc_size, write_ipc
from gate.engines.in_worker.serving import mapped
from gate.engines.question import Question
from gate.engines.shared import Piece, SharedMemory

BATCH = pa.record_batch({"x": np.arange(1000.0)})

linux = pytest.mark.skipif(sys.platform != "linux", reason="memory files are Linux's")


@linux
def test_who_is_handed_the_memory_can_read_it_and_in_no_way_write() -> None:
    piece = Piece(100)
    write_ipc(BATCH.slice(0, 1), pa.FixedSizeBufferWriter(piece.buffer))
    theirs = os.dup(piece.descriptor)
    try:
        with pytest.raises(PermissionError):
            mmap.mmap(theirs, piece.size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        with pytest.raises(PermissionError):
            os.write(theirs, b"another batch")
        with pytest.raises(PermissionError):
            os.ftruncate(theirs, 0)
        again = os.open(f"/proc/self/fd/{theirs}", os.O_RDWR)  # opened anew, it is as sealed
        with pytest.raises(PermissionError):
            os.write(again, b"another batch")
        os.close(again)
    finally:
        read = mapped(theirs, piece.size)
    assert from_ipc(read).to_pydict() == {"x": [0.0]}


@linux
def test_a_piece_is_used_again_only_when_nobody_holds_its_question() -> None:
    memory = SharedMemory()
    first, second = Question(BATCH, memory), Question(BATCH, memory)
    one, other = first.encoded()[1], second.encoded()[1]
    assert isinstance(one, Piece) and isinstance(other, Piece)
    assert one.number != other.number
    number = one.number
    del first, one
    gc.collect()
    third = Question(BATCH, memory).encoded()[1]
    assert isinstance(third, Piece) and third.number == number


@linux
def test_a_piece_may_be_given_back_in_the_middle_of_taking_one() -> None:
    class Refusing(Piece):
        """Too small; looking at its size is where a collection of garbage gives another one back."""

        @property
        def size(self) -> int:
            memory.give_back(other)
            return 0

        @size.setter
        def size(self, size: int) -> None: ...

    memory, other = SharedMemory(), Piece(100)
    small = Refusing.__new__(Refusing)
    memory.give_back(small)
    taken: list[Piece | None] = []
    thread = threading.Thread(target=lambda: taken.append(memory.take(10)), daemon=True)
    thread.start()
    thread.join(10)
    assert taken == [other]


@linux
def test_a_batch_that_does_not_fit_into_a_free_piece_gets_another_one() -> None:
    memory = SharedMemory()
    memory.give_back(Piece(10))
    large = pa.record_batch({"x": np.arange(100_000.0)})
    question = Question(large, memory)
    size, piece = question.encoded()
    assert isinstance(piece, Piece) and piece.size >= size == ipc_size(large)
    assert from_ipc(piece.buffer).equals(large)


def test_without_such_memory_a_batch_is_encoded_once_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    question = Question(BATCH, SharedMemory())
    size, payload = question.encoded()
    assert isinstance(payload, pa.Buffer) and payload.size == size
    assert question.encoded()[1] is payload
    assert from_ipc(payload).equals(BATCH)
