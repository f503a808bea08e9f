"""From a batch and who was right in it to outcomes: what every task does alike."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gate.core.counts import Cells
from gate.core.flips import FlipTable
from gate.core.outcomes import Outcomes, Scores, Shown, Value
from gate.errors import EvidenceError
from gate.tasks.batch import Batch
from gate.tasks.reading import refuse

Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]


FURTHEST = 1e12
"""How far apart two scores may be: beyond it their sums would lose the digits that make them exact."""


def judged(
    batch: Batch,
    candidate_right: Flags,
    incumbent_right: Flags | None,
    same: Flags | None,
    scores: Scores | None = None,
) -> Outcomes:
    """The outcomes of a batch whose units are its rows; without an incumbent nobody was right before.

    An empty batch gives empty outcomes.
    """
    nobody = np.zeros(len(batch), dtype=np.bool_)
    if scores is not None:
        with np.errstate(over="ignore", invalid="ignore"):
            apart = ~(np.abs(scores.candidate - scores.incumbent) <= FURTHEST)
        apart |= ~(np.isfinite(scores.candidate) & np.isfinite(scores.incumbent))
        if apart.any():
            refuse(apart, batch, "both models", f"scores more than {FURTHEST:g} apart", "measure in a larger unit")
    seen = None
    if batch.incumbent is not None:
        seen = Shown(*map(_Values, (batch.label, batch.incumbent.values, batch.candidate.values)))
    return Outcomes(
        ids=batch.ids,
        incumbent_right=nobody if incumbent_right is None else incumbent_right,
        candidate_right=candidate_right,
        same_output=nobody if same is None else same,
        slices=batch.slices,
        cluster=batch.cluster,
        weight=batch.weight,
        scores=scores,
        shown=seen,
    )


@dataclass(frozen=True)
class _Values:
    """An Arrow column, each entry as a value: what is no value of its own is shown as text."""

    column: pa.Array

    def __getitem__(self, unit: int, /) -> Value:
        found = self.column[unit].as_py()
        if found is None or isinstance(found, (bool, int, float, str)):
            return found
        return ", ".join(map(str, found)) if isinstance(found, list) else str(found)


def compared(batch: Batch, candidate: Numbers, incumbent: Numbers | None, same: Flags | None) -> Outcomes:
    """The continuous form: an answer is right if it is no worse than the other model's, more being better.

    So a negative flip is a unit that got worse, a positive flip one that got better, and a tie is right twice.
    EvidenceError without an incumbent, since nothing is right or wrong on its own then.
    """
    if incumbent is None:
        raise EvidenceError(
            "there is no incumbent, and `continuous` only compares",
            where="policy task",
            hint="say what is right on its own: a tolerance, or right_at_least",
        )
    return judged(batch, candidate >= incumbent, incumbent >= candidate, same, Scores(incumbent, candidate))


def in_order(value: Value) -> tuple[int, object]:
    """A sort key over values of all types: null, then booleans, numbers, text.

    >>> sorted(["b", 2, None, 1, "a"], key=in_order)
    [None, 1, 2, 'a', 'b']
    """
    if value is None:
        return 0, 0
    if isinstance(value, bool):
        return 1, value
    return (2, value) if isinstance(value, (int, float)) else (3, value)


def settled(
    table: FlipTable, declared: dict[str, tuple[Value, ...]] | None = None, rising: tuple[Value, ...] = ()
) -> FlipTable:
    """The table with the cells of each dimension in the order of their values, those without rows dropped.

    ``declared`` names values that stay though they have no row: dimension -> values. ``rising`` are values that are
    known to be in order.
    """
    kept = {name: {(type(value), value) for value in values} for name, values in (declared or {}).items()}
    lists = {id(cells.values): cells.values for cells in table.cells.values()}  # classes and outputs mostly share one
    ordered = {key: values is rising or _are_in_order(values) for key, values in lists.items()}
    cells = {
        name: _settled(cells, kept.get(name, set()), ordered[id(cells.values)]) for name, cells in table.cells.items()
    }
    same = all(cells[name] is before for name, before in table.cells.items())
    return table if same else replace(table, cells=cells)


def _are_in_order(values: tuple[Value, ...]) -> bool:
    """Whether values of one type, as they mostly are, stand in order already; False where that is not plain."""
    return len(set(map(type, values))) == 1 and sorted(values) == list(values)  # type: ignore[type-var]


def _settled(cells: Cells, declared: set[tuple[type, Value]], ordered: bool) -> Cells:
    rows = np.asarray(cells.columns.any(axis=1))
    if ordered and rows.all():
        return cells
    kept = [i for i, value in enumerate(cells.values) if rows[i] or (type(value), value) in declared]
    kept.sort(key=lambda i: in_order(cells.values[i]))
    return Cells(tuple(cells.values[i] for i in kept), cells.columns[kept])
