"""What does Spark's pass cost, next to two bare passes of `mlflow.pyfunc.spark_udf` over the same rows?

Run::

    python benchmarks/spark.py [ROWS ...]        (100000 and 1000000 where none are given)

For local[1] and local[2], each in a process and a session of its own: two scikit-learn pipelines, 50 columns, Parquet
files; all of these in one session, on the same workers, in turns:

- **bare**: ``df.select(udf)`` written to nowhere, once for each model;
- **pass**: all that the gate does from building its functions on, until the counts of both models are here: asking the
  models what they are (a job of its own), reading, both models, the digest of all rows, counting, adding. This has the
  limit;
- **apart**: the same with each model in workers of its own, as models with code of their own run: rows cross to each
  model, and once more to the count;
- **ids**: the job that looks for ids that stand twice, which two bare passes do not do;
- **whole**: ``gate.check`` in that session: the registry, fetching the models and their digests, ids, pass, judging. No
  contract, no run is logged.

The first round is cold (Spark's workers start, and import what the models need) and listed apart; of the others the
best is taken. A core's microseconds for a row are those of the pass. Stops where the counts are not those of the two
models called in this process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from machine import record

COLUMNS = 50
FILES = 8
ROUNDS = 3
NAMES = [f"f{i}" for i in range(COLUMNS)]
MODEL = "benchmark"
POLICY = """
version: 1
name: benchmark
holdout: {id: id, label: y}
rules:
  - {id: few-flips, rate: nfr, at_most: 50%}
"""


def made(rows: int, folder: Path) -> None:
    """Rows as a folder of files, and two models that were trained on others."""
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    weights = np.random.default_rng(0).normal(size=COLUMNS)

    def some(number: int, seed: int) -> tuple[pd.DataFrame, Any]:
        chance = np.random.default_rng(seed)
        x = chance.normal(size=(number, COLUMNS))
        return pd.DataFrame(x, columns=NAMES), (x @ weights + chance.normal(size=number) * 3 > 0).astype(np.int64)

    (folder / "rows").mkdir()
    for file in range(FILES):
        x, y = some(rows // FILES, 100 + file)
        ids = np.arange(len(x)) + file * (rows // FILES)
        x.assign(id=ids, y=y).to_parquet(folder / "rows" / f"{file}.parquet", row_group_size=50_000)
    (folder / "policy.yaml").write_text(POLICY)
    mlflow.set_tracking_uri(store_of(folder))
    mlflow.set_registry_uri(store_of(folder))
    mlflow.create_experiment("benchmark", artifact_location=(folder / "artifacts").as_uri())
    mlflow.set_experiment("benchmark")
    for role, number in (("incumbent", 400), ("candidate", 4000)):  # versions 1 and 2
        x, y = some(number, number)
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y)
        saved = {"signature": infer_signature(x.head(), y[:5]), "pip_requirements": ["scikit-learn"]}
        mlflow.sklearn.save_model(model, str(folder / role), **saved)
        mlflow.sklearn.log_model(model, name=MODEL, registered_model_name=MODEL, **saved)


def store_of(folder: Path) -> str:
    """The registry of a benchmark."""
    return f"sqlite:///{folder}/store.db"


def expected(folder: Path) -> list[int]:
    """Both right, negative, positive, both wrong: by hand."""
    import mlflow.sklearn

    new, old = (mlflow.sklearn.load_model(str(folder / role)) for role in ("candidate", "incumbent"))
    total = np.zeros(4, dtype=np.int64)
    for file in sorted((folder / "rows").glob("*.parquet")):
        frame = pd.read_parquet(file)
        right = [model.predict(frame[NAMES]) == frame["y"] for model in (old, new)]
        total += np.bincount((~right[0]).to_numpy() * 2 + (~right[1]).to_numpy(), minlength=4)
    return [int(number) for number in total]


def measured(master: str, folder: Path) -> dict[str, Any]:
    """Seconds of all rounds, in one session; the first is cold."""
    import mlflow.pyfunc
    from pyspark.sql import functions as F  # noqa: N812

    from gate.data.spark import check_ids
    from gate.engines.spark import models
    from gate.policy.load import parse_policy
    from gate.registry.refs import ModelRef
    from gate.stories import cluster as story
    from gate.stories.check import check
    from gate.stories.cluster import open_cluster
    from gate.stories.holdout import HeldOut
    from gate.stories.sides import Side, Sides

    rules = parse_policy(POLICY, "benchmark.yaml")
    new, old = (Side(role, ModelRef(role), folder / role, role) for role in ("candidate", "incumbent"))
    store = store_of(folder)
    with open_cluster(folder / "rows", master=master) as cluster:
        session = cluster._started.session
        frame = session.read.parquet(str(folder / "rows"))
        udfs = [
            mlflow.pyfunc.spark_udf(session, str(side.folder), result_type="long", env_manager="local")
            for side in (new, old)
        ]

        def bare() -> None:
            for udf in udfs:
                frame.select(udf(F.struct(*NAMES))).write.format("noop").mode("overwrite").save()

        def one_pass() -> Any:
            story.check_ids = lambda *_: None  # type: ignore[assignment]  # timed apart
            try:
                return cluster.scored(
                    HeldOut(rules), Sides((new,), (old,)), before=None, rows=None, seed=0, samples=100
                )
            finally:
                story.check_ids = check_ids

        def apart() -> Any:
            together = models._may_share
            models._may_share = lambda _: False
            try:
                return one_pass()
            finally:
                models._may_share = together

        def whole() -> Any:
            return check(
                model=MODEL,
                candidate="2",
                incumbent="1",
                data=str(folder / "rows"),
                policy=folder / "policy.yaml",
                registry_uri=store,
                tracking_uri=store,
                engine="spark",
                log_run=False,
            )

        steps = {
            "bare": bare,
            "gate": one_pass,
            "apart": apart,
            "ids": lambda: check_ids(cluster._frame, ["id"]),
            "whole": whole,
        }
        found: dict[str, Any] = {name: [] for name in steps}
        answers = {}
        for _ in range(ROUNDS + 1):
            for name, step in steps.items():
                start = time.perf_counter()
                answers[name] = step()
                found[name].append(time.perf_counter() - start)
    counts = [
        *(answers[name].counted[0].table.overall for name in ("gate", "apart")),
        answers["whole"].decision.counts,
    ]
    found["counts"] = [
        [int(each.both_right), int(each.negative), int(each.positive), int(each.wrong_same + each.wrong_different)]
        for each in counts
    ]
    return found


def main(sizes: list[int]) -> None:
    """Print a row of the table for each master and size."""
    warnings.simplefilter("ignore")
    print(
        "| master | rows | two bare passes, s | the gate's pass, s | ratio | apart, s | µs of a core for a row | ids, s"
        " | whole check, s | cold: bare, pass, s |"
    )
    print("| --- " * 10 + "|")
    kept = []
    for rows in sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            made(rows, folder)
            by_hand = expected(folder)
            for cores in (1, 2):
                command = [sys.executable, __file__, "--measure", f"local[{cores}]", name]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    raise SystemExit(done.stderr)
                found = json.loads(done.stdout.splitlines()[-1])
                for counts in found["counts"]:
                    if counts != by_hand:
                        raise SystemExit(f"the counts are {counts}, and by hand {by_hand}")
                bare, gate, apart, ids, whole = (
                    min(found[what][1:]) for what in ("bare", "gate", "apart", "ids", "whole")
                )
                cold = {f"cold_{what}_s": found[what][0] for what in ("bare", "gate")}
                each = gate * cores / rows * 1e6
                what = f"local[{cores}], {rows:,} rows x {COLUMNS}: the pass / two bare passes"
                limit = {"at_most": 1.15} if cores == 2 else {}
                more = {
                    "master": f"local[{cores}]",
                    "rows": rows,
                    "bare_s": bare,
                    "gate_s": gate,
                    "ids_s": ids,
                    "whole_s": whole,
                    "us_a_row": each,
                    **cold,
                }
                kept.append({"what": what, "value": gate / bare, "unit": "x", **limit, **more})
                kept.append({"what": f"{what}, models apart", "value": apart / bare, "unit": "x", "apart_s": apart})
                print(
                    f"| `local[{cores}]` | {rows:,} | {bare:.1f} | {gate:.1f} | {gate / bare:.2f} |"
                    f" {apart:.1f} | {each:.0f} | {ids:.1f} | {whole:.1f} |"
                    f" {cold['cold_bare_s']:.1f}, {cold['cold_gate_s']:.1f} |",
                    flush=True,
                )
    record("spark", kept, "pyspark", "mlflow", "scikit-learn")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        warnings.simplefilter("ignore")
        print(json.dumps(measured(sys.argv[2], Path(sys.argv[3]))))
    else:
        main([int(size) for size in sys.argv[1:]] or [100_000, 1_000_000])
