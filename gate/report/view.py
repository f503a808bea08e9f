"""What a reader is told, in the order that a reader needs it; text and Markdown lay the same view out.

Everything here is looked up in the decision and put in words. Nothing is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gate.core.flips import FlippedRow
from gate.core.judgement import DecideOn, Finding, Severity, Status, Verdict
from gate.core.measures import about as measure
from gate.decisions.record import CellRow, Decision, RateRow
from gate.report import words
from gate.report.sentences import WORST_FIRST, next_steps, notes, sentences
from gate.report.versions import matrix

MOST_CELLS = 5
MOST_SAMPLES = 10

_HEADLINES = {
    Verdict.ALLOW: "ALLOWED",
    Verdict.REFUSE: "REFUSED",
    Verdict.INCONCLUSIVE: "INCONCLUSIVE",
    Verdict.ERROR: "ERROR",
}
_DECIDED = {
    DecideOn.PROOF: "",
    DecideOn.ESTIMATE: ", by what was seen",
    DecideOn.HARM: "; fails only where harm is proven",
}


@dataclass(frozen=True)
class CellLine:
    """What a rule found in one cell."""

    cell: str
    n: str
    seen: str
    bound: str
    margin: str
    status: str


@dataclass(frozen=True)
class RuleView:
    """A rule: what it demands, its worst status, and its cells, those that do not pass first and not all of them."""

    rule: str
    demand: str
    status: str
    cells: tuple[CellLine, ...]
    rest: str


@dataclass(frozen=True)
class HarmLine:
    """A class or slice value that loses."""

    cell: str
    n: str
    negative: str
    positive: str
    nfr: str
    bounds: str


@dataclass(frozen=True)
class View:
    """A decision in words. Lists may be empty; texts hold no control characters."""

    headline: str
    sentences: tuple[str, ...]
    next_steps: tuple[str, ...]
    square: tuple[str, str, str, str] | None
    shares: tuple[tuple[str, float], ...]
    n: str
    units: str
    confidence: str
    rates: tuple[tuple[str, str, str], ...]
    rules: tuple[RuleView, ...]
    harmed: tuple[HarmLine, ...]
    flips: tuple[tuple[str, str, str, str], ...]
    samples: tuple[tuple[str, str, str, str], ...]
    samples_kept: str
    versions: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    provenance: tuple[tuple[str, str], ...]


def view(decision: Decision, samples: Sequence[FlippedRow]) -> View:
    """Put a decision in words; without ``samples`` it shows none."""
    counts = decision.counts
    negative = [row for row in samples if row.kind == "negative"]
    square = (counts.both_right, counts.negative, counts.positive, counts.wrong_same, counts.wrong_different)
    return View(
        headline=_HEADLINES[decision.verdict],
        sentences=sentences(decision),
        next_steps=next_steps(decision),
        square=None
        if None in square
        else (
            words.rows(counts.both_right),
            words.rows(counts.negative),
            words.rows(counts.positive),
            f"both wrong: {words.rows(counts.wrong_same)} alike, {words.rows(counts.wrong_different)} not",
        ),
        shares=_shares(decision),
        n=words.rows(counts.n),
        units=decision.task.units,
        confidence=words.percent(decision.evidence.confidence),
        rates=tuple(rate_line(row) for row in shown_rates(decision)),
        rules=tuple(_rules(decision)),
        harmed=tuple(_harmed(decision)),
        flips=tuple(
            (words.rows(row.count), words.name(row.label), words.name(row.incumbent), words.name(row.candidate))
            for row in [r for r in decision.flip_matrix.rows if r.kind == "negative"][:MOST_CELLS]
        ),
        samples=tuple(
            (
                words.name(row.id),
                words.name(row.label),
                words.answer(row.incumbent, row.incumbent_confidence),
                words.answer(row.candidate, row.candidate_confidence),
            )
            for row in negative[:MOST_SAMPLES]
        ),
        samples_kept=f"{min(len(negative), MOST_SAMPLES)} of {words.rows(counts.negative)}",
        versions=tuple(matrix(decision.versions)),
        notes=notes(decision),
        provenance=_provenance(decision),
    )


def _shares(decision: Decision) -> tuple[tuple[str, float], ...]:
    """The four cells as shares of all rows, to be drawn; none without an incumbent."""
    counts = decision.counts
    if counts.both_right is None or not counts.n:
        return ()
    wrong = (counts.wrong_same or 0) + (counts.wrong_different or 0)
    names = ("both right", "broken", "mended", "both wrong")
    cells = (counts.both_right, counts.negative or 0, counts.positive or 0, wrong)
    return tuple((name, count / counts.n) for name, count in zip(names, cells, strict=True))


_ALWAYS_SHOWN = ("error_rate", "error_rate_change", "nfr", "pfr", "relative_nfr", "btc")


def shown_rates(decision: Decision) -> list[RateRow]:
    """The rates that everybody should see, and those that a rule is about; the decision holds them all."""
    asked = {finding.rate for finding in decision.findings}
    return [row for row in decision.rates if row.rate in asked or row.rate in _ALWAYS_SHOWN]


def rate_line(row: RateRow) -> tuple[str, str, str]:
    """A rate: its name, what was seen, and both bounds."""
    about = measure(row.rate, row.of)
    low, high = (words.number(bound, row.rate, row.of) for bound in (row.lower, row.upper))
    return (
        about.title,
        words.number(row.estimate, row.rate, row.of),
        f"{low} to {high if row.upper is not None else 'any'}",
    )


def _rules(decision: Decision) -> list[RuleView]:
    by_rule: dict[str, list[Finding]] = {}
    for finding in decision.findings:
        by_rule.setdefault(finding.rule, []).append(finding)
    shown: list[RuleView] = []
    for rule, findings in by_rule.items():
        first = findings[0]
        findings.sort(key=lambda f: (WORST_FIRST.index(f.status), float("inf") if f.margin is None else f.margin))
        open_ = [f for f in findings if f.status is not Status.PASS]
        kept = open_[:MOST_CELLS] or findings[:1]
        by = f" by {words.printable(first.cell.by)}" if len(findings) > 1 else ""
        rest = ""
        if len(findings) > 1:
            rest = words.tally(findings)
            rest += f"; the worst {len(kept)} are shown" if len(open_) > len(kept) else ""
            rest += "; the tightest is shown" if not open_ else ""
        shown.append(
            RuleView(
                words.printable(rule),
                f"{measure(first.rate, first.of).title}{by} {words.limit(first)}"
                + _DECIDED[first.decide_on]
                + ("" if first.severity is Severity.ENFORCE else " (only warns)"),
                findings[0].status.value,
                tuple(_line(finding, first, len(findings) > 1, decision.task.units) for finding in kept),
                rest,
            )
        )
    return shown


def _line(finding: Finding, first: Finding, several: bool, units: str) -> CellLine:
    bound = words.number(finding.bound, finding.rate, finding.of) if finding.bound is not None else "unbounded"
    sign = {"upper": "<= ", "lower": ">= "}.get(finding.side, "")
    own = "" if finding.limit == first.limit else f", {words.limit(finding)}"
    return CellLine(
        words.name(finding.cell.value, 24) if several else words.cell(finding.cell, units),
        words.rows(finding.n),
        words.number(finding.estimate, finding.rate, finding.of),
        f"{sign}{bound}" if finding.bound is not None else bound,
        words.margin(finding),
        finding.status.value + own + (f" ({words.printable(finding.note)})" if finding.note else ""),
    )


def _harmed(decision: Decision) -> list[HarmLine]:
    """Of each dimension the cells that lose most: those whose NFR is proven highest."""
    lines: list[HarmLine] = []
    by: dict[str, list[tuple[float, CellRow, RateRow]]] = {}
    for cell in decision.cells:
        nfr = next((row for row in cell.rates if row.rate == "nfr"), None)
        if nfr is not None and cell.counts.negative:
            by.setdefault(cell.by, []).append((nfr.lower or 0.0, cell, nfr))
    for dimension, cells in by.items():
        if dimension == "output" or dimension.startswith("golden set "):
            continue
        for _, cell, nfr in sorted(cells, key=lambda item: -item[0])[:MOST_CELLS]:
            lines.append(
                HarmLine(
                    f"{words.printable(dimension)} {words.name(cell.value, 28)}",
                    words.rows(cell.counts.n),
                    words.rows(cell.counts.negative),
                    words.rows(cell.counts.positive),
                    words.number(nfr.estimate, "nfr"),
                    f"{words.number(nfr.lower, 'nfr')} to {words.number(nfr.upper, 'nfr')}",
                )
            )
    return lines


def _provenance(decision: Decision) -> tuple[tuple[str, str], ...]:
    origin = decision.provenance
    models = [("candidate", origin.candidate), *([("incumbent", origin.incumbent)] if origin.incumbent else [])]
    found = [
        (role, words.printable(row.uri) + (f"  sha256 {row.digest[:16]}" if row.digest else "")) for role, row in models
    ]
    found += [
        (
            "held-out set",
            f"{words.printable(origin.holdout.uri)}  {words.rows(origin.holdout.rows)} rows"
            f"  sha256 {origin.holdout.digest[:16]}",
        ),
        ("policy", f"{words.printable(decision.policy.name)} ({words.printable(decision.policy.file)})"),
        ("decision", f"{decision.decision_id[:16]}, as of {decision.as_of}, exit code {decision.exit_code}"),
        (
            "promotable",
            "yes, with gate promote"
            if decision.promotable.value
            else f"no: {words.printable(decision.promotable.because or '')}",
        ),
    ]
    return tuple(found)
