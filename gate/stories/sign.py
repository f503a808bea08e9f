"""The story of `gate sign`: read the decision -> say what it is good for -> sign that -> write the envelope.

It runs no model, asks no registry, and is the only step that sees the private key: let it be a process of its own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from gate.core.judgement import DecideOn, Finding, Severity, Status
from gate.decisions.canonical import read_decision
from gate.decisions.envelope import is_envelope, wrap
from gate.decisions.envelope import sign as sign_statement
from gate.decisions.in_toto import as_test_result
from gate.decisions.keys import PublicKey, read_private
from gate.decisions.record import Decision, WaiverRow
from gate.decisions.statement import Statement, of_decision
from gate.decisions.use import check_time
from gate.errors import EvidenceError, Problem, UsageError
from gate.report.files import write_whole

MAX_AGE = timedelta(days=7)

_ROUNDING = 1e-9  # a bound that lies on its limit may have been found to keep it by another sum
_MOST_TOLD = 3


@dataclass(frozen=True)
class Signed:
    """An envelope that was written, and whose key signed it; ``statement`` is None for a test-result."""

    file: Path
    key: PublicKey
    statement: Statement | None


def sign(
    decision: str | os.PathLike[str],
    *,
    key: str | os.PathLike[str],
    output: str | os.PathLike[str],
    max_age: timedelta = MAX_AGE,
    run_id: str | None = None,
    now: datetime | None = None,
) -> Signed:
    """Sign a decision of any verdict with a private key, good for ``max_age`` from when the decision was written.

    ``output`` is replaced as a whole, or left as it was. ``run_id`` names the MLflow run with the evidence. UsageError
    for a key or decision that is not there or is of the wrong kind; EvidenceError for a decision that was edited, that
    can move no alias, or whose findings say otherwise than their numbers; ConflictError for one that is from the future
    or would be expired already.

    Example::

        sign("decision.json", key="keys/ci", output="decision.dsse.json")
    """
    where, to = os.fspath(decision), _free(output, decision, key, f"{os.fspath(key)}.pub")
    private = read_private(key)
    at = now or datetime.now(timezone.utc)
    statement = of_decision(_read(decision), signed_at=at, max_age=max_age, run_id=run_id, where=where)
    check_time(statement, now=at, where=where)
    write_whole(to, sign_statement(statement, private))
    return Signed(to, private.public, statement)


def sign_test_result(
    decision: str | os.PathLike[str], *, key: str | os.PathLike[str], output: str | os.PathLike[str]
) -> Signed:
    """Sign a decision as an in-toto ``test-result``, which other tools read and which moves no alias.

    Errors: as :func:`sign`, but for its age, of which a test-result says nothing.
    """
    to = _free(output, decision, key, f"{os.fspath(key)}.pub")
    private = read_private(key)
    write_whole(to, wrap(as_test_result(_read(decision), where=os.fspath(decision)), private))
    return Signed(to, private.public, None)


def _read(path: str | os.PathLike[str]) -> Decision:
    """The decision in a file, which must hash to its id, and whose findings must say what their numbers say."""
    try:
        decision = read_decision(path)
    except EvidenceError:
        with suppress(OSError):
            if is_envelope(Path(path).read_bytes()):
                raise EvidenceError(
                    "signed already",
                    where=os.fspath(path),
                    hint="gate verify says what it holds; to sign anew, give the decision that gate check wrote",
                ) from None
        raise
    wrong = [finding for finding in decision.findings if contradicts_itself(finding, decision.waivers)]
    if wrong:
        raise EvidenceError(problems=[_told(finding, os.fspath(path)) for finding in wrong[:_MOST_TOLD]])
    return decision


def contradicts_itself(finding: Finding, waivers: Sequence[WaiverRow]) -> bool:
    """Whether a finding stands in nobody's way, and its own numbers say that it should.

    What decides is a bound: for a failure the favourable one, else the unfavourable one, which must keep the limit for
    a pass. A finding that only warns may be past its limit, a waived one too if one of ``waivers`` is of its rule.
    Undefined bounds say nothing.

    Example::

        [finding for finding in decision.findings if contradicts_itself(finding, decision.waivers)]
    """
    if finding.status is Status.WAIVED:
        return not any(waiver.needed and waiver.rule == finding.rule for waiver in waivers)
    if finding.status not in (Status.PASS, Status.WARN) or finding.bound is None:
        return False
    if finding.status is Status.WARN and finding.severity is Severity.WARN:
        return False
    if (finding.side == "estimate") is not (finding.decide_on is DecideOn.ESTIMATE):
        return True
    if finding.side == ("lower" if finding.at_most else "upper"):  # shown for what is proven broken, and for that alone
        return True
    if finding.status is Status.WARN and finding.decide_on is DecideOn.HARM:
        return False
    beyond = finding.bound - finding.limit if finding.at_most else finding.limit - finding.bound
    return beyond > _ROUNDING * max(1.0, abs(finding.limit))


def _told(finding: Finding, where: str) -> Problem:
    rule = f"rule {finding.rule!r} is {finding.status.value}"
    if finding.status is Status.WAIVED:
        found = f"{rule}, and no waiver of it is there"
    else:
        side = "at most" if finding.at_most else "at least"
        found = f"{rule} with {finding.bound:.6g} ({finding.side!r}) where {side} {finding.limit:.6g} is asked for"
    return Problem(found, where, "judge again with gate check; no gate wrote this")


def _free(output: str | os.PathLike[str], *inputs: str | os.PathLike[str]) -> Path:
    """The path to write to; it may exist, but is no folder, none of the files that are read and no half of the key."""
    to = Path(output)
    if to.is_dir():
        raise UsageError(f"{to} is a folder", where="--output", hint=f"name a file: {to}/decision.dsse.json")
    if not to.parent.is_dir():
        raise UsageError(f"there is no folder {to.parent}", where="--output", hint="make it first")
    for file in inputs:
        if to.exists() and os.path.exists(file) and os.path.samefile(to, file):
            raise UsageError(f"{to} is needed as it is", where="--output", hint="name another file for the envelope")
    return to
