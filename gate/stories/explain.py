"""The story of `gate policy explain`: what each rule demands, in plain words, and how many rows that takes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gate.core.judgement import DecideOn, Severity, Source
from gate.core.means import FEWEST
from gate.core.measures import MEAN_LOSS, OF_SCORES
from gate.core.rates import Rate
from gate.errors import UsageError, did_you_mean
from gate.policy.load import load_policy
from gate.policy.needs import FLIPS, Need, needs, refused_from
from gate.policy.rules import AnyRule, Cost, Golden, Policy, Rule, Waiver
from gate.report import words

_EXAMPLES = (100, 1000)


@dataclass(frozen=True)
class Explained:
    """One rule, told in sentences."""

    rule: str
    source: Source
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    """A policy, told in sentences: what holds for all of it, then rule by rule."""

    file: str
    name: str
    sentences: tuple[str, ...]
    rules: tuple[Explained, ...]


def explain(
    policy: str | os.PathLike[str] | Policy, rule: str | None = None, *, environment: str | None = None
) -> Explanation:
    """What a policy demands, or one ``rule`` of it, in plain words; UsageError for a mistake, or no such rule.

    Rows are those that settle the question at the policy's effective confidence, its error spent over its looks.

    >>> from gate.policy.load import parse_policy
    >>> told = explain(parse_policy("{version: 1, name: x, rules: [{id: few, rate: nfr, at_most: 1%}]}"), "few")
    >>> told.rules[0].sentences[2]
    'It takes 299 rows if no negative flips are seen, 473 with 1, 628 with 2, 1,049 with 5.'
    """
    rules = policy if isinstance(policy, Policy) else load_policy(policy, environment)
    chosen = [one for one in rules.rules if rule is None or one.id == rule]
    if not chosen:
        known = did_you_mean(rule, [one.id for one in rules.rules])
        raise UsageError(f"no rule {rule!r}{known}", where=rules.file)
    told = tuple(Explained(one.id, one.source, tuple(_sentences(one, rules))) for one in chosen)
    return Explanation(rules.file, rules.name, tuple(_of_all(rules)), told)


def _of_all(policy: Policy) -> Iterator[str]:
    number = len(policy.rules)
    where = f", in the environment {policy.environment}" if policy.environment else ""
    yield f"{number} rule{'' if number == 1 else 's'}{where}; an update is allowed only if all enforced ones are met."
    effective = _precise(policy.confidence_of_a_look)
    if policy.looks == 1:
        yield f"Each bound is one-sided, at {effective} confidence; the held-out set serves one decision."
    else:
        yield (
            f"Each bound is one-sided, at {effective} confidence: {words.percent(policy.confidence)}, its error spent"
            f" over {policy.looks} decisions by one held-out set."
        )
    if policy.holdout.clusters is not None:
        yield (
            f"Rows of one {words.name(policy.holdout.clusters)} are not independent: the numbers of rows below are of"
            " independent ones. While nothing flips it takes as many clusters, else more rows by the design effect;"
            " and 10 clusters at least."
        )
    if policy.holdout.weight is not None:
        yield "Rows are weighted: the numbers of rows below are effective ones, (sum w)^2 / sum w^2."
    if policy.absolute_rules_only_without_incumbent:
        yield "Where there is no incumbent yet, only the rules about the candidate alone are judged."
    else:
        yield "Where there is no incumbent, the update is refused as evidence that is missing."
    if policy.holdout.contract is not None:
        yield "The held-out set must meet its contract, or nothing is decided."
    if policy.holdout.exclusions is not None:
        yield "Rows that holdout.exclusions names do not count, for either model, and are shown."


def _sentences(rule: AnyRule, policy: Policy) -> Iterator[str]:
    if isinstance(rule, Golden):
        yield from _golden(rule)
    elif isinstance(rule, Cost):
        yield from _cost(rule, policy)
    else:
        yield from _rate(rule, policy)
    if rule.severity is Severity.WARN:
        yield "It only warns: it never stops an update."
    for waiver in policy.waivers:
        if waiver.rule == rule.id:
            yield _waived(waiver, rule)
    if rule.because:
        yield f"Why: {words.printable(rule.because)}"


def _golden(rule: Golden) -> Iterator[str]:
    which = (
        f"the rows whose ids stand in {words.printable(rule.file)}"
        if rule.file is not None
        else f"the rows that the column {words.name(rule.column)} marks"
    )
    yield f"None of {which} may be a negative flip: what the incumbent gets right there, the candidate must get right."
    yield (
        "They are counted, not estimated: any number of rows will do, one flip refuses, no row at all is inconclusive."
        + (" An id that the held-out set does not have is an error." if rule.file is not None else "")
    )


def _cost(rule: Cost, policy: Policy) -> Iterator[str]:
    limit = f"{rule.threshold.limit:,.10g}"
    yield f"What the flips cost, less what they save, is at most {limit} for {rule.per:,} rows, over all rows together."
    for price in rule.negative:
        yield f"{words.name(price.label)} that becomes {words.name(price.output)} costs {price.amount:,.10g}."
    for price in rule.positive:
        yield f"{words.name(price.output)} that becomes {words.name(price.label)} saves {price.amount:,.10g}."
    yield from _who(rule.decide_on, f"at most {limit}", True)
    kinds = len(rule.negative) + len(rule.positive)
    [need] = needs(rule, policy.confidence_of_a_look)
    yield (
        f"Flips that were not seen may still happen: each of the {kinds} kinds has a bound of its own. "
        f"{_rows(need, 'flips of the dearest kind', 'rows')}"
        if kinds > 1
        else f"Flips that were not seen may still happen. {_rows(need, 'such flips', 'rows')}"
    )
    if rule.at_least_n is not None:
        yield f"Fewer than {rule.at_least_n:,} rows cannot pass; it is inconclusive."
    yield from _warns(rule.threshold.warn, True, lambda number: f"{number:,.10g}")


def _rate(rule: Rule, policy: Policy) -> Iterator[str]:
    shown = _shown(rule, rule.threshold.limit)
    limit = f"{'at most' if rule.at_most else 'at least'} {shown}"
    yield f"The {rule.rate.title}, {rule.rate.meaning}, is {limit}, {_where(rule, policy)}."
    yield from _who(rule.decide_on, limit, rule.at_most)
    own, *others = needs(rule, policy.confidence_of_a_look)
    flips, of = words.COUNTED.get((rule.rate.name, rule.at_most), ("", ""))
    each = "" if rule.by is None else " in each cell"
    if not flips or own.rows[0] is None:
        yield _no_number(rule)
    elif rule.decide_on is DecideOn.HARM:
        yield from _harm(rule, policy, flips, of, each)
    elif rule.decide_on is DecideOn.PROOF:
        yield _rows(own, flips, of, each)
        if own.power is not None:
            yield _power(own, of, each, rule)
    else:
        yield f"Any number of rows decides it, however unsure; to prove it would take {own.rows[0]:,} {of} or more."
    for need in others:
        yield f"For {words.name(need.cell)} the limit is {_shown(rule, need.limit)}." + (
            f" {_rows(need, flips, of)}"
            if flips and need.rows[0] is not None and need.decide_on is DecideOn.PROOF
            else ""
        )
    if rule.at_least_n is not None:
        yield f"A cell of fewer than {rule.at_least_n:,} rows cannot pass; it is inconclusive."
    if rule.holm:
        yield (
            "What is refused is corrected for the number of cells (Holm): more cells take more to refuse one of them."
        )
    yield from _warns(rule.threshold.warn, rule.at_most, lambda number: _shown(rule, number))
    if rule.rate.name in OF_SCORES:
        yield _mean(rule, policy)
    number = len(policy.holdout.noise_floor)
    if rule.rate.name.startswith("excess_") and not number:
        yield (
            "The noise is that of the incumbent against itself: each of its answers is held against its answer to the"
            " same question the next time it was asked; the rate is what goes beyond that."
        )
    elif rule.rate.name.startswith("excess_"):
        yield (
            f"The noise is that of {number} retrained incumbent{'' if number == 1 else 's'}"
            f" ({', '.join(map(words.name, policy.holdout.noise_floor))}); the rate is what goes beyond their mean."
        )


def _mean(rule: Rule, policy: Policy) -> str:
    most, kind = policy.task.largest_change, "lose" if rule.rate.name == MEAN_LOSS else "gain"
    if most is not None:
        return f"No row can {kind} more than {most:,.10g}, so the bound holds whatever the scores are like (Hoeffding)."
    return (
        f"Only rows that {kind} count, {FEWEST} of them at least; the bound is approximate (Student's t, mended for"
        " long tails). With task.largest_change it holds whatever the scores are like, and for any number of rows."
    )


def _where(rule: Rule, policy: Policy) -> str:
    if rule.by is None:
        return "over all rows together"
    if rule.by in policy.holdout.slices:
        columns = " and ".join(words.name(column) for column in policy.holdout.slices[rule.by].columns)
        return f"in each cell of the slice {words.name(rule.by)} (cut by {columns})"
    told = {"class": "for each label", "output": "for each answer of the candidate", "label": "for each label"}
    return told.get(rule.by, f"for each {words.name(rule.by)}")


def _who(decide_on: DecideOn, limit: str, at_most: bool) -> Iterator[str]:
    far, near, past = ("upper", "lower", "above") if at_most else ("lower", "upper", "below")
    if decide_on is DecideOn.PROOF:
        yield (
            f"The update carries the proof: it passes if the {far} bound is {limit}, is refused if the {near} bound is"
            f" {past} that, and is inconclusive in between."
        )
    elif decide_on is DecideOn.HARM:
        yield (
            f"The objection carries the proof: the update is refused only if even the {near} bound is {past} the limit;"
            " what is neither proven harmful nor proven safe is a warning."
        )
    else:
        yield f"Nobody carries the proof: the estimate itself is held against the limit ({limit})."


def _rows(need: Need, flips: str, of: str, each: str = "") -> str:
    first, *others = zip(FLIPS, need.rows, strict=True)
    if first[1] is None:
        return "No number of rows proves that."
    rest = [f"{rows:,} with {number}" for number, rows in others if rows is not None]
    return f"It takes {first[1]:,} {of}{each} if no {flips} are seen, {', '.join(rest)}."


def _power(need: Need, of: str, each: str, rule: Rule) -> str:
    power = need.power
    assert power is not None
    return (
        f"If the rate truly is {_shown(rule, power.rate)}, {words.percent(power.power)} of such updates pass from"
        f" {power.first:,} {of}{each} on, and at every number from {power.always:,} on."
    )


def _harm(rule: Rule, policy: Policy, flips: str, of: str, each: str) -> Iterator[str]:
    confidence = policy.confidence_of_a_look
    told = []
    for rows in _EXAMPLES:
        number = refused_from(rule.rate, rule.threshold.limit, rule.at_most, rows, confidence)
        if number is not None:
            told.append(f"{number:,} {flips} among {rows:,} {of}")
    if told:
        before = ", before the correction" if rule.holm else ""
        yield f"It is refused from {' or '.join(told)} on{each}{before}."
    [own, *_] = needs(rule, confidence)
    if own.rows[0] is not None:
        yield f"Fewer than {own.rows[0]:,} {of}{each} cannot show it safe, and let harm through unseen."


def _no_number(rule: Rule) -> str:
    name = rule.rate.name
    if name == "error_rate_change":
        return "How many rows that takes depends on how many rows flip both ways: `gate check` says what is lacking."
    if isinstance(rule.rate, Rate) and not rule.rate.share:
        return "How many rows that takes depends on the errors of both models too: `gate check` says what is lacking."
    if rule.rate.name in OF_SCORES:
        kind = "lose" if rule.rate.name == MEAN_LOSS else "gain"
        return f"How many rows that takes depends on how many of them {kind}, and on how much that varies."
    if not isinstance(rule.rate, Rate):
        return "How many rows that takes depends on how far the retrained incumbents differ among themselves."
    return "No number of rows proves that."


def _warns(number: float | None, at_most: bool, shown: object) -> Iterator[str]:
    if number is not None and callable(shown):
        yield f"Where the deciding bound is {'above' if at_most else 'below'} {shown(number)}, a pass is a warning."


def _waived(waiver: Waiver, rule: AnyRule) -> str:
    cell = f" for {words.name(waiver.cell)}" if waiver.by_cell else ""
    up_to = ""
    if waiver.up_to is not None:
        up_to = f" up to {_shown(rule, waiver.up_to) if isinstance(rule, Rule) else f'{waiver.up_to:,.10g}'}"
    return (
        f"Waived{cell}{up_to} by {words.printable(waiver.owner)} until {waiver.expires}:"
        f" {words.printable(waiver.because)}"
    )


def _shown(rule: Rule, number: float) -> str:
    return words.percent(number) if rule.rate.percent else f"{number:.10g}"


def _precise(share: float) -> str:
    return f"{share * 100:.6g}%"


def lines(told: Explanation, width: int = 80) -> Sequence[str]:
    """The explanation as lines of a terminal."""
    from textwrap import wrap

    found = [line for sentence in told.sentences for line in wrap(sentence, width)]
    found.insert(0, f"{told.file}: {words.printable(told.name)}")
    for rule in told.rules:
        found += ["", f"{words.printable(rule.rule)} ({rule.source.file}:{rule.source.line})"]
        for sentence in rule.sentences:
            found += wrap(sentence, width, initial_indent="  - ", subsequent_indent="    ")
    return found
