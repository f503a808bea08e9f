"""What an Arrow type holds: text, bytes, numbers or lists."""

from __future__ import annotations

import pyarrow as pa

FLOATS = (pa.float32(), pa.float64())


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
