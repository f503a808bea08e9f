"""The small, closed language of ``where``: which rows belong to a slice. There is no eval, and nothing to call.

::

    tenure_days < 30
    region in ('north', 'south') and not is_staff
    `card type` is null or amount >= 1e4

Comparisons (``= == != <> < <= > >=``), ``and``, ``or``, ``not``, ``in (...)``, ``not in (...)``, ``is null``,
``is not null``, parentheses. A column is a name, or anything between backquotes; text stands between quotes, doubled
inside; numbers, ``true`` and ``false``. A comparison with a missing value is neither true nor false (as in SQL), and
such a row is not in the slice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gate.errors import EvidenceError

Literal = bool | int | float | str
_DEEPEST = 50
_LONGEST = 100

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    | (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    | (?P<quoted>`[^`]+`)
    | (?P<operator><=|>=|!=|<>|==|=|<|>)
    | (?P<mark>[(),])
    | (?P<word>[^\W\d]\w*)
    )""",
    re.VERBOSE,
)
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": pc.equal,
    "==": pc.equal,
    "!=": pc.not_equal,
    "<>": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_WORDS = ("and", "or", "not", "in", "is", "null", "true", "false")


class WhereError(ValueError):
    """The text is no condition; ``column`` counts its characters from 1."""

    def __init__(self, found: str, column: int) -> None:
        super().__init__(found)
        self.column = column


@dataclass(frozen=True)
class Column:
    """A column of the held-out set."""

    name: str


@dataclass(frozen=True)
class Comparison:
    """A column or value against another, ``null`` where either is missing."""

    left: Column | Literal
    operator: str
    right: Column | Literal


@dataclass(frozen=True)
class Membership:
    """Whether a column holds one of some values."""

    column: Column
    values: tuple[Literal, ...]


@dataclass(frozen=True)
class IsNull:
    """Whether a column's value is missing."""

    column: Column


@dataclass(frozen=True)
class Not:
    """The contrary."""

    condition: Condition


@dataclass(frozen=True)
class Both:
    """``and``."""

    left: Condition
    right: Condition


@dataclass(frozen=True)
class Either:
    """``or``."""

    left: Condition
    right: Condition


Condition = Column | Comparison | Membership | IsNull | Not | Both | Either


def parse(text: str) -> Condition:
    """Read a condition; WhereError says what is wrong and at which character.

    >>> parse("age < 30 and region in ('north')")  # doctest: +NORMALIZE_WHITESPACE
    Both(left=Comparison(left=Column(name='age'), operator='<', right=30),
         right=Membership(column=Column(name='region'), values=('north',)))
    >>> parse("age <")
    Traceback (most recent call last):
    gate.tasks.where.WhereError: something is missing at the end
    """
    return _Parser(text).parse()


def columns(condition: Condition) -> tuple[str, ...]:
    """The names of the columns that a condition looks at, each once.

    >>> columns(parse("a < 1 or b is null or not a"))
    ('a', 'b')
    """
    return tuple(dict.fromkeys(_columns(condition)))


def _columns(part: Any) -> Iterator[str]:
    if isinstance(part, Column):
        yield part.name
    elif isinstance(part, Comparison):
        yield from _columns(part.left)
        yield from _columns(part.right)
    elif isinstance(part, (Membership, IsNull)):
        yield part.column.name
    elif isinstance(part, Not):
        yield from _columns(part.condition)
    elif isinstance(part, (Both, Either)):
        yield from _columns(part.left)
        yield from _columns(part.right)


def holds(condition: Condition, table: Mapping[str, pa.Array]) -> pa.Array:
    """For each row true, false, or null where a missing value leaves it open.

    ``table`` has the columns of the condition, all of one length. EvidenceError where types do not fit: text is not
    compared with numbers.

    >>> people = {"age": pa.array([20, None, 50]), "region": pa.array(["n", "n", "n"])}
    >>> holds(parse("age < 30 and region = 'n'"), people).to_pylist()
    [True, None, False]
    """
    if isinstance(condition, Both):
        return pc.and_kleene(holds(condition.left, table), holds(condition.right, table))
    if isinstance(condition, Either):
        return pc.or_kleene(holds(condition.left, table), holds(condition.right, table))
    if isinstance(condition, Not):
        return pc.invert(holds(condition.condition, table))
    if isinstance(condition, IsNull):
        return pc.is_null(table[condition.column.name], nan_is_null=True)
    if isinstance(condition, Membership):
        found = [_compared(condition.column, "=", value, table) for value in condition.values]
        result = found[0]
        for other in found[1:]:
            result = pc.or_kleene(result, other)
        return result
    if isinstance(condition, Column):
        column = table[condition.name]
        if not pa.types.is_boolean(column.type):
            raise EvidenceError(
                f"column {condition.name!r} is {column.type}, and stands where only true or false can", where="where"
            )
        return column
    return _compared(condition.left, condition.operator, condition.right, table)


def _compared(left: Any, operator: str, right: Any, table: Mapping[str, pa.Array]) -> pa.Array:
    one, two = (_value(side, table) for side in (left, right))
    kinds = _kind(one.type), _kind(two.type)
    if kinds[0] != kinds[1]:
        raise EvidenceError(
            f"{_named(left)} is {kinds[0]} and {_named(right)} is {kinds[1]}: they cannot be compared",
            where="where",
            hint="put quotes round text, and none round numbers",
        )
    if kinds[0] == "text":
        one, two = (side.cast(pa.string()) for side in (one, two))
    return _without_nan(_COMPARE[operator](one, two), one, two)


def _without_nan(result: Any, *sides: Any) -> Any:
    """NaN is a missing number: what is compared with it is open, also ``!=``."""
    for side in sides:
        if pa.types.is_floating(side.type):
            result = pc.if_else(pc.fill_null(pc.is_nan(side), False), pa.scalar(None, pa.bool_()), result)
    return result


def _value(side: Any, table: Mapping[str, pa.Array]) -> Any:
    if not isinstance(side, Column):
        return pa.scalar(side)
    column = table[side.name]
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _kind(type_: pa.DataType) -> str:
    if pa.types.is_boolean(type_):
        return "true or false"
    if pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        return "a number"
    # dates are compared as ISO text, which sorts as they do
    if any(f(type_) for f in (pa.types.is_string, pa.types.is_large_string, pa.types.is_temporal, pa.types.is_null)):
        return "text"
    return str(type_)


def _named(side: Any) -> str:
    return f"column {side.name!r}" if isinstance(side, Column) else repr(side)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    column: int


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._depth = 0

    def parse(self) -> Condition:
        joints = [token for token in self._tokens if token.kind == "word" and token.text.lower() in ("and", "or")]
        if len(joints) > _LONGEST:
            raise WhereError(f"more than {_LONGEST} times `and` and `or`", joints[_LONGEST].column)
        found = self._either()
        left_over = self._peek()
        if left_over is not None:
            raise WhereError(f"{left_over.text!r} is one thing too many", left_over.column)
        return found

    def _either(self) -> Condition:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise WhereError(f"nested more than {_DEEPEST} deep", self._column())
        found = self._both()
        while self._word("or"):
            found = Either(found, self._both())
        self._depth -= 1
        return found

    def _both(self) -> Condition:
        found = self._negated()
        while self._word("and"):
            found = Both(found, self._negated())
        return found

    def _negated(self) -> Condition:
        contrary = False
        while self._word("not"):
            contrary = not contrary
        found = self._simple()
        return Not(found) if contrary else found

    def _simple(self) -> Condition:
        if self._mark("("):
            found = self._either()
            if not self._mark(")"):
                raise WhereError("a parenthesis is not closed", self._column())
            return found
        start = self._column()
        left = self._operand()
        token = self._peek()
        if token is not None and token.kind == "operator":
            self._at += 1
            right = self._operand()
            if not isinstance(left, Column) and not isinstance(right, Column):
                raise WhereError("two values are compared, and no column", start)
            return Comparison(left, token.text, right)
        if not isinstance(left, Column):
            raise WhereError(f"{left!r} is compared with nothing", start)
        if self._word("is"):
            contrary = self._word("not")
            if not self._word("null"):
                raise WhereError("after `is` comes null, or not null", self._column())
            return Not(IsNull(left)) if contrary else IsNull(left)
        contrary = self._word("not")
        if self._word("in"):
            found = Membership(left, self._list())
            return Not(found) if contrary else found
        if contrary:
            raise WhereError("after `not` comes `in`", self._column())
        return left

    def _list(self) -> tuple[Literal, ...]:
        if not self._mark("("):
            raise WhereError("after `in` comes a list in parentheses", self._column())
        values: list[Literal] = []
        while not values or self._mark(","):
            column = self._column()
            value = self._operand()
            if isinstance(value, Column):
                raise WhereError(f"{value.name!r} is a column, and a list holds values: quote text", column)
            values.append(value)
        if not self._mark(")"):
            raise WhereError("the list is not closed", self._column())
        return tuple(values)

    def _operand(self) -> Column | Literal:
        token = self._peek()
        if token is None:
            raise WhereError("something is missing at the end", self._column())
        self._at += 1
        if token.kind == "number":
            number = float(token.text)
            if number in (float("inf"), float("-inf")):
                raise WhereError(f"{token.text} is too large a number", token.column)
            if abs(number) >= 2**63:
                raise WhereError(f"{token.text} is too large a number", token.column)
            return int(token.text) if re.fullmatch(r"[+-]?\d+", token.text) else number
        if token.kind == "text":
            quote = token.text[0]
            return token.text[1:-1].replace(quote * 2, quote)
        if token.kind == "quoted":
            return Column(token.text[1:-1])
        lowered = token.text.lower()
        if token.kind == "word" and lowered in ("true", "false"):
            return lowered == "true"
        if token.kind == "word" and lowered not in _WORDS:
            return Column(token.text)
        raise WhereError(f"{token.text!r} stands where a column or a value must", token.column)

    def _peek(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _column(self) -> int:
        token = self._peek()
        if token is not None:
            return token.column
        return self._tokens[-1].column + len(self._tokens[-1].text) if self._tokens else 1

    def _word(self, word: str) -> bool:
        return self._take(lambda token: token.kind == "word" and token.text.lower() == word)

    def _mark(self, mark: str) -> bool:
        return self._take(lambda token: token.kind == "mark" and token.text == mark)

    def _take(self, fits: Callable[[_Token], bool]) -> bool:
        token = self._peek()
        if token is None or not fits(token):
            return False
        self._at += 1
        return True


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            column = at + len(text[at:]) - len(text[at:].lstrip())
            raise WhereError(f"{text[column]!r} has no meaning here", column + 1)
        yield _Token(found.lastgroup, found.group(found.lastgroup), found.start(found.lastgroup) + 1)
        at = found.end()
