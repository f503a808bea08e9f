"""The published figures of five torchvision models on the ImageNet validation set, counted by the gate itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gate.core.flips import FlipTable, count, merge
from gate.core.paired import mcnemar_midp
from gate.core.rates import rate
from gate.tasks.batch import Answers, Batch, Classes
from gate.tasks.classification import Classification, Reading

FILE = Path(__file__).parents[3] / "shared/data/imagenet-val-predictions/predictions.parquet"

pytestmark = pytest.mark.skipif(not FILE.exists(), reason=f"the ImageNet predictions are not here ({FILE})")


@pytest.fixture(scope="module")
def predictions() -> pa.Table:
    return pq.read_table(FILE)


def compared(predictions: pa.Table, incumbent: str, candidate: str, rows: int = 7_001) -> FlipTable:
    task = Classification(Reading(), Classes())
    tables, first = [], 0
    for part in predictions.combine_chunks().to_batches(max_chunksize=rows):
        answers = [Answers(part.column(name)) for name in (candidate, incumbent)]
        batch = Batch(part.column("image_id"), part.column("label"), *answers, first_row=first)
        tables.append(count(task.outcomes(batch)))
        first += len(part)
    return task.finish(merge(tables))


@pytest.fixture(scope="module")
def densenet(predictions: pa.Table) -> FlipTable:
    return compared(predictions, "resnet18", "densenet161")


def test_resnet18_to_densenet161_falls_into_the_published_four_cells(densenet):
    found = densenet.overall
    assert (found.both_right, found.negative, found.positive, found.both_wrong) == (32_866, 2_013, 5_703, 9_418)
    assert found.n == 50_000


@pytest.mark.parametrize(
    ("name", "of", "percent", "digits"),
    [
        ("error_rate", "incumbent", 30.242, 3),
        ("error_rate", "candidate", 22.862, 3),
        ("nfr", None, 4.026, 3),
        ("relative_nfr", None, 25.24, 2),
    ],
)
def test_resnet18_to_densenet161_has_the_published_rates(densenet, name, of, percent, digits):
    assert round(100 * float(rate(name, of).value(densenet.overall)), digits) == percent


def test_alexnet_to_resnet152_has_the_published_nfr(predictions):
    found = compared(predictions, "alexnet", "resnet152").overall
    assert round(100 * float(rate("nfr").value(found)), 3) == 2.816


def test_resnet18_to_resnet50_flips_as_published(predictions):
    found = compared(predictions, "resnet18", "resnet50").overall
    assert (found.negative, found.positive) == (1_973, 5_159)


def test_97_classes_lose_on_balance_7_with_a_small_p_value_and_none_after_holm(densenet):
    classes = densenet.cells["class"]
    b, c = classes.columns[:, 1], classes.columns[:, 2]
    worse = b > c
    one_sided = np.where(worse, np.asarray(mcnemar_midp(b, c)) / 2, 1 - np.asarray(mcnemar_midp(b, c)) / 2)
    assert len(classes) == 1_000
    assert int(worse.sum()) == 97
    assert int((one_sided < 0.05).sum()) == 7
    stepped = np.maximum.accumulate(np.sort(one_sided) * (len(one_sided) - np.arange(len(one_sided))))
    assert int((stepped < 0.05).sum()) == 0


def test_every_class_has_50_images_and_the_cells_sum_to_the_whole(densenet):
    for by in ("class", "output"):
        assert densenet.cells[by].columns.sum() == 50_000
    assert set(densenet.cells["class"].columns.sum(axis=1).tolist()) == {50}
    assert sum(densenet.matrix.values()) == 2_013 + 5_703


def test_the_counts_do_not_move_with_the_batch_size(predictions, densenet):
    other = compared(predictions, "resnet18", "densenet161", rows=50_000)
    assert other.overall == densenet.overall
    assert other.matrix == densenet.matrix
    assert other.samples == densenet.samples
    for by in ("class", "output"):
        assert other.cells[by].values == densenet.cells[by].values
        assert np.array_equal(other.cells[by].columns, densenet.cells[by].columns)


def test_swapping_the_models_swaps_the_flips(predictions, densenet):
    assert compared(predictions, "densenet161", "resnet18").overall == densenet.overall.swapped()
