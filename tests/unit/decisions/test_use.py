"""What a statement is good for: one move, in one place, for a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from gate.core.judgement import Verdict
from gate.decisions.record import Decision, Target
from gate.decisions.statement import Statement, Subject, of_decision, override_of, rollback
from gate.decisions.use import NotAllowed, check_use
from gate.errors import ConflictError, EvidenceError, GateError

WRITTEN = datetime(2026, 1, 1, tzinfo=timezone.utc)
NOW = WRITTEN + timedelta(hours=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
def statement(promotable: Callable[..., Decision]) -> Statement:
    return stated(promotable())


def stated(decision: Decision, max_age: timedelta = timedelta(days=7)) -> Statement:
    return of_decision(decision, signed_at=WRITTEN, max_age=max_age)


def use(statement: Statement, **asked: Any) -> None:
    its = {"model": "fraud", "alias": "champion", "version": 7, "environment": None, "incumbent": 6, "now": NOW}
    check_use(statement, **{**its, "where": "signed.json", **asked})


def refused(error: type[GateError], statement: Statement, **asked: Any) -> str:
    with pytest.raises(error) as caught:
        use(statement, **asked)
    assert type(caught.value) is error
    assert str(caught.value).startswith("signed.json: ")
    return str(caught.value)


def test_it_is_good_for_the_move_that_it_is_about(statement: Statement) -> None:
    use(statement)
    use(statement, policies=[statement.policy_digest], max_age=timedelta(days=1))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"model": "loans"}, "signed for model 'fraud', and this is 'loans'"),
        ({"model": "Fraud"}, "signed for model 'fraud', and this is 'Fraud'"),
        ({"alias": "challenger"}, "signed for alias 'champion', and this is 'challenger'"),
        ({"version": 8}, "signed for version 7, and this is 8"),
        ({"environment": "production"}, "signed for environment none, and this is 'production'"),
        ({"policies": []}, "which does not count here"),
        ({"policies": {"f" * 64}}, "which does not count here"),
    ],
)
def test_it_is_good_for_no_other(statement: Statement, asked: dict[str, Any], found: str) -> None:
    assert found in refused(EvidenceError, statement, **asked)


def test_a_decision_for_one_environment_is_not_one_for_another_nor_for_none(
    promotable: Callable[..., Decision],
) -> None:
    target = Target("sqlite:///mlflow.db", "fraud", "champion", None, "staging")
    statement = stated(promotable(target=target))

    use(statement, environment="staging")
    for other in ("production", None):
        refused(EvidenceError, statement, environment=other)


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict is not Verdict.ALLOW])
def test_a_verdict_that_does_not_allow_refuses_with_its_own_code(
    promotable: Callable[..., Decision], verdict: Verdict
) -> None:
    with pytest.raises(NotAllowed) as caught:
        use(stated(promotable(verdict)))
    assert caught.value.exit_code is verdict.exit_code
    assert f"the verdict is {verdict.value}" in str(caught.value)


@pytest.mark.parametrize("stands", [None, 5, 7])
def test_another_incumbent_is_a_conflict(statement: Statement, stands: int | None) -> None:
    found = refused(ConflictError, statement, incumbent=stands)
    assert "the decision compared with version 6" in found and "judge again" in found


def test_a_first_version_is_good_while_there_is_no_alias(promotable: Callable[..., Decision]) -> None:
    statement = stated(promotable(incumbent=None))

    use(statement, incumbent=None)
    assert "the decision compared with no version" in refused(ConflictError, statement, incumbent=6)


def test_it_expires_at_the_second(statement: Statement) -> None:
    end = WRITTEN + timedelta(days=7)

    use(statement, now=end - SECOND)
    use(statement, now=end - timedelta(microseconds=1))
    assert "expired at 2026-01-08T00:00:00Z" in refused(ConflictError, statement, now=end)


def test_the_age_that_is_granted_may_be_less_than_the_age_that_was_signed(statement: Statement) -> None:
    day = timedelta(days=1)

    use(statement, max_age=day, now=WRITTEN + day - SECOND)
    assert "older than 1 day" in refused(ConflictError, statement, max_age=day, now=WRITTEN + day)
    refused(ConflictError, statement, max_age=timedelta(days=30), now=WRITTEN + timedelta(days=8))


def test_what_is_from_the_future_is_a_conflict_but_for_five_minutes(statement: Statement) -> None:
    skew = timedelta(minutes=5)

    use(statement, now=WRITTEN - skew)
    assert "here it is 2025-12-31T23:54:59Z" in refused(ConflictError, statement, now=WRITTEN - skew - SECOND)
    late = replace(statement, signed_at="2026-01-02T00:00:00Z")
    refused(ConflictError, late, now=NOW)


def test_a_moment_without_a_time_zone_is_not_taken(statement: Statement) -> None:
    with pytest.raises(TypeError):
        use(statement, now=NOW.replace(tzinfo=None))


# on a person's word


def test_an_override_is_good_whatever_the_verdict_but_for_nothing_else(promotable: Callable[..., Decision]) -> None:
    decided = stated(promotable(Verdict.REFUSE), max_age=timedelta(hours=1))
    late = WRITTEN + timedelta(days=30)
    said = override_of(decided, reason="wave", ticket="T-1", by="ann", signed_at=late)

    use(said, now=late, policies=[], max_age=timedelta(days=7))
    for asked in ({"model": "loans"}, {"alias": "other"}, {"version": 8}, {"environment": "production"}):
        refused(EvidenceError, said, now=late, **asked)
    assert "the override is of a decision" in refused(ConflictError, said, now=late, incumbent=5)
    assert "sign anew" in refused(ConflictError, said, now=late + timedelta(hours=1))
    assert "older than" in refused(ConflictError, said, now=late + timedelta(minutes=2), max_age=timedelta(minutes=2))
    refused(ConflictError, said, now=late - timedelta(minutes=6))


def test_a_rollback_is_good_for_its_own_move_alone() -> None:
    back = rollback(
        model="fraud", alias="champion", candidate=Subject(6, "b" * 64), incumbent=Subject(7, "a" * 64),
        signed_at=NOW, by="ann", environment="production",
    )  # fmt: skip
    asked = {"version": 6, "incumbent": 7, "environment": "production"}

    use(back, **asked, policies=[])
    refused(EvidenceError, back, **{**asked, "environment": None})
    refused(EvidenceError, back, **{**asked, "version": 5})
    assert "the rollback is from version 7" in refused(ConflictError, back, **{**asked, "incumbent": 8})
    refused(ConflictError, back, **asked, now=NOW + timedelta(hours=1))
