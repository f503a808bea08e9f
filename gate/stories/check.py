"""The story of `gate check`: versions of a registry, one held-out set, a verdict for each pair.

Resolve -> contract -> score -> count -> judge -> decide. Each step is a call into its room; the rooms do not know one
another. Nothing here moves an alias: that is :mod:`gate.stories.promote`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gate.data.columns import require_columns
from gate.decisions.record import HoldoutRow, Promotable, VersionRow
from gate.errors import GateError, UsageError, data_withheld
from gate.policy.rules import Policy
from gate.registry.registry import Registry
from gate.stories.asking import How
from gate.stories.columns import policy_for, with_columns
from gate.stories.counting import Counted, Progress, nothing
from gate.stories.decide import Compared, Judgement, day, decided, installed
from gate.stories.earlier import earlier
from gate.stories.here import open_here
from gate.stories.holdout import HeldOut
from gate.stories.log import log
from gate.stories.scoring import Scored
from gate.stories.sides import Side, Sides, resolved, target_of


def check(
    *,
    candidate: str,
    incumbent: str,
    data: str | os.PathLike[str] | Any,
    policy: str | os.PathLike[str] | Policy,
    model: str | None = None,
    label: str | None = None,
    id: str | None = None,
    environment: str | None = None,
    registry_uri: str | None = None,
    tracking_uri: str | None = None,
    log_run: bool = True,
    experiment: str = "gate",
    count_uses: bool | None = None,
    tag: bool = False,
    seed: int = 0,
    samples: int = 100,
    as_of: str | None = None,
    rows_per_batch: int | None = None,
    engine: str = "local",
    spark_master: str | None = None,
    progress: Progress = nothing,
    **how: Any,
) -> Judgement:
    """Judge whether ``candidate`` may take the place of ``incumbent``.

    Both are references into the registry: ``7``, ``@champion`` or ``latest`` of ``model``, or a full URI
    (``models:/fraud/7``, ``models:/m-...``, ``runs:/...``). ``data`` is the held-out set: a file or URI (Parquet, CSV,
    Feather, JSON Lines), an Arrow table or a DataFrame; ``policy`` a policy file, whose ``holdout`` says what the
    columns mean (``label`` and ``id`` may be named here instead). ``samples`` flipped rows of each kind are kept; with
    0 no value of a row is in the decision or in an error. The verdict is logged as an MLflow run of ``experiment``
    unless ``log_run`` is False; ``tag`` notes it on the candidate's version too. The uses of the held-out set are
    counted in that experiment, by default where a run is logged. No alias is moved.

    With ``engine="spark"`` (and a ``spark_master``, where there is no session yet) the models run on a cluster, and
    ``data`` is whatever Spark reads. Else each runs in a process of its own; ``how`` takes the fields of
    :class:`gate.stories.asking.How`: ``timeout``, ``memory``, ``env_manager``, ``device``, ``in_process``, ``cache``.

    Returns a :class:`gate.stories.decide.Judgement`, whatever the verdict. UsageError for options and policy,
    EvidenceError for what is missing or cannot be trusted: the registry, the models, the held-out set.

    Example::

        judged = gate.check(model="fraud", candidate="7", incumbent="@champion",
                            data="holdout.parquet", policy="policies/fraud.yaml")
        if not judged.allowed:
            print(judged.decision.findings)
    """
    asked = _Asked(
        data=data,
        policy=policy,
        model=model,
        label=label,
        id=id,
        environment=environment,
        registry_uri=registry_uri,
        tracking_uri=tracking_uri,
        log_run=log_run,
        experiment=experiment,
        count_uses=count_uses,
        tag=tag,
        seed=seed,
        samples=samples,
        as_of=as_of,
        rows_per_batch=rows_per_batch,
        engine=engine,
        spark_master=spark_master,
        progress=progress,
        how=How(**how),
    )
    (judged,) = _judged([candidate], [incumbent], asked)
    return judged


def check_each(*, candidates: Sequence[str], incumbents: Sequence[str], **options: Any) -> tuple[Judgement, ...]:
    """Judge each of ``candidates`` against each of ``incumbents``, all of them asked in one pass over the held-out set.

    The ``options`` are those of :func:`check`. Returns a judgement for each pair, the first candidate's first. Each
    candidate is a look at the held-out set, so the policy's error is spent over at least as many. A candidate that is
    not allowed against all incumbents cannot be promoted on any of its decisions. No candidate or no incumbent is a
    UsageError, and so is a candidate that is named twice.

    Example::

        for judged in gate.check_each(model="fraud", candidates=["7", "8"], incumbents=["@champion", "@previous"],
                                      data="holdout.parquet", policy="policies/fraud.yaml"):
            print(judged.decision.provenance.candidate.uri, judged.verdict)
    """
    for role, named in (("candidate", candidates), ("incumbent", incumbents)):
        if not named or isinstance(named, str):
            raise UsageError(f"no {role}s" if not named else "give a list", where=f"{role}s")
    own = {name: options.pop(name) for name in list(options) if name in _Asked.__dataclass_fields__ and name != "how"}
    return _judged(candidates, incumbents, _Asked(**own, how=How(**options)))


@dataclass(frozen=True)
class _Asked:
    """What a user asks for, beside the versions; the defaults are those of :func:`check`."""

    data: str | os.PathLike[str] | Any
    policy: str | os.PathLike[str] | Policy
    model: str | None = None
    label: str | None = None
    id: str | None = None
    environment: str | None = None
    registry_uri: str | None = None
    tracking_uri: str | None = None
    log_run: bool = True
    experiment: str = "gate"
    count_uses: bool | None = None
    tag: bool = False
    seed: int = 0
    samples: int = 100
    as_of: str | None = None
    rows_per_batch: int | None = None
    engine: str = "local"
    spark_master: str | None = None
    progress: Progress = nothing
    how: How = field(default_factory=How)


def _judged(candidates: Sequence[str], incumbents: Sequence[str], asked: _Asked) -> tuple[Judgement, ...]:
    progress = asked.progress
    rules = with_columns(policy_for(asked.policy, asked.environment), label=asked.label, id=asked.id)
    if not rules.task.needs_label:
        raise UsageError(
            f"kind: {rules.task.kind} reads scores that are there already, not what a model answers",
            where=rules.file,
            hint="give the files to gate compare",
        )
    declared = rules.looks
    looks = max(declared, len(candidates))
    spent = () if looks == declared else (_spent(looks, declared),)
    rules = replace(rules, looks=looks)
    as_of = day(asked.as_of)
    with ExitStack() as stack:
        stack.enter_context(data_withheld(asked.samples == 0))
        engine = stack.enter_context(_engine(asked))
        held_out = HeldOut(rules)
        require_columns(engine.header, held_out.wanted)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gate-")))
        progress("starting the models' processes", 0, None)
        engine.start(len(candidates), len(incumbents))

        progress("reading the registry", 0, None)
        registry = Registry.connect(asked.registry_uri, asked.tracking_uri)
        sides = resolved(registry, asked.model, candidates, incumbents, rules, folder, progress)

        progress("checking the contract", 0, None)
        contract, before = engine.contract(rules, values=asked.samples > 0)
        found = engine.scored(
            held_out,
            sides,
            before=before,
            rows=asked.rows_per_batch,
            seed=asked.seed,
            samples=asked.samples,
            progress=progress,
        )
        pairs = []
        for (candidate, incumbent), counted in zip(sides.pairs, found.counted, strict=True):
            target, promotable = target_of(registry, rules, candidate, incumbent)
            uses, untold = _uses(registry, asked, found.digest, candidate.digest)
            history, unknown = earlier(registry, target, asked.experiment)
            alone = () if incumbent else (f"there is no {incumbents[0]} to compare with",)
            compared = Compared(
                candidate=candidate.row(found.infos[candidate.role]),
                incumbent=incumbent.row(found.infos[incumbent.role]) if incumbent else None,
                holdout=HoldoutRow(engine.header.uri, found.digest, found.rows, rules.holdout.id, rules.holdout.label),
                isolation=engine.isolation,
                batch_rows=engine.batch_rows,
                target=target,
                promotable=promotable,
                contract=contract,
                exclusions=held_out.exclusions,
                files=held_out.files,
                uses_before=uses,
                notes=(*spent, *_worn(uses, len(candidates), declared), *found.notes, *untold, *unknown, *alone),
                tools={**installed("mlflow"), **engine.tools},
                history=history,
                versions=_versions(sides, found),
            )
            pairs.append(_Pair(candidate, incumbent, counted, compared))
        judged = tuple(replace(one, remembered=engine.remembered) for one in _decided(rules, pairs, asked.seed, as_of))
    if not asked.log_run and not asked.tag:
        return judged
    progress("logging the evidence", 0, None)
    return tuple(_logged(one, registry, asked) for one in judged)


def _engine(asked: _Asked) -> Any:
    """Who reads the held-out set and runs the models, as a context."""
    if asked.engine == "local":
        if asked.spark_master is not None:
            raise UsageError("only Spark has a master", where="--spark-master", hint="add --engine spark")
        return open_here(asked.data, asked.how)
    if asked.engine != "spark":
        raise UsageError(f"no engine {asked.engine!r}", where="--engine", hint="local or spark")
    from gate.stories.cluster import open_cluster

    return open_cluster(asked.data, asked.how, master=asked.spark_master)


@dataclass(frozen=True)
class _Pair:
    candidate: Side
    incumbent: Side | None
    counted: Counted
    compared: Compared


def _decided(rules: Policy, pairs: Sequence[_Pair], seed: int, as_of: str) -> tuple[Judgement, ...]:
    """A decision for each pair; none of a candidate's can be promoted unless all of them allow it."""
    judged = [decided(rules, pair.counted, pair.compared, seed=seed, as_of=as_of) for pair in pairs]
    found = []
    for pair, own in zip(pairs, judged, strict=True):
        refused = [
            f"against {other.incumbent.ref.uri} the verdict is {one.verdict.value}"
            for other, one in zip(pairs, judged, strict=True)
            if other.candidate is pair.candidate and not one.allowed and one is not own and other.incumbent
        ]
        if own.decision.promotable.value and refused:
            compared = replace(pair.compared, promotable=Promotable(False, "; ".join(refused)))
            own = decided(rules, pair.counted, compared, seed=seed, as_of=as_of)
        found.append(own)
    return tuple(found)


def _logged(judged: Judgement, registry: Registry, asked: _Asked) -> Judgement:
    try:
        return log(judged, registry, experiment=asked.experiment if asked.log_run else None, tag=asked.tag)
    except GateError as error:  # the verdict stands; that it could not be recorded must not lose it
        return replace(judged, log_problem=str(error))


def _spent(looks: int, declared: int) -> str:
    return (
        f"{looks} candidates are judged at once, each a look at the held-out set: the error is spent over {looks}"
        f" looks, not over the {declared} that the policy declares"
    )


def _worn(before: int | None, now: int, declared: int) -> tuple[str, ...]:
    """What several candidates at once and those before them make together, where that is more than was declared."""
    if not before or now < 2 or before + now <= declared:
        return ()
    return (
        f"{before} other candidates were judged on this held-out set before, and {now} are now: {before + now} looks,"
        f" and the policy declares {declared}: the confidence is less than it says",
    )


def _versions(sides: Sides, found: Scored) -> tuple[VersionRow, ...]:
    if found.crossings is None:
        return ()
    right, broken = found.crossings.right.tolist(), found.crossings.broken.tolist()
    return tuple(
        VersionRow(side.role, side.ref.uri, right[place], tuple(broken[place])) for place, side in enumerate(sides.all)
    )


def _uses(registry: Registry, asked: _Asked, holdout: str, candidate: str) -> tuple[int | None, tuple[str, ...]]:
    """How many other candidates this held-out set has judged; where nobody can tell, a note in its place."""
    if not (asked.log_run if asked.count_uses is None else asked.count_uses):
        return None, ()
    try:
        return registry.uses(asked.experiment, holdout, candidate), ()
    except GateError:
        return None, ("how often this held-out set was used before could not be counted",)
