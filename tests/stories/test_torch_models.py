"""PyTorch models in a check: what is asked of them reaches their processes, and what changes their answers is told."""

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

pytest.importorskip("torch", reason="PyTorch is not installed")

import mlflow.pytorch
import torch
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from torch import nn

import gate
from gate.core.near_ties import EDGES, count_near_ties
from gate.core.outcomes import Margins
from gate.engines.local import Worker
from gate.policy.load import parse_policy
from gate.stories.decide import Judgement

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no CUDA device on this machine")
COMPILER = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "c++", "clang++"))), reason="no C++ compiler is installed: apt install g++"
)
POLICY = """
version: 1
name: nets
task: {kind: classification, outputs: logits, classes: [0, 1, 2]}
holdout: {label: y}
rules: [{id: few, rate: nfr, at_most: 99%}]
"""
BF16 = "ran in bfloat16 (--dtype bf16): outputs are not those of float32, and near ties may flip"
COMPILED = "ran compiled (--compile): outputs differ by rounding from those of the model as it is"

Checked = Callable[..., Judgement]

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import this file


class Net(nn.Module):
    """One layer, and another one where it is compiled, which answers 2 whatever it is asked: so a check shows its way."""

    def __init__(self) -> None:
        super().__init__()
        self.plain, self.compiled = nn.Linear(4, 3), nn.Linear(4, 3)
        with torch.no_grad():
            self.compiled.weight.zero_()
            self.compiled.bias.copy_(torch.arange(3))

    def forward(self, x: torch.Tensor) -> Any:
        return self.compiled(x) if torch.compiler.is_compiling() else self.plain(x)


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two networks as MLflow saves them."""
    folder = tmp_path_factory.mktemp("nets")
    signature = ModelSignature(Schema([TensorSpec(np.dtype(np.float32), (-1, 4))]))
    for seed in (1, 2):
        torch.manual_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlflow.pytorch.save_model(
                Net(),
                str(folder / str(seed)),
                signature=signature,
                pip_requirements=[],
                serialization_format="pickle",
            )
    return [folder / "1", folder / "2"]


@pytest.fixture(scope="module")
def checked(nets: list[Path], empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Checked:
    """One network against the other on 200 rows, each in a process of its own; keywords are options of the check."""
    folder = tmp_path_factory.mktemp("registry")
    shutil.copy(empty_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder}/mlflow.db"
    client = mlflow.MlflowClient(uri, uri)
    client.create_registered_model("nets")
    for net in nets:
        client.create_model_version("nets", net.as_uri())
    x = pa.array(np.random.default_rng(0).normal(size=200 * 4).astype(np.float32))
    table = pa.table({"x": pa.FixedSizeListArray.from_arrays(x, 4), "y": pa.array([row % 3 for row in range(200)])})

    def check(**options: Any) -> Judgement:
        return gate.check(
            model="nets",
            candidate="2",
            incumbent="1",
            data=table,
            policy=parse_policy(POLICY),
            registry_uri=uri,
            tracking_uri=uri,
            log_run=False,
            device="cpu",
            **options,
        )

    return check


def told(judged: Judgement, note: str) -> list[bool]:
    """Whether the decision and each report has the note, wherever its lines end."""
    reports = (" ".join(judged.report(form).replace("\\", "").split()) for form in ("text", "markdown"))
    return [note in judged.decision.evidence.notes, *(note in report for report in reports)]


def test_bfloat16_is_told_to_the_processes_and_to_the_reader(checked: Checked) -> None:
    low = checked(dtype="bf16")
    assert told(low, BF16) == [True] * 3
    plain = checked()
    assert plain.remembered == (), "answers in bfloat16 are not those of float32"
    assert told(plain, BF16) == [False] * 3
    assert low.samples != plain.samples, "scores are rounded"
    assert (plain.decision.counts.negative or 0) > 0


@COMPILER
def test_compiling_is_told_to_the_processes_and_to_the_reader(checked: Checked) -> None:
    compiled = checked(compile=True)
    assert told(compiled, COMPILED) == [True] * 3
    assert (compiled.decision.counts.negative, compiled.decision.counts.positive) == (0, 0), "both answer 2, compiled"


def test_flips_that_bfloat16_alone_makes_lie_within_the_last_edge_and_not_all_within_the_one_before() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 10))
    rows = torch.randn(20_000, 20)
    with torch.inference_mode():
        exact = net(rows).softmax(1)
        with torch.autocast("cpu", torch.bfloat16):
            low = net(rows).float().softmax(1)
    (turned,) = np.nonzero((exact.argmax(1) != low.argmax(1)).numpy())
    margins = Margins(*(-np.diff(scores.topk(2, 1).values.double().numpy())[:, 0] for scores in (exact, low)))
    (_, before, last), _ = count_near_ties(margins, np.zeros(len(rows), bool), turned)
    assert EDGES[-1] == 1e-2
    assert 0 < before < last == len(turned)


@pytest.mark.parametrize(("device", "named"), [("cpu", "cpu"), pytest.param("cuda", "cuda:0 (", marks=CUDA)])
def test_both_models_are_on_the_device_at_once(device: str, named: str, nets: list[Path]) -> None:
    with Worker.start("incumbent") as incumbent, Worker.start("candidate") as candidate:
        for worker, net in zip((incumbent, candidate), nets, strict=True):
            worker.load(net, options={"torch": {"device": device}})
        for worker in (incumbent, candidate):
            assert worker.ready().torch["device"].startswith(named)
