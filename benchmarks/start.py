"""How light is the start? ``gate --help`` against ``python -c "import click"``; ``gate compare`` beyond its imports.

Run::

    python benchmarks/start.py [PREDICTIONS LABEL INCUMBENT CANDIDATE]

The first figure is a ratio of pairs run in turn (median of 15), the second is in seconds, of one process, for a file of
predictions: the one that is named, or a made one of 50,000 rows and 1,000 classes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from machine import record

PAIRS = 15
MAKE = """
import sys
sys.path.insert(0, sys.argv[1])
import pyarrow as pa, pyarrow.parquet as pq
from counting import work
made = work(50_000, 1_000)
pq.write_table(pa.table({"label": made.label, "old": made.incumbent, "new": made.candidate}), sys.argv[2])
"""
POLICY = Path(__file__).parents[1] / "policies" / "balanced.yaml"


def seconds(*command: str) -> float:
    """Wall seconds of one process."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def made(folder: Path) -> tuple[str, str, str, str]:
    """A file as large as ImageNet's of validation, written by a process of its own, which imports for itself."""
    path = folder / "predictions.parquet"
    seconds(sys.executable, "-c", MAKE, str(Path(__file__).parent), str(path))
    return str(path), "label", "old", "new"


def main() -> None:
    help_command = (str(Path(sys.executable).with_name("gate")), "--help")
    click_command = (sys.executable, "-c", "import click")
    for command in (help_command, click_command):
        seconds(*command)
    pairs = [(seconds(*help_command), seconds(*click_command)) for _ in range(PAIRS)]
    ratio = median(one / other for one, other in pairs)
    print(f"gate --help / import click: {ratio:.2f} ({median(one for one, _ in pairs) * 1000:.0f} ms)")
    kept: list[dict[str, Any]] = [{"what": "gate --help / import click", "value": ratio, "unit": "x", "at_most": 2.0}]
    with tempfile.TemporaryDirectory() as folder:
        predictions, label, incumbent, candidate = sys.argv[1:] or made(Path(folder))
        started = time.perf_counter()
        import pyarrow.parquet  # noqa: F401

        from gate.stories.compare import compare

        imported = time.perf_counter()
        judged = compare(predictions, policy=POLICY, label=label, incumbent=incumbent, candidate=candidate)
        done = time.perf_counter()
        print(
            f"gate compare, {judged.decision.counts.n:,} rows: {done - imported:.2f} s"
            f" beyond {imported - started:.2f} s of imports"
        )
        what = f"gate compare, {judged.decision.counts.n:,} rows, {len(judged.decision.cells):,} cells, beyond imports"
        kept.append({"what": what, "value": done - imported, "unit": "s", "at_most": 1.0})
    record("start", kept)


if __name__ == "__main__":
    main()
