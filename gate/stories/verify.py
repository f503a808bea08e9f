"""The story of `gate verify`: is this envelope genuine, what does it say, and is it still of a time that is good?

Whether it is good for a move, here and now, depends on the registry too: `gate promote` and an enforcing server ask.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from gate.decisions.canonical import canonical, read_decision, to_bytes
from gate.decisions.envelope import is_envelope, unwrap
from gate.decisions.in_toto import TEST_RESULT, as_test_result, read_statement, read_test_result
from gate.decisions.keys import PublicKey, read_public
from gate.decisions.statement import Statement
from gate.decisions.use import check_time
from gate.errors import ConflictError, EvidenceError, UsageError


@dataclass(frozen=True)
class Verified:
    """A genuine envelope: the key that signed it, and the in-toto ``document`` in it.

    ``statement`` is what it says of an alias, None for a test-result, which says nothing of that. ``stale`` is why it
    is good no more, None while it is.
    """

    key: PublicKey
    document: Mapping[str, Any]
    statement: Statement | None
    stale: str | None


def verify(
    envelope: str | os.PathLike[str],
    *,
    keys: Sequence[str | os.PathLike[str]],
    decision: str | os.PathLike[str] | None = None,
    now: datetime | None = None,
) -> Verified:
    """Check an envelope against the public keys that count, and against the ``decision`` that it should be about.

    UsageError for files that are not there, keys of the wrong kind, and no keys; EvidenceError for an envelope that is
    not, byte for byte, what one of the keys signed, and for one about another decision.

    Example::

        verified = verify("decision.dsse.json", keys=["keys/ci.pub"])
        print(verified.statement.summary, verified.stale)
    """
    where = os.fspath(envelope)
    publics = [read_public(key) for key in keys]
    content = _read(envelope)
    if not is_envelope(content):
        raise EvidenceError("not an envelope", where=where, hint="gate sign writes one from a decision")
    document, key = unwrap(content, publics, where=where)
    statement = None
    if document.get("predicateType") == TEST_RESULT:
        read_test_result(document, where=where)
    else:
        statement = read_statement(document, where=where)
    if decision is not None:
        _about(decision, document, statement, where)
    if statement is None:
        return Verified(key, document, None, None)
    try:
        check_time(statement, now=now or datetime.now(timezone.utc), where=where)
    except ConflictError as error:
        return Verified(key, document, statement, error.problems[0].found)
    return Verified(key, document, statement, None)


def _about(
    decision: str | os.PathLike[str], document: Mapping[str, Any], statement: Statement | None, where: str
) -> None:
    found = read_decision(decision)
    if statement is None:
        same = canonical(as_test_result(found, where=os.fspath(decision))) == canonical(document)
    else:
        same = statement.decision_digest == hashlib.sha256(to_bytes(found)).hexdigest()
    if not same:
        raise EvidenceError(
            f"it is not about this decision, whose id is {found.decision_id[:16]}...",
            where=where,
            hint=f"it is about decision {statement.decision_id[:16]}..., so give that one"
            if statement and statement.decision_id
            else "give the decision that was signed",
        )


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise UsageError("no such envelope", where=os.fspath(path), hint="gate sign writes one") from None
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=os.fspath(path)) from None
