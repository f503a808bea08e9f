"""The report as GitHub-flavoured Markdown: for job summaries, pull requests and MLflow's artifact view."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from gate.core.flips import FlippedRow
from gate.decisions.record import Decision
from gate.report.view import view

_SPECIAL = re.compile(r"[\\`*_\[\]|~$]|:(?=//)|(?<=www)\.")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_LINKS = re.compile(r"@|#(?=\d)")  # made into links after rendering, when an escape is gone: a break inside remains
_OPENING = re.compile(r"^(\s*\d*)([-+#](?=[-+#\s]|$)|(?<=\d)[.)](?=\s|$))")  # of a list, a heading, a rule


def write(decision: Decision, samples: Sequence[FlippedRow]) -> dict[str, bytes]:
    """``report.md``."""
    shown = view(decision, samples)
    parts = [f"## {shown.headline}", *(escape(sentence) for sentence in shown.sentences)]
    if shown.next_steps:
        parts += ["### What would make it pass", "\n".join(f"- {escape(step)}" for step in shown.next_steps)]
    parts.append(f"### What the update does to {shown.n} rows")
    if shown.square is not None:
        both, negative, positive, wrong = shown.square
        rows = [
            ("incumbent right", f"{both} both right", f"{negative} negative flips"),
            ("incumbent wrong", f"{positive} positive flips", wrong),
        ]
        parts.append(table(["", "candidate right", "candidate wrong"], rows))
    parts.append(table(["rate", "seen", "bounds, each one-sided"], shown.rates))
    parts.append(f"### The policy (bounds at {escape(shown.confidence)} each)")
    header = ["rule", "cell", "n", "seen", "bound", "margin", "status"]
    lines: list[tuple[str, ...]] = []
    for rule in shown.rules:
        lines.append((f"{rule.rule}: {rule.demand}", rule.rest, "", "", "", "", rule.status.upper()))
        lines += [("", *vars(line).values()) for line in rule.cells]
    parts.append(table(header, lines))
    if shown.harmed:
        header = ["cell", "rows", "negative", "positive", "NFR", "bounds"]
        parts += ["### Where it loses most", table(header, [tuple(vars(line).values()) for line in shown.harmed])]
    if shown.flips:
        header = ["rows", "label", "incumbent", "candidate"]
        parts += ["### What was right, and what it became", table(header, shown.flips)]
    if shown.samples:
        title = f"### Some of the rows that flipped ({shown.samples_kept})"
        parts += [title, table(["id", "label", "incumbent", "candidate"], shown.samples)]
    if shown.notes:
        parts += ["### Notes", "\n".join(f"- {escape(note)}" for note in shown.notes)]
    parts += ["### What it rests on", table(["what", "which"], shown.provenance)]
    return {"report.md": ("\n\n".join(parts) + "\n").encode("utf-8", "backslashreplace")}


def escape(text: str) -> str:
    """Text that Markdown, HTML inside it, mentions and tables leave alone.

    >>> print(escape("<b>|@all"))
    &lt;b&gt;\\|@&#8203;all
    """
    plain = re.sub(r"[&<>]", lambda found: _ENTITIES[found[0]], " ".join(text.splitlines()))
    plain = _SPECIAL.sub(lambda found: f"\\{found[0]}", plain)
    plain = _LINKS.sub(lambda found: f"{found[0]}&#8203;", plain)
    return _OPENING.sub(r"\1\\\2", plain)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A pipe table; every cell is escaped."""
    lines = [header, ["---"] * len(header)]
    text = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([*text, *(f"| {' | '.join(escape(cell) for cell in row)} |" for row in rows)])
