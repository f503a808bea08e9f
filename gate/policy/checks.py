"""What the shape alone does not show: limits that fit their rate, names that exist, rules that can be decided.

The checks look at the plain data, so that they report their mistakes beside those of the shape, all at once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Any

from gate.core.flips import BY_CLASS, BY_OUTPUT, OVERALL
from gate.core.rates import NAMES, RATES, Rate, rate
from gate.errors import did_you_mean
from gate.policy.source import Path
from gate.tasks.where import WhereError, parse

Mistake = tuple[Path, str]

_PERCENT = re.compile(r"^\s*([+-]?[0-9]+(?:\.[0-9]+)?)\s*%\s*$")
_LIMITS = ("at_most", "at_least")
_WARNINGS = {"warn_above": "at_most", "warn_below": "at_least"}


def percent(text: object) -> float | None:
    """The share that a text like ``5%`` means; None where it is no such text.

    >>> percent("0.2%"), percent("0.2"), percent(5)
    (0.002, None, None)
    """
    found = _PERCENT.match(text) if isinstance(text, str) else None
    return float(Decimal(found.group(1)) / 100) if found else None


def limit(value: object, of: Rate) -> float | str:
    """A limit as a number in the rate's own unit, or what is wrong with it.

    >>> limit("1%", rate("nfr")), limit(0.3, rate("relative_nfr"))
    (0.01, 0.3)
    >>> limit(1, rate("nfr"))
    "a limit on nfr carries a % sign: '1%' is one in a hundred; found 1"
    """
    share = percent(value)
    if share is None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            example = "'1%'" if of.percent else "0.3"
            return f"a limit on {of.name} is written like {example}; found {value!r}"
        if of.percent:
            return (
                f"a limit on {of.name} carries a % sign: '{value:g}%' is {_in_words(float(value))}; found {value!r}"
                if math.isfinite(value)
                else f"a limit must be finite; found {value!r}"
            )
        share = float(value)
    if not math.isfinite(share):
        return f"a limit must be finite; found {value!r}"
    if not of.low <= share <= of.high:
        return f"{of.name} lies between {_shown(of.low, of)} and {_shown(of.high, of)}; found {value!r}"
    return share


def _in_words(number: float) -> str:
    return "one in a hundred" if number == 1 else f"{number:g} in a hundred"


def _shown(number: float, of: Rate) -> str:
    return f"{number * 100:g}%" if of.percent else f"{number:g}"


def check(data: Any) -> Iterator[Mistake]:
    """All mistakes of meaning in a policy's plain data, whatever its shape is; none for a sound policy."""
    if not isinstance(data, dict):
        return
    version = data.get("version", 1)
    if type(version) is not int or version != 1:  # True and 1.0 would pass for 1
        yield ("version",), f"must be the number 1; found {version!r}"
    yield from _evidence(_mapping(data.get("evidence")))
    yield from _task(_mapping(data.get("task")))
    slices = _mapping(_mapping(data.get("holdout")).get("slices"))
    for slice_name, cut in slices.items():
        yield from _slice(slice_name, cut, ("holdout", "slices", slice_name))
    yield from _promotion(_mapping(data.get("promotion")))
    rules = data.get("rules")
    if not isinstance(rules, list):
        return
    if not rules:
        yield ("rules",), "no rules: a policy that demands nothing allows nothing"
    decide_on = _mapping(data.get("evidence")).get("decide_on", "proof")
    seen: dict[str, int] = {}
    for index, rule in enumerate(rules):
        if not isinstance(rule, dict):
            continue
        name: Any = rule.get("id")
        if isinstance(name, str) and seen.setdefault(name, index) != index:
            yield ("rules", index, "id"), f"rule id {name!r} is taken by rules[{seen[name]}]"
        yield from _rule(rule, ("rules", index), list(slices), decide_on)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _evidence(evidence: dict[str, Any]) -> Iterator[Mistake]:
    share = percent(evidence.get("confidence"))
    if share is not None and not 0.5 <= share < 1.0:
        yield ("evidence", "confidence"), f"must be at least 50% and under 100%; found {evidence['confidence']!r}"


def _task(task: dict[str, Any]) -> Iterator[Mistake]:
    if task.get("threshold") is not None and task.get("outputs") != "scores":
        yield ("task", "threshold"), "a threshold goes with outputs: scores"
    classes = task.get("classes")
    if isinstance(classes, list):
        if len(classes) < 2:
            yield ("task", "classes"), f"there must be at least two classes; found {len(classes)}"
        kinds = {type(value) for value in classes}
        if len(kinds) > 1:
            names = ", ".join(sorted(kind.__name__ for kind in kinds))
            yield ("task", "classes"), f"classes must be of one type; found {names}: quote them, or none"
        seen = set()
        for index, value in enumerate(classes):
            if isinstance(value, (dict, list)):
                continue
            if (type(value), value) in seen:
                yield ("task", "classes", index), f"class {value!r} stands here a second time"
            seen.add((type(value), value))
        if task.get("outputs") == "scores" and len(classes) != 2:
            yield ("task", "classes"), f"a score with a threshold needs two classes; found {len(classes)}"


def _slice(name: str, cut: Any, path: Path) -> Iterator[Mistake]:
    if name in (BY_CLASS, BY_OUTPUT, OVERALL):
        yield path, f"a slice cannot be called {name!r}: the gate means something else by it"
    if not isinstance(cut, dict):
        return
    ways = [key for key in ("column", "columns", "where") if cut.get(key) is not None]
    if len(ways) != 1:
        yield path, f"a slice has one of column, columns and where; found {' and '.join(ways) or 'none'}"
    columns, bins, condition = cut.get("columns"), cut.get("bins"), cut.get("where")
    if isinstance(columns, list) and (len(columns) != 2 or columns[0] == columns[1]):
        yield (*path, "columns"), f"an intersection is of two different columns; found {columns!r}"
    if bins is not None and "column" not in ways:
        yield (*path, "bins"), "bins go with column"
    if isinstance(bins, list):
        numbers = [edge for edge in bins if isinstance(edge, (int, float)) and not isinstance(edge, bool)]
        rising = all(low < high for low, high in pairwise(numbers))
        if not bins or (len(numbers) == len(bins) and not rising):
            yield (*path, "bins"), f"bins are edges that rise, one at least; found {bins!r}"
    if isinstance(condition, str):
        try:
            parse(condition)
        except WhereError as error:
            yield (*path, "where"), f"{error} (character {error.column} of {condition!r})"


def _promotion(promotion: dict[str, Any]) -> Iterator[Mistake]:
    for key in ("alias", "keep_previous_as"):
        name: Any = promotion.get(key)
        if isinstance(name, str) and not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            yield ("promotion", key), f"an alias is made of letters, digits, '_' and '-', without '@'; found {name!r}"
        elif isinstance(name, str) and (name == "latest" or re.fullmatch(r"v\d+", name, re.IGNORECASE)):
            yield ("promotion", key), f"{name!r} is reserved by MLflow and cannot be an alias"
    if promotion.get("alias") is not None and promotion.get("alias") == promotion.get("keep_previous_as"):
        yield ("promotion", "keep_previous_as"), "must differ from alias, or the previous version is lost"


def _rule(rule: dict[str, Any], path: Path, slices: list[str], decide_on: Any) -> Iterator[Mistake]:
    name, of = rule.get("rate"), rule.get("of")
    kind: Rate | None = None
    if isinstance(name, str):
        if name not in NAMES:
            yield (*path, "rate"), f"unknown rate {name!r}{did_you_mean(name, NAMES)}"
        elif of in ("candidate", "incumbent") and (name, of) not in RATES:
            yield (*path, "of"), f"{name} compares two models; `of` goes with error_rate"
        elif of in (None, "candidate", "incumbent"):
            kind = rate(name, of)
    by = rule.get("by")
    if isinstance(by, str) and by not in (BY_CLASS, BY_OUTPUT, *slices):
        right = [BY_CLASS, BY_OUTPUT, *slices]
        yield (*path, "by"), f"unknown slice {by!r}{did_you_mean(by, right)} (slices stand under holdout.slices)"
    chosen = [key for key in _LIMITS if rule.get(key) is not None]
    if len(chosen) != 1:
        found = "both" if chosen else "neither"
        yield path, f"a rule has either at_most or at_least; found {found}"
    decided = rule.get("decide_on") or decide_on
    if kind is not None:
        yield from _limits(rule, path, kind, decided, chosen)
    yield from _overrides(rule, path, kind, decided, chosen)


def _limits(rule: dict[str, Any], path: Path, kind: Rate, decided: Any, chosen: list[str]) -> Iterator[Mistake]:
    numbers: dict[str, float] = {}
    for key in (*_LIMITS, *_WARNINGS):
        if rule.get(key) is None:
            continue
        found = limit(rule[key], kind)
        if isinstance(found, str):
            yield (*path, key), found
        else:
            numbers[key] = found
    for key, side in _WARNINGS.items():
        if rule.get(key) is not None and chosen and side not in chosen:
            yield (*path, key), f"{key} goes with {side}"
        elif key in numbers and side in numbers:
            beyond = numbers[key] > numbers[side] if side == "at_most" else numbers[key] < numbers[side]
            if beyond:
                yield (*path, key), f"{key} {rule[key]} lies beyond {side} {rule[side]}: it could never warn"
    if decided == "proof":
        yield from _provable(rule, path, kind, numbers)


def _provable(rule: dict[str, Any], path: Path, kind: Rate, numbers: dict[str, float]) -> Iterator[Mistake]:
    if numbers.get("at_most") == kind.low:
        hint = "allow a small rate, or say decide_on: harm"
        yield (*path, "at_most"), f"no number of rows can prove that {kind.name} is {rule['at_most']}: {hint}"
    if numbers.get("at_least") == kind.high:
        hint = "demand a little less, or say decide_on: harm"
        yield (*path, "at_least"), f"no number of rows can prove that {kind.name} is {rule['at_least']}: {hint}"


def _overrides(
    rule: dict[str, Any], path: Path, kind: Rate | None, decided: Any, chosen: list[str]
) -> Iterator[Mistake]:
    overrides = rule.get("overrides")
    if not isinstance(overrides, list) or not overrides:
        return
    if rule.get("by") is None:
        yield (*path, "overrides"), "overrides name a cell, so the rule needs `by`"
    seen = set()
    for index, override in enumerate(overrides):
        if not isinstance(override, dict):
            continue
        here = (*path, "overrides", index)
        cell = override.get("cell")
        if "cell" in override and not isinstance(cell, (dict, list)):
            if (type(cell), cell) in seen:
                yield (*here, "cell"), f"cell {cell!r} is overridden a second time"
            seen.add((type(cell), cell))
        sides = [key for key in _LIMITS if override.get(key) is not None]
        if len(sides) != 1 or (len(chosen) == 1 and sides != chosen):
            yield here, f"an override restates the rule's {chosen[0] if len(chosen) == 1 else 'limit'}, for its cell"
        elif kind is not None:
            yield from _limits(override, here, kind, decided, sides)
