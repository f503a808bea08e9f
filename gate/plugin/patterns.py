"""Patterns as in a shell, of names and aliases: what they match, whether anything does, and whether two may meet."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cache

_TOKEN = re.compile(r"\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)
_LETTERS = "".join(map(chr, range(33, 127))) + "\u00e9\uffff"
_IN_ALIASES = re.compile(r"[\w-]")
_RESERVED = re.compile(r"latest|v\d+", re.IGNORECASE)
_WILD = re.compile(r"[*?\[]")


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name is one of these, or matches one that is a pattern.

    >>> matches("fraud[eu]", ["fraud[eu]"]), matches("fraude", ["fraud[eu]"]), matches("Fraud", ["fraud*"])
    (True, True, False)
    """
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


def never_a_model(pattern: str) -> str:
    """Why a pattern is surely not meant for the name of a model; empty where it may be.

    >>> never_a_model("credit-*"), never_a_model("!fraud")
    ('', 'a pattern says what is protected, and has no way to say what is not')
    """
    return _misshapen(pattern)


def never_an_alias(pattern: str) -> str:
    """Why no alias of MLflow can match a pattern; empty where one can.

    >>> never_an_alias("v-*"), never_an_alias("latest")
    ('', 'MLflow takes latest and v1, v2, ... for no alias')
    """
    found = _misshapen(pattern)
    if found:
        return found
    if not all(token == "*" or any(map(_IN_ALIASES.match, _of(token))) for token in _tokens(pattern)):
        return "an alias has letters, digits, _ and -, and nothing else; write champion, not @champion"
    if not _WILD.search(pattern) and _RESERVED.fullmatch(pattern):
        return "MLflow takes latest and v1, v2, ... for no alias"
    return ""


def _misshapen(pattern: str) -> str:
    if pattern.startswith("!"):
        return "a pattern says what is protected, and has no way to say what is not"
    if "[" in _tokens(pattern):
        return "a bracket is opened and not closed"
    if not all(token == "*" or _of(token) for token in _tokens(pattern)):
        return "nothing is in its brackets"
    return ""


def may_meet(one: Iterable[str], other: Iterable[str]) -> bool:
    """Whether there is a name that both match.

    >>> may_meet(["fraud-*"], ["*-eu"]), may_meet(["fraud-?"], ["fraud"]), may_meet(["a[x-z]"], ["a[!x]"])
    (True, False, True)
    """
    return any(
        _meet(left, right)
        for mine in one
        for other_ in other
        for left in _readings(mine)
        for right in _readings(other_)
    )


def _readings(pattern: str) -> tuple[tuple[str, ...], ...]:
    """A pattern matches what it says in the way of a shell, and the name that is spelled as it is."""
    return _tokens(pattern), tuple(pattern)


def _meet(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    @cache
    def rest(left: int, right: int) -> bool:
        if left == len(one) or right == len(other):
            return all(token == "*" for token in one[left:] + other[right:])
        if one[left] == "*":
            return rest(left + 1, right) or (rest(left, right + 1))
        if other[right] == "*":
            return rest(left, right + 1) or rest(left + 1, right)
        return _share(one[left], other[right]) and rest(left + 1, right + 1)

    return rest(0, 0)


def _tokens(pattern: str) -> tuple[str, ...]:
    return tuple(_TOKEN.findall(pattern))


def _share(one: str, other: str) -> bool:
    return any(fnmatchcase(each, other) for each in (*_of(one), *one) if fnmatchcase(each, one))


@cache
def _of(token: str) -> str:
    """Of what a part of a pattern stands for, enough to tell: the plain letters, and those that it spells."""
    return "".join(each for each in dict.fromkeys(_LETTERS + token) if fnmatchcase(each, token))
