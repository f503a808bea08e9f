"""The promotions of an alias that were done, and the runs that judged them: what a trend is drawn from."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from gate.decisions import tags as names
from gate.decisions.moves import Move
from gate.decisions.statement import Kind
from gate.errors import EvidenceError
from gate.registry.connection import Connection
from gate.registry.moves import read_history

if TYPE_CHECKING:
    from gate.registry.registry import Registry

MOST = 20
"""So many promotions are looked up, the newest: each is a question or two to the tracking store."""

_DECISION_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class JudgedRun:
    """A run that holds a verdict: its id, its finite metrics, its tags."""

    run_id: str
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Promotion:
    """A move to a judged version; ``taken_back`` if the alias was rolled back from it. ``run`` is None if unknown."""

    move: Move
    taken_back: bool
    run: JudgedRun | None


@dataclass(frozen=True)
class Promotions:
    """The last ``MOST`` promotions of an alias, oldest first, and how many records of moves cannot be read."""

    done: tuple[Promotion, ...] = ()
    broken: int = 0


def promotions(registry: Registry, model: str, alias: str, experiment: str) -> Promotions:
    """The promotions of ``alias``, each with the run that judged it.

    A run is known by the id of its decision. It is looked for in ``experiment``, and where the version's own tag says;
    one that is in neither place is unknown. An alias without recorded moves has none. EvidenceError where the registry
    does not answer.

    Example::

        promotions(registry, "fraud", "champion", "gate").done[-1].run.metrics["gate.nfr"]
    """
    standing = registry.standing(model)
    history = read_history(standing.tags, alias).settled(standing.aliases.get(alias))
    done = [move for move in history.moves if move.state == "done"]
    judged = [(move, after) for move, after in zip_longest(done, done[1:]) if move.kind is not Kind.ROLLBACK][-MOST:]
    connection = registry._connection
    place = _experiment(connection, experiment) if judged else None
    return Promotions(
        tuple(
            Promotion(
                move,
                after is not None and after.kind is Kind.ROLLBACK and after.previous == move.version,
                _run(connection, place, move) or _tagged(registry, model, move),
            )
            for move, after in judged
        ),
        len(history.broken),
    )


def _experiment(connection: Connection, name: str) -> str | None:
    with connection.told(f"reading the runs of {name!r}", connection.tracking_uri):
        found = connection.client.get_experiment_by_name(name)
    return None if found is None else str(found.experiment_id)


def _run(connection: Connection, experiment: str | None, move: Move) -> JudgedRun | None:
    """The newest run of the experiment that holds the decision by which the alias moved."""
    if experiment is None or not _DECISION_ID.fullmatch(move.decision_id or ""):
        return None
    with connection.told(f"looking for the run of version {move.version}", connection.tracking_uri):
        found = connection.client.search_runs(
            [experiment], filter_string=f"tags.`{names.DECISION_ID}` = '{move.decision_id}'", max_results=1
        )
    return _judged(found[0], move) if found else None


def _tagged(registry: Registry, model: str, move: Move) -> JudgedRun | None:
    """The run that the version's own tag names, wherever it is kept; None where it is gone or of another decision."""
    try:
        run_id = registry.version_tags(model, move.version or 0).get(names.RUN_ID)
        if not run_id:
            return None
        connection = registry._connection
        with connection.told(f"reading run {run_id!r}", connection.tracking_uri):
            return _judged(connection.client.get_run(run_id), move)
    except EvidenceError:  # the version or its run was deleted since
        return None


def _judged(run: Any, move: Move) -> JudgedRun | None:
    if move.decision_id is None or run.data.tags.get(names.DECISION_ID) != move.decision_id:
        return None
    metrics = {name: value for name, value in run.data.metrics.items() if math.isfinite(value)}
    return JudgedRun(run.info.run_id, metrics, dict(run.data.tags))
