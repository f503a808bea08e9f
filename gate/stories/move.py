"""How an alias moves, whoever asks: the right to move it -> how it stands -> intent -> move -> read back -> outcome.

What is meant to happen is written down before it happens. So whoever dies on the way leaves a record of how far they
came, and the same command run again goes on from there.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from gate.decisions import tags as names
from gate.decisions.moves import Move, to_text
from gate.decisions.statement import Kind, Statement
from gate.decisions.statement import tags as described
from gate.decisions.times import moment, stamp
from gate.decisions.use import check_use
from gate.errors import ConflictError, EvidenceError, GateError
from gate.registry.manifest import model_digest
from gate.registry.moves import History, read_history
from gate.registry.refusal import Refused, RefusedAsStale
from gate.registry.registry import Registry, Standing
from gate.stories.counting import Progress
from gate.stories.log import describe

Remark = Callable[[str, bool], None]
"""Told what a person should know, and whether it is to be said loudly."""

_LONGEST_NAME = 100


def silence(text: str, loud: bool) -> None:
    """The remarks of a caller who does not want to hear them."""


@dataclass(frozen=True)
class Wanted:
    """A move that is asked for: what it rests on, and by whom it is asked.

    ``envelope`` is the statement as it was signed, by the key ``signed_by``; both are None where it was not.
    """

    statement: Statement
    by: str
    envelope: bytes | None = None
    signed_by: str | None = None

    @property
    def digest(self) -> str | None:
        """The SHA-256 of the envelope."""
        return None if self.envelope is None else hashlib.sha256(self.envelope).hexdigest()


@dataclass(frozen=True)
class Carried:
    """The move as it is recorded; ``already`` says that another run had done and recorded it."""

    move: Move
    already: bool


def carry_out(registry: Registry, wanted: Wanted, *, where: str, now: datetime | None, progress: Progress) -> Carried:
    """Move the alias as ``wanted``, and record it; go on with what an earlier run of the same began.

    ConflictError where somebody else is moving the alias, or moved it; EvidenceError where the statement is not good
    for this move, where the registry does not answer, and where it refuses.
    """
    asked = wanted.statement
    progress("waiting for the right to move the alias", 0, None)
    purpose = f"{asked.kind.value} {asked.decision_id or ''} to version {asked.candidate.version}"
    with registry.lease(asked.model, asked.alias, purpose=purpose, by=wanted.by) as held:
        standing = registry.standing(asked.model)
        history = recorded(standing, asked.model, asked.alias)
        stands = standing.aliases.get(asked.alias)
        settled = history.settled(stands)
        ours = _begun(history, wanted, stands, now)
        told = [now_ for was, now_ in zip(history.moves, settled.moves, strict=True) if was not in (now_, ours)]
        for move in told:
            if move.state == "done":
                _record(registry, move)
        last = settled.last
        if last is not None and last.state == "done" and stands == last.version == asked.candidate.version:
            return Carried(last, already=last in history.moves)
        moment_ = now or datetime.now(timezone.utc)
        check_use(
            asked,
            model=asked.model,
            alias=asked.alias,
            version=asked.candidate.version,
            environment=asked.environment,
            incumbent=stands,
            now=moment_,
            where=where,
        )
        unspent(asked, settled, where)

        progress("recording what is to be done", 0, None)
        _describe(registry, wanted)
        for move in told:
            if move.state == "abandoned":  # only now that our own statement is in the place of the one it rested on
                _record(registry, move)
        move = ours or _intent(wanted, settled.next_number, moment_)
        if move != ours:
            _record(registry, move)

        progress("moving the alias", 0, None)
        kept = asked.keep_previous_as if stands is not None else None
        try:
            if kept is not None and stands is not None and standing.aliases.get(kept) != stands:
                registry.set_alias(asked.model, kept, stands)
            held.check()
            latest = registry.alias_version(asked.model, asked.alias)
            if latest != stands:
                raise ConflictError(
                    f"@{asked.alias} was {version(stands)} a moment ago and is {version(latest)} now: somebody moves it"
                    " past the gate",
                    where=where,
                    hint=f"gate audit {asked.model} shows what is recorded; judge again with gate check",
                )
            registry.set_alias(asked.model, asked.alias, asked.candidate.version)
        except (Refused, RefusedAsStale):
            with suppress(GateError):  # the refusal is what is to be told
                _put_back(registry, standing, asked.model, kept)
                _record(registry, replace(move, state="abandoned"))
            raise
        found = registry.alias_version(asked.model, asked.alias)
        done = replace(move, state="done")
        _record(registry, done)
        if found != asked.candidate.version:
            raise ConflictError(
                f"@{asked.alias} was set to version {asked.candidate.version} and reads {version(found)}:"
                " somebody moved it meanwhile",
                where=where,
                hint=f"gate audit {asked.model} shows what is recorded; judge again with gate check",
            )
        return Carried(done, already=False)


def recorded(standing: Standing, model: str, alias: str) -> History:
    """The recorded moves of an alias; EvidenceError where a tag in their place is none."""
    history = read_history(standing.tags, alias)
    if history.broken:
        problems = [replace(problem, where=f"models:/{model}, {problem.where}") for problem in history.broken]
        raise EvidenceError(problems=problems)
    return history


def unspent(statement: Statement, history: History, where: str) -> None:
    """ConflictError where the gate's word was already kept: the version was the alias since, and is it no more."""
    if statement.kind is not Kind.DECISION:
        return
    for move in history.moves:
        promoted = move.state == "done" and move.version == statement.candidate.version
        if promoted and moment(move.at) >= moment(statement.created_at):
            raise ConflictError(
                f"version {move.version} {_CAME[move.kind]} at {move.at}, after this was judged, and @{move.alias} has"
                " left it since",
                where=where,
                hint="if it is to come back, judge again with gate check",
            )


_CAME = {
    Kind.DECISION: "was promoted",
    Kind.OVERRIDE: "was put there by an override",
    Kind.ROLLBACK: "was put back by a rollback",
}


def require_files(registry: Registry, uri: str, digest: str | None, role: str) -> str:
    """The SHA-256 of a version's files as they are now; EvidenceError where it is not ``digest`` (None: any)."""
    ref = registry.resolve(uri, model=None, role=role)
    with tempfile.TemporaryDirectory(prefix="gate-") as folder:
        found = model_digest(registry.download(ref, Path(folder) / role))
    if digest is not None and found != digest:
        raise EvidenceError(
            f"its files changed since they were judged: SHA-256 {found[:16]} now, {digest[:16]} then",
            where=f"{role} {uri}",
            hint="find out who wrote to it; judge again with gate check",
        )
    return found


def person() -> str:
    """Who runs this, and on which machine: what the record names where nobody is named."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # no name for this user here, as in some containers
        user = f"user {os.getuid()}"
    return f"{user}@{socket.gethostname()}"[:_LONGEST_NAME]


def version(number: int | None) -> str:
    """A version in words.

    >>> version(7), version(None)
    ('version 7', 'no version')
    """
    return "no version" if number is None else f"version {number}"


def _begun(history: History, wanted: Wanted, stands: int | None, now: datetime | None) -> Move | None:
    """The intent that an earlier run of the very same left behind before it moved the alias.

    Anybody who may write tags could have written one, and the record keeps its name and time. So it counts only in the
    name of whoever asks now, and of a time between the judgement and now; any other is given up for one of our own.
    """
    last = history.last
    if last is None or last.state != "intent" or stands != last.previous:
        return None
    at = moment(last.at)
    if not moment(wanted.statement.created_at) <= at <= (now or datetime.now(timezone.utc)):
        return None
    return last if last == replace(_intent(wanted, last.number), at=last.at) else None


def _intent(wanted: Wanted, number: int, now: datetime | None = None) -> Move:
    asked = wanted.statement
    return Move(
        number=number,
        kind=asked.kind,
        model=asked.model,
        alias=asked.alias,
        previous=asked.incumbent.version if asked.incumbent else None,
        version=asked.candidate.version,
        decision_id=asked.decision_id,
        state="intent",
        at=stamp(now or datetime.now(timezone.utc)),
        by=wanted.by,
        reason=asked.reason,
        ticket=asked.ticket,
        signed_by=wanted.signed_by,
        statement_digest=wanted.digest,
        digest=asked.candidate.digest,
        previous_digest=asked.incumbent.digest if asked.incumbent else None,
    )


def _record(registry: Registry, move: Move) -> None:
    registry.tag_model(move.model, names.move(move.alias, move.number), to_text(move))


def _describe(registry: Registry, wanted: Wanted) -> None:
    """The statement and what it says, on the version that is about to be the alias: in tags, and for its page.

    An enforcing registry lets the words on a version follow from its protected aliases alone; those of another alias
    are left out there, and its statement stands.
    """
    asked = wanted.statement
    telling = described(asked)
    there = registry.version_tags(asked.model, asked.candidate.version)
    attestation = names.attestation(asked.alias)
    if wanted.envelope is not None and there.get(attestation) != (text := wanted.envelope.decode("utf-8")):
        registry.tag_version(asked.model, asked.candidate.version, {attestation: text})
    missing = {name: value for name, value in telling.items() if there.get(name) != value}
    if missing:
        try:
            registry.tag_version(asked.model, asked.candidate.version, missing)
        except Refused:
            return
        describe(
            registry,
            model=asked.model,
            version=asked.candidate.version,
            verdict=telling[names.VERDICT],
            summary=asked.summary,
            decision_id=asked.decision_id,
            run_id=asked.run_id,
        )


def _put_back(registry: Registry, standing: Standing, model: str, kept: str | None) -> None:
    if kept is None:
        return
    before = standing.aliases.get(kept)
    if before is None:
        registry.delete_alias(model, kept)
    elif registry.alias_version(model, kept) != before:
        registry.set_alias(model, kept, before)
