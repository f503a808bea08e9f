"""Every way in which a model may answer, held against the label."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from gate.core.flips import BY_CLASS, BY_OUTPUT, FlipCounts, count
from gate.errors import EvidenceError
from gate.tasks.batch import Answers, Batch, Classes
from gate.tasks.classification import Classification, Reading
from gate.tasks.slicing import ByColumn, Slices


def matrix(rows, names=None, type_=None) -> Answers:
    numbers = np.asarray(rows, dtype=type_ or np.float64)
    return Answers(pa.FixedSizeListArray.from_arrays(pa.array(numbers.ravel()), numbers.shape[1]), names)


def answers(values) -> Answers:
    return (
        values if isinstance(values, Answers) else Answers(values if isinstance(values, pa.Array) else pa.array(values))
    )


def batch(label, candidate, incumbent=None, first_row=0, **slices) -> Batch:
    column = label if isinstance(label, pa.Array) else pa.array(label)
    return Batch(
        ids=pa.array(range(first_row, first_row + len(column))),
        label=column,
        candidate=answers(candidate),
        incumbent=None if incumbent is None else answers(incumbent),
        slices=Slices({name: ByColumn(name) for name in slices}).codes(
            {name: pa.array(values) if isinstance(values, list) else values for name, values in slices.items()}
        ),
        first_row=first_row,
    )


def task(outputs=None, declared=None, candidate=None, incumbent=None, threshold=None) -> Classification:
    return Classification(Reading(outputs, threshold), Classes(declared, candidate, incumbent))


def right(a_task: Classification, label, candidate, **kwargs) -> list[bool]:
    return a_task.outcomes(batch(label, candidate, **kwargs)).candidate_right.tolist()


@pytest.mark.parametrize(
    ("label", "answer"),
    [
        (["a", "b", "b"], ["a", "b", "a"]),
        ([0, 1, 1], [0, 1, 0]),
        ([-5, 7, 7], [-5, 7, -5]),
        ([2**40, 1, 1], [2**40, 1, 2**40]),
        ([True, False, False], [True, False, True]),
        ([0.0, 1.0, 1.0], [0.0, 1.0, 0.0]),
        ([0, 1, 1], [0.0, 1.0, 0.0]),
        ([0.0, 1.0, 1.0], [0, 1, 0]),
        (pa.array([0, 1, 1], pa.uint8()), pa.array([0, 1, 0], pa.int64())),
        (pa.array([0, 1, 1], pa.float32()), pa.array([0, 1, 0], pa.int16())),
        (pa.array(["a", "b", "b"], pa.large_string()), pa.array(["a", "b", "a"])),
        (pa.array(["a", "b", "b"]).dictionary_encode(), pa.array(["a", "b", "a"])),
        (pa.array([3, 4, 4]).dictionary_encode(), pa.array([3, 4, 3]).dictionary_encode()),
    ],
    ids=str,
)
def test_labels_are_right_where_they_equal_the_label(label, answer):
    assert right(task(), label, answer) == [True, True, False]
    assert right(task("labels"), label, answer) == [True, True, False]


@pytest.mark.parametrize(
    ("label", "answer", "said"),
    [
        (["0", "1"], [0, 1], "it answers with integers (0), the labels are text"),
        ([0, 1], ["0", "1"], "it answers with text ('0'), the labels are integers"),
        ([True, False], [1, 0], "it answers with integers (1), the labels are booleans"),
        ([1, 0], [True, False], "it answers with booleans (True), the labels are integers"),
        (["True", "False"], [True, False], "it answers with booleans (True), the labels are text"),
    ],
)
def test_kinds_are_never_taken_for_one_another(label, answer, said):
    with pytest.raises(EvidenceError) as error:
        task().outcomes(batch(label, answer))
    assert said in str(error.value)
    assert str(error.value).startswith("candidate model: ")
    with pytest.raises(EvidenceError, match="^incumbent model: "):
        task().outcomes(batch(label, label, answer))


def test_fractions_name_no_class():
    with pytest.raises(EvidenceError, match=r"answers must name classes, and 1 in one batch do not.*0\.7.* at row 11"):
        task().outcomes(batch([0, 1], [0.0, 0.7], first_row=10))
    with pytest.raises(EvidenceError, match="held-out set: labels must name classes"):
        task().outcomes(batch([0.5, 1.0], [0, 1]))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_numbers_that_are_not_whole_finite_and_of_64_bits_name_no_class(bad):
    with pytest.raises(EvidenceError, match="must name classes"):
        task().outcomes(batch([0, 1], pa.array([0.0, bad])))


def test_missing_labels_are_counted_and_the_first_row_is_named():
    with pytest.raises(EvidenceError, match="2 of 4 labels are missing in one batch, first at row 21"):
        task().outcomes(batch(["a", None, "b", None], ["a", "a", "b", "b"], first_row=20))
    with pytest.raises(EvidenceError, match="labels are missing"):
        task().outcomes(batch(pa.array(["a", None]).dictionary_encode(), ["a", "a"]))
    with pytest.raises(EvidenceError, match="labels are missing"):
        task().outcomes(batch(pa.nulls(2), ["a", "a"]))


def test_missing_answers_are_an_error():
    with pytest.raises(EvidenceError, match="candidate model: missing answers: 1 in one batch, first at row 1"):
        task().outcomes(batch(["a", "b"], ["a", None]))


def test_too_few_answers_are_an_error():
    with pytest.raises(EvidenceError, match="incumbent model: 1 answers for 2 rows"):
        task().outcomes(batch(["a", "b"], ["a", "b"], ["a"]))


@pytest.mark.parametrize("column", [pa.array([[1], [2]]), pa.array([b"\xff", b"\xfe"]), pa.array([{"a": 1}, {"a": 2}])])
def test_columns_that_name_nothing_are_errors_and_not_crashes(column):
    with pytest.raises(EvidenceError, match="held-out set: labels of type .* do not name anything"):
        task().outcomes(batch(column, ["a", "b"]))
    if not pa.types.is_list(column.type):
        with pytest.raises(EvidenceError, match="candidate model: answers of type .* do not name anything"):
            task().outcomes(batch(["a", "b"], column))
    with pytest.raises(EvidenceError, match="slice 'region': column 'region' is .*, and cannot be cut"):
        task().outcomes(batch(["a", "b"], ["a", "b"], region=column))


# indices


def test_integers_are_positions_where_the_policys_classes_are_text():
    assert right(task(declared=("cat", "dog")), ["cat", "dog"], [0, 0]) == [True, False]
    assert right(task("indices", declared=("cat", "dog")), ["cat", "dog"], [1.0, 1.0]) == [False, True]
    assert right(task(declared=("cat", "dog")), [0, 1], ["cat", "cat"]) == [True, False]


def test_indices_are_positions_in_the_models_own_classes_if_the_policy_has_none():
    assert right(task("indices", candidate=("cat", "dog")), ["cat", "dog"], [0, 0]) == [True, False]
    assert right(task("indices", candidate=(30, 10, 20)), [10, 20], [1, 1]) == [True, False]


def test_indices_of_integer_classes_are_positions_and_labels_are_names():
    assert right(task("indices", declared=(10, 20)), [10, 20], [0, 0]) == [True, False]
    assert right(task("labels", declared=(10, 20)), [10, 20], [10, 10]) == [True, False]


def test_indices_without_names_outside_them_or_of_text_are_errors():
    with pytest.raises(EvidenceError, match="nothing says which classes they are"):
        task("indices").outcomes(batch(["a"], [0]))
    with pytest.raises(EvidenceError, match=r"class index 2 at row 5, and there are 2 classes \(0 to 1\)"):
        task("indices", declared=("a", "b")).outcomes(batch(["a", "b"], [0, 2], first_row=4))
    with pytest.raises(EvidenceError, match="class index -1 at row 0"):
        task("indices", declared=("a", "b")).outcomes(batch(["a"], [-1]))
    with pytest.raises(EvidenceError, match="it answers with text, the policy expects indices"):
        task("indices", declared=("a", "b")).outcomes(batch(["a"], ["a"]))


# one number per class


def test_the_largest_number_wins_and_the_first_of_equals():
    found = right(
        task(declared=("a", "b", "c")), ["b", "a", "a", "c"], matrix([[0, 2, 1], [1, 1, 0], [0, 1, 1], [0, 0, 0]])
    )
    assert found == [True, True, False, False]


@pytest.mark.parametrize("type_", [np.float16, np.float32, np.float64, np.int64, np.bool_])
def test_numbers_of_any_type_are_compared(type_):
    assert right(task(declared=("a", "b")), ["a", "b"], matrix([[1, 0], [0, 1]], type_=type_)) == [True, True]


def test_columns_of_a_slice_are_read_from_where_it_starts():
    whole = matrix([[9, 0], [0, 9], [9, 0]]).values
    assert right(task(declared=("a", "b")), ["b", "a"], Answers(whole.slice(1, 2))) == [True, True]


def test_without_names_the_columns_are_the_integers_from_0():
    assert right(task(), [0, 1, 1], matrix([[2, 1], [1, 2], [2, 1]])) == [True, True, False]


def test_without_names_text_labels_are_an_error():
    with pytest.raises(EvidenceError, match="nothing says which classes they are; the labels are text"):
        task().outcomes(batch(["a", "b"], matrix([[1, 0], [0, 1]])))


@pytest.mark.parametrize(
    "known",
    [
        {"declared": ("b", "a")},
        {"candidate": ("b", "a")},
        {"declared": ("a", "b"), "candidate": ("b", "a")},
        {"declared": ("b", "a"), "candidate": (0, 1)},
        {"declared": ("b", "a"), "candidate": (0.0, 1.0)},
        {"declared": ("b", "a"), "candidate": ("b", "a")},
    ],
    ids=str,
)
def test_the_columns_stand_in_the_models_own_order_or_else_in_the_policys(known):
    assert right(task(**known), ["b", "a"], matrix([[1, 0], [0, 1]])) == [True, True]


def test_integer_classes_in_the_models_order_win_over_the_policys_order_too():
    assert right(task(declared=(1, 0), candidate=(0, 1)), [0, 1], matrix([[1, 0], [0, 1]])) == [True, True]


def test_the_names_of_the_columns_are_the_classes_and_their_order_wins_over_the_models():
    assert right(task(), ["b", "a"], matrix([[1, 0], [0, 1]], names=("b", "a"))) == [True, True]
    assert right(task(candidate=("a", "b")), ["b", "a"], matrix([[1, 0], [0, 1]], names=("b", "a"))) == [True, True]
    assert right(task(declared=("a", "b")), ["b", "a"], matrix([[1, 0], [0, 1]], names=("b", "a"))) == [True, True]


def test_columns_of_other_names_leave_the_models_classes_in_place():
    assert right(task(candidate=("b", "a")), ["b", "a"], matrix([[1, 0], [0, 1]], names=("p_1", "p_2"))) == [True, True]


def test_a_model_that_answers_with_more_numbers_than_it_knows_classes_is_an_error():
    with pytest.raises(EvidenceError, match="3 numbers per row, and knows 2 classes"):
        task(candidate=(0, 1)).outcomes(batch([0], matrix([[1, 0, 0]])))


def test_a_policy_that_names_more_or_other_classes_is_an_error():
    with pytest.raises(EvidenceError, match="2 numbers per row, the policy names 3 classes"):
        task(declared=("a", "b", "c")).outcomes(batch(["a"], matrix([[1, 0]])))
    with pytest.raises(EvidenceError, match=r"its classes \('x', 'y'\) are not those of the policy \('a', 'b'\)"):
        task(declared=("a", "b"), candidate=("x", "y")).outcomes(batch(["a"], matrix([[1, 0]])))


def test_a_nan_is_neither_right_nor_wrong():
    with pytest.raises(EvidenceError, match="NaN in 1 answers of one batch, first at row 8"):
        task().outcomes(batch([0, 1], matrix([[1, 0], [np.nan, 1]]), first_row=7))
    inner = pa.FixedSizeListArray.from_arrays(pa.array([1.0, 0.0, None, 1.0]), 2)
    with pytest.raises(EvidenceError, match="NaN in 1 answers"):
        task().outcomes(batch([0, 1], Answers(inner)))


def test_a_missing_list_is_an_error_and_not_a_crash():
    missing = pa.array([[1.0, 0.0], None], pa.list_(pa.float64(), 2))
    with pytest.raises(EvidenceError, match="candidate model: missing answers: 1 in one batch, first at row 1"):
        task().outcomes(batch([0, 1], Answers(missing)))


def test_lists_of_text_or_of_nothing_are_errors():
    with pytest.raises(EvidenceError, match="2 values of type string per row, not with numbers"):
        task().outcomes(batch([0], Answers(pa.array([["a", "b"]], pa.list_(pa.string(), 2)))))
    with pytest.raises(EvidenceError, match="it answers with no number per row"):
        task().outcomes(batch([0], Answers(pa.array([[]], pa.list_(pa.float64(), 0)))))


def test_probabilities_bring_their_confidence_and_must_be_some():
    found = task("probabilities").outcomes(
        batch([0, 1], matrix([[0.9, 0.1], [0.6, 0.4]]), matrix([[0.5, 0.5], [0, 1]]))
    )
    assert found.confidence is not None
    assert found.confidence.candidate.tolist() == [0.9, 0.6]
    assert found.confidence.incumbent.tolist() == [0.5, 1.0]
    for rows in ([[0.9, 0.2]], [[1.5, -0.5]], [[np.inf, 0.0]]):
        with pytest.raises(EvidenceError, match="are no probabilities.* first at row 3"):
            task("probabilities").outcomes(batch([0], matrix(rows), first_row=3))


def test_logits_bring_the_confidence_of_their_softmax():
    logits = matrix([[0.0, np.log(3)], [1_000.0, 0.0], [-np.inf, 0.0], [np.inf, 0.0], [-np.inf, -np.inf]])
    found = task("logits").outcomes(batch([1, 0, 1, 0, 0], logits, logits))
    assert found.confidence is not None
    assert found.confidence.candidate == pytest.approx([0.75, 1.0, 1.0, 1.0, 0.5])
    assert found.candidate_right.tolist() == [True, True, True, True, True]


def test_numbers_of_unknown_meaning_bring_no_confidence():
    both = matrix([[0.9, 0.1]])
    assert task().outcomes(batch([0], both, both)).confidence is None
    mixed = task("probabilities", declared=(0, 1))
    assert mixed.outcomes(batch([0], both, both)).confidence is not None
    assert mixed.outcomes(batch([0], both)).confidence is None


@pytest.mark.parametrize("outputs", ["labels", "indices", "scores"])
def test_a_row_of_numbers_where_one_answer_is_expected_is_an_error(outputs):
    with pytest.raises(EvidenceError, match=f"2 numbers per row, the policy expects {outputs}"):
        task(outputs).outcomes(batch([0], matrix([[1, 0]])))


@pytest.mark.parametrize("outputs", ["probabilities", "logits"])
def test_one_answer_where_a_row_of_numbers_is_expected_is_an_error(outputs):
    with pytest.raises(EvidenceError, match=f"one int64 per row, the policy expects {outputs}, one per class"):
        task(outputs).outcomes(batch([0], [1]))


# scores


@pytest.mark.parametrize(
    ("label", "known"),
    [
        (["legit", "fraud", "fraud"], {"declared": ("legit", "fraud")}),
        (["legit", "fraud", "fraud"], {"candidate": ("legit", "fraud")}),
        ([0, 1, 1], {}),
        ([False, True, True], {}),
        ([0, 1, 1], {"declared": (0, 1)}),
        (["legit", "fraud", "fraud"], {"declared": ("legit", "fraud"), "candidate": ("fraud", "legit")}),
    ],
    ids=str,
)
def test_a_score_at_or_above_the_threshold_is_the_second_class(label, known):
    assert right(task("scores", threshold=0.3, **known), label, [0.1, 0.3, 0.29]) == [True, True, False]


def test_the_threshold_is_one_half_unless_said_and_scores_may_be_whole_numbers():
    assert right(task("scores"), [1, 0, 1], [0.5, 0.49, 0.2]) == [True, True, False]
    assert right(task("scores", threshold=10), [1, 0], [10, 9]) == [True, True]


def test_scores_of_nan_of_text_or_without_two_classes_are_errors():
    with pytest.raises(EvidenceError, match="NaN in 1 scores of one batch, first at row 1"):
        task("scores").outcomes(batch([0, 1], pa.array([0.1, np.nan])))
    with pytest.raises(EvidenceError, match="it answers with text, the policy expects scores"):
        task("scores").outcomes(batch([0], ["a"]))
    with pytest.raises(EvidenceError, match="needs two classes, and nothing names them"):
        task("scores").outcomes(batch(["a"], [0.1]))
    with pytest.raises(EvidenceError, match="needs two classes, 3 are known"):
        task("scores", candidate=(0, 1, 2)).outcomes(batch([0], [0.1]))


def test_a_third_label_is_an_error_where_scores_know_two_classes():
    with pytest.raises(EvidenceError, match="the labels 2 are not among the classes of either model"):
        task("scores").outcomes(batch([0, 1, 2], [0.1, 0.9, 0.5]))


# labels that nobody knows


def test_a_label_outside_the_policys_classes_is_an_error_with_its_rows():
    with pytest.raises(EvidenceError) as error:
        task(declared=("a", "b")).outcomes(batch(["a", "z", "z"], ["a", "b", "b"], first_row=100))
    assert (
        "the labels 'z' are not among the policy's task.classes ('a', 'b'): 2 rows in one batch, first at row 101"
        in str(error.value)
    )


def test_a_label_that_neither_model_knows_is_an_error_and_one_that_only_one_knows_is_wrong_for_the_other():
    both = {"candidate": (0, 1), "incumbent": (0, 1)}
    with pytest.raises(EvidenceError, match="labels 5 are not among the classes of either model"):
        task(**both).outcomes(batch([0, 5], [0, 1], [0, 1]))
    wider = task(candidate=(0, 1, 5), incumbent=(0, 1)).outcomes(batch([0, 5], [0, 5], [0, 1]))
    assert (wider.candidate_right.tolist(), wider.incumbent_right.tolist()) == ([True, True], [True, False])


def test_where_a_model_does_not_tell_its_classes_its_labels_are_taken_as_they_come():
    found = task(candidate=(0, 1)).outcomes(batch([0, 5], [0, 1], [0, 5]))
    assert found.incumbent_right.tolist() == [True, True]


def test_text_and_integer_classes_of_the_same_look_do_not_match():
    with pytest.raises(EvidenceError, match="labels '0', '1' are not among"):
        task(declared=(0, 1)).outcomes(batch(["0", "1"], ["0", "1"]))
    with pytest.raises(EvidenceError, match="labels '0', '1' are not among"):
        task(candidate=(0, 1)).outcomes(batch(["0", "1"], matrix([[1, 0], [0, 1]])))


def test_whole_floats_in_the_policys_classes_are_the_integers_they_look_like():
    assert right(task(declared=(0.0, 1.0)), [0, 1], [0, 0]) == [True, False]


# the whole count


def test_without_an_incumbent_only_the_candidate_is_judged():
    found = task().outcomes(batch(["a", "b"], ["a", "a"], region=["n", "s"]))
    assert found.incumbent is None
    assert found.incumbent_right.tolist() == [False, False]
    table = task().finish(count(found))
    assert table.overall == FlipCounts(positive=1, wrong_different=1)
    assert not table.matrix
    assert set(table.cells) == {BY_CLASS, BY_OUTPUT, "region"}


def counted(a_task: Classification, *batches: Batch):
    from gate.core.flips import merge

    return a_task.finish(merge([count(a_task.outcomes(part)) for part in batches]))


def test_a_declared_class_without_rows_keeps_its_cell_and_others_lose_theirs():
    table = counted(
        task(declared=("c", "b", "a"), candidate=("a", "b", "c")), batch(["a", "b"], ["a", "b"], ["a", "b"])
    )
    assert table.cells[BY_CLASS].values == ("a", "b", "c")
    assert table.cells[BY_CLASS].at(2).n == 0
    assert table.cells[BY_OUTPUT].values == ("a", "b")
    undeclared = counted(task(candidate=(0, 1, 2)), batch([0, 1], matrix([[1, 0, 0], [0, 1, 0]]), [0, 1]))
    assert undeclared.cells[BY_CLASS].values == (0, 1)


def test_cells_are_sorted_by_value_null_first_then_booleans_numbers_and_text():
    table = counted(
        task(), batch([10, 9, 2], [10, 9, 2], [10, 9, 2], region=["b", None, "a"], flag=[True, None, False])
    )
    assert table.cells[BY_CLASS].values == (2, 9, 10)
    assert table.cells["region"].values == (None, "a", "b")
    assert table.cells["flag"].values == (None, False, True)


def test_outputs_that_are_never_a_label_are_an_error_for_either_model():
    with pytest.raises(EvidenceError, match=r"candidate model: none of its 2 outputs \('A', 'B'\) is ever a label"):
        counted(task(), batch(["a", "b"], ["A", "B"], ["a", "b"]))
    with pytest.raises(EvidenceError, match=r"incumbent model: none of its 2 outputs \('A', 'B'\) is ever a label"):
        counted(task(), batch(["a"], ["a"], ["A"]), batch(["b"], ["b"], ["B"], first_row=1))


def test_an_incumbent_that_is_merely_always_wrong_is_no_error():
    table = counted(task(), batch(["a", "b"], ["a", "b"], ["b", "a"]))
    assert table.overall == FlipCounts(positive=2)


def test_an_empty_batch_adds_nothing():
    a_task = task()
    empty = batch(pa.array([], pa.string()), pa.array([], pa.string()), pa.array([], pa.string()))
    table = counted(a_task, empty, batch(["a"], ["a"], ["a"]), empty)
    assert table.overall == FlipCounts(both_right=1)
    no_rows = Answers(pa.FixedSizeListArray.from_arrays(pa.array([], pa.float64()), 2))
    for outputs in (None, "probabilities", "logits"):
        assert len(task(outputs).outcomes(batch(pa.array([], pa.int64()), no_rows, no_rows))) == 0


def test_messages_name_a_few_classes_and_not_all():
    with pytest.raises(EvidenceError, match=r"\(0, 1, 2, 3, 4, 5, \.\.\.\)"):
        task(declared=tuple(range(100))).outcomes(batch([100], [1]))
