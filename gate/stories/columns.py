"""The held-out set's columns as the command line and the policy name them: they must agree."""

from __future__ import annotations

import os
from dataclasses import replace

from gate.errors import UsageError
from gate.policy.load import load_policy
from gate.policy.rules import Policy


def policy_for(policy: str | os.PathLike[str] | Policy, environment: str | None) -> Policy:
    """The policy as it is in an environment (None: in none); UsageError for one that was read for another."""
    if not isinstance(policy, Policy):
        return load_policy(policy, environment)
    if environment is not None and environment != policy.environment:
        read_for = "none" if policy.environment is None else repr(policy.environment)
        raise UsageError(
            f"the policy was read for the environment {read_for}, not for {environment!r}",
            where=policy.file,
            hint="give its path, or read it with load_policy(file, environment)",
        )
    return policy


def with_columns(policy: Policy, *, label: str | None, id: str | None, id_needed: bool = False) -> Policy:
    """The policy with the columns that the caller names filled in.

    UsageError where the two disagree, where nobody names the label, and, if ``id_needed`` or samples are numbered,
    where nobody names the id; and for a label that the task does not read.
    """
    if label is not None and not policy.task.needs_label:
        raise UsageError(
            f"no label is read: under kind: {policy.task.kind} the predictions are judged already",
            where="--label",
            hint="leave the option out",
        )
    return replace(
        policy,
        holdout=replace(
            policy.holdout,
            label=_agreed("label", label, policy.holdout.label, policy.task.needs_label),
            id=_agreed("id", id, policy.holdout.id, id_needed or policy.holdout.sample is not None),
        ),
    )


def _agreed(what: str, option: str | None, of_policy: str | None, needed: bool) -> str | None:
    if option is not None and of_policy is not None and option != of_policy:
        raise UsageError(
            f"the {what} column is {option!r} here and {of_policy!r} in the policy's holdout.{what}",
            where=f"--{what}",
            hint="leave the option out, or mend the policy",
        )
    if option is None and of_policy is None and needed:
        raise UsageError(
            f"no {what} column is named",
            where="held-out set",
            hint=f"--{what} COL, or holdout: {{{what}: COL}} in the policy",
        )
    return option if option is not None else of_policy
