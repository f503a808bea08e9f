"""The right to move an alias, held by one promoter at a time: Lamport's bakery over tags of the registered model.

MLflow has no compare-and-set, so nothing can be taken that another might take in the same moment. In the bakery nobody
takes anything: each claimant writes only a tag of its own, draws a number above all that it sees, and has the right if
no smaller number is there. The one with the smallest number always gets it; the others do not wait, but for another run
of what they do themselves. (L. Lamport, A new solution of Dijkstra's concurrent programming problem, CACM 17, 1974.)

Claims end by time, and those of processes that died on this machine are taken away. A process that slept through the
end of its claim finds out by :meth:`Lease.check`; between that and the write there is a moment in which it could not,
which only a registry that decides by itself can close.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Protocol

from gate.decisions import tags
from gate.decisions.times import stamp
from gate.errors import ConflictError, GateError
from gate.registry.claim import LARGEST_TICKET, LIFETIME, Claim, read_claim, this_host, this_process, told

_SAFE_SECONDS = LIFETIME.total_seconds() / 2  # a holder stops long before anybody else may think that its claim ended
_PATIENCE = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


class Board(Protocol):
    """Where claims hang: the tags of one registered model, read all in one look."""

    def read(self) -> Mapping[str, str]: ...

    def write(self, name: str, value: str) -> None: ...

    def remove(self, name: str) -> None: ...


@dataclass(frozen=True)
class Lease:
    """The right, as long as :meth:`check` does not say otherwise."""

    board: Board
    alias: str
    claim: Claim
    where: str
    taken: float

    def check(self) -> None:
        """:class:`~gate.errors.ConflictError` where the claim was taken away, or has been held for too long."""
        if time.monotonic() - self.taken > _SAFE_SECONDS:
            raise _lost(self.where)
        _others(self.board, self.alias, self.claim, self.where)


@contextmanager
def lease(
    board: Board, alias: str, *, purpose: str, by: str, where: str, patience: float = _PATIENCE
) -> Iterator[Lease]:
    """Hold the right to move ``alias`` inside; :class:`~gate.errors.ConflictError` where somebody else holds it.

    ``purpose`` says what is done: a second run of the same is waited for, ``patience`` seconds at most, after which
    its claim is taken to be left behind. ``by`` is told to others, ``where`` opens every message.

    Example::

        with lease(board, "champion", purpose="decision 3f2a", by="ann", where="models:/fraud@champion") as held:
            held.check()
    """
    pid, started = this_process()
    now = datetime.now(timezone.utc)
    mine = Claim(
        holder=secrets.token_hex(8),
        ticket=0,
        purpose=told(purpose),
        by=told(by),
        host=this_host(),
        pid=pid,
        started=started,
        since=stamp(now),
        until=stamp(now + LIFETIME),
    )
    tag = tags.claim(alias, mine.holder)
    taken = time.monotonic()
    try:
        board.write(tag, mine.to_text())
        last = max(_others(board, alias, mine, where), key=_turn, default=None)
        if last is not None and last.ticket >= LARGEST_TICKET:
            raise _held(last, alias, where)  # there is no number after it
        mine = replace(mine, ticket=1 + (last.ticket if last else 0))
        board.write(tag, mine.to_text())
        _wait(board, alias, mine, where, patience)
        yield Lease(board, alias, mine, where, taken)
    finally:
        with suppress(GateError):  # it ends by itself; what happened inside is what is to be told
            board.remove(tag)


def _wait(board: Board, alias: str, mine: Claim, where: str, patience: float) -> None:
    """Until no claim stands before ``mine``, or one does that is not to be waited for."""
    began = time.monotonic()
    pause = _FIRST_PAUSE
    while True:
        before = [claim for claim in _others(board, alias, mine, where) if _turn(claim) < _turn(mine)]
        if not before:
            return
        rivals = [claim for claim in before if claim.ticket and claim.purpose != mine.purpose]
        if rivals:
            raise _held(min(rivals, key=_turn), alias, where)
        if time.monotonic() - began > patience:
            if before[0].purpose != mine.purpose:
                raise _held(before[0], alias, where)  # it never shows its number, which may be below ours
            board.remove(tags.claim(alias, before[0].holder))
        time.sleep(pause * (0.5 + random.random()))
        pause = min(1.5 * pause, _LONGEST_PAUSE)


def _others(board: Board, alias: str, mine: Claim, where: str) -> list[Claim]:
    """The claims of others that count; those that do not are taken away. ConflictError where our own is gone."""
    found = sweep(board, alias)
    if mine.holder not in {claim.holder for claim in found}:
        raise _lost(where)
    return [claim for claim in found if claim.holder != mine.holder]


def sweep(board: Board, alias: str) -> list[Claim]:
    """Take away the claims that count no more: of processes that died here, too old, or no claims. Returns the rest."""
    now = datetime.now(timezone.utc)
    found = []
    for name, text in board.read().items():
        if not name.startswith(tags.claim(alias, "")):
            continue
        try:
            claim = read_claim(text)
        except ValueError:
            board.remove(name)  # no promoter wrote it, so nobody rests on it
            continue
        if name != tags.claim(alias, claim.holder) or claim.has_ended(now) or claim.is_dead():
            board.remove(name)
        else:
            found.append(claim)
    return found


def _turn(claim: Claim) -> tuple[int, str]:
    return claim.ticket, claim.holder


def _held(claim: Claim, alias: str, where: str) -> ConflictError:
    return ConflictError(
        f"@{alias} is being moved by {claim.by} on {claim.host.partition(':')[0]}, since {claim.since}",
        where=where,
        hint=f"wait until that is done, then judge again with gate check; a claim left behind ends at {claim.until}",
    )


def _lost(where: str) -> ConflictError:
    return ConflictError(
        "this run was held up for so long that it lost the right to move the alias",
        where=where,
        hint="run it again: it goes on where it was",
    )
