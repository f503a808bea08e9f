"""The digest that the server takes is the one that `gate check` took, wherever the files are; or there is none."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from gate.errors import EvidenceError
from gate.plugin import files
from gate.plugin.files import ModelFiles
from gate.registry.manifest import model_digest
from gate.registry.registry import Registry


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "working-directory"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def locate(place: Any, location: str) -> int:
    """A new version whose files are there, as an upload through the server would leave it."""
    import sqlalchemy

    version = int(place.plain.create_model_version("fraud", "/files").version)
    query = sqlalchemy.text("update model_versions set source = :at, storage_location = :at where version = :version")
    with place.plain.engine.begin() as connection:
        connection.execute(query, {"at": location, "version": version})
    return version


def files_of(place: Any) -> ModelFiles:
    return ModelFiles(place.gated, place.uri, place.uri)


def test_the_names_of_mlflows_settings_are_mlflows() -> None:
    from mlflow.server import constants

    assert files.BACKEND_STORE == constants.BACKEND_STORE_URI_ENV_VAR
    assert files.SERVE_ARTIFACTS == constants.SERVE_ARTIFACTS_ENV_VAR
    assert files.ARTIFACTS_DESTINATION == constants.ARTIFACTS_DESTINATION_ENV_VAR


def test_a_client_and_the_server_see_the_same_digest(place: Any, sqlite_registry: str, tmp_path: Path) -> None:
    from gate.plugin.store import open_store

    registry = Registry.connect(sqlite_registry, None)
    ref = registry.resolve("2", model="digits", role="candidate")
    seen = model_digest(registry.download(ref, tmp_path / "downloaded"))
    store = open_store(f"gated:{sqlite_registry}", sqlite_registry)
    assert ModelFiles(store, sqlite_registry, sqlite_registry).digest("digits", 2) == seen


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_what_the_server_serves_is_read_where_it_keeps_it(
    place: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    place.add_version()
    kept = tmp_path / "kept" / "1" / "models" / "m-1" / "artifacts"
    shutil.copytree(place.files["fraud", 1], kept)
    version = locate(place, "mlflow-artifacts:/1/models/m-1/artifacts")
    monkeypatch.setenv(files.SERVE_ARTIFACTS, "true")
    monkeypatch.setenv(files.ARTIFACTS_DESTINATION, f"{prefix}{tmp_path}/kept")
    assert files_of(place).digest("fraud", version) == model_digest(kept)
    shutil.rmtree(kept)
    with pytest.raises(EvidenceError):
        files_of(place).digest("fraud", version)


@pytest.mark.parametrize(
    "location",
    [
        "mlflow-artifacts:/../secret",
        "mlflow-artifacts:/1/%2e%2e/%2e%2e/secret",
        "mlflow-artifacts://elsewhere:5000/1/artifacts",
        "mlflow-artifacts:/nothing/there",
        "http://127.0.0.1:9/api/2.0/mlflow-artifacts/artifacts/1",
        "s3://no-such-bucket-of-anybody/1",
        "models:/fraud/99",
        "models:/m-00000000000000000000000000000000",
        "runs:/00000000000000000000000000000000/model",
        "nowhere",
        "",
    ],
)
def test_files_that_cannot_be_had_are_an_error_and_never_a_digest(
    place: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_an_empty_folder: Path, location: str
) -> None:
    place.add_version()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "MLmodel").touch()
    (tmp_path / "kept").mkdir()
    version = locate(place, location)
    monkeypatch.setenv(files.SERVE_ARTIFACTS, "true")
    monkeypatch.setenv(files.ARTIFACTS_DESTINATION, f"{tmp_path}/kept")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(EvidenceError) as caught:
        files_of(place).digest("fraud", version)
    assert "mlflow.db" not in str(caught.value), "where the server keeps its database is not told"
    assert list(in_an_empty_folder.iterdir()) == []


def test_what_is_not_served_here_is_not_read_here(place: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place.add_version()
    shutil.copytree(place.files["fraud", 1], tmp_path / "kept" / "1")
    version = locate(place, "mlflow-artifacts:/1")
    monkeypatch.setenv(files.ARTIFACTS_DESTINATION, f"{tmp_path}/kept")
    with pytest.raises(EvidenceError):
        files_of(place).digest("fraud", version)
    monkeypatch.setenv(files.SERVE_ARTIFACTS, "true")
    monkeypatch.delenv(files.ARTIFACTS_DESTINATION)
    with pytest.raises(EvidenceError, match="its files are served by another server than this"):
        files_of(place).digest("fraud", version)


def test_the_model_of_a_run_is_found_through_the_tracking_store(place: Any, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(place.uri, place.uri)
    experiment = client.create_experiment("kept", artifact_location=(tmp_path / "artifacts").as_uri())
    run = client.create_run(experiment)
    place.add_version()
    client.log_artifacts(run.info.run_id, str(place.files["fraud", 1]), "model")
    version = locate(place, f"runs:/{run.info.run_id}/model")
    assert files_of(place).digest("fraud", version) == model_digest(place.files["fraud", 1])


def test_a_logged_model_is_found_through_the_tracking_store(place: Any, sqlite_registry: str) -> None:
    from mlflow import MlflowClient

    registry = Registry.connect(sqlite_registry, None)
    ref = registry.resolve("1", model="digits", role="candidate")
    assert ref.model_id is not None
    place.plain.create_registered_model("fraud")
    version = locate(place, f"models:/{ref.model_id}")
    where = MlflowClient(sqlite_registry, sqlite_registry).get_logged_model(ref.model_id).artifact_location
    found = ModelFiles(place.gated, place.uri, sqlite_registry).digest("fraud", version)
    assert found == model_digest(Path(where.removeprefix("file://")))
