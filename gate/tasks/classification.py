"""Classification, binary and multiclass: an answer is right if it is the label.

Models may answer with labels, class indices, one number per class (probabilities or logits; the largest wins, the first
of equals), or a score with a threshold. Text and integers are never taken for one another: where they meet, the
policy's ``classes`` say which integer is which name, or it is an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gate.core.counts import Cells
from gate.core.flips import BY_CLASS, BY_OUTPUT, FlipTable
from gate.core.outcomes import Codes, Confidence, Outcomes, Value
from gate.errors import EvidenceError, datum
from gate.tasks.batch import Answers, Batch, Classes
from gate.tasks.class_names import Typed, by_index, kind_of, naming, some, typed, whole_names, whole_numbers
from gate.tasks.margins import Margin, between_best_two, margins, to_threshold
from gate.tasks.options import PerModel
from gate.tasks.per_class import class_of_each, confidence, largest, matrix, near_the_top
from gate.tasks.reading import HELD_OUT, is_list, refuse
from gate.tasks.units import judged, settled
from gate.tasks.vocabulary import Vocabulary

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
    margin: Margin | None = None


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
            whole_names(classes.declared), whole_names(classes.candidate), whole_names(classes.incumbent)
        )
        self._vocabulary = Vocabulary(self._classes.declared or ())
        self._declared = len(self._vocabulary)  # which come first
        self._all_known: tuple[object, ...] = ()  # how many values, and of whose classes, when all were found known
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
            found = judged(batch, candidate_right, None, None)
            return replace(found, label=label, candidate=candidate.codes, right_is_label=True)
        incumbent_right = label.codes == incumbent.codes.codes
        if not incumbent_right.any():
            self._incumbent_outputs.update(np.unique(incumbent.codes.codes).tolist())
        return Outcomes(
            ids=batch.ids,
            incumbent_right=incumbent_right,
            candidate_right=candidate_right,
            same_output=incumbent.codes.codes == candidate.codes.codes,
            label=label,
            incumbent=incumbent.codes,
            candidate=candidate.codes,
            slices=batch.slices,
            cluster=batch.cluster,
            weight=batch.weight,
            right_is_label=True,
            margins=margins(incumbent.margin, candidate.margin, incumbent_right, candidate_right),
            confidence=None
            if incumbent.confidence is None or candidate.confidence is None
            else Confidence(incumbent.confidence, candidate.confidence),
        )

    def finish(self, table: FlipTable) -> FlipTable:
        """Cells sorted by value, those without rows dropped but for the classes that the policy declares."""
        classes = table.cells.get(BY_CLASS)
        outputs = table.cells.get(BY_OUTPUT)
        if classes is not None and outputs is not None and not table.overall.both_right:
            labels = _seen(classes)
            if not table.overall.positive:  # one that is ever right has a value in common with the labels
                _share_a_value("candidate", labels, _seen(outputs))
            if not table.overall.negative:
                # An incumbent that is never right has nothing to lose: no flip would ever be negative.
                values = self._vocabulary.values
                _share_a_value("incumbent", labels, {typed(values[code]) for code in self._incumbent_outputs})
        rising = self._vocabulary.so_far if self._vocabulary.rising else ()
        return settled(table, {BY_CLASS: self._classes.declared or ()}, rising)

    def noticed(self) -> tuple[Value, ...]:
        """What :meth:`finish` looks at beside the table: the incumbent's outputs where it was never right in it."""
        values = self._vocabulary.values
        return tuple(values[code] for code in sorted(self._incumbent_outputs))

    def notice(self, values: Iterable[Value]) -> None:
        """What another one :meth:`noticed` that was given other rows."""
        self._incumbent_outputs.update(self._vocabulary.code(value) for value in values)

    # labels

    def _label(self, batch: Batch) -> Codes:
        column = naming(batch.label, HELD_OUT, "labels")
        if column.null_count:
            missing = column.is_null().to_numpy(zero_copy_only=False)
            raise EvidenceError(
                f"{column.null_count} of {len(column)} labels are missing in one batch, first at row"
                f" {batch.first(missing)}",
                where=HELD_OUT,
                hint="a row without a label cannot be judged: complete it, or leave it out",
            )
        column = whole_numbers(column, HELD_OUT, "labels", batch)
        column = self._named(column, HELD_OUT, batch)
        if self._label_kind is None and len(column):
            self._label_kind = kind_of(column)
        return self._vocabulary.encode(column)

    def _check_known(self, codes: Codes, batch: Batch) -> None:
        looked_at = (len(codes.values), *self._answerable.values())
        if looked_at == self._all_known:
            return
        known = self._known(batch)
        if known is None:
            return
        if known.issuperset(map(typed, codes.values)):
            self._all_known = looked_at
            return
        present = np.unique(codes.codes)
        unseen = [int(c) for c in present if typed(codes.values[c]) not in known]
        if unseen:
            rows = np.isin(codes.codes, unseen)
            names = ", ".join(datum(codes.values[c]) for c in unseen[:5])
            whose = "the policy's task.classes" if self._classes.declared else "the classes of either model"
            raise EvidenceError(
                f"the labels {names} are not among {whose} ({some(known)}): {int(rows.sum())} rows in one batch,"
                f" first at row {batch.first(rows)}",
                where=HELD_OUT,
                hint="relabel, or name the classes in the policy under task.classes",
            )

    def _check_declared(self, codes: Codes, batch: Batch) -> None:
        """An incumbent that names a class otherwise than the policy does has nothing to lose there: no flip would show.

        The candidate's own strange answers are merely wrong.
        """
        if self._classes.declared is None:
            return
        if len(codes.values) == self._declared:
            return
        strange = np.unique(codes.codes[codes.codes >= self._declared]).tolist()
        if strange:
            declared = set(map(typed, self._classes.declared))
            rows = np.isin(codes.codes, strange)
            raise EvidenceError(
                f"it answers {datum(codes.values[strange[0]])}, which is not among the policy's task.classes"
                f" ({some(declared)}): {int(rows.sum())} rows in one batch, first at row {batch.first(rows)}",
                where="incumbent model",
                hint="mend the names of its answers, or of task.classes",
            )

    def _known(self, batch: Batch) -> set[Typed] | None:
        """The values that a label may have; None where a model does not tell which classes it knows."""
        if self._classes.declared is not None:
            return set(map(typed, self._classes.declared))
        roles = ("candidate",) if batch.incumbent is None else ("candidate", "incumbent")
        known: set[Typed] = set()
        for role in roles:
            names = self._answerable[role]
            if names is None:
                return None
            known |= set(map(typed, names))
        return known

    def _named(self, column: pa.Array, where: str, batch: Batch) -> pa.Array:
        """Integers, where the policy's classes are text, are positions in them."""
        declared = self._classes.declared
        if declared is None or not pa.types.is_integer(column.type) or not all(isinstance(v, str) for v in declared):
            return column
        return by_index(column, declared, where, batch)

    # answers

    def _decode(self, answers: Answers, role: str, batch: Batch, label: Codes) -> _Decoded:
        where = f"{role} model"
        if len(answers.values) != len(batch):
            raise EvidenceError(f"{len(answers.values)} answers for {len(batch)} rows", where=where)
        if answers.width is not None:
            return self._largest(answers, role, batch, label)
        self._check_single(answers, where)
        column = naming(answers.values, where, "answers")
        if column.null_count:
            refuse(column.is_null().to_numpy(zero_copy_only=False), batch, where, "missing answers")
        if self._reading.outputs == "scores":
            return self._over_threshold(column, role, batch)
        column = whole_numbers(column, where, "answers", batch)
        if self._reading.outputs == "indices":
            column = self._at_indices(column, role, batch)
        else:
            column = self._named(column, where, batch)
        kind = kind_of(column)
        if self._label_kind is not None and len(column) and kind != self._label_kind:
            raise EvidenceError(
                f"it answers with {kind} ({datum(column[0].as_py())}), the labels are {self._label_kind}",
                where=where,
                hint="1 and '1' are not the same class: cast one side, or name the classes in the policy"
                " under task.classes",
            )
        return _Decoded(self._vocabulary.encode(column))

    def _check_single(self, answers: Answers, where: str) -> None:
        """One answer per row is what the policy expects."""
        kind, outputs = answers.values.type, self._reading.outputs
        if is_list(kind):
            lengths = len(set(answers.values.value_lengths().to_pylist()))
            found = f"lists of {lengths} different lengths" if lengths > 1 else f"lists of {kind.value_type}"
            raise EvidenceError(found, where=where, hint="one number for each class, or one label")
        if outputs is None and self._reading.top_k > 1:
            raise EvidenceError(
                f"it answers with one {kind} per row, and task.top_k looks among one number per class",
                where=where,
                hint="give the gate probabilities or logits, or leave task.top_k out",
            )
        if outputs in ("probabilities", "logits"):
            raise EvidenceError(
                f"it answers with one {kind} per row, the policy expects {outputs}, one per class",
                where=where,
                hint='a scikit-learn model answers with probabilities if logged with pyfunc_predict_fn="predict_proba"',
            )

    def _at_indices(self, column: pa.Array, role: str, batch: Batch) -> pa.Array:
        names, where = self._classes.declared or self._answerable[role], f"{role} model"
        if names is None:
            raise EvidenceError(
                "it answers with class indices and nothing says which classes they are",
                where=where,
                hint="name the classes in the policy under task.classes",
            )
        if not pa.types.is_integer(column.type):
            raise EvidenceError(
                f"it answers with {kind_of(column)}, the policy expects indices",
                where=where,
                hint="set task.outputs to labels",
            )
        return by_index(column, names, where, batch)

    def _largest(self, answers: Answers, role: str, batch: Batch, label: Codes) -> _Decoded:
        where, outputs = f"{role} model", self._reading.outputs
        if outputs in ("labels", "indices", "scores"):
            raise EvidenceError(
                f"it answers with {answers.width} numbers per row, the policy expects {outputs}",
                where=where,
                hint="set task.outputs to probabilities or logits",
            )
        numbers = matrix(answers, batch, where)
        width = numbers.shape[1]
        names = class_of_each(
            width, answers.names, self._answerable[role], self._classes.declared, self._label_kind, where
        )
        self._answerable[role] = names
        codes = np.fromiter((self._vocabulary.code(name) for name in names), dtype=np.int64, count=width)
        best = largest(numbers)
        if self._reading.top_k > 1:  # the answer that counts is the label where it is near the top
            places = np.full(len(self._vocabulary), -1, dtype=np.int64)  # -1: a label that the model does not know
            places[codes] = np.arange(width)
            place = places[label.codes]
            best = np.where(near_the_top(numbers, place, self._reading.top_k, where), place, best)
        return _Decoded(
            Codes(codes[best], self._vocabulary.so_far),
            confidence(numbers, best, outputs, where, batch),
            # among the best few the answer is not the best score, and its distance to the second says nothing
            between_best_two(numbers) if self._reading.top_k == 1 else None,
        )

    def _over_threshold(self, column: pa.Array, role: str, batch: Batch) -> _Decoded:
        where = f"{role} model"
        given = self._reading.threshold
        threshold = given.of(role) if isinstance(given, PerModel) else 0.5 if given is None else given
        if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
            raise EvidenceError(f"it answers with {kind_of(column)}, the policy expects scores", where=where)
        scores = column.to_numpy(zero_copy_only=False).astype(np.float64)
        broken = np.isnan(scores)
        if broken.any():
            raise EvidenceError(
                f"NaN in {int(broken.sum())} scores of one batch, first at row {batch.first(broken)}",
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
        said = Codes(codes[(scores >= threshold).astype(np.int64)], self._vocabulary.so_far)
        return _Decoded(said, margin=to_threshold(scores, threshold))


def _seen(cells: Cells) -> set[Typed]:
    return {typed(cells.values[position]) for position in np.flatnonzero(cells.columns.any(axis=1)).tolist()}


def _share_a_value(role: str, labels: set[Typed], outputs: set[Typed]) -> None:
    if labels and outputs and not labels & outputs:
        raise EvidenceError(
            f"none of its {len(outputs)} outputs ({datum(some(outputs), str)}) is ever a label"
            f" ({datum(some(labels), str)})",
            where=f"{role} model",
            hint="the two must name the classes alike: name them in the policy under task.classes, or relabel",
        )
