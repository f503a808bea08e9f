"""Clusters, weights and scores add over any partition, to the last bit; a slice may leave units out."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.core.exact import UNIT, exact_sums
from gate.core.flips import FlipTable, count, merge
from gate.core.means import Means
from gate.core.measured import Measured
from gate.core.measures import OF_SCORES, OTHERS
from gate.core.outcomes import Codes, Outcomes, Scores
from gate.core.rates import RATES, Rate, rate

fast = settings(deadline=None, max_examples=60)

cluster = st.sampled_from(["u1", "u2", 1, 1.0, True, None, "1"])
weight = st.floats(1e-6, 1e6)
score = st.floats(-100, 100)
row = st.tuples(st.booleans(), st.booleans(), cluster, weight, st.sampled_from([None, "x", "y"]), score, score)
rows = st.lists(row, min_size=1, max_size=40)


def counted(part: list[tuple], first: int = 0, *, clustered: bool = True, weighted: bool = True) -> FlipTable:
    """Rows (incumbent right, candidate right, cluster, weight, slice or None for none, two scores) as one table."""
    old, new, of, heavy, piece, before, after = zip(*part, strict=True) if part else ((),) * 7
    names = tuple(dict.fromkeys(value for value in piece if value is not None))
    codes = np.array([-1 if value is None else names.index(value) for value in piece], dtype=np.int64)
    incumbent, candidate = np.array(old, dtype=bool), np.array(new, dtype=bool)
    return count(
        Outcomes(
            ids=np.arange(first, first + len(part)),
            incumbent_right=incumbent,
            candidate_right=candidate,
            same_output=incumbent == candidate,
            slices={"piece": Codes(codes, names)},
            cluster=Codes.of(of) if clustered else None,
            weight=np.array(heavy, dtype=float) if weighted else None,
            scores=Scores(np.array(before, dtype=float), np.array(after, dtype=float)),
        )
    )


def typed(value: object) -> tuple[str, object]:
    return type(value).__name__, value


def contents(table: FlipTable) -> object:
    """All that is counted by cluster and summed of weights and scores, without orders."""
    return (
        {
            (by, typed(part.values[cell]), typed(part.clusters[of])): (tuple(columns), tuple(weights))
            for by, part in table.clusters.items()
            for cell, of, columns, weights in zip(
                part.cell.tolist(),
                part.cluster.tolist(),
                part.columns.tolist(),
                [()] * len(part.cell) if part.weights is None else part.weights.tolist(),
                strict=True,
            )
        },
        {
            (by, typed(value)): (tuple(sums), tuple(squares))
            for by, part in table.weights.items()
            for value, sums, squares in zip(part.values, part.sums.tolist(), part.squares.tolist(), strict=True)
            if any(sums)
        },
        {
            (by, typed(value)): tuple(map(tuple, of))
            for by, part in table.scores.items()
            for value, *of in zip(
                part.values,
                part.columns.tolist(),
                part.sums.tolist(),
                part.squares.tolist(),
                part.largest.tolist(),
                strict=True,
            )
            if any(of[0])
        },
    )


@fast
@given(rows, st.lists(st.integers(0, 40), max_size=5), st.randoms(use_true_random=False))
def test_shards_in_any_order_add_to_one_count_though_clusters_straddle_them(everything, cuts, random):
    edges = [0, *sorted(min(cut, len(everything)) for cut in cuts), len(everything)]
    shards = [counted(everything[start:end], start) for start, end in pairwise(edges)]
    random.shuffle(shards)
    assert contents(merge(shards)) == contents(counted(everything))


@fast
@given(rows, st.integers(1, 40), st.booleans(), st.booleans(), st.randoms(use_true_random=False))
def test_every_bound_is_the_same_to_the_last_bit_whatever_the_batches_and_the_order(
    everything, size, clustered, weighted, random
):
    once = counted(everything, clustered=clustered, weighted=weighted)
    shuffled = list(everything)
    random.shuffle(shuffled)
    parts = merge(
        [
            counted(shuffled[i : i + size], i, clustered=clustered, weighted=weighted)
            for i in range(0, len(everything), size)
        ]
    )
    for kind in (*RATES.values(), *(OTHERS[name] for name in OF_SCORES)):
        measured = [Measured(table, 0.95) for table in (once, parts)]
        one, other = (
            of.estimate(kind, None) if isinstance(kind, Rate) else Means(of).estimate(kind, None) for of in measured
        )
        for field in ("estimate", "lower", "upper", "effective_n"):
            assert getattr(one, field).tobytes() == getattr(other, field).tobytes()


@fast
@given(rows)
def test_clusters_weights_and_slices_sum_to_what_is_in_them(everything):
    table = counted(everything)
    inside = [row for row in everything if row[4] is not None]
    assert int(table.cells["piece"].columns.sum()) == int(table.clusters["piece"].columns.sum()) == len(inside)
    assert int(table.clusters["overall"].columns.sum()) == table.overall.n == len(everything)
    total = float(sum(table.weights["overall"].sums.sum(axis=0))) * UNIT
    assert total == pytest.approx(sum(row[3] for row in everything), rel=1e-6)
    both = table.clusters["overall"].weights
    assert both is not None
    assert both.sum() == table.weights["overall"].sums.sum()


@fast
@given(st.lists(st.floats(1e-12, 1e12), max_size=30))
def test_exact_sums_are_sums_of_numbers_rounded_to_24_bits(numbers):
    totals, squares = exact_sums(np.array(numbers), np.zeros(len(numbers), dtype=np.int64), 1)
    assert float(totals[0]) * UNIT == pytest.approx(sum(numbers), rel=1e-7)
    assert float(squares[0]) * UNIT * UNIT == pytest.approx(sum(x * x for x in numbers), rel=2e-7)


@fast
@given(rows)
def test_no_bound_is_tighter_than_that_of_independent_rows_of_equal_weight(everything):
    plain = Measured(counted(everything, clustered=False, weighted=False), 0.95)
    clustered = Measured(counted(everything, weighted=False), 0.95)
    for kind in RATES.values():
        loose, tight = clustered.estimate(kind, None), plain.estimate(kind, None)
        assert (loose.upper >= tight.upper - 1e-9).all()
        assert (loose.lower <= tight.lower + 1e-9).all()
        assert (loose.effective_n <= tight.n + 1e-9).all()


@fast
@given(rows)
def test_equal_weights_are_no_weights(everything):
    equal = [(*row[:3], 2.5, *row[4:]) for row in everything]
    weighted = Measured(counted(equal, clustered=False), 0.95)
    plain = Measured(counted(equal, clustered=False, weighted=False), 0.95)
    for kind in RATES.values():
        one, other = weighted.estimate(kind, "piece"), plain.estimate(kind, "piece")
        for field in ("estimate", "lower", "upper", "effective_n"):
            assert np.allclose(getattr(one, field), getattr(other, field), equal_nan=True, rtol=1e-9, atol=1e-12)


@fast
@given(rows, st.floats(0.01, 0.9), st.booleans())
def test_what_is_proven_is_what_the_bounds_say_for_clusters_and_weights(everything, limit, at_most):
    measured = Measured(counted(everything * 12), 0.95)
    for kind in RATES.values():
        found = measured.estimate(kind, "piece")
        kept, broken = measured.proven(kind, "piece", np.full(len(found.n), limit), at_most)
        deciding, other = (found.upper, found.lower) if at_most else (found.lower, found.upper)
        near = np.isclose(deciding, limit, atol=1e-7) | np.isclose(other, limit, atol=1e-7)
        holds = deciding <= limit if at_most else deciding >= limit
        past = other > limit if at_most else other < limit
        assert ((kept == holds) | near).all() and ((broken == past) | near).all()


def test_merging_a_table_with_clusters_and_one_without_is_refused():
    everything = [(True, False, "u", 1.0, "x", 0.0, 0.0)]
    with pytest.raises(ValueError, match="only some of the tables that are added have clusters"):
        merge([counted(everything), counted(everything, clustered=False)])
    assert merge([FlipTable(), counted(everything)]).clusters["overall"].columns.sum() == 1


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_and_above_zero_is_refused(wrong):
    with pytest.raises(ValueError, match="finite and above 0"):
        counted([(True, False, "u", wrong, "x", 0.0, 0.0)])


def test_a_slice_may_leave_units_out_but_a_label_may_not():
    right = np.array([True, True])
    bare = {"ids": np.arange(2), "incumbent_right": right, "candidate_right": ~right, "same_output": ~right}
    nowhere = Codes(np.array([0, -1]), ("a",))
    table = count(Outcomes(**bare, slices={"some": nowhere}))
    assert table.cells["some"].columns.tolist() == [[0, 1, 0, 0, 0]]
    with pytest.raises(ValueError, match="in no class"):
        count(Outcomes(**bare, label=nowhere))
    with pytest.raises(ValueError, match="without a cluster"):
        count(Outcomes(**bare, cluster=nowhere))


def test_a_table_that_lost_the_clusters_of_a_dimension_is_not_judged_as_if_it_had_none():
    table = counted([(True, False, "u", 1.0, "x", 0.0, 0.0)])
    without = FlipTable(table.overall, table.cells, clusters={"overall": table.clusters["overall"]})
    with pytest.raises(KeyError):
        Measured(without, 0.95).estimate(rate("nfr"), "piece")
