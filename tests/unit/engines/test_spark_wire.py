"""What a partition counted goes through text and comes back the same."""

from __future__ import annotations

import datetime
import decimal
import pickle
from typing import Any

import numpy as np
import pytest

from gate.core.flipped import FlippedRow
from gate.core.flips import FlipTable, count, merge
from gate.core.outcomes import Codes, Confidence, Outcomes, Picture, Scores
from gate.engines.spark.wire import from_text, to_text


def table(seed: int, rows: int = 200) -> FlipTable:
    """A table of everything that can be counted."""
    made = np.random.default_rng(seed)

    def codes(*values: Any) -> Codes:
        return Codes(made.integers(0, len(values), rows), values)

    label, candidate, incumbent = (codes(1, 2, 3) for _ in range(3))
    return count(
        Outcomes(
            ids=np.arange(rows) + seed * rows,
            incumbent_right=label.codes == incumbent.codes,
            candidate_right=label.codes == candidate.codes,
            same_output=incumbent.codes == candidate.codes,
            label=label,
            incumbent=incumbent,
            candidate=candidate,
            slices={"odd": codes(None, True, 1, 1.0, "1", float("inf"), -0.0), "where": Codes(label.codes - 1, (1, 2))},
            confidence=Confidence(made.random(rows), made.random(rows)),
            cluster=codes(*"abcdefgh"),
            weight=made.random(rows) + 0.1,
            scores=Scores(made.normal(size=rows), made.normal(size=rows)),
        ),
        keep=20,
    )


def test_a_flip_table_of_everything_comes_back_the_same() -> None:
    whole = table(1)
    back = from_text(to_text(whole))
    assert to_text(back) == to_text(whole)
    assert (back.overall, back.matrix, back.samples) == (whole.overall, whole.matrix, whole.samples)
    assert [type(value) for value in back.cells["odd"].values] == [type(value) for value in whole.cells["odd"].values]
    assert back.cells["odd"].columns.tolist() == whole.cells["odd"].columns.tolist()
    assert back.weights["overall"].squares.tolist() == whole.weights["overall"].squares.tolist()
    assert back.confidence is not None and back.confidence.dtype == np.int64
    assert str(back.cells["odd"].values[-1]) == "-0.0"


def test_tables_that_went_through_text_add_up_to_what_the_tables_add_up_to() -> None:
    tables = [table(seed) for seed in range(4)]
    assert to_text(merge([from_text(to_text(one)) for one in tables])) == to_text(merge(tables))


def test_the_empty_table_comes_back_empty() -> None:
    assert to_text(from_text(to_text(FlipTable()))) == to_text(FlipTable())


@pytest.mark.parametrize(
    "value",
    [
        datetime.date(2026, 1, 31),
        datetime.datetime(2026, 1, 31, 12, 30, 0, 5, datetime.timezone.utc),
        datetime.time(1, 2, 3),
        datetime.timedelta(days=-1, microseconds=3),
        decimal.Decimal("1.10"),
        b"\x00\xff",
        "\ud800",
        1 << 200,
        Picture(b"png", 3, 4),
        {("reason", "owner"): 3},
    ],
)
def test_what_may_name_a_row_comes_back_with_its_type(value: Any) -> None:
    back = from_text(to_text(value))
    assert back == value and type(back) is type(value)


def test_a_sample_keeps_what_is_shown_beside_it() -> None:
    row = FlippedRow("d", 7, "negative", cost=1.5, golden=True, beside={"age": 3, "scan": Picture(b"x", 1, 1)})
    assert vars(from_text(to_text(row))) == vars(row)


def test_what_is_not_counted_with_does_not_travel() -> None:
    with pytest.raises(TypeError, match="object is not among what is counted"):
        to_text(object())


@pytest.mark.parametrize(
    "text",
    [
        '{"is":"os.system","of":"true"}',
        '{"is":"array","of":["O",[1],"AAAA"]}',
        '{"is":"FlipTable","of":{"no such":1}}',
        "{}",
        "[",
        pickle.dumps(1).decode("latin-1"),
    ],
)
def test_text_that_nobody_wrote_is_refused_and_runs_nothing(text: str) -> None:
    with pytest.raises(ValueError, match="."):
        from_text(text)
