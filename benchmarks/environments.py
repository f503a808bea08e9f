"""What does an environment of a model's own add to a check? For two versions of scikit-learn that cannot be in one.

Run::

    python benchmarks/environments.py [--versions 1.5.2 1.9.1] [--rounds 5] [--rows 100000]

Each environment is built by uv from what MLflow writes beside a model (which fetches the packages, or takes them from
uv's cache), and then found again, as every later check does: reading the requirements, looking the environment up, and
checking that it is whole. Then the whole command: ``gate check --env-manager uv`` against ``gate check`` in the running
environment, in pairs, with two models that either serves, nothing cached but the environment. Prints seconds.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median

sys.path.append(str(Path(__file__).parent / "peers"))

from data import registry
from machine import machine, record
from running import run

from gate.engines.environments import environment_for

LIMIT = 2.0


def asks(folder: Path, wanted: str) -> Path:
    """A folder with what a model says of its environment."""
    folder.mkdir()
    (folder / "requirements.txt").write_text(f"mlflow=={version('mlflow')}\nscikit-learn=={wanted}\n")
    (folder / "python_env.yaml").write_text(f"python: {platform.python_version()}\n")
    return folder


def seconds(model: Path, homes: Path) -> float:
    started = time.perf_counter()
    environment_for(model, "uv", folder=homes)
    return time.perf_counter() - started


def whole(folder: Path, rows: int, rounds: int) -> list[float]:
    """Seconds that ``--env-manager uv`` adds to the whole command, for each model, once for each round."""
    store, data = registry(folder, rows)
    for role in ("candidate", "incumbent"):
        wanted = f"mlflow=={version('mlflow')}\nscikit-learn=={version('scikit-learn')}\n"
        (folder / role / "requirements.txt").write_text(wanted)
    command = [sys.executable, "-m", "gate", "check", "--model", "bench", "--candidate", "2", "--incumbent", "1"]
    command += ["--data", str(data), "--policy", str(folder / "policy.yaml"), "--registry-uri", store, "--quiet"]
    command += ["--no-cache", "--no-log"]

    def taken(*flags: str) -> float:
        ran = run([*command, *flags], folder, 600)
        if ran.problem:
            raise SystemExit(ran.problem)
        return ran.whole

    taken("--env-manager", "uv")  # builds it
    return [(taken("--env-manager", "uv") - taken()) / 2 for _ in range(rounds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", nargs="+", default=["1.5.2", "1.9.1"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=100_000)
    given = parser.parse_args()
    print(machine("mlflow", "uv"))
    kept = []
    with tempfile.TemporaryDirectory() as scratch:
        for wanted in given.versions:
            model, homes = asks(Path(scratch, wanted), wanted), Path(scratch, "homes")
            cold = seconds(model, homes)
            warm = median(seconds(model, homes) for _ in range(given.rounds))
            print(f"scikit-learn {wanted}: built in {cold:.1f} s, found again in {warm:.3f} s", flush=True)
            what = f"an environment with scikit-learn {wanted}"
            kept.append({"what": f"{what}, found again", "value": warm, "unit": "s", "at_most": LIMIT})
            kept.append({"what": f"{what}, built the first time", "value": cold, "unit": "s"})
        os.environ["GATE_CACHE_DIR"] = str(Path(scratch, "cache"))
        added = median(whole(Path(scratch), given.rows, given.rounds))
        print(f"gate check, {given.rows:,} rows: an environment of its own adds {added:.2f} s for each model")
        what = f"gate check, {given.rows:,} rows x 50, environments found again: added for each model"
        kept.append({"what": what, "value": added, "unit": "s", "at_most": LIMIT})
    record("environments", kept, "mlflow", "uv")


if __name__ == "__main__":
    main()
