"""From a sound document to the policy's values: percentages as numbers, rates by their entry in the table."""

from __future__ import annotations

import hashlib
import os

from gate.core.judgement import DecideOn, Severity, Source
from gate.core.measures import NET_COST, OTHERS, Measure, about
from gate.core.rates import Rate
from gate.policy.document import (
    OverridePart,
    PerModelPart,
    PolicyDocument,
    RulePart,
    ScoreColumnsPart,
    SlicePart,
    TaskPart,
    WaiverPart,
)
from gate.policy.family import Family
from gate.policy.limits import limit, percent
from gate.policy.rules import (
    AnyRule,
    Cost,
    FlipPrice,
    Golden,
    Holdout,
    Override,
    Policy,
    Promotion,
    Rule,
    Threshold,
    Waiver,
)
from gate.policy.source import Path
from gate.tasks.options import PerModel, ScoreColumns, TaskOptions, Tolerance
from gate.tasks.slicing import ByBins, ByColumn, ByColumns, Slicing, Where
from gate.tasks.where import parse


def build(document: PolicyDocument, family: Family, text: str, environment: str | None) -> Policy:
    """The policy of a document in which nothing is wrong; ``family`` knows where each part of it stands."""
    confidence = percent(document.evidence.confidence)
    assert confidence is not None  # the pattern of the document saw to it
    decide_on = DecideOn(document.evidence.decide_on)
    holdout = document.holdout
    task = _task(document.task)
    return Policy(
        file=family.file,
        text=text,
        digest=hashlib.sha256(text.encode("utf-8")).hexdigest(),
        name=document.name,
        task=task,
        holdout=Holdout(
            id=holdout.id,
            label=holdout.label,
            slices={name: _slicing(part) for name, part in holdout.slices.items()},
            contract=_beside(holdout.contract, family, ("holdout", "contract")),
            cluster=holdout.cluster,
            weight=holdout.weight,
            exclusions=_beside(holdout.exclusions, family, ("holdout", "exclusions")),
            noise_floor=tuple(holdout.noise_floor),
            sample=holdout.sample,
        ),
        confidence=confidence,
        decide_on=decide_on,
        absolute_rules_only_without_incumbent=document.on_missing_incumbent == "absolute_rules_only",
        rules=tuple(_any_rule(part, ("rules", i), decide_on, family, task) for i, part in enumerate(document.rules)),
        promotion=None
        if document.promotion is None
        else Promotion(document.promotion.alias, document.promotion.keep_previous_as),
        waivers=tuple(_waiver(part, ("waivers", i), family, document) for i, part in enumerate(document.waivers)),
        looks=document.evidence.looks,
        environment=environment,
        files=family.files,
    )


def _beside(named: str | None, family: Family, path: Path) -> str | None:
    """A file that a policy names, as a path from where the command runs."""
    return None if named is None else os.path.join(os.path.dirname(family.at(path).file), named)


def _source(family: Family, path: Path) -> Source:
    place = family.at(path)
    return Source(place.file, place.position.line)


def _any_rule(part: RulePart, path: Path, decide_on: DecideOn, family: Family, task: TaskOptions) -> AnyRule:
    source = _source(family, path)
    severity = Severity(part.severity)
    if part.must_not_regress is not None:
        named = part.must_not_regress
        here = (*path, "must_not_regress")
        file = _beside(named, family, here) if isinstance(named, str) else None
        column = None if isinstance(named, str) else named.column
        return Golden(part.id, file, column, severity, part.because, source)
    if part.net_cost is not None:
        cost = part.net_cost
        return Cost(
            id=part.id,
            per=cost.per,
            negative=tuple(FlipPrice(flip.label, flip.output, float(flip.cost)) for flip in cost.negative),
            positive=tuple(FlipPrice(flip.label, flip.output, float(flip.gain)) for flip in cost.positive),
            threshold=_threshold(part, OTHERS[NET_COST], True),
            decide_on=DecideOn(part.decide_on) if part.decide_on else decide_on,
            severity=severity,
            because=part.because,
            source=source,
            at_least_n=part.at_least_n,
        )
    kind = about(str(part.rate), part.of)
    at_most = part.at_most is not None
    return Rule(
        id=part.id,
        rate=kind,
        by=part.by,
        at_most=at_most,
        threshold=_threshold(part, kind, at_most),
        overrides=tuple(
            Override(over.cell, _threshold(over, kind, at_most), _source(family, (*path, "overrides", i)))
            for i, over in enumerate(part.overrides)
        ),
        at_least_n=part.at_least_n,
        decide_on=DecideOn(part.decide_on) if part.decide_on else decide_on,
        severity=severity,
        because=part.because,
        source=source,
        holm=part.correction == "holm",
        units=task.units(part.by),
    )


def _threshold(of: RulePart | OverridePart, kind: Rate | Measure, at_most: bool) -> Threshold:
    first = limit(of.at_most if at_most else of.at_least, kind)
    warn = of.warn_above if at_most else of.warn_below
    second = None if warn is None else limit(warn, kind)
    assert isinstance(first, float) and not isinstance(second, str)  # checked before
    return Threshold(first, second)


def _waiver(part: WaiverPart, path: Path, family: Family, document: PolicyDocument) -> Waiver:
    rule = next(rule for rule in document.rules if rule.id == part.rule)
    up_to: float | str | None = None
    if part.up_to is not None:
        up_to = limit(part.up_to, OTHERS[NET_COST] if rule.net_cost else about(str(rule.rate), rule.of))
    assert not isinstance(up_to, str)  # checked before
    return Waiver(
        rule=part.rule,
        by_cell="cell" in part.model_fields_set,
        cell=part.cell,
        up_to=up_to,
        because=part.because,
        owner=part.owner,
        expires=part.expires,
        source=_source(family, path),
    )


def _task(part: TaskPart) -> TaskOptions:
    threshold, score, tolerance = part.threshold, part.score, part.tolerance
    return TaskOptions(
        kind=part.kind,
        outputs=part.outputs,
        classes=None if part.classes is None else tuple(part.classes),
        threshold=PerModel(float(threshold.candidate), float(threshold.incumbent))
        if isinstance(threshold, PerModelPart)
        else _float(threshold),
        top_k=part.top_k,
        match=part.match,
        pattern=part.pattern,
        take=part.take,
        tolerance=None
        if tolerance is None
        else Tolerance(_float(tolerance.absolute), percent(tolerance.relative), tolerance.column),
        score=ScoreColumns(score.candidate, score.incumbent)
        if isinstance(score, ScoreColumnsPart)
        else None
        if score is None
        else ScoreColumns(score, score),
        right_at_least=_float(part.right_at_least),
        continuous=part.continuous,
        largest_change=_float(part.largest_change),
    )


def _float(number: float | None) -> float | None:
    return None if number is None else float(number)


def _slicing(part: SlicePart) -> Slicing:
    if part.where is not None:
        return Where(parse(part.where), part.where)
    if part.columns is not None:
        return ByColumns((part.columns[0], part.columns[1]))
    assert part.column is not None  # checked before
    return ByColumn(part.column) if part.bins is None else ByBins(part.column, tuple(map(float, part.bins)))
