"""Claims about ids: present, unique, and told exactly where they are not."""

from __future__ import annotations

from collections import Counter
from datetime import date
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.data import identity
from gate.data.identity import UniqueIds
from gate.errors import EvidenceError


def check(ids: pa.Array, size: int = 3) -> None:
    unique = UniqueIds(where="a.parquet: column 'id'")
    parts = [ids.slice(start, size) for start in range(0, len(ids), size)]
    for number, part in enumerate(parts):
        unique.update(part, number * size)
    unique.check(lambda: iter(parts))


def complaint(ids: pa.Array, size: int = 3) -> str:
    with pytest.raises(EvidenceError) as caught:
        check(ids, size)
    return str(caught.value)


ID = st.integers(-3, 9) | st.integers(-(2**63), 2**63 - 1)


@given(ids=st.lists(ID, max_size=20), size=st.integers(1, 8))
def test_integers_are_refused_exactly_where_one_occurs_twice(ids: list[int], size: int) -> None:
    involved = sum(count for count in Counter(ids).values() if count > 1)
    if involved:
        assert f"{involved} rows share their id" in complaint(pa.array(ids, pa.int64()), size)
    else:
        check(pa.array(ids, pa.int64()), size)


@given(ids=st.lists(st.text(max_size=20) | st.sampled_from(["a", "a\0", "b", ""]), max_size=20), size=st.integers(1, 8))
def test_texts_are_refused_exactly_where_one_occurs_twice(ids: list[str], size: int) -> None:
    involved = sum(count for count in Counter(ids).values() if count > 1)
    if involved:
        assert f"{involved} rows share their id" in complaint(pa.array(ids, pa.string()), size)
    else:
        check(pa.array(ids, pa.string()), size)


def test_duplicates_are_named_with_their_rows() -> None:
    said = complaint(pa.array(["a", "b", "c", "b", "d", "a", "b"]))
    assert "a.parquet: column 'id': 5 rows share their id" in said
    assert "'a' in rows 0, 5" in said and "'b' in rows 1, 3, 6" in said


def test_many_duplicates_are_counted_and_a_few_shown() -> None:
    said = complaint(pa.array([i // 10 for i in range(1000)][::-1]), 64)
    assert "1000 rows share" in said and "99 in rows 0, 1, 2, 3, 4 and 5 more" in said and said.count(" in rows ") == 5


def test_ids_that_are_missing_are_counted_and_named_beside_duplicates() -> None:
    said = complaint(pa.array([None, "a", None, "a"]))
    assert "2 rows have no id: row 0, 2" in said and "'a' in rows 1, 3" in said
    assert "3 more" in complaint(pa.nulls(8, pa.int64()))
    assert "1 row has no id: row 1" in complaint(pa.array([1.0, float("nan")]))


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([1, 2, 3], pa.uint8()),
        pa.array([2**64 - 1, 2**63, 1], pa.uint64()),
        pa.array([0.5, 1.5, -0.5]),
        pa.array(["a", "b"]).dictionary_encode(),
        pa.array(["a", "b"], pa.string_view()),
        pa.array([b"a", b"b"], pa.binary_view()),
        pa.array([b"a", b"b"], pa.large_binary()),
        pa.array([b"ab", b"cd"], pa.binary(2)),
        pa.array([Decimal("1.10"), Decimal("1.20")]),
        pa.array([date(2026, 1, 1), date(2026, 1, 2)]),
        pa.array([1, 2], pa.timestamp("ns", "UTC")),
        pa.array([False, True]),
    ],
    ids=lambda ids: str(ids.type),
)
def test_every_type_of_id_is_checked(ids: pa.Array) -> None:
    check(ids)
    assert "2 rows share" in complaint(pa.concat_arrays([ids, ids.slice(0, 1)]))


def test_no_rows_have_no_duplicates() -> None:
    UniqueIds().check(lambda: iter([]))
    check(pa.array([], pa.string()))


def test_a_list_is_no_id() -> None:
    assert "list<" in complaint(pa.array([[1], [2]]))


def test_ids_that_change_their_type_are_refused() -> None:
    unique = UniqueIds()
    unique.update(pa.array([1]), 0)
    with pytest.raises(EvidenceError, match="string after ids of type int64"):
        unique.update(pa.array(["1"]), 1)


def test_a_collision_of_hashes_is_no_duplicate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_hashed", lambda ids: np.arange(len(ids)) % 2)
    check(pa.array(["a", "b", "c", "d", "e"]), 10)
    said = complaint(pa.array(["a", "b", "c", "d", "a"]), 10)
    assert "2 rows share their id with another row: 'a' in rows 0, 4" in said


def test_ids_that_change_between_the_readings_are_refused() -> None:
    unique = UniqueIds()
    unique.update(pa.array(["a", "a"]), 0)
    with pytest.raises(EvidenceError, match="changed while they were read"):
        unique.check(lambda: iter([pa.array(["a", "b"])]))


def test_sorted_ids_are_not_read_a_second_time() -> None:
    unique = UniqueIds()
    unique.update(pa.array(range(5)), 0)
    unique.update(pa.array(range(5, 9)), 5)
    unique.check(lambda: pytest.fail("read again"))


def test_a_duplicate_is_found_beside_longer_ids_in_another_batch() -> None:
    assert "'a' in rows 0, 3" in complaint(pa.array(["a", "b", "x" * 40, "a"]), 2)


def test_texts_of_very_different_lengths_are_hashed_in_little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_ROOM", 64)
    ids = [str(i) for i in range(300)] + ["x" * 1000, "x" * 999 + "y"]
    check(pa.array(ids), 500)
    assert "'7' in rows 7, 302" in complaint(pa.array([*ids, "7"]), 500)


def test_an_id_costs_eight_bytes() -> None:
    unique = UniqueIds()
    for start in range(0, 100_000, 1000):
        unique.update(pa.array([f"txn-{i}" for i in range(start, start + 1000)]), start)
    assert len(unique._keys) * unique._keys.itemsize == 800_000


def test_duplicates_are_counted_wherever_the_parts_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = pa.array([5, 1, 5, 3, 5, 1, 9])
    whole = complaint(ids)
    assert "5 rows share their id" in whole
    for part in (1, 2, 3):
        monkeypatch.setattr(identity, "_PART", part)
        assert complaint(ids) == whole
