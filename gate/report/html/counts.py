"""What was counted, on the page: the four cells, classes and slices by harm, flips by kind, confidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from gate.core.judgement import Finding
from gate.core.measures import about as measure
from gate.decisions.record import CellRow, ConfidenceBins, ConfidenceHistogram, Counts, Decision, RateRow
from gate.report import words
from gate.report.html import drawings
from gate.report.html.room import Room
from gate.report.html.rules import Key, key, limit, needs
from gate.report.lines import WORST_FIRST
from gate.report.view import rate_line, shown_rates

FEWEST_SHOWN = 12
_JUDGED = (
    ("both-right", "both right", "both_right"),
    ("negative", "broken: negative flips (was right, is wrong)", "nfr"),
    ("positive", "mended: positive flips (was wrong, is right)", "pfr"),
    ("both-wrong", "both wrong", "both_wrong"),
)
_COMPARED = (  # where only the two scores of a row are compared
    ("both-right", "as good as before", "both_right"),
    ("negative", "broken: negative flips (the score gets worse)", "nfr"),
    ("positive", "mended: positive flips (the score gets better)", "pfr"),
    ("both-wrong", "both wrong", "both_wrong"),
)
_OF_CELLS = {
    "class": "Rows by their right answer",
    "output": "Rows by what the candidate answers now, right or wrong",
    "label": "Rows by label",
}
_SHOWN_FIRST = ("class", "output")
_SURE, _NEAR = 0.9, 0.5
_ROUNDING = 1e-9  # edges of bins are sums of tenths


def square(decision: Decision) -> dict[str, Any] | None:
    """The four cells as a picture to scale and a table; None without an incumbent."""
    counts = decision.counts
    if counts.both_right is None or counts.negative is None or counts.positive is None:
        return None
    wrong = (counts.wrong_same or 0) + (counts.wrong_different or 0)
    names = _COMPARED if decision.task.options.get("continuous") else _JUDGED
    cells = (counts.both_right, counts.negative, counts.positive, wrong)
    lines = [
        (key_, name, count, bounds(decision.rates, rate))
        for (key_, name, rate), count in zip(names, cells, strict=True)
        if count or names is _JUDGED or key_ != "both-wrong"
    ]
    told = ", ".join(f"{name} {words.rows(count)}" for _, name, count, _ in lines)
    return {
        "drawing": drawings.square(
            counts.both_right,
            counts.negative,
            counts.positive,
            wrong,
            {key_: name.partition(":")[0] for key_, name, _, _ in lines},
            told,
        ),
        "lines": [
            {"key": key_, "name": name, "count": words.rows(count), "share": words.share(count, counts.n), "bounds": of}
            for key_, name, count, of in lines
        ],
    }


def rates(decision: Decision) -> list[dict[str, str]]:
    """The rates that everybody should see, and those that a rule is about, each with what it is."""
    found = []
    for row in shown_rates(decision):
        about = measure(row.rate, row.of)
        which = {True: "less is better", False: "more is better", None: ""}[getattr(about, "harmful", None)]
        title, seen, limits = rate_line(row)
        told = about.meaning + (f"; {which}" if which and "candidate is better" not in about.meaning else "")
        found.append({"title": title, "told": told, "seen": seen, "bounds": limits})
    return found


def bounds(rates: Sequence[RateRow], name: str) -> str:
    """Both bounds of a rate; empty where it was not counted."""
    row = next((row for row in rates if row.rate == name), None)
    return "" if row is None else f"{words.number(row.lower, name)} to {words.number(row.upper, name)}"


def harms(decision: Decision, room: Room) -> list[dict[str, Any]]:
    """A table of each dimension, classes first, its cells by harm: the highest proven NFR first."""
    judged = _judged(decision)
    left = room.cells
    tables = []
    for name, found in _by_harm(decision):
        kept = found[: max(left, FEWEST_SHOWN)]
        left -= len(kept)
        most = max((max(cell.counts.negative or 0, cell.counts.positive or 0) for cell in kept), default=0)
        more = len(found) - len(kept)
        tables.append(
            {
                "title": {"class": "Classes", "output": "The candidate's answers"}.get(
                    name, f"Slice {words.printable(name)}"
                ),
                "by": {"output": "answer now"}.get(name, words.printable(name)),
                "caption": _OF_CELLS.get(name, f"Rows by their {words.printable(name)}"),
                "cells": [_harm(cell, judged.get(key(name, cell.value)), most) for cell in kept],
                "judged": any(key(name, cell.value) in judged for cell in kept),
                "rest": f"{words.rows(more)} more, which lose less, are in the decision" if more else "",
            }
        )
    return tables


def _by_harm(decision: Decision) -> list[tuple[str, list[CellRow]]]:
    by: dict[str, list[CellRow]] = {}
    for cell in decision.cells:
        if cell.counts.negative is not None and not cell.by.startswith("golden set "):
            by.setdefault(cell.by, []).append(cell)
    for found in by.values():
        found.sort(key=lambda cell: (-_proven(cell), -(cell.counts.negative or 0)))
    order = sorted(by, key=lambda n: (_SHOWN_FIRST.index(n) if n in _SHOWN_FIRST else len(_SHOWN_FIRST), n))
    return [(name, by[name]) for name in order]


def _proven(cell: CellRow) -> float:
    row = _rate(cell, "nfr")
    return (row.lower if row else None) or 0.0


def _judged(decision: Decision) -> dict[Key, Finding]:
    """Of the findings of several rules in one cell the worst."""
    judged: dict[Key, Finding] = {}
    for finding in decision.findings:
        at = key(finding.cell.by, finding.cell.value)
        worst = judged.get(at)
        if worst is None or WORST_FIRST.index(finding.status) < WORST_FIRST.index(worst.status):
            judged[at] = finding
    return judged


def _harm(cell: CellRow, finding: Finding | None, most: int) -> dict[str, Any]:
    counts = cell.counts
    negative, positive = counts.negative or 0, counts.positive or 0
    nfr, before = _rate(cell, "nfr"), _rate(cell, "error_rate", "incumbent")
    after = _rate(cell, "error_rate", "candidate")
    told = wanted = ""
    if finding is not None:
        of = "" if finding.rate == "nfr" else f"{measure(finding.rate, finding.of).title} "
        wanted = of + limit(finding)
        told = f", {needs(finding)}" if finding.rows_needed is not None else ""
    return {
        "name": words.name(cell.value),
        "n": words.rows(counts.n),
        "negative": words.rows(negative),
        "positive": words.rows(positive),
        "nfr": words.number(nfr.estimate, "nfr") if nfr else "",
        "bounds": bounds(cell.rates, "nfr"),
        "before": words.number(before.estimate, "error_rate", "incumbent") if before else "",
        "after": words.number(after.estimate, "error_rate", "candidate") if after else "",
        "status": finding.status.value if finding else "",
        "told": told,
        "limit": wanted,
        "drawing": drawings.mirrored(negative, positive, most, f"{negative} broken, {positive} mended"),
    }


def _rate(cell: CellRow, name: str, of: str | None = None) -> RateRow | None:
    return next((row for row in cell.rates if row.rate == name and (of is None or row.of == of)), None)


def glance(decision: Decision) -> list[tuple[str, str, str]]:
    """What a reader in a hurry needs, each with where more of it stands: what broke, where most, into what mostly."""
    counts = decision.counts
    if counts.negative is None or counts.positive is None:
        return []
    units = decision.task.units
    found = [
        (title, f"{_of(counts, some)} {units} ({_share(counts, some)})", "counts")
        for title, some in (
            ("Broken by the update (negative flips)", counts.negative),
            ("Mended by it (positive flips)", counts.positive),
        )
    ]
    for table, (name, cells) in enumerate(_by_harm(decision), start=1):
        worst = cells[0]
        if name != "output" and worst.counts.negative:
            at = f"{words.printable(name)} {words.name(worst.value)}"
            lower = words.number(_proven(worst), "nfr")
            share = f"{_share(worst.counts, worst.counts.negative)} seen, at least {lower}"
            told = f"{at}: {_of(worst.counts, worst.counts.negative)} {units} broken ({share})"
            found.append(("Harmed most: highest proven rate of negative flips", told, f"harm-{table}"))
            found += [
                ("Largest rise of the error rate", f"{words.printable(name)} {told}", f"harm-{table}")
                for told in _rises_most(cells, but=worst)
            ]
            break
    listed = [row for row in decision.flip_matrix.rows if row.kind == "negative"]
    if listed:
        top = listed[0]
        told = f"{words.name(top.label)} becomes {words.name(top.candidate)}, in {words.rows(top.count)} {units}"
        found.append(("Commonest flip", told, "flips"))
    return found


def _rises_most(cells: Sequence[CellRow], but: CellRow) -> list[str]:
    """The cell whose error rate rises most, as far as it was seen, where that is another one."""
    rises = []
    for cell in cells:
        before, after = _rate(cell, "error_rate", "incumbent"), _rate(cell, "error_rate", "candidate")
        if before and after and before.estimate is not None and after.estimate is not None:
            rises.append((after.estimate - before.estimate, cell, before.estimate, after.estimate))
    rise, cell, old, new = max(rises, key=lambda found: found[0], default=(0.0, but, 0.0, 0.0))
    if rise <= 0 or cell is but:
        return []
    return [
        f"{words.name(cell.value)}: {words.number(old, 'error_rate')} before, {words.number(new, 'error_rate')} now"
    ]


def _of(counts: Counts, some: int) -> str:
    return f"{words.rows(some)} of {words.rows(counts.n)}"


def _share(counts: Counts, some: int) -> str:
    return words.share(some, counts.n)


def flips(decision: Decision, room: Room) -> tuple[list[dict[str, Any]], str]:
    """The commonest negative flips, and how many rows flipped otherwise."""
    listed = [row for row in decision.flip_matrix.rows if row.kind == "negative"]
    kept = room.flips + (len(listed) == room.flips + 1)  # one more line is no longer than the sentence instead of it
    unlisted = decision.flip_matrix.rest_negative + sum(row.count for row in listed[kept:])
    most = listed[0].count if listed else 0
    return [
        {
            "rows": words.rows(row.count),
            "drawing": drawings.bar(row.count, most, f"{words.rows(row.count)} {decision.task.units}"),
            "same": type(row.label) is type(row.incumbent) and row.label == row.incumbent,
            "label": words.name(row.label),
            "incumbent": words.name(row.incumbent),
            "candidate": words.name(row.candidate),
        }
        for row in listed[:kept]
    ], f"{words.rows(unlisted)} {decision.task.units} more, in flips of other kinds" if unlisted else ""


def confidence(decision: Decision) -> dict[str, Any] | None:
    """How sure both models were on the flips, in bins; None where the answers hold no confidence."""
    bins = decision.confidence_bins
    if bins is None:
        return None

    def line(name: str, kind: str, of: ConfidenceHistogram) -> dict[str, Any]:
        most = max((*of.incumbent, *of.candidate), default=0)
        spans = list(zip(bins.edges, bins.edges[1:], strict=False))

        def drawn(counts: Sequence[int]) -> Markup:
            told = ", ".join(
                f"{words.percent(low)} to {words.percent(high)}: {count}"
                for (low, high), count in zip(spans, counts, strict=True)
                if count
            )
            ends = (words.percent(bins.edges[0]), words.percent(bins.edges[-1]))
            return drawings.histogram(counts, most, kind, ends, told or "none")

        return {"name": name, "incumbent": drawn(of.incumbent), "candidate": drawn(of.candidate)}

    return {
        "told": _sureness(bins),
        "lines": [
            line("broken (negative flips)", "negative", bins.negative),
            line("mended (positive flips)", "positive", bins.positive),
        ],
    }


def _sureness(bins: ConfidenceBins) -> str:
    """Of the rows that broke, how many the candidate gets wrong with confidence, and how many by a hair."""
    counts = bins.negative.candidate
    spans = list(zip(bins.edges, bins.edges[1:], counts, strict=False))
    sure = sum(count for low, _, count in spans if low >= _SURE - _ROUNDING)
    near = sum(count for _, high, count in spans if high <= _NEAR + _ROUNDING)
    return (
        f"Of {words.rows(sum(counts))} rows that break, the candidate is at least {words.percent(_SURE)} sure in"
        f" {words.rows(sure)} (confidently wrong), and at most {words.percent(_NEAR)} sure in {words.rows(near)}"
        " (near the boundary)."
    )
