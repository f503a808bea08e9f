"""``gate.check`` on models that do not classify."""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature
from mlflow.pyfunc.model import PythonModel
from mlflow.types import ColSpec, Schema

import gate
from gate.errors import EvidenceError
from gate.stories.decide import Judgement

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import this file

REGRESSION = """
version: 1
name: numbers
task: {kind: regression, tolerance: {column: near}}
holdout: {id: key, label: y}
rules:
  - {id: few-flips, rate: nfr, at_most: 50%}
"""
AT_RANDOM = """
version: 1
name: signs
holdout: {id: user, sample: turn, label: y}
rules:
  - {id: beyond-chance, rate: excess_nfr, at_most: 90%}
"""


def test_two_regressors_are_judged_within_the_tolerance_of_a_column(acting: str, signs: Path, tmp_path: Path) -> None:
    held_out = pd.read_csv(signs).assign(near=lambda rows: np.where(rows.key % 2, 0.25, 1.0))
    policy = tmp_path / "policy.yaml"
    policy.write_text(REGRESSION)
    judged = gate.check(
        model="acting", candidate="@better", incumbent="@honest", data=held_out, policy=policy, registry_uri=acting,
        tracking_uri=acting, log_run=False, in_process=True,
    )  # fmt: skip
    missed = (held_out.y == 1) & (held_out.x <= 0.5) & (held_out.near < 1)
    counts = judged.decision.counts
    assert (counts.both_right, counts.negative, counts.positive) == (400 - missed.sum(), missed.sum(), 0)
    assert missed.sum() > 10


def test_rows_that_ask_a_model_again_show_its_noise_against_itself(acting: str, signs: Path, tmp_path: Path) -> None:
    held_out = pd.read_csv(signs)[:100].rename(columns={"key": "user"})
    held_out = pd.concat([held_out.assign(turn=turn) for turn in range(4)])
    policy = tmp_path / "policy.yaml"
    policy.write_text(AT_RANDOM)
    judged = gate.check(
        model="acting", candidate="@better", incumbent="@honest", data=held_out, policy=policy, registry_uri=acting,
        tracking_uri=acting, log_run=False, in_process=True, rows_per_batch=50,
    )  # fmt: skip
    (finding,) = judged.decision.findings
    assert judged.decision.counts.both_right == 400 - judged.decision.counts.negative  # the incumbent is never wrong
    assert finding.estimate == judged.decision.counts.negative / 400
    assert "in clusters" in judged.decision.rates[0].method


def test_a_first_version_has_no_noise_and_is_judged_by_what_needs_no_incumbent(
    acting: str, signs: Path, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    rule = "  - {id: cap, rate: error_rate, of: candidate, at_most: 50%}\n"
    first = "on_missing_incumbent: absolute_rules_only\npromotion: {alias: champion}\n"
    policy.write_text(AT_RANDOM + rule + first)
    held_out = pd.read_csv(signs).rename(columns={"key": "user"}).assign(turn=0)
    judged = gate.check(
        model="acting", candidate="@better", incumbent="@champion", data=held_out, policy=policy, registry_uri=acting,
        tracking_uri=acting, log_run=False, in_process=True,
    )  # fmt: skip
    assert [row.rule for row in judged.decision.evidence.not_judged] == ["beyond-chance"]
    assert [(finding.rule, finding.status.value) for finding in judged.decision.findings] == [("cap", "pass")]
    assert not any("is never right" in note for note in judged.decision.evidence.notes)


# multilabel: whatever form a model gives to a set of labels

TOPICS = ("war", "sport", "money")
ROWS = 300


def has(rows: Any) -> Any:
    """Which topics each row has, of shape (rows, topics)."""
    return np.stack([rows[topic].to_numpy() > 0 for topic in TOPICS], axis=1)


def topics(rows: Any) -> list[list[str]]:
    return [[topic for topic, there in zip(TOPICS, row, strict=True) if there] for row in has(rows)]


def as_lists(rows: Any) -> Any:
    return topics(rows)


def as_sets(rows: Any) -> Any:
    return [set(some) for some in topics(rows)]


def as_table(rows: Any) -> Any:
    return pd.DataFrame({"topics": topics(rows)})


def as_indicators(rows: Any) -> Any:
    return has(rows).astype("int64")


def as_lists_of_numbers(rows: Any) -> Any:
    return has(rows).astype(int).tolist()


def as_named_columns(rows: Any) -> Any:
    return pd.DataFrame(has(rows)[:, ::-1], columns=TOPICS[::-1])


def as_codes(rows: Any) -> Any:
    return [np.flatnonzero(row).tolist() for row in has(rows)]


def forgets_sport(rows: Any) -> Any:
    return [[topic for topic in some if topic != "sport"] for some in topics(rows)]


def one_column(rows: Any) -> Any:
    return rows["sport"].to_numpy() > 0


def one_column_of_two_dimensions(rows: Any) -> Any:
    return (rows[["sport"]].to_numpy() > 0).astype("int64")


def one_probability(rows: Any) -> Any:
    return 1 / (1 + np.exp(-rows["sport"].to_numpy()))


def only_sport(rows: Any) -> Any:
    return [["sport"] if there else [] for there in rows["sport"] > 0]


def an_unknown_topic(rows: Any) -> Any:
    return [[*some, "weather"] for some in topics(rows)]


def mixed(rows: Any) -> Any:
    return [[*some, 7] for some in topics(rows)]


def no_answer_once(rows: Any) -> Any:
    return [None if i == 3 else some for i, some in enumerate(topics(rows))]


ACTS = [
    as_lists, as_sets, as_table, as_indicators, as_lists_of_numbers, as_named_columns, as_codes, forgets_sport,
    one_column, one_column_of_two_dimensions, one_probability, only_sport, an_unknown_topic, mixed, no_answer_once,
]  # fmt: skip


class Tagger(PythonModel):
    """A model that finds topics in the way that it is told to."""

    def __init__(self, act: Callable[[Any], Any]) -> None:
        self.act = act

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # MLflow reads the hints
        return self.act(model_input)


@pytest.fixture(scope="module")
def taggers(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of a registry whose model ``taggers`` has a version under an alias for each act above."""
    folder = tmp_path_factory.mktemp("taggers")
    shutil.copy(empty_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder}/mlflow.db"
    client = mlflow.MlflowClient(uri, uri)
    client.create_registered_model("taggers")
    signature = ModelSignature(Schema([ColSpec("double", topic) for topic in TOPICS]))
    for act in ACTS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlflow.pyfunc.save_model(
                str(folder / act.__name__), python_model=Tagger(act), pip_requirements=[], signature=signature
            )
        version = client.create_model_version("taggers", source=(folder / act.__name__).as_uri()).version
        client.set_registered_model_alias("taggers", act.__name__, version)
    return uri


@pytest.fixture(scope="module")
def articles() -> pd.DataFrame:
    """300 articles with a number for each topic, above zero where it has it, and what it is labelled with.

    The last rows have no topic at all, so that a small batch is one of empty sets.
    """
    random = np.random.default_rng(4)
    frame = pd.DataFrame(random.normal(size=(ROWS, 3)), columns=list(TOPICS))
    frame[-8:] = -1.0
    return frame.assign(key=np.arange(ROWS), y=topics(frame), codes=as_codes(frame), about_sport=frame.sport > 0)


def tagged(
    taggers: str,
    articles: pd.DataFrame,
    folder: Path,
    act: Callable[[Any], Any],
    against: Callable[[Any], Any],
    task: str = "classes: [war, sport, money]",
    label: str = "y",
    **options: Any,
) -> Judgement:
    policy = folder / "policy.yaml"
    policy.write_text(
        f"version: 1\nname: x\ntask: {{kind: multilabel, {task}}}\nholdout: {{id: key, label: {label}}}\n"
        "rules:\n  - {id: r, rate: nfr, by: label, at_most: 90%}\n"
    )
    kept = articles.drop(columns=[name for name in ("y", "codes", "about_sport") if name != label])
    return gate.check(
        model="taggers", candidate=f"@{act.__name__}", incumbent=f"@{against.__name__}", data=kept, policy=policy,
        registry_uri=taggers, tracking_uri=taggers, log_run=False,
        **{"in_process": True, "rows_per_batch": 4, **options},
    )  # fmt: skip


def counts(judged: Judgement) -> tuple[int | None, ...]:
    found = judged.decision.counts
    return found.both_right, found.negative, found.positive


@pytest.mark.parametrize(
    "act",
    [as_lists, as_table, as_indicators, as_lists_of_numbers, as_named_columns],
    ids=lambda act: str(act.__name__),
)
def test_a_model_answers_with_label_sets_in_any_form(taggers, articles, tmp_path, act):
    found = tagged(taggers, articles, tmp_path, forgets_sport, act)
    sport = int((articles.sport > 0).sum())
    assert counts(found) == (3 * ROWS - sport, sport, 0)


def test_label_sets_come_out_of_a_process_of_their_own(taggers, articles, tmp_path):
    found = tagged(taggers, articles, tmp_path, forgets_sport, as_sets, in_process=False)
    sport = int((articles.sport > 0).sum())
    assert counts(found) == (3 * ROWS - sport, sport, 0)
    assert found.decision.provenance.isolation.startswith("a worker process for each model, with")


def test_whole_numbers_name_labels_where_the_classes_are_whole_numbers(taggers, articles, tmp_path):
    found = tagged(taggers, articles, tmp_path, as_codes, as_indicators, "classes: [0, 1, 2], match: each", "codes")
    assert found.decision.counts.both_right != 3 * ROWS  # 0 and 1 are two names, so that indicators are nonsense here


def test_indicators_are_no_names_where_the_policy_says_so(taggers, articles, tmp_path):
    task = "classes: [0, 1, 2], outputs: indicators"
    found = tagged(taggers, articles, tmp_path, as_lists_of_numbers, as_indicators, task, "codes")
    assert counts(found) == (3 * ROWS, 0, 0)


@pytest.mark.parametrize("label", ["y", "about_sport"])
@pytest.mark.parametrize(
    "act", [one_column, one_column_of_two_dimensions, only_sport], ids=lambda act: str(act.__name__)
)
def test_of_a_single_label_a_plain_column_will_do(taggers, articles, tmp_path, act, label):
    rows = articles.assign(y=only_sport(articles))
    other = one_column if act is not one_column else only_sport
    found = tagged(taggers, rows, tmp_path, act, other, "classes: [sport]", label)
    assert counts(found) == (ROWS, 0, 0)
    assert [cell.value for cell in found.decision.cells if cell.by == "class"] == ["not sport", "sport"]


def test_a_single_probability_has_a_threshold(taggers, articles, tmp_path):
    task = "classes: [sport], outputs: probabilities, threshold: {candidate: 0.6, incumbent: 1.0}"
    rows = articles.assign(y=only_sport(articles))
    found = tagged(taggers, rows, tmp_path, one_probability, one_column_of_two_dimensions, task)
    unsure = int(((one_probability(rows) > 0.5) & (one_probability(rows) < 0.6)).sum())
    assert counts(found) == (ROWS - unsure, unsure, 0)
    assert unsure


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (an_unknown_topic, "answers with the label 'weather', which is not in task.classes"),
        (mixed, "sets of different or unknown kinds: int, str"),
        (no_answer_once, "missing answers: 1 in one batch, first at row 3"),
        (one_column, "answers of type bool, and lists are expected"),
    ],
    ids=["unknown", "mixed", "missing", "no list"],
)
def test_answers_that_are_no_label_sets_are_refused(taggers, articles, tmp_path, act, said):
    with pytest.raises(EvidenceError, match=said) as caught:
        tagged(taggers, articles, tmp_path, act, as_lists)
    assert caught.value.problems[0].where == "candidate model"
