"""An MLflow model in memory, and what the gate wants to know of it."""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .failures import Refusal


@dataclass(frozen=True)
class LoadedModel:
    """An MLflow model in memory, and what the gate wants to know of it.

    ``columns`` are the feature columns that it names (None: it takes all that are offered); ``spec`` are the inputs of
    its signature (None: it has none); ``sets`` says that it may answer each row with a list of any length. ``call`` is
    what is asked: the ``predict`` of ``pyfunc``, or a quicker way to the same.
    """

    pyfunc: Any
    call: Callable[[Any], Any]
    inputs: Any
    columns: list[str] | None
    about: dict[str, Any] = field(default_factory=dict)
    sets: bool = False


def load(path: str, sets: bool = False, options: Mapping[str, Any] | None = None) -> LoadedModel:
    """Load an MLflow model from a folder, which may answer with ``sets``. Runs its code.

    ``options["torch"]`` is what ``torch_models`` is told, for models of the ``pytorch`` flavour.

    Raises what loading raises, and :class:`Refusal` when scikit-learn warns that the model was saved by another
    version: its answers may then silently differ.
    """
    import mlflow.pyfunc

    if plain_torch(path):
        os.environ["MLFLOW_DEFAULT_PREDICTION_DEVICE"] = "cpu"  # torch_models moves it, once
    # Where MLflow keeps what a script hands to set_model: one that hands it nothing would get the last one's model.
    if getattr(sys.modules.get("mlflow.models.model"), "__mlflow_model__", None) is not None:
        setattr(sys.modules["mlflow.models.model"], "__mlflow_model__", None)  # noqa: B010  not in older ones
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # MLflow would look at every file that is installed, to warn of what the gate compares itself (not on Spark).
        pyfunc = mlflow.pyfunc.load_model(path, suppress_warnings=True)
    for warning in caught:
        if warning.category.__name__ == "InconsistentVersionWarning":
            raise Refusal(
                f"it was saved by another version of scikit-learn: {str(warning.message).splitlines()[0]}",
                "run the gate in the environment that the model was made in, or each model in one of its own:"
                " --env-manager uv",
            )
        print(
            warnings.formatwarning(warning.message, warning.category, warning.filename, warning.lineno), file=sys.stderr
        )
    inputs = pyfunc.metadata.get_input_schema()
    columns: list[str] | None = None
    raw = raw_model(pyfunc)
    if inputs is None:
        columns = trained_columns(raw)
    elif inputs.has_input_names():
        columns = [str(name) for name in inputs.input_names()]
    call = torch_call(pyfunc, dict((options or {}).get("torch") or {})) or pyfunc.predict
    about = {
        "classes": classes_of(raw),
        "columns": columns,
        "flavors": sorted(pyfunc.metadata.flavors),
        "versions": versions(),
        "torch": dict(getattr(call, "about", {})),
    }
    return LoadedModel(pyfunc, call, inputs, columns, about, sets)


def plain_torch(path: str) -> bool:
    """Whether the model in a folder is PyTorch's, saved by MLflow's flavour for it."""
    from mlflow.models import Model

    flavors = Model.load(path).flavors
    return bool(flavors.get("python_function", {}).get("loader_module") == "mlflow.pytorch")


def torch_call(pyfunc: Any, options: dict[str, Any]) -> Callable[[Any], Any] | None:
    """What ``torch_models`` makes of a PyTorch model; None for other models."""
    if "pytorch" not in pyfunc.metadata.flavors:
        return None
    from .torch_models import open_torch  # here, so that other models do without

    return open_torch(pyfunc, options)


def raw_model(pyfunc: Any) -> Any:
    """The model beneath MLflow's wrapper, or None: whatever happens in here is no failure."""
    for unwrap in ("get_raw_model", "unwrap_python_model"):
        try:
            return getattr(pyfunc, unwrap)()
        except Exception:  # noqa: BLE001  foreign code may raise anything
            continue
    return getattr(getattr(pyfunc, "_model_impl", None), "sklearn_model", None)  # before MLflow 2.17


def trained_columns(raw: Any) -> list[str] | None:
    """The columns that a scikit-learn model without a signature was trained on, or None where it does not say."""
    try:
        return [str(name) for name in raw.feature_names_in_] or None
    except Exception:  # noqa: BLE001  foreign code may raise anything
        return None


def classes_of(raw: Any) -> list[Any] | None:
    """The classes in the order of a classifier's scores, as JSON values, or None where it does not say.

    >>> class Classifier: classes_ = np.array(["ham", "spam"])
    >>> classes_of(Classifier())
    ['ham', 'spam']
    """
    try:
        found = getattr(raw, "classes_", None)
        if found is None:
            found = raw.steps[-1][1].classes_
        classes = [value.item() if isinstance(value, np.generic) else value for value in found]
    except Exception:  # noqa: BLE001  foreign code may raise anything
        return None
    plain = all(type(value) in (int, str, bool) or (type(value) is float and math.isfinite(value)) for value in classes)
    return classes if classes and plain else None


def versions() -> dict[str, str]:
    """The versions of what runs the model: Python, MLflow, and those that are imported of the usual libraries."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in ("mlflow", "numpy", "pandas", "pyarrow", "sklearn", "torch", "xgboost", "lightgbm", "tensorflow"):
        version = getattr(sys.modules.get(name), "__version__", None)
        if isinstance(version, str):
            found[name] = str(version)
    return found
