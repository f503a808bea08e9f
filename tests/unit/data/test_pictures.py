"""Pictures of images in a table: what is one, how it is drawn, and that nothing in a file can harm."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gate.core.outcomes import Picture
from gate.data.pictures import MOST_PIXELS, may_hold_images, picture, picture_of_pixels, pixel_columns
from gate.data.tables import open_table

RNG = np.random.default_rng(0)
GREY = (RNG.random((28, 20)) * 255).astype(np.uint8)
COLOUR = (RNG.random((28, 20, 3)) * 255).astype(np.uint8)


def file_of(image: Image.Image, form: str, **how: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **how)
    return out.getvalue()


def of(value: object, kind: pa.DataType, name: str = "scan") -> Picture | None:
    return picture(pa.scalar(value, kind), pa.field(name, kind))


def drawn(found: Picture | None) -> Image.Image:
    assert found is not None
    image = Image.open(io.BytesIO(found.png))
    assert image.format == "PNG"
    return image


def lists(shape: tuple[int, ...], kind: pa.DataType) -> pa.DataType:
    for _ in shape:
        kind = pa.list_(kind)
    return kind


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_a_file_in_a_column_of_bytes_is_drawn_by_its_first_bytes(form):
    found = of(file_of(Image.fromarray(COLOUR), form), pa.binary())
    assert found is not None and (found.width, found.height) == (20, 28)
    assert drawn(found).size == (20, 28)
    assert drawn(of(file_of(Image.fromarray(COLOUR), form), pa.large_binary())).size == (20, 28)


def test_a_picture_is_small_and_keeps_the_shape_of_its_image():
    found = of(file_of(Image.new("RGB", (1920, 1080), "teal"), "JPEG"), pa.binary())
    assert found is not None and (found.width, found.height) == (1920, 1080)
    assert drawn(found).size == (MOST_PIXELS, 54)


@pytest.mark.parametrize("size", [(640, 480), (480, 640)])
def test_a_photograph_takes_few_bytes(size):
    noise = Image.fromarray((RNG.random((12, 12, 3)) * 255).astype(np.uint8)).resize(size)
    found = of(file_of(noise, "JPEG"), pa.binary())
    assert found is not None and len(found.png) < 6000


@pytest.mark.parametrize(
    ("array", "mode"),
    [(GREY, "L"), (GREY[:, :, None], "L"), (GREY[None], "L"), (COLOUR, "RGB"), (np.moveaxis(COLOUR, 2, 0), "RGB")],
    ids=["H W", "H W 1", "1 H W", "H W 3", "3 H W"],
)
def test_lists_of_pixels_are_drawn_in_every_order_of_axes(array, mode):
    image = drawn(of(array.tolist(), lists(array.shape, pa.uint8())))
    assert image.size == (20, 28)
    pixels = np.asarray(image.convert(mode))
    if mode == "L":
        assert np.array_equal(pixels, GREY)


@pytest.mark.parametrize(
    ("array", "seen"),
    [
        (np.linspace(0, 1, 64).reshape(8, 8), (0, 255)),
        (np.linspace(0, 0.5, 64).reshape(8, 8), (0, 128)),
        (np.linspace(0, 16, 64).reshape(8, 8), (0, 255)),
        (np.linspace(-2.1, 2.6, 64).reshape(8, 8), (0, 255)),
        (np.linspace(10, 200, 64).reshape(8, 8), (10, 200)),
        (np.full((8, 8), 7.0), (0, 0)),
    ],
    ids=["0 to 1", "0 to a half", "0 to 16", "standardised", "bytes", "flat"],
)
def test_numbers_become_greys(array, seen):
    pixels = np.asarray(drawn(of(array.tolist(), lists(array.shape, pa.float32()))))
    assert (pixels.min(), pixels.max()) == seen


def test_numbers_that_are_none_are_black():
    array = np.linspace(0, 1, 64).reshape(8, 8)
    array[7, 7], array[7, 6] = np.nan, np.inf
    assert np.asarray(drawn(of(array.tolist(), lists(array.shape, pa.float64()))))[7, 6:].tolist() == [0, 0]


def test_flat_lists_are_images_only_where_their_name_says_so():
    assert drawn(of([0.5] * 64, pa.list_(pa.float32(), 64), "image")).size == (8, 8)
    assert drawn(of([0.5] * 784, pa.list_(pa.float32()), "pixels")).size == (28, 28)
    assert of([0.5] * 64, pa.list_(pa.float32(), 64), "embedding") is None
    assert of([0.5] * 60, pa.list_(pa.float32(), 60), "image") is None
    assert of([0.5] * 4, pa.list_(pa.float32(), 4), "image") is None


def test_a_column_of_tensors_keeps_its_shape_through_a_file(tmp_path):
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(np.stack([COLOUR, COLOUR]).astype(np.float32) / 255)
    pq.write_table(pa.table({"x": tensors, "y": [0, 1]}), tmp_path / "t.parquet")
    (read,) = open_table(tmp_path / "t.parquet").batches(10)
    assert pa.types.is_fixed_size_list(read.schema.field("x").type)  # what models are given is as it was
    image = drawn(picture(read["x"][1], read.schema.field("x")))
    assert image.size == (20, 28)
    assert np.array_equal(np.asarray(image.convert("RGB")), COLOUR) or len(file_of(image, "PNG")) < 6000


@pytest.mark.parametrize(
    "value",
    [
        [[1, 2], [3, 4]],
        [[1] * 8] * 7 + [[1] * 7],
        [[[1] * 5] * 8] * 8,
        [[1] * 8] * 7 + [None],
        [[1] * 7 + [None]] * 8,
        [],
    ],
    ids=["too small", "ragged", "five channels", "a row missing", "pixels missing", "empty"],
)
def test_lists_that_are_no_image_give_none(value):
    depth = 3 if value and isinstance(value[0], list) and value[0] and isinstance(value[0][0], list) else 2
    kind = pa.int64()
    for _ in range(depth):
        kind = pa.list_(kind)
    assert of(value, kind) is None


@pytest.mark.parametrize(
    "value", [None, b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\x00", b"GIF89a", b"RIFF0000WEBP"]
)
def test_bytes_that_are_no_image_give_none(value):
    assert of(value, pa.binary()) is None


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it has very many pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(10_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(6000, 6000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_a_file_that_would_fill_the_memory_is_not_decoded(size, recwarn):
    assert of(bomb(*size), pa.binary()) is None
    assert not list(recwarn)


def test_a_picture_holds_nothing_but_pixels_and_is_the_same_every_time():
    image = Image.fromarray(COLOUR)
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    content = file_of(image, "JPEG", exif=exif, comment=b"taken at home")
    first, second = of(content, pa.binary()), of(content, pa.binary())
    assert first is not None and first == second
    assert b"taken at home" in content and b"home" not in first.png
    assert b"eXIf" not in first.png and b"tEXt" not in first.png


def test_what_is_transparent_is_paper():
    image = Image.new("RGBA", (10, 10), (255, 0, 0, 0))
    assert drawn(of(file_of(image, "PNG"), pa.binary())).convert("RGB").getpixel((5, 5)) == (255, 255, 255)


def test_deep_greys_are_stretched():
    deep = Image.fromarray(np.linspace(0, 60_000, 400).astype(np.uint16).reshape(20, 20))
    pixels = np.asarray(drawn(of(file_of(deep, "PNG"), pa.binary())))
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_columns_that_may_hold_images_are_told_by_type_and_name():
    nested = pa.list_(pa.list_(pa.float32()))
    assert may_hold_images(pa.field("anything", nested))
    assert may_hold_images(pa.field("digit_image", pa.list_(pa.float32(), 64)))
    assert not may_hold_images(pa.field("embedding", pa.list_(pa.float32(), 64)))
    assert not may_hold_images(pa.field("image", pa.string()))


def test_columns_of_one_pixel_each_are_one_image():
    numbered = [f"pixel{i}" for i in range(1, 785)]
    assert pixel_columns(pa.schema([(name, pa.uint8()) for name in ("label", *numbered)])) == numbered
    placed = [f"Pixel_{i}_{j}" for i in range(28) for j in range(28)]
    assert pixel_columns(pa.schema([(name, pa.float64()) for name in placed])) == placed
    for names, kind in (
        (numbered[:-1], pa.uint8()),
        (numbered[:4], pa.uint8()),
        (numbered, pa.string()),
        ([f"feature{i}" for i in range(784)], pa.uint8()),
    ):
        assert pixel_columns(pa.schema([(name, kind) for name in names])) == []
    found = picture_of_pixels((GREY[:20] / 255).ravel().tolist())
    assert np.array_equal(np.asarray(drawn(found)), GREY[:20])
    assert picture_of_pixels([1.0] * 63 + [None]) is None


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_no_damage_to_a_file_raises(data):
    form = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "WEBP"]))
    content = bytearray(file_of(Image.fromarray(COLOUR), form))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    found = of(bytes(content[:cut] if data.draw(st.booleans()) else content), pa.binary())
    assert found is None or max(drawn(found).size) <= MOST_PIXELS
