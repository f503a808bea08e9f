"""Plain PyTorch models in a worker: on the device that is asked for, without gradients, moved there once.

It is imported for models of PyTorch only, and imports PyTorch when it is given one.

MLflow's wrapper around a model keeps its place: MLflow checks the input by the signature as always, and only the step
from an array to an array is another one. On the CPU in float32 the answers are those of the wrapper, to the last byte.

The gate forces no deterministic algorithms (``torch.use_deterministic_algorithms``): some layers have none on a GPU and
would raise, and the model would not be judged as it will run. What varies from run to run otherwise is kept still: the
rows in a batch, the number of threads, and which algorithm a convolution uses (``cudnn.benchmark``, which picks by the
clock, stays off).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from .failures import Refusal

DTYPES = ("float32", "bf16")
SMALLER = "score in smaller batches: --batch-rows"


@dataclass(frozen=True)
class Options:
    """How a model is to run: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``; ``float32`` or ``bf16``; compiled or not."""

    device: str = "auto"
    dtype: str = "float32"
    compile: bool = False


def open_torch(pyfunc: Any, options: Mapping[str, Any] | None = None) -> Runner | None:
    """Put a model that MLflow loaded on its device, or None where it is not a plain module in MLflow's own wrapper.

    ``options`` are the fields of :class:`Options`. What is returned is called as ``pyfunc.predict`` is, and its
    ``about`` says how the model runs. ``pyfunc`` was loaded on the CPU (``MLFLOW_DEFAULT_PREDICTION_DEVICE=cpu``), and
    answers by way of this file from now on. Raises :class:`Refusal` for a device that is not there, and where the model
    does not fit in its memory.
    """
    wrapper = wrapper_of(pyfunc)
    if wrapper is None:
        return None
    runner = Runner(pyfunc, wrapper, Options(**(options or {})))
    pyfunc._predict_fn = runner.answer
    return runner


def wrapper_of(pyfunc: Any) -> Any:
    """MLflow's wrapper around a plain ``torch.nn.Module``, None where the model is wrapped otherwise."""
    import torch

    function = pyfunc.metadata.flavors.get("python_function", {})
    wrapper = getattr(pyfunc, "_model_impl", None)
    if function.get("loader_module") != "mlflow.pytorch" or type(wrapper).__name__ != "_PyTorchWrapper":
        return None
    if getattr(wrapper, "_is_forecasting_model", True) or not hasattr(pyfunc, "_predict_fn"):
        return None
    return wrapper if isinstance(getattr(wrapper, "pytorch_model", None), torch.nn.Module) else None


class Runner:
    """One model on one device. ``about``: device, type, whether it is compiled, and notes on what that changes."""

    def __init__(self, pyfunc: Any, wrapper: Any, options: Options) -> None:
        import torch

        if options.dtype not in DTYPES:
            raise Refusal(f"cannot run in {options.dtype!r}", f"--dtype is one of: {', '.join(DTYPES)}")
        self._torch, self._pyfunc, self._wrapper, self._options = torch, pyfunc, wrapper, options
        model = wrapper.pytorch_model
        exported = isinstance(model, torch.fx.GraphModule)
        self.device = self._device_of_exported(model) if exported else self._device_asked()
        if not exported:
            model.eval()
            with self._in_words(f"does not fit in the memory of {self.device}", "--device cpu has more room"):
                model.to(self.device)
        wrapper.device = str(self.device)
        self._model = torch.compile(model) if options.compile else model
        self._without_gradients: Callable[[], AbstractContextManager[Any]] = torch.inference_mode
        self._by_wrapper = False
        self.about = self._about(exported)

    def __call__(self, data: Any) -> Any:
        """What ``pyfunc.predict`` gives, its check of the input by the signature included."""
        return self._pyfunc.predict(data)

    def answer(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        """What MLflow's wrapper gives for the same data: an array for an array, a DataFrame for a DataFrame."""
        table = not isinstance(data, np.ndarray)
        if params or self._by_wrapper or (table and not hasattr(data, "to_numpy")):
            return self._as_wrapped(data, params)
        array = data.to_numpy(dtype=np.float32) if table else data
        answered = self._forward(self._torch.from_numpy(array))
        if not isinstance(answered, self._torch.Tensor):
            self._by_wrapper = True  # it knows what to say of a tuple
            return self._as_wrapped(data, params)
        if self._options.dtype == "bf16" and answered.is_floating_point():
            answered = answered.float()
        values = answered.to("cpu").numpy()
        if not table:
            return values
        import pandas as pd

        return pd.DataFrame(values, index=data.index)

    def _as_wrapped(self, data: Any, params: dict[str, Any] | None) -> Any:
        with self._in_words(f"ran out of memory on {self.device}", SMALLER):
            return self._wrapper.predict(data, params)

    def _forward(self, batch: Any) -> Any:
        with self._in_words(f"ran out of memory on {self.device}", SMALLER):
            try:
                return self._run(batch)
            except RuntimeError as error:
                # A model that asks for gradients inside its forward can have them under no_grad, not in inference mode.
                inference = self._without_gradients is self._torch.inference_mode
                if not inference or not any(word in str(error).lower() for word in ("grad", "inference tensor")):
                    raise
            self._without_gradients = self._torch.no_grad
            return self._run(batch)

    def _run(self, batch: Any) -> Any:
        torch = self._torch
        low = torch.autocast(self.device.type, torch.bfloat16) if self._options.dtype == "bf16" else nullcontext()
        with self._without_gradients(), low:
            return self._model(self._moved(batch))

    def _moved(self, batch: Any) -> Any:
        """A batch on the device, by way of pinned memory, from where the device fetches it by itself."""
        by_itself = self.device.type == "cuda"
        if by_itself:
            batch = batch.pin_memory()
        return batch.to(self.device, non_blocking=by_itself)

    def _device_asked(self) -> Any:
        """The device to run on. Raises :class:`Refusal` for one that is not there."""
        torch, asked = self._torch, self._options.device
        if asked == "auto":
            asked = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            device = torch.device(asked)
        except RuntimeError as error:
            raise Refusal(f"cannot run on {asked!r}", DEVICES) from error
        if device.type == "cpu":
            return torch.device("cpu")
        if device.type != "cuda":
            raise Refusal(f"cannot run on {asked!r}", DEVICES)
        if not torch.cuda.is_available():
            hint = "--device auto takes the CPU here; is PyTorch's build the one for your driver?"
            raise Refusal(f"cannot run on {asked!r}: PyTorch {torch.__version__} finds no CUDA device", hint)
        there = torch.cuda.device_count()
        if (device.index or 0) >= there:
            raise Refusal(f"cannot run on {asked!r}: there are {there} CUDA devices, from cuda:0", DEVICES)
        return torch.device("cuda", torch.cuda.current_device() if device.index is None else device.index)

    def _device_of_exported(self, model: Any) -> Any:
        """A program that was exported (pt2) runs where it was exported for: the device is written into its steps."""
        tensors = [*model.parameters(), *model.buffers()]
        device = tensors[0].device if tensors else self._torch.device("cpu")
        asked = self._options.device
        if asked != "auto" and asked.split(":")[0] != device.type:
            hint = "--device auto runs it there; or log the module itself, or export it on the other device"
            raise Refusal(f"was exported for {device.type} and cannot run on {asked!r}", hint)
        return device

    def _about(self, exported: bool) -> dict[str, Any]:
        name, notes = str(self.device), []
        if self.device.type == "cuda":
            name = f"{self.device} ({self._torch.cuda.get_device_name(self.device)})"
            notes.append(f"ran on {name}: answers differ from those of another device by rounding")
        elif exported and self._torch.cuda.is_available():
            notes.append("ran on the CPU, which it was exported for")
        if self._options.dtype == "bf16":
            notes.append("ran in bfloat16 (--dtype bf16): outputs are not those of float32, and near ties may flip")
        if self._options.compile:
            notes.append("ran compiled (--compile): outputs differ by rounding from those of the model as it is")
        return {"device": name, "dtype": self._options.dtype, "compiled": self._options.compile, "notes": notes}

    @contextmanager
    def _in_words(self, found: str, hint: str) -> Iterator[None]:
        """Says ``found`` where memory runs out, and what to do where PyTorch cannot compile the model."""
        try:
            yield
        except Exception as error:
            if isinstance(error, self._torch.OutOfMemoryError) or "can't allocate memory" in str(error):
                raise Refusal(found, hint) from error
            if self._options.compile and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                first = (str(error).strip().splitlines() or [type(error).__name__])[0]
                raise Refusal(f"could not be compiled: {first}", "leave out --compile") from error
            raise


DEVICES = "--device is auto, cpu, cuda, or cuda:1 for the second one"
