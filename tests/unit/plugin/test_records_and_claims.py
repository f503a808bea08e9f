"""The tags by which promoters record moves and claim their turn: on a protected model only true ones are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from gate.decisions import tags
from gate.decisions.moves import Move, to_text
from gate.decisions.statement import Statement
from gate.decisions.times import stamp
from gate.plugin.guard import digest_of
from gate.registry.claim import LIFETIME, Claim

Refused = Callable[..., str]
NOW = datetime.now(timezone.utc)


def intent(place: Any, statement: Statement, number: int = 1, **parts: Any) -> Move:
    """What `gate promote` records before it moves the alias."""
    old = statement.incumbent
    envelope = place.plain.get_model_version("fraud", str(statement.candidate.version)).tags.get(
        tags.attestation(statement.alias)
    )
    move = Move(
        number=number,
        kind=statement.kind,
        model=statement.model,
        alias=statement.alias,
        previous=old.version if old else None,
        version=statement.candidate.version,
        decision_id=statement.decision_id,
        state="intent",
        at=stamp(NOW),
        by="ci@runner",
        reason=statement.reason,
        ticket=statement.ticket,
        signed_by=place.keys["ci"].keyid,
        statement_digest=None if envelope is None else digest_of(envelope),
        digest=statement.candidate.digest,
        previous_digest=old.digest if old else None,
    )
    return replace(move, **parts)


def record(place: Any, move: Move, key: str | None = None) -> None:
    from mlflow.entities.model_registry import RegisteredModelTag

    tag = RegisteredModelTag(key or tags.move(move.alias, move.number), to_text(move))
    place.gated.set_registered_model_tag("fraud", tag)


@pytest.fixture
def attested(place: Any) -> tuple[Any, Statement]:
    """``fraud`` in versions 1 and 2, version 1 the champion, and a decision on version 2 in its place."""
    for _ in range(2):
        place.add_version()
    place.promote(1, None)
    statement = place.statement(2, 1)
    place.attest(statement)
    return place, statement


def test_the_record_of_a_promotion_is_kept_from_intent_to_outcome(attested: tuple[Any, Statement]) -> None:
    place, statement = attested
    move = intent(place, statement)
    record(place, move)
    record(place, move)
    place.gated.set_registered_model_alias("fraud", "champion", "2")
    record(place, replace(move, state="done"))
    record(place, replace(move, state="done"))
    kept = place.plain.get_registered_model("fraud").tags["gate.move.champion.000001"]
    assert '"state":"done"' in kept


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        ({"decision_id": "7" * 64}, "it does not follow from a signed decision"),
        ({"statement_digest": "7" * 64}, "it does not follow from a signed decision"),
        ({"statement_digest": None}, "it does not follow from a signed decision"),
        ({"signed_by": "7" * 64}, "it does not follow from a signed decision"),
        ({"digest": "7" * 64}, "it does not follow from a signed decision"),
        ({"reason": "because"}, "it does not follow from a signed decision"),
        ({"version": 1}, "it does not follow from a signed decision"),
        ({"model": "churn"}, "it is the record of move 1 of @champion of churn"),
    ],
)
def test_a_record_that_nothing_signed_stands_behind_is_refused(
    attested: tuple[Any, Statement], refused: Refused, parts: dict[str, Any], found: str
) -> None:
    place, statement = attested
    assert found in refused(record, place, intent(place, statement, **parts))


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        ({"number": 2}, "a new record is the intent of move 1, and this is move 2, intent"),
        ({"state": "done"}, "a new record is the intent of move 1, and this is move 1, done"),
        ({"previous": None}, "it says that @champion is at no version, and it is at version 1"),
        ({"at": stamp(NOW + timedelta(hours=1))}, "which is yet to come"),
    ],
)
def test_a_record_out_of_its_turn_is_a_conflict(
    attested: tuple[Any, Statement], refused: Refused, parts: dict[str, Any], found: str
) -> None:
    place, statement = attested
    assert found in refused(lambda: record(place, intent(place, statement, **parts)), conflict=True)


def test_a_record_stands_under_its_own_name(attested: tuple[Any, Statement], refused: Refused) -> None:
    place, statement = attested
    for key in ("gate.move.champion.1", "gate.move.champion.000002", "gate.move.x", "gate.move.", "gate.move"):
        refused(record, place, intent(place, statement), key)


def test_an_outcome_says_what_came_of_it_and_stays(attested: tuple[Any, Statement], refused: Refused) -> None:
    place, statement = attested
    move = intent(place, statement)
    record(place, move)
    assert "done, it says, and @champion is at version 1" in refused(record, place, replace(move, state="done"))
    refused(record, place, replace(move, by="somebody else"))
    place.gated.set_registered_model_alias("fraud", "champion", "2")
    said = refused(record, place, replace(move, state="abandoned"))
    assert "abandoned, it says, and @champion is at version 2" in said
    record(place, replace(move, state="done"))
    for state in ("intent", "abandoned"):
        assert "what is recorded of a move stays" in refused(record, place, replace(move, state=state))


def test_a_move_of_which_the_promoter_died_is_told_by_whoever_comes_next(attested: tuple[Any, Statement]) -> None:
    place, statement = attested
    move = intent(place, statement)
    record(place, move)
    place.gated.set_registered_model_alias("fraud", "champion", "2")
    back = place.rollback(1, 2)
    place.attest(back)
    place.gated.set_registered_model_alias("fraud", "champion", "1")
    record(place, replace(move, state="done"))  # it was done once, and the journal knows


def test_a_move_that_was_not_made_is_abandoned(attested: tuple[Any, Statement]) -> None:
    place, statement = attested
    move = intent(place, statement)
    record(place, move)
    record(place, replace(move, state="abandoned"))
    record(place, intent(place, statement, number=2))


def test_of_an_alias_that_is_not_protected_a_record_needs_no_signature(
    attested: tuple[Any, Statement], refused: Refused
) -> None:
    place, _ = attested
    unsigned = place.statement(2, None, alias="challenger")
    nothing = {"signed_by": None, "statement_digest": None}
    move = intent(place, unsigned, **nothing)
    assert "names no envelope" in refused(record, place, replace(move, signed_by=place.keys["ci"].keyid))
    record(place, move)
    place.gated.set_registered_model_alias("fraud", "challenger", "2")
    record(place, replace(move, state="done"))
    assert "it does not follow" in refused(record, place, intent(place, place.statement(2, 1), **nothing))


# -- claims -----------------------------------------------------------------------------------------------------------------


def claim(**parts: Any) -> Claim:
    said: dict[str, Any] = {
        "holder": "3f2a",
        "ticket": 1,
        "purpose": "decision",
        "by": "ann",
        "host": "here",
        "pid": 7,
        "started": "",
        "since": stamp(NOW),
        "until": stamp(NOW + LIFETIME),
    }
    return Claim(**{**said, **parts})


def hang(place: Any, text: str, key: str = "gate.claim.champion.3f2a") -> None:
    from mlflow.entities.model_registry import RegisteredModelTag

    place.gated.set_registered_model_tag("fraud", RegisteredModelTag(key, text))


def test_a_claim_is_hung_up_and_taken_down_by_anybody(attested: tuple[Any, Statement]) -> None:
    place, _ = attested
    hang(place, claim().to_text())
    assert "gate.claim.champion.3f2a" in place.plain.get_registered_model("fraud").tags
    place.gated.delete_registered_model_tag("fraud", "gate.claim.champion.3f2a")
    assert "gate.claim.champion.3f2a" not in place.plain.get_registered_model("fraud").tags


def test_what_is_no_claim_is_not_hung_up(attested: tuple[Any, Statement], refused: Refused) -> None:
    place, _ = attested
    for text in ("", "{}", "mine", claim().to_text() + " ", claim(until=stamp(NOW + timedelta(days=9))).to_text()):
        assert "not a claim as gate promote writes one" in refused(hang, place, text)
    assert "it holds the claim of '3f2a'" in refused(hang, place, claim().to_text(), "gate.claim.champion.4")


def test_a_claim_for_a_time_that_is_over_or_far_off_is_a_conflict(
    attested: tuple[Any, Statement], refused: Refused
) -> None:
    place, _ = attested
    for hours in (-2, 2):
        since = NOW + timedelta(hours=hours)
        text = claim(since=stamp(since), until=stamp(since + LIFETIME)).to_text()
        refused(lambda text=text: hang(place, text), conflict=True)
