"""Models as functions of Spark: what asks them, in the process that counts or each in workers of its own."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from gate.engines.answers import ModelInfo, model_error
from gate.engines.environment import FORBIDDEN_NAME
from gate.engines.in_process import output_to
from gate.engines.installers import with_uv
from gate.engines.requirements import flavors, yaml_of
from gate.engines.spark.jobs import job_errors, placed
from gate.engines.spark.session import Started, environment_of, quiet
from gate.engines.spark.wrapped import wrap
from gate.errors import EvidenceError
from gate.tasks.batch import Answers

TOGETHER_SAFE = frozenset({"mlflow.sklearn", "mlflow.xgboost", "mlflow.lightgbm", "mlflow.catboost"})
"""MLflow's loaders of models that may share a process: what they load is a library's, and no code of the model's own
imports modules or changes what it is sent. A pickle that means harm can (docs/spark.md)."""

_OWN_WORKERS = "GATE_SPARK_MODEL"
_FIRST_ROWS = 16
_NOWHERE = "file:///nonexistent"  # models may log somewhere; not with the credentials of the gate's tracking URI
_ENVIRONMENT = "mend its requirements, or run it in the environment of Spark's workers (--env-manager local)"
_LINES = 6
_NOTHING_HIDDEN: Mapping[str, Any] = {"label": None, "kept_back": []}
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
        """What :func:`gate.engines.in_worker.spark_model.form_of` found; of a model that was not asked, a text."""
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
        wrap(self._folders[role], self._flavors[role], folder, told)
        open_to_all = {name: value for name, value in os.environ.items() if not FORBIDDEN_NAME.search(name)}
        # MLflow sends the tracking URI, and variables with keys in them, along with the function.
        open_to_all["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        if self._env_manager == "uv":
            open_to_all["PATH"] = with_uv(open_to_all)
        with environment_of(open_to_all), quiet("mlflow"):
            is_set: Callable[[], bool] = mlflow.tracking.is_tracking_uri_set
            of_caller = mlflow.get_tracking_uri() if is_set() else None
            mlflow.set_tracking_uri(_NOWHERE)
            try:
                with _environment_errors(role, self._into / "installer.log"):
                    return mlflow.pyfunc.spark_udf(
                        self._started.session,
                        str(folder),
                        result_type="string" if form is None else form.in_spark,
                        env_manager=self._env_manager,
                    )
            finally:
                mlflow.set_tracking_uri(of_caller)  # type: ignore[arg-type]  # None: not set, as it was


@contextmanager
def _environment_errors(role: str, log: Path) -> Iterator[None]:
    """An environment that MLflow cannot build is the error of its model, with the last words of the installer."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.process import ShellCommandException

    try:
        with output_to(log):
            yield
    except (MlflowException, ShellCommandException, OSError) as error:
        said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-_LINES:]
        said = said or [line for line in str(error).splitlines() if line.strip()][:_LINES]
        raise model_error(role, "MLflow cannot make its environment: " + "\n    | ".join(said), _ENVIRONMENT) from error


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

    return placed(some, names).mapInArrow(first, ", ".join(f"{name} string" for name in asked))


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


def _column(name: str) -> Any:
    from pyspark.sql import functions as F  # noqa: N812 - its customary name

    return F.col("`" + name.replace("`", "``") + "`")


def _struct(names: Iterable[str]) -> Any:
    from pyspark.sql import functions as F  # noqa: N812 - its customary name

    return F.struct(*(_column(name).alias(name) for name in names))
