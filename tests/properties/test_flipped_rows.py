"""Which flipped rows are kept does not depend on how the rows were cut, and the most urgent always are."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.core.flipped import FlippedRow, row_digest
from gate.core.flips import FlipTable, count, merge
from gate.core.outcomes import Outcomes

fast = settings(deadline=None, max_examples=120)

row = st.tuples(st.booleans(), st.booleans(), st.booleans(), st.sampled_from([float("nan"), 0.0, 1.0, 5.0]))
rows = st.lists(row, max_size=40)


class Numbered:
    """What stands beside a unit: its number."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __getitem__(self, unit: int, /) -> dict[str, int]:
        return {"number": self.first + unit}


def counted(part: list[tuple[bool, bool, bool, float]], first: int, keep: int) -> FlipTable:
    old, new, golden, cost = (np.array(column) for column in zip(*part, strict=True)) if part else [np.zeros(0)] * 4
    outcomes = Outcomes(
        ids=np.arange(first, first + len(part)),
        incumbent_right=old.astype(bool),
        candidate_right=new.astype(bool),
        same_output=old.astype(bool) == new.astype(bool),
        golden=golden.astype(bool),
        cost=cost.astype(float),
        beside=Numbered(first),
    )
    return count(outcomes, keep=keep)


def whole(row: FlippedRow) -> tuple[object, ...]:
    return tuple(repr(value) for value in vars(row).values())


@fast
@given(rows, st.lists(st.integers(0, 40), max_size=6), st.integers(0, 8), st.randoms(use_true_random=False))
def test_every_cut_of_the_rows_keeps_the_same_ones_in_the_same_order(everything, cuts, keep, random):
    edges = [0, *sorted(cut for cut in cuts if cut <= len(everything)), len(everything)]
    parts = [
        counted(everything[one:two], one, keep)
        for one, two in zip(edges, edges[1:], strict=False)  # noqa: RUF007  # of an empty list too
    ]
    random.shuffle(parts)
    once = counted(everything, 0, keep)
    by_twos = merge(parts[:2]) + merge(parts[2:]) if len(parts) > 2 else merge(parts)
    for found in (merge(parts), by_twos):
        assert list(map(whole, found.samples)) == list(map(whole, once.samples))


@fast
@given(rows, st.integers(0, 8))
def test_golden_rows_are_kept_first_then_the_costliest_then_by_hash(everything, keep):
    kept = [row for row in counted(everything, 0, keep).samples if row.kind == "negative"]
    negative = [
        (not golden, -(0.0 if np.isnan(cost) else cost), row_digest(0, i), i)
        for i, (old, new, golden, cost) in enumerate(everything)
        if old and not new
    ]
    assert [row.id for row in kept] == [entry[-1] for entry in sorted(negative)[:keep]]
    for row in kept:
        cost = everything[int(row.id)][3]
        assert row.golden == everything[int(row.id)][2]
        assert (row.cost is None and np.isnan(cost)) or row.cost == cost
        assert row.beside == {"number": row.id}


@fast
@given(rows, st.integers(0, 8))
def test_a_positive_flip_is_neither_golden_nor_costly(everything, keep):
    for row in counted(everything, 0, keep).samples:
        assert row.kind == "negative" or (not row.golden and row.cost is None)
