"""``gate.stories.rollback``: one recorded move back, and never on a guess."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import gate
from gate.decisions.envelope import sign, verify
from gate.decisions.keys import new_keys, read_private, read_public
from gate.decisions.moves import Move
from gate.decisions.statement import Kind, of_decision
from gate.decisions.times import moment
from gate.errors import ConflictError, EvidenceError, ExitCode, GateError, UsageError
from gate.registry.moves import read_history
from gate.stories.rollback import rollback


@pytest.fixture
def fleet(own_registry: str, launch: Callable[..., Any]) -> Any:
    """Four versions; ``@champion`` was version 1 before the gate came, then 2 and 3 by decisions."""
    fleet = launch(own_registry, "fleet", 4)
    fleet.client.set_registered_model_alias("fleet", "champion", "1")
    gate.promote(fleet.decision(2, 1, keep_previous_as="previous"))
    gate.promote(fleet.decision(3, 2, keep_previous_as="previous"))
    return fleet


def moves(fleet: Any) -> tuple[Move, ...]:
    return read_history(fleet.tags(), "champion").moves


def back(fleet: Any, **asked: Any) -> Any:
    return rollback("fleet", **{"registry_uri": fleet.uri, **asked})


def refused(kind: type[GateError], fleet: Any, **asked: Any) -> GateError:
    with pytest.raises(kind) as caught:
        back(fleet, **asked)
    return caught.value


def test_the_version_before_the_last_move_is_put_back_and_recorded(fleet: Any) -> None:
    said: list[str] = []
    done = back(fleet, reason="wrong answers", ticket="INC-7", by="ann", remark=lambda text, loud: said.append(text))

    assert (done.model, done.alias, done.version, done.left, done.number) == ("fleet", "champion", 2, 3, 3)
    assert fleet.at() == 2
    move = moves(fleet)[-1]
    assert (move.kind, move.state, move.previous, move.version) == (Kind.ROLLBACK, "done", 3, 2)
    assert (move.reason, move.ticket, move.by, move.signed_by) == ("wrong answers", "INC-7", "ann", None)
    assert move.decision_id == moves(fleet)[0].decision_id, "what let version 2 in still stands behind it"
    assert fleet.tags_of(2)["gate.verdict"] == "rollback"
    assert fleet.tags_of(2)["gate.summary"] == (
        "Rollback: @champion of fleet from version 3 to version 2: wrong answers"
    )
    assert said == ["the rollback is not signed: a registry that enforces decisions asks for --sign-with KEY"]


def test_a_second_rollback_does_not_go_forward_again(fleet: Any) -> None:
    back(fleet)
    before = fleet.tags()
    error = refused(ConflictError, fleet)

    assert error.exit_code is ExitCode.CONFLICT
    assert "@champion was rolled back to version 2 at" in str(error)
    assert "is a promotion: judge that version with gate check" in str(error)
    assert (fleet.at(), fleet.tags()) == (2, before)


def test_after_the_next_promotion_it_can_be_taken_back_again(fleet: Any) -> None:
    back(fleet)
    gate.promote(fleet.decision(4, 2))
    assert back(fleet).version == 2
    assert [move.version for move in moves(fleet)] == [2, 3, 2, 4, 2]


def test_the_first_recorded_move_can_be_taken_back_to_what_was_there_before_the_gate(
    own_registry: str, launch: Callable[..., Any]
) -> None:
    fleet = launch(own_registry, "fleet", 2)
    fleet.client.set_registered_model_alias("fleet", "champion", "1")
    gate.promote(fleet.decision(2, 1))
    assert (back(fleet).version, fleet.at()) == (1, 1)


def test_a_first_version_has_none_before_it(own_registry: str, launch: Callable[..., Any]) -> None:
    fleet = launch(own_registry, "fleet", 1)
    gate.promote(fleet.decision(1, None))
    error = refused(EvidenceError, fleet)
    assert "version 1 was the first that the gate put there" in str(error)
    assert fleet.at() == 1


def test_without_a_record_nobody_knows_where_to_go(own_registry: str, launch: Callable[..., Any]) -> None:
    fleet = launch(own_registry, "fleet", 2)
    fleet.client.set_registered_model_alias("fleet", "champion", "2")
    error = refused(EvidenceError, fleet)
    assert error.exit_code is ExitCode.EVIDENCE
    assert "no move of @champion is recorded" in str(error)
    assert "judge the version to go back to with gate check" in str(error)
    assert fleet.at() == 2


def test_a_mistyped_alias_or_model_is_told_with_the_nearest(fleet: Any) -> None:
    assert "no alias 'champoin'; did you mean 'champion'?" in str(refused(EvidenceError, fleet, alias="champoin"))
    with pytest.raises(EvidenceError, match="no model 'flet'.*did you mean 'fleet'"):
        rollback("flet", registry_uri=fleet.uri)


@pytest.mark.fault(
    30,
    given="somebody moved the alias past the gate, and `gate rollback` is asked to take it back",
    then="does nothing: it would not know what it takes back, and says where the alias should be",
    exit_code=13,
)
def test_an_alias_that_was_moved_past_the_gate_is_left_alone(fleet: Any) -> None:
    fleet.client.set_registered_model_alias("fleet", "champion", "4")
    error = refused(ConflictError, fleet)
    assert "@champion is version 4, and of the recorded moves the last one left it at version 3" in str(error)
    assert "gate audit fleet" in str(error)
    assert fleet.at() == 4

    fleet.client.delete_registered_model_alias("fleet", "champion")
    assert "@champion is no version" in str(refused(ConflictError, fleet))


@pytest.mark.fault(
    29,
    given="the files of the version to go back to were changed since it was judged",
    then="does not put it back: it is not what was judged",
    exit_code=12,
)
def test_a_version_whose_files_changed_is_not_put_back(fleet: Any) -> None:
    (fleet.folders[2] / "MLmodel").write_text("something else")
    error = refused(EvidenceError, fleet)
    assert error.problems[0].where == "previous models:/fleet/2"
    assert "its files changed since they were judged" in str(error)
    assert fleet.at() == 3


def test_a_version_that_is_gone_is_not_put_back(fleet: Any) -> None:
    fleet.client.delete_registered_model_alias("fleet", "previous")
    fleet.client.delete_model_version("fleet", "2")
    assert "no version 2" in str(refused(EvidenceError, fleet))
    assert fleet.at() == 3


def test_the_version_that_is_left_may_be_broken(fleet: Any) -> None:
    (fleet.folders[3] / "MLmodel").unlink()
    assert back(fleet).version == 2


def test_a_promotion_that_died_after_the_alias_moved_is_taken_back_like_any_other(fleet: Any) -> None:
    name = "gate.move.champion.000002"
    fleet.client.set_registered_model_tag("fleet", name, fleet.tags()[name].replace('"done"', '"intent"'))
    assert back(fleet).version == 2
    assert [move.state for move in moves(fleet)] == ["done", "done", "done"]


def test_a_promotion_that_died_before_the_alias_moved_is_no_move(fleet: Any) -> None:
    name = "gate.move.champion.000002"
    fleet.client.set_registered_model_tag("fleet", name, fleet.tags()[name].replace('"done"', '"intent"'))
    fleet.client.set_registered_model_alias("fleet", "champion", "2")  # as far as it came
    assert back(fleet).version == 1
    assert [move.state for move in moves(fleet)] == ["done", "abandoned", "done"]


def test_a_wrong_key_is_told_before_anything_is_asked(fleet: Any, tmp_path: Path) -> None:
    _, public = new_keys(tmp_path / "ci")
    assert "a public key, which signs nothing" in str(refused(UsageError, fleet, sign_with=public))
    assert fleet.at() == 3


def test_a_signed_rollback_is_for_the_environment_of_the_last_decision(
    own_registry: str, launch: Callable[..., Any], tmp_path: Path
) -> None:
    fleet = launch(own_registry, "fleet", 3)
    private, public = new_keys(tmp_path / "ci")
    for number, before in ((1, None), (2, 1)):
        decision = fleet.decision(number, before, environment="production")
        written = moment(decision.created_at)
        file = tmp_path / f"{number}.json"
        file.write_bytes(
            sign(of_decision(decision, signed_at=written, max_age=timedelta(days=1)), read_private(private))
        )
        gate.promote(file, keys=[public])

    done = back(fleet, sign_with=private)
    content = fleet.tags_of(1)["gate.attestation.champion"].encode()
    statement = verify(content, [read_public(public)], where="tag")
    assert done.signed_by == moves(fleet)[-1].signed_by == read_public(public).keyid
    assert (statement.kind, statement.environment) == (Kind.ROLLBACK, "production")
    assert (statement.candidate.version, statement.candidate.digest) == (1, fleet.digests[1])


def test_an_enforcing_registry_takes_a_signed_rollback_and_no_other(
    own_registry: str, launch: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = launch(own_registry, "fleet", 3)
    private, public = new_keys(tmp_path / "ci")
    settings = tmp_path / "enforcement.yaml"
    settings.write_text(
        f"version: 1\nprotect:\n  - {{models: [fleet], aliases: [champion], keys: [{public}], policies: any}}\n"
    )
    monkeypatch.setenv("GATE_ENFORCEMENT", str(settings))
    enforcing = f"gated:{fleet.uri}"
    for number, before in ((1, None), (2, 1)):
        decision = fleet.decision(number, before)
        file = tmp_path / f"{number}.json"
        statement = of_decision(decision, signed_at=moment(decision.created_at), max_age=timedelta(days=1))
        file.write_bytes(sign(statement, read_private(private)))
        gate.promote(file, keys=[public], registry_uri=enforcing)

    error = refused(EvidenceError, fleet, registry_uri=enforcing)
    assert "the registry refuses: " in str(error)
    assert "--sign-with KEY" in str(error)
    assert fleet.at() == 2
    assert back(fleet, registry_uri=enforcing, sign_with=private).version == 1
    assert fleet.at() == 1
