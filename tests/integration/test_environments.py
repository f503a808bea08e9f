"""Models that need what the running environment has not: real packages, real workers, two versions side by side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from importlib import metadata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gate.engines.environments import Environment, environment_for
from gate.engines.local import Worker, score
from gate.errors import EvidenceError

PATIENCE = 180.0
OLD, NEW = "1.5.2", metadata.version("scikit-learn")
SAVE = """
    import sys, sklearn, mlflow.sklearn, numpy as np, pandas as pd
    from mlflow.models import infer_signature
    from sklearn.linear_model import LogisticRegression
    x = pd.DataFrame({"a": np.arange(40.0), "b": np.arange(40.0) % 7})
    model = LogisticRegression().fit(x, np.where(x["a"] > 19, "yes", "no"))
    mlflow.sklearn.save_model(
        model, sys.argv[1], signature=infer_signature(x), serialization_format="cloudpickle",
        pip_requirements=[f"scikit-learn=={sklearn.__version__}"],
    )
"""

POLICY = """\
version: 1
name: small
holdout: {label: y}
rules:
  - {id: few-negative-flips, rate: nfr, at_most: 50%}
"""


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("environments")


@pytest.fixture(scope="module")
def saved(homes: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two models, each saved by the version of scikit-learn that its folder is named after."""
    folder = tmp_path_factory.mktemp("models")
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("UV_CONSTRAINT", raising=False)
        for version in (OLD, NEW):
            # Asks for what MLflow will write beside the model, so that one environment serves for making and judging it.
            blank = folder / f"blank-{version}"
            blank.mkdir()
            (blank / "requirements.txt").write_text(f"mlflow=={metadata.version('mlflow')}\nscikit-learn=={version}\n")
            (blank / "python_env.yaml").write_text("python: {}.{}.{}\n".format(*sys.version_info[:3]))
            python = environment_for(blank, "uv", folder=homes).python
            found[version] = folder / version
            subprocess.run(
                [python, "-I", "-c", textwrap.dedent(SAVE), found[version]], check=True, capture_output=True, cwd=folder
            )
    return found


@pytest.fixture(scope="module")
def registry(saved: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A registry whose version 1 needs the one scikit-learn, and version 2 the other."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("registry")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = MlflowClient(uri, uri)
    client.create_registered_model("words")
    for version in (OLD, NEW):
        client.create_model_version("words", str(saved[version]))
    return uri


def environment(model: Path, homes: Path) -> Environment:
    return environment_for(model, "uv", folder=homes)


def test_models_of_two_versions_of_scikit_learn_are_scored_side_by_side(saved: dict[str, Path], homes: Path) -> None:
    batch = pa.record_batch({"a": [1.0, 30.0, 19.5], "b": [0.0, 1.0, 2.0]})
    old, new = (environment(saved[version], homes) for version in (OLD, NEW))
    with (
        Worker.start("incumbent", timeout=PATIENCE, python=old.python) as incumbent,
        Worker.start("candidate", timeout=PATIENCE, python=new.python) as candidate,
    ):
        incumbent.load(saved[OLD])
        candidate.load(saved[NEW])
        ((_, answers),) = list(score([incumbent, candidate], [(None, batch)]))
        assert incumbent.ready().versions["sklearn"] == OLD
        assert candidate.ready().versions["sklearn"] == NEW
    assert answers[0].values.to_pylist() == answers[1].values.to_pylist() == ["no", "yes", "yes"]


@pytest.mark.parametrize("flags", [["--env-manager", "uv"], []], ids=["environments of their own", "the running one"])
def test_the_command_checks_two_versions_of_scikit_learn_side_by_side(
    registry: str, homes: Path, tmp_path: Path, flags: list[str]
) -> None:
    (tmp_path / "environments").symlink_to(homes)
    rows = {"a": [float(row) for row in range(200)], "b": [float(row % 7) for row in range(200)]}
    rows["y"] = ["yes" if row > 19 else "no" for row in range(200)]
    pq.write_table(pa.table(rows), tmp_path / "holdout.parquet")
    (tmp_path / "policy.yaml").write_text(POLICY)
    asked = ["check", "--model", "words", "--incumbent", "1", "--candidate", "2", "--registry-uri", registry]
    asked += ["--data", "holdout.parquet", "--policy", "policy.yaml", "--report", "json=decision.json", "--no-log"]
    ran = subprocess.run(
        [sys.executable, "-m", "gate", *asked, *flags],
        cwd=tmp_path,
        env={**os.environ, "GATE_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    if flags:
        assert ran.returncode == 0, ran.stderr
        decision = json.loads((tmp_path / "decision.json").read_text())
        assert decision["provenance"]["incumbent"]["versions"]["sklearn"] == OLD
        assert decision["provenance"]["candidate"]["versions"]["sklearn"] == NEW
        assert decision["counts"]["n"] == 200
    else:
        assert ran.returncode == 12
        assert "needs scikit-learn==1.5.2" in ran.stderr and "--env-manager uv" in ran.stderr
        assert not (tmp_path / "decision.json").exists()


def test_in_the_running_environment_the_clash_is_an_error_that_names_the_flag(saved: dict[str, Path]) -> None:
    with pytest.raises(EvidenceError, match=r"needs scikit-learn==1.5.2, and .* is installed\n  -> --env-manager uv"):
        environment_for(saved[OLD], "local", role="incumbent")
