"""What every peer is given: a file of two models' answers; and a registry of two models with their held-out set."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # the neighbours are scripts, and find one another there

import pyarrow as pa
import pyarrow.parquet as pq
from checking import models, rows_of
from counting import work

POLICY = """\
version: 1
name: peers
holdout: {{{holdout}}}
rules:
  - {{id: few-negative-flips, rate: nfr, at_most: 5%}}
  - {{id: no-class-breaks, rate: nfr, by: class, at_most: 10%}}
"""


def answers(folder: Path, rows: int, classes: int) -> Path:
    """Labels and the answers of two models that flip as published ones do, as integers."""
    made = work(rows, classes)
    path = folder / f"{rows}-{classes}" / "answers.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table({"label": made.label, "old": made.incumbent, "new": made.candidate}), path)
    path.with_name("policy.yaml").write_text(POLICY.format(holdout="label: label"))
    return path


def registry(folder: Path, rows: int) -> tuple[str, Path]:
    """The URI of a registry with two versions of the model ``bench``, and the file of its held-out set."""
    import mlflow

    store = f"sqlite:///{folder}/registry.db"
    mlflow.set_tracking_uri(store)
    client = mlflow.MlflowClient()
    client.create_registered_model("bench")
    for path in models("linear", folder):
        client.create_model_version("bench", path.as_uri())
    data = folder / "holdout.parquet"
    pq.write_table(pa.Table.from_pandas(rows_of(rows), preserve_index=False), data)
    (folder / "policy.yaml").write_text(POLICY.format(holdout="id: key, label: y"))
    return store, data
