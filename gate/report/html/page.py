"""The report as one self-contained page: no network, readable without scripts, the same bytes every time.

Everything is looked up in the decision; the words are those of the other reports. The page stays below its size
whatever the data: of long lists the worst are shown, and how many are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from gate.core.flips import FlippedRow
from gate.core.judgement import Verdict
from gate.core.outcomes import Picture
from gate.decisions.record import Decision
from gate.report import replay, words
from gate.report.html import counts, grounds, rules, trend
from gate.report.html.room import Room
from gate.report.html.samples import Place, inside
from gate.report.html.samples import samples as shown_samples
from gate.report.view import view

MOST_BYTES = 1_000_000
_EXIT_CODES = {
    Verdict.ALLOW: "allowed",
    Verdict.REFUSE: "refused",
    Verdict.INCONCLUSIVE: "inconclusive",
    Verdict.ERROR: "nothing was judged that could allow it",
}
PICTURES = "gate-picture-"
"""What the names of the pictures in a folder begin with."""


def write(decision: Decision, samples: Sequence[FlippedRow]) -> dict[str, bytes]:
    """``report.html``: style and script inside it; less than ``MOST_BYTES``."""
    style = Markup("<style>\n{}</style>").format(Markup(_text("page.css")))
    script = Markup("<script>\n{}</script>").format(Markup(_text("page.js")))
    return {"report.html": _fitting(decision, samples, style, script, inside)}


def write_folder(decision: Decision, samples: Sequence[FlippedRow]) -> dict[str, bytes]:
    """``index.html``, ``page.css``, ``page.js``, pictures: for servers that forbid all of these inside a page."""
    style = Markup('<link rel="stylesheet" href="page.css">')
    script = Markup('<script src="page.js"></script>')
    pictures: dict[str, bytes] = {}

    def place(picture: Picture) -> str:
        name = f"{PICTURES}{sha256(picture.png).hexdigest()[:16]}.png"
        pictures[name] = picture.png
        return name

    page = _fitting(decision, samples, style, script, place)
    return {
        "page.css": _text("page.css").encode(),
        "page.js": _text("page.js").encode(),
        **{name: png for name, png in pictures.items() if name.encode() in page},
        "index.html": page,
    }


def _fitting(decision: Decision, samples: Sequence[FlippedRow], style: Markup, script: Markup, place: Place) -> bytes:
    """The page with as much of the long lists as there is room for."""
    room = Room()
    while True:
        content = _page(_told(decision, samples, room, place), style, script)
        if len(content) < MOST_BYTES or room == room.less():
            return content
        room = room.less()


def _page(told: dict[str, Any], style: Markup, script: Markup) -> bytes:
    text = _template().render(told, style=style, script=script)
    return (text + "\n").encode("utf-8", "backslashreplace")


def _told(decision: Decision, samples: Sequence[FlippedRow], room: Room, place: Place) -> dict[str, Any]:
    shown = view(decision, samples)
    allowed = decision.verdict is Verdict.ALLOW
    flipped = shown_samples(decision, samples, room, place)
    policy = words.printable_lines(decision.policy.text)
    return {
        "title": _title(decision),
        "verdict": decision.verdict.value,
        "headline": shown.headline,
        "sentences": shown.sentences,
        "glance": [*counts.glance(decision), *_one_row(flipped)],
        "next_title": "What would change it" if allowed else "What would change it, and what to do next",
        "next_steps": rules.slack(decision) if allowed else shown.next_steps,
        "exit_code": decision.exit_code,
        "exit_means": _EXIT_CODES[decision.verdict],
        "confidence": shown.confidence,
        **dict(zip(("rules", "rules_rest"), rules.rules(decision, room), strict=True)),
        "waivers": rules.waivers(decision),
        "n": shown.n,
        "square": counts.square(decision),
        "rates": counts.rates(decision),
        "units": shown.units,
        "how_decided": rules.how_decided(decision),
        "both_bounds": words.percent(round(2 * decision.evidence.confidence - 1, 10)),
        "harms": counts.harms(decision, room),
        **dict(zip(("flips", "flips_rest"), counts.flips(decision, room), strict=True)),
        "bins": counts.confidence(decision),
        "samples": flipped,
        "evidence": grounds.evidence(decision),
        "trend": trend.trend(decision),
        "versions": shown.versions,
        "notes": shown.notes,
        "contract": grounds.contract(decision),
        "provenance": grounds.provenance(decision, shown),
        "replay": words.printable(replay.command(decision) or ""),
        "policy": policy[: room.policy] + ("\n..." if len(policy) > room.policy else ""),
    }


def _title(decision: Decision) -> str:
    candidate, incumbent = decision.provenance.candidate, decision.provenance.incumbent
    return words.who(candidate.uri) + (f" against {words.who(incumbent.uri)}" if incumbent else "")


def _one_row(flipped: dict[str, Any]) -> list[tuple[str, str, str]]:
    """One of the flipped rows, for those who read no further."""
    if not flipped:
        return []
    row = flipped["rows"][0]
    told = f"{row['id']}: right is {row['right']}, was {row['incumbent']}, is now {row['candidate']}"
    return [(f"A {'golden ' if row['golden'] else ''}row that breaks", told, "samples")]


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(_text("page.html"))


@cache
def _text(name: str) -> str:
    return files("gate.report.html").joinpath(name).read_text("utf-8")
