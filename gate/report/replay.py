"""The command that judges again what a decision judged."""

from __future__ import annotations

import shlex

from gate.decisions.record import Decision, ModelRow

_IN_MEMORY = "(in memory)"
_TRUSTED = "in the gate's own process"


def command(decision: Decision) -> str | None:
    """``gate check`` or ``gate compare`` with the same versions, data, policy, seed and day; None for data in memory.

    Versions take the place of aliases, which may have moved. Credentials are not in it, so that they must be set as
    they were.

    Example::

        command(decision)   # 'gate check --candidate models:/fraud/7 --incumbent models:/fraud/6 --data ...'
    """
    origin = decision.provenance
    candidate, incumbent, holdout = origin.candidate, origin.incumbent, origin.holdout
    if _IN_MEMORY in holdout.uri or _IN_MEMORY in decision.policy.file:
        return None
    if candidate.uri.startswith(("models:", "runs:")):
        words = ["gate", "check", "--candidate", candidate.uri, "--incumbent", _version(incumbent, decision)]
        words += ["--data", holdout.uri]
        if decision.target.registry:
            words += ["--registry-uri", decision.target.registry]
    elif incumbent is not None:
        words = ["gate", "compare", *_columns(candidate.uri, incumbent.uri)]
    else:
        return None
    words += ["--policy", decision.policy.file]
    for option, value in (("--label", holdout.label), ("--id", holdout.id), ("--env", decision.target.environment)):
        if value is not None:
            words += [option, value]
    words += ["--as-of", decision.as_of, "--seed", str(origin.seed), "--batch-rows", str(origin.batch_rows)]
    if not origin.samples.rows and (decision.counts.negative or decision.counts.positive):
        words += ["--samples", "0"]
    if origin.isolation.startswith(_TRUSTED):
        words.append("--in-process")
    return shlex.join(words)


def _version(incumbent: ModelRow | None, decision: Decision) -> str:
    """The incumbent's version, or, where there was none, the alias that stood nowhere."""
    return incumbent.uri if incumbent else f"models:/{decision.target.model}@{decision.target.alias}"


def _columns(candidate: str, incumbent: str) -> list[str]:
    """One file with two columns, or two files with one column of the same name."""
    new_file, _, new = candidate.rpartition("#")
    old_file, _, old = incumbent.rpartition("#")
    if new_file == old_file:
        return [new_file, "--incumbent", old, "--candidate", new]
    return ["--incumbent-predictions", old_file, "--candidate-predictions", new_file, "--prediction", new]
