"""What is signed: which version may take which alias, on whose word and on what evidence, and until when.

A statement is about one model name, one alias, one environment and two versions. It says nothing of held-out rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta, timezone
from enum import Enum

from gate.core.judgement import Verdict
from gate.core.judgement import verdict as follows_from
from gate.decisions import tags as names
from gate.decisions.canonical import canonical, to_bytes
from gate.decisions.record import Decision, ModelRow
from gate.decisions.summary import harmless, of_verdict, short
from gate.decisions.times import moment, stamp
from gate.errors import EvidenceError, UsageError

BY_HAND = timedelta(hours=1)
"""How long an override and a rollback are good for: what a person takes upon themselves is meant for now."""

_LONGEST_REASON = 500
_LONGEST_NAME = 100
_LONGEST_FILES = 1000


class Kind(str, Enum):
    """On whose word an alias moves: the gate's, a person's against the gate, or a person's who goes back."""

    DECISION = "decision"
    OVERRIDE = "override"
    ROLLBACK = "rollback"


@dataclass(frozen=True)
class Subject:
    """A version of the model, and the SHA-256 of its files."""

    version: int
    digest: str


@dataclass(frozen=True)
class Statement:
    """What is signed.

    ``candidate`` is the version that the alias is to be, ``incumbent`` the one that it must be now (None: that there
    is no such alias). ``verdict``, ``decision_id`` and ``decision_digest`` (SHA-256 of the decision's bytes, its time
    of writing included) are those of the decision; a rollback has no verdict. ``files`` are golden sets and exclusions
    with the digests of their content. Times are UTC, to the second: ``created_at`` is when the decision was written,
    ``expires_at`` the first second at which the statement is good no more. ``reason``, ``ticket`` and ``by`` are a
    person's, where one decided.
    """

    kind: Kind
    verdict: Verdict | None
    decision_id: str | None
    decision_digest: str | None
    registry: str | None
    model: str
    alias: str
    keep_previous_as: str | None
    environment: str | None
    candidate: Subject
    incumbent: Subject | None
    holdout_digest: str | None
    policy_digest: str | None
    created_at: str
    signed_at: str
    expires_at: str
    summary: str
    files: Mapping[str, str] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    run_id: str | None = None
    reason: str | None = None
    ticket: str | None = None
    by: str | None = None


def of_decision(
    decision: Decision, *, signed_at: datetime, max_age: timedelta, run_id: str | None = None, where: str = "decision"
) -> Statement:
    """What a decision of any verdict says, good for ``max_age`` from when it was written.

    Good for less where it rests on a waiver: the end of the last day of the first one that ends. ``run_id`` is the
    MLflow run that holds the evidence. EvidenceError for a decision that can move no alias whatever its verdict (no
    registered model, alias or digests), and for one whose verdict does not follow from its findings.

    Example::

        decision = read_decision("decision.json")
        of_decision(decision, signed_at=datetime.now(timezone.utc), max_age=timedelta(days=7)).summary
    """
    candidate, incumbent = decision.provenance.candidate, decision.provenance.incumbent
    target, verdict = decision.target, decision.verdict
    if verdict is not follows_from(decision.findings) or decision.exit_code != int(verdict.exit_code):
        raise EvidenceError(
            f"its verdict {verdict.value} does not follow from its findings",
            where=where,
            hint="judge again with gate check; no gate wrote this",
        )
    because = decision.promotable.because
    if verdict is Verdict.ALLOW and not decision.promotable.value:
        raise _not_promotable(because or "it says so itself", where)
    if target.model is None or target.alias is None:
        raise _not_promotable(because or "it names no registered model and alias", where)
    subjects = [_subject(row, role, target.model, where) for role, row in _models(candidate, incumbent)]
    try:
        written = moment(decision.created_at)
        expires = min([written + max_age, *(_end_of(row.expires) for row in decision.waivers if row.needed)])
    except (ValueError, OverflowError) as error:
        raise EvidenceError(f"a time in it is none: {error}", where=where) from None
    return Statement(
        kind=Kind.DECISION,
        verdict=verdict,
        decision_id=decision.decision_id,
        decision_digest=hashlib.sha256(to_bytes(decision)).hexdigest(),
        registry=target.registry,
        model=target.model,
        alias=target.alias,
        keep_previous_as=target.keep_previous_as,
        environment=target.environment,
        candidate=subjects[0],
        incumbent=subjects[1] if incumbent else None,
        holdout_digest=decision.provenance.holdout.digest,
        policy_digest=decision.policy.digest,
        created_at=stamp(written),
        signed_at=stamp(signed_at),
        expires_at=stamp(expires),
        summary=of_verdict(decision, new=candidate.version, old=incumbent.version if incumbent else None),
        files=short_files(decision.provenance.files),
        tools=dict(decision.provenance.tools),
        run_id=run_id,
    )


def override_of(statement: Statement, *, reason: str, ticket: str, by: str, signed_at: datetime) -> Statement:
    """The same move on a person's word, whatever the verdict: good for an hour from ``signed_at``.

    UsageError for a reason, ticket or name that is empty or too long.

    Example::

        said = override_of(statement, reason="Fraud wave.", ticket="INC-7", by="ann", signed_at=now)
    """
    told = _told("--reason", reason, _LONGEST_REASON)
    return replace(
        statement,
        kind=Kind.OVERRIDE,
        signed_at=stamp(signed_at),
        expires_at=stamp(signed_at + BY_HAND),
        reason=told,
        ticket=_told("--ticket", ticket, _LONGEST_NAME),
        by=_told("the user's name", by, _LONGEST_NAME),
        summary=short(f"OVERRIDE of the verdict {_verdict(statement)}: {_move(statement)}: {told}"),
    )


def rollback(
    *,
    model: str,
    alias: str,
    candidate: Subject,
    incumbent: Subject | None,
    signed_at: datetime,
    by: str,
    reason: str | None = None,
    ticket: str | None = None,
    environment: str | None = None,
    registry: str | None = None,
    keep_previous_as: str | None = None,
    decision_id: str | None = None,
) -> Statement:
    """Back from ``incumbent`` to ``candidate``, the version that the alias was before; good for an hour.

    It rests on no verdict. UsageError for a reason, ticket or name that is empty or too long.

    >>> at = datetime(2026, 1, 1, tzinfo=timezone.utc)
    >>> good, bad = Subject(6, "0" * 64), Subject(7, "1" * 64)
    >>> rollback(model="fraud", alias="champion", candidate=good, incumbent=bad, signed_at=at, by="ann").summary
    'Rollback: @champion of fraud from version 7 to version 6'
    """
    at = stamp(signed_at)
    back = Statement(
        kind=Kind.ROLLBACK,
        verdict=None,
        decision_id=decision_id,
        decision_digest=None,
        registry=registry,
        model=model,
        alias=alias,
        keep_previous_as=keep_previous_as,
        environment=environment,
        candidate=candidate,
        incumbent=incumbent,
        holdout_digest=None,
        policy_digest=None,
        created_at=at,
        signed_at=at,
        expires_at=stamp(signed_at + BY_HAND),
        summary="",
        reason=None if reason is None else _told("--reason", reason, _LONGEST_REASON),
        ticket=None if ticket is None else _told("--ticket", ticket, _LONGEST_NAME),
        by=_told("the user's name", by, _LONGEST_NAME),
    )
    return replace(back, summary=short(f"Rollback: {_move(back)}" + (f": {back.reason}" if back.reason else "")))


def tags(statement: Statement) -> dict[str, str]:
    """The tags that describe the statement on the version that it is about.

    They follow from it alone, so that whoever holds it can tell true tags from forged ones.

    Example::

        {"gate.verdict": "allow", "gate.decision_id": "9d78...", "gate.summary": "Allowed: version 7 ..."}
    """
    verdict = _verdict(statement) if statement.kind is Kind.DECISION else statement.kind.value
    found = {
        names.VERDICT: verdict,
        names.DECISION_ID: statement.decision_id,
        names.SUMMARY: statement.summary,
        names.RUN_ID: statement.run_id,
    }
    return {name: value for name, value in found.items() if value is not None}


def short_files(files: Mapping[str, str]) -> Mapping[str, str]:
    """The files with their digests; where there are too many to be kept in a tag, one digest over them all.

    >>> list(short_files({"golden.csv": "0" * 64}))
    ['golden.csv']
    >>> list(short_files({f"golden-{i}.csv": "0" * 64 for i in range(30)}))
    ['all 30 files']
    """
    plain = dict(files)
    together = canonical(plain)
    if len(together) <= _LONGEST_FILES:
        return plain
    return {f"all {len(plain)} files": hashlib.sha256(together).hexdigest()}


def _verdict(statement: Statement) -> str:
    return "none" if statement.verdict is None else statement.verdict.value


def _move(statement: Statement) -> str:
    at = "no version" if statement.incumbent is None else f"version {statement.incumbent.version}"
    return f"@{statement.alias} of {statement.model} from {at} to version {statement.candidate.version}"


# of a decision


def _models(candidate: ModelRow, incumbent: ModelRow | None) -> list[tuple[str, ModelRow]]:
    return [("candidate", candidate), *([("incumbent", incumbent)] if incumbent else [])]


def _subject(row: ModelRow, role: str, model: str, where: str) -> Subject:
    if row.name != model or row.version is None:
        raise _not_promotable(f"the {role} {row.uri} is no version of {model}", where)
    if row.digest is None:
        raise _not_promotable(f"there is no digest of the {role}'s files", where)
    return Subject(row.version, row.digest)


def _not_promotable(because: str, where: str) -> EvidenceError:
    return EvidenceError(
        f"not promotable: {because}",
        where=where,
        hint="check a version of a registered model against the alias's version, with a promotion in the policy",
    )


def _end_of(day: str) -> datetime:
    return datetime.combine(date.fromisoformat(day), time(), timezone.utc) + timedelta(days=1)


def _told(where: str, text: str, longest: int) -> str:
    plain = harmless(" ".join(text.split()))
    if not plain or len(plain) > longest:
        found = f"{len(plain)} characters, and {longest} is the most" if plain else "empty"
        raise UsageError(found, where=where, hint="say it in a sentence: it is what an audit shows")
    return plain
