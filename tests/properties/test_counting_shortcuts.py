"""What makes counting fast changes no count: each shortcut against the plain way."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.core.flips import BY_OUTPUT, count, merge
from gate.core.matrix import MatrixCounts
from gate.core.outcomes import Codes, Margins, Outcomes
from gate.tasks.batch import Answers, Batch, Classes
from gate.tasks.classification import Classification, Reading
from gate.tasks.vocabulary import Vocabulary

fast = settings(deadline=None, max_examples=80)
code = st.integers(0, 3)
close = st.sampled_from([0.0, 5e-7, 5e-5, 5e-3, 0.5, float("nan")])
rows = st.lists(st.tuples(code, code, code, close, close), max_size=40)
values = ("a", 1, True, None)


def outcomes(part: list[tuple]) -> Outcomes:
    label, old, new, sure_old, sure_new = (
        np.array(column) for column in (zip(*part, strict=True) if part else [[]] * 5)
    )
    label, old, new = (column.astype(np.int64) for column in (label, old, new))
    return Outcomes(
        ids=np.arange(len(part)),
        incumbent_right=old == label,
        candidate_right=new == label,
        same_output=old == new,
        label=Codes(label, values),
        incumbent=Codes(old, values),
        candidate=Codes(new, values),
        margins=Margins(sure_old.astype(float), sure_new.astype(float)),
        right_is_label=True,
    )


@fast
@given(rows)
def test_outputs_counted_from_the_classes_are_those_counted_one_by_one(everything):
    short = outcomes(everything)
    plain = count(replace(short, right_is_label=False))
    found = count(short)
    assert found.overall == plain.overall
    for name, cells in plain.cells.items():
        assert found.cells[name].values == cells.values
        assert np.array_equal(found.cells[name].columns, cells.columns)
    assert found.matrix == plain.matrix
    assert found.cells[BY_OUTPUT].columns.sum() == len(everything)


@fast
@given(rows, st.lists(st.integers(0, 40), max_size=5))
def test_near_ties_of_parts_add_up_to_those_of_the_whole(everything, cuts):
    edges = [0, *sorted(min(cut, len(everything)) for cut in cuts), len(everything)]
    parts = [count(outcomes(everything[start:end])) for start, end in pairwise(edges)]
    assert np.array_equal(merge(parts).near_ties, count(outcomes(everything)).near_ties)


@fast
@given(rows, st.integers(0, 60), st.randoms(use_true_random=False))
def test_a_matrix_counted_by_sorting_by_place_and_in_parts_is_the_same(everything, unused, random):
    table = count(outcomes(everything))
    more = tuple(f"never said {number}" for number in range(unused))  # so many values that places are too many
    wide = outcomes(everything)
    label, old, new = (Codes(c.codes, values + more) for c in (wide.label, wide.incumbent, wide.candidate))
    expected = Counter(
        (type(values[a]), values[a], type(values[b]), values[b], type(values[c]), values[c])
        for a, b, c, *_ in everything
        if (a == b) != (a == c)
    )

    def contents(matrix: MatrixCounts) -> dict:
        return {(type(a), a, type(b), b, type(c), c): number for (a, b, c), number in matrix.items()}

    assert contents(table.matrix) == expected
    assert count(replace(wide, label=label, incumbent=old, candidate=new)).matrix == table.matrix
    parts = [count(outcomes(everything[start : start + 7])).matrix for start in range(0, len(everything), 7)]
    parts.append(MatrixCounts([(("b", "b", 2), 5)]))  # over other values
    random.shuffle(parts)
    assert MatrixCounts.added(parts) == MatrixCounts([*table.matrix.items(), (("b", "b", 2), 5)])


number = st.one_of(st.integers(0, 9), st.integers(-3, 2**21), st.sampled_from([2**20 - 1, 2**20, -1]))


@fast
@given(st.lists(st.lists(number, min_size=1, max_size=12), min_size=1, max_size=6), st.sampled_from(["int64", "int32"]))
def test_integers_keep_one_code_for_good_however_they_come(batches, kind):
    vocabulary = Vocabulary()
    known: dict[int, int] = {}
    for batch in batches:
        codes = vocabulary.encode(pa.array(batch, kind))
        assert [codes.values[code] for code in codes.codes.tolist()] == batch
        for value, code in zip(batch, codes.codes.tolist(), strict=True):
            assert known.setdefault(value, code) == code
            assert vocabulary.code(value) == code
            assert value in vocabulary
    assert sorted(known.values()) == list(range(len(vocabulary)))


texts = st.lists(st.tuples(*[st.sampled_from(["a", "b", "c"])] * 3), min_size=1, max_size=20)


@fast
@given(st.lists(texts, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_dictionaries_are_counted_as_the_texts_that_they_stand_for(batches, random):
    def table(encoded: bool):
        task = Classification(Reading(), Classes(declared=("a", "b", "c", "d")))
        tables = []
        for batch in batches:
            columns = [pa.array(column) for column in zip(*batch, strict=True)]
            if encoded:
                order = random.sample(["a", "b", "c"], 3)
                columns = [
                    pa.DictionaryArray.from_arrays(pa.array([order.index(v) for v in c.to_pylist()], pa.int8()), order)
                    for c in columns
                ]
            label, old, new = columns
            ids = pa.array(range(len(batch)))
            tables.append(count(task.outcomes(Batch(ids, label, Answers(new), Answers(old)))))
        return merge(tables)

    plain, encoded = table(False), table(True)
    assert encoded.overall == plain.overall
    assert encoded.matrix == plain.matrix
    for name, cells in plain.cells.items():
        assert encoded.cells[name].values == cells.values
        assert np.array_equal(encoded.cells[name].columns, cells.columns)
