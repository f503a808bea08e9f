"""What is in a text: its numbers, what a pattern finds, and what normalising leaves of it."""

from __future__ import annotations

import re
import unicodedata

import pyarrow as pa
import pyarrow.compute as pc

ANSWER = "answer"
"""The group of a pattern that holds the answer; a pattern without it is one group as a whole."""

_NUMBER = re.compile(
    r"""
    (?:(?<![\w.,)\]])-)?                    # a sign, if nothing stands before it from which it could subtract
    (?<![\w.])                              # not within a word or a version
    (?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)     # 1,234 or 1234
       (?:\.\d+)?|\.\d+)                    # 1.5 or .5
    (?:[eE][+-]?\d+)?
    """,
    re.VERBOSE | re.ASCII,
)
_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-"))


def every_number(text: str) -> list[float]:
    """The numbers in a text, in the order in which they stand; what is too large for a float is infinite.

    >>> every_number("3 x 1,200 is 3,600, not -36.5e1."), every_number("none")
    ([3.0, 1200.0, 3600.0, -365.0], [])
    """
    return [float(found.replace(",", "")) for found in _NUMBER.findall(text.translate(_DASHES))]


def normalized(text: str) -> str:
    """The text in Unicode form NFKC, case folded, with each run of punctuation, spaces and controls as one space.

    Punctuation that belongs to a number stays: a point or comma between digits, a point or minus that begins a number,
    a percent sign that ends one. All dashes are minus signs. Symbols such as ``$`` and ``+`` stay; no word is left out.

    >>> normalized("  The answer: Straße, -5% (or 1.5)! ")
    'the answer strasse -5% or 1.5'
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).translate(_DASHES)
    kept = [character if _means_something(text, at, character) else " " for at, character in enumerate(text)]
    return " ".join("".join(kept).split())


def _means_something(text: str, at: int, character: str) -> bool:
    if character.isalnum():
        return True
    kind = unicodedata.category(character)
    if kind[0] != "P":
        return kind[0] != "Z" and kind != "Cc"
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if character in ".,":
        return after.isdigit() and (before.isdigit() or (character == "." and not before.isalnum()))
    if character == "-":
        return (after.isdigit() or after == ".") and not before.isalnum()
    return character == "%" and before.isdigit()


def found_by(pattern: str, column: pa.Array) -> pa.Array:
    """What the pattern (RE2) finds first in each text, null where it finds nothing.

    >>> found_by("[A-D]", pa.array(["(B)", "?"])).to_pylist()
    ['B', None]
    >>> found_by("is (?P<answer>.)", pa.array(["It is C"])).to_pylist()
    ['C']
    """
    grouped = pattern if f"(?P<{ANSWER}>" in pattern else f"(?P<{ANSWER}>{pattern})"
    return pc.struct_field(pc.extract_regex(column, grouped), ANSWER)


def mistake_in(pattern: str) -> str | None:
    """What is wrong with a pattern, None if nothing is.

    >>> mistake_in("a|b"), mistake_in("(a)")
    (None, 'its groups must be named: (?:...) for one that only groups, (?P<answer>...) for the answer')
    """
    try:
        found_by(pattern, pa.array(["a"]))
    except pa.ArrowInvalid as error:
        said = str(error)
        if "unnamed groups" in said:
            return f"its groups must be named: (?:...) for one that only groups, (?P<{ANSWER}>...) for the answer"
        return f"not a regular expression: {said.removeprefix('Invalid regular expression: ')}"
    return None
