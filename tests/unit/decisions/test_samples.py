"""The file of flipped rows: written canonically, and refused unless each line is a row, whoever wrote the digest."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import gate
from gate.core.flipped import FlippedRow
from gate.core.outcomes import Picture
from gate.decisions.canonical import samples_to_bytes
from gate.decisions.record import Decision
from gate.decisions.samples import read_samples
from gate.errors import EvidenceError

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
ROW = FlippedRow(
    digest="0a",
    id=7,
    kind="negative",
    label="cat",
    incumbent="cat",
    candidate="dog",
    incumbent_confidence=0.5,
    candidate_confidence=1,
    golden=True,
    cost=12.5,
    beside={"z": 1, "a": "</script>\x1b[31m\u202e=cmd()", "scan": Picture(PNG, 640, 480), "none": None, "": True},
)


@pytest.fixture(scope="module")
def decision() -> Decision:
    from gate.policy.load import parse_policy

    policy = parse_policy("{version: 1, name: small, rules: [{id: few, rate: nfr, at_most: 2%}]}")
    table = {"y": ["a"] * 4, "old": ["a"] * 4, "new": ["a"] * 4}
    return gate.compare(table, policy=policy, label="y", incumbent="old", candidate="new").decision


def read(content: bytes, decision: Decision, folder: Path) -> tuple[FlippedRow, ...]:
    """As if the decision were about these very bytes."""
    (folder / "samples.jsonl").write_bytes(content)
    rows = replace(decision.provenance.samples, digest=hashlib.sha256(content).hexdigest())
    return read_samples(
        folder / "samples.jsonl", replace(decision, provenance=replace(decision.provenance, samples=rows))
    )


def test_a_row_reads_back_whole_its_columns_in_their_order(decision, tmp_path):
    (found,) = read(samples_to_bytes([ROW]), decision, tmp_path)
    assert vars(found) == vars(ROW)
    assert list(found.beside) == list(ROW.beside)


def test_the_bytes_are_canonical_one_line_a_row(decision):
    content = samples_to_bytes([ROW, ROW])
    assert content.count(b"\n") == 2
    for line in content.splitlines():
        plain = json.loads(line)
        assert line == json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
        assert [name for name, _ in plain["beside"]] == ["z", "a", "scan", "none", ""]


def test_numbers_that_json_does_not_know_are_null_or_text(decision, tmp_path):
    odd = replace(ROW, beside={"nan": math.nan, "inf": -math.inf})
    (found,) = read(samples_to_bytes([odd]), decision, tmp_path)
    assert found.beside == {"nan": None, "inf": "-inf"}


def test_rows_of_an_earlier_gate_read_without_what_they_lack(decision, tmp_path):
    plain = {"digest": "0a", "id": 7, "kind": "positive", "label": 1, "incumbent": 2, "candidate": 1}
    (found,) = read(json.dumps(plain).encode() + b"\n", decision, tmp_path)
    assert (found.id, found.golden, found.cost, found.beside) == (7, False, None, {})


PLAIN: dict[str, Any] = json.loads(samples_to_bytes([ROW]))
PICTURE: dict[str, Any] = PLAIN["beside"][2][1]


@pytest.mark.parametrize(
    "broken",
    [
        {**PLAIN, "golden": 1},
        {**PLAIN, "golden": None},
        {**PLAIN, "cost": "12"},
        {**PLAIN, "cost": True},
        {**PLAIN, "cost": 10**400},
        {**PLAIN, "candidate_confidence": [1]},
        {**PLAIN, "kind": "neutral"},
        {**PLAIN, "label": {"a": 1}},
        {**PLAIN, "digest": 7},
        {**PLAIN, "more": 1},
        {name: value for name, value in PLAIN.items() if name != "id"},
        {**PLAIN, "beside": {"a": 1}},
        {**PLAIN, "beside": [["a"]]},
        {**PLAIN, "beside": [[1, 2]]},
        {**PLAIN, "beside": [["a", [1]]]},
        {**PLAIN, "beside": [["a", {**PICTURE, "png": "not base64!"}]]},
        {**PLAIN, "beside": [["a", {**PICTURE, "png": base64.b64encode(b"<svg onload=alert(1)>").decode()}]]},
        {**PLAIN, "beside": [["a", {**PICTURE, "png": base64.b64encode(PNG + bytes(200_000)).decode()}]]},
        {**PLAIN, "beside": [["a", {**PICTURE, "png": None}]]},
        {**PLAIN, "beside": [["a", {**PICTURE, "width": 0}]]},
        {**PLAIN, "beside": [["a", {**PICTURE, "height": "1"}]]},
        {**PLAIN, "beside": [["a", {**PICTURE, "src": "https://evil.example"}]]},
        [PLAIN],
        None,
    ],
)
def test_what_is_no_row_is_refused_though_the_digest_is_right(broken, decision, tmp_path):
    good = json.dumps(PLAIN).encode()
    with pytest.raises(EvidenceError, match="line 2 is no flipped row"):
        read(good + b"\n" + json.dumps(broken).encode() + b"\n", decision, tmp_path)


@pytest.mark.parametrize("line", [b"{", b'{"digest": "a", "id": NaN, "kind": "negative"}', b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_refused_though_the_digest_is_right(line, decision, tmp_path):
    with pytest.raises(EvidenceError, match="line 1 is no flipped row"):
        read(line + b"\n", decision, tmp_path)


def test_rows_of_another_decision_are_refused(decision, tmp_path):
    (tmp_path / "samples.jsonl").write_bytes(samples_to_bytes([ROW]))
    with pytest.raises(EvidenceError, match="not the flipped rows of decision"):
        read_samples(tmp_path / "samples.jsonl", decision)
