"""What a decision is said to be good for, and until when; and what a person may say in its place."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from gate.core.judgement import Source, Verdict
from gate.decisions.canonical import canonical, to_bytes
from gate.decisions.in_toto import document, read_statement
from gate.decisions.record import Decision, ModelRow, Promotable, Target, WaiverRow
from gate.decisions.statement import Kind, Statement, Subject, of_decision, override_of, rollback, tags
from gate.errors import EvidenceError, UsageError
from gate.stories.decide import Judgement

Promotable_ = Callable[..., Decision]
SIGNED = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
WEEK = timedelta(days=7)


def stated(decision: Decision, **more: object) -> Statement:
    return of_decision(decision, **{"signed_at": SIGNED, "max_age": WEEK, **more})  # type: ignore[arg-type]


def refused(decision: Decision) -> str:
    with pytest.raises(EvidenceError) as caught:
        stated(decision)
    return str(caught.value)


def waiver(expires: str, needed: bool = True) -> WaiverRow:
    return WaiverRow("few", None, 0.3, "because", "team", expires, needed, None, Source("policy.yaml", 1))


def test_a_statement_binds_what_the_decision_rests_on(promotable: Promotable_) -> None:
    decision = promotable()
    statement = stated(decision, run_id="r1")

    assert (statement.kind, statement.verdict, statement.decision_id) == (
        Kind.DECISION,
        Verdict.ALLOW,
        decision.decision_id,
    )
    assert statement.decision_digest == hashlib.sha256(to_bytes(decision)).hexdigest()
    assert (statement.registry, statement.model, statement.alias) == ("sqlite:///mlflow.db", "fraud", "champion")
    assert (statement.candidate, statement.incumbent) == (Subject(7, "a" * 64), Subject(6, "b" * 64))
    assert statement.holdout_digest == decision.provenance.holdout.digest
    assert statement.policy_digest == decision.policy.digest
    assert statement.files == {"golden.csv": "c" * 64}
    assert statement.tools == decision.provenance.tools
    assert (statement.environment, statement.keep_previous_as, statement.run_id) == (None, "previous", "r1")
    assert (statement.created_at, statement.signed_at, statement.expires_at) == (
        "2026-01-01T00:00:00Z",
        "2026-01-01T12:00:00Z",
        "2026-01-08T00:00:00Z",
    )


def test_the_time_of_writing_is_bound_though_it_is_no_part_of_the_id(promotable: Promotable_) -> None:
    early, late = stated(promotable()), stated(promotable(created_at="2026-01-01T00:00:01Z"))

    assert early.decision_id == late.decision_id
    assert early.decision_digest != late.decision_digest


def test_the_age_counts_from_the_verdict_and_not_from_the_signature(promotable: Promotable_) -> None:
    assert stated(promotable(), signed_at=SIGNED + timedelta(days=3)).expires_at == stated(promotable()).expires_at


@pytest.mark.parametrize(
    ("waivers", "expires"),
    [
        ([waiver("2026-01-03")], "2026-01-04T00:00:00Z"),
        ([waiver("2026-01-05"), waiver("2026-01-02")], "2026-01-03T00:00:00Z"),
        ([waiver("2026-01-03", needed=False)], "2026-01-08T00:00:00Z"),
        ([waiver("2026-01-07")], "2026-01-08T00:00:00Z"),
        ([waiver("2027-01-01")], "2026-01-08T00:00:00Z"),
    ],
)
def test_it_is_good_no_longer_than_the_first_waiver_that_it_needs(
    promotable: Promotable_, waivers: list[WaiverRow], expires: str
) -> None:
    assert stated(promotable(waivers=tuple(waivers))).expires_at == expires


@pytest.mark.parametrize("verdict", Verdict)
def test_any_verdict_can_be_stated_and_is_said_in_a_sentence(promotable: Promotable_, verdict: Verdict) -> None:
    decision = promotable(verdict)
    told = stated(decision).summary

    assert told == {
        Verdict.ALLOW: "Allowed: version 7 of fraud may replace version 6 as @champion:",
        Verdict.REFUSE: "Refused: version 7 of fraud must not replace version 6 as @champion (rules 'few', 'sites'):",
        Verdict.INCONCLUSIVE: "Inconclusive: version 7 of fraud is not shown to be safe to replace version 6 as"
        " @champion (rules 'few', 'sites'):",
        Verdict.ERROR: "Error: version 7 of fraud must not replace version 6 as @champion:",
    }[verdict] + f" {decision.counts.negative} negative and {decision.counts.positive} positive flips in 200 rows," + (
        " policy small."
    )


def test_a_first_version_replaces_nothing(promotable: Promotable_) -> None:
    statement = stated(promotable(incumbent=None))

    assert statement.incumbent is None
    assert statement.summary.startswith("Allowed: version 7 of fraud may become @champion: ")


def test_a_sentence_holds_no_control_characters_and_is_not_long(promotable: Promotable_) -> None:
    decision = promotable()
    told = stated(replace(decision, policy=replace(decision.policy, name="red\x1b[31m\u202e" + "x" * 999))).summary

    assert told.isprintable() and len(told) == 300


def test_what_can_move_no_alias_is_not_stated(promotable: Promotable_, judged: Judgement) -> None:
    allowed, refused_ = promotable(), promotable(Verdict.REFUSE)
    origin = allowed.provenance
    logged = replace(origin, candidate=ModelRow("models:/m-1", model_id="m-1", digest="a" * 64))
    other = replace(origin, incumbent=ModelRow("models:/loans/6", "loans", 6, digest="b" * 64))
    bare = replace(origin, candidate=replace(origin.candidate, digest=None))

    assert "predictions were compared" in refused(judged.decision)
    assert "no version of fraud" in refused(replace(allowed, provenance=logged))
    assert "the incumbent models:/loans/6 is no version of fraud" in refused(replace(refused_, provenance=other))
    assert "no digest of the candidate's files" in refused(replace(refused_, provenance=bare))
    assert "names no registered model and alias" in refused(
        replace(allowed, target=Target("sqlite:///mlflow.db", "fraud", None))
    )
    assert "@champion is version 5" in refused(replace(allowed, promotable=Promotable(False, "@champion is version 5")))


def test_a_verdict_that_does_not_follow_from_its_findings_is_not_stated(promotable: Promotable_) -> None:
    allow, refuse = promotable(), promotable(Verdict.REFUSE)

    assert "does not follow from its findings" in refused(replace(allow, findings=refuse.findings))
    assert "does not follow from its findings" in refused(replace(allow, findings=()))
    assert "does not follow from its findings" in refused(replace(refuse, exit_code=0))


@pytest.mark.parametrize(
    "written", ["", "yesterday", "2026-01-01", "2026-01-01T00:00:00+02:00", "2026-13-01T00:00:00Z"]
)
def test_a_time_that_is_none_is_not_stated(promotable: Promotable_, written: str) -> None:
    assert "a time in it is none" in refused(promotable(created_at=written))


def test_a_time_beyond_the_calendar_is_not_stated(promotable: Promotable_) -> None:
    assert "a time in it is none" in refused(promotable(created_at="9999-12-31T00:00:00Z"))


def test_many_files_are_bound_by_one_digest(promotable: Promotable_) -> None:
    decision = promotable()
    files = {f"golden/{i}.csv": hashlib.sha256(bytes([i])).hexdigest() for i in range(40)}
    many = replace(decision, provenance=replace(decision.provenance, files=files))

    assert stated(many).files == {"all 40 files": hashlib.sha256(canonical(files)).hexdigest()}


# what a person says


def override(statement: Statement, **more: object) -> Statement:
    said = {"reason": "Fraud wave.", "ticket": "INC-7", "by": "ann", "signed_at": SIGNED, **more}
    return override_of(statement, **said)  # type: ignore[arg-type]


def test_an_override_is_of_its_own_kind_for_an_hour_and_loud(promotable: Promotable_) -> None:
    decided = stated(promotable(Verdict.REFUSE))
    said = override(decided)

    assert (said.kind, said.verdict, said.decision_id) == (Kind.OVERRIDE, Verdict.REFUSE, decided.decision_id)
    assert (said.reason, said.ticket, said.by) == ("Fraud wave.", "INC-7", "ann")
    assert (said.signed_at, said.expires_at) == ("2026-01-01T12:00:00Z", "2026-01-01T13:00:00Z")
    assert said.summary == (
        "OVERRIDE of the verdict refuse: @champion of fraud from version 6 to version 7: Fraud wave."
    )


@pytest.mark.parametrize("name", ["reason", "ticket", "by"])
@pytest.mark.parametrize("text", ["", " \n", "x" * 501])
def test_an_override_says_why_for_which_ticket_and_by_whom(promotable: Promotable_, name: str, text: str) -> None:
    with pytest.raises(UsageError, match="empty|is the most"):
        override(stated(promotable()), **{name: text})


def test_what_a_person_says_can_do_no_harm_where_it_is_shown(promotable: Promotable_) -> None:
    said = override(stated(promotable()), reason="red\x1b[31m\n\u202etxt", by="ann\x00")

    assert said.reason == "red\ufffd[31m \ufffdtxt"
    assert said.by == "ann\ufffd"
    assert said.summary.isprintable()


def test_a_rollback_rests_on_no_verdict() -> None:
    back = rollback(
        model="fraud", alias="champion", candidate=Subject(6, "b" * 64), incumbent=Subject(7, "a" * 64),
        signed_at=SIGNED, by="ann", reason="it is slow",
    )  # fmt: skip

    assert (back.kind, back.verdict, back.decision_digest, back.policy_digest) == (Kind.ROLLBACK, None, None, None)
    assert back.expires_at == "2026-01-01T13:00:00Z"
    assert back.summary == "Rollback: @champion of fraud from version 7 to version 6: it is slow"
    assert read_statement(document(back), where="x") == back


# the tags


def test_the_tags_follow_from_the_statement_alone(promotable: Promotable_) -> None:
    statement = stated(promotable(Verdict.REFUSE), run_id="r1")

    assert tags(statement) == {
        "gate.verdict": "refuse",
        "gate.decision_id": statement.decision_id,
        "gate.summary": statement.summary,
        "gate.run_id": "r1",
    }
    assert "gate.run_id" not in tags(stated(promotable()))
    assert tags(override(statement))["gate.verdict"] == "override"


def test_the_tag_of_a_rollback_is_not_that_of_a_verdict() -> None:
    back = rollback(
        model="m", alias="a", candidate=Subject(1, "b" * 64), incumbent=None, signed_at=SIGNED, by="ann"
    )  # fmt: skip

    assert tags(back) == {"gate.verdict": "rollback", "gate.summary": back.summary}


# read back


def test_a_statement_reads_back(promotable: Promotable_) -> None:
    for verdict in Verdict:
        statement = stated(promotable(verdict))
        for said in (statement, override(statement)):
            assert read_statement(document(said), where="x") == said


def changed(plain: Any, at: str, value: object) -> Any:
    """The document with one of its parts another, named by a path; a value of ``...`` takes it away."""
    *path, last = at.split(".")
    copy = plain_copy(plain)
    part = copy
    for step in path:
        part = part[int(step)] if isinstance(part, list) else part[step]
    if value is ...:
        del part[last]
    else:
        part[last] = value
    return copy


def plain_copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: plain_copy(each) for name, each in value.items()}
    return [plain_copy(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("at", "value", "found"),
    [
        ("_type", "https://in-toto.io/Statement/v0.1", "no in-toto statement"),
        ("predicateType", "urn:model-update-gate:decision:v2", "which this gate does not know"),
        ("predicateType", ["urn"], "which this gate does not know"),
        ("predicateType", "https://in-toto.io/attestation/test-result/v0.1", "it moves no alias"),
        ("predicateType", "urn:model-update-gate:rollback:v1", "a rollback rests on no verdict"),
        ("predicateType", "urn:model-update-gate:override:v1", "a person decides"),
        ("subject", [], "no statement"),
        ("subject", None, "no statement"),
        ("subject.0.name", "models:/fraud/8", "unknown fields"),
        ("subject.0.digest.sha256", "A" * 64, "a version or its digest is none"),
        ("subject.0.digest.sha512", "a" * 128, "unknown fields"),
        ("subject.0.more", 1, "unknown fields"),
        ("predicate", None, "no statement"),
        ("predicate.surprise", 1, "surprise"),
        ("predicate.alias", ..., "alias"),
        ("predicate.alias", "", "model or alias is empty"),
        ("predicate.verdict", "maybe", "verdict"),
        ("predicate.verdict", None, "the decision is missing"),
        ("predicate.decision_id", None, "the decision is missing"),
        ("predicate.policy_digest", "policy", "policy_digest is no SHA-256"),
        ("predicate.files", {"golden.csv": "c"}, "golden.csv is no SHA-256"),
        ("predicate.candidate", "7", "candidate.version"),
        ("predicate.candidate", 7.0, "candidate.version"),
        ("predicate.candidate", True, "candidate.version"),
        ("predicate.candidate", 0, "a version or its digest is none"),
        ("predicate.incumbent", None, "incumbent"),
        ("predicate.created_at", "2026-01-01", "is not written as"),
        ("predicate.expires_at", "2026-01-01T00:00:61Z", "second must be in 0..59"),
        ("predicate.by", "ann", "a person decides"),
    ],
)
def test_what_is_no_statement(promotable: Promotable_, at: str, value: object, found: str) -> None:
    plain = changed(document(stated(promotable())), at, value)

    with pytest.raises(EvidenceError) as caught:
        read_statement(plain, where="x")
    assert re.search(found, str(caught.value))


@pytest.mark.parametrize("name", ["reason", "ticket"])
def test_an_override_without_words_does_not_read(promotable: Promotable_, name: str) -> None:
    plain = changed(document(override(stated(promotable()))), f"predicate.{name}", None)

    with pytest.raises(EvidenceError, match="needs a reason and a ticket"):
        read_statement(plain, where="x")


def test_one_subject_too_many_or_too_few_does_not_read(promotable: Promotable_) -> None:
    plain = document(stated(promotable()))
    one, two = plain["subject"]

    for subjects in ([one], [one, two, two], [two, one]):
        with pytest.raises(EvidenceError, match="no statement"):
            read_statement({**plain, "subject": subjects}, where="x")
