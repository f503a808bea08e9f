"""One pass over a held-out set that outgrows a machine: asked and counted where the rows are, by Spark.

Each partition does what :mod:`gate.stories.scoring` does on one machine, with the same functions; what it counted comes
back and is added. So counts, findings and samples are those of the local engine, however the rows are cut.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from gate.data.row_digest import Hashed, RowSetDigest
from gate.data.spark import Frame, check_ids, column, digest_of, hashed, open_frame
from gate.data.tables import Table
from gate.decisions.record import Contract
from gate.engines.answers import ModelInfo, SameForm
from gate.engines.spark.jobs import gathered, rows_at_once, time_limit
from gate.engines.spark.models import Answering, Place, Scorer
from gate.engines.spark.session import Started, spark_session
from gate.engines.spark.wire import from_text, to_text
from gate.errors import EvidenceError, GateError, Problem, UsageError
from gate.policy.rules import Policy
from gate.stories.asking import How
from gate.stories.contract import met
from gate.stories.counting import Counted, Part, Progress, nothing
from gate.stories.decide import built_in
from gate.stories.holdout import HeldOut
from gate.stories.remembering import MET_BY_OTHERS, Before
from gate.stories.scoring import Between, Pair, Scored, features_of, offered_to
from gate.stories.sides import Sides
from gate.tasks.slicing import MOST_CELLS

NOTE = (
    "the digest of the held-out set is that of its rows in any order, since Spark knows none: it is not the digest"
    " that the local engine gives the same rows"
)
AGAIN = (
    "Spark tried {} partitions again after a failure: a machine was lost, or a model fails now and then, and answers"
    " when it is asked again"
)
_DOES_NOT_APPLY = (
    ("timeout", "--timeout"),
    ("memory", "--memory"),
    ("network", "--network"),
    ("accept_clash", "--accept-clash"),
    ("builds", "--allow-builds"),
    ("device", "--device"),
    ("dtype", "--dtype"),
    ("compile", "--compile"),
    ("in_process", "--in-process"),
)


@contextmanager
def open_cluster(
    data: str | os.PathLike[str] | Any, how: How | None = None, *, master: str | None = None
) -> Iterator[Cluster]:
    """A held-out set for Spark, read by the session that is active or by one that lives as long as this block.

    ``data`` is what :func:`gate.data.spark.open_frame` takes, ``master`` what ``spark_session`` does. UsageError
    where pyspark or Java are missing, and for options that only the local engine has.

    Example::

        with open_cluster("s3a://bucket/holdout", master="local[2]") as cluster:
            found = cluster.scored(HeldOut(rules), sides, before=None, rows=None, seed=0, samples=100)
    """
    how = how or How()
    for name, option in _DOES_NOT_APPLY:
        if getattr(how, name) != getattr(How(), name):
            raise UsageError(
                "it is of the local engine; Spark has settings of its own", where=option, hint="leave it out"
            )
    with spark_session(master, at_hand=__name__) as started:
        yield Cluster(started, open_frame(started.session, data), how)


class Cluster:
    """A held-out set that Spark reads; ``batch_rows`` and ``isolation`` are known after :meth:`scored`."""

    remembered: tuple[str, ...] = ()

    def __init__(self, started: Started, frame: Frame, how: How) -> None:
        self._started, self._frame, self._how = started, frame, how
        self.header: Table = frame.header
        self.batch_rows = 0
        self._notes: tuple[str, ...] = (NOTE,)
        self._apart = False

    def start(self, candidates: int, incumbents: int) -> None:
        """Nothing starts early: the models run in Spark's workers."""

    @property
    def isolation(self) -> str:
        """Where the models ran, for the record; known after :meth:`scored`."""
        return self._started.isolation(apart=self._apart)

    @property
    def tools(self) -> dict[str, str]:
        """Versions for the record."""
        return self._started.tools

    def contract(self, rules: Policy, *, values: bool = True) -> tuple[Contract, Before | None]:
        """The contract as met, and how the rows were before it was checked; EvidenceError where it is not met.

        The suite reads the rows on its own, as often as it needs; so the rows scored are held against those before it.
        """
        if rules.holdout.contract is None:
            return Contract("met", built_in(rules.task)), None
        from gate.data.contract import check_spark_contract, read_suite

        suite = read_suite(rules.holdout.contract)
        digest = digest_of(self._frame)
        if not digest.rows:
            raise EvidenceError("no rows: the contract has nothing to check", where=self.header.uri)
        before = digest.hexdigest(self._frame.columns)
        report = check_spark_contract(self._frame.rows, suite, content_digest=before, number=digest.rows, values=values)
        return met(report, rules), Before(before, MET_BY_OTHERS)

    def scored(
        self,
        held_out: HeldOut,
        sides: Sides,
        *,
        before: Before | None,
        rows: int | None,
        seed: int,
        samples: int,
        progress: Progress = nothing,
    ) -> Scored:
        """Ask every model and count every pair, in one pass; ``rows`` at a time, or as many as Spark is set to.

        UsageError where no column names the rows; EvidenceError for a model that fails, and for what is wrong with the
        held-out set.
        """
        rules = held_out.policy
        if rules.holdout.id is None:
            raise UsageError(
                "rows that have no order have no numbers either",
                where="--engine spark",
                hint="name the column of their ids: --id COL, or holdout: {id: COL} in the policy",
            )
        progress("looking for ids that stand twice", 0, None)
        check_ids(self._frame, held_out.id_columns)
        with (
            tempfile.TemporaryDirectory(prefix="gate-spark-models-", ignore_cleanup_errors=True) as folder,
            rows_at_once(self._started.session, rows) as self.batch_rows,
            _named(sides),
            time_limit(self._started.session, self._how.total_timeout),
        ):
            scorer = Scorer(
                self._started,
                {side.role: side.folder for side in sides.all},
                {side.role: side.digest for side in sides.all},
                into=Path(folder),
                sets=rules.task.kind == "multilabel",
                env_manager=self._how.env_manager,
            )
            self._apart = scorer.apart
            progress("loading the models", 0, None)
            infos = scorer.ask(self._frame.rows, but=rules.holdout.label, kept_back=held_out.not_features)
            progress("scoring and counting", 0, None)
            total = self._passed(scorer, held_out, sides, infos, seed, samples)
        digest = total.digest.hexdigest(self._frame.columns)
        if before is not None and before.digest != digest:
            raise EvidenceError(
                f"it changed while it was read: {before.unlike}",
                where=self.header.uri,
                hint="run again on a copy that nobody writes to",
            )
        progress("scoring and counting", total.digest.rows, total.digest.rows)
        counted = tuple(pair.counting.finish() for pair in total.pairs)
        held_out.finish()
        for one in counted:
            _few_cells(one, rules)
        between = None if total.between is None else total.between.found
        return Scored(counted, infos, digest, total.digest.rows, between, self._notes)

    def _passed(
        self,
        scorer: Scorer,
        held_out: HeldOut,
        sides: Sides,
        infos: Mapping[str, ModelInfo],
        seed: int,
        samples: int,
    ) -> Tally:
        """What the one pass over all rows comes to."""
        schema = self.header.schema
        features = features_of(schema.names, held_out, tuple(infos.values()))
        offered = {role: offered_to(info, features) for role, info in infos.items()}
        partitions = self._frame.partitions
        frame, digests = hashed(self._frame.rows)
        if held_out.policy.holdout.sample is not None:  # all answers to a question in one place
            frame = frame.repartition(partitions, column(held_out.policy.holdout.id or ""))
        frame, answering, answers = scorer.answered(frame, offered)
        job = Job(
            held_out=held_out,
            pairs=sides.roles,
            infos=infos,
            answering=answering,
            answers=answers,
            read=tuple(held_out.columns(schema)),
            hashed=digests,
            seed=seed,
            samples=samples,
        )
        sent = {*job.read, *digests.words, digests.rest, *(name for name, _ in answers.values())}
        if not scorer.apart:
            sent.update(*offered.values())
        wanted = [name for name in frame.columns if name in sent]
        told, again = gathered(frame, wanted, job.count, job.merge, partitions=partitions, errors=scorer.errors)
        if again:
            self._notes += (AGAIN.format(again),)
        return job.total(told)


@dataclass(frozen=True)
class Job:
    """What the cluster is told to do with each partition, and how what came of it is added.

    ``answering`` asks the models, ``answers`` has for each role the column that its answers are in after that;
    ``pairs`` has the roles of each comparison; ``read`` are the columns that the policy reads. In the cluster
    ``held_out`` is a copy of the partition's own.
    """

    held_out: HeldOut
    pairs: tuple[tuple[str, str | None], ...]
    infos: Mapping[str, ModelInfo]
    answering: Answering
    answers: Mapping[str, Place]
    read: tuple[str, ...]
    hashed: Hashed
    seed: int
    samples: int

    def count(self, batches: Iterator[pa.RecordBatch]) -> str:
        """What one partition comes to, or what is wrong with it."""
        tally = Tally(self)
        try:
            with closing(self.answering(batches)) as answered:
                for batch in answered:
                    tally.add(batch)
        except GateError as error:
            return to_text({"problems": _problems(error)})
        try:
            return to_text(tally.part())
        except TypeError as error:  # ids or labels of a type that has no text
            return to_text({"problems": _problems(error)})

    def merge(self, told: Sequence[str]) -> str:
        """What several partitions come to together."""
        tally = Tally(self)
        for text in told:
            part = from_text(text)
            if "problems" in part:
                return text
            tally.take(part)
        return to_text(tally.part())

    def total(self, told: Sequence[str]) -> Tally:
        """What all partitions come to; EvidenceError for what is wrong with the first that has anything wrong."""
        tally = Tally(self)
        for text in told:
            part = from_text(text)
            if "problems" in part:
                raise EvidenceError(problems=[Problem(*problem) for problem in part["problems"]])
            tally.take(part)
        return tally


class Tally:
    """What is counted of some of the rows: a count for each pair, the listed ids that were there, and the digest."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.held_out = job.held_out
        rules = job.held_out.policy
        self.pairs = [Pair(*pair, rules, job.infos, seed=job.seed, samples=job.samples) for pair in job.pairs]
        self.between = Between(job.pairs) if len(job.infos) > 2 else None
        self.digest = RowSetDigest()
        self._forms = [SameForm(role) for role in job.infos]

    def add(self, batch: pa.RecordBatch) -> None:
        """Count one batch with its answers."""
        if not batch.num_rows:
            return
        rows = self.held_out.rows(batch.select(list(self._job.read)), self.digest.rows)
        self.digest.update(self._job.hashed.digests(batch))
        answers = {role: form.answers(batch[name]) for role, (name, form) in self._job.answers.items()}
        for form, answer in zip(self._forms, answers.values(), strict=True):
            form.check(answer)
        outcomes = [pair.add(rows, answers) for pair in self.pairs]
        if self.between is not None:
            self.between.add(outcomes)

    def part(self) -> dict[str, Any]:
        """All of it as values that can be sent."""
        return {
            "pairs": [dict(vars(pair.counting.part())) for pair in self.pairs],
            "between": None if self.between is None else self.between.part(),
            "held": self.held_out.part(),
            "digest": [f"{self.digest.total:x}", self.digest.rows],
        }

    def take(self, part: Mapping[str, Any]) -> None:
        """Add what another one's :meth:`part` says."""
        for pair, counted in zip(self.pairs, part["pairs"], strict=True):
            pair.counting.take(Part(**counted))
        if self.between is not None:
            self.between.take(part["between"])
        self.held_out.take(part["held"])
        total, rows = part["digest"]
        self.digest.add(RowSetDigest(int(total, 16), rows))


@contextmanager
def _named(sides: Sides) -> Iterator[None]:
    """Errors of a model say which version it is."""
    try:
        yield
    except EvidenceError as error:
        names = {f"{side.role} model": f"{side.role} model, version {side.ref.version}" for side in sides.all}
        known = {f"{side.role} model" for side in sides.all if side.ref.version is not None}
        raise EvidenceError(
            problems=[
                replace(problem, where=names[problem.where]) if problem.where in known else problem
                for problem in error.problems
            ]
        ) from error


def _problems(error: Exception) -> list[list[str]]:
    """What is wrong, in parts; row numbers are those of a partition."""
    found = error.problems if isinstance(error, GateError) else (Problem(str(error), "held-out set"),)
    counted = "rows are counted from 0 within a partition of Spark"
    return [
        [one.found, one.where, f"{one.hint}; {counted}" if "row" in one.found else one.hint, one.withheld]
        for one in found
    ]


def _few_cells(counted: Counted, rules: Policy) -> None:
    """EvidenceError for a slice with more cells than one may have, which no partition saw alone."""
    for name, cells in counted.table.cells.items():
        if name in rules.holdout.slices and len(cells) > MOST_CELLS:
            raise EvidenceError(
                f"slice {name!r} has more than {MOST_CELLS:,} cells",
                where="held-out set",
                hint="cut it by bins, or by a column with fewer values",
            )
