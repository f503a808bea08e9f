"""NumPy: one ``bincount`` of a code, the least that counts every kind of flip per class. No checks, no bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.parquet as pq

PACKAGES = ("numpy", "pyarrow")


def count(data: str) -> dict[str, Any]:
    """The table of (class, incumbent right, candidate right)."""
    table = pq.read_table(data, columns=["label", "old", "new"])
    label, old, new = (table.column(name).to_numpy() for name in ("label", "old", "new"))
    code = label * 4 + (old == label) * 2 + (new == label)
    cells = np.bincount(code, minlength=4 * (int(label.max()) + 1)).reshape(-1, 4)
    _, positive, negative, right = (int(total) for total in cells.sum(axis=0))
    return {
        "accuracy": [(right + negative) / len(label), (right + positive) / len(label)],
        "negative flips": negative,
        "classes": len(cells),
    }
