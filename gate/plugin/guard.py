"""May this alias move? Decided from what the registry knows and what was signed, and not from what anybody claims."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from gate.decisions import tags
from gate.decisions.envelope import signer, verify
from gate.decisions.keys import PublicKey
from gate.decisions.statement import Kind, Statement, Subject
from gate.decisions.times import moment
from gate.decisions.use import check_use
from gate.errors import ConflictError, EvidenceError
from gate.plugin.enforcement import Rule
from gate.plugin.journal import Attempt

PROMOTE = "gate check, gate sign, and gate promote FILE"


@dataclass(frozen=True)
class Standing:
    """How things stand with one version and one alias, as the registry itself knows.

    ``at`` is the version that the alias is at, ``attestation`` the envelope on the version that it is to be. ``last``
    is the move by which the alias came to where it is, ``used`` the one that this very envelope was good for, ``came``
    the newest one by which the alias came to ``version``; each is None where there was none.
    """

    model: str
    alias: str
    version: int
    at: int | None
    attestation: str | None
    last: Attempt | None = None
    used: Attempt | None = None
    came: Attempt | None = None


@dataclass(frozen=True)
class Grounds:
    """What a move stands on: the statement, the id of the key that signed it, the SHA-256 of its envelope."""

    statement: Statement
    signed_by: str
    digest: str


def digest_of(envelope: str) -> str:
    """The SHA-256 of an envelope's text."""
    return hashlib.sha256(envelope.encode("utf-8", "surrogatepass")).hexdigest()


def believed(rules: Sequence[Rule], envelope: str, *, where: str) -> Grounds:
    """What an envelope says, if it is believed by every one of the rules (at least one).

    Decisions count with a signature of ``keys``, overrides with one of ``override_keys``, rollbacks with either;
    EvidenceError for any other, and for whatever is not an envelope of the gate.
    """
    content = envelope.encode("utf-8", "surrogatepass")
    for rule in rules:
        statement = verify(content, rule.all_keys, where=where)
        key = signer(content, rule.all_keys, where=where)
        if key.keyid not in {each.keyid for each in _signers(rule, statement.kind)}:
            raise EvidenceError(
                f"{_an(statement.kind)} signed by {key.name}, which is not for that",
                where=where,
                hint="keys sign decisions, override_keys what a person decides; each kind counts with its own only",
            )
    return Grounds(statement, key.keyid, digest_of(envelope))


def check_subject(grounds: Grounds, rules: Sequence[Rule], *, model: str, alias: str, version: int, where: str) -> None:
    """Return if a believed statement is about this version, alias and environment; EvidenceError if not."""
    said = grounds.statement
    about = (said.model, said.alias, said.candidate.version)
    if about != (model, alias, version):
        raise EvidenceError(
            f"signed for @{about[1]} of {about[0]} at version {about[2]}",
            where=where,
            hint="a decision is good for one model, alias and version: judge this one with gate check",
        )
    for rule in rules:
        if said.environment != rule.environment:
            raise EvidenceError(
                f"signed for the environment {_named(said.environment)}, and this is {_named(rule.environment)}",
                where=where,
                hint="judge for it: gate check --env NAME",
            )


def grounds_to_move(rules: Sequence[Rule], standing: Standing, now: datetime) -> Grounds:
    """What allows the alias to go from where it is to the version; the files are still to be compared.

    EvidenceError where nothing signed stands behind it, or what does is about something else; ConflictError where it
    is stale: expired, used before, or the alias is elsewhere; NotAllowed for a decision that does not allow.
    """
    where = f"models:/{standing.model}/{standing.version}"
    if standing.attestation is None:
        raise EvidenceError(
            f"no signed decision stands behind it (the version has no tag {tags.ATTESTATION}{standing.alias})",
            where=where,
            hint=PROMOTE,
        )
    grounds = believed(rules, standing.attestation, where=where)
    statement = grounds.statement
    for rule in rules:
        check_use(
            statement,
            model=standing.model,
            alias=standing.alias,
            version=standing.version,
            environment=rule.environment,
            incumbent=standing.at,
            now=now,
            policies=rule.policies,
            max_age=rule.max_age,
            where=where,
        )
        if rule.registries is not None and statement.registry not in rule.registries:
            raise EvidenceError(
                f"signed for the registry {_named(statement.registry)}, which is not this one",
                where=where,
                hint="judge in this registry: gate check --registry-uri URI",
            )
    if standing.used is not None:
        raise ConflictError(
            f"this decision moved @{standing.alias} once already, at {standing.used.at}, and is good for one move",
            where=where,
            hint="judge again with gate check",
        )
    came = standing.came
    if statement.kind is Kind.DECISION and came is not None and moment(came.at) >= moment(statement.created_at):
        raise ConflictError(
            f"@{standing.alias} came to this version at {came.at}, after this was judged, and has left it since",
            where=where,
            hint="if it is to come back, judge again with gate check",
        )
    if statement.kind is Kind.ROLLBACK:
        _check_way_back(standing, statement, where)
    return grounds


def check_files(statement: Statement, digest_of_version: Callable[[int], str]) -> None:
    """Return if the files are those that the statement is about; EvidenceError if they changed, or cannot be had.

    A decision compared two versions, and both must be as they were. Where a person decided, the files that are to be
    loaded from now on count alone: the version that is left may be damaged, and that may be why.
    """
    subjects: list[tuple[str, Subject]] = [("candidate", statement.candidate)]
    if statement.kind is Kind.DECISION and statement.incumbent is not None:
        subjects.append(("incumbent", statement.incumbent))
    for role, subject in subjects:
        found = digest_of_version(subject.version)
        if found != subject.digest:
            raise EvidenceError(
                f"its files are not those that were judged: SHA-256 {found[:16]} now, {subject.digest[:16]} signed",
                where=f"{role} models:/{statement.model}/{subject.version}",
                hint="find out who wrote to them; then judge again with gate check",
            )


def _check_way_back(standing: Standing, statement: Statement, where: str) -> None:
    last = standing.last
    if last is None or last.after != standing.at:
        raise EvidenceError(
            f"nothing is known of how @{standing.alias} came to where it is, so there is no way back",
            where=where,
            hint=PROMOTE,
        )
    if last.kind == Kind.ROLLBACK.value:
        raise EvidenceError(
            f"the last move of @{standing.alias} was a rollback, and one move is taken back, not two",
            where=where,
            hint=f"forward again, or further back: {PROMOTE}",
        )
    if last.before != standing.version:
        was = "no version" if last.before is None else f"version {last.before}"
        raise EvidenceError(
            f"a rollback goes back to where @{standing.alias} was before its last move, which is {was}",
            where=where,
            hint=f"for any other version: {PROMOTE}",
        )
    came = standing.came
    if came is not None and came.digest is not None and came.digest != statement.candidate.digest:
        raise EvidenceError(
            f"its files changed since @{standing.alias} came to it at {came.at}",
            where=where,
            hint="find out who wrote to them; then judge it with gate check",
        )


def _signers(rule: Rule, kind: Kind) -> tuple[PublicKey, ...]:
    return {Kind.DECISION: rule.keys, Kind.OVERRIDE: rule.override_keys, Kind.ROLLBACK: rule.all_keys}[kind]


def _an(kind: Kind) -> str:
    return f"an {kind.value}" if kind is Kind.OVERRIDE else f"a {kind.value}"


def _named(value: str | None) -> str:
    return "none" if value is None else repr(value)
