"""The local engine as a check uses it: the held-out set is read here, and the models run on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from gate.data.columns import BATCH_BYTES, batch_rows
from gate.data.tables import Table, open_table
from gate.decisions.record import Contract
from gate.engines.local import ModelInfo, network_left_on
from gate.engines.signature import signature_of
from gate.policy.rules import Policy
from gate.stories.asking import How, Models, Opened
from gate.stories.contract import contract_of
from gate.stories.counting import Progress
from gate.stories.holdout import HeldOut
from gate.stories.remembering import MET_BY_OTHERS, Before
from gate.stories.scoring import Scored, features_of, offered_to, scored
from gate.stories.sides import Sides

_BYTES_A_VALUE = 8
_SHARE = 4  # a batch and its answers take no more than a quarter of what a model may


class Here:
    """One held-out set and the models that it is asked of; made by :func:`open_here`.

    ``header`` has the set's name and columns. ``batch_rows`` and ``isolation`` are known after :meth:`scored`, and so
    is ``remembered``: the versions that were not asked, since their answers were known.
    """

    def __init__(self, data: str | os.PathLike[str] | Any, how: How, stack: ExitStack) -> None:
        self.header = open_table(data)
        self.tools: dict[str, str] = {}
        self.batch_rows = 0
        self.isolation = ""
        self.remembered: tuple[str, ...] = ()
        self._how, self._stack = how, stack
        self._models: Models | None = None

    def start(self, candidates: int, incumbents: int) -> None:
        """Start that many processes, which import while the registry is read."""
        self._models = Models(self._how, candidates, incumbents, self._stack)

    def contract(self, rules: Policy, *, values: bool) -> tuple[Contract, Before | None]:
        """The contract as met, and the rows that it was met by."""
        contract, agreed = contract_of(rules, self.header, values=values)
        if agreed is None:
            return contract, None
        return contract, Before(agreed, MET_BY_OTHERS)

    def scored(
        self,
        held_out: HeldOut,
        sides: Sides,
        *,
        before: Before | None,
        rows: int | None,
        seed: int,
        samples: int,
        progress: Progress,
    ) -> Scored:
        """Ask every model, and count every pair, in one pass."""
        if self._models is None:
            self.start(len(sides.candidates), len(sides.incumbents))
        assert self._models is not None
        progress("loading the models", 0, None)
        self.batch_rows = rows or rows_for(self.header, held_out, sides, self._how.memory)
        opened: Opened = self._models.open(sides, held_out, self.header, self.batch_rows, before, progress)
        found = scored(
            self.header,
            held_out,
            sides,
            opened.models,
            opened.recorders,
            rows=self.batch_rows,
            seed=seed,
            samples=samples,
            before=opened.before,
            notes=opened.notes,
            progress=progress,
        )
        self.isolation, self.remembered = opened.isolation, opened.remembered
        left_on = network_left_on(list(opened.models.values()))
        return replace(found, notes=(*found.notes, *left_on, *self._how.not_told(found.infos.values())))


def rows_for(table: Table, held_out: HeldOut, sides: Sides, memory: int | None) -> int:
    """How many rows make a batch: by what the models want of a row and answer to it, and by the memory that each has.

    Signatures say what that is, also those of models that are not run since their answers are known: the same models,
    rows and memory give the same number. EvidenceError for a signature that asks for the label.
    """
    told = {side.role: signature_of(side.folder) for side in sides.all}
    infos = [ModelInfo(role, None, signature.columns, {}) for role, signature in told.items()]
    features = features_of(table.schema.names, held_out, infos)
    return batch_rows(
        table,
        {name for info in infos for name in offered_to(info, features)},
        beside=_BYTES_A_VALUE * sum(signature.width for signature in told.values()),
        at_most=BATCH_BYTES if memory is None else min(BATCH_BYTES, memory // _SHARE),
    )


@contextmanager
def open_here(data: str | os.PathLike[str] | Any, how: How) -> Iterator[Here]:
    """Open a held-out set: a file or URI, an Arrow table or a DataFrame; all processes end with the block.

    Example::

        with open_here("holdout.parquet", How()) as engine:
            engine.start(1, 1)
            found = engine.scored(held_out, sides, before=None, rows=None, seed=0, samples=100, progress=nothing)
    """
    with ExitStack() as stack:
        yield Here(data, how, stack)
