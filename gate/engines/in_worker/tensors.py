"""Columns as the arrays that a signature of tensors asks for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa

from .arrow_types import is_bytes, is_list, is_number
from .failures import Refusal
from .images import images


def unnamed_tensor(batch: pa.RecordBatch, spec: Any) -> np.ndarray:
    """The array of a signature with one unnamed tensor: its one list or bytes column, else all its numbers."""
    whole = [
        field.name
        for field in batch.schema
        if is_list(field.type) or is_bytes(field.type) or isinstance(field.type, pa.FixedShapeTensorType)
    ]
    if len(whole) == 1:
        return tensor(batch.column(whole[0]), spec, whole[0])
    if whole:
        raise Refusal(
            f"its signature is one tensor without a name, but {len(whole)} columns could be it: {', '.join(whole)}",
            "offer one of them, or log the model with a signature that names its input",
        )
    dtype, width = np.dtype(spec.type), spec.shape[-1]
    names = [f.name for f in batch.schema if is_number(f.type) or pa.types.is_boolean(f.type)]
    if dtype.kind in "OUS" and len(batch.schema.names) == 1:
        return tensor(batch.column(0), spec, batch.schema.names[0])
    if len(spec.shape) != 2 or width not in (-1, len(names)) or not names:
        raise Refusal(
            f"its signature is one tensor of shape {tuple(spec.shape)}, but neither a list nor a bytes column is "
            f"offered, and {len(names)} columns of numbers are",
            "offer the tensor as a list column, or exactly the columns that the model was trained on",
        )
    matrix = np.empty((batch.num_rows, len(names)), dtype)
    for position, name in enumerate(names):
        matrix[:, position] = numbers(batch.column(name), dtype, name)
    return matrix


def tensor(column: pa.Array, spec: Any, name: str) -> np.ndarray:
    """A column as the array that a tensor spec asks for: its shape, its dtype."""
    dtype, shape = np.dtype(spec.type), tuple(spec.shape)
    if isinstance(column.type, pa.FixedShapeTensorType):
        array = np.array(column.to_numpy_ndarray(), dtype)
        return reshaped(array, shape, name)
    if column.null_count and not is_number(column.type):
        raise Refusal(f"column {name!r} has no value in {column.null_count} row(s), and its signature is a tensor")
    if dtype.kind in "OUS":
        values = column.to_pylist()
        return reshaped(np.array(values, dtype if dtype.kind != "O" else object), shape, name)
    if is_bytes(column.type):
        return images(column, shape, name).astype(dtype)
    lengths = [len(column)]
    while is_list(column.type):
        lengths.append(list_length(column, name))
        column = column.flatten()
    return reshaped(numbers(column, dtype, name).reshape(lengths), shape, name)


def list_length(column: pa.Array, name: str) -> int:
    """The one length of a column's lists. Raises :class:`Refusal` where they differ or where one is missing."""
    if column.null_count:
        raise Refusal(f"column {name!r} has a missing list inside, and its signature is a tensor")
    if pa.types.is_fixed_size_list(column.type):
        return int(column.type.list_size)
    lengths = column.value_lengths().unique().to_pylist()
    if len(lengths) > 1:
        raise Refusal(f"column {name!r} has lists of different lengths ({min(lengths)} to {max(lengths)})")
    return int(lengths[0]) if lengths else 0


def numbers(column: pa.Array, dtype: np.dtype, name: str) -> np.ndarray:
    """A column of numbers as a new array: a model may write into its input, so nothing is lent. Missing becomes NaN."""
    given = column.type
    if not (is_number(given) or pa.types.is_boolean(given)):
        raise Refusal(f"column {name!r} is {given}, its signature says {dtype}")
    if pa.types.is_decimal(given):
        column = column.cast(pa.float64())
    if dtype.kind == "f":
        return np.array(column.to_numpy(zero_copy_only=False), dtype)
    if column.null_count:
        raise Refusal(f"column {name!r} has {column.null_count} missing value(s), its signature says {dtype}")
    try:
        return np.array(column.cast(pa.from_numpy_dtype(dtype)).to_numpy(zero_copy_only=False), dtype)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        wanted = f"column {name!r} is {given}, its signature says {dtype}"
        raise Refusal(f"{wanted}: {error}", withheld=wanted) from error


def reshaped(array: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    """An array in the shape of a spec, where -1 is any length; rows stay rows.

    >>> reshaped(np.zeros((5, 12)), (-1, 3, 2, 2), "x").shape
    (5, 3, 2, 2)
    """
    if array.ndim == len(shape) and all(
        want in (-1, has)
        for want, has in zip(shape[1:], array.shape[1:])  # noqa: B905  of one length
    ):
        return array
    row, want = math.prod(array.shape[1:]), list(shape[1:])
    known = math.prod(size for size in want if size != -1)
    if want.count(-1) == 1 and known and row % known == 0:
        want[want.index(-1)] = row // known
    if -1 in want or math.prod(want) != row:
        raise Refusal(f"column {name!r} has {row} value(s) a row, its signature has the shape {shape}")
    return array.reshape(len(array), *want)
