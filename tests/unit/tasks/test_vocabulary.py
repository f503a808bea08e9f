"""Values are numbered once, over batches and columns, and never taken for one another."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core.flips import FlipTable
from gate.errors import EvidenceError
from gate.tasks.batch import Answers, Batch, Classes
from gate.tasks.kinds import KINDS
from gate.tasks.options import KEYS, TaskOptions
from gate.tasks.units import in_order
from gate.tasks.vocabulary import Vocabulary, plain


def test_four_values_that_look_alike_have_four_codes():
    vocabulary = Vocabulary()
    codes = [vocabulary.code(value) for value in (1, 1.0, True, "1", 1, True)]
    assert codes == [0, 1, 2, 3, 0, 2]
    assert len(vocabulary) == 4
    assert 1 in vocabulary
    assert False not in vocabulary


def test_nan_and_null_are_the_value_none_once():
    vocabulary = Vocabulary()
    assert vocabulary.encode(pa.array([float("nan"), None, 0.5, float("nan")])).codes.tolist() == [0, 0, 1, 0]
    assert vocabulary.encode(pa.array([np.nan])).codes.tolist() == [0]
    assert vocabulary.values == [None, 0.5]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([5, 3, 5, 2**21, -1]),
        pa.array([5, 3, 5]),
        pa.array([200, 3, 200], pa.uint8()),
        pa.array([2**64 - 1, 0], pa.uint64()),
        pa.array([5, None, 3]),
        pa.array([True, None, False]),
        pa.array(["b", "a", None, "b"]),
        pa.array(["b", "a", None, "b"]).dictionary_encode(),
        pa.array(["b", "a", None, "b"]).dictionary_encode("encode"),
        pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 1]), pa.array(["x", "x", "y"])),
        pa.array([1, 2, 1]).dictionary_encode(),
        pa.array([0.5, -0.5]),
        pa.nulls(3),
        pa.array([], pa.int64()),
        pa.array([], pa.string()),
    ],
    ids=str,
)
def test_decoding_what_was_encoded_gives_the_column_back(column):
    vocabulary = Vocabulary(["first"])
    for _ in range(2):  # the second time over known values
        codes = vocabulary.encode(column)
        assert [codes.values[code] for code in codes.codes.tolist()] == column.to_pylist()
    assert len(vocabulary) == 1 + len(set(column.to_pylist()))


def test_small_and_large_integers_share_their_codes():
    vocabulary = Vocabulary([7])
    assert vocabulary.encode(pa.array([7, 8])).codes.tolist() == [0, 1]
    assert vocabulary.encode(pa.array([7, 8, None])).codes.tolist() == [0, 1, 2]
    assert vocabulary.encode(pa.array([-7, 8])).codes.tolist() == [3, 1]


def test_a_slice_of_a_column_is_encoded_from_where_it_starts():
    for column in (pa.array(["a", "b", "c"]), pa.array([1, 2, 3]), pa.array(["a", "b", "c"]).dictionary_encode()):
        part = column.slice(1, 2)
        codes = Vocabulary().encode(part)
        assert [codes.values[code] for code in codes.codes.tolist()] == part.to_pylist()


def test_other_types_are_coded_by_their_text():
    assert plain(pa.array([b"a", None])).to_pylist() == ["a", None]
    assert plain(pa.array(["a"]).dictionary_encode()).type == pa.string()
    assert plain(pa.nulls(1)).to_pylist() == [None]


def test_the_order_of_cells_is_null_booleans_numbers_text():
    assert sorted(["10", 2, True, None, "b", 0.5, False], key=in_order) == [None, False, True, 0.5, 2, "10", "b"]


def test_a_batch_knows_its_length_and_answers_their_width():
    one = Batch(pa.array([1]), pa.array(["a"]), Answers(pa.array(["a"])), None)
    assert len(one) == 1
    assert one.candidate.width is None
    assert Answers(pa.array([[1.0, 2.0]], pa.list_(pa.float64(), 2))).width == 2


@pytest.mark.parametrize("type_", [pa.list_(pa.float64()), pa.large_list(pa.float32())])
def test_lists_of_one_length_become_rows_of_numbers(type_):
    whole = pa.array([[9, 9], [0.25, 0.75], [1, 0]], type_)
    assert Answers.of(whole.slice(1)).values.to_pylist() == [[0.25, 0.75], [1.0, 0.0]]
    assert Answers.of(whole).width == 2
    assert Answers.of(pa.array(["a"])).width is None


@pytest.mark.parametrize("rows", [[[1.0], [1.0, 2.0]], [[1.0], None]])
def test_lists_of_several_lengths_are_no_classification(rows):
    task = KINDS["classification"](TaskOptions(), Classes())
    with pytest.raises(EvidenceError, match="candidate model: lists of 2 different lengths"):
        task.outcomes(Batch(pa.array([1, 2]), pa.array([0, 1]), Answers.of(pa.array(rows)), None))


def test_every_kind_of_task_is_made_from_what_a_policy_says():
    assert list(KINDS) == list(KEYS)
    task = KINDS["classification"](TaskOptions(outputs="scores", threshold=0.25), Classes(declared=("no", "yes")))
    one = Batch(pa.array([1]), pa.array(["yes"]), Answers(pa.array([0.25])), None)
    assert task.outcomes(one).candidate_right.tolist() == [True]
    assert task.finish(FlipTable()).overall.n == 0


@pytest.mark.parametrize("late", [10, 12, 2**15 - 1, 2**15, 2**20 - 2])
@pytest.mark.parametrize("first", [0, 1, 5, 40_000])
def test_a_value_that_comes_once_at_the_end_of_many_rows_is_coded_too(late, first):
    vocabulary = Vocabulary()
    numbers = np.append(np.arange(100_000) % 10 + first, late)
    assert np.array_equal(Vocabulary().encode(pa.array(numbers[:-1])).codes, numbers[:-1] - first)
    codes = vocabulary.encode(pa.array(numbers))
    assert np.array_equal(np.array(codes.values)[codes.codes], numbers)
    assert sorted(vocabulary.values) == sorted({*range(first, 10 + first), late})
    again = vocabulary.encode(pa.array(numbers[::-1] + 1))
    assert np.array_equal(np.array(again.values)[again.codes], numbers[::-1] + 1)
    assert len(vocabulary) == len({*range(first, 11 + first), late, late + 1})


@pytest.mark.parametrize("values", [2**15 - 1, 2**15, 2**15 + 1])
def test_codes_are_as_wide_as_the_number_of_values_asks_for(values):
    vocabulary = Vocabulary()
    assert np.array_equal(vocabulary.encode(pa.array(np.arange(values))).codes, np.arange(values))
    assert np.array_equal(vocabulary.encode(pa.array(np.arange(values)[::-1])).codes, np.arange(values)[::-1])


@given(st.lists(st.lists(st.integers(0, 40), min_size=1), min_size=1, max_size=4))
def test_values_said_to_rise_do_and_codes_stand_for_their_values(batches: list[list[int]]) -> None:
    vocabulary = Vocabulary()
    for batch in batches:
        codes = vocabulary.encode(pa.array(batch)).codes
        assert [vocabulary.values[code] for code in codes] == batch
        if vocabulary.rising:
            assert vocabulary.values == sorted(set(vocabulary.values))
    first, second = Vocabulary([5]), Vocabulary([5])
    first.encode(pa.array([3, 7]))  # as many as are between, and not those
    second.encode(pa.array([6, 7]))
    assert (first.rising, second.rising) == (False, True)
