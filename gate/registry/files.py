"""Fetch a model's files: always a copy, from wherever the registry's chain of sources ends."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from gate.errors import EvidenceError, UsageError
from gate.registry.arriving import Arrived, arriving
from gate.registry.connection import Connection
from gate.registry.lookup import LONGEST_CHAIN, logged_model, model_of_run
from gate.registry.manifest import DOWNLOAD_NOTE
from gate.registry.refs import ModelRef, parse_ref


def download(connection: Connection, ref: ModelRef, to: Path, arrived: Arrived | None = None) -> Path:
    """Copy a model's files into the folder ``to``; see :meth:`gate.registry.registry.Registry.download`.

    Example::

        download(connection, ref, Path("candidate")) / "MLmodel"
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UsageError("the folder to download to is not empty", where=str(to), hint="name a new one")
    location = _location(connection, ref)
    with connection.told(ref.uri):
        to.mkdir(parents=True, exist_ok=True)
        # MLflow needs the destination: without one a local store hands out its own folder, and writes into it.
        artifacts = connection.artifacts(location)
        with arriving(to, connection.artifacts(location), arrived) if arrived else nullcontext():
            artifacts.download_artifacts("", dst_path=str(to))
    if not (to / "MLmodel").is_file():
        raise EvidenceError(
            f"no model (no file MLmodel) at {connection.shown(location)}",
            where=ref.uri,
            hint="are the artifacts of this registry reachable from this machine?",
        )
    (to / DOWNLOAD_NOTE).unlink(missing_ok=True)
    return to


def _location(connection: Connection, ref: ModelRef) -> str:
    # Followed here and not by MLflow, which would ask its global URIs, and make a database if they are unset.
    asked = parse_ref(ref.uri, model=None, role=ref.uri)
    for _ in range(LONGEST_CHAIN):
        if asked.run_id:
            location, _model_id = model_of_run(connection, asked, ref.uri)
        elif asked.model_id:
            location = str(logged_model(connection, asked.model_id, ref.uri).artifact_location)
        elif asked.version is not None:
            with connection.told(ref.uri):
                location = str(connection.client.get_model_version_download_uri(asked.name, str(asked.version)))
        else:
            raise UsageError("not a resolved model", where=ref.uri, hint="resolve it to a version first")
        if not location:
            raise connection.not_mlflow(ref.uri)
        if not location.startswith(("models:", "runs:")):
            return location
        asked = parse_ref(location, model=None, role=ref.uri)
    raise EvidenceError("its source leads from version to version without an end", where=ref.uri)
