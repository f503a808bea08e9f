"""What a task is given: one batch of the held-out set with both models' answers, as Arrow arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from gate.core.flips import FlipTable
from gate.core.outcomes import Codes, Outcomes, Value
from gate.errors import EvidenceError


@dataclass(frozen=True)
class Answers:
    """What one model answered for a batch: ``values`` has one entry per row.

    1-D values are labels, indices or scores; a fixed-size list holds one number per class. ``names`` are the column
    names of such an answer, where it had any.
    """

    values: pa.Array
    names: tuple[str, ...] | None = None

    @classmethod
    def of(cls, column: pa.Array) -> Answers:
        """A column of predictions from a file, whose lists of numbers have one length but not the type that says so.

        >>> Answers.of(pa.array([[0.1, 0.9], [0.8, 0.2]])).width
        2
        """
        if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            lengths = set(column.value_lengths().to_pylist())
            if len(lengths) != 1 or None in lengths:
                raise EvidenceError(
                    f"lists of {len(lengths)} different lengths", where="predictions", hint="one number for each class"
                )
            return cls(pa.FixedSizeListArray.from_arrays(column.flatten(), lengths.pop()))
        return cls(column)

    @property
    def width(self) -> int | None:
        """How many numbers there are per row; None for a 1-D answer."""
        return self.values.type.list_size if pa.types.is_fixed_size_list(self.values.type) else None


@dataclass(frozen=True)
class Batch:
    """Rows ``first_row`` and on of the held-out set (rows count from 0), all arrays of one length.

    ``incumbent`` is None where there is no incumbent to compare with. A batch of no rows is allowed.
    """

    ids: pa.Array
    label: pa.Array
    candidate: Answers
    incumbent: Answers | None
    slices: Mapping[str, Codes] = field(default_factory=dict)
    first_row: int = 0

    def __len__(self) -> int:
        return len(self.label)


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
