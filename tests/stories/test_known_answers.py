"""The incumbent is asked once for many candidates; what is known is never trusted blindly."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import network
import pandas as pd
import pytest

import gate
from gate.cli.app import run
from gate.decisions.canonical import to_bytes
from gate.engines.in_process import InProcess
from gate.errors import EvidenceError, UsageError
from gate.stories.decide import Judgement
from gate.stories.remembering import Remembering

Checked = Callable[..., Judgement]

in_processes = pytest.mark.skipif(not network.can_be_turned_off(), reason=f"{network.LEFT_ON}: no answers are kept")


@pytest.fixture(scope="module")
def checked(sqlite_registry: str, held_out: Path, lenient: Path) -> Checked:
    """Version 3 against version 1 in workers, without a run; keywords replace parts."""

    def check(**changes: Any) -> Judgement:
        asked: dict[str, Any] = {
            "model": "digits",
            "candidate": "3",
            "incumbent": "1",
            "data": held_out,
            "policy": lenient,
            "registry_uri": sqlite_registry,
            "as_of": "2026-03-01",
            "log_run": False,
        }
        return gate.check(**{**asked, **changes})

    return check


@pytest.fixture(autouse=True)
def the_same_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever edits the project while its tests run changes the environment, if it is installed to be edited."""
    monkeypatch.setattr("gate.stories.remembering.fingerprint", lambda: "e" * 64)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")  # decisions that differ in nothing else are equal


class Near(InProcess):
    """A worker without a process, to ask many times at little cost; answers of one without network may be kept."""

    network = network_asked = False


@pytest.fixture
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models answer near at hand."""
    monkeypatch.setattr("gate.stories.asking.Worker", Near)


def folder() -> Path:
    return Path(os.environ["GATE_CACHE_DIR"], "predictions")


def notes() -> list[Path]:
    return sorted(folder().glob("*/*.json"))


@in_processes
def test_the_incumbent_is_asked_once_for_many_candidates_and_nobody_for_what_is_known(checked: Checked) -> None:
    assert checked(candidate="2").remembered == () and len(notes()) == 2
    second = checked()
    assert second.remembered == ("incumbent",) and len(notes()) == 3
    known = checked()
    assert known.remembered == ("candidate", "incumbent")
    asked = checked(cache=False)
    assert asked.remembered == ()
    assert to_bytes(second.decision) == to_bytes(known.decision) == to_bytes(asked.decision)
    assert second.samples == known.samples == asked.samples


@pytest.mark.usefixtures("near")
def test_a_damaged_entry_is_asked_again(checked: Checked) -> None:
    decision = checked().decision
    for suffix in ("parquet", "json"):
        for file in folder().glob(f"*/*.{suffix}"):
            whole = bytearray(file.read_bytes())
            whole[len(whole) // 2] ^= 1
            file.write_bytes(bytes(whole))
        again = checked()
        assert again.remembered == () and again.decision == decision
    assert checked().remembered == ("candidate", "incumbent")


@pytest.mark.usefixtures("near")
def test_other_rows_batches_and_environments_are_asked_again(
    checked: Checked, digits: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = digits[600:]
    checked(data=rows)
    changed = rows.copy()
    changed.loc[changed.index[-1], "pixel_20"] += 1
    assert checked(data=changed).remembered == ()
    assert checked(data=rows, rows_per_batch=500).remembered == ()
    with monkeypatch.context() as other:
        other.setattr("gate.stories.remembering.fingerprint", lambda: "f" * 64)
        assert checked(data=rows).remembered == ()
    assert checked(data=rows).remembered == ("candidate", "incumbent")


@pytest.mark.usefixtures("near")
def test_answers_that_rest_on_anything_else_are_asked_again(
    checked: Checked, digits: pd.DataFrame, lenient: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = digits[600:].assign(worth=1.0)
    asked = checked(data=rows)
    for option in ({"dtype": "bf16"}, {"device": "cpu"}, {"compile": True}):
        assert checked(data=rows, **option).remembered == (), option

    as_categories = checked(data=rows.astype({"half": "category"}))
    assert as_categories.remembered == (), "a model may answer otherwise where text comes as categories"
    assert as_categories.decision.provenance.holdout.digest == asked.decision.provenance.holdout.digest

    weighed = tmp_path / "weighed.yaml"
    weighed.write_text(lenient.read_text().replace("label: digit", "label: digit, weight: worth"))
    assert checked(data=rows, policy=weighed).remembered == (), "a column is not offered to the models any more"

    with monkeypatch.context() as other:
        other.setattr("gate.stories.asking.default_threads", lambda _: 64)
        assert checked(data=rows).remembered == (), "sums come out otherwise with other threads"
    assert checked(data=rows).remembered == ("candidate", "incumbent")


@pytest.mark.usefixtures("near")
def test_answers_that_were_asked_for_as_labels_are_not_taken_for_sets(
    checked: Checked, lenient: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Any] = []
    find = Remembering.find
    monkeypatch.setattr(Remembering, "find", lambda *asked: looked.append(find(*asked)) or looked[-1])
    checked()
    assert checked().remembered == ("candidate", "incumbent") and all(looked)
    looked.clear()
    tags = tmp_path / "tags.yaml"
    tags.write_text(lenient.read_text().replace("holdout:", "task: {kind: multilabel, classes: [0, 1, 2]}\nholdout:"))
    with pytest.raises(EvidenceError, match="set"):
        checked(policy=tags)
    assert not any(looked)


@pytest.mark.usefixtures("near")
def test_nothing_is_kept_where_it_was_not_wanted_or_not_sure(
    checked: Checked, digits: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked(cache=False)
    assert notes() == []
    with pytest.raises(EvidenceError):
        checked(data=pd.concat([digits[600:], digits[600:601]]))
    assert notes() == [], "the check failed"
    with monkeypatch.context() as unsure:
        unsure.setattr("gate.stories.remembering.fingerprint", lambda: None)
        checked()
    assert notes() == [], "nothing can be said of the environment"
    checked(network=True)
    assert notes() == [], "a service may answer otherwise tomorrow"
    monkeypatch.setenv("GATE_CACHE_SIZE", "1k")
    checked()
    assert notes() == [], "the cache is too small"
    monkeypatch.setenv("GATE_CACHE_SIZE", "many")
    with pytest.raises(UsageError, match="GATE_CACHE_SIZE"):
        checked()


def test_models_in_the_gates_own_process_are_always_asked(checked: Checked) -> None:
    assert checked(in_process=True).remembered == ()
    assert notes() == []


@in_processes
def test_the_command_and_the_run_say_whose_answers_were_known(
    sqlite_registry: str, held_out: Path, lenient: Path, capsys: Any
) -> None:
    command = [
        *("check", "--model", "digits", "--candidate", "3", "--incumbent", "1", "--experiment", "known"),
        *("--data", str(held_out), "--policy", str(lenient), "--registry-uri", sqlite_registry),
    ]
    assert run([*command, "--no-log"]) == 0
    assert "answers known" not in capsys.readouterr().err
    assert run(command) == 0
    told = capsys.readouterr().err
    assert "answers known from before: candidate, incumbent (--no-cache asks again)" in told
    run_id = told.split("MLflow run ")[1].split()[0]
    found = mlflow.MlflowClient(sqlite_registry, sqlite_registry).get_run(run_id)
    assert found.data.tags["gate.remembered"] == "candidate, incumbent"
    assert run([*command, "--no-cache", "--no-log"]) == 0
    assert "answers known" not in capsys.readouterr().err


def test_where_answers_cannot_be_kept_that_is_said_and_the_decision_is_the_same(
    checked: Checked, near: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = checked()
    (tmp_path / "a file").touch()
    monkeypatch.setenv("GATE_CACHE_DIR", str(tmp_path / "a file"))
    said: list[str] = []
    found = checked(progress=lambda step, done, of: said.append(step))
    assert "going on without known answers: their folder cannot be written ($GATE_CACHE_DIR)" in said
    assert to_bytes(found.decision) == to_bytes(kept.decision) and found.remembered == ()
    said.clear()
    checked(progress=lambda step, done, of: said.append(step), cache=False)
    assert not [step for step in said if "known answers" in step]
