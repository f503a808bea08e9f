"""One recorded move of an alias: what was meant, and what became of it. Kept as a tag of the registered model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from gate.decisions import tags
from gate.decisions.canonical import canonical
from gate.decisions.statement import Kind
from gate.decisions.times import moment
from gate.errors import EvidenceError, UsageError

State = Literal["intent", "done", "abandoned"]


@dataclass(frozen=True)
class Move:
    """The ``number``-th move of ``alias``, from ``previous`` to ``version``; None is no alias.

    ``at`` is when the intent was written (UTC, to the second), ``by`` who did so; of a record only ``state`` changes
    later. ``signed_by`` is the id of the key and ``statement_digest`` the SHA-256 of the envelope; both are None where
    nothing was signed. ``digest`` and ``previous_digest`` are the SHA-256 of the files of both versions, None where
    that is not known.
    """

    number: int
    kind: Kind
    model: str
    alias: str
    previous: int | None
    version: int | None
    decision_id: str | None
    state: State
    at: str
    by: str
    reason: str | None = None
    ticket: str | None = None
    signed_by: str | None = None
    statement_digest: str | None = None
    digest: str | None = None
    previous_digest: str | None = None


def to_text(move: Move) -> str:
    """The move as canonical JSON without its last line feed; UsageError where it is too long for a tag.

    >>> at = "2026-01-01T00:00:00Z"
    >>> to_text(Move(1, Kind.DECISION, "fraud", "champion", 6, 7, None, "intent", at, "ann"))[:51]
    '{"alias":"champion","at":"2026-01-01T00:00:00Z","by'
    """
    text = canonical({**vars(move), "kind": move.kind.value}).decode("utf-8").rstrip("\n")
    if len(text) > tags.LONGEST_VALUE:
        raise UsageError(
            f"its record has {len(text):,} characters, and a tag of the registry takes {tags.LONGEST_VALUE:,}",
            where=f"move {move.number} of @{move.alias}",
            hint="give a shorter reason",
        )
    return text


def from_text(text: str, *, where: str) -> Move:
    """The move that :func:`to_text` wrote; EvidenceError for any other text."""
    try:
        (move,) = _adapter().validate_json(f"[{text}]")
        moment(move.at)
        same = to_text(move) == text and move.number > 0
    except (ValidationError, ValueError, UsageError):
        same = False
    if not same:
        raise EvidenceError("no record of a move as the gate writes it", where=where, hint="somebody else wrote it")
    return move


@cache
def _adapter() -> TypeAdapter[tuple[Move]]:
    return TypeAdapter(tuple[Move], config=ConfigDict(extra="forbid", strict=True))
