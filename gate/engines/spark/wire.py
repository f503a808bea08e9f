"""What a partition of a cluster counted, as text: plain JSON of known types, so that reading it runs no code.

A table goes through unchanged: the types of values (``1``, ``1.0``, ``True`` and ``"1"``), whole numbers of any size,
the bits of floats and arrays, and the order of everything.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from gate.core.clusters import ClusteredCells
from gate.core.counts import Cells, FlipCounts
from gate.core.flipped import FlippedRow
from gate.core.flips import FlipTable
from gate.core.matrix import MatrixCounts
from gate.core.outcomes import Picture
from gate.core.scored import ScoredCells
from gate.core.weights import WeightedCells

_KNOWN: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (FlipTable, FlipCounts, Cells, ClusteredCells, WeightedCells, ScoredCells, FlippedRow, Picture)
}
_NUMBERS = "biuf"  # the kinds of arrays that are sent as bytes; those of Python objects are sent one by one
_READ: dict[str, Callable[[Any], Any]] = {
    "date": datetime.date.fromisoformat,
    "datetime": datetime.datetime.fromisoformat,
    "time": datetime.time.fromisoformat,
    "seconds": lambda told: datetime.timedelta(*told),
    "decimal": decimal.Decimal,
    "bytes": base64.b64decode,
}


def to_text(value: Any) -> str:
    """A value of those that are counted with, as text. TypeError for one of another type.

    Flip tables and their parts, tuples, lists and mappings of such, NumPy arrays, and what names a row or a cell.

    >>> to_text(((1, True, 1.0, "1", None),))
    '{"is":"tuple","of":[{"is":"tuple","of":[1,true,1.0,"1",null]}]}'
    """
    return json.dumps(_plain(value), separators=(",", ":"))


def from_text(text: str) -> Any:
    """The value that :func:`to_text` wrote. ValueError for text that it did not write.

    >>> from_text(to_text(FlipTable(overall=FlipCounts(negative=2)))).overall.negative
    2
    """
    try:
        return _value(json.loads(text))
    except (KeyError, TypeError, AttributeError, decimal.InvalidOperation) as error:
        raise ValueError("not what a partition counted") from error


def _plain(value: Any) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, MatrixCounts):
        return {"is": "matrix", "of": [[_plain(key), rows] for key, rows in value.items()]}
    if is_dataclass(value) and _KNOWN.get(type(value).__name__) is type(value):
        parts = {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
        return {"is": type(value).__name__, "of": parts}
    if type(value) is tuple:
        return {"is": "tuple", "of": [_plain(item) for item in value]}
    if type(value) is list:
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {"is": "map", "of": [[_plain(key), _plain(item)] for key, item in value.items()]}
    return _named(value)


def _named(value: Any) -> dict[str, Any]:
    """What may name a row beside the values of JSON."""
    if isinstance(value, datetime.datetime):  # a date too
        return {"is": "datetime", "of": value.isoformat()}
    if isinstance(value, datetime.date):
        return {"is": "date", "of": value.isoformat()}
    if isinstance(value, datetime.time):
        return {"is": "time", "of": value.isoformat()}
    if isinstance(value, datetime.timedelta):
        return {"is": "seconds", "of": [value.days, value.seconds, value.microseconds]}
    if isinstance(value, decimal.Decimal):
        return {"is": "decimal", "of": str(value)}
    if isinstance(value, bytes):
        return {"is": "bytes", "of": base64.b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} is not among what is counted")


def _array(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    if array.dtype.kind in _NUMBERS:
        told = array.astype(array.dtype.newbyteorder("<"))
        data = base64.b64encode(np.ascontiguousarray(told).tobytes()).decode()
        return {"is": "array", "of": [told.dtype.str, list(array.shape), data]}
    return {"is": "objects", "of": [list(array.shape), [_plain(item) for item in array.ravel().tolist()]]}


def _value(told: Any) -> Any:
    if isinstance(told, list):
        return [_value(item) for item in told]
    if not isinstance(told, dict):
        return told
    kind, of = told["is"], told["of"]
    if kind == "tuple":
        return tuple(_value(item) for item in of)
    if kind == "map":
        return {_value(key): _value(item) for key, item in of}
    if kind == "matrix":
        return MatrixCounts((_value(key), int(rows)) for key, rows in of)
    if kind == "array":
        dtype, shape, data = of
        if np.dtype(dtype).kind not in _NUMBERS:
            raise ValueError(f"an array of {dtype}")
        numbers = np.frombuffer(base64.b64decode(data), np.dtype(dtype)).reshape(shape)
        return numbers.astype(np.dtype(dtype).newbyteorder("="))  # a copy of its own, that may be written to
    if kind == "objects":
        shape, items = of
        found = np.empty(len(items), dtype=object)
        found[:] = [_value(item) for item in items]
        return found.reshape(shape)
    if kind in _KNOWN:
        return _KNOWN[kind](**{name: _value(item) for name, item in of.items()})
    return _READ[kind](of)
