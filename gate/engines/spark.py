"""Score and count where the data are: in a Spark cluster, or with Spark on this machine.

Each model becomes a ``mlflow.pyfunc.spark_udf`` of one DataFrame; what each partition makes of the answers is a text
(``gate.engines.spark_wire``), and only these texts leave the cluster. Together with ``gate.data.spark`` the only place
that imports pyspark.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import shlex
import shutil
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow as pa

from gate.engines import spark_model, torch_worker, worker
from gate.engines.answers import ModelInfo, model_error
from gate.engines.environment import FORBIDDEN_NAME, presentable, worker_environment
from gate.engines.requirements import flavors, yaml_of
from gate.engines.spark_daemon import AT_HAND
from gate.errors import EvidenceError, UsageError, datum
from gate.tasks.batch import Answers

INSTALL = "pip install 'model-update-gate[spark]'"
INSTALL_JAVA = "apt-get install openjdk-17-jre-headless"
TOGETHER = 64
"""Partitions whose counts are added in one go; where there are more, they are added in the cluster first."""

TOGETHER_SAFE = frozenset({"mlflow.sklearn", "mlflow.xgboost", "mlflow.lightgbm", "mlflow.catboost"})
"""MLflow's loaders of models that may share a process: what they load is a library's, and no code of the model's own
imports modules or changes what it is sent. A pickle that means harm can (docs/spark.md)."""

_OWN_WORKERS = "GATE_SPARK_MODEL"
_SPARK_NAMES = re.compile(r"^(JAVA_HOME|SPARK_.*|PYSPARK_.*|HADOOP_.*|YARN_.*|KUBERNETES_.*|PYTHONPATH)$")
_FIRST_ROWS = 16
_NOWHERE = "file:///nonexistent"  # models may log somewhere; not with the credentials of the gate's tracking URI
_NOTHING_HIDDEN: Mapping[str, Any] = {"label": None, "kept_back": []}
_FILES = ("conda.yaml", "python_env.yaml", "requirements.txt")


# the session


@dataclass(frozen=True)
class Started:
    """A session, and what to say of who sees what there. ``own`` ones end with the check."""

    session: Any
    own: bool
    scrubbed: bool

    @property
    def local(self) -> bool:
        """Whether everything runs on this machine."""
        return str(self.session.sparkContext.master).startswith("local")

    @property
    def reused(self) -> bool:
        """Whether Spark's Python workers serve one task after another."""
        return str(self.session.sparkContext.getConf().get("spark.python.worker.reuse", "true")).lower() == "true"

    def isolation(self, *, apart: bool) -> str:
        """Where the models ran, for the record; ``apart`` in workers of their own, or in those that counted."""
        where = "on this machine" if self.local else "of the cluster"
        seeing = (
            "an environment without tokens"
            if self.local and self.scrubbed
            else "whatever environment and credentials these have"
        )
        shared = "each of one model alone" if apart else "which models and counting share"
        if not self.reused:
            shared = "a fresh one for each task"
        return f"in Spark's Python workers {where}, {shared}, with {seeing}; no limits but Spark's own"

    @property
    def tools(self) -> dict[str, str]:
        """Versions for the record."""
        java = self.session._jvm.java.lang.System.getProperty("java.version")
        return {"spark": str(self.session.version), "java": str(java)}


@contextmanager
def spark_session(master: str | None = None, at_hand: str = "") -> Iterator[Started]:
    """The session that is active, or one that lives as long as this block.

    A session that is there is used as it is. A new one is of ``master``, or of the master that Spark's own
    configuration names, or ``local[*]``; on this machine it starts with an environment without tokens, what the JVM
    writes goes to a log that nobody reads, and its workers have the module ``at_hand``. UsageError where pyspark or
    Java are missing, where a session of another master is active, and for Spark Connect.
    """
    _installed()
    from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None:
        if not hasattr(active, "sparkContext") or not hasattr(active, "_jsparkSession"):
            raise UsageError("Spark Connect is not supported", where="--engine spark", hint="use a classic session")
        is_of = str(active.sparkContext.master)
        if master is not None and master != is_of:
            raise UsageError(f"a session of {is_of} is active", where="--spark-master", hint="leave the option out")
        yield Started(active, own=False, scrubbed=False)
        return
    with tempfile.TemporaryDirectory(prefix="gate-spark-", ignore_cleanup_errors=True) as folder:
        started = _start(master or _configured_master(), Path(folder), at_hand)
        try:
            yield started
        finally:
            started.session.stop()


def _installed() -> None:
    try:
        import pyspark  # noqa: F401
    except ImportError:
        raise UsageError("pyspark is not installed", where="--engine spark", hint=INSTALL) from None
    home = os.environ.get("JAVA_HOME")
    if shutil.which("java") is None and not (home and Path(home, "bin", "java").exists()):
        raise UsageError("Spark needs Java, and there is none", where="--engine spark", hint=INSTALL_JAVA)


def _configured_master() -> str:
    """The master that spark-submit would take: from its arguments, from spark-defaults.conf, or this machine."""
    arguments = shlex.split(os.environ.get("PYSPARK_SUBMIT_ARGS", ""))
    if "--master" in arguments[:-1]:
        return arguments[arguments.index("--master") + 1]
    home = os.environ.get("SPARK_HOME")
    folder = os.environ.get("SPARK_CONF_DIR") or (os.path.join(home, "conf") if home else None)
    with suppress(OSError, TypeError):
        for line in Path(folder, "spark-defaults.conf").read_text().splitlines():  # type: ignore[arg-type]
            found = re.match(r"\s*spark\.master[\s=:]+(\S+)", line)
            if found:
                return found.group(1)
    return "local[*]"


def _start(master: str, folder: Path, at_hand: str) -> Started:
    from pyspark import SparkConf, SparkContext
    from pyspark.errors import PySparkException
    from pyspark.java_gateway import launch_gateway as launch
    from pyspark.sql import SparkSession

    launch_gateway: Callable[..., Any] = launch

    local = master.startswith("local")
    fresh = SparkContext._gateway is None and "PYSPARK_GATEWAY_PORT" not in os.environ
    environment = dict(os.environ)
    if local:
        environment = worker_environment(os.environ, home=str(folder), threads=1)
        environment |= {
            name: value
            for name, value in os.environ.items()
            if _SPARK_NAMES.match(name) and (name.startswith("PYSPARK_GATEWAY") or not FORBIDDEN_NAME.search(name))
        }
        environment.setdefault("PYSPARK_PYTHON", sys.executable)
        environment[AT_HAND] = at_hand
    conf = SparkConf().setMaster(master).setAppName("gate check").set("spark.ui.showConsoleProgress", "false")
    if local:
        conf.set("spark.ui.enabled", "false").set("spark.local.dir", str(folder))
        conf.set("spark.python.daemon.module", "gate.engines.spark_daemon")
    log = folder / "spark.log"
    with _environment(environment), log.open("wb") as stream:
        try:
            if fresh:
                gateway = launch_gateway(conf, {"stdout": stream, "stderr": stream})
                context = SparkContext(conf=conf, gateway=gateway)
            else:
                context = SparkContext.getOrCreate(conf)
            session = SparkSession.builder.getOrCreate()
        except (PySparkException, OSError, RuntimeError) as error:
            said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
            raise UsageError(
                f"Spark does not start: {presentable(said[-1] if said else str(error).splitlines()[0])}",
                where=f"--spark-master {master}",
                hint="look at its own configuration",
            ) from error
    context.setLogLevel("OFF")
    return Started(session, own=True, scrubbed=local and fresh)


@contextmanager
def _environment(environment: Mapping[str, str]) -> Iterator[None]:
    """This process's environment, for as long as Spark or MLflow look at it."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


# the models

_IN_ARROW = {
    "string": pa.string(),
    "boolean": pa.bool_(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
}


@dataclass(frozen=True)
class Form:
    """What a model's answers are: their ``type`` in Spark; of a matrix how many numbers a row has, and their names."""

    type: str
    width: int | None = None
    names: tuple[str, ...] | None = None

    @classmethod
    def from_json(cls, told: Mapping[str, Any] | None) -> Form:
        """What :func:`gate.engines.spark_model.form_of` found; of a model that was not asked, a text."""
        if told is None:
            return cls("string")
        return cls(told["type"], told["width"], None if told["names"] is None else tuple(told["names"]))

    @property
    def in_spark(self) -> str:
        """The type of the column: sets travel as text, since MLflow would pad them."""
        return "string" if self.type == "sets" else self.type

    @property
    def in_arrow(self) -> pa.DataType:
        """The type of the column in Arrow."""
        plain = _IN_ARROW[self.in_spark.removeprefix("array<").removesuffix(">")]
        return plain if self.width is None else pa.list_(plain)

    def to_json(self) -> dict[str, Any]:
        """What :meth:`from_json` reads."""
        return {"type": self.type, "width": self.width, "names": None if self.names is None else list(self.names)}

    def answers(self, column: pa.Array) -> Answers:
        """A batch of the column as a task takes it.

        >>> Form("sets").answers(pa.array(['["cat"]', "[]"])).values.to_pylist()
        [['cat'], []]
        """
        if self.type == "sets":
            return Answers(pa.array([json.loads(row) for row in column.to_pylist()]))
        if self.width is None:
            return Answers(column)
        return Answers(pa.FixedSizeListArray.from_arrays(column.flatten(), self.width), self.names)


@dataclass(frozen=True)
class Answering:
    """Asks the models in the process that counts, so that rows leave Java once for all of them.

    ``models`` has for each column of answers the function that ``mlflow.pyfunc.spark_udf`` made for Spark's workers,
    the columns that it is sent, and the form of its answers.
    """

    models: Mapping[str, tuple[Callable[[Iterator[Any]], Iterator[Any]], tuple[str, ...], Form]]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Generator[pa.RecordBatch, None, None]:
        """The batches that have rows, with the answers as further columns."""
        waiting: dict[str, pa.RecordBatch] = {}

        def sent(name: str) -> Iterator[Any]:
            from pandas import ArrowDtype

            while True:
                yield waiting.pop(name).to_pandas(types_mapper=ArrowDtype)

        with ExitStack() as stack:
            answering = {}
            for name, (asked, _, _) in self.models.items():
                answering[name] = asked(sent(name))
                stack.callback(answering[name].close)  # type: ignore[attr-defined]  # a generator
            for batch in batches:
                if not batch.num_rows:
                    continue
                answers = []
                for name, (_, offered, form) in self.models.items():
                    waiting[name] = batch.select(list(offered))
                    answers.append(pa.array(next(answering[name]), form.in_arrow, from_pandas=False))
                names = [*batch.schema.names, *self.models]
                yield pa.RecordBatch.from_arrays([*batch.columns, *answers], names=names)


Place = tuple[str, Form]
"""The column that a model's answers are in, and what they are."""


class Scorer:
    """Models by role, as columns of answers. ``folders`` are those of MLflow models on this machine.

    ``env_manager`` is MLflow's: ``local`` runs them in the environment of Spark's workers, ``uv`` and ``virtualenv`` in
    one that is made of a model's own requirements on each machine.

    All run in the process that counts, where all are of :data:`TOGETHER_SAFE` and bring no code, and a worker serves
    more than one task. Otherwise each runs ``apart``, in workers that run no other model (``digests`` say which one it
    is), and all rows cross to each.
    """

    def __init__(
        self,
        started: Started,
        folders: Mapping[str, Path],
        digests: Mapping[str, str],
        *,
        into: Path,
        sets: bool,
        env_manager: str = "local",
    ) -> None:
        self._started, self._folders, self._digests, self._into = started, dict(folders), dict(digests), into
        self._sets, self._env_manager, self._check = sets, env_manager, uuid.uuid4().hex
        self._forms: dict[str, Form] = {}
        self._flavors = {role: flavors(yaml_of(folder / "MLmodel")) for role, folder in self._folders.items()}
        together = env_manager == "local" and started.reused and all(map(_may_share, self._flavors.values()))
        self.apart = not together
        self._running = into / "running"
        self._running.mkdir()

    def ask(self, rows: Any, *, but: str | None, kept_back: Collection[str]) -> dict[str, ModelInfo]:
        """What the models say of themselves, and what form their answers have: by the first rows, in the cluster.

        No model sees the column ``but``, nor those ``kept_back`` unless it names them. EvidenceError for a model that
        fails, and if there are no rows.
        """
        features = [name for name in rows.columns if name != but]
        some = rows.coalesce(1).limit(_FIRST_ROWS)  # of one partition: no shuffle
        hidden = {"label": but, "kept_back": sorted(kept_back)}
        udfs = {role: self._udf(role, None, hidden) for role in self._folders}
        with self.errors():
            if self.apart:
                first = some.select(
                    *(self._column(role, udf, features).alias(f"a{i}") for i, (role, udf) in enumerate(udfs.items()))
                )
            else:
                first = _asked(some, features, {f"a{i}": udf for i, udf in enumerate(udfs.values())})
            found = first.collect()
        if not found:
            hint = "nothing was checked, so nothing is allowed"
            raise EvidenceError("it has no rows", where="held-out set", hint=hint)
        infos = {}
        for place, role in enumerate(udfs):
            told = json.loads(found[0][place])
            self._forms[role] = Form.from_json(told["form"])
            infos[role] = ModelInfo.from_json(role, told["about"])
        return infos

    def answered(self, rows: Any, offered: Mapping[str, Sequence[str]]) -> tuple[Any, Answering, dict[str, Place]]:
        """The DataFrame, what asks the models where it is counted, and where each role's answers stand after that.

        ``offered`` are the columns that each model is sent. Of models that run apart the answers are columns of the
        DataFrame already.
        """
        places: dict[str, Place] = {}
        models = {}
        if not all(offered.values()):
            hint = "with --engine local a model may answer rows without columns"
            raise EvidenceError("it has no column for a model", where="held-out set", hint=hint)
        for number, role in enumerate(self._folders):
            name, form = f"__gate_answer_{number}", self._forms[role]
            udf = self._udf(role, form)
            if self.apart:
                rows = rows.withColumn(name, self._column(role, udf, offered[role]))
            else:
                models[name] = (_function(udf), tuple(offered[role]), form)
            places[role] = (name, form)
        return rows, Answering(models), places

    def _column(self, role: str, udf: Any, offered: Sequence[str]) -> Any:
        """The answers of a model that runs apart: by workers of this model alone.

        Spark has workers of their own for functions that want another environment, so a model whose code changes what
        is imported or set in a process changes it for no other model, of this check or of one in the same session.
        """
        environment = self._started.session.sparkContext.environment
        environment[_OWN_WORKERS] = self._digests[role]
        try:
            return udf(_struct(offered))
        finally:
            del environment[_OWN_WORKERS]

    @contextmanager
    def errors(self) -> Iterator[None]:
        """What goes wrong in a job, as :func:`job_errors` tells it, with the models that were running."""
        with job_errors(self._at_work):
            yield

    def _at_work(self) -> list[str]:
        """The roles that some process was busy with when it ended; of all that are, where none has ended."""
        left = {}
        for file in self._running.iterdir():
            with suppress(FileNotFoundError):  # its model has just answered
                left[int(file.name)] = file.read_text(encoding="utf-8")
        gone = {role for pid, role in left.items() if not _alive(pid)}
        return sorted((gone or set(left.values())) & set(self._folders))

    def _udf(self, role: str, form: Form | None, hidden: Mapping[str, Any] = _NOTHING_HIDDEN) -> Any:
        import mlflow
        import mlflow.pyfunc

        place = list(self._folders).index(role)
        folder = self._into / f"{place}-{'asked' if form is None else 'scoring'}"
        told = {
            "role": role,
            "sets": self._sets,
            "form": form and form.to_json(),
            "check": self._check,
            "apart": self.apart,
            "running": str(self._running) if self._started.local else None,
            **hidden,
        }
        _wrap(self._folders[role], self._flavors[role], folder, told)
        open_to_all = {name: value for name, value in os.environ.items() if not FORBIDDEN_NAME.search(name)}
        # MLflow sends the tracking URI, and variables with keys in them, along with the function.
        open_to_all["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        with _environment(open_to_all), _quiet("mlflow"):
            is_set: Callable[[], bool] = mlflow.tracking.is_tracking_uri_set
            of_caller = mlflow.get_tracking_uri() if is_set() else None
            mlflow.set_tracking_uri(_NOWHERE)
            try:
                return mlflow.pyfunc.spark_udf(
                    self._started.session,
                    str(folder),
                    result_type="string" if form is None else form.in_spark,
                    env_manager=self._env_manager,
                )
            finally:
                mlflow.set_tracking_uri(of_caller)  # type: ignore[arg-type]  # None: not set, as it was


def _function(udf: Any) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """What Spark's workers call: from DataFrames of pandas to as many Series of answers."""
    found: Callable[[Iterator[Any]], Iterator[Any]] = udf.func
    return found


def _asked(some: Any, names: Sequence[str], udfs: Mapping[str, Any]) -> Any:
    """What the models say of these columns of a few rows, as a DataFrame of one row."""
    answering = Answering({name: (_function(udf), tuple(names), Form("string")) for name, udf in udfs.items()})
    asked = list(udfs)

    def first(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in answering(batch.rename_columns(list(names)) for batch in batches):
            yield batch.select(asked).slice(0, 1)

    return _placed(some, names).mapInArrow(first, ", ".join(f"{name} string" for name in asked))


def _may_share(kinds: Mapping[str, Any]) -> bool:
    """Whether a model of these flavours may run beside others: a plain one of a library, without modules of its own.

    >>> plain = {"python_function": {"loader_module": "mlflow.sklearn"}, "sklearn": {"code": None}}
    >>> _may_share(plain), _may_share({**plain, "sklearn": {"code": "code"}}), _may_share({})
    (True, False, False)
    """
    plain = kinds.get("python_function")
    return (
        isinstance(plain, dict)
        and plain.get("loader_module") in TOGETHER_SAFE
        and not any(kind.get("code") for kind in kinds.values() if isinstance(kind, dict))
    )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _wrap(model: Path, kinds: Mapping[str, Any], folder: Path, told: Mapping[str, Any]) -> None:
    """An MLflow model in ``folder`` that runs the one in ``model`` as the gate's workers do."""
    import mlflow

    data, code = folder / spark_model.DATA, folder / "code" / "gate_model"
    code.mkdir(parents=True)
    data.mkdir()
    (code / "__init__.py").write_text("")
    for module in (spark_model, worker, torch_worker):
        shutil.copy(str(module.__file__), code)
    shutil.copytree(model, data / spark_model.MODEL, copy_function=_linked)
    (data / spark_model.TOLD).write_text(json.dumps(told))
    flavor = kinds.get("python_function")
    own = {key: flavor[key] for key in ("env", "python_version") if key in flavor} if isinstance(flavor, dict) else {}
    for name in _FILES:
        if (model / name).is_file():
            shutil.copy(model / name, folder)
    outer = {
        "flavors": {
            "python_function": {
                **own,
                "loader_module": "gate_model.spark_model",
                "code": "code",
                "data": spark_model.DATA,
            }
        },
        "mlflow_version": mlflow.__version__,
    }
    (folder / "MLmodel").write_text(json.dumps(outer))  # JSON is YAML


def _linked(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # another filesystem, or one without hard links
        shutil.copy2(source, target)
    return target


def _column(name: str) -> Any:
    from pyspark.sql import functions as F  # noqa: N812 - its customary name

    return F.col("`" + name.replace("`", "``") + "`")


def _placed(rows: Any, names: Sequence[str]) -> Any:
    """Some columns, named by their places: a dot in a name is no path, but Spark takes it so."""
    return rows.selectExpr(*(f"`{name.replace('`', '``')}` AS c{place}" for place, name in enumerate(names)))


def _struct(names: Iterable[str]) -> Any:
    from pyspark.sql import functions as F  # noqa: N812 - its customary name

    return F.struct(*(_column(name).alias(name) for name in names))


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


# the count


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
        parts, number = _placed(rows, columns).mapInArrow(counting, schema), partitions
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


_FAILED = re.compile(re.escape(spark_model.MARK) + r"([A-Za-z0-9+/=]+)")
_OF_GROUPS = "spark.jobGroup.id", "spark.job.description", "spark.job.interruptOnCancel"
_AGAIN = 1.0
_LOST = ("Python worker exited unexpectedly", "Python worker failed to connect", "crashed consecutively")


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
