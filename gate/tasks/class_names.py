"""What can name a class: text, whole numbers, true and false; and how names are told apart and shown."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gate.core.outcomes import Value
from gate.errors import EvidenceError, datum
from gate.tasks.batch import Batch
from gate.tasks.vocabulary import plain

Typed = tuple[type, Value]
"""A name with its type, since 1 is not True and not "1"."""


def typed(value: Value) -> Typed:
    """The name with its type.

    >>> typed(1) == typed(True)
    False
    """
    return type(value), value


def whole_names(names: tuple[Value, ...] | None) -> tuple[Value, ...] | None:
    """A model that was trained on 0.0 and 1.0 knows the classes 0 and 1.

    >>> whole_names((0.0, 1.0))
    (0, 1)
    """
    if names is None:
        return None
    return tuple(int(name) if isinstance(name, float) and name.is_integer() else name for name in names)


def naming(column: pa.Array, where: str, what: str) -> pa.Array:
    """The column in a type of values, or a dictionary of texts; EvidenceError for one that names nothing (bytes)."""
    if _names_once(column):
        return column
    try:
        return plain(column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise EvidenceError(
            f"{what} of type {column.type} do not name anything",
            where=where,
            hint="whole numbers, true and false, and text do",
        ) from None


def _names_once(column: pa.Array) -> bool:
    """Whether it is a dictionary of texts, which is coded without looking at every row."""
    if not pa.types.is_dictionary(column.type) or column.dictionary.null_count:
        return False
    return bool(pa.types.is_string(column.type.value_type) or pa.types.is_large_string(column.type.value_type))


def kind_of(column: pa.Array) -> str:
    """What a column holds, in words: kinds are never taken for one another."""
    if pa.types.is_boolean(column.type):
        return "booleans"
    if pa.types.is_integer(column.type):
        return "integers"
    return "numbers with fractions" if pa.types.is_floating(column.type) else "text"


def whole_numbers(column: pa.Array, where: str, what: str, batch: Batch) -> pa.Array:
    """Floats that are all whole become integers; others are no classes."""
    if not pa.types.is_floating(column.type):
        return column
    numbers = column.to_numpy(zero_copy_only=False)
    broken = ~np.isfinite(numbers) | (numbers != np.floor(numbers)) | (np.abs(numbers) >= 2.0**63)
    if broken.any():
        raise EvidenceError(
            f"{what} must name classes, and {int(broken.sum())} in one batch do not"
            f" ({datum(numbers[int(np.argmax(broken))])} at row {batch.first(broken)})",
            where=where,
            hint="for a score say task.outputs: scores and task.threshold",
        )
    return column.cast(pa.int64())


def by_index(column: pa.Array, names: tuple[Value, ...], where: str, batch: Batch) -> pa.Array:
    """The names that stand at these positions; EvidenceError for a position that is none."""
    numbers = column.to_numpy(zero_copy_only=False)
    outside = (numbers < 0) | (numbers >= len(names))
    if outside.any():
        raise EvidenceError(
            f"class index {datum(int(numbers[int(np.argmax(outside))]))} at row {batch.first(outside)}, and there are"
            f" {len(names)} classes (0 to {len(names) - 1})",
            where=where,
            hint="mend task.classes in the policy",
        )
    if all(isinstance(name, str) for name in names):
        return pa.DictionaryArray.from_arrays(pa.array(numbers.astype(np.int64)), pa.array(names, pa.string()))
    return pc.take(pa.array(names), pa.array(numbers))


def some(names: Iterable[Typed]) -> str:
    """A few names for a message.

    >>> some(map(typed, ("b", "a", 1)))
    "1, 'a', 'b'"
    """
    shown = sorted((value for _, value in names), key=lambda value: (str(type(value)), value))
    return ", ".join(repr(value) for value in shown[:6]) + (", ..." if len(shown) > 6 else "")
