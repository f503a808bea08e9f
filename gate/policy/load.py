"""From a policy file to a :class:`gate.policy.rules.Policy`, or to all of its mistakes, each with line and column."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from gate.errors import Problem, UsageError, did_you_mean
from gate.policy.build import build
from gate.policy.checks import check
from gate.policy.document import PolicyDocument, parts_at
from gate.policy.rules import Policy
from gate.policy.source import Document, Path, read


def load_policy(file: str | os.PathLike[str]) -> Policy:
    """Read a policy file (YAML, version 1).

    UsageError where there is no such file or anything in it is wrong; it carries one problem for each mistake.
    """
    shown = os.fspath(file)
    try:
        raw = FilePath(file).read_bytes()
        text = raw.decode("utf-8")
    except FileNotFoundError:
        raise UsageError("no such policy file", where=shown, hint="policies/ holds ready-made ones") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot be read: {error}", where=shown) from None
    return parse_policy(text, shown)


def parse_policy(text: str, file: str = "policy") -> Policy:
    """Read a policy from its text; ``file`` is the name that messages and findings give it.

    >>> policy = parse_policy('''
    ... version: 1
    ... name: small
    ... rules:
    ...   - {id: few-flips, rate: nfr, at_most: 1%}
    ... ''')
    >>> policy.rules[0].threshold.limit, policy.rules[0].source.line
    (0.01, 5)
    """
    source = read(text)
    problems = [Problem(found, f"{file}:{p.line}:{p.column}") for p, found in source.mistakes]
    document: PolicyDocument | None = None
    if source.data is None and not problems:
        problems.append(Problem("empty: a policy that demands nothing allows nothing", file))
    elif source.data is not None:
        mistakes = [*check(source.data)]
        try:
            document = PolicyDocument.model_validate(source.data)
        except ValidationError as error:
            known = {path for path, _ in mistakes}
            mistakes.extend((path, found) for path, found in _of_shape(error, source.data) if path not in known)
        problems.extend(_problems(mistakes, source, file))
    if problems or document is None:
        raise UsageError(problems=sorted(set(problems), key=_by_line))
    return build(document, source, text, file)


def _by_line(problem: Problem) -> tuple[int, int, str]:
    line, column = problem.where.rsplit(":", 2)[-2:] if problem.where.count(":") >= 2 else ("0", "0")
    return int(line), int(column), problem.found


def _problems(mistakes: list[tuple[Path, str]], source: Document, file: str) -> Iterator[Problem]:
    for path, found in mistakes:
        position = source.at(path)
        yield Problem(_told(path, found, source.data), f"{file}:{position.line}:{position.column}")


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
        elif kind == "string_pattern_mismatch" or path[-1:] == ("confidence",):
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
    for step in location:
        if isinstance(here, dict) and (missing or step in here):
            path.append(step)
            here = here.get(step)
        elif isinstance(here, list) and isinstance(step, int):
            path.append(step)
            here = here[step] if step < len(here) else None
        else:
            break
    return tuple(path)
