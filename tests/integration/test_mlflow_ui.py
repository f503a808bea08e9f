"""What MLflow's pages are made of: descriptions, tags, runs, tables and metrics, as its server gives them to the browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import requests

import gate
from gate.decisions.canonical import read_decision
from gate.errors import EvidenceError
from gate.registry.describe import END, LONGEST, MARK
from gate.registry.describe import describe as describe_page
from gate.registry.registry import Registry
from gate.stories.decide import Judgement
from gate.stories.log import FLIPPED_ROWS, PER_CLASS, PER_SLICE, describe, summary

LENIENT = """
version: 1
name: digits
holdout: {id: row, label: digit, slices: {half: {column: half}}}
rules:
  - {id: few-flips, rate: nfr, at_most: 3%}
  - {id: halves, rate: nfr, by: half, at_most: 5%}
promotion: {alias: champion}
"""
STRICT = LENIENT.replace("3%", "0.5%")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 1,197 digits that no model saw."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    frame = pd.DataFrame(pixels, columns=[f"pixel_{i}" for i in range(pixels.shape[1])])
    at = np.arange(len(frame))
    path = tmp_path_factory.mktemp("data") / "holdout.parquet"
    frame.assign(digit=labels, row=at, half=np.where(at % 2, "odd", "even"))[600:].to_parquet(path)
    return path


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def policies(tmp_path: Path) -> tuple[Path, Path]:
    lenient, strict = tmp_path / "lenient.yaml", tmp_path / "strict.yaml"
    lenient.write_text(LENIENT)
    strict.write_text(STRICT)
    return lenient, strict


@pytest.fixture
def server(mlflow_server: str) -> Any:
    return mlflow.MlflowClient(mlflow_server, mlflow_server)


@pytest.fixture
def model(server: Any) -> Iterator[str]:
    """A registered model of its own, with the three versions of ``digits``."""
    name = f"shown-{uuid.uuid4().hex[:8]}"
    server.create_registered_model(name)
    for version in ("1", "2", "3"):
        original = server.get_model_version("digits", version)
        model_id = original.source.removeprefix("models:/")
        server.create_model_version(name, original.source, run_id=original.run_id, model_id=model_id)
    server.set_registered_model_alias(name, "champion", "1")
    yield name
    server.delete_registered_model(name)


@pytest.fixture
def check(mlflow_server: str, model: str, data: Path, policies: tuple[Path, Path]) -> Callable[..., Judgement]:
    def check(**changes: Any) -> Judgement:
        asked: dict[str, Any] = {
            "model": model, "candidate": "3", "incumbent": "@champion", "data": data, "policy": policies[0],
            "registry_uri": mlflow_server, "experiment": f"of {model}", "in_process": True, "tag": True,
        }  # fmt: skip
        judged = gate.check(**{**asked, **changes})
        assert judged.log_problem is None
        return judged

    return check


def table(server: Any, run_id: str, name: str) -> pd.DataFrame:
    """A table of a run, as a notebook loads it."""
    unset: Any = None
    mlflow.set_tracking_uri(server.tracking_uri)  # MLflow looks for the run in its own store, not in the client's
    try:
        return server.load_table(server.get_run(run_id).info.experiment_id, name, run_ids=[run_id])
    finally:
        mlflow.set_tracking_uri(unset)


# -- the version ------------------------------------------------------------------------------------------------------


def test_a_version_says_its_verdict_in_a_sentence_with_a_link_to_the_run(
    check: Callable[..., Judgement], server: Any, model: str, mlflow_server: str
) -> None:
    judged = check()
    shown = server.get_model_version(model, "3")
    assert judged.run_id is not None
    experiment = server.get_run(judged.run_id).info.experiment_id

    assert shown.tags == {
        "gate.verdict": "allow",
        "gate.summary": summary(judged.decision),
        "gate.decision_id": judged.decision.decision_id,
        "gate.run_id": judged.run_id,
    }
    assert f"models:/{model}/3 may replace models:/{model}/1" in summary(judged.decision)
    seen = shown.description.replace(MARK, "").replace(END, "")
    assert seen == (
        f"ALLOWED by the gate. {summary(judged.decision)} [The MLflow run with the evidence]"
        f"(#/experiments/{experiment}/runs/{judged.run_id}). Decision `{judged.decision.decision_id[:16]}`."
    )
    # what the browser asks for when the link is followed
    asked = {"run_id": judged.run_id}
    answer = requests.get(f"{mlflow_server}/ajax-api/2.0/mlflow/runs/get", params=asked, timeout=30).json()
    assert answer["run"]["info"]["experiment_id"] == experiment


def test_people_keep_their_text_and_the_gate_replaces_its_own(
    check: Callable[..., Judgement], server: Any, model: str, policies: tuple[Path, Path]
) -> None:
    server.update_model_version(model, "3", "Trained by Ann on *all* rows.\n\n- no dropout")
    check()
    allowed = server.get_model_version(model, "3").description
    server.update_model_version(model, "3", f"{allowed}\n\nAnd more by Ann.")
    judged = check(policy=policies[1])
    refused = server.get_model_version(model, "3").description

    assert allowed.startswith("Trained by Ann on *all* rows.\n\n- no dropout\n\nALLOWED by the gate.")
    assert judged.decision.exit_code == 10
    assert refused.startswith("Trained by Ann on *all* rows.\n\n- no dropout\n\nREFUSED by the gate.")
    assert refused.endswith(f"{END}\n\nAnd more by Ann.")
    assert "ALLOWED" not in refused and refused.count(MARK) == 1
    assert server.get_model_version(model, "3").tags["gate.verdict"] == "refuse"


def test_without_tag_a_version_stays_as_it_is(check: Callable[..., Judgement], server: Any, model: str) -> None:
    check(tag=False)
    shown = server.get_model_version(model, "3")
    assert (shown.tags, shown.description or "") == ({}, "")


def test_a_description_without_room_is_left_alone_and_the_verdict_stands(
    check: Callable[..., Judgement], server: Any, model: str, caplog: pytest.LogCaptureFixture
) -> None:
    full = "x" * (LONGEST - 50)
    server.update_model_version(model, "3", full)
    judged = check()
    assert judged.allowed
    assert server.get_model_version(model, "3").description == full
    assert server.get_model_version(model, "3").tags["gate.verdict"] == "allow"
    assert "gate: warning: the description was not written" in caplog.text
    with pytest.raises(EvidenceError, match="shorten the description"):
        describe_page(Registry.connect(server.tracking_uri, None), model, 3, "allow", "Why.")


def test_what_names_and_classes_say_is_text_on_the_page(server: Any, model: str) -> None:
    registry = Registry.connect(server.tracking_uri, None)
    hostile = "class '<img src=x onerror=alert(1)>' [here](javascript:alert(1)) <!-- /gate --> @all"
    for _ in range(2):
        describe(registry, model=model, version=2, verdict="refuse", summary=hostile)
    shown = server.get_model_version(model, "2").description
    assert "<img" not in shown and "[here]" not in shown and "@all" not in shown
    assert (shown.count(MARK), shown.count(END)) == (1, 1)


def test_an_override_and_a_rollback_are_told_as_such(server: Any, model: str) -> None:
    registry = Registry.connect(server.tracking_uri, None)
    for verdict, opening in {"override": "OVERRIDE of the gate.", "rollback": "ROLLBACK, says the gate."}.items():
        describe(registry, model=model, version=2, verdict=verdict, summary="Ann said so.", run_id="0" * 32)
        shown = server.get_model_version(model, "2").description
        assert shown.startswith(opening) and "](" not in shown  # no link to a run that nobody knows


# -- the run ----------------------------------------------------------------------------------------------------------


def test_a_run_holds_the_decision_its_reports_and_tables_that_mlflow_shows(
    check: Callable[..., Judgement], server: Any, mlflow_server: str, tmp_path: Path
) -> None:
    judged = check(tag=False)
    assert judged.run_id is not None
    run = server.get_run(judged.run_id)
    names = {item.path for item in server.list_artifacts(judged.run_id)}

    assert {"decision.json", "report.md", "report.txt", FLIPPED_ROWS, PER_CLASS, PER_SLICE} <= names
    assert json.loads(run.data.tags["mlflow.loggedArtifacts"]) == [
        {"path": name, "type": "table"} for name in (FLIPPED_ROWS, PER_CLASS, PER_SLICE)
    ]
    asked = {"run_uuid": judged.run_id, "path": "decision.json"}
    decision = requests.get(f"{mlflow_server}/get-artifact", params=asked, timeout=30).content
    assert read_decision(decision) == judged.decision
    flipped = table(server, judged.run_id, FLIPPED_ROWS)
    assert sorted(zip(flipped["kind"], flipped["id"], strict=True)) == sorted(
        (row.kind, row.id) for row in judged.samples
    )
    per_class = table(server, judged.run_id, PER_CLASS)
    assert per_class["n"].sum() == judged.decision.counts.n
    assert run.data.tags["gate.summary"] == summary(judged.decision)


def test_samples_bound_the_table_of_rows_and_none_leaves_none(check: Callable[..., Judgement], server: Any) -> None:
    two, none = check(tag=False, samples=2), check(tag=False, samples=0)
    assert two.run_id is not None and none.run_id is not None
    assert list(table(server, two.run_id, FLIPPED_ROWS)["kind"]) == ["negative"] * 2 + ["positive"] * 2
    assert FLIPPED_ROWS not in {item.path for item in server.list_artifacts(none.run_id)}
    assert FLIPPED_ROWS not in server.get_run(none.run_id).data.tags["mlflow.loggedArtifacts"]


# -- over versions ----------------------------------------------------------------------------------------------------


def test_metrics_belong_to_the_logged_model_of_each_version_and_runs_know_its_number(
    check: Callable[..., Judgement], server: Any, model: str, mlflow_server: str
) -> None:
    judged = {version: check(candidate=str(version)) for version in (2, 3)}
    training = server.get_experiment_by_name("digits").experiment_id
    # what the page of an experiment's models asks for
    asked = {"experiment_ids": [training], "max_results": 50}
    found = requests.post(f"{mlflow_server}/ajax-api/2.0/mlflow/logged-models/search", json=asked, timeout=30).json()
    metrics = {one["info"]["model_id"]: one["data"].get("metrics", []) for one in found["models"]}

    for version, one in judged.items():
        model_id = server.get_model_version(model, str(version)).source.removeprefix("models:/")
        of_run = {m["key"]: m for m in metrics[model_id] if m["run_id"] == one.run_id}
        assert of_run["gate.nfr"]["value"] == one.decision.counts.negative / one.decision.counts.n
        assert of_run["gate.nfr"]["dataset_digest"] == one.decision.provenance.holdout.digest[:36]
        assert {"gate.allow", "gate.exit_code", "gate.nfr.upper", "gate.error_rate.candidate"} <= set(of_run)
        assert server.get_run(one.run_id).data.params["candidate_version"] == str(version)


# -- registries that are guarded, and that are elsewhere --------------------------------------------------------------


@pytest.fixture
def copied(sqlite_registry: str, tmp_path: Path) -> str:
    shutil.copy(sqlite_registry.removeprefix("sqlite:///"), tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


def test_where_the_tags_are_guarded_the_verdict_stands_and_a_warning_says_what_writes_them(
    copied: str, data: Path, policies: tuple[Path, Path], tmp_path: Path
) -> None:
    from gate.decisions.keys import new_keys

    new_keys(tmp_path / "ci")
    (tmp_path / "enforcement.yaml").write_text(
        "version: 1\nprotect:\n  - {models: [digits], aliases: [champion], keys: [ci.pub], policies: any}\n"
    )
    command = [
        sys.executable, "-m", "gate", "check", "--model", "digits", "--candidate", "3", "--incumbent", "@champion",
        "--data", str(data), "--policy", str(policies[0]), "--registry-uri", f"gated:{copied}", "--tracking-uri", copied,
        "--in-process", "--tag", "--quiet", "--experiment", "guarded",
    ]  # fmt: skip
    environment = {**os.environ, "GATE_ENFORCEMENT": str(tmp_path / "enforcement.yaml")}
    client = mlflow.MlflowClient(copied, copied)
    before = client.get_model_version("digits", "3").description
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("ALLOWED\n")
    assert "gate: warning: the verdict stands, but its tags were not written" in ran.stderr
    assert re.search(r"-> a signed decision writes them: gate sign, then gate promote$", ran.stderr.strip(), re.M)
    assert [name for name in client.get_model_version("digits", "3").tags if name.startswith("gate.")] == []
    assert client.get_model_version("digits", "3").description == before
    (run,) = client.search_runs([client.get_experiment_by_name("guarded").experiment_id])
    assert run.data.tags["gate.verdict"] == "allow"


def test_runs_that_are_kept_on_another_server_are_linked_by_its_address(
    check: Callable[..., Judgement], copied: str, mlflow_server: str
) -> None:
    judged = check(model="digits", registry_uri=copied, tracking_uri=mlflow_server)
    shown = mlflow.MlflowClient(copied, copied).get_model_version("digits", "3").description
    assert re.search(rf"\]\({re.escape(mlflow_server)}/#/experiments/\d+/runs/{judged.run_id}\)", shown)


def test_runs_in_a_database_of_their_own_have_no_page_to_link_to(
    check: Callable[..., Judgement], copied: str, server: Any, model: str
) -> None:
    judged = check(tracking_uri=copied)
    shown = server.get_model_version(model, "3")
    assert "](" not in shown.description and shown.description.startswith("ALLOWED by the gate.")
    assert shown.tags["gate.run_id"] == judged.run_id
