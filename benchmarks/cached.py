"""How long do scoring and counting take where the incumbent's answers are known?

Run::

    python benchmarks/cached.py [ROWS ...] [--pairs 7]

The files, the models and the bare loop are those of ``checking.py``. The incumbent is scored once and its answers are
kept, in a folder of this run; then a candidate is scored beside them, in pairs with the bare loop, which calls both
models. What reads the rows to see that they are the same ones (their digest) is listed apart. Prints ratios.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from checking import COLUMNS, POLICY, in_a_script, models, rows_of
from machine import machine, record

from gate.data.columns import batch_rows
from gate.data.tables import open_table
from gate.engines.answers import Model
from gate.engines.cache import Asked, Cache, Recorder
from gate.engines.local import Worker, score
from gate.engines.process import default_threads
from gate.engines.remembered import Remembered
from gate.policy.load import parse_policy
from gate.stories.counting import Counting
from gate.stories.holdout import HeldOut
from gate.stories.remembering import digest_of
from gate.stories.scoring import Reader
from gate.tasks.batch import Classes
from gate.tasks.kinds import KINDS

MOST = 1 << 32


def scored(
    data: Path, asked: Sequence[Model], recorder: Recorder | None = None, digest: bool = True
) -> tuple[float, tuple[int, ...]]:
    """Seconds for scoring and counting, candidate first, with the models loaded before; and what was counted."""
    rules = parse_policy(POLICY)
    infos = [model.ready() for model in asked]
    started = time.perf_counter()
    table = open_table(data)
    reader = Reader(table, HeldOut(rules), infos, batch_rows(table))
    if not digest:
        reader._digest.update = lambda batch: None  # type: ignore[method-assign]
    task = KINDS["classification"](rules.task, Classes(None, infos[0].classes, infos[1].classes))
    counting = Counting(task, rules, seed=0, samples=100)
    for kept, answers in score(asked, reader.features()):
        counting.add(kept.batch(answers[0], answers[1]))
        if recorder is not None:
            recorder.add(answers[1])
    counts = counting.finish().table.overall
    reader.finish(None)
    elapsed = time.perf_counter() - started
    if recorder is not None:
        recorder.keep(infos[1], reader.offered(infos[1]), reader.digest)
    return elapsed, (counts.negative, counts.positive, counts.both_right)


def loaded(stack: ExitStack, role: str, folder: Path) -> Worker:
    worker = stack.enter_context(Worker.start(role, threads=default_threads(2)))
    worker.load(folder)
    return worker


def compare(count: int, pairs: int, folder: Path) -> list[dict[str, Any]]:
    """The ratios for a file of ``count`` rows."""
    data = folder / f"{count}.parquet"
    pq.write_table(pa.Table.from_pandas(rows_of(count), preserve_index=False), data)
    incumbent, candidate = models("linear", folder / str(count))
    cache = Cache.open(folder / "cache", MOST)
    assert cache is not None
    table = open_table(data)
    of_rows = digest_of(table, batch_rows(table))
    asked = Asked("0" * 64, "benchmark", batch_rows(table), {"rows": count})
    with ExitStack() as stack:
        both = [loaded(stack, "candidate", candidate), loaded(stack, "incumbent", incumbent)]
        _, expected = scored(data, both, cache.recorder(asked))
    seconds: dict[str, list[float]] = {"gate": [], "gate with digest": [], "bare": [], "digest": []}
    for _ in range(pairs):
        for name in ("gate", "gate with digest"):
            with ExitStack() as stack:
                kept = cache.find(asked, of_rows, "incumbent")
                assert kept is not None
                pair: list[Model] = [loaded(stack, "candidate", candidate), Remembered("incumbent", kept)]
                elapsed, found = scored(data, pair, digest=name != "gate")
                kept.close()
            assert found == expected, (found, expected)
            seconds[name].append(elapsed)
        seconds["bare"].append(in_a_script(data, incumbent, candidate, "pyfunc")[0][0])
        started = time.perf_counter()
        digest_of(table, batch_rows(table))
        seconds["digest"].append(time.perf_counter() - started)
    rows = []
    for name in ("gate", "gate with digest", "digest"):
        ratio = statistics.median(one / other for one, other in zip(seconds[name], seconds["bare"], strict=True))
        words = "the digest alone, beforehand" if name == "digest" else f"{name}, the incumbent's answers known"
        what = f"{count:,} rows x {len(COLUMNS)}, two linear models: {words} / bare"
        limit = {"at_most": 0.6} if name == "gate" else {}
        rows.append({"what": what, "value": ratio, "unit": "x", **limit, "gate_s": min(seconds[name])})
        print(f"{what}: {ratio:.2f} ({min(seconds[name]):.3f} s, bare {min(seconds['bare']):.3f} s)", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--pairs", type=int, default=7)
    given = parser.parse_args()
    print(machine("pandas", "scikit-learn", "mlflow"))
    kept = []
    with tempfile.TemporaryDirectory() as scratch:
        for count in given.rows:
            kept += compare(count, given.pairs, Path(scratch))
    record("cached", kept, "pandas", "scikit-learn", "mlflow")


if __name__ == "__main__":
    main()
