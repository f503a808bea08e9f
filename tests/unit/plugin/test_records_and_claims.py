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


@pytest.fixture(autouse=True)
def _today() -> None:
    """Now is when a test runs: a claim lasts ten minutes, and all the tests together take longer."""
    global NOW
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


# -- without a key, no other story -------------------------------------------------------------------------------------


def test_a_decision_that_was_used_is_not_recorded_again(attested: tuple[Any, Statement], refused: Refused) -> None:
    place, statement = attested
    move = intent(place, statement)
    record(place, move)
    place.gated.set_registered_model_alias("fraud", "champion", "2")
    record(place, replace(move, state="done"))
    place.attest(place.rollback(1, 2))
    place.gated.set_registered_model_alias("fraud", "champion", "1")
    forged = intent(place, statement, number=2, by="the CEO")
    assert "moved @champion once already" in refused(lambda: record(place, forged), conflict=True)
    assert "gate.move.champion.000002" not in place.plain.get_registered_model("fraud").tags


def test_an_intent_announces_only_what_would_be_allowed_now(place: Any, refused: Refused) -> None:
    from gate.core.judgement import Verdict

    for _ in range(2):
        place.add_version()
    place.promote(1, None)
    old = {"created_at": "2026-01-01T00:00:00Z", "signed_at": "2026-01-01T00:00:00Z"}
    for parts, found, conflict in (
        ({**old, "expires_at": "2026-01-02T00:00:00Z"}, "expired at", True),
        (old, "older than 7 days", True),
        ({"verdict": Verdict.REFUSE}, "the verdict is refuse", False),
        ({"policy_digest": "9" * 64}, "which does not count here", False),
    ):
        statement = place.statement(2, 1, **parts)
        place.attest(statement)
        said = refused(lambda said=statement: record(place, intent(place, said)), conflict=conflict)
        assert found in said
    assert not any(key.startswith("gate.move.") for key in place.plain.get_registered_model("fraud").tags)


def test_an_intent_is_of_now(attested: tuple[Any, Statement], refused: Refused) -> None:
    place, statement = attested
    past = intent(place, statement, at=stamp(NOW - timedelta(hours=1)))
    assert "which is long past" in refused(lambda: record(place, past), conflict=True)


def test_a_decision_has_one_open_record(attested: tuple[Any, Statement], refused: Refused) -> None:
    place, statement = attested
    move = intent(place, statement)
    record(place, move)
    twice = refused(lambda: record(place, replace(move, number=2, by="the CEO")), conflict=True)
    assert "move 1 is the record of the same, and it is intent" in twice
    record(place, replace(move, state="abandoned"))
    record(place, replace(move, number=2))


def test_done_is_what_the_journal_says_of_that_very_envelope(attested: tuple[Any, Statement], refused: Refused) -> None:
    place, statement = attested
    move = intent(place, statement)
    record(place, move)
    place.attest(place.override(2, 1), "oncall")
    place.gated.set_registered_model_alias("fraud", "champion", "2")  # there, but by another's word
    said = refused(record, place, replace(move, state="done"))
    assert "by the journal this decision has not moved it since" in said
    record(place, replace(move, state="abandoned"))


def test_an_intent_is_not_given_up_while_its_promoter_holds_a_claim(
    attested: tuple[Any, Statement], refused: Refused
) -> None:
    place, statement = attested
    move = intent(place, statement, at=statement.created_at)
    record(place, move)
    gone = replace(move, state="abandoned")
    hang(place, claim(by=move.by, purpose=f"decision {statement.decision_id} to version 2").to_text())
    assert "ci@runner holds a claim to this very move" in refused(record, place, gone, conflict=True)
    place.gated.delete_registered_model_tag("fraud", "gate.claim.champion.3f2a")
    for others in ({"by": "ann"}, {"purpose": "decision x to version 3", "by": move.by}):
        hang(place, claim(**others).to_text())
    record(place, gone)


@pytest.mark.parametrize("why", ["the move was refused", "the decision counts no more", "the version is gone"])
def test_an_intent_that_leads_nowhere_is_given_up_by_whoever_holds_a_claim(
    attested: tuple[Any, Statement], refused: Refused, why: str
) -> None:
    place, statement = attested
    move = intent(place, statement, at=statement.created_at)
    record(place, move)
    hang(place, claim(by=move.by, purpose=f"decision {statement.decision_id} to version 2").to_text())
    if why == "the move was refused":
        (place.files["fraud", 2] / "code.py").write_text("print('not what was judged')")
        refused(place.gated.set_registered_model_alias, "fraud", "champion", "2")
    elif why == "the decision counts no more":
        place.attest(place.override(2, 1), "oncall")
    else:
        place.gated.delete_model_version("fraud", "2")
    record(place, replace(move, state="abandoned"))


def test_what_was_given_up_too_soon_is_told_as_done_all_the_same(attested: tuple[Any, Statement]) -> None:
    place, statement = attested
    move = intent(place, statement)
    record(place, move)
    record(place, replace(move, state="abandoned"))  # by a bystander, who took the claim down before
    place.gated.set_registered_model_alias("fraud", "champion", "2")
    record(place, replace(move, state="done"))
    assert '"state":"done"' in place.plain.get_registered_model("fraud").tags["gate.move.champion.000001"]


def test_gate_promote_is_not_disturbed_by_a_bystander_and_takes_over_no_name(
    attested: tuple[Any, Statement], refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gate
    from gate.plugin.files import ModelFiles
    from gate.registry.moves import read_history

    place, _ = attested
    statement = place.statement(2, 1, registry=f"gated:{place.uri}")
    file = place.folder / "decision.dsse.json"
    file.write_text(place.attest(statement))
    record(place, intent(place, statement, by="the CEO"))
    digest, told = ModelFiles.digest, []

    def slow(self: ModelFiles, model: str, version: int) -> str:
        if not told:
            (open_,) = (each for each in moves() if each.state == "intent")
            told.append(refused(record, place, replace(open_, state="abandoned"), conflict=True))
        return digest(self, model, version)

    def moves() -> tuple[Move, ...]:
        return read_history(place.plain.get_registered_model("fraud").tags, "champion").moves

    monkeypatch.setattr(ModelFiles, "digest", slow)
    gate.promote(file, keys=[place.folder / "ci.pub"], registry_uri=f"gated:{place.uri}", by="ci@runner")
    assert "holds a claim to this very move" in told[0]
    assert [(each.by, each.state) for each in moves()] == [("the CEO", "abandoned"), ("ci@runner", "done")]


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
