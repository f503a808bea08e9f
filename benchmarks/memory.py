"""How much memory does the gate need for many rows? Peaks of ``gate compare`` and of ``gate check``.

Run::

    python benchmarks/memory.py [--rows 1000000 100000000] [--check 1000000 10000000]

The predictions are a Parquet file of small integers and a column of unique ids that do not rise, written in chunks; the
held-out set for ``gate check`` has two numbers to a row, and two linear models of scikit-learn answer it. Each run is
the whole story in a process of its own, of which the peak of resident memory is told. For each the peak is set
against that of the fewest rows, after 8 bytes an id are taken off both.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from machine import machine, record

CHUNK = 1_000_000
CLASSES = 100
ODD = 2_654_435_761  # times a row's number, modulo 2 ** 32: unique, and in no order
POLICY = "{version: 1, name: memory, holdout: {id: id, label: y}, rules: [{id: few, rate: nfr, at_most: 50%}]}"
MODEL = "tiny"


def write(path: Path, rows: int, features: bool) -> None:
    """A file of so many rows: predictions of two models, or two features."""
    writer: pa.parquet.ParquetWriter | None = None
    for chunk in _chunks(rows, features):
        writer = writer or pa.parquet.ParquetWriter(path, chunk.schema)
        writer.write_table(chunk)
    if writer is not None:
        writer.close()


def _chunks(rows: int, features: bool) -> Iterator[pa.Table]:
    random = np.random.default_rng(0)
    for start in range(0, rows, CHUNK):
        size = min(CHUNK, rows - start)
        number = np.arange(start, start + size, dtype=np.uint64)
        columns: dict[str, Any] = {"id": (number * np.uint64(ODD) % np.uint64(2**32)).astype(np.int64)}
        if features:
            columns["a"], columns["b"] = random.normal(size=(2, size)).astype(np.float32)
            columns["y"] = (columns["a"] + 0.5 * columns["b"] > 0).astype(np.int8)
        else:
            label = random.integers(0, CLASSES, size, dtype=np.int16)
            columns["y"] = label
            for name, wrong in (("old", 0.10), ("new", 0.08)):
                columns[name] = np.where(random.random(size) < wrong, (label + 1) % CLASSES, label).astype(np.int16)
        yield pa.table(columns)


def register(store: str) -> None:
    """Two versions of a model of two numbers, whose borders differ a little."""
    import mlflow
    from sklearn.linear_model import LogisticRegression

    mlflow.set_tracking_uri(store)
    random = np.random.default_rng(1)
    features = random.normal(size=(1_000, 2)).astype(np.float32)
    for lean in (0.4, 0.5):
        fitted = LogisticRegression().fit(features, (features @ [1.0, lean] > 0).astype(np.int8))
        mlflow.sklearn.log_model(fitted, name=MODEL, registered_model_name=MODEL, input_example=None)


def compare(path: str) -> None:
    """The story of ``gate compare``."""
    import gate
    from gate.policy.load import parse_policy

    gate.compare(path, policy=parse_policy(POLICY), incumbent="old", candidate="new", as_of="2026-01-01")


def check(path: str, store: str) -> None:
    """The story of ``gate check``."""
    import gate
    from gate.policy.load import parse_policy

    gate.check(
        model=MODEL,
        candidate="2",
        incumbent="1",
        data=path,
        policy=parse_policy(POLICY),
        registry_uri=store,
        tracking_uri=store,
        log_run=False,
        as_of="2026-01-01",
    )


def peak(story: str, *told: str) -> dict[str, float]:
    """Peak of the story's process in MiB, without the models' own, and its seconds."""
    command = [sys.executable, __file__, "--story", story, *told]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def tell(story: str, *told: str) -> None:
    """In the process of its own: run the story and print what it took."""
    started = time.perf_counter()
    {"compare": compare, "check": check}[story](*told)
    taken = time.perf_counter() - started
    print(json.dumps({"peak": highest() / 2**20, "seconds": taken}))


def highest() -> int:
    """The most bytes of memory that this process ever held."""
    status = Path("/proc/self/status")
    if status.exists():  # what the system tells of a process otherwise begins with its parent's
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Print a line for each story and number of rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000_000, 100_000_000], help="of gate compare")
    parser.add_argument("--check", type=int, nargs="*", default=[1_000_000, 10_000_000], help="of gate check")
    parser.add_argument("--story", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.story:
        tell(*given.story)
        return
    print(machine())
    print(f"\n{'story':<8} {'rows':>12} {'peak, MiB':>10} {'less 8 B an id':>15} {'to the first':>13} {'seconds':>8}")
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/store.db"
        if given.check:
            register(store)
        kept = []
        for story, sizes in (("compare", given.rows), ("check", given.check)):
            first = None
            for rows in sizes:
                path = Path(folder) / f"{rows}.parquet"
                write(path, rows, features=story == "check")
                found = peak(story, str(path), *([store] if story == "check" else []))
                path.unlink()
                rest = found["peak"] - rows * 8 / 2**20
                first = first or rest
                print(
                    f"{story:<8} {rows:>12,} {found['peak']:>10.0f} {rest:>15.0f} {rest / first:>13.2f}"
                    f" {found['seconds']:>8.1f}",
                    flush=True,
                )
                told = {"peak_mib": found["peak"], "seconds": found["seconds"]}
                if rows == sizes[0]:
                    kept.append({"what": f"gate {story}, {rows:,} rows: peak", "value": rest, "unit": "MiB", **told})
                else:
                    what = f"gate {story}, {rows:,} rows: peak to that of {sizes[0]:,}"
                    kept.append({"what": what, "value": rest / first, "unit": "x", "at_most": 1.10, **told})
    record("memory", kept)


if __name__ == "__main__":
    main()
