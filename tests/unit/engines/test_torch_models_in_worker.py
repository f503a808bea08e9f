"""Plain PyTorch models answer as MLflow's wrapper does, on the device that was asked for."""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import mlflow.pyfunc
import mlflow.pytorch
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.models import infer_signature
from torch import nn

from gate.engines.in_worker.failures import Refusal
from gate.engines.in_worker.torch_models import Runner, open_torch

ROWS = 33
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no CUDA device on this machine")

cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Gradients(nn.Module):
    """Asks for gradients inside its forward."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            x = x.clone().requires_grad_()
            return torch.autograd.grad(self.inner(x).tanh().sum(), x)[0].detach()


class Pair(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return x, x


class Labels(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.argmax(dim=1)


class Hungry(nn.Module):
    """Runs out of memory as PyTorch says it of a GPU."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")


class Forgotten(nn.Module):
    """Says whether it was asked in training, and with gradients."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tensor(
            [[self.training, torch.is_grad_enabled(), torch.is_inference_mode_enabled()]] * len(x)
        ).int()


def network(outputs: int) -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, outputs))


def pictures() -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 10))


TABLE = np.random.default_rng(3).normal(size=(ROWS, 4)).astype(np.float32)
IMAGES = np.random.default_rng(3).normal(size=(ROWS, 1, 8, 8)).astype(np.float32)


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Any]:
    def save(model: nn.Module, signature: Any = None, **options: Any) -> Any:
        """The model, saved and loaded by MLflow on the CPU."""
        with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
            warnings.simplefilter("ignore")
            patch.setenv("MLFLOW_DEFAULT_PREDICTION_DEVICE", "cpu")
            options = {"serialization_format": "pickle", **options}
            mlflow.pytorch.save_model(
                model, str(tmp_path / "model"), signature=signature, pip_requirements=[], **options
            )
            return mlflow.pyfunc.load_model(str(tmp_path / "model"))

    return save


def opened(pyfunc: Any, **options: Any) -> Runner:
    runner = open_torch(pyfunc, options)
    assert runner is not None
    return runner


def same_bytes(one: Any, other: Any) -> bool:
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
        one, other = one.to_numpy(), other.to_numpy()
    return bool(one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes())


CASES: dict[str, tuple[Callable[[], nn.Module], Any, Any]] = {
    "one logit, tensor signature": (lambda: network(1), TABLE, infer_signature(TABLE)),
    "many logits, no signature": (lambda: network(12), TABLE, None),
    "many logits, column signature": (
        lambda: network(3),
        pd.DataFrame(TABLE, columns=list("abcd"), index=range(100, 100 + ROWS)),
        infer_signature(pd.DataFrame(TABLE, columns=list("abcd"))),
    ),
    "images": (pictures, IMAGES, infer_signature(IMAGES)),
    "labels": (Labels, TABLE, infer_signature(TABLE)),
    "gradients inside": (Gradients, TABLE, infer_signature(TABLE)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_answers_on_the_cpu_are_those_of_mlflow_to_the_last_byte(name: str, saved: Callable[..., Any]) -> None:
    make, data, signature = CASES[name]
    pyfunc = saved(make(), signature)
    expected = [copy.deepcopy(pyfunc.predict(part)) for part in (data, data[:5])]
    runner = opened(pyfunc, device="cpu")
    assert all(same_bytes(runner(part), whole) for part, whole in zip((data, data[:5]), expected, strict=True))
    assert type(runner(data)) is type(expected[0])
    assert runner.about == {"device": "cpu", "dtype": "float32", "compiled": False, "notes": []}


def test_an_exported_program_answers_as_mlflow_does(saved: Callable[..., Any]) -> None:
    pyfunc = saved(network(3).eval(), input_example=TABLE, serialization_format="pt2")
    expected = pyfunc.predict(TABLE)
    assert same_bytes(opened(pyfunc, device="cpu")(TABLE), expected)


def test_an_exported_program_runs_on_no_other_device_than_it_was_exported_for(saved: Callable[..., Any]) -> None:
    pyfunc = saved(network(3).eval(), input_example=TABLE, serialization_format="pt2")
    with pytest.raises(Refusal, match="was exported for cpu and cannot run on 'cuda'") as caught:
        open_torch(pyfunc, {"device": "cuda"})
    assert "--device auto" in caught.value.hint


def test_a_model_runs_in_inference_mode_and_never_in_training(saved: Callable[..., Any]) -> None:
    assert opened(saved(Forgotten().train()), device="cpu")(TABLE)[0].tolist() == [0, 0, 1]


def test_what_needs_gradients_has_them_for_all_batches_that_follow(saved: Callable[..., Any]) -> None:
    runner = opened(saved(Gradients()), device="cpu")
    runner(TABLE)
    assert runner._without_gradients is torch.no_grad


def test_a_tuple_is_what_mlflow_makes_of_it(saved: Callable[..., Any]) -> None:
    pyfunc = saved(Pair())
    with pytest.raises(TypeError) as by_mlflow:
        pyfunc.predict(TABLE)
    runner = opened(pyfunc, device="cpu")
    for _ in range(2):
        with pytest.raises(TypeError) as by_gate:
            runner(TABLE)
        assert str(by_gate.value) == str(by_mlflow.value)


def test_the_input_is_still_held_against_the_signature(saved: Callable[..., Any]) -> None:
    pyfunc = saved(network(3), infer_signature(TABLE))
    with pytest.raises(mlflow.MlflowException, match="shape"):
        opened(pyfunc, device="cpu")(TABLE[:, :3])


def test_a_model_that_is_not_mlflows_own_wrapper_is_left_alone(tmp_path: Path) -> None:
    class Other(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input):  # type: ignore[no-untyped-def]  # MLflow reads the hints
            return model_input

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(str(tmp_path / "other"), python_model=Other(), pip_requirements=[])
    assert open_torch(mlflow.pyfunc.load_model(str(tmp_path / "other")), {}) is None


def test_bfloat16_answers_in_float32_and_says_that_answers_differ(saved: Callable[..., Any]) -> None:
    pyfunc = saved(network(3))
    expected = pyfunc.predict(TABLE)
    runner = opened(pyfunc, device="cpu", dtype="bf16")
    answered = runner(TABLE)
    assert answered.dtype == np.float32 and answered.shape == expected.shape
    assert not np.array_equal(answered, expected) and np.allclose(answered, expected, atol=0.05)
    assert "bfloat16" in runner.about["notes"][0]


def test_no_room_on_the_device_names_the_smaller_batch(saved: Callable[..., Any]) -> None:
    with pytest.raises(Refusal) as caught:
        opened(saved(Hungry()), device="cpu")(TABLE)
    assert (caught.value.found, caught.value.hint) == (
        "ran out of memory on cpu",
        "score in smaller batches: --batch-rows",
    )


@pytest.mark.parametrize("device", ["tpu", "cuda:999", "mps", "gpu"])
def test_a_device_that_is_not_there_is_refused(device: str, saved: Callable[..., Any]) -> None:
    with pytest.raises(Refusal, match=f"cannot run on '{device}'"):
        open_torch(saved(network(3)), {"device": device})


def test_a_type_that_is_not_known_is_refused(saved: Callable[..., Any]) -> None:
    with pytest.raises(Refusal, match="cannot run in 'int8'"):
        open_torch(saved(network(3)), {"dtype": "int8"})


class Batch:
    """Writes down what is done with it."""

    def __init__(self) -> None:
        self.steps: list[Any] = []

    def pin_memory(self) -> Batch:
        self.steps.append("pinned")
        return self

    def to(self, device: Any, *, non_blocking: bool) -> Batch:
        self.steps.append((str(device), non_blocking))
        return self


def test_a_batch_goes_to_a_gpu_by_way_of_pinned_memory_and_nobody_waits_for_it(saved: Callable[..., Any]) -> None:
    runner, batch, plain = opened(saved(network(3)), device="cpu"), Batch(), Batch()
    runner._moved(plain)
    runner.device = torch.device("cuda", 1)
    assert runner._moved(batch) is batch
    assert batch.steps == ["pinned", ("cuda:1", True)]
    assert plain.steps == [("cpu", False)]


def test_that_a_model_is_compiled_is_noted(saved: Callable[..., Any]) -> None:
    pyfunc = saved(network(3))
    runner = open_torch(pyfunc, {"device": "cpu", "compile": True})
    assert runner is not None and "--compile" in runner.about["notes"][0] and runner.about["compiled"]


@CUDA
@pytest.mark.parametrize("name", CASES)
def test_on_cuda_the_answers_are_close_to_those_of_the_cpu(name: str, saved: Callable[..., Any]) -> None:
    make, data, signature = CASES[name]
    pyfunc = saved(make(), signature)
    expected = pyfunc.predict(data)
    runner = opened(pyfunc, device="cuda")
    answered = runner(data)
    assert type(answered) is type(expected) and np.asarray(answered).dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(np.asarray(answered), np.asarray(expected), rtol=1e-2, atol=1e-3)
    assert runner.about["device"].startswith("cuda:0 (") and "rounding" in runner.about["notes"][0]


@CUDA
def test_on_cuda_the_weights_are_moved_once(saved: Callable[..., Any]) -> None:
    runner = opened(saved(network(3)))
    before = [parameter.data_ptr() for parameter in runner._model.parameters()]
    runner(TABLE)
    assert all(parameter.device.type == "cuda" for parameter in runner._model.parameters())
    assert before == [parameter.data_ptr() for parameter in runner._model.parameters()]


@CUDA
def test_on_cuda_a_batch_without_room_names_the_smaller_batch(saved: Callable[..., Any]) -> None:
    class Greedy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.empty(1 << 44, dtype=torch.uint8, device=x.device)[: len(x), None]

    with pytest.raises(Refusal) as caught:
        opened(saved(Greedy()), device="cuda")(TABLE)
    assert "cuda:0" in caught.value.found and "--batch-rows" in caught.value.hint
