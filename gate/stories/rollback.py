"""The story of `gate rollback`: find the last recorded move -> check the version before it -> put that back -> record.

It goes back one recorded move, and never forward: a rollback of a rollback would be a promotion, which takes a verdict.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from gate.decisions import tags as names
from gate.decisions.envelope import is_envelope, sign
from gate.decisions.keys import read_private
from gate.decisions.moves import Move
from gate.decisions.statement import Kind, Subject
from gate.decisions.statement import rollback as statement_of
from gate.errors import ConflictError, EvidenceError, Problem, did_you_mean
from gate.registry.moves import History
from gate.registry.refusal import Refused
from gate.registry.registry import Registry, Standing
from gate.stories.counting import Progress, nothing
from gate.stories.move import Remark, Wanted, carry_out, person, recorded, require_files, silence, version


@dataclass(frozen=True)
class Rollback:
    """What a rollback did: ``alias`` of ``model`` is ``version`` again, and ``left`` is what it was.

    ``number`` is that of the recorded move, ``signed_by`` the id of the key that signed it, None where none did.
    """

    model: str
    alias: str
    version: int
    left: int | None
    number: int
    signed_by: str | None = None


def rollback(
    model: str,
    *,
    alias: str = "champion",
    registry_uri: str | None = None,
    tracking_uri: str | None = None,
    environment: str | None = None,
    reason: str | None = None,
    ticket: str | None = None,
    sign_with: str | os.PathLike[str] | None = None,
    by: str | None = None,
    now: datetime | None = None,
    progress: Progress = nothing,
    remark: Remark = silence,
) -> Rollback:
    """Put the version back that ``alias`` of ``model`` was before its last recorded move, and record that too.

    The files of that version must be those that were judged, where that is known; nothing else is asked of it, and no
    verdict. ``sign_with`` is a private key, which a registry that enforces decisions asks for; ``environment`` is the
    one that it protects the alias for, that of the last signed decision if None. ``by`` is who it is, the user of this
    process if None.

    EvidenceError where nothing is recorded, where there was no version before, and for files that changed;
    ConflictError where the alias is not where the last recorded move left it, where that was a rollback, and where
    somebody else is moving the alias. A rollback that was killed goes on where it was.

    Example::

        done = rollback("fraud", reason="wrong answers for new customers", ticket="INC-7")
        print(done.version, done.left)
    """
    where = f"models:/{model}@{alias}"
    at = now or datetime.now(timezone.utc)
    key = None if sign_with is None else read_private(sign_with)
    progress("reading the registry", 0, None)
    registry = Registry.connect(registry_uri, tracking_uri)
    standing = registry.standing(model)
    history = recorded(standing, model, alias)
    registry.sweep(model, alias)
    last = _last(history, standing, model, alias, where)
    finishing = last.kind is Kind.ROLLBACK and last not in history.moves
    back, left = (last.version, last.previous) if finishing else (last.previous, last.version)
    if back is None:
        raise EvidenceError(
            f"version {left} was the first that the gate put there, and there was none before it",
            where=where,
            hint="judge another version with gate check and promote it, or take the alias away in MLflow",
        )
    known, known_left = last.previous_digest, last.digest
    if finishing:
        known, known_left = known_left, known

    progress("checking the files of the version to go back to", 0, None)
    digest = require_files(registry, f"models:/{model}/{back}", known, "previous")
    if known is None:
        remark(f"no digest of version {back} is recorded: its files may have changed since it was used", False)
    incumbent = None
    if left is not None:
        # the version that is left may be broken, or gone: its files are read only if nobody knows what they were
        incumbent = Subject(left, known_left or require_files(registry, f"models:/{model}/{left}", None, "current"))
    statement = statement_of(
        model=model,
        alias=alias,
        candidate=Subject(back, digest),
        incumbent=incumbent,
        signed_at=at,
        by=by or person(),
        reason=reason,
        ticket=ticket,
        environment=environment or _environment(registry, model, alias, left),
        registry=registry.uri,
        decision_id=_decision(history, back),
    )
    if key is None:
        remark("the rollback is not signed: a registry that enforces decisions asks for --sign-with KEY", False)
    wanted = Wanted(
        statement,
        by or person(),
        None if key is None else sign(statement, key),
        None if key is None else key.keyid,
    )
    try:
        move = carry_out(registry, wanted, where=where, now=now, progress=progress).move
    except Refused as error:
        if key is not None:
            raise
        unsigned = Problem("it is not signed", where, "name the private key of whoever may: --sign-with KEY")
        raise Refused(problems=[*error.problems, unsigned]) from None
    return Rollback(model, alias, back, left, move.number, move.signed_by)


def _last(history: History, standing: Standing, model: str, alias: str, where: str) -> Move:
    """The last move that was made, by where the alias is; an error where there is none to go back from."""
    stands = standing.aliases.get(alias)
    last = history.settled(stands).last
    if last is None and stands is None:
        raise EvidenceError(
            f"no alias {alias!r}{did_you_mean(alias, standing.aliases)}", where=f"models:/{model}", hint="--alias NAME"
        )
    if last is None:
        raise EvidenceError(
            f"no move of @{alias} is recorded, so nobody knows what it was before",
            where=where,
            hint="judge the version to go back to with gate check, and promote it; gate promote records what it moves",
        )
    if stands != last.version:
        told = "an unfinished one to" if last.state == "intent" else "the last one left it at"
        raise ConflictError(
            f"@{alias} is {version(stands)}, and of the recorded moves {told} {version(last.version)}:"
            " somebody moved it past the gate",
            where=where,
            hint=f"gate audit {model} shows the moves; judge the version to go back to with gate check, and promote it",
        )
    if last.kind is Kind.ROLLBACK and last in history.moves:
        raise ConflictError(
            f"@{alias} was rolled back to {version(last.version)} at {last.at} already, from {version(last.previous)}",
            where=where,
            hint="to go forward, or further back, is a promotion: judge that version with gate check",
        )
    return last


def _decision(history: History, back: int) -> str | None:
    """The decision by which the version to go back to had come."""
    found = [move for move in history.moves if move.version == back and move.state == "done"]
    return found[-1].decision_id if found else None


def _environment(registry: Registry, model: str, alias: str, left: int | None) -> str | None:
    """The environment that the version now in use was promoted for, as its attestation says; None where none says so.

    Nobody has verified it. If it is wrong, a registry that asks for another environment refuses the rollback.
    """
    if left is None:
        return None
    content = registry.version_tags(model, left).get(names.attestation(alias), "").encode("utf-8")
    if not is_envelope(content):
        return None
    try:
        predicate: Any = json.loads(b64decode(json.loads(content)["payload"]))["predicate"]
        found = predicate["environment"]
    except (ValueError, TypeError, KeyError):
        return None
    return found if isinstance(found, str) else None
