"""A statement as an in-toto Statement v1, and back; and a decision as the predicate that other tools can read.

See https://github.com/in-toto/attestation: spec/v1/statement.md and spec/predicates/test-result.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from gate.core.judgement import Cell, Finding, Status, Verdict
from gate.decisions.canonical import canonical
from gate.decisions.record import Decision
from gate.decisions.statement import Kind, Statement, Subject
from gate.decisions.times import moment
from gate.errors import EvidenceError

STATEMENT = "https://in-toto.io/Statement/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
PREDICATES = {kind: f"urn:model-update-gate:{kind.value}:v1" for kind in Kind}
_NAMED = {"candidate", "incumbent"}
_DIGESTS = ("decision_id", "decision_digest", "holdout_digest", "policy_digest")
_SHA_256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


def document(statement: Statement) -> dict[str, Any]:
    """The statement as an in-toto Statement v1: the versions are its subjects, all else is the predicate."""
    predicate = {name: value for name, value in vars(statement).items() if name != "kind"}
    predicate["verdict"] = None if statement.verdict is None else statement.verdict.value
    predicate |= {name: dict(predicate[name]) for name in ("files", "tools")}
    predicate |= {name: None if predicate[name] is None else predicate[name].version for name in _NAMED}
    return {
        "_type": STATEMENT,
        "subject": [_descriptor(statement.model, of) for of in (statement.candidate, statement.incumbent) if of],
        "predicateType": PREDICATES[statement.kind],
        "predicate": predicate,
    }


def read_statement(plain: Any, *, where: str) -> Statement:
    """The statement of an in-toto document; EvidenceError for any that :func:`document` would not have made."""
    kinds = {predicate: kind for kind, predicate in PREDICATES.items()}
    if not isinstance(plain, dict) or plain.get("_type") != STATEMENT:
        raise EvidenceError("no in-toto statement", where=where, hint=_HINT)
    predicate_type, predicate, subjects = plain.get("predicateType"), plain.get("predicate"), plain.get("subject")
    if predicate_type == TEST_RESULT:
        raise EvidenceError(
            "a test-result, for other tools to read: it moves no alias",
            where=where,
            hint="sign the decision itself: gate sign, without --predicate",
        )
    if not isinstance(predicate_type, str) or predicate_type not in kinds:
        raise EvidenceError(
            f"it says {predicate_type!r}, which this gate does not know",
            where=where,
            hint="use the version of the gate that signed it",
        )
    try:
        digests = [subject["digest"]["sha256"] for subject in subjects]  # type: ignore[union-attr]
        fields = {**predicate, "kind": kinds[predicate_type]}  # type: ignore[dict-item]
        for name, digest in zip(("candidate", "incumbent"), digests, strict=False):
            fields[name] = {"version": fields[name], "digest": digest}
        (found,) = _adapter().validate_json(json.dumps([fields]))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = ".".join(str(step) for step in first["loc"][1:])
        raise EvidenceError(f"no statement of the gate: {at}: {first['msg']}", where=where, hint=_HINT) from None
    except (TypeError, KeyError, ValueError, RecursionError):
        raise EvidenceError("no statement of the gate", where=where, hint=_HINT) from None
    flaw = _flaw(found)
    if flaw is not None or canonical(document(found)) != canonical(plain):
        raise EvidenceError(f"no statement of the gate: {flaw or 'unknown fields'}", where=where, hint=_HINT)
    return found


_HINT = "gate sign and gate promote write what counts"


@cache
def _adapter() -> TypeAdapter[tuple[Statement]]:
    return TypeAdapter(tuple[Statement], config=ConfigDict(extra="forbid", strict=True))


def _flaw(statement: Statement) -> str | None:
    """What no statement says, however well formed; None for one that is sound."""
    subjects = [subject for subject in (statement.candidate, statement.incumbent) if subject is not None]
    if any(subject.version < 1 or not _SHA_256.fullmatch(subject.digest) for subject in subjects):
        return "a version or its digest is none"
    digests = {**{name: getattr(statement, name) for name in _DIGESTS}, **statement.files}
    for name, digest in digests.items():
        if digest is not None and not _SHA_256.fullmatch(digest):
            return f"{name} is no SHA-256"
    by_gate, by_hand = statement.kind is not Kind.ROLLBACK, statement.kind is not Kind.DECISION
    if by_gate and None in (statement.verdict, *(getattr(statement, name) for name in _DIGESTS)):
        return "the decision is missing"
    if not by_gate and statement.verdict is not None:
        return "a rollback rests on no verdict"
    if (statement.by is not None) is not by_hand:
        return "a person decides overrides and rollbacks, and those alone"
    if statement.kind is Kind.OVERRIDE and not (statement.reason and statement.ticket):
        return "an override needs a reason and a ticket"
    if not (statement.model and statement.alias):
        return "model or alias is empty"
    try:
        for name in ("created_at", "signed_at", "expires_at"):
            moment(getattr(statement, name))
    except ValueError as error:
        return str(error)
    return None


def _descriptor(model: str, subject: Subject) -> dict[str, Any]:
    return {"name": f"models:/{model}/{subject.version}", "digest": {"sha256": subject.digest}}


# for other tools


def as_test_result(decision: Decision, *, where: str = "decision") -> dict[str, Any]:
    """A decision as an in-toto Statement with the predicate ``test-result`` v0.1.

    Each finding is a test, named by its rule, and by the cell where there is one. What is inconclusive or in error
    failed, what is waived passed with a warning. ``PASSED`` and ``WARNED`` mean that the verdict is allow; any other
    verdict is ``FAILED``, also one that was given for want of findings. EvidenceError where there is no digest of a
    model's files, since a subject without one is none.
    """
    models = [decision.provenance.candidate, *([old] if (old := decision.provenance.incumbent) else [])]
    if any(model.digest is None for model in models):
        raise EvidenceError(
            "there is no digest of what was judged, so nothing that a test-result could be about",
            where=where,
            hint="check versions of a registered model: gate check",
        )
    tests: dict[str, list[str]] = {name: [] for name in _TESTS}
    for finding in decision.findings:
        tests[_RESULTS[finding.status]].append(_test(finding))
    result = "FAILED"
    if decision.verdict is Verdict.ALLOW:
        result = "WARNED" if tests["warnedTests"] else "PASSED"
    return {
        "_type": STATEMENT,
        "subject": [{"name": model.uri, "digest": {"sha256": model.digest}} for model in models],
        "predicateType": TEST_RESULT,
        "predicate": {
            "result": result,
            "configuration": [{"name": decision.policy.name, "digest": {"sha256": decision.policy.digest}}],
            **tests,
        },
    }


def read_test_result(plain: Mapping[str, Any], *, where: str) -> Mapping[str, Any]:
    """The predicate of a test-result; EvidenceError for any other document than :func:`as_test_result` makes."""
    predicate = plain.get("predicate")
    sound = (
        set(plain) == {"_type", "subject", "predicateType", "predicate"}
        and (plain["_type"], plain["predicateType"]) == (STATEMENT, TEST_RESULT)
        and isinstance(predicate, dict)
        and set(predicate) == {"result", "configuration", *_TESTS}
        and predicate["result"] in ("PASSED", "WARNED", "FAILED")
        and all(isinstance(predicate[name], list) for name in _TESTS)
        and all(isinstance(test, str) for name in _TESTS for test in predicate[name])
        and _is_described(plain["subject"])
        and _is_described(predicate["configuration"])
    )
    if not sound or not isinstance(predicate, dict):
        raise EvidenceError(
            "no test-result of the gate", where=where, hint="gate sign --predicate test-result writes one"
        )
    return predicate


_TESTS = ("passedTests", "warnedTests", "failedTests")


def _is_described(parts: Any) -> bool:
    """Whether these are names with a SHA-256 each."""
    return isinstance(parts, list) and all(
        isinstance(part, dict)
        and set(part) == {"name", "digest"}
        and isinstance(part["name"], str)
        and isinstance(part["digest"], dict)
        and set(part["digest"]) == {"sha256"}
        and isinstance(part["digest"]["sha256"], str)
        for part in parts
    )


_RESULTS = {
    Status.PASS: "passedTests",
    Status.WARN: "warnedTests",
    Status.WAIVED: "warnedTests",
    Status.FAIL: "failedTests",
    Status.INCONCLUSIVE: "failedTests",
    Status.ERROR: "failedTests",
}


def _test(finding: Finding) -> str:
    return finding.rule if finding.cell.by == "overall" else f"{finding.rule}:{_cell(finding.cell)}"


def _cell(cell: Cell) -> str:
    """``class=cat``; a number and text that looks like one stay apart, as ``class=1`` and ``class="1"``."""
    if cell.by.startswith("golden set "):
        return cell.by
    value = cell.value
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            return f"{cell.by}={value}"
    return f"{cell.by}={json.dumps(value, ensure_ascii=False)}"
