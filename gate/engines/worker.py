"""One model in a process of its own: fed Arrow batches, answering Arrow batches, over a socket and a pipe.

Loading a model runs its code, so the gate never loads one itself. It runs this file by its path::

    python -I .../gate/engines/worker.py FD_IN FD_OUT

with a scrubbed environment (``gate.engines.environment``). The file stands alone: it imports the standard library,
NumPy, pyarrow (14 or newer), pandas and MLflow (2 or 3), never ``gate``, so that an interpreter of another environment
can run it too, from Python 3.9 on. It needs POSIX: Linux and macOS.

A conversation is ``LOAD -> READY``, then one ``BATCH -> ANSWER`` after another, then ``END -> DONE``. Whatever goes
wrong is a ``FAIL``, after which the worker leaves. A worker that leaves without ``DONE`` has failed, whatever its exit
code says. Each frame is a magic number, its kind, the length of its payload, and the payload: JSON, or for ``BATCH``
and ``ANSWER`` an Arrow IPC stream of one record batch. ``SHARED`` is a ``BATCH`` whose stream lies in memory that the
gate shares with its workers, and that they can only read: the payload says in which piece of it, and the descriptor of
a piece comes with the first frame that names it. Standard output and error belong to the model; the gate sends them to
a log.
"""

from __future__ import annotations

import array
import difflib
import gc
import importlib.util
import io
import json
import math
import mmap
import os
import queue
import select
import socket
import struct
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

try:
    import numpy as np
    import pyarrow as pa
except ImportError as missing:
    if __name__ == "__main__":  # nothing below can be defined without them: say it in the gate's frames, and leave
        told = {"found": f"its Python ({sys.executable}) cannot import what every worker needs: {missing}"}
        told["hint"] = "install mlflow, numpy, pandas and pyarrow 14 or newer there"
        said = json.dumps(told).encode()
        os.write(int(sys.argv[2]), struct.pack("<4sIQ", b"gate", 7, len(said)) + said)
        os._exit(1)
    raise

# --- frames -----------------------------------------------------------------------------------------------------------

HEADER = struct.Struct("<4sIQ")
PLACE = struct.Struct("<QQQ")  # the payload of SHARED: number and size of the piece, size of the stream
MAGIC = b"gate"
LOAD, READY, BATCH, ANSWER, END, DONE, FAIL, SHARED = range(1, 9)
OLDEST_PYARROW = 14
LARGEST_FRAME = 1 << 34  # a length beyond it is not one that we wrote
AHEAD = 2  # batches that wait inside the worker while it predicts


class Refusal(Exception):
    """What this file itself finds wrong with a model, its input or its answer: a sentence, and what to do about it."""

    def __init__(self, found: str, hint: str = "", withheld: str = "") -> None:
        super().__init__(found)
        self.found = found
        self.hint = hint
        self.withheld = withheld  # the sentence without what it quotes of the data, where it quotes any


def write_all(fd: int, data: Any) -> None:
    """Write every byte of a buffer to a blocking pipe. Raises ``BrokenPipeError`` when nobody reads any more."""
    view = memoryview(data).cast("B")
    while view:
        view = view[os.write(fd, view) :]


def write_frame(fd: int, kind: int, payload: Any = b"") -> None:
    """Write one frame: header, then payload (any bytes-like object, not copied)."""
    write_all(fd, HEADER.pack(MAGIC, kind, memoryview(payload).nbytes))
    write_all(fd, payload)


def parse_header(header: bytes) -> tuple[int, int]:
    """The kind and the payload's length of a frame. Raises ``ValueError`` for bytes that are no header.

    >>> parse_header(HEADER.pack(MAGIC, DONE, 12))
    (6, 12)
    """
    magic, kind, length = HEADER.unpack(header)
    if magic != MAGIC or not LOAD <= kind <= SHARED or length > LARGEST_FRAME:
        raise ValueError("not a frame")
    return kind, length


def to_ipc(batch: pa.RecordBatch) -> pa.Buffer:
    """A record batch as the payload of a frame: an Arrow IPC stream of one batch, schema included."""
    payload = pa.allocate_buffer(ipc_size(batch))  # measured first: one allocation, one copy
    write_ipc(batch, pa.FixedSizeBufferWriter(payload))
    return payload


def ipc_size(batch: pa.RecordBatch) -> int:
    """The number of bytes of :func:`to_ipc`."""
    size = pa.MockOutputStream()
    write_ipc(batch, size)
    return int(size.size())


def write_ipc(batch: pa.RecordBatch, sink: Any) -> None:
    """Write what :func:`to_ipc` gives into an Arrow stream."""
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)


def from_ipc(payload: pa.Buffer) -> pa.RecordBatch:
    """The record batch of a payload, without a copy. Raises ``pa.ArrowInvalid`` or ``StopIteration``'s like."""
    return pa.ipc.open_stream(payload).read_next_batch()


# --- features: a record batch as what the model's signature asks for --------------------------------------------------


@dataclass(frozen=True)
class LoadedModel:
    """An MLflow model in memory, and what the gate wants to know of it.

    ``columns`` are the feature columns that it names (None: it takes all that are offered); ``spec`` are the inputs of
    its signature (None: it has none); ``sets`` says that it may answer each row with a list of any length. ``call`` is
    what is asked: the ``predict`` of ``pyfunc``, or a quicker way to the same.
    """

    pyfunc: Any
    call: Callable[[Any], Any]
    inputs: Any
    columns: list[str] | None
    about: dict[str, Any] = field(default_factory=dict)
    sets: bool = False


def features(model: LoadedModel, batch: pa.RecordBatch) -> Any:
    """The model's input for a batch: a DataFrame, an array, or a dict of arrays, as its signature says.

    Columns are cast by the signature where that changes no value (integers and doubles may become narrower floats).
    Raises :class:`Refusal` for a missing column, a cast that would change values, ragged tensors, unreadable images.
    """
    specs = model.inputs
    if specs is None:
        if model.columns is not None and set(model.columns) <= set(batch.schema.names):
            batch = batch.select(model.columns)
        return batch.to_pandas().copy()  # the memory is the next batch's, soon
    if specs.is_tensor_spec():
        if specs.has_input_names():
            return {spec.name: tensor(column_of(batch, spec.name), spec, spec.name) for spec in specs.inputs}
        return unnamed_tensor(batch, specs.inputs[0])
    from_hints = getattr(model.pyfunc.metadata, "_is_signature_from_type_hint", bool)  # MLflow 2.20 and newer
    return frame(batch, specs, split=not from_hints())


def column_of(batch: pa.RecordBatch, name: str) -> pa.Array:
    """A column by name. Raises :class:`Refusal` with the nearest right name."""
    if name in batch.schema.names:
        return batch.column(name)
    raise Refusal(
        f"its signature asks for the column {name!r}, which is not among the features offered"
        + did_you_mean(name, batch.schema.names),
        "add the column to the held-out set, or log the model with the signature that it really has",
    )


def did_you_mean(wrong: str, right: Sequence[str]) -> str:
    """The tail of a message about an unknown name. (``gate.errors`` has the same; this file stands alone.)

    >>> did_you_mean("amuont", ["amount", "age"])
    "; did you mean 'amount'?"
    """
    near = difflib.get_close_matches(wrong, right, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; offered: {', '.join(right[:12])}" + (f" and {len(right) - 12} more" if len(right) > 12 else "")


def frame(batch: pa.RecordBatch, schema: Any, *, split: bool) -> Any:
    """The batch as the DataFrame of a column signature: its columns, in its order, of its types."""
    if schema.has_input_names():
        optional = set(schema.optional_input_names())
        names = [name for name in schema.input_names() if name in batch.schema.names or name not in optional]
        kinds = {spec.name: spec.type for spec in schema.inputs}
        columns = [cast(column_of(batch, name), kinds[name], name) for name in names]
    else:
        names = batch.schema.names
        if len(names) != len(schema.inputs):
            raise Refusal(
                f"its signature has {len(schema.inputs)} input(s) without names, but {len(names)} columns are offered",
                "log the model with a signature that names its columns",
            )
        columns = [
            cast(column, spec.type, name)
            for column, spec, name in zip(batch.columns, schema.inputs, names)  # noqa: B905  of one length
        ]
    # MLflow copies each column of a signature while it checks it: Arrow's buffers may be lent as they are.
    table = pa.RecordBatch.from_arrays(columns, names=names).to_pandas(split_blocks=split)
    return table if split else table.copy()


def cast(column: pa.Array, kind: Any, name: str) -> pa.Array:
    """A column as the type that a column signature asks for; what would change its values is refused."""
    target = ARROW_TYPES.get(getattr(kind, "name", ""))
    if target is None:  # arrays, objects, maps: MLflow looks through them itself
        return column
    if column.type == target and not (pa.types.is_integer(target) and column.null_count):
        return column
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    given = column.type
    text, moment = is_text(given), pa.types.is_temporal(given)
    wanted = f"column {name!r} is {given}, its signature says {kind.name}"
    if is_text(target) != text and not pa.types.is_null(given) and not (text and pa.types.is_temporal(target)):
        raise Refusal(wanted, "give the column the type that the model was trained on; text is not turned into numbers")
    if moment != pa.types.is_temporal(target) and not text and not pa.types.is_null(given):
        raise Refusal(wanted, "give the column the type that the model was trained on")
    if pa.types.is_integer(target) and column.null_count:
        missing = f"column {name!r} has {column.null_count} missing value(s), its signature says {kind.name}"
        raise Refusal(missing, "log the model with a double for a column that may be missing")
    if pa.types.is_boolean(target) and is_number(given) and not set(column.unique().to_pylist()) <= {0, 1, None}:
        raise Refusal(wanted, "only 0 and 1 are read as false and true")
    if pa.types.is_timestamp(given) and given.tz is not None:
        column = column.cast(pa.timestamp(given.unit))
    try:
        return column.cast(target, safe=not pa.types.is_floating(target))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        hint = "give the column the type that the model was trained on"
        raise Refusal(f"{wanted}: {error}", hint, wanted) from error


ARROW_TYPES = {
    "boolean": pa.bool_(),
    "integer": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "binary": pa.binary(),
    "datetime": pa.timestamp("ns"),
}


def is_text(kind: pa.DataType) -> bool:
    """Whether a type holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind)) or is_view(kind, "is_string_view")


def is_bytes(kind: pa.DataType) -> bool:
    """Whether a type holds bytes, such as encoded images."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind)) or is_view(kind, "is_binary_view")


def is_view(kind: pa.DataType, asks: str) -> bool:
    """Whether a type is one of Arrow's views, which pyarrow knows from 16 on."""
    return bool(getattr(pa.types, asks, lambda _: False)(kind))


def is_number(kind: pa.DataType) -> bool:
    """Whether a type holds numbers (decimals too, truth values not)."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def is_list(kind: pa.DataType) -> bool:
    """Whether a type holds a list of values in each row."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


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


def images(column: pa.Array, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Encoded images (PNG, JPEG, ...) as bytes 0 to 255 in the shape of a spec: channels first where it says so.

    Nothing is scaled or resized; the number of channels is the spec's (1 grey, 3 RGB, 4 RGBA).
    """
    from PIL import Image

    arrays: list[np.ndarray] = []
    for row, encoded in enumerate(column):
        try:
            with Image.open(io.BytesIO(encoded.as_buffer())) as image:
                arrays.append(image_array(image, shape))
        except Refusal as refusal:
            raise Refusal(f"column {name!r}: {refusal.found}", refusal.hint) from None
        except Exception as error:  # noqa: BLE001  each decoder of Pillow raises its own
            unreadable = f"column {name!r}: row {row} of the batch is no image that Pillow can read: {error}"
            raise Refusal(unreadable) from None
    if len({array.shape for array in arrays}) > 1:
        raise Refusal(f"column {name!r} has images of different sizes, which one array cannot hold")
    return np.stack(arrays)


IMAGE_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def image_array(image: Any, shape: tuple[int, ...]) -> np.ndarray:
    """One image in the shape of a spec's row. Raises :class:`Refusal` where it does not fit."""
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"):
        raise Refusal(f"an image of mode {image.mode} does not have 8 bits a channel")
    size, row = (image.height, image.width), shape[1:]

    def fits(height: int, width: int) -> bool:
        return height in (-1, size[0]) and width in (-1, size[1])

    if len(row) == 3 and row[0] in IMAGE_MODES and fits(row[1], row[2]):
        pixels = np.asarray(image.convert(IMAGE_MODES[row[0]])).reshape(*size, row[0])
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))
    if len(row) == 3 and row[2] in IMAGE_MODES and fits(row[0], row[1]):
        return np.asarray(image.convert(IMAGE_MODES[row[2]])).reshape(*size, row[2])
    if len(row) == 2 and fits(row[0], row[1]):
        return np.asarray(image.convert("L"))
    if len(row) == 1 and row[0] > 0 and row[0] % (size[0] * size[1]) == 0:
        channels = row[0] // (size[0] * size[1])
        if channels in IMAGE_MODES:
            return np.asarray(image.convert(IMAGE_MODES[channels])).reshape(-1)
    raise Refusal(
        f"an image of {size[0]} x {size[1]} pixels (height x width) does not fit the shape {shape} of the signature",
        "store the images in the size that the model takes: the gate does not resize",
    )


# --- answers: whatever a model returns, as one Arrow column -----------------------------------------------------------


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


ONE_ANSWER = "predict must return one label or score per row, or one row of scores per row"


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


SETS = (list, tuple, set, frozenset, np.ndarray)


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


ONE_SET = "predict must return one list of labels per row, or one row of zeros and ones or probabilities per row"


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


FLOATS = (pa.float32(), pa.float64())

# --- the model --------------------------------------------------------------------------------------------------------


def load(path: str, sets: bool = False, options: Mapping[str, Any] | None = None) -> LoadedModel:
    """Load an MLflow model from a folder, which may answer with ``sets``. Runs its code.

    ``options["torch"]`` is what ``torch_worker.py`` is told, for models of the ``pytorch`` flavour.

    Raises what loading raises, and :class:`Refusal` when scikit-learn warns that the model was saved by another
    version: its answers may then silently differ.
    """
    import mlflow.pyfunc

    if plain_torch(path):
        os.environ["MLFLOW_DEFAULT_PREDICTION_DEVICE"] = "cpu"  # torch_worker.py moves it, once
    # Where MLflow keeps what a script hands to set_model: one that hands it nothing would get the last one's model.
    if getattr(sys.modules.get("mlflow.models.model"), "__mlflow_model__", None) is not None:
        setattr(sys.modules["mlflow.models.model"], "__mlflow_model__", None)  # noqa: B010  not in older ones
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # MLflow would look at every file that is installed, to warn of what the gate compares itself (not on Spark).
        pyfunc = mlflow.pyfunc.load_model(path, suppress_warnings=True)
    for warning in caught:
        if warning.category.__name__ == "InconsistentVersionWarning":
            raise Refusal(
                f"it was saved by another version of scikit-learn: {str(warning.message).splitlines()[0]}",
                "run the gate in the environment that the model was made in, or each model in one of its own:"
                " --env-manager uv",
            )
        print(
            warnings.formatwarning(warning.message, warning.category, warning.filename, warning.lineno), file=sys.stderr
        )
    inputs = pyfunc.metadata.get_input_schema()
    columns: list[str] | None = None
    raw = raw_model(pyfunc)
    if inputs is None:
        columns = trained_columns(raw)
    elif inputs.has_input_names():
        columns = [str(name) for name in inputs.input_names()]
    call = torch_call(pyfunc, dict((options or {}).get("torch") or {})) or pyfunc.predict
    about = {
        "classes": classes_of(raw),
        "columns": columns,
        "flavors": sorted(pyfunc.metadata.flavors),
        "versions": versions(),
        "torch": dict(getattr(call, "about", {})),
    }
    return LoadedModel(pyfunc, call, inputs, columns, about, sets)


def plain_torch(path: str) -> bool:
    """Whether the model in a folder is PyTorch's, saved by MLflow's flavour for it."""
    from mlflow.models import Model

    flavors = Model.load(path).flavors
    return bool(flavors.get("python_function", {}).get("loader_module") == "mlflow.pytorch")


def torch_call(pyfunc: Any, options: dict[str, Any]) -> Callable[[Any], Any] | None:
    """What ``torch_worker.py`` beside this file makes of a PyTorch model; None for other models."""
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_worker.py")
    if "pytorch" not in pyfunc.metadata.flavors or not os.path.exists(beside):
        return None
    spec = importlib.util.spec_from_file_location("gate_torch_worker", beside)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # dataclasses look for it there
    spec.loader.exec_module(module)
    opened: Callable[[Any], Any] | None = module.open_torch(pyfunc, options)
    return opened


def raw_model(pyfunc: Any) -> Any:
    """The model beneath MLflow's wrapper, or None: whatever happens in here is no failure."""
    for unwrap in ("get_raw_model", "unwrap_python_model"):
        try:
            return getattr(pyfunc, unwrap)()
        except Exception:  # noqa: BLE001  foreign code may raise anything
            continue
    return getattr(getattr(pyfunc, "_model_impl", None), "sklearn_model", None)  # before MLflow 2.17


def trained_columns(raw: Any) -> list[str] | None:
    """The columns that a scikit-learn model without a signature was trained on, or None where it does not say."""
    try:
        return [str(name) for name in raw.feature_names_in_] or None
    except Exception:  # noqa: BLE001  foreign code may raise anything
        return None


def classes_of(raw: Any) -> list[Any] | None:
    """The classes in the order of a classifier's scores, as JSON values, or None where it does not say.

    >>> class Classifier: classes_ = np.array(["ham", "spam"])
    >>> classes_of(Classifier())
    ['ham', 'spam']
    """
    try:
        found = getattr(raw, "classes_", None)
        if found is None:
            found = raw.steps[-1][1].classes_
        classes = [value.item() if isinstance(value, np.generic) else value for value in found]
    except Exception:  # noqa: BLE001  foreign code may raise anything
        return None
    plain = all(type(value) in (int, str, bool) or (type(value) is float and math.isfinite(value)) for value in classes)
    return classes if classes and plain else None


def versions() -> dict[str, str]:
    """The versions of what runs the model: Python, MLflow, and those that are imported of the usual libraries."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in ("mlflow", "numpy", "pandas", "pyarrow", "sklearn", "torch", "xgboost", "lightgbm", "tensorflow"):
        version = getattr(sys.modules.get(name), "__version__", None)
        if isinstance(version, str):
            found[name] = str(version)
    return found


def predict(model: LoadedModel, batch: pa.RecordBatch, *, own: bool = False) -> pa.RecordBatch:
    """One batch of features to one batch of answers. Raises :class:`Refusal` and whatever the model raises.

    ``own`` says that nobody else reads the batch's memory, so that the model may change it.
    """
    data = features(model, batch if own or is_copied(batch) else from_ipc(to_ipc(batch)))
    torch = sys.modules.get("torch")  # imported by the model, or not at all
    if torch is None or not hasattr(torch, "no_grad"):
        return answer_batch(model.call(data), batch.num_rows, model.sets)
    # Not inference_mode: a model may ask for gradients inside its predict, which that forbids.
    with torch.no_grad():
        return answer_batch(model.call(data), batch.num_rows, model.sets)


def failure(stage: str, error: BaseException) -> dict[str, str]:
    """An error as the payload of FAIL: the sentence, what to do about it, and the sentence without words of others."""
    if isinstance(getattr(error, "found", None), str):  # a Refusal, or what is one in torch_worker.py
        return {part: str(getattr(error, part, "")) for part in ("found", "hint", "withheld")}
    try:
        message = " ".join(str(error).split())
    except Exception:  # noqa: BLE001  foreign code may raise anything
        message = "(its message cannot be shown)"
    if len(message) > 800:  # MLflow prints the data first and the reason last
        message = f"{message[:300]} ... {message[-480:]}"
    frames = traceback.extract_tb(error.__traceback__)
    last = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno} in {frames[-1].name})" if frames else ""
    hint = ""
    if isinstance(error, ModuleNotFoundError):
        hint = (
            f"install what the model needs into the environment of {sys.executable}; workers run `python -I`, which "
            "sees neither PYTHONPATH nor the user's site-packages"
        )
    raised = f"{stage} raised {type(error).__name__}"
    return {"found": f"{raised}: {message}{last}", "hint": hint, "withheld": f"{raised}{last}"}


# --- the process ------------------------------------------------------------------------------------------------------


def read_exactly(channel: socket.socket, view: memoryview) -> list[int]:
    """Fill a buffer from the gate; the descriptors that came with it. The other end closed: the gate is gone, and so is
    this process."""
    came: list[int] = []
    while view:
        count, extra, _, _ = channel.recvmsg_into([view], socket.CMSG_SPACE(4))
        for level, kind, data in extra:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                came += array.array("i", data[: len(data) // 4 * 4])
        if not count:
            os._exit(1)
        view = view[count:]
    return came


def mapped(shared: int, size: int) -> pa.Buffer:
    """A piece of shared memory as a buffer, without a copy; its descriptor is closed."""
    try:
        return pa.py_buffer(mmap.mmap(shared, size, mmap.MAP_SHARED, mmap.PROT_READ))
    finally:
        os.close(shared)


def read_frames(channel: socket.socket, frames: queue.Queue[tuple[int, pa.Buffer]]) -> None:
    """Read frames ahead of the model, in a thread; leave with the gate, even while the model hangs."""
    poll = select.poll()
    poll.register(channel, 0)  # hang-ups are always reported
    pieces: dict[int, pa.Buffer] = {}
    while True:
        header = bytearray(HEADER.size)
        came = read_exactly(channel, memoryview(header))
        kind, length = parse_header(bytes(header))
        payload = pa.allocate_buffer(length)
        came += read_exactly(channel, memoryview(payload).cast("B"))
        if kind == SHARED:
            number, size, length = PLACE.unpack(payload.to_pybytes())
            if came:
                pieces[number] = mapped(came[0], size)
            payload = pieces[number].slice(0, length)
        while True:
            try:
                frames.put((kind, payload), timeout=1.0)
                break
            except queue.Full:
                if any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0)):
                    os._exit(1)


def serve(fd_in: int, fd_out: int) -> None:
    """The conversation of one worker. Returns after DONE; leaves the process after FAIL."""
    frames: queue.Queue[tuple[int, pa.Buffer]] = queue.Queue(maxsize=AHEAD)
    threading.Thread(target=read_frames, args=(socket.socket(fileno=fd_in), frames), daemon=True).start()
    stage = "starting"
    gc.disable()  # what is imported is no garbage, and looking through it takes a quarter of the time
    try:
        check_pyarrow(pa.__version__)
        import mlflow.pyfunc  # noqa: F401  while the gate still downloads the model

        _, payload = frames.get()
        stage = "loading it"
        asked = json.loads(payload.to_pybytes())
        model = load(asked["model"], asked["sets"], asked.get("options"))
        gc.collect()
        gc.freeze()  # what is loaded stays; looking through it again and again would take longer than predict
        gc.enable()
        write_frame(fd_out, READY, json.dumps(model.about).encode())
        stage, batches, rows = "predict", 0, 0
        while True:
            kind, payload = frames.get()
            if kind == END:
                break
            answer = predict(model, from_ipc(payload) if kind == BATCH else kept(payload), own=True)
            write_frame(fd_out, ANSWER, to_ipc(answer))
            batches, rows = batches + 1, rows + answer.num_rows
        write_frame(fd_out, DONE, json.dumps({"batches": batches, "rows": rows}).encode())
    except BrokenPipeError:
        os._exit(1)
    except BaseException as error:  # noqa: BLE001  sys.exit() in predict is a failure like any other
        traceback.print_exc()
        leave_with(fd_out, failure(stage, error))


def kept(payload: pa.Buffer) -> pa.RecordBatch:
    """The record batch of a payload in shared memory, which soon holds the next one.

    >>> kept(to_ipc(pa.record_batch([pa.array(["a"])], names=["word"]))).to_pydict()
    {'word': ['a']}
    """
    batch = from_ipc(payload)
    return batch if is_copied(batch) else from_ipc(pa.py_buffer(payload.to_pybytes()))


def is_copied(batch: pa.RecordBatch) -> bool:
    """Whether all of a batch is copied on its way into a model anyway.

    Columns of plain numbers are, by :func:`features`, or by MLflow while it checks them. Of text and lists pandas keeps
    Arrow's own memory, and a model can write there.

    >>> is_copied(pa.record_batch([[1.5]], names=["x"])), is_copied(pa.record_batch([[[1.5]]], names=["x"]))
    (True, False)
    """
    return all(pa.types.is_primitive(kind) for kind in batch.schema.types)


def check_pyarrow(version: str) -> None:
    """Raises :class:`Refusal` for a pyarrow that is too old for this file.

    >>> check_pyarrow("25.0.1")
    """
    if int(version.split(".")[0]) < OLDEST_PYARROW:
        found = f"its Python ({sys.executable}) has pyarrow {version}, which is too old"
        raise Refusal(found, f"install pyarrow {OLDEST_PYARROW} or newer there")


def leave_with(fd_out: int, payload: dict[str, str]) -> NoReturn:
    """Send FAIL and leave, without running what the model registered for the end."""
    write_frame(fd_out, FAIL, json.dumps(payload).encode())
    sys.stderr.flush()
    os._exit(1)


def main() -> None:
    """Run as a script: ``worker.py FD_IN FD_OUT``."""
    import faulthandler
    import resource

    fd_in, fd_out = int(sys.argv[1]), int(sys.argv[2])
    for fd in (fd_in, fd_out):
        os.set_inheritable(fd, False)  # what the model starts must not keep the pipes open
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold rows of the held-out set
    faulthandler.enable()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace", line_buffering=True)
    serve(fd_in, fd_out)


if __name__ == "__main__":
    main()
