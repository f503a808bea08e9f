"""A policy that has been read and found sound: rules with their rates and limits as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gate.core.judgement import DecideOn, Severity, Source
from gate.core.outcomes import Value
from gate.core.rates import Rate
from gate.tasks.slicing import Slicing


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
    """One demand: ``rate`` in each cell of ``by`` (None: all rows together) at most, or at least, its limit."""

    id: str
    rate: Rate
    by: str | None
    at_most: bool
    threshold: Threshold
    overrides: tuple[Override, ...]
    at_least_n: int | None
    decide_on: DecideOn
    severity: Severity
    because: str | None
    source: Source

    @property
    def needs_incumbent(self) -> bool:
        return self.rate.of != "candidate"


@dataclass(frozen=True)
class TaskPolicy:
    """The task's kind and how its outputs are read; ``classes`` and ``threshold`` as the policy names them."""

    kind: str = "classification"
    outputs: str | None = None
    classes: tuple[Value, ...] | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class Holdout:
    """The meaning of the held-out set's columns; ``slices`` maps a slice's name to the way it is cut."""

    id: str | None = None
    label: str | None = None
    slices: Mapping[str, Slicing] = field(default_factory=dict)
    contract: str | None = None


@dataclass(frozen=True)
class Promotion:
    """The alias that a promotion moves, and the one under which it keeps the previous version."""

    alias: str
    keep_previous_as: str | None = None


@dataclass(frozen=True)
class Policy:
    """A sound policy. ``text`` is the file's text and ``digest`` its SHA-256; ``file`` is how the user named it."""

    file: str
    text: str
    digest: str
    name: str
    task: TaskPolicy
    holdout: Holdout
    confidence: float
    decide_on: DecideOn
    absolute_rules_only_without_incumbent: bool
    rules: tuple[Rule, ...]
    promotion: Promotion | None = None
