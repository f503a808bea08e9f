"""What a held-out set of a given size can decide, whatever the models answer: each rule at its best and its worst."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil, inf

import numpy as np

from gate.core.bounds import clopper_pearson
from gate.core.flips import BY_OUTPUT, FlipCounts, FlipTable
from gate.core.judgement import Cell, DecideOn, Status
from gate.core.means import FEWEST, Moments, mean_tests
from gate.core.measured import Measured
from gate.core.measures import MEAN_LOSS, OF_SCORES
from gate.core.rates import Rate, rate
from gate.policy.judge import judge
from gate.policy.needs import FLIPS, fewest_rows, rows_that_prove
from gate.policy.rules import Cost, Golden, Policy, Rule
from gate.policy.waive import waived
from gate.stories.doubts import (
    RIGHT,
    Doubt,
    alone,
    enough,
    hopeless,
    lacking,
    of_cells,
    of_rate,
    too_short,
    unknown_yet,
)
from gate.stories.sizes import Sizes

__all__ = ["Certifies", "Doubt", "certifies", "doubts"]

LONG_AGO = "0001-01-01"  # a day on which no waiver had expired yet


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
    """The rules that these rows can never decide, whatever the models answer, or only if nothing flips; and those of
    which more is known only when there are predictions.

    UsageError, with file and line, for a rule that matches no cell, and an override or a waiver for a cell that does
    not exist; all of them at once.
    """
    policy = sizes.policy
    confidence = policy.confidence_of_a_look
    _names_what_is_there(policy, sizes, confidence)
    found: list[Doubt] = []
    for rule in policy.rules:
        if isinstance(rule, Golden):
            if not alone(rule, Measured(sizes.had(RIGHT), confidence))[0].n:
                found.append(Doubt(rule.id, True, "no row is marked as golden, so it is inconclusive", rule.source))
        elif isinstance(rule, Cost):
            found += _of_cost(rule, Measured(sizes.had(RIGHT), confidence))
        elif sizes.known(rule.by):
            found += _of_one(rule, sizes, confidence)
        else:
            found += _of_answers(rule, sizes, confidence)
    return found


def _of_one(rule: Rule, sizes: Sizes, confidence: float) -> Iterator[Doubt]:
    if rule.rate.name in OF_SCORES:
        return _of_scores(rule, sizes, confidence)
    if not isinstance(rule.rate, Rate):
        return _of_excess(rule, sizes)
    if rule.rate.name == "relative_nfr":
        return _of_relative(rule, rule.rate, sizes, confidence)
    return of_rate(rule, rule.rate, sizes, confidence)


def _of_relative(rule: Rule, of: Rate, sizes: Sizes, confidence: float) -> Iterator[Doubt]:
    """Relative NFR: at its best and its worst the counts are a mixture, which the number of rows decides."""
    measured = Measured(sizes.table, confidence)
    if rule.decide_on is not DecideOn.ESTIMATE:
        proof = rule.decide_on is DecideOn.PROOF
        pairs = enough(rule, measured)
        fewest = {
            limit: fewest_rows(of, limit, rule.at_most, proof, confidence) for limit in {f.limit for f, _ in pairs}
        }
        few = [(f.cell, lacking(n, fewest[f.limit])) for f, n in pairs if n < (fewest[f.limit] or inf)]
        yield from of_cells(rule, True, hopeless(rule), few, len(measured.rows(rule.by)))
        if len(few) < len(pairs):
            yield unknown_yet(rule, "whether these rows decide it depends on how often both models err")
    yield from too_short(rule, measured)


def _of_excess(rule: Rule, sizes: Sizes) -> Iterator[Doubt]:
    """An excess over noise: a change of error rate, in which a row that only the noise flips counts as mended."""
    policy, change = sizes.policy, rate("error_rate_change")
    each = 1.0 - (1.0 - policy.confidence_of_a_look) / max(len(policy.holdout.noise), 1)
    as_change = replace(rule, rate=change)
    known = list(of_rate(as_change, change, sizes, each))
    yield from known
    if any(doubt.never for doubt in known) or rule.decide_on is DecideOn.ESTIMATE:
        return
    if rule.decide_on is DecideOn.PROOF and rule.at_most:
        quiet = Measured(sizes.had(RIGHT), each)
        few = [
            (finding.cell, lacking(n, rows_that_prove(change, finding.limit, True, 0, each)))
            for finding, n in enough(as_change, quiet)
            if finding.status is not Status.PASS
        ]
        what = "passes only if the noise flips rows that the candidate does not"
        yield from of_cells(rule, False, what, few, len(quiet.rows(rule.by)))
    yield unknown_yet(rule, "whether these rows decide it depends on how much the noise flips")


def _of_scores(rule: Rule, sizes: Sizes, confidence: float) -> Iterator[Doubt]:
    """A mean over the rows that lose (or gain): at best all of them do, and by as much as helps."""
    measured, largest = Measured(sizes.table, confidence), sizes.policy.task.largest_change
    if rule.decide_on is not DecideOn.ESTIMATE:
        below = rule.at_most == (rule.decide_on is DecideOn.PROOF)
        # of the rate only cells and limits are looked at here
        pairs = enough(replace(rule, rate=rate("nfr")), measured)
        few = [
            (finding.cell, f"{n:,} rows")
            for finding, n in pairs
            if not _shown_by(n, finding.limit, below, largest, confidence)
        ]
        yield from of_cells(rule, True, hopeless(rule), few, len(measured.rows(rule.by)))
        if len(few) < len(pairs):
            fewer = f", and fewer than {FEWEST} of them prove nothing unless task.largest_change is stated"
            kind = "lose" if rule.rate.name == MEAN_LOSS else "gain"
            yield unknown_yet(rule, f"it rests on the rows that {kind}{fewer if largest is None else ''}")
    yield from too_short(rule, measured)


def _shown_by(n: int, limit: float, below: bool, largest: float | None, confidence: float) -> bool:
    """Whether a mean over ``n`` rows could be shown below the limit, or above it."""
    if largest is None:
        return n >= FEWEST
    size = 0.0 if below else largest
    moments = Moments(*(np.asarray([number]) for number in (float(n), n * size, n * size * size, size)))
    return bool(mean_tests(moments, limit, largest)[0 if below else 1][0] <= 1.0 - confidence)


def _of_answers(rule: Rule, sizes: Sizes, confidence: float) -> Iterator[Doubt]:
    """A rule whose cells are known only once there are answers: none of them has more than all rows."""
    n = sizes.rows
    # at best independent rows, each worth as much as any other
    whole = replace(sizes, table=FlipTable(FlipCounts(both_right=n)))
    loosest = max if rule.at_most == (rule.decide_on is DecideOn.PROOF) else min
    limit = loosest([rule.threshold, *(over.threshold for over in rule.overrides)], key=lambda one: one.limit)
    everywhere = replace(rule, by=None, overrides=(), threshold=limit)
    never = [doubt for doubt in _of_one(everywhere, whole, confidence) if doubt.never]
    if never:
        yield Doubt(rule.id, True, f"by {rule.by}, and no cell has more than all rows: {never[0].found}", rule.source)
        return
    told = f"its cells are known only when there are predictions to cut by {rule.by}"
    needed = rows_that_prove(rule.rate, rule.threshold.limit, rule.at_most, 0, confidence)
    if needed is not None and rule.decide_on is DecideOn.PROOF:
        told += f"; each takes {max(needed, rule.at_least_n or 1):,} rows if nothing counts against it"
    yield unknown_yet(rule, told)


def _names_what_is_there(policy: Policy, sizes: Sizes, confidence: float) -> None:
    """That rules, overrides and waivers name cells that exist, as the judgement itself sees it."""
    unknown = {BY_OUTPUT, "class", "label"} - set(sizes.table.cells)
    # whatever the rate and whoever carries the proof, the cells are these
    nfr, estimate = rate("nfr"), DecideOn.ESTIMATE
    rules = tuple(
        replace(rule, rate=nfr, decide_on=estimate, holm=False) if isinstance(rule, Rule) else rule
        for rule in policy.rules
    )
    measured = Measured(sizes.table, confidence)
    judged = judge([rule for rule in rules if not isinstance(rule, Rule) or rule.by not in unknown], measured)
    waived(replace(policy, rules=rules), list(judged), measured, {}, LONG_AGO)


def _of_cost(rule: Cost, measured: Measured) -> Iterator[Doubt]:
    finding = alone(rule, measured)[0]
    if rule.at_least_n is not None and finding.n < rule.at_least_n:
        found = f"can never pass, at_least_n is {rule.at_least_n:,}: all rows ({finding.n:,} rows)"
        yield Doubt(rule.id, True, found, rule.source)
    elif rule.decide_on is DecideOn.PROOF and finding.status is not Status.PASS:
        bound = "unknown" if finding.bound is None else f"{ceil(finding.bound):,}"
        yield Doubt(
            rule.id,
            True,
            f"can never pass: with {finding.n:,} rows and no flip at all the bound is {bound}, since costly flips may"
            f" not have been seen; the limit is {rule.threshold.limit:,.10g}",
            rule.source,
        )
