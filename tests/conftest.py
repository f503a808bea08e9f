"""Real stores for the tests: a SQLite registry and an MLflow server, each with the model ``digits`` in three versions.

Both live as long as the session and are shared: a test that moves an alias uses one of its own and takes it away. Where
it matters how versions are promoted and not what they answer, a fleet has as many of them as a test wants, at no cost.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from servers import end_group, free_port, globally, wait_for

# Before anything imports MLflow: nothing is sent to anybody, and no test waits long for what is not there.
os.environ.update(
    MLFLOW_DISABLE_TELEMETRY="true",
    DO_NOT_TRACK="true",
    MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true",
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false",
    MLFLOW_LOGGING_LEVEL="WARNING",
)
for _setting in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "GATE_CACHE_SIZE"):
    os.environ.pop(_setting, None)
_CACHE = tempfile.TemporaryDirectory(prefix="gate-cache-")
os.environ["GATE_CACHE_DIR"] = _CACHE.name

DIGITS = "digits"


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    """No test rests on answers that another one's models gave, nor on the experiment that MLflow was told of last."""
    shutil.rmtree(Path(_CACHE.name, "predictions"), ignore_errors=True)
    yield
    for name in ("MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"):  # which it hands down to whatever process a test starts
        os.environ.pop(name, None)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file with nothing in it, to be copied: the migration takes seconds."""
    from mlflow.store.tracking import sqlalchemy_store

    make_store: Any = sqlalchemy_store.SqlAlchemyStore
    folder = tmp_path_factory.mktemp("empty")
    store = make_store(f"sqlite:///{folder}/mlflow.db", f"{folder}/artifacts")
    store._dispose_engine()
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def sqlite_registry(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of a SQLite store with ``digits`` in versions 1 (``@champion``), 2 and 3; artifacts beside it."""
    folder = tmp_path_factory.mktemp("sqlite_registry")
    shutil.copy(empty_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder}/mlflow.db"
    register_digits(uri, artifacts=(folder / "artifacts").as_uri())
    return uri


@pytest.fixture(scope="session")
def mlflow_server(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a real ``mlflow server`` on the loopback, which serves its own artifacts; ``digits`` as above."""
    folder = tmp_path_factory.mktemp("mlflow_server")
    shutil.copy(empty_store, folder / "mlflow.db")
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/files"]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        uri = f"http://127.0.0.1:{port}"
        wait_for(f"{uri}/health", server, folder / "server.log")
        register_digits(uri, artifacts=None)
        yield uri
    finally:
        end_group(server)


class Fleet:
    """A registered model whose versions are a line of text each, and decisions about them that no model was run for."""

    def __init__(self, uri: str, name: str, judged: Any) -> None:
        import mlflow

        self.uri, self.name, self._judged = uri, name, judged
        self.client = mlflow.MlflowClient(uri.removeprefix("gated:"), uri)
        self.folders: dict[int, Path] = {}
        self.digests: dict[int, str] = {}

    def add(self, versions: int, folder: Path, experiment: str) -> None:
        """Register the next versions, with their files as artifacts of a run."""
        from gate.registry.manifest import model_digest

        self.client.create_registered_model(self.name)
        for number in range(1, versions + 1):
            files = folder / f"{self.name}-{number}"
            files.mkdir(parents=True)
            (files / "MLmodel").write_text(f"{self.name}: {number}\n")
            run = self.client.create_run(experiment).info
            self.client.log_artifacts(run.run_id, str(files), "model")
            source = f"{run.artifact_uri.rstrip('/')}/model"
            version = int(self.client.create_model_version(self.name, source, run.run_id).version)
            self.folders[version] = Path(source.removeprefix("file://"))
            self.digests[version] = model_digest(files)

    def decision(self, candidate: int, incumbent: int | None, verdict: str = "allow", **target: Any) -> Any:
        """A decision of that verdict, written now; ``target`` replaces parts of what it is good for."""
        from gate.core.judgement import Status, Verdict
        from gate.decisions.canonical import sealed
        from gate.decisions.record import ModelRow, Promotable, Target
        from gate.registry.address import shown
        from gate.stories.decide import written_at

        def row(version: int) -> ModelRow:
            return ModelRow(f"models:/{self.name}/{version}", self.name, version, digest=self.digests[version])

        status = {
            "allow": Status.PASS,
            "refuse": Status.FAIL,
            "inconclusive": Status.INCONCLUSIVE,
            "error": Status.ERROR,
        }[verdict]
        judged = self._judged
        provenance = replace(
            judged.provenance,
            candidate=row(candidate),
            incumbent=None if incumbent is None else row(incumbent),
        )
        wanted = {"registry": shown(self.uri), "model": self.name, "alias": "champion", **target}
        return sealed(
            replace(
                judged,
                created_at=written_at(),
                verdict=Verdict(verdict),
                exit_code=int(Verdict(verdict).exit_code),
                findings=(replace(judged.findings[0], status=status), *judged.findings[1:]),
                promotable=Promotable(verdict == "allow", None if verdict == "allow" else f"the verdict is {verdict}"),
                target=Target(**wanted),
                provenance=provenance,
            )
        )

    def at(self, alias: str = "champion") -> int | None:
        """The version of an alias, None where there is none."""
        found = self.client.get_registered_model(self.name).aliases.get(alias)
        return None if found is None else int(found)

    def tags(self) -> dict[str, str]:
        """The tags of the model."""
        return dict(self.client.get_registered_model(self.name).tags)

    def tags_of(self, version: int) -> dict[str, str]:
        """The tags of a version."""
        return dict(self.client.get_model_version(self.name, str(version)).tags)


@pytest.fixture(scope="session")
def any_decision(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A decision about a few rows, whose parts a test may replace."""
    import gate

    policy = tmp_path_factory.mktemp("any") / "policy.yaml"
    policy.write_text("version: 1\nname: small\nholdout: {label: y}\nrules:\n  - {id: few, rate: nfr, at_most: 20%}\n")
    rows = {"y": [0, 1] * 100, "old": [0, 1] * 100, "new": [0, 1] * 100}
    return gate.compare(rows, policy=policy, incumbent="old", candidate="new", as_of="2026-01-01").decision


@pytest.fixture(scope="session")
def launch(any_decision: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str, int], Fleet]:
    """Makes a fleet in a registry: a name that is free there, and so many versions."""

    def make(uri: str, name: str, versions: int) -> Fleet:
        fleet = Fleet(uri, name, any_decision)
        folder = tmp_path_factory.mktemp("fleet")
        local = None if uri.startswith("http") else (folder / "artifacts").as_uri()
        experiment = fleet.client.create_experiment(folder.name, artifact_location=local)
        fleet.add(versions, folder, experiment)
        return fleet

    return make


@pytest.fixture
def own_registry(empty_store: Path, tmp_path: Path) -> str:
    """The URI of a SQLite registry of this test's own, with nothing in it."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


def register_digits(uri: str, artifacts: str | None) -> None:
    """Train three small classifiers of scikit-learn's digits, and register them as versions 1, 2 and 3."""
    import mlflow
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    pixels, labels = load_digits(return_X_y=True)
    frame = pd.DataFrame(pixels, columns=[f"pixel_{i}" for i in range(pixels.shape[1])])
    signature = infer_signature(frame.head(), labels[:5])
    client = mlflow.MlflowClient(uri, uri)
    experiment = client.create_experiment(DIGITS, artifact_location=artifacts)
    with globally(uri):
        for rows in (150, 300, 600):
            model = LogisticRegression(max_iter=1000).fit(frame[:rows], labels[:rows])
            with mlflow.start_run(experiment_id=experiment):
                mlflow.sklearn.log_model(
                    model,
                    name=DIGITS,
                    signature=signature,
                    pip_requirements=["scikit-learn"],
                    registered_model_name=DIGITS,
                    await_registration_for=None,
                )
    client.set_registered_model_alias(DIGITS, "champion", "1")
