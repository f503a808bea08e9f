"""How long each report takes and how large it is: ``python benchmarks/reports.py [ROWS] [CLASSES]``.

A million rows in ten thousand classes, unless told otherwise, of which the update breaks every fiftieth, with a rule
for every class. Judging is not timed: that is ``benchmarks/judging.py``. The target is 2 seconds and 1 MB for the page.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import record

import gate
from gate.report.writers import FOLDERS, WRITERS

POLICY = """\
version: 1
name: wide
holdout: {label: label, slices: {site: {column: site}}}
rules:
  - {id: few-negative-flips, rate: nfr, at_most: 3%}
  - {id: no-class-breaks, rate: nfr, by: class, at_most: 10%, decide_on: harm}
  - {id: no-site-breaks, rate: nfr, by: site, at_most: 4%}
"""


def judged(rows: int, classes: int) -> gate.Judgement:
    """The judgement of so many rows, two in a hundred of them broken and three mended."""
    random = np.random.default_rng(0)
    label = np.arange(rows) % classes
    broken, mended = random.random(rows) < 0.02, random.random(rows) < 0.03
    other = (label + 1 + random.integers(0, 5, rows)) % classes
    columns = {
        "label": label,
        "old": np.where(mended, other, label),
        "new": np.where(broken & ~mended, other, label),
        "site": np.arange(rows) % 7,
    }
    with tempfile.TemporaryDirectory() as folder:
        policy = Path(folder) / "policy.yaml"
        policy.write_text(POLICY)
        return gate.compare(columns, policy=policy, incumbent="old", candidate="new", as_of="2026-01-01")


def main() -> None:
    """Print a line for each format: the fastest of three, and the bytes."""
    rows, classes = (int(text) for text in (*sys.argv[1:], *("1000000", "10000")[len(sys.argv) - 1 :]))
    found = judged(rows, classes)
    print(f"{rows:,} rows, {classes:,} classes: {found.verdict.value}, {len(found.decision.findings):,} findings\n")
    print(f"{'format':<12} {'seconds':>8} {'bytes':>12}")
    kept = []
    for name, write in {**WRITERS, **FOLDERS}.items():
        taken = []
        for _ in range(3):
            start = time.perf_counter()
            content = write(found.decision, found.samples)
            taken.append(time.perf_counter() - start)
        size = sum(map(len, content.values()))
        print(f"{name:<12} {min(taken):>8.2f} {size:>12,}")
        what = f"{rows:,} rows, {classes:,} classes: {name}"
        limits = ({"at_most": 2.0}, {"at_most": 1.0}) if name == "html" else ({}, {})
        kept.append({"what": what, "value": min(taken), "unit": "s", **limits[0]})
        kept.append({"what": f"{what}, size", "value": size / 1e6, "unit": "MB", **limits[1]})
    record("reports", kept)


if __name__ == "__main__":
    main()
