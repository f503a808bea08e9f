"""The report as one self-contained page: no network, readable without scripts, the same bytes every time.

Everything is looked up in the decision; the words are those of the other reports. The page stays below its size
whatever the data: of long lists the worst are shown, and how many are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from gate.core.flips import FlippedRow
from gate.core.judgement import Verdict
from gate.decisions.record import Decision
from gate.report import replay, words
from gate.report.html import counts, grounds, rules
from gate.report.html.room import Room
from gate.report.html.samples import samples as shown_samples
from gate.report.view import view

MOST_BYTES = 1_000_000


def write(decision: Decision, samples: Sequence[FlippedRow]) -> dict[str, bytes]:
    """``report.html``: style and script inside it; less than ``MOST_BYTES``."""
    style = Markup("<style>\n{}</style>").format(Markup(_text("page.css")))
    script = Markup("<script>\n{}</script>").format(Markup(_text("page.js")))
    return {"report.html": _fitting(decision, samples, style, script)}


def write_folder(decision: Decision, samples: Sequence[FlippedRow]) -> dict[str, bytes]:
    """``index.html``, ``page.css``, ``page.js``: for servers that forbid styles and scripts inside a page."""
    style = Markup('<link rel="stylesheet" href="page.css">')
    script = Markup('<script src="page.js"></script>')
    return {
        "page.css": _text("page.css").encode(),
        "page.js": _text("page.js").encode(),
        "index.html": _fitting(decision, samples, style, script),
    }


def _fitting(decision: Decision, samples: Sequence[FlippedRow], style: Markup, script: Markup) -> bytes:
    """The page with as much of the long lists as there is room for."""
    room = Room()
    while True:
        content = _page(decision, samples, room, style, script)
        if len(content) < MOST_BYTES or room == room.less():
            return content
        room = room.less()


def _page(decision: Decision, samples: Sequence[FlippedRow], room: Room, style: Markup, script: Markup) -> bytes:
    text = _template().render(_told(decision, samples, room), style=style, script=script)
    return (text + "\n").encode("utf-8", "backslashreplace")


def _told(decision: Decision, samples: Sequence[FlippedRow], room: Room) -> dict[str, Any]:
    shown = view(decision, samples)
    allowed = decision.verdict is Verdict.ALLOW
    kept, of = shown_samples(decision, samples, room)
    policy = words.printable_lines(decision.policy.text)
    return {
        "title": _title(decision),
        "verdict": decision.verdict.value,
        "headline": shown.headline,
        "sentences": shown.sentences,
        "glance": [*counts.glance(decision), *_one_row(kept)],
        "next_title": "What would change it" if allowed else "What would change it, and what to do next",
        "next_steps": rules.slack(decision) if allowed else shown.next_steps,
        "exit_code": decision.exit_code,
        "confidence": shown.confidence,
        **dict(zip(("rules", "rules_rest"), rules.rules(decision, room), strict=True)),
        "waivers": rules.waivers(decision),
        "n": shown.n,
        "square": counts.square(decision),
        "rates": shown.rates,
        "harms": counts.harms(decision, room),
        **dict(zip(("flips", "flips_rest"), counts.flips(decision, room), strict=True)),
        "bins": counts.confidence(decision),
        "samples": kept,
        "samples_kept": of,
        "evidence": grounds.evidence(decision),
        "notes": shown.notes,
        "contract": grounds.contract(decision),
        "provenance": grounds.provenance(decision, shown),
        "replay": words.printable(replay.command(decision) or ""),
        "policy": policy[: room.policy] + ("\n..." if len(policy) > room.policy else ""),
    }


def _title(decision: Decision) -> str:
    candidate, incumbent = decision.provenance.candidate, decision.provenance.incumbent
    return words.who(candidate.uri) + (f" against {words.who(incumbent.uri)}" if incumbent else "")


def _one_row(kept: Sequence[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """One of the flipped rows, for those who read no further."""
    if not kept:
        return []
    row = kept[0]
    told = f"{row['id']}: right is {row['label']}, was {row['incumbent']}, is now {row['candidate']}"
    return [("A row that breaks", told, "samples")]


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(_text("page.html"))


@cache
def _text(name: str) -> str:
    return files("gate.report.html").joinpath(name).read_text("utf-8")
