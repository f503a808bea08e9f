"""What goes into a model and what comes out of it, without a process."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from PIL import Image

from gate.engines.answers import SameForm
from gate.engines.environment import presentable, worker_environment
from gate.engines.in_worker.answers import answer_batch
from gate.engines.in_worker.failures import Refusal
from gate.engines.in_worker.features import frame
from gate.engines.in_worker.frames import from_ipc, to_ipc
from gate.engines.in_worker.tensors import unnamed_tensor
from gate.errors import EvidenceError
from gate.tasks.batch import Answers


def answered(result: Any, rows: int) -> pa.Array:
    return answer_batch(result, rows).column(0)


@pytest.mark.parametrize(
    ("result", "values"),
    [
        (np.array([1, 0], np.int32), [1, 0]),
        (np.array([True, False]), [True, False]),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.array(["a", "b"], object), ["a", "b"]),
        (np.array([[1.5], [2.5]]), [1.5, 2.5]),
        (np.array([[1, 0], [0, 1]], np.float16), [[1, 0], [0, 1]]),
        (np.array([1.5, 2.5], ">f8"), [1.5, 2.5]),
        ([np.int64(1), 2], [1, 2]),
        ([[0.5, 0.5], [1.0, 0.0]], [[0.5, 0.5], [1.0, 0.0]]),
        (pd.Series(["a", "b"], dtype="category"), ["a", "b"]),
        (pd.Series([1, None], dtype="Int64"), [1, None]),
        (pd.DataFrame({"label": ["a", "b"]}), ["a", "b"]),
        (pd.DataFrame([[0.5, 0.5], [1.0, 0.0]]), [[0.5, 0.5], [1.0, 0.0]]),
        ({"predictions": [1, 2]}, [1, 2]),
        (["a", None], ["a", None]),
    ],
)
def test_every_usual_kind_of_answer_becomes_a_column(result: Any, values: list[Any]) -> None:
    assert answered(result, 2).to_pylist() == values


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (np.zeros((2, 3, 4)), "3 dimensions"),
        (np.zeros(3), "3 rows for 2"),
        ([1.0], "1 rows for 2"),
        ([[1.0, 2.0], [1.0]], "different lengths"),
        (["a", 1], "different or unknown kinds: int, str"),
        ([{"label": "a"}, {"label": "b"}], "of type struct"),
        (np.array([{1}, {2}], object), "of type list"),
        ([["a", "b"], ["c", "d"]], "dtype <U1"),
        ([[], []], r"shape \(2, 0\)"),
        (({}, {}), "a tuple"),
        (None, "a NoneType"),
        ({"a": [1, 2], "b": [1, 2]}, "a dict of 2 entries"),
        (pd.DataFrame({"label": ["a", "b"], "score": [1.0, 2.0]}), "not all numbers"),
        (pd.Series([1, 2], index=[1, 0]), "rows in another order"),
        (pd.Series([1, 2], index=["a", "b"]), "rows in another order"),
        (np.array([1j, 2j]), "complex"),
        (np.ma.masked_array([1.0, 2.0], mask=[True, False]), "masked"),
        ([None, None], "of type null"),
    ],
)
def test_every_other_answer_is_refused(result: Any, says: str) -> None:
    with pytest.raises(Refusal, match=says):
        answer_batch(result, 2)


SETS = [["a", "b"], [], ["b"]]


def objects(values: list[Any]) -> np.ndarray:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


@pytest.mark.parametrize(
    ("result", "values"),
    [
        (SETS, SETS),
        ([tuple(some) for some in SETS], SETS),
        ([{"a"}, frozenset(), {"b"}], [["a"], [], ["b"]]),
        ([np.array(["a"]), np.array([]), np.array(["b"])], [["a"], [], ["b"]]),
        (objects(SETS), SETS),
        (pd.Series(SETS), SETS),
        (pd.Series(SETS, dtype=pd.ArrowDtype(pa.list_(pa.string()))), SETS),
        (pd.DataFrame({"labels": SETS}), SETS),
        ({"labels": SETS}, SETS),
        ([[1, 2], [], [np.int64(3)]], [[1, 2], [], [3]]),
        ([[], [], []], [[], [], []]),
        ([[True, False]] * 3, [[True, False]] * 3),
        (np.array([[0.5, 0.5]] * 3), [[0.5, 0.5]] * 3),
        (np.array([[1], [0], [1]]), [1, 0, 1]),
        (np.array([1, 0, 1]), [1, 0, 1]),
        ([["a"], None, ["b"]], [["a"], None, ["b"]]),
    ],
)
def test_where_sets_are_asked_for_each_row_may_be_a_list_of_its_own_length(result: Any, values: list[Any]) -> None:
    assert answer_batch(result, 3, sets=True).column(0).to_pylist() == values


@pytest.mark.parametrize(
    ("result", "says"),
    [
        ([["a"], [1], []], "sets of different or unknown kinds: int, str"),
        ([["a"], "b", []], "sets for some rows, and for others str"),
        ([[{"a": 1}], [], []], "sets of struct"),
        ([["a"], ["b"]], "2 rows for 3"),
        ([[b"a"], [], []], "sets of binary"),
    ],
)
def test_sets_of_anything_else_are_refused(result: Any, says: str) -> None:
    with pytest.raises(Refusal, match=says):
        answer_batch(result, 3, sets=True)


def test_a_batch_of_empty_sets_goes_with_sets_of_any_kind_but_not_with_scores() -> None:
    empty, text, numbers = (Answers(answer_batch(sets, 1, sets=True).column(0)) for sets in ([[]], [["a"]], [[1, 2]]))
    form = SameForm("candidate")
    for answers in (empty, text, empty):
        form.check(answers)
    with pytest.raises(EvidenceError, match="lists of numbers after it answered lists of text"):
        form.check(numbers)
    scores = SameForm("candidate")
    scores.check(Answers(answered(np.zeros((2, 2)), 2)))
    with pytest.raises(EvidenceError, match="after it answered numbers in 2 columns"):
        scores.check(empty)


def test_nan_is_a_score_and_not_a_missing_answer() -> None:
    for result in (np.array([np.nan, 1.0]), pd.Series([np.nan, 1.0]), [np.nan, 1.0]):
        assert answered(result, 2).null_count == 0
        assert np.isnan(answered(result, 2)[0].as_py())


def test_a_batch_survives_the_wire_also_from_the_middle_of_another() -> None:
    batch = pa.record_batch({"x": pa.array(["a", None, "c", "d"]), "y": [[1], [2, 3], [], [4]]}).slice(1, 2)
    assert from_ipc(to_ipc(batch)).equals(batch)


@pytest.mark.parametrize(
    ("values", "kind", "says"),
    [
        (pa.array(["1"]), DataType.long, "is string"),
        (pa.array([1]), DataType.string, "is int64"),
        (pa.array([1.5]), DataType.long, "truncated"),
        (pa.array([2**40]), DataType.integer, "not in range"),
        (pa.array([1, None]), DataType.long, "1 missing value"),
        (pa.array([2]), DataType.boolean, "only 0 and 1|signature says boolean"),
        (pa.array([b"x"]), DataType.string, "is binary"),
        (pa.array([[1.0]]), DataType.double, "signature says double"),
        (pa.array(["yesterday"]), DataType.datetime, "signature says datetime"),
    ],
)
def test_a_cast_that_would_change_values_is_refused(values: pa.Array, kind: DataType, says: str) -> None:
    with pytest.raises(Refusal, match=says):
        frame(pa.record_batch({"x": values}), Schema([ColSpec(kind, "x")]), split=True)


def test_an_optional_column_may_be_absent() -> None:
    schema = Schema([ColSpec("double", "x"), ColSpec("double", "y", required=False)])
    assert list(frame(pa.record_batch({"x": [1]}), schema, split=True).columns) == ["x"]


def test_all_columns_of_numbers_make_the_matrix_where_there_is_no_list() -> None:
    batch = pa.record_batch({"a": [1, 2], "word": ["x", "y"], "b": [0.5, None], "c": [True, False]})
    matrix = unnamed_tensor(batch, TensorSpec(np.dtype(np.float32), (-1, 3)))
    assert matrix.dtype == np.float32
    assert np.array_equal(matrix, [[1, 0.5, 1], [2, np.nan, 0]], equal_nan=True)
    with pytest.raises(Refusal, match="3 columns of numbers"):
        unnamed_tensor(batch, TensorSpec(np.dtype(np.float32), (-1, 4)))


def test_two_columns_that_could_be_the_tensor_are_refused() -> None:
    with pytest.raises(Refusal, match="2 columns could be it: a, b"):
        unnamed_tensor(pa.record_batch({"a": [[1]], "b": [[1]]}), TensorSpec(np.dtype(np.float32), (-1, 1)))


@pytest.mark.parametrize(
    "values",
    [
        pa.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]]),
        pa.array([[0] * 4, [1, 2, 3, 4], [5, 6, 7, 8]], pa.list_(pa.int64(), 4)).slice(1),
        pa.array([[0], [1, 2, 3, 4], [5, 6, 7, 8]]).slice(1),
    ],
)
def test_lists_are_reshaped_to_the_spec_and_are_the_models_own(values: pa.Array) -> None:
    array = unnamed_tensor(pa.record_batch({"x": values}), TensorSpec(np.dtype(np.float32), (-1, 2, 2)))
    assert array.tolist() == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    assert array.flags.writeable


@pytest.mark.parametrize("values", [pa.array([[1, 2], [3]]), pa.array([[1, 2], None]), pa.array([[1, 2], [3, None]])])
def test_ragged_and_missing_tensors_are_refused(values: pa.Array) -> None:
    with pytest.raises(Refusal, match="'x'"):
        unnamed_tensor(pa.record_batch({"x": values}), TensorSpec(np.dtype(np.int64), (-1, 2)))


@pytest.mark.parametrize(
    ("shape", "mode"),
    [((-1, 6, 5, 3), "RGB"), ((-1, 3, 6, 5), "RGB"), ((-1, 1, -1, -1), "L"), ((-1, 6, 5), "L"), ((-1, 30), "L")],
)
def test_images_take_the_shape_of_the_spec(shape: tuple[int, ...], mode: str) -> None:
    encoded = io.BytesIO()
    pixels = np.arange(90, dtype=np.uint8).reshape(6, 5, 3) if mode == "RGB" else np.arange(30, dtype=np.uint8)
    image = Image.fromarray(pixels if mode == "RGB" else pixels.reshape(6, 5))
    image.save(encoded, "PNG")
    batch = pa.record_batch({"image": [encoded.getvalue()] * 2})
    array = unnamed_tensor(batch, TensorSpec(np.dtype(np.float64), shape))
    channels_first = mode == "RGB" and shape[1] == 3
    assert array.dtype == np.float64
    assert np.array_equal(np.moveaxis(array[1], 0, -1) if channels_first else array[1].reshape(pixels.shape), pixels)


def test_an_image_of_another_size_is_refused_and_not_resized() -> None:
    encoded = io.BytesIO()
    Image.new("L", (9, 9)).save(encoded, "PNG")
    with pytest.raises(Refusal, match="9 x 9 pixels"):
        unnamed_tensor(pa.record_batch({"i": [encoded.getvalue()]}), TensorSpec(np.dtype(np.uint8), (-1, 8, 8)))


def test_answers_that_change_their_width_are_refused() -> None:
    form = SameForm("candidate")
    form.check(Answers(answered(np.zeros((2, 2)), 2)))
    with pytest.raises(EvidenceError, match="numbers in 3 columns after it answered numbers in 2 columns"):
        form.check(Answers(answered(np.zeros((2, 3)), 2)))


def test_only_what_is_allowed_gets_into_the_environment_of_a_worker() -> None:
    parent = {"PATH": "/bin", "LC_ALL": "C", "LC_SECRET": "s", "AWS_REGION": "r", "MLFLOW_TRACKING_URI": "u", "X": "x"}
    inside = worker_environment(parent, home="/h", threads=3)
    assert inside["PATH"] == "/bin"
    assert inside["OMP_NUM_THREADS"] == "3"
    assert not {"LC_SECRET", "AWS_REGION", "MLFLOW_TRACKING_URI", "X"} & set(inside)


def test_messages_show_no_secret_and_no_control_characters() -> None:
    text = "\x1b[31mhttp://me:pw@host/x\x1b[0m token swordfish-0451 \u202eabc"
    assert presentable(text, {"CI_TOKEN": "swordfish-0451"}) == "http://***@host/x token *** abc"
