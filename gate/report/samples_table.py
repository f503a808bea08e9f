"""The flipped rows as a table, CSV or Parquet, for spreadsheets and notebooks.

Beside what flipped stand the row's own columns, each as ``row.NAME``. A cell of a CSV that begins like a formula is
made text with an apostrophe: ids, labels, answers and columns come from outside.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from gate.core.flips import FlippedRow
from gate.core.outcomes import Picture, Value
from gate.decisions.record import Decision
from gate.report import words

COLUMNS = (
    "id", "kind", "label", "incumbent", "candidate", "incumbent_confidence", "candidate_confidence", "golden", "cost",
)  # fmt: skip
OF_THE_ROW = "row."
_NUMBERS = ("incumbent_confidence", "candidate_confidence", "cost")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def write_csv(decision: Decision, samples: Sequence[FlippedRow]) -> dict[str, bytes]:
    """``flipped.csv``: a header, and one line a row; without samples the header alone. A picture is a few words."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = _columns(samples)
    writer.writerow(columns)
    writer.writerows([_text(value) for value in line] for line in zip(*columns.values(), strict=True))
    return {"flipped.csv": out.getvalue().encode("utf-8", "backslashreplace")}


def write_parquet(decision: Decision, samples: Sequence[FlippedRow]) -> dict[str, bytes]:
    """``flipped.parquet``: each column of one type; one that mixes types is text. Pictures are PNG files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {}
    for name, values in _columns(samples).items():
        kinds = {type(value) for value in values if value is not None}
        if name in _NUMBERS:
            columns[name] = pa.array(values, pa.float64())
        elif kinds == {Picture}:
            columns[name] = pa.array([value.png if isinstance(value, Picture) else None for value in values])
        elif (len(kinds) == 1 and kinds <= {float, bool}) or (kinds == {int} and all(_fits(v) for v in values)):
            columns[name] = pa.array(values)
        else:
            columns[name] = pa.array([None if v is None else words.printable(_plain(v)) for v in values], pa.string())
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, compression="zstd")
    return {"flipped.parquet": out.getvalue()}


def _columns(samples: Sequence[FlippedRow]) -> dict[str, list[Value | Picture]]:
    """All columns: those of what flipped, then those of the rows, no name twice."""
    columns: dict[str, list[Value | Picture]] = {name: [getattr(row, name) for row in samples] for name in COLUMNS}
    for own in dict.fromkeys(name for row in samples for name in row.beside):
        name = OF_THE_ROW + words.printable(own)
        while name in columns:  # two names that differ only in what cannot be printed
            name += "'"
        columns[name] = [row.beside.get(own) for row in samples]
    return columns


def _fits(value: Value | Picture) -> bool:
    return value is None or (isinstance(value, int) and -(2**63) <= value < 2**63)


def _plain(value: Value | Picture) -> str:
    return f"(picture, {value.width} x {value.height})" if isinstance(value, Picture) else str(value)


def _text(value: Value | Picture) -> str:
    """A value as a cell of a CSV: what is no number and begins like a formula gets an apostrophe in front.

    >>> _text("=cmd()"), _text(-3), _text(None), _text("cat")
    ("'=cmd()", '-3', '', 'cat')
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        return _plain(value)
    shown = words.printable(value)
    return f"'{shown}" if value.startswith(_FORMULA) or value.lstrip().startswith(_FORMULA) else shown
