"""A label is what it says, whether a column holds it as text or as a category of some width."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

import gate
from gate.policy.load import parse_policy
from gate.stories.decide import Judgement

POLICY = parse_policy(
    "{version: 1, name: p, holdout: {label: y, slices: {s: {column: s}}},"
    " rules: [{id: classes, rate: nfr, by: class, at_most: 50%, decide_on: estimate}]}"
)
WIDTHS = (pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.int64())


def judged(classes: int, width: pa.DataType | None, unused: int = 0) -> Judgement:
    """Every class has two rows, and the last one is broken in both."""
    names = [f"c{number:05d}" for number in range(classes)]
    label = np.repeat(np.arange(classes), 2)
    new = np.where(label == classes - 1, 0, label)

    def column(codes: np.ndarray) -> pa.Array:
        values = pa.array([f"unused {n}" for n in range(unused)] + names)
        coded = pa.array(codes + unused)
        if width is None:
            return values.take(coded)
        return pa.DictionaryArray.from_arrays(coded.cast(width), values)

    table = pa.table({"y": column(label), "old": column(label), "new": column(new), "s": column(label)})
    return gate.compare(table, policy=POLICY, incumbent="old", candidate="new", as_of="2026-01-01")


@pytest.mark.parametrize("classes", [2, 16, 17, 20, 32, 33, 100, 127, 128, 200, 5000])
def test_the_width_of_a_category_changes_nothing(classes: int) -> None:
    text = judged(classes, None).decision
    assert text.findings[-1].numerator == 2 and text.exit_code == 10
    for width in WIDTHS:
        for unused in (0, 1):
            if classes + unused > np.iinfo(width.to_pandas_dtype()).max + 1:
                continue
            found = judged(classes, width, unused).decision
            assert found.counts == text.counts, (width, unused)
            assert [replace(one, source=text.findings[0].source) for one in found.findings] == list(text.findings)
            by_name = {(cell.by, cell.value): cell.counts for cell in text.cells}
            assert {(cell.by, cell.value): cell.counts for cell in found.cells} == by_name
