"""The contract of a held-out set: a Great Expectations suite. The only file that imports Great Expectations."""

from __future__ import annotations

import datetime
import decimal
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from gate.data.digests import ContentDigest
from gate.data.suite import Suite, parse_suite
from gate.data.tables import Table
from gate.errors import EvidenceError, Problem, UsageError, did_you_mean

Status = Literal["met", "broken", "crashed"]

_ROWS = 65_536
_SHOWN = 5  # unexpected values kept
_ITEMS = 20  # entries kept of an observed list
_TEXT = 200  # characters kept of an observed text
_COUNTS = ("element_count", "missing_count", "unexpected_count")
_OF_THE_TABLE = "expect_table_"  # such expectations observe how many rows and columns there are, and their names
_MARK = "gate_position"  # results come back in another order: each carries its place in the suite


@dataclass(frozen=True)
class ExpectationResult:
    """What became of one expectation. All values are fit for JSON.

    ``observed`` has those of ``observed_value, element_count, missing_count, unexpected_count, unexpected_values`` that
    apply; long ones are cut. ``message`` is a sentence, empty where the expectation is met. Where values of the data
    are not wanted there are counts in both, and of ``expect_table_...`` what was observed.
    """

    type: str
    kwargs: dict[str, Any]
    status: Status
    observed: dict[str, Any]
    message: str


@dataclass(frozen=True)
class ContractReport:
    """A suite held against a table: ``results`` in the suite's order, and the digest of the very rows it saw.

    ``status`` is the worst of the results: crashed, then broken, then met.
    """

    suite: str
    digest: str
    status: Status
    results: tuple[ExpectationResult, ...]
    content_digest: str
    rows: int


def read_suite(path: str | os.PathLike[str]) -> Suite:
    """Read a suite, and have Great Expectations build each of its expectations.

    An unknown type, an argument too many or too few or of the wrong type, no expectations, and an unreadable file are
    a :class:`UsageError` that lists all the mistakes.

    Example::

        suite = read_suite("expectations/holdout.json")
    """
    suite = parse_suite(path)
    problems = [
        problem
        for position, expectation in enumerate(suite.expectations)
        for problem in _problems(expectation, suite.where(position))
    ]
    if problems:
        raise UsageError(problems=problems)
    return suite


def check_contract(table: Table, suite: Suite, *, values: bool = True) -> ContractReport:
    """Read the table once, digest it, and hold the suite against it; the report quotes ``values`` of the data, or none.

    Needs memory for the columns that the suite names. An expectation that fails is *broken*; one that could not be
    computed (its column is missing, its types do not fit), or of which no result came back, is *crashed*. A severity
    that the suite gives makes no difference. A table without rows is an :class:`EvidenceError`, since nearly every
    expectation is true of nothing.

    Example::

        report = check_contract(open_table("holdout.parquet"), read_suite("expectations/holdout.json"))
        report.status  # "met", "broken" or "crashed"
    """
    frame, digest = _frame(table, suite)

    def open_batch(context: Any) -> Any:
        return (
            context.data_sources.add_pandas("gate")
            .add_dataframe_asset("held_out")
            .add_batch_definition_whole_dataframe("whole")
            .get_batch({"dataframe": frame})
        )

    return _report(_validated(open_batch, suite), suite, digest.hexdigest(), digest.rows, values)


def check_spark_contract(
    rows: Any, suite: Suite, *, content_digest: str, number: int, values: bool = True
) -> ContractReport:
    """Hold the suite against a DataFrame of Spark, in its cluster: as :func:`check_contract` does, with Spark's types.

    ``content_digest`` and ``number`` are those of its rows, which the caller has read.
    """

    def open_batch(context: Any) -> Any:
        # not kept in the cluster's memory: these rows are as many as they are because they fit nowhere
        return (
            context.data_sources.add_spark("gate", persist=False)
            .add_dataframe_asset("held_out")
            .add_batch_definition_whole_dataframe("whole")
            .get_batch({"dataframe": rows})
        )

    return _report(_validated(open_batch, suite), suite, content_digest, number, values)


def _report(found: Mapping[int, Any], suite: Suite, content_digest: str, rows: int, values: bool) -> ContractReport:
    results = tuple(
        _result(expectation, found.get(position), values) for position, expectation in enumerate(suite.expectations)
    )
    statuses = {result.status for result in results}
    status: Status = "crashed" if "crashed" in statuses else "broken" if "broken" in statuses else "met"
    return ContractReport(suite.name, suite.digest, status, results, content_digest, rows)


def _frame(table: Table, suite: Suite) -> tuple[Any, ContentDigest]:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    # A column that no argument mentions, not even within a row condition, counts by its name and place only: images and
    # a thousand features need not become pandas objects for the sake of two columns.
    said = "\n".join(_texts([expectation["kwargs"] for expectation in suite.expectations]))
    named = [name for name in table.schema.names if name in said]
    digest = ContentDigest(table.schema)
    kept = []
    for batch in table.batches(_ROWS):
        digest.update(batch)
        if named:
            kept.append(batch.select(named))
    if not digest.rows:
        raise EvidenceError("no rows: the contract has nothing to check", where=table.uri)
    columns: dict[str, Any] = {
        name: np.zeros(digest.rows, np.bool_) for name in table.schema.names if name not in named
    }
    if named:
        plain = pa.Table.from_batches(kept).unify_dictionaries()
        del kept
        plain = plain.cast(
            pa.schema(
                (item.name, item.type.value_type if pa.types.is_dictionary(item.type) else item.type)
                for item in plain.schema
            )
        )
        for item, column in zip(plain.schema, plain.columns, strict=True):
            # pandas takes equal arrays for different values; equal lists it takes for the same.
            nested = pa.types.is_nested(item.type)
            columns[item.name] = (
                pd.Series(column.to_pylist(), dtype=object) if nested else column.to_pandas(date_as_object=False)
            )
    return pd.DataFrame({name: columns[name] for name in table.schema.names}, copy=False), digest


def _validated(open_batch: Callable[[Any], Any], suite: Suite) -> dict[int, Any]:
    """The results by place: from Great Expectations, or the exception that it threw."""
    import great_expectations as gx

    with _context() as context:
        batch = open_batch(context)
        wanted = {"result_format": "BASIC", "partial_unexpected_count": _SHOWN}

        def run(positions: Sequence[int]) -> dict[int, Any]:
            built = [_build(suite.expectations[position], position) for position in positions]
            answer = batch.validate(gx.ExpectationSuite(name=suite.name, expectations=built), result_format=wanted)
            return {result.expectation_config.meta[_MARK]: result for result in answer.results}

        try:
            return run(range(len(suite.expectations)))
        except Exception:  # noqa: BLE001 - whatever it is, it is a crash of the contract and reported as one
            # One expectation can take the whole suite down: one by one, the others still get their answer.
            found: dict[int, Any] = {}
            for position in range(len(suite.expectations)):
                try:
                    found.update(run([position]))
                except Exception as error:  # noqa: BLE001 - as above
                    found[position] = error
            return found


@contextmanager
def _context() -> Iterator[Any]:
    import great_expectations as gx
    from great_expectations.data_context.data_context.context_factory import project_manager
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.exceptions.exceptions import DataContextRequiredError

    # A new context becomes the process's current one; whoever calls the gate from Python may have one already.
    try:
        before = project_manager.get_current_project()
    except DataContextRequiredError:
        before = None
    try:
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
        yield context
    finally:
        project_manager.set_project(before)


def _build(expectation: Mapping[str, Any], position: int) -> Any:
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    return ExpectationConfiguration(
        type=expectation["type"], kwargs=dict(expectation["kwargs"]), meta={_MARK: position}
    ).to_domain_obj()


def _problems(expectation: Mapping[str, Any], where: str) -> list[Problem]:
    # Built one at a time: a suite built whole only logs an unknown type, and leaves it out.
    from great_expectations.exceptions.exceptions import ExpectationNotFoundError
    from great_expectations.expectations.registry import (
        get_expectation_impl,
        list_registered_expectation_implementations,
    )

    type_ = expectation["type"]
    try:
        implementation = get_expectation_impl(type_)
    except ExpectationNotFoundError:
        hint = did_you_mean(type_, list_registered_expectation_implementations())
        return [Problem(f"unknown expectation {type_!r}{hint}", where)]
    try:
        _build(expectation, 0)
    except Exception as error:  # noqa: BLE001 - an expectation may validate itself with any code
        listed = getattr(error, "errors", None)
        if not callable(listed):
            return [Problem(f"{type_}: {str(error).splitlines()[0] if str(error) else type(error).__name__}", where)]
        return _argument_problems(listed(), type_, implementation, where)
    return []


def _argument_problems(errors: list[dict[str, Any]], type_: str, implementation: Any, where: str) -> list[Problem]:
    told: dict[str, str] = {}
    for error in errors:
        name = str(error["loc"][0])
        if error["type"] == "value_error.extra":
            fields = [field for field in implementation.__fields__ if field in implementation.domain_keys] + [
                field for field in implementation.__fields__ if field not in implementation.domain_keys
            ]
            told.setdefault(name, f"unknown argument {name!r}{did_you_mean(name, fields)}")
        elif error["type"] == "value_error.missing":
            told.setdefault(name, f"argument {name!r} is missing")
        elif name == "__root__":
            told.setdefault(name, error["msg"])
        else:  # a union of types fails once for each of them: the first says enough
            told.setdefault(name, f"argument {name!r}: {error['msg']}")
    if len(told) > 1:
        told.pop("__root__", None)  # a consequence of the others
    return [Problem(f"{type_}: {text}", where) for text in told.values()]


def _result(expectation: Mapping[str, Any], found: Any, values: bool) -> ExpectationResult:
    type_, kwargs = expectation["type"], _jsonable(expectation["kwargs"], cut=False)
    if found is None:
        return ExpectationResult(type_, kwargs, "crashed", {}, "no result came back")
    raised = str(found) or type(found).__name__ if isinstance(found, Exception) else _raised(found.exception_info)
    if raised:
        told = _first_line(raised) if values else "it raised an exception, whose message may quote the data"
        return ExpectationResult(type_, kwargs, "crashed", {}, told)
    result = found.result or {}
    wanted = ("observed_value", *_COUNTS) if values or type_.startswith(_OF_THE_TABLE) else _COUNTS
    observed = {key: _jsonable(result[key]) for key in wanted if key in result}
    if values and result.get("partial_unexpected_list"):
        observed["unexpected_values"] = _jsonable(list(result["partial_unexpected_list"])[:_SHOWN])
    success = _jsonable(found.success)  # sometimes a bool of numpy
    if success is True:
        return ExpectationResult(type_, kwargs, "met", observed, "")
    if success is not False:
        return ExpectationResult(type_, kwargs, "crashed", observed, "neither met nor broken")
    return ExpectationResult(type_, kwargs, "broken", observed, _sentence(observed))


def _raised(info: Any) -> str:
    """The message of an exception within ``exception_info``: one, or one for each metric; empty if there is none."""
    if not isinstance(info, Mapping):
        return ""
    for entry in (info, *info.values()):
        if isinstance(entry, Mapping) and entry.get("raised_exception"):
            return str(entry.get("exception_message") or "it raised an exception without a message")
    return ""


def _sentence(observed: Mapping[str, Any]) -> str:
    if observed.get("unexpected_count"):
        total = observed.get("element_count")
        values = ", ".join(dict.fromkeys(repr(value) for value in observed.get("unexpected_values", ())))
        return (
            f"{observed['unexpected_count']}"
            + (f" of {total}" if total is not None else "")
            + " values are not as expected"
            + (f", such as {values}" if values else "")
        )
    return f"observed {observed['observed_value']!r}" if "observed_value" in observed else "not as expected"


def _first_line(text: str) -> str:
    line = text.strip().splitlines()[0]
    return line if len(line) <= _TEXT else line[: _TEXT - 1] + "…"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(str(key))
            yield from _texts(inner)
    elif isinstance(value, (Sequence, AbstractSet)):
        for inner in value:
            yield from _texts(inner)


def _jsonable(value: Any, *, cut: bool = True) -> Any:
    """Plain Python that JSON can hold: NaN is None, an infinity its name, a date ISO 8601, bytes hexadecimal."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 and not isinstance(value, (str, bytes)):
        value = value.item()
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None if math.isnan(value) else str(value)
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return None if str(value) == "NaT" else value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        value = value.hex()
    if isinstance(value, str):
        return value if not cut or len(value) <= _TEXT else value[: _TEXT - 1] + "…"
    if isinstance(value, Mapping):
        return {str(key): _jsonable(inner, cut=cut) for key, inner in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, AbstractSet):
        value = sorted(value, key=repr)
    if isinstance(value, (list, tuple)):
        kept = value if not cut or len(value) <= _ITEMS else value[:_ITEMS]
        more = [f"and {len(value) - _ITEMS} more"] if len(kept) < len(value) else []
        return [_jsonable(inner, cut=cut) for inner in kept] + more
    text = str(value)
    return None if text in ("NaT", "<NA>") else text
