"""Ask the registry for one model: a version, an alias, the newest, a logged model, a model of a run.

What is not there is told together with what is; that something is not there is believed only of the store's own word
for it, never of an error.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from mlflow.exceptions import MlflowException

from gate.errors import EvidenceError, UsageError, did_you_mean
from gate.registry.connection import Connection
from gate.registry.refs import Asked, MissingAlias, ModelRef, parse_ref
from gate.registry.troubles import is_missing

# A copy of a copy of a copy: followed this far.
LONGEST_CHAIN = 10

_NEWEST_SHOWN = 8
_MOST_NAMES = 1000
_LARGEST_VERSION = 2**31 - 1  # the column is a 32-bit integer, and a database asked for more fails in its own words


def resolve(connection: Connection, asked: Asked, where: str) -> ModelRef:
    """The one model that was asked for; see :meth:`gate.registry.registry.Registry.resolve`.

    Example::

        resolve(connection, parse_ref("@champion", model="fraud", role="incumbent"), "incumbent models:/fraud@champion")
    """
    if asked.model_id:
        return _of_logged_model(connection, asked.model_id, where)
    if asked.run_id:
        return _of_run(connection, asked, where)
    if asked.version is not None:
        found = version(connection, asked.name, asked.version, where)
    elif asked.alias is not None:
        found = aliased(connection, asked.name, asked.alias, where)
    else:
        found = _newest(connection, asked, where)
    return _of_version(connection, found, asked, where)


def version(connection: Connection, name: str, number: int, where: str) -> Any:
    """MLflow's model version; one that is not there raises :class:`~gate.errors.EvidenceError`."""
    with connection.told(where):
        try:
            if number <= _LARGEST_VERSION:
                found = connection.patiently(lambda: connection.client.get_model_version(name, str(number)))
                if found.name == name and connection.number(found.version, where) == number:
                    return found
                raise connection.not_mlflow(where)
        except MlflowException as error:
            if not is_missing(error):
                raise
    registered_model(connection, name, where)
    raise EvidenceError(f"no version {number}", where=where, hint=_versions_there(connection, name, where))


def aliased(connection: Connection, name: str, alias: str, where: str) -> Any:
    """MLflow's model version that an alias points to; :class:`MissingAlias` if the model has no such alias."""
    if alias.lower() == "latest":
        raise UsageError("'latest' is no alias but MLflow's word for the newest version", where=where)
    with connection.told(where):
        try:
            found = connection.patiently(lambda: connection.client.get_model_version_by_alias(name, alias))
            if found.name != name:
                raise connection.not_mlflow(where)
            return found
        except MlflowException as error:
            # MLflow says "invalid parameter" of an alias that is not there, and of much else: only the model itself,
            # read afresh, can tell.
            if not is_missing(error) and error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            aliases: Mapping[str, Any] = registered_model(connection, name, where).aliases
            if alias in aliases:
                raise
    hint = f"aliases: {', '.join(sorted(aliases))}" if aliases else f"models:/{name} has no aliases"
    raise MissingAlias(f"no alias {alias!r}{did_you_mean(alias, aliases)}", where=where, hint=hint)


def registered_model(connection: Connection, name: str, where: str) -> Any:
    """MLflow's registered model, its aliases and tags in one answer; one that is not there raises
    :class:`~gate.errors.EvidenceError`."""
    with connection.told(where):
        try:
            found = connection.patiently(lambda: connection.client.get_registered_model(name))
            if found.name != name:
                raise connection.not_mlflow(where)
            return found
        except MlflowException as error:
            if not is_missing(error):
                raise
        names = [each.name for each in connection.client.search_registered_models(max_results=_MOST_NAMES)]
    raise EvidenceError(
        f"no model {name!r} in {connection.uri}{did_you_mean(name, names)}",
        where=where,
        hint="" if names else "this registry is empty",
    )


def logged_model(connection: Connection, model_id: str, where: str) -> Any:
    """MLflow's logged model; one that is not there raises :class:`~gate.errors.EvidenceError`."""
    with connection.told(where, connection.tracking_uri):
        try:
            found = connection.client.get_logged_model(model_id)
            if found.model_id != model_id:
                raise connection.not_mlflow(where, connection.tracking_uri)
            return found
        except MlflowException as error:
            if not is_missing(error):
                raise
    raise EvidenceError(f"no logged model {model_id!r} in {connection.tracking_uri}", where=where)


def model_of_run(connection: Connection, asked: Asked, where: str) -> tuple[str, str | None]:
    """Where the files of ``runs:/ID/PATH`` are, and the model's id: those of the logged model of that name, or else a
    folder of the run's own artifacts, which has no id.

    EvidenceError where there are both: MLflow loads the one or the other, by the way that it is asked.
    """
    with connection.told(where, connection.tracking_uri):
        try:
            run = connection.client.get_run(asked.run_id or "")
        except MlflowException as error:
            if not is_missing(error):
                raise
            raise EvidenceError(f"no run {asked.run_id!r} in {connection.tracking_uri}", where=where) from None
        if run.info.run_id != asked.run_id:
            raise connection.not_mlflow(where, connection.tracking_uri)
        name, _, inside = asked.path.partition("/")
        token: str | None = None
        while "'" not in name:  # MLflow's filters have no way to write one
            page = connection.client.search_logged_models(
                experiment_ids=[run.info.experiment_id], filter_string=f"name = '{name}'", page_token=token
            )
            for model in page:
                if model.source_run_id == asked.run_id:
                    _no_folder_too(connection, f"{run.info.artifact_uri.rstrip('/')}/{name}", asked, where)
                    location = model.artifact_location.rstrip("/")
                    return (f"{location}/{inside}" if inside else location), model.model_id
            token = page.token
            if not token:
                break
        location = f"{run.info.artifact_uri.rstrip('/')}/{asked.path}"
        if not connection.artifacts(location).list_artifacts():
            raise EvidenceError(f"run {asked.run_id} has no model {asked.path!r}", where=where)
        return location, None


def _no_folder_too(connection: Connection, folder: str, asked: Asked, where: str) -> None:
    if connection.artifacts(folder).list_artifacts():
        raise EvidenceError(
            f"run {asked.run_id} has a logged model and a folder of artifacts, both called {asked.path!r}",
            where=where,
            hint="which of them is loaded is not certain: register the logged model by its own URI, models:/m-...",
        )


def _newest(connection: Connection, asked: Asked, where: str) -> Any:
    registered_model(connection, asked.name, where)
    with connection.told(where):
        if asked.latest:
            found = _newest_versions(connection, asked.name, 1)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # stages are deprecated, and still in use
                found = connection.client.get_latest_versions(asked.name, [asked.stage or "None"])
    if not found:
        what = f"no version in stage {asked.stage!r}" if asked.stage else "no versions yet"
        raise EvidenceError(what, where=where, hint=_versions_there(connection, asked.name, where))
    return max(found, key=lambda each: connection.number(each.version, where))


def _newest_versions(connection: Connection, name: str, count: int) -> list[Any]:
    quote = '"' if "'" in name else "'"
    return list(
        connection.client.search_model_versions(
            f"name={quote}{name}{quote}", max_results=count, order_by=["version_number DESC"]
        )
    )


def _versions_there(connection: Connection, name: str, where: str) -> str:
    with connection.told(where):
        found = _newest_versions(connection, name, _NEWEST_SHOWN + 1)
    if not found:
        return f"models:/{name} has no versions"
    more = ", ..." if len(found) > _NEWEST_SHOWN else ""
    return f"versions: {', '.join(str(each.version) for each in found[:_NEWEST_SHOWN])}{more}"


def _of_version(connection: Connection, found: Any, asked: Asked, where: str) -> ModelRef:
    if found.status != "READY":
        why = f": {found.status_message}" if found.status_message else ""
        raise EvidenceError(f"the version is {found.status}, not READY{why}", where=where)
    number = connection.number(found.version, where)
    return ModelRef(
        uri=f"models:/{asked.name}/{number}",
        name=asked.name,
        version=number,
        alias=asked.alias,
        model_id=_model_id(connection, found, where),
        run_id=found.run_id or None,
        source=connection.shown(found.source) if found.source else None,
    )


def _model_id(connection: Connection, found: Any, where: str) -> str | None:
    # Versions registered by URI know their model only by their source; copies know their original.
    for _ in range(LONGEST_CHAIN):
        if found.model_id:
            return str(found.model_id)
        if not (found.source or "").startswith("models:"):
            return None
        source = parse_ref(found.source, model=None, role=where)
        if source.model_id or source.version is None:
            return source.model_id
        try:
            with connection.told(where):
                found = connection.client.get_model_version(source.name, str(source.version))
        except EvidenceError:
            return None  # the original may be deleted since: the copy stands, only its link is lost
    return None


def _of_logged_model(connection: Connection, model_id: str, where: str) -> ModelRef:
    model = logged_model(connection, model_id, where)
    if str(model.status) != "READY":
        raise EvidenceError(f"the logged model is {model.status}, not READY", where=where)
    return ModelRef(
        uri=f"models:/{model_id}",
        model_id=model_id,
        run_id=model.source_run_id or None,
        source=connection.shown(model.artifact_location),
        not_promotable_because="a logged model, not a version of a registered one",
    )


def _of_run(connection: Connection, asked: Asked, where: str) -> ModelRef:
    location, model_id = model_of_run(connection, asked, where)
    return ModelRef(
        uri=asked.uri,
        model_id=model_id,
        run_id=asked.run_id,
        source=connection.shown(location),
        not_promotable_because="a model of a run, not a version of a registered one",
    )
