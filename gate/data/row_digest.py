"""A digest of rows that have no order: what a cluster can tell of a held-out set (docs/decisions/0013)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from gate.errors import EvidenceError

_VERSION = b"gate row-set digest 1\n"
_WIDTH = 32
_MODULUS = 1 << 256


class RowSetDigest:
    """The sum, modulo 2 ** 256, of the SHA-256 of all rows; it does not depend on their order or their grouping.

    ``update`` takes the digests of rows, 32 bytes each, ``add`` a sum that was made elsewhere.

    >>> rows = [hashlib.sha256(text).digest() for text in (b"a", b"b", b"c")]
    >>> one, two = RowSetDigest(), RowSetDigest()
    >>> one.update(pa.array(rows))
    >>> two.update(pa.array(rows[2:]))
    >>> two.add(RowSetDigest.of(pa.array(rows[1::-1])))
    >>> one.hexdigest([("id", "bigint")]) == two.hexdigest([("id", "bigint")]), one.rows
    (True, 3)
    """

    def __init__(self, total: int = 0, rows: int = 0) -> None:
        self.total, self.rows = total, rows

    @classmethod
    def of(cls, digests: pa.Array) -> RowSetDigest:
        """That of one batch."""
        found = cls()
        found.update(digests)
        return found

    def update(self, digests: pa.Array) -> None:
        """Add rows by their digests; EvidenceError for one that is missing, or is not of 32 bytes."""
        if not len(digests):
            return
        fixed = digests.cast(pa.binary())
        data = np.frombuffer(b"".join(fixed.drop_null().to_pylist()), "<u4")
        if fixed.null_count or data.size * 4 != len(fixed) * _WIDTH:
            raise EvidenceError("a row without a digest", where="held-out set")
        # sums of 2 ** 32 numbers of 32 bits each still fit into 64
        lanes = data.reshape(-1, _WIDTH // 4).sum(axis=0, dtype=np.uint64)
        total = sum(int(lane) << (32 * place) for place, lane in enumerate(lanes.tolist()))
        self.total, self.rows = (self.total + total) % _MODULUS, self.rows + len(fixed)

    def add(self, other: RowSetDigest) -> None:
        """Add the rows of another one."""
        self.total, self.rows = (self.total + other.total) % _MODULUS, self.rows + other.rows

    def hexdigest(self, columns: Sequence[tuple[str, str]]) -> str:
        """64 hexadecimal digits for the rows so far, of these columns (name, type), whose order counts."""
        schema = json.dumps([list(column) for column in columns], ensure_ascii=True)
        told = f"{schema}\n{self.rows}\n{self.total:064x}\n"
        return hashlib.sha256(_VERSION + told.encode()).hexdigest()
