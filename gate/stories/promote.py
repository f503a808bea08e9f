"""The story of `gate promote`: verify the decision -> re-read the registry -> move the alias -> record.

Killed anywhere and run again, it goes on where it was. Run twice, the second time only the files are checked.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from gate.core.judgement import Verdict
from gate.decisions.canonical import read_decision, to_bytes
from gate.decisions.envelope import is_envelope, sign, signer, verify
from gate.decisions.keys import PrivateKey, read_private, read_public
from gate.decisions.record import Decision
from gate.decisions.statement import Kind, Statement, of_decision, override_of, short_files
from gate.decisions.summary import harmless
from gate.decisions.use import NotAllowed, check_time, check_use
from gate.errors import ConflictError, EvidenceError, Problem, UsageError
from gate.policy.load import load_policy
from gate.registry.address import inner, scheme_of
from gate.registry.moves import read_history
from gate.registry.refusal import Refused
from gate.registry.registry import Registry
from gate.stories.counting import Progress, nothing
from gate.stories.holdout import HeldOut
from gate.stories.move import Remark, Wanted, carry_out, person, require_files, silence, unspent

__all__ = ["NotAllowed", "Promotion", "promote"]

MAX_AGE = timedelta(days=7)
"""How long an unsigned decision is good for, from when it was written; a signed one says so itself."""

_ON_THIS_MACHINE = ("", "file", "sqlite")


@dataclass(frozen=True)
class Promotion:
    """What a promotion did: ``alias`` of ``model`` is ``version`` now.

    ``previous`` is the version that it was, kept under ``previous_alias``; both None where there was none.
    ``already`` says that it was so before, and nothing was done. ``kind`` says on whose word it moved, ``number`` is
    that of the recorded move (None where nothing is recorded), and ``signed_by`` the id of the key that signed it.
    """

    model: str
    alias: str
    version: int
    previous: int | None
    previous_alias: str | None
    already: bool
    kind: Kind = Kind.DECISION
    number: int | None = None
    signed_by: str | None = None


def promote(
    decision: str | os.PathLike[str] | Decision,
    *,
    registry_uri: str | None = None,
    tracking_uri: str | None = None,
    keys: Sequence[str | os.PathLike[str]] = (),
    policy: str | os.PathLike[str] | None = None,
    environment: str | None = None,
    override: bool = False,
    reason: str | None = None,
    ticket: str | None = None,
    sign_with: str | os.PathLike[str] | None = None,
    by: str | None = None,
    now: datetime | None = None,
    progress: Progress = nothing,
    remark: Remark = silence,
) -> Promotion:
    """Move the policy's alias to the candidate of ``decision``, if it allows that and the registry is as it was judged.

    ``decision`` is a file that ``gate check --report json=FILE`` or ``gate sign`` wrote, or the value itself. A signed
    one needs the public ``keys`` that count. The registry must be that of the decision. Where none is named, here or in
    the environment, the decision's own is asked if it lies on this machine or the file is signed: to the server that
    an unsigned file names, no password or token is sent. ``policy`` is a file that must still be the policy it was
    judged by, golden sets and exclusions included, and ``environment`` the one that the decision must be for.

    ``override`` promotes against the verdict, and against nothing else: ``reason``, ``ticket`` and a private key to
    ``sign_with`` are needed, and the record says so for ever. ``by`` is who it is, the user of this process if None.

    :class:`NotAllowed` (the verdict's exit code) for a verdict that does not allow; EvidenceError for a decision that
    was edited, is not promotable or is for something else, and for files that changed since; ConflictError where the
    alias or the policy has moved since, where the decision is too old, and where somebody else is promoting.

    Example::

        done = gate.promote("decision.json")
        print(done.model, done.alias, done.version)
    """
    where = "decision" if isinstance(decision, Decision) else os.fspath(decision)
    key = _override_key(override, reason, ticket, sign_with)
    at = now or datetime.now(timezone.utc)
    wanted = _read(decision, keys, at, where, by or person())
    trusted = wanted.envelope is not None or isinstance(decision, Decision)
    if wanted.envelope is None:
        _same_environment(wanted.statement, environment, where)
    if key is not None:
        wanted = _overridden(wanted, str(reason), str(ticket), key, at, where)
    asked = wanted.statement
    old = asked.incumbent.version if asked.incumbent else None
    _good(asked, environment, old, at, where)
    if policy is not None:
        _same_policy(policy, asked, where)

    progress("reading the registry", 0, None)
    registry = Registry.connect(registry_uri or _own_registry(asked, trusted), tracking_uri)
    if _absolute(registry.uri) != _absolute(asked.registry or ""):
        raise EvidenceError(
            f"the decision is about {asked.registry}, this registry is {registry.uri}",
            where=where,
            hint="name the registry that was judged: --registry-uri",
        )
    kept = asked.keep_previous_as if old is not None else None
    done = Promotion(asked.model, asked.alias, asked.candidate.version, old, kept, already=False, kind=asked.kind)
    standing = registry.standing(asked.model)
    stands = standing.aliases.get(asked.alias)
    history = read_history(standing.tags, asked.alias)
    last = history.last
    finished = last is None or last.state != "intent"
    if stands == done.version and finished:
        require_files(registry, _uri(asked, done.version), asked.candidate.digest, "candidate")
        registry.sweep(asked.model, asked.alias)
        if last is None or last.version != stands:
            remark(f"@{asked.alias} was not moved there by the gate: see gate audit {asked.model}", False)
            return replace(done, already=True)
        return replace(done, already=True, kind=last.kind, number=last.number, signed_by=last.signed_by)
    if stands != done.version:
        _good(asked, environment, stands, at, where)
        unspent(asked, history.settled(stands), where)

    progress("checking the files of both versions", 0, None)
    for role, subject in (("candidate", asked.candidate), ("incumbent", asked.incumbent)):
        if subject is not None:
            require_files(registry, _uri(asked, subject.version), subject.digest, role)

    if wanted.envelope is None:
        remark("the decision is not signed: whoever can write the file could have made it; gate sign signs one", False)
    if asked.kind is Kind.OVERRIDE:
        who = f"By {asked.by}, {asked.ticket}. It is recorded, and gate audit shows it."
        remark(f"{_sentence(asked.summary)} {who}", True)
    try:
        carried = carry_out(registry, wanted, where=where, now=now, progress=progress)
    except Refused as error:
        if wanted.envelope is not None:
            raise
        unsigned = Problem("it is not signed", where, "sign it with gate sign, and promote the envelope with --key PUB")
        raise Refused(problems=[*error.problems, unsigned]) from None
    move = carried.move
    return replace(done, already=carried.already, kind=move.kind, number=move.number, signed_by=move.signed_by)


# the decision


def _override_key(
    override: bool, reason: str | None, ticket: str | None, sign_with: str | os.PathLike[str] | None
) -> PrivateKey | None:
    """The key of an override, None for a promotion; UsageError with everything that is missing or too much."""
    given = {"--reason": reason, "--ticket": ticket, "--sign-with": sign_with}
    if not override:
        stray = [name for name, value in given.items() if value is not None]
        if stray:
            found = f"{', '.join(stray)} without --override"
            raise UsageError(
                found, where="gate promote", hint="gate sign signs decisions; only an override has a reason"
            )
        return None
    wanted = {
        "--reason": "say why in a sentence: an audit shows it",
        "--ticket": "name the ticket or incident where it is talked about",
        "--sign-with": "name the private key of whoever may override: gate keys new makes a pair",
    }
    missing = [name for name, value in given.items() if value is None or not os.fspath(value).strip()]
    if missing:
        raise UsageError(problems=[Problem("an override needs it", name, wanted[name]) for name in missing])
    return read_private(sign_with or "")


def _read(
    decision: str | os.PathLike[str] | Decision,
    keys: Sequence[str | os.PathLike[str]],
    now: datetime,
    where: str,
    by: str,
) -> Wanted:
    publics = [read_public(key) for key in keys]
    content = None if isinstance(decision, Decision) else _content(decision)
    if content is not None and is_envelope(content):
        statement = verify(content, publics, where=where)
        if statement.kind is Kind.ROLLBACK:
            raise EvidenceError("this is a rollback", where=where, hint="gate rollback takes an alias back")
        return Wanted(statement, by, content, signer(content, publics, where=where).keyid)
    if publics:
        raise EvidenceError(
            "not signed, and a key is named that should have signed it",
            where=where,
            hint="gate sign signs a decision; leave --key out to promote it as it is",
        )
    judged = read_decision(to_bytes(decision) if isinstance(decision, Decision) else decision)  # both must hash
    _require_plain(judged, where)
    today = now.date().isoformat()
    ended = [waiver for waiver in judged.waivers if waiver.needed and waiver.expires < today]
    if ended and judged.verdict is Verdict.ALLOW:
        raise ConflictError(
            f"it rests on a waiver of {ended[0].rule!r} that ended on {ended[0].expires}",
            where=where,
            hint="judge again with gate check",
        )
    return Wanted(of_decision(judged, signed_at=now, max_age=MAX_AGE, where=where), by)


def _require_plain(decision: Decision, where: str) -> None:
    """EvidenceError for texts that would reach a terminal as commands: messages repeat them, and nobody signed them."""
    origin = decision.provenance
    models = [model.uri for model in (origin.candidate, origin.incumbent) if model is not None]
    ends = [waiver.expires for waiver in decision.waivers]
    texts = (*vars(decision.target).values(), *models, *ends, decision.promotable.because)
    odd = [text for text in texts if text is not None and harmless(text) != text]
    if odd:
        raise EvidenceError(
            f"no text that the gate writes: {odd[0]!r}",
            where=where,
            hint="judge again with gate check; no gate wrote this",
        )


def _content(path: str | os.PathLike[str]) -> bytes | None:
    """What is in the file; None where it cannot be read, which reading it as a decision then tells."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return None


def _overridden(wanted: Wanted, reason: str, ticket: str, key: PrivateKey, now: datetime, where: str) -> Wanted:
    """The same move on a person's word. Only the verdict is overridden: what is stale stays stale."""
    asked = wanted.statement
    if asked.kind is not Kind.DECISION or asked.verdict is Verdict.ALLOW:
        found = "this is an override already" if asked.kind is Kind.OVERRIDE else "the verdict is allow"
        raise UsageError(
            f"{found}: there is nothing to override", where="--override", hint="promote it without --override"
        )
    check_time(asked, now=now, where=where)
    statement = override_of(asked, reason=reason, ticket=ticket, by=wanted.by, signed_at=now)
    return Wanted(statement, wanted.by, sign(statement, key), key.keyid)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", "\u2026")) else f"{text}."


def _good(asked: Statement, environment: str | None, incumbent: int | None, now: datetime, where: str) -> None:
    check_use(
        asked,
        model=asked.model,
        alias=asked.alias,
        version=asked.candidate.version,
        environment=asked.environment if environment is None else environment,
        incumbent=incumbent,
        now=now,
        where=where,
    )


def _same_environment(asked: Statement, environment: str | None, where: str) -> None:
    if environment is not None and environment != asked.environment:
        made_for = "no environment" if asked.environment is None else f"environment {asked.environment!r}"
        raise EvidenceError(
            f"judged for {made_for}, and this is {environment!r}",
            where=where,
            hint=f"a decision is good for the environment that it was made for: gate check --env {environment}",
        )


def _same_policy(policy: str | os.PathLike[str], asked: Statement, where: str) -> None:
    """ConflictError where the policy, or a file that it lists rows in, is not what it was."""
    rules = load_policy(policy, asked.environment)
    hint = "judge again with gate check, by the policy as it is now"
    if rules.digest != asked.policy_digest:
        raise ConflictError(
            f"judged by a policy with SHA-256 {str(asked.policy_digest)[:16]}; {rules.file} is {rules.digest[:16]} now",
            where=where,
            hint=hint,
        )
    found = short_files(HeldOut(rules).files)
    if sorted(found.values()) != sorted(asked.files.values()):  # the same files may be named from another folder
        raise ConflictError(f"a golden set or exclusion of {rules.file} changed since", where=where, hint=hint)


# the registry


def _own_registry(asked: Statement, trusted: bool) -> str | None:
    """The registry that the decision itself names, None where the environment names one.

    UsageError where it is a server that nobody vouches for: the first question to it would carry our password.
    """
    if os.environ.get("MLFLOW_REGISTRY_URI") or os.environ.get("MLFLOW_TRACKING_URI") or asked.registry is None:
        return None
    if trusted or scheme_of(asked.registry) in _ON_THIS_MACHINE:
        return asked.registry
    raise UsageError(
        f"no registry is named; the decision names {asked.registry}, and nobody has signed that",
        where="--registry-uri",
        hint=f"if it is yours: --registry-uri {asked.registry}; or promote a signed decision, with --key PUB",
    )


def _absolute(uri: str) -> str:
    """``sqlite:///mlflow.db`` is another file in another folder, and the same one as its absolute path in this one.

    An enforcing store around a registry is that registry.
    """
    scheme, separator, path = inner(uri).partition(":///")
    return f"{scheme}:///{os.path.abspath(path)}" if separator and scheme.startswith("sqlite") else inner(uri)


def _uri(asked: Statement, version: int) -> str:
    return f"models:/{asked.model}/{version}"
