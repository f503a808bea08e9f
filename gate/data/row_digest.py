"""A digest of rows that have no order: what a cluster can tell of a held-out set (docs/decisions/0013)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_VERSION = b"gate row-set digest 2\n"
_WIDTH = 32
_MODULUS = 1 << 256


@dataclass(frozen=True)
class Hashed:
    """What is hashed of a row: the columns that are one ``word`` each, and one that tells the ``rest`` as text.

    >>> rows = pa.record_batch({"n": [1, None, 1], "text": ["a", "b", "a"]})
    >>> one, two, three = (Hashed(("n",), "text").digests(rows.slice(i, 1)) for i in range(3))
    >>> one == three, one == two, len(one)
    (True, False, 32)
    """

    words: tuple[str, ...]
    rest: str | None = None

    def digests(self, batch: pa.RecordBatch) -> bytes:
        """The SHA-256 of each row, one after another.

        Hashed are 8 bytes for each word, little-endian (0 where it is missing), a byte for each word that says whether
        it is missing, and the rest. All NaN are one, and so are 0.0 and -0.0.
        """
        rows, words = batch.num_rows, len(self.words)
        width = words * 9
        packed = np.zeros((rows, width), np.uint8)
        for place, name in enumerate(self.words):
            column = batch.column(name)
            packed[:, place * 8 : place * 8 + 8] = _word(column).view(np.uint8).reshape(rows, 8)
            if column.null_count:
                packed[:, words * 8 + place] = column.is_null().to_numpy(zero_copy_only=False)
        if self.rest is None:
            whole = memoryview(packed.tobytes())
            return b"".join(
                [hashlib.sha256(whole[start : start + width]).digest() for start in range(0, rows * width, width)]
            )
        every = packed.tobytes()
        return b"".join(
            hashlib.sha256(every[row * width : row * width + width] + text.encode()).digest()
            for row, text in enumerate(batch.column(self.rest).to_pylist())
        )


def _word(column: pa.Array) -> NDArray[Any]:
    """A column as 64 bits for each row."""
    kind = column.type
    if pa.types.is_floating(kind):
        floats = pc.fill_null(column.cast(pa.float64()), 0.0).to_numpy(zero_copy_only=False) + 0.0  # no -0.0 any more
        floats[np.isnan(floats)] = np.nan
        return np.ascontiguousarray(floats, "<f8")
    if pa.types.is_date32(kind):
        column = column.cast(pa.int32())
    whole = pc.fill_null(column.cast(pa.int64()), 0)
    return np.ascontiguousarray(whole.to_numpy(zero_copy_only=False), "<i8")


class RowSetDigest:
    """The sum, modulo 2 ** 256, of the SHA-256 of all rows; it does not depend on their order or their grouping.

    ``update`` takes the digests of rows, 32 bytes each, ``add`` a sum that was made elsewhere.

    >>> rows = [hashlib.sha256(text).digest() for text in (b"a", b"b", b"c")]
    >>> one, two = RowSetDigest(), RowSetDigest()
    >>> one.update(b"".join(rows))
    >>> two.update(rows[2])
    >>> two.add(RowSetDigest.of(rows[1] + rows[0]))
    >>> one.hexdigest([("id", "bigint")]) == two.hexdigest([("id", "bigint")]), one.rows
    (True, 3)
    """

    def __init__(self, total: int = 0, rows: int = 0) -> None:
        self.total, self.rows = total, rows

    @classmethod
    def of(cls, digests: bytes) -> RowSetDigest:
        """That of one batch."""
        found = cls()
        found.update(digests)
        return found

    def update(self, digests: bytes) -> None:
        """Add rows by their digests; ValueError for bytes that are no whole number of digests."""
        lanes = np.frombuffer(digests, "<u4").reshape(-1, _WIDTH // 4)
        # sums of 2 ** 32 numbers of 32 bits each still fit into 64
        sums = lanes.sum(axis=0, dtype=np.uint64)
        total = sum(int(lane) << (32 * place) for place, lane in enumerate(sums.tolist()))
        self.total, self.rows = (self.total + total) % _MODULUS, self.rows + len(lanes)

    def add(self, other: RowSetDigest) -> None:
        """Add the rows of another one."""
        self.total, self.rows = (self.total + other.total) % _MODULUS, self.rows + other.rows

    def hexdigest(self, columns: Sequence[tuple[str, str]]) -> str:
        """64 hexadecimal digits for the rows so far, of these columns (name, type), whose order counts."""
        schema = json.dumps([list(column) for column in columns], ensure_ascii=True)
        told = f"{schema}\n{self.rows}\n{self.total:064x}\n"
        return hashlib.sha256(_VERSION + told.encode()).hexdigest()
