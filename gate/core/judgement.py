"""From a bound and a limit to a status, and from the statuses to a verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from gate.core.bounds import Floats
from gate.core.outcomes import Value
from gate.errors import ExitCode


class Status(Enum):
    """What one rule found in one cell."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    WAIVED = "waived"
    ERROR = "error"


class Verdict(Enum):
    """What the gate says of an update. Only ``allow`` lets it through.

    >>> Verdict.INCONCLUSIVE.exit_code.value
    11
    """

    ALLOW = "allow"
    REFUSE = "refuse"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"

    @property
    def exit_code(self) -> ExitCode:
        return _EXIT_CODES[self]


_EXIT_CODES = {
    Verdict.ALLOW: ExitCode.ALLOW,
    Verdict.REFUSE: ExitCode.REFUSED,
    Verdict.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
    Verdict.ERROR: ExitCode.EVIDENCE,
}


class DecideOn(Enum):
    """Who carries the proof: the update (``proof``), nobody (``estimate``), or the objection to it (``harm``)."""

    PROOF = "proof"
    ESTIMATE = "estimate"
    HARM = "harm"


class Severity(Enum):
    """Whether a rule is enforced or only warns."""

    ENFORCE = "enforce"
    WARN = "warn"


@dataclass(frozen=True)
class Cell:
    """Where a rule looked: all rows (``overall``, value None), a class, an output, or a slice's value."""

    by: str
    value: Value = None


@dataclass(frozen=True)
class Source:
    """Where a rule stands in the policy: file and line, counted from 1."""

    file: str
    line: int


@dataclass(frozen=True)
class Finding:
    """What one rule found in one cell.

    ``estimate``, ``bound``, ``limit`` and ``margin`` are in the rate's own unit, not in percent. ``bound`` is what
    decides, as ``side`` says: for a failure the bound that is past the limit, else the unfavourable one. ``margin`` is
    how far it lies on the right side of the limit, below zero when it lies on the wrong one. ``n`` is the denominator
    of the rate. Undefined numbers are None.
    ``rows_needed`` is how many rows more would settle an inconclusive finding at the rate seen; ``passes_with`` is the
    largest numerator with which these ``n`` would have passed, where there is one.
    """

    rule: str
    rate: str
    of: str | None
    cell: Cell
    severity: Severity
    decide_on: DecideOn
    status: Status
    estimate: float | None
    bound: float | None
    side: str
    at_most: bool
    limit: float
    margin: float | None
    n: int
    numerator: int
    p_value: float | None
    rows_needed: int | None
    passes_with: int | None
    because: str | None
    note: str | None
    source: Source


def statuses(
    decide_on: DecideOn,
    at_most: bool,
    estimate: Floats,
    lower: Floats,
    upper: Floats,
    limit: Floats,
    rows: NDArray[Any],
) -> NDArray[np.object_]:
    """The status of each cell before ``at_least_n``, warnings and severity are looked at.

    All arrays have one element per cell; ``limit`` too, since cells may have limits of their own; ``rows`` are all rows
    of the cell. A cell without rows is inconclusive whoever carries the proof. Where there are rows, but none that the
    rate divides by (a candidate without errors has no NFI: the estimate is NaN), the bounds decide, which are then the
    ends of the range: such a candidate is neither proven harmful nor proven good.

    - ``proof``: pass if the unfavourable bound clears the limit, fail if the favourable one is past it, else
      inconclusive.
    - ``estimate``: pass or fail by the estimate alone.
    - ``harm``: fail only if the favourable bound is past the limit, pass if the unfavourable one clears it, else warn.

    >>> one = np.array([0.008]), np.array([0.004]), np.array([0.012])
    >>> statuses(DecideOn.PROOF, True, *one, np.array([0.01]), np.array([1000]))[0].value
    'inconclusive'
    >>> statuses(DecideOn.HARM, True, *one, np.array([0.01]), np.array([1000]))[0].value
    'warn'
    """
    if at_most:
        kept, broken, within = upper <= limit, lower > limit, estimate <= limit
    else:
        kept, broken, within = lower >= limit, upper < limit, estimate >= limit
    return statuses_of(decide_on, kept, broken, np.where(np.isnan(estimate), np.nan, within), rows)


def statuses_of(
    decide_on: DecideOn, kept: NDArray[Any], broken: NDArray[Any], within: NDArray[Any], rows: NDArray[Any]
) -> NDArray[np.object_]:
    """As :func:`statuses`, from what is proven: ``kept`` and ``broken`` say of each cell whether its limit is.

    ``within`` says whether the estimate keeps the limit (1 or 0; NaN where there is no estimate).

    >>> yes, no = np.array([True]), np.array([False])
    >>> statuses_of(DecideOn.PROOF, no, no, np.array([1.0]), np.array([20]))[0].value
    'inconclusive'
    """
    if decide_on is DecideOn.ESTIMATE:
        known = ~np.isnan(within)
        kept, broken = np.where(known, within == 1, kept), np.where(known, within == 0, broken)
    found = np.empty(kept.shape, dtype=object)
    found.fill(Status.WARN if decide_on is DecideOn.HARM else Status.INCONCLUSIVE)
    found[kept] = Status.PASS
    found[broken] = Status.FAIL
    found[rows == 0] = Status.INCONCLUSIVE
    return found


def verdict(findings: Iterable[Finding]) -> Verdict:
    """The worst of the enforced, unwaived findings: error over fail over inconclusive over pass.

    No such finding at all is an error: nothing was checked, so nothing is allowed. An error counts whatever its
    severity.

    >>> verdict([]).value
    'error'
    """
    enforced = {
        status
        for status, severity in seen(findings)
        if status is Status.ERROR or (severity is Severity.ENFORCE and status is not Status.WAIVED)
    }
    if Status.ERROR in enforced or not enforced:
        return Verdict.ERROR
    if Status.FAIL in enforced:
        return Verdict.REFUSE
    if Status.INCONCLUSIVE in enforced:
        return Verdict.INCONCLUSIVE
    return Verdict.ALLOW


def seen(findings: Iterable[Finding]) -> set[tuple[Status, Severity]]:
    """Which statuses there are, with which severity; no findings give none."""
    if isinstance(findings, Findings):
        return findings.seen()
    # enumerations hash slowly, their identities do not
    some = {(id(finding.status), id(finding.severity)): finding for finding in findings}
    return {(finding.status, finding.severity) for finding in some.values()}


@dataclass(frozen=True)
class Part:
    """The findings of one rule, not yet written out: its statuses, one per cell, and how to write the findings."""

    statuses: NDArray[np.object_]
    severity: Severity
    write: Callable[[], Sequence[Finding]]


class Findings(Sequence[Finding]):
    """Findings that are written out when they are first read. Made of parts: one for each rule, or plain findings.

    The verdict needs only the statuses. Equal to any sequence of equal findings.

    >>> found = Findings([()])
    >>> len(found), found == ()
    (0, True)
    """

    def __init__(self, parts: Iterable[Part | Sequence[Finding]]) -> None:
        self._parts = tuple(parts)
        self._written: tuple[Finding, ...] | None = None

    def seen(self) -> set[tuple[Status, Severity]]:
        """Which statuses there are, with which severity, without writing anything out."""
        found: set[tuple[Status, Severity]] = set()
        for part in self._parts:
            if isinstance(part, Part):
                present = set(map(id, part.statuses.tolist()))
                found.update((status, part.severity) for status in Status if id(status) in present)
            else:
                found |= seen(part)
        return found

    def _all(self) -> tuple[Finding, ...]:
        if self._written is None:
            self._written = tuple(
                finding for part in self._parts for finding in (part.write() if isinstance(part, Part) else part)
            )
        return self._written

    def __len__(self) -> int:
        return sum(len(part.statuses if isinstance(part, Part) else part) for part in self._parts)

    @overload
    def __getitem__(self, at: int) -> Finding: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Finding, ...]: ...
    def __getitem__(self, at: int | slice) -> Finding | tuple[Finding, ...]:
        return self._all()[at]

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._all())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Sequence) and not isinstance(other, (str, bytes)):
            return self._all() == tuple(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # equal to lists too, so not to be hashed

    def __repr__(self) -> str:
        return repr(self._all())
