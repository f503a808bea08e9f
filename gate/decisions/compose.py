"""From counts, rates and findings to the tables of a decision. Divides nothing: the rates come from ``core``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from gate.core.bulk import numbers, rows_of, whole
from gate.core.counts import COLUMNS, Cells
from gate.core.flips import CONFIDENCE_BINS, FlipCounts, FlipTable
from gate.core.judgement import Finding
from gate.core.means import Means
from gate.core.measured import Measured
from gate.core.measures import OF_SCORES, OTHERS, Measure
from gate.core.near_ties import EDGES
from gate.core.outcomes import Value
from gate.core.rates import RATES, Estimate, Rate
from gate.decisions.record import (
    CellRow,
    ConfidenceBins,
    ConfidenceHistogram,
    Counts,
    FlipMatrix,
    MatrixRow,
    NearTies,
    RateRow,
)

MATRIX_ROWS = 1000
_IN_EVERY_CELL = (("error_rate", "candidate"), ("error_rate", "incumbent"), ("nfr", None), ("pfr", None))


def counts_row(counts: FlipCounts, compared: bool = True) -> Counts:
    """The counts as recorded; without a comparison only how many rows there were.

    >>> counts_row(FlipCounts(negative=1, positive=2)).n
    3
    """
    if not compared:
        return Counts(None, None, None, None, None, int(counts.n))
    return Counts(
        int(counts.both_right),
        int(counts.negative),
        int(counts.positive),
        int(counts.wrong_same),
        int(counts.wrong_different),
        int(counts.n),
    )


def rate_rows(
    measured: Measured, compared: bool = True, without: Collection[str] = (), means: Means | None = None
) -> tuple[RateRow, ...]:
    """Every rate over all rows; without a comparison only the candidate's own. ``without`` names rates to leave out.

    ``means`` adds the mean loss and the mean gain.
    """
    rates = [rate for rate in RATES.values() if _known(rate, compared, without)]
    return tuple(row for (row,) in _columns(rates, measured, None, means))


def cell_rows(
    measured: Measured,
    findings: Iterable[Finding],
    compared: bool = True,
    without: Collection[str] = (),
    means: Means | None = None,
) -> tuple[CellRow, ...]:
    """Every cell of every dimension with the rates that are always shown and those that a rule judged there."""
    asked: dict[str, dict[tuple[str, str | None], None]] = {}
    last = None
    for finding in findings:
        if finding.rule != last:  # all findings of a rule are about one rate and one dimension
            last = finding.rule
            asked.setdefault(finding.cell.by, {})[finding.rate, finding.of] = None
    rows: list[CellRow] = []
    for by, cells in measured.table.cells.items():
        keys = dict.fromkeys([*_IN_EVERY_CELL, *asked.get(by, {})])
        # an excess over the noise of retraining is no rate of this table; its finding shows it
        rates = [rate for rate in (RATES[key] for key in keys if key in RATES) if _known(rate, compared, without)]
        if not len(cells):
            continue
        if compared:
            counts = rows_of(Counts, {}, _counts_columns(cells))
        else:
            counts = [counts_row(cells.at(i), compared) for i in range(len(cells))]
        found = list(zip(*_columns(rates, measured, by, means), strict=True))
        rows += rows_of(CellRow, {"by": by}, {"value": cells.values, "counts": counts, "rates": found})
    return tuple(rows)


def _known(rate: Rate, compared: bool, without: Collection[str]) -> bool:
    return rate.name not in without and (compared or rate.of == "candidate")


def _counts_columns(cells: Cells) -> dict[str, list[int]]:
    columns = dict(zip(COLUMNS, cells.columns.T.tolist(), strict=True))
    return {**columns, "n": cells.columns.sum(axis=1).tolist()}


def _columns(rates: Iterable[Rate], measured: Measured, by: str | None, means: Means | None) -> list[list[RateRow]]:
    """For each rate its rows, one for each cell of the dimension."""
    found: list[tuple[Rate | Measure, Estimate]] = [(rate, measured.estimate(rate, by)) for rate in rates]
    if means:
        found += [(OTHERS[name], means.estimate(OTHERS[name], by)) for name in OF_SCORES]
    return [_rows(about, estimate) for about, estimate in found]


def _rows(about: Rate | Measure, found: Estimate) -> list[RateRow]:
    effective = found.n if found.effective_n is None else found.effective_n
    return rows_of(
        RateRow,
        {"rate": about.name, "of": about.of, "confidence": found.confidence, "method": found.method},
        {
            "estimate": numbers(found.estimate),
            "lower": numbers(found.lower),
            "upper": numbers(found.upper),
            "numerator": whole(found.numerator),
            "n": whole(found.n),
            "effective_n": np.asarray(effective, dtype=np.float64).tolist(),
        },
    )


def flip_matrix(table: FlipTable, keep: int = MATRIX_ROWS) -> FlipMatrix:
    """The ``keep`` commonest flips of each kind, largest first, equals in the order of their values."""
    rows: dict[str, list[MatrixRow]] = {"negative": [], "positive": []}
    for (label, incumbent, candidate), count in table.matrix.items():
        right = type(label) is type(incumbent) and label == incumbent
        kind = "negative" if right else "positive"
        rows[kind].append(MatrixRow(kind, label, incumbent, candidate, count))
    for of_kind in rows.values():
        of_kind.sort(key=lambda row: (-row.count, *(_sortable(v) for v in (row.label, row.incumbent, row.candidate))))
    return FlipMatrix(
        (*rows["negative"][:keep], *rows["positive"][:keep]),
        _rest(rows["negative"][keep:]),
        _rest(rows["positive"][keep:]),
    )


def _rest(rows: Sequence[MatrixRow]) -> int:
    return sum(row.count for row in rows)


def _sortable(value: Value) -> tuple[str, float, str]:
    number = float(value) if isinstance(value, (int, float)) else 0.0
    return type(value).__name__, number, str(value)


def confidence_bins(table: FlipTable) -> ConfidenceBins | None:
    """The histograms of confidence over the flips; None where the outputs carry none."""
    if table.confidence is None:
        return None
    negative, positive = (
        ConfidenceHistogram(tuple(kind[0].tolist()), tuple(kind[1].tolist())) for kind in table.confidence
    )
    edges = tuple(step / CONFIDENCE_BINS for step in range(CONFIDENCE_BINS + 1))
    return ConfidenceBins(edges, negative, positive)


def near_ties(table: FlipTable) -> NearTies | None:
    """How many flips of each kind are near ties; None where the outputs carry no scores."""
    if table.near_ties is None:
        return None
    negative, positive = (tuple(kind.tolist()) for kind in table.near_ties)
    return NearTies(EDGES, negative, positive)
