"""The record of a check as an MLflow run: parameters, metrics of the candidate, the decision and its reports."""

from __future__ import annotations

import json
import math
import posixpath
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, LoggedModelInput, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from gate.errors import EvidenceError, UsageError
from gate.registry.connection import Connection
from gate.registry.troubles import is_missing

if TYPE_CHECKING:
    from gate.registry.registry import Registry

# What MLflow takes at most: in one call, in a parameter, in a tag, in the digest and the name of a data set.
_PARAMS_A_CALL = 100
_METRICS_A_CALL = 1000
_PARAM_LENGTH = 6000
_TAG_LENGTH = 8000
_DIGEST_LENGTH = 36
_DATASET_NAME_LENGTH = 500
_KEY_LENGTH = 250

TABLES_TAG = "mlflow.loggedArtifacts"
"""The tag by which MLflow knows which JSON files of a run its UI and ``mlflow.load_table`` can show as tables."""

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class RunRecord:
    """What one run is to say.

    ``metrics`` that are None, NaN or infinite are left out: MLflow would show a zero. They are linked to ``model_id``
    (the candidate) where the tracking store knows that model, and to the data set where ``dataset_digest`` is given,
    of which MLflow keeps the first 36 characters. ``artifacts`` are relative paths with ``/`` and their bytes.
    """

    name: str
    experiment: str = "gate"
    params: Mapping[str, object] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    model_id: str | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None
    artifacts: Mapping[str, bytes] = field(default_factory=dict)


def log_run(connection: Connection, record: RunRecord) -> str:
    """Write a finished run to the tracking store, and return its id.

    The experiment is made if absent. A run that cannot be written to its end is marked as failed. An artifact path
    that leaves the run raises :class:`~gate.errors.UsageError`, everything else that goes wrong
    :class:`~gate.errors.EvidenceError`.

    Example::

        log_run(connection, RunRecord("fraud 7 against 6", metrics={"nfr": 0.02}, artifacts={"decision.json": b"{}"}))
    """
    paths = [_inside(path) for path in record.artifacts]
    client = connection.client
    where = f"logging to experiment {record.experiment!r}"
    with connection.told(where, connection.tracking_uri):
        experiment_id = _experiment_id(connection, record.experiment, where)
        run_id: str = client.create_run(experiment_id, run_name=record.name).info.run_id
        if not run_id:
            raise connection.not_mlflow(where, connection.tracking_uri)
        try:
            links = _Links.of(client, record)
            links.log(client, run_id)
            _log(client, run_id, record, links)
            _log_artifacts(client, run_id, dict(zip(paths, record.artifacts.values(), strict=True)))
            client.set_terminated(run_id, "FINISHED")
        except BaseException:
            with suppress(Exception):  # the first error is the one to tell
                client.set_terminated(run_id, "FAILED")
            raise
    return run_id


def add_to_run(registry: Registry, run_id: str, record: RunRecord) -> None:
    """Write into a run that somebody else started, and leave it as it is else: running, with its name and inputs.

    Tables are added to those that the run has. Errors: as :func:`log_run`.

    Example::

        add_to_run(registry, mlflow.active_run().info.run_id, RunRecord("", metrics={"gate.nfr": 0.02}))
    """
    connection = registry._connection
    client = connection.client
    paths = [_inside(path) for path in record.artifacts]
    with connection.told(f"logging to run {run_id}", connection.tracking_uri):
        if TABLES_TAG in record.tags:
            there = client.get_run(run_id).data.tags.get(TABLES_TAG, "[]")
            record = replace(record, tags={**record.tags, TABLES_TAG: _with_tables(there, record.tags[TABLES_TAG])})
        # First what it rests on: no verdict stands in a run without its evidence.
        _log_artifacts(client, run_id, dict(zip(paths, record.artifacts.values(), strict=True)))
        _log(client, run_id, record, _Links.of(client, record))


def tables_tag(paths: Iterable[str]) -> dict[str, str]:
    """The tag that makes tables of these JSON artifacts; none where there are none.

    >>> tables_tag(["flips.json"])
    {'mlflow.loggedArtifacts': '[{"path": "flips.json", "type": "table"}]'}
    """
    listed = [{"path": path, "type": "table"} for path in paths]
    return {TABLES_TAG: json.dumps(listed)} if listed else {}  # with these spaces: MLflow searches for the text


def _with_tables(there: str, new: str) -> str:
    try:
        known = json.loads(there)
    except ValueError:
        return new
    return json.dumps([*known, *(one for one in json.loads(new) if one not in known)])


def metric_key(name: str) -> str:
    """A name that MLflow accepts for a metric: other characters than letters, digits and ``_-. :/`` become ``_``.

    >>> metric_key("nfr of <script>")
    'nfr of _script_'
    """
    key = re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII)[:_KEY_LENGTH] or "_"
    # MLflow takes a key for a path, and refuses one that is not in its simplest form.
    return key if posixpath.normpath(key) == key and not key.startswith(("/", "..")) else re.sub(r"[/.]", "_", key)


@dataclass(frozen=True)
class _Links:
    """What the metrics of a run belong to: a logged model, and a data set by name and digest."""

    model_id: str | None
    dataset: tuple[str, str] | None

    @classmethod
    def of(cls, client: MlflowClient, record: RunRecord) -> _Links:
        model_id = record.model_id if record.model_id and _knows(client, record.model_id) else None
        if not record.dataset_digest:
            return cls(model_id, None)
        name = (record.dataset_name or "held-out set")[:_DATASET_NAME_LENGTH]
        return cls(model_id, (name, record.dataset_digest[:_DIGEST_LENGTH]))

    def log(self, client: MlflowClient, run_id: str) -> None:
        """Make them the inputs of the run."""
        if self.dataset or self.model_id:
            # A data set of type "local" with no source of its own: the URI may not be known outside, the digest is.
            inputs = [DatasetInput(Dataset(*self.dataset, "local", "{}"))] if self.dataset else []
            client.log_inputs(run_id, inputs, [LoggedModelInput(self.model_id)] if self.model_id else [])


def _log(client: MlflowClient, run_id: str, record: RunRecord, to: _Links) -> None:
    now = int(time.time() * 1000)
    name, digest = to.dataset or (None, None)
    metrics = [
        Metric(key, value, now, 0, model_id=to.model_id, dataset_name=name, dataset_digest=digest)
        for key, value in logged_metrics(record.metrics).items()
    ]
    for some in _portions(metrics, _METRICS_A_CALL):
        client.log_batch(run_id, metrics=some, synchronous=True)
    params = [Param(metric_key(key), str(value)[:_PARAM_LENGTH]) for key, value in record.params.items()]
    for few in _portions(params, _PARAMS_A_CALL):
        client.log_batch(run_id, params=few, synchronous=True)
    tags = [RunTag(metric_key(key), str(value)[:_TAG_LENGTH]) for key, value in record.tags.items()]
    for each in _portions(tags, _PARAMS_A_CALL):
        client.log_batch(run_id, tags=each, synchronous=True)


HOLDOUT_TAG = "gate.holdout_digest"
CANDIDATE_TAG = "gate.candidate_digest"


def uses(connection: Connection, experiment: str, holdout_digest: str, but: str | None) -> int:
    """How many different candidates, ``but`` aside, the runs of an experiment judged on one held-out set."""
    candidates: set[str] = set()
    with connection.told(f"counting the uses of the held-out set in {experiment!r}", connection.tracking_uri):
        found = connection.client.get_experiment_by_name(experiment)
        if found is None:
            return 0
        token: str | None = None
        while True:
            page = connection.client.search_runs(
                [found.experiment_id],
                filter_string=f"tags.`{HOLDOUT_TAG}` = '{holdout_digest}'",
                max_results=1000,
                page_token=token,
            )
            candidates |= {run.data.tags[CANDIDATE_TAG] for run in page if CANDIDATE_TAG in run.data.tags}
            token = page.token
            if not token:
                return len(candidates - {but})


def logged_metrics(metrics: Mapping[str, float | None]) -> dict[str, float]:
    """What MLflow makes of metrics: those with a finite value, by the names that it takes.

    >>> logged_metrics({"gate.nfr": 0.02, "gate.btc": None})
    {'gate.nfr': 0.02}
    """
    kept: dict[str, float] = {}
    for name, value in metrics.items():
        if value is None or not math.isfinite(value):
            continue
        key, again = metric_key(name), 1
        while key in kept:  # two names that differ only in what MLflow refuses
            again += 1
            key = f"{metric_key(name)[: _KEY_LENGTH - 8]}_{again}"
        kept[key] = float(value)
    return kept


def _experiment_id(connection: Connection, name: str, where: str) -> str:
    client = connection.client
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=_beside_the_default(client, name)))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)  # somebody else made it in between
    if found is None or found.name != name:
        raise connection.not_mlflow(where, connection.tracking_uri)
    if found.lifecycle_stage != "active":
        raise EvidenceError(f"experiment {name!r} is deleted", where=where, hint="restore it, or name another one")
    return str(found.experiment_id)


def _beside_the_default(client: MlflowClient, name: str) -> str | None:
    """Keep the runs of a database where its others are: MLflow would put them below the working directory."""
    if client.tracking_uri.startswith(("http:", "https:", "databricks")):
        return None  # a server knows best
    try:
        default: Any = client.get_experiment("0")
    except MlflowException:
        return None
    root, _, last = default.artifact_location.rstrip("/").rpartition("/")
    return f"{root}/{re.sub(r'[^A-Za-z0-9_.-]', '_', name)}" if root and last == "0" else None


def _knows(client: MlflowClient, model_id: str) -> bool:
    # A registry whose runs are kept elsewhere: the metrics are worth logging without the link.
    try:
        return bool(client.get_logged_model(model_id).model_id == model_id)
    except MlflowException as error:
        if is_missing(error):
            return False
        raise


def _log_artifacts(client: MlflowClient, run_id: str, artifacts: Mapping[str, bytes]) -> None:
    if not artifacts:
        return
    with tempfile.TemporaryDirectory(prefix="gate-run-") as folder:
        for path, content in artifacts.items():
            place = Path(folder, path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        client.log_artifacts(run_id, folder)


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or "\\" in path or ".." in parts:
        raise UsageError(f"not the path of an artifact inside a run: {path!r}", where="log_run")
    return path


def _portions(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
