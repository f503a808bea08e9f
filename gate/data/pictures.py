"""Small pictures of the images that stand in a table: of files in a column of bytes, of pixels in a column of lists.

What is no image, is too large or cannot be decoded gives none: a picture helps a reader, and decides nothing.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gate.core.outcomes import Picture

MOST_PIXELS = 96
"""How wide and how high a picture is at most."""
MOST_BYTES = 4_000
"""From this size on a picture has 64 colours only."""

SHAPE = b"gate.shape"
"""Under which name a field notes the shape of its tensors, which Arrow holds as flat lists."""

_LARGEST_FILE = 20_000_000
_LARGEST_IMAGE = 25_000_000  # pixels: what is larger may be small as a file, and fill the memory once decoded
_SMALLEST_SIDE = 8  # of lists of lists: what is smaller is rather a few points or boxes
_COLOURS = (1, 3, 4)
_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
}
_PIXEL = re.compile(r"pixel\D?\d+(\D\d+)?$", re.IGNORECASE)
_IMAGE_LIKE = re.compile(r"image|img|pixel|picture|photo|digit", re.IGNORECASE)


def may_hold_images(field: pa.Field) -> bool:
    """Whether a column might, by its type and, of flat lists, its name.

    >>> may_hold_images(pa.field("scan", pa.binary())), may_hold_images(pa.field("age", pa.int64()))
    (True, False)
    """
    kind = field.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return True
    noted = SHAPE in (field.metadata or {})
    return _is_list(kind) and (_is_list(kind.value_type) or noted or bool(_IMAGE_LIKE.search(field.name)))


def picture(value: pa.Scalar, field: pa.Field) -> Picture | None:
    """The picture of one value of the column ``field``; None where it is no image, or none that can be shown.

    Images are files (PNG, JPEG, GIF, BMP, WebP: by their first bytes), and numbers in lists of shape (H, W), (H, W, C)
    or (C, H, W), or flat where the column's tensors have such a shape, or where it is called like an image and holds a
    square. Never raises for what the value holds.

    >>> field = pa.field("image", pa.list_(pa.list_(pa.float32())))
    >>> drawn = picture(pa.scalar(np.eye(28).tolist(), field.type), field)
    >>> drawn.width, drawn.height, drawn.png[1:4]
    (28, 28, b'PNG')
    """
    if not value.is_valid:
        return None
    try:
        if _is_list(field.type):
            pixels = _pixels(value, field)
            return None if pixels is None else _drawn(_of_pixels(pixels), pixels.shape[1], pixels.shape[0])
        return _of_file(value.as_py())
    except Exception:  # noqa: BLE001  # a decoder of foreign bytes may raise anything
        return None


def pixel_columns(schema: pa.Schema) -> list[str]:
    """The columns that hold a pixel each of one square image, row by row; none where they are no square.

    >>> names = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)]
    >>> pixel_columns(pa.schema([(name, pa.float64()) for name in ["id", *names]])) == names
    True
    """
    found = [field.name for field in schema if _PIXEL.match(field.name) and _is_number(field.type)]
    side = math.isqrt(len(found))
    return found if side * side == len(found) and side >= _SMALLEST_SIDE else []


def picture_of_pixels(values: Sequence[float | None]) -> Picture | None:
    """The picture of a square image from its pixels, row by row; None where one of them is missing."""
    if any(value is None for value in values):
        return None
    side = math.isqrt(len(values))
    return _drawn(_of_pixels(np.asarray(values, dtype=np.float64).reshape(side, side)), side, side)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _length(kind: pa.DataType) -> int | None:
    return kind.list_size if pa.types.is_fixed_size_list(kind) else None


# pixels


def _pixels(value: pa.Scalar, field: pa.Field) -> NDArray[Any] | None:
    """The numbers of one value, of shape (H, W) or (H, W, C)."""
    shape: list[int] = []
    values = value.values
    while _is_list(values.type):
        if not len(values) or values.null_count:
            return None
        lengths = {len(values)} if not shape else set()
        shape += lengths
        inner = values.value_lengths().unique().to_pylist() if _length(values.type) is None else [_length(values.type)]
        if len(inner) != 1 or not inner[0]:
            return None
        shape.append(int(inner[0]))
        values = values.flatten()
    if not _is_number(values.type) or values.null_count or not 0 < len(values) <= len(_COLOURS) * _LARGEST_IMAGE:
        return None
    flat = _flat_shape(field, len(values)) if not shape else tuple(shape)
    if flat is None or math.prod(flat) != len(values):
        return None
    return _as_rows(values.to_numpy(zero_copy_only=False).reshape(flat))


def _flat_shape(field: pa.Field, length: int) -> tuple[int, ...] | None:
    """The shape of flat lists: that of the column's tensors, or a square where the name speaks of images."""
    noted = (field.metadata or {}).get(SHAPE)
    if noted is not None:
        return tuple(int(size) for size in noted.decode().split(","))
    if not _IMAGE_LIKE.search(field.name):
        return None
    side = math.isqrt(length)
    return (side, side) if side * side == length and side >= _SMALLEST_SIDE else None


def _as_rows(pixels: NDArray[Any]) -> NDArray[Any] | None:
    if pixels.ndim == 3 and pixels.shape[2] not in _COLOURS and pixels.shape[0] in _COLOURS[:2]:
        pixels = np.moveaxis(pixels, 0, 2)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in _COLOURS):
        return None
    large = min(pixels.shape[:2]) >= _SMALLEST_SIDE and pixels.shape[0] * pixels.shape[1] <= _LARGEST_IMAGE
    return pixels if large else None


def _of_pixels(pixels: NDArray[Any]) -> Any:
    """As a Pillow image: 0 to 1 and 0 to 255 are taken as they are, other numbers are stretched over the greys."""
    from PIL import Image

    numbers = pixels.astype(np.float64)
    numbers[~np.isfinite(numbers)] = 0.0
    low, high = float(numbers.min()), float(numbers.max())
    if low >= 0.0 and high <= 1.0:
        numbers = numbers * 255.0
    elif low < 0.0 or high > 255.0 or (high < 64.0 and pixels.dtype != np.uint8):
        numbers = (numbers - low) * (255.0 / (high - low) if high > low else 0.0)
    return Image.fromarray(np.rint(numbers).astype(np.uint8))


# files


def _of_file(content: bytes) -> Picture | None:
    """The picture of an image file; its size is looked at before anything of it is decoded."""
    from PIL import Image

    kind = next((name for magic, name in _MAGIC.items() if content.startswith(magic)), None)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        kind = "WEBP"
    if kind is None or len(content) > _LARGEST_FILE:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes that are looked at here
        opened = Image.open(io.BytesIO(content), formats=[kind])
    with opened as image:
        width, height = image.size
        if not 0 < width * height <= _LARGEST_IMAGE:
            return None
        image.draft("RGB", (2 * MOST_PIXELS, 2 * MOST_PIXELS))  # a JPEG is decoded no larger than is needed
        image.load()
        if image.mode[0] in "IF":  # deeper greys than a picture has
            return _drawn(_of_pixels(np.asarray(image)), width, height)
        return _drawn(image, width, height)


def _drawn(image: Any, width: int, height: int) -> Picture:
    from PIL import Image

    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image)
    image = image.convert("L" if image.mode in ("1", "L") else "RGB")
    image.thumbnail((MOST_PIXELS, MOST_PIXELS))
    png = _png(image)
    if len(png) > MOST_BYTES:
        png = _png(image.quantize(64, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE))
    return Picture(png, width, height)


def _png(image: Any) -> bytes:
    """With nothing in it but the pixels: no comment, profile or place where a photograph was taken."""
    image.info = {}
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()
