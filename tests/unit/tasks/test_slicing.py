"""Cutting the held-out set into cells."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pytest

from gate.errors import EvidenceError
from gate.tasks import slicing
from gate.tasks.slicing import ByBins, ByColumn, ByColumns, Slices, Where
from gate.tasks.where import parse

DAY = datetime.date(2026, 1, 31)


def cells(slices: Slices, *tables: dict[str, pa.Array]) -> dict[str, list]:
    """Per slice the value of each row's cell over all tables, "outside" where it is in none."""
    found: dict[str, list] = {}
    for table in tables:
        for name, coded in slices.codes(table).items():
            values = [coded.values[code] if code >= 0 else "outside" for code in coded.codes.tolist()]
            found.setdefault(name, []).extend(values)
    return found


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([np.nan]), [None]),
        (pa.array([DAY]), ["2026-01-31"]),
        (pa.array([DAY]).dictionary_encode(), ["2026-01-31"]),
        (pa.nulls(1), [None]),
        (pa.array([1]), [1]),
        (pa.array(["1"]), ["1"]),
        (pa.array([True]), [True]),
        (pa.array([0.5]), [0.5]),
    ],
)
def test_a_value_of_any_type_is_the_same_cell_in_every_batch(column, expected):
    slices = Slices({"x": ByColumn("x")})
    assert cells(slices, {"x": column}, {"x": column}) == {"x": expected * 2}
    assert len({id(slices.codes({"x": column})["x"].values) for _ in range(2)}) == 1


def test_bins_begin_at_their_edges_and_missing_numbers_have_a_cell_of_their_own():
    slices = Slices({"age": ByBins("age", (18.0, 65.0))})
    ages = pa.array([-1, 17.9, 18, 64, 65, 1e9, None, float("nan")])
    assert cells(slices, {"age": ages})["age"] == [
        "under 18", "under 18", "18 to under 65", "18 to under 65", "65 and over", "65 and over", None, None,
    ]  # fmt: skip


def test_bins_of_text_are_an_error():
    with pytest.raises(EvidenceError, match="column 'age' is string, and bins need numbers"):
        Slices({"age": ByBins("age", (18.0,))}).codes({"age": pa.array(["old"])})


def test_two_columns_give_a_cell_for_each_pair():
    slices = Slices({"both": ByColumns(("sex", "staff"))})
    table = {"sex": pa.array(["f", None]), "staff": pa.array([True, False])}
    assert cells(slices, table)["both"] == ["f & true", "(none) & false"]


def test_where_has_one_cell_and_rows_that_it_leaves_open_are_in_none():
    slices = Slices({"new": Where(parse("days < 30"), "days < 30")})
    assert cells(slices, {"days": pa.array([1, 30, None])})["new"] == [True, "outside", "outside"]


def test_a_column_that_cannot_be_cut_is_an_error_that_names_it():
    with pytest.raises(EvidenceError, match=r"slice 'x': column 'x' is list"):
        Slices({"x": ByColumn("x")}).codes({"x": pa.array([[1], [2]])})


def test_too_many_cells_are_an_error(monkeypatch):
    monkeypatch.setattr(slicing, "MOST_CELLS", 2)
    with pytest.raises(EvidenceError, match="slice 'x' has more than 2 cells"):
        Slices({"x": ByColumn("x")}).codes({"x": pa.array([1, 2, 3])})


def test_columns_and_purposes_name_each_column_once():
    slices = Slices({"region": ByColumn("region"), "pair": ByColumns(("sex", "region"))})
    assert slices.columns == ("region", "sex")
    assert slices.purposes == {"slice region": "region", "slice pair": "sex", "slice pair (2)": "region"}
