"""A column of encoded images as one array."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa

from .failures import Refusal

IMAGE_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


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
