"""The story of `gate plan`: how many rows it takes to decide, and what the rows that there are can decide."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from gate.core.rates import rate
from gate.core.sample_size import rows_to_certify
from gate.errors import UsageError
from gate.policy.load import load_policy, parse_policy
from gate.policy.needs import Need, Power, needs, power_at
from gate.policy.rules import Golden, Policy
from gate.stories.reach import Certifies, Doubt, certifies, doubts
from gate.stories.sizes import read_sizes

FLIPS = (0, 1, 2, 5, 10)
_BARE = "{version: 1, name: plan, rules: [{id: any, rate: nfr, at_most: 1%}]}"


@dataclass(frozen=True)
class LimitPlan:
    """How many rows prove that a share is at most ``limit``.

    ``rows`` says how many if so many ``flips`` are seen. ``power`` is None where it would take millions of rows.
    ``power_of_all`` is for each of ``classes`` classes so many rows that all of them pass together with that
    probability; None without classes.
    """

    limit: float
    confidence: float
    flips: tuple[int, ...]
    rows: tuple[int, ...]
    expected: float
    power: Power | None
    classes: int | None
    power_of_all: Power | None


@dataclass(frozen=True)
class PolicyPlan:
    """What a policy takes, and what a held-out set can decide; either may be absent.

    ``confidence`` is that of each bound, the error spent over the looks; ``power`` what the needs were planned for.
    ``depends`` are the rules whose rows depend on
    more than flips, ``certifies`` has the cells of the held-out set, ``rows`` of them count.
    """

    policy: str | None
    data: str | None
    confidence: float
    power: float
    needs: tuple[Need, ...]
    depends: tuple[str, ...]
    rows: int | None
    certifies: tuple[Certifies, ...]
    doubts: tuple[Doubt, ...]


def plan_limit(
    limit: float,
    *,
    expected: float | None = None,
    power: float = 0.8,
    confidence: float = 0.95,
    classes: int | None = None,
) -> LimitPlan:
    """How many rows prove that a share (NFR, an error rate) is at most ``limit``; all numbers are shares of one.

    ``expected`` is the rate that is true, half the limit if None. UsageError for numbers out of range, and for an
    expected rate that is not below the limit.

    >>> found = plan_limit(0.01, expected=0.005)
    >>> found.rows, (found.power.first, found.power.always)
    ((299, 473, 628, 1049, 1693), (1941, 2185))
    """
    _within("--limit", limit, 0.0, 1.0)
    _check(power, confidence)
    if classes is not None and classes < 1:
        raise UsageError(f"{classes} classes", where="--classes", hint="one at least")
    true = limit / 2 if expected is None else expected
    if not 0.0 <= true < limit:
        raise UsageError(
            f"a rate of {true * 100:.10g}% cannot be shown to be at most {limit * 100:.10g}%",
            where="--expected",
            hint="it must lie below --limit",
        )
    nfr = rate("nfr")
    return LimitPlan(
        limit,
        confidence,
        FLIPS,
        tuple(rows_to_certify(limit, flips, confidence) for flips in FLIPS),
        true,
        power_at(nfr, limit, True, true, power, confidence),
        classes,
        None if classes is None else power_at(nfr, limit, True, true, power ** (1.0 / classes), confidence),
    )


def plan_policy(
    policy: str | os.PathLike[str] | Policy | None = None,
    *,
    data: str | os.PathLike[str] | Any | None = None,
    environment: str | None = None,
    label: str | None = None,
    id: str | None = None,
    power: float = 0.8,
    confidence: float | None = None,
) -> PolicyPlan:
    """How many rows each rule of a policy takes; and, for a held-out set, what its cells can certify.

    Without a policy, what the set certifies overall and by class. ``label`` and ``id`` name columns that the policy
    does not. UsageError and EvidenceError as ``gate check`` would have them for policy and data.

    Example::

        gate.stories.plan.plan_policy("policies/fraud.yaml", data="holdout.parquet").doubts
    """
    if policy is None and data is None:
        raise UsageError("nothing to plan", where="gate plan", hint="--limit 1%, --policy FILE or --data FILE")
    if policy is not None and confidence is not None:
        raise UsageError("the policy says how sure to be", where="--confidence", hint="leave the option out")
    given = policy is not None
    if policy is None:
        rules = parse_policy(_BARE)
    else:
        rules = policy if isinstance(policy, Policy) else load_policy(policy, environment)
    sure = rules.confidence_of_a_look if given or confidence is None else confidence
    _check(power, sure)
    demanded = [need for rule in rules.rules if not isinstance(rule, Golden) for need in needs(rule, sure, power)]
    sizes = None if data is None else read_sizes(data, rules, label=label, id=id)
    return PolicyPlan(
        policy=rules.file if given else None,
        data=None if sizes is None else sizes.uri,
        confidence=sure,
        power=power,
        needs=tuple(demanded) if given else (),
        depends=tuple(dict.fromkeys(need.rule for need in demanded if need.rows[0] is None)),
        rows=None if sizes is None else sizes.rows,
        certifies=() if sizes is None else tuple(certifies(sizes, sure)),
        doubts=tuple(doubts(sizes)) if given and sizes is not None else (),
    )


def _check(power: float, confidence: float) -> None:
    _within("--power", power, 0.0, 1.0)
    if not 0.5 <= confidence < 1.0:
        raise UsageError(f"must be at least 50% and under 100%; found {confidence * 100:.10g}%", where="--confidence")


def _within(option: str, number: float, low: float, high: float) -> None:
    if not low < number < high:
        raise UsageError(f"must lie between 0% and 100%; found {number * 100:.10g}%", where=option)
