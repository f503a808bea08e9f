"""Memory that the gate writes and every worker only reads: a batch is written once, however many models want it.

Linux only. It is sealed before anybody else sees it: a process that is handed the descriptor can map it to read, and in
no other way. Pieces are used again and again, since fresh pages cost more than the copy itself
(``benchmarks/transport.py``).
"""

from __future__ import annotations

import fcntl
import itertools
import mmap
import os
import weakref
from collections import deque
from contextlib import suppress

import pyarrow as pa

F_SEAL_FUTURE_WRITE = 0x0010  # Linux 5.1: who maps it from now on may only read
HEADROOM = 8  # an eighth more than asked for: the next batch is seldom of the very same size

_numbers = itertools.count()


class Piece:
    """One piece of memory. ``number`` names it, ``descriptor`` is what another process maps, ``buffer`` what is
    written."""

    def __init__(self, size: int) -> None:
        self.number = next(_numbers)
        self.size = -(-(size + size // HEADROOM) // mmap.PAGESIZE) * mmap.PAGESIZE
        self.descriptor = os.memfd_create("gate batch", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        weakref.finalize(self, os.close, self.descriptor)
        os.ftruncate(self.descriptor, self.size)
        self.buffer = pa.py_buffer(mmap.mmap(self.descriptor, self.size))
        seals = F_SEAL_FUTURE_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, seals)
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL)


class SharedMemory:
    """Pieces that are free. Where the system has no such thing there are none, and batches are copied.

    No lock: a piece is given back by a finalizer, which may run in the middle of :meth:`take`, in the same thread.
    """

    def __init__(self) -> None:
        self._free: deque[Piece] = deque()  # whose append and pop are one step each
        self._there_is = hasattr(os, "memfd_create") and hasattr(fcntl, "F_ADD_SEALS")

    def take(self, size: int) -> Piece | None:
        """A piece of at least ``size`` bytes, the one that was used last; None where there is no such thing."""
        if not self._there_is:
            return None
        with suppress(IndexError):
            while True:
                piece = self._free.pop()
                if piece.size >= size:
                    return piece
        try:
            return Piece(size)
        except OSError:  # an older kernel, or no room: a copy for each will do
            self._there_is = False
            return None

    def give_back(self, piece: Piece) -> None:
        """Nobody reads it any more."""
        self._free.append(piece)
