"""The flipped rows as a table, CSV or Parquet, for spreadsheets and notebooks.

A cell of a CSV that begins like a formula is made text with an apostrophe: ids, labels and answers come from outside.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from gate.core.flips import FlippedRow
from gate.core.outcomes import Value
from gate.decisions.record import Decision
from gate.report import words

COLUMNS = ("id", "kind", "label", "incumbent", "candidate", "incumbent_confidence", "candidate_confidence")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def write_csv(decision: Decision, samples: Sequence[FlippedRow]) -> dict[str, bytes]:
    """``flipped.csv``: a header, and one line a row; without samples the header alone."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_text(getattr(row, name)) for name in COLUMNS] for row in samples)
    return {"flipped.csv": out.getvalue().encode("utf-8", "backslashreplace")}


def write_parquet(decision: Decision, samples: Sequence[FlippedRow]) -> dict[str, bytes]:
    """``flipped.parquet``: each column of one type; one that mixes types is text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {}
    for name in COLUMNS:
        values = [getattr(row, name) for row in samples]
        kinds = {type(value) for value in values if value is not None}
        if name.endswith("_confidence"):
            columns[name] = pa.array(values, pa.float64())
        elif len(kinds) == 1 and kinds <= {int, float, bool}:
            columns[name] = pa.array(values)
        else:
            columns[name] = pa.array([None if v is None else words.printable(str(v)) for v in values], pa.string())
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, compression="zstd")
    return {"flipped.parquet": out.getvalue()}


def _text(value: Value) -> str:
    """A value as a cell of a CSV: what is no number and begins like a formula gets an apostrophe in front.

    >>> _text("=cmd()"), _text(-3), _text(None), _text("cat")
    ("'=cmd()", '-3', '', 'cat')
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        return str(value)
    shown = words.printable(value)
    return f"'{shown}" if value.startswith(_FORMULA) or value.lstrip().startswith(_FORMULA) else shown
