"""What a registry protects, whose signature counts there, and by which policies: a file in YAML, version 1.

Where anything in the file is wrong, all of it is: nothing can be told from it, so nothing is let through.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path as FilePath
from typing import Any

from gate.decisions.keys import PublicKey, read_public
from gate.decisions.times import age
from gate.errors import Problem, UsageError, did_you_mean
from gate.plugin.patterns import matches, may_meet, never_a_model, never_an_alias
from gate.policy.source import Document, Path

ANY_POLICY = "any"
DEFAULT_AGE = timedelta(days=7)

_TOP = ("version", "protect")
KEYS = ("models", "aliases", "keys", "override_keys", "policies", "environment", "registries", "max_age")
"""What an entry under ``protect`` may say."""

_NEEDED = ("models", "aliases", "keys", "policies")
_SHA_256 = re.compile(r"[0-9a-f]{64}", re.ASCII)

Mistake = tuple[Path, str]


@dataclass(frozen=True)
class Rule:
    """One entry under ``protect``: the names and aliases it is about, and what a move there must stand on.

    ``policies`` and ``registries`` are those that count, None for any. ``environment`` is the one that a decision must
    be for; None: a decision that is for none. ``keys`` sign decisions, ``override_keys`` what a person decides.
    """

    models: tuple[str, ...]
    aliases: tuple[str, ...]
    keys: tuple[PublicKey, ...]
    override_keys: tuple[PublicKey, ...] = ()
    policies: frozenset[str] | None = None
    environment: str | None = None
    registries: frozenset[str] | None = None
    max_age: timedelta = DEFAULT_AGE

    @property
    def all_keys(self) -> tuple[PublicKey, ...]:
        """Every key that may sign anything here."""
        return (*self.keys, *self.override_keys)


@dataclass(frozen=True)
class Enforcement:
    """What an enforcement file says. Where several entries are about one alias, each of them must be met."""

    rules: tuple[Rule, ...]

    def on_model(self, model: str) -> tuple[Rule, ...]:
        """The entries about a name; none: it is not protected."""
        return tuple(rule for rule in self.rules if matches(model, rule.models))

    def on_alias(self, model: str, alias: str) -> tuple[Rule, ...]:
        """The entries about an alias of a name; none: it is not protected."""
        return tuple(rule for rule in self.on_model(model) if matches(alias, rule.aliases))


def parse(document: Document, file: str) -> Enforcement:
    """What an enforcement file says; UsageError with every mistake in it, each with its line.

    >>> from gate.policy.source import read
    >>> parse(read("version: 1\\nprotect:\\n  - {models: [fraud], aliases: [champion], policies: any}"), "gate.yaml")
    Traceback (most recent call last):
    gate.errors.UsageError: gate.yaml:3:5: protect[0]: the key 'keys' is missing
      -> whose signature counts? gate keys new makes a pair
    """
    problems = [Problem(found, f"{file}:{at.line}:{at.column}") for at, found in document.mistakes]
    rules: dict[int, Rule] = {}
    if not problems:
        folder = FilePath(file).parent
        for path, found in _mistakes(document.data):
            problems.append(_problem(document, file, path, found))
        for index, entry in _entries(document.data):
            try:
                rules[index] = _rule(entry, folder)
            except UsageError as error:
                at = document.at(("protect", index, "keys"))
                where = f"{file}:{at.line}:{at.column}"
                problems += [Problem(f"{each.where}: {each.found}", where, each.hint) for each in error.problems]
        for path, found in _never_met_together(rules):
            problems.append(_problem(document, file, path, found))
    if problems:
        raise UsageError(problems=problems)
    return Enforcement(tuple(rules.values()))


def _never_met_together(rules: Mapping[int, Rule]) -> Iterator[Mistake]:
    """Each entry about an alias must be met; two that no decision can meet would let nothing through for ever."""
    for index, rule in rules.items():
        for earlier, other in rules.items():
            if earlier >= index or not (may_meet(rule.models, other.models) and may_meet(rule.aliases, other.aliases)):
                continue
            for key in ("environment", "keys", "policies", "registries"):
                if _exclude(key, rule, other):
                    found = f"no decision meets this and protect[{earlier}].{key}, and both may be about one alias"
                    yield ("protect", index, key), found


def _exclude(key: str, rule: Rule, other: Rule) -> bool:
    if key == "environment":
        return rule.environment != other.environment
    if key == "keys":
        return {each.keyid for each in rule.keys}.isdisjoint(each.keyid for each in other.keys)
    mine, its = (rule.policies, other.policies) if key == "policies" else (rule.registries, other.registries)
    return mine is not None and its is not None and mine.isdisjoint(its)


def _problem(document: Document, file: str, path: Path, found: str) -> Problem:
    at = document.at(path)
    told = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
    hint = "whose signature counts? gate keys new makes a pair" if "'keys'" in found else ""
    return Problem(f"{told}: {found}" if told else found, f"{file}:{at.line}:{at.column}", hint)


def _mistakes(data: Any) -> Iterator[Mistake]:
    if not isinstance(data, dict):
        yield (), f"must be a mapping of {' and '.join(_TOP)}; found {_noun(data)}"
        return
    yield from _unknown(data, _TOP, ())
    if type(data.get("version")) is not int or data["version"] != 1:
        yield ("version",), f"must be the number 1; found {_noun(data.get('version'))}"
    protect = data.get("protect")
    if not isinstance(protect, list) or not protect:
        yield ("protect",), f"must be a list of what is protected, and not empty; found {_noun(protect)}"
        return
    for index, entry in enumerate(protect):
        yield from _of_entry(entry, ("protect", index))


def _of_entry(entry: Any, path: Path) -> Iterator[Mistake]:
    if not isinstance(entry, dict):
        yield path, f"must be a mapping of {', '.join(_NEEDED)}; found {_noun(entry)}"
        return
    yield from _unknown(entry, KEYS, path)
    for key in _NEEDED:
        if key not in entry:
            yield path, f"the key {key!r} is missing"
    for key in ("models", "aliases", "keys", "override_keys", "registries"):
        if key in entry:
            yield from _texts(entry[key], (*path, key))
    for index, name in enumerate(_list(entry.get("models"))):
        if isinstance(name, str) and re.search("[/:]", name):
            found = f"no model can be called {name!r}; write its name alone, such as fraud or credit-*"
            yield (*path, "models", index), found
        elif _is_text(name) and never_a_model(name):
            yield (*path, "models", index), f"no model is meant by {name!r}: {never_a_model(name)}"
    for index, name in enumerate(_list(entry.get("aliases"))):
        if _is_text(name) and never_an_alias(name):
            yield (*path, "aliases", index), f"no alias can be called {name!r}: {never_an_alias(name)}"
    policies = entry.get("policies", ANY_POLICY)
    if policies != ANY_POLICY:
        yield from _texts(policies, (*path, "policies"))
        for index, digest in enumerate(_list(policies)):
            if isinstance(digest, str) and not _SHA_256.fullmatch(digest):
                yield (*path, "policies", index), f"not the SHA-256 of a policy: {digest!r}; or write policies: any"
    if "environment" in entry and not _is_text(entry["environment"]):
        found = f"must be the name of an environment; found {_noun(entry['environment'])}"
        yield (*path, "environment"), found
    if "max_age" in entry:
        try:
            age(str(entry["max_age"]))
        except UsageError as error:
            yield (*path, "max_age"), f"{error.problems[0].found}: {error.problems[0].hint}"


def _unknown(data: dict[str, Any], known: tuple[str, ...], path: Path) -> Iterator[Mistake]:
    for key in data:
        if key not in known:
            yield (*path, key), f"unknown key {key!r}{did_you_mean(key, known)}"


def _texts(found: Any, path: Path) -> Iterator[Mistake]:
    if not isinstance(found, list) or not found:
        yield path, f"must be a list of text, and not empty; found {_noun(found)}"
        return
    for index, item in enumerate(found):
        if not _is_text(item):
            yield (*path, index), f"must be text, without spaces around it; found {_noun(item)}"


def _rule(entry: dict[str, Any], folder: FilePath) -> Rule:
    problems: list[Problem] = []
    keys: dict[str, list[PublicKey]] = {"keys": [], "override_keys": []}
    for kind, found in keys.items():
        for name in _list(entry.get(kind)):
            try:
                if _is_text(name):
                    found.append(read_public(folder / name))
            except UsageError as error:
                problems += error.problems
    both = {key.keyid for key in keys["keys"]} & {key.keyid for key in keys["override_keys"]}
    if both:
        problems.append(
            Problem(
                f"a key that signs decisions cannot override them too: {sorted(both)[0][:16]}",
                "override_keys",
                "make a second pair for those who may: gate keys new oncall",
            )
        )
    if problems:
        raise UsageError(problems=problems)
    policies, registries = entry.get("policies", ANY_POLICY), entry.get("registries")
    return Rule(
        models=_kept(entry.get("models")),
        aliases=_kept(entry.get("aliases")),
        keys=tuple(keys["keys"]),
        override_keys=tuple(keys["override_keys"]),
        policies=None if policies == ANY_POLICY else frozenset(_kept(policies)),
        environment=entry.get("environment"),
        registries=None if registries is None else frozenset(_kept(registries)),
        max_age=_age(entry.get("max_age")),
    )


def _age(text: Any) -> timedelta:
    try:
        return DEFAULT_AGE if text is None else age(str(text))
    except UsageError:  # told as a mistake of its own, with its line
        return DEFAULT_AGE


def _entries(data: Any) -> list[tuple[int, dict[str, Any]]]:
    """With their places in the list."""
    protect = _list(data.get("protect") if isinstance(data, dict) else None)
    return [(index, entry) for index, entry in enumerate(protect) if isinstance(entry, dict)]


def key_files(data: Any) -> list[str]:
    """The key files that the data of an enforcement file names, relative to it."""
    return [
        name
        for _, entry in _entries(data)
        for kind in ("keys", "override_keys")
        for name in _list(entry.get(kind))
        if _is_text(name)
    ]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _kept(value: Any) -> tuple[str, ...]:
    return tuple(item for item in _list(value) if _is_text(item))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value == value.strip() != ""


def _noun(found: Any) -> str:
    return "nothing" if found is None else "a list" if isinstance(found, list) else repr(found)
