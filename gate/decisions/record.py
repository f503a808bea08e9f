"""The decision: the judgement and its provenance, as one value that everything downstream reads.

Fields are named as in the JSON (``docs/reference/decision.schema.json``). Undefined numbers are None, values of labels
and slices keep their type, and nothing here comes from a held-out row but for the names of classes and cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gate.core.judgement import Cell, Finding, Source, Verdict
from gate.core.outcomes import Value
from gate.tasks.options import PerModel

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Counts:
    """The five counts and their sum; all None but ``n`` where there was no incumbent to compare with."""

    both_right: int | None
    negative: int | None
    positive: int | None
    wrong_same: int | None
    wrong_different: int | None
    n: int


@dataclass(frozen=True)
class RateRow:
    """One rate with its one-sided bounds, each at ``confidence``; None where it is undefined.

    ``effective_n`` is how many independent rows of equal weight the ``n`` are worth, which is what the bounds rest on:
    ``n`` itself, but for rows in clusters or with weights.
    """

    rate: str
    of: str | None
    estimate: float | None
    lower: float | None
    upper: float | None
    numerator: int
    n: int
    effective_n: float
    confidence: float
    method: str


@dataclass(frozen=True)
class CellRow:
    """The counts and rates of one class, output or slice value."""

    by: str
    value: Value
    counts: Counts
    rates: tuple[RateRow, ...]


@dataclass(frozen=True)
class MatrixRow:
    """How many rows with this label flipped from one output to the other; ``kind`` is negative or positive."""

    kind: str
    label: Value
    incumbent: Value
    candidate: Value
    count: int


@dataclass(frozen=True)
class FlipMatrix:
    """The commonest flips, largest first, and how many rows of each kind are not listed."""

    rows: tuple[MatrixRow, ...] = ()
    rest_negative: int = 0
    rest_positive: int = 0


@dataclass(frozen=True)
class ConfidenceHistogram:
    """Rows per bin of confidence, over the flips of one kind."""

    incumbent: tuple[int, ...]
    candidate: tuple[int, ...]


@dataclass(frozen=True)
class ConfidenceBins:
    """How sure both models were on the flips; ``edges`` has one entry more than there are bins."""

    edges: tuple[float, ...]
    negative: ConfidenceHistogram
    positive: ConfidenceHistogram


@dataclass(frozen=True)
class NearTies:
    """How many flips hang by a hair: in a row for each kind, those with a margin below each of ``edges``, which rise.

    The margin of an answer is its best score less the second, or its distance to the threshold, in the unit of the
    scores; that of a flip is the smaller one of the two models.
    """

    edges: tuple[float, ...]
    negative: tuple[int, ...]
    positive: tuple[int, ...]


@dataclass(frozen=True)
class Promotable:
    """Whether this decision can move an alias, and if not, why."""

    value: bool
    because: str | None = None


@dataclass(frozen=True)
class TaskRow:
    """The task, and how answers were read; ``options`` is what else the policy says of it."""

    kind: str
    outputs: str | None = None
    classes: tuple[Value, ...] | None = None
    threshold: float | PerModel | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def units(self) -> str:
        """What the counts count: rows, or the labels of rows where each of them is judged for itself.

        >>> TaskRow("classification").units, TaskRow("multilabel").units
        ('rows', 'labels')
        """
        each = self.kind == "multilabel" and self.options.get("match", "each") == "each"
        return "labels" if each else "rows"


@dataclass(frozen=True)
class Target:
    """What the decision is good for: one model name, alias and environment in one registry (URI without secrets)."""

    registry: str | None = None
    model: str | None = None
    alias: str | None = None
    keep_previous_as: str | None = None
    environment: str | None = None


@dataclass(frozen=True)
class NotJudged:
    """A rule that was left out, with the reason."""

    rule: str
    because: str


@dataclass(frozen=True)
class Discovery:
    """Cells that break a rule's limit by Benjamini and Hochberg's procedure: on average no more than this share of them
    does so by chance."""

    rule: str
    share: float
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class WaiverRow:
    """A waiver of the policy and what became of it; ``needed`` if without it the finding would stand in the way."""

    rule: str
    cell: Value
    up_to: float | None
    because: str
    owner: str
    expires: str
    needed: bool
    note: str | None
    source: Source


@dataclass(frozen=True)
class ExclusionRow:
    """How many rows did not count, for either model, and why."""

    reason: str
    owner: str
    rows: int


@dataclass(frozen=True)
class Evidence:
    """How sure the decision is: confidence of each bound, who carried the proof, how many looks share the error.

    ``uses_before`` counts the other candidates that were judged on this held-out set, None where nobody keeps count.
    ``confidence`` is what is left for each bound after the looks. ``discoveries`` are reported and never decide.
    ``mcnemar_midp`` is the two-sided p-value for any difference at all; None without an incumbent. ``notes`` are
    sentences that a reader should know.
    """

    confidence: float
    decide_on: str
    looks: int = 1
    uses_before: int | None = None
    mcnemar_midp: float | None = None
    not_judged: tuple[NotJudged, ...] = ()
    discoveries: tuple[Discovery, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExpectationRow:
    """One expectation of the contract and what was observed."""

    type: str
    kwargs: Mapping[str, Any]
    status: str
    observed: Mapping[str, Any] | None = None
    message: str | None = None


@dataclass(frozen=True)
class Contract:
    """The held-out set's contract: the built-in checks that were made, and the suite, where the policy names one."""

    status: str
    built_in: tuple[str, ...]
    suite: str | None = None
    digest: str | None = None
    results: tuple[ExpectationRow, ...] = ()


@dataclass(frozen=True)
class ModelRow:
    """A model that was judged: where it came from, and the SHA-256 over its files."""

    uri: str
    name: str | None = None
    version: int | None = None
    alias: str | None = None
    model_id: str | None = None
    run_id: str | None = None
    digest: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class HoldoutRow:
    """The held-out set: its place as the user named it, the SHA-256 of its content, and its rows."""

    uri: str
    digest: str
    rows: int
    id: str | None
    label: str | None


@dataclass(frozen=True)
class SamplesRow:
    """The sidecar with flipped rows: SHA-256 of its bytes and how many rows it holds. No row is in the decision."""

    digest: str
    rows: int


@dataclass(frozen=True)
class Provenance:
    """What the judgement rests on. ``candidate`` and ``incumbent`` are models, or columns of a file of predictions.

    ``files`` are the golden sets and exclusions that the policy names, with the digests of their content.
    """

    candidate: ModelRow
    incumbent: ModelRow | None
    holdout: HoldoutRow
    samples: SamplesRow
    seed: int
    batch_rows: int
    isolation: str
    tools: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class VersionRow:
    """One of several versions that were asked in one pass: its ``role``, and how many units it gets right.

    ``broken`` has an entry for each of these versions, in their order: the units that this one gets right and that one
    gets wrong.
    """

    role: str
    uri: str
    right: int
    broken: tuple[int, ...]


@dataclass(frozen=True)
class EarlierRow:
    """A version that was promoted to the alias before, and what the run that judged it says of it; None is unknown.

    ``number`` is that of the recorded move, ``at`` when it was (UTC), ``kind`` on whose word (decision, override);
    ``taken_back`` says that the alias was rolled back from it. ``nfr`` is against ``previous``, the version that the
    alias was; ``error_rate`` is its own. ``holdout_digest`` tells on what rows: only of the same rows do they compare.
    """

    number: int
    at: str
    kind: str
    version: int
    previous: int | None
    taken_back: bool
    decision_id: str | None = None
    run_id: str | None = None
    holdout_digest: str | None = None
    nfr: float | None = None
    nfr_lower: float | None = None
    nfr_upper: float | None = None
    error_rate: float | None = None
    error_rate_lower: float | None = None
    error_rate_upper: float | None = None


@dataclass(frozen=True)
class PolicyRow:
    """The policy as it was: SHA-256 of its text, the text, its name, and the file as the user named it."""

    digest: str
    text: str
    name: str
    file: str


@dataclass(frozen=True)
class Decision:
    """The whole record.

    ``decision_id`` is the SHA-256 of all of it but itself, ``created_at`` and ``seal``: the same judgement has the same
    id whenever it is made. ``seal`` is the SHA-256 of all of it but itself, so that an edited time shows too.
    ``versions`` are all that were asked in the same pass, where there are more than two, over the same units;
    ``history`` are those that were promoted to the target's alias before, oldest first, the last twenty.
    ``near_ties`` is None where answers carry no scores.
    """

    schema_version: int
    decision_id: str
    seal: str
    created_at: str
    as_of: str
    verdict: Verdict
    exit_code: int
    promotable: Promotable
    task: TaskRow
    target: Target
    evidence: Evidence
    counts: Counts
    rates: tuple[RateRow, ...]
    cells: tuple[CellRow, ...]
    flip_matrix: FlipMatrix
    confidence_bins: ConfidenceBins | None
    findings: tuple[Finding, ...]
    waivers: tuple[WaiverRow, ...]
    contract: Contract
    exclusions: tuple[ExclusionRow, ...]
    policy: PolicyRow
    provenance: Provenance
    history: tuple[EarlierRow, ...] = ()
    versions: tuple[VersionRow, ...] = ()
    near_ties: NearTies | None = None
