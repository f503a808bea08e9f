"""Judge answers that MLflow hands over against a model of the registry.

They are predictions, or those of a model in memory. The incumbent runs in a process of its own, on the same rows. Who
gave the candidate's answers cannot be shown, so such a decision promotes nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa

from gate.data.columns import batch_rows, require_columns
from gate.data.digests import ContentDigest
from gate.data.identity import UniqueIds
from gate.data.tables import Table, open_table
from gate.decisions.record import HoldoutRow, ModelRow, Promotable, Target
from gate.engines.answers import from_batch, model_error
from gate.engines.in_worker.answers import answer_batch
from gate.engines.in_worker.failures import failure
from gate.engines.local import InProcess, ModelInfo, Worker, network_left_on, score
from gate.errors import EvidenceError, GateError, UsageError
from gate.plugin.settings import Settings
from gate.registry.manifest import model_digest
from gate.registry.registry import Registry
from gate.stories.columns import with_columns
from gate.stories.contract import contract_of
from gate.stories.counting import counted
from gate.stories.decide import Compared, Judgement, day, decided, installed
from gate.stories.holdout import HeldOut, Rows
from gate.tasks.batch import Answers, Classes
from gate.tasks.kinds import KINDS

_NOT_PROMOTABLE = Promotable(False, "answers were judged, not a version of a registered model")


def answers_of(model: Any, rows: Any, *, sets: bool) -> Answers:
    """What a model in memory answers to a DataFrame, all rows at once; EvidenceError where it fails or does not fit.

    With ``sets`` it may answer each row with a list of labels.
    """
    try:
        answered = answer_batch(model.predict(rows), len(rows), sets)
    except Exception as error:
        raise model_error("candidate", **failure("predict", error)) from error
    return from_batch(answered, len(rows), "candidate")


def judge_answers(
    settings: Settings,
    holdout: Any,
    *,
    label: str | None,
    candidate: Answers,
    called: str,
    not_shown: Sequence[str],
    registry: Registry,
    experiment: str,
) -> Judgement:
    """Judge the candidate's answers, one for each row of ``holdout`` (a DataFrame), against ``settings.incumbent``.

    ``called`` is what the decision calls the candidate; the columns ``not_shown`` are kept from the incumbent, and out
    of the digest. The uses of the held-out set are counted in ``experiment``. Errors: as :func:`gate.check`.
    """
    rules = with_columns(settings.policy, label=label, id=settings.id)
    if not rules.task.needs_label:
        raise UsageError(
            f"kind: {rules.task.kind} reads scores that are there already, not what a model answers",
            where=rules.file,
            hint="give the scores of both as columns: predictions= and incumbent_predictions",
        )
    as_of = day(settings.as_of)
    with ExitStack() as stack:
        whole = open_table(holdout)
        reader = _Reader(whole, HeldOut(rules), not_shown)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gate-")))
        kind: Any = InProcess if settings.in_process else Worker
        worker = stack.enter_context(kind.start("incumbent", timeout=settings.timeout))
        ref = registry.resolve(str(settings.incumbent), model=None, role="incumbent")
        files = registry.download(ref, folder / "incumbent")
        digest = model_digest(files)
        worker.load(files, sets=rules.task.kind == "multilabel")
        contract, agreed = contract_of(rules, whole, values=settings.samples > 0)
        info: ModelInfo = worker.ready()
        rows = settings.rows_per_batch or batch_rows(whole)
        task = KINDS[rules.task.kind](rules.task, Classes(rules.task.classes, None, info.classes))
        told: list[str] = []
        asked_once = rules.holdout.sample is None
        answered = score([worker], reader.features(info, rows), canaries=asked_once, note=told.append)
        batches = (kept.batch(_slice(candidate, kept), incumbent) for kept, (incumbent,) in answered)
        found = counted(task, batches, rules, seed=settings.seed, samples=settings.samples)
        reader.finish(agreed, rows)
    its_digest = _digest(candidate)
    try:
        uses: int | None = registry.uses(experiment, reader.digest, its_digest)
        notes: tuple[str, ...] = ()
    except GateError:
        uses, notes = None, ("how often this held-out set was used before could not be counted",)
    compared = Compared(
        candidate=ModelRow(called, digest=its_digest),
        incumbent=ModelRow(
            ref.uri, ref.name, ref.version, ref.alias, ref.model_id, ref.run_id, digest, dict(info.versions)
        ),
        holdout=HoldoutRow(whole.uri, reader.digest, reader.rows, rules.holdout.id, rules.holdout.label),
        isolation="the candidate's answers were given; "
        + ("the incumbent in the gate's own process, trusted" if settings.in_process else "the incumbent in a process"),
        batch_rows=rows,
        target=Target(registry.uri, environment=rules.environment),
        promotable=_NOT_PROMOTABLE,
        contract=contract,
        exclusions=reader.held_out.exclusions,
        files=reader.held_out.files,
        uses_before=uses,
        notes=(*notes, *told, *network_left_on([worker])),
        tools=installed("mlflow"),
    )
    return decided(rules, found, compared, seed=settings.seed, as_of=as_of)


class _Reader:
    """Reads the held-out set once: features for the incumbent, the rest for the count, the digest of it all."""

    def __init__(self, table: Table, held_out: HeldOut, not_shown: Sequence[str]) -> None:
        require_columns(table, held_out.wanted)
        self.held_out = held_out
        self._table, self._not_shown = table, not_shown
        self._ids = UniqueIds(where=table.uri)
        self._digest = ContentDigest()
        self._whole = ContentDigest()

    @property
    def digest(self) -> str:
        """The digest of the held-out set without the answers."""
        return self._digest.hexdigest()

    @property
    def rows(self) -> int:
        return self._digest.rows

    def features(self, info: ModelInfo, rows: int) -> Iterator[tuple[Rows, pa.RecordBatch]]:
        holdout = self.held_out.policy.holdout
        if info.columns is not None and holdout.label in info.columns:
            raise EvidenceError(
                f"its signature asks for the label column {holdout.label!r}",
                where="incumbent model",
                hint="a model that sees the answers proves nothing: log it with the signature of its features",
            )
        kept_back = self.held_out.not_features - set(info.columns or ())
        data = [name for name in self._table.schema.names if name not in self._not_shown]
        features = [name for name in data if name != holdout.label and name not in kept_back]
        first = 0
        for read in self._table.batches(rows):
            self._whole.update(read)
            self._digest.update(read.select(data))
            kept = self.held_out.rows(read, first, answers=self._not_shown)
            if self.held_out.id_columns:
                self._ids.update(kept.ids, first)
            yield kept, read.select(features)
            first += read.num_rows

    def finish(self, agreed: str | None, rows: int) -> None:
        """The checks that need all rows."""
        self.held_out.finish()
        self.held_out.check_unique(self._ids, self._table, rows)
        if agreed is not None and agreed != self._whole.hexdigest():
            raise EvidenceError("it changed while it was read", where=self._table.uri, hint="evaluate a copy of it")


def _slice(answers: Answers, rows: Rows) -> Answers:
    return Answers(answers.values.slice(rows.first_row, len(rows.label)), answers.names)


def _digest(answers: Answers) -> str:
    digest = ContentDigest()
    digest.update(pa.RecordBatch.from_arrays([answers.values], names=["answer"]))
    return digest.hexdigest()


def column_of(frame: Any, name: str) -> Answers:
    """A column of predictions as answers; UsageError for one that Arrow cannot hold."""
    try:
        column = pa.array(frame[name], from_pandas=True)
        return Answers.of(column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column)
    except (pa.ArrowException, ValueError, TypeError) as error:
        found = f"{name!r} is no column of answers: {error}"
        raise UsageError(found, where="predictions", hint="one label or score a row, or one list of scores") from None
