"""The recorded moves of an alias, as the tags of the registered model hold them; and how they stand to the alias."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gate.decisions import tags
from gate.decisions.moves import Move, from_text
from gate.decisions.summary import harmless
from gate.errors import EvidenceError, Problem

_WHO = "find out who wrote it; then delete that tag, and the gate goes on from the records that are left"


@dataclass(frozen=True)
class History:
    """The moves of one alias, oldest first, and the tags in their place that are no record of a move.

    ``next_number`` is the first that no tag has, broken or not.
    """

    moves: tuple[Move, ...] = ()
    broken: tuple[Problem, ...] = ()
    next_number: int = 1

    @property
    def last(self) -> Move | None:
        """The newest move that was not abandoned; None where there is none."""
        return next((move for move in reversed(self.moves) if move.state != "abandoned"), None)

    def settled(self, stands: int | None) -> History:
        """The history as it is once the last intent, whose promoter may be dead, is told by where the alias is.

        The alias is at its version: it was done. The alias is where it was before: it was not. The alias is elsewhere:
        nobody knows, and it stays an intent.
        """
        last = self.last
        if last is None or last.state != "intent" or stands not in (last.version, last.previous):
            return self
        told = replace(last, state="done" if stands == last.version else "abandoned")
        return replace(self, moves=tuple(told if move is last else move for move in self.moves))


def read_history(found: Mapping[str, str], alias: str) -> History:
    """The moves of ``alias`` among the tags of a registered model; none give an empty history.

    Example::

        read_history(registry.standing("fraud").tags, "champion").last
    """
    prefix = f"{tags.MOVE}{alias}."
    moves: list[Move] = []
    broken: list[Problem] = []
    highest = 0
    for name in sorted(found):
        if not name.startswith(prefix):
            continue
        number = name.removeprefix(prefix)
        highest = max(highest, int(number)) if number.isascii() and number.isdigit() else highest
        try:
            move = from_text(found[name], where=f"tag {harmless(name)}")
        except EvidenceError as error:
            broken += [replace(problem, hint=_WHO) for problem in error.problems]
            continue
        if name != tags.move(alias, move.number) or move.alias != alias:
            found_there = f"it holds the record of move {move.number} of @{harmless(move.alias)}"
            broken.append(Problem(found_there, f"tag {harmless(name)}", _WHO))
        else:
            moves.append(move)
    return History(tuple(sorted(moves, key=lambda move: move.number)), tuple(broken), highest + 1)
