"""How many rows make a batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest

from gate.data.columns import batch_rows
from gate.data.tables import open_table


@pytest.mark.parametrize(
    ("rows", "batch"),
    [(0, 65_536), (1, 8_192), (32_768, 8_192), (65_536, 16_384), (262_143, 32_768), (300_000, 65_536)],
)
def test_a_table_is_cut_into_four_batches_or_more_but_not_into_small_ones(rows: int, batch: int) -> None:
    assert batch_rows(open_table(pa.table({"y": np.zeros(rows, np.int8)}))) == batch


@pytest.mark.parametrize(
    ("rows", "batch"),
    [(0, 131_072), (1, 8_192), (8_193, 16_384), (100_000, 131_072), (65_536, 65_536), (10_000_000, 131_072)],
)
def test_where_no_model_is_asked_there_are_as_few_batches_as_can_be(rows: int, batch: int) -> None:
    assert batch_rows(open_table(pa.table({"y": np.zeros(rows, np.int8)})), models=False) == batch


def test_large_rows_make_small_batches() -> None:
    wide = pa.table({"image": pa.array([b"\0" * 150_528] * 20)})
    assert batch_rows(open_table(wide)) == 256
    assert batch_rows(open_table(pa.table({"image": pa.array([b"\0" * (8 << 20)] * 3)}))) == 16


def test_the_same_rows_give_the_same_number_from_memory_and_parquet_and_a_csv_does_not_know_its_rows(
    tmp_path: Path,
) -> None:
    table = pa.table({"y": np.arange(100_000)})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=999)
    csv.write_csv(table, tmp_path / "rows.csv")
    assert batch_rows(open_table(table)) == batch_rows(open_table(tmp_path / "rows.parquet")) == 16_384
    assert batch_rows(open_table(tmp_path / "rows.csv")) == 65_536


def test_what_is_answered_counts_like_what_is_asked() -> None:
    table = open_table(pa.table({"x": np.zeros(20)}))
    assert batch_rows(table, beside=2 * 8) == 8_192
    assert batch_rows(table, beside=2 * 8 * 1_000) == 4_096
    assert batch_rows(table, beside=2 * 8 * 1_000, at_most=16 << 20) == 1_024


def test_columns_that_nobody_wants_count_nothing_unless_they_are_many_times_as_large() -> None:
    def rows(size: int) -> int:
        return batch_rows(open_table(pa.table({"x": np.zeros(20), "text": ["." * size] * 20})), {"x"})

    assert (rows(1 << 4), rows(30 << 10), rows(60 << 10)) == (8_192, 8_192, 4_096)
    assert batch_rows(open_table(pa.table({"x": np.zeros(20), "text": ["." * (30 << 10)] * 20}))) == 2_048
