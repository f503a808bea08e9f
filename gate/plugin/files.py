"""The digest of a version's files, taken where the registry runs: of what a consumer of the version would load.

It is the same as ``gate check`` records over REST. What the server serves as ``mlflow-artifacts:`` is read from where
it keeps it; everything else is fetched as a client would.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from mlflow import MlflowClient
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.uri import append_to_uri_path, validate_path_is_safe

from gate.errors import EvidenceError
from gate.registry.address import Address, require_store
from gate.registry.connection import Connection
from gate.registry.files import download
from gate.registry.manifest import model_digest
from gate.registry.refs import ModelRef

# What `mlflow server` tells its workers: where its runs are, whether it serves artifacts, and where it keeps them.
BACKEND_STORE = "_MLFLOW_SERVER_FILE_STORE"
SERVE_ARTIFACTS = "_MLFLOW_SERVER_SERVE_ARTIFACTS"
ARTIFACTS_DESTINATION = "_MLFLOW_SERVER_ARTIFACT_DESTINATION"


class ModelFiles:
    """The files of the versions of one registry; ``store`` is asked where they are, the tracking store for the rest.

    Example::

        ModelFiles(store, "sqlite:///mlflow.db", "sqlite:///mlflow.db").digest("fraud", 7)
    """

    def __init__(self, store: Any, registry_uri: str, tracking_uri: str) -> None:
        address = Address(registry_uri, os.environ.get(BACKEND_STORE) or tracking_uri)
        client = _Asked(store.get_model_version_download_uri, address.tracking)
        self._connection = _ServersConnection(address, cast(MlflowClient, client))

    def digest(self, model: str, version: int) -> str:
        """The SHA-256 over a version's files as they are now; EvidenceError where they cannot be had."""
        ref = ModelRef(uri=f"models:/{model}/{version}", name=model, version=version)
        with tempfile.TemporaryDirectory(prefix="gate-") as folder:
            return model_digest(download(self._connection, ref, Path(folder) / "model"))


class _Asked:
    """What a download asks of a client, answered by the stores of this process."""

    def __init__(self, download_uri: Callable[[str, str], str], tracking_uri: str) -> None:
        self.get_model_version_download_uri = download_uri
        self._tracking_uri = tracking_uri
        self._tracking: Any = None

    def __getattr__(self, name: str) -> Any:
        # Runs and logged models: rarely asked for, since a version knows where its files are.
        if self._tracking is None:
            self._tracking = _tracking_store(self._tracking_uri)
        return getattr(self._tracking, name)


def _tracking_store(uri: str) -> Any:
    if os.environ.get(BACKEND_STORE):
        from mlflow.server.handlers import _get_tracking_store

        return _get_tracking_store()
    require_store(uri)
    return MlflowClient(tracking_uri=uri)


class _ServersConnection(Connection):
    @property
    def uri(self) -> str:
        """What clients are told: where the server keeps its database is not their business."""
        return "the enforcing registry"

    @property
    def tracking_uri(self) -> str:
        """What clients are told."""
        return "its tracking store"

    def artifacts(self, location: str) -> Any:
        parts = urlsplit(location)
        if parts.scheme != "mlflow-artifacts" or self.address.artifacts.startswith(("http:", "https:")):
            return super().artifacts(location)
        kept = os.environ.get(ARTIFACTS_DESTINATION) if os.environ.get(SERVE_ARTIFACTS) == "true" else None
        if parts.netloc or not kept:
            raise EvidenceError("its files are served by another server than this", where=self.shown(location))
        return get_artifact_repository(append_to_uri_path(kept, validate_path_is_safe(parts.path.lstrip("/"))))
