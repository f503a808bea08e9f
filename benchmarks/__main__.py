"""Runs the benchmarks, and prints one table of what they found against the limits.

Run::

    python -m benchmarks [NAME ...] [--quick] [--record]

All of them, one after the other, unless some are named; ``--quick`` makes each small, to see that all works, which
gives no figures worth keeping. ``--record`` keeps what was found in benchmarks/results and writes docs/benchmarks.md
anew. A benchmark that cannot run here is named at the end, and the exit code is 1 then; a limit that is broken is
shown, and is no error: another machine has other figures.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import KEPT, RESULTS, TRIAL
from benchmarks.page import Measured, measured, shown

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Benchmark:
    """One script, and what it is asked for; ``quick`` are its arguments for a trial.

    ``script`` is its name, where that is not the benchmark's own: one may measure several things.
    """

    quick: tuple[str, ...] = ()
    full: tuple[str, ...] = ()
    script: str | None = None


def on_gpu(dtype: str) -> Benchmark:
    """ResNet-50 on a GPU; without one the script says so, and that is no failure."""
    asked = ("--model", "resnet50", "--device", "cuda", "--dtype", dtype)
    few = (*asked, "--rows", "512", "--batch-rows", "256", "--rounds", "1")
    return Benchmark(few, (*asked, "--rows", "20000", "--batch-rows", "256"), "torch_models")


BENCHMARKS = {
    "counting": Benchmark(("--rows", "100000", "--pairs", "1")),
    "checking": Benchmark(("20000", "--pairs", "1"), ("--pairs", "15")),
    "cached": Benchmark(("20000", "--pairs", "1")),
    "torch_models": Benchmark(("--rows", "2000", "--batch-rows", "500", "--rounds", "1")),
    "torch_gpu_float32": on_gpu("float32"),
    "torch_gpu_bf16": on_gpu("bf16"),
    "memory": Benchmark(("--rows", "100000", "1000000", "--check", "100000", "200000")),
    "spark": Benchmark(("20000",)),
    "environments": Benchmark(("--rounds", "2")),
    "start": Benchmark(),
    "judging": Benchmark(("1000",)),
    "reports": Benchmark(("20000", "100")),
    "wrapped_store": Benchmark(("20",)),
    "transport": Benchmark(("--rounds", "1")),
    "peers": Benchmark(("--rows", "20000", "--classes", "10", "--check-rows", "2000", "--repeats", "1")),
    "where": Benchmark(("--rows", "2000")),
    "profiles": Benchmark(("--rows", "20000", "--check-rows", "20000")),
}


def script_of(name: str) -> Path:
    """The file of a benchmark, or the folder of one that has several."""
    named = BENCHMARKS[name].script or name
    return HERE / named if (HERE / named).is_dir() else HERE / f"{named}.py"


def run(name: str, quick: bool, folder: Path) -> bool:
    """Run one, which prints as it goes; whether it ended well."""
    script = script_of(name)
    arguments = BENCHMARKS[name].quick if quick else BENCHMARKS[name].full
    environment = {**os.environ, KEPT: str(folder), **({TRIAL: "1"} if quick else {})}
    print(f"\n=== {name}: python {script.relative_to(HERE.parent)} {' '.join(arguments)}", flush=True)
    return subprocess.run([sys.executable, str(script), *arguments], env=environment, check=False).returncode == 0


def table(results: list[Measured]) -> str:
    """A line for each figure that has a limit."""
    lines = [f"{'benchmark':<17} {'what':<72} {'found':>10} {'limit':>10}"]
    for one in results:
        for row in one.rows:
            if row.limit is not None:
                end = "" if row.holds else "  BROKEN"
                lines.append(
                    f"{one.name:<17} {row.what[:72]:<72} {shown(row.value, row.unit):>10} {row.limit_shown:>10}{end}"
                )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Run the benchmarks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="small trials, whose figures are no results")
    parser.add_argument("--record", action="store_true", help="keep the results, and write docs/benchmarks.md anew")
    given = parser.parse_args()
    for name in given.names:
        if name not in BENCHMARKS:
            parser.error(f"no benchmark {name}: {', '.join(BENCHMARKS)}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        failed = [name for name in given.names or BENCHMARKS if not run(name, given.quick, folder)]
        kept = sorted(folder.glob("*.json"))
        print("\n" + table([measured(json.loads(path.read_text("utf-8"))) for path in kept]))
        if given.quick:
            print("\nA trial: these figures are no results.")
        if given.record:
            RESULTS.mkdir(exist_ok=True)
            for path in kept:
                (RESULTS / path.name).write_text(path.read_text("utf-8"), encoding="utf-8")
            subprocess.run([sys.executable, str(HERE / "page.py")], check=True)
    if failed:
        print(f"could not be run: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
