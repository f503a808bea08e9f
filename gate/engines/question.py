"""A batch of features on its way to models: encoded once, however many of them want these columns."""

from __future__ import annotations

import threading
import weakref

import pyarrow as pa

from gate.engines.in_worker.frames import ipc_size, to_ipc, write_ipc
from gate.engines.shared import Piece, SharedMemory


class Question:
    """Some rows and the columns that a model wants of them.

    Encoded when the first worker is sent it, and not at all where no process needs it; into ``memory``, where that is
    given, which is free again once nobody holds this object: so hold it until it is answered. May be asked again.

    >>> Question(pa.record_batch({"x": [3, 4, 5]})).only([2, 0]).batch.to_pydict()
    {'x': [5, 3]}
    """

    def __init__(self, batch: pa.RecordBatch, memory: SharedMemory | None = None) -> None:
        self.batch = batch
        self._memory = memory
        self._encoding = threading.Lock()
        self._size = 0
        self._encoded: Piece | pa.Buffer | None = None

    @property
    def rows(self) -> int:
        """How many answers it asks for."""
        return int(self.batch.num_rows)

    def only(self, rows: list[int]) -> Question:
        """Another question: these rows, in this order."""
        return Question(self.batch.take(pa.array(rows)))

    def encoded(self) -> tuple[int, Piece | pa.Buffer]:
        """The number of bytes of the Arrow IPC stream, and where they are."""
        with self._encoding:
            if self._encoded is None:
                self._size = ipc_size(self.batch)
                self._encoded = self._written()
            return self._size, self._encoded

    def _written(self) -> Piece | pa.Buffer:
        piece = None if self._memory is None else self._memory.take(self._size)
        if piece is None or self._memory is None:
            return to_ipc(self.batch)
        weakref.finalize(self, self._memory.give_back, piece)
        write_ipc(self.batch, pa.FixedSizeBufferWriter(piece.buffer))
        return piece
