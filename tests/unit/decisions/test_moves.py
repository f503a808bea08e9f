"""The record of a move, the names of tags, and the times and ages in them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from gate.decisions import tags
from gate.decisions.moves import Move, from_text, to_text
from gate.decisions.statement import Kind
from gate.decisions.times import age, moment, stamp
from gate.errors import EvidenceError, UsageError

MOVE = Move(12, Kind.DECISION, "fraud", "champion", 6, 7, "d" * 64, "intent", "2026-01-01T00:00:00Z", "ann")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"state": "done"},
        {"state": "abandoned", "previous": None, "version": None, "decision_id": None},
        {"kind": Kind.OVERRIDE, "reason": 'wave "é" \u202e', "ticket": "T-1", "signed_by": "k" * 64},
        {"kind": Kind.ROLLBACK, "statement_digest": "e" * 64},
    ],
)
def test_a_move_reads_back(changes: dict[str, object]) -> None:
    move = replace(MOVE, **changes)  # type: ignore[arg-type]
    text = to_text(move)

    assert from_text(text, where="x") == move
    assert "\n" not in text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        "NaN",
        to_text(MOVE) + " ",
        to_text(MOVE) + "," + to_text(MOVE),
        to_text(MOVE).replace('"number":12', '"number":"12"'),
        to_text(MOVE).replace('"number":12', '"number":0'),
        to_text(MOVE).replace('"number":12', '"number":12.0'),
        to_text(MOVE).replace('"previous":6', '"previous":true'),
        to_text(MOVE).replace("intent", "intended"),
        to_text(MOVE).replace("decision", "guess", 1),
        to_text(MOVE).replace("2026-01-01T00", "2026-01-01T25"),
        to_text(MOVE).replace('{"alias"', '{"a":1,"alias"'),
        to_text(MOVE).replace('"ticket":null,', ""),
        to_text(MOVE).replace(":", ": "),
    ],
)
def test_what_is_no_record_of_a_move(text: str) -> None:
    with pytest.raises(EvidenceError, match="no record of a move"):
        from_text(text, where="models:/fraud")


def test_a_record_that_no_tag_takes_is_refused_when_it_is_written() -> None:
    with pytest.raises(UsageError, match="a tag of the registry takes 5,000"):
        to_text(replace(MOVE, reason="r" * 5000))


def test_the_names_of_tags() -> None:
    assert tags.attestation("champion") == "gate.attestation.champion"
    assert tags.move("champion", 1) == "gate.move.champion.000001"
    assert sorted([tags.move("a", 10), tags.move("a", 9)]) == [tags.move("a", 9), tags.move("a", 10)]
    assert tags.claim("champion", "h") == "gate.claim.champion.h"
    for name in (tags.attestation("a"), tags.move("a", 1), tags.claim("a", "h"), *tags.DESCRIPTIVE):
        assert name.startswith(tags.PREFIX)


def test_a_name_that_no_registry_takes_is_refused() -> None:
    assert len(tags.attestation("a" * 233)) == 250
    with pytest.raises(UsageError, match="MLflow takes 250"):
        tags.attestation("a" * 234)


def test_a_moment_is_written_in_utc_to_the_second_and_reads_back() -> None:
    east = timezone(timedelta(hours=2))

    assert stamp(datetime(2026, 1, 1, 1, 59, 59, 999_999, east)) == "2025-12-31T23:59:59Z"
    assert moment("2025-12-31T23:59:59Z") == datetime(2025, 12, 31, 23, 59, 59, tzinfo=timezone.utc)
    assert stamp(moment("0099-01-01T00:00:00Z")) == "0099-01-01T00:00:00Z"
    with pytest.raises(ValueError, match="without a time zone"):
        stamp(datetime(2026, 1, 1))


@pytest.mark.parametrize(
    "text", ["", "now", "2026-01-01", "2026-1-1T00:00:00Z", "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00Z\n"]
)
def test_another_way_to_write_a_moment_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not written as"):
        moment(text)


def test_ages() -> None:
    assert [age(text) for text in ("7d", "12h", "30m")] == [
        timedelta(days=7),
        timedelta(hours=12),
        timedelta(minutes=30),
    ]


@pytest.mark.parametrize(
    "text", ["", "7", "7 days", "7days", "d", "0d", "-1d", "1.5d", "7D", "1w", "3651d", "٧d", "7d\n"]
)
def test_what_is_no_age_is_told_what_is(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        age(text, where="policy.yaml:3")
    assert str(caught.value).startswith(f"policy.yaml:3: not an age: {text!r}")
    assert "7d (days), 12h (hours) or 30m (minutes)" in str(caught.value)
