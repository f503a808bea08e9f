"""How long does it take to judge 10,000 cells under ten rules, and to write it down?

Run::

    python benchmarks/judging.py [CELLS]

Prints milliseconds (the best of some rounds, nothing cached between them): from the counts to the verdict, which is all
that decides; to every finding with its bound, p-value and rows needed; and to the decision, sealed and written as JSON,
which holds every finding, every cell and every rate.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from machine import record

from gate.core.flips import Cells, FlipCounts, FlipTable
from gate.core.judgement import verdict
from gate.core.measured import Measured
from gate.core.rates import rate
from gate.decisions.canonical import to_bytes
from gate.decisions.record import HoldoutRow, ModelRow
from gate.policy.judge import judge
from gate.policy.load import parse_policy
from gate.policy.rules import Policy, Rule
from gate.stories.counting import Counted
from gate.stories.decide import Compared, decided

ROUNDS = 7
RULES: tuple[tuple[str, float, str], ...] = (
    ("nfr", 0.03, "proof"),
    ("nfr", 0.05, "harm"),
    ("error_rate", 0.20, "proof"),
    ("error_rate", 0.25, "harm"),
    ("error_rate_change", 0.02, "proof"),
    ("error_rate_change", 0.0, "harm"),
    ("relative_nfr", 0.9, "proof"),
    ("nfi", 0.30, "harm"),
    ("churn", 0.10, "proof"),
    ("wrong_to_different_wrong", 0.05, "estimate"),
)
COMPARED = Compared(
    ModelRow("predictions#new"), ModelRow("predictions#old"), HoldoutRow("predictions", "0" * 64, 1, None, "y"), "", 1
)


def table(cells: int, seed: int = 0) -> FlipTable:
    """Cells of 20 to 2,000 rows, each with shares of its own."""
    random = np.random.default_rng(seed)
    shares = random.dirichlet([40, 1, 1.5, 5, 1], size=cells)
    columns = random.multinomial(random.integers(20, 2000, cells), shares).astype(np.int64)
    return FlipTable(FlipCounts.from_row(columns.sum(axis=0)), {"class": Cells(tuple(range(cells)), columns)})


def policy() -> Policy:
    """Ten rules, each looking at every cell."""
    lines = ["version: 1", "name: judging", "rules:"]
    for position, (name, limit, decide_on) in enumerate(RULES):
        at_most = f"{limit * 100:g}%" if rate(name).percent else f"{limit:g}"
        about = f"rate: {name}, by: class, at_most: {at_most}, at_least_n: 100, decide_on: {decide_on}"
        lines.append(f"  - {{id: rule-{position}, {about}}}")
    return parse_policy("\n".join(lines) + "\n")


def rules() -> list[Rule]:
    """Those of the policy."""
    return [rule for rule in policy().rules if isinstance(rule, Rule)]


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
    counted, demands = table(cells), policy()

    def written() -> bytes:
        return to_bytes(decided(demands, Counted(counted), COMPARED, seed=0, as_of="2026-01-01").decision)

    judged = best(lambda: verdict(judge(demands.rules, Measured(counted, 0.95))))
    found = best(lambda: list(judge(demands.rules, Measured(counted, 0.95))), 4)
    size, sealed = len(written()), best(written, 3)
    print(
        f"{cells:,} cells under {len(demands.rules)} rules: {judged:.0f} ms to the verdict, {found:.0f} ms to all"
        f" findings, {sealed:.0f} ms to a decision of {size / 1e6:.0f} MB"
    )
    what = f"{cells:,} cells under {len(demands.rules)} rules"
    record(
        "judging",
        [
            {"what": f"{what}: to the verdict", "value": judged, "unit": "ms", "at_most": 100.0},
            {"what": f"{what}: to all findings", "value": found, "unit": "ms"},
            {"what": f"{what}: to the decision, written", "value": sealed, "unit": "ms", "bytes": size},
        ],
    )


if __name__ == "__main__":
    main()
