"""Classification, binary and multiclass: an answer is right if it is the label.

Models may answer with labels, class indices, one number per class (probabilities or logits; the largest wins, the first
of equals), or a score with a threshold. Text and integers are never taken for one another: where they meet, the
policy's ``classes`` say which integer is which name, or it is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gate.core.counts import Cells
from gate.core.flips import BY_CLASS, BY_OUTPUT, FlipTable
from gate.core.outcomes import Codes, Confidence, Outcomes, Value
from gate.errors import EvidenceError
from gate.tasks.batch import Answers, Batch, Classes
from gate.tasks.options import PerModel
from gate.tasks.reading import refuse
from gate.tasks.units import judged, settled
from gate.tasks.vocabulary import Vocabulary, plain

OUTPUTS = ("labels", "indices", "probabilities", "logits", "scores")


@dataclass(frozen=True)
class Reading:
    """How answers are read: ``outputs`` is one of ``OUTPUTS``, or None to go by their shape and type.

    ``threshold`` belongs to ``scores``: a score of at least the threshold is the second class, else the first; it may
    be another for each model. ``top_k`` belongs to one number per class: an answer is right if the label is among the
    ``top_k`` largest.
    """

    outputs: str | None = None
    threshold: float | PerModel | None = None
    top_k: int = 1


@dataclass(frozen=True)
class _Decoded:
    codes: Codes
    confidence: NDArray[np.float64] | None = None


class Classification:
    """The task of one comparison; satisfies :class:`gate.tasks.batch.Task`.

    >>> task = Classification(Reading(), Classes())
    >>> batch = Batch(
    ...     ids=pa.array([0, 1]), label=pa.array(["a", "b"]),
    ...     incumbent=Answers(pa.array(["a", "b"])), candidate=Answers(pa.array(["a", "a"])),
    ... )
    >>> task.outcomes(batch).candidate_right.tolist()
    [True, False]
    """

    def __init__(self, reading: Reading, classes: Classes) -> None:
        self._reading = reading
        self._classes = Classes(
            _whole_names(classes.declared), _whole_names(classes.candidate), _whole_names(classes.incumbent)
        )
        self._vocabulary = Vocabulary(self._classes.declared or ())
        self._label_kind: str | None = None
        self._answerable = {"candidate": self._classes.candidate, "incumbent": self._classes.incumbent}
        self._incumbent_outputs: set[int] = set()  # while it was never right

    def outcomes(self, batch: Batch) -> Outcomes:
        label = self._label(batch)
        candidate = self._decode(batch.candidate, "candidate", batch, label)
        incumbent = None if batch.incumbent is None else self._decode(batch.incumbent, "incumbent", batch, label)
        if incumbent is not None:
            self._check_declared(incumbent.codes, batch)
        self._check_known(label, batch)
        candidate_right = label.codes == candidate.codes.codes
        if incumbent is None:
            return replace(judged(batch, candidate_right, None, None), label=label, candidate=candidate.codes)
        incumbent_right = label.codes == incumbent.codes.codes
        if not incumbent_right.any():
            self._incumbent_outputs.update(np.unique(incumbent.codes.codes).tolist())
        return replace(
            judged(batch, candidate_right, incumbent_right, incumbent.codes.codes == candidate.codes.codes),
            label=label,
            incumbent=incumbent.codes,
            candidate=candidate.codes,
            shown=None,
            confidence=None
            if incumbent.confidence is None or candidate.confidence is None
            else Confidence(incumbent.confidence, candidate.confidence),
        )

    def finish(self, table: FlipTable) -> FlipTable:
        """Cells sorted by value, those without rows dropped but for the classes that the policy declares."""
        classes = table.cells.get(BY_CLASS)
        outputs = table.cells.get(BY_OUTPUT)
        if classes is not None and outputs is not None:
            labels = _seen(classes)
            _share_a_value("candidate", labels, _seen(outputs))
            if not table.overall.both_right and not table.overall.negative:
                # An incumbent that is never right has nothing to lose: no flip would ever be negative.
                values = self._vocabulary.values
                _share_a_value("incumbent", labels, {_typed(values[code]) for code in self._incumbent_outputs})
        return settled(table, {BY_CLASS: self._classes.declared or ()})

    # labels

    def _label(self, batch: Batch) -> Codes:
        column = _plain(batch.label, "held-out set", "labels")
        if column.null_count:
            row = batch.first_row + int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
            raise EvidenceError(
                f"{column.null_count} of {len(column)} labels are missing in one batch, first at row {row}",
                where="held-out set",
                hint="a row without a label cannot be judged: complete it, or leave it out",
            )
        column = _whole(column, "held-out set", "labels", batch)
        column = self._named(column, "held-out set", batch)
        kind = _kind(column)
        if self._label_kind is None and len(column):
            self._label_kind = kind
        return self._vocabulary.encode(column)

    def _check_known(self, codes: Codes, batch: Batch) -> None:
        known = self._known(batch)
        if known is None:
            return
        present = np.unique(codes.codes)
        unseen = [int(c) for c in present if (type(codes.values[c]), codes.values[c]) not in known]
        if unseen:
            rows = np.isin(codes.codes, unseen)
            names = ", ".join(repr(codes.values[c]) for c in unseen[:5])
            whose = "the policy's task.classes" if self._classes.declared else "the classes of either model"
            raise EvidenceError(
                f"the labels {names} are not among {whose} ({_some(known)}):"
                f" {int(rows.sum())} rows in one batch, first at row {batch.first_row + int(np.argmax(rows))}",
                where="held-out set",
                hint="relabel, or name the classes in the policy under task.classes",
            )

    def _check_declared(self, codes: Codes, batch: Batch) -> None:
        """An incumbent that names a class otherwise than the policy does has nothing to lose there: no flip would show.

        The candidate's own strange answers are merely wrong.
        """
        if self._classes.declared is None:
            return
        declared = set(map(_typed, self._classes.declared))
        strange = [int(c) for c in np.unique(codes.codes) if _typed(codes.values[c]) not in declared]
        if strange:
            rows = np.isin(codes.codes, strange)
            raise EvidenceError(
                f"it answers {codes.values[strange[0]]!r}, which is not among the policy's task.classes"
                f" ({_some(declared)}): {int(rows.sum())} rows in one batch, first at row"
                f" {batch.first_row + int(np.argmax(rows))}",
                where="incumbent model",
                hint="mend the names of its answers, or of task.classes",
            )

    def _known(self, batch: Batch) -> set[tuple[type, Value]] | None:
        """The values that a label may have; None where a model does not tell which classes it knows."""
        if self._classes.declared is not None:
            return set(map(_typed, self._classes.declared))
        roles = ("candidate",) if batch.incumbent is None else ("candidate", "incumbent")
        known: set[tuple[type, Value]] = set()
        for role in roles:
            names = self._answerable[role]
            if names is None:
                return None
            known |= set(map(_typed, names))
        return known

    def _named(self, column: pa.Array, where: str, batch: Batch) -> pa.Array:
        """Integers, where the policy's classes are text, are positions in them."""
        declared = self._classes.declared
        if declared is None or not pa.types.is_integer(column.type) or not all(isinstance(v, str) for v in declared):
            return column
        return _by_index(column, declared, where, batch)

    # answers

    def _decode(self, answers: Answers, role: str, batch: Batch, label: Codes) -> _Decoded:
        where = f"{role} model"
        own = self._answerable[role]
        if len(answers.values) != len(batch):
            raise EvidenceError(f"{len(answers.values)} answers for {len(batch)} rows", where=where)
        outputs = self._reading.outputs
        if answers.width is not None:
            if outputs in ("labels", "indices", "scores"):
                raise EvidenceError(
                    f"it answers with {answers.width} numbers per row, the policy expects {outputs}",
                    where=where,
                    hint="set task.outputs to probabilities or logits",
                )
            return self._largest(answers, role, batch, label)
        if pa.types.is_list(answers.values.type) or pa.types.is_large_list(answers.values.type):
            lengths = len(set(answers.values.value_lengths().to_pylist()))
            raise EvidenceError(f"lists of {lengths} different lengths", where=where, hint="one number for each class")
        if outputs is None and self._reading.top_k > 1:
            raise EvidenceError(
                f"it answers with one {answers.values.type} per row, and task.top_k looks among one number per class",
                where=where,
                hint="give the gate probabilities or logits, or leave task.top_k out",
            )
        if outputs in ("probabilities", "logits"):
            raise EvidenceError(
                f"it answers with one {answers.values.type} per row, the policy expects {outputs}, one per class",
                where=where,
                hint='a scikit-learn model answers with probabilities if logged with pyfunc_predict_fn="predict_proba"',
            )
        column = _plain(answers.values, where, "answers")
        if column.null_count:
            refuse(column.is_null().to_numpy(zero_copy_only=False), batch, where, "missing answers")
        if outputs == "scores":
            return _Decoded(self._over_threshold(column, role, batch))
        column = _whole(column, where, "answers", batch)
        if outputs == "indices":
            names = self._classes.declared or own
            if names is None:
                raise EvidenceError(
                    "it answers with class indices and nothing says which classes they are",
                    where=where,
                    hint="name the classes in the policy under task.classes",
                )
            if not pa.types.is_integer(column.type):
                raise EvidenceError(
                    f"it answers with {_kind(column)}, the policy expects indices",
                    where=where,
                    hint="set task.outputs to labels",
                )
            column = _by_index(column, names, where, batch)
        else:
            column = self._named(column, where, batch)
        kind = _kind(column)
        if self._label_kind is not None and len(column) and kind != self._label_kind:
            raise EvidenceError(
                f"it answers with {kind} ({column[0].as_py()!r}), the labels are {self._label_kind}",
                where=where,
                hint="1 and '1' are not the same class: cast one side, or name the classes in the policy"
                " under task.classes",
            )
        return _Decoded(self._vocabulary.encode(column))

    def _largest(self, answers: Answers, role: str, batch: Batch, label: Codes) -> _Decoded:
        where = f"{role} model"
        width = answers.width or 0
        kind = answers.values.type.value_type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
            raise EvidenceError(f"it answers with {width} values of type {kind} per row, not with numbers", where=where)
        if answers.values.null_count:
            refuse(answers.values.is_null().to_numpy(zero_copy_only=False), batch, where, "missing answers")
        if len(batch) and not width:
            raise EvidenceError("it answers with no number per row", where=where)
        numbers = answers.values.flatten().to_numpy(zero_copy_only=False).reshape(len(batch), width)
        if pa.types.is_boolean(kind) and answers.values.flatten().null_count:  # other missing numbers are NaN below
            raise EvidenceError("numbers are missing in its answers", where=where, hint="one number for each class")
        broken = np.isnan(numbers).any(axis=1)
        if broken.any():
            raise EvidenceError(
                f"NaN in {int(broken.sum())} answers of one batch, first at row"
                f" {batch.first_row + int(np.argmax(broken))}",
                where=where,
                hint="a NaN is neither right nor wrong: mend the model, or the row",
            )
        names = self._column_names(width, answers.names, self._answerable[role], where)
        self._answerable[role] = names
        codes = np.fromiter((self._vocabulary.code(name) for name in names), dtype=np.int64, count=width)
        best = numbers.argmax(axis=1) if len(batch) else np.zeros(0, dtype=np.int64)
        if self._reading.top_k > 1:
            best = self._label_if_near(numbers, best, codes, label, where)
        return _Decoded(Codes(codes[best], self._vocabulary.values), self._confidence(numbers, best, where, batch))

    def _label_if_near(
        self, numbers: NDArray[Any], best: NDArray[np.intp], codes: NDArray[np.int64], label: Codes, where: str
    ) -> NDArray[np.intp]:
        """The answer that counts: the label where it is among the ``top_k`` largest (the first of equals), else the
        largest."""
        if self._reading.top_k >= numbers.shape[1]:
            raise EvidenceError(
                f"it answers with {numbers.shape[1]} numbers per row, and any label is among the"
                f" {self._reading.top_k} largest of them",
                where=where,
                hint="task.top_k must be less than the number of classes",
            )
        places = np.full(len(self._vocabulary), -1, dtype=np.int64)
        places[codes] = np.arange(len(codes))
        place = places[label.codes]  # -1: a label that the model does not know is never among them
        own = np.take_along_axis(numbers, np.maximum(place, 0)[:, None], axis=1)
        before = np.arange(numbers.shape[1]) < place[:, None]
        rank = ((numbers > own) | ((numbers == own) & before)).sum(axis=1)
        return np.where((place >= 0) & (rank < self._reading.top_k), place, best)

    def _column_names(
        self, width: int, columns: tuple[str, ...] | None, own: tuple[Value, ...] | None, where: str
    ) -> tuple[Value, ...]:
        declared = self._classes.declared
        of_model: tuple[Value, ...] | None = own if own is not None and len(own) == width else columns
        if own is not None and columns is not None and set(map(_typed, own)) == set(map(_typed, columns)):
            of_model = columns  # the order in which the numbers stand
        if declared is not None:
            if len(declared) != width:
                raise EvidenceError(
                    f"it answers with {width} numbers per row, the policy names {len(declared)} classes",
                    where=where,
                    hint="task.classes must name every class of the model, in its order",
                )
            if of_model is not None and set(map(_typed, of_model)) == set(map(_typed, declared)):
                return of_model  # the same classes in the model's own order, which is the one that its numbers have
            if of_model is None or of_model == tuple(range(width)):
                return declared
            raise EvidenceError(
                f"its classes ({_some(map(_typed, of_model))}) are not those of the policy"
                f" ({_some(map(_typed, declared))})",
                where=where,
                hint="mend task.classes",
            )
        if of_model is not None:
            return of_model
        if own is not None:
            raise EvidenceError(
                f"it answers with {width} numbers per row, and knows {len(own)} classes ({_some(map(_typed, own))})",
                where=where,
                hint="name the classes in the policy under task.classes, in the order of the model's outputs",
            )
        if self._label_kind in ("integers", None):
            return tuple(range(width))
        raise EvidenceError(
            f"it answers with {width} numbers per row and nothing says which classes they are; the labels are"
            f" {self._label_kind}",
            where=where,
            hint="name the classes in the policy under task.classes, in the order of the model's outputs",
        )

    def _confidence(
        self, numbers: NDArray[Any], best: NDArray[np.intp], where: str, batch: Batch
    ) -> NDArray[np.float64] | None:
        if self._reading.outputs == "probabilities":
            off = np.abs(numbers.sum(axis=1, dtype=np.float64) - 1.0) > 1e-3
            off |= (numbers < -1e-6).any(axis=1) | (numbers > 1 + 1e-6).any(axis=1)
            if off.any():
                raise EvidenceError(
                    f"{int(off.sum())} answers of one batch are no probabilities (they must be 0 to 1 and sum to 1),"
                    f" first at row {batch.first_row + int(np.argmax(off))}",
                    where=where,
                    hint="set task.outputs to logits",
                )
            return np.asarray(numbers[np.arange(len(best)), best], dtype=np.float64)
        if self._reading.outputs == "logits":
            wide = numbers.astype(np.float64)
            top = wide.max(axis=1, keepdims=True, initial=-np.inf)
            with np.errstate(invalid="ignore"):  # infinity less infinity: equals of the largest all the same
                below = np.where(wide == top, 0.0, wide - top)
            return np.asarray(1.0 / np.exp(below).sum(axis=1))
        return None

    def _over_threshold(self, column: pa.Array, role: str, batch: Batch) -> Codes:
        where = f"{role} model"
        given = self._reading.threshold
        threshold = given.of(role) if isinstance(given, PerModel) else 0.5 if given is None else given
        if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
            raise EvidenceError(f"it answers with {_kind(column)}, the policy expects scores", where=where)
        scores = column.to_numpy(zero_copy_only=False).astype(np.float64)
        broken = np.isnan(scores)
        if broken.any():
            raise EvidenceError(
                f"NaN in {int(broken.sum())} scores of one batch, first at row"
                f" {batch.first_row + int(np.argmax(broken))}",
                where=where,
                hint="a NaN is neither right nor wrong: mend the model, or the row",
            )
        names = self._classes.declared or self._answerable[role]
        if names is None and self._label_kind == "integers":
            names = (0, 1)
        elif names is None and self._label_kind == "booleans":
            names = (False, True)
        if names is None or len(names) != 2:
            raise EvidenceError(
                "a score with a threshold needs two classes"
                + (f", {len(names)} are known" if names is not None else ", and nothing names them"),
                where=where,
                hint="name them in the policy, the one above the threshold last: task.classes: [legit, fraud]",
            )
        self._answerable[role] = names
        codes = np.array([self._vocabulary.code(name) for name in names], dtype=np.int64)
        return Codes(codes[(scores >= threshold).astype(np.int64)], self._vocabulary.values)


def _seen(cells: Cells) -> set[tuple[type, Value]]:
    return {_typed(value) for value, row in zip(cells.values, cells.columns, strict=True) if row.sum()}


def _share_a_value(role: str, labels: set[tuple[type, Value]], outputs: set[tuple[type, Value]]) -> None:
    if labels and outputs and not labels & outputs:
        raise EvidenceError(
            f"none of its {len(outputs)} outputs ({_some(outputs)}) is ever a label ({_some(labels)})",
            where=f"{role} model",
            hint="the two must name the classes alike: name them in the policy under task.classes, or relabel",
        )


def _plain(column: pa.Array, where: str, what: str) -> pa.Array:
    try:
        return plain(column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise EvidenceError(
            f"{what} of type {column.type} do not name anything",
            where=where,
            hint="whole numbers, true and false, and text do",
        ) from None


def _typed(value: Value) -> tuple[type, Value]:
    return type(value), value


def _whole_names(names: tuple[Value, ...] | None) -> tuple[Value, ...] | None:
    """A model that was trained on 0.0 and 1.0 knows the classes 0 and 1."""
    if names is None:
        return None
    return tuple(int(name) if isinstance(name, float) and name.is_integer() else name for name in names)


def _kind(column: pa.Array) -> str:
    if pa.types.is_boolean(column.type):
        return "booleans"
    if pa.types.is_integer(column.type):
        return "integers"
    return "numbers with fractions" if pa.types.is_floating(column.type) else "text"


def _whole(column: pa.Array, where: str, what: str, batch: Batch) -> pa.Array:
    """Floats that are all whole become integers; others are no classes."""
    if not pa.types.is_floating(column.type):
        return column
    numbers = column.to_numpy(zero_copy_only=False)
    broken = ~np.isfinite(numbers) | (numbers != np.floor(numbers)) | (np.abs(numbers) >= 2.0**63)
    if broken.any():
        row = int(np.argmax(broken))
        raise EvidenceError(
            f"{what} must name classes, and {int(broken.sum())} in one batch do not ({numbers[row]!r} at row"
            f" {batch.first_row + row})",
            where=where,
            hint="for a score say task.outputs: scores and task.threshold",
        )
    return column.cast(pa.int64())


def _by_index(column: pa.Array, names: tuple[Value, ...], where: str, batch: Batch) -> pa.Array:
    numbers = column.to_numpy(zero_copy_only=False)
    outside = (numbers < 0) | (numbers >= len(names))
    if outside.any():
        row = int(np.argmax(outside))
        raise EvidenceError(
            f"class index {int(numbers[row])} at row {batch.first_row + row}, and there are {len(names)} classes"
            f" (0 to {len(names) - 1})",
            where=where,
            hint="mend task.classes in the policy",
        )
    return pc.take(pa.array(names), pa.array(numbers))


def _some(values: Any) -> str:
    shown = sorted((value for _, value in values), key=lambda v: (str(type(v)), v))
    return ", ".join(repr(value) for value in shown[:6]) + (", ..." if len(shown) > 6 else "")
