"""Counting shards and adding equals counting once; swapping the models swaps the flips."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.core.flips import BY_CLASS, BY_OUTPUT, FlipTable, count, merge
from gate.core.outcomes import Codes, Confidence, Outcomes
from gate.core.rates import RATES, rate
from gate.tasks.batch import Answers, Batch, Classes
from gate.tasks.classification import Classification, Reading
from gate.tasks.slicing import ByColumn, Slices

fast = settings(deadline=None, max_examples=80)

VALUES = [1, 1.0, True, "1", None, 0, False, 0.0, "a", ""]
value = st.sampled_from(VALUES)
probability = st.floats(0, 1, width=32)
row = st.tuples(value, value, value, value, probability, probability)
rows = st.lists(row, max_size=40)


def same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


def outcomes(part: list[tuple], first: int = 0, swapped: bool = False) -> Outcomes:
    """Rows (label, incumbent, candidate, slice value, two confidences) as outcomes with a vocabulary of their own."""
    if swapped:
        part = [(label, new, old, piece, sure_new, sure_old) for label, old, new, piece, sure_old, sure_new in part]
    labels, old, new, piece, sure_old, sure_new = zip(*part, strict=True) if part else ((),) * 6
    everything = Codes.of([*labels, *old, *new])
    n = len(part)
    label, incumbent, candidate = (Codes(everything.codes[i * n : (i + 1) * n], everything.values) for i in range(3))
    return Outcomes(
        ids=np.arange(first, first + n),
        incumbent_right=incumbent.codes == label.codes,
        candidate_right=candidate.codes == label.codes,
        same_output=incumbent.codes == candidate.codes,
        label=label,
        incumbent=incumbent,
        candidate=candidate,
        slices={"piece": Codes.of(piece)},
        confidence=Confidence(np.array(sure_old, dtype=float), np.array(sure_new, dtype=float)),
    )


def contents(table: FlipTable) -> object:
    """All that a table says, without the order of its cells, typed, cells without rows left out."""
    return (
        table.overall,
        {
            (name, type(v), v): tuple(counts.tolist())
            for name, cells in table.cells.items()
            for v, counts in zip(cells.values, cells.columns, strict=True)
            if counts.any()
        },
        {(*map(type, key), *key): number for key, number in table.matrix.items()},
        [(r.digest, r.id, r.kind, r.label, r.incumbent, r.candidate, r.candidate_confidence) for r in table.samples],
        None if table.confidence is None else table.confidence.tolist(),
    )


@fast
@given(rows, st.lists(st.integers(0, 40), max_size=5), st.randoms(use_true_random=False), st.integers(0, 6))
def test_counting_any_shards_in_any_order_and_merging_equals_counting_once(everything, cuts, random, keep):
    edges = [0, *sorted(min(cut, len(everything)) for cut in cuts), len(everything)]
    shards = [count(outcomes(everything[start:end], start), seed=3, keep=keep) for start, end in pairwise(edges)]
    random.shuffle(shards)
    assert contents(merge(shards)) == contents(count(outcomes(everything), seed=3, keep=keep))


@fast
@given(rows, rows, rows)
def test_merging_is_associative_commutative_and_the_empty_table_changes_nothing(first, second, third):
    a, b, c = (count(outcomes(part, start), keep=4) for part, start in ((first, 0), (second, 100), (third, 200)))
    assert contents((a + b) + c) == contents(a + (b + c))
    assert contents(a + b) == contents(b + a)
    assert contents(merge([FlipTable(), a, FlipTable()])) == contents(a)
    assert (FlipTable() + count(outcomes(first), keep=500)).keep == (500 if first else 100)


@fast
@given(rows)
def test_every_dimension_sums_to_the_whole_and_the_matrix_to_the_flips(everything):
    table = count(outcomes(everything))
    for cells in table.cells.values():
        total = cells.columns.sum(axis=0)
        assert tuple(total.tolist()) == (
            table.overall.both_right,
            table.overall.negative,
            table.overall.positive,
            table.overall.wrong_same,
            table.overall.wrong_different,
        )
    assert sum(table.matrix.values()) == table.overall.negative + table.overall.positive


@fast
@given(rows)
def test_each_row_falls_into_the_cell_that_its_label_and_answers_say(everything):
    table = count(outcomes(everything))
    assert table.overall.both_right == sum(same(label, old) and same(label, new) for label, old, new, *_ in everything)
    assert table.overall.negative == sum(
        same(label, old) and not same(label, new) for label, old, new, *_ in everything
    )
    assert table.overall.positive == sum(
        not same(label, old) and same(label, new) for label, old, new, *_ in everything
    )
    assert table.overall.wrong_same == sum(
        not same(label, old) and same(old, new) for label, old, new, *_ in everything
    )
    assert table.overall.n == len(everything)


@fast
@given(rows)
def test_swapping_the_models_swaps_the_flips_and_every_rate(everything):
    one, other = count(outcomes(everything)), count(outcomes(everything, swapped=True))
    assert other.overall == one.overall.swapped()
    for name in (BY_CLASS, "piece"):
        cells, swapped = (
            {(type(v), v): table.cells[name].at(i) for i, v in enumerate(table.cells[name].values)}
            for table in (one, other)
        )
        assert swapped == {typed: counts.swapped() for typed, counts in cells.items()}
    flips = {(*map(type, k), *k): number for k, number in other.matrix.items()}
    assert flips == {
        (*map(type, (label, new, old)), label, new, old): number for (label, old, new), number in one.matrix.items()
    }

    def of(table: FlipTable, name: str, whose: str | None = None) -> float:
        return float(rate(name, whose).value(table.overall))

    def equal(x: float, y: float) -> bool:
        return x == y or (np.isnan(x) and np.isnan(y))

    assert equal(of(one, "nfr"), of(other, "pfr"))
    assert equal(of(one, "error_rate", "incumbent"), of(other, "error_rate", "candidate"))
    assert equal(of(one, "error_rate_change"), -of(other, "error_rate_change"))
    for name in ("churn", "wrong_to_different_wrong"):
        assert equal(of(one, name), of(other, name))
    for kind in RATES.values():  # and every rate follows from the swapped counts alone
        assert equal(float(kind.value(one.overall.swapped())), float(kind.value(other.overall)))


@fast
@given(rows, st.integers(0, 5), st.integers(0, 3))
def test_the_kept_samples_are_the_smallest_hashes_of_each_kind(everything, keep, seed):
    table = count(outcomes(everything), seed=seed, keep=keep)
    complete = count(outcomes(everything), seed=seed, keep=1_000)
    for kind in ("negative", "positive"):
        of_kind = [sample for sample in complete.samples if sample.kind == kind]
        assert [sample for sample in table.samples if sample.kind == kind] == of_kind[:keep]
    assert [sample.digest for sample in table.samples] == sorted(sample.digest for sample in table.samples)


text_row = st.tuples(*[st.sampled_from(["a", "b", "c"])] * 3, st.sampled_from(["x", "y", None]))


def table_of(everything: list[tuple], size: int) -> FlipTable:
    task = Classification(Reading(), Classes(declared=("a", "b", "c")))
    slices = Slices({"piece": ByColumn("piece")})
    tables = []
    for start in range(0, len(everything), size):
        ids, label, old, new, piece = zip(*everything[start : start + size], strict=True)
        batch = Batch(
            ids=pa.array(ids),
            label=pa.array(label),
            incumbent=Answers(pa.array(old)),
            candidate=Answers(pa.array(new)),
            slices=slices.codes({"piece": pa.array(piece, pa.string())}),
            first_row=start,
        )
        tables.append(count(task.outcomes(batch), keep=5))
    return task.finish(merge(tables))


@fast
@given(st.lists(text_row, min_size=1, max_size=30), st.integers(1, 31), st.randoms(use_true_random=False))
def test_a_classification_counts_the_same_in_batches_of_any_size_and_rows_in_any_order(everything, size, random):
    numbered = [(position, *row) for position, row in enumerate(everything)]
    numbered[0] = (0, "a", "a", "a", "x")  # somebody is right at least once
    shuffled = list(numbered)
    random.shuffle(shuffled)
    once, parts = table_of(numbered, len(numbered)), table_of(shuffled, size)
    assert contents(parts) == contents(once)
    for name in (BY_CLASS, BY_OUTPUT, "piece"):
        assert parts.cells[name].values == once.cells[name].values
        assert np.array_equal(parts.cells[name].columns, once.cells[name].columns)
