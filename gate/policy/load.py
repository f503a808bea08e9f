"""From a policy file to a :class:`gate.policy.rules.Policy`, or to all of its mistakes, each with line and column."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML

from gate.errors import Problem, UsageError, did_you_mean
from gate.policy.build import build
from gate.policy.checks import check
from gate.policy.document import PolicyDocument, parts_at
from gate.policy.family import Family, environment, read_family
from gate.policy.rules import Policy
from gate.policy.source import Path


def load_policy(file: str | os.PathLike[str], environment: str | None = None) -> Policy:
    """Read a policy file (YAML, version 1) with what it extends, as it is in an environment (None: in none).

    UsageError where there is no such file or environment, or anything in it is wrong; it carries one problem for each
    mistake, those of its other environments too.
    """
    shown = os.fspath(file)
    try:
        raw = FilePath(file).read_bytes()
        text = raw.decode("utf-8")
    except FileNotFoundError:
        hint = "is the path right? `gate demo` writes one, and the gate's repository has some in policies/"
        raise UsageError("no such policy file", where=shown, hint=hint) from None
    except (OSError, ValueError) as error:  # also a name with a NUL, and bytes that are no UTF-8
        raise UsageError(f"cannot be read: {error}", where=shown) from None
    return _parse(text, shown, FilePath(file).parent, environment)


def parse_policy(text: str, file: str = "policy", environment: str | None = None) -> Policy:
    """Read a policy from its text; ``file`` is the name that messages and findings give it. It cannot extend another.

    >>> policy = parse_policy('''
    ... version: 1
    ... name: small
    ... rules:
    ...   - {id: few-flips, rate: nfr, at_most: 1%}
    ... ''')
    >>> policy.rules[0].threshold.limit, policy.rules[0].source.line
    (0.01, 5)
    """
    return _parse(text, file, None, environment)


def _parse(text: str, file: str, folder: FilePath | None, wanted: str | None) -> Policy:
    family = read_family(text, file, folder)
    problems = [Problem(found, where) for where, found in family.mistakes]
    if family.data is None and not problems:
        problems.append(Problem("empty: a policy that demands nothing allows nothing", file))
    document: PolicyDocument | None = None
    chosen = family
    if family.data is not None:
        document, found = _checked(family)
        problems += found
        for name in _environments(family.data):
            here = environment(family, name)
            problems += [Problem(mistake, where) for where, mistake in here.mistakes]
            laid_over, found = _checked(here)
            told = {problem.where for problem in problems}
            problems += [problem for problem in found if problem.where not in told]
            if name == wanted:
                document, chosen = laid_over, here
    if wanted is not None and wanted not in _environments(family.data):
        known = did_you_mean(wanted, _environments(family.data)) or "; the policy has none"
        problems.append(Problem(f"no environment {wanted!r}{known}", file))
    if problems or document is None:
        raise UsageError(problems=sorted(set(problems), key=_by_line))
    return build(document, chosen, _resolved(text, chosen), wanted)


def _environments(data: Any) -> list[str]:
    found = data.get("environments") if isinstance(data, dict) else None
    return [name for name in found if isinstance(name, str)] if isinstance(found, dict) else []


def _resolved(text: str, family: Family) -> str:
    """The text of the policy that is judged by: the file's own, unless other words were laid over it."""
    if not family.overlaid:
        return text
    out = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.dump({key: value for key, value in family.data.items() if key != "environments"}, out)
    return out.getvalue()


def _checked(family: Family) -> tuple[PolicyDocument | None, list[Problem]]:
    mistakes = [*check(family.data)]
    document = None
    try:
        document = PolicyDocument.model_validate(family.data)
    except ValidationError as error:
        known = {path for path, _ in mistakes}
        mistakes.extend((path, found) for path, found in _of_shape(error, family.data) if path not in known)
    return document, [Problem(_told(path, found, family.data), str(family.at(path))) for path, found in mistakes]


def _by_line(problem: Problem) -> tuple[str, int, int, str]:
    placed = re.fullmatch(r"(.*):(\d+):(\d+)", problem.where, re.DOTALL)
    if placed is None:
        return problem.where, 0, 0, problem.found
    return placed[1], int(placed[2]), int(placed[3]), problem.found


def _told(path: Path, found: str, data: Any) -> str:
    """The message behind the path of its key, the rule named by its id: ``rules[1] 'few-flips': rate: ...``."""
    steps = ""
    tail = path
    if len(path) >= 2 and path[0] == "rules" and isinstance(path[1], int):
        rule = data["rules"][path[1]]
        name = rule.get("id") if isinstance(rule, dict) else None
        steps = f"rules[{path[1]}]" + (f" {name!r}" if isinstance(name, str) else "") + ": "
        tail = path[2:]
    dotted = ""
    for step in tail:
        dotted += f"[{step}]" if isinstance(step, int) else f".{step}" if dotted else str(step)
    return f"{steps}{dotted}: {found}" if dotted else f"{steps}{found}"


def _of_shape(error: ValidationError, data: Any) -> Iterator[tuple[Path, str]]:
    """What pydantic found, in the gate's words; the branches of a union are one mistake."""
    told: set[Path] = set()
    for item in error.errors(include_url=False):
        path = _within(item["loc"], data, missing=item["type"] == "missing")
        if path in told:
            continue
        told.add(path)
        kind, found = item["type"], item.get("input")
        if kind == "extra_forbidden":
            part = parts_at(path[:-1])
            names = list(part.model_fields) if part else []
            yield path, f"unknown key{did_you_mean(path[-1], names)}"
        elif kind == "missing":
            yield path[:-1], f"the key {path[-1]!r} is missing"
        elif kind == "literal_error":
            expected = item["ctx"]["expected"].replace(" or ", ", ").replace("'", "").split(", ")
            yield path, f"unknown value {found!r}{did_you_mean(found, expected)}"
        elif kind == "string_pattern_mismatch" or path[-1:] in (("confidence",), ("relative",)):
            yield path, f"must be a percentage such as 95%; found {found!r}"
        elif kind == "model_type":
            yield path, f"must be a mapping of keys; found {_noun(found)}"
        elif kind == "bool_type" and not isinstance(found, float):  # the first branch of a value of any type
            yield path, f"must be text, a number, true or false; found {_noun(found)}"
        elif kind in ("finite_number", "bool_type"):
            yield path, f"must be finite; found {found!r}"
        else:
            yield path, f"{item['msg'].replace('Input should be', 'must be')}; found {_noun(found)}"


def _noun(found: Any) -> str:
    return "a list" if isinstance(found, list) else "a mapping" if isinstance(found, dict) else repr(found)


def _within(location: tuple[Any, ...], data: Any, missing: bool) -> Path:
    """The part of a location that exists in the data, plus the key that is missing; unions add steps of their own."""
    path: list[Any] = []
    here = data
    for position, step in enumerate(location, 1):
        if isinstance(here, dict) and (step in here or (missing and position == len(location))):
            path.append(step)
            here = here.get(step)
        elif isinstance(here, list) and isinstance(step, int):
            path.append(step)
            here = here[step] if step < len(here) else None
        elif not isinstance(here, dict):
            break
    return tuple(path)
