"""The flipped rows on the page, those first that a reader should see first: golden ones, the costliest, the surest."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any

from gate.core.flips import FlippedRow
from gate.core.outcomes import Picture, Value
from gate.decisions.record import Decision
from gate.report import words
from gate.report.html.room import Room

Place = Callable[[Picture], str]
"""Where a picture of the page is found: the text of ``src``."""

_OPEN = 6  # of so many rows the columns are unfolded
_LONGEST_FACT = 60  # what is longer is shown as text, below the others
_LONGEST_COLUMN = 60
_MOST_COLUMNS = 12
_DAY = re.compile(r"\d{4}-\d\d-\d\d(?![\d.])")
_SMALL = 96  # pixels: an image that is no larger is drawn with its pixels as squares


def inside(picture: Picture) -> str:
    """The picture in the page itself.

    >>> inside(Picture(b"PNG", 8, 8))
    'data:image/png;base64,UE5H'
    """
    return f"data:image/png;base64,{b64encode(picture.png).decode('ascii')}"


def samples(decision: Decision, rows: Sequence[FlippedRow], room: Room, place: Place) -> dict[str, Any]:
    """What the page says of the negative flips that are kept: the rows, how many of all, in what order; {} of none.

    Pictures and texts are shown as long as there is room for them.
    """
    negative = sorted((row for row in rows if row.kind == "negative"), key=_first)
    kept = negative[: room.samples]
    if not kept:
        return {}
    shown: list[dict[str, Any]] = []
    pictures, texts, bare = room.pictures, room.texts, 0
    for row in kept:
        some = [value for value in row.beside.values() if isinstance(value, Picture)]
        pictures -= sum(len(picture.png) * 4 // 3 for picture in some)
        texts -= sum(len(name) + len(str(value)) for name, value in row.beside.items() if isinstance(value, str))
        bare += bool((pictures < 0 and some) or (texts < 0 and len(row.beside) > len(some)))
        shown.append(_shown(row, place, len(shown) < _OPEN, pictures >= 0, texts >= 0))
    return {
        "rows": shown,
        "of": f"{len(kept)} of {words.rows(decision.counts.negative)}",
        "told": _told(kept, rows, bare),
    }


def _first(row: FlippedRow) -> tuple[bool, float, float, str]:
    return (not row.golden, -(row.cost or 0.0), -(row.candidate_confidence or 0.0), row.digest)


def _told(kept: Sequence[FlippedRow], rows: Sequence[FlippedRow], bare: int) -> list[str]:
    """In what order they stand, and what of the rows is not here."""
    order = {
        "golden rows": any(row.golden for row in kept),
        "the costliest": any(row.cost for row in kept),
        "those that the candidate is surest of": any(row.candidate_confidence is not None for row in kept),
    }
    positive = words.rows(sum(row.kind == "positive" for row in rows))
    full = max(len(row.beside) for row in kept) >= _MOST_COLUMNS
    told = {
        f"First {', then '.join(what for what, there in order.items() if there)}.": any(order.values()),
        f"Of a row {_MOST_COLUMNS} columns are kept.": full,
        f"This page has no room for all that is kept of {words.rows(bare)} rows: --report parquet has it.": bare,
        f"The {positive} positive flips that are kept are not on this page: --report csv has them.": positive != "0",
    }
    return [sentence for sentence, there in told.items() if there]


def _shown(row: FlippedRow, place: Place, unfolded: bool, pictures: bool, texts: bool) -> dict[str, Any]:
    name = words.name(row.id)
    values = [(words.name(column, _LONGEST_COLUMN), value) for column, value in row.beside.items()]
    plain = [(column, value) for column, value in values if not isinstance(value, Picture)] if texts else []
    long = [(column, value) for column, value in plain if isinstance(value, str) and _is_long(value)]
    right = words.name(row.label)
    return {
        "id": name,
        "right": right,
        "golden": row.golden,
        "cost": None if row.cost is None else f"{row.cost:,.10g}",
        "label": None if _same(row.label, row.incumbent) else right,
        "incumbent": words.answer(row.incumbent, row.incumbent_confidence),
        "candidate": words.answer(row.candidate, row.candidate_confidence),
        "pictures": [
            {
                "src": place(value),
                "alt": f"{column} of {name}, {value.width} \u00d7 {value.height} pixels",
                "small": max(value.width, value.height) < _SMALL,
            }
            for column, value in values
            if isinstance(value, Picture) and pictures
        ],
        "facts": [(column, _fact(value)) for column, value in plain if (column, value) not in long],
        "texts": [(column, words.printable_lines(str(value))) for column, value in long],
        "columns": len(plain),
        "unfolded": unfolded,
    }


def _fact(value: Value) -> str:
    if isinstance(value, str) and _DAY.match(value):
        return words.printable(value)  # it cannot be taken for a number
    return words.name(value, _LONGEST_FACT)


def _is_long(value: str) -> bool:
    return len(value) > _LONGEST_FACT or "\n" in value


def _same(label: Value, answer: Value) -> bool:
    return type(label) is type(answer) and label == answer
