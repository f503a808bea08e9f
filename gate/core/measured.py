"""A flip table with its rates: what rules are judged on and what a decision records, computed once for both."""

from __future__ import annotations

import numpy as np

from gate.core.flips import OVERALL, Cells, FlipTable
from gate.core.rates import Estimate, Rate


class Measured:
    """The rates of one flip table with their bounds, each computed once however many rules ask for it."""

    def __init__(self, table: FlipTable, confidence: float) -> None:
        self.table = table
        self.confidence = confidence
        self._known: dict[tuple[str, str | None, str], Estimate] = {}
        row = [table.overall.both_right, table.overall.negative, table.overall.positive]
        row += [table.overall.wrong_same, table.overall.wrong_different]
        self._overall = Cells((None,), np.asarray([row], dtype=np.int64))

    def cells(self, by: str | None) -> Cells | None:
        """The cells of a dimension, ``overall`` or None being the one cell of all rows; None if there is no such."""
        return self._overall if by in (None, OVERALL) else self.table.cells.get(by or "")

    def estimate(self, rate: Rate, by: str | None) -> Estimate:
        """The rate in each cell of the dimension, in the order of its cells. KeyError if there is no such dimension."""
        key = (rate.name, rate.of, by or OVERALL)
        if key not in self._known:
            cells = self.cells(by)
            if cells is None:
                raise KeyError(by)
            self._known[key] = rate.estimate(cells.counts, self.confidence)
        return self._known[key]
