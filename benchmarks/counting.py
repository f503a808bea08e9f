"""How much more than one NumPy bincount does counting flips cost?

Run::

    python benchmarks/counting.py [--rows 100000 1000000 10000000] [--classes 10 1000] [--batch-rows 131072]

The bare loop is what one would write for the five counts of each class alone, over whole arrays of integers: the code
``label * 8 + incumbent right * 4 + candidate right * 2 + same output``, one ``np.bincount``, and its sums. It takes the
labels to be 0, 1, 2 and so on, checks nothing, and knows neither outputs nor samples.

Against it stands what a story does between reading and judging, in the batches of 131,072 rows of Arrow arrays that
``gate compare`` takes: the task's outcomes, the count by class and by output, the sums of the batches, and the checks
at the end. Once without the flip matrix, once with it, and once more with the samples: the SHA-256 of every flipped
row's id, of which the smallest are kept. Both are run in turn in one process; printed are the ratio of their least
times and the median ratio of a pair.
C's allocator keeps memory that was given back, so that the bare loop need not wait for the system to clear it, once an
array of some 32 MiB was given back: one is, before all else, or the first sizes would be compared with a slower loop.
(``gate check`` makes smaller ones of small tables, so that its models work while it reads: ``--batch-rows 16384`` for
100,000 rows.)

The made models flip as the ResNet-18 and DenseNet-161 of "Positive-congruent training" (Yan et al., CVPR 2021, table 4)
do on ImageNet: 4 % negative flips and 11 % positive ones. A wrong answer is one of 20 classes near the label.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from machine import machine, record
from numpy.typing import NDArray

from gate.core.counts import COLUMN_OF
from gate.core.flips import FlipTable
from gate.core.outcomes import Outcomes
from gate.policy.load import parse_policy
from gate.stories.counting import counted
from gate.tasks.batch import Answers, Batch, Classes
from gate.tasks.classification import Classification, Reading

POLICY = parse_policy("{version: 1, name: counting, rules: [{id: few, rate: nfr, at_most: 5%}]}")
NEAR = 20
KEPT_FROM_THEN_ON = 31 << 20
SHARES = {"both right": 32_866, "negative": 2_013, "positive": 5_703, "both wrong": 9_418}

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Work:
    """The same rows three times over: as integers for the bare loop, as Arrow integers, as Arrow dictionaries."""

    label: Codes
    incumbent: Codes
    candidate: Codes
    classes: int
    columns: dict[str, tuple[pa.Array, pa.Array, pa.Array]]
    ids: pa.Array
    batch_rows: int


def work(rows: int, classes: int, batch_rows: int = 131_072, seed: int = 0) -> Work:
    """Rows whose flips have the published shares."""
    random = np.random.default_rng(seed)
    label = random.integers(0, classes, rows)
    shares = np.array(list(SHARES.values())) / sum(SHARES.values())
    kind = random.choice(len(shares), rows, p=shares)
    near = min(NEAR, classes - 1)
    incumbent, candidate = (
        np.where(np.isin(kind, right), label, (label + random.integers(1, near + 1, rows)) % classes)
        for right in ((0, 1), (0, 2))
    )
    names = pa.array([f"class {code:04}" for code in range(classes)])
    three = (label, incumbent, candidate)
    columns = {
        "integers": tuple(map(pa.array, three)),
        "text": tuple(pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), names) for codes in three),
    }
    return Work(label, incumbent, candidate, classes, columns, pa.array(np.arange(rows)), batch_rows)


def bare(of: Work) -> NDArray[np.int64]:
    """The five counts of each class, written down at once."""
    code = of.label * 8
    code += (of.incumbent == of.label) * 4
    code += (of.candidate == of.label) * 2
    code += of.incumbent == of.candidate
    return np.bincount(code, minlength=of.classes * 8).reshape(of.classes, 8) @ COLUMN_OF


def batches(of: Work, form: str) -> Iterator[Batch]:
    """The rows as a story has them from its reader."""
    label, incumbent, candidate = of.columns[form]
    rows = of.batch_rows
    for start in range(0, len(of.label), rows):
        answers = (Answers(column.slice(start, rows)) for column in (candidate, incumbent))
        yield Batch(of.ids.slice(start, rows), label.slice(start, rows), *answers, first_row=start)


class WithoutMatrix(Classification):
    """The same task, which keeps to itself what the incumbent said: there is no flip matrix then."""

    def outcomes(self, batch: Batch) -> Outcomes:
        found = super().outcomes(batch)
        object.__setattr__(found, "incumbent", None)  # as quick as if it had not been set
        return found


def table(of: Work, form: str, matrix: bool, samples: int) -> FlipTable:
    """The flip table, as the stories count it."""
    task = (Classification if matrix else WithoutMatrix)(Reading(), Classes())
    return counted(task, batches(of, form), POLICY, seed=0, samples=samples).table


def seconds(run: Callable[[], Any]) -> float:
    """Wall seconds of one run."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def ratios(run: Callable[[], Any], against: Callable[[], Any], pairs: int) -> tuple[float, float, float]:
    """Ratio of the least times, median ratio of a pair, the least seconds of ``against``; the first pair warms up."""
    timed = [(seconds(run), seconds(against)) for _ in range(pairs + 1)][1:]
    least, least_against = (min(times) for times in zip(*timed, strict=True))
    return least / least_against, median(one / other for one, other in timed), least_against


def main() -> None:
    """Print a line for each number of rows and classes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 1_000])
    parser.add_argument("--batch-rows", type=int, default=131_072)
    parser.add_argument("--pairs", type=int, default=7, help="of 10^7 rows; ten times as many of 10^6 or fewer")
    told = parser.parse_args()
    np.empty(KEPT_FROM_THEN_ON, dtype=np.uint8)
    print(machine())
    print("ratios to one coded np.bincount over whole arrays: of the least times / median of the pairs\n")
    kinds = {
        "integers": ("integers", False, 0),
        "+ matrix": ("integers", True, 0),
        "+ samples": ("integers", True, 100),
        "text": ("text", False, 0),
        "text + matrix": ("text", True, 0),
    }
    limits = {"integers": 1.3, "+ matrix": 3.0, "text": 3.0}
    kept = []
    print(f"{'rows':>11} {'classes':>8} {'bare, ms':>9}  " + "".join(f"{kind:>16}" for kind in kinds))
    for rows in told.rows:
        for classes in told.classes:
            of = work(rows, classes, told.batch_rows)
            assert np.array_equal(table(of, "integers", True, 0).cells["class"].columns, bare(of))
            pairs = told.pairs if rows > 1_000_000 else 10 * told.pairs
            found = [
                ratios(partial(table, of, *kind), partial(bare, of), max(3, pairs // 10) if kind[2] else pairs)
                for kind in kinds.values()
            ]
            shown = "".join(f"{f'{least:.2f} / {middle:.2f}':>16}" for least, middle, _ in found)
            print(f"{rows:>11,} {classes:>8,} {min(least for *_, least in found) * 1000:>9.2f}  {shown}", flush=True)
            for kind, (least, middle, bare_s) in zip(kinds, found, strict=True):
                limit = {"at_most": limits[kind]} if kind in limits else {}
                what = f"{rows:,} rows, {classes:,} classes, {kind.replace('+', 'with')}"
                kept.append({"what": what, "value": least, "unit": "x", **limit, "median": middle, "bare_s": bare_s})
    record("counting", kept)


if __name__ == "__main__":
    main()
