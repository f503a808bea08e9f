"""What a count shows that a reader should know, though no rule asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gate.core.flips import BY_CLASS, FlipTable

FEWEST = 5
"""Of fewer rows an honest model may well get none right."""
_SHOWN = 5


def never_right(table: FlipTable) -> Iterator[str]:
    """The classes of which the incumbent gets no row right, largest first: breaking them is no negative flip.

    Perhaps it names them otherwise than the labels do. A task without classes has no such notes.

    >>> from gate.core.counts import Cells
    >>> cells = Cells(("cat", "dog"), np.array([[9, 1, 0, 0, 0], [0, 0, 3, 2, 2]]))
    >>> list(never_right(FlipTable(cells={BY_CLASS: cells})))
    ["class 'dog': the incumbent is never right on its 7 rows: nothing there can be a negative flip"]
    """
    cells = table.cells.get(BY_CLASS)
    if cells is None:
        return
    rows = cells.columns.sum(axis=1)
    found = np.flatnonzero((cells.columns[:, :2].sum(axis=1) == 0) & (rows >= FEWEST))
    found = found[np.argsort(-rows[found], kind="stable")]
    for i in found[:_SHOWN].tolist():
        yield (
            f"class {cells.values[i]!r}: the incumbent is never right on its {int(rows[i]):,} rows: nothing there can"
            " be a negative flip"
        )
    if len(found) > _SHOWN:
        yield (
            f"the incumbent is never right on {len(found) - _SHOWN:,} more classes, {int(rows[found[_SHOWN:]].sum()):,}"
            " rows in all"
        )
