"""A policy that has been read and found sound: rules with their rates and limits as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gate.core.judgement import DecideOn, Severity, Source
from gate.core.measures import Measure
from gate.core.outcomes import Value
from gate.core.rates import Rate
from gate.tasks.options import TaskOptions
from gate.tasks.slicing import Slicing

GOLDEN = "golden set "
"""What the names of the dimensions begin with under which golden rows are counted; no slice is called so."""


@dataclass(frozen=True)
class Threshold:
    """A limit on one side, in the rate's own unit, and the earlier line from which a pass is only a warning."""

    limit: float
    warn: float | None = None


@dataclass(frozen=True)
class Override:
    """Another threshold for one cell."""

    cell: Value
    threshold: Threshold
    source: Source


@dataclass(frozen=True)
class Rule:
    """One demand: ``rate`` in each cell of ``by`` (None: all rows together) at most, or at least, its limit.

    ``rate`` may also be a measure that is no rate of one flip table. ``holm`` corrects what is refused for the number
    of cells. ``units`` is how many units a row makes in each cell: what is counted are units, ``at_least_n`` is of
    rows.
    """

    id: str
    rate: Rate | Measure
    by: str | None
    at_most: bool
    threshold: Threshold
    overrides: tuple[Override, ...]
    at_least_n: int | None
    decide_on: DecideOn
    severity: Severity
    because: str | None
    source: Source
    holm: bool = False
    units: int = 1

    @property
    def fewest_units(self) -> int | None:
        """``at_least_n`` in units."""
        return None if self.at_least_n is None else self.at_least_n * self.units

    @property
    def needs_incumbent(self) -> bool:
        return isinstance(self.rate, Measure) or self.rate.of != "candidate"


@dataclass(frozen=True)
class Golden:
    """None of these rows may be a negative flip: those whose ids stand in ``file``, or that ``column`` marks."""

    id: str
    file: str | None
    column: str | None
    severity: Severity
    because: str | None
    source: Source
    needs_incumbent = True

    @property
    def by(self) -> str:
        """The dimension under which the golden rows are counted; its one cell is True."""
        return GOLDEN + self.id


@dataclass(frozen=True)
class FlipPrice:
    """What a flip of one kind costs, or saves: ``output`` is the wrong one of the two answers."""

    label: Value
    output: Value
    amount: float


@dataclass(frozen=True)
class Cost:
    """What all negative flips cost, less what the positive ones save, per so many rows, is at most the limit."""

    id: str
    per: int
    negative: tuple[FlipPrice, ...]
    positive: tuple[FlipPrice, ...]
    threshold: Threshold
    decide_on: DecideOn
    severity: Severity
    because: str | None
    source: Source
    at_least_n: int | None = None
    needs_incumbent = True


AnyRule = Rule | Golden | Cost


@dataclass(frozen=True)
class Waiver:
    """A finding that ``owner`` takes upon themselves until ``expires`` (the last day, UTC), up to another limit."""

    rule: str
    by_cell: bool
    cell: Value
    up_to: float | None
    because: str
    owner: str
    expires: str
    source: Source


@dataclass(frozen=True)
class Holdout:
    """The meaning of the held-out set's columns; ``slices`` maps a slice's name to the way it is cut."""

    id: str | None = None
    label: str | None = None
    slices: Mapping[str, Slicing] = field(default_factory=dict)
    contract: str | None = None
    cluster: str | None = None
    weight: str | None = None
    exclusions: str | None = None
    noise_floor: tuple[str, ...] = ()
    sample: str | None = None

    @property
    def clusters(self) -> str | None:
        """The column whose values are the clusters, None where the rows are independent."""
        return self.id if self.cluster is None and self.sample is not None else self.cluster

    @property
    def noise(self) -> tuple[str, ...]:
        """Where the noise of retraining, or of asking again, is read: as messages say it, one for each table of it."""
        if self.noise_floor:
            return tuple(f"holdout.noise_floor, column {column!r}" for column in self.noise_floor)
        return () if self.sample is None else (f"holdout.sample, column {self.sample!r}",)


@dataclass(frozen=True)
class Promotion:
    """The alias that a promotion moves, and the one under which it keeps the previous version."""

    alias: str
    keep_previous_as: str | None = None


@dataclass(frozen=True)
class Policy:
    """A sound policy, with what it extends and the environment that was asked for.

    ``text`` is the resolved text (that of the file, if it is one) and ``digest`` its SHA-256; ``file`` is how the user
    named it, ``files`` all that were read. Paths to other files are resolved against the file that names them.
    """

    file: str
    text: str
    digest: str
    name: str
    task: TaskOptions
    holdout: Holdout
    confidence: float
    decide_on: DecideOn
    absolute_rules_only_without_incumbent: bool
    rules: tuple[AnyRule, ...]
    promotion: Promotion | None = None
    waivers: tuple[Waiver, ...] = ()
    looks: int = 1
    environment: str | None = None
    files: tuple[str, ...] = ()

    @property
    def confidence_of_a_look(self) -> float:
        """The confidence of each bound, the error spent over the declared looks (Bonferroni).

        With one look it is ``confidence`` itself.
        """
        return self.confidence if self.looks == 1 else 1.0 - (1.0 - self.confidence) / self.looks
