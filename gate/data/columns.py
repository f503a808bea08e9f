"""Which columns a table must have, what for, and how many rows of it make a good batch."""

from __future__ import annotations

from collections.abc import Mapping

from gate.data.tables import Table
from gate.errors import EvidenceError, Problem, did_you_mean

_BATCH_BYTES = 64 * 1024 * 1024
_MOST_ROWS = 65_536
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


def batch_rows(table: Table) -> int:
    """How many rows make a batch: a power of two up to 65,536, and no more than some 64 MiB by the first rows.

    A table whose rows are counted is cut into 4 batches or more, of 8,192 rows or more: while one is read, the models
    answer another. Fewer rows at a time are more calls of ``predict``, each of which costs MLflow and the gate some
    milliseconds (``benchmarks/checking.py``).

    The same table gives the same number, so that the same models see the same batches. A table without rows gives
    the largest, and so does a small one that does not tell how many rows it has.

    >>> import pyarrow as pa
    >>> from gate.data.tables import open_table
    >>> batch_rows(open_table(pa.table({"y": range(100_000)})))
    16384
    """
    first = next(table.batches(_FEWEST_ROWS), None)
    if first is None:
        return _MOST_ROWS
    a_row = first.nbytes / first.num_rows
    rows = _MOST_ROWS
    known = table.known_rows
    while rows > _FEW_ROWS and known is not None and rows * _BATCHES > known:
        rows //= 2
    while rows > _FEWEST_ROWS and rows * a_row > _BATCH_BYTES:
        rows //= 2
    return rows
