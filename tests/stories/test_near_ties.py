"""A reader is told how many flips hang by a hair."""

from __future__ import annotations

import numpy as np
import pytest

import gate
from gate.decisions.canonical import read_decision
from gate.policy.load import parse_policy

ROWS = 400
PROBABILITIES = "{kind: classification, outputs: probabilities, classes: [a, b]}"
SCORES = "{kind: classification, outputs: scores, threshold: 0.5, classes: [a, b]}"


def judged(task: str, old: object, new: object) -> gate.Judgement:
    policy = parse_policy(f"{{version: 1, name: ties, task: {task}, rules: [{{id: few, rate: nfr, at_most: 20%}}]}}")
    table = {"y": ["a"] * ROWS, "old": old, "new": new}
    return gate.compare(table, policy=policy, label="y", incumbent="old", candidate="new")


def of_probabilities() -> gate.Judgement:
    new = np.tile([0.9, 0.1], (ROWS, 1))
    new[0], new[1], new[2] = [0.49998, 0.50002], [0.2, 0.8], [0.4, 0.6]
    return judged(PROBABILITIES, np.tile([0.8, 0.2], (ROWS, 1)), new)


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_every_report_says_how_many_negative_flips_are_near_ties(form):
    report = " ".join(of_probabilities().report(form).split())
    assert "1 of 3 negative flips is a near tie" in report
    assert "the two best scores of a model are within 0.0001" in report
    assert "other batch sizes or hardware could turn them" in report
    assert "bfloat16" not in report  # none beyond those


def test_the_decision_counts_them_below_each_edge_and_reads_back(tmp_path):
    found = of_probabilities()
    near = found.decision.near_ties
    assert near is not None
    assert near.edges == (1e-6, 1e-4, 1e-2)
    assert (near.negative, near.positive) == ((0, 1, 1), (0, 0, 0))
    path = tmp_path / "decision.json"
    path.write_text(found.report("json"), encoding="utf-8")
    assert read_decision(path).near_ties == near


def test_a_score_near_its_threshold_is_a_near_tie():
    new = np.full(ROWS, 0.1)
    new[0] = 0.5
    report = " ".join(judged(SCORES, np.full(ROWS, 0.2), new).report().split())
    assert "1 of 1 negative flips is a near tie: a model's score is within 0.0001 of its threshold" in report


def test_that_no_flip_is_one_is_said_too():
    new = np.full(ROWS, 0.1)
    new[0] = 0.75
    report = " ".join(judged(SCORES, np.full(ROWS, 0.2), new).report().split())
    assert "none of the 1 negative flips is a near tie" in report


@pytest.mark.parametrize(
    ("outputs", "told"),
    [("probabilities", "the 1 within 0.01"), ("logits", "the 1 within 0.01, and others")],
)
def test_flips_that_only_bfloat16_could_turn_are_counted_too(outputs, told):
    new = np.tile([0.9, 0.1], (ROWS, 1))
    new[0], new[1] = [0.496, 0.504], [0.2, 0.8]
    task = PROBABILITIES.replace("probabilities", outputs)
    report = " ".join(judged(task, np.tile([0.8, 0.2], (ROWS, 1)), new).report().split())
    assert "none of the 2 negative flips is a near tie" in report
    assert f"bfloat16 could turn {told} " in report + " "


def test_nothing_is_said_of_answers_without_scores_nor_without_negative_flips():
    labels = judged("{kind: classification}", ["a"] * ROWS, ["a"] * (ROWS - 1) + ["b"])
    assert labels.decision.near_ties is None
    assert "near tie" not in labels.report()
    assert "near tie" not in judged(SCORES, np.full(ROWS, 0.2), np.full(ROWS, 0.1)).report()
