"""The gate on a file of answers: ``gate compare``, with what it imports when it is needed imported before."""

from __future__ import annotations

from typing import Any

import gate_command
import pyarrow.parquet

import gate.cli.compare
import gate.report.writers
import gate.stories.compare

PACKAGES = ("model-update-gate", "numpy", "pyarrow")
BEFORE = (pyarrow.parquet, gate.cli.compare, gate.report.writers, gate.stories.compare)


def count(data: str) -> dict[str, Any]:
    """The verdict with its decision as a file."""
    return gate_command.told(data, "compare", data, "--incumbent", "old", "--candidate", "new")
