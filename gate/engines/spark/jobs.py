"""The jobs of Spark: what is counted of each partition, brought together; their errors, their limits."""

from __future__ import annotations

import base64
import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pyarrow as pa

from gate.engines.answers import model_error
from gate.engines.environment import presentable
from gate.engines.in_worker.spark_model import MARK
from gate.errors import EvidenceError, datum

TOGETHER = 64
"""Partitions whose counts are added in one go; where there are more, they are added in the cluster first."""

_FAILED = re.compile(re.escape(MARK) + r"([A-Za-z0-9+/=]+)")
_OF_GROUPS = "spark.jobGroup.id", "spark.job.description", "spark.job.interruptOnCancel"
_AGAIN = 1.0
_LOST = ("Python worker exited unexpectedly", "Python worker failed to connect", "crashed consecutively")


def placed(rows: Any, names: Sequence[str]) -> Any:
    """Some columns, named by their places: a dot in a name is no path, but Spark takes it so."""
    return rows.selectExpr(*(f"`{name.replace('`', '``')}` AS c{place}" for place, name in enumerate(names)))


def gathered(
    rows: Any,
    columns: Sequence[str],
    count: Callable[[Iterator[pa.RecordBatch]], str],
    merge: Callable[[Sequence[str]], str],
    *,
    partitions: int,
    together: int = TOGETHER,
    errors: Callable[[], AbstractContextManager[None]] | None = None,
) -> tuple[list[str], int]:
    """What ``count`` says of some ``columns`` of each partition; of more than ``together`` texts ``merge`` makes fewer.

    Both run in the cluster, so that ``gate`` must be installed there, in this version. There are some ``partitions``:
    more or fewer than are said change how the texts are merged, and not what comes out. ``errors`` tells what goes
    wrong, as :func:`job_errors` does. The number is that of partitions that Spark tried again after a failure.
    EvidenceError where a model fails, where Spark does, or for another version.
    """
    here, names = gate_version(), list(columns)

    def counting(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import TaskContext

        context = TaskContext.get()
        number, again = (-1, 0) if context is None else (context.partitionId(), int(context.attemptNumber() > 0))
        there = gate_version()
        named = (batch.rename_columns(names) for batch in batches)
        yield _row(number, count(named) if there == here else "", there, again)

    def merging(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        found = sorted(tuple(row.values()) for batch in batches for row in batch.to_pylist())
        other = next((version for _, _, version, _ in found if version != here), here)
        if found:
            merged = merge([told for _, told, _, _ in found]) if other == here else ""
            yield _row(found[0][0], merged, other, sum(again for *_, again in found))

    schema = "number int, told string, version string, again int"
    with (errors or job_errors)():
        parts, number = placed(rows, columns).mapInArrow(counting, schema), partitions
        while number > together:
            number = -(-number // together)
            parts = parts.repartition(number).mapInArrow(merging, schema)
        found = sorted(map(tuple, parts.collect()))
    other = {version for _, _, version, _ in found} - {here}
    if other:
        raise EvidenceError(
            f"the cluster runs the gate {', '.join(sorted(other))}, this is {here}",
            where="--engine spark",
            hint="install the same model-update-gate where Spark's Python workers run",
        )
    return [told for _, told, _, _ in found], sum(again for *_, again in found)


def gate_version() -> str:
    """The version of the gate that runs here."""
    try:
        return version("model-update-gate")
    except PackageNotFoundError:
        return "unknown"


def _row(number: int, told: str, there: str, again: int) -> pa.RecordBatch:
    numbers = {"number": pa.array([number], pa.int32()), "again": pa.array([again], pa.int32())}
    return pa.record_batch({"number": numbers["number"], "told": [told], "version": [there], "again": numbers["again"]})


@contextmanager
def job_errors(at_work: Callable[[], Sequence[str]] = tuple) -> Iterator[None]:
    """What goes wrong in a job, as EvidenceError: a model's failure by its own words, all else by Spark's.

    ``at_work`` tells, where a process was lost, the roles of the models that may have run in it.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError) as error:
        text = str(error)
        failed = _FAILED.search(text)
        if failed is not None:
            told = json.loads(base64.b64decode(failed.group(1)))
            raise model_error(
                str(told["role"]), str(told["found"]), str(told.get("hint", "")), str(told.get("withheld", ""))
            ) from None
        if any(lost in text for lost in _LOST):
            roles = at_work()
            where = f"{' or '.join(roles)} model" if roles else "Spark"
            raise EvidenceError(
                "a Python worker of Spark ended without an answer: it crashed, left, or ran out of memory",
                where=where,
                hint="give Spark's workers more memory, or smaller batches (--batch-rows); with --engine local the"
                " model's own last words are shown",
            ) from None
        raise EvidenceError(datum(presentable(_last_words(text)), str), where="Spark") from error


def _last_words(text: str) -> str:
    """The line of a long message that says what went wrong: the last of Python's traceback, else the first of all."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    raised = [line for line in lines if re.match(r"^[\w.]*(Error|Exception|Refusal)\b.*:", line)]
    return (raised or lines or ["it failed without a word"])[-1 if raised else 0][:800]


@contextmanager
def rows_at_once(session: Any, rows: int | None) -> Iterator[int]:
    """How many rows a batch has at most; ``rows`` where it is given, for as long as this block."""
    name = "spark.sql.execution.arrow.maxRecordsPerBatch"
    before = session.conf.get(name, "10000")
    if rows is not None:
        session.conf.set(name, str(rows))
    try:
        yield int(session.conf.get(name, "10000"))
    finally:
        session.conf.set(name, before)


@contextmanager
def time_limit(session: Any, seconds: float | None) -> Iterator[None]:
    """Ends all jobs that are started within, after some ``seconds``; EvidenceError where that was needed."""
    if seconds is None:
        yield
        return
    context, group = session.sparkContext, f"gate-{uuid.uuid4().hex}"
    before = {name: context.getLocalProperty(name) for name in _OF_GROUPS}
    context.setJobGroup(group, "gate check", interruptOnCancel=True)
    over, done = threading.Event(), threading.Event()

    def watch() -> None:
        if done.wait(seconds):
            return
        over.set()
        context.cancelJobGroup(group)
        while not done.wait(_AGAIN):  # a job that starts just now
            context.cancelJobGroup(group)

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    except EvidenceError:
        if not over.is_set():
            raise
    finally:
        done.set()
        watching.join()
        for name, value in before.items():
            context.setLocalProperty(name, value)
    if over.is_set():
        hint = "give it more time in all with --total-timeout, more cores, or fewer rows"
        raise EvidenceError(f"timed out after {seconds:g} s in all", where="Spark", hint=hint)
