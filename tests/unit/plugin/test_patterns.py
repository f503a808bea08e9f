"""Patterns of names: whether two may meet is what trying every short name says."""

from __future__ import annotations

import itertools

import pytest

from gate.plugin.patterns import matches, may_meet, never_a_model, never_an_alias

LETTERS = "abcd-"
NAMES = ["".join(name) for length in range(1, 5) for name in itertools.product(LETTERS, repeat=length)]
PATTERNS = [
    "a",
    "ab",
    "*",
    "?",
    "a*",
    "*b",
    "a?c",
    "*-*",
    "[ab]",
    "[!a]",
    "[b-c]?",
    "a[!a-c]",
    "*[!-]",
    "a**c",
    "??",
    "[-]*",
]


@pytest.mark.parametrize("one", PATTERNS)
def test_two_patterns_may_meet_where_some_name_matches_both(one: str) -> None:
    for other in PATTERNS:
        found = any(matches(name, [one]) and matches(name, [other]) for name in NAMES)
        assert may_meet([one], [other]) == found, (one, other)


def test_a_name_with_brackets_meets_itself_and_what_it_matches_as_a_pattern() -> None:
    assert may_meet(["fraud[eu]"], ["fraud[[]eu]"])
    assert may_meet(["fraud[eu]"], ["fraude"])
    assert not may_meet(["fraud[eu]"], ["fraud"])


def test_a_pattern_that_something_can_match_is_no_mistake() -> None:
    for pattern in [*PATTERNS, "[!x]*", "v*", "v-1", "late*", "[ab]c", "champion"]:
        assert not never_a_model(pattern)
        assert not never_an_alias(pattern)
