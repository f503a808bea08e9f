"""Log torch models and register them in an MLflow registry that is one folder: a SQLite file and the models' files.

As one would do it in a training script; nothing here depends on the gate. The models are saved as exported programs
(``pt2``, MLflow's default for torch): they load in a fresh process without the code that built them, and where MLflow
is told to refuse pickle.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

EXPERIMENT = "digits"
CHECKS = "gate"  # the experiment that `gate check` logs to


def open_registry(folder: Path, uri: str | None = None) -> str:
    """Make ``folder`` a registry, or open the one that it is, and let MLflow use it; returns its URI.

    The URI is ``sqlite:///<folder>/mlflow.db``, for tracking and registry alike, unless ``uri`` names a server. MLflow
    keeps both for the whole process, so a process works with one registry.
    """
    mlflow = _quiet_mlflow()

    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    served = uri is not None
    uri = uri or f"sqlite:///{(folder / 'mlflow.db').as_posix()}"
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    # without a location of its own, an experiment puts its files below the working directory
    places = {EXPERIMENT: folder / "artifacts", CHECKS: folder / "checks"}
    for name, place in places.items():
        if mlflow.get_experiment_by_name(name) is None:
            mlflow.create_experiment(name, artifact_location=None if served else place.as_uri())
    return uri


def register_model(
    model: nn.Module,
    name: str,
    *,
    alias: str | None = None,
    description: str = "",
    params: Mapping[str, Any] | None = None,
) -> int:
    """Log a model of 8 x 8 images and register it as the next version of ``name``; returns the version.

    ``params`` are recorded on the run. ``alias``, if given, then points to the new version. The registry is the one
    that :func:`open_registry` opened last.
    """
    mlflow = _quiet_mlflow()
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype("float32"), (-1, 1, 8, 8))]),
        outputs=Schema([TensorSpec(np.dtype("float32"), (-1, 10))]),
    )
    experiment = mlflow.get_experiment_by_name(EXPERIMENT)
    with mlflow.start_run(experiment_id=experiment.experiment_id, description=description):
        mlflow.log_params(dict(params or {}))
        logged = mlflow.pytorch.log_model(
            model,
            name=name,
            signature=signature,
            # traced, not kept as data: two images, since a batch of one would fix the size of every batch at one
            input_example=np.zeros((2, 1, 8, 8), dtype=np.float32),
            # stated, since inferring them loads the model in yet another process
            pip_requirements=[f"mlflow=={mlflow.__version__}", f"torch=={torch.__version__.split('+')[0]}"],
            serialization_format="pt2",
        )

    client = mlflow.MlflowClient()
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    registered = client.create_model_version(
        name, source=logged.model_uri, run_id=logged.run_id, model_id=logged.model_id, description=description
    )
    if alias is not None:
        client.set_registered_model_alias(name, alias, registered.version)
    return int(registered.version)


def _quiet_mlflow() -> Any:
    """MLflow, without telemetry, progress bars, links on stdout and messages about its tables."""
    for variable in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"):
        os.environ.setdefault(variable, "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")

    import mlflow
    import mlflow.pytorch

    return mlflow
