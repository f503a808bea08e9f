"""A model as Spark's Python workers run it: an MLflow model around another one, asked as a worker asks it.

``mlflow.pyfunc.spark_udf`` turns whatever a model answers into the type that it was told: nothing becomes the text
``None``, rows in another order go unnoticed, whole numbers of some widths are dropped. So the model that it is given is
this one. It loads the real one, casts its input, and refuses what its answer must not be, with the functions of the
local engine; its own answers are of the one type that was found before.

This package is copied into the folder that Spark distributes, as ``gate_model``: in an environment of the model's own
there is no ``gate``.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from .answers import ONE_ANSWER
from .arrow_types import is_list, is_text
from .failures import Refusal, failure
from .loaded import LoadedModel, load
from .predicting import predict

DATA = "asked"
TOLD = "gate.json"
MODEL = "model"
MARK = "gate-model-failed:"


_LOADED: dict[str, LoadedModel] = {}
"""Models by check and role, for the tasks that come to this process later. All are of one check."""


class Asked:
    """The real model, and what is known of it: its ``role``, and the ``form`` of its answers, None to ask for it."""

    def __init__(self, folder: str) -> None:
        with open(os.path.join(folder, TOLD), encoding="utf-8") as file:
            told = json.load(file)
        self._folder, self._told = folder, told
        self._role, self._form, self._running = str(told["role"]), told["form"], told["running"]
        self._label, self._kept_back = told["label"], set(told["kept_back"])
        try:
            with self._at_work():
                self._model = self._mine()
        except (Exception, SystemExit) as error:  # noqa: BLE001  foreign code may raise anything
            raise self._failed("loading it", error) from None

    def predict(self, rows: Any, params: dict[str, Any] | None = None) -> Any:
        """The answers to some rows; what the model and its answers are, as JSON for each row, where that is asked."""
        try:
            table = pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata(None).combine_chunks()
            batch = table.to_batches()[0]
            with self._at_work():
                self._model = self._mine()
                if self._form is None:
                    return [self._about(batch)] * len(rows)
                answer = predict(self._model, batch)
            form = form_of(answer)
            if form != self._form and not (form["type"] == self._form["type"] == "sets"):
                raise Refusal(
                    f"answers {in_words(form)} after it answered {in_words(self._form)}",
                    "predict must return the same kind of answer for every batch",
                )
            return answers(answer.column(0), form["type"])
        except (Exception, SystemExit) as error:  # noqa: BLE001  foreign code may raise anything
            raise self._failed("predict", error) from None

    def _mine(self) -> LoadedModel:
        """The real model. MLflow keeps this object, and the process may have been another model's in between."""
        return _loaded(os.path.join(self._folder, MODEL), self._told)

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Leaves the role in a file of this process, where whoever asks can see it, for as long as the model runs."""
        if self._running is None:
            yield
            return
        path = os.path.join(self._running, str(os.getpid()))
        with open(path, "w", encoding="utf-8") as file:
            file.write(self._role)
        try:
            yield
        finally:
            os.remove(path)

    def _about(self, batch: pa.RecordBatch) -> str:
        named = self._model.columns or []
        seen = [name for name in batch.schema.names if name in named or name not in self._kept_back]
        if self._label in named:  # whoever asked refuses it for that
            return json.dumps({"about": self._model.about, "form": None})
        form = form_of(predict(self._model, batch.select(seen)))
        return json.dumps({"about": self._model.about, "form": form})

    def _failed(self, stage: str, error: BaseException) -> RuntimeError:
        told = {"role": self._role, **failure(stage, error)}
        return RuntimeError(MARK + base64.b64encode(json.dumps(told).encode()).decode())


def _loaded(folder: str, told: dict[str, Any]) -> LoadedModel:
    """The model in a folder, once for each process and check; where models run apart, with no other one beside it."""
    key = f"{told['check']}/{told['role']}"
    if key not in _LOADED:
        stay = "" if told["apart"] else f"{told['check']}/"
        if not stay or not all(other.startswith(stay) for other in _LOADED):
            _LOADED.clear()
            forget_code()
        _LOADED[key] = load(folder, bool(told["sets"]))
    return _LOADED[key]


def forget_code() -> None:
    """Forget what was imported from the code that models bring: another one may bring other code by the same name."""
    beneath = os.sep + os.path.join(DATA, MODEL) + os.sep
    for name, module in list(sys.modules.items()):
        if beneath in str(vars(module).get("__file__") or ""):
            del sys.modules[name]
    sys.path[:] = [place for place in sys.path if beneath not in place + os.sep]


def form_of(answer: pa.RecordBatch) -> dict[str, Any]:
    """What a batch of answers is: its ``type`` for Spark, how many numbers a row has, and their names.

    >>> form_of(pa.record_batch([["ham", "spam"]], names=["answer"]))
    {'type': 'string', 'width': None, 'names': None}
    """
    kind = answer.column(0).type
    metadata = answer.schema.metadata or {}
    names = json.loads(metadata[b"names"]) if b"names" in metadata else None
    if pa.types.is_fixed_size_list(kind):
        return {"type": f"array<{_plain(kind.value_type)}>", "width": kind.list_size, "names": names}
    return {"type": "sets" if is_list(kind) else _plain(kind), "width": None, "names": names}


def _plain(kind: pa.DataType) -> str:
    if is_text(kind):
        return "string"
    if pa.types.is_boolean(kind):
        return "boolean"
    return "long" if pa.types.is_integer(kind) else "float" if kind == pa.float32() else "double"


def in_words(form: dict[str, Any]) -> str:
    """The form of answers, for a message.

    >>> in_words({"type": "array<double>", "width": 3, "names": None})
    'array<double> in 3 columns'
    """
    return str(form["type"]) + (f" in {form['width']} columns" if form["width"] else "")


def answers(values: pa.Array, kind: str) -> Any:
    """Answers as MLflow passes them on unchanged. Raises :class:`Refusal` for rows without an answer.

    >>> answers(pa.array([["cat"], []]), "sets")
    ['["cat"]', '[]']
    """
    if kind == "sets":
        return [json.dumps(row) for row in values.to_pylist()]
    if values.null_count:
        raise Refusal(f"predict returned no answer for {values.null_count} rows", ONE_ANSWER)
    import pandas as pd  # here, so that whoever only looks at this file brings nothing

    if kind.startswith("array"):
        rows = values.flatten().to_numpy(zero_copy_only=False).reshape(len(values), values.type.list_size)
        return pd.DataFrame(rows.astype("int64") if kind == "array<long>" else rows)
    if kind == "string":
        return pd.Series(values.to_pylist(), dtype=object)
    try:
        return pd.Series(values.cast(pa.int64() if kind == "long" else values.type).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid:
        raise Refusal("predict returned whole numbers beyond 64 bits", ONE_ANSWER) from None


def _load_pyfunc(path: str) -> Asked:
    """What MLflow calls."""
    return Asked(path)
