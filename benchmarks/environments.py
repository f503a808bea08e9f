"""What does an environment of a model's own add to a check? For two versions of scikit-learn that cannot be in one.

Run::

    python benchmarks/environments.py [--versions 1.5.2 1.9.1] [--rounds 5]

Each environment is built by uv from what MLflow writes beside a model (which fetches the packages, or takes them from
uv's cache), and then found again, as every later check does: reading the requirements, looking the environment up, and
checking that it is whole. Importing and loading are the model's own and are not timed. Prints seconds.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median

from machine import machine, record

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", nargs="+", default=["1.5.2", "1.9.1"])
    parser.add_argument("--rounds", type=int, default=5)
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
    record("environments", kept, "mlflow", "uv")


if __name__ == "__main__":
    main()
