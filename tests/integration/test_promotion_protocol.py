"""Promoters as real processes: killed at every step, twenty at once, and what the registry says in between."""

from __future__ import annotations

import copy
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import pytest

from gate.decisions import tags
from gate.decisions.canonical import to_bytes
from gate.decisions.envelope import sign, verify
from gate.decisions.keys import new_keys, read_private, read_public
from gate.decisions.statement import of_decision
from gate.registry.moves import History, read_history

Jobs = Callable[..., list[dict[str, Any]]]
KILLED = -signal.SIGKILL
MANY = 20


@pytest.fixture(scope="module")
def promoters() -> Iterator[Jobs]:
    """Runs jobs at the same moment, each as a process of its own; see ``promoters.py``."""
    command = [sys.executable, str(Path(__file__).with_name("promoters.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def start(*jobs: dict[str, Any]) -> list[dict[str, Any]]:
            stdin.write(json.dumps(jobs) + "\n")
            stdin.flush()
            answers: list[dict[str, Any]] = json.loads(stdout.readline())
            return answers

        yield start
        stdin.close()


class Keys(NamedTuple):
    private: Path
    public: Path


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """A pair that signs, and that the enforcing registry knows."""
    return Keys(*new_keys(tmp_path_factory.mktemp("keys") / "ci"))


def history(fleet: Any) -> History:
    return read_history(fleet.tags(), "champion")


def claims(fleet: Any) -> list[str]:
    return [name for name in fleet.tags() if name.startswith(tags.CLAIM)]


# -- killed at every step ---------------------------------------------------------------------------------------------


class Stage:
    """A registry in which the gate promoted version 1, and a signed decision that lets version 2 follow."""

    def __init__(self, scheme: str, fleet: Any, keys: Keys, promoters: Jobs, folder: Path) -> None:
        self.scheme, self.fleet, self.keys, self._promoters, self.folder = scheme, fleet, keys, promoters, folder
        enforcement = folder / "enforcement.yaml"
        enforcement.write_text(
            "version: 1\nprotect:\n"
            f"  - {{models: [fleet], aliases: [champion], keys: [{keys.public}], policies: any, max_age: 7d}}\n"
        )
        self._env = {"GATE_ENFORCEMENT": str(enforcement)}

    def at(self, folder: Path) -> Stage:
        """The same in a copy of the registry, so that nothing that is done there is seen here."""
        folder.mkdir()
        shutil.copy(self.folder / "mlflow.db", folder)
        fleet = copy.copy(self.fleet)
        fleet.uri = f"{self.scheme}sqlite:///{folder}/mlflow.db"
        fleet.client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db", f"sqlite:///{folder}/mlflow.db")
        return Stage(self.scheme, fleet, self.keys, self._promoters, folder)

    def signed(self, candidate: int, incumbent: int | None) -> Path:
        """A signed decision that allows the version."""
        file = self.folder / f"{candidate}.dsse.json"
        decision = self.fleet.decision(candidate, incumbent, keep_previous_as="previous")
        now = datetime.now(timezone.utc)
        file.write_bytes(
            sign(of_decision(decision, signed_at=now, max_age=timedelta(1)), read_private(self.keys.private))
        )
        return file

    def run(self, *arguments: object, kill: int | None = None) -> dict[str, Any]:
        argv = [str(argument) for argument in (*arguments, "--registry-uri", self.fleet.uri)]
        return self._promoters({"argv": argv, "kill": kill, "env": self._env})[0]

    def promote(self, file: Path, kill: int | None = None) -> dict[str, Any]:
        return self.run("promote", file, "--key", self.keys.public, kill=kill)

    def rollback(self, kill: int | None = None) -> dict[str, Any]:
        return self.run("rollback", "fleet", "--sign-with", self.keys.private, kill=kill)

    def is_explained(self) -> bool:
        """Whether the version under the alias has its intent, and the very statement that it rests on."""
        at = self.fleet.at()
        last = history(self.fleet).settled(at).last
        assert last is not None
        said = self.fleet.tags_of(at)
        content = said[tags.attestation("champion")].encode()
        statement = verify(content, [read_public(self.keys.public)], where="attestation")
        return (last.version, statement.candidate.version, statement.kind) == (at, at, last.kind) and bool(
            said[tags.VERDICT]
        )


@pytest.fixture(scope="module", params=["", "gated:"], ids=["plain", "enforcing"])
def stage(
    request: pytest.FixtureRequest,
    empty_store: Path,
    launch: Callable[..., Any],
    keys: Keys,
    promoters: Jobs,
    tmp_path_factory: pytest.TempPathFactory,
) -> Stage:
    folder = tmp_path_factory.mktemp("stage")
    shutil.copy(empty_store, folder / "mlflow.db")
    fleet = launch(f"sqlite:///{folder}/mlflow.db", "fleet", 2)
    fleet.uri = f"{request.param}{fleet.uri}"
    stage = Stage(request.param, fleet, keys, promoters, folder)
    first = stage.promote(stage.signed(1, None))
    assert (first["code"], fleet.at()) == (0, 1), first["said"]
    return stage


@pytest.mark.fault(
    32,
    given="`gate promote` is killed with `kill -9` at any of its steps, and run again",
    then="goes on where it was: one recorded move, the alias on the candidate, and nothing left behind",
    exit_code=0,
)
def test_a_promotion_that_is_killed_at_any_step_converges_when_it_is_run_again(stage: Stage, tmp_path: Path) -> None:
    whole = stage.at(tmp_path / "whole")
    steps = whole.promote(whole.signed(2, 1))["writes"]
    assert len(steps) >= 10

    for step in range(len(steps) + 1):
        here = stage.at(tmp_path / str(step))
        file = here.signed(2, 1)
        assert here.promote(file, kill=step)["code"] == KILLED
        assert here.is_explained(), f"killed after {steps[:step]}"
        audited = here.run("audit", "fleet", "--key", here.keys.public)
        assert audited["code"] == 0, audited["said"]

        again = here.promote(file)
        assert (again["code"], here.fleet.at(), here.fleet.at("previous")) == (0, 2, 1), again["said"]
        assert [(move.number, move.state, move.version) for move in history(here.fleet).moves] == [
            (1, "done", 1),
            (2, "done", 2),
        ]
        assert claims(here.fleet) == []
        assert here.is_explained()
    assert here.promote(file)["writes"] == []


@pytest.mark.fault(
    32,
    given="`gate rollback` is killed with `kill -9` at any of its steps, and run again",
    then="goes on where it was; if it was done already, it says so with exit code 13 and changes nothing",
    exit_code=0,
)
def test_a_rollback_that_is_killed_at_any_step_converges_when_it_is_run_again(stage: Stage, tmp_path: Path) -> None:
    promoted = stage.at(tmp_path / "promoted")
    assert promoted.promote(promoted.signed(2, 1))["code"] == 0
    whole = promoted.at(tmp_path / "whole")
    steps = whole.rollback()["writes"]
    assert len(steps) >= 8

    for step in range(len(steps) + 1):
        here = promoted.at(tmp_path / str(step))
        assert here.rollback(kill=step)["code"] == KILLED
        assert here.is_explained(), f"killed after {steps[:step]}"
        audited = here.run("audit", "fleet", "--key", here.keys.public)
        assert audited["code"] == 0, audited["said"]

        was_done = history(here.fleet).moves[-1].number > 2 and history(here.fleet).moves[-1].state == "done"
        again = here.rollback()
        assert (again["code"], here.fleet.at(), here.fleet.at("previous")) == (13 if was_done else 0, 1, 1), again[
            "said"
        ]
        moves = [move for move in history(here.fleet).moves if move.state != "abandoned"]
        assert [(move.state, move.kind.value, move.version) for move in moves] == [
            ("done", "decision", 1),
            ("done", "decision", 2),
            ("done", "rollback", 1),
        ]
        assert claims(here.fleet) == []
        assert here.is_explained()
    last = here.rollback()
    assert (last["code"], last["writes"]) == (13, [])


def test_after_a_kill_another_decision_may_go_first(stage: Stage, tmp_path: Path) -> None:
    """What the dead promoter meant to do is recorded as not done, and nobody waits for it."""
    here = stage.at(tmp_path / "here")
    whole = stage.at(tmp_path / "whole")
    written = whole.promote(whole.signed(2, 1))["writes"]
    before_the_alias = len(written) - 3  # the alias, the outcome, the claim
    assert here.promote(here.signed(2, 1), kill=before_the_alias)["code"] == KILLED
    assert [move.state for move in history(here.fleet).moves] == ["done", "intent"]

    time.sleep(1.1)  # signed at another second, so that it is another envelope
    assert here.promote(here.signed(2, 1))["code"] == 0
    assert [move.state for move in history(here.fleet).moves] == ["done", "abandoned", "done"]
    assert here.fleet.at() == 2


# -- many at once -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "rest"])
def uri(request: pytest.FixtureRequest) -> str:
    if request.param == "rest":
        return str(request.getfixturevalue("mlflow_server"))
    return str(request.getfixturevalue("own_registry"))


@pytest.mark.fault(
    31,
    given="twenty processes promote twenty candidates at the same moment",
    then="lets one of them win: the alias stays as the winner left it, and the other nineteen exit with 13",
    exit_code=13,
)
def test_of_twenty_promoters_at_once_one_wins(
    uri: str, launch: Callable[..., Any], promoters: Jobs, tmp_path: Path
) -> None:
    fleet = launch(uri, "armada", MANY + 1)
    fleet.client.set_registered_model_alias("armada", "champion", "1")
    jobs = []
    for version in range(2, MANY + 2):
        file = tmp_path / f"{version}.json"
        file.write_bytes(to_bytes(fleet.decision(version, 1, keep_previous_as="previous")))
        jobs.append({"argv": ["promote", str(file), "--registry-uri", uri]})
    answers = promoters(*jobs)

    said = "\n".join(answer["said"] for answer in answers)
    assert sorted(answer["code"] for answer in answers) == [0] + [13] * (MANY - 1), said
    winner = next(place for place, answer in enumerate(answers) if answer["code"] == 0) + 2
    assert (fleet.at(), fleet.at("previous")) == (winner, 1)
    assert [(move.state, move.version) for move in history(fleet).moves] == [("done", winner)]
    assert claims(fleet) == []
    assert "locked" not in said


def test_the_same_decision_promoted_by_five_at_once_is_carried_out_once(
    uri: str, launch: Callable[..., Any], promoters: Jobs, tmp_path: Path
) -> None:
    fleet = launch(uri, "twice", 2)
    fleet.client.set_registered_model_alias("twice", "champion", "1")
    file = tmp_path / "decision.json"
    file.write_bytes(to_bytes(fleet.decision(2, 1)))
    answers = promoters(*[{"argv": ["promote", str(file), "--registry-uri", uri]}] * 5)

    assert [answer["code"] for answer in answers] == [0] * 5, answers
    assert sum("nothing to do" in answer["said"] for answer in answers) == 4
    assert [(move.state, move.version) for move in history(fleet).moves] == [("done", 2)]


def test_five_rollbacks_at_once_go_back_one_move(
    uri: str, launch: Callable[..., Any], promoters: Jobs, tmp_path: Path
) -> None:
    fleet = launch(uri, "back", 3)
    for version, incumbent in ((1, None), (2, 1), (3, 2)):
        file = tmp_path / "decision.json"
        file.write_bytes(to_bytes(fleet.decision(version, incumbent)))
        assert promoters({"argv": ["promote", str(file), "--registry-uri", uri]})[0]["code"] == 0
    answers = promoters(*[{"argv": ["rollback", "back", "--registry-uri", uri]}] * 5)

    assert {answer["code"] for answer in answers} <= {0, 13}
    assert 0 in {answer["code"] for answer in answers}
    assert fleet.at() == 2
    assert [move.version for move in history(fleet).moves] == [1, 2, 3, 2]


def test_a_database_that_is_locked_for_a_while_is_waited_for(
    own_registry: str, launch: Callable[..., Any], promoters: Jobs, tmp_path: Path
) -> None:
    fleet = launch(own_registry, "slow", 2)
    fleet.client.set_registered_model_alias("slow", "champion", "1")
    file = tmp_path / "decision.json"
    file.write_bytes(to_bytes(fleet.decision(2, 1)))
    lock = sqlite3.connect(own_registry.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    lock.execute("BEGIN IMMEDIATE")
    threading.Timer(3.0, lock.rollback).start()
    (answer,) = promoters({"argv": ["promote", str(file), "--registry-uri", own_registry]})
    assert (answer["code"], fleet.at()) == (0, 2), answer["said"]
    lock.close()
