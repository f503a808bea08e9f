"""How many rows go into a batch: by the models that are asked, and by the memory that each may take."""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import mlflow
import numpy as np
import pyarrow as pa
import pytest
from mlflow.models import Model, ModelSignature
from mlflow.pyfunc.model import PythonModel
from mlflow.types import ColSpec, Schema, TensorSpec

import gate
from gate.data.tables import open_table
from gate.errors import EvidenceError
from gate.policy.load import parse_policy
from gate.registry.refs import ModelRef
from gate.stories.here import rows_for
from gate.stories.holdout import HeldOut
from gate.stories.sides import Side, Sides

CLASSES = 1_000
X, LABEL, SCORES = ColSpec("double", "x"), ColSpec("long"), TensorSpec(np.dtype("float64"), (-1, CLASSES))
POLICY = """
version: 1
name: small
holdout: {label: y}
rules: [{id: few-flips, rate: nfr, at_most: 50%}]
"""

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import this file


class OneOfMany(PythonModel):
    """Class 0 or 1 of a thousand, with a score for each."""

    def __init__(self, above: float) -> None:
        self.above = above

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # MLflow reads the hints
        scores = np.zeros((len(model_input), CLASSES))
        scores[np.arange(len(model_input)), (model_input["x"].to_numpy() > self.above).astype(int)] = 1
        return scores


def side(folder: Path, outputs: list[Any] | None) -> Side:
    """The side that its folder is named after: it asks for ``x`` and answers so, or has no signature."""
    folder.mkdir(exist_ok=True)
    signature = ModelSignature(Schema([X]), Schema(outputs)) if outputs else None
    Model(signature=signature).save(str(folder / "MLmodel"))
    return Side(folder.name, ModelRef(""), folder, folder.name)


@pytest.fixture
def rows(tmp_path: Path) -> Callable[..., int]:
    """How many rows make a batch for a candidate and an incumbent that answer so; keywords are columns."""

    def asked(
        candidate: list[Any] | None, incumbent: list[Any], memory: int | None = None, label: str = "y", **columns: Any
    ) -> int:
        table = open_table(pa.table({"x": [0.5] * 20, "y": [1] * 20, **columns}))
        sides = Sides((side(tmp_path / "candidate", candidate),), (side(tmp_path / "incumbent", incumbent),))
        return rows_for(table, HeldOut(parse_policy(POLICY.replace("label: y", f"label: {label}"))), sides, memory)

    return asked


def test_a_thousand_scores_a_row_make_smaller_batches_than_a_label(rows: Callable[..., int]) -> None:
    assert rows([LABEL], [LABEL]) == 8_192
    assert rows([SCORES], [LABEL]) == rows([LABEL], [SCORES]) == 8_192  # 63 MiB
    assert rows([SCORES], [SCORES]) == 4_096


def test_a_batch_takes_no_more_than_a_quarter_of_the_memory_of_a_model(rows: Callable[..., int]) -> None:
    assert rows([SCORES], [SCORES], memory=1 << 40) == 4_096
    assert rows([SCORES], [SCORES], memory=64 << 20) == 1_024
    assert rows([LABEL], [LABEL], memory=64 << 20) == 8_192


def test_wide_columns_count_where_a_model_asks_for_them_or_for_whatever_there_is(rows: Callable[..., int]) -> None:
    story = ["." * (30 << 10)] * 20
    assert rows([LABEL], [LABEL], story=story) == 8_192
    assert rows([LABEL], [LABEL], x=story) == 2_048
    assert rows(None, [LABEL], story=story) == 2_048


def test_the_check_is_made_in_such_batches_unless_told_otherwise(empty_store: Path, tmp_path: Path) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = mlflow.MlflowClient(uri, uri)
    client.create_registered_model("many")
    for above in (0.0, 0.1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlflow.pyfunc.save_model(
                str(tmp_path / str(above)),
                python_model=OneOfMany(above),
                pip_requirements=[],
                signature=ModelSignature(Schema([X]), Schema([SCORES])),
            )
        client.create_model_version("many", source=(tmp_path / str(above)).as_uri())
    (tmp_path / "policy.yaml").write_text(f"{POLICY}task: {{outputs: probabilities, classes: {[*range(CLASSES)]}}}\n")
    x = np.linspace(-1, 1, 40)

    def batch_rows(**options: Any) -> int:
        judged = gate.check(
            model="many",
            candidate="2",
            incumbent="1",
            data=pa.table({"x": x, "y": (x > 0).astype(int)}),
            policy=tmp_path / "policy.yaml",
            registry_uri=uri,
            log_run=False,
            in_process=True,
            **options,
        )
        return judged.decision.provenance.batch_rows

    assert batch_rows() == 4_096
    assert batch_rows(rows_per_batch=7) == 7


def test_a_signature_that_asks_for_the_label_is_refused_before_a_model_is_loaded(rows: Callable[..., int]) -> None:
    with pytest.raises(EvidenceError, match="candidate model: its signature asks for the label column 'x'"):
        rows([LABEL], [LABEL], label="x")
