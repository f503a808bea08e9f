"""What sizes say of a rule: whether it can pass, and whether it can be refused, at its best and at its worst counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gate.core.judgement import Cell, DecideOn, Finding, Severity, Source, Status
from gate.core.measured import Measured
from gate.core.rates import Rate
from gate.policy.judge import judge
from gate.policy.needs import rows_that_prove
from gate.policy.rules import AnyRule, Golden, Rule, Threshold
from gate.report import words
from gate.stories.sizes import Sizes

RIGHT, BROKEN, MENDED, _WRONG, _WRONG_ANEW = range(5)
# (rate, limit from above) -> which of the five counts all rows fall into where the rate is kept best
_BEST = {
    ("error_rate", True): RIGHT,
    ("error_rate", False): _WRONG,
    ("error_rate_change", True): MENDED,
    ("error_rate_change", False): BROKEN,
    ("error_rate_ratio", True): MENDED,
    ("error_rate_ratio", False): BROKEN,
    ("nfr", True): RIGHT,
    ("nfr", False): BROKEN,
    ("pfr", True): RIGHT,
    ("pfr", False): MENDED,
    ("nfi", True): _WRONG,
    ("nfi", False): BROKEN,
    ("btc", True): BROKEN,
    ("btc", False): RIGHT,
    ("bec", True): BROKEN,
    ("bec", False): _WRONG,
    ("churn", True): RIGHT,
    ("churn", False): BROKEN,
    ("wrong_to_different_wrong", True): RIGHT,
    ("wrong_to_different_wrong", False): _WRONG_ANEW,
    ("both_right", True): _WRONG,
    ("both_right", False): RIGHT,
    ("both_wrong", True): RIGHT,
    ("both_wrong", False): _WRONG,
}
NAMED = 3


@dataclass(frozen=True)
class Doubt:
    """A rule that a held-out set can hardly decide, or cannot at all (``never``); or of which no more is known before
    there are predictions (``unknown``)."""

    rule: str
    never: bool
    found: str
    source: Source
    unknown: bool = False

    @property
    def level(self) -> str:
        """``warning``, or ``note`` where there is nothing to mend."""
        return "note" if self.unknown else "warning"

    def __str__(self) -> str:
        return f"{self.source.file}:{self.source.line}: rule {words.printable(self.rule)!r}: {self.found}"


def of_rate(rule: Rule, of: Rate, sizes: Sizes, confidence: float) -> Iterator[Doubt]:
    """A rate whose best and worst counts are known: all rows in one of the five."""
    best, worst = _BEST[of.name, rule.at_most], _BEST[of.name, not rule.at_most]
    measured = Measured(sizes.had(best), confidence)
    if rule.decide_on is DecideOn.PROOF:
        yield from _never_passes(rule, measured, confidence)
        if best == RIGHT:
            yield from _without_flips_only(rule, measured)
    elif rule.decide_on is DecideOn.HARM:
        yield from _never_refuses(rule, Measured(sizes.had(worst), confidence))
    yield from too_short(rule, measured)


def alone(rule: AnyRule, measured: Measured) -> Sequence[Finding]:
    """The findings of one rule as if it were enforced, with no line from which on a pass is a warning."""
    if isinstance(rule, Golden):
        return judge([replace(rule, severity=Severity.ENFORCE)], measured)
    plain = replace(rule, severity=Severity.ENFORCE, threshold=Threshold(rule.threshold.limit))
    if isinstance(plain, Rule):
        over = tuple(replace(one, threshold=Threshold(one.threshold.limit)) for one in plain.overrides)
        plain = replace(plain, overrides=over, units=1)  # a row counts once here
    return judge([plain], measured)


def of_cells(rule: Rule, never: bool, what: str, cells: Sequence[tuple[Cell, str]], of: int) -> Iterator[Doubt]:
    """One doubt about some of a rule's ``of`` cells, each with what is told of it; none if there are none."""
    told = [f"{words.cell(cell)} ({more})" for cell, more in cells[:NAMED]]
    if not told:
        return
    if rule.by is None:
        yield Doubt(rule.id, never, f"{what}: {told[0]}", rule.source)
        return
    rest = f" and {len(cells) - len(told):,} more" if len(cells) > len(told) else ""
    some = f"{len(cells):,} of {of:,} cells: " if of > 1 else ""
    yield Doubt(rule.id, never, f"{what}: {some}{', '.join(told)}{rest}", rule.source)


def hopeless(rule: Rule) -> str:
    """What it is called that a rule can never decide a cell, as the proof is with the update or with the objection."""
    if rule.decide_on is DecideOn.PROOF:
        return "can never pass"
    return "can never be refused, too small to prove harm"


def unknown_yet(rule: Rule, what: str) -> Doubt:
    """What only predictions will tell."""
    return Doubt(rule.id, False, what, rule.source, unknown=True)


def enough(rule: Rule, measured: Measured) -> list[tuple[Finding, int]]:
    """The findings in the cells that have as many rows as the rule asks for, with their rows."""
    rows = measured.rows(rule.by).tolist()
    least = rule.at_least_n or 0
    return [(finding, n) for finding, n in zip(alone(rule, measured), rows, strict=True) if n >= least]


def too_short(rule: Rule, measured: Measured) -> Iterator[Doubt]:
    """The cells that have fewer rows than the rule asks for."""
    rows, cells = measured.rows(rule.by).tolist(), measured.cells(rule.by)
    assert cells is not None
    few = [(Cell(rule.by or "overall", value), n) for value, n in zip(cells.values, rows, strict=True)]
    few = [(cell, n) for cell, n in few if n < (rule.at_least_n or 0)]
    what = f"can never pass, at_least_n is {rule.at_least_n or 0:,}"
    yield from of_cells(rule, True, what, [(cell, f"{n:,} rows") for cell, n in few], len(rows))


def _never_passes(rule: Rule, measured: Measured, confidence: float) -> Iterator[Doubt]:
    told = []
    for finding, n in enough(rule, measured):
        if finding.status is not Status.PASS:
            needed = rows_that_prove(rule.rate, finding.limit, rule.at_most, 0, confidence)
            told.append((finding.cell, lacking(n, needed)))
    yield from of_cells(rule, True, hopeless(rule), told, len(measured.rows(rule.by)))


def lacking(n: int, needed: int | None) -> str:
    """So many rows, of so many that it takes."""
    return f"{n:,}{'' if needed is None or needed <= n else f' of {needed:,}'} rows"


def _without_flips_only(rule: Rule, measured: Measured) -> Iterator[Doubt]:
    if not isinstance(rule.rate, Rate) or not rule.rate.share:
        return
    findings = alone(rule, measured)
    limits = np.asarray([finding.limit for finding in findings])
    allowed = measured.passes_with(rule.rate, rule.by, limits, np.ones(limits.shape, dtype=np.bool_)).tolist()
    rows = measured.rows(rule.by).tolist()
    none = [
        (finding.cell, f"{n:,} rows at {words.percent(finding.limit)}")
        for finding, n, most in zip(findings, rows, allowed, strict=True)
        if most == 0 and n >= (rule.at_least_n or 0)
    ]
    yield from of_cells(rule, False, "passes with no flip only", none, len(rows))


def _never_refuses(rule: Rule, measured: Measured) -> Iterator[Doubt]:
    blunt = [(f.cell, f"{n:,} rows") for f, n in enough(rule, measured) if f.status is not Status.FAIL]
    yield from of_cells(rule, True, hopeless(rule), blunt, len(measured.rows(rule.by)))
