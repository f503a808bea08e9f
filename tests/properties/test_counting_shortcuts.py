"""What makes counting fast changes no count: each shortcut against the plain way."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.core.counts import Cells, bits_of, count_by, count_by_both, few_enough
from gate.core.flips import BY_CLASS, BY_OUTPUT, count, merge
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


widths = st.sampled_from(["int8", "uint8", "int16", "uint16", "int32", "int64", "uint64"])


@fast
@given(st.lists(st.tuples(code, code, code), min_size=1, max_size=40), widths, st.sampled_from([0, 9_000, 70_000]))
def test_cells_are_the_same_for_codes_of_every_width_and_for_many_values(everything, width, unused):
    label, old, new = np.array(everything).T
    many = (*values, *range(100, 100 + unused))
    bits = bits_of(old == label, new == label, old == new)
    found = count_by(Codes(label.astype(width), many), bits).columns
    assert found[: len(values)].tolist() == count_by(Codes(label, values), bits).columns.tolist()
    assert not found[len(values) :].any()


@fast
@given(st.lists(st.tuples(code, code, code), min_size=1, max_size=40), widths, widths)
def test_two_columns_counted_in_one_look_are_those_counted_one_by_one(everything, width, other_width):
    label, old, new = np.tile(np.array(everything), (1500, 1)).T
    of_label, of_output = Codes(label.astype(width), values), Codes(new.astype(other_width), ("none", *values))
    bits = bits_of(old == label, new == label, old == new)
    assert few_enough(of_label, of_output)
    for found, column in zip(count_by_both(of_label, of_output, bits), (of_label, of_output), strict=True):
        plain = count_by(column, bits)
        assert found.values == plain.values
        assert np.array_equal(found.columns, plain.columns)


def shown(cells: Cells) -> dict:
    return {(type(value), value): row for value, row in zip(cells.values, cells.columns.tolist(), strict=True)}


@fast
@given(rows)
def test_many_rows_are_counted_as_few(everything):
    once, often = outcomes(everything), outcomes(everything * 300)
    found, expected = count(often, keep=0), count(once, keep=0)
    assert found.overall == expected.overall.times(300)
    for name in (BY_CLASS, BY_OUTPUT):
        assert shown(found.cells[name]) == {
            key: [300 * number for number in row] for key, row in shown(expected.cells[name]).items()
        }


@pytest.mark.parametrize("rows_", [4, 4_000])
@pytest.mark.parametrize("wrong", [-1, -2, 4, 5, 2**16])
@pytest.mark.parametrize("which", ["label", "candidate"])
@pytest.mark.parametrize("right_is_label", [True, False])
def test_a_code_that_is_no_position_is_refused_however_many_rows_there_are(rows_, wrong, which, right_is_label):
    given_ = outcomes(
        [(0, 1, 1, 0.0, 0.0), (1, 1, 1, 0.0, 0.0), (2, 3, 2, 0.0, 0.0), (3, 0, 0, 0.0, 0.0)] * (rows_ // 4)
    )
    codes = getattr(given_, which).codes.copy()
    codes[-1] = wrong
    given_ = replace(given_, **{which: Codes(codes, values)}, right_is_label=right_is_label)
    if right_is_label:
        right = given_.label.codes == given_.candidate.codes
        given_ = replace(given_, candidate_right=right, same_output=given_.incumbent.codes == given_.candidate.codes)
    with pytest.raises(ValueError, match="a unit is in no |cannot reshape|no negative elements"):
        count(given_, keep=0)


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
