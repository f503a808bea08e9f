"""A decision as an in-toto test-result: what others are told is never better than the verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gate.core.judgement import Cell, Finding, Severity, Status, Verdict
from gate.decisions.in_toto import as_test_result, read_test_result
from gate.decisions.record import Decision
from gate.errors import EvidenceError
from gate.stories.decide import Judgement


def predicate(decision: Decision) -> dict[str, Any]:
    found: dict[str, Any] = as_test_result(decision)["predicate"]
    return found


def with_findings(decision: Decision, *changes: dict[str, Any]) -> Decision:
    (first, *_) = decision.findings
    return replace(decision, findings=tuple(replace(first, **change) for change in changes))


@pytest.mark.parametrize(
    ("verdict", "result"),
    [
        (Verdict.ALLOW, "PASSED"),
        (Verdict.REFUSE, "FAILED"),
        (Verdict.INCONCLUSIVE, "FAILED"),
        (Verdict.ERROR, "FAILED"),
    ],
)
def test_only_an_allowed_update_passed(promotable: Callable[..., Decision], verdict: Verdict, result: str) -> None:
    assert predicate(promotable(verdict))["result"] == result


def test_it_has_the_fields_of_the_predicate_and_the_subjects_of_the_decision(
    promotable: Callable[..., Decision],
) -> None:
    decision = promotable()
    plain = as_test_result(decision)

    assert plain == {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
        "subject": [
            {"name": "models:/fraud/7", "digest": {"sha256": "a" * 64}},
            {"name": "models:/fraud/6", "digest": {"sha256": "b" * 64}},
        ],
        "predicate": {
            "result": "PASSED",
            "configuration": [{"name": "small", "digest": {"sha256": decision.policy.digest}}],
            "passedTests": ["few", "sites:site=0", "sites:site=1"],
            "warnedTests": [],
            "failedTests": [],
        },
    }


def test_a_waived_and_a_warned_finding_passed_with_a_warning_and_what_is_not_known_failed(
    promotable: Callable[..., Decision],
) -> None:
    decision = with_findings(
        promotable(),
        *({"rule": status.value, "status": status} for status in Status),
    )
    found = predicate(decision)

    assert (found["passedTests"], found["warnedTests"]) == (["pass"], ["warn", "waived"])
    assert found["failedTests"] == ["fail", "inconclusive", "error"]
    assert found["result"] == "WARNED"


def test_every_finding_is_one_test(promotable: Callable[..., Decision]) -> None:
    for verdict in Verdict:
        decision = promotable(verdict)
        found = predicate(decision)

        assert sum(len(found[f"{name}Tests"]) for name in ("passed", "warned", "failed")) == len(decision.findings)


def test_cells_that_look_alike_have_names_that_differ(promotable: Callable[..., Decision]) -> None:
    values = ("cat", 1, "1", True, "true", None, "null", 1.5)
    decision = with_findings(promotable(), *({"cell": Cell("class", value)} for value in values))
    named = predicate(decision)["passedTests"]

    assert named[:3] == ["few:class=cat", "few:class=1", 'few:class="1"']
    assert len(set(named)) == len(values)


def test_a_test_result_reads_back_and_another_document_does_not(promotable: Callable[..., Decision]) -> None:
    plain = as_test_result(promotable(Verdict.REFUSE))
    predicate = plain["predicate"]

    assert read_test_result(plain, where="x") == predicate
    for other in (
        {**plain, "more": 1},
        {**plain, "_type": "https://in-toto.io/Statement/v0.1"},
        {**plain, "subject": [{"name": "models:/fraud/7", "digest": {"sha256": 7}}]},
        {**plain, "subject": None},
        {**plain, "predicate": None},
        *({**plain, "predicate": {**predicate, **part}} for part in PARTS),
        {**plain, "predicate": {name: value for name, value in predicate.items() if name != "failedTests"}},
    ):
        with pytest.raises(EvidenceError, match="no test-result of the gate"):
            read_test_result(other, where="x")


PARTS: list[dict[str, Any]] = [
    {"result": "GREAT"},
    {"result": ["PASSED"]},
    {"passedTests": "few"},
    {"failedTests": [7]},
    {"configuration": [{"name": "small"}]},
    {"url": "https://example.org"},
]


def test_what_has_no_digest_is_no_subject(judged: Judgement) -> None:
    with pytest.raises(EvidenceError, match="no digest of what was judged"):
        as_test_result(judged.decision)


def test_a_warning_that_is_not_enforced_is_still_said(promotable: Callable[..., Decision]) -> None:
    decision = promotable()
    (first, *_) = decision.findings
    warned: Finding = replace(first, severity=Severity.WARN, status=Status.WARN, rule="soft")

    assert predicate(replace(decision, findings=(first, warned)))["result"] == "WARNED"
