"""The story of `gate policy validate`: everything about a policy that can be checked without data."""

from __future__ import annotations

import os

from gate.policy.load import load_policy
from gate.policy.rules import Policy


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
