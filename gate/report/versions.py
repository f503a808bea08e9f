"""The versions that were asked in one pass, and what each breaks of every other."""

from __future__ import annotations

from collections.abc import Sequence

from gate.decisions.record import VersionRow
from gate.report import words

FLIPS = "Flips between versions: right by the version of the row, wrong by that of the column"


def matrix(versions: Sequence[VersionRow]) -> list[tuple[str, ...]]:
    """The flips between versions as a table with a header; none for none. The last column is what each gets right."""
    if not versions:
        return []
    names = [f"{words.printable(one.role)} ({words.who(one.uri)})" for one in versions]
    header = ("", *(words.printable(one.role) for one in versions), "right")
    return [
        header,
        *(
            (
                name,
                *("-" if place == row else words.rows(broken) for place, broken in enumerate(one.broken)),
                words.rows(one.right),
            )
            for row, (name, one) in enumerate(zip(names, versions, strict=True))
        ),
    ]
