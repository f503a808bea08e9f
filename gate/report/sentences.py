"""The sentences of a report: the verdict and why, what would make it pass, and what is to be known besides.

Everything here is looked up in the decision and put in words. Nothing is computed.
"""

from __future__ import annotations

from collections.abc import Sequence

from gate.core.judgement import DecideOn, Finding, Severity, Status, Verdict
from gate.core.measures import BEYOND_NOISE
from gate.core.measures import about as measure
from gate.decisions.record import Decision, RateRow
from gate.report import words

MOST_NAMED = 3
WORST_FIRST = [Status.ERROR, Status.FAIL, Status.INCONCLUSIVE, Status.WARN, Status.WAIVED, Status.PASS]

_NOISE = 1  # the place of the edge below which noise is likely
_AS = {"upper": "at most ", "lower": "at least ", "estimate": ""}
_DECIDES = {
    Verdict.REFUSE: Status.FAIL,
    Verdict.INCONCLUSIVE: Status.INCONCLUSIVE,
    Verdict.ERROR: Status.ERROR,
    Verdict.ALLOW: Status.PASS,
}
_SIDES = {"lower": "lower bound", "upper": "upper bound", "estimate": "estimate"}
_LIKEWISE = {
    Status.FAIL: "Also failing",
    Status.INCONCLUSIVE: "Also inconclusive",
    Status.ERROR: "Also in error",
}


def sentences(decision: Decision) -> tuple[str, ...]:
    """The verdict, what decides it, and what else a reader should know before the numbers."""
    who = words.who(decision.provenance.candidate.uri)
    old = decision.provenance.incumbent
    over = f" replace {words.who(old.uri)}" if old else " be promoted"
    decided = deciding(decision)
    if decision.verdict is Verdict.ALLOW:
        enforced = [f.status for f in decision.findings if f.severity is Severity.ENFORCE]
        warned, excused = enforced.count(Status.WARN), enforced.count(Status.WAIVED)
        but = f", {warned} of them with a warning" if warned else ""
        but += f", {excused} of them only because of a waiver" if excused else ""
        of = (
            "the one enforced finding does not stand"
            if len(enforced) == 1
            else (f"none of the {len(enforced)} enforced findings stands")
        )
        first = f"{who} may{over}: {of} against it{but}."
        return (first, *((f"The tightest: {_found(decision, decided)}",) if decided else ()), *_besides(decision))
    if decided is None:
        return (f"{who} must not{over}: no enforced rule is left, and what is not checked is not allowed.",)
    verb = "must not" if decision.verdict is Verdict.REFUSE else "is not shown to be safe to"
    told = [f"{who} {verb}{over}.", f"What decides: {_found(decision, decided)}", *_on_average(decision)]
    others = [
        f
        for f in decision.findings
        if f.status is decided.status and f.severity is Severity.ENFORCE and f is not decided
    ]
    if others:
        named = ", ".join(f"'{words.printable(f.rule)}' ({words.cell(f.cell)})" for f in others[:MOST_NAMED])
        more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
        told.append(f"{_LIKEWISE[decided.status]}: {named}{more}.")
    if decided.because:
        told.append(f"Why '{words.printable(decided.rule)}' is a rule: {words.printable(decided.because)}")
    return (*told, *_besides(decision))


def _on_average(decision: Decision) -> tuple[str, ...]:
    """What the average says, beside what single rows say: an update may be better on average and still break much."""
    counts = decision.counts
    found = {row.of: row.estimate for row in decision.rates if row.rate == "error_rate"}
    before, after = found.get("incumbent"), found.get("candidate")
    if before is None or after is None or counts.negative is None:
        return ()
    broken = f"{words.rows(counts.negative)} {decision.task.units} that were right"
    mended = f"{words.rows(counts.positive)} that were wrong"
    old, new = (words.number(rate, "error_rate") for rate in (before, after))
    if after == before:
        return (f"On average it is as good (error rate {new}): it breaks {broken}, and mends {mended}.",)
    change = next((row for row in decision.rates if row.rate == "error_rate_change"), None)
    low, high = (change.lower, change.upper) if change else (None, None)
    sure = (high is not None and high < 0) if after < before else (low is not None and low > 0)
    way = "better" if after < before else "worse"
    unsure = (
        ""
        if sure
        else f"; a change of {words.number(low, 'error_rate_change')} to {words.number(high, 'error_rate_change')}, so"
        " that is not proven"
    )
    but = f"but it breaks {broken}" if after < before else f"and it breaks {broken}, and mends {mended}"
    return (f"On average it {'is' if sure else 'looks'} {way} (error rate {old} before, {new} now{unsure}), {but}.",)


def _besides(decision: Decision) -> tuple[str, ...]:
    """What else keeps it from being promoted, where that is not the verdict."""
    because = decision.promotable.because
    if decision.promotable.value or decision.target.model is None or not because or because.startswith("the verdict"):
        return ()
    allowed = decision.verdict is Verdict.ALLOW
    but = "It cannot be promoted all the same" if allowed else "Even if it were allowed, it could not be promoted"
    return (f"{but}: {words.printable(because)}.",)


def deciding(decision: Decision) -> Finding | None:
    """The finding to name first: of the worst status, the first rule's, and of its cells the one furthest off."""
    status = _DECIDES[decision.verdict]
    found = [f for f in decision.findings if f.status is status and f.severity is Severity.ENFORCE]
    if not found:
        return None
    chosen = found if decision.verdict is Verdict.ALLOW else [f for f in found if f.rule == found[0].rule]
    return min(chosen, key=lambda f: float("inf") if f.margin is None else f.margin)


def _found(decision: Decision, finding: Finding) -> str:
    about = measure(finding.rate, finding.of)
    where = "" if finding.cell.by == "overall" else f" of {words.cell(finding.cell)}"
    seen = words.number(finding.estimate, finding.rate, finding.of)
    net = "net " if finding.rate == "error_rate_change" else ""
    _, among = words.counted(finding, decision.task.units)
    of = f"{words.rows(finding.n)} {among}".rstrip()
    counted = f" ({net}{words.rows(finding.numerator)} of {of})" if about.percent else ""
    sentence = (
        f"rule '{words.printable(finding.rule)}' wants the {about.title}{where} {words.limit(finding)};"
        f" it is {seen}{counted}"
    )
    row = _row(decision, finding)
    if finding.side == "estimate":
        return f"{sentence}, judged by the estimate alone."
    sure = f"with {words.percent(decision.evidence.confidence if row is None else row.confidence)} confidence"
    if row is None:  # beyond the rates of one table: excesses and costs
        bound = words.number(finding.bound, finding.rate, finding.of)
        return f"{sentence}, and {sure} " + ("unbounded." if finding.bound is None else f"{_AS[finding.side]}{bound}.")
    low, high = (words.number(b, finding.rate, finding.of) for b in (row.lower, row.upper))
    if finding.status is Status.INCONCLUSIVE:
        return f"{sentence}, and {sure} each it is at least {low} and at most {high}: too few rows to tell."
    harm = (finding.status is Status.FAIL) == finding.at_most
    return f"{sentence}, and {sure} " + (f"at least {low}." if harm else f"at most {high}.")


def _row(decision: Decision, finding: Finding) -> RateRow | None:
    rows: Sequence[RateRow] = decision.rates
    if finding.cell.by != "overall":
        value = finding.cell.value
        here = [
            c for c in decision.cells if c.by == finding.cell.by and type(c.value) is type(value) and c.value == value
        ]
        rows = here[0].rates if here else ()
    return next((row for row in rows if (row.rate, row.of) == (finding.rate, finding.of)), None)


def next_steps(decision: Decision) -> tuple[str, ...]:
    """What would make it pass, for the findings that stand in the way: the first of each rule."""
    steps = []
    told: set[str] = set()
    for finding in sorted(decision.findings, key=lambda f: WORST_FIRST.index(f.status)):
        blocks = finding.status in (Status.FAIL, Status.INCONCLUSIVE) and finding.severity is Severity.ENFORCE
        if not blocks or finding.rule in told:
            continue
        told.add(finding.rule)
        where = "" if finding.cell.by == "overall" else f", {words.cell(finding.cell)}"
        opening = f"'{words.printable(finding.rule)}'{where}:"
        ways = []
        if finding.passes_with is not None:
            ways.append(_passing(decision, finding))
        if finding.rows_needed is not None:
            ways.append(
                f"about {words.roughly(finding.rows_needed)} more rows{' of this kind' if where else ''} would settle"
                " it, if the rate stays as it is"
            )
        elif finding.status is Status.INCONCLUSIVE and finding.passes_with is None:
            ways.append(
                "how many more rows would settle it cannot be said"
                if finding.rate in BEYOND_NOISE
                else "no number of further rows settles it at the rate seen"
            )
        if finding.status is Status.FAIL and finding.passes_with is None:
            ways.append(_to_come(decision, finding))
        steps.append(f"{opening} {'; or '.join(ways)}.")
    if decision.verdict is Verdict.REFUSE and decision.counts.negative:
        steps += [
            "Look at the kinds of rows that flip (below), and mend the candidate with other rows like them. Never train"
            " it on these: a held-out set that was trained on proves nothing.",
            "Where a label is wrong, correct it, whomever that helps: look at the positive flips and at rows that did"
            " not flip too. Then judge again.",
            _looks(decision),
        ]
    return tuple(steps)


def _looks(decision: Decision) -> str:
    """How many looks at the held-out set the bounds allow for, and how many were used before."""
    looks, before = decision.evidence.looks, decision.evidence.uses_before
    used = "" if before is None else f", and before this check it had judged {before or 'no'} other candidate"
    used += "" if before in (None, 1) else "s"
    allowed = f"{looks} look{'' if looks == 1 else 's'} at this held-out set (a candidate judged is a look)"
    return (
        f"The bounds allow for {allowed}{used}: another one needs a look that is left (`looks` in the policy), or rows"
        " that no candidate was judged on."
    )


def _passing(decision: Decision, finding: Finding) -> str:
    """With how many flips it would have passed, and why with so few: the bound, not what was seen, keeps the limit."""
    what, among = words.counted(finding, decision.task.units)
    sure = words.percent(decision.evidence.confidence)
    return (
        f"passes with {words.rows(finding.passes_with)} or fewer {what} among {words.rows(finding.n)} {among}"
        f", which would prove {words.limit(finding)} with {sure} confidence; there are {words.rows(finding.numerator)}"
    )


def _to_come(decision: Decision, finding: Finding) -> str:
    """Where a rate must come to, and where it is."""
    title = measure(finding.rate, finding.of).title
    seen = words.number(finding.estimate, finding.rate, finding.of)
    bound = words.bound(finding)
    if finding.decide_on is DecideOn.HARM and finding.bound is not None:
        lower = words.number(finding.bound, finding.rate, finding.of)
        of = f"{_SIDES[finding.side]} of the {title}"
        return f"fails no longer once the {of} is {words.limit(finding)}; it is {lower}, and {seen} was seen"
    sure = f", and with {words.percent(decision.evidence.confidence)} confidence {bound}" if bound else ""
    return f"the {title} must come to {words.limit(finding)}; it is {seen}{sure}"


def notes(decision: Decision) -> tuple[str, ...]:
    """What is to be known beside the numbers: rows that do not count, what was noticed, what was not judged."""
    return tuple(
        words.printable(note)
        for note in (
            *(f"{row.rows:,} rows do not count: {row.reason} ({row.owner})" for row in decision.exclusions),
            *decision.evidence.notes,
            *_worth(decision),
            *_near_ties(decision),
            *(f"rule {left.rule!r} was not judged: {left.because}" for left in decision.evidence.not_judged),
        )
    )


def _worth(decision: Decision) -> tuple[str, ...]:
    """What rows that belong together or weigh differently are worth, where that is less than their number."""
    row = next((row for row in decision.rates if row.rate == "nfr"), None)
    if row is None or row.effective_n >= row.n:
        return ()
    worth, units = words.rows(int(row.effective_n)), decision.task.units
    return (f"for the bounds of the NFR these {words.rows(row.n)} {units} are worth {worth} independent ones",)


def _near_ties(decision: Decision) -> tuple[str, ...]:
    """How many negative flips numeric noise may have turned, where answers carry scores that tell."""
    found, negative = decision.near_ties, decision.counts.negative
    if found is None or not negative:
        return ()
    near, edge = found.negative[_NOISE], f"{found.edges[_NOISE]:g}"
    close = (
        f"a model's score is within {edge} of its threshold"
        if decision.task.outputs == "scores"
        else f"the two best scores of a model are within {edge}"
    )
    # bfloat16 is off by 1/256 of a number: for a probability that is within the last edge, for a logit it need not be.
    wide, far = found.negative[-1], ", and others" if decision.task.outputs == "logits" else ""
    told = f"; bfloat16 could turn the {words.rows(wide)} within {found.edges[-1]:g}{far}" if wide > near else ""
    if not near:
        return (f"none of the {words.rows(negative)} negative flips is a near tie ({close}){told}",)
    many = "is a near tie" if near == 1 else "are near ties"
    return (
        f"{words.rows(near)} of {words.rows(negative)} negative flips {many}: {close};"
        f" other batch sizes or hardware could turn them{told}",
    )
