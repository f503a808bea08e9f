"""Columns of a batch as numbers or text, complete, or an error that names the row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gate.errors import EvidenceError
from gate.tasks.batch import Answers, Batch
from gate.tasks.vocabulary import plain

Numbers = NDArray[np.float64]
HELD_OUT = "held-out set"


def whole(column: pa.Array, batch: Batch, where: str, what: str) -> pa.Array:
    """The column, if it has as many entries as the batch has rows and none of them is missing."""
    if len(column) != len(batch):
        raise EvidenceError(f"{len(column)} {what} for {len(batch)} rows", where=where)
    if column.null_count:
        refuse(column.is_null().to_numpy(zero_copy_only=False), batch, where, f"missing {what}")
    return column


def single(answers: Answers, batch: Batch, role: str) -> pa.Array:
    """The answers of a model that gives one per row, complete."""
    column = answers.values
    if answers.width == 1:
        column = column.flatten()
    elif answers.width is not None or is_list(column.type):
        found = "lists" if answers.width is None else f"{answers.width} values"
        raise EvidenceError(
            f"it answers with {found} per row, and one is expected",
            where=f"{role} model",
            hint="give the gate one output at a time",
        )
    return whole(column, batch, f"{role} model", "answers")


def numbers(column: pa.Array, batch: Batch, where: str, what: str) -> Numbers:
    """A column of integers, floats or decimals as float64, all finite. No rows give no numbers."""
    column = whole(column, batch, where, what)
    kind = column.type
    if pa.types.is_null(kind) and not len(column):
        return np.zeros(0)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise EvidenceError(f"{what} of type {kind}, and numbers are expected", where=where)
    column = column.cast(pa.float64()) if pa.types.is_decimal(kind) else column
    found: Numbers = column.to_numpy(zero_copy_only=False).astype(np.float64)
    broken = ~np.isfinite(found)
    if broken.any():
        refuse(broken, batch, where, f"{what} that are NaN or infinite")
    return found


def texts(column: pa.Array, batch: Batch, where: str, what: str) -> pa.Array:
    """A column of text, complete; a dictionary of text is decoded."""
    column = whole(column, batch, where, what)
    if pa.types.is_dictionary(column.type):
        column = plain(column)
    if pa.types.is_null(column.type) and not len(column):
        return column.cast(pa.string())
    if not is_text(column.type):
        raise EvidenceError(
            f"{what} of type {column.type}, and text is expected",
            where=where,
            hint="1 and '1' are not the same answer: cast the column to text, or use match: number",
        )
    return column.cast(pa.large_string())


def refuse(broken: NDArray[Any], batch: Batch, where: str, what: str, hint: str = "") -> None:
    """Raise EvidenceError for the rows of ``broken``, naming the first."""
    raise EvidenceError(
        f"{what}: {int(broken.sum())} in one batch, first at row {batch.first(broken)}",
        where=where,
        hint=hint or "such a row can be neither right nor wrong: complete it, or leave it out",
    )


def is_text(kind: pa.DataType) -> bool:
    """Whether it is one of Arrow's types of text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_list(kind: pa.DataType) -> bool:
    """Whether each row has a list of values."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
