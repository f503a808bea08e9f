"""A signature is read as MLflow writes it; what is no signature says nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec

from gate.data.columns import batch_rows
from gate.data.tables import open_table
from gate.engines.signature import WIDEST, Signature, signature_of

X = ColSpec("double", "x")
PIXELS = TensorSpec(np.dtype("float32"), (-1, 3, 8, 8))


@pytest.mark.parametrize(
    ("inputs", "outputs", "told"),
    [
        ([X, ColSpec("string", "word", required=False)], [ColSpec("long")], Signature(("x", "word"), 1)),
        ([X], [TensorSpec(np.dtype("float64"), (-1, 1000))], Signature(("x",), 1_000)),
        ([X], [TensorSpec(np.dtype("float64"), (-1, -1, 10))], Signature(("x",), 10)),
        ([X], [TensorSpec(np.dtype("int64"), (-1,))], Signature(("x",), 1)),
        ([PIXELS], [ColSpec("double", name) for name in ("cat", "dog", "owl")], Signature(None, 3)),
        ([TensorSpec(np.dtype("float32"), (-1, 4), name="a")], None, Signature(("a",), 1)),
    ],
)
def test_columns_and_width_are_those_that_mlflow_writes(
    inputs: list[object], outputs: list[object] | None, told: Signature, tmp_path: Path
) -> None:
    signature = ModelSignature(Schema(inputs), None if outputs is None else Schema(outputs))
    Model(signature=signature).save(str(tmp_path / "MLmodel"))
    assert signature_of(tmp_path) == told


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a list",
        "signature: text",
        "signature: {inputs: 3, outputs: null}",
        "signature: {inputs: '{}', outputs: '[1, null]'}",
        "signature: {inputs: 'no JSON'}",
        "signature: {outputs: '" + "[" * 100_000 + "'}",
        """signature: {outputs: '[{"tensor-spec": {"shape": [-1, "many", -5, 0]}}]'}""",
        """signature: {outputs: '[{"tensor-spec": {"shape": 7}}]'}""",
        """signature: {outputs: '[{"tensor-spec": 7}]'}""",
        "[unfinished",
        "\x00",
    ],
)
def test_what_is_no_signature_says_nothing(text: str, tmp_path: Path) -> None:
    assert signature_of(tmp_path) == Signature()
    (tmp_path / "MLmodel").write_text(text)
    assert signature_of(tmp_path) == Signature()


def test_a_width_that_no_model_has_is_bounded_and_makes_the_smallest_batch(tmp_path: Path) -> None:
    spec = f'[{{"tensor-spec": {{"shape": [-1, {10**400}]}}}}]'
    (tmp_path / "MLmodel").write_text(f"signature: {{outputs: '{spec}'}}")
    width = signature_of(tmp_path).width
    assert width == WIDEST
    assert batch_rows(open_table(pa.table({"y": range(8)})), beside=8 * width) == 16
