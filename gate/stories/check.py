"""The story of `gate check`: two models of a registry, one held-out set, a verdict.

Resolve -> contract -> score -> count -> judge -> decide. Each step is a call into its room; the rooms do not know one
another. Nothing here moves an alias: that is :mod:`gate.stories.promote`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from gate.data.columns import batch_rows, require_columns
from gate.data.digests import ContentDigest
from gate.data.identity import UniqueIds
from gate.data.tables import Table, open_table
from gate.decisions.record import HoldoutRow, ModelRow, Promotable, Target
from gate.engines.local import InProcess, ModelInfo, Worker, score
from gate.errors import EvidenceError, GateError, Problem, UsageError, data_withheld
from gate.policy.rules import Policy
from gate.registry.manifest import model_digest
from gate.registry.registry import MissingAlias, ModelRef, Registry
from gate.stories.columns import policy_for, with_columns
from gate.stories.contract import contract_of
from gate.stories.decide import Compared, Judgement, Progress, counted, day, decided, installed, nothing
from gate.stories.holdout import HeldOut, Rows
from gate.stories.log import log
from gate.tasks.batch import Classes
from gate.tasks.kinds import KINDS


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
    timeout: float = 600.0,
    in_process: bool = False,
    progress: Progress = nothing,
) -> Judgement:
    """Judge whether ``candidate`` may take the place of ``incumbent``.

    Both are references into the registry: ``7``, ``@champion`` or ``latest`` of ``model``, or a full URI
    (``models:/fraud/7``, ``models:/m-...``, ``runs:/...``). ``data`` is the held-out set: a file or URI (Parquet, CSV,
    Feather, JSON Lines), an Arrow table or a DataFrame; ``policy`` a policy file, whose ``holdout`` says what the
    columns mean (``label`` and ``id`` may be named here instead). Each model runs in a process of its own, ``timeout``
    seconds at most for loading and for each batch; ``in_process`` trusts them with this one. ``samples`` flipped rows
    of each kind are kept; with 0 no value of a row is in the decision or in an error. The verdict is logged as an
    MLflow run of ``experiment`` unless ``log_run`` is False; ``tag`` notes it on the candidate's version too. The uses
    of the held-out set are counted in that experiment, by default where a run is logged. No alias is moved.

    Returns a :class:`gate.stories.decide.Judgement`, whatever the verdict. UsageError for options and policy,
    EvidenceError for what is missing or cannot be trusted: the registry, the models, the held-out set.

    Example::

        judged = gate.check(model="fraud", candidate="7", incumbent="@champion",
                            data="holdout.parquet", policy="policies/fraud.yaml")
        if not judged.allowed:
            print(judged.decision.findings)
    """
    rules = policy_for(policy, environment)
    rules = with_columns(rules, label=label, id=id)
    if not rules.task.needs_label:
        raise UsageError(
            f"kind: {rules.task.kind} reads scores that are there already, not what a model answers",
            where=rules.file,
            hint="give the files to gate compare",
        )
    label = str(rules.holdout.label)
    as_of = day(as_of)
    with ExitStack() as stack:
        stack.enter_context(data_withheld(samples == 0))
        holdout = open_table(data)
        held_out = HeldOut(rules)
        require_columns(holdout, held_out.wanted)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gate-")))
        progress("starting the models' processes", 0, None)
        kind: Any = InProcess if in_process else Worker
        started = {role: stack.enter_context(kind.start(role, timeout=timeout)) for role in ("candidate", "incumbent")}

        progress("reading the registry", 0, None)
        registry = Registry.connect(registry_uri, tracking_uri)
        sides = _resolved(registry, model, candidate, incumbent, rules, folder, progress)
        if "incumbent" not in sides:
            started.pop("incumbent").close()
        for role, side in sides.items():
            started[role].load(side.folder, sets=rules.task.kind == "multilabel")

        progress("checking the contract", 0, None)
        contract, agreed = contract_of(rules, holdout, values=samples > 0)

        progress("loading the models", 0, None)
        infos = {role: started[role].ready() for role in sides}
        rows = rows_per_batch or batch_rows(holdout)
        reader = _Reader(holdout, held_out, tuple(infos.values()), rows)
        task = KINDS[rules.task.kind](rules.task, _classes(rules, infos))
        answered = score([started[role] for role in sides], reader.features())
        found = counted(
            task,
            (kept.batch(answers[0], answers[1] if len(answers) > 1 else None) for kept, answers in answered),
            rules,
            seed=seed,
            samples=samples if "incumbent" in sides else 0,
            progress=progress,
            of=holdout.known_rows,
        )
        reader.finish(agreed)

        target, promotable = _target(registry, rules, sides)
        counts = log_run if count_uses is None else count_uses
        uses, notes = _uses(registry, experiment, reader.digest, sides["candidate"].digest) if counts else (None, ())
        compared = Compared(
            candidate=_model_row(sides["candidate"], infos["candidate"]),
            incumbent=_model_row(sides["incumbent"], infos["incumbent"]) if "incumbent" in sides else None,
            holdout=HoldoutRow(holdout.uri, reader.digest, reader.rows, rules.holdout.id, label),
            isolation="in the gate's own process, trusted" if in_process else "a worker process for each model",
            batch_rows=rows,
            target=target,
            promotable=promotable,
            contract=contract,
            exclusions=held_out.exclusions,
            files=held_out.files,
            uses_before=uses,
            notes=(*notes, *(() if "incumbent" in sides else (f"there is no {incumbent} to compare with",))),
            tools=installed("mlflow"),
        )
        judged = decided(rules, found, compared, seed=seed, as_of=as_of)
    if not log_run and not tag:
        return judged
    progress("logging the evidence", 0, None)
    try:
        return log(judged, registry, experiment=experiment if log_run else None, tag=tag)
    except GateError as error:  # the verdict stands; that it could not be recorded must not lose it
        return replace(judged, log_problem=str(error))


# resolve


@dataclass(frozen=True)
class _Side:
    ref: ModelRef
    folder: Path
    digest: str


def _resolved(
    registry: Registry,
    model: str | None,
    candidate: str,
    incumbent: str,
    rules: Policy,
    folder: Path,
    progress: Progress,
) -> dict[str, _Side]:
    """Both sides as versions and files, resolved once; only the candidate where the policy lets it stand alone."""
    refs = {"candidate": registry.resolve(candidate, model=model, role="candidate")}
    try:
        refs["incumbent"] = registry.resolve(incumbent, model=model, role="incumbent")
    except MissingAlias as missing:
        alias = rules.promotion.alias if rules.promotion else None
        if rules.absolute_rules_only_without_incumbent and (alias is None or not incumbent.endswith(f"@{alias}")):
            hint = "only the alias of the policy's promotion may be missing, " + (
                f"@{alias}: is it mistyped?" if alias else "and it names none"
            )
            raise EvidenceError(
                problems=[*missing.problems, Problem("nothing to compare with", rules.file, hint)]
            ) from None
        if not rules.absolute_rules_only_without_incumbent:
            hint = "for a first version say on_missing_incumbent: absolute_rules_only in the policy"
            raise EvidenceError(
                problems=[*missing.problems, Problem("nothing to compare with", rules.file, hint)]
            ) from None
    for role, ref in refs.items():
        if model is not None and ref.name not in (None, model):
            raise UsageError(f"{ref.uri} is a version of {ref.name}, not of {model}", where=f"--{role}")
    if "incumbent" in refs and refs["candidate"].uri == refs["incumbent"].uri:
        raise EvidenceError(
            f"candidate and incumbent are both {refs['candidate'].uri}",
            where=registry.uri,
            hint="a model has no flips against itself: name two versions",
        )
    sides = {}
    for role, ref in refs.items():
        arrived = None if progress is nothing else partial(progress, f"downloading the {role}")
        files = registry.download(ref, folder / role, arrived)
        sides[role] = _Side(ref, files, model_digest(files))
    if "incumbent" in sides and sides["candidate"].digest == sides["incumbent"].digest:
        raise EvidenceError(
            f"{refs['candidate'].uri} and {refs['incumbent'].uri} hold the same files"
            f" (SHA-256 {sides['candidate'].digest[:12]}...)",
            where=registry.uri,
            hint="a model has no flips against itself: is the right version registered?",
        )
    return sides


def _target(registry: Registry, rules: Policy, sides: dict[str, _Side]) -> tuple[Target, Promotable]:
    """What the decision is good for, and whether it can move the policy's alias."""
    ref = sides["candidate"].ref
    old = sides["incumbent"].ref if "incumbent" in sides else None
    promotion = rules.promotion
    target = Target(
        registry.uri,
        ref.name,
        promotion.alias if promotion else None,
        promotion.keep_previous_as if promotion else None,
        rules.environment,
    )
    hindrance = _hindrance(registry, target, ref, old)
    return target, Promotable(hindrance is None, hindrance)


def _uses(registry: Registry, experiment: str, holdout: str, candidate: str) -> tuple[int | None, tuple[str, ...]]:
    """How many other candidates this held-out set has judged; where nobody can tell, a note in its place."""
    try:
        return registry.uses(experiment, holdout, candidate), ()
    except GateError:
        return None, ("how often this held-out set was used before could not be counted",)


def _hindrance(registry: Registry, target: Target, ref: ModelRef, old: ModelRef | None) -> str | None:
    for role, side in (("candidate", ref), ("incumbent", old)):
        if side is not None and side.not_promotable_because:
            return f"the {role} is {side.not_promotable_because}"
    if target.alias is None:
        return "the policy names no promotion.alias"
    if old is not None and old.name != ref.name:
        return f"candidate and incumbent are of different models, {ref.name} and {old.name}"
    stands = registry.alias_version(str(ref.name), target.alias)
    if stands != (old.version if old else None):
        standing = "no version" if stands is None else f"version {stands}"
        compared = "no version" if old is None else f"version {old.version}"
        return f"@{target.alias} is {standing}, and {compared} was compared with"
    return None


def _model_row(side: _Side, info: ModelInfo) -> ModelRow:
    ref = side.ref
    return ModelRow(
        ref.uri, ref.name, ref.version, ref.alias, ref.model_id, ref.run_id, side.digest, dict(info.versions)
    )


# score


def _classes(rules: Policy, infos: dict[str, ModelInfo]) -> Classes:
    incumbent = infos.get("incumbent")
    return Classes(rules.task.classes, infos["candidate"].classes, incumbent.classes if incumbent else None)


class _Reader:
    """Reads the held-out set once: features for the models, the rest for the count, the digest of it all."""

    def __init__(self, table: Table, held_out: HeldOut, infos: Sequence[ModelInfo], rows: int) -> None:
        self._table, self._held_out, self._size = table, held_out, rows
        self._holdout = held_out.policy.holdout
        label = str(self._holdout.label)
        self._ids = UniqueIds(where=table.uri)
        self._digest = ContentDigest()
        asking = [info for info in infos if info.columns is not None and label in info.columns]
        if asking:
            raise EvidenceError(
                f"its signature asks for the label column {label!r}",
                where=f"{asking[0].role} model",
                hint="a model that sees the answers proves nothing: log it with the signature of its features",
            )
        named = {column for info in infos for column in info.columns or ()}
        kept_back = held_out.not_features - named
        self._features = [name for name in table.schema.names if name != label and name not in kept_back]

    @property
    def rows(self) -> int:
        return self._digest.rows

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def features(self) -> Iterator[tuple[Rows, pa.RecordBatch]]:
        first = 0
        for read in self._table.batches(self._size):
            self._digest.update(read)
            rows = self._held_out.rows(read, first)
            if self._held_out.id_columns:
                self._ids.update(rows.ids, first)
            yield rows, read.select(self._features)
            first += read.num_rows

    def finish(self, agreed: str | None) -> None:
        """The checks that need all rows: unique ids, and the same rows that the contract was met by."""
        self._held_out.finish()
        self._held_out.check_unique(self._ids, self._table, self._size)
        if agreed is not None and agreed != self.digest:
            raise EvidenceError(
                "it changed while it was read: the contract was met by other rows than those scored",
                where=self._table.uri,
                hint="run again on a copy that nobody writes to",
            )
