"""What a held-out set of a given size can decide, whatever the models answer: each rule at its best and its worst."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from gate.core.bounds import clopper_pearson
from gate.core.flips import BY_OUTPUT
from gate.core.judgement import Cell, DecideOn, Finding, Severity, Source, Status
from gate.core.measured import Measured
from gate.core.rates import Rate, rate
from gate.policy.judge import judge
from gate.policy.needs import FLIPS, rows_that_prove
from gate.policy.rules import AnyRule, Cost, Golden, Policy, Rule, Threshold
from gate.policy.waive import waived
from gate.report import words
from gate.stories.sizes import Sizes

_RIGHT, _BROKEN, _MENDED, _WRONG, _WRONG_ANEW = range(5)
# (rate, limit from above) -> which of the five counts all rows fall into where the rate is kept best
_BEST = {
    ("error_rate", True): _RIGHT,
    ("error_rate", False): _WRONG,
    ("error_rate_change", True): _MENDED,
    ("error_rate_change", False): _BROKEN,
    ("nfr", True): _RIGHT,
    ("nfr", False): _BROKEN,
    ("pfr", True): _RIGHT,
    ("pfr", False): _MENDED,
    ("nfi", True): _WRONG,
    ("nfi", False): _BROKEN,
    ("btc", True): _BROKEN,
    ("btc", False): _RIGHT,
    ("bec", True): _BROKEN,
    ("bec", False): _WRONG,
    ("churn", True): _RIGHT,
    ("churn", False): _BROKEN,
    ("wrong_to_different_wrong", True): _RIGHT,
    ("wrong_to_different_wrong", False): _WRONG_ANEW,
}
_NAMED = 3
LONG_AGO = "0001-01-01"  # a day on which no waiver had expired yet


@dataclass(frozen=True)
class Doubt:
    """A rule that a held-out set can hardly decide, or cannot at all (``never``)."""

    rule: str
    never: bool
    found: str
    source: Source

    def __str__(self) -> str:
        return f"{self.source.file}:{self.source.line}: rule {words.printable(self.rule)!r}: {self.found}"


@dataclass(frozen=True)
class Certifies:
    """What a cell can certify: for each of ``FLIPS`` the smallest limit on a share of its ``rows``.

    None where it depends on which rows flip: for rows in clusters or with weights, but where none flips.
    """

    cell: Cell
    rows: int
    limits: tuple[float | None, ...]


def certifies(sizes: Sizes, confidence: float) -> list[Certifies]:
    """The smallest limits that each cell can certify, all rows together first, golden sets left out."""
    measured = Measured(sizes.table, confidence)
    plain = not sizes.table.clusters and not sizes.table.weights
    found = []
    golden = {rule.by for rule in sizes.policy.rules if isinstance(rule, Golden)}
    for by in (None, *(by for by in sizes.table.cells if by not in golden)):
        cells = measured.cells(by)
        assert cells is not None
        rows = measured.rows(by)
        if plain:
            many = np.minimum(np.asarray(FLIPS)[:, None], rows[None, :]).astype(np.float64)
            upper = clopper_pearson(many, np.broadcast_to(rows, many.shape).astype(np.float64), confidence).upper
        else:
            upper = np.full((len(FLIPS), len(rows)), np.nan)
            upper[0] = measured.estimate(rate("nfr"), by).upper
        for i, value in enumerate(cells.values):
            limits = tuple(
                None if np.isnan(bound) or flips > rows[i] else float(bound)
                for flips, bound in zip(FLIPS, upper[:, i], strict=True)
            )
            found.append(Certifies(Cell(by or "overall", value), int(rows[i]), limits))
    return found


def doubts(sizes: Sizes) -> list[Doubt]:
    """The rules that these rows can never decide, whatever the models answer, or only if nothing flips.

    UsageError, with file and line, for a rule that matches no cell, and an override or a waiver for a cell that does
    not exist; all of them at once. Rules by the candidate's output, over the noise of retraining and relative to
    chance depend on more than sizes, and are left out.
    """
    policy = sizes.policy
    confidence = policy.confidence_of_a_look
    _names_what_is_there(policy, sizes, confidence)
    tables: dict[int, Measured] = {}

    def measured(column: int) -> Measured:
        if column not in tables:
            tables[column] = Measured(sizes.had(column), confidence)
        return tables[column]

    found: list[Doubt] = []
    for rule in policy.rules:
        if isinstance(rule, Golden):
            if not _found(rule, measured(_RIGHT))[0].n:
                found.append(Doubt(rule.id, True, "no row is marked as golden, so it is inconclusive", rule.source))
        elif isinstance(rule, Cost):
            found += _of_cost(rule, measured(_RIGHT))
        elif _judged_by_sizes(rule, sizes):
            best = _BEST[rule.rate.name, rule.at_most]
            if rule.decide_on is DecideOn.PROOF:
                found += _never_passes(rule, measured(best), confidence)
                if best == _RIGHT:
                    found += _without_flips_only(rule, measured(best))
            elif rule.decide_on is DecideOn.HARM:
                found += _never_refuses(rule, measured(_BEST[rule.rate.name, not rule.at_most]))
            found += _too_short(rule, measured(best))
    return found


def _judged_by_sizes(rule: AnyRule, sizes: Sizes) -> bool:
    return (
        isinstance(rule, Rule)
        and isinstance(rule.rate, Rate)
        and (rule.rate.name, rule.at_most) in _BEST
        and sizes.known(rule.by)
    )


def _names_what_is_there(policy: Policy, sizes: Sizes, confidence: float) -> None:
    """That rules, overrides and waivers name cells that exist, as the judgement itself sees it."""
    unknown = {BY_OUTPUT, "class", "label"} - set(sizes.table.cells)
    rules = tuple(
        rule
        for rule in policy.rules
        if not isinstance(rule, Rule) or (isinstance(rule.rate, Rate) and rule.by not in unknown)
    )
    measured = Measured(sizes.table, confidence)
    judged = judge(rules, measured)
    waived(policy, list(judged), measured, {}, LONG_AGO)


def _found(rule: AnyRule, measured: Measured) -> Sequence[Finding]:
    """The findings of one rule as if it were enforced, with no line from which on a pass is a warning."""
    if isinstance(rule, Golden):
        return judge([replace(rule, severity=Severity.ENFORCE)], measured)
    plain = replace(rule, severity=Severity.ENFORCE, threshold=Threshold(rule.threshold.limit))
    if isinstance(plain, Rule):
        over = tuple(replace(one, threshold=Threshold(one.threshold.limit)) for one in plain.overrides)
        plain = replace(plain, overrides=over)
    return judge([plain], measured)


def _short(rule: Rule, rows: int) -> bool:
    return rule.at_least_n is not None and rows < rule.at_least_n


def _never_passes(rule: Rule, measured: Measured, confidence: float) -> Iterator[Doubt]:
    rows = measured.rows(rule.by).tolist()
    open_ = [
        (finding, n)
        for finding, n in zip(_found(rule, measured), rows, strict=True)
        if finding.status is not Status.PASS and not _short(rule, n)
    ]
    if open_:
        told = []
        for finding, n in open_[:_NAMED]:
            needed = rows_that_prove(rule.rate, finding.limit, rule.at_most, 0, confidence)
            lacking = "" if needed is None or needed <= n else f" of {needed:,}"
            told.append(f"{words.cell(finding.cell)} ({n:,}{lacking} rows)")
        yield _doubt(rule, True, "can never pass", rule.by, told, len(open_), len(rows))


def _without_flips_only(rule: Rule, measured: Measured) -> Iterator[Doubt]:
    if not isinstance(rule.rate, Rate) or not rule.rate.share:
        return
    findings = _found(rule, measured)
    limits = np.asarray([finding.limit for finding in findings])
    allowed = measured.passes_with(rule.rate, rule.by, limits, np.ones(limits.shape, dtype=np.bool_))
    rows = measured.rows(rule.by).tolist()
    none = [
        (finding, n)
        for finding, n, most in zip(findings, rows, allowed.tolist(), strict=True)
        if most == 0 and not _short(rule, n)
    ]
    if none:
        told = [f"{words.cell(finding.cell)} ({n:,} rows at {words.percent(finding.limit)})" for finding, n in none]
        yield _doubt(rule, False, "passes with no flip only", rule.by, told[:_NAMED], len(none), len(rows))


def _never_refuses(rule: Rule, measured: Measured) -> Iterator[Doubt]:
    findings = _found(rule, measured)
    rows = measured.rows(rule.by).tolist()
    blunt = [(f, n) for f, n in zip(findings, rows, strict=True) if f.status is not Status.FAIL and not _short(rule, n)]
    if blunt:
        told = [f"{words.cell(finding.cell)} ({n:,} rows)" for finding, n in blunt[:_NAMED]]
        yield _doubt(
            rule, True, "can never be refused, too small to prove harm", rule.by, told, len(blunt), len(findings)
        )


def _too_short(rule: Rule, measured: Measured) -> Iterator[Doubt]:
    rows = measured.rows(rule.by).tolist()
    cells = measured.cells(rule.by)
    assert cells is not None
    short = [(value, n) for value, n in zip(cells.values, rows, strict=True) if _short(rule, n)]
    if short:
        told = [f"{words.cell(Cell(rule.by or 'overall', value))} ({n:,} rows)" for value, n in short[:_NAMED]]
        what = f"can never pass, at_least_n is {rule.at_least_n:,}"
        yield _doubt(rule, True, what, rule.by, told, len(short), len(rows))


def _of_cost(rule: Cost, measured: Measured) -> Iterator[Doubt]:
    finding = _found(rule, measured)[0]
    if rule.decide_on is DecideOn.PROOF and finding.status is not Status.PASS:
        bound = "unknown" if finding.bound is None else f"{ceil(finding.bound):,}"
        yield Doubt(
            rule.id,
            True,
            f"can never pass: with {finding.n:,} rows and no flip at all the bound is {bound}, since costly flips may"
            f" not have been seen; the limit is {rule.threshold.limit:,.10g}",
            rule.source,
        )


def _doubt(rule: Rule, never: bool, what: str, by: str | None, told: list[str], some: int, of: int) -> Doubt:
    if by is None:
        return Doubt(rule.id, never, f"{what}: {told[0]}", rule.source)
    more = f" and {some - len(told):,} more" if some > len(told) else ""
    cells = f"{some:,} of {of:,} cells: " if of > 1 else ""
    return Doubt(rule.id, never, f"{what}: {cells}{', '.join(told)}{more}", rule.source)
