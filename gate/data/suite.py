"""A Great Expectations suite, read from a file and checked as a file: everything short of its expectations' meaning."""

from __future__ import annotations

import hashlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gate.errors import Problem, UsageError, did_you_mean

_SUITE_KEYS = ("name", "expectations", "meta", "notes", "id")
# What Great Expectations itself writes beside the first three when it saves a suite.
_EXPECTATION_KEYS = ("type", "kwargs", "meta", "notes", "id", "description", "severity", "rendered_content")
_DEPTH = 50
_OLD_KEYS = {"expectation_suite_name": "name", "expectation_type": "type"}


@dataclass(frozen=True)
class Suite:
    """A suite as its file says it: ``expectations`` are ``{type, kwargs}``, ``digest`` the SHA-256 of the bytes.

    ``lines`` has the line of each expectation, or nothing where the format does not tell (JSON).
    """

    path: str
    name: str
    digest: str
    expectations: tuple[dict[str, Any], ...]
    lines: tuple[int, ...] = ()

    def where(self, position: int) -> str:
        """What a message calls the expectation at ``position``, counted from 0."""
        line = f":{self.lines[position]}" if self.lines else ""
        return f"{self.path}{line}: expectations[{position}]"


def parse_suite(path: str | os.PathLike[str]) -> Suite:
    """Read ``{name, expectations: [{type, kwargs}]}`` from JSON (``.json``) or YAML 1.2 (any other ending).

    Neither knows of expectation types: :func:`gate.data.contract.read_suite` does. A file that is missing, unreadable
    or of another shape is a :class:`UsageError` with all its mistakes.
    """
    shown = os.fspath(path)
    try:
        raw = Path(path).read_bytes()
        text = raw.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise UsageError("no such expectation suite", where=shown, hint="check the path") from error
    except UnicodeDecodeError as error:
        raise UsageError("not UTF-8", where=shown, hint="save the file as UTF-8") from error
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=shown) from error
    try:
        found = _json(text) if shown.lower().endswith(".json") else _yaml(text)
    except RecursionError as error:
        raise UsageError("nested too deep", where=shown) from error
    except ValueError as error:
        raise UsageError(str(error), where=shown) from error
    content, lines = found
    problems = _shape(content, shown, lines)
    if problems:
        raise UsageError(problems=problems)
    expectations = tuple({"type": item["type"], "kwargs": item.get("kwargs") or {}} for item in content["expectations"])
    return Suite(shown, str(content["name"]), hashlib.sha256(raw).hexdigest(), expectations, lines)


def _shape(content: Any, shown: str, lines: tuple[int, ...]) -> list[Problem]:
    if not isinstance(content, dict):
        return [Problem("not a suite: {name, expectations} expected", shown)]
    problems = _unknown_keys(content, _SUITE_KEYS, shown)
    if not isinstance(content.get("name"), str) or not content["name"].strip():
        problems.append(Problem("the suite has no name", shown))
    expectations = content.get("expectations")
    if not isinstance(expectations, list) or not expectations:
        problems.append(
            Problem("no expectations", shown, "a contract that checks nothing is refused; add one, or name no contract")
        )
        return problems
    for position, item in enumerate(expectations):
        line = f":{lines[position]}" if lines else ""
        where = f"{shown}{line}: expectations[{position}]"
        if not isinstance(item, dict):
            problems.append(Problem("not an expectation: {type, kwargs} expected", where))
            continue
        problems += _unknown_keys(item, _EXPECTATION_KEYS, where)
        if not isinstance(item.get("type"), str):
            problems.append(Problem("the expectation has no type", where))
        if not isinstance(item.get("kwargs") or {}, dict):
            problems.append(Problem("kwargs is not a mapping", where))
        elif "$PARAMETER" in json.dumps(item.get("kwargs"), default=str):
            problems.append(Problem("$PARAMETER: the gate has no value for it", where, "write the value itself"))
    return problems


def _unknown_keys(mapping: dict[Any, Any], known: tuple[str, ...], where: str) -> list[Problem]:
    return [
        Problem(
            f"unknown key {key!r}"
            + (f"; did you mean {_OLD_KEYS[key]!r}?" if key in _OLD_KEYS else did_you_mean(key, known)),
            where,
        )
        for key in mapping
        if key not in known
    ]


def _json(text: str) -> tuple[Any, tuple[int, ...]]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"key given twice: {', '.join(map(repr, repeated))}")
        return dict(pairs)

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not a number of JSON")

    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=refuse), ()
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error


def _yaml(text: str) -> tuple[Any, tuple[int, ...]]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent

    try:
        depth = 0
        for event in YAML(typ="rt", pure=True).parse(io.StringIO(text)):
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            if depth > _DEPTH:  # the parser slows down with the square of the depth
                raise ValueError(f"line {event.start_mark.line + 1}: nested too deep")
            if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
                raise ValueError(f"line {event.start_mark.line + 1}: YAML anchors and aliases are not read here")
            if isinstance(event, NodeEvent) and getattr(event, "ctag", None):
                raise ValueError(f"line {event.start_mark.line + 1}: YAML tags are not read here")
        loaded = YAML(typ="rt", pure=True).load(text)
        plain = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise ValueError(f"{line}not YAML: {error.problem or error.context}") from error
    except YAMLError as error:
        raise ValueError(f"not YAML: {str(error).splitlines()[0]}") from error
    sequence: Any = loaded.get("expectations") if isinstance(loaded, dict) else None
    if not hasattr(sequence, "lc"):
        return plain, ()
    return plain, tuple(sequence.lc.item(position)[0] + 1 for position in range(len(sequence)))
