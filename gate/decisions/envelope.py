"""The envelope around what is signed: DSSE with one Ed25519 signature, as one line of canonical JSON.

See https://github.com/secure-systems-lab/dsse. Of all the ways to write an envelope down one counts: the bytes that
:func:`sign` writes. So a changed byte is an error, also one that the signature does not cover.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from gate.decisions import tags
from gate.decisions.canonical import canonical
from gate.decisions.in_toto import document, read_statement
from gate.decisions.keys import PrivateKey, PublicKey
from gate.decisions.statement import Statement
from gate.errors import EvidenceError, UsageError

PAYLOAD_TYPE = "application/vnd.in-toto+json"
_LARGEST = 16 * 1024 * 1024
_HINT = "sign it again with gate sign; a changed envelope counts for nothing"


def sign(statement: Statement, key: PrivateKey) -> bytes:
    """The signed statement: UTF-8, one line, at most as long as the value of a tag may be.

    UsageError where it is longer, EvidenceError for a statement that :func:`verify` would refuse.

    Example::

        Path("signed.json").write_bytes(sign(statement, read_private("keys/ci")))
    """
    plain = document(statement)
    read_statement(plain, where="statement")
    content = wrap(plain, key)
    if len(content) > tags.LONGEST_VALUE:
        longest = max(plain["predicate"], key=lambda name: len(canonical(plain["predicate"][name])))
        raise UsageError(
            f"the envelope has {len(content):,} characters, and a tag of the registry takes {tags.LONGEST_VALUE:,}",
            where="statement",
            hint=f"make it shorter; most of it is {longest}",
        )
    return content


def verify(content: bytes, keys: Sequence[PublicKey], *, where: str) -> Statement:
    """The statement in an envelope that one of ``keys`` signed, each byte as it was written.

    Says nothing of whether the statement is good for anything: :func:`gate.decisions.use.check_use` does. EvidenceError
    for whatever is not such an envelope; UsageError where there are no keys.

    Example::

        statement = verify(content, [read_public("keys/ci.pub")], where="signed.json")
    """
    plain, _ = unwrap(content, keys, where=where)
    return read_statement(plain, where=where)


def signer(content: bytes, keys: Sequence[PublicKey], *, where: str = "envelope") -> PublicKey:
    """Which of ``keys`` signed an envelope. Errors: as :func:`verify`, for the envelope alone."""
    return unwrap(content, keys, where=where)[1]


def is_envelope(content: bytes) -> bool:
    """Whether this is meant to be an envelope, sound or not. A decision is none.

    >>> is_envelope(b'{"payload":"e30=","payloadType":"text","signatures":[]}'), is_envelope(b'{"schema_version":1}')
    (True, False)
    """
    try:
        plain = json.loads(content)
    except (ValueError, RecursionError):
        return content.lstrip()[:12].startswith(b'{"payload"')
    return isinstance(plain, dict) and bool({"payload", "payloadType", "signatures"} & set(plain))


def wrap(plain: Mapping[str, Any], key: PrivateKey) -> bytes:
    """Any in-toto document in an envelope, signed."""
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner, SSlibKey

    public = SSlibKey.from_crypto(key.secret.public_key(), keyid=key.keyid)
    envelope = Envelope(canonical(plain), PAYLOAD_TYPE, {})
    envelope.sign(CryptoSigner(key.secret, public))
    return canonical(envelope.to_dict())


def unwrap(content: bytes, keys: Sequence[PublicKey], *, where: str) -> tuple[dict[str, Any], PublicKey]:
    """The in-toto document in an envelope, and the key that signed it. Errors: as :func:`verify`."""
    if not keys:
        raise UsageError("no key to verify it with", where=where, hint="name the public key: --key ci.pub")
    if len(content) > _LARGEST:
        raise EvidenceError(f"{len(content):,} bytes, too many for an envelope", where=where, hint=_HINT)
    plain = _strict(content, "not an envelope", where)
    payload_type, payload, keyid, signature = _parts(plain, where)
    if payload_type != PAYLOAD_TYPE:
        raise EvidenceError(f"it holds {payload_type!r}, not {PAYLOAD_TYPE}", where=where, hint=_HINT)
    key = next((key for key in keys if key.keyid == keyid), None)
    if key is None:
        given = ", ".join(f"{key.name} ({key.keyid[:16]})" for key in keys)
        raise EvidenceError(
            f"signed by the key {keyid[:16]!r}, which is none of those that count: {given}",
            where=where,
            hint="name the public key of whoever signed it, if you trust them",
        )
    _verify(payload, keyid, signature, key, where)
    found = _strict(payload, "its payload is not as the gate writes it", where)
    if not isinstance(found, dict):
        raise EvidenceError("no in-toto statement", where=where, hint=_HINT)
    return found, key


def _verify(payload: bytes, keyid: str, signature: bytes, key: PublicKey, where: str) -> None:
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import Signature, SSlibKey

    public = SSlibKey(key.keyid, "ed25519", "ed25519", {"public": key.raw.hex()})
    envelope = Envelope(payload, PAYLOAD_TYPE, {keyid: Signature(keyid, signature.hex())})
    try:
        accepted = envelope.verify([public], 1)
    except VerificationError:
        accepted = {}
    if set(accepted) != {key.keyid}:
        raise EvidenceError(
            f"the signature is not of {key.name} ({key.keyid[:16]}) over this content", where=where, hint=_HINT
        )


def _strict(content: bytes, found: str, where: str) -> Any:
    """JSON that is, byte for byte, its own canonical form."""
    try:
        plain = json.loads(content.decode("utf-8"), parse_constant=_refuse)
        same = canonical(plain) == content
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"{found}: {error}", where=where, hint=_HINT) from None
    if not same:
        raise EvidenceError(f"{found}: not the bytes that were written", where=where, hint=_HINT)
    return plain


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number that is signed")


def _parts(plain: Any, where: str) -> tuple[str, bytes, str, bytes]:
    """Payload type, payload, key id and signature of an envelope with nothing else in it."""
    try:
        (signature,) = plain["signatures"]
        texts = (plain["payloadType"], plain["payload"], signature["keyid"], signature["sig"])
        whole = len(plain) == 3 and len(signature) == 2 and all(isinstance(text, str) for text in texts)
        payload, signed = (b64decode(text, validate=True) for text in (texts[1], texts[3]))
        # several texts decode to the same bytes, since the last bits may be anything; one of them was written
        whole = whole and (b64encode(payload).decode(), b64encode(signed).decode()) == (texts[1], texts[3])
    except (TypeError, KeyError, ValueError):
        whole = False
    if not whole:
        raise EvidenceError("not an envelope of one statement and one signature", where=where, hint=_HINT)
    return texts[0], payload, texts[2], signed
