"""What the rows say about one rate in each cell of a dimension: bounds, p-values, and what is proven by them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate.core.bounds import Bounds, Floats
from gate.core.counts import EffectiveCounts, FlipCounts
from gate.core.effective import FEWEST_CLUSTERS, Design, Worth
from gate.core.rates import Estimate, Rate
from gate.core.sample_size import most_flips_allowed, rows_needed


class Evidence:
    """One rate and the rows that it is judged by, arrays with one element per cell.

    ``counts`` is what was counted; ``design`` how the rows were drawn, None where they are independent and each counts
    the same. ``limit`` is everywhere a number or one per cell, ``confidence`` that of each bound.
    """

    def __init__(self, rate: Rate, counts: FlipCounts, design: Design | None = None) -> None:
        self.rate = rate
        self.counts = counts
        self._design = design
        self._judged: FlipCounts = counts
        self._planned: FlipCounts = counts  # as if there were clusters enough
        self._worth: tuple[Worth, ...] = ()
        if design is not None:
            self._worth = tuple(design.worth(share) for share in rate.parts)
            self._judged = self._effective(design, FEWEST_CLUSTERS)
            self._planned = self._effective(design, 0)

    def _effective(self, design: Design, fewest: int) -> EffectiveCounts:
        parts = [design.effective(s, w, fewest) for s, w in zip(self.rate.parts, self._worth, strict=True)]
        return replace(parts[0], divisor=parts[1]) if len(parts) > 1 else parts[0]

    @property
    def value(self) -> Floats:
        """The rate; NaN where it is undefined."""
        return self.rate.value(self.counts if self._design is None else self._design.weighed)

    @property
    def method(self) -> str:
        """How bounds are made, in words."""
        if self._design is None:
            return self.rate.method
        said = []
        if self._design.clustered:
            said.append("rows in clusters: design effect")
            short = self._too_few()
            if short.any():
                where = "" if short.all() else " in some cells"
                said.append(f"fewer than {FEWEST_CLUSTERS} clusters{where}: no bound")
        if self._design.weights is not None:
            said.append("weighted rows: Kish's effective sample size")
        return f"{self.rate.method} ({'; '.join(said)})"

    def bounds(self, confidence: float) -> Bounds:
        """One-sided bounds on the rate; the ends of its range where nothing is known."""
        return self.rate.bounds(self._judged, confidence)

    def estimate(self, confidence: float) -> Estimate:
        """The rate with its bounds, as it is recorded."""
        found = self.rate.estimate(self.counts, confidence, self.bounds(confidence))
        if self._design is None:
            return replace(found, effective_n=found.n)
        return replace(found, estimate=self.value, method=self.method, effective_n=self._worth[0].n)

    def proven(self, limit: Any, at_most: bool, confidence: float) -> tuple[NDArray[Any], NDArray[Any]]:
        """Whether the limit is proven kept, and whether proven broken; the same as by bounds, and cheaper."""
        return self.rate.proven(self._judged, limit, at_most, confidence)

    def better_than(self, limit: Any) -> Floats:
        """One-sided p-value against "the rate is at least ``limit``". NaN: no such test."""
        return self.rate.better_than(self._judged, limit)

    def worse_than(self, limit: Any) -> Floats:
        """One-sided p-value against "the rate is at most ``limit``". NaN: no such test."""
        return self.rate.worse_than(self._judged, limit)

    def rows_needed(self, limit: Floats, at_most: bool, confidence: float, asked: NDArray[np.bool_]) -> Floats:
        """How many rows more would settle the question in the cells that are ``asked`` about; NaN elsewhere.

        If they came as those that were seen: at the same rates and weights, in clusters of the same sizes. Where there
        are too few clusters, enough rows for the fewest that will do are among them.
        """
        needed = np.full(limit.shape, np.nan)
        if not asked.any():
            return needed
        rows = np.asarray(self.counts.n, dtype=np.float64)[asked]
        some = self._planned.take(asked)
        needed[asked] = rows_needed(self.rate, some, limit[asked], at_most, confidence, rows)
        short = self._too_few() & asked
        if short.any():
            clusters = np.minimum.reduce([worth.clusters for worth in self._worth])[short]
            n = np.asarray(self.counts.n, dtype=np.float64)[short]
            for_clusters = np.ceil(n * (FEWEST_CLUSTERS - clusters) / np.maximum(clusters, 1.0))
            settled_at = np.where(np.isnan(needed[short]), 0.0, needed[short])
            known = np.isfinite(needed[short]) | self._settled(limit, at_most, confidence)[short]
            needed[short] = np.where(known, np.maximum(for_clusters, settled_at), np.nan)
        return needed

    def passes_with(self, limit: Floats, confidence: float, asked: NDArray[np.bool_]) -> Floats:
        """The largest numerator with which these rows would have proven the rate to be at most ``limit``.

        NaN where there is none, for rates that are not plain shares, and for rows in clusters or with weights, where
        it depends on which rows they are.
        """
        allowed = np.full(limit.shape, np.nan)
        if self.rate.share and self._design is None and asked.any():
            n = np.asarray(self.rate.n(self.counts), dtype=np.float64)
            most = most_flips_allowed(n[asked], limit[asked], confidence)
            allowed[asked] = np.where(most >= 0, most, np.nan)
        return allowed

    def _settled(self, limit: Floats, at_most: bool, confidence: float) -> NDArray[np.bool_]:
        kept, broken = self.rate.proven(self._planned, limit, at_most, confidence)
        return np.asarray(kept | broken, dtype=np.bool_)

    def _too_few(self) -> NDArray[np.bool_]:
        """Which cells have rows, but in too few clusters."""
        short = np.zeros(np.shape(self.counts.n), dtype=np.bool_)
        for worth in self._worth:
            short |= (worth.clusters < FEWEST_CLUSTERS) & (worth.n > 0)
        return short
