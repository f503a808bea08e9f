"""What the gate adds to running two PyTorch models.

Run::

    python benchmarks/torch_models.py     # a small CNN on 60,000 images of 28 x 28, on the CPU
    python benchmarks/torch_models.py --model resnet50 --device cuda --dtype bf16 --rows 20000 --batch-rows 256

On a machine without CUDA the second one says so, and measures nothing.

Both models run in workers, as in `gate check`, and what they say is counted; the bare loop runs the same two models on
the same images, in batches of the same size, with the same number of threads in all, one model after the other. Loading
and the first batch are left out of both. Prints one line of JSON: seconds of each (the best of some rounds, taken in
turns), their ratio, images per second and the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import mlflow.pytorch
import numpy as np
import pyarrow as pa
import torch
from machine import machine, record
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from torch import nn

from gate.core.flips import count
from gate.engines.local import Worker, score
from gate.tasks.batch import Batch, Classes
from gate.tasks.classification import Classification, Reading

SIDES = {"cnn": (1, 28), "resnet50": (3, 224)}
NUMBERS = {"cnn": 10, "resnet50": 1000}
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import this file


def cnn() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * 7 * 7, 64), nn.ReLU(), nn.Linear(64, 10)),
    )


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1, beside a shortcut (He et al. 2015; the stride in the 3 x 3)."""

    def __init__(self, inside: int, width: int, stride: int) -> None:
        super().__init__()
        outside = 4 * width
        self.steps = nn.Sequential(
            *(nn.Conv2d(inside, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, outside, 1, bias=False), nn.BatchNorm2d(outside)),
        )
        same = inside == outside and stride == 1
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.steps(x) + self.shortcut(x))


def resnet50() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    layers.append(nn.MaxPool2d(3, 2, 1))
    inside = 64
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            layers.append(Bottleneck(inside, width, stride if block == 0 else 1))
            inside = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, 1000))


MODELS = {"cnn": cnn, "resnet50": resnet50}


def saved(folder: Path, name: str, seed: int) -> Path:
    """A model with made weights, as MLflow saves it."""
    torch.manual_seed(seed)
    channels, side = SIDES[name]
    signature = ModelSignature(Schema([TensorSpec(np.dtype(np.float32), (-1, channels, side, side))]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pytorch.save_model(
            MODELS[name]().eval(), str(folder), signature=signature, pip_requirements=[], serialization_format="pickle"
        )
    return folder


def pictures(name: str, rows: int, batch_rows: int) -> list[np.ndarray]:
    """Made images, in batches. A large set repeats one batch: it is to pass through, not to fill the memory."""
    channels, side = SIDES[name]
    random = np.random.default_rng(1)
    sizes = [min(batch_rows, rows - start) for start in range(0, rows, batch_rows)]
    if rows * channels * side * side * 4 < 1 << 30:
        return [random.random((size, channels, side, side), dtype=np.float32) for size in sizes]
    first = random.random((sizes[0], channels, side, side), dtype=np.float32)
    return [first[:size] for size in sizes]


def bare(models: list[nn.Module], batches: list[np.ndarray], device: str, dtype: str) -> float:
    """Seconds of both models over all batches, by the loop that one would write by hand."""
    low = torch.autocast(device.split(":")[0], torch.bfloat16, enabled=dtype == "bf16")

    def run(model: nn.Module, batch: np.ndarray) -> np.ndarray:
        images = torch.from_numpy(batch)
        if device != "cpu":
            images = images.pin_memory().to(device, non_blocking=True)
        return np.asarray(model(images).float().cpu().numpy())

    with torch.inference_mode(), low:
        for model in models:
            run(model, batches[0])
        start = time.perf_counter()
        for batch in batches:
            for model in models:
                run(model, batch)
        return time.perf_counter() - start


def gated(name: str, folders: list[Path], batches: list[np.ndarray], options: dict[str, Any], threads: int) -> float:
    """Seconds of scoring and counting in the gate."""
    task, roles = Classification(Reading(), Classes(tuple(range(NUMBERS[name])))), ("incumbent", "candidate")
    columns = [pa.FixedShapeTensorArray.from_numpy_ndarray(batch) for batch in batches]
    labels = pa.array(np.zeros(max(len(batch) for batch in batches), np.int64))
    begun: list[float] = []
    warm = threading.Event()

    def feed() -> Iterator[tuple[int, pa.RecordBatch]]:
        yield 0, pa.RecordBatch.from_arrays([columns[0]], ["image"])  # warms both up; not counted
        warm.wait()
        begun.append(time.perf_counter())
        for column in columns:
            yield len(column), pa.RecordBatch.from_arrays([column], ["image"])

    total = 0
    workers = [Worker.start(role, threads=threads) for role in roles]
    try:
        for worker, folder in zip(workers, folders, strict=True):
            worker.load(folder, options={"torch": options})
        for worker in workers:
            worker.ready()
        for rows, (old, new) in score(workers, feed(), canaries=False):
            if not rows:
                warm.set()
                continue
            total += count(task.outcomes(Batch(labels[:rows], labels[:rows], new, old))).overall.n
        assert total == sum(map(len, batches))
        return time.perf_counter() - begun[0]
    finally:
        for worker in workers:
            worker.close()


def main() -> None:
    asks = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    asks.add_argument("--model", choices=MODELS, default="cnn")
    asks.add_argument("--device", default="cpu")
    asks.add_argument("--dtype", choices=["float32", "bf16"], default="float32")
    asks.add_argument("--rows", type=int, default=60_000)
    asks.add_argument("--batch-rows", type=int, default=2_000)
    asks.add_argument("--rounds", type=int, default=3)
    asked = asks.parse_args()
    if asked.device.startswith("cuda") and not torch.cuda.is_available():
        print(f"{asked.model}, {asked.dtype}, on a GPU: not measured, PyTorch finds no CUDA device on this machine")
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(cores)
    batches = pictures(asked.model, asked.rows, asked.batch_rows)
    options = {"device": asked.device, "dtype": asked.dtype}
    with tempfile.TemporaryDirectory() as scratch:
        folders = [saved(Path(scratch, str(seed)), asked.model, seed) for seed in (1, 2)]
        models = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            models.append(MODELS[asked.model]().eval().to(asked.device))
        seconds: dict[str, list[float]] = {"bare": [], "gate": []}
        for _ in range(asked.rounds):
            seconds["bare"].append(bare(models, batches, asked.device, asked.dtype))
            seconds["gate"].append(gated(asked.model, folders, batches, options, max(1, cores // 2)))
    by_hand, by_gate = min(seconds["bare"]), min(seconds["gate"])
    card = torch.cuda.get_device_name(asked.device) if asked.device != "cpu" else None
    what = f"{asked.model}, {asked.rows:,} images, {asked.dtype}, on {card or 'the CPU'}"
    told = {"bare_s": by_hand, "gate_s": by_gate, "images_per_s": 2 * asked.rows / by_gate}
    if card is None:
        row = {"what": f"{what}: gate / bare loop", "value": by_gate / by_hand, "unit": "x", "at_most": 1.10, **told}
        record("torch_models", [row], "torch", "mlflow")
    else:
        row = {"what": f"{what}: throughput to a bare loop's", "value": by_hand / by_gate, "unit": "share", **told}
        record(f"torch_gpu_{asked.dtype}", [{**row, "at_least": 0.9}], "torch", "mlflow", card=card)
    print(
        json.dumps(
            {
                **vars(asked),
                "bare_s": round(by_hand, 3),
                "gate_s": round(by_gate, 3),
                "ratio": round(by_gate / by_hand, 3),
                "throughput": round(by_hand / by_gate, 3),
                "images_per_s": round(2 * asked.rows / by_gate),
                "card": card,
                "machine": machine("torch"),
            }
        )
    )


if __name__ == "__main__":
    main()
