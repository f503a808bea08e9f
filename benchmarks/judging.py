"""How long does it take to judge 10,000 cells under ten rules?

Run::

    python benchmarks/judging.py [CELLS]

Prints milliseconds (the best of seven, nothing cached between them): from the counts to the verdict, which is all that
decides, and from there to every finding written out with its bound, p-value and rows needed, which a record wants.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from gate.core.flips import Cells, FlipCounts, FlipTable
from gate.core.judgement import DecideOn, Severity, Source, verdict
from gate.core.measured import Measured
from gate.core.rates import rate
from gate.policy.judge import judge
from gate.policy.rules import Rule, Threshold

ROUNDS = 7
RULES: tuple[tuple[str, float, DecideOn], ...] = (
    ("nfr", 0.03, DecideOn.PROOF),
    ("nfr", 0.05, DecideOn.HARM),
    ("error_rate", 0.20, DecideOn.PROOF),
    ("error_rate", 0.25, DecideOn.HARM),
    ("error_rate_change", 0.02, DecideOn.PROOF),
    ("error_rate_change", 0.0, DecideOn.HARM),
    ("relative_nfr", 0.9, DecideOn.PROOF),
    ("nfi", 0.30, DecideOn.HARM),
    ("churn", 0.10, DecideOn.PROOF),
    ("wrong_to_different_wrong", 0.05, DecideOn.ESTIMATE),
)


def table(cells: int, seed: int = 0) -> FlipTable:
    """Cells of 20 to 2,000 rows, each with shares of its own."""
    random = np.random.default_rng(seed)
    shares = random.dirichlet([40, 1, 1.5, 5, 1], size=cells)
    columns = random.multinomial(random.integers(20, 2000, cells), shares).astype(np.int64)
    return FlipTable(FlipCounts.from_row(columns.sum(axis=0)), {"class": Cells(tuple(range(cells)), columns)})


def rules() -> list[Rule]:
    """Ten rules, each looking at every cell."""
    return [
        Rule(
            id=f"rule-{position}", rate=rate(name), by="class", at_most=True, threshold=Threshold(limit), overrides=(),
            at_least_n=100, decide_on=decide_on, severity=Severity.ENFORCE, because=None,
            source=Source("policy.yaml", position),
        )
        for position, (name, limit, decide_on) in enumerate(RULES)
    ]  # fmt: skip


def best(work: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """Milliseconds of the fastest of some rounds."""
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds) * 1000


def main() -> None:
    cells = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    counted, demands = table(cells), rules()
    judged = best(lambda: verdict(judge(demands, Measured(counted, 0.95))))
    written = best(lambda: list(judge(demands, Measured(counted, 0.95))), 2)
    print(
        f"{cells:,} cells under {len(demands)} rules: {judged:.0f} ms to the verdict, {written:.0f} ms to all findings"
    )


if __name__ == "__main__":
    main()
