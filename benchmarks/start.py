"""How light is the start? ``gate --help`` against ``python -c "import click"``; ``gate compare`` beyond its imports.

Run::

    python benchmarks/start.py [PREDICTIONS LABEL INCUMBENT CANDIDATE]

The first figure is a ratio of pairs run in turn (median of 15), the second is in seconds, of one process, for a file of
predictions, where one is named.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

PAIRS = 15
POLICY = Path(__file__).parents[1] / "policies" / "balanced.yaml"


def seconds(*command: str) -> float:
    """Wall seconds of one process."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    help_command = (str(Path(sys.executable).with_name("gate")), "--help")
    click_command = (sys.executable, "-c", "import click")
    for command in (help_command, click_command):
        seconds(*command)
    pairs = [(seconds(*help_command), seconds(*click_command)) for _ in range(PAIRS)]
    ratio = median(one / other for one, other in pairs)
    print(f"gate --help / import click: {ratio:.2f} ({median(one for one, _ in pairs) * 1000:.0f} ms)")
    if len(sys.argv) == 5:
        started = time.perf_counter()
        import pyarrow.parquet  # noqa: F401

        from gate.stories.compare import compare

        imported = time.perf_counter()
        predictions, label, incumbent, candidate = sys.argv[1:]
        judged = compare(predictions, policy=POLICY, label=label, incumbent=incumbent, candidate=candidate)
        done = time.perf_counter()
        print(
            f"gate compare, {judged.decision.counts.n:,} rows: {done - imported:.2f} s"
            f" beyond {imported - started:.2f} s of imports"
        )


if __name__ == "__main__":
    main()
