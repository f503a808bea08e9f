"""The end of every story: count what the task says, judge it by the policy, and write the decision.

``check`` and ``compare`` come here with their batches; neither counts nor judges on its own.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from importlib.metadata import PackageNotFoundError, version

from gate.core.flips import FlippedRow, FlipTable, count, merge
from gate.core.judgement import Verdict, verdict
from gate.core.measured import Measured
from gate.core.paired import mcnemar_midp
from gate.decisions.canonical import samples_to_bytes, sealed
from gate.decisions.compose import cell_rows, confidence_bins, counts_row, flip_matrix, rate_rows
from gate.decisions.record import (
    SCHEMA_VERSION,
    Contract,
    Decision,
    Evidence,
    HoldoutRow,
    ModelRow,
    NotJudged,
    PolicyRow,
    Promotable,
    Provenance,
    SamplesRow,
    Target,
    TaskRow,
)
from gate.errors import EvidenceError, UsageError
from gate.policy.judge import judge
from gate.policy.rules import Policy
from gate.tasks.batch import Batch, Task

Progress = Callable[[str, int, "int | None"], None]
"""Told of a step's name, how much of it is done and how much there is (None: not known)."""

BUILT_IN = ("label present", "no label missing", "ids unique and not missing", "not empty")
_TOGETHER = 64


@dataclass(frozen=True)
class Judgement:
    """What a check or a comparison came to.

    ``samples`` are flipped rows, which stay out of the decision. ``run_id`` is the MLflow run that holds the evidence,
    None where nothing was logged; ``log_problem`` says why, if that was not asked for.
    """

    decision: Decision
    samples: tuple[FlippedRow, ...]
    run_id: str | None = None
    log_problem: str | None = None

    @property
    def verdict(self) -> Verdict:
        return self.decision.verdict

    @property
    def allowed(self) -> bool:
        return self.decision.verdict is Verdict.ALLOW


@dataclass(frozen=True)
class Compared:
    """What was compared, for the record: everything of a decision that does not follow from counts and policy."""

    candidate: ModelRow
    incumbent: ModelRow | None
    holdout: HoldoutRow
    isolation: str
    batch_rows: int
    target: Target = Target()
    promotable: Promotable = Promotable(False)
    contract: Contract = Contract("met", BUILT_IN)
    notes: tuple[str, ...] = ()
    tools: Mapping[str, str] = field(default_factory=dict)


def nothing(step: str, done: int, total: int | None) -> None:
    """The progress of a caller who does not want to hear of it."""


def counted(
    task: Task, batches: Iterable[Batch], *, seed: int, samples: int, progress: Progress = nothing
) -> FlipTable:
    """Count all batches; EvidenceError if they hold no row. ``samples`` flipped rows of each kind are kept."""
    table = FlipTable(keep=samples)
    waiting: list[FlipTable] = []
    rows = 0
    for batch in batches:
        waiting.append(count(task.outcomes(batch), seed=seed, keep=samples))
        rows += len(batch)
        progress("counting", rows, None)
        if len(waiting) == _TOGETHER:
            table, waiting = merge([table, *waiting]), []
    table = merge([table, *waiting])
    if not rows:
        raise EvidenceError("it has no rows", where="held-out set", hint="nothing was checked, so nothing is allowed")
    return task.finish(table)


def decided(
    policy: Policy, table: FlipTable, compared: Compared, *, seed: int, as_of: str | None, now: datetime | None = None
) -> Judgement:
    """Judge the counts by the policy and seal the decision.

    ``as_of`` is the day (YYYY-MM-DD, UTC) that the policy is judged as of, today if None; ``now`` is the time of
    writing. UsageError for a rule that matches no cell and for a day that is none.
    """
    with_incumbent = compared.incumbent is not None
    judged = [rule for rule in policy.rules if with_incumbent or not rule.needs_incumbent]
    left_out = tuple(
        NotJudged(rule.id, "it compares with an incumbent, and there is none")
        for rule in policy.rules
        if rule not in judged
    )
    measured = Measured(table, policy.confidence)
    findings = tuple(judge(judged, measured))
    verdict_ = verdict(findings)
    counts = table.overall
    decision = Decision(
        schema_version=SCHEMA_VERSION,
        decision_id="",
        created_at=written_at(now),
        as_of=day(as_of, now),
        verdict=verdict_,
        exit_code=int(verdict_.exit_code),
        promotable=_promotable(verdict_, compared.promotable),
        task=TaskRow(policy.task.kind, policy.task.outputs, policy.task.classes, policy.task.threshold),
        target=compared.target,
        evidence=Evidence(
            confidence=policy.confidence,
            decide_on=policy.decide_on.value,
            mcnemar_midp=float(mcnemar_midp(counts.negative, counts.positive)) if with_incumbent else None,
            not_judged=left_out,
            notes=compared.notes,
        ),
        counts=counts_row(counts, with_incumbent),
        rates=rate_rows(measured, with_incumbent),
        cells=cell_rows(measured, findings, with_incumbent),
        flip_matrix=flip_matrix(table),
        confidence_bins=confidence_bins(table),
        findings=findings,
        waivers=(),
        contract=compared.contract,
        exclusions=(),
        policy=PolicyRow(policy.digest, policy.text, policy.name, policy.file),
        provenance=Provenance(
            candidate=compared.candidate,
            incumbent=compared.incumbent,
            holdout=compared.holdout,
            samples=_samples_row(table),
            seed=seed,
            batch_rows=compared.batch_rows,
            isolation=compared.isolation,
            tools={**_tools(), **compared.tools},
        ),
    )
    return Judgement(sealed(decision), table.samples)


def _promotable(found: Verdict, promotable: Promotable) -> Promotable:
    if promotable.value and found is not Verdict.ALLOW:
        return Promotable(False, f"the verdict is {found.value}")
    return promotable


def _samples_row(table: FlipTable) -> SamplesRow:
    from hashlib import sha256

    return SamplesRow(sha256(samples_to_bytes(table.samples)).hexdigest(), len(table.samples))


def day(as_of: str | None, now: datetime | None = None) -> str:
    """The day of judgement as YYYY-MM-DD; UsageError where ``as_of`` is no such day.

    >>> day("2026-02-28")
    '2026-02-28'
    """
    if as_of is None:
        return (now or datetime.now(timezone.utc)).date().isoformat()
    try:
        return date.fromisoformat(as_of).isoformat()
    except ValueError:
        raise UsageError(f"not a day: {as_of!r}", where="--as-of", hint="write it as 2026-12-31 (UTC)") from None


def written_at(now: datetime | None = None) -> str:
    """The time of writing in UTC; that of SOURCE_DATE_EPOCH where it is set, so that a rerun can be byte-identical."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = datetime.fromtimestamp(int(epoch), timezone.utc) if epoch.isdigit() else now or datetime.now(timezone.utc)
    return moment.astimezone(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


def installed(*packages: str) -> dict[str, str]:
    """The versions of those packages that are installed.

    >>> list(installed("numpy", "no-such-package"))
    ['numpy']
    """
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _tools() -> dict[str, str]:
    ours = installed("model-update-gate")
    return {
        "gate": ours.get("model-update-gate", "unknown"),
        "python": platform.python_version(),
        **installed("numpy", "scipy", "pyarrow"),
    }
