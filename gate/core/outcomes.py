"""Right or wrong, twice: the one thing that every task is reduced to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Value = bool | int | float | str | None
"""A label, an output or a slice's value. Types matter: ``1`` is not ``"1"``, nor ``True``."""


class Ids(Protocol):
    """What names the units: a NumPy array, an Arrow array, anything that can ``take`` rows and list them."""

    def take(self, rows: Any, /) -> Any: ...


@dataclass(frozen=True)
class Codes:
    """A column of values, written as positions in a tuple of distinct values.

    ``codes`` has one integer per unit, each a position in ``values``, or in a slice -1 for a unit that is in no cell.
    They may be of any width, so that arithmetic with them is done in 64 bits. An empty column is allowed.

    >>> Codes.of(["cat", "dog", "cat"])
    Codes(codes=array([0, 1, 0]), values=('cat', 'dog'))
    """

    codes: NDArray[np.integer[Any]]
    values: Sequence[Value]

    @classmethod
    def of(cls, column: Sequence[Value]) -> Codes:
        """Code a plain sequence, values in the order they first appear (for examples and small inputs)."""
        positions: dict[tuple[type, Value], int] = {}
        codes = [positions.setdefault((type(value), value), len(positions)) for value in column]
        return cls(np.asarray(codes, dtype=np.int64), tuple(value for _, value in positions))


@dataclass(frozen=True)
class Confidence:
    """How sure both models were of what they answered: one number in [0, 1] per unit and model."""

    incumbent: NDArray[np.floating[Any]]
    candidate: NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Scores:
    """How good each answer was, for tasks in which an answer can be better or worse: one finite number per unit and
    model, more is better."""

    incumbent: NDArray[np.float64]
    candidate: NDArray[np.float64]


@dataclass(frozen=True)
class Picture:
    """A small PNG of an image that stands in a column; ``width`` and ``height`` are those of the image itself."""

    png: bytes
    width: int
    height: int


class Besides(Protocol):
    """What else is known of each unit: values and pictures, by the name of their column."""

    def __getitem__(self, unit: int, /) -> Mapping[str, Value | Picture]: ...


@dataclass(frozen=True)
class Margins:
    """How far each answer was from another one, in the unit of the scores: at least 0, NaN where it is not known.

    Of the units that flipped; nobody asks for the others.
    """

    incumbent: NDArray[np.float64]
    candidate: NDArray[np.float64]


class Column(Protocol):
    """One value for each unit."""

    def __getitem__(self, unit: int, /) -> Value: ...


@dataclass(frozen=True)
class Shown:
    """What a reader sees of a unit that flipped, where label and outputs are not coded."""

    label: Column
    incumbent: Column
    candidate: Column


@dataclass(frozen=True)
class Outcomes:
    """One batch of units with both models' answers already held against the truth.

    All arrays have one entry per unit and the same length; a length of 0 is a batch that adds nothing.
    ``label``, ``incumbent`` and ``candidate`` are coded over the same ``values``; a task without classes leaves them
    out. ``slices`` maps a slice's name to its coded column; ``ids`` names the units in messages and samples.
    ``cluster`` says which units belong together, ``weight`` how much each counts (above 0), ``scores`` how good each
    answer was; all three are left out where there is no such thing. ``shown`` is what samples show of a unit whose
    label and outputs are not coded; ``beside`` is what else they show. ``golden`` marks units that may not flip
    negatively, and ``cost`` is what it costs if they do, NaN where nobody says: such units are shown first.
    ``right_is_label`` says that an answer is right if and only if its code is the label's, which saves counting the
    outputs of units that both models got right. ``margins`` tell near ties, where answers carry scores.

    >>> outcomes = Outcomes(
    ...     ids=np.array(["a", "b"]),
    ...     incumbent_right=np.array([True, True]),
    ...     candidate_right=np.array([True, False]),
    ...     same_output=np.array([True, False]),
    ... )
    >>> len(outcomes)
    2
    """

    ids: Ids
    incumbent_right: NDArray[np.bool_]
    candidate_right: NDArray[np.bool_]
    same_output: NDArray[np.bool_]
    label: Codes | None = None
    incumbent: Codes | None = None
    candidate: Codes | None = None
    slices: Mapping[str, Codes] = field(default_factory=dict)
    confidence: Confidence | None = None
    cluster: Codes | None = None
    weight: NDArray[np.float64] | None = None
    scores: Scores | None = None
    right_is_label: bool = False
    margins: Margins | None = None
    shown: Shown | None = None
    golden: NDArray[np.bool_] | None = None
    cost: NDArray[np.float64] | None = None
    beside: Besides | None = None

    def __len__(self) -> int:
        return len(self.incumbent_right)
