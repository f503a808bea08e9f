"""A net_cost says itself who carries the proof and how many rows it takes, and how many more would settle it."""

from __future__ import annotations

import numpy as np
import pytest

from gate.core.flips import count
from gate.core.judgement import Finding, Status
from gate.core.measured import Measured
from gate.core.outcomes import Codes, Outcomes
from gate.errors import UsageError
from gate.policy.judge import judge
from gate.policy.load import parse_policy
from gate.policy.needs import needs
from gate.stories.explain import explain

PRICED = "net_cost: {negative: [{label: a, output: b, cost: 10}]}"


def measured(rows: int, flips: int, others: int = 1) -> Measured:
    """Rows of label a of which some flip to b, and some of label b, which stay."""
    label = Codes(np.r_[np.zeros(rows - others), np.ones(others)].astype(np.int64), ("a", "b"))
    new = Codes(np.where(np.arange(rows) < flips, 1, label.codes), ("a", "b"))
    same = label.codes == new.codes
    return Measured(count(Outcomes(np.arange(rows), np.ones(rows, bool), same, same, label, label, new)), 0.95)


def found(rule: str, of: Measured, evidence: str = "decide_on: proof") -> Finding:
    (one,) = judge(
        parse_policy(f"version: 1\nname: x\nevidence: {{{evidence}}}\nrules: [{{id: c, {rule}}}]\n").rules, of
    )
    return one


@pytest.mark.parametrize(
    ("own", "evidence", "expected"),
    [
        ("", "proof", Status.INCONCLUSIVE),
        ("decide_on: harm, ", "proof", Status.WARN),
        ("decide_on: estimate, ", "proof", Status.PASS),
        ("", "harm", Status.WARN),
        ("decide_on: proof, ", "harm", Status.INCONCLUSIVE),
    ],
)
def test_its_own_word_on_who_carries_the_proof_stands_before_that_of_the_policy(own, evidence, expected):
    one = found(f"{own}{PRICED}, at_most: 200", measured(1000, 15), f"decide_on: {evidence}")
    assert one.status is expected
    assert one.decide_on.value == (own.split(": ")[1].rstrip(", ") if own else evidence)


def test_with_fewer_rows_than_it_asks_for_nothing_passes_but_proven_harm_still_fails():
    for decide_on in ("proof", "harm", "estimate"):
        rule = f"decide_on: {decide_on}, {PRICED}, at_most: 200"
        assert found(f"{rule}, at_least_n: 1000", measured(1000, 1)).status is Status.PASS
        short = found(f"{rule}, at_least_n: 1001", measured(1000, 1))
        assert (short.status, short.note) == (Status.INCONCLUSIVE, "1000 rows, the rule asks for 1001")
        assert short.rows_needed == 1
        assert found(f"{rule}, at_least_n: 2000", measured(1000, 90)).status is Status.FAIL
    warned = found(f"severity: warn, {PRICED}, at_most: 200, at_least_n: 2000", measured(1000, 1))
    assert warned.status is Status.WARN


@pytest.mark.parametrize("flips", [0, 3, 15])
def test_so_many_rows_more_settle_it_and_one_less_does_not(flips):
    rule = f"{PRICED}, at_most: 180"
    one = found(rule, measured(1000 if flips else 10, flips))
    assert one.status is (Status.INCONCLUSIVE if flips != 3 else Status.PASS)
    if flips == 0:
        assert one.rows_needed is not None
        assert found(rule, measured(10 + one.rows_needed, 0)).status is Status.PASS
        assert found(rule, measured(9 + one.rows_needed, 0)).status is Status.INCONCLUSIVE
    if flips == 15:
        assert one.rows_needed is not None
        many = 1000 + one.rows_needed
        assert found(rule, measured(many, round(0.015 * many))).status is not Status.FAIL
    assert found(rule, measured(1000, 18)).rows_needed is None  # the limit itself: nothing settles it


def test_the_rows_that_it_asks_for_are_needed_and_explained():
    policy = parse_policy(f"version: 1\nname: x\nrules: [{{id: c, {PRICED}, at_most: 200, at_least_n: 300}}]\n")
    (need,) = needs(policy.rules[0], 0.95)  # type: ignore[arg-type]
    assert need.rows[0] == 300 and (need.rows[-1] or 0) > 300
    sentences = explain(policy).rules[0].sentences
    assert "Fewer than 300 rows cannot pass; it is inconclusive." in sentences
    assert any(sentence.startswith("The update carries the proof") for sentence in sentences)
    harm = parse_policy(f"version: 1\nname: x\nrules: [{{id: c, decide_on: harm, {PRICED}, at_most: 200}}]\n")
    assert any(sentence.startswith("The objection carries the proof") for sentence in explain(harm).rules[0].sentences)


def test_what_else_does_not_go_with_it_is_a_mistake_still():
    for key in ("by: class", "correction: holm", "at_least: 5", "of: candidate", "overrides: [{cell: a, at_most: 3}]"):
        with pytest.raises(UsageError, match=f"{key.split(':')[0]} does not go with net_cost"):
            parse_policy(f"version: 1\nname: x\nrules: [{{id: c, {PRICED}, at_most: 200, {key}}}]\n")
