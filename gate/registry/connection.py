"""An open connection to one MLflow: its client, its artifacts, and its troubles in words."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from gate.errors import EvidenceError
from gate.registry.address import Address, shown
from gate.registry.troubles import is_locked, told

# Beyond the time that MLflow itself waits for a lock.
_PATIENCE = 30.0

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Connection:
    """A client of one MLflow, which is given both URIs, so that MLflow's globals are neither asked nor changed.

    Example::

        with connection.told("candidate models:/fraud/7"):
            connection.client.get_model_version("fraud", "7")
    """

    address: Address
    client: MlflowClient = field(repr=False, compare=False)

    @staticmethod
    def open(address: Address) -> Connection:
        """Make the client. A server is not asked yet; a database is opened, so it must be there."""
        for noisy in ("alembic", "mlflow.store"):
            logger = logging.getLogger(noisy)
            if logger.level == logging.NOTSET:
                logger.setLevel(logging.WARNING)
        with told("connecting", shown(address.tracking), address.without_secrets):
            return Connection(address, MlflowClient(tracking_uri=address.tracking, registry_uri=address.registry))

    @property
    def uri(self) -> str:
        """The registry's URI, without secrets."""
        return shown(self.address.registry)

    @property
    def tracking_uri(self) -> str:
        """The tracking store's URI, without secrets."""
        return shown(self.address.tracking)

    def told(self, where: str, uri: str = "") -> AbstractContextManager[None]:
        """What MLflow raises inside becomes an :class:`~gate.errors.EvidenceError`; ``uri`` is the registry's."""
        return told(where, uri or self.uri, self.address.without_secrets)

    @staticmethod
    def patiently(call: Callable[[], Answer]) -> Answer:
        """The answer to a question or command that may be repeated; asked again and again while SQLite is locked.

        Many processes on one file get in each other's way. Without patience one of them would take "busy" for an
        answer.
        """
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                return call()
            except MlflowException as error:
                if not is_locked(error) or time.monotonic() > end:
                    raise
            time.sleep(0.05 + 0.2 * random.random())

    def shown(self, location: str) -> str:
        """Where files are, without secrets."""
        return self.address.without_secrets(shown(location))

    def artifacts(self, location: str) -> Any:
        """MLflow's repository of the files at a location (not a ``models:`` or ``runs:`` URI)."""
        return get_artifact_repository(location, tracking_uri=self.address.artifacts)

    def number(self, version: Any, where: str) -> int:
        """A version as an integer: it is one through sqlite, text over REST, and anything from another server."""
        try:
            return int(version)
        except (TypeError, ValueError):
            raise self.not_mlflow(where) from None

    def not_mlflow(self, where: str, uri: str = "") -> EvidenceError:
        """The error for an answer that is not the one to the question."""
        found = f"what answers at {uri or self.uri} is no MLflow registry"
        return EvidenceError(found, where=where, hint="check the URI")
