"""How often does the gate allow what it must not? Counted out where that can be done, else simulated; for the docs.

Run::

    python benchmarks/simulation.py [--quick] [--check]

Writes the tables of ``docs/simulation.md`` (between its markers) and ``docs/simulation.svg``; the same on every run. In
full it takes a few minutes on one core. ``--quick`` draws a twentieth as often and only prints; ``--check`` ends with 1
where a level is above what the page promises for it.

Every update here is exactly at its limit, the worst that must not be allowed: the share of allows is the level.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from lines import Panel, svg
from numpy.typing import NDArray
from scipy import special

from gate.core.bounds import Floats, binomial_tail
from gate.core.clusters import ClusteredCells, spread
from gate.core.counts import Cells, FlipCounts
from gate.core.effective import FEWEST_CLUSTERS, Design
from gate.core.evidence import Evidence
from gate.core.means import Moments, mean_bounds
from gate.core.multiplicity import holm
from gate.core.outcomes import Codes
from gate.core.paired import tango_score
from gate.core.rates import rate
from gate.core.sample_size import most_flips_allowed
from gate.core.weights import count_weights

CONFIDENCE = 0.95
ALPHA = 1 - CONFIDENCE
PAGE = Path(__file__).parents[1] / "docs" / "simulation.md"
PICTURE = PAGE.with_suffix(".svg")
BEGIN, END = "<!-- begin: benchmarks/simulation.py -->", "<!-- end: benchmarks/simulation.py -->"
DRAWS = 2000
NFR, CHANGE, RELATIVE = rate("nfr"), rate("error_rate_change"), rate("relative_nfr")


@dataclass(frozen=True)
class Level:
    """The worst level over a grid: where it was, and what is promised. ``error`` is 0 where it was counted out."""

    what: str
    how: str
    level: float
    where: str
    promised: float
    error: float = 0.0

    @property
    def kept(self) -> bool:
        """Whether it is within its promise, as far as the draws can tell (three standard errors and a half)."""
        return self.level <= self.promised + 3.5 * self.error + 1e-12


# one rate, independent rows: counted out


def exact_level(n: Floats, limit: float, alpha: float = ALPHA) -> Floats:
    """P(allow) for a share that is truly at its limit, for each n: the binomial summed up to what still passes."""
    most = most_flips_allowed(n, limit, 1 - alpha)
    return np.where(most >= 0, special.bdtr(np.maximum(most, 0), n.astype(np.int64), limit), 0.0)


def shares() -> Level:
    n = np.unique(np.geomspace(20, 20000, 400).astype(np.int64)).astype(np.float64)
    grid = [(float(x), int(m), limit) for limit in (0.002, 0.005, 0.01, 0.03, 0.1, 0.3)
            for x, m in zip(exact_level(n, limit), n, strict=True)]  # fmt: skip
    level, m, limit = max(grid)
    return Level("one share (NFR and the like), one cell", "counted out", level, f"n = {m:,}, limit {limit:.1%}", ALPHA)


def many_cells() -> Iterator[Level]:
    for cells in (10, 100, 1000):
        n = np.full(1, 1000.0)
        one = float(exact_level(n, 0.03)[0])
        good = float(special.bdtr(most_flips_allowed(n, 0.03, CONFIDENCE)[0], 1000, 0.01))
        yield Level(f"{cells:,} cells, one of them at its limit", "counted out", one * good ** (cells - 1),
                    "n = 1,000 each, limit 3.0 %, all others at 1 %", ALPHA)  # fmt: skip


def power() -> Iterator[tuple[int, float, float, float, float]]:
    """n, limit, true rate, the power of the exact bound, and that of the most powerful test (which tosses a coin)."""
    for limit, true in ((0.01, 0.002), (0.01, 0.005), (0.05, 0.04)):
        for n in (200, 400, 800, 1600, 3200, 6400):
            k = int(most_flips_allowed(np.full(1, float(n)), limit, CONFIDENCE)[0])
            gate = float(special.bdtr(k, n, true)) if k >= 0 else 0.0
            spent = float(special.bdtr(k, n, limit)) if k >= 0 else 0.0
            here, there = (float(special.bdtr(k + 1, n, p)) - (float(special.bdtr(k, n, p)) if k >= 0 else 0.0)
                           for p in (limit, true))  # fmt: skip
            yield n, limit, true, gate, gate + (ALPHA - spent) / here * there


# the change of error rate: counted out over both kinds of flips


def change_level(n: int, limit: float, negative: float) -> float:
    """P(allow) where the change is truly at its limit and ``negative`` is the true rate of negative flips."""
    positive = negative - limit
    b = _likely(n, negative)
    c = _likely(n, positive) if positive > 0 else np.zeros(1)
    bb, cc = b[:, None], c[None, :]
    rest = n - bb - cc
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = special.gammaln(n + 1) - special.gammaln(bb + 1) - special.gammaln(cc + 1) - special.gammaln(rest + 1)
        logs = logs + special.xlogy(bb, negative) + special.xlogy(cc, max(positive, 0.0))
        logs = logs + special.xlogy(rest, 1 - negative - max(positive, 0.0))
    probability = np.where(rest >= 0, np.exp(logs), 0.0)
    allowed = special.ndtr(tango_score(bb, cc, n, limit)) <= ALPHA
    return float(probability[allowed].sum())


def _likely(n: int, p: float) -> Floats:
    reach = 7 * math.sqrt(n * p * (1 - p)) + 10
    return np.arange(max(0, math.floor(n * p - reach)), min(n, math.ceil(n * p + reach)) + 1, dtype=np.float64)


def changes() -> Level:
    """Over models that are right together more or less often: the rate of flips says how correlated they are."""
    grid = [
        (change_level(n, limit, limit + extra), n, limit, extra)
        for limit in (0.0, 0.002, 0.01, 0.03)
        for extra in (0.0, 0.001, 0.005, 0.02, 0.1)
        for n in (50, 100, 300, 1000, 1351, 3000)
        if limit + extra > 0
    ]
    level, n, limit, extra = max(grid)
    return Level("error rate change (Tango), one cell", "counted out", level,
                 f"n = {n:,}, limit {limit:.1%}, positive flips {extra:.1%}", 0.08)  # fmt: skip


def relative(random: np.random.Generator, draws: int) -> Level:
    grid = []
    for n in (100, 300, 1000, 5000):
        for old, new in ((0.3, 0.25), (0.1, 0.1), (0.5, 0.4)):
            for share in (0.2, 0.6, 0.95):
                negative = share * (1 - old) * new
                cells = [1 - old - negative, negative, old - (new - negative), new - negative]
                drawn = random.multinomial(n, cells, size=4 * draws)
                counts = FlipCounts(drawn[:, 0], drawn[:, 1], drawn[:, 2], drawn[:, 3], np.zeros(len(drawn), np.int64))
                kept, _ = RELATIVE.proven(counts, np.full(len(drawn), share), True, CONFIDENCE)
                grid.append((float(kept.mean()), n, share, old))
    level, n, share, old = max(grid)
    return Level("relative NFR, one cell", "drawn", level, f"n = {n:,}, limit {share:g}, incumbent errs {old:.0%}",
                 ALPHA, _error(4 * draws))  # fmt: skip


def _error(draws: int) -> float:
    return math.sqrt(ALPHA * CONFIDENCE / draws)


# clusters: drawn

SIZES: dict[str, Callable[[np.random.Generator, int, int], NDArray[np.int64]]] = {
    "2 rows each": lambda r, draws, k: np.full((draws, k), 2),
    "20 rows each": lambda r, draws, k: np.full((draws, k), 20),
    "1 to many, 5 on average": lambda r, draws, k: r.geometric(1 / 5, size=(draws, k)),
    "1 to many, 20 on average": lambda r, draws, k: r.geometric(1 / 20, size=(draws, k)),
    "a few huge ones": lambda r, draws, k: np.minimum(r.zipf(1.7, size=(draws, k)), 200),
}


def clustered(
    random: np.random.Generator, sizes: NDArray[np.int64], p: float, icc: float, extra: float
) -> tuple[Design, Cells, ClusteredCells]:
    """Held-out sets, one a cell: each cluster has a rate of its own, of mean ``p`` and correlation ``icc``."""
    draws, k = sizes.shape
    if icc <= 0:
        own = np.full(sizes.shape, p)
    elif icc >= 1:
        own = (random.random(sizes.shape) < p).astype(np.float64)
    else:
        spread_ = (1 - icc) / icc
        own = random.beta(p * spread_, (1 - p) * spread_, size=sizes.shape)
    negative = random.binomial(sizes, own)
    positive = random.binomial(sizes - negative, extra / (1 - p)) if extra > 0 else np.zeros_like(negative)
    zero = np.zeros_like(sizes)
    columns = np.stack([sizes - negative - positive, negative, positive, zero, zero], axis=-1).reshape(-1, 5)
    cell = np.repeat(np.arange(draws), k)
    cells = Cells(tuple(range(draws)), columns.reshape(draws, k, 5).sum(axis=1))
    found = ClusteredCells(cells.values, (), cell, np.tile(np.arange(k), draws), columns)
    return Design(cells.values, cells.counts, found, None), cells, found


def proven(design: Design, share: Any, counts: FlipCounts, limit: float) -> tuple[float, float]:
    """How often the limit is proven kept, and how often broken, had there been clusters enough."""
    part = share.parts[0]
    judged = design.effective(part, design.worth(part), 0)
    kept, broken = share.proven(judged, np.full(len(counts.n), limit), True, CONFIDENCE)
    return float(kept.mean()), float(broken.mean())


def plain_design_effect(cells: Cells, found: ClusteredCells, limit: float) -> float:
    """The same by the design effect alone, without the cluster that might as well have flipped."""
    b, n = np.asarray(cells.counts.negative, dtype=np.float64), np.asarray(cells.counts.n, dtype=np.float64)
    between = spread(found.counts.negative, found.counts.n, found.cell, len(cells))
    p = b / n
    with np.errstate(invalid="ignore", divide="ignore"):
        deff = np.maximum(between.variance / (p * (1 - p) / n), 1.0)
    deff = np.where((b == 0) | (b == n), n / between.clusters, deff)
    return float((binomial_tail(b / deff, n / deff, limit)[0] <= ALPHA).mean())


@dataclass(frozen=True)
class Setting:
    """Clusters of some sizes (a name of ``SIZES``), their correlation, and the true rate, which is the limit."""

    clusters: int
    sizes: str
    icc: float
    p: float

    def __str__(self) -> str:
        return f"{self.clusters} clusters, {self.sizes}, correlation {self.icc:g}, limit {self.p:.1%}"


@dataclass(frozen=True)
class ClusterLevels:
    """Levels in one setting: of NFR as if rows were independent, by the design effect alone, and as the gate judges it;
    of the change as the gate judges it; and NFR wrongly refused."""

    independent: float
    design_effect: float
    nfr: float
    change: float
    refused: float


def cluster_levels(random: np.random.Generator, setting: Setting, draws: int) -> ClusterLevels:
    """The levels of one setting; positive flips are independent and come to 2 %."""
    p = setting.p
    sizes = SIZES[setting.sizes](random, draws, setting.clusters)
    design, cells, found = clustered(random, sizes, p, setting.icc, 0.0)
    other, others, _ = clustered(random, sizes, p, setting.icc, 0.02)
    kept, broken = proven(design, NFR, cells.counts, p)
    return ClusterLevels(
        float((binomial_tail(cells.counts.negative, cells.counts.n, p)[0] <= ALPHA).mean()),
        plain_design_effect(cells, found, p),
        kept,
        proven(other, CHANGE, others.counts, p - 0.02)[0],
        broken,
    )


Grid = dict[Setting, ClusterLevels]


def clusters(random: np.random.Generator, draws: int, quick: bool) -> Grid:
    """The levels over numbers of clusters, their sizes, their correlation and the true rate."""
    return {
        setting: cluster_levels(random, setting, draws)
        for setting in (
            Setting(k, name, icc, p)
            for k in (5, 10, 20, 50, 100, 200)
            for name in SIZES
            for icc in ((0.0, 0.3, 1.0) if quick else (0.0, 0.1, 0.3, 0.6, 1.0))
            for p in ((0.01, 0.1) if quick else (0.005, 0.02, 0.1, 0.3, 0.6))
        )
    }


def worst_of_clusters(random: np.random.Generator, grid: Grid, draws: int) -> Iterator[Level]:
    """The worst settings where there are clusters enough, drawn once more: the worst of many draws flatters none."""
    safe = {setting: levels for setting, levels in grid.items() if setting.clusters >= FEWEST_CLUSTERS}
    for what, name, promised in (
        ("NFR, rows in clusters", "nfr", 0.055),
        ("error rate change, rows in clusters", "change", 0.08),
        ("NFR wrongly refused, rows in clusters", "refused", 0.055),
    ):
        setting = max(safe, key=lambda one: getattr(safe[one], name))
        again = [cluster_levels(random, setting, draws) for _ in range(5)]
        level = float(np.mean([getattr(levels, name) for levels in again]))
        yield Level(what, "drawn", level, str(setting), promised, _error(5 * draws))


# weights: drawn


def weighted(random: np.random.Generator, draws: int) -> Iterator[Level]:
    """Weights of a lognormal distribution, unrelated to flips, and such that heavy rows flip the more often."""
    for sigma, related, promised in (
        (0.5, False, 0.06), (1.0, False, 0.06), (1.5, False, 0.06), (0.5, True, 0.1), (1.0, True, 0.2),
    ):  # fmt: skip
        grid = []
        for n in (100, 300, 1000):
            for p in (0.005, 0.02, 0.1, 0.3):
                some = max(draws // 2, 50)
                weight = random.lognormal(0.0, sigma, size=some * n)
                often = np.full(weight.shape, p)
                limit = p
                if related:
                    often = np.minimum(p * weight / math.exp(sigma**2 / 2), 1.0)
                    everyone = random.lognormal(0.0, sigma, size=10**6)
                    limit = float(np.average(np.minimum(p * everyone / math.exp(sigma**2 / 2), 1.0), weights=everyone))
                flipped = random.random(some * n) < often
                bits = np.where(flipped, 4, 7).astype(np.uint8)
                cell = Codes(np.repeat(np.arange(some), n), range(some))
                negative = flipped.reshape(some, n).sum(axis=1)
                zero = np.zeros_like(negative)
                counts = FlipCounts(n - negative, negative, zero, zero, zero)
                design = Design(tuple(range(some)), counts, None, count_weights(weight, cell, bits))
                kept, _ = Evidence(NFR, counts, design).proven(np.full(some, limit), True, CONFIDENCE)
                grid.append((float(kept.mean()), n, limit, some))
        level, n, limit, some = max(grid)
        heavy = math.exp(sigma * 1.2815515655446004)
        told = "heavy rows flip in proportion to their weight" if related else "unrelated to flips"
        yield Level(f"weighted rows, one in ten {heavy:.1f} times the median or more, {told}", "drawn", level,
                    f"n = {n:,}, limit {limit:.1%}", promised, _error(some))  # fmt: skip


# looks


def looks(random: np.random.Generator, draws: int) -> Iterator[Level]:
    """Ten decisions on a set that grows, and ten candidates on one set; with the error spent over them, and without."""
    steps = np.arange(1, 11) * 200.0
    flips = random.binomial(200, 0.02, size=(20 * draws, 10)).cumsum(axis=1)
    for spent, promised in ((10, ALPHA), (1, 1.0)):
        most = most_flips_allowed(steps, 0.02, 1 - ALPHA / spent)
        peeks = float((flips <= most).any(axis=1).mean())
        told = "`looks: 10`" if spent == 10 else "`looks: 1` (a wrong policy)"
        yield Level(f"ten looks at a growing set, {told}", "drawn", peeks, "200 to 2,000 rows, limit 2 %", promised,
                    _error(20 * draws))  # fmt: skip
        one = float(exact_level(np.full(1, 1000.0), 0.02, ALPHA / spent)[0])
        yield Level(f"ten bad candidates on one set, any allowed, {told}", "counted out", 1 - (1 - one) ** 10,
                    "n = 1,000, limit 2 %", promised)  # fmt: skip


# harm: refusals


def refusals() -> Iterator[Level]:
    """The chance that any of many cells, all exactly at their limit, is called harmful."""
    for cells in (10, 100, 1000):
        for n, limit in ((200, 0.03), (1000, 0.03)):
            for told, level_, promised in (("Holm", ALPHA / cells, ALPHA), ("no correction", ALPHA, 1.0)):
                k = np.arange(n + 1.0)
                refused = binomial_tail(k, n, limit)[1] <= level_
                first = int(np.argmax(refused)) if refused.any() else n + 1
                one = 1.0 - float(special.bdtr(first - 1, n, limit)) if first <= n else 0.0
                yield Level(f"`harm`, {cells:,} cells, any refused wrongly, {told}", "counted out",
                            -math.expm1(cells * math.log1p(-one)), f"n = {n:,} each, limit {limit:.0%}",
                            promised)  # fmt: skip


def some_harmed(random: np.random.Generator, draws: int) -> Level:
    """30 of 100 cells truly harmed: how often any of the other 70, at their limit, is called harmful too."""
    n, limit = 1000, 0.03
    wrong = []
    for _ in range(draws):
        flips = random.binomial(n, np.repeat([0.06, limit], [30, 70]))
        wrong.append(holm(binomial_tail(flips, n, limit)[1], ALPHA)[30:].any())
    return Level("`harm`, 100 cells, 30 truly harmed, any other refused, Holm", "drawn", float(np.mean(wrong)),
                 "n = 1,000 each, limit 3 %, harmed 6 %", ALPHA, _error(draws))  # fmt: skip


# mean loss: drawn

Sizes = tuple[int, int]
LOSSES: dict[str, tuple[Callable[[np.random.Generator, Sizes], Floats], float, float]] = {
    "half a normal distribution": (lambda r, size: np.abs(r.standard_normal(size)), math.sqrt(2 / math.pi), ALPHA),
    "exponential": (lambda r, size: r.exponential(size=size), 1.0, ALPHA),
    "lognormal, one in a hundred ten times the median": (lambda r, size: r.lognormal(0, 1, size), math.exp(0.5), ALPHA),
    "lognormal, one in a hundred thirty times the median": (
        lambda r, size: r.lognormal(0, 1.5, size),
        math.exp(1.125),
        0.1,
    ),
    "power law without a third moment": (lambda r, size: r.pareto(2.5, size), 1 / 1.5, 0.06),
    "one in fifty ten times all others": (lambda r, size: np.where(r.random(size) < 0.02, 10.0, 1.0), 1.18, 1.0),
}
WITHIN_ONE: dict[str, tuple[Callable[[np.random.Generator, Sizes], Floats], float]] = {
    "one in fifty a hundred times all others": (lambda r, size: np.where(r.random(size) < 0.02, 1.0, 0.01), 0.0298),
    "mostly small": (lambda r, size: r.beta(0.3, 3, size), 0.3 / 3.3),
    "all alike": (lambda r, size: r.random(size), 0.5),
}  # fmt: skip


def moments(drawn: Floats) -> Moments:
    return Moments(
        np.full(len(drawn), float(drawn.shape[1])), drawn.sum(axis=1), (drawn * drawn).sum(axis=1), drawn.max(axis=1)
    )


def means(random: np.random.Generator, draws: int) -> Iterator[Level]:
    """How often the true mean lies above the upper bound (a wrong allow of ``at_most``), and below the lower one."""
    for kind, (draw, true, promised) in LOSSES.items():
        grid = []
        for n in (30, 100, 300, 1000):
            found = mean_bounds(moments(draw(random, (2 * draws, n))), CONFIDENCE)
            grid += [(float((found.upper < true).mean()), n, "above"), (float((found.lower > true).mean()), n, "below")]
        level, n, side = max(grid)
        yield Level(f"mean loss, no range stated: {kind}", "drawn", level, f"{n:,} losses, truly {side} the bound",
                    promised, _error(2 * draws))  # fmt: skip
    grid = []
    for kind, (draw, true) in WITHIN_ONE.items():
        for n in (5, 30, 100, 1000):
            found = mean_bounds(moments(draw(random, (2 * draws, n))), CONFIDENCE, largest=1.0)
            grid += [(float((found.upper < true).mean()), n, kind), (float((found.lower > true).mean()), n, kind)]
    level, n, kind = max(grid)
    yield Level("mean loss, `largest_change` stated", "drawn", level, f"{n:,} losses, {kind}", ALPHA, _error(2 * draws))


# the page


def cluster_rows(grid: Grid) -> dict[int, ClusterLevels]:
    """For each number of clusters the worst of each level, wherever it was."""
    names = [field.name for field in fields(ClusterLevels)]
    return {
        k: ClusterLevels(*(max(getattr(x, name) for s, x in grid.items() if s.clusters == k) for name in names))
        for k in sorted({setting.clusters for setting in grid})
    }


def percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def table(header: str, rows: list[str]) -> str:
    return "\n".join([header, "|" + " --- |" * (header.count("|") - 1), *rows])


def level_rows(levels: list[Level]) -> list[str]:
    return [
        f"| {x.what} | {percent(x.level)} | {x.where} | {percent(x.promised) if x.promised < 1 else 'none'} | {x.how} |"
        for x in levels
    ]


def page(
    levels: list[Level], rows: dict[int, ClusterLevels], powers: list[tuple[int, float, float, float, float]]
) -> str:
    parts = [
        "### Wrong allows and wrong refusals\n",
        table("| what | worst level | where | promised | how |", level_rows(levels)),
        "\n### Rows in clusters: the worst level by the number of clusters\n",
        table(
            "| clusters | NFR, as if independent | NFR, design effect alone | NFR | error rate change"
            " | NFR wrongly refused |",
            [
                f"| {k} | {percent(x.independent)} | {percent(x.design_effect)} | {percent(x.nfr)} |"
                f" {percent(x.change)} | {percent(x.refused)} |"
                for k, x in rows.items()
            ],
        ),
        "\n### Power: how often a good update is proven good\n",
        table(
            "| rows | limit | true rate | the gate | most powerful test |",
            [f"| {n:,} | {limit:.1%} | {true:.1%} | {percent(a)} | {percent(b)} |" for n, limit, true, a, b in powers],
        ),
    ]
    return "\n".join(parts)


def picture(rows: dict[int, ClusterLevels], powers: list[tuple[int, float, float, float, float]]) -> str:
    by_n = [x for x in powers if x[1:3] == (0.01, 0.005)]
    lines = {
        "the gate": [(float(k), x.nfr) for k, x in rows.items()],
        "design effect alone": [(float(k), x.design_effect) for k, x in rows.items()],
        "as if independent": [(float(k), x.independent) for k, x in rows.items()],
    }
    power_lines = {
        "the gate": [(float(x[0]), x[3]) for x in by_n],
        "most powerful test": [(float(x[0]), x[4]) for x in by_n],
    }
    return svg(
        [
            Panel("Clustered rows", "clusters", "wrong allows, worst case", lines, (5, 10, 20, 50, 100), 1.0, ALPHA),
            Panel(
                "Power, limit 1 %, truly 0.5 %", "rows", "proven good", power_lines, (200, 800, 3200), 1.0, None, True
            ),
        ]
    )


def main() -> int:
    quick = "--quick" in sys.argv
    draws = DRAWS // 20 if quick else DRAWS
    random = np.random.default_rng(20240607)
    started = time.perf_counter()
    grid = clusters(random, draws, quick)
    levels = [
        shares(),
        *many_cells(),
        changes(),
        relative(random, draws),
        *worst_of_clusters(random, grid, draws),
        *weighted(random, draws),
        *looks(random, draws),
        *refusals(),
        some_harmed(random, draws),
        *means(random, draws),
    ]  # fmt: skip
    powers = list(power())
    written = page(levels, cluster_rows(grid), powers)
    if quick:
        print(written)
    else:
        text = PAGE.read_text(encoding="utf-8")
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        PAGE.write_text(f"{before}{BEGIN}\n\n{written}\n\n{END}{after}", encoding="utf-8")
        PICTURE.write_text(picture(cluster_rows(grid), powers), encoding="utf-8")
    print(f"{time.perf_counter() - started:.0f} s", file=sys.stderr)
    broken = [level.what for level in levels if not level.kept]
    if broken:
        print("above what is promised: " + "; ".join(broken), file=sys.stderr)
    return int(bool(broken) and "--check" in sys.argv)


if __name__ == "__main__":
    raise SystemExit(main())
