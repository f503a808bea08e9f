"""A held-out set that Spark reads: where it lies, what names its rows, and the digest of each row.

Together with ``gate.engines.spark`` the only place that imports pyspark.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from gate.data.locations import without_secrets
from gate.data.row_digest import Hashed, RowSetDigest
from gate.data.tables import Table
from gate.errors import EvidenceError, Problem, UsageError, datum

PREFIX = "spark:"
ROW_REST = "__gate_row_rest"
_FORMATS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".orc": "orc",
    ".avro": "avro",
}
_OPTIONS: Mapping[str, Mapping[str, str]] = {"csv": {"header": "true", "inferSchema": "true"}}
_ONE_WORD = "boolean", "tinyint", "smallint", "int", "bigint", "float", "double", "date", "timestamp", "timestamp_ntz"
_SHOWN = 5
_UNKNOWN_FORMAT = re.compile(r"Failed to find (?:the )?data source: ([\w.]+?)\.? ")
_MOMENT = "yyyy-MM-dd'T'HH:mm:ss.SSSSSS"  # as fine as Spark keeps it
_AS_TEXT = {
    "ignoreNullFields": "false",
    "timeZone": "UTC",
    "timestampFormat": _MOMENT,
    "timestampNTZFormat": _MOMENT,
}


@dataclass(frozen=True)
class Frame:
    """A Spark DataFrame as a held-out set. ``uri`` is the source without credentials."""

    uri: str
    rows: Any

    @property
    def header(self) -> Table:
        """Its name and its schema as Arrow has it, without rows: what checks of columns look at."""
        from pyspark.sql.pandas.types import to_arrow_schema

        nothing: Callable[[Sequence[str], int], Iterator[pa.RecordBatch]] = lambda columns, rows: iter(())  # noqa: E731
        with spark_errors(self.uri):
            schema = to_arrow_schema(self.rows.schema)
        return Table(self.uri, pa.schema([pa.field(item.name, item.type) for item in schema]), nothing)

    @property
    def partitions(self) -> int:
        """How many parts Spark reads it in."""
        with spark_errors(self.uri):
            return int(self.rows.rdd.getNumPartitions())

    @property
    def columns(self) -> list[tuple[str, str]]:
        """Name and Spark's type of each column, in order."""
        return [(item.name, item.dataType.simpleString()) for item in self.rows.schema.fields]


def open_frame(session: Any, source: str | os.PathLike[str] | Any) -> Frame:
    """A held-out set for Spark to read; nothing is read yet but its schema.

    A DataFrame of Spark; ``spark:TABLE``, a table or a view by its name; ``spark:FORMAT:PATH``, such as
    ``spark:delta:s3a://bucket/table``, any format that the session knows; or a path or URI: by its ending Parquet, CSV,
    JSON Lines, ORC or Avro, a folder with a ``_delta_log`` Delta, any other folder Parquet.

    UsageError for a table or path that is not there, EvidenceError for one that cannot be read, has no columns, or a
    column name twice.
    """
    if hasattr(source, "schema") and hasattr(source, "sparkSession"):
        return _checked(Frame("(a DataFrame of Spark)", source))
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"the held-out set is a path, a URI or a DataFrame of Spark, not {type(source).__name__}")
    raw = os.fspath(source)
    shown = without_secrets(raw)
    named = raw.removeprefix(PREFIX)
    with spark_errors(shown):
        if raw.startswith(PREFIX) and ":" not in named:
            return _checked(Frame(shown, session.table(named)))
        if raw.startswith(PREFIX):
            form, _, path = named.partition(":")
        else:
            form, path = _format(session, raw), raw
        reader = session.read.format(form).options(**_OPTIONS.get(form, {}))
        if raw.endswith(".tsv"):
            reader = reader.option("sep", "\t")
        return _checked(Frame(shown, reader.load(path)))


@contextmanager
def spark_errors(where: str) -> Iterator[None]:
    """Spark's exceptions as the gate's: UsageError for what is not there, EvidenceError for all else."""
    from py4j.protocol import Py4JError
    from pyspark.errors import AnalysisException, PySparkException

    try:
        yield
    except AnalysisException as error:
        raise UsageError(_first_line(error), where=where, hint="check the table's name, or the path") from error
    except (PySparkException, Py4JError) as error:
        unknown = _UNKNOWN_FORMAT.search(str(error))
        if unknown is not None:
            hint = "put its package among Spark's (spark.jars.packages, spark.jars), or register a source in Python"
            raise UsageError(f"Spark does not know the format {unknown.group(1)!r}", where=where, hint=hint) from error
        raise EvidenceError(_first_line(error), where=where) from error


def check_ids(frame: Frame, columns: Sequence[str]) -> None:
    """EvidenceError if an id of the rows is missing or stands there twice; found in the cluster, by a shuffle of ids.

    Several columns name a row together.
    """
    from pyspark.sql import functions as F  # noqa: N812 - its customary name

    where = f"{frame.uri}: column " + ", ".join(map(repr, columns))
    names = [column(name) for name in columns]
    missing = F.lit(False)
    for name, kind in zip(names, frame.rows.select(*names).dtypes, strict=True):
        missing = missing | name.isNull() | (F.isnan(name) if kind[1] in ("float", "double") else F.lit(False))
    with spark_errors(where):
        times = frame.rows.select(*names).groupBy(*names).agg(F.count(F.lit(1)).alias("__gate_times"))
        wrong = times.where((F.col("__gate_times") > 1) | missing).withColumn("__gate_missing", missing)
        if wrong.isEmpty():
            return
        found = wrong.orderBy(F.desc("__gate_missing"), *names).limit(_SHOWN + 1).collect()
        totals = wrong.groupBy("__gate_missing").agg(F.sum("__gate_times").alias("rows")).collect()
    rows = {bool(total[0]): int(total[1]) for total in totals}
    problems = []
    if True in rows:
        many = "1 row has" if rows[True] == 1 else f"{rows[True]} rows have"
        problems.append(Problem(f"{many} no id", where, "every row needs one"))
    if False in rows:
        twice = [row for row in found if not row["__gate_missing"]]
        shown = "; ".join(f"{datum(_named(row, columns))} in {row['__gate_times']} rows" for row in twice[:_SHOWN])
        more = "; ..." if len(twice) > _SHOWN else ""
        problems.append(
            Problem(f"{rows[False]} rows share their id with another row: {shown}{more}", where, "one row, one id")
        )
    raise EvidenceError(problems=problems)


def hashed(rows: Any) -> tuple[Any, Hashed]:
    """The DataFrame with what is hashed of each row, and where that stands in it.

    Numbers, truth values and times are one word each, and stay as they are. All other columns are told in one more,
    where there are some: a part for each, joined by commas; ``-`` for null, for text and bytes their SHA-256, and for
    whatever else the SHA-256 of its JSON.
    """
    from pyspark.sql import functions as F  # noqa: N812 - its customary name

    words, parts = [], []
    for item in rows.schema.fields:
        kind = item.dataType.simpleString()
        if kind in _ONE_WORD:
            words.append(item.name)
            continue
        of = column(item.name)
        told = of.cast("binary")
        if not (kind == "string" or kind.startswith(("varchar", "char")) or kind == "binary"):
            told = F.when(of.isNotNull(), F.to_json(F.struct(of.alias("of")), _AS_TEXT)).cast("binary")
        parts.append(F.coalesce(F.sha2(told, 256), F.lit("-")))
    if not parts:
        return rows, Hashed(tuple(words))
    return rows.withColumn(ROW_REST, F.concat_ws(",", *parts)), Hashed(tuple(words), ROW_REST)


def digest_of(frame: Frame) -> RowSetDigest:
    """The digest of all rows, in a pass of its own."""
    rows, told = hashed(frame.rows)
    names = [*told.words, *([told.rest] if told.rest else [])]

    def summed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        found = RowSetDigest()
        for batch in batches:
            found.update(told.digests(batch.rename_columns(names)))
        yield pa.record_batch({"total": [f"{found.total:x}"], "rows": pa.array([found.rows], pa.int64())})

    with spark_errors(frame.uri):
        of_rows = rows.select(*(column(name).alias(f"c{place}") for place, name in enumerate(names)))
        parts = of_rows.mapInArrow(summed, "total string, rows bigint").collect()
    whole = RowSetDigest()
    for part in parts:
        whole.add(RowSetDigest(int(part["total"], 16), int(part["rows"])))
    return whole


def _named(row: Any, columns: Sequence[str]) -> Any:
    return row[columns[0]] if len(columns) == 1 else "/".join(str(row[name]) for name in columns)


def column(name: str) -> Any:
    """A column by its name, whatever stands in it: a dot is no path here."""
    from pyspark.sql import functions as F  # noqa: N812 - its customary name

    return F.col("`" + name.replace("`", "``") + "`")


def _format(session: Any, path: str) -> str:
    ending = os.path.splitext(path.rstrip("/"))[1].lower()
    if ending == ".delta" or _has_delta_log(session, path):
        return "delta"
    return _FORMATS.get(ending, "parquet")


def _has_delta_log(session: Any, path: str) -> bool:
    jvm = session._jvm
    log = jvm.org.apache.hadoop.fs.Path(f"{path.rstrip('/')}/_delta_log")
    return bool(log.getFileSystem(session._jsparkSession.sessionState().newHadoopConf()).exists(log))


def _checked(frame: Frame) -> Frame:
    names = frame.rows.columns
    if not names:
        raise EvidenceError("no columns", where=frame.uri)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        listed = ", ".join(repr(name) for name in repeated[:_SHOWN])
        raise EvidenceError(
            f"column names given twice: {listed}", where=frame.uri, hint="rename or drop one of each pair"
        )
    own = [name for name in names if name.startswith("__gate_")]
    if own:
        raise EvidenceError(f"the column name {own[0]!r} is the gate's own", where=frame.uri, hint="rename it")
    return frame


def _first_line(error: BaseException) -> str:
    lines = [line.strip(" :") for line in without_secrets(str(error)).splitlines() if line.strip(" :")]
    told = [line for line in lines if not line.startswith("An error occurred while calling")]
    return datum(told[0] if told else type(error).__name__, str)
