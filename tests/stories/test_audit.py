"""``gate.stories.audit``: every move with its decision, and what has none."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import gate
from gate.cli.audit import _lines
from gate.decisions.envelope import sign
from gate.decisions.keys import new_keys, read_private, read_public
from gate.decisions.statement import of_decision
from gate.errors import EvidenceError, ExitCode, GateError, UsageError
from gate.stories.audit import Audit, audit
from gate.stories.rollback import rollback


@pytest.fixture
def fleet(own_registry: str, launch: Callable[..., Any]) -> Any:
    """Four versions; the gate promoted version 1, which is the first, and then version 2."""
    fleet = launch(own_registry, "fleet", 4)
    gate.promote(fleet.decision(1, None), by="ann")
    gate.promote(fleet.decision(2, 1), by="bob")
    return fleet


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return new_keys(tmp_path / "ci")[0]


def of(fleet: Any, **asked: Any) -> Audit:
    return audit("fleet", **{"registry_uri": fleet.uri, **asked})


def went(found: Audit) -> list[tuple[str | None, int | None, int | None]]:
    return [(event.kind, event.before, event.after) for event in found.events]


def unexplained(found: Audit) -> list[str]:
    assert found.exit_code is (ExitCode.EVIDENCE if found.unexplained else ExitCode.ALLOW)
    return [one.found for one in found.unexplained]


def test_every_move_is_listed_with_what_it_rests_on(fleet: Any, key: Path) -> None:
    decision = fleet.decision(3, 2, "refuse")
    gate.promote(decision, override=True, reason="all is down", ticket="INC-7", sign_with=key, by="cid")
    rollback("fleet", registry_uri=fleet.uri, reason="it was worse", by="dan")
    found = of(fleet)

    assert (found.stands, found.journal, unexplained(found)) == (2, False, [])
    assert went(found) == [("promotion", None, 1), ("promotion", 1, 2), ("override", 2, 3), ("rollback", 3, 2)]
    assert [event.by for event in found.events] == ["ann", "bob", "cid", "dan"]
    override = found.events[2]
    assert found.overrides == (override,)
    assert (override.reason, override.ticket) == ("all is down", "INC-7")
    assert override.decision_id == decision.decision_id
    assert override.signed_by == read_public(f"{key}.pub").keyid
    assert found.events[3].decision_id == found.events[1].decision_id


def test_an_alias_that_is_not_where_the_last_move_left_it_was_moved_past_the_gate(fleet: Any) -> None:
    fleet.client.set_registered_model_alias("fleet", "champion", "4")
    (told,) = unexplained(of(fleet))
    assert told.startswith("@champion is version 4, and the last recorded move, of ")
    assert told.endswith("left it at version 2: it was moved past the gate since")

    fleet.client.delete_registered_model_alias("fleet", "champion")
    (told,) = unexplained(of(fleet))
    assert told.startswith("@champion is no version, and the last recorded move")


def test_a_gap_between_two_moves_stays_for_ever(fleet: Any) -> None:
    fleet.client.set_registered_model_alias("fleet", "champion", "3")
    gate.promote(fleet.decision(4, 3))
    found = of(fleet)
    (told,) = unexplained(found)
    assert told.startswith("version 2 to version 3 between ")
    assert told.endswith("and nothing is recorded: @champion was moved past the gate")
    assert found.unexplained[0].at == found.events[-1].at


def test_an_alias_that_nobody_recorded_is_a_move_without_a_decision(
    own_registry: str, launch: Callable[..., Any]
) -> None:
    fleet = launch(own_registry, "fleet", 1)
    fleet.client.set_registered_model_alias("fleet", "champion", "1")
    assert unexplained(of(fleet)) == ["@champion is version 1, and no move of it is recorded"]


def test_what_was_there_before_the_gate_is_no_move(own_registry: str, launch: Callable[..., Any]) -> None:
    fleet = launch(own_registry, "fleet", 2)
    fleet.client.set_registered_model_alias("fleet", "champion", "1")
    gate.promote(fleet.decision(2, 1))
    assert unexplained(of(fleet)) == []


def test_a_version_that_lost_its_verdict_is_told(fleet: Any) -> None:
    fleet.client.delete_model_version_tag("fleet", "2", "gate.verdict")
    assert unexplained(of(fleet)) == ["version 2 is @champion and carries no verdict: its tag gate.verdict is gone"]


@pytest.mark.parametrize(("at", "made"), [("2", True), ("1", False)])
def test_an_intent_without_an_outcome_is_unfinished(fleet: Any, at: str, made: bool) -> None:
    name = "gate.move.champion.000002"
    fleet.client.set_registered_model_tag("fleet", name, fleet.tags()[name].replace('"done"', '"intent"'))
    fleet.client.set_registered_model_alias("fleet", "champion", at)
    found = of(fleet)

    assert [(event.after, event.made) for event in found.unfinished] == [(2, made)]
    assert unexplained(found) == []


def test_an_intent_that_was_given_up_is_no_move(fleet: Any) -> None:
    name = "gate.move.champion.000002"
    fleet.client.set_registered_model_tag("fleet", name, fleet.tags()[name].replace('"done"', '"abandoned"'))
    fleet.client.set_registered_model_alias("fleet", "champion", "1")
    found = of(fleet)
    assert (went(found), unexplained(found)) == ([("promotion", None, 1)], [])


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("gate.move.champion.000003", "to version 4, honestly"),
        ("gate.move.champion.last", None),
        ("gate.move.champion.000009", None),
    ],
)
def test_a_record_that_no_gate_wrote_is_told(fleet: Any, tag: str, value: str | None) -> None:
    fleet.client.set_registered_model_tag("fleet", tag, value or fleet.tags()["gate.move.champion.000002"])
    (told,) = unexplained(of(fleet))
    assert told.startswith(f"tag {tag}: ")


def test_since_leaves_out_what_is_older_but_not_how_it_stands(fleet: Any) -> None:
    for number, day in ((1, "2026-01-01"), (2, "2026-02-01")):
        name = f"gate.move.champion.00000{number}"
        text = fleet.tags()[name]
        at = text.partition('"at":"')[2][:20]
        fleet.client.set_registered_model_tag("fleet", name, text.replace(at, f"{day}T12:00:00Z"))
    fleet.client.set_registered_model_alias("fleet", "champion", "3")

    assert [event.at[:10] for event in of(fleet).events] == ["2026-01-01", "2026-02-01"]
    assert [event.at[:10] for event in of(fleet, since="2026-02-01").events] == ["2026-02-01"]
    later = of(fleet, since="2026-02-02")
    assert (later.events, later.since) == ((), "2026-02-02")
    assert len(unexplained(later)) == 1


def test_a_day_is_written_as_a_day(fleet: Any) -> None:
    with pytest.raises(UsageError, match="not a day: 'yesterday'"):
        of(fleet, since="yesterday")


def test_what_is_not_there_is_told_with_the_nearest(fleet: Any) -> None:
    with pytest.raises(EvidenceError, match="no alias 'champoin'; did you mean 'champion'"):
        of(fleet, alias="champoin")
    with pytest.raises(EvidenceError, match="no model 'fleet2'"):
        audit("fleet2", registry_uri=fleet.uri)


def test_with_a_key_the_version_in_use_must_be_there_on_its_word(fleet: Any, key: Path, tmp_path: Path) -> None:
    public = Path(f"{key}.pub")
    assert unexplained(of(fleet, keys=[public])) == ["version 2 is @champion, and carries no signed statement"]

    file = tmp_path / "signed"
    now = datetime.now(timezone.utc)
    file.write_bytes(
        sign(of_decision(fleet.decision(3, 2), signed_at=now, max_age=timedelta(days=1)), read_private(key))
    )
    gate.promote(file, keys=[public])
    assert unexplained(of(fleet, keys=[public])) == []
    _, other = new_keys(tmp_path / "other")
    assert "none of those that count" in unexplained(of(fleet, keys=[other]))[0]

    later = of_decision(fleet.decision(3, 2), signed_at=now, max_age=timedelta(days=2))
    fleet.client.set_model_version_tag(
        "fleet", "3", "gate.attestation.champion", sign(later, read_private(key)).decode()
    )
    assert unexplained(of(fleet, keys=[public])) == [
        "version 3 is @champion, and its statement is not the one that it was moved by"
    ]
    fleet.client.set_model_version_tag("fleet", "3", "gate.attestation.champion", file.read_text() + " ")
    assert "not the bytes that were written" in unexplained(of(fleet, keys=[public]))[0]


# -- where an enforcing store kept a journal ----------------------------------------------------------------------------


@pytest.fixture
def enforced(
    own_registry: str, launch: Callable[..., Any], key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """A fleet behind an enforcing store, where a signed decision promoted version 1."""
    fleet = launch(own_registry, "fleet", 4)
    file = tmp_path / "enforcement.yaml"
    file.write_text(
        f"version: 1\nprotect:\n  - {{models: [fleet], aliases: [champion], keys: [{key}.pub], policies: any}}\n"
    )
    monkeypatch.setenv("GATE_ENFORCEMENT", str(file))
    fleet.uri = f"gated:{fleet.uri}"
    promote_signed(fleet, key, tmp_path, 1, None)
    return fleet


def promote_signed(fleet: Any, key: Path, folder: Path, version: int, incumbent: int | None) -> None:
    file = folder / f"{version}.json"
    statement = of_decision(
        fleet.decision(version, incumbent), signed_at=datetime.now(timezone.utc), max_age=timedelta(days=1)
    )
    file.write_bytes(sign(statement, read_private(key)))
    gate.promote(file, keys=[f"{key}.pub"], registry_uri=fleet.uri)


def test_the_journal_and_the_records_are_one_line(enforced: Any, key: Path, tmp_path: Path) -> None:
    promote_signed(enforced, key, tmp_path, 2, 1)
    for uri in (enforced.uri, enforced.uri.removeprefix("gated:")):
        found = of(enforced, registry_uri=uri)
        assert found.journal
        assert went(found) == [("promotion", None, 1), ("promotion", 1, 2)]
        assert [event.actor for event in found.events] == ["-", "-"]
        assert unexplained(found) == []
        assert found.refused == ()


def test_the_time_and_the_actor_are_those_that_the_server_saw(enforced: Any) -> None:
    """A record is as honest as whoever wrote it; nobody but the server writes its journal."""
    seen = of(enforced).events[0]
    name = "gate.move.champion.000001"
    record = enforced.tags()[name]
    forged = record.replace(seen.at, "2026-01-01T00:00:00Z").replace(f'"by":"{seen.by}"', '"by":"mallory"')
    assert forged != record
    enforced.client.set_registered_model_tag("fleet", name, forged)
    (event,) = of(enforced, since=seen.at[:10]).events
    assert (event.at, event.actor, event.by) == (seen.at, "-", "mallory")

    with sqlite3.connect(enforced.uri.removeprefix("gated:sqlite:///")) as database:
        database.execute("UPDATE gate_journal SET actor = 'ann'")
    database.close()
    lines = [line.split(maxsplit=1) for line in _lines(of(enforced))]
    assert ["by", "ann"] in lines
    assert ["recorded", "by  mallory"] in lines


def test_what_the_store_refused_is_listed_apart(enforced: Any) -> None:
    from gate.registry.registry import Registry

    with pytest.raises(GateError):
        Registry.connect(enforced.uri, None).set_alias("fleet", "champion", 3)
    found = of(enforced)
    (attempt,) = found.refused
    assert (attempt.version, attempt.before, attempt.allowed) == (3, 1, False)
    assert "no signed decision stands behind it" in str(attempt.reason)
    assert unexplained(found) == []


def test_a_move_around_the_enforcing_store_is_found(enforced: Any, key: Path, tmp_path: Path) -> None:
    enforced.client.set_registered_model_alias("fleet", "champion", "3")  # a plain URI goes around it
    assert "moved past the gate" in unexplained(of(enforced))[0]
    promote_signed(enforced, key, tmp_path, 4, 3)
    assert [told.partition(" between")[0] for told in unexplained(of(enforced))] == ["version 1 to version 3"]


def test_a_record_that_the_enforcing_store_did_not_see_is_found(enforced: Any) -> None:
    gate.promote(enforced.decision(2, 1), registry_uri=enforced.uri.removeprefix("gated:"))
    assert unexplained(of(enforced)) == ["version 1 to version 2 is recorded, and the enforcing server did not see it"]


def test_a_record_that_was_lost_is_made_up_for_by_the_journal(enforced: Any) -> None:
    before = of(enforced).events[0]
    enforced.client.delete_registered_model_tag("fleet", "gate.move.champion.000001")
    found = of(enforced)
    (event,) = found.events
    assert (event.kind, event.after, event.number, event.decision_id) == ("promotion", 1, None, before.decision_id)
    assert event.signed_by == before.signed_by
    assert unexplained(found) == []


def test_what_was_promoted_before_the_store_enforced_is_history(
    fleet: Any, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    file = tmp_path / "enforcement.yaml"
    file.write_text(
        f"version: 1\nprotect:\n  - {{models: [fleet], aliases: [champion], keys: [{key}.pub], policies: any}}\n"
    )
    monkeypatch.setenv("GATE_ENFORCEMENT", str(file))
    fleet.uri = f"gated:{fleet.uri}"
    time.sleep(1.1)  # times are to the second
    promote_signed(fleet, key, tmp_path, 3, 2)
    found = of(fleet)
    assert [(event.after, event.actor) for event in found.events] == [(1, None), (2, None), (3, "-")]
    assert unexplained(found) == []
