"""The machine and the libraries that a benchmark ran on, and its results as JSON."""

from __future__ import annotations

import json
import math
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
KEPT = "GATE_BENCHMARKS"
"""The variable with the folder that results are written to; ``python -m benchmarks`` sets it."""
TRIAL = "GATE_BENCHMARKS_TRIAL"
"""Set where the run was made small, to see that all works: its figures are no results."""


def machine(*packages: str) -> str:
    """Date, processor, cores, and versions; ``packages`` are named besides Python, NumPy and Arrow."""
    versions = " ".join(f"{package} {version(package)}" for package in ("numpy", "pyarrow", *packages))
    return f"{_today()}, {_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def record(name: str, rows: Iterable[Mapping[str, Any]], *packages: str, card: str | None = None) -> None:
    """Keep what a benchmark measured, where ``python -m benchmarks`` asked for it; else nothing is done.

    A row says ``what`` was measured, its ``value`` and ``unit`` ("x" for a ratio, else s, ms, MiB ...), and ``at_most``
    or ``at_least`` where there is a limit, or ``aim`` where there is one beyond it. Whatever else it holds is kept too.
    ``packages`` are named with their versions besides NumPy and Arrow, ``card`` is an accelerator.
    """
    folder = os.environ.get(KEPT)
    if not folder:
        return
    content = {
        "benchmark": name,
        "command": _command(),
        "date": _today(),
        "trial": TRIAL in os.environ,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "card": card,
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in ("model-update-gate", "numpy", "pyarrow", *packages)},
        "rows": [{key: _short(value) for key, value in row.items()} for row in rows],
    }
    Path(folder).mkdir(parents=True, exist_ok=True)
    Path(folder, f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _command() -> str:
    """What was run, from the root of the project."""
    script = Path(sys.argv[0]).resolve()
    root = RESULTS.parent.parent
    name = script.relative_to(root) if script.is_relative_to(root) else Path(script.name)
    return shlex.join(["python", str(name).removesuffix("/__main__.py"), *sys.argv[1:]])


def _short(value: Any) -> Any:
    """Four figures are more than a benchmark can tell."""
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else None
    return value


def _today() -> str:
    return str(datetime.now(timezone.utc).date())


def _memory() -> int | None:
    """GiB of the machine, where the system tells it."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    except (ValueError, OSError):
        return None


def _processor() -> str:
    """The processor's name, where the system tells it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
