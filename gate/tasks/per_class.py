"""Answers with one number for each class: which class they say, and how sure they are of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gate.core.outcomes import Value
from gate.errors import EvidenceError
from gate.tasks.batch import Answers, Batch
from gate.tasks.class_names import some, typed
from gate.tasks.reading import refuse

Numbers = NDArray[Any]
Places = NDArray[np.intp]


def matrix(answers: Answers, batch: Batch, where: str) -> Numbers:
    """The numbers, of shape (rows, classes); EvidenceError for what are no numbers, and for a missing one or a NaN."""
    width = answers.width or 0
    kind = answers.values.type.value_type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        raise EvidenceError(f"it answers with {width} values of type {kind} per row, not with numbers", where=where)
    if answers.values.null_count:
        refuse(answers.values.is_null().to_numpy(zero_copy_only=False), batch, where, "missing answers")
    if len(batch) and not width:
        raise EvidenceError("it answers with no number per row", where=where)
    flat = answers.values.flatten()
    numbers: Numbers = flat.to_numpy(zero_copy_only=False).reshape(len(batch), width)
    if pa.types.is_boolean(kind) and flat.null_count:  # other missing numbers are NaN below
        raise EvidenceError("numbers are missing in its answers", where=where, hint="one number for each class")
    broken = np.asarray(np.isnan(numbers).any(axis=1))
    if broken.any():
        raise EvidenceError(
            f"NaN in {int(broken.sum())} answers of one batch, first at row {batch.first(broken)}",
            where=where,
            hint="a NaN is neither right nor wrong: mend the model, or the row",
        )
    return numbers


def largest(numbers: Numbers) -> Places:
    """The place of the largest number of each row, the first of equals.

    >>> largest(np.array([[0.1, 0.9], [0.5, 0.5]])).tolist()
    [1, 0]
    """
    return numbers.argmax(axis=1) if len(numbers) else np.zeros(0, dtype=np.int64)


def near_the_top(numbers: Numbers, place: NDArray[np.int64], top_k: int, where: str) -> NDArray[np.bool_]:
    """Whether the number at each row's ``place`` (-1: it has none) is among the ``top_k`` largest, of equals the first.

    EvidenceError where any number would be: ``top_k`` must be less than their number.

    >>> near_the_top(np.array([[0.5, 0.3, 0.2]] * 3), np.array([1, 2, -1]), 2, "model").tolist()
    [True, False, False]
    """
    if top_k >= numbers.shape[1]:
        raise EvidenceError(
            f"it answers with {numbers.shape[1]} numbers per row, and any label is among the {top_k} largest of them",
            where=where,
            hint="task.top_k must be less than the number of classes",
        )
    own = np.take_along_axis(numbers, np.maximum(place, 0)[:, None], axis=1)
    before = np.arange(numbers.shape[1]) < place[:, None]
    rank = ((numbers > own) | ((numbers == own) & before)).sum(axis=1)
    return np.asarray((place >= 0) & (rank < top_k))


def class_of_each(
    width: int,
    columns: tuple[str, ...] | None,
    own: tuple[Value, ...] | None,
    declared: tuple[Value, ...] | None,
    label_kind: str | None,
    where: str,
) -> tuple[Value, ...]:
    """Which class each of the ``width`` numbers belongs to.

    ``columns`` are the names that the numbers have, ``own`` the classes that the model knows, ``declared`` those of the
    policy, ``label_kind`` what the labels are. EvidenceError where these contradict one another or tell nothing.
    """
    of_model: tuple[Value, ...] | None = own if own is not None and len(own) == width else columns
    if own is not None and columns is not None and set(map(typed, own)) == set(map(typed, columns)):
        of_model = columns  # the order in which the numbers stand
    if declared is not None:
        return _declared(width, of_model, declared, where)
    if of_model is not None:
        return of_model
    if own is not None:
        raise EvidenceError(
            f"it answers with {width} numbers per row, and knows {len(own)} classes ({some(map(typed, own))})",
            where=where,
            hint="name the classes in the policy under task.classes, in the order of the model's outputs",
        )
    if label_kind in ("integers", None):
        return tuple(range(width))
    raise EvidenceError(
        f"it answers with {width} numbers per row and nothing says which classes they are; the labels are {label_kind}",
        where=where,
        hint="name the classes in the policy under task.classes, in the order of the model's outputs",
    )


def _declared(
    width: int, of_model: tuple[Value, ...] | None, declared: tuple[Value, ...], where: str
) -> tuple[Value, ...]:
    if len(declared) != width:
        raise EvidenceError(
            f"it answers with {width} numbers per row, the policy names {len(declared)} classes",
            where=where,
            hint="task.classes must name every class of the model, in its order",
        )
    if of_model is not None and set(map(typed, of_model)) == set(map(typed, declared)):
        return of_model  # the same classes in the model's own order, which is the one that its numbers have
    if of_model is None or of_model == tuple(range(width)):
        return declared
    raise EvidenceError(
        f"its classes ({some(map(typed, of_model))}) are not those of the policy ({some(map(typed, declared))})",
        where=where,
        hint="mend task.classes",
    )


def confidence(
    numbers: Numbers, place: Places, outputs: str | None, where: str, batch: Batch
) -> NDArray[np.float64] | None:
    """How sure the answer at each row's ``place`` is, from 0 to 1: of probabilities and logits; None for others.

    EvidenceError for probabilities that are none.
    """
    if outputs == "probabilities":
        off = np.abs(numbers.sum(axis=1, dtype=np.float64) - 1.0) > 1e-3
        off |= (numbers < -1e-6).any(axis=1) | (numbers > 1 + 1e-6).any(axis=1)
        if off.any():
            raise EvidenceError(
                f"{int(off.sum())} answers of one batch are no probabilities (they must be 0 to 1 and sum to 1),"
                f" first at row {batch.first(off)}",
                where=where,
                hint="set task.outputs to logits",
            )
        return np.asarray(numbers[np.arange(len(place)), place], dtype=np.float64)
    if outputs == "logits":
        wide = numbers.astype(np.float64)
        top = wide.max(axis=1, keepdims=True, initial=-np.inf)
        with np.errstate(invalid="ignore"):  # infinity less infinity: equals of the largest all the same
            below = np.where(wide == top, 0.0, wide - top)
        return np.asarray(1.0 / np.exp(below).sum(axis=1))
    return None
