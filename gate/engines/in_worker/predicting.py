"""One batch of features to one batch of answers."""

from __future__ import annotations

import sys

import pyarrow as pa

from .answers import answer_batch
from .features import features
from .frames import from_ipc, to_ipc
from .loaded import LoadedModel


def predict(model: LoadedModel, batch: pa.RecordBatch, *, own: bool = False) -> pa.RecordBatch:
    """One batch of features to one batch of answers. Raises :class:`Refusal` and whatever the model raises.

    ``own`` says that nobody else reads the batch's memory, so that the model may change it.
    """
    data = features(model, batch if own or is_copied(batch) else from_ipc(to_ipc(batch)))
    torch = sys.modules.get("torch")  # imported by the model, or not at all
    if torch is None or not hasattr(torch, "no_grad"):
        return answer_batch(model.call(data), batch.num_rows, model.sets)
    # Not inference_mode: a model may ask for gradients inside its predict, which that forbids.
    with torch.no_grad():
        return answer_batch(model.call(data), batch.num_rows, model.sets)


def is_copied(batch: pa.RecordBatch) -> bool:
    """Whether all of a batch is copied on its way into a model anyway.

    Columns of plain numbers are, by :func:`features`, or by MLflow while it checks them. Of text and lists pandas keeps
    Arrow's own memory, and a model can write there.

    >>> is_copied(pa.record_batch([[1.5]], names=["x"])), is_copied(pa.record_batch([[[1.5]]], names=["x"]))
    (True, False)
    """
    return all(pa.types.is_primitive(kind) for kind in batch.schema.types)
