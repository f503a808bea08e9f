"""Which columns a table must have, what for, and how many rows of it make a good batch."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from gate.data.tables import Table
from gate.errors import EvidenceError, Problem, did_you_mean

BATCH_BYTES = 64 * 1024 * 1024
_READ_BYTES = 4 * BATCH_BYTES  # what nobody wants is read all the same, for the digest, and let go at once
_MOST_ROWS = 65_536
_MOST_COUNTED = 131_072  # where nobody waits for a model: larger ones leave the processor's cache
_FEW_ROWS = 8_192  # fewer at a time than this only where the rows are large
_BATCHES = 4
_FEWEST_ROWS = 16


def require_columns(table: Table, wanted: Mapping[str, str]) -> None:
    """Check that each purpose's column is there; ``wanted`` maps a purpose (``label``) to a column name.

    EvidenceError names all that are absent at once, each with the nearest column that is there.

    >>> import pyarrow as pa
    >>> from gate.data.tables import open_table
    >>> require_columns(open_table(pa.table({"y": [1]})), {"label": "y"})
    """
    names = table.schema.names
    problems = [
        Problem(f"no column {column!r} for the {purpose}{did_you_mean(column, names)}", table.uri)
        for purpose, column in wanted.items()
        if column not in names
    ]
    if problems:
        raise EvidenceError(problems=problems)


def batch_rows(
    table: Table,
    wanted: Collection[str] | None = None,
    *,
    beside: int = 0,
    at_most: int = BATCH_BYTES,
    models: bool = True,
) -> int:
    """How many rows make a batch: a power of two up to 65,536, and no more than some 64 MiB by the first rows.

    ``wanted`` are the columns that models are sent (None: all), ``beside`` the bytes that their answers to a row take;
    together they come to ``at_most`` bytes. Columns that nobody wants are only held to some 256 MiB with the others.

    A table whose rows are counted is cut into 4 batches or more, of 8,192 rows or more: while one is read, the models
    answer another. Fewer rows at a time are more calls of ``predict``, each of which costs MLflow and the gate some
    milliseconds (``benchmarks/checking.py``). Where no ``models`` are asked, there are as few batches as can be, of up
    to 131,072 rows (``benchmarks/counting.py``).

    The same table gives the same number, so that the same models see the same batches. A table without rows gives
    the largest, and so does a small one that does not tell how many rows it has.

    >>> import pyarrow as pa
    >>> from gate.data.tables import open_table
    >>> table = open_table(pa.table({"y": range(100_000)}))
    >>> batch_rows(table), batch_rows(table, beside=2 * 8 * 1_000)
    (16384, 4096)
    >>> batch_rows(table, models=False)
    131072
    """
    rows = _MOST_ROWS if models else _MOST_COUNTED
    first = next(table.batches(_FEWEST_ROWS), None)
    if first is None:
        return rows
    names = first.schema.names
    sent = first.select([name for name in names if wanted is None or name in wanted])
    whole, a_row = first.nbytes / first.num_rows, sent.nbytes / first.num_rows + beside
    known = table.known_rows
    while rows > _FEW_ROWS and known is not None and (rows * _BATCHES > known if models else rows // 2 >= known):
        rows //= 2
    while rows > _FEWEST_ROWS and (rows * a_row > at_most or rows * whole > _READ_BYTES):
        rows //= 2
    return rows
