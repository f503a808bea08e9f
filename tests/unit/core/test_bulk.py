"""Many values at once are those that the constructor would make one by one."""

from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import pytest

from gate.core.bulk import numbers, rows_of, some_whole, uncollected, whole
from gate.core.judgement import Cell, Source


def test_they_are_equal_hash_alike_and_can_be_changed_by_replacing():
    made = rows_of(Source, {"file": "p.yaml"}, {"line": [3, 4]})
    assert made == [Source("p.yaml", 3), Source("p.yaml", 4)]
    assert hash(made[0]) == hash(Source("p.yaml", 3)) and list(vars(made[0])) == ["file", "line"]
    assert replace(made[0], line=9) == Source("p.yaml", 9)
    with pytest.raises(AttributeError):
        made[0].line = 1  # type: ignore[misc]


def test_no_rows_make_none():
    assert rows_of(Cell, {"by": "class"}, {"value": []}) == []


def test_a_field_that_is_missing_unknown_or_of_another_length_is_an_error():
    with pytest.raises(TypeError, match="Source has the fields file, line; found line"):
        rows_of(Source, {}, {"line": [1]})
    with pytest.raises(TypeError):
        rows_of(Cell, {"by": "class", "colour": 1}, {"value": [1]})
    with pytest.raises(ValueError, match=r"columns of \[1, 2\] rows"):
        rows_of(Source, {}, {"file": ["a"], "line": [1, 2]})
    with pytest.raises(ValueError, match="columns of"):
        rows_of(Source, {"file": "a", "line": 1}, {})


def test_the_collector_of_cycles_is_left_as_it_was():
    rows_of(Cell, {"by": "class"}, {"value": [1]})
    assert gc.isenabled()
    gc.disable()
    try:
        rows_of(Cell, {"by": "class"}, {"value": [1]})
        assert not gc.isenabled()
    finally:
        gc.enable()
    with pytest.raises(RuntimeError), uncollected():
        raise RuntimeError
    assert gc.isenabled()


def test_arrays_become_plain_numbers():
    assert numbers(np.array([1.5, 2.0])) == [1.5, 2.0]
    assert numbers(np.array([np.nan, -np.inf, 0.0])) == [None, None, 0.0]
    assert whole(np.array([3.0, 0.0])) == [3, 0] and type(whole(np.array([3.0]))[0]) is int
    assert some_whole(np.array([np.nan, 7.0])) == [None, 7] and some_whole(np.full(2, np.nan)) == [None, None]
    assert some_whole(np.array([])) == [] == numbers(np.array([]))
