"""The end of every story: count what the task says, judge it by the policy, and write the decision.

``check`` and ``compare`` come here with their batches; neither counts nor judges on its own.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from gate.core.excess import Excess
from gate.core.flips import FlippedRow, FlipTable
from gate.core.judgement import Verdict, verdict
from gate.core.means import Means
from gate.core.measured import Measured
from gate.core.measures import OF_SCORES
from gate.core.paired import mcnemar_midp
from gate.decisions.canonical import samples_to_bytes, sealed
from gate.decisions.compose import cell_rows, confidence_bins, counts_row, flip_matrix, near_ties, rate_rows
from gate.decisions.record import (
    SCHEMA_VERSION,
    Contract,
    Decision,
    EarlierRow,
    Evidence,
    ExclusionRow,
    HoldoutRow,
    ModelRow,
    NotJudged,
    PolicyRow,
    Promotable,
    Provenance,
    SamplesRow,
    Target,
    TaskRow,
    VersionRow,
    WaiverRow,
)
from gate.errors import EvidenceError, UsageError, datum
from gate.policy.judge import Others, discoveries, judge
from gate.policy.rules import Policy
from gate.policy.waive import Waived, waived
from gate.report.writers import WRITERS
from gate.stories.counting import Counted
from gate.tasks.notes import never_right
from gate.tasks.options import TaskOptions

BUILT_IN = ("label present", "no label missing", "ids unique and not missing", "not empty")
_BUILT_IN_WITHOUT_LABEL = ("no score missing", *BUILT_IN[2:])
_ROUNDING = 1e-9  # of scores that are as far apart as they can be


@dataclass(frozen=True, repr=False)
class Judgement:
    """What a check or a comparison came to.

    ``samples`` are flipped rows, which stay out of the decision. ``run_id`` is the MLflow run that holds the evidence,
    None where nothing was logged; ``log_problem`` says why, if that was not asked for. ``remembered`` are the versions
    that were not asked again, since their answers to these rows were known.
    """

    decision: Decision
    samples: tuple[FlippedRow, ...]
    run_id: str | None = None
    log_problem: str | None = None
    remembered: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        return self.decision.verdict

    @property
    def allowed(self) -> bool:
        return self.decision.verdict is Verdict.ALLOW

    def report(self, form: str = "text") -> str:
        """The report in one of the formats of ``--report``: text, markdown, json, samples. KeyError for another."""
        (content,) = WRITERS[form](self.decision, self.samples).values()
        return content.decode("utf-8")

    def __repr__(self) -> str:
        counts = self.decision.counts
        return f"Judgement(verdict={self.verdict.value!r}, negative flips={counts.negative} of {counts.n})"

    def _repr_markdown_(self) -> str:
        """What a notebook shows."""
        return self.report("markdown")


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
    exclusions: tuple[Mapping[str, Any], ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    uses_before: int | None = None
    notes: tuple[str, ...] = ()
    tools: Mapping[str, str] = field(default_factory=dict)
    history: tuple[EarlierRow, ...] = ()
    versions: tuple[VersionRow, ...] = ()


def built_in(task: TaskOptions) -> tuple[str, ...]:
    """What is checked of every held-out set, whether or not it has a contract of its own.

    >>> built_in(TaskOptions("scores"))
    ('no score missing', 'ids unique and not missing', 'not empty')
    """
    return BUILT_IN if task.needs_label else _BUILT_IN_WITHOUT_LABEL


def decided(
    policy: Policy, found: Counted, compared: Compared, *, seed: int, as_of: str | None, now: datetime | None = None
) -> Judgement:
    """Judge the counts by the policy and seal the decision.

    ``as_of`` is the day (YYYY-MM-DD, UTC) that the policy is judged as of, today if None; ``now`` is the time of
    writing. UsageError for a rule or waiver that matches no cell, an expired waiver, and a day that is none.
    """
    table = found.table
    today = day(as_of, now)
    with_incumbent = compared.incumbent is not None
    judged = [rule for rule in policy.rules if with_incumbent or not rule.needs_incumbent]
    left_out = tuple(
        NotJudged(rule.id, "it compares with an incumbent, and there is none")
        for rule in policy.rules
        if rule not in judged
    )
    confidence = policy.confidence_of_a_look
    measured = Measured(table, confidence)
    excesses = {
        name: Excess([Measured(part, 1.0 - (1.0 - confidence) / len(parts)) for part in parts], confidence)
        for name, parts in found.beyond.items()
    }
    means = Means(measured, policy.task.largest_change)
    _within_range(means, policy)
    others: Others = {**excesses, **dict.fromkeys(OF_SCORES, means)}
    findings, waivers = waived(policy, judge(judged, measured, others), measured, others, today)
    written = written_at(now)
    verdict_ = verdict(findings)
    counts = table.overall
    decision = Decision(
        schema_version=SCHEMA_VERSION,
        decision_id="",
        seal="",
        created_at=written,
        as_of=today,
        verdict=verdict_,
        exit_code=int(verdict_.exit_code),
        promotable=_promotable(verdict_, compared.promotable),
        task=_task_row(policy.task),
        target=compared.target,
        evidence=Evidence(
            confidence=confidence,
            decide_on=policy.decide_on.value,
            looks=policy.looks,
            uses_before=compared.uses_before,
            mcnemar_midp=float(mcnemar_midp(counts.negative, counts.positive)) if with_incumbent else None,
            not_judged=left_out,
            discoveries=discoveries(judged, measured, others) if with_incumbent else (),
            notes=(
                *compared.notes,
                *(never_right(table) if with_incumbent else ()),
                *_worn(policy, compared.uses_before),
                *(_told(one) for one in waivers if one.note),
                *(_ended(one, today) for one in waivers if one.needed and today <= one.waiver.expires < written[:10]),
            ),
        ),
        counts=counts_row(counts, with_incumbent),
        rates=rate_rows(measured, with_incumbent, policy.task.meaningless, means),
        cells=cell_rows(measured, findings, with_incumbent, policy.task.meaningless, means),
        flip_matrix=flip_matrix(table),
        confidence_bins=confidence_bins(table),
        near_ties=near_ties(table),
        findings=tuple(findings),
        waivers=tuple(_waiver_row(one) for one in waivers),
        contract=compared.contract,
        exclusions=tuple(ExclusionRow(**row) for row in compared.exclusions),
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
            files=compared.files,
        ),
        history=compared.history,
        versions=compared.versions,
    )
    return Judgement(sealed(decision), table.samples)


def _task_row(told: TaskOptions) -> TaskRow:
    row = TaskRow(told.kind, told.outputs, told.classes, told.threshold)
    own = {name for name in vars(row) if name != "options"}
    others = {key: value for key, value in asdict(told).items() if key not in own and value not in (None, False)}
    return replace(row, options=others)


def _worn(policy: Policy, uses_before: int | None) -> tuple[str, ...]:
    if uses_before is None or uses_before < policy.looks:
        return ()
    return (
        f"this held-out set has judged {uses_before} other candidate{'' if uses_before == 1 else 's'} before, and the"
        f" policy declares {policy.looks} look{'' if policy.looks == 1 else 's'}: the confidence is less than it says",
    )


def _waiver_row(one: Waived) -> WaiverRow:
    of = one.waiver
    cell = of.cell if of.by_cell else None
    return WaiverRow(of.rule, cell, of.up_to, of.because, of.owner, of.expires, one.needed, one.note, of.source)


def _told(one: Waived) -> str:
    cell = f" for {one.waiver.cell!r}" if one.waiver.by_cell else ""
    return f"the waiver of {one.waiver.rule!r}{cell} by {one.waiver.owner}: {one.note}"


def _ended(one: Waived, as_of: str) -> str:
    return (
        f"judged as of {as_of}, the waiver of {one.waiver.rule!r} by {one.waiver.owner} still held; it ended on"
        f" {one.waiver.expires}, so this decision cannot be promoted"
    )


def _within_range(means: Means, policy: Policy) -> None:
    most = policy.task.largest_change
    if most is not None and means.largest_seen > most * (1 + _ROUNDING):
        raise EvidenceError(
            f"the two scores of a row are {datum(means.largest_seen, '{:g}'.format)} apart, and the policy says"
            f" {most:g} at most",
            where=f"{policy.file}: task.largest_change",
            hint="the bounds of mean_loss and mean_gain rest on it: say what can be, not what was seen",
        )


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
    moment = (
        datetime.fromtimestamp(int(epoch), timezone.utc)
        if epoch.isascii() and epoch.isdigit()
        else now or datetime.now(timezone.utc)
    )
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
