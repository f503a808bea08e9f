"""The scheme ``gated:``, an entry point of MLflow: a store for registered models with the gate in front of it.

``mlflow server --registry-store-uri gated:sqlite:///mlflow.db`` enforces for everybody who goes through that server.
``gated:http://host:5000`` on a client only reminds that client: a plain URI goes around it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NoReturn
from urllib.parse import urlsplit

from mlflow.environment_variables import MLFLOW_ENABLE_WORKSPACES
from mlflow.exceptions import MlflowException
from mlflow.store.model_registry.abstract_store import AbstractStore

from gate.errors import UsageError
from gate.plugin.book import Book, RestBook, SqlBook
from gate.plugin.files import ModelFiles
from gate.plugin.gatekeeper import Gatekeeper
from gate.plugin.watched import EnforcementFile
from gate.registry.address import inner, shown

_logger = logging.getLogger(__name__)

READ_REPLICA = "_MLFLOW_SERVER_READ_REPLICA_BACKEND_STORE"
DATABASES = ("sqlite", "postgresql")

# Every public method of MLflow's registry stores is in one of these three, or begins as one that only reads does, or is
# refused: what a later MLflow brings is nothing that the gate could judge.
GUARDED = frozenset(
    {
        "create_model_version",
        "create_registered_model",
        "delete_model_version",
        "delete_model_version_tag",
        "delete_registered_model",
        "delete_registered_model_alias",
        "delete_registered_model_tag",
        "rename_registered_model",
        "set_model_version_tag",
        "set_registered_model_alias",
        "set_registered_model_tag",
        "transition_model_version_stage",
    }
)
# They do all they do to a model by way of a guarded one.
THROUGH_GUARDED = frozenset(
    {
        "copy_model_version",
        "create_prompt",
        "create_prompt_version",
        "delete_prompt",
        "delete_prompt_alias",
        "delete_prompt_tag",
        "delete_prompt_version",
        "delete_prompt_version_tag",
        "set_prompt_alias",
        "set_prompt_tag",
        "set_prompt_version_tag",
    }
)
# They change no alias, stage, name, source or tag of the registry: descriptions, links in the tracking store, webhooks.
HARMLESS = frozenset(
    {
        "create_webhook",
        "delete_webhook",
        "link_prompt_version_to_model",
        "link_prompt_version_to_run",
        "link_prompts_to_trace",
        "supports_workspaces",
        "test_webhook",
        "update_model_version",
        "update_registered_model",
        "update_webhook",
    }
)
READS = ("get_", "list_", "search_")


class Guarded:
    """Stands in front of a class of MLflow's: its guarded methods go past the gatekeeper, all others are untouched."""

    _gatekeeper: Gatekeeper

    def _plainly(self, method: str, *args: Any) -> Callable[[], Any]:
        return partial(getattr(super(), method), *args)

    def create_registered_model(
        self, name: str, tags: Any = None, description: str | None = None, deployment_job_id: str | None = None
    ) -> Any:
        do = self._plainly("create_registered_model", name, tags, description, deployment_job_id)
        return self._gatekeeper.create_model(name, tags, do)

    def rename_registered_model(self, name: str, new_name: str) -> Any:
        return self._gatekeeper.rename(name, new_name, self._plainly("rename_registered_model", name, new_name))

    def delete_registered_model(self, name: str) -> None:
        self._gatekeeper.delete_model(name, self._plainly("delete_registered_model", name))

    def set_registered_model_tag(self, name: str, tag: Any) -> None:
        self._gatekeeper.set_model_tag(name, tag, self._plainly("set_registered_model_tag", name, tag))

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        self._gatekeeper.delete_tag(name, None, key, self._plainly("delete_registered_model_tag", name, key))

    def create_model_version(
        self,
        name: str,
        source: str,
        run_id: str | None = None,
        tags: Any = None,
        run_link: str | None = None,
        description: str | None = None,
        local_model_path: str | None = None,
        model_id: str | None = None,
    ) -> Any:
        rest = (run_link, description, local_model_path, model_id)
        do = self._plainly("create_model_version", name, source, run_id, tags, *rest)
        return self._gatekeeper.create_version(name, source, tags, do)

    def transition_model_version_stage(
        self, name: str, version: Any, stage: str, archive_existing_versions: bool
    ) -> Any:
        do = self._plainly("transition_model_version_stage", name, version, stage, archive_existing_versions)
        return self._gatekeeper.transition_stage(name, version, do)

    def delete_model_version(self, name: str, version: Any) -> None:
        self._gatekeeper.delete_version(name, version, self._plainly("delete_model_version", name, version))

    def set_model_version_tag(self, name: str, version: Any, tag: Any) -> None:
        do = self._plainly("set_model_version_tag", name, version, tag)
        self._gatekeeper.set_version_tag(name, version, tag, do)

    def delete_model_version_tag(self, name: str, version: Any, key: str) -> None:
        do = self._plainly("delete_model_version_tag", name, version, key)
        self._gatekeeper.delete_tag(name, version, key, do)

    def set_registered_model_alias(self, name: str, alias: str, version: Any) -> None:
        do = self._plainly("set_registered_model_alias", name, alias, version)
        self._gatekeeper.set_alias(name, alias, version, do)

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        do = self._plainly("delete_registered_model_alias", name, alias)
        self._gatekeeper.delete_alias(name, alias, do)


def open_store(store_uri: str, tracking_uri: str | None = None) -> Any:
    """The store behind ``gated:URI`` with the gate in front of it; MLflow calls this, the entry point.

    ``URI`` is a SQLite or PostgreSQL database, or a server (http, https). What is protected is read from the file that
    ``GATE_ENFORCEMENT`` names, at each guarded call and not here: without it the store opens, reads and refuses.
    MlflowException for any other URI, and where MLflow's workspaces are enabled, which the gate does not guard.

    Example::

        open_store("gated:sqlite:///mlflow.db").get_registered_model("fraud")
    """
    uri = inner(store_uri)
    scheme = urlsplit(uri).scheme.partition("+")[0]
    if MLFLOW_ENABLE_WORKSPACES.get():
        raise MlflowException.invalid_parameter_value(
            "gated: knows no workspaces: one can be deleted with the models in it, past the registry store"
        )
    if scheme in DATABASES:
        from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

        store: Any = guarded(SqlAlchemyStore)(uri, read_db_uri=os.environ.get(READ_REPLICA))
        book: Book = SqlBook(store)
    elif scheme in ("http", "https"):
        from mlflow.store.model_registry.rest_store import RestStore
        from mlflow.utils.credentials import get_default_host_creds

        store = guarded(RestStore)(partial(get_default_host_creds, uri))
        book = RestBook(store)
    else:
        raise MlflowException.invalid_parameter_value(
            f"gated: stands in front of {', '.join(DATABASES)}, http and https; found {shown(uri)!r}"
        )
    enforcement = EnforcementFile()
    store._gatekeeper = Gatekeeper(
        store, book, ModelFiles(store, uri, tracking_uri or uri), enforcement, at_home=isinstance(book, RestBook)
    )
    try:
        enforcement.now()
    except UsageError as error:
        _logger.warning("the gate refuses every guarded call until this is mended:\n%s", error)
    return store


@cache
def guarded(base: type) -> type:
    """A subclass of a store's class with the gate in front of it."""
    refused = {name: _refusal(name) for name in unknown_methods(base)}
    return type(f"Gated{base.__name__}", (Guarded, base), refused)


def unknown_methods(base: type) -> frozenset[str]:
    """The public methods of a store's class of which the gate does not know that they pass it by harmlessly.

    >>> from mlflow.store.model_registry.abstract_store import AbstractStore
    >>> sorted(unknown_methods(AbstractStore))
    []
    """
    found = set()
    for name in dir(base):
        if name.startswith("_") or name in GUARDED | HARMLESS or name.startswith(READS):
            continue
        # MLflow lets a store do these in a way of its own, which need not lead through a guarded method.
        inherited = name in THROUGH_GUARDED and getattr(base, name) is getattr(AbstractStore, name)
        if not inherited and callable(getattr(base, name)):
            found.add(name)
    return frozenset(found)


def _refusal(method: str) -> Callable[..., NoReturn]:
    def refuse(self: Guarded, *args: Any, **kwargs: Any) -> NoReturn:
        self._gatekeeper.unknown(method)

    return refuse
