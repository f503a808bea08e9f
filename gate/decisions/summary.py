"""A verdict in one sentence of plain text, short enough for a tag and harmless wherever it is shown."""

from __future__ import annotations

from gate.core.judgement import Severity, Status, Verdict
from gate.decisions.record import Decision

LONGEST = 300

_OPENING = {
    Verdict.ALLOW: "Allowed: version {new} of {model} may {be}",
    Verdict.REFUSE: "Refused: version {new} of {model} must not {be}",
    Verdict.INCONCLUSIVE: "Inconclusive: version {new} of {model} is not shown to be safe to {be}",
    Verdict.ERROR: "Error: version {new} of {model} must not {be}",
}
_DECIDES = {
    Verdict.REFUSE: Status.FAIL,
    Verdict.INCONCLUSIVE: Status.INCONCLUSIVE,
    Verdict.ERROR: Status.ERROR,
}


def of_verdict(decision: Decision, *, new: int | None, old: int | None) -> str:
    """What the verdict is of version ``new`` against ``old`` (None: there was no alias), by which rules, on what rows.

    Example::

        "Allowed: version 7 of fraud may replace version 6 as @champion: 7 negative and 9 positive flips in ..."
    """
    alias = f"@{decision.target.alias}"
    be = f"become {alias}" if old is None else f"replace version {old} as {alias}"
    opening = _OPENING[decision.verdict].format(new=new, model=decision.target.model, be=be)
    counts = decision.counts
    seen = (
        f"{counts.n:,} {decision.task.units}"
        if counts.negative is None or counts.positive is None
        else f"{counts.negative:,} negative and {counts.positive:,} positive flips"
        f" in {counts.n:,} {decision.task.units}"
    )
    status = _DECIDES.get(decision.verdict)
    rules = dict.fromkeys(
        finding.rule
        for finding in decision.findings
        if finding.status is status and (finding.severity is Severity.ENFORCE or status is Status.ERROR)
    )
    named = ", ".join(map(repr, list(rules)[:2])) + (f" and {len(rules) - 2} more" if len(rules) > 2 else "")
    by = f" (rule{'s' if len(rules) > 1 else ''} {named})" if named else ""
    return short(f"{opening}{by}: {seen}, policy {decision.policy.name}.")


def short(text: str) -> str:
    """The text, harmless, and cut where it is longer than a summary may be.

    >>> len(short("x" * 1000)), short("x" * 1000)[-5:]
    (300, 'xx...')
    """
    plain = harmless(text)
    return plain if len(plain) <= LONGEST else plain[: LONGEST - 3] + "..."


def harmless(text: str) -> str:
    """The text with a replacement character for each that could harm a terminal or turn a page around.

    >>> harmless("red\\x1b[31m") == "red\\ufffd[31m"
    True
    """
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
