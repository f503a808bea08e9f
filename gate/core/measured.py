"""A flip table with its rates: what rules are judged on and what a decision records, computed once for both."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate.core.bounds import Floats
from gate.core.effective import Design
from gate.core.evidence import Evidence
from gate.core.flips import OVERALL, Cells, FlipTable
from gate.core.rates import Estimate, Rate


class Measured:
    """The rates of one flip table with their bounds and tests, each computed once however many rules ask for it.

    ``confidence`` is that of each one-sided bound. Everywhere ``by`` is a dimension (``overall`` or None: all rows
    together), limits are numbers or arrays with one element per cell, and answers are arrays with one element per cell,
    in the order of the dimension's cells; KeyError if there is no such dimension.
    """

    def __init__(self, table: FlipTable, confidence: float) -> None:
        self.table = table
        self.confidence = confidence
        self._estimates: dict[tuple[str, str | None, str], Estimate] = {}
        self._designs: dict[str, Design] = {}
        self._evidence: dict[tuple[str, str | None, str], Evidence] = {}
        row = [table.overall.both_right, table.overall.negative, table.overall.positive]
        row += [table.overall.wrong_same, table.overall.wrong_different]
        self._overall = Cells((None,), np.asarray([row], dtype=np.int64))

    def cells(self, by: str | None) -> Cells | None:
        """The cells of a dimension, ``overall`` or None being the one cell of all rows; None if there is no such."""
        return self._overall if by in (None, OVERALL) else self.table.cells.get(by or "")

    def rows(self, by: str | None) -> NDArray[np.int64]:
        """How many rows each cell has, whatever the rate divides by."""
        return np.asarray(self._cells(by).counts.n)

    def estimate(self, rate: Rate, by: str | None) -> Estimate:
        """The rate in each cell, with its bounds."""
        key = (rate.name, rate.of, by or OVERALL)
        if key not in self._estimates:
            self._estimates[key] = self.evidence(rate, by).estimate(self.confidence)
        return self._estimates[key]

    def value(self, rate: Rate, by: str | None) -> Floats:
        """The rate in each cell, without its bounds, which cost more; NaN where it is undefined."""
        return self.evidence(rate, by).value

    def proven(self, rate: Rate, by: str | None, limit: Any, at_most: bool) -> tuple[NDArray[Any], NDArray[Any]]:
        """Whether each cell is proven to keep its limit, and whether proven to break it.

        As by the bounds of :meth:`estimate`, without computing them.
        """
        return self.evidence(rate, by).proven(limit, at_most, self.confidence)

    def p_better(self, rate: Rate, by: str | None, limit: Any) -> Floats:
        """One-sided p-values against "the rate is at least the limit": small means proven below. NaN: no such test."""
        return self.evidence(rate, by).better_than(limit)

    def p_worse(self, rate: Rate, by: str | None, limit: Any) -> Floats:
        """One-sided p-values against "the rate is at most the limit": small means proven above. NaN: no such test."""
        return self.evidence(rate, by).worse_than(limit)

    def rows_needed(self, rate: Rate, by: str | None, limit: Floats, at_most: bool, asked: NDArray[np.bool_]) -> Floats:
        """How many rows more would settle the cells that are ``asked`` about; NaN elsewhere, and where none would."""
        return self.evidence(rate, by).rows_needed(limit, at_most, self.confidence, asked)

    def passes_with(self, rate: Rate, by: str | None, limit: Floats, asked: NDArray[np.bool_]) -> Floats:
        """The largest numerator that would have proven "at most the limit"; NaN where not asked or there is none."""
        return self.evidence(rate, by).passes_with(limit, self.confidence, asked)

    def evidence(self, rate: Rate, by: str | None) -> Evidence:
        """What the rows say about the rate in each cell of the dimension."""
        key = (rate.name, rate.of, by or OVERALL)
        if key not in self._evidence:
            self._evidence[key] = Evidence(rate, self._cells(by).counts, self._design(by or OVERALL))
        return self._evidence[key]

    def _design(self, by: str) -> Design | None:
        """How the rows of a dimension were drawn. KeyError where the table forgot it: never judged as if plain."""
        clusters, weights = self.table.clusters, self.table.weights
        if not clusters and not weights:
            return None
        if by not in self._designs:
            cells = self._cells(by)
            self._designs[by] = Design(
                cells.values, cells.counts, clusters[by] if clusters else None, weights[by] if weights else None
            )
        return self._designs[by]

    def _cells(self, by: str | None) -> Cells:
        cells = self.cells(by)
        if cells is None:
            raise KeyError(by)
        return cells
