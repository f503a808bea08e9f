"""Limits as they are written, as numbers in the unit of what they limit; or what is wrong with them."""

from __future__ import annotations

import math
import re
from decimal import Decimal

from gate.core.measures import Measure
from gate.core.rates import Rate

_PERCENT = re.compile(r"^\s*([+-]?[0-9]+(?:\.[0-9]+)?)\s*%\s*$")


def percent(text: object) -> float | None:
    """The share that a text like ``5%`` means; None where it is no such text.

    >>> percent("0.2%"), percent("0.2"), percent(5)
    (0.002, None, None)
    """
    found = _PERCENT.match(text) if isinstance(text, str) else None
    return float(Decimal(found.group(1)) / 100) if found else None


def limit(value: object, of: Rate | Measure) -> float | str:
    """A limit as a number in the rate's own unit, or what is wrong with it.

    >>> from gate.core.rates import rate
    >>> limit("1%", rate("nfr")), limit(0.3, rate("relative_nfr"))
    (0.01, 0.3)
    >>> limit(0.02, rate("nfr"))
    "a limit on nfr carries a % sign; found 0.02, did you mean '2%'?"
    """
    share = percent(value)
    if share is not None and isinstance(of, Measure) and not of.percent:
        return f"a limit on {of.name} is a number in a unit of its own, without a % sign; found {value!r}"
    if share is None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            example = "'1%'" if of.percent else "0.3"
            return f"a limit on {of.name} is written like {example}; found {value!r}"
        if of.percent:
            if not math.isfinite(value):
                return f"a limit must be finite; found {value!r}"
            meant = value * 100 if 0 < abs(value) < 1 else value
            return f"a limit on {of.name} carries a % sign; found {value!r}, did you mean '{meant:.10g}%'?"
        share = float(value)
    if not math.isfinite(share):
        return f"a limit must be finite; found {value!r}"
    if not of.low <= share <= of.high:
        return f"{of.name} lies between {_shown(of.low, of)} and {_shown(of.high, of)}; found {value!r}"
    return share


def _shown(number: float, of: Rate | Measure) -> str:
    return f"{number * 100:g}%" if of.percent else f"{number:g}"
