"""The story of `gate promote`: verify the decision -> re-read the registry -> move the alias -> record.

Killed before the alias moved and run again, it goes on where it was; once it moved, nothing more happens (a run that
was killed just then leaves the note of the time unwritten). Run twice, the second time only the files are checked.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from gate.core.judgement import Verdict
from gate.decisions.canonical import read_decision, to_bytes
from gate.decisions.record import Decision, ModelRow
from gate.errors import ConflictError, EvidenceError, ExitCode, GateError
from gate.registry.manifest import model_digest
from gate.registry.registry import Registry
from gate.stories.decide import Progress, day, nothing, written_at


class NotAllowed(GateError):
    """The decision does not allow what is asked; the exit code is that of its verdict."""

    def __init__(self, verdict: Verdict, found: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(found, where=where, hint=hint)
        self.exit_code: ExitCode = verdict.exit_code


@dataclass(frozen=True)
class Promotion:
    """What a promotion did: ``alias`` of ``model`` is ``version`` now.

    ``previous`` is the version that it was, kept under ``previous_alias``; both None where there was none.
    ``already`` says that it was so before, and nothing was done.
    """

    model: str
    alias: str
    version: int
    previous: int | None
    previous_alias: str | None
    already: bool


def promote(
    decision: str | os.PathLike[str] | Decision,
    *,
    registry_uri: str | None = None,
    tracking_uri: str | None = None,
    progress: Progress = nothing,
) -> Promotion:
    """Move the policy's alias to the candidate of ``decision``, if it allows that and the registry is as it was judged.

    ``decision`` is a file that ``gate check --report json=FILE`` wrote, or the value itself. The registry is that of
    the decision unless one is named; it must be the same. :class:`NotAllowed` (the verdict's exit code) for a verdict
    that does not allow; EvidenceError for a decision that was edited or is not promotable, and for files that changed
    since; ConflictError where the alias has moved since.

    Example::

        done = gate.promote("decision.json")
        print(done.model, done.alias, done.version)
    """
    where = "decision" if isinstance(decision, Decision) else os.fspath(decision)
    judged = read_decision(to_bytes(decision) if isinstance(decision, Decision) else decision)  # both must hash
    model, alias, candidate = _allowed(judged, where)
    incumbent = judged.provenance.incumbent

    progress("reading the registry", 0, None)
    known = os.environ.get("MLFLOW_REGISTRY_URI") or os.environ.get("MLFLOW_TRACKING_URI")
    registry = Registry.connect(registry_uri or (None if known else judged.target.registry), tracking_uri)
    if _absolute(registry.uri) != _absolute(judged.target.registry or ""):
        raise EvidenceError(
            f"the decision is about {judged.target.registry}, this registry is {registry.uri}",
            where=where,
            hint="name the registry that was judged: --registry-uri",
        )
    old = incumbent.version if incumbent else None
    kept = judged.target.keep_previous_as if old is not None else None
    done = Promotion(model, alias, int(candidate.version or 0), old, kept, already=False)
    stands = registry.alias_version(model, alias)
    if stands == done.version:
        _same_files(registry, candidate, "candidate")
        return replace(done, already=True)
    _unmoved(stands, old, alias, where)

    progress("checking the files of both versions", 0, None)
    for role, row in (("candidate", candidate), ("incumbent", incumbent)):
        if row is not None:
            _same_files(registry, row, role)

    _unmoved(registry.alias_version(model, alias), old, alias, where)
    registry.tag_version(model, done.version, {"gate.decision_id": judged.decision_id, "gate.verdict": "allow"})
    if kept is not None and old is not None:
        registry.set_alias(model, kept, old)  # first: killed here, a rerun finds the alias unmoved and goes on
    registry.set_alias(model, alias, done.version)
    found = registry.alias_version(model, alias)
    if found != done.version:
        raise ConflictError(
            f"@{alias} was set to version {done.version} and reads version {found}: somebody moved it meanwhile",
            where=where,
            hint="judge again with gate check",
        )
    registry.tag_version(model, done.version, {"gate.promoted_as": alias, "gate.promoted_at": written_at()})
    return done


def _allowed(judged: Decision, where: str) -> tuple[str, str, ModelRow]:
    if judged.verdict is not Verdict.ALLOW:
        raise NotAllowed(
            judged.verdict,
            f"the verdict is {judged.verdict.value}, and only allow is promoted",
            where=where,
            hint="the report says why; mend the candidate, or gather more rows, and check again",
        )
    today = day(None)
    ended = [waiver for waiver in judged.waivers if waiver.needed and waiver.expires < today]
    if ended:
        raise ConflictError(
            f"it rests on a waiver of {ended[0].rule!r} that ended on {ended[0].expires}",
            where=where,
            hint="judge again with gate check",
        )
    candidate, target = judged.provenance.candidate, judged.target
    if not judged.promotable.value or target.model is None or target.alias is None or candidate.version is None:
        raise EvidenceError(
            f"not promotable: {judged.promotable.because}",
            where=where,
            hint="check a version of a registered model against the alias's version, with a promotion in the policy",
        )
    return target.model, target.alias, candidate


def _absolute(uri: str) -> str:
    """``sqlite:///mlflow.db`` is another file in another folder, and the same one as its absolute path in this one."""
    scheme, separator, path = uri.partition(":///")
    return f"{scheme}:///{os.path.abspath(path)}" if separator and scheme.startswith("sqlite") else uri


def _unmoved(stands: int | None, judged: int | None, alias: str, where: str) -> None:
    if stands != judged:
        raise ConflictError(
            f"@{alias} is {_version(stands)} now; the decision compared with {_version(judged)}",
            where=where,
            hint="judge again with gate check, against the version that it is now",
        )


def _version(number: int | None) -> str:
    return "no version" if number is None else f"version {number}"


def _same_files(registry: Registry, row: ModelRow, role: str) -> None:
    ref = registry.resolve(row.uri, model=None, role=role)
    with tempfile.TemporaryDirectory(prefix="gate-") as folder:
        found = model_digest(registry.download(ref, Path(folder) / role))
    if found != row.digest:
        raise EvidenceError(
            f"its files changed since they were judged: SHA-256 {found[:16]} now, {str(row.digest)[:16]} then",
            where=f"{role} {row.uri}",
            hint="find out who wrote to it; judge again with gate check",
        )
