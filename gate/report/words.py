"""Numbers and names as a reader sees them; whatever comes from data is made harmless to a terminal."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from gate.core.judgement import Cell, Finding, Status
from gate.core.measures import about as measure
from gate.core.outcomes import Value

LONGEST_NAME = 40
COUNTED = {
    ("error_rate", True): ("wrong answers", "rows"),
    ("error_rate", False): ("right answers", "rows"),
    ("nfr", True): ("negative flips", "rows"),
    ("nfr", False): ("rows that are no negative flip", "rows"),
    ("pfr", True): ("positive flips", "rows"),
    ("pfr", False): ("rows that are no positive flip", "rows"),
    ("nfi", True): ("negative flips", "errors of the candidate"),
    ("nfi", False): ("errors that are not new", "errors of the candidate"),
    ("btc", True): ("rows that stay right", "rows that the incumbent gets right"),
    ("btc", False): ("negative flips", "rows that the incumbent gets right"),
    ("bec", True): ("errors that are not new", "errors of the candidate"),
    ("bec", False): ("negative flips", "errors of the candidate"),
    ("churn", True): ("changed answers", "rows"),
    ("churn", False): ("answers that did not change", "rows"),
    ("wrong_to_different_wrong", True): ("errors that became another error", "rows"),
    ("wrong_to_different_wrong", False): ("rows that are no such change", "rows"),
    ("both_right", True): ("rows that both get right", "rows"),
    ("both_right", False): ("rows that one of them gets wrong", "rows"),
    ("both_wrong", True): ("rows that both get wrong", "rows"),
    ("both_wrong", False): ("rows that one of them gets right", "rows"),
    ("error_rate_change", True): ("negative flips (and no positive ones)", "rows"),
}
"""(rate, limit from above) -> what is counted against the limit, and among what."""

_CELLS = {"class": ("class", "classes"), "output": ("answer", "answers"), "label": ("label", "labels")}
_SIDES = {"upper": "at most", "lower": "at least"}
_TALLIED = {
    Status.ERROR: ("is an error", "are errors"),
    Status.FAIL: ("fails", "fail"),
    Status.INCONCLUSIVE: ("is inconclusive", "are inconclusive"),
    Status.WARN: ("warns", "warn"),
    Status.WAIVED: ("is waived", "are waived"),
    Status.PASS: ("passes", "pass"),
}
_HARMFUL = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def printable(text: str) -> str:
    """The text with control, bidirectional and unassigned characters written as escapes.

    >>> print(printable("red\\x1b[31m\\u202e"))
    red\\x1b[31m\\u202e
    """
    return "".join(
        char.encode("unicode_escape").decode("ascii") if unicodedata.category(char) in _HARMFUL else char
        for char in text
    )


def name(value: Value, longest: int = LONGEST_NAME) -> str:
    """A label, an output or a slice value: text that could be taken for another value is quoted.

    >>> name("cat"), name("1"), name(1), name(None), name("")
    ('cat', "'1'", '1', '(none)', "''")
    """
    if value is None:
        return "(none)"
    if isinstance(value, float):
        return f"{value:.1f}" if value.is_integer() and abs(value) < 1e15 else repr(value)
    if not isinstance(value, str):
        return str(value)
    shown = printable(value)
    if len(shown) > longest:
        shown = shown[: longest - 3] + "..."
    doubtful = not value or value != value.strip() or re.fullmatch(r"[-+\d.eE]+|True|False|None|\(none\)", value)
    return f"'{shown}'" if doubtful else shown


def cell(of: Cell, units: str = "rows") -> str:
    """A cell in words.

    >>> cell(Cell("class", "cat")), cell(Cell("overall"))
    ('class cat', 'all rows')
    """
    if of.by == "overall":
        return f"all {units}"
    return printable(of.by) if of.by.startswith("golden set ") else f"{printable(of.by)} {name(of.value)}"


def number(value: float | None, of_rate: str, of: str | None = None, signed: bool = False) -> str:
    """A rate or bound in its unit.

    >>> number(0.0301, "nfr"), number(0.2524, "relative_nfr"), number(None, "nfr"), number(0.00012, "mean_loss")
    ('3.01%', '0.252', 'undefined', '0.00012')
    """
    if value is None:
        return "undefined"
    sign = "+" if signed or of_rate == "error_rate_change" else ""
    if not measure(of_rate, of).percent:
        return f"{value:{sign}.3g}" if 0 < abs(value) < 0.01 else f"{value:{sign},.3f}"
    digits = 3 if 0 < abs(value) < 0.001 else 2
    return f"{value * 100:{sign}.{digits}f}%"


def limit(finding: Finding) -> str:
    """The limit of a finding, as short as it was written: ``at most 2%``."""
    side = "at most" if finding.at_most else "at least"
    if measure(finding.rate, finding.of).percent:
        return f"{side} {finding.limit * 100:.10g}%"
    return f"{side} {finding.limit:.10g}"


def bound(finding: Finding) -> str:
    """The bound that decides: ``at least 7.09%``; empty where there is none, and where the estimate decides."""
    if finding.side not in _SIDES:
        return ""
    if finding.bound is None:
        return "unbounded"
    return f"{_SIDES[finding.side]} {number(finding.bound, finding.rate, finding.of)}"


def margin(finding: Finding) -> str:
    """How far the bound that decides is from the limit, and what that means: past it, within it, or not proven.

    Example::

        margin(finding)    # 'past it by 1.09%', 'within it by 0.27%', 'unproven by 9.14%'
    """
    if finding.margin is None:
        return ""
    far = number(abs(finding.margin), finding.rate, finding.of).removeprefix("+")
    if finding.margin >= 0:
        return f"within it by {far}"
    harm = finding.side == "estimate" or (finding.side == "lower") == finding.at_most
    return f"past it by {far}" if harm else f"unproven by {far}"


def counted(finding: Finding, units: str) -> tuple[str, str]:
    """What a finding counts, and among what: negative flips, rows. Empty where it counts nothing."""
    what, among = COUNTED.get((finding.rate, finding.at_most), ("", ""))
    return re.sub(r"\brows\b", units, what), re.sub(r"\brows\b", units, among)


def cells(by: str, number_: int) -> str:
    """So many cells of a dimension in words.

    >>> cells("class", 10), cells("site", 1)
    ('10 classes', '1 value of site')
    """
    one, many = _CELLS.get(by, (f"value of {printable(by)}", f"values of {printable(by)}"))
    return f"{rows(number_)} {one if number_ == 1 else many}"


def tally(findings: Sequence[Finding]) -> str:
    """How many cells of a rule came out how, the worst first.

    Example::

        tally(findings)    # '1 fails, 7 warn, 2 pass of 10 classes'
    """
    told = []
    for status, (one, many) in _TALLIED.items():
        found = sum(finding.status is status for finding in findings)
        told += [f"{rows(found)} {one if found == 1 else many}"] if found else []
    return f"{', '.join(told)} of {cells(findings[0].cell.by, len(findings))}"


def rows(number_: int | None) -> str:
    """A count with separators.

    >>> rows(32866)
    '32,866'
    """
    return "unknown" if number_ is None else f"{number_:,}"


def roughly(number_: int) -> str:
    """A count that is only meant roughly: two figures of it.

    >>> roughly(109039), roughly(87)
    ('110,000', '87')
    """
    return f"{int(float(f'{number_:.2g}')):,}"


def percent(share: float) -> str:
    """A share as a short percentage.

    >>> percent(0.95)
    '95%'
    """
    return f"{share * 100:.10g}%"


def share(count: int, n: int) -> str:
    """A count as a share of all rows; of none it is undefined.

    >>> share(51, 898), share(0, 0)
    ('5.68%', 'undefined')
    """
    return number(count / n if n else None, "nfr")


def answer(value: Value, confidence: float | None) -> str:
    """What a model said, and how sure it was where that is known.

    >>> answer("cat", 0.913), answer("cat", None)
    ('cat (91% sure)', 'cat')
    """
    shown = name(value)
    return shown if confidence is None else f"{shown} ({confidence * 100:.0f}% sure)"


def who(uri: str) -> str:
    """A model of the registry by its URI, a column of predictions by file name and column.

    >>> who("models:/fraud/7"), who("/data/predictions.csv#new/value")
    ('models:/fraud/7', 'predictions.csv#new/value')
    """
    if uri.startswith(("models:", "runs:")):
        return printable(uri)
    file, mark, column = uri.partition("#")
    return printable(file.rsplit("/", 1)[-1] + mark + column)


def printable_lines(text: str) -> str:
    """As :func:`printable`, line by line.

    >>> print(printable_lines("a\\r\\nb\\x07"))
    a
    b\\x07
    """
    return "\n".join(printable(line) for line in text.splitlines())
