"""Commands that must not get through: their exit code, what they say, and that they leave nothing behind.

The held-out set of these tests is that of two models, ``@honest`` and ``@better``, and of their answers alike, so that
one file can be given to ``gate compare`` and to ``gate check``.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature
from mlflow.pyfunc.model import PythonModel
from mlflow.types import ColSpec, Schema

from gate.cli.app import run

ROWS = 400

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import this file


class Ran(NamedTuple):
    code: int
    out: bytes
    err: str


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which the commands are run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cli(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Ran]:
    """Runs one command line: exit code, stdout as bytes, stderr as text."""

    def command(*arguments: object) -> Ran:
        capfdbinary.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        return Ran(code, out, err.decode())

    return command


@pytest.fixture
def stopped(cli: Callable[..., Ran], folder: Path) -> Callable[..., str]:
    """Runs a command that must stop with this code: no result on stdout, no file made, changed or taken away.

    Gives what it said on stderr.
    """

    def command(code: int, *arguments: object) -> str:
        before = contents(folder)
        done = cli(*arguments)
        assert (done.code, done.out) == (code, b""), done.err
        assert "Error: " in done.err and "Internal error" not in done.err
        assert contents(folder) == before
        return done.err

    return command


def contents(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder; None for what is no file."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def signs() -> pd.DataFrame:
    """400 rows: ``y`` is 1 where ``x`` is above zero, ``old`` and ``new`` what the two models make of it."""
    x = np.random.default_rng(3).normal(size=ROWS)
    columns = {"key": np.arange(ROWS), "x": x, "y": x > 0, "old": x > 0, "new": x > 0.05}
    return pd.DataFrame(columns).astype(dict.fromkeys(("y", "old", "new"), "int64"))


# models that misbehave, in a registry


class Runs:
    """Code that runs when this is unpickled: the oldest trick of a malicious model."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self) -> Any:
        return exec, (self.code,)


class Acts(PythonModel):
    """A model that does what it is told when it is asked; ``beside`` is pickled with it."""

    def __init__(self, act: Callable[[Any], Any], beside: Runs | None = None) -> None:
        self.act, self.beside = act, beside

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # MLflow reads the hints
        return self.act(model_input)


def honest(rows: Any) -> Any:
    return (rows["x"].to_numpy() > 0).astype("int64")


def better(rows: Any) -> Any:
    return (rows["x"].to_numpy() > 0.05).astype("int64")


def one_row_less(rows: Any) -> Any:
    return honest(rows)[:-1]


def a_cube(rows: Any) -> Any:
    return np.zeros((len(rows), 2, 2))


def three_numbers(rows: Any) -> Any:
    return np.full((len(rows), 3), 1 / 3)


def another_order(rows: Any) -> Any:
    return (rows["x"].sort_values() > 0).astype("int64")


def nan_scores(rows: Any) -> Any:
    scores = rows["x"].to_numpy().copy()
    scores[3] = np.nan
    return scores


def text(rows: Any) -> Any:
    return honest(rows).astype(str)


def prints(rows: Any) -> Any:
    print('{"verdict": "allow"}')
    os.write(1, b"written past Python\n")
    return honest(rows)


def fills_the_memory(_: Any) -> Any:
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))  # of this machine no more than that
    return [np.ones(1 << 24) for _ in range(1_000)]


ACTS = [
    honest, better, one_row_less, a_cube, three_numbers, another_order, nan_scores, text, prints, fills_the_memory,
]  # fmt: skip


class Models(NamedTuple):
    """A SQLite registry whose model ``acts`` has an alias for each act above."""

    uri: str
    folder: Path

    def add(self, alias: str, act: Callable[[Any], Any] = better, runs: str | None = None) -> None:
        """Register one more version under ``alias``; ``runs`` is code that its pickle runs when it is loaded."""
        client = mlflow.MlflowClient(self.uri, self.uri)
        model = Acts(act, None if runs is None else Runs(runs))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlflow.pyfunc.save_model(
                str(self.folder / alias),
                python_model=model,
                pip_requirements=[],
                signature=ModelSignature(Schema([ColSpec("double", "x")])),
            )
        version = client.create_model_version("acts", source=(self.folder / alias).as_uri()).version
        client.set_registered_model_alias("acts", alias, version)

    def asked(self, candidate: str, *more: object, incumbent: str = "honest") -> tuple[object, ...]:
        """The command that judges one of them, each model in the gate's own process."""
        return *self.apart(candidate, "--in-process", incumbent=incumbent), *more

    def apart(self, candidate: str, *more: object, incumbent: str = "honest") -> tuple[object, ...]:
        """The same, each model in a process of its own."""
        return (
            "check", "--model", "acts", "--candidate", f"@{candidate}", "--incumbent", f"@{incumbent}",
            "--registry-uri", self.uri, "--policy", "p.yaml", "--no-log", "-q", *more,
        )  # fmt: skip


@pytest.fixture(scope="session")
def models(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Models:
    """The registry of all the acts."""
    folder = tmp_path_factory.mktemp("acts")
    shutil.copy(empty_store, folder / "mlflow.db")
    found = Models(f"sqlite:///{folder}/mlflow.db", folder)
    mlflow.MlflowClient(found.uri, found.uri).create_registered_model("acts")
    for act in ACTS:
        found.add(act.__name__, act)
    return found
