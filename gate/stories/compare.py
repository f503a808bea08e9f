"""The story of `gate compare`: predictions that are already there, counted, judged, decided. No registry, no model."""

from __future__ import annotations

import os
from dataclasses import replace

from gate.data.columns import batch_rows
from gate.decisions.record import Target
from gate.errors import EvidenceError, UsageError, data_withheld
from gate.policy.rules import Policy
from gate.stories.columns import policy_for, with_columns
from gate.stories.contract import contract_of
from gate.stories.counting import Progress, counted, nothing
from gate.stories.decide import Judgement, day, decided
from gate.stories.holdout import HeldOut
from gate.stories.predictions import Columns, OneTable, Source, TwoTables, opened
from gate.tasks.batch import Classes
from gate.tasks.kinds import KINDS


def compare(
    predictions: Source | None = None,
    *,
    policy: str | os.PathLike[str] | Policy,
    label: str | None = None,
    incumbent: str | None = None,
    candidate: str | None = None,
    id: str | None = None,
    incumbent_predictions: Source | None = None,
    candidate_predictions: Source | None = None,
    prediction: str | None = None,
    environment: str | None = None,
    seed: int = 0,
    samples: int = 100,
    as_of: str | None = None,
    rows_per_batch: int | None = None,
    progress: Progress = nothing,
) -> Judgement:
    """Judge an update by predictions alone: those of both models in one table, or in one table each.

    With one table, ``predictions``: ``label``, ``incumbent`` and ``candidate`` are its columns, ``id`` too (left out,
    the row number is the id). With two, ``incumbent_predictions`` and ``candidate_predictions``: both have the columns
    ``id`` and ``prediction``, at least one has the ``label``; they are joined by id, and an id that one of them lacks
    is an error. Columns that the policy's ``holdout`` names can be left out.

    A table is a file or URI (Parquet, CSV, Feather, JSON Lines), an Arrow table, a DataFrame, or a mapping of names to
    arrays, of shape (n,) or (n, classes). ``samples`` flipped rows of each kind are kept, chosen by ``seed``; with 0 no
    value of a row is in the decision or in an error. No rows are an error. UsageError for options and policy,
    EvidenceError for the data.

    >>> from gate.policy.load import parse_policy
    >>> few_flips = parse_policy("{version: 1, name: small, rules: [{id: few, rate: nfr, at_most: 2%}]}")
    >>> compare(
    ...     {"y": ["a"] * 400, "old": ["a"] * 400, "new": ["a"] * 399 + ["b"]},
    ...     policy=few_flips, label="y", incumbent="old", candidate="new",
    ... )
    Judgement(verdict='allow', negative flips=1 of 400)
    """
    if rows_per_batch is not None and rows_per_batch < 1:
        raise UsageError(f"a batch has at least one row, not {rows_per_batch}", where="--batch-rows")
    rules = policy_for(policy, environment)
    if predictions is None and (incumbent_predictions is None or candidate_predictions is None):
        raise UsageError(
            "no predictions",
            where="gate compare",
            hint="a file, or --incumbent-predictions and --candidate-predictions",
        )
    rules = with_columns(rules, label=label, id=id, id_needed=predictions is None)
    as_of = day(as_of)
    with data_withheld(samples == 0):
        columns = Columns(HeldOut(rules), rules.task)
        paired: OneTable | TwoTables
        if predictions is not None:
            if incumbent_predictions is not None or candidate_predictions is not None:
                raise UsageError("give one table of predictions or two, not both", where="gate compare")
            if incumbent is None or candidate is None:
                raise UsageError(
                    "name the two columns of predictions", where="gate compare", hint="--incumbent COL --candidate COL"
                )
            paired = OneTable(opened(predictions), columns, incumbent, candidate)
        else:
            if prediction is None:
                raise UsageError("name the column of predictions", where="gate compare", hint="--prediction COL")
            paired = TwoTables(opened(incumbent_predictions), opened(candidate_predictions), columns, prediction)
        contract, agreed = contract_of(rules, paired.table, values=samples > 0)
        rows = rows_per_batch or batch_rows(paired.table, models=False)
        task = KINDS[rules.task.kind](rules.task, Classes(rules.task.classes))
        found = counted(
            task, paired.batches(rows), rules, seed=seed, samples=samples, progress=progress, of=paired.table.known_rows
        )
        columns.held_out.finish()
        if agreed is not None and agreed != paired.digest:
            raise EvidenceError("it changed while it was read", where=paired.table.uri, hint="compare a copy of it")
        compared = replace(
            paired.compared(rows),
            contract=contract,
            target=Target(environment=rules.environment),
            exclusions=columns.held_out.exclusions,
            files=columns.held_out.files,
        )
        return decided(rules, found, compared, seed=seed, as_of=as_of)
