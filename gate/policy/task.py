"""What ``task`` may say: which keys and words belong to which kind of task, and what goes with what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gate.core.flips import BY_CLASS, BY_OUTPUT
from gate.core.measures import EXCESS_CHURN, OF_SCORES
from gate.errors import did_you_mean
from gate.policy.source import Path
from gate.tasks.options import CHOICES, KEYS, clash, dimensions, scored, without_meaning
from gate.tasks.text import mistake_in

Mistake = tuple[Path, str]

_ALWAYS = (BY_CLASS, BY_OUTPUT)
_ALL_KEYS = {key for keys in KEYS.values() for key in keys}
_GOES_WITH: dict[tuple[str, str], tuple[str, tuple[str | None, ...], str]] = {
    ("classification", "threshold"): ("outputs", ("scores",), "a threshold goes with outputs: scores"),
    ("classification", "top_k"): (
        "outputs", (None, "probabilities", "logits"), "top_k goes with one number per class: probabilities or logits",
    ),
    ("multilabel", "threshold"): ("outputs", ("probabilities",), "a threshold goes with outputs: probabilities"),
    ("generation", "pattern"): ("match", ("regex",), "a pattern goes with match: regex"),
    ("generation", "take"): ("match", ("number",), "take goes with match: number"),
    ("generation", "tolerance"): ("match", ("number",), "a tolerance goes with match: number"),
}  # fmt: skip


def check_task(data: dict[str, Any]) -> Iterator[Mistake]:
    """The mistakes of meaning under ``task``, and of what else in the policy depends on it, whatever its shape is."""
    task = _mapping(data.get("task"))
    kind = task.get("kind", "classification")
    if not isinstance(kind, str) or kind not in KEYS:
        return  # of that the document's shape tells
    for key, value in task.items():
        if key in _ALL_KEYS and key not in KEYS[kind]:
            yield ("task", key), f"does not belong to kind: {kind}, which knows {', '.join(KEYS[kind])}"
        words = CHOICES.get((kind, key))
        if words is not None and isinstance(value, str) and value not in words:
            yield ("task", key), f"unknown value {value!r}{did_you_mean(value, words)}"
    for (of, key), (other, values, told) in _GOES_WITH.items():
        if of == kind and task.get(key) is not None and task.get(other) not in values:
            yield ("task", key), told
    yield from _classes(task, kind)
    yield from _tolerance(task)
    yield from _largest_change(task, kind)
    yield from _OF_KIND[kind](task)
    yield from _elsewhere(data, task, kind)


def further_dimensions(data: dict[str, Any]) -> list[str]:
    """What a rule's ``by`` may name besides class, output and the slices."""
    task = _mapping(data.get("task"))
    kind, match = task.get("kind", "classification"), task.get("match")
    if not isinstance(kind, str):
        return []
    return [name for name in dimensions(kind, match if isinstance(match, str) else None) if name not in _ALWAYS]


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _classes(task: dict[str, Any], kind: str) -> Iterator[Mistake]:
    classes = task.get("classes")
    if not isinstance(classes, list):
        return
    least = 1 if kind == "multilabel" else 2
    if len(classes) < least:
        yield (
            ("task", "classes"),
            f"there must be at least {'one class' if least == 1 else 'two classes'}; found {len(classes)}",
        )
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
        if kind == "multilabel" and (isinstance(value, (bool, float)) or value is None):
            yield ("task", "classes", index), f"a label is text or a whole number; found {value!r}"


def _tolerance(task: dict[str, Any]) -> Iterator[Mistake]:
    tolerance = task.get("tolerance")
    if not isinstance(tolerance, dict):
        return
    ways = [key for key in ("absolute", "relative", "column") if tolerance.get(key) is not None]
    if len(ways) != 1:
        yield (
            ("task", "tolerance"),
            f"a tolerance is absolute, relative or a column; found {' and '.join(ways) or 'none'}",
        )
    absolute = tolerance.get("absolute")
    if isinstance(absolute, (int, float)) and not isinstance(absolute, bool) and absolute < 0:
        yield ("task", "tolerance", "absolute"), f"a tolerance is 0 or more; found {absolute!r}"


def _two_scores(task: dict[str, Any], kind: str) -> bool:
    return scored(
        kind, task.get("score") is not None, task.get("right_at_least") is not None or bool(task.get("continuous"))
    )


def _largest_change(task: dict[str, Any], kind: str) -> Iterator[Mistake]:
    most = task.get("largest_change")
    if most is None or "largest_change" not in KEYS[kind]:
        return
    if isinstance(most, (int, float)) and not isinstance(most, bool) and not most > 0:
        yield ("task", "largest_change"), f"two scores of a row can be apart by more than 0; found {most!r}"
    elif not _two_scores(task, kind):
        yield ("task", "largest_change"), "goes with scores that are more than right or wrong"


def _classification(task: dict[str, Any]) -> Iterator[Mistake]:
    classes, top_k = task.get("classes"), task.get("top_k")
    if isinstance(classes, list) and task.get("outputs") == "scores" and len(classes) != 2:
        yield ("task", "classes"), f"a score with a threshold needs two classes; found {len(classes)}"
    if isinstance(top_k, int) and isinstance(classes, list) and len(classes) <= top_k:
        yield ("task", "top_k"), f"any label is among the {top_k} largest of {len(classes)} classes: it must be less"


def _multilabel(task: dict[str, Any]) -> Iterator[Mistake]:
    classes = task.get("classes")
    each = task.get("match", "each") == "each"
    if classes is None and (each or task.get("outputs") in ("indicators", "probabilities")):
        why = (
            "match: each judges every label of every row" if each else f"{task['outputs']} have a place for each label"
        )
        yield ("task",), f"the key 'classes' is missing: {why}"
    if each and isinstance(classes, list):
        shared = clash([value for value in classes if not isinstance(value, (dict, list))])
        if shared is not None:
            yield (
                ("task", "classes"),
                f"{shared!r} is a class, and what a row without another class is called: rename one",
            )


def _regression(task: dict[str, Any]) -> Iterator[Mistake]:
    yield from _one_of(task, "tolerance", "say how near is right, tolerance: {absolute: 0.5}, or continuous: true")


def _generation(task: dict[str, Any]) -> Iterator[Mistake]:
    if task.get("score") is None:
        for key in ("right_at_least", "continuous"):
            if task.get(key):
                yield ("task", key), f"{key} goes with score"
    elif task.get("match") is not None:
        yield ("task", "match"), "either score judges the texts or match does"
    else:
        yield from _one_of(task, "right_at_least", None)
    pattern = task.get("pattern")
    if task.get("match") == "regex" and pattern is None:
        yield ("task",), "the key 'pattern' is missing: it finds the answer in the text"
    if isinstance(pattern, str) and pattern and (mistake := mistake_in(pattern)) is not None:
        yield ("task", "pattern"), mistake


def _scores(task: dict[str, Any]) -> Iterator[Mistake]:
    yield from _one_of(task, "right_at_least", None)


def _one_of(task: dict[str, Any], key: str, neither: str | None) -> Iterator[Mistake]:
    if task.get(key) is not None and task.get("continuous"):
        yield ("task", "continuous"), f"either {key} says what is right, or the two models are only compared"
    elif neither is not None and task.get(key) is None and not task.get("continuous"):
        yield ("task",), f"nothing says what is right: {neither}"


def _elsewhere(data: dict[str, Any], task: dict[str, Any], kind: str) -> Iterator[Mistake]:
    """What depends on the task: the label, the names of slices, and what the rules may ask."""
    holdout = _mapping(data.get("holdout"))
    if holdout.get("label") is not None and (
        kind == "scores" or (kind == "generation" and task.get("score") is not None)
    ):
        yield ("holdout", "label"), "no label is read: the predictions are judged already"
    match = task.get("match")
    known = dimensions(kind, match if isinstance(match, str) else None)
    if "label" in known and "label" in _mapping(holdout.get("slices")):
        yield (
            ("holdout", "slices", "label"),
            "a slice cannot be called 'label': kind: multilabel means something else by it",
        )
    lost = without_meaning(kind, task.get("continuous") is True)
    rules = data.get("rules")
    for index, rule in enumerate(rules if isinstance(rules, list) else []):
        if not isinstance(rule, dict):
            continue
        by = rule.get("by")
        if isinstance(by, str) and by in _ALWAYS and by not in known:
            told = f"kind: {kind}" + (f", match: {match}" if kind == "multilabel" else "")
            yield ("rules", index, "by"), f"{told} has no {by}: cut by a slice"
        rate = rule.get("rate")
        if rate == EXCESS_CHURN and task.get("score") is not None and holdout.get("noise_floor"):
            found = "has no meaning here: under task.score the columns of holdout.noise_floor hold scores"
            yield ("rules", index, "rate"), f"{rate} {found}, and no answers"
        if isinstance(rate, str) and rate in OF_SCORES:
            yield from ((("rules", index, "rate"), f"{rate} {found}") for found in _of_scores(task, kind, holdout))
        if isinstance(rate, str) and rate in lost:
            yield (
                ("rules", index, "rate"),
                f"{rate} has no meaning here: {lost[rate]}; nfr and error_rate_change have one",
            )


def _of_scores(task: dict[str, Any], kind: str, holdout: dict[str, Any]) -> Iterator[str]:
    """Why there is no mean loss here, or none that could be judged."""
    if not _two_scores(task, kind):
        if "continuous" in KEYS[kind]:
            of = "score and " if kind == "generation" else ""
            yield f"needs scores that are more than right or wrong: say task.{of}right_at_least, or continuous: true"
        else:
            yield f"needs scores, and kind: {kind} has none"
    for key in ("cluster", "weight", "sample"):
        if holdout.get(key) is not None:
            yield f"takes rows as independent and alike, and holdout.{key} says otherwise: there is no bound on it"


_OF_KIND = {
    "classification": _classification,
    "multilabel": _multilabel,
    "regression": _regression,
    "generation": _generation,
    "scores": _scores,
}
