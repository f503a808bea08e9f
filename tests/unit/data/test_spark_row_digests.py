"""Digests of rows for Spark, without Spark: what is hashed of a row tells any two rows apart."""

from __future__ import annotations

import datetime
import itertools

import numpy as np
import pyarrow as pa
import pytest

from gate.data.row_digest import Hashed, RowSetDigest

BOTH = Hashed(("a", "b"))


def of(a: pa.Array, b: pa.Array) -> list[bytes]:
    found = BOTH.digests(pa.record_batch({"a": a, "b": b}))
    return [found[start : start + 32] for start in range(0, len(found), 32)]


def test_any_two_rows_of_words_are_told_apart_missing_ones_too() -> None:
    values = [None, 0, 1, -1, 256, 2**63 - 1, -(2**63)]
    rows = list(itertools.product(values, values))
    digests = of(*(pa.array([row[place] for row in rows], pa.int64()) for place in (0, 1)))
    assert len(set(digests)) == len(rows)


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
def test_all_nan_are_one_and_so_are_both_zeros_and_a_missing_value_is_neither(kind: pa.DataType) -> None:
    odd = np.array([0x7FF8000000000001], np.uint64).view(np.float64)[0]
    floats = pa.array([0.0, -0.0, float("nan"), odd, None, 1.5], kind, from_pandas=False)
    zero, minus, nan, other, missing, more = of(floats, pa.array([1] * 6))
    assert zero == minus and nan == other and len({zero, nan, missing, more}) == 4


def test_dates_times_and_truth_values_are_words() -> None:
    moment = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    times = pa.array([moment, moment + datetime.timedelta(microseconds=1)], pa.timestamp("us", "Asia/Tokyo"))
    dates = pa.array([moment.date(), moment.date()])
    truths = pa.array([True, False])
    assert len({*of(times, dates)}) == 2 and len({*of(dates, truths)}) == 2


def test_the_rest_of_a_row_counts_and_batches_may_be_slices() -> None:
    batch = pa.record_batch({"a": [1, 1, 2], "rest": ["x", "y", "x"]})
    told = Hashed(("a",), "rest")
    whole = told.digests(batch)
    assert len({whole[:32], whole[32:64], whole[64:]}) == 3
    assert b"".join(told.digests(batch.slice(row, 1)) for row in range(3)) == whole
    assert Hashed((), "rest").digests(batch)[:32] == Hashed((), "rest").digests(batch)[64:]


def test_a_broken_sum_is_no_digest() -> None:
    with pytest.raises(ValueError, match="reshape"):
        RowSetDigest().update(b"x" * 36)
