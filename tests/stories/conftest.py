"""What the stories are told with: half of scikit-learn's digits held out, policies, and models that misbehave."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature
from mlflow.pyfunc.model import PythonModel
from mlflow.types import ColSpec, Schema

TRAINED_ON = {1: 150, 2: 300, 3: 600}  # rows of the digits that tests/conftest.py trained each version on

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import this file

LENIENT = """
version: 1
name: digits
holdout: {id: row, label: digit, slices: {half: {column: half}}}
rules:
  - {id: few-flips, rate: nfr, at_most: 3%}
  - {id: no-worse, rate: error_rate_change, at_most: 0.2%}
  - {id: halves, rate: nfr, by: half, at_most: 5%}
  - {id: classes, rate: nfr, by: class, at_most: 10%, severity: warn}
promotion: {alias: champion, keep_previous_as: previous}
"""


@pytest.fixture(scope="session")
def digits() -> pd.DataFrame:
    """All 1,797 digits with an id, a label and a slice; the models saw the first 600 at most."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    frame = pd.DataFrame(pixels, columns=[f"pixel_{i}" for i in range(pixels.shape[1])])
    rows = np.arange(len(frame))
    return frame.assign(digit=labels, row=rows, half=np.where(rows % 2, "odd", "even"))


@pytest.fixture(scope="session")
def held_out(digits: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits that no model saw, as Parquet: 1,197 rows."""
    path = tmp_path_factory.mktemp("data") / "holdout.parquet"
    digits[600:].to_parquet(path)
    return path


@pytest.fixture(scope="session")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that version 3 meets against version 1."""
    path = tmp_path_factory.mktemp("policies") / "lenient.yaml"
    path.write_text(LENIENT)
    return path


@pytest.fixture
def policy(tmp_path: Path) -> Callable[..., Path]:
    """Writes a policy of one rule for a held-out set with the label ``y``; keywords replace its parts."""

    def write(
        rule: str = "{id: few-flips, rate: nfr, at_most: 50%}", holdout: str = "{label: y}", more: str = ""
    ) -> Path:
        path = tmp_path / "policy.yaml"
        path.write_text(f"version: 1\nname: small\nholdout: {holdout}\nrules:\n  - {rule}\n{more}")
        return path

    return write


class Acts(PythonModel):
    """A model that does what it is told when it is asked."""

    def __init__(self, act: Callable[[Any], Any]) -> None:
        self.act = act

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # MLflow reads the hints
        return self.act(model_input)


def honest(rows: Any) -> Any:
    return (rows["x"].to_numpy() > 0).astype("int64")


def better(rows: Any) -> Any:
    return (rows["x"].to_numpy() > 0.5).astype("int64")


def prints(rows: Any) -> Any:
    print('{"printed": "by the model"}')
    os.write(1, b"written by the model\n")
    return (rows["x"].to_numpy() > 0).astype("int64")


def one_row_less(rows: Any) -> Any:
    return honest(rows)[:-1]


def hangs(_: Any) -> Any:
    time.sleep(600)


def dies(_: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def leaves_quietly(_: Any) -> Any:
    os._exit(0)


def nan_scores(rows: Any) -> Any:
    scores = rows["x"].to_numpy().astype("float64")
    scores[3] = np.nan
    return scores


def probabilities_with_nan(rows: Any) -> Any:
    positive = 1 / (1 + np.exp(-rows["x"].to_numpy()))
    positive[5] = np.nan
    return np.stack([1 - positive, positive], axis=1)


def text_labels(rows: Any) -> Any:
    return np.where(rows["x"].to_numpy() > 0, "1", "0")


def raises(_: Any) -> Any:
    raise ValueError("cannot reach postgresql://me:hunter2@db/features")


ACTS = [
    honest,
    better,
    prints,
    one_row_less,
    hangs,
    dies,
    leaves_quietly,
    nan_scores,
    probabilities_with_nan,
    text_labels,
    raises,
]


@pytest.fixture(scope="session")
def acting(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of a SQLite registry whose model ``acting`` has a version under an alias for each act above.

    ``@honest_again`` is another version of the same files as ``@honest``; ``@sees_label`` and ``@wants_more`` are honest
    too, but their signatures ask for the label ``y``, and for a feature that no set here has.
    """
    folder = tmp_path_factory.mktemp("acting")
    shutil.copy(empty_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder}/mlflow.db"
    client = mlflow.MlflowClient(uri, uri)
    client.create_registered_model("acting")

    def register(name: str, source: Path) -> None:
        version = client.create_model_version("acting", source=source.as_uri()).version
        client.set_registered_model_alias("acting", name, version)

    for act in ACTS:
        register(act.__name__, _saved(folder / act.__name__, act, ["x"]))
    register("honest_again", folder / "honest")
    register("sees_label", _saved(folder / "sees_label", honest, ["x", "y"]))
    register("wants_more", _saved(folder / "wants_more", honest, ["x", "income"]))
    return uri


def _saved(folder: Path, act: Callable[[Any], Any], columns: list[str]) -> Path:
    schema = Schema([ColSpec("double", name) for name in columns])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(
            str(folder), python_model=Acts(act), pip_requirements=[], signature=ModelSignature(schema)
        )
    return folder


@pytest.fixture(scope="session")
def signs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A held-out set for the models above: 400 rows, ``y`` is 1 where ``x`` is above zero."""
    x = np.random.default_rng(3).normal(size=400)
    path = tmp_path_factory.mktemp("data") / "signs.csv"
    pd.DataFrame({"key": np.arange(400), "x": x, "y": (x > 0).astype(int)}).to_csv(path, index=False)
    return path
