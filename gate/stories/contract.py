"""The contract of the held-out set: met, or the story ends here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gate.data.tables import Table
from gate.decisions.record import Contract, ExpectationRow
from gate.errors import EvidenceError, Problem
from gate.policy.rules import Policy
from gate.stories.decide import built_in

if TYPE_CHECKING:
    from gate.data.contract import ContractReport


def contract_of(rules: Policy, holdout: Table, *, values: bool = True) -> tuple[Contract, str | None]:
    """The contract as met, with the digest of the rows that it was met by; EvidenceError where it is not met.

    Neither quotes a value of the held-out set if ``values`` is False.
    """
    if rules.holdout.contract is None:
        return Contract("met", built_in(rules.task)), None
    from gate.data.contract import check_contract, read_suite

    report = check_contract(holdout, read_suite(rules.holdout.contract), values=values)
    return met(report, rules), report.content_digest


def met(report: ContractReport, rules: Policy) -> Contract:
    """The contract for the record; EvidenceError where the report says that it is not met."""
    if report.status != "met":
        raise EvidenceError(
            problems=[
                Problem(
                    f"{result.type} {_arguments(result.kwargs)} {result.status}: {result.message}",
                    f"contract {report.suite}",
                    "mend the held-out set, or the contract"
                    if result.status == "broken"
                    else "the expectation itself could not be checked, and what is not checked is refused",
                )
                for result in report.results
                if result.status != "met"
            ]
        )
    rows = tuple(ExpectationRow(r.type, r.kwargs, r.status, r.observed, r.message or None) for r in report.results)
    return Contract("met", built_in(rules.task), report.suite, report.digest, rows)


def _arguments(kwargs: Any) -> str:
    return "(" + ", ".join(f"{key}={value!r}" for key, value in kwargs.items()) + ")"
