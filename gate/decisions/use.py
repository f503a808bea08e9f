"""Whether a statement is good for the move that is asked for, here and now. The one home of that question."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from gate.core.judgement import Verdict
from gate.decisions.statement import Kind, Statement
from gate.decisions.times import moment, stamp
from gate.errors import ConflictError, EvidenceError, ExitCode, GateError

SKEW = timedelta(minutes=5)
"""How far the clock of whoever judged or signed may be ahead of ours."""

_AGAIN = "judge again with gate check"


class NotAllowed(GateError):
    """The decision does not allow what is asked; the exit code is that of its verdict."""

    def __init__(self, verdict: Verdict, found: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(found, where=where, hint=hint)
        self.exit_code: ExitCode = verdict.exit_code


def check_use(
    statement: Statement,
    *,
    model: str,
    alias: str,
    version: int,
    environment: str | None,
    incumbent: int | None,
    now: datetime,
    policies: Collection[str] | None = None,
    max_age: timedelta | None = None,
    where: str,
) -> None:
    """Return if ``statement`` is good for setting ``alias`` of ``model`` to ``version`` now; raise if not.

    ``incumbent`` is the version that the alias is at now (None: there is no such alias). ``environment`` must be the
    statement's own; None is the environment of a decision that was made for none. ``policies`` are the digests of
    policies by which a decision may have been judged (None: any; a person's override or rollback rests on none), and
    ``max_age`` is what we grant at most, from the writing of the decision, or from the signature of a person.

    In this order: EvidenceError for a statement about another model, alias, version or environment, which is a replay,
    and for a policy that does not count; :class:`NotAllowed` for a decision whose verdict is not allow; ConflictError
    for one from the future, too old or expired (at ``expires_at`` it is), or about another incumbent.

    Example::

        check_use(statement, model="fraud", alias="champion", version=7, environment=None, incumbent=6,
                  now=datetime.now(timezone.utc), where="signed.json")
    """
    _same("model", statement.model, model, where)
    _same("alias", statement.alias, alias, where)
    _same("version", statement.candidate.version, version, where)
    _same("environment", statement.environment, environment, where)
    if statement.kind is Kind.DECISION:
        if policies is not None and statement.policy_digest not in policies:
            raise EvidenceError(
                f"judged by the policy {str(statement.policy_digest)[:16]}, which does not count here",
                where=where,
                hint=f"{_AGAIN} by one of the accepted policies, or have this one accepted",
            )
        verdict = statement.verdict or Verdict.ERROR
        if verdict is not Verdict.ALLOW:
            raise NotAllowed(
                verdict,
                f"the verdict is {verdict.value}, and only allow is promoted",
                where=where,
                hint="the report says why; mend the candidate, or gather more rows, and check again",
            )
    check_time(statement, now=now, max_age=max_age, where=where)
    stands = statement.incumbent.version if statement.incumbent else None
    if incumbent != stands:
        raise ConflictError(
            f"@{alias} is {_version(incumbent)} now; {_BASIS[statement.kind]} {_version(stands)}",
            where=where,
            hint=_AGAIN_FOR[statement.kind],
        )


def check_time(statement: Statement, *, now: datetime, max_age: timedelta | None = None, where: str) -> None:
    """Return if ``statement`` is of a time that is good now; ConflictError if not. A part of :func:`check_use`."""
    hint = _AGAIN if statement.kind is Kind.DECISION else "sign anew"
    created, signed = moment(statement.created_at), moment(statement.signed_at)
    if max(created, signed) > now + SKEW:
        raise ConflictError(
            f"of {stamp(max(created, signed))}, and here it is {stamp(now)}",
            where=where,
            hint="set the clocks right, and sign again",
        )
    if now >= moment(statement.expires_at):
        raise ConflictError(f"expired at {statement.expires_at}", where=where, hint=hint)
    since = created if statement.kind is Kind.DECISION else signed
    if max_age is not None and now - since >= max_age:
        raise ConflictError(f"of {stamp(since)}, older than {max_age}", where=where, hint=hint)


_BASIS = {
    Kind.DECISION: "the decision compared with",
    Kind.OVERRIDE: "the override is of a decision that compared with",
    Kind.ROLLBACK: "the rollback is from",
}
_AGAIN_FOR = {
    Kind.DECISION: f"{_AGAIN}, against the version that it is now",
    Kind.OVERRIDE: f"{_AGAIN}, against the version that it is now, and override that",
    Kind.ROLLBACK: "look at gate audit, and roll back from where it is now",
}


def _same(what: str, signed: object, asked: object, where: str) -> None:
    if signed != asked:
        raise EvidenceError(
            f"signed for {what} {_quoted(signed)}, and this is {_quoted(asked)}", where=where, hint=_FOR[what]
        )


_FOR = {
    "model": f"a decision is good for one model: {_AGAIN}",
    "alias": f"a decision is good for one alias, that of the policy's promotion: {_AGAIN}",
    "version": f"a decision is good for one version: {_AGAIN}",
    "environment": "a decision is good for the environment that it was made for: gate check --env NAME",
}


def _quoted(value: object) -> str:
    return "none" if value is None else repr(value)


def _version(number: int | None) -> str:
    return "no version" if number is None else f"version {number}"
