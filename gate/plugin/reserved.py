"""The tags ``gate.*`` of a protected model: who may write what. A tag that others read as the gate's word must be it.

On a version: an envelope that is believed, and the tags that follow from one. On the model: records of moves that are
true as far as the registry knows, and claims in their form. Nothing else, and nothing is taken away but claims.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from gate.decisions import statement as statements
from gate.decisions import tags
from gate.decisions.moves import Move, from_text
from gate.decisions.statement import Statement
from gate.decisions.times import moment
from gate.decisions.use import SKEW
from gate.errors import ConflictError, EvidenceError, GateError, did_you_mean
from gate.plugin.enforcement import Enforcement, Rule
from gate.plugin.guard import Grounds, Standing, believed, check_subject, grounds_to_move
from gate.plugin.journal import Attempt
from gate.registry.claim import Claim, read_claim, told
from gate.registry.moves import read_history

_UNSIGNED = "gate sign and gate promote write these tags; nobody else does"


def is_reserved(key: str) -> bool:
    """Whether a tag is the gate's.

    >>> is_reserved("gate.verdict"), is_reserved("team")
    (True, False)
    """
    return key.startswith(tags.PREFIX)


@dataclass(frozen=True)
class Known:
    """What the registry itself knows of a protected model, at one moment.

    ``version_tags`` are those of the version that the tag is on, or that a record of a move names; none where there is
    no such version. The rest is known of the record of a move: ``at`` is where its alias is, ``standing`` how things
    stand with the version that it names (None: there is none), ``used`` the move that its envelope was good for,
    ``written`` the row of the journal by which its intent came, and ``refused_since`` whether a move of the alias to
    that version was refused after that.
    """

    model: str
    version: int | None
    version_tags: Mapping[str, str]
    model_tags: Mapping[str, str]
    at: int | None = None
    standing: Standing | None = None
    used: Attempt | None = None
    written: Attempt | None = None
    refused_since: bool = False


def check_version_tag(enforcement: Enforcement, known: Known, key: str, value: str) -> None:
    """Return if the tag may be set on the version; EvidenceError or ConflictError if not."""
    where = f"models:/{known.model}/{known.version}, tag {key}"
    if key.startswith(tags.ATTESTATION):
        _check_attestation(enforcement, known, key, value, where)
    elif key in tags.DESCRIPTIVE:
        if value not in _described(enforcement, known, key):
            raise EvidenceError(
                "it does not follow from a signed decision on this version for a protected alias",
                where=where,
                hint=_UNSIGNED,
            )
    else:
        raise _unknown(key, (*tags.DESCRIPTIVE, f"{tags.ATTESTATION}ALIAS"), where)


def check_model_tag(enforcement: Enforcement, known: Known, key: str, value: str, now: datetime) -> None:
    """Return if the tag may be set on the registered model; EvidenceError or ConflictError if not."""
    where = f"models:/{known.model}, tag {key}"
    if key.startswith(tags.CLAIM):
        _check_claim(key, value, now, where)
    elif key.startswith(tags.MOVE):
        _check_move(enforcement, known, key, value, now, where)
    else:
        raise _unknown(key, (f"{tags.MOVE}ALIAS.NUMBER", f"{tags.CLAIM}ALIAS.HOLDER"), where)


def check_removal(model: str, key: str) -> None:
    """Return if the tag may be taken away, which a claim may; EvidenceError for any other."""
    if not key.startswith(tags.CLAIM):
        raise EvidenceError(
            "what the gate wrote on a protected model stays", where=f"models:/{model}, tag {key}", hint=_UNSIGNED
        )


def alias_of(key: str) -> str | None:
    """The alias that an attestation or a record of a move is about, read from the name of its tag.

    >>> alias_of("gate.attestation.champion"), alias_of("gate.move.champion.000012"), alias_of("gate.verdict")
    ('champion', 'champion', None)
    """
    if key.startswith(tags.ATTESTATION):
        return key.removeprefix(tags.ATTESTATION)
    for prefix in (tags.MOVE, tags.CLAIM):
        if key.startswith(prefix):
            return key.removeprefix(prefix).rpartition(".")[0]
    return None


def _check_attestation(enforcement: Enforcement, known: Known, key: str, value: str, where: str) -> None:
    alias = key.removeprefix(tags.ATTESTATION)
    grounds, rules = _believed(enforcement, known.model, alias, value, where)
    check_subject(grounds, rules, model=known.model, alias=alias, version=known.version or 0, where=where)
    kept = known.version_tags.get(key)
    if kept is None or kept == value:
        return
    try:
        newest = _believed(enforcement, known.model, alias, kept, where)[0].statement
    except EvidenceError:
        return  # written before the name was protected, or with a key that counts no more
    if moment(newest.signed_at) > moment(grounds.statement.signed_at):
        raise ConflictError(
            f"signed at {grounds.statement.signed_at}, and the one that is there at {newest.signed_at}",
            where=where,
            hint="an older signature does not replace a newer one; sign again",
        )


def _described(enforcement: Enforcement, known: Known, key: str) -> set[str]:
    """What the newest signature says of a version in such a tag; of several aliases, those that are protected."""
    said = [
        grounds.statement
        for grounds in _attested(enforcement, known)
        if enforcement.on_alias(known.model, grounds.statement.alias)
    ]
    newest = max((moment(each.signed_at) for each in said), default=None)
    values = {statements.tags(each).get(key) for each in said if moment(each.signed_at) == newest}
    return {value for value in values if value is not None}


def _attested(enforcement: Enforcement, known: Known) -> list[Grounds]:
    """The envelopes on a version that are believed and about it."""
    found = []
    for key, value in known.version_tags.items():
        if key.startswith(tags.ATTESTATION):
            alias = key.removeprefix(tags.ATTESTATION)
            try:
                grounds, rules = _believed(enforcement, known.model, alias, value, key)
                check_subject(grounds, rules, model=known.model, alias=alias, version=known.version or 0, where=key)
            except EvidenceError:
                continue
            found.append(grounds)
    return found


def _believed(
    enforcement: Enforcement, model: str, alias: str, envelope: str, where: str
) -> tuple[Grounds, Sequence[Rule]]:
    """With the rules of the alias; where it is not protected, whoever may sign for the model may sign for it."""
    rules = enforcement.on_alias(model, alias)
    if rules:
        return believed(rules, envelope, where=where), rules
    refusals = []
    for rule in enforcement.on_model(model):
        try:
            return believed([rule], envelope, where=where), ()
        except EvidenceError as error:
            refusals.append(error)
    raise refusals[0]


def _check_claim(key: str, value: str, now: datetime, where: str) -> None:
    try:
        claim = read_claim(value)
    except ValueError:
        raise EvidenceError("not a claim as gate promote writes one", where=where, hint=_UNSIGNED) from None
    alias = key.removeprefix(tags.CLAIM).rpartition(".")[0]
    if key != tags.claim(alias, claim.holder):
        raise EvidenceError(f"it holds the claim of {claim.holder!r}", where=where, hint=_UNSIGNED)
    if claim.has_ended(now):
        raise ConflictError(
            f"a claim from {claim.since} to {claim.until} counts no more, or not yet",
            where=where,
            hint="set the clocks right",
        )


def _check_move(enforcement: Enforcement, known: Known, key: str, value: str, now: datetime, where: str) -> None:
    move = from_text(value, where=where)
    if move.model != known.model or key != tags.move(move.alias, move.number):
        raise EvidenceError(f"it is the record of move {move.number} of @{move.alias} of {move.model}", where=where)
    kept = known.model_tags.get(key)
    if kept == value:
        return
    if moment(move.at) > now + SKEW:
        raise ConflictError(f"of {move.at}, which is yet to come", where=where, hint="set the clocks right")
    rules = enforcement.on_alias(known.model, move.alias)
    if kept is None:
        _check_intent(enforcement, known, move, where)
        if rules:
            _check_announced(rules, known, move, now, where)
        return
    before = from_text(kept, where=where)
    if rules and known.written is not None:
        _check_outcome_by_journal(rules, known, known.written, before, move, now, where)
    else:
        _check_outcome(known, before, move, where)


def _check_intent(enforcement: Enforcement, known: Known, move: Move, where: str) -> None:
    following = read_history(known.model_tags, move.alias).next_number
    if move.number != following or move.state != "intent":
        raise ConflictError(
            f"a new record is the intent of move {following}, and this is move {move.number}, {move.state}",
            where=where,
            hint="run gate promote again",
        )
    if move.previous != known.at:
        raise ConflictError(
            f"it says that @{move.alias} is at {_version(move.previous)}, and it is at {_version(known.at)}",
            where=where,
            hint="judge again with gate check",
        )
    if move.statement_digest is None and not enforcement.on_alias(known.model, move.alias):
        if move.signed_by is not None:
            raise EvidenceError("signed by a key, it says, and names no envelope", where=where, hint=_UNSIGNED)
        return
    for grounds in _attested(enforcement, known):
        if grounds.digest == move.statement_digest and _tells(move, grounds.statement, grounds.signed_by):
            return
    raise EvidenceError("it does not follow from a signed decision on that version", where=where, hint=_UNSIGNED)


def _check_announced(rules: Sequence[Rule], known: Known, move: Move, now: datetime, where: str) -> None:
    """Return if the move that an intent announces would be allowed now, and nobody announced it yet."""
    if moment(move.at) < now - SKEW:
        raise ConflictError(f"of {move.at}, which is long past", where=where, hint="set the clocks right")
    if known.standing is None:
        raise EvidenceError("there is no such version", where=where, hint=_UNSIGNED)
    grounds_to_move(rules, known.standing, now)
    other = _recorded_already(known, move)
    if other is not None:
        raise ConflictError(
            f"move {other.number} is the record of the same, and it is {other.state}",
            where=where,
            hint="run gate promote again",
        )


def _check_outcome_by_journal(
    rules: Sequence[Rule], known: Known, written: Attempt, before: Move, move: Move, now: datetime, where: str
) -> None:
    """Return if the journal says the same of what became of an intent. It is the witness, and not where the alias is.

    So a record that somebody gave up too soon is still told as done; any other outcome stays.
    """
    same = replace(move, state=before.state) == before
    if not same or before.state == "done" or move.state == "intent":
        raise EvidenceError("what is recorded of a move stays", where=where, hint=_UNSIGNED)
    done = (
        known.used is not None
        and known.used.after == move.version
        and (known.used.number or 0) > (written.number or 0)
        and _recorded_already(known, move) is None
    )
    if (move.state == "done") != done:
        raise EvidenceError(
            f"{move.state}, it says, and @{move.alias} is at {_version(known.at)};"
            f" by the journal this decision {'moved it' if done else 'has not moved it since'}",
            where=where,
            hint=_UNSIGNED,
        )
    if move.state == "abandoned" and not known.refused_since and _may_still_move(rules, known, move, now):
        claimed = next((claim for claim in _live_claims(known, move.alias, now) if _is_for(claim, move)), None)
        if claimed is not None:
            raise ConflictError(
                f"{move.by} holds a claim to this very move until {claimed.until}", where=where, hint="wait for it"
            )


def _recorded_already(known: Known, move: Move) -> Move | None:
    """Another record of the same envelope that was not given up: an envelope is good for one move."""
    return next(
        (
            each
            for each in read_history(known.model_tags, move.alias).moves
            if each.number != move.number
            and each.statement_digest == move.statement_digest
            and each.state != "abandoned"
        ),
        None,
    )


def _may_still_move(rules: Sequence[Rule], known: Known, move: Move, now: datetime) -> bool:
    """Whether an intent is one that its promoter goes on with, and its envelope would be allowed to move the alias."""
    if known.standing is None:
        return False
    try:
        grounds = grounds_to_move(rules, known.standing, now)
    except GateError:
        return False
    return grounds.digest == move.statement_digest and (moment(grounds.statement.created_at) <= moment(move.at) <= now)


def _live_claims(known: Known, alias: str, now: datetime) -> list[Claim]:
    found = []
    for key, value in known.model_tags.items():
        try:
            claim = read_claim(value) if key.startswith(f"{tags.CLAIM}{alias}.") else None
        except ValueError:
            continue
        if claim is not None and not claim.has_ended(now):
            found.append(claim)
    return found


def _is_for(claim: Claim, move: Move) -> bool:
    """Whether a claim is that of the promoter who wrote an intent: others claim the alias too, to give it up."""
    purpose = f"{move.kind.value} {move.decision_id or ''} to version {move.version}"
    return (claim.by, claim.purpose) == (told(move.by), told(purpose))


def _tells(move: Move, said: Statement, signed_by: str) -> bool:
    """Whether a record says of a move what the statement behind it says."""
    true = replace(
        move,
        kind=said.kind,
        alias=said.alias,
        previous=said.incumbent.version if said.incumbent else None,
        version=said.candidate.version,
        decision_id=said.decision_id,
        reason=said.reason,
        ticket=said.ticket,
        signed_by=signed_by,
        digest=said.candidate.digest,
        previous_digest=said.incumbent.digest if said.incumbent else None,
    )
    return move == true


def _check_outcome(known: Known, before: Move, move: Move, where: str) -> None:
    """The same where there is no journal: of an alias that is not protected, and of a server elsewhere."""
    if before.state != "intent" or replace(move, state="intent") != before:
        raise EvidenceError("what is recorded of a move stays", where=where, hint=_UNSIGNED)
    there = known.at == move.version
    if (move.state == "done" and (there or known.used is not None)) or (move.state == "abandoned" and not there):
        return
    raise EvidenceError(
        f"{move.state}, it says, and @{move.alias} is at {_version(known.at)}", where=where, hint=_UNSIGNED
    )


def _unknown(key: str, names: Sequence[str], where: str) -> EvidenceError:
    return EvidenceError(f"the gate has no such tag{did_you_mean(key, names)}", where=where, hint=_UNSIGNED)


def _version(number: int | None) -> str:
    return "no version" if number is None else f"version {number}"
