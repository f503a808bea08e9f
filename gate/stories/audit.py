"""The story of `gate audit`: read what is recorded -> lay it end to end -> tell what no record explains.

Two witnesses: the records that promoters keep in the registry's tags, and the journal of an enforcing store where its
database can be read. A move that neither has shows as a gap: the alias was not where the move before it had left it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise

from gate.decisions import tags as names
from gate.decisions.envelope import verify
from gate.decisions.keys import PublicKey, read_public
from gate.decisions.moves import Move
from gate.decisions.statement import Kind
from gate.errors import EvidenceError, ExitCode, UsageError, did_you_mean
from gate.registry.journal import Attempt
from gate.registry.moves import History, read_history
from gate.registry.registry import Registry
from gate.stories.counting import Progress, nothing
from gate.stories.move import version

CALLED = {Kind.DECISION.value: "promotion", Kind.OVERRIDE.value: "override", Kind.ROLLBACK.value: "rollback"}


@dataclass(frozen=True)
class Event:
    """One move of the alias, from ``before`` to ``after`` (None: no such alias), and what it rests on.

    ``at`` is when the enforcing server moved it, where its journal can be read, or what the record says. ``kind`` is
    promotion, override or rollback, None where nobody says. ``number`` is that of the record, None where only the
    journal knows it. ``by`` is whom the record names, ``actor`` whom the enforcing server saw (``-``: it did not know).
    ``unfinished`` says that whoever made it did not live to record its outcome; ``made`` whether the alias moved all
    the same.
    """

    at: str
    kind: str | None
    before: int | None
    after: int | None
    number: int | None = None
    decision_id: str | None = None
    by: str | None = None
    actor: str | None = None
    reason: str | None = None
    ticket: str | None = None
    signed_by: str | None = None
    statement_digest: str | None = None
    unfinished: bool = False
    made: bool = True


@dataclass(frozen=True)
class Unexplained:
    """Something that no decision stands behind. ``at`` is when it was seen first, None for how it is now."""

    found: str
    at: str | None = None


@dataclass(frozen=True)
class Audit:
    """What became of an alias. ``stands`` is the version that it is now, None for none.

    ``events`` are oldest first. ``refused`` are the attempts that an enforcing store refused; ``journal`` says whether
    its journal could be read.
    """

    registry: str
    model: str
    alias: str
    stands: int | None
    since: str | None
    journal: bool
    events: tuple[Event, ...]
    unexplained: tuple[Unexplained, ...]
    refused: tuple[Attempt, ...]

    @property
    def overrides(self) -> tuple[Event, ...]:
        """The moves against the gate's verdict."""
        return tuple(event for event in self.events if event.kind == CALLED[Kind.OVERRIDE.value])

    @property
    def unfinished(self) -> tuple[Event, ...]:
        """The moves whose outcome nobody recorded."""
        return tuple(event for event in self.events if event.unfinished)

    @property
    def exit_code(self) -> ExitCode:
        """Evidence missing, where anything is unexplained."""
        return ExitCode.EVIDENCE if self.unexplained else ExitCode.ALLOW


def audit(
    model: str,
    *,
    alias: str = "champion",
    since: str | None = None,
    keys: Sequence[str | os.PathLike[str]] = (),
    registry_uri: str | None = None,
    tracking_uri: str | None = None,
    progress: Progress = nothing,
) -> Audit:
    """Every move of ``alias`` with the decision behind it, and what has none.

    ``since`` is a day (YYYY-MM-DD, UTC): what is older is left out, but how the alias stands now is always told.
    Records in tags are as honest as whoever may write tags; with public ``keys`` the version in use must carry a
    statement that one of them signed. EvidenceError for a model or alias that is not there.

    Example::

        found = audit("fraud", since="2026-11-01")
        print(found.exit_code, [event.after for event in found.events])
    """
    publics = [read_public(key) for key in keys]
    start = None if since is None else f"{_day(since)}T00:00:00Z"
    progress("reading the registry", 0, None)
    registry = Registry.connect(registry_uri, tracking_uri)
    standing = registry.standing(model)
    stands = standing.aliases.get(alias)
    history = read_history(standing.tags, alias)
    journal = registry.journal(model, alias)
    attempts = journal or ()
    if stands is None and not history.moves and not history.broken and not attempts:
        raise EvidenceError(
            f"no alias {alias!r}{did_you_mean(alias, standing.aliases)}", where=f"models:/{model}", hint="--alias NAME"
        )
    events, past = _merged(_of_records(history, stands), attempts)
    made = [event for event in events if event.made]
    unexplained = [
        *(Unexplained(f"{problem.where}: {problem.found}; {problem.hint}") for problem in history.broken),
        *past,
        *_gaps(made, alias),
        *_now(registry, made[-1] if made else None, model, alias, stands, publics),
    ]
    return Audit(
        registry=registry.uri,
        model=model,
        alias=alias,
        stands=stands,
        since=since,
        journal=journal is not None,
        events=tuple(event for event in events if start is None or event.at >= start),
        unexplained=tuple(one for one in unexplained if start is None or one.at is None or one.at >= start),
        refused=tuple(one for one in attempts if not one.allowed and (start is None or one.at >= start)),
    )


def _day(since: str) -> str:
    try:
        return date.fromisoformat(since).isoformat()
    except ValueError:
        raise UsageError(f"not a day: {since!r}", where="--since", hint="write it as 2026-12-31 (UTC)") from None


# the witnesses


def _of_records(history: History, stands: int | None) -> list[Event]:
    """The recorded moves. An intent counts as made if the alias is at its version, or was when the next one began."""
    told = history.settled(stands).moves
    events = []
    for place, (was, move) in enumerate(zip(history.moves, told, strict=True)):
        following = next((later for later in told[place + 1 :] if later.state != "abandoned"), None)
        if was.state == "abandoned":
            continue
        made = move.state == "done" or (
            move.state == "intent" and following is not None and following.previous == move.version
        )
        events.append(_event(move, unfinished=was.state == "intent", made=made))
    return events


def _event(move: Move, *, unfinished: bool, made: bool) -> Event:
    return Event(
        at=move.at,
        kind=CALLED[move.kind.value],
        before=move.previous,
        after=move.version,
        number=move.number,
        decision_id=move.decision_id,
        by=move.by,
        reason=move.reason,
        ticket=move.ticket,
        signed_by=move.signed_by,
        statement_digest=move.statement_digest,
        unfinished=unfinished,
        made=made,
    )


def _merged(recorded: list[Event], attempts: Sequence[Attempt]) -> tuple[list[Event], list[Unexplained]]:
    """The moves of both witnesses in one line, each once; and what one of them should know and does not."""
    seen = [attempt for attempt in attempts if attempt.moved]
    if not attempts:
        return recorded, []
    unexplained = []
    rest = list(recorded)
    events: list[Event] = []
    for attempt in seen:
        mate = next((event for event in rest if event.made and _same(event, attempt)), None)
        if mate is not None:
            rest.remove(mate)
            events.append(replace(mate, at=attempt.at, actor=attempt.actor))
            continue
        events.append(
            Event(
                at=attempt.at,
                kind=CALLED.get(attempt.kind or ""),
                before=attempt.before,
                after=attempt.after,
                decision_id=attempt.decision_id,
                actor=attempt.actor,
                reason=attempt.reason,
                signed_by=attempt.signed_by,
                statement_digest=attempt.statement_digest,
            )
        )
        if attempt.kind is None:
            found = f"{_went(attempt.before, attempt.after)} by {attempt.action}, and no decision is named"
            unexplained.append(Unexplained(found, attempt.at))
    for event in rest:
        if event.made and event.at >= attempts[0].at:
            found = f"{_went(event.before, event.after)} is recorded, and the enforcing server did not see it"
            unexplained.append(Unexplained(found, event.at))
        place = next((place for place, other in enumerate(events) if other.at > event.at), len(events))
        events.insert(place, event)
    return events, unexplained


def _same(event: Event, attempt: Attempt) -> bool:
    return (event.before, event.after, event.statement_digest, event.decision_id) == (
        attempt.before,
        attempt.after,
        attempt.statement_digest,
        attempt.decision_id,
    )


# what does not fit


def _gaps(made: Sequence[Event], alias: str) -> Iterator[Unexplained]:
    for earlier, later in pairwise(made):
        if earlier.after != later.before:
            found = (
                f"{_went(earlier.after, later.before)} between {earlier.at} and {later.at}, and nothing is recorded:"
                f" @{alias} was moved past the gate"
            )
            yield Unexplained(found, later.at)


def _now(
    registry: Registry,
    last: Event | None,
    model: str,
    alias: str,
    stands: int | None,
    keys: Sequence[PublicKey],
) -> Iterator[Unexplained]:
    if last is None:
        if stands is not None:
            yield Unexplained(f"@{alias} is {version(stands)}, and no move of it is recorded")
        return
    if stands != last.after:
        yield Unexplained(
            f"@{alias} is {version(stands)}, and the last recorded move, of {last.at}, left it at"
            f" {version(last.after)}: it was moved past the gate since"
        )
        return
    if stands is None:
        return
    found = registry.version_tags(model, stands)
    if names.VERDICT not in found:
        yield Unexplained(f"{version(stands)} is @{alias} and carries no verdict: its tag {names.VERDICT} is gone")
    if keys:
        flaw = _unsigned(found.get(names.attestation(alias)), last, model, alias, keys)
        if flaw is not None:
            yield Unexplained(f"{version(stands)} is @{alias}, and {flaw}")


def _unsigned(text: str | None, last: Event, model: str, alias: str, keys: Sequence[PublicKey]) -> str | None:
    """Why the version in use is there on nobody's signed word; None if it is."""
    if text is None:
        return "carries no signed statement"
    content = text.encode("utf-8")
    try:
        statement = verify(content, keys, where=names.attestation(alias))
    except EvidenceError as error:
        return f"its statement does not count: {error.problems[0].found}"
    if (statement.model, statement.alias, statement.candidate.version) != (model, alias, last.after):
        return "its statement is about another move"
    if last.statement_digest not in (None, hashlib.sha256(content).hexdigest()):
        return "its statement is not the one that it was moved by"
    return None


def _went(before: int | None, after: int | None) -> str:
    return f"{version(before)} to {version(after)}"
