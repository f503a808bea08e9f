"""What a single rule can get wrong: names that do not exist, limits that do not fit, demands that cannot be met."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gate.core.flips import BY_CLASS, BY_OUTPUT
from gate.core.measures import NET_COST, OF_SCORES, OTHERS, RULE_NAMES, Measure
from gate.core.rates import RATES, Rate, rate
from gate.errors import did_you_mean
from gate.policy.limits import limit
from gate.policy.source import Path
from gate.tasks.options import dimensions

Mistake = tuple[Path, str]
LIMITS = ("at_most", "at_least")
_WARNINGS = {"warn_above": "at_most", "warn_below": "at_least"}
_KINDS = ("rate", "must_not_regress", "net_cost")
# what goes with which kind of rule, beside id, because, severity and locked
_OF_GOLDEN: tuple[str, ...] = ()
_OF_COST = ("at_most", "warn_above", "decide_on", "at_least_n")
_OPTIONS = (*LIMITS, *_WARNINGS, "of", "by", "at_least_n", "overrides", "decide_on", "correction")


_NO_BOUND_ON_COST = {
    "cluster": "it must allow for costly flips that were not seen, kind by kind, and those of one cluster may come"
    " together, all of them of the dearest kind",
    "weight": "it must allow for costly flips that were not seen, and those may fall on the heaviest rows",
    "sample": "it must allow for costly flips that were not seen, kind by kind, and all answers to one prompt may flip"
    " together",
}


def check_rule(rule: dict[str, Any], path: Path, slices: list[str], evidence: dict[str, Any]) -> Iterator[Mistake]:
    """All mistakes of one rule, whatever its shape; ``slices`` and ``evidence`` are those of the policy."""
    kinds = [key for key in _KINDS if rule.get(key) is not None]
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none"
        yield path, f"a rule has one of rate, must_not_regress and net_cost; found {found}"
    if "must_not_regress" in kinds:
        yield from _foreign(rule, path, "must_not_regress", _OF_GOLDEN)
    elif "net_cost" in kinds:
        yield from _foreign(rule, path, "net_cost", _OF_COST)
        yield from _cost(rule, path, rule.get("decide_on") or evidence.get("decide_on", "proof"))
    elif "rate" in kinds:
        yield from _rate(rule, path, slices, evidence)


def _foreign(rule: dict[str, Any], path: Path, kind: str, own: tuple[str, ...]) -> Iterator[Mistake]:
    for key in _OPTIONS:
        if rule.get(key) is not None and key not in own:
            yield (*path, key), f"{key} does not go with {kind}"


def _cost(rule: dict[str, Any], path: Path, decided: Any) -> Iterator[Mistake]:
    if rule.get("at_most") is None:
        yield path, "a net_cost needs at_most: what the flips may cost"
    yield from _limits(rule, path, OTHERS[NET_COST], decided, ["at_most"])
    cost = rule["net_cost"]
    if not isinstance(cost, dict):
        return
    for key, price in (("negative", "cost"), ("positive", "gain")):
        flips = cost.get(key)
        seen = set()
        for index, flip in enumerate(flips if isinstance(flips, list) else []):
            if not isinstance(flip, dict):
                continue
            here = (*path, "net_cost", key, index)
            label, output, amount = flip.get("label"), flip.get("output"), flip.get(price)
            if isinstance(amount, (int, float)) and not amount > 0:
                yield (*here, price), f"a {price} is above 0; found {amount!r}"
            if any(isinstance(value, (dict, list)) for value in (label, output)):
                continue
            if type(label) is type(output) and label == output:
                yield here, f"label and output are both {label!r}: that is no flip"
            if (kind := (type(label), label, type(output), output)) in seen:
                yield here, f"the flip {label!r} to {output!r} stands here a second time"
            else:
                seen.add(kind)


def check_priced(rule: dict[str, Any], path: Path, data: dict[str, Any]) -> Iterator[Mistake]:
    """What a net_cost cannot be judged by: a task without classes, classes that there are not, rows of unequal worth.

    Flips of a kind that cannot happen would cost nothing, and pass.
    """
    cost = rule.get("net_cost")
    if cost is None:
        return
    task, holdout = (value if isinstance(value := data.get(key), dict) else {} for key in ("task", "holdout"))
    kind, match = task.get("kind", "classification"), task.get("match")
    if isinstance(kind, str) and BY_CLASS not in dimensions(kind, match if isinstance(match, str) else None):
        yield (*path, "net_cost"), f"kind: {kind} has no classes, so no flips from one to another"
        return
    for key, why in _NO_BOUND_ON_COST.items():
        if holdout.get(key) is not None:
            yield (*path, "net_cost"), f"there is no sound bound on net_cost under holdout.{key}: {why}"
    classes = task.get("classes")
    if kind != "classification" or not isinstance(classes, list) or not isinstance(cost, dict):
        return
    known = [value for value in classes if not isinstance(value, (dict, list))]
    for key in ("negative", "positive"):
        flips = cost.get(key)
        for index, flip in enumerate(flips if isinstance(flips, list) else []):
            for side in ("label", "output") if isinstance(flip, dict) else ():
                found = flip.get(side)
                if isinstance(found, (dict, list)) or side not in flip:
                    continue
                if not any(type(value) is type(found) and value == found for value in known):
                    near = did_you_mean(found, [v if type(v) is type(found) else repr(v) for v in known])
                    yield (*path, "net_cost", key, index, side), f"{found!r} is no class of task.classes{near}"


def _rate(rule: dict[str, Any], path: Path, slices: list[str], evidence: dict[str, Any]) -> Iterator[Mistake]:
    name, of = rule.get("rate"), rule.get("of")
    kind: Rate | Measure | None = None
    if isinstance(name, str):
        if name not in RULE_NAMES:
            yield (*path, "rate"), f"unknown rate {name!r}{did_you_mean(name, RULE_NAMES)}"
        elif of in ("candidate", "incumbent") and (name, of) not in RATES:
            yield (*path, "of"), f"{name} compares two models; `of` goes with error_rate"
        elif of in (None, "candidate", "incumbent"):
            kind = OTHERS[name] if name in OTHERS else rate(name, of)
    by = rule.get("by")
    if isinstance(by, str) and by not in (BY_CLASS, BY_OUTPUT, *slices):
        right = [BY_CLASS, BY_OUTPUT, *slices]
        yield (*path, "by"), f"unknown slice {by!r}{did_you_mean(by, right)} (slices stand under holdout.slices)"
    chosen = [key for key in LIMITS if rule.get(key) is not None]
    if len(chosen) != 1:
        found = "both" if chosen else "neither"
        yield path, f"a rule has either at_most or at_least; found {found}"
    decided = rule.get("decide_on") or evidence.get("decide_on", "proof")
    if rule.get("correction") is not None and (decided != "harm" or by is None):
        yield (*path, "correction"), "a correction goes with `by` and decide_on: harm; under proof every cell must pass"
    if rule.get("correction") is not None and kind is not None and not _tested(kind):
        yield (*path, "correction"), f"there is no test of {name}, so nothing could stand after the correction"
    if kind is not None:
        yield from _limits(rule, path, kind, decided, chosen)
    yield from _overrides(rule, path, kind, decided, chosen)


def _tested(kind: Rate | Measure) -> bool:
    """Whether there is a p-value; without one nothing is ever rejected, and all would pass."""
    return isinstance(kind, Rate) or kind.name in OF_SCORES


def _limits(
    rule: dict[str, Any], path: Path, kind: Rate | Measure, decided: Any, chosen: list[str]
) -> Iterator[Mistake]:
    numbers: dict[str, float] = {}
    for key in (*LIMITS, *_WARNINGS):
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


def _provable(rule: dict[str, Any], path: Path, kind: Rate | Measure, numbers: dict[str, float]) -> Iterator[Mistake]:
    if numbers.get("at_most") == kind.low:
        hint = "allow a small rate, or say decide_on: harm"
        yield (*path, "at_most"), f"no number of rows can prove that {kind.name} is {rule['at_most']}: {hint}"
    if numbers.get("at_least") == kind.high:
        hint = "demand a little less, or say decide_on: harm"
        yield (*path, "at_least"), f"no number of rows can prove that {kind.name} is {rule['at_least']}: {hint}"


def _overrides(
    rule: dict[str, Any], path: Path, kind: Rate | Measure | None, decided: Any, chosen: list[str]
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
        sides = [key for key in LIMITS if override.get(key) is not None]
        if len(sides) != 1 or (len(chosen) == 1 and sides != chosen):
            yield here, f"an override restates the rule's {chosen[0] if len(chosen) == 1 else 'limit'}, for its cell"
        elif kind is not None:
            yield from _limits(override, here, kind, decided, sides)
