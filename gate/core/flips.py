"""The flip table: five integers per cell, from which every rate follows, and which add.

Counting one batch gives a :class:`FlipTable`; tables of batches, shards and machines are merged into the table that one
count over everything would have given.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gate.core.clusters import ClusteredCells, count_clusters, merge_clusters
from gate.core.counts import COLUMN_OF, COLUMNS, Cells, FlipCounts, count_by, merge_cells
from gate.core.matrix import Key, MatrixCounts
from gate.core.outcomes import Codes, Outcomes, Value
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


@dataclass(frozen=True, order=True)
class FlippedRow:
    """One flipped unit: what it is, what was right, what each model said. Ordered by the hash of its id."""

    digest: str
    id: Value = field(compare=False)
    kind: str = field(compare=False)
    label: Value = field(compare=False, default=None)
    incumbent: Value = field(compare=False, default=None)
    candidate: Value = field(compare=False, default=None)
    incumbent_confidence: float | None = field(compare=False, default=None)
    candidate_confidence: float | None = field(compare=False, default=None)


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

    def __add__(self, other: FlipTable) -> FlipTable:
        return merge([self, other])


def row_digest(seed: int, unit: object) -> str:
    """SHA-256 of seed and id, as hex: decides which flipped rows are kept, the same on every engine.

    The id's type is part of it, so that ``1`` and ``"1"`` differ.

    >>> row_digest(0, "a")[:8] != row_digest(1, "a")[:8]
    True
    """
    return hashlib.sha256(f"{seed}\x1f{type(unit).__name__}\x1f{unit}".encode("utf-8", "surrogatepass")).hexdigest()


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
    bits: NDArray[np.uint8] = np.left_shift(outcomes.incumbent_right.view(np.uint8), 2, dtype=np.uint8)
    bits |= np.left_shift(outcomes.candidate_right.view(np.uint8), 1, dtype=np.uint8)
    bits |= outcomes.same_output.view(np.uint8)
    overall = np.bincount(bits, minlength=8) @ COLUMN_OF
    columns = _dimensions(outcomes)
    cells = {name: count_by(column, bits) for name, column in columns.items()}
    for name in (BY_CLASS, BY_OUTPUT):
        if name in cells and int(cells[name].columns.sum()) != len(outcomes):
            raise ValueError(f"a unit is in no {name}: only a slice may leave units out")
    flipped = np.flatnonzero(outcomes.incumbent_right != outcomes.candidate_right)
    return FlipTable(
        overall=FlipCounts.from_row(overall),
        cells=cells,
        matrix=_matrix(outcomes, flipped),
        samples=_samples(outcomes, flipped, seed, keep),
        confidence=_confidence(outcomes, flipped),
        keep=keep,
        **_beyond_counts(outcomes, {OVERALL: None, **columns}, bits),
    )


def _dimensions(outcomes: Outcomes) -> dict[str, Codes]:
    columns = {BY_CLASS: outcomes.label, BY_OUTPUT: outcomes.candidate, **outcomes.slices}
    return {name: column for name, column in columns.items() if column is not None}


def _beyond_counts(
    outcomes: Outcomes, columns: Mapping[str, Codes | None], bits: NDArray[np.uint8]
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
    if not tables:
        return FlipTable()
    _check_alike(tables)
    # A table that counted nothing changes nothing, not even how many samples are kept.
    keep = min(table.keep for table in [t for t in tables if t.overall.n] or tables)
    histograms = [table.confidence for table in tables if table.confidence is not None]
    return FlipTable(
        overall=sum((table.overall for table in tables), FlipCounts()),
        cells=_merged([table.cells for table in tables], merge_cells),
        matrix=MatrixCounts(entry for table in tables for entry in table.matrix.items()),
        samples=_smallest((row for table in tables for row in table.samples), keep),
        confidence=np.sum(histograms, axis=0) if histograms else None,
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
    columns = (outcomes.label, outcomes.incumbent, outcomes.candidate)
    size = max(len(column.values) for column in columns)
    label, incumbent, candidate = (column.codes[flipped].astype(np.int64) for column in columns)
    keys, rows = np.unique((label * size + incumbent) * size + candidate, return_counts=True)
    return MatrixCounts(
        (
            (
                columns[0].values[key // (size * size)],
                columns[1].values[key // size % size],
                columns[2].values[key % size],
            ),
            number,
        )
        for key, number in zip(keys.tolist(), rows.tolist(), strict=True)
    )


def _samples(outcomes: Outcomes, flipped: NDArray[np.intp], seed: int, keep: int) -> tuple[FlippedRow, ...]:
    if not keep or not len(flipped):
        return ()
    ids = outcomes.ids.take(flipped).tolist()
    negative = outcomes.incumbent_right[flipped]
    hashed = [(row_digest(seed, unit), position) for position, unit in enumerate(ids)]
    kept: list[FlippedRow] = []
    for kind, chosen in (("negative", negative), ("positive", ~negative)):
        for digest, position in heapq.nsmallest(keep, (hashed[p] for p in np.flatnonzero(chosen).tolist())):
            row = int(flipped[position])
            sure, shown = outcomes.confidence, outcomes.shown
            kept.append(
                FlippedRow(
                    digest,
                    ids[position],
                    kind,
                    _value(outcomes.label, row) if shown is None else shown.label[row],
                    _value(outcomes.incumbent, row) if shown is None else shown.incumbent[row],
                    _value(outcomes.candidate, row) if shown is None else shown.candidate[row],
                    None if sure is None else float(sure.incumbent[row]),
                    None if sure is None else float(sure.candidate[row]),
                )
            )
    return tuple(sorted(kept))


def _value(column: Codes | None, row: int) -> Value:
    return None if column is None else column.values[int(column.codes[row])]


def _smallest(rows: Iterable[FlippedRow], keep: int) -> tuple[FlippedRow, ...]:
    everything = sorted(rows)
    chosen = (row for kind in ("negative", "positive") for row in [r for r in everything if r.kind == kind][:keep])
    return tuple(sorted(chosen))


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
