"""Whatever a model returns, as one Arrow column."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from .arrow_types import FLOATS, is_list, is_text
from .failures import Refusal

ONE_ANSWER = "predict must return one label or score per row, or one row of scores per row"
ONE_SET = "predict must return one list of labels per row, or one row of zeros and ones or probabilities per row"
SETS = (list, tuple, set, frozenset, np.ndarray)


def answer_batch(result: Any, rows: int, sets: bool = False) -> pa.RecordBatch:
    """A model's result as a record batch of one column, one row per row asked.

    A column of labels or scores, or a fixed-size list per row for a matrix of scores; column names of a matrix travel
    in the schema's metadata. With ``sets`` a row may also be a list of labels, of any length. Raises :class:`Refusal`
    for anything else: another number of rows, a reordered index, three dimensions, ragged rows, objects of no known
    kind.

    >>> answer_batch(np.array([[0.25, 0.75]]), 1).column(0)[0].as_py()
    [0.25, 0.75]
    >>> answer_batch([["sport"], []], 2, sets=True).column(0).to_pylist()
    [['sport'], []]
    """
    values, names = answer_array(result, rows, sets)
    metadata = {b"names": json.dumps(names).encode()} if names else None
    return pa.RecordBatch.from_arrays([values], schema=pa.schema([pa.field("answer", values.type)], metadata))


def answer_array(result: Any, rows: int, sets: bool) -> tuple[pa.Array, list[str] | None]:
    """The column of :func:`answer_batch`, and the names of a matrix's columns where it has real ones."""
    import pandas as pd

    if isinstance(result, Mapping):
        if len(result) != 1:
            raise Refusal(f"predict returned a dict of {len(result)} entries: which of them is the answer?", ONE_ANSWER)
        result = next(iter(result.values()))
    names: list[str] | None = None
    if isinstance(result, (pd.Series, pd.DataFrame)):
        check_rows(len(result), rows)
        check_order(result.index)
        if isinstance(result, pd.DataFrame):
            if result.shape[1] != 1:
                return table_answer(result)
            result = result.iloc[:, 0]
        return series_answer(result, sets), None
    if hasattr(result, "detach") and hasattr(result, "cpu"):  # a torch tensor, without importing torch
        result = tensor_array(result)
    if isinstance(result, (list, pd.api.extensions.ExtensionArray, pd.Index)):
        return list_answer(list(result), rows, sets), names
    if isinstance(result, np.ma.MaskedArray) and np.ma.is_masked(result):
        raise Refusal("predict returned a masked array with rows masked out", ONE_ANSWER)
    if not isinstance(result, np.ndarray):
        raise Refusal(f"predict returned a {type(result).__name__}, which is no column of answers", ONE_ANSWER)
    return ndarray_answer(result, rows, sets), names


def check_rows(got: int, rows: int) -> None:
    """Raises :class:`Refusal` unless there is one answer per row."""
    if got != rows:
        raise Refusal(f"predict returned {got} rows for {rows}: the wrong number of rows", ONE_ANSWER)


def check_order(index: Any) -> None:
    """Raises :class:`Refusal` unless a pandas answer has the index 0, 1, 2, ... that its input had."""
    import pandas as pd

    if isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1:
        return
    if not (pd.api.types.is_integer_dtype(index.dtype) and np.array_equal(index.to_numpy(), np.arange(len(index)))):
        raise Refusal(
            "predict returned its rows in another order: the index of its answer is not the index of its input",
            "return the answers in the order of the rows, with the index of the input",
        )


def table_answer(table: Any) -> tuple[pa.Array, list[str] | None]:
    """A DataFrame of scores as fixed-size lists; names are kept unless they only count 0, 1, 2, ..."""
    if not all(getattr(kind, "kind", "O") in "iufb" for kind in table.dtypes):
        kinds = ", ".join(f"{name}: {kind}" for name, kind in list(table.dtypes.items())[:6])
        raise Refusal(f"predict returned a table of {table.shape[1]} columns ({kinds}), not all numbers", ONE_ANSWER)
    names = [str(name) for name in table.columns]
    counted = names == [str(position) for position in range(len(names))]
    return ndarray_answer(table.to_numpy(), len(table)), None if counted else names


def series_answer(series: Any, sets: bool = False) -> pa.Array:
    """A Series as a column; NaN stays NaN, which is not the same as no answer."""
    if getattr(series.dtype, "kind", "O") in "iufb" and isinstance(series.dtype, np.dtype):
        return ndarray_answer(series.to_numpy(), len(series))
    if series.dtype == object:
        return list_answer(series.tolist(), len(series), sets)
    values = pa.Array.from_pandas(series)
    values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    return set_column(values) if sets and is_list(values.type) else column_answer(values)


def tensor_array(tensor: Any) -> np.ndarray:
    """A torch tensor as an array, from any device; bfloat16, which NumPy lacks, as float32."""
    tensor = tensor.detach().cpu()
    try:
        return np.asarray(tensor.numpy())
    except TypeError:
        return np.asarray(tensor.float().numpy())


def list_answer(values: list[Any], rows: int, sets: bool = False) -> pa.Array:
    """A list of labels, of scores, of rows of scores, or of ``sets``. Mixed kinds and other ragged rows are refused."""
    check_rows(len(values), rows)
    if sets and any(isinstance(value, SETS) for value in values):
        return set_answer(values)
    if values and (isinstance(values[0], (list, tuple, np.ndarray)) or hasattr(values[0], "detach")):
        try:
            return ndarray_answer(np.array(values), rows)
        except ValueError:
            raise Refusal("predict returned rows of different lengths", ONE_ANSWER) from None
    try:
        return column_answer(pa.array([value.item() if hasattr(value, "item") else value for value in values]))
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError, OverflowError):
        kinds = ", ".join(sorted({type(value).__name__ for value in values}))
        raise Refusal(f"predict returned answers of different or unknown kinds: {kinds}", ONE_ANSWER) from None


def set_answer(values: list[Any]) -> pa.Array:
    """Rows that each hold any number of labels, as a list column; None is a row that the model gave no answer to."""
    others = sorted({type(row).__name__ for row in values if row is not None and not isinstance(row, SETS)})
    if others:  # a text is no set of its letters
        raise Refusal(f"predict returned sets for some rows, and for others {', '.join(others)}", ONE_SET)
    try:
        rows = [None if row is None else [x.item() if hasattr(x, "item") else x for x in row] for row in values]
        return set_column(pa.array(rows))
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError, ValueError, OverflowError):
        kinds = ", ".join(sorted({type(x).__name__ for row in values if row is not None for x in row}))
        raise Refusal(f"predict returned sets of different or unknown kinds: {kinds}", ONE_SET) from None


def set_column(column: pa.Array) -> pa.Array:
    """A list column whose elements are text, numbers or truth values; null where every list is empty."""
    kind = column.type.value_type if is_list(column.type) else column.type
    if is_text(kind):
        return column.cast(pa.list_(pa.string()))
    if pa.types.is_null(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind) or kind in FLOATS:
        return column
    raise Refusal(f"predict returned sets of {kind}", ONE_SET)


def ndarray_answer(array: np.ndarray, rows: int, sets: bool = False) -> pa.Array:
    """An array of one or two dimensions; two with a single column are one."""
    if array.ndim == 0 or array.ndim > 2:
        raise Refusal(f"predict returned an array of {array.ndim} dimensions", ONE_ANSWER)
    check_rows(len(array), rows)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    kind = array.dtype.kind
    if kind in "OU" and array.ndim == 1:
        return list_answer(array.tolist(), rows, sets)
    if kind not in "iufb" or array.size == 0:
        raise Refusal(f"predict returned an array of shape {array.shape} and dtype {array.dtype}", ONE_ANSWER)
    if kind == "f" and array.dtype.itemsize not in (4, 8):
        array = array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.ndim == 1:
        return pa.array(array)
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(array).reshape(-1)), array.shape[1])


def column_answer(values: pa.Array) -> pa.Array:
    """An Arrow column of labels or scores; anything but numbers, truth values and text is refused."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if is_text(values.type):
        return values.cast(pa.string())
    if pa.types.is_integer(values.type) or pa.types.is_boolean(values.type) or values.type in FLOATS:
        return values
    raise Refusal(f"predict returned answers of type {values.type}", ONE_ANSWER)
