"""The report as GitHub-flavoured Markdown: for job summaries, pull requests and MLflow's artifact view."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from gate.core.flips import FlippedRow
from gate.decisions.record import Decision
from gate.report.versions import FLIPS
from gate.report.view import View, view

_SPECIAL = re.compile(r"[\\`*_\[\]|~$]|:(?=//)|(?<=www)\.")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_LINKS = re.compile(r"@|#(?=\d)")  # made into links after rendering, when an escape is gone: a break inside remains
_OPENING = re.compile(r"^(\s*\d*)([-+#](?=[-+#\s]|$)|(?<=\d)[.)](?=\s|$))")  # of a list, a heading, a rule


MOST_BYTES = 60_000
"""What a comment on a pull request may hold, with some room; the summary of a job may hold sixteen times as much."""


def write(decision: Decision, samples: Sequence[FlippedRow]) -> dict[str, bytes]:
    """``report.md``: at most ``MOST_BYTES``; where it would be more, the sections that matter least are left out."""
    shown = view(decision, samples)
    parts = _sections(shown)
    kept = set(parts)
    left: list[str] = []
    for name in _LEAST_FIRST:
        if len(_joined(parts, kept, left)) <= MOST_BYTES:
            break
        if name in kept:
            kept.remove(name)
            left.append(name)
    return {"report.md": _joined(parts, kept, left)}


_LEAST_FIRST = ("samples", "notes", "versions", "flips", "cells", "policy", "provenance", "next", "counts")


def _joined(parts: Mapping[str, Sequence[str]], kept: Collection[str], left: Sequence[str]) -> bytes:
    texts = [text for name, texts in parts.items() if name in kept for text in texts]
    if left:
        named = ", ".join(name for name in parts if name in left)
        texts.append(f"*Left out, for its size: {named}. The page and the decision hold all of it.*")
    return ("\n\n".join(texts) + "\n").encode("utf-8", "backslashreplace")


def _sections(shown: View) -> dict[str, list[str]]:
    parts = {"verdict": [f"## {shown.headline}", *(escape(sentence) for sentence in shown.sentences)]}
    if shown.next_steps:
        parts["next"] = ["### What would make it pass", "\n".join(f"- {escape(step)}" for step in shown.next_steps)]
    parts["counts"] = [f"### What the update does to {shown.n} {shown.units}"]
    if shown.square is not None:
        both, negative, positive, wrong = shown.square
        rows = [
            ("incumbent right", f"{both} both right", f"{negative} negative flips"),
            ("incumbent wrong", f"{positive} positive flips", wrong),
        ]
        parts["counts"].append(table(["", "candidate right", "candidate wrong"], rows))
    parts["counts"].append(table(["rate", "seen", "bounds, each one-sided"], shown.rates))
    header = ["rule", "cell", "n", "seen", "bound", "margin", "status"]
    lines: list[tuple[str, ...]] = []
    for rule in shown.rules:
        lines.append((f"{rule.rule}: {rule.demand}", rule.rest, "", "", "", "", rule.status.upper()))
        lines += [("", *vars(line).values()) for line in rule.cells]
    parts["policy"] = [f"### The policy (bounds at {escape(shown.confidence)} each)", table(header, lines)]
    if shown.harmed:
        header = ["cell", shown.units, "negative", "positive", "NFR", "bounds"]
        harmed = [tuple(vars(line).values()) for line in shown.harmed]
        parts["cells"] = ["### Where it loses most", table(header, harmed)]
    if shown.flips:
        header = [shown.units, "label", "incumbent", "candidate"]
        parts["flips"] = ["### What was right, and what it became", table(header, shown.flips)]
    if shown.samples:
        title = f"### Some of the negative flips ({shown.samples_kept})"
        parts["samples"] = [title, table(["id", "label", "incumbent", "candidate"], shown.samples)]
    if shown.versions:
        parts["versions"] = [f"### {FLIPS}", table(shown.versions[0], shown.versions[1:])]
    if shown.notes:
        parts["notes"] = ["### Notes", "\n".join(f"- {escape(note)}" for note in shown.notes)]
    parts["provenance"] = ["### What it rests on", table(["what", "which"], shown.provenance)]
    return parts


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
