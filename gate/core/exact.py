"""Sums of numbers that do not depend on the order or the grouping in which they are added.

Each number is rounded to 24 significant bits (one part in 16 million) and then summed without any further rounding, as
a Python integer in units of 2 ** -64, its square in units of 2 ** -128. So batches, shards and one pass over everything
give the same sums to the last bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate.core.bounds import Floats

UNIT = 2.0**-64
_BITS = 24
_EXPONENTS = 40  # numbers from 2 ** -40 to 2 ** 40, about 1e-12 to 1e12
_HALF = 12


def exact_sums(numbers: Floats, groups: NDArray[np.integer[Any]], size: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Sums of non-negative numbers and of their squares, by group: arrays of Python integers of shape (size,).

    ``groups`` holds a position below ``size`` for each number; a group without numbers sums to 0. ValueError for a
    number that is not finite, is negative, or is neither 0 nor from 1e-12 to 1e12.

    >>> total, squares = exact_sums(np.array([0.5, 0.25, 3.0]), np.array([0, 0, 1]), 3)
    >>> (total.astype(float) * UNIT).tolist(), (squares.astype(float) * UNIT * UNIT).tolist()
    ([0.75, 3.0, 0.0], [0.3125, 9.0, 0.0])
    """
    totals = np.zeros(size, dtype=object)
    squares = np.zeros(size, dtype=object)
    if not len(numbers):
        return totals, squares
    if not np.isfinite(numbers).all() or (numbers < 0).any():
        raise ValueError("weights and scores must be finite, and sums are of numbers of at least 0")
    fraction, exponent = np.frexp(numbers)
    mantissa = np.rint(np.ldexp(fraction, _BITS)).astype(np.int64)
    step = exponent.astype(np.int64) + _EXPONENTS
    some = mantissa > 0
    if ((step[some] < 0) | (step[some] > 2 * _EXPONENTS)).any():
        raise ValueError(f"a number is out of range: not from {2.0**-_EXPONENTS:.2g} to {2.0**_EXPONENTS:.2g}")
    width = 2 * _EXPONENTS + 1
    keys, at = np.unique(groups[some].astype(np.int64) * width + step[some], return_inverse=True)
    small = mantissa[some]
    high, low = small >> _HALF, small & ((1 << _HALF) - 1)
    # products of 12-bit halves: their sums are exact as doubles up to 2 ** 29 rows
    parts = [
        np.bincount(at, weights=column.astype(np.float64)) for column in (small, high * high, high * low, low * low)
    ]
    for key, one, hh, hl, ll in zip(keys.tolist(), *(part.tolist() for part in parts), strict=True):
        group, shift = divmod(key, width)
        square = (int(hh) << (2 * _HALF)) + (int(hl) << (_HALF + 1)) + int(ll)
        totals[group] += int(one) << shift
        squares[group] += square << (2 * shift)
    return totals, squares
