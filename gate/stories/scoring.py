"""One pass over the held-out set: read once, asked of every model, counted for every pair of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gate.core.outcomes import Outcomes
from gate.core.versions import Crossings
from gate.data.digests import ContentDigest
from gate.data.identity import UniqueIds
from gate.data.tables import Table
from gate.engines.answers import Model
from gate.engines.cache import Recorder
from gate.engines.local import ModelInfo, score
from gate.engines.remembered import Remembered
from gate.errors import EvidenceError, Problem
from gate.policy.rules import Policy
from gate.stories.counting import Counted, Counting, Progress
from gate.stories.holdout import HeldOut, Rows
from gate.stories.remembering import Before
from gate.stories.sides import Sides
from gate.tasks.batch import Answers, Classes
from gate.tasks.kinds import KINDS


@dataclass(frozen=True)
class Scored:
    """What one pass came to.

    ``counted`` has an entry for each pair of :attr:`Sides.pairs`, ``infos`` one for each role; ``digest`` and ``rows``
    are those of the held-out set. ``crossings`` counts the flips between any two of three versions or more, in the
    order of :attr:`Sides.all`; None where there are two, or where they cannot be held against one another.
    """

    counted: tuple[Counted, ...]
    infos: Mapping[str, ModelInfo]
    digest: str
    rows: int
    crossings: Crossings | None
    notes: tuple[str, ...]


def scored(
    table: Table,
    held_out: HeldOut,
    sides: Sides,
    models: Mapping[str, Model],
    recorders: Mapping[str, Recorder],
    *,
    rows: int,
    seed: int,
    samples: int,
    before: Before | None,
    notes: Sequence[str] = (),
    progress: Progress,
) -> Scored:
    """Ask every model, ``rows`` rows at a time, and count every pair.

    ``models`` and ``recorders`` are by role; the latter are told what a model answers, and keep it if all is well.
    ``before`` is what the rows were when they were read before, if they were; ``notes`` go before those of the pass.
    :class:`EvidenceError` for a model that fails, and for what is wrong with the held-out set.
    """
    rules = held_out.policy
    infos = {side.role: models[side.role].ready() for side in sides.all}
    reader = Reader(table, held_out, tuple(infos.values()), rows)
    pairs = [
        Pair(candidate, incumbent, rules, infos, seed=seed, samples=samples) for candidate, incumbent in sides.roles
    ]
    crossings = Between(sides.roles) if len(sides.all) > 2 else None
    for side in sides.all:
        _check_offered(models[side.role], reader.offered(infos[side.role]))
    said = (note for info in infos.values() for note in info.torch.get("notes", ()))
    told = [*notes, *said]
    before_asking = len(told)
    asked_once = rules.holdout.sample is None
    answered = score(
        [models[side.role] for side in sides.all], reader.features(), canaries=asked_once, note=told.append
    )
    with closing(answered):
        for kept, found in answered:
            answers = {side.role: of_model for side, of_model in zip(sides.all, found, strict=True)}
            for role, recorder in recorders.items():
                recorder.add(answers[role])
            outcomes = [pair.add(kept, answers) for pair in pairs]
            if crossings is not None:
                crossings.add(outcomes)
            progress("scoring and counting", pairs[0].counting.rows, table.known_rows)
    counted = tuple(pair.counting.finish() for pair in pairs)
    reader.finish(before)
    if len(told) == before_asking:  # where some are near ties, another time they may be others
        for role, recorder in recorders.items():
            if not models[role].network:  # what it may have asked a service may be other tomorrow
                recorder.keep(infos[role], reader.offered(infos[role]), reader.digest)
    return Scored(
        counted,
        infos,
        reader.digest,
        reader.rows,
        None if crossings is None else crossings.found,
        tuple(dict.fromkeys(told)),
    )


def _check_offered(model: Model, offered: tuple[str, ...]) -> None:
    """EvidenceError where answers are known to other columns than the model would be sent now."""
    if isinstance(model, Remembered) and model.offered != offered:
        raise EvidenceError(
            "its answers are known for other columns than it would be sent now",
            where=f"{model.role} model",
            hint="run again with --no-cache",
        )


class Pair:
    """One candidate against one incumbent, or against none, by their roles."""

    def __init__(
        self,
        candidate: str,
        incumbent: str | None,
        rules: Policy,
        infos: Mapping[str, ModelInfo],
        *,
        seed: int,
        samples: int,
    ) -> None:
        self._candidate, self._incumbent = candidate, incumbent
        of_incumbent = infos[incumbent].classes if incumbent else None
        task = KINDS[rules.task.kind](rules.task, Classes(rules.task.classes, infos[candidate].classes, of_incumbent))
        self.counting = Counting(task, rules, seed=seed, samples=samples if incumbent else 0)

    def add(self, kept: Rows, answers: Mapping[str, Answers]) -> Outcomes | None:
        incumbent = None if self._incumbent is None else answers[self._incumbent]
        try:
            return self.counting.add(kept.batch(answers[self._candidate], incumbent))
        except EvidenceError as error:
            raise EvidenceError(problems=[self._told(problem) for problem in error.problems]) from error

    def _told(self, problem: Problem) -> Problem:
        """Tasks know a candidate and an incumbent; where there are several it must be said which."""
        named = {"candidate model": f"{self._candidate} model", "incumbent model": f"{self._incumbent} model"}
        return replace(problem, where=named.get(problem.where, problem.where))


class Between:
    """Flips between any two of several versions: collects where each version is right from the pairs that it is in."""

    def __init__(self, pairs: Sequence[tuple[str, str | None]]) -> None:
        roles = (*(candidate for candidate, _ in pairs), *(incumbent for _, incumbent in pairs if incumbent))
        places = {role: place for place, role in enumerate(dict.fromkeys(roles))}
        self._pairs = [
            (places[candidate], None if incumbent is None else places[incumbent]) for candidate, incumbent in pairs
        ]
        self._models = len(places)
        self._crossings: Crossings | None = Crossings(len(places))

    def add(self, outcomes: Sequence[Outcomes | None]) -> None:
        right = {}
        for (candidate, incumbent), found in zip(self._pairs, outcomes, strict=True):
            if found is None:
                continue
            right[candidate] = found.candidate_right
            if incumbent is not None:
                right[incumbent] = found.incumbent_right
        if not right or self._crossings is None:
            return
        if len(right) < self._models or len({len(column) for column in right.values()}) > 1:
            self._crossings = None  # pairs with units of their own: labels that only some of the versions know
            return
        self._crossings.add([right[place] for place in range(self._models)])

    def part(self) -> tuple[int, NDArray[np.int64]] | None:
        """What was counted so far, for another one to :meth:`take`; None where the versions cannot be compared."""
        return None if self._crossings is None else (self._crossings.n, self._crossings.both)

    def take(self, part: tuple[int, NDArray[np.int64]] | None) -> None:
        """Add what was counted elsewhere, of other rows."""
        if part is None or self._crossings is None:
            self._crossings = None
        else:
            self._crossings.take(*part)

    @property
    def found(self) -> Crossings | None:
        return self._crossings if self._crossings is not None and self._crossings.n else None


def features_of(names: Sequence[str], held_out: HeldOut, infos: Sequence[ModelInfo]) -> list[str]:
    """The columns that models may see; EvidenceError for a model that asks for the label."""
    label = str(held_out.policy.holdout.label)
    asking = [info for info in infos if info.columns is not None and label in info.columns]
    if asking:
        raise EvidenceError(
            f"its signature asks for the label column {label!r}",
            where=f"{asking[0].role} model",
            hint="a model that sees the answers proves nothing: log it with the signature of its features",
        )
    named = {column for info in infos for column in info.columns or ()}
    kept_back = held_out.not_features - named
    return [name for name in names if name != label and name not in kept_back]


def offered_to(info: ModelInfo, features: Sequence[str]) -> tuple[str, ...]:
    """The columns that a model is sent: those that it names, where all of them are there, else all features."""
    named = info.columns
    return named if named is not None and set(named) <= set(features) else tuple(features)


class Reader:
    """Reads the held-out set once: features for the models, the rest for the count, the digest of it all."""

    def __init__(self, table: Table, held_out: HeldOut, infos: Sequence[ModelInfo], rows: int) -> None:
        self._table, self._held_out, self._size = table, held_out, rows
        self._ids = UniqueIds(where=table.uri)
        self._digest = ContentDigest()
        self._features = features_of(table.schema.names, held_out, infos)

    @property
    def rows(self) -> int:
        """How many rows were read."""
        return self._digest.rows

    @property
    def digest(self) -> str:
        """SHA-256 of the content of the rows that were read."""
        return self._digest.hexdigest()

    def offered(self, info: ModelInfo) -> tuple[str, ...]:
        """The columns that a model is sent: those that it names, where all of them are there, else all features."""
        return offered_to(info, self._features)

    def features(self) -> Iterator[tuple[Rows, pa.RecordBatch]]:
        """The rows of each batch, and what models may see of them."""
        first = 0
        for read in self._table.batches(self._size):
            self._digest.update(read)
            rows = self._held_out.rows(read, first)
            if self._held_out.id_columns:
                self._ids.update(rows.ids, first)
            yield rows, read.select(self._features)
            first += read.num_rows

    def finish(self, before: Before | None) -> None:
        """The checks that need all rows: unique ids, and the same rows as before."""
        self._held_out.finish()
        self._held_out.check_unique(self._ids, self._table, self._size)
        if before is not None and before.digest != self.digest:
            raise EvidenceError(
                f"it changed while it was read: {before.unlike}",
                where=self._table.uri,
                hint="run again on a copy that nobody writes to",
            )
