"""The scheme `gated:`: what it opens, what it never opens, and that nothing of MLflow's leads past it unseen."""

from __future__ import annotations

import inspect
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gate.plugin import store as gated
from gate.plugin.store import GUARDED, HARMLESS, READS, THROUGH_GUARDED, guarded, open_store, unknown_methods

Refused = Callable[..., str]


def stores() -> list[type]:
    from mlflow.store.model_registry.abstract_store import AbstractStore
    from mlflow.store.model_registry.rest_store import RestStore
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    return [AbstractStore, SqlAlchemyStore, RestStore]


# -- every way in -------------------------------------------------------------------------------------------------------


def test_mlflow_finds_the_scheme_as_an_entry_point(place: Any) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(place.uri, f"gated:{place.uri}")
    place.add_version()
    with pytest.raises(Exception, match="gate: refused: models:/fraud/1: no signed decision"):
        client.set_registered_model_alias("fraud", "champion", "1")


def test_every_public_method_of_mlflows_stores_is_guarded_or_let_through_on_purpose() -> None:
    lists = [GUARDED, THROUGH_GUARDED, HARMLESS]
    assert sum(len(each) for each in lists) == len(frozenset().union(*lists)), "in one list only"
    for store in stores():
        public = {name for name in dir(store) if not name.startswith("_") and callable(getattr(store, name))}
        assert {name for name in public if not name.startswith(READS)} <= frozenset().union(*lists)
        assert unknown_methods(store) == frozenset()


def test_what_is_listed_is_there_and_is_called_as_mlflow_calls_it() -> None:
    for store in stores():
        for name in GUARDED | THROUGH_GUARDED | HARMLESS:
            assert hasattr(store, name)
        for name in GUARDED:
            theirs = inspect.signature(getattr(store, name)).parameters
            ours = inspect.signature(getattr(gated.Guarded, name)).parameters
            assert list(ours) == list(theirs), name


def test_a_method_that_a_later_mlflow_brings_is_refused(place: Any, refused: Refused) -> None:
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    class Later(SqlAlchemyStore):  # type: ignore[misc]
        def promote_model_version(self, name: str, version: str) -> None:
            raise AssertionError("it must not come to this")

        def set_prompt_alias(self, name: str, alias: str, version: str) -> None:
            raise AssertionError("no longer by way of a guarded method")

        def get_something_new(self) -> int:
            return 7

    assert unknown_methods(Later) == {"promote_model_version", "set_prompt_alias"}
    store = guarded(Later)(place.uri)
    store._gatekeeper = place.gated._gatekeeper
    said = refused(store.promote_model_version, "fraud", "1")
    assert "this gate does not know what that changes" in said
    refused(store.set_prompt_alias, "fraud", "champion", 1)
    assert store.get_something_new() == 7


# Every route of the server that changes something, and concerns a registry, with the method of the store behind it.
ROUTES = {
    "_create_registered_model": "create_registered_model",
    "_rename_registered_model": "rename_registered_model",
    "_update_registered_model": "update_registered_model",
    "_delete_registered_model": "delete_registered_model",
    "_get_latest_versions": "get_latest_versions",
    "_create_model_version": "create_model_version",
    "_update_model_version": "update_model_version",
    "_transition_stage": "transition_model_version_stage",
    "_delete_model_version": "delete_model_version",
    "_set_registered_model_tag": "set_registered_model_tag",
    "_set_model_version_tag": "set_model_version_tag",
    "_delete_registered_model_tag": "delete_registered_model_tag",
    "_delete_model_version_tag": "delete_model_version_tag",
    "_set_registered_model_alias": "set_registered_model_alias",
    "_delete_registered_model_alias": "delete_registered_model_alias",
    "_create_webhook": "create_webhook",
    "_update_webhook": "update_webhook",
    "_delete_webhook": "delete_webhook",
    "_test_webhook": "test_webhook",
}
# They do not ask the registry's store. Of these docs/threat-model.md tells: workspaces are not opened, and jobs are to
# be given the registry's URI.
ELSEWHERE = {
    "_link_prompts_to_trace",
    "_create_prompt_optimization_job",
    "_search_prompt_optimization_jobs",
    "_cancel_prompt_optimization_job",
    "_delete_prompt_optimization_job",
    "_create_workspace_handler",
    "_update_workspace_handler",
    "_delete_workspace_handler",
}


def test_every_route_of_the_server_that_changes_a_registry_ends_in_a_known_method(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", TELL_ROUTES], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.split()
    assert set(told) == set(ROUTES) | ELSEWHERE
    known = GUARDED | HARMLESS
    assert {method for method in ROUTES.values() if not method.startswith(READS)} <= known


# In a process of its own: MLflow's server is made of globals.
TELL_ROUTES = """
from mlflow.server import app, handlers
from mlflow.server.fastapi_app import create_fastapi_app
from mlflow.server.graphql.graphql_schema_extensions import Mutation
words = ("registered-model", "model-version", "prompt", "webhook", "alias", "workspace")
found = {
    handler.__name__
    for path, handler, methods in handlers.get_endpoints()
    if set(methods) - {"GET"} and any(word in path for word in words)
}
assert set(Mutation._meta.fields) == {"mlflow_search_datasets", "mlflow_search_runs", "testMutation"}
newer = {path for path in create_fastapi_app(app).openapi()["paths"] if any(word in path for word in words)}
assert all("/mlflow/mcp-servers/" in path for path in newer), newer  # a registry of its own, in tables of its own
print(*found)
"""


# -- what is opened -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("uri", ["mysql://host/db", "mssql://host/db", "file:///tmp/x", "/tmp/x", "databricks", ""])
def test_another_kind_of_store_is_not_opened(uri: str) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match="gated: stands in front of sqlite, postgresql, http and https"):
        open_store(f"gated:{uri}")


def test_a_password_is_not_told_where_a_uri_is_refused() -> None:
    with pytest.raises(Exception, match="mysql://host/db") as caught:
        open_store("gated:mysql://ann:hunter2@host/db?password=hunter2")
    assert "hunter2" not in str(caught.value)


def test_where_workspaces_are_enabled_nothing_is_opened(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_WORKSPACES", "true")
    with pytest.raises(Exception, match="gated: knows no workspaces"):
        open_store(f"gated:{place.uri}")


def test_a_store_opens_without_a_configuration_and_warns(
    place: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("GATE_ENFORCEMENT")
    with caplog.at_level(logging.WARNING):
        store = open_store(f"gated:{place.uri}")
    assert "the gate refuses every guarded call until this is mended" in caplog.text
    assert store.search_registered_models() == []


def test_the_journal_is_made_once_and_mlflow_does_not_mind_it(place: Any) -> None:
    from mlflow.store.db.utils import _all_tables_exist, _verify_schema

    place.add_version()
    place.promote(1, None)
    open_store(f"gated:{place.uri}")
    assert [row["action"] for row in place.rows()] == ["set_version_tag", "set_alias"]
    complete: Any = _all_tables_exist
    verify: Any = _verify_schema
    assert complete(place.plain.engine)
    verify(place.plain.engine)


def test_reads_are_mlflows_own() -> None:
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    wrapped = guarded(SqlAlchemyStore)
    for name in dir(SqlAlchemyStore):
        if name.startswith(READS) or name in HARMLESS | THROUGH_GUARDED:
            assert getattr(wrapped, name) is getattr(SqlAlchemyStore, name), name


def test_on_a_client_the_reader_of_the_enforcement_file_is_told_what_is_wrong_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, refused: Callable[..., str]
) -> None:
    monkeypatch.setenv("GATE_ENFORCEMENT", str(tmp_path / "gone.yaml"))
    store = open_store("gated:http://127.0.0.1:9")
    said = refused(store.set_registered_model_alias, "fraud", "champion", "1")
    assert f"{tmp_path}/gone.yaml: no such enforcement file" in said
