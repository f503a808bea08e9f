"""``gate.promote``: the alias moves only for a decision that allows it, over a registry that is as it was judged."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

import gate
from gate.core.judgement import Source, Verdict
from gate.decisions.canonical import sealed, to_bytes
from gate.decisions.record import Decision, Promotable, WaiverRow
from gate.errors import ConflictError, EvidenceError, ExitCode, GateError, UsageError
from gate.stories.promote import NotAllowed


def client_of(uri: str) -> Any:
    return mlflow.MlflowClient(uri, uri)


def aliases(uri: str) -> dict[str, int]:
    return {name: int(at) for name, at in client_of(uri).get_registered_model("digits").aliases.items()}


@pytest.fixture(scope="module")
def decisions(digits: pd.DataFrame, lenient: Path) -> Callable[[str], Decision]:
    """The decision that lets version 3 follow the champion, by the registry's URI."""
    made: dict[str, Decision] = {}

    def decide(uri: str) -> Decision:
        if uri not in made:
            made[uri] = gate.check(
                model="digits",
                candidate="3",
                incumbent="@champion",
                data=digits[600:],
                policy=lenient,
                registry_uri=uri,
                log_run=False,
                in_process=True,
            ).decision
        return made[uri]

    return decide


class Stage:
    """An alias of one test's own on version 1, and decisions about it."""

    def __init__(self, uri: str, alias: str, allowed: Decision) -> None:
        self.uri, self.alias, self.kept = uri, alias, f"{alias}_before"
        self.client = client_of(uri)
        self.allowed = sealed(replace(allowed, target=replace(allowed.target, alias=alias, keep_previous_as=self.kept)))
        self.client.set_registered_model_alias("digits", alias, "1")

    def at(self, alias: str) -> int | None:
        return aliases(self.uri).get(alias)

    def tags(self) -> dict[str, str]:
        tags: dict[str, str] = self.client.get_model_version("digits", "3").tags
        return {name: value for name, value in tags.items() if name.startswith("gate.")}

    def leave(self) -> None:
        for alias in (self.alias, self.kept):
            self.client.delete_registered_model_alias("digits", alias)
        for name in self.tags():
            self.client.delete_model_version_tag("digits", "3", name)


@pytest.fixture
def stage(
    sqlite_registry: str, decisions: Callable[[str], Decision], request: pytest.FixtureRequest
) -> Iterator[Stage]:
    alias = f"own_{abs(hash(request.node.name)) % 10**8}"
    stage = Stage(sqlite_registry, alias, decisions(sqlite_registry))
    yield stage
    stage.leave()


def refused(kind: type[GateError], *args: Any, **asked: Any) -> GateError:
    with pytest.raises(kind) as caught:
        gate.promote(*args, **asked)
    return caught.value


def test_an_allowed_decision_moves_the_alias_and_keeps_the_previous_version(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "decision.json"
    path.write_bytes(to_bytes(stage.allowed))
    done = gate.promote(path)

    assert (done.model, done.alias, done.version, done.already) == ("digits", stage.alias, 3, False)
    assert (done.previous, done.previous_alias) == (1, stage.kept)
    assert (stage.at(stage.alias), stage.at(stage.kept)) == (3, 1)
    assert stage.tags() == {
        "gate.decision_id": stage.allowed.decision_id,
        "gate.verdict": "allow",
        "gate.promoted_as": stage.alias,
        "gate.promoted_at": stage.tags()["gate.promoted_at"],
    }


def test_promoting_twice_does_nothing_the_second_time(stage: Stage) -> None:
    gate.promote(stage.allowed)
    before = aliases(stage.uri), stage.tags()
    again = gate.promote(stage.allowed)

    assert again.already
    assert (aliases(stage.uri), stage.tags()) == before


def test_a_decision_that_rests_on_a_waiver_is_stale_when_the_waiver_has_ended(stage: Stage) -> None:
    def resting_on(expires: str, needed: bool) -> Decision:
        waiver = WaiverRow("few", None, None, "why", "me", expires, needed, None, Source("policy.yaml", 1))
        return sealed(replace(stage.allowed, waivers=(waiver,)))

    error = refused(ConflictError, resting_on("2020-01-01", needed=True))
    assert "it rests on a waiver of 'few' that ended on 2020-01-01" in str(error)
    assert stage.at(stage.alias) == 1
    gate.promote(resting_on("2020-01-01", needed=False))
    assert stage.at(stage.alias) == 3


def test_a_promotion_killed_between_the_two_aliases_goes_on_when_it_is_run_again(stage: Stage) -> None:
    stage.client.set_registered_model_alias("digits", stage.kept, "1")  # as far as it came
    done = gate.promote(stage.allowed)

    assert not done.already
    assert (stage.at(stage.alias), stage.at(stage.kept)) == (3, 1)


def test_without_keep_previous_as_only_the_alias_moves(stage: Stage) -> None:
    bare = sealed(replace(stage.allowed, target=replace(stage.allowed.target, keep_previous_as=None)))
    done = gate.promote(bare)

    assert (done.previous, done.previous_alias) == (1, None)
    assert stage.at(stage.alias) == 3
    assert stage.at(stage.kept) is None


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        (Verdict.REFUSE, ExitCode.REFUSED),
        (Verdict.INCONCLUSIVE, ExitCode.INCONCLUSIVE),
        (Verdict.ERROR, ExitCode.EVIDENCE),
    ],
)
def test_any_other_verdict_keeps_its_exit_code_and_the_alias(stage: Stage, verdict: Verdict, code: ExitCode) -> None:
    """Even one that claims to be promotable."""
    judged = sealed(replace(stage.allowed, verdict=verdict, exit_code=int(code)))
    error = refused(NotAllowed, judged)

    assert error.exit_code is code
    assert str(error).startswith(f"decision: the verdict is {verdict.value}, and only allow is promoted\n  -> ")
    assert stage.at(stage.alias) == 1
    assert stage.tags() == {}


def test_a_decision_that_is_not_promotable_says_why(stage: Stage) -> None:
    judged = sealed(replace(stage.allowed, promotable=Promotable(False, "the candidate is a logged model")))
    error = refused(EvidenceError, judged)

    assert error.exit_code is ExitCode.EVIDENCE
    assert "not promotable: the candidate is a logged model" in str(error)
    assert stage.at(stage.alias) == 1


def test_an_edited_decision_counts_for_nothing(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "decision.json"
    path.write_bytes(to_bytes(stage.allowed).replace(b'"version":3', b'"version":2'))
    error = refused(EvidenceError, path)

    assert error.exit_code is ExitCode.EVIDENCE
    assert error.problems[0].where == str(path)
    assert "edited" in str(error)
    assert stage.at(stage.alias) == 1


def test_a_value_edited_in_memory_counts_for_nothing(stage: Stage) -> None:
    edited = replace(stage.allowed, counts=replace(stage.allowed.counts, negative=0))
    error = refused(EvidenceError, edited)

    assert "edited" in str(error)
    assert stage.at(stage.alias) == 1


def test_no_such_decision(tmp_path: Path) -> None:
    error = refused(UsageError, tmp_path / "absent.json")

    assert error.exit_code is ExitCode.USAGE
    assert str(error) == f"{tmp_path / 'absent.json'}: no such decision\n  -> gate check --report json=FILE writes one"


def test_an_alias_that_moved_since_is_a_conflict(stage: Stage) -> None:
    stage.client.set_registered_model_alias("digits", stage.alias, "2")
    error = refused(ConflictError, stage.allowed)

    assert error.exit_code is ExitCode.CONFLICT
    assert str(error) == (
        f"decision: @{stage.alias} is version 2 now; the decision compared with version 1\n"
        "  -> judge again with gate check, against the version that it is now"
    )
    assert stage.at(stage.alias) == 2
    assert stage.at(stage.kept) is None


def test_an_alias_that_is_gone_is_a_conflict(stage: Stage) -> None:
    stage.client.delete_registered_model_alias("digits", stage.alias)
    error = refused(ConflictError, stage.allowed)

    assert error.exit_code is ExitCode.CONFLICT
    assert f"@{stage.alias} is no version now" in str(error)


@pytest.mark.parametrize("role", ["candidate", "incumbent"])
def test_files_that_were_swapped_since_are_found(stage: Stage, role: str) -> None:
    row = getattr(stage.allowed.provenance, role)
    source = stage.client.get_model_version("digits", str(row.version)).source.removeprefix("models:/")
    folder = Path(stage.client.get_logged_model(source).artifact_location.removeprefix("file://"))
    requirements = folder / "requirements.txt"
    original = requirements.read_bytes()
    requirements.write_bytes(original + b"# one byte more\n")
    try:
        error = refused(EvidenceError, stage.allowed)
    finally:
        requirements.write_bytes(original)

    assert error.exit_code is ExitCode.EVIDENCE
    assert error.problems[0].where == f"{role} {row.uri}"
    assert "its files changed since they were judged" in str(error)
    assert stage.at(stage.alias) == 1


def test_a_decision_about_another_registry_is_refused(stage: Stage, empty_store: Path, tmp_path: Path) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    other = f"sqlite:///{tmp_path}/mlflow.db"
    error = refused(EvidenceError, stage.allowed, registry_uri=other)

    assert error.exit_code is ExitCode.EVIDENCE
    assert f"the decision is about {stage.uri}, this registry is {other}" in str(error)
    assert stage.at(stage.alias) == 1


def test_a_first_version_sets_an_alias_that_is_not_there(stage: Stage) -> None:
    alone = sealed(replace(stage.allowed, provenance=replace(stage.allowed.provenance, incumbent=None)))
    taken = refused(ConflictError, alone)
    stage.client.delete_registered_model_alias("digits", stage.alias)
    done = gate.promote(alone)

    assert f"@{stage.alias} is version 1 now; the decision compared with no version" in str(taken)
    assert (done.version, done.previous, done.previous_alias) == (3, None, None)
    assert stage.at(stage.alias) == 3
    assert stage.at(stage.kept) is None


def test_over_rest_the_alias_moves_too(mlflow_server: str, decisions: Callable[[str], Decision]) -> None:
    stage = Stage(mlflow_server, "own_rest", decisions(mlflow_server))
    try:
        done = gate.promote(stage.allowed)
        moved = stage.at(stage.alias), stage.at(stage.kept)
        again = gate.promote(stage.allowed)
    finally:
        stage.leave()

    assert not done.already and again.already
    assert moved == (3, 1)
