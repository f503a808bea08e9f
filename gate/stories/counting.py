"""From batches to counts: each is held against the truth by its task, counted, and added to what was counted before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from gate.core.excess import beyond
from gate.core.flips import FlipTable, count, merge
from gate.core.measures import EXCESS_CHURN, EXCESS_NFR
from gate.core.outcomes import Outcomes, Value
from gate.errors import EvidenceError
from gate.policy.rules import AnyRule, Policy, Rule
from gate.stories.beside import Kept, pressing
from gate.stories.repeats import against_itself
from gate.tasks.batch import Batch, Task
from gate.tasks.classification import Classification

Progress = Callable[[str, int, "int | None"], None]
"""Told of a step's name, how much of it is done and how much there is (None: not known)."""

_TOGETHER = 64


def nothing(step: str, done: int, total: int | None) -> None:
    """The progress of a caller who does not want to hear of it."""


@dataclass(frozen=True)
class Counted:
    """What was counted: the comparison, and for each measure over the noise of retraining a table per retraining."""

    table: FlipTable
    beyond: Mapping[str, tuple[FlipTable, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """What was counted of some of the rows, before anything is concluded from it; parts of all rows add up.

    ``noticed`` is what the task keeps beside the counts (:meth:`Classification.noticed`).
    """

    rows: int
    excluded: bool
    total: FlipTable
    sums: Mapping[tuple[str, int], FlipTable]
    ever_right: Mapping[int, bool]
    noticed: tuple[Value, ...]


class Counting:
    """A growing count of one candidate against one incumbent; batches are added in the order of the rows.

    ``samples`` flipped rows of each kind are kept. What goes beyond the noise of retraining is counted where a rule of
    the policy asks for it; where that noise is that of repeated answers, all batches are held until the end.
    """

    def __init__(self, task: Task, policy: Policy, *, seed: int, samples: int) -> None:
        self._task, self._policy, self._seed, self._samples = task, policy, seed, samples
        self._asked = [name for name in (EXCESS_NFR, EXCESS_CHURN) if any(_asks(rule, name) for rule in policy.rules)]
        self._floors = policy.holdout.noise if self._asked else ()
        self._held: list[Batch] | None = [] if self._floors and not policy.holdout.noise_floor else None
        self._total = _Sum(samples)
        self._kept = Kept(samples)
        self._sums: dict[tuple[str, int], _Sum] = {}
        self._ever_right: dict[int, bool] = {}
        self._excluded = False
        self.rows = 0

    def add(self, batch: Batch) -> Outcomes | None:
        """Count one batch. What it came to, None where nothing can be told yet, or where it has no rows."""
        self.rows += len(batch)
        if not len(batch):
            self._excluded = self._policy.holdout.exclusions is not None
        if self._held is None:
            return self._count(batch)
        self._held.append(batch)
        return None

    def part(self) -> Part:
        """What was counted so far, for another :class:`Counting` to take."""
        self._look_back()
        return Part(
            self.rows,
            self._excluded,
            self._total.table(),
            {which: some.table() for which, some in self._sums.items()},
            dict(self._ever_right),
            self._task.noticed() if isinstance(self._task, Classification) else (),
        )

    def take(self, part: Part) -> None:
        """Add what was counted elsewhere, of other rows."""
        self.rows += part.rows
        self._excluded = self._excluded or part.excluded
        self._total.add(part.total)
        for which, table in part.sums.items():
            self._sums.setdefault(which, _Sum(0)).add(table)
        for number, right in part.ever_right.items():
            self._ever_right[number] = self._ever_right.get(number, False) or right
        if isinstance(self._task, Classification):
            self._task.notice(part.noticed)

    def finish(self) -> Counted:
        """All that was counted; EvidenceError if there was no row, or a retrained incumbent that is never right."""
        if not self.rows:
            found = "every row of it is excluded" if self._excluded else "it has no rows"
            raise EvidenceError(found, where="held-out set", hint="nothing was checked, so nothing is allowed")
        self._look_back()
        for number, right in self._ever_right.items():
            if not right:
                raise EvidenceError(
                    "it is never right: are these the answers of a retrained incumbent, and its classes named alike?",
                    where=self._floors[number],
                    hint="noise that flips every row would excuse any candidate",
                )
        tables = {
            name: tuple(self._task.finish(part.table()) for (of, _), part in sorted(self._sums.items()) if of == name)
            for name in self._asked
        }
        return Counted(self._task.finish(self._total.table()), tables)

    def _look_back(self) -> None:
        """Count the batches that were held."""
        if self._held:
            for batch in against_itself(self._held):
                self._count(batch)
            self._held = []

    def _count(self, batch: Batch) -> Outcomes | None:
        if not len(batch):
            return None
        outcomes = self._task.outcomes(batch)
        if self._samples:
            part = count(pressing(outcomes, batch, self._policy), seed=self._seed, keep=self._samples)
            self._total.add(replace(part, samples=self._kept.of(part.samples)))
        else:
            self._total.add(count(outcomes, seed=self._seed, keep=0))
        for number, answers in enumerate(batch.retrained if self._asked else ()):
            noise = _noise(self._task, replace(batch, candidate=answers), self._floors[number])
            self._ever_right[number] = self._ever_right.get(number, False) or bool(noise.candidate_right.any())
            for name in self._asked:
                part = count(beyond(outcomes, noise, churn=name == EXCESS_CHURN), seed=self._seed, keep=0)
                self._sums.setdefault((name, number), _Sum(0)).add(part)
        return outcomes


def counted(
    task: Task,
    batches: Iterable[Batch],
    policy: Policy,
    *,
    seed: int,
    samples: int,
    progress: Progress = nothing,
    of: int | None = None,
) -> Counted:
    """Count all batches, as :class:`Counting` does; EvidenceError if they hold no row.

    ``of`` is how many rows there are, None where that is not known before they are read.
    """
    counting = Counting(task, policy, seed=seed, samples=samples)
    for batch in batches:
        counting.add(batch)
        progress("counting", counting.rows, of)
    return counting.finish()


def _noise(task: Task, batch: Batch, where: str) -> Outcomes:
    """What a retrained incumbent's answers come to; what is wrong with them is not the candidate's fault."""
    try:
        # as the incumbent that it is a retraining of, its answers must be classes that the policy knows
        task.outcomes(replace(batch, incumbent=batch.candidate))
        return task.outcomes(batch)
    except EvidenceError as error:
        raise EvidenceError(problems=[replace(problem, where=where) for problem in error.problems]) from None


def _asks(rule: AnyRule, name: str) -> bool:
    return isinstance(rule, Rule) and rule.rate.name == name


class _Sum:
    """A growing sum of flip tables, merged many at a time."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._parts: list[FlipTable] = []

    def add(self, part: FlipTable) -> None:
        self._parts.append(part)
        if len(self._parts) > _TOGETHER:
            self._parts = [merge(self._parts)]

    def table(self) -> FlipTable:
        return merge(self._parts) if self._parts else FlipTable(keep=self._keep)
