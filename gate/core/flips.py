"""The flip table: five integers per cell, from which every rate follows, and which add.

Counting one batch gives a :class:`FlipTable`; tables of batches, shards and machines are merged into the table that one
count over everything would have given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gate.core.clusters import ClusteredCells, count_clusters, merge_clusters
from gate.core.counts import (
    COLUMN_OF,
    COLUMNS,
    Cells,
    FlipCounts,
    bits_of,
    count_by,
    count_by_both,
    count_by_output,
    few_enough,
    merge_cells,
)
from gate.core.flipped import FlippedRow, chosen, row_digest, smallest
from gate.core.matrix import Key, MatrixCounts
from gate.core.near_ties import count_near_ties
from gate.core.outcomes import Codes, Outcomes
from gate.core.scored import ScoredCells, count_scores, merge_scores
from gate.core.weights import WeightedCells, check_weights, count_weights, merge_weights

__all__ = [
    "BY_CLASS", "BY_OUTPUT", "COLUMNS", "CONFIDENCE_BINS", "OVERALL", "Cells", "FlipCounts", "FlipTable", "FlippedRow",
    "count", "merge", "row_digest",
]  # fmt: skip

OVERALL = "overall"
BY_CLASS = "class"
BY_OUTPUT = "output"
CONFIDENCE_BINS = 10

_Part = TypeVar("_Part")


@dataclass(frozen=True)
class FlipTable:
    """Everything that is counted of one comparison; the sum of any partition of the rows gives the same table.

    - ``overall``: the five counts over all units.
    - ``cells``: dimension (``class``, ``output`` or a slice's name) -> its :class:`Cells`.
    - ``matrix``: (label, incumbent output, candidate output) -> how many discordant rows (exactly one model right).
    - ``samples``: the ``keep`` negative and ``keep`` positive flips whose SHA-256 of (seed, id) is smallest, so that
      every batching and sharding keeps the same ones.
    - ``confidence``: histogram of shape (2 kinds: negative, positive; 2 models: incumbent, candidate; 10 bins of
      [0, 1]), or None where the outputs carry no confidence.
    - ``near_ties``: of shape (2 kinds, 3 edges), how many flips have a margin below each of
      :data:`gate.core.near_ties.EDGES`, or None where the outputs carry no scores.
    - ``clusters``, ``weights``, ``scores``: dimension (``overall`` too) -> what was counted by cluster, summed of
      weights, and summed of gains and losses; all three are empty where the rows have no such thing.

    An empty table counts nothing and changes no table it is merged with.
    """

    overall: FlipCounts = FlipCounts()  # noqa: RUF009  # frozen
    cells: Mapping[str, Cells] = field(default_factory=dict)
    matrix: Mapping[Key, int] = field(default_factory=MatrixCounts)
    samples: tuple[FlippedRow, ...] = ()
    confidence: NDArray[np.int64] | None = None
    keep: int = 100
    clusters: Mapping[str, ClusteredCells] = field(default_factory=dict)
    weights: Mapping[str, WeightedCells] = field(default_factory=dict)
    scores: Mapping[str, ScoredCells] = field(default_factory=dict)
    near_ties: NDArray[np.int64] | None = None

    def __add__(self, other: FlipTable) -> FlipTable:
        return merge([self, other])


def count(outcomes: Outcomes, *, seed: int = 0, keep: int = 100) -> FlipTable:
    """Count one batch of outcomes.

    ``keep`` flipped rows of each kind are kept as samples. A batch of no rows gives an empty table. ValueError for a
    weight that is not finite and above 0, for a score that is not finite, and for a code of -1 (in no cell) anywhere
    but in a slice.

    >>> table = count(Outcomes(
    ...     ids=np.array([10, 11, 12]),
    ...     incumbent_right=np.array([True, True, False]),
    ...     candidate_right=np.array([True, False, False]),
    ...     same_output=np.array([True, False, True]),
    ... ))
    >>> table.overall
    FlipCounts(both_right=1, negative=1, positive=0, wrong_same=1, wrong_different=0)
    >>> [(row.id, row.kind) for row in table.samples]
    [(11, 'negative')]
    """
    bits = bits_of(outcomes.incumbent_right, outcomes.candidate_right, outcomes.same_output)
    flipped = _flipped(outcomes, keep)
    columns = _dimensions(outcomes)
    cells = _cells(outcomes, columns, bits)
    return FlipTable(
        overall=_overall(cells.get(BY_CLASS), bits),
        cells=cells,
        matrix=_matrix(outcomes, flipped),
        samples=chosen(outcomes, flipped, seed, keep),
        confidence=_confidence(outcomes, flipped),
        near_ties=_near_ties(outcomes, flipped),
        keep=keep,
        **_beyond_counts(outcomes, {OVERALL: None, **columns}, bits),
    )


def _flipped(outcomes: Outcomes, keep: int) -> NDArray[np.intp]:
    """Where exactly one of the two is right; nobody is told where nobody looks at single flips."""
    if not keep and outcomes.incumbent is None and outcomes.confidence is None and outcomes.margins is None:
        return np.zeros(0, dtype=np.intp)
    return np.flatnonzero(outcomes.incumbent_right != outcomes.candidate_right)


def _overall(by_class: Cells | None, bits: NDArray[np.uint16]) -> FlipCounts:
    """All units, each of which is in one class where there are classes."""
    columns = np.bincount(bits, minlength=8) @ COLUMN_OF if by_class is None else by_class.columns.sum(axis=0)
    return FlipCounts.from_row(columns)


def _cells(outcomes: Outcomes, columns: Mapping[str, Codes], bits: NDArray[np.uint16]) -> dict[str, Cells]:
    label, output = outcomes.label, outcomes.candidate
    cells: dict[str, Cells] = {}
    if label is not None and output is not None:
        if few_enough(label, output):
            cells[BY_CLASS], cells[BY_OUTPUT] = count_by_both(label, output, bits)
        elif outcomes.right_is_label and label.values is output.values:
            cells[BY_CLASS] = count_by(label, bits)
            cells[BY_OUTPUT] = count_by_output(output, cells[BY_CLASS], outcomes.candidate_right, bits)
    cells |= {name: count_by(column, bits) for name, column in columns.items() if name not in cells}
    for name in (BY_CLASS, BY_OUTPUT):
        if name in cells and int(cells[name].columns.sum()) != len(outcomes):
            raise ValueError(f"a unit is in no {name}: only a slice may leave units out")
    return cells


def _dimensions(outcomes: Outcomes) -> dict[str, Codes]:
    columns = {BY_CLASS: outcomes.label, BY_OUTPUT: outcomes.candidate, **outcomes.slices}
    return {name: column for name, column in columns.items() if column is not None}


def _beyond_counts(
    outcomes: Outcomes, columns: Mapping[str, Codes | None], bits: NDArray[np.uint16]
) -> dict[str, Mapping[str, Any]]:
    """What clusters, weights and scores add to the counts, where there are any."""
    cluster, weight, scores = outcomes.cluster, outcomes.weight, outcomes.scores
    found: dict[str, Mapping[str, Any]] = {}
    if weight is not None:
        check_weights(weight)
        found["weights"] = {name: count_weights(weight, column, bits) for name, column in columns.items()}
    if cluster is not None:
        found["clusters"] = {name: count_clusters(cluster, column, bits, weight) for name, column in columns.items()}
    if scores is not None:
        found["scores"] = {name: count_scores(scores, column) for name, column in columns.items()}
    return found


def merge(tables: Sequence[FlipTable]) -> FlipTable:
    """Add any number of tables; none gives the empty table. Order does not matter, but for the order of cells.

    >>> merge([]).overall.n
    0
    """
    if len(tables) < 2:
        return tables[0] if tables else FlipTable()
    _check_alike(tables)
    # A table that counted nothing changes nothing, not even how many samples are kept.
    keep = min(table.keep for table in [t for t in tables if t.overall.n] or tables)
    histograms = [table.confidence for table in tables if table.confidence is not None]
    near = [table.near_ties for table in tables if table.near_ties is not None]
    return FlipTable(
        overall=FlipCounts.from_row(map(sum, zip(*(table.overall.columns for table in tables), strict=True))),
        cells=_merged([table.cells for table in tables], merge_cells),
        matrix=MatrixCounts.added([table.matrix for table in tables]),
        samples=smallest((row for table in tables for row in table.samples), keep),
        confidence=np.sum(histograms, axis=0) if histograms else None,
        near_ties=np.sum(near, axis=0) if near else None,
        keep=keep,
        clusters=_merged([table.clusters for table in tables], merge_clusters),
        weights=_merged([table.weights for table in tables], merge_weights),
        scores=_merged([table.scores for table in tables], merge_scores),
    )


def _merged(parts: Sequence[Mapping[str, _Part]], merge_: Callable[[Sequence[_Part]], _Part]) -> dict[str, _Part]:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: merge_([part[name] for part in parts if name in part]) for name in names}


def _check_alike(tables: Sequence[FlipTable]) -> None:
    """Tables with and without clusters (weights, scores) must not be added: the sum would forget some rows."""
    counted = [table for table in tables if table.overall.n]
    for what in ("clusters", "weights", "scores"):
        if len({bool(getattr(table, what)) for table in counted}) > 1:
            raise ValueError(f"only some of the tables that are added have {what}")


def _matrix(outcomes: Outcomes, flipped: NDArray[np.intp]) -> MatrixCounts:
    if outcomes.label is None or outcomes.incumbent is None or outcomes.candidate is None or not len(flipped):
        return MatrixCounts()
    return MatrixCounts.of(outcomes.label, outcomes.incumbent, outcomes.candidate, flipped)


def _near_ties(outcomes: Outcomes, flipped: NDArray[np.intp]) -> NDArray[np.int64] | None:
    margins = outcomes.margins
    return None if margins is None else count_near_ties(margins, outcomes.candidate_right, flipped)


def _confidence(outcomes: Outcomes, flipped: NDArray[np.intp]) -> NDArray[np.int64] | None:
    if outcomes.confidence is None:
        return None
    histogram = np.zeros((2, 2, CONFIDENCE_BINS), dtype=np.int64)
    positive = outcomes.candidate_right[flipped]
    for model, sure in enumerate((outcomes.confidence.incumbent, outcomes.confidence.candidate)):
        bins = np.clip((sure[flipped] * CONFIDENCE_BINS).astype(np.int64), 0, CONFIDENCE_BINS - 1)
        for kind in (0, 1):
            histogram[kind, model] = np.bincount(bins[positive == bool(kind)], minlength=CONFIDENCE_BINS)
    return histogram
