"""What is counted of one batch, and what merging keeps."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from gate.core.flips import BY_CLASS, BY_OUTPUT, CONFIDENCE_BINS, FlipCounts, FlipTable, count, merge, row_digest
from gate.core.matrix import MatrixCounts
from gate.core.outcomes import Codes, Confidence, Outcomes


def outcomes(label, incumbent, candidate, *, ids=None, confidence=None, slices=None) -> Outcomes:
    n = len(label)
    everything = Codes.of([*label, *incumbent, *candidate])
    columns = [Codes(everything.codes[i * n : (i + 1) * n], everything.values) for i in range(3)]
    return Outcomes(
        ids=np.arange(n) if ids is None else ids,
        incumbent_right=columns[0].codes == columns[1].codes,
        candidate_right=columns[0].codes == columns[2].codes,
        same_output=columns[1].codes == columns[2].codes,
        label=columns[0],
        incumbent=columns[1],
        candidate=columns[2],
        slices=slices or {},
        confidence=confidence,
    )


@pytest.mark.parametrize(
    ("incumbent", "candidate", "cell"),
    [
        ("a", "a", "both_right"),
        ("a", "b", "negative"),
        ("b", "a", "positive"),
        ("b", "b", "wrong_same"),
        ("b", "c", "wrong_different"),
    ],
)
def test_each_pair_of_answers_has_its_cell(incumbent, candidate, cell):
    found = count(outcomes(["a"], [incumbent], [candidate])).overall
    assert found == FlipCounts(**{cell: 1})
    assert found.n == 1
    assert found.both_wrong == int(cell.startswith("wrong"))


def test_two_right_answers_that_differ_are_both_right():
    several_right = Outcomes(np.arange(1), np.array([True]), np.array([True]), np.array([False]))
    assert count(several_right).overall == FlipCounts(both_right=1)


def test_a_batch_without_rows_gives_a_table_that_counts_nothing():
    table = count(outcomes([], [], []))
    assert table.overall == FlipCounts()
    assert len(table.matrix) == len(table.samples) == 0
    assert merge([table, table]).overall.n == 0


def test_outcomes_without_classes_are_counted_without_cells():
    bare = Outcomes(np.arange(2), np.array([True, False]), np.array([False, True]), np.array([False, False]))
    table = count(bare)
    assert table.overall == FlipCounts(negative=1, positive=1)
    assert not table.cells
    assert not table.matrix
    assert [(row.kind, row.label) for row in table.samples] != []
    assert {row.label for row in table.samples} == {None}


def test_classes_outputs_slices_and_the_flip_matrix_are_counted():
    table = count(
        outcomes(
            ["a", "a", "b", "b"],
            ["a", "a", "a", "b"],
            ["a", "b", "b", "b"],
            slices={"region": Codes.of(["north", None, "north", "south"])},
        )
    )
    by_class, by_output, region = (table.cells[name] for name in (BY_CLASS, BY_OUTPUT, "region"))
    assert by_class.at(by_class.values.index("a")) == FlipCounts(both_right=1, negative=1)
    assert by_output.at(by_output.values.index("b")) == FlipCounts(both_right=1, negative=1, positive=1)
    assert region.at(region.values.index(None)) == FlipCounts(negative=1)
    assert dict(table.matrix) == {("a", "a", "b"): 1, ("b", "a", "b"): 1}


def test_the_matrix_tells_1_from_1_0_and_true():
    table = count(outcomes([1, 1.0, True], [1, 1.0, True], ["x", "x", "x"]))
    assert len(table.matrix) == 3
    assert table.matrix[1, 1, "x"] == table.matrix[1.0, 1.0, "x"] == table.matrix[True, True, "x"] == 1
    twice = table + table
    assert [(type(key[0]), number) for key, number in twice.matrix.items()] == [(int, 2), (float, 2), (bool, 2)]


def test_a_matrix_equals_a_mapping_of_the_same_typed_counts_only():
    matrix = MatrixCounts([((1, 1, 2), 3)])
    assert matrix == {(1, 1, 2): 3}
    assert matrix != {(True, 1, 2): 3}
    assert matrix == MatrixCounts([((1, 1, 2), 1), ((1, 1, 2), 2)])
    assert matrix != 3
    assert (True, 1, 2) not in matrix
    assert repr(matrix) == "MatrixCounts([((1, 1, 2), 3)])"
    with pytest.raises(TypeError):
        hash(matrix)


def test_cells_of_mixed_types_are_kept_apart_when_merging():
    one = count(outcomes([1, True], [1, True], [1, True]))
    other = count(outcomes([1.0, "1", 1], [1.0, "1", 1], [1.0, "1", "x"]))
    cells = merge([one, other]).cells[BY_CLASS]
    found = {(type(v), v): n for v, n in zip(cells.values, cells.columns.sum(axis=1).tolist(), strict=True)}
    assert found == {(int, 1): 2, (bool, True): 1, (float, 1.0): 1, (str, "1"): 1, (str, "x"): 0}


def test_dimensions_that_only_one_shard_has_survive_the_merge():
    with_slice = count(outcomes(["a"], ["a"], ["a"], slices={"region": Codes.of(["north"])}))
    without = count(outcomes(["a"], ["a"], ["b"]))
    merged = with_slice + without
    assert merged.cells["region"].at(0) == FlipCounts(both_right=1)
    assert merged.overall.n == 2


def test_merging_leaves_the_parts_as_they_were():
    one, other = count(outcomes(["a", "b"], ["a", "b"], ["a", "a"])), count(outcomes(["a"], ["a"], ["a"]))
    before = one.cells[BY_CLASS].columns.copy()
    merge([one, other, other])
    assert np.array_equal(one.cells[BY_CLASS].columns, before)


def test_the_smallest_keep_decides_and_an_empty_table_has_no_say():
    many = outcomes(["a"] * 9, ["a"] * 9, ["b"] * 9)
    assert len((count(many, keep=5) + count(many, keep=3)).samples) == 3
    assert len((FlipTable(keep=1) + count(many, keep=5)).samples) == 5
    assert count(many, keep=0).samples == ()


@pytest.mark.parametrize("ids", [np.array(["x", "y"]), pa.array(["x", "y"]), pa.array(["x", "y"]).dictionary_encode()])
def test_samples_carry_id_label_both_outputs_and_confidence(ids):
    sure = Confidence(np.array([0.9, 0.25]), np.array([0.5, 0.75]))
    table = count(outcomes(["a", "b"], ["a", "a"], ["b", "b"], ids=ids, confidence=sure), seed=7)
    found = {row.id: row for row in table.samples}
    assert (found["x"].kind, found["x"].label, found["x"].incumbent, found["x"].candidate) == (
        "negative",
        "a",
        "a",
        "b",
    )
    assert (found["x"].incumbent_confidence, found["x"].candidate_confidence) == (0.9, 0.5)
    assert found["y"].kind == "positive"
    assert found["x"].digest == row_digest(7, "x")


def test_the_confidence_of_flips_is_binned_by_kind_and_model():
    sure = Confidence(np.array([0.0, 1.0, 0.55, 0.3]), np.array([0.95, 0.1, 0.999, 0.3]))
    table = count(outcomes(["a"] * 4, ["a", "a", "b", "a"], ["b", "b", "a", "a"], confidence=sure))
    assert table.confidence is not None
    assert table.confidence.shape == (2, 2, CONFIDENCE_BINS)
    assert table.confidence[0, 0].tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert table.confidence[0, 1].tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    assert table.confidence[1, 0].tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert table.confidence.sum() == 2 * 3
    assert ((table + table).confidence == 2 * table.confidence).all()


def test_the_digest_of_a_row_tells_seed_and_type_apart_and_takes_any_text():
    digests = {row_digest(0, 1), row_digest(0, "1"), row_digest(1, 1), row_digest(0, 1.0), row_digest(0, "\ud800")}
    assert len(digests) == 5
    assert all(len(digest) == 64 for digest in digests)


def test_counts_add_and_swap():
    one = FlipCounts(1, 2, 3, 4, 5)
    assert one + FlipCounts() == one
    assert (one + one).n == 30
    assert one.swapped() == FlipCounts(1, 3, 2, 4, 5)
    assert one.swapped().swapped() == one
    assert FlipCounts.from_columns(np.array([[1, 2, 3, 4, 5], [0, 0, 0, 0, 0]])).n.tolist() == [15, 0]


def test_merging_no_table_gives_the_empty_one():
    assert merge([]).overall == FlipCounts()
    assert merge([]).confidence is None
