"""How many rows a held-out set has in each cell that a policy looks at: counted as they will be, without a model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate.core.flips import BY_CLASS, BY_OUTPUT, FlipTable
from gate.core.outcomes import Outcomes
from gate.core.rates import Rate
from gate.data.columns import batch_rows, require_columns
from gate.data.identity import UniqueIds
from gate.data.tables import Table, open_table
from gate.policy.rules import Policy, Rule
from gate.stories.columns import with_columns
from gate.stories.counting import counted
from gate.stories.holdout import HeldOut
from gate.tasks.batch import Answers, Batch, Classes
from gate.tasks.classification import Classification, Reading
from gate.tasks.units import settled


@dataclass(frozen=True)
class Sizes:
    """The rows of a held-out set, each counted as right twice: overall, by class, slice and golden set.

    ``policy`` is the one that was given, its label and id columns filled in. ``rows`` are those that count, not the
    excluded ones. Cells by the candidate's output are not known before there is a candidate; under
    ``kind: multilabel`` a row counts once, whatever the number of labels.
    """

    uri: str
    policy: Policy
    rows: int
    table: FlipTable

    def known(self, by: str | None) -> bool:
        """Whether the cells of a dimension are known before any model has answered."""
        return by is None or by in self.table.cells

    def had(self, column: int) -> FlipTable:
        """The table as it would be if every row fell into another one of the five counts."""
        order = np.arange(5)
        order[[0, column]] = order[[column, 0]]

        def moved(columns: NDArray[Any]) -> NDArray[Any]:
            return columns[:, order]

        table = self.table
        counts = [int(count) for count in table.overall.columns]
        return replace(
            table,
            overall=type(table.overall)(*(counts[place] for place in order)),
            cells={by: replace(cells, columns=moved(cells.columns)) for by, cells in table.cells.items()},
            clusters={
                by: replace(
                    cells,
                    columns=moved(cells.columns),
                    weights=None if cells.weights is None else moved(cells.weights),
                )
                for by, cells in table.clusters.items()
            },
            weights={
                by: replace(cells, sums=moved(cells.sums), squares=moved(cells.squares))
                for by, cells in table.weights.items()
            },
        )


def read_sizes(
    data: str | os.PathLike[str] | Any, policy: Policy, *, label: str | None = None, id: str | None = None
) -> Sizes:
    """Read a held-out set once, as ``gate check`` would, and count its rows.

    ``label`` and ``id`` name columns that the policy does not. UsageError where nobody names a label that is needed;
    EvidenceError for columns that are missing (all at once), no rows, missing labels, ids that occur twice, and ids of
    a golden set or of exclusions that are not there.
    """
    policy = with_columns(policy, label=label, id=id)
    table = open_table(data)
    held_out = HeldOut(policy)
    require_columns(table, held_out.wanted)
    # What goes beyond the noise of retraining needs a candidate; here there is none.
    plain = tuple(rule for rule in policy.rules if not isinstance(rule, Rule) or isinstance(rule.rate, Rate))
    found = counted(_task(policy), _batches(table, held_out), replace(policy, rules=plain), seed=0, samples=0)
    held_out.finish()
    cells = {by: of for by, of in found.table.cells.items() if by != BY_OUTPUT}
    return Sizes(table.uri, policy, int(found.table.overall.n), replace(found.table, cells=cells))


def _batches(table: Table, held_out: HeldOut) -> Iterator[Batch]:
    rows, wanted = batch_rows(table), list(dict.fromkeys(held_out.wanted.values()))
    ids = UniqueIds(where=table.uri)
    first = 0
    for read in table.batches(rows, wanted or None):
        batch = held_out.rows(read, first)
        if held_out.id_columns:
            ids.update(batch.ids, first)
        first += read.num_rows
        truth = Answers(batch.label)
        yield batch.batch(truth, truth)
    held_out.check_unique(ids, table, rows)


def _task(policy: Policy) -> Classification | _AlwaysRight:
    if policy.task.kind == "classification":
        return Classification(Reading("labels"), Classes(policy.task.classes))
    return _AlwaysRight()


class _AlwaysRight:
    """Counts every row as right twice, whatever the task."""

    def outcomes(self, batch: Batch) -> Outcomes:
        right = np.ones(len(batch), dtype=np.bool_)
        return Outcomes(
            ids=batch.ids,
            incumbent_right=right,
            candidate_right=right,
            same_output=right,
            slices=batch.slices,
            cluster=batch.cluster,
            weight=batch.weight,
        )

    def finish(self, table: FlipTable) -> FlipTable:
        return settled(table, {BY_CLASS: ()})
