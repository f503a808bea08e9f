"""The language of ``where``: what it means, what it refuses, and that nothing else comes out of it."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.errors import EvidenceError
from gate.tasks.where import WhereError, columns, holds, parse

TABLE = {
    "age": pa.array([20, 30, None, 65]),
    "x": pa.array([0.5, float("nan"), None, -1.0]),
    "region": pa.array(["north", "south", None, "it's"]),
    "staff": pa.array([True, False, None, True]),
    "card type": pa.array(["a", "b", "c", None]),
    "kind": pa.array(["p", "q", None, "p"]).dictionary_encode(),
}
T, F, N = True, False, None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("age < 30", [T, F, N, F]),
        ("age <= 30", [T, T, N, F]),
        ("30 < age", [F, F, N, T]),
        ("age = 30", [F, T, N, F]),
        ("age == 3e1", [F, T, N, F]),
        ("age != 30", [T, F, N, T]),
        ("age <> -30", [T, T, N, T]),
        ("age in (20, 65)", [T, F, N, T]),
        ("age not in (20, 65)", [F, T, N, F]),
        ("age is null", [F, F, T, F]),
        ("age IS NOT NULL", [T, T, F, T]),
        ("x is null", [F, T, T, F]),
        ("x < 1", [T, N, N, T]),
        ("x != 1", [T, N, N, T]),
        ("region = 'north'", [T, F, N, F]),
        ('region = "it\'s"', [F, F, N, T]),
        ("region = 'it''s'", [F, F, N, T]),
        ("region >= 'o'", [F, T, N, F]),
        ("kind = 'p'", [T, F, N, T]),
        ("staff", [T, F, N, T]),
        ("not staff", [F, T, N, F]),
        ("not not staff", [T, F, N, T]),
        ("staff = false", [F, T, N, F]),
        ("`card type` = 'a'", [T, F, F, N]),
        ("age < 30 and staff", [T, F, N, F]),
        ("age < 30 or staff", [T, F, N, T]),
        ("age is null or staff", [T, F, T, T]),
        ("age > 100 and age is null", [F, F, N, F]),
        ("age < 30 or age > 60 and staff", [T, F, N, T]),
        ("(age < 30 or age > 60) and region = 'it''s'", [F, F, N, T]),
        ("not (age < 30 or age > 60)", [F, T, N, F]),
    ],
)
def test_a_condition_holds_for_these_rows(text, expected):
    assert holds(parse(text), TABLE).to_pylist() == expected


@pytest.mark.parametrize(
    ("text", "found", "column"),
    [
        ("", "something is missing at the end", 1),
        ("age <", "something is missing at the end", 6),
        ("age < 30 30", "'30' is one thing too many", 10),
        ("age < 30)", "')' is one thing too many", 9),
        ("(age < 30", "a parenthesis is not closed", 10),
        ("30", "30 is compared with nothing", 1),
        ("'a' = 'a'", "two values are compared, and no column", 1),
        ("age is 30", "after `is` comes null, or not null", 8),
        ("age in 30", "after `in` comes a list in parentheses", 8),
        ("age in ()", "')' stands where a column or a value must", 9),
        ("age in (20", "the list is not closed", 11),
        ("age in (region)", "'region' is a column, and a list holds values", 9),
        ("age not 30", "after `not` comes `in`", 9),
        ("and", "'and' stands where a column or a value must", 1),
        ("age < 1e999", "1e999 is too large a number", 7),
        ("__import__('os')", "'(' is one thing too many", 11),
        ("age; drop", "';' has no meaning here", 4),
        ("age < 30 # no", "'#' has no meaning here", 10),
        ("age.max < 3", "'.' has no meaning here", 4),
        ("region = 'north", '"\'" has no meaning here', 10),
        ("(" * 60 + "staff" + ")" * 60, "nested more than 50 deep", 51),
    ],
)
def test_what_is_no_condition_is_told_with_its_place(text, found, column):
    with pytest.raises(WhereError) as caught:
        parse(text)
    assert found in str(caught.value)
    assert caught.value.column == column


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("age = '30'", "column 'age' is a number and '30' is text: they cannot be compared"),
        ("region < 3", "column 'region' is text and 3 is a number"),
        ("staff = 1", "column 'staff' is true or false and 1 is a number"),
        ("age", "column 'age' is int64, and stands where only true or false can"),
    ],
)
def test_types_are_never_bent_to_fit(text, found):
    with pytest.raises(EvidenceError, match=found):
        holds(parse(text), TABLE)


def test_dates_are_compared_as_their_iso_text():
    import datetime

    days = {"day": pa.array([datetime.date(2026, 1, 31), datetime.date(2027, 1, 1)])}
    assert holds(parse("day < '2026-06-01'"), days).to_pylist() == [True, False]


def test_the_columns_of_a_condition_are_named_once_each():
    assert columns(parse("a < b and (b is null or not c) and d in (1) and a = 1")) == ("a", "b", "c", "d")


atoms = st.sampled_from(["age < 30", "staff", "region = 'north'", "x is null", "age in (20, 65)"])
conditions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}) and ({pair[1]})"),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}) or ({pair[1]})"),
        inner.map(lambda one: f"not ({one})"),
    ),
    max_leaves=8,
)


@given(conditions, conditions)
def test_de_morgan_holds_with_missing_values_too(one, two):
    left = holds(parse(f"not (({one}) and ({two}))"), TABLE).to_pylist()
    right = holds(parse(f"(not ({one})) or (not ({two}))"), TABLE).to_pylist()
    assert left == right


@given(st.text(max_size=40))
def test_any_text_is_a_condition_or_an_error_and_nothing_else(text):
    try:
        parse(text)
    except WhereError as error:
        assert 1 <= error.column <= len(text) + 1


def test_an_integer_of_more_than_64_bits_is_refused():
    with pytest.raises(WhereError, match="too large a number"):
        parse("n > 99999999999999999999999")
