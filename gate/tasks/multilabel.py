"""Multilabel: a row has a set of labels. Each label is right or wrong for itself, or only the whole set is.

Labels and answers are lists of names, or lists of 0 and 1 with one place for each of the policy's classes; answers may
be probabilities with a threshold too. Of a single class there may be one number for each row in place of a list. What
is meant goes by the type, never by the values.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gate.core.flips import BY_CLASS, FlipTable
from gate.core.outcomes import Codes, Outcomes, Value
from gate.errors import EvidenceError, datum, did_you_mean
from gate.tasks.batch import Answers, Batch, Classes
from gate.tasks.options import PerModel, TaskOptions, clash
from gate.tasks.reading import HELD_OUT, is_text, refuse, whole
from gate.tasks.units import judged, settled
from gate.tasks.vocabulary import Vocabulary

BY_LABEL = "label"

Flags = NDArray[np.bool_]


class Multilabel:
    """The task of one comparison; satisfies :class:`gate.tasks.batch.Task`.

    With ``match: each`` (the usual one) a row becomes one unit for each class, clustered by row: its class is ``cat``
    where the row has that label and ``not cat`` where it has not, the outputs likewise; the dimension ``label`` has
    both together. With ``match: set`` a row is one unit, right if the sets are equal, and there are no classes.

    >>> task = Multilabel(TaskOptions("multilabel", classes=("cat", "dog")), Classes(("cat", "dog")))
    >>> batch = Batch(
    ...     ids=pa.array([7]), label=pa.array([["cat"]]),
    ...     incumbent=Answers(pa.array([["cat", "dog"]])), candidate=Answers(pa.array([["dog"]])),
    ... )
    >>> found = task.outcomes(batch)
    >>> found.ids.take([0, 1]).tolist(), found.incumbent_right.tolist(), found.candidate_right.tolist()
    (['7: cat', '7: dog'], [True, False], [False, False])
    """

    def __init__(self, options: TaskOptions, classes: Classes) -> None:
        self._options = options
        self._classes = classes.declared
        self._vocabulary = Vocabulary(classes.declared or ())
        self._each = options.match in (None, "each")
        self._kind: str | None = None
        names = classes.declared or ()
        self._values: tuple[Value, ...] = tuple(value for name in names for value in (name, f"not {name}"))
        shared = clash(names)
        if shared is not None and self._each:
            raise EvidenceError(
                f"the class {shared!r} is named like the absence of another",
                where="policy task.classes",
                hint="rename one of the two",
            )

    def outcomes(self, batch: Batch) -> Outcomes:
        label = self._labels(batch)
        candidate = self._answers(batch.candidate, batch, "candidate")
        incumbent = None if batch.incumbent is None else self._answers(batch.incumbent, batch, "incumbent")
        if self._each:
            return self._by_label(batch, label, candidate, incumbent)
        return judged(
            batch,
            _alike(candidate, label),
            None if incumbent is None else _alike(incumbent, label),
            None if incumbent is None else _alike(candidate, incumbent),
        )

    def finish(self, table: FlipTable) -> FlipTable:
        if not self._each:
            return settled(table)
        return settled(table, {BY_CLASS: self._values, BY_LABEL: self._classes or ()})

    def _by_label(self, batch: Batch, label: Flags, candidate: Flags, incumbent: Flags | None) -> Outcomes:
        """One unit for each row and class, the classes of a row side by side."""
        rows, classes = label.shape
        place = np.tile(np.arange(classes), rows)
        cluster = batch.cluster
        if cluster is None:
            cluster = Codes(np.arange(rows), batch.ids.to_pylist())
        truth = label.ravel()
        old = None if incumbent is None else incumbent.ravel()
        new = candidate.ravel()

        def coded(said: Flags) -> Codes:
            return Codes(place * 2 + ~said, self._values)

        def repeated(codes: Codes) -> Codes:
            return Codes(np.repeat(codes.codes, classes), codes.values)

        found = judged(batch, new == truth, None if old is None else old == truth, None if old is None else new == old)
        return replace(
            found,
            # without an incumbent nobody was right before, of any label
            incumbent_right=found.incumbent_right if old is not None else np.zeros(truth.shape, dtype=np.bool_),
            same_output=found.same_output if old is not None else np.zeros(truth.shape, dtype=np.bool_),
            ids=_UnitIds(batch.ids, self._classes or ()),
            label=coded(truth),
            incumbent=None if old is None else coded(old),
            candidate=coded(new),
            shown=None,
            slices={
                **{name: repeated(codes) for name, codes in batch.slices.items()},
                BY_LABEL: Codes(place, self._classes or ()),
            },
            cluster=repeated(cluster),
            weight=None if batch.weight is None else np.repeat(batch.weight, classes),
        )

    def _labels(self, batch: Batch) -> Any:
        column = self._of_the_only_label(batch.label, batch, HELD_OUT, "labels")
        kind = _element(column.type)
        names = column is batch.label and kind is not None and self._names(kind)
        return self._sets(column, names, None, batch, HELD_OUT, "labels")

    # reading sets: a matrix of rows by classes where the classes are known, else an array of sets

    def _answers(self, answers: Answers, batch: Batch, role: str) -> Any:
        where = f"{role} model"
        outputs = self._options.outputs
        column = self._of_the_only_label(answers.values, batch, where, "answers")
        kind = _element(column.type)
        names = column is answers.values and kind is not None and self._names(kind, outputs)
        if kind is not None and outputs is not None and (outputs == "labels") is not names:
            raise EvidenceError(
                f"it answers with lists of {kind}, the policy expects {outputs}", where=where, hint="mend task.outputs"
            )
        threshold = None
        if kind is not None and _is_number(kind) and outputs == "probabilities":
            given = self._options.threshold
            threshold = given.of(role) if isinstance(given, PerModel) else 0.5 if given is None else given
        found = self._sets(column, names, threshold, batch, where, "answers")
        if answers.names is None or self._classes is None or kind is None or names:
            return found
        return self._in_our_order(found, answers.names, where)

    def _of_the_only_label(self, column: pa.Array, batch: Batch, where: str, what: str) -> pa.Array:
        """Where there is one label only, a plain column of numbers or truth values says of each row if it has it."""
        number = _is_number(column.type) or pa.types.is_boolean(column.type)
        if not number or self._classes is None or len(self._classes) != 1:
            return column
        return pa.FixedSizeListArray.from_arrays(whole(column, batch, where, what), 1)

    def _in_our_order(self, found: Flags, names: tuple[str, ...], where: str) -> Flags:
        known = [str(name) for name in self._classes or ()]
        if sorted(names) != sorted(known):
            raise EvidenceError(
                f"its columns ({', '.join(names[:6])}) are not the classes of the policy ({', '.join(known[:6])})",
                where=where,
                hint="mend task.classes",
            )
        return found[:, [names.index(name) for name in known]]

    def _names(self, kind: pa.DataType, outputs: str | None = None) -> bool:
        """Whether lists of this type hold names, rather than one number for each class."""
        if pa.types.is_integer(kind):
            return outputs in (None, "labels") and self._classes is not None and not isinstance(self._classes[0], str)
        return not (pa.types.is_boolean(kind) or _is_number(kind))

    def _sets(self, column: pa.Array, named: bool, threshold: float | None, batch: Batch, where: str, what: str) -> Any:
        kind = _element(column.type)
        if kind is None:
            if pa.types.is_null(column.type) and not len(batch):
                kind, column = pa.string(), column.cast(pa.list_(pa.string()))
            else:
                raise EvidenceError(
                    f"{what} of type {column.type}, and lists are expected",
                    where=where,
                    hint="one list for each row, as Parquet and JSON Lines hold them",
                )
        column = whole(column, batch, where, what)
        lengths = _lengths(column)
        rows = np.repeat(np.arange(len(column)), lengths)
        values = column.flatten()
        if values.null_count:
            _refuse_some(
                values.is_null().to_numpy(zero_copy_only=False), rows, batch, where, f"lists of {what} with a gap"
            )
        if named:
            return self._named(values, rows, batch, where, what)
        if self._classes is None:
            raise EvidenceError(
                f"{what} are lists of {kind}, and nothing says which label each place is",
                where=where,
                hint="name the labels in the policy under task.classes, in the order of the places",
            )
        width = len(self._classes)
        if (lengths != width).any():
            said = f"lists of {what} whose length is not the {width} of task.classes"
            refuse(lengths != width, batch, where, said, "one place for each class")
        numbers = values.to_numpy(zero_copy_only=False).reshape(len(batch), width)
        return _over(numbers.astype(np.float64), threshold, batch, where, what)

    def _named(self, values: pa.Array, rows: NDArray[Any], batch: Batch, where: str, what: str) -> Any:
        """Sets from names: a name that stands twice counts once."""
        of = values.type  # null: lists that are all empty
        if not (is_text(of) or pa.types.is_integer(of) or pa.types.is_dictionary(of) or pa.types.is_null(of)):
            raise EvidenceError(f"{what} are lists of {of}", where=where, hint="text and whole numbers name labels")
        if len(values):
            kind = "text" if is_text(values.type) or pa.types.is_dictionary(values.type) else "integers"
            self._kind = self._kind or kind
            if kind != self._kind:
                raise EvidenceError(
                    f"{what} are lists of {kind}, others of {self._kind}",
                    where=where,
                    hint="1 and '1' are not the same label: cast one side",
                )
        codes = self._vocabulary.encode(values).codes
        if self._classes is None:
            sets = np.empty(len(batch), dtype=object)
            sets[:] = (
                [frozenset(part.tolist()) for part in np.split(codes, np.searchsorted(rows, np.arange(1, len(batch))))]
                if len(batch)
                else []
            )
            return sets
        unknown = codes >= len(self._classes)
        if unknown.any():
            name = self._vocabulary.values[int(codes[unknown][0])]
            said = (
                f"{what} with the label {datum(name)}, which is not in task.classes{did_you_mean(name, self._classes)}"
            )
            _refuse_some(unknown, rows, batch, where, said, "mend the label, or task.classes")
        found = np.zeros((len(batch), len(self._classes)), dtype=np.bool_)
        found[rows, codes] = True
        return found


@dataclass(frozen=True)
class _UnitIds:
    """What names a unit: the row's id and the label, as text."""

    rows: pa.Array
    classes: tuple[Value, ...]

    def take(self, units: Any, /) -> Any:
        places = np.asarray(units, dtype=np.int64)
        ids = self.rows.take(pa.array(places // len(self.classes))).to_pylist()
        labels = (self.classes[place] for place in (places % len(self.classes)).tolist())
        return np.array([f"{row}: {label}" for row, label in zip(ids, labels, strict=True)], dtype=object)


def _element(kind: pa.DataType) -> pa.DataType | None:
    """The type of a list's elements, None for what is no list."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return kind.value_type
    return None


def _lengths(column: pa.Array) -> NDArray[np.int64]:
    if pa.types.is_fixed_size_list(column.type):
        return np.full(len(column), column.type.list_size, dtype=np.int64)
    lengths: NDArray[np.int64] = column.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    return lengths


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _over(numbers: NDArray[np.float64], threshold: float | None, batch: Batch, where: str, what: str) -> Flags:
    """Which labels a row has by its numbers: those of 1, or with a threshold those that reach it."""
    broken: Flags = np.any(np.isnan(numbers), axis=1)
    found: Flags
    if broken.any():
        refuse(broken, batch, where, f"{what} with NaN")
    if threshold is None:
        broken = np.any((numbers != 0) & (numbers != 1), axis=1)
        if broken.any():
            hint = "for probabilities say task.outputs: probabilities, and task.threshold"
            refuse(broken, batch, where, f"{what} that are neither 0 nor 1", hint)
        found = numbers == 1
        return found
    broken = np.any((numbers < 0) | (numbers > 1), axis=1)
    if broken.any():
        refuse(broken, batch, where, f"{what} that are no probabilities", "they must be from 0 to 1")
    found = numbers >= threshold
    return found


def _alike(one: Any, two: Any) -> Flags:
    equal = one == two
    return np.asarray(equal.all(axis=1) if equal.ndim == 2 else equal, dtype=np.bool_)


def _refuse_some(broken: Flags, rows: NDArray[Any], batch: Batch, where: str, what: str, hint: str = "") -> None:
    """Raise for the rows that hold any of the broken elements."""
    found = np.zeros(len(batch), dtype=np.bool_)
    found[rows[broken]] = True
    refuse(found, batch, where, what, hint)
