"""A record batch as what the model's signature asks for: a DataFrame, an array, or a dict of arrays."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from .arrow_types import is_number, is_text
from .failures import Refusal
from .loaded import LoadedModel
from .tensors import tensor, unnamed_tensor

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
    """The tail of a message about an unknown name. (``gate.errors`` has the same; this package stands alone.)

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
