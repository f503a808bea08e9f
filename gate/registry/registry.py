"""One MLflow: resolve what a user calls a model, fetch its files, read and move aliases, log what was found."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gate.registry.address import find_address, require_store
from gate.registry.refs import MissingAlias, ModelRef, parse_ref

if TYPE_CHECKING:
    from gate.registry.connection import Connection
    from gate.registry.journal import Attempt
    from gate.registry.lease import Lease

__all__ = ["MissingAlias", "ModelRef", "Registry", "Standing"]

# Set where the user has not: patient enough for a hiccup, not for minutes; quiet; and nothing sent to anybody.
_MANNERS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}


@dataclass(frozen=True)
class Standing:
    """How a registered model stood at one moment: which version each alias is, and its tags."""

    aliases: Mapping[str, int]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Registry:
    """A registry that is open; made by :meth:`connect`.

    Versions are integers here, whatever the store answers. Everything that goes wrong raises
    :class:`~gate.errors.EvidenceError` (exit code 12), or :class:`~gate.errors.UsageError` (2) for what cannot be
    meant; no message holds a password. No global of MLflow is changed, so several may be open at once; defaults are
    set in the environment of the process (retries, time limits, silence) where they are unset. MLflow is imported on
    connecting, which takes seconds, and not before.

    Example::

        registry = Registry.connect("sqlite:///mlflow.db", None)
        candidate = registry.resolve("7", model="fraud", role="candidate")
        digest = model_digest(registry.download(candidate, Path("candidate")))
    """

    _connection: Connection

    @staticmethod
    def connect(registry_uri: str | None, tracking_uri: str | None) -> Registry:
        """Open the registry that is named, or the one of MLFLOW_REGISTRY_URI and MLFLOW_TRACKING_URI.

        A server is not asked anything yet. None named at all raises :class:`~gate.errors.UsageError`; a database that
        is absent or would have to be migrated raises :class:`~gate.errors.EvidenceError` and stays as it is.
        """
        address = find_address(registry_uri, tracking_uri)
        for setting, value in _MANNERS.items():
            os.environ.setdefault(setting, value)
        for uri in dict.fromkeys((address.registry, address.tracking)):
            require_store(uri)
        from gate.registry.connection import Connection

        return Registry(Connection.open(address))

    @property
    def uri(self) -> str:
        """The registry's URI, without secrets."""
        return self._connection.uri

    @property
    def tracking_uri(self) -> str:
        """The tracking store's URI, without secrets."""
        return self._connection.tracking_uri

    def resolve(self, ref: str, *, model: str | None, role: str) -> ModelRef:
        """Find the one model that ``ref`` means now.

        ``ref`` is ``7``, ``@champion`` or ``latest`` of ``model``, or a full ``models:/NAME/7``,
        ``models:/NAME@ALIAS``, ``models:/NAME/latest``, ``models:/NAME/STAGE``, ``models:/m-ID``, ``runs:/ID/PATH``,
        which carries its own name. ``role`` (candidate, incumbent) opens every message. An alias that the model does
        not have raises :class:`MissingAlias`; all else that is not there, or not ready,
        :class:`~gate.errors.EvidenceError`; what is no reference, :class:`~gate.errors.UsageError`.
        """
        from gate.registry import lookup

        asked = parse_ref(ref, model=model, role=role)
        return lookup.resolve(self._connection, asked, f"{role} {asked.uri}")

    def download(self, ref: ModelRef, to: Path, arrived: Callable[[int, int | None], None] | None = None) -> Path:
        """Copy a model's files into the folder ``to``, made if absent, and return it.

        Always a copy, even from a local store, whose own folder is only read. What
        :func:`~gate.registry.manifest.model_digest` leaves out is left out of the copy, so that nothing runs that was
        not digested. A folder that is not empty raises :class:`~gate.errors.UsageError`; files that are not there, or
        no model among them, :class:`~gate.errors.EvidenceError`.
        ``arrived`` is told from a thread how many bytes are there, and how many there are in all, None if unknown.
        """
        from gate.registry import files

        return files.download(self._connection, ref, Path(to), arrived)

    def alias_version(self, model: str, alias: str) -> int | None:
        """The version that an alias points to; None if the model is there and has no such alias."""
        from gate.registry import lookup

        where = f"models:/{model}@{alias}"
        try:
            return self._connection.number(lookup.aliased(self._connection, model, alias, where).version, where)
        except MissingAlias:
            return None

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Point an alias at a version, whatever it pointed to before: MLflow has no compare-and-set."""
        from gate.registry import lookup

        where = f"models:/{model}@{alias}"
        lookup.version(self._connection, model, version, where)
        client = self._connection.client
        with self._connection.told(where):
            self._connection.patiently(lambda: client.set_registered_model_alias(model, alias, str(version)))

    def delete_alias(self, model: str, alias: str) -> None:
        """Take an alias away. One that is not there is no error; a model that is not there is."""
        if self.alias_version(model, alias) is not None:
            client = self._connection.client
            with self._connection.told(f"models:/{model}@{alias}"):
                self._connection.patiently(lambda: client.delete_registered_model_alias(model, alias))

    def tag_version(self, model: str, version: int, tags: Mapping[str, str]) -> None:
        """Set tags of a version, one after the other in the order of their names."""
        from gate.registry import lookup

        where = f"models:/{model}/{version}"
        lookup.version(self._connection, model, version, where)
        set_tag = self._connection.client.set_model_version_tag
        with self._connection.told(where):
            for key in sorted(tags):
                self._connection.patiently(partial(set_tag, model, str(version), key, tags[key]))

    def version_tags(self, model: str, version: int) -> dict[str, str]:
        """The tags of a version; one that is not there raises :class:`~gate.errors.EvidenceError`."""
        from gate.registry import lookup

        return dict(lookup.version(self._connection, model, version, f"models:/{model}/{version}").tags)

    def standing(self, model: str) -> Standing:
        """The aliases and the tags of a registered model, as one answer of the registry."""
        from gate.registry import lookup

        where = f"models:/{model}"
        found = lookup.registered_model(self._connection, model, where)
        aliases = {alias: self._connection.number(at, where) for alias, at in found.aliases.items()}
        return Standing(aliases, dict(found.tags))

    def tag_model(self, model: str, key: str, value: str) -> None:
        """Set a tag of a registered model."""
        client = self._connection.client
        with self._connection.told(f"models:/{model}"):
            self._connection.patiently(lambda: client.set_registered_model_tag(model, key, value))

    def untag_model(self, model: str, key: str) -> None:
        """Take a tag of a registered model away. One that is not there is no error."""
        client = self._connection.client
        with self._connection.told(f"models:/{model}"):
            self._connection.patiently(lambda: client.delete_registered_model_tag(model, key))

    def lease(self, model: str, alias: str, *, purpose: str, by: str) -> AbstractContextManager[Lease]:
        """The right to move an alias, held inside; see :func:`gate.registry.lease.lease`."""
        from gate.registry.lease import lease

        return lease(_Tags(self, model), alias, purpose=purpose, by=by, where=f"models:/{model}@{alias}")

    def sweep(self, model: str, alias: str) -> None:
        """Take away what a process that died left behind of its right to move an alias, if there is anything."""
        from gate.registry.lease import sweep

        sweep(_Tags(self, model), alias)

    def journal(self, model: str, alias: str) -> tuple[Attempt, ...] | None:
        """What an enforcing store wrote down of an alias, oldest first; None where there is no journal to be read.

        A journal lies in the registry's database: over REST nobody sees it.
        """
        from gate.registry.journal import read_journal

        address = self._connection.address
        return read_journal(address.registry, model, alias, address.without_secrets)

    def log_run(
        self,
        *,
        name: str,
        experiment: str = "gate",
        params: Mapping[str, object] | None = None,
        tags: Mapping[str, str] | None = None,
        metrics: Mapping[str, float | None] | None = None,
        model_id: str | None = None,
        dataset_name: str | None = None,
        dataset_digest: str | None = None,
        artifacts: Mapping[str, bytes] | None = None,
    ) -> str:
        """Log a finished run to the tracking store and return its id; :class:`~gate.registry.runs.RunRecord` says
        what becomes of each part. Nothing is printed.
        """
        from gate.registry.runs import RunRecord, log_run

        record = RunRecord(
            name=name,
            experiment=experiment,
            params=params or {},
            tags=tags or {},
            metrics=metrics or {},
            model_id=model_id,
            dataset_name=dataset_name,
            dataset_digest=dataset_digest,
            artifacts=artifacts or {},
        )
        return log_run(self._connection, record)

    def uses(self, experiment: str, holdout_digest: str, but: str | None) -> int:
        """How many models were judged on a held-out set before, by the runs of an experiment.

        Counts the different digests of candidates, without the one of ``but``: judging the same model again is no new
        look. An experiment that does not exist has no runs.
        """
        from gate.registry.runs import uses

        return uses(self._connection, experiment, holdout_digest, but)


@dataclass(frozen=True)
class _Tags:
    """The tags of one registered model, as the place where claims hang."""

    registry: Registry
    model: str

    def read(self) -> Mapping[str, str]:
        return self.registry.standing(self.model).tags

    def write(self, name: str, value: str) -> None:
        self.registry.tag_model(self.model, name, value)

    def remove(self, name: str) -> None:
        self.registry.untag_model(self.model, name)
