"""Which functions take the time? Profiles by py-spy of the hot paths.

Run::

    python benchmarks/profiles.py [--rows 10000000] [--check-rows 1000000] [--rate 200]

py-spy (``pip install py-spy``; it must be allowed to look into processes) samples ``gate compare`` on a file of
answers, and ``gate check`` with its models' processes. A sample counts for the function that ran: Python's own frames,
so that the time of compiled code stands where it was called. Printed and kept are the share of importing, and the
functions by their share of all other samples, for the gate's process and for those of the models.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent / "peers"))

FRAME = re.compile(r"(?P<name>.+) \((?P<file>[^()]*?)(:\d+)?\)$")
GATE, MODEL, OTHER = "the gate", "a model's process", "another process"
IMPORTING = "importing"
TOP = 15


def tally(lines: Iterable[str]) -> dict[str, Counter[str]]:
    """For each kind of process its samples by function, from py-spy's raw output: ``frame;frame;frame COUNT``.

    >>> tally(["process 7:\\"gate\\";main (gate/cli/app.py:9);count (gate/core/flips.py:70) 12"])
    {'the gate': Counter({'count (gate/core/flips.py)': 12})}
    """
    found: dict[str, Counter[str]] = {}
    for line in lines:
        stack, _, number = line.rstrip().rpartition(" ")
        if not number.isdigit():
            continue
        frames = [frame for frame in stack.split(";") if FRAME.match(frame)]
        if not frames:
            continue
        found.setdefault(_kind(stack), Counter())[_function(frames)] += int(number)
    return found


def _kind(stack: str) -> str:
    """Whose process it is, by its command, which py-spy puts before the frames, and else by what it runs."""
    command = stack.split(";", 1)[0] if stack.startswith("process ") else ""
    if "in_worker/__main__.py" in stack or "engines/in_worker/serving.py" in stack:
        return MODEL
    return GATE if "gate/cli" in stack or "gate" in command else OTHER


def _function(frames: list[str]) -> str:
    """The innermost frame, without its line; all of importing is one."""
    if any("importlib._bootstrap" in frame for frame in frames):
        return IMPORTING
    match = FRAME.match(frames[-1])
    assert match is not None
    return f"{match['name']} ({_brief(match['file'])})"


def _brief(file: str) -> str:
    """A path from the package on."""
    path = re.sub(r"^.*(site-packages|lib/python3\.\d+)/", "", file)
    return re.sub(r"^.*/(?=gate/)", "", path)


def profiled(command: list[str], folder: Path, rate: int) -> dict[str, Counter[str]]:
    beside = Path(sys.executable).with_name("py-spy")
    spy = str(beside) if beside.exists() else shutil.which("py-spy")
    if spy is None:
        raise SystemExit("py-spy is not here: pip install py-spy")
    kept = folder / "profile.txt"
    kept.unlink(missing_ok=True)
    asked = [spy, "record", "--format", "raw", "--subprocesses", "--rate", str(rate), "--output", str(kept), "--"]
    done = subprocess.run([*asked, *command], cwd=folder, capture_output=True, text=True, check=False)
    if not kept.exists():
        raise SystemExit(f"py-spy: {(done.stderr or done.stdout).strip()[-500:]}")
    return tally(kept.read_text("utf-8").splitlines())


def rows(what: str, found: dict[str, Counter[str]]) -> list[dict[str, Any]]:
    """The functions with the most samples of each kind of process, and the rest of it as one."""
    kept = []
    for kind in (GATE, MODEL):
        samples = Counter(found.get(kind, Counter()))
        importing = samples.pop(IMPORTING, 0)
        whole = samples.total()
        if not whole:
            continue
        share = importing / (importing + whole)
        about = {"unit": "share", "of": what, "process": kind}
        kept.append({"what": f"{IMPORTING}, of all samples", "value": share, **about, "samples": importing})
        top = samples.most_common(TOP)
        left = whole - sum(number for _, number in top)
        for function, number in [*top, *([("all others", left)] if left else [])]:
            kept.append({"what": function, "value": number / whole, **about, "samples": number})
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--check-rows", type=int, default=1_000_000)
    parser.add_argument("--rate", type=int, default=200)
    given = parser.parse_args()
    from data import answers, registry
    from machine import machine, record

    gate = [sys.executable, "-m", "gate"]
    kept: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        data = answers(folder, given.rows, 1_000)
        compare = [*gate, "compare", str(data), "--policy", str(data.with_name("policy.yaml")), "--incumbent", "old"]
        compare += ["--candidate", "new", "--quiet", "--report", f"json={folder / 'decision.json'}"]
        kept += rows(f"gate compare, {given.rows:,} rows, 1,000 classes", profiled(compare, folder, given.rate))
        store, data = registry(folder, given.check_rows)
        check = [*gate, "check", "--model", "bench", "--candidate", "2", "--incumbent", "1", "--data", str(data)]
        check += ["--policy", str(folder / "policy.yaml"), "--registry-uri", store, "--no-cache", "--quiet"]
        kept += rows(f"gate check, {given.check_rows:,} rows x 50", profiled(check, folder, given.rate))
    print(machine("mlflow", "scikit-learn"))
    before = None
    for row in kept:
        if (row["of"], row["process"]) != before:
            before = (row["of"], row["process"])
            print(f"\n{row['of']}: {row['process']}")
        print(f"  {row['value']:6.1%}  {row['what']}")
    record("profiles", kept, "mlflow", "scikit-learn")


if __name__ == "__main__":
    main()
