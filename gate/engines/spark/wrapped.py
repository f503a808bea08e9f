"""An MLflow model around another one, which Spark distributes in its place."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gate.engines import in_worker
from gate.engines.in_worker import spark_model

_FILES = ("conda.yaml", "python_env.yaml", "requirements.txt")


def wrap(model: Path, kinds: Mapping[str, Any], folder: Path, told: Mapping[str, Any]) -> None:
    """An MLflow model in ``folder`` that runs the one in ``model`` as the gate's workers do."""
    import mlflow

    data, code = folder / spark_model.DATA, folder / "code" / "gate_model"
    code.mkdir(parents=True)
    data.mkdir()
    for file in Path(in_worker.__file__).parent.glob("*.py"):
        if file.name != "__main__.py":
            shutil.copy(file, code)
    shutil.copytree(model, data / spark_model.MODEL, copy_function=_linked)
    (data / spark_model.TOLD).write_text(json.dumps(told))
    flavor = kinds.get("python_function")
    own = {key: flavor[key] for key in ("env", "python_version") if key in flavor} if isinstance(flavor, dict) else {}
    for name in _FILES:
        if (model / name).is_file():
            shutil.copy(model / name, folder)
    outer = {
        "flavors": {
            "python_function": {
                **own,
                "loader_module": "gate_model.spark_model",
                "code": "code",
                "data": spark_model.DATA,
            }
        },
        "mlflow_version": mlflow.__version__,
    }
    (folder / "MLmodel").write_text(json.dumps(outer))  # JSON is YAML


def _linked(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # another filesystem, or one without hard links
        shutil.copy2(source, target)
    return target
