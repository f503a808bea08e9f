"""The story of `gate policy validate`: everything about a policy that can be checked without a model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from gate.policy.load import load_policy
from gate.policy.rules import Policy

if TYPE_CHECKING:
    from gate.stories.reach import Doubt


def validate(policy: str | os.PathLike[str]) -> Policy:
    """Read a policy and the contract that it names; UsageError with all of the mistakes of a file at once.

    Example::

        gate.validate("policies/fraud.yaml").rules
    """
    rules = load_policy(policy)
    if rules.holdout.contract is not None:
        from gate.data.contract import read_suite

        read_suite(rules.holdout.contract)
    return rules


def undecidable(
    policy: str | os.PathLike[str] | Policy,
    data: str | os.PathLike[str] | Any,
    *,
    environment: str | None = None,
    label: str | None = None,
    id: str | None = None,
) -> list[Doubt]:
    """The rules that a held-out set can never decide, or only if nothing flips; none if all is well.

    ``label`` and ``id`` name columns that the policy does not. EvidenceError for columns that are missing and for what
    else ``gate check`` would not accept of the held-out set; UsageError for rules, overrides and waivers whose cells it
    does not have.

    Example::

        for doubt in undecidable("policies/fraud.yaml", "holdout.parquet"):
            print(doubt)
    """
    from gate.stories.reach import doubts
    from gate.stories.sizes import read_sizes

    rules = policy if isinstance(policy, Policy) else load_policy(policy, environment)
    return doubts(read_sizes(data, rules, label=label, id=id))
