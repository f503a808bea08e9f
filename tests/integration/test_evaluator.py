"""``mlflow.models.evaluate(..., evaluators="regression_gate")`` on a SQLite store and over REST: verdicts, and what raises."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.models import MetricThreshold
from mlflow.models.evaluation.validation import ModelValidationFailedException

import gate
from gate.decisions.canonical import read_decision
from gate.errors import EvidenceError, GateError, UsageError
from gate.plugin.settings import Settings
from gate.stories.log import FLIPPED_ROWS, PER_CLASS, PER_SLICE

PAGE = Path(__file__).resolve().parents[2] / "docs/mlflow.md"
CHAMPION = "models:/digits@champion"
RULES = """
  - {id: few-flips, rate: nfr, at_most: 3%}
  - {id: no-worse, rate: error_rate_change, at_most: 0.2%}
"""
POLICY = f"""
version: 1
name: digits
holdout: {{id: row, slices: {{half: {{column: half}}}}}}
rules:{RULES}  - {{id: halves, rate: nfr, by: half, at_most: 5%}}
promotion: {{alias: champion}}
"""
AVERAGES = f"version: 1\nname: averages\nrules:{RULES}"

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


@pytest.fixture(scope="session")
def rows() -> pd.DataFrame:
    """The 1,197 digits that no model saw."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    frame = pd.DataFrame(pixels, columns=[f"pixel_{i}" for i in range(pixels.shape[1])])
    at = np.arange(len(frame))
    return frame.assign(digit=labels, row=at, half=np.where(at % 2, "odd", "even"))[600:]


@pytest.fixture(scope="module")
def store(sqlite_registry: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A copy of the registry with ``digits``, so that tags and runs of this file stay in it."""
    folder = tmp_path_factory.mktemp("evaluated")
    shutil.copy(sqlite_registry.removeprefix("sqlite:///"), folder / "mlflow.db")
    return f"sqlite:///{folder}/mlflow.db"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/digits.yaml").write_text(POLICY)
    (tmp_path / "policies/averages.yaml").write_text(AVERAGES)
    return tmp_path


@contextlib.contextmanager
def working_with(uri: str, folder: Path) -> Iterator[Any]:
    """As in a notebook: the store is MLflow's own, and a run is open."""
    unset: Any = None
    mlflow.set_tracking_uri(uri)
    try:
        client = mlflow.MlflowClient()
        found = client.get_experiment_by_name("evaluations")
        place = None if uri.startswith("http") else (folder / "artifacts").as_uri()
        experiment = found.experiment_id if found else client.create_experiment("evaluations", artifact_location=place)
        mlflow.set_experiment(experiment_id=experiment)
        yield client
    finally:
        mlflow.set_tracking_uri(unset)
        mlflow.tracking.fluent._active_experiment_id = None
        os.environ.pop("MLFLOW_EXPERIMENT_ID", None)


@pytest.fixture
def client(store: str, folder: Path) -> Iterator[Any]:
    with working_with(store, folder) as client:
        yield client


@pytest.fixture
def evaluate(client: Any, rows: pd.DataFrame) -> Callable[..., Any]:
    """Evaluates in this process; keywords replace what MLflow is given, ``config`` adds to the settings."""

    def evaluate(model: Any = "models:/digits/3", config: Any = None, data: Any = None, **changes: Any) -> Any:
        settings = {"incumbent": CHAMPION, "policy": "policies/digits.yaml", "in_process": True, **(config or {})}
        asked = {
            "targets": "digit",
            "model_type": "classifier",
            "evaluators": "regression_gate",
            "evaluator_config": settings,
        }
        return mlflow.models.evaluate(model, rows if data is None else data, **{**asked, **changes})

    return evaluate


def decision_of(result: Any) -> Any:
    """The decision in the run, read as ``gate promote`` would."""
    place = mlflow.artifacts.download_artifacts(f"runs:/{result.run_id}/gate/decision.json")
    return read_decision(Path(place).read_bytes())


# -- a model of the registry ------------------------------------------------------------------------------------------


def test_a_version_is_judged_as_gate_check_judges_it_and_can_be_promoted(
    evaluate: Callable[..., Any], client: Any, store: str, rows: pd.DataFrame
) -> None:
    result = evaluate(config={"in_process": False})
    found = decision_of(result)
    alone = gate.check(
        model="digits", candidate="3", incumbent="@champion", data=rows.drop(columns="digit").assign(digit=rows["digit"]),
        label="digit", policy="policies/digits.yaml", registry_uri=store, log_run=False, in_process=True,
    ).decision  # fmt: skip

    assert (found.verdict.value, found.promotable.value) == ("allow", True)
    assert found.provenance.candidate.uri == "models:/digits/3"
    assert found.provenance.isolation.startswith("a worker process for each model, with")
    assert (found.counts, found.findings, found.provenance.holdout) == (
        alone.counts, alone.findings, alone.provenance.holdout,
    )  # fmt: skip
    run = client.get_run(result.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["gate.allow"] == result.metrics["gate.allow"] == 1
    assert run.data.metrics["gate.nfr"] == result.metrics["gate.nfr"] == found.counts.negative / found.counts.n
    assert run.data.metrics["gate.exit_code"] == 0
    assert run.data.tags["gate.verdict"] == "allow"
    assert run.data.tags["gate.decision_id"] == found.decision_id


def test_tables_decision_and_report_are_on_the_run_and_in_the_result(evaluate: Callable[..., Any], client: Any) -> None:
    result = evaluate()
    at_root = {item.path for item in client.list_artifacts(result.run_id)}
    below = {item.path for item in client.list_artifacts(result.run_id, "gate")}

    assert at_root == {"gate", FLIPPED_ROWS, PER_CLASS, PER_SLICE}
    assert {"gate/decision.json", "gate/report.md", "gate/report.txt"} <= below
    assert set(result.tables) == {"gate_flipped_rows", "gate_per_class", "gate_per_slice"}
    assert result.tables["gate_per_class"]["negative"].sum() == result.metrics["gate.count.negative"]
    assert (result.tables["gate_flipped_rows"]["kind"] == "negative").sum() == result.metrics["gate.count.negative"]
    assert result.artifacts["gate_report"].content.startswith("ALLOWED\n")
    assert result.artifacts["gate_decision"].content == json.loads(
        mlflow.artifacts.load_text(f"runs:/{result.run_id}/gate/decision.json")
    )


def test_a_result_is_saved_and_loaded_as_mlflow_does_it(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    result = evaluate()
    result.save(str(tmp_path / "saved"))
    again = mlflow.models.EvaluationResult.load(str(tmp_path / "saved"))
    assert again.metrics == result.metrics
    assert again.artifacts["gate_decision"].content == result.artifacts["gate_decision"].content


def test_the_metrics_belong_to_the_logged_model_and_to_the_data_of_the_run(
    evaluate: Callable[..., Any], client: Any
) -> None:
    result = evaluate()
    model_id = client.get_model_version("digits", "3").source.removeprefix("models:/")
    linked = [m for m in client.get_logged_model(model_id).metrics if m.run_id == result.run_id and m.key == "gate.nfr"]
    of_run = client.get_run(result.run_id).inputs.dataset_inputs

    assert linked and {m.value for m in linked} == {result.metrics["gate.nfr"]}
    assert {(m.dataset_name, m.dataset_digest) for m in linked} == {(d.dataset.name, d.dataset.digest) for d in of_run}


def test_a_model_that_is_loaded_already_is_known_by_its_version(evaluate: Callable[..., Any]) -> None:
    found = decision_of(
        evaluate(mlflow.pyfunc.load_model("models:/digits@champion"), {"incumbent": "models:/digits/2"})
    )
    assert found.provenance.candidate.uri == "models:/digits/1"


def test_a_refused_version_is_a_result_and_not_an_error(evaluate: Callable[..., Any], client: Any) -> None:
    result = evaluate("models:/digits/1", {"incumbent": "models:/digits/3"})
    assert (result.metrics["gate.allow"], result.metrics["gate.exit_code"]) == (0, 10)
    assert client.get_run(result.run_id).info.status == "FINISHED"
    assert client.get_run(result.run_id).data.tags["gate.verdict"] == "refuse"


def test_a_model_under_another_name_than_the_incumbents_is_judged_and_not_promotable(
    evaluate: Callable[..., Any], client: Any
) -> None:
    incumbent = client.get_model_version("digits", "1").source  # models:/m-..., which has no name
    found = decision_of(evaluate(config={"incumbent": incumbent}))
    assert found.provenance.candidate.uri.startswith("models:/m-")
    assert (found.promotable.value, "logged model" in str(found.promotable.because)) == (False, True)


def test_of_several_versions_that_hold_the_same_model_one_must_be_named(
    evaluate: Callable[..., Any], client: Any
) -> None:
    source = client.get_model_version("digits", "3").source
    client.create_registered_model("twice")
    one = client.create_model_version("twice", "models:/digits/1")
    client.set_registered_model_alias("twice", "champion", one.version)
    try:
        for _ in range(2):
            client.create_model_version("twice", source)
        settings = {"incumbent": "models:/twice@champion"}
        with pytest.raises(UsageError, match="registered as versions 2, 3 of twice"):
            evaluate(config=settings)
        found = decision_of(evaluate(config={**settings, "candidate": "models:/twice/2"}))
        assert (found.provenance.candidate.uri, found.promotable.value) == ("models:/twice/2", True)
    finally:
        client.delete_registered_model("twice")


def test_a_version_that_was_copied_is_found_by_the_chain_of_its_sources(
    evaluate: Callable[..., Any], client: Any
) -> None:
    client.create_registered_model("copies")
    try:
        for version in ("1", "3"):
            client.create_model_version("copies", f"models:/digits/{version}")
        client.set_registered_model_alias("copies", "champion", "1")
        found = decision_of(evaluate("models:/copies/2", {"incumbent": "models:/copies@champion"}))
        assert (found.provenance.candidate.uri, found.promotable.value) == ("models:/copies/2", True)
    finally:
        client.delete_registered_model("copies")


def test_a_candidate_that_is_another_model_than_the_evaluated_one_raises(evaluate: Callable[..., Any]) -> None:
    with pytest.raises(EvidenceError, match="and the model that is evaluated is m-"):
        evaluate(config={"candidate": "models:/digits/2"})


class Shifted(mlflow.pyfunc.PythonModel):
    def load_context(self, context: Any) -> None:
        self.shift = context.model_config["shift"]

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # MLflow reads the hints
        return (model_input["pixel_0"] * 0 + self.shift).astype("int64").to_numpy()


def test_a_model_that_was_configured_anew_is_asked_as_it_is_and_promotes_nothing(
    evaluate: Callable[..., Any], client: Any
) -> None:
    with mlflow.start_run():
        logged = mlflow.pyfunc.log_model(
            name="shifted", python_model=Shifted(), model_config={"shift": 0}, pip_requirements=[]
        )
    as_logged = decision_of(evaluate(logged.model_uri))
    anew = decision_of(evaluate(logged.model_uri, model_config={"shift": 7}))

    assert as_logged.provenance.candidate.uri == logged.model_uri
    assert anew.provenance.candidate.uri == "the model given to mlflow.models.evaluate"
    assert not anew.promotable.value
    assert anew.rates != as_logged.rates


# -- answers ----------------------------------------------------------------------------------------------------------


def third_model(rows: pd.DataFrame) -> Any:
    loaded = mlflow.pyfunc.load_model("models:/digits/3")
    return loaded.predict(rows[[f"pixel_{i}" for i in range(64)]])


def test_a_function_a_column_of_predictions_and_the_version_itself_are_counted_alike(
    evaluate: Callable[..., Any], client: Any, rows: pd.DataFrame
) -> None:
    answered = rows.assign(new=third_model(rows))
    of_version = evaluate()
    of_function = evaluate(third_model)
    of_column = evaluate(None, data=answered, predictions="new")
    first, second, third = (decision_of(one) for one in (of_version, of_function, of_column))

    assert first.counts == second.counts == third.counts
    assert first.findings == second.findings == third.findings
    assert first.provenance.holdout.digest == second.provenance.holdout.digest == third.provenance.holdout.digest
    assert second.provenance.candidate.digest == third.provenance.candidate.digest  # of the answers
    assert second.provenance.incumbent == first.provenance.incumbent
    assert [one.promotable.value for one in (first, second, third)] == [True, False, False]
    assert third.promotable.because == "answers were judged, not a version of a registered model"
    assert third.provenance.candidate.uri == "(in memory)#new"
    for result in (of_function, of_column):  # nobody else logs their metrics: there is no logged model
        assert client.get_run(result.run_id).data.metrics == pytest.approx(result.metrics)


def test_the_uses_of_the_held_out_set_are_counted_in_the_experiment_of_the_run(
    evaluate: Callable[..., Any], rows: pd.DataFrame
) -> None:
    some = rows[:400]
    uses = [
        decision_of(evaluate(lambda given, shift=shift: np.full(len(given), shift), data=some)).evidence.uses_before
        for shift in (0, 1, 1)
    ]
    assert uses == [0, 1, 1]
    assert decision_of(evaluate(data=some)).evidence.uses_before == 2  # a version of the registry is no exception


def test_two_columns_of_predictions_need_no_registry(
    evaluate: Callable[..., Any], rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = rows.assign(old=rows["digit"], new=rows["digit"])
    answered.loc[answered.index[0], "new"] += 1
    config = {"incumbent_predictions": "old", "policy": "policies/digits.yaml", "samples": 1}
    result = evaluate(None, data=answered, predictions="new", evaluator_config=config)
    found = decision_of(result)

    assert (found.counts.negative, found.counts.positive) == (1, 0)
    assert found.provenance.incumbent is not None and found.provenance.incumbent.uri == "(in memory)#old"
    assert not found.promotable.value


def test_a_function_is_given_what_mlflow_gives_it(evaluate: Callable[..., Any], rows: pd.DataFrame) -> None:
    seen: list[pd.DataFrame] = []

    def model(given: pd.DataFrame) -> Any:
        seen.append(given)
        return np.zeros(len(given), dtype="int64")

    evaluate(model, extra_metrics=[])
    assert list(seen[-1].columns) == [name for name in rows.columns if name != "digit"]
    assert len(seen[-1]) == len(rows)


class Peeks(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # MLflow reads the hints
        return np.full(len(model_input), int("new" in model_input.columns or "y" in model_input.columns))


def test_the_incumbent_sees_neither_predictions_nor_labels(evaluate: Callable[..., Any], client: Any) -> None:
    with mlflow.start_run():
        logged = mlflow.pyfunc.log_model(name="peeks", python_model=Peeks(), pip_requirements=[])
    data = pd.DataFrame({"x": range(300), "y": [0] * 300, "new": [0] * 300})
    config = {"incumbent": logged.model_uri, "policy": "policies/averages.yaml"}
    result = evaluate(None, data=data, targets="y", predictions="new", config=config)
    assert result.metrics["gate.error_rate.incumbent"] == 0


def test_labels_and_features_may_be_arrays(evaluate: Callable[..., Any], rows: pd.DataFrame) -> None:
    pixels = rows[[f"pixel_{i}" for i in range(64)]].to_numpy()
    result = evaluate(
        data=pixels,
        targets=rows["digit"].to_numpy(),
        feature_names=[f"pixel_{i}" for i in range(64)],
        config={"policy": "policies/averages.yaml"},
    )
    assert result.metrics["gate.n"] == len(rows)
    assert decision_of(result).provenance.holdout.label == "target"


# -- what raises ------------------------------------------------------------------------------------------------------


def raises(*given: Any) -> Any:
    raise ValueError("cannot reach postgresql://me:hunter2@db/features")


def one_less(given: pd.DataFrame) -> Any:
    return np.zeros(len(given) - 1, dtype="int64")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"evaluator_config": None}, "no policy"),
        (
            {"evaluator_config": {"polcy": "x", "incumbnt": CHAMPION}},
            "unknown key 'incumbnt'; did you mean 'incumbent'?",
        ),
        ({"config": {"policy": "policies/fruad.yaml"}}, "no such policy file"),
        ({"config": {"incumbent": "models:/digits@chmpion"}}, "did you mean 'champion'?"),
        ({"config": {"incumbent": "models:/digits/3"}}, "both models:/digits/3"),
        ({"config": {"incumbent": "models:/digits/9"}}, "no version 9"),
        ({"config": {"id": "pixel_0"}}, "the id column is 'pixel_0' here and 'row' in the policy"),
        ({"config": {"as_of": "soon"}}, "not a day: 'soon'"),
        ({"config": {"environment": "staging"}}, "environment"),
        ({"config": {"incumbent": None, "incumbent_predictions": "half"}}, "goes with predictions="),
        ({"targets": None, "model_type": "text"}, "no right answers"),
        ({"model": None, "model_type": "text"}, "neither a model nor predictions"),
        ({"predictions": "answer"}, "picks one of the model's answers"),
        ({"model": raises}, "candidate model: predict raised ValueError: cannot reach postgresql://"),
        ({"model": one_less}, "predict returned 1196 rows for 1197"),
        ({"model": raises, "config": {"candidate": "models:/digits/3"}}, "nothing shows that these answers are"),
    ],
)
def test_what_cannot_be_judged_raises_and_leaves_no_verdict(
    evaluate: Callable[..., Any], client: Any, changes: dict[str, Any], said: str
) -> None:
    with mlflow.start_run() as run, pytest.raises(GateError) as caught:
        evaluate(**changes)
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)
    left = client.get_run(run.info.run_id).data
    assert not [name for name in (*left.metrics, *left.tags) if name.startswith("gate.")]


def test_without_samples_no_value_of_a_row_is_on_the_run_or_in_an_error(
    evaluate: Callable[..., Any], client: Any, rows: pd.DataFrame
) -> None:
    result = evaluate(third_model, {"samples": 0})
    assert "gate_flipped_rows" not in result.artifacts
    assert FLIPPED_ROWS not in {item.path for item in client.list_artifacts(result.run_id)}
    with pytest.raises(EvidenceError, match="share their id") as caught:
        evaluate(third_model, {"samples": 0}, data=pd.concat([rows, rows[:1]]))
    assert str(rows["row"].iloc[0]) not in str(caught.value)
    with pytest.raises(EvidenceError) as caught:
        evaluate(raises, {"samples": 0})
    assert "features" not in str(caught.value)


def test_a_run_that_the_evaluation_began_is_marked_as_failed(evaluate: Callable[..., Any], client: Any) -> None:
    with pytest.raises(GateError):
        evaluate(config={"incumbent": "models:/digits/9"})
    (last,) = client.search_runs([mlflow.get_experiment_by_name("evaluations").experiment_id], max_results=1)
    assert last.info.status == "FAILED"


def test_an_id_that_stands_there_twice_raises(evaluate: Callable[..., Any], rows: pd.DataFrame) -> None:
    for model in ("models:/digits/3", third_model):
        with pytest.raises(EvidenceError, match="share their id"):
            evaluate(model, data=pd.concat([rows, rows[:1]]))


def test_the_gate_that_is_named_without_settings_is_never_left_out_in_silence(
    evaluate: Callable[..., Any], rows: pd.DataFrame
) -> None:
    bare = rows.drop(columns=["row", "half"])
    for config in (None, {"default": {"log_model_explainability": False}}):
        with pytest.raises(UsageError, match="no policy"):
            evaluate(data=bare, evaluators=["default", "regression_gate"], evaluator_config=config)


# -- beside others ----------------------------------------------------------------------------------------------------


def test_mlflow_validates_by_the_metrics_of_the_gate(evaluate: Callable[..., Any]) -> None:
    def threshold(value: float, greater: bool) -> MetricThreshold:
        return MetricThreshold(threshold=value, greater_is_better=greater)

    good, bad = evaluate(), evaluate("models:/digits/1", {"incumbent": "models:/digits/3"})
    allow = {"gate.allow": threshold(1, True)}
    mlflow.validate_evaluation_results({**allow, "gate.nfr": threshold(0.02, False)}, good)
    with pytest.raises(ModelValidationFailedException, match="gate.nfr"):
        mlflow.validate_evaluation_results({"gate.nfr": threshold(0.001, False)}, good)
    with pytest.raises(ModelValidationFailedException, match="gate.allow"):
        mlflow.validate_evaluation_results(allow, bad)


def test_a_result_without_the_gate_does_not_pass_for_an_allowed_one(
    evaluate: Callable[..., Any], rows: pd.DataFrame
) -> None:
    bare = rows.drop(columns=["row", "half"])
    without = evaluate(data=bare, evaluators="default", evaluator_config={"log_model_explainability": False})
    with pytest.raises(ModelValidationFailedException, match="gate.allow"):
        mlflow.validate_evaluation_results(
            {"gate.allow": MetricThreshold(threshold=1, greater_is_better=True)}, without
        )


def test_an_evaluation_that_knows_nothing_of_the_gate_goes_on_as_ever(
    evaluate: Callable[..., Any], rows: pd.DataFrame
) -> None:
    bare = rows.drop(columns=["row", "half"])
    result = evaluate(data=bare, evaluators=None, evaluator_config={"log_model_explainability": False})
    assert "accuracy_score" in result.metrics
    assert not [name for name in result.metrics if name.startswith("gate.")]


def test_a_second_verdict_in_one_run_replaces_the_first(evaluate: Callable[..., Any], client: Any) -> None:
    with mlflow.start_run() as run:
        evaluate()
        evaluate("models:/digits/1", {"incumbent": "models:/digits/3"})
    left = client.get_run(run.info.run_id).data
    assert (left.tags["gate.verdict"], left.metrics["gate.allow"]) == ("refuse", 0)
    assert len(json.loads(left.tags["mlflow.loggedArtifacts"])) == 3


# -- the page, and a server -------------------------------------------------------------------------------------------


def test_the_python_of_the_page_runs(client: Any, rows: pd.DataFrame, folder: Path) -> None:
    rows.to_parquet(folder / "holdout.parquet")
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), names)

    assert names["result"].metrics["gate.allow"] == 1
    assert {"accuracy_score", "gate.allow"} <= set(names["both"].metrics)
    assert set(names["per_class"]["class"]) == set(range(10))
    assert len(names["flipped"]) == names["result"].metrics["gate.count.negative"] + 100
    assert names["version"].tags["gate.verdict"] == "allow"


def test_the_page_has_every_setting() -> None:
    page = PAGE.read_text("utf-8")
    assert [name for name in vars(Settings)["__dataclass_fields__"] if f"`{name}`" not in page] == []


def test_over_rest_too(mlflow_server: str, rows: pd.DataFrame, folder: Path) -> None:
    with working_with(mlflow_server, folder) as client:
        result = mlflow.models.evaluate(
            "models:/digits/2", rows, targets="digit", model_type="classifier", evaluators="regression_gate",
            evaluator_config={"incumbent": CHAMPION, "policy": "policies/digits.yaml", "in_process": True},
        )  # fmt: skip
        assert decision_of(result).provenance.candidate.uri == "models:/digits/2"
        assert client.get_run(result.run_id).data.metrics["gate.n"] == len(rows)
        assert len(result.tables["gate_per_class"]) == 10
        with pytest.raises(MlflowException):
            client.get_run("0" * 32)  # the server is the one that was asked
