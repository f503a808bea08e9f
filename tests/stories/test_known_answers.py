"""The incumbent is asked once for many candidates; what is known is never trusted blindly."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import gate
from gate.cli.app import run
from gate.decisions.canonical import to_bytes
from gate.errors import UsageError
from gate.stories.decide import Judgement

Checked = Callable[..., Judgement]


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


def folder() -> Path:
    return Path(os.environ["GATE_CACHE_DIR"], "predictions")


def notes() -> list[Path]:
    return sorted(folder().glob("*/*.json"))


def test_the_incumbent_is_asked_once_for_many_candidates(checked: Checked) -> None:
    first = checked(candidate="2")
    assert first.remembered == () and len(notes()) == 2
    second = checked(candidate="3")
    assert second.remembered == ("incumbent",)
    assert second.decision == checked(candidate="3", cache=False).decision
    assert len(notes()) == 3


def test_all_that_is_known_is_asked_of_nobody_and_gives_the_same_bytes(checked: Checked) -> None:
    fresh = checked()
    known = checked()
    assert known.remembered == ("candidate", "incumbent")
    assert to_bytes(known.decision) == to_bytes(fresh.decision)
    assert known.samples == fresh.samples


def test_no_cache_asks_again_and_keeps_nothing(checked: Checked) -> None:
    checked(cache=False)
    assert notes() == []
    checked()
    assert checked(cache=False).remembered == ()


@pytest.mark.parametrize("suffix", ["parquet", "json"])
def test_a_damaged_entry_is_asked_again(suffix: str, checked: Checked) -> None:
    fresh = checked()
    for file in folder().glob(f"*/*.{suffix}"):
        whole = bytearray(file.read_bytes())
        whole[len(whole) // 2] ^= 1
        file.write_bytes(bytes(whole))
    again = checked()
    assert again.remembered == () and again.decision == fresh.decision
    assert checked().remembered == ("candidate", "incumbent")


def test_other_rows_are_asked_again(checked: Checked, digits: pd.DataFrame) -> None:
    checked(data=digits[600:])
    changed = digits[600:].copy()
    changed.loc[changed.index[-1], "pixel_20"] += 1
    assert checked(data=changed).remembered == ()
    assert checked(data=digits[600:]).remembered == ("candidate", "incumbent")


def test_batches_of_another_size_are_asked_again(checked: Checked) -> None:
    checked()
    assert checked(rows_per_batch=500).remembered == ()


def test_another_environment_is_asked_again(checked: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    checked()
    monkeypatch.setattr("gate.stories.remembering.fingerprint", lambda: "f" * 64)
    assert checked().remembered == ()


def test_an_environment_of_which_nothing_can_be_said_is_asked_again_and_not_kept(
    checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gate.stories.remembering.fingerprint", lambda: None)
    checked()
    assert notes() == []


def test_models_in_the_gates_own_process_are_always_asked(checked: Checked) -> None:
    checked()
    assert checked(in_process=True).remembered == ()


def test_too_small_a_cache_keeps_nothing(checked: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_CACHE_SIZE", "1k")
    checked()
    assert notes() == []
    monkeypatch.setenv("GATE_CACHE_SIZE", "many")
    with pytest.raises(UsageError, match="GATE_CACHE_SIZE"):
        checked()


def test_a_failed_check_keeps_nothing(checked: Checked, digits: pd.DataFrame) -> None:
    twice = pd.concat([digits[600:], digits[600:601]])
    with pytest.raises(gate.errors.EvidenceError):
        checked(data=twice)
    assert notes() == []


def test_the_command_says_whose_answers_were_known(
    checked: Checked, sqlite_registry: str, held_out: Path, lenient: Path, capsys: Any
) -> None:
    command = [
        *("check", "--model", "digits", "--candidate", "3", "--incumbent", "1", "--no-log"),
        *("--data", str(held_out), "--policy", str(lenient), "--registry-uri", sqlite_registry),
    ]
    assert run(command) == 0
    assert "answers known" not in capsys.readouterr().err
    assert run(command) == 0
    assert "answers known from before: candidate, incumbent (--no-cache asks again)" in capsys.readouterr().err
    assert run([*command, "--no-cache"]) == 0
    assert "answers known" not in capsys.readouterr().err


def test_the_run_says_whose_answers_were_known(checked: Checked, sqlite_registry: str) -> None:
    import mlflow

    checked()
    judged = checked(log_run=True, experiment="known")
    found = mlflow.MlflowClient(sqlite_registry, sqlite_registry).get_run(str(judged.run_id))
    assert found.data.tags["gate.remembered"] == "candidate, incumbent"
