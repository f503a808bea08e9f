"""Where does the time of one ``gate check`` go?

Run::

    python benchmarks/where.py [--rows 100000] [--repeats 5]

Two scikit-learn models of 50 columns in a registry (SQLite), nothing cached. The command runs in a process of its own
with a clock around its steps: what a step does inside another is taken off that one, so that the lines add up to the
whole. Importing is counted apart, wherever it happens. The models' processes work beside all this: what is waited for
is theirs. Printed are the medians.
"""

from __future__ import annotations

import argparse
import builtins
import importlib
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from statistics import median
from typing import Any

sys.path.append(str(Path(__file__).parent / "peers"))

STEPS = {
    "gate.stories.here:open_table": "the header of the held-out set",
    "gate.stories.here:Here.start": "starting the models' processes",
    "gate.registry.registry:Registry.connect": "opening the registry",
    "gate.registry.registry:Registry.resolve": "looking up the versions",
    "gate.registry.registry:Registry.download": "download of both models",
    "gate.stories.sides:model_digest": "digests of both models",
    "gate.stories.here:Here.contract": "the contract",
    "gate.stories.asking:Models.open": "environments and known answers",
    "gate.engines.process:Worker.ready": "waiting for both models to import and load",
    "gate.stories.here:scored": "scoring and counting",
    "gate.stories.check:target_of": "looking up the alias",
    "gate.stories.check:_uses": "earlier uses of the held-out set",
    "gate.stories.check:earlier": "earlier decisions",
    "gate.stories.check:_decided": "judging",
    "gate.stories.check:_logged": "reports and logging of the evidence",
    "gate.cli.output:show": "the decision as a file, and the result",
}
IMPORTS, REST = "imports", "all else"
START, END = "start of the interpreter", "end of the interpreter"


class Clock:
    """Seconds of each step, without those of the steps inside it; of the main thread alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside = [0.0]

    def around(self, step: str, work: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(work)
        def timed(*given: Any, **named: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                return work(*given, **named)
            started = time.perf_counter()
            self._inside.append(0.0)
            try:
                return work(*given, **named)
            finally:
                taken = time.perf_counter() - started
                self.seconds[step] = self.seconds.get(step, 0.0) + taken - self._inside.pop()
                self._inside[-1] += taken

        return timed

    def imports(self) -> None:
        """Watch the import statements that load something."""
        plain = builtins.__import__
        timed = self.around(IMPORTS, plain)

        def watched(name: str, *rest: Any, **named: Any) -> Any:
            return (plain if name in sys.modules else timed)(name, *rest, **named)

        builtins.__import__ = watched


def put_around(clock: Clock, module: Any, name: str, step: str) -> None:
    """AttributeError where the step is no longer where it was."""
    *owners, last = name.split(".")
    owner = module
    for one in owners:
        owner = getattr(owner, one)
    kind = vars(owner)[last]
    timed = clock.around(step, getattr(kind, "__func__", kind))
    setattr(owner, last, type(kind)(timed) if isinstance(kind, (staticmethod, classmethod)) else timed)


def inside(told: list[str]) -> None:
    """In the process of its own: the command with clocks, and their seconds as the last line."""
    began = time.time()
    clock = Clock()
    started = time.perf_counter()
    clock.imports()
    load = clock.around(IMPORTS, importlib.import_module)
    load("gate.cli.check")
    for place, step in STEPS.items():
        module, _, name = place.partition(":")
        put_around(clock, load(module), name, step)
    from gate.cli.app import leave, run

    code = run(told)
    whole = time.perf_counter() - started
    clock.seconds[REST] = whole - sum(clock.seconds.values())
    line = {"code": code, "seconds": clock.seconds, "began": began, "ended": time.time()}
    print("\n" + json.dumps(line), flush=True)
    leave(0)  # as the command does


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--inside", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        inside(given.inside)
        return
    from data import registry
    from machine import machine, record
    from running import run

    found: dict[str, list[float]] = {}
    wholes = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        store, data = registry(folder, given.rows)
        command = [sys.executable, __file__, "--inside", "check", "--model", "bench", "--candidate", "2"]
        command += ["--incumbent", "1", "--data", str(data), "--policy", str(folder / "policy.yaml")]
        command += ["--registry-uri", store, "--report", f"json={folder / 'decision.json'}", "--quiet", "--no-cache"]
        for _ in range(given.repeats):
            asked = time.time()
            ran = run(command, folder, 600)
            if ran.problem or ran.told["code"] not in (0, 10, 11):
                raise SystemExit(ran.problem or f"exit code {ran.told['code']}")
            steps = {**ran.told["seconds"], START: ran.told["began"] - asked}
            steps[END] = asked + ran.whole - ran.told["ended"]
            wholes.append(ran.whole)
            for step, seconds in steps.items():
                found.setdefault(step, []).append(seconds)
    order = [START, IMPORTS, *STEPS.values(), REST, END]
    medians = {step: median(found[step]) for step in order if step in found}
    whole = median(wholes)
    print(machine("mlflow", "scikit-learn"))
    print(f"gate check, {given.rows:,} rows x 50, two scikit-learn models: {whole:.2f} s")
    for step, seconds in medians.items():
        print(f"  {step:<46} {seconds:7.3f} s {seconds / whole:6.1%}")
    rows = [
        {"what": step, "value": seconds, "unit": "s", "share": seconds / whole} for step, seconds in medians.items()
    ]
    total = {
        "what": f"the whole command, {given.rows:,} rows x 50",
        "value": whole,
        "unit": "s",
        "repeats": given.repeats,
    }
    record("where", [*rows, total], "mlflow", "scikit-learn")


if __name__ == "__main__":
    main()
