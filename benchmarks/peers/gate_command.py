"""The command ``gate``: every rate with exact bounds, by class too, a verdict, and some of the rows that flipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gate.cli.app import run

PACKAGES = ("model-update-gate", "mlflow", "numpy", "pyarrow")
JUDGED = (0, 10, 11)
"""Exit codes of a verdict: allowed, refused, inconclusive."""


def check(registry: str, data: str) -> dict[str, Any]:
    """``gate check``: no answers are known, none are kept, and the evidence is logged as always."""
    where = ("--registry-uri", registry, "--data", data, "--no-cache")
    return told(data, "check", "--model", "bench", "--incumbent", "1", "--candidate", "2", *where)


def told(data: str, *command: str) -> dict[str, Any]:
    """What the command's decision says, which it writes beside ``data``."""
    kept = Path(data).with_name("decision.json")
    code = run([*command, "--policy", str(Path(data).with_name("policy.yaml")), "--report", f"json={kept}", "--quiet"])
    if code not in JUDGED:
        raise SystemExit(f"exit code {code}")
    decision = json.loads(kept.read_text("utf-8"))
    counts = decision["counts"]
    both, negative, positive, n = (counts[name] for name in ("both_right", "negative", "positive", "n"))
    return {
        "accuracy": [(both + negative) / n, (both + positive) / n],
        "negative flips": negative,
        "classes": sum(cell["by"] == "class" for cell in decision["cells"]),
        "verdict": decision["verdict"],
    }
