"""The margin of an answer: the best score less the second, or the distance to the threshold."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from gate.core.outcomes import Margins
from gate.tasks.batch import Answers, Batch, Classes
from gate.tasks.classification import Classification, Reading
from gate.tasks.margins import between_best_two, to_threshold
from gate.tasks.options import PerModel


def found(reading: Reading, label: list, old: pa.Array, new: pa.Array, classes: tuple = ("a", "b", "c")):
    task = Classification(reading, Classes(declared=classes))
    batch = Batch(pa.array(range(len(label))), pa.array(label), Answers.of(new), Answers.of(old))
    return task.outcomes(batch).margins


OLD = pa.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
NEW = pa.array([[0.25, 0.5, 0.25], [0.9, 0.05, 0.05]])


@pytest.mark.parametrize("outputs", ["probabilities", "logits", None])
def test_the_margin_is_between_the_two_best_scores_of_rows_that_flipped(outputs):
    margins = found(Reading(outputs), ["a", "a"], OLD, NEW)
    assert isinstance(margins, Margins)
    assert margins.incumbent[0] == pytest.approx(0.2)
    assert margins.candidate[0] == 0.25
    assert np.isnan([margins.incumbent[1], margins.candidate[1]]).all()


def test_the_margin_of_a_score_is_its_distance_to_the_threshold_of_its_own_model():
    reading = Reading("scores", PerModel(candidate=0.25, incumbent=0.5))
    margins = found(reading, ["a"], pa.array([0.375]), pa.array([0.75]), ("a", "b"))
    assert margins.incumbent.tolist() == [0.125]
    assert margins.candidate.tolist() == [0.5]


def test_labels_have_no_margin_nor_has_an_answer_among_the_best_few():
    assert found(Reading(), ["a"], pa.array(["a"]), pa.array(["b"])) is None
    assert found(Reading(), ["a"], pa.array(["a"]), pa.array([[0.1, 0.8, 0.1]])) is None
    assert found(Reading("probabilities", top_k=2), ["a", "a"], OLD, NEW) is None


def test_equals_are_no_distance_apart_even_where_both_are_infinite():
    infinite = np.array([[np.inf, np.inf, 0.0], [np.inf, 1.0, 0.0], [-np.inf, -np.inf, -np.inf]])
    margin = between_best_two(infinite)
    assert margin is not None
    assert margin(np.arange(3)).tolist() == [0.0, np.inf, 0.0]
    assert to_threshold(np.array([np.inf]), np.inf)(np.array([0])).tolist() == [0.0]


def test_half_precision_is_not_taken_away_twice_and_one_class_has_no_second():
    margin = between_best_two(np.array([[1024.0, 1025.0]], dtype=np.float16))
    assert margin is not None
    assert margin(np.array([0])).tolist() == [1.0]
    assert between_best_two(np.ones((2, 1))) is None
