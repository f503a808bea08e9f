"""The envelope: who signed it is found out, and only the bytes that were written count."""

from __future__ import annotations

import json
import shutil
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from gate.core.judgement import Verdict
from gate.decisions.canonical import canonical, to_bytes
from gate.decisions.envelope import PAYLOAD_TYPE, is_envelope, sign, signer, unwrap, verify, wrap
from gate.decisions.in_toto import as_test_result, document
from gate.decisions.keys import PrivateKey, PublicKey, new_keys, read_private
from gate.decisions.record import Decision
from gate.decisions.statement import Statement, of_decision
from gate.decisions.tags import LONGEST_VALUE
from gate.errors import EvidenceError, UsageError

SIGNED = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


@pytest.fixture
def statement(promotable: Callable[..., Decision]) -> Statement:
    return of_decision(promotable(), signed_at=SIGNED, max_age=timedelta(days=7))


@pytest.fixture
def content(statement: Statement, key: PrivateKey) -> bytes:
    return sign(statement, key)


@pytest.fixture
def other(tmp_path: Path) -> PrivateKey:
    return read_private(new_keys(tmp_path / "other")[0])


def refused(content: bytes, *keys: PublicKey) -> str:
    with pytest.raises(EvidenceError) as caught:
        verify(content, keys, where="signed.json")
    assert str(caught.value).startswith("signed.json: ")
    return str(caught.value)


def rewritten(content: bytes, **parts: Any) -> bytes:
    return canonical({**json.loads(content), **parts})


def test_a_decision_of_every_verdict_is_signed_and_verified(
    promotable: Callable[..., Decision], key: PrivateKey
) -> None:
    for verdict in Verdict:
        statement = of_decision(promotable(verdict), signed_at=SIGNED, max_age=timedelta(days=7))

        assert verify(sign(statement, key), [key.public], where="x") == statement


def test_it_is_a_dsse_envelope_on_one_line(content: bytes, statement: Statement, key: PrivateKey) -> None:
    plain = json.loads(content)

    assert content == canonical(plain) and content.count(b"\n") == 1 and content.isascii()
    assert set(plain) == {"payload", "payloadType", "signatures"}
    assert plain["payloadType"] == PAYLOAD_TYPE == "application/vnd.in-toto+json"
    assert json.loads(b64decode(plain["payload"])) == document(statement)
    assert [set(signature) for signature in plain["signatures"]] == [{"keyid", "sig"}]
    assert plain["signatures"][0]["keyid"] == key.keyid


def test_signing_twice_gives_the_same_bytes(statement: Statement, content: bytes, key: PrivateKey) -> None:
    assert sign(statement, key) == content


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl command to compare with")
def test_openssl_verifies_the_signature_too(statement: Statement, tmp_path: Path) -> None:
    private, public = new_keys(tmp_path / "ci")
    plain = json.loads(sign(statement, read_private(private)))
    payload = b64decode(plain["payload"])
    signed = b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)
    (tmp_path / "signed").write_bytes(signed)
    (tmp_path / "sig").write_bytes(b64decode(plain["signatures"][0]["sig"]))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin"]
    done = subprocess.run(
        [*command, "-in", tmp_path / "signed", "-sigfile", tmp_path / "sig"], capture_output=True, check=True
    )

    assert b"Verified Successfully" in done.stdout


def test_one_of_several_keys_is_enough_and_is_named(content: bytes, key: PrivateKey, other: PrivateKey) -> None:
    keys = [other.public, key.public]

    assert signer(content, keys) == key.public
    assert verify(content, keys, where="x") == verify(content, keys[::-1], where="x")


def test_another_key_does_not_count(content: bytes, key: PrivateKey, other: PrivateKey) -> None:
    found = refused(content, other.public)

    assert f"signed by the key '{key.keyid[:16]}'" in found
    assert f"other.pub ({other.keyid[:16]})" in found


def test_the_id_of_a_key_that_counts_over_the_signature_of_another(
    content: bytes, statement: Statement, key: PrivateKey, other: PrivateKey
) -> None:
    forged = json.loads(sign(statement, other))["signatures"][0]["sig"]

    found = refused(rewritten(content, signatures=[{"keyid": key.keyid, "sig": forged}]), key.public, other.public)
    assert "the signature is not of ci.pub" in found


def test_without_keys_nothing_verifies(content: bytes) -> None:
    with pytest.raises(UsageError, match="no key to verify it with"):
        verify(content, [], where="x")


def test_another_payload_under_a_signature_that_was_good(content: bytes, key: PrivateKey) -> None:
    payload = b64decode(json.loads(content)["payload"]).replace(b'"candidate":7', b'"candidate":8')

    assert "the signature is not of" in refused(rewritten(content, payload=b64encode(payload).decode()), key.public)


def test_the_last_bits_of_base64_count_too(statement: Statement, key: PrivateKey) -> None:
    tried = 0
    for summary in ("a", "ab", "abc"):
        content = sign(replace(statement, summary=summary), key)
        plain = json.loads(content)
        texts = {"payload": plain["payload"], "sig": plain["signatures"][0]["sig"]}
        for part, text in texts.items():
            loose = loosened(text)
            if loose is None:
                continue
            tried += 1
            assert b64decode(loose, validate=True) == b64decode(text)
            signature = {**plain["signatures"][0], **({"sig": loose} if part == "sig" else {})}
            changed = rewritten(content, **({"payload": loose} if part == "payload" else {}), signatures=[signature])
            assert changed != content
            assert "not an envelope" in refused(changed, key.public)
    assert tried >= 3


def loosened(text: str) -> str | None:
    """Other base64 of the same bytes, where there is any: the bits beneath the padding are free."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    padding = len(text) - len(text.rstrip("="))
    if not padding:
        return None
    last = len(text) - padding - 1
    return text[:last] + alphabet[alphabet.index(text[last]) ^ 1] + text[last + 1 :]


def test_a_second_signature_is_one_too_many(
    content: bytes, statement: Statement, key: PrivateKey, other: PrivateKey
) -> None:
    both = [json.loads(sign(statement, who))["signatures"][0] for who in (key, other)]

    for signatures in (both, both[::-1], [], both[:1] * 2):
        assert "one statement and one signature" in refused(rewritten(content, signatures=signatures), key.public)


@pytest.mark.parametrize(
    "parts",
    [
        {"more": 1},
        {"payload": 7},
        {"payload": "a"},
        {"payload": "\u00e9"},
        {"payload": None},
        {"payloadType": 7},
        {"payloadType": "text/plain"},
        {"signatures": None},
        {"signatures": {"a": {}}},
        {"signatures": ["a"]},
        {"signatures": [{"keyid": "a", "sig": 7}]},
        {"signatures": [{"sig": ""}]},
        {"signatures": [{"keyid": 7, "sig": ""}]},
    ],
)
def test_what_is_shaped_otherwise(content: bytes, key: PrivateKey, parts: dict[str, Any]) -> None:
    refused(rewritten(content, **parts), key.public)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"7", b"null", b"\xff\xfe", b"NaN", b'{"payload":NaN}', b"[" * 100_000, b"1" * 9999]
)
def test_what_is_no_envelope(content: bytes, key: PrivateKey) -> None:
    refused(content, key.public)


def test_what_is_too_large_is_not_even_read(key: PrivateKey) -> None:
    assert "too many for an envelope" in refused(b" " * (16 * 1024 * 1024 + 1), key.public)


def test_a_rewritten_layout_is_refused(content: bytes, key: PrivateKey) -> None:
    plain = json.loads(content)

    for layout in (
        json.dumps(plain, indent=1).encode(),
        json.dumps(plain).encode(),
        content.rstrip(b"\n"),
        content + b"\n",
        b"\xef\xbb\xbf" + content,
        content.replace(b'{"payload":', b'{"payload":"e30=","payload":', 1),
        content.replace(b"payloadType", b"payload\\u0054ype", 1),
    ):
        refused(layout, key.public)


def test_a_key_that_signs_what_no_gate_writes(statement: Statement, key: PrivateKey) -> None:
    plain = document(statement)

    for signed in ({**plain, "predicateType": "https://slsa.dev/provenance/v1"}, {**plain, "more": 1}, {"a": 1}):
        refused(wrap(signed, key), key.public)


def test_a_payload_in_another_layout_is_refused_though_it_is_signed(statement: Statement, key: PrivateKey) -> None:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner, SSlibKey

    envelope = Envelope(json.dumps(document(statement), indent=1).encode(), PAYLOAD_TYPE, {})
    envelope.sign(CryptoSigner(key.secret, SSlibKey.from_crypto(key.secret.public_key(), keyid=key.keyid)))

    assert "its payload is not as the gate writes it" in refused(canonical(envelope.to_dict()), key.public)


def test_a_test_result_is_genuine_and_moves_nothing(promotable: Callable[..., Decision], key: PrivateKey) -> None:
    plain = as_test_result(promotable())
    content = wrap(plain, key)

    assert unwrap(content, [key.public], where="x") == (plain, key.public)
    assert "it moves no alias" in refused(content, key.public)


def test_an_envelope_is_told_from_a_decision(content: bytes, promotable: Callable[..., Decision]) -> None:
    assert is_envelope(content)
    assert is_envelope(content[:-30])
    assert is_envelope(json.dumps(json.loads(content), indent=2).encode())
    for other in (to_bytes(promotable()), b"", b"[]", b"\xff", b"[" * 100_000, b'"payload"'):
        assert not is_envelope(other)


def test_every_envelope_fits_into_a_tag_or_is_refused_with_the_part_that_is_long(
    promotable: Callable[..., Decision], key: PrivateKey
) -> None:
    decision = promotable()
    files = {f"golden/set-number-{i}.csv": f"{i:064x}" for i in range(200)}
    origin = replace(decision.provenance, files=files)
    statement = of_decision(
        replace(decision, provenance=origin), signed_at=SIGNED, max_age=timedelta(days=7), run_id="r" * 32
    )
    long = replace(statement, summary="s" * 300, reason="r" * 500, ticket="t" * 100, by="b" * 100)

    assert len(sign(statement, key)) <= LONGEST_VALUE == 5000
    assert len(wrap(document(long), key)) <= LONGEST_VALUE
    with pytest.raises(
        UsageError, match=r"a tag of the registry takes 5,000\n  -> make it shorter; most of it is tools"
    ):
        sign(replace(statement, tools={f"tool-{i}": "1.0" * 10 for i in range(80)}), key)


def test_what_would_not_verify_is_not_signed(statement: Statement, key: PrivateKey) -> None:
    for flawed in (
        replace(statement, policy_digest="policy"),
        replace(statement, verdict=None),
        replace(statement, expires_at="never"),
        replace(statement, alias=""),
    ):
        with pytest.raises(EvidenceError, match="no statement of the gate"):
            sign(flawed, key)
