"""How much longer does the gate take than calling both models in a bare loop?

Run::

    python benchmarks/checking.py [ROWS ...] [--pairs 7] [--kind linear|forest] [--batch-rows N] [--keep FOLDER]

Makes a Parquet file of ROWS x 50 float columns (default: 100,000 and 1,000,000), two scikit-learn models saved by
``mlflow.sklearn.save_model`` with a column signature, and times, alternating in pairs:

- **gate**: ``score`` with a worker process for each model, and the counting, as ``gate check`` does it: reading, ids,
  both models, canary rows, flips; **with the digest** of the rows too, which every check takes;
- **bare**: a script that reads the same file in one go, calls both pyfunc predicts, and counts the flips with NumPy;
  **warm**: the same a second time in that process, where all is imported, allocated and cached that the first call is;
- **raw**: a script that calls the ``predict`` of scikit-learn, without MLflow, for the first time.

Imports, loading of the models and starting of processes are outside on all sides, and every side starts anew for each
pair, but the warm one. Prints seconds (least and median) and the ratios of the pairs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from machine import machine, record
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gate.data.columns import batch_rows
from gate.data.tables import open_table
from gate.engines.local import Worker, score
from gate.policy.load import parse_policy
from gate.stories.counting import Counting
from gate.stories.holdout import HeldOut
from gate.stories.scoring import Reader
from gate.tasks.batch import Classes
from gate.tasks.kinds import KINDS

COLUMNS = [f"x{position:02}" for position in range(50)]
POLICY = "version: 1\nname: bench\nholdout: {id: key, label: y}\nrules:\n  - {id: few, rate: nfr, at_most: 50%}\n"


def rows_of(count: int, seed: int = 0) -> pd.DataFrame:
    """Rows of two classes that a linear model tells apart well, but not perfectly."""
    random = np.random.default_rng(seed)
    table = pd.DataFrame(random.normal(size=(count, len(COLUMNS))), columns=COLUMNS)
    score_ = table.to_numpy() @ np.linspace(-1, 1, len(COLUMNS)) + random.normal(size=count)
    table["y"] = (score_ > 0).astype(np.int64)
    table["key"] = np.arange(count)
    return table


def models(kind: str, folder: Path) -> tuple[Path, Path]:
    """An incumbent and a candidate, trained on different rows, as folders of MLflow models."""
    saved = []
    for seed, name in enumerate(("incumbent", "candidate"), start=1):
        train = rows_of(5_000, seed)
        if kind == "linear":
            model: Any = make_pipeline(StandardScaler(), LogisticRegression(C=seed))
        else:
            model = RandomForestClassifier(20, max_depth=8, random_state=seed)
        model.fit(train[COLUMNS], train["y"])
        schema = Schema([ColSpec("double", column) for column in COLUMNS])
        mlflow.sklearn.save_model(
            model,
            str(folder / name),
            signature=ModelSignature(schema),
            pip_requirements=[],
            serialization_format="cloudpickle",
        )
        saved.append(folder / name)
    return saved[0], saved[1]


def bare(data: Path, first: Callable[[Any], Any], second: Callable[[Any], Any]) -> tuple[int, ...]:
    """What anybody would write: read, predict, predict, count."""
    table = pq.read_table(data)
    label = table.column("y").to_numpy()
    features = table.select(COLUMNS).to_pandas()
    right, also = first(features) == label, second(features) == label
    return int((right & ~also).sum()), int((~right & also).sum()), int((right & also).sum())


class Gate:
    """The gate with both models loaded; each call scores all rows with new workers, which are started outside."""

    def __init__(self, data: Path, incumbent: Path, candidate: Path, rows: int | None) -> None:
        self.data, self.folders, self.rows = data, {"candidate": candidate, "incumbent": incumbent}, rows
        self.batch_rows = rows or batch_rows(open_table(data))

    def seconds(self, digest: bool) -> tuple[float, tuple[int, ...]]:
        """Seconds for scoring and counting, with the digest of the rows or without, and what was counted."""
        rules = parse_policy(POLICY)
        with ExitStack() as stack:
            workers = [stack.enter_context(Worker.start(role)) for role in self.folders]
            for worker, folder in zip(workers, self.folders.values(), strict=True):
                worker.load(folder)
            infos = [worker.ready() for worker in workers]
            started = time.perf_counter()
            table = open_table(self.data)
            rows = self.rows or batch_rows(table)
            reader = Reader(table, HeldOut(rules), infos, rows)
            if not digest:
                reader._digest.update = lambda batch: None  # type: ignore[method-assign]
            task = KINDS["classification"](rules.task, Classes(None, infos[0].classes, infos[1].classes))
            counting = Counting(task, rules, seed=0, samples=100)
            for kept, answers in score(workers, reader.features()):
                counting.add(kept.batch(answers[0], answers[1]))
            counts = counting.finish().table.overall
            reader.finish(None)
            elapsed = time.perf_counter() - started
        return elapsed, (counts.negative, counts.positive, counts.both_right)


def script(data: Path, incumbent: Path, candidate: Path, how: str) -> None:
    """What the other process does: load, then read, predict and count, twice; seconds and counts as JSON."""
    load = mlflow.sklearn.load_model if how == "raw" else mlflow.pyfunc.load_model
    first, second = load(str(incumbent)), load(str(candidate))
    told = []
    for _ in range(2):
        started = time.perf_counter()
        counts = bare(data, first.predict, second.predict)
        told.append((time.perf_counter() - started, counts))
    print(json.dumps(told))


def in_a_script(*words: object) -> list[tuple[float, tuple[int, ...]]]:
    """Seconds and counts of the first and the second time, from a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, "--script", *map(str, words)]
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    return [(seconds, tuple(counts)) for seconds, counts in json.loads(said.splitlines()[-1])]


def compare(count: int, kind: str, pairs: int, rows: int | None, folder: Path) -> list[dict[str, Any]]:
    """Print one table for a file of ``count`` rows; its ratios as rows of a result."""
    data = folder / f"{count}.parquet"
    if not data.exists():
        pq.write_table(pa.Table.from_pandas(rows_of(count), preserve_index=False), data)
    with tempfile.TemporaryDirectory() as scratch:
        incumbent, candidate = models(kind, Path(scratch))
        gate = Gate(data, incumbent, candidate, rows)
        seconds: dict[str, list[float]] = {
            name: [] for name in ("gate", "gate with digest", "bare", "bare, warm", "raw")
        }
        found = set()

        def note(name: str, told: tuple[float, tuple[int, ...]]) -> None:
            seconds[name].append(told[0])
            found.add(told[1])

        def the_gate() -> None:
            note("gate", gate.seconds(digest=False))
            note("gate with digest", gate.seconds(digest=True))

        def the_others() -> None:
            for name, told in zip(
                ("bare", "bare, warm"), in_a_script(data, incumbent, candidate, "pyfunc"), strict=True
            ):
                note(name, told)
            note("raw", in_a_script(data, incumbent, candidate, "raw")[0])

        gate.seconds(digest=True)  # the file is in the page cache from here on
        for pair in range(pairs):
            for side in (the_gate, the_others) if pair % 2 else (the_others, the_gate):
                side()
        assert len(found) == 1, found
    print(f"{count:,} rows x {len(COLUMNS)}, two {kind} models, batches of {gate.batch_rows:,} rows, {pairs} pairs")
    for name, measured in seconds.items():
        print(f"  {name:17} least {min(measured):7.3f} s   median {statistics.median(measured):7.3f} s")
    kept = []
    for one, other in (("gate", "bare"), ("gate with digest", "bare"), ("gate", "bare, warm")):
        least = min(seconds[one]) / min(seconds[other])
        ratios = [a / b for a, b in zip(seconds[one], seconds[other], strict=True)]
        print(f"  {one} / {other}: least {least:.2f}, median of pairs {statistics.median(ratios):.2f}", flush=True)
        what = f"{count:,} rows x {len(COLUMNS)}, two {kind} models: {one} / {other}"
        limit = {"at_most": 1.10} if (one, other) == ("gate", "bare") else {}
        middle = statistics.median(ratios)
        kept.append({"what": what, "value": middle, "unit": "x", **limit, "least": least, "gate_s": min(seconds[one])})
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--kind", choices=["linear", "forest"], default="linear")
    parser.add_argument("--batch-rows", type=int, help="as of gate check; by default chosen by the gate")
    parser.add_argument("--keep", type=Path, help="folder for the Parquet files, which are made anew otherwise")
    parser.add_argument("--script", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.script:
        script(*map(Path, given.script[:3]), given.script[3])
        return
    print(machine("pandas", "scikit-learn", "mlflow"))
    with ExitStack() as stack:
        folder = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kept = [compare(count, given.kind, given.pairs, given.batch_rows, folder) for count in given.rows]
    record("checking", [row for part in kept for row in part], "pandas", "scikit-learn", "mlflow")


if __name__ == "__main__":
    main()
