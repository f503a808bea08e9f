"""What the shape alone does not show: limits that fit their rate, names that exist, rules that can be decided.

The checks look at the plain data, so that they report their mistakes beside those of the shape, all at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from typing import Any

from gate.core.flips import BY_CLASS, BY_OUTPUT, OVERALL
from gate.core.measures import EXCESS_CHURN, EXCESS_NFR, NET_COST, OTHERS
from gate.core.rates import NAMES, rate
from gate.errors import did_you_mean
from gate.policy.limits import limit, percent
from gate.policy.rule_checks import LIMITS, Mistake, check_priced, check_rule
from gate.policy.rules import GOLDEN
from gate.policy.source import Path
from gate.policy.task import check_task, further_dimensions
from gate.tasks.where import WhereError, parse


def check(data: Any) -> Iterator[Mistake]:
    """All mistakes of meaning in a policy's plain data, whatever its shape is; none for a sound policy."""
    if not isinstance(data, dict):
        return
    version = data.get("version", 1)
    if type(version) is not int or version != 1:  # True and 1.0 would pass for 1
        yield ("version",), f"must be the number 1; found {version!r}"
    yield from _evidence(_mapping(data.get("evidence")))
    yield from check_task(data)
    slices = _mapping(_mapping(data.get("holdout")).get("slices"))
    for slice_name, cut in slices.items():
        yield from _slice(slice_name, cut, ("holdout", "slices", slice_name))
    yield from _promotion(_mapping(data.get("promotion")))
    rules = data.get("rules")
    if not isinstance(rules, list):
        return
    if not rules:
        yield ("rules",), "no rules: a policy that demands nothing allows nothing"
    evidence = _mapping(data.get("evidence"))
    noise = [_mapping(data.get("holdout")).get(key) for key in ("noise_floor", "sample")]
    seen: dict[str, int] = {}
    for index, rule in enumerate(rules):
        if not isinstance(rule, dict):
            continue
        name: Any = rule.get("id")
        if isinstance(name, str) and seen.setdefault(name, index) != index:
            yield ("rules", index, "id"), f"rule id {name!r} is taken by rules[{seen[name]}]"
        yield from check_rule(rule, ("rules", index), [*further_dimensions(data), *slices], evidence)
        yield from check_priced(rule, ("rules", index), data)
        if rule.get("rate") in (EXCESS_NFR, EXCESS_CHURN) and not any(noise):
            found = "needs the answers of retrained incumbents: name their columns under holdout.noise_floor"
            yield ("rules", index, "rate"), f"{rule['rate']} {found}"
    yield from _waivers(data.get("waivers"), [rule for rule in rules if isinstance(rule, dict)])


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _evidence(evidence: dict[str, Any]) -> Iterator[Mistake]:
    share = percent(evidence.get("confidence"))
    if share is not None and not 0.5 <= share < 1.0:
        yield ("evidence", "confidence"), f"must be at least 50% and under 100%; found {evidence['confidence']!r}"


def _slice(name: str, cut: Any, path: Path) -> Iterator[Mistake]:
    if name in (BY_CLASS, BY_OUTPUT, OVERALL) or name.startswith(GOLDEN):
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


def _waivers(waivers: Any, rules: list[dict[str, Any]]) -> Iterator[Mistake]:
    by_id = {rule["id"]: rule for rule in rules if isinstance(rule.get("id"), str)}
    seen = set()
    for index, waiver in enumerate(waivers if isinstance(waivers, list) else []):
        if not isinstance(waiver, dict):
            continue
        path: Path = ("waivers", index)
        expires: Any = waiver.get("expires")
        if isinstance(expires, str) and not _is_day(expires):
            yield (*path, "expires"), f"must be a day, as 2027-01-31; found {expires!r}"
        name: Any = waiver.get("rule")
        if not isinstance(name, str):
            continue
        if name not in by_id:
            yield (*path, "rule"), f"there is no rule {name!r}{did_you_mean(name, by_id)}"
            continue
        rule = by_id[name]
        if rule.get("locked") is True:
            yield (*path, "rule"), f"rule {name!r} is locked, and cannot be waived"
        if rule.get("by") is not None and "cell" not in waiver:
            yield path, f"rule {name!r} looks by {rule['by']}: name the cell that is waived"
        if rule.get("by") is None and "cell" in waiver:
            yield (*path, "cell"), f"rule {name!r} looks at all rows together: there is no cell to name"
        cell: Any = waiver.get("cell")
        if not isinstance(cell, (dict, list)):
            if (name, type(cell), cell) in seen:
                yield path, f"rule {name!r} is waived a second time" + (f" for {cell!r}" if "cell" in waiver else "")
            seen.add((name, type(cell), cell))
        yield from _up_to(waiver, rule, path)


def _up_to(waiver: dict[str, Any], rule: dict[str, Any], path: Path) -> Iterator[Mistake]:
    if waiver.get("up_to") is None:
        return
    name, of = rule.get("rate"), rule.get("of")
    if rule.get("must_not_regress") is not None:
        yield (*path, "up_to"), "a golden set has no limit to move: leave up_to out"
        return
    if rule.get("net_cost") is not None:
        kind: Any = OTHERS[NET_COST]
    elif name in OTHERS:
        kind = OTHERS[name]
    elif name in NAMES and of in (None, "candidate", "incumbent"):
        kind = rate(name, of if name == "error_rate" else None)
    else:
        return
    found = limit(waiver["up_to"], kind)
    if isinstance(found, str):
        yield (*path, "up_to"), found
        return
    limits = _limits_of(waiver, rule)
    for side in LIMITS:
        was = limit(limits[side], kind) if limits.get(side) is not None else None
        if isinstance(was, float) and (found <= was if side == "at_most" else found >= was):
            yield (*path, "up_to"), f"{waiver['up_to']} is no wider than the rule's {side} {limits[side]}"


def _limits_of(waiver: dict[str, Any], rule: dict[str, Any]) -> dict[str, Any]:
    """The part of the rule that holds the limit of the waiver's cell: an override, or the rule itself."""
    overrides = rule.get("overrides")
    for override in overrides if isinstance(overrides, list) and "cell" in waiver else []:
        if isinstance(override, dict) and "cell" in override:
            one, other = override["cell"], waiver["cell"]
            if type(one) is type(other) and one == other:
                return override
    return rule


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
