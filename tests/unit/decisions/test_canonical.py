"""The decision as bytes: whatever was changed in it, it no longer reads."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.decisions.canonical import (
    _adapter,
    canonical,
    document,
    json_schema,
    read_decision,
    samples_to_bytes,
    sealed,
    to_bytes,
)
from gate.decisions.record import CellRow, Counts
from gate.errors import EvidenceError, UsageError
from gate.stories.decide import Judgement


def refused(source: Any) -> str:
    with pytest.raises(EvidenceError) as caught:
        read_decision(source)
    return str(caught.value)


def test_what_is_written_reads_back(judged: Judgement) -> None:
    assert read_decision(to_bytes(judged.decision)) == judged.decision


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_changing_any_byte_makes_it_unreadable(judged: Judgement, data: st.DataObject) -> None:
    raw = to_bytes(judged.decision)
    at = data.draw(st.integers(0, len(raw) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != raw[at]))

    refused(raw[:at] + bytes([byte]) + raw[at + 1 :])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_taking_a_byte_out_or_putting_one_in_makes_it_unreadable(judged: Judgement, data: st.DataObject) -> None:
    raw = to_bytes(judged.decision)
    at = data.draw(st.integers(0, len(raw) - 1))
    byte = data.draw(st.binary(max_size=1))

    refused(raw[:at] + byte + raw[at + (0 if byte else 1) :])


def test_the_time_of_writing_is_not_part_of_the_id(judged: Judgement) -> None:
    other = replace(judged.decision, created_at="2031-01-01T00:00:00Z")

    assert sealed(other).decision_id == judged.decision.decision_id


def test_an_edited_time_of_writing_breaks_the_seal(judged: Judgement) -> None:
    raw = to_bytes(judged.decision)
    younger = re.sub(rb'"created_at":"[^"]*"', b'"created_at":"2031-01-01T00:00:00Z"', raw)

    assert younger != raw
    assert "edited" in refused(younger)


@pytest.mark.parametrize("part", ["verdict", "promotable", "target", "counts", "as_of", "seed"])
def test_every_part_but_the_time_is_in_the_id(judged: Judgement, part: str) -> None:
    decision = judged.decision
    changed = {
        "verdict": lambda: replace(decision, exit_code=11),
        "promotable": lambda: replace(decision, promotable=replace(decision.promotable, because="because")),
        "target": lambda: replace(decision, target=replace(decision.target, alias="champion")),
        "counts": lambda: replace(decision, counts=replace(decision.counts, negative=0)),
        "as_of": lambda: replace(decision, as_of="2026-01-02"),
        "seed": lambda: replace(decision, provenance=replace(decision.provenance, seed=1)),
    }[part]()

    assert sealed(changed).decision_id != decision.decision_id


def test_a_rewritten_layout_is_an_edit_too(judged: Judgement) -> None:
    pretty = json.dumps(document(judged.decision), indent=2).encode()

    assert "edited" in refused(pretty)


def test_a_key_given_twice_is_an_edit(judged: Judgement) -> None:
    raw = to_bytes(judged.decision)

    assert "edited" in refused(raw.replace(b'{"as_of"', b'{"as_of":"2020-01-01","as_of"', 1))


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b"", "not a decision"),
        (b"not json", "not a decision"),
        (b"[]", "not a decision: it has no schema_version"),
        (b"{}", "not a decision: it has no schema_version"),
        (b'{"schema_version": 2}', "schema version 2; this gate reads version 1"),
        (b'{"schema_version": 1}', "not a decision: decision_id: Field required"),
        (b'{"schema_version": 1, "counts": NaN}', "NaN is no number that a decision holds"),
        (b"\xff\xfe", "not a decision"),
        (b"[" * 100_000, "not a decision"),
    ],
)
def test_what_is_no_decision(raw: bytes, found: str) -> None:
    assert refused(raw).startswith(f"decision: {found}") or found in refused(raw)


def test_an_absent_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such decision"):
        read_decision(tmp_path / "absent.json")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        read_decision(tmp_path)


def test_an_unknown_key_is_refused(judged: Judgement) -> None:
    assert "not a decision" in refused(canonical({**document(judged.decision), "surprise": 1}))


def test_an_infinite_slice_value_is_written_as_text_and_reads_back(judged: Judgement) -> None:
    cells = tuple(CellRow("height", value, Counts(1, 0, 0, 0, 0, 1), ()) for value in (float("inf"), float("-inf")))
    raw = to_bytes(sealed(replace(judged.decision, cells=cells)))

    assert [cell.value for cell in read_decision(raw).cells] == ["inf", "-inf"]


def test_values_keep_their_types(judged: Judgement) -> None:
    values = (1, "1", 1.5, True, None, "é\u202e\x00")
    cells = tuple(CellRow("slice", value, Counts(1, 0, 0, 0, 0, 1), ()) for value in values)
    back = read_decision(to_bytes(sealed(replace(judged.decision, cells=cells))))

    assert [(type(cell.value), cell.value) for cell in back.cells] == [(type(value), value) for value in values]


def test_findings_and_cells_are_written_as_the_shape_of_the_record_says(judged: Judgement) -> None:
    cells = (*judged.decision.cells, CellRow("height", float("inf"), Counts(1, 0, 0, 0, 0, 1), ()))
    decision = replace(judged.decision, cells=cells)
    (shaped,) = _adapter().dump_python((decision,), mode="json")
    shaped["cells"][-1]["value"] = "inf"

    assert document(decision) == shaped
    assert to_bytes(decision) == canonical(shaped)


@pytest.mark.parametrize("number", [0, 1, 999, 1000, 1001, 2500])
def test_however_many_findings_there_are_they_are_all_written(judged: Judgement, number: int) -> None:
    finding = judged.decision.findings[0]
    many = sealed(replace(judged.decision, findings=tuple(replace(finding, n=i) for i in range(number))))

    assert json.loads(to_bytes(many)) == document(many)
    assert read_decision(to_bytes(many)).findings == many.findings


def test_a_sealed_decision_keeps_its_bytes_and_a_changed_copy_does_not(judged: Judgement) -> None:
    decision = sealed(judged.decision)
    copy = replace(decision, as_of="2031-01-01")

    assert to_bytes(decision) is to_bytes(decision) and to_bytes(decision) == canonical(document(decision))
    assert b'"as_of":"2031-01-01"' in to_bytes(copy)
    assert decision == judged.decision and repr(decision) == repr(judged.decision)


def test_a_number_beyond_all_numbers_is_no_decision(judged: Judgement) -> None:
    raw = to_bytes(judged.decision).replace(b'"options":{}', b'"options":{"most":1e999}')

    assert "not a decision" in refused(raw)


def test_the_schema_describes_what_is_written(judged: Judgement) -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    jsonschema.Draft202012Validator(json_schema()).validate(json.loads(to_bytes(judged.decision)))


def test_samples_are_one_canonical_object_a_line(judged: Judgement) -> None:
    lines = samples_to_bytes(judged.samples).splitlines()

    assert len(lines) == len(judged.samples) == judged.decision.provenance.samples.rows
    for line, row in zip(lines, judged.samples, strict=True):
        assert json.loads(line)["id"] == row.id
        assert canonical(json.loads(line)) == line + b"\n"


def test_samples_with_ids_that_json_has_no_number_for(judged: Judgement) -> None:
    row = judged.samples[0]
    raw = samples_to_bytes([replace(row, id=float("nan")), replace(row, id=float("inf"))])

    assert [json.loads(line)["id"] for line in raw.splitlines()] == [None, "inf"]
