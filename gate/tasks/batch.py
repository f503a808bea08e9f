"""What a task is given: one batch of the held-out set with both models' answers, as Arrow arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gate.core.flips import FlipTable
from gate.core.outcomes import Codes, Outcomes, Value


@dataclass(frozen=True)
class Answers:
    """What one model answered for a batch: ``values`` has one entry per row.

    1-D values are labels, indices or scores; a fixed-size list holds one number per class, and a list a set of labels.
    ``names`` are the column names of such an answer, where it had any. ``score`` is what a scorer gave each answer,
    where the task asks for it.
    """

    values: pa.Array
    names: tuple[str, ...] | None = None
    score: pa.Array | None = None

    @classmethod
    def of(cls, column: pa.Array, score: pa.Array | None = None) -> Answers:
        """A column of predictions from a file, whose lists of numbers have one length but not the type that says so.

        Lists of different lengths stay lists: they may be sets of labels.

        >>> Answers.of(pa.array([[0.1, 0.9], [0.8, 0.2]])).width
        2
        """
        if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            lengths = set(column.value_lengths().to_pylist())
            length = lengths.pop() if len(lengths) == 1 else None
            if length:
                column = pa.FixedSizeListArray.from_arrays(column.flatten(), length)
        return cls(column, score=score)

    @property
    def width(self) -> int | None:
        """How many numbers there are per row; None for a 1-D answer."""
        return self.values.type.list_size if pa.types.is_fixed_size_list(self.values.type) else None


@dataclass(frozen=True)
class Repeats:
    """Which question each row asks, and for the how-manieth time."""

    question: Codes
    sample: NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Rows ``first_row`` and on of the held-out set (rows count from 0), all arrays of one length.

    ``incumbent`` is None where there is no incumbent to compare with; ``label`` is all null where the task needs none.
    ``cluster`` and ``weight`` are those of the rows, where the policy names such columns; ``columns`` are those that
    the task itself asks for, by name; ``retrained`` are the answers of retrained incumbents; ``repeats`` is there where
    questions are asked several times. ``numbers`` are the rows' own numbers, where they have gaps. ``beside`` are
    columns that only readers see, of the rows ``first_row`` and on without a gap. A batch of no rows is allowed.
    """

    ids: pa.Array
    label: pa.Array
    candidate: Answers
    incumbent: Answers | None
    slices: Mapping[str, Codes] = field(default_factory=dict)
    first_row: int = 0
    cluster: Codes | None = None
    weight: NDArray[np.float64] | None = None
    columns: Mapping[str, pa.Array] = field(default_factory=dict)
    retrained: tuple[Answers, ...] = ()
    repeats: Repeats | None = None
    numbers: NDArray[np.int64] | None = None
    beside: pa.RecordBatch | None = None

    def __len__(self) -> int:
        return len(self.label)

    @property
    def row_numbers(self) -> NDArray[np.int64]:
        """The number that each row has in the held-out set."""
        return np.arange(self.first_row, self.first_row + len(self)) if self.numbers is None else self.numbers

    def first(self, marked: NDArray[np.bool_]) -> int:
        """The number that the first marked row has in the held-out set; at least one is marked.

        >>> batch = Batch(pa.array([7, 8, 9]), pa.nulls(3), Answers(pa.nulls(3)), None, first_row=100)
        >>> batch.only(np.array([False, True, True])).first(np.array([False, True]))
        102
        """
        return int(self.row_numbers[int(np.argmax(marked))])

    def only(self, kept: NDArray[np.bool_]) -> Batch:
        """The batch with the rows that are marked, and no others."""
        mask = pa.array(kept)

        def some(answers: Answers) -> Answers:
            score = None if answers.score is None else answers.score.filter(mask)
            return replace(answers, values=answers.values.filter(mask), score=score)

        return replace(
            self,
            ids=self.ids.filter(mask),
            label=self.label.filter(mask),
            candidate=some(self.candidate),
            incumbent=None if self.incumbent is None else some(self.incumbent),
            slices={name: Codes(column.codes[kept], column.values) for name, column in self.slices.items()},
            cluster=None if self.cluster is None else Codes(self.cluster.codes[kept], self.cluster.values),
            weight=None if self.weight is None else self.weight[kept],
            columns={name: column.filter(mask) for name, column in self.columns.items()},
            retrained=tuple(some(answers) for answers in self.retrained),
            repeats=None
            if self.repeats is None
            else Repeats(
                Codes(self.repeats.question.codes[kept], self.repeats.question.values), self.repeats.sample[kept]
            ),
            numbers=self.row_numbers[kept],
        )


class Task(Protocol):
    """A kind of task. It keeps what it needs from batch to batch (the classes seen), and nothing of the rows."""

    def outcomes(self, batch: Batch) -> Outcomes:
        """Hold both answers against the label. EvidenceError where that cannot be done without guessing."""
        ...

    def finish(self, table: FlipTable) -> FlipTable:
        """Check the whole count for what no single batch shows, and return it with its cells in a settled order."""
        ...


@dataclass(frozen=True)
class Classes:
    """The class names that are known before the first row: from the policy, and from each model."""

    declared: tuple[Value, ...] | None = None
    candidate: tuple[Value, ...] | None = None
    incumbent: tuple[Value, ...] | None = None
