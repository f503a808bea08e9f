"""From a sound document to the policy's values: percentages as numbers, rates by their entry in the table."""

from __future__ import annotations

import hashlib

from gate.core.judgement import DecideOn, Severity, Source
from gate.core.rates import rate
from gate.policy.checks import limit, percent
from gate.policy.document import OverridePart, PolicyDocument, RulePart, SlicePart
from gate.policy.rules import Holdout, Override, Policy, Promotion, Rule, TaskPolicy, Threshold
from gate.policy.source import Document, Path
from gate.tasks.slicing import ByBins, ByColumn, ByColumns, Slicing, Where
from gate.tasks.where import parse


def build(document: PolicyDocument, source: Document, text: str, file: str) -> Policy:
    """The policy of a document in which nothing is wrong; ``source`` knows where each part stands in ``file``."""
    confidence = percent(document.evidence.confidence)
    assert confidence is not None  # the pattern of the document saw to it
    decide_on = DecideOn(document.evidence.decide_on)
    task, holdout = document.task, document.holdout
    return Policy(
        file=file,
        text=text,
        digest=hashlib.sha256(text.encode("utf-8")).hexdigest(),
        name=document.name,
        task=TaskPolicy(
            task.kind,
            task.outputs,
            None if task.classes is None else tuple(task.classes),
            None if task.threshold is None else float(task.threshold),
        ),
        holdout=Holdout(
            holdout.id, holdout.label, {name: _slicing(part) for name, part in holdout.slices.items()}, holdout.contract
        ),
        confidence=confidence,
        decide_on=decide_on,
        absolute_rules_only_without_incumbent=document.on_missing_incumbent == "absolute_rules_only",
        rules=tuple(_rule(part, ("rules", i), decide_on, source, file) for i, part in enumerate(document.rules)),
        promotion=None
        if document.promotion is None
        else Promotion(document.promotion.alias, document.promotion.keep_previous_as),
    )


def _rule(part: RulePart, path: Path, decide_on: DecideOn, source: Document, file: str) -> Rule:
    kind = rate(part.rate, part.of)
    at_most = part.at_most is not None

    def threshold(of: RulePart | OverridePart) -> Threshold:
        first = limit(of.at_most if at_most else of.at_least, kind)
        warn = of.warn_above if at_most else of.warn_below
        second = None if warn is None else limit(warn, kind)
        assert isinstance(first, float) and not isinstance(second, str)  # checked before
        return Threshold(first, second)

    return Rule(
        id=part.id,
        rate=kind,
        by=part.by,
        at_most=at_most,
        threshold=threshold(part),
        overrides=tuple(
            Override(over.cell, threshold(over), Source(file, source.at((*path, "overrides", i)).line))
            for i, over in enumerate(part.overrides)
        ),
        at_least_n=part.at_least_n,
        decide_on=DecideOn(part.decide_on) if part.decide_on else decide_on,
        severity=Severity(part.severity),
        because=part.because,
        source=Source(file, source.at(path).line),
    )


def _slicing(part: SlicePart) -> Slicing:
    if part.where is not None:
        return Where(parse(part.where), part.where)
    if part.columns is not None:
        return ByColumns((part.columns[0], part.columns[1]))
    assert part.column is not None  # checked before
    return ByColumn(part.column) if part.bins is None else ByBins(part.column, tuple(map(float, part.bins)))
