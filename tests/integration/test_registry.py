"""One contract, two registries: a SQLite file and a real ``mlflow server``; then registries that are not well."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gate.errors import EvidenceError, GateError, UsageError
from gate.registry.address import Address, shown
from gate.registry.manifest import model_digest
from gate.registry.registry import MissingAlias, ModelRef, Registry

REGISTRY_SETTINGS = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Every test here also shows that no stray client leaves a database or folder in the working directory."""
    folder = tmp_path / "working-directory"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for setting in REGISTRY_SETTINGS:
        monkeypatch.delenv(setting, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture(params=["sqlite", "rest"])
def uri(request: pytest.FixtureRequest) -> str:
    name = {"sqlite": "sqlite_registry", "rest": "mlflow_server"}[request.param]
    return str(request.getfixturevalue(name))


@pytest.fixture
def registry(uri: str) -> Registry:
    return Registry.connect(uri, None)


@pytest.fixture
def client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri, uri)


# -- what a reference resolves to -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ref", "version", "alias"),
    [
        ("2", 2, None),
        ("002", 2, None),
        (" 2 ", 2, None),
        ("@champion", 1, "champion"),
        ("latest", 3, None),
        ("Latest", 3, None),
        ("@latest", 3, None),
        ("models:/digits/2", 2, None),
        ("models:///digits/2", 2, None),
        ("models:/digits@champion", 1, "champion"),
        ("models:/digits/latest", 3, None),
    ],
)
def test_every_form_of_a_reference_resolves_to_one_version(
    registry: Registry, ref: str, version: int, alias: str | None
) -> None:
    found = registry.resolve(ref, model="digits", role="candidate")
    assert (found.uri, found.name, found.version, found.alias) == (
        f"models:/digits/{version}",
        "digits",
        version,
        alias,
    )
    assert type(found.version) is int
    assert found.not_promotable_because is None
    assert found.model_id is not None and found.model_id.startswith("m-")
    assert found.run_id
    assert found.source


def test_a_full_reference_needs_no_model_name(registry: Registry) -> None:
    assert registry.resolve("models:/digits/2", model=None, role="candidate").version == 2


def test_a_stage_resolves_to_its_newest_version(registry: Registry, client: Any) -> None:
    with pytest.warns(FutureWarning):
        client.transition_model_version_stage("digits", "2", "Production")
    try:
        for stage in ("Production", "production"):
            found = registry.resolve(f"models:/digits/{stage}", model=None, role="incumbent")
            assert (found.uri, found.alias) == ("models:/digits/2", None)
        with pytest.raises(EvidenceError, match="no version in stage 'Staging'"):
            registry.resolve("models:/digits/Staging", model=None, role="incumbent")
    finally:
        with pytest.warns(FutureWarning):
            client.transition_model_version_stage("digits", "2", "None")


def test_a_logged_model_resolves_and_is_not_promotable(registry: Registry) -> None:
    version = registry.resolve("2", model="digits", role="candidate")
    found = registry.resolve(f"models:/{version.model_id}", model="digits", role="candidate")
    assert (found.uri, found.name, found.version) == (f"models:/{version.model_id}", None, None)
    assert (found.model_id, found.run_id) == (version.model_id, version.run_id)
    assert found.not_promotable_because == "a logged model, not a version of a registered one"


def test_a_model_of_a_run_resolves_and_is_not_promotable(registry: Registry) -> None:
    version = registry.resolve("2", model="digits", role="candidate")
    found = registry.resolve(f"runs:/{version.run_id}/digits", model=None, role="candidate")
    assert (found.uri, found.name, found.version) == (f"runs:/{version.run_id}/digits", None, None)
    assert (found.model_id, found.run_id) == (version.model_id, version.run_id)
    assert found.not_promotable_because


def test_a_model_kept_as_artifacts_of_a_run_resolves_too(registry: Registry, client: Any, tmp_path: Path) -> None:
    original = registry.download(registry.resolve("1", model="digits", role="candidate"), tmp_path / "original")
    run = client.create_run(client.get_experiment_by_name("digits").experiment_id)
    client.log_artifacts(run.info.run_id, str(original), "old style/model")
    found = registry.resolve(f"runs:/{run.info.run_id}/old style/model", model=None, role="candidate")
    assert (found.model_id, found.run_id) == (None, run.info.run_id)
    assert model_digest(registry.download(found, tmp_path / "copy")) == model_digest(original)


def test_a_copied_version_knows_the_model_it_came_from(registry: Registry, client: Any, tmp_path: Path) -> None:
    original = registry.resolve("2", model="digits", role="candidate")
    copy_of = f"models:/digits/{original.version}"
    client.create_registered_model("copies")
    try:
        client.create_model_version("copies", copy_of)
        found = registry.resolve("1", model="copies", role="candidate")
        assert (found.source, found.model_id) == (copy_of, original.model_id)
        copied = model_digest(registry.download(found, tmp_path / "copied"))
        assert copied == model_digest(registry.download(original, tmp_path / "original"))
    finally:
        client.delete_registered_model("copies")


# -- what is not there ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ref", "model", "said"),
    [
        ("1", "digit", ["candidate models:/digit/1", "no model 'digit'", "did you mean 'digits'?"]),
        ("@champion", "digit", ["no model 'digit'", "did you mean 'digits'?"]),
        ("latest", "digit", ["no model 'digit'"]),
        ("models:/digit/Production", None, ["no model 'digit'"]),
        ("9", "digits", ["candidate models:/digits/9", "no version 9", "versions: 3, 2, 1"]),
        ("0", "digits", ["no version 0", "versions: 3, 2, 1"]),
        ("99999999999999999", "digits", ["no version 99999999999999999"]),
        ("@chmpion", "digits", ["candidate models:/digits@chmpion", "no alias 'chmpion'", "did you mean 'champion'?"]),
        ("@not/an/alias!", "digits", ["candidate"]),
        ("models:/m-0123456789abcdef0123456789abcdef", None, ["no logged model"]),
        ("runs:/0123456789abcdef0123456789abcdef/model", None, ["no run '0123456789abcdef0123456789abcdef'"]),
    ],
)
def test_what_is_not_there_is_named_with_what_is(
    registry: Registry, ref: str, model: str | None, said: list[str]
) -> None:
    with pytest.raises(GateError) as caught:
        registry.resolve(ref, model=model, role="candidate")
    for words in said:
        assert words in str(caught.value)


def test_only_an_alias_of_a_model_that_exists_counts_as_a_missing_alias(registry: Registry) -> None:
    with pytest.raises(MissingAlias):
        registry.resolve("@previous", model="digits", role="incumbent")
    with pytest.raises(EvidenceError) as caught:
        registry.resolve("@previous", model="digit", role="incumbent")
    assert not isinstance(caught.value, MissingAlias)
    assert registry.alias_version("digits", "previous") is None
    with pytest.raises(EvidenceError, match="no model 'digit'"):
        registry.alias_version("digit", "previous")


def test_a_path_that_a_run_does_not_have_is_an_error(registry: Registry) -> None:
    run_id = registry.resolve("1", model="digits", role="candidate").run_id
    with pytest.raises(EvidenceError, match="has no model 'other'"):
        registry.resolve(f"runs:/{run_id}/other", model=None, role="candidate")


def test_a_model_without_versions_is_an_error(registry: Registry, client: Any) -> None:
    client.create_registered_model("bare")
    try:
        with pytest.raises(EvidenceError, match="no versions yet"):
            registry.resolve("latest", model="bare", role="candidate")
        with pytest.raises(EvidenceError, match="has no versions"):
            registry.resolve("1", model="bare", role="candidate")
    finally:
        client.delete_registered_model("bare")


@pytest.mark.parametrize(
    "ref",
    ["", "champion", "v7", "-1", "7.0", "@", "models:/", "models:/digits", "models:/digits/", "models:/digits@",
     "models:/@champion", "models://digits/7", "models:/digits/7/code", "runs:/", "runs:/abc", "runs:/abc/../x",
     "sqlite:///x.db", "٣"],
)  # fmt: skip
def test_what_is_no_reference_is_a_usage_error(sqlite_registry: str, ref: str) -> None:
    with pytest.raises(UsageError) as caught:
        Registry.connect(sqlite_registry, None).resolve(ref, model="digits", role="candidate")
    assert "candidate" in str(caught.value)
    assert "->" in str(caught.value)


@pytest.mark.parametrize("ref", ["7", "@champion", "latest"])
def test_a_short_reference_without_a_model_name_is_a_usage_error(sqlite_registry: str, ref: str) -> None:
    with pytest.raises(UsageError, match="--model"):
        Registry.connect(sqlite_registry, None).resolve(ref, model=None, role="candidate")


# -- files ------------------------------------------------------------------------------------------------------------


def test_a_download_is_a_whole_model_and_the_same_by_every_name(registry: Registry, tmp_path: Path) -> None:
    version = registry.resolve("2", model="digits", role="candidate")
    names = ["2", f"models:/{version.model_id}", f"runs:/{version.run_id}/digits"]
    digests = set()
    for number, name in enumerate(names):
        ref = registry.resolve(name, model="digits", role="candidate")
        folder = registry.download(ref, tmp_path / f"new {number}" / "folder")
        assert folder == tmp_path / f"new {number}" / "folder"
        assert (folder / "MLmodel").is_file()
        assert not (folder / "registered_model_meta").exists()
        digests.add(model_digest(folder))
    assert len(digests) == 1
    other = registry.download(registry.resolve("3", model="digits", role="candidate"), tmp_path / "other")
    assert model_digest(other) not in digests


def test_a_download_leaves_the_folder_of_a_local_store_as_it_was(sqlite_registry: str, tmp_path: Path) -> None:
    registry = Registry.connect(sqlite_registry, None)
    store = Path(sqlite_registry.removeprefix("sqlite:///")).parent / "artifacts"
    before, listing = model_digest(store), sorted(store.rglob("*"))
    ref = registry.resolve("1", model="digits", role="candidate")
    copy = registry.download(ref, tmp_path / "copy")
    (copy / "MLmodel").write_text("changed")
    assert not copy.is_relative_to(store)
    assert (model_digest(store), sorted(store.rglob("*"))) == (before, listing)


def test_byte_code_is_downloaded_and_counts_as_a_consumer_would_run_it(
    sqlite_registry: str, tmp_path: Path, in_an_empty_folder: Path
) -> None:
    registry, client = _own_store(sqlite_registry, tmp_path)
    ref = registry.resolve("1", model="digits", role="candidate")
    source = registry.download(ref, tmp_path / "tampered")
    before = model_digest(source)
    (source / "code" / "__pycache__").mkdir(parents=True)
    (source / "code" / "__pycache__" / "features.cpython-311.pyc").write_bytes(b"malice")
    (source / "registered_model_meta").write_text("model_name: digits")
    client.create_model_version("digits", source.as_uri())
    copy = registry.download(registry.resolve("latest", model="digits", role="candidate"), tmp_path / "copy")
    assert list(copy.rglob("*.pyc")) and not (copy / "registered_model_meta").exists()
    assert model_digest(copy) == model_digest(source) != before


def test_a_run_with_a_model_and_a_folder_of_one_name_is_refused(
    sqlite_registry: str, tmp_path: Path, in_an_empty_folder: Path
) -> None:
    registry, client = _own_store(sqlite_registry, tmp_path)
    version = client.get_model_version("digits", "1")
    model = client.get_logged_model(version.model_id or version.source.rpartition("/")[2])
    run_id, name = str(model.source_run_id), model.name
    client.create_model_version("digits", f"runs:/{run_id}/{name}", run_id)
    found = registry.resolve("latest", model="digits", role="candidate")
    registry.download(found, tmp_path / "one")

    other = tmp_path / "other"
    other.mkdir()
    (other / "MLmodel").write_text("flavors: {}")
    client.log_artifacts(run_id, str(other), name)
    try:
        with pytest.raises(EvidenceError, match="both called"):
            registry.download(found, tmp_path / "two")
        with pytest.raises(EvidenceError, match="both called"):
            registry.resolve(f"runs:/{run_id}/{name}", model=None, role="candidate")
    finally:  # the files are those of all tests
        shutil.rmtree(Path(client.get_run(run_id).info.artifact_uri.removeprefix("file://")) / name)


def test_a_version_whose_files_are_gone_is_an_error(sqlite_registry: str, tmp_path: Path) -> None:
    registry, client = _own_store(sqlite_registry, tmp_path)
    client.create_model_version("digits", (tmp_path / "gone").as_uri())
    ref = registry.resolve("latest", model="digits", role="candidate")
    with pytest.raises(EvidenceError, match="no model"):
        registry.download(ref, tmp_path / "copy")


def test_a_download_into_a_folder_that_is_not_empty_is_refused(sqlite_registry: str, tmp_path: Path) -> None:
    registry = Registry.connect(sqlite_registry, None)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "old").touch()
    with pytest.raises(UsageError, match="not empty"):
        registry.download(registry.resolve("1", model="digits", role="candidate"), tmp_path / "full")


def test_a_version_that_is_not_ready_is_an_error(sqlite_registry: str, tmp_path: Path) -> None:
    import sqlite3

    registry, _client = _own_store(sqlite_registry, tmp_path)
    with sqlite3.connect(tmp_path / "own.db") as database:
        database.execute(
            "update model_versions set status = 'FAILED_REGISTRATION', status_message = 'disk full' where version = 2"
        )
    with pytest.raises(EvidenceError, match="FAILED_REGISTRATION, not READY: disk full"):
        registry.resolve("2", model="digits", role="candidate")


# -- writing ----------------------------------------------------------------------------------------------------------


def test_an_alias_is_set_moved_read_and_deleted(registry: Registry) -> None:
    alias = f"contender-{uuid.uuid4().hex[:8]}"
    assert registry.alias_version("digits", alias) is None
    registry.set_alias("digits", alias, 2)
    assert registry.alias_version("digits", alias) == 2
    registry.set_alias("digits", alias, 3)
    version = registry.alias_version("digits", alias)
    assert version == 3 and type(version) is int
    registry.delete_alias("digits", alias)
    registry.delete_alias("digits", alias)
    assert registry.alias_version("digits", alias) is None
    assert registry.alias_version("digits", "champion") == 1


def test_an_alias_cannot_be_set_to_a_version_that_is_not_there(registry: Registry) -> None:
    with pytest.raises(EvidenceError, match="no version 9"):
        registry.set_alias("digits", "contender", 9)
    assert registry.alias_version("digits", "contender") is None


def test_tags_are_set_on_a_version(registry: Registry, client: Any) -> None:
    registry.tag_version("digits", 2, {"gate.verdict": "refuse", "gate.decision": "abc"})
    assert client.get_model_version("digits", "2").tags == {"gate.verdict": "refuse", "gate.decision": "abc"}
    with pytest.raises(EvidenceError, match="no version 9"):
        registry.tag_version("digits", 9, {"gate.verdict": "allow"})


def test_a_run_is_logged_with_metrics_that_belong_to_the_candidate(
    registry: Registry, client: Any, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT")
    registry = Registry.connect(registry.uri, None)
    model_id = registry.resolve("2", model="digits", role="candidate").model_id
    digest = "0123456789abcdef" * 4
    capfd.readouterr()
    run_id = registry.log_run(
        name="digits 2 against 1",
        params={"candidate": "models:/digits/2", "confidence": 0.95},
        tags={"gate.verdict": "refuse"},
        metrics={"nfr": 0.03, "nfr of <b>": 0.5, "nfr of [b]": 0.25, "undefined": None, "nan": float("nan")},
        model_id=model_id,
        dataset_name="held-out",
        dataset_digest=digest,
        artifacts={"decision.json": b"{}", "reports/report.txt": "né".encode()},
    )
    assert capfd.readouterr() == ("", "")
    run = client.get_run(run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "digits 2 against 1")
    assert client.get_experiment(run.info.experiment_id).name == "gate"
    assert run.data.metrics == {"nfr": 0.03, "nfr of _b_": 0.5, "nfr of _b__2": 0.25}
    assert run.data.params == {"candidate": "models:/digits/2", "confidence": "0.95"}
    assert run.data.tags["gate.verdict"] == "refuse"
    assert [each.model_id for each in run.inputs.model_inputs] == [model_id]
    assert [each.dataset.digest for each in run.inputs.dataset_inputs] == [digest[:36]]
    linked = {m.key: m for m in client.get_logged_model(model_id).metrics if m.run_id == run_id}
    assert set(linked) == {"nfr", "nfr of _b_", "nfr of _b__2"}
    assert (linked["nfr"].value, linked["nfr"].dataset_name, linked["nfr"].dataset_digest) == (
        0.03,
        "held-out",
        digest[:36],
    )
    assert sorted(each.path for each in client.list_artifacts(run_id)) == ["decision.json", "reports"]
    assert Path(client.download_artifacts(run_id, "reports/report.txt")).read_bytes() == "né".encode()


def test_a_run_is_logged_without_the_link_where_the_model_is_not_known(registry: Registry, client: Any) -> None:
    run_id = registry.log_run(name="elsewhere", metrics={"nfr": 0.5}, model_id="m-" + "0" * 32)
    assert client.get_run(run_id).data.metrics == {"nfr": 0.5}


def test_the_runs_of_a_database_are_kept_beside_its_others(sqlite_registry: str, tmp_path: Path) -> None:
    registry, client = _own_store(sqlite_registry, tmp_path)
    run_id = registry.log_run(name="first", experiment="team/gate", artifacts={"decision.json": b"{}"})
    default = client.get_experiment("0").artifact_location
    assert client.get_run(run_id).info.artifact_uri.startswith(default.removesuffix("0") + "team_gate/")


def test_a_run_that_cannot_be_finished_is_marked_as_failed(sqlite_registry: str, tmp_path: Path) -> None:
    registry, client = _own_store(sqlite_registry, tmp_path)
    (tmp_path / "in-the-way").touch()
    experiment = client.create_experiment("broken", artifact_location=f"{tmp_path}/in-the-way/artifacts")
    with pytest.raises(EvidenceError, match="logging to experiment 'broken'"):
        registry.log_run(name="cut short", experiment="broken", artifacts={"decision.json": b"{}"})
    (run,) = client.search_runs([experiment])
    assert run.info.status == "FAILED"


def test_a_deleted_experiment_is_an_error(sqlite_registry: str, tmp_path: Path) -> None:
    registry, client = _own_store(sqlite_registry, tmp_path)
    client.delete_experiment(client.create_experiment("old"))
    with pytest.raises(EvidenceError, match="experiment 'old' is deleted"):
        registry.log_run(name="late", experiment="old")


@pytest.mark.parametrize("path", ["../decision.json", "/etc/x", "", "a/../../b", "a\\b"])
def test_an_artifact_cannot_leave_its_run(sqlite_registry: str, path: str) -> None:
    with pytest.raises(UsageError, match="artifact"):
        Registry.connect(sqlite_registry, None).log_run(name="x", artifacts={path: b""})


# -- which registry ---------------------------------------------------------------------------------------------------


def test_no_uri_at_all_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no registry is named") as caught:
        Registry.connect(None, None)
    assert "--registry-uri" in str(caught.value)


@pytest.mark.parametrize("setting", ["MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"])
def test_the_uris_of_the_environment_are_the_default(
    sqlite_registry: str, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(setting, sqlite_registry)
    registry = Registry.connect(None, None)
    assert (registry.uri, registry.tracking_uri) == (sqlite_registry, sqlite_registry)
    assert registry.alias_version("digits", "champion") == 1


def test_a_given_uri_goes_before_the_environment(sqlite_registry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "sqlite:////nowhere/x.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////nowhere/y.db")
    assert Registry.connect(sqlite_registry, sqlite_registry).alias_version("digits", "champion") == 1


def test_two_registries_are_open_at_once_and_no_global_of_mlflow_is_changed(
    sqlite_registry: str, mlflow_server: str, tmp_path: Path
) -> None:
    import mlflow

    is_set: Any = mlflow.is_tracking_uri_set
    before = is_set()
    digests = {}
    registries = [Registry.connect(each, None) for each in (sqlite_registry, mlflow_server)]
    for number, registry in enumerate(registries):
        ref = registry.resolve("1", model="digits", role="candidate")
        digests[registry.uri] = model_digest(registry.download(ref, tmp_path / str(number)))
    assert len(digests) == 2
    assert is_set() == before


@pytest.mark.parametrize("prefix", ["", "gated:"])
def test_a_database_that_is_not_there_is_an_error_and_is_not_made(tmp_path: Path, prefix: str) -> None:
    absent = tmp_path / "folder" / "absent.db"
    with pytest.raises(EvidenceError, match="no such database"):
        Registry.connect(f"{prefix}sqlite:///{absent}", None)
    with pytest.raises(EvidenceError, match="no such database"):
        Registry.connect("sqlite:///mlflow.db", None)
    with pytest.raises(EvidenceError, match="no such database"):
        Registry.connect("sqlite://", None)
    assert not absent.parent.exists()


def test_a_tracking_database_that_is_not_there_is_an_error_too(sqlite_registry: str, tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match=r"absent\.db: no such database"):
        Registry.connect(sqlite_registry, f"sqlite:///{tmp_path}/absent.db")


def test_a_database_that_is_not_mlflows_or_is_older_is_left_as_it_is(empty_store: Path, tmp_path: Path) -> None:
    import sqlite3

    empty, text, older = tmp_path / "empty.db", tmp_path / "text.db", tmp_path / "older.db"
    empty.touch()
    text.write_text("not a database, and long enough for its header to be read as one " * 20)
    shutil.copy(empty_store, older)
    with sqlite3.connect(older) as database:
        database.execute("drop table webhook_events")
    before = [each.read_bytes() for each in (empty, text, older)]
    for path, found in ((empty, "without MLflow's tables"), (text, "cannot be opened"), (older, "older MLflow")):
        with pytest.raises(EvidenceError, match=found):
            Registry.connect(f"sqlite:///{path}", None)
    assert [each.read_bytes() for each in (empty, text, older)] == before


def test_a_folder_or_file_that_is_no_registry_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    with pytest.raises(UsageError, match="sqlite:///"):
        Registry.connect(str(tmp_path / "mlflow.db"), None)
    with pytest.raises(EvidenceError, match="no such registry"):
        Registry.connect("mlruns", None)
    with pytest.raises(EvidenceError):
        Registry.connect(tmp_path.as_uri(), None)


# -- registries that are not well -------------------------------------------------------------------------------------

Answer = tuple[int, str, bytes]


@pytest.fixture
def answering() -> Iterator[Callable[[Answer], str]]:
    """Start a server that answers everything with the same status, type and bytes; gives its ``host:port``."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, kind, body = answer
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def _asked_every_way(registry: Registry, folder: Path) -> Iterator[str]:
    refs = ("1", "@champion", "latest", "models:/digits/Production", "models:/m-1", "runs:/1/model")
    calls: list[Callable[[], object]] = [
        *(partial(registry.resolve, ref, model="digits", role="candidate") for ref in refs),
        lambda: registry.alias_version("digits", "champion"),
        lambda: registry.set_alias("digits", "champion", 2),
        lambda: registry.delete_alias("digits", "champion"),
        lambda: registry.tag_version("digits", 1, {"gate.verdict": "allow"}),
        lambda: registry.download(ModelRef("models:/digits/1", "digits", 1), folder / "never"),
        lambda: registry.log_run(name="x", metrics={"nfr": 0.0}),
    ]
    for call in calls:
        with pytest.raises(EvidenceError) as caught:
            call()
        assert not isinstance(caught.value, MissingAlias)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        yield str(caught.value)
    assert not (folder / "never").exists() or not any((folder / "never").iterdir())


@pytest.mark.fault(
    27,
    given="the registry answers with 401, 403, 404, 500, 503, or with something that no registry says",
    then="gives no verdict, and never takes that for an alias that does not exist",
    exit_code=12,
)
@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ((401, "text/html", b"You are not authenticated. hunter2"), "does not accept the credentials (401)"),
        ((403, "application/json", b'{"error_code": "PERMISSION_DENIED", "message": "no hunter2"}'), "forbids this"),
        ((404, "text/html", b"<h1>not here</h1>"), "is no MLflow registry (404)"),
        ((500, "text/html", b"<h1>hunter2 broke it</h1>" * 100), "answers with error 500"),
        ((503, "text/plain", b"later"), "answers with error 503"),
        ((200, "text/html", b"<h1>Welcome</h1>"), "answers"),
        ((200, "application/json", b"{}"), "no MLflow registry"),
        ((200, "application/json", b"[1]"), "answers"),
    ],
)
def test_a_registry_that_answers_badly_is_an_error_and_never_a_missing_alias(
    answering: Callable[[Answer], str], answer: Answer, found: str, tmp_path: Path
) -> None:
    host = answering(answer)
    registry = Registry.connect(f"http://ann:hunter2@{host}", None)
    said = list(_asked_every_way(registry, tmp_path))
    assert len(said) == 12
    assert found in said[0]
    for text in said:
        assert "hunter2" not in text and "ann" not in text
        assert f"http://{host}" in text
        assert len(text) < 700


def test_a_registry_that_is_down_is_an_error_and_is_not_waited_for(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}"
        for text in _asked_every_way(Registry.connect(uri, None), tmp_path):
            assert f"the registry at {uri} cannot be reached (connection refused)" in text


@pytest.mark.fault(
    27,
    given="the registry does not answer at all",
    then="gives it up after a while, and gives no verdict",
    exit_code=12,
)
def test_a_registry_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        registry = Registry.connect(f"http://127.0.0.1:{silent.getsockname()[1]}", None)
        with pytest.raises(EvidenceError, match="does not answer in time"):
            registry.resolve("1", model="digits", role="candidate")


def test_patience_is_short_unless_it_was_asked_for(sqlite_registry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    Registry.connect(sqlite_registry, None)
    assert int(os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]) <= 2
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"


# -- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.fault(
    39,
    given="the address of the registry holds a user, a password or a token",
    then="shows the address without them",
    exit_code=12,
)
@pytest.mark.parametrize(
    "uri",
    [
        "http://ann:hunter2@127.0.0.1:1/mlflow?token=hunter2",
        "http://ann:hun%74er2@127.0.0.1:1",
        "http://hunter2@127.0.0.1:1",
    ],
)
def test_no_secret_of_a_uri_is_ever_shown(uri: str, tmp_path: Path) -> None:
    registry = Registry.connect(None, uri)
    texts = [registry.uri, registry.tracking_uri, *_asked_every_way(registry, tmp_path)]
    assert all("http://127.0.0.1:1" in text for text in texts)
    for text in [*texts, repr(registry), str(registry), f"{vars(registry)}"]:
        assert "hunter2" not in text and "hun%74er2" not in text


@pytest.mark.parametrize(
    ("uri", "plain"),
    [
        ("http://ann:p@ss/hunter2@host:1", "http://host:1"),
        ("postgresql://ann:hunter2/p@ss@host/db?sslpassword=hunter2", "postgresql://host/db"),
        ("gated:http://ann:hunter2@host:1", "gated:http://host:1"),
        ("http://host:1/a@b", "http://host:1/a@b"),
        ("sqlite:///data/a@b.db", "sqlite:///data/a@b.db"),
        ("databricks", "databricks"),
        ("C:\\data\\a@b", "C:\\data\\a@b"),
    ],
)
def test_a_uri_is_shown_without_user_password_and_query(uri: str, plain: str) -> None:
    address = Address(uri, uri)
    assert shown(uri) == plain
    texts = [repr(address), address.without_secrets(f"{uri} failed, host='ss', url: /hunter2@host:1/api as ann:p@ss")]
    for text in texts:
        assert "hunter2" not in text or "hunter2" not in uri
        assert plain in text or "C:" in plain


def test_a_database_that_cannot_be_reached_shows_no_password() -> None:
    with pytest.raises(GateError) as caught:
        Registry.connect("postgresql://ann:hunter2@127.0.0.1:1/mlflow?password=hunter2", None)
    assert "hunter2" not in str(caught.value)
    assert "postgresql://127.0.0.1:1/mlflow" in str(caught.value)


@pytest.mark.fault(
    39,
    given="the registry answers with the token that it was asked with",
    then="shows the answer without the token",
    exit_code=12,
)
def test_a_token_of_the_environment_is_never_shown(
    answering: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "tok-314159")
    body = json.dumps({"error_code": "BAD_REQUEST", "message": "bad header: Bearer tok-314159; api_key=abc123"})
    registry = Registry.connect(f"http://{answering((400, 'application/json', body.encode()))}", None)
    with pytest.raises(EvidenceError) as caught:
        registry.resolve("1", model="digits", role="candidate")
    assert "bad header" in str(caught.value)
    assert "tok-314159" not in str(caught.value) and "abc123" not in str(caught.value)


def test_a_resolved_model_is_a_value(sqlite_registry: str) -> None:
    registry = Registry.connect(sqlite_registry, None)
    one, same = (registry.resolve("1", model="digits", role=role) for role in ("candidate", "incumbent"))
    assert one == same
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.version = 2  # type: ignore[misc]


def _own_store(shared: str, folder: Path) -> tuple[Registry, Any]:
    """A copy of the shared database, for a test that leaves it changed; the files stay where they are."""
    from mlflow import MlflowClient

    shutil.copy(shared.removeprefix("sqlite:///"), folder / "own.db")
    uri = f"sqlite:///{folder}/own.db"
    return Registry.connect(uri, None), MlflowClient(uri, uri)
