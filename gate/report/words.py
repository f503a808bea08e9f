"""Numbers and names as a reader sees them; whatever comes from data is made harmless to a terminal."""

from __future__ import annotations

import re
import unicodedata

from gate.core.judgement import Cell, Finding
from gate.core.measures import about as measure
from gate.core.outcomes import Value

LONGEST_NAME = 40
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


def cell(of: Cell) -> str:
    """A cell in words.

    >>> cell(Cell("class", "cat")), cell(Cell("overall"))
    ('class cat', 'all rows')
    """
    if of.by == "overall":
        return "all rows"
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
    ('cat (91%)', 'cat')
    """
    shown = name(value)
    return shown if confidence is None else f"{shown} ({confidence * 100:.0f}%)"


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
