"""Scores that MLflow's GenAI scorers really gave, from ``mlflow.genai.evaluate`` to a verdict. No language model is asked."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.entities import Feedback
from mlflow.genai.scorers import RegexMatch, ResponseLength, scorer

import gate
from gate.errors import EvidenceError
from gate.stories.decide import Judgement

CITIES = ["Oslo", "Accra", "Tokyo", "Santiago", "Nairobi", "Bern"]
OLD = ["It is Oslo.", "Accra", "Kyoto", "I do not know at all, sorry.", "It is Nairobi.", "Bern"]
NEW = ["It is Oslo.", "It is Kumasi.", "Tokyo", "It is Santiago.", "It is Nairobi.", "It is Bern."]


@scorer
def right(outputs: str, expectations: dict[str, Any]) -> bool:
    return expectations["city"] in outputs


@scorer
def share(outputs: str, expectations: dict[str, Any]) -> float:
    return len(expectations["city"]) / len(outputs) if expectations["city"] in outputs else 0.0


@scorer
def rated(outputs: str, expectations: dict[str, Any]) -> Feedback:
    return Feedback(value="yes" if expectations["city"] in outputs else "no", rationale="by its name")


@scorer
def choosy(outputs: str) -> bool:
    if "Kumasi" in outputs:
        raise ValueError("I will not judge this")
    return True


@pytest.fixture(scope="module")
def scored(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, pd.DataFrame]]:
    """What MLflow makes of both models' answers: a row for each question, a column for each scorer."""
    folder = tmp_path_factory.mktemp("genai")
    shutil.copy(empty_store, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_GENAI_EVAL_MAX_WORKERS", "1")
        patch.setenv("MLFLOW_GENAI_EVAL_MAX_SCORER_WORKERS", "1")
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        try:
            mlflow.set_experiment("genai")
            yield {name: evaluated(answers) for name, answers in (("old", OLD), ("new", NEW))}
        finally:
            unset: Any = None
            mlflow.set_tracking_uri(unset)


def evaluated(answers: list[str]) -> pd.DataFrame:
    rows = [
        {"inputs": {"id": i, "question": "?"}, "outputs": answer, "expectations": {"city": city}}
        for i, (answer, city) in enumerate(zip(answers, CITIES, strict=True))
    ]
    scorers = [
        right, share, rated, choosy, RegexMatch(name="sentence", pattern=r"^[A-Z].*\.$"), ResponseLength(max_length=20),
    ]  # fmt: skip
    found = mlflow.genai.evaluate(data=rows, scorers=scorers).result_df
    return found.assign(id=[inputs["id"] for inputs in found["request"]], text=found["response"])


@pytest.fixture
def compared(scored: dict[str, pd.DataFrame], tmp_path: Path) -> Callable[..., Judgement]:
    def compare(task: str, column: str, **options: Any) -> Judgement:
        policy = tmp_path / "policy.yaml"
        policy.write_text(
            f"version: 1\nname: x\ntask: {{{task}}}\nholdout: {{id: id}}\nevidence: {{decide_on: estimate}}\n"
            "rules: [{id: few, rate: nfr, at_most: 20%}]\n"
        )
        kept = [name for name in scored["old"] if name in ("id", "text") or str(name).endswith("/value")]
        old, new = (scored[name][kept] for name in ("old", "new"))
        return gate.compare(
            policy=policy, prediction=column, incumbent_predictions=old, candidate_predictions=new, **options
        )

    return compare


def four(judged: Judgement) -> tuple[int | None, ...]:
    counts = judged.decision.counts
    return counts.both_right, counts.negative, counts.positive, (counts.wrong_same or 0) + (counts.wrong_different or 0)


@pytest.mark.parametrize(
    ("task", "column", "counts"),
    [
        ("kind: scores", "right/value", (3, 1, 2, 0)),
        ("kind: scores", "rated/value", (3, 1, 2, 0)),
        ("kind: scores", "sentence/value", (3, 0, 2, 1)),
        ("kind: scores", "response_length/value", (5, 0, 1, 0)),
        ("kind: scores, right_at_least: 0.5", "share/value", (1, 2, 2, 1)),
        ("kind: generation, score: right/value", "text", (3, 1, 2, 0)),
    ],
)
def test_the_column_of_a_scorer_is_a_column_of_scores(compared, task, column, counts):
    assert four(compared(task, column)) == counts


def test_the_texts_that_flipped_are_shown_beside_their_scores(compared):
    (row,) = (row for row in compared("kind: generation, score: rated/value", "text").samples if row.kind == "negative")
    assert (row.id, row.incumbent, row.candidate) == (1, "Accra", "It is Kumasi.")


def test_a_score_that_shrinks_is_a_negative_flip_in_the_continuous_form(compared):
    shares = [[len(c) / len(a) if c in a else 0.0 for a, c in zip(said, CITIES, strict=True)] for said in (OLD, NEW)]
    worse = sum(new < old for old, new in zip(*shares, strict=True))
    assert compared("kind: scores, continuous: true", "share/value").decision.counts.negative == worse == 2


def test_a_scorer_that_fails_leaves_no_score_and_nothing_is_allowed(compared, scored):
    assert scored["new"]["choosy/error_message"].notna().sum() == 1
    with pytest.raises(EvidenceError, match="missing answers: 1 in one batch") as caught:
        compared("kind: scores", "choosy/value")
    assert caught.value.problems[0].where == "candidate model"


def test_a_row_that_mlflow_lost_is_an_id_that_one_side_lacks(compared, scored):
    whole = scored["new"]
    scored["new"] = whole[whole.id != 4].sample(frac=1, random_state=1)
    try:
        with pytest.raises(EvidenceError, match=r"1 of the 6 ids of .* are not here \(4\)"):
            compared("kind: scores", "right/value")
    finally:
        scored["new"] = whole
