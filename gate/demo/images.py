"""Scikit-learn's 1,797 digits, dealt to the demo: a held-out half, and two training sets that share nothing with it.

The images are real: 8 x 8 grey pixels of handwritten digits (UCI, Alpaydin and Kaynak 1998). They come with
scikit-learn, so that nothing is downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

PIXELS = 64
INCUMBENT_SAMPLES = 250
CANDIDATE_SAMPLES = 350


@dataclass(frozen=True)
class Images:
    """Some of the digits: which ones, their pixels, and what they show.

    ``rows`` (n,) are positions in scikit-learn's data set; ``pixels`` (n, 1, 8, 8) is float32 scaled to 0..1, the shape
    that the models take; ``labels`` (n,) is int64, 0 to 9.
    """

    rows: NDArray[np.int64]
    pixels: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Split:
    """The three parts of the digits; no image is in two of them."""

    held_out: Images
    incumbent: Images
    candidate: Images


def split_digits(seed: int = 0) -> Split:
    """Shuffle the digits by ``seed`` and deal them: 898 held out, 250 for the incumbent, 350 others for the candidate.

    The remaining images stay unused: the models are meant to be imperfect. The same seed gives the same split.

    >>> split = split_digits(seed=0)
    >>> len(split.held_out), len(split.incumbent), len(split.candidate)
    (898, 250, 350)
    """
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    pixels = (digits.images / 16).astype(np.float32)[:, np.newaxis]  # the data set counts in sixteenths
    labels = digits.target.astype(np.int64)

    def take(rows: NDArray[np.int64]) -> Images:
        return Images(rows, pixels[rows], labels[rows])

    order = np.random.default_rng(seed).permutation(len(labels))
    half = len(order) // 2
    held_out, for_incumbent, for_candidate, _ = np.split(
        order, [half, half + INCUMBENT_SAMPLES, half + INCUMBENT_SAMPLES + CANDIDATE_SAMPLES]
    )
    return Split(take(held_out), take(for_incumbent), take(for_candidate))


def write_images(images: Images, path: Path) -> Path:
    """Write images as a Parquet file, one row each: ``id`` (text), ``image`` (64 float32 in 0..1), ``label`` (int64).

    The id names the image by its position in scikit-learn's data set (``digit-0042``), whatever the split. No images
    give a file without rows. Returns ``path``.
    """
    table = pa.table(
        {
            "id": pa.array([f"digit-{row:04d}" for row in images.rows], type=pa.string()),
            "image": pa.FixedSizeListArray.from_arrays(pa.array(images.pixels.reshape(-1)), PIXELS),
            "label": pa.array(images.labels),
        }
    )
    pq.write_table(table, path)
    return path
