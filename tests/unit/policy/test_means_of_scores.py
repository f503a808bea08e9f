"""Rules about mean loss and mean gain: judged cell by cell, corrected, waived, and told where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from gate.core.flips import FlipTable, count
from gate.core.judgement import Status
from gate.core.means import Means
from gate.core.measured import Measured
from gate.core.measures import OF_SCORES
from gate.core.outcomes import Codes, Outcomes, Scores
from gate.errors import UsageError
from gate.policy.judge import Others, discoveries, judge
from gate.policy.load import parse_policy
from gate.policy.rules import Policy
from gate.policy.waive import waived

HEAD = "version: 1\nname: x\ntask: {kind: scores, continuous: true}\nholdout: {slices: {site: {column: s}}}\n"


def policy(rule: str, more: str = "") -> Policy:
    return parse_policy(f"{HEAD}rules:\n  - {{id: r, {rule}}}\n{more}", "p.yaml")


def others(table: FlipTable, largest: float | None = None) -> tuple[Measured, Others]:
    measured = Measured(table, 0.95)
    return measured, dict.fromkeys(OF_SCORES, Means(measured, largest))


def rows(**sites: list[float] | np.ndarray) -> FlipTable:
    """By how much the score of each row of each site changed."""
    change = np.concatenate([np.asarray(part, dtype=float) for part in sites.values()])
    site = Codes(np.repeat(np.arange(len(sites)), [len(part) for part in sites.values()]), tuple(sites))
    scores = Scores(np.zeros(len(change)), change)
    none = np.zeros(len(change), dtype=bool)
    return count(Outcomes(np.arange(len(change)), change <= 0, change >= 0, none, slices={"site": site}, scores=scores))


SPREAD = -np.linspace(0.1, 0.9, 100)  # 100 losses of 0.5 on average


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("rate: mean_loss, at_most: 0.6", Status.PASS),
        ("rate: mean_loss, at_most: 0.5", Status.INCONCLUSIVE),
        ("rate: mean_loss, at_most: 0.4", Status.FAIL),
        ("rate: mean_loss, at_most: 0.5, decide_on: harm", Status.WARN),
        ("rate: mean_loss, at_most: 0.4, decide_on: harm", Status.FAIL),
        ("rate: mean_loss, at_most: 0.5001, decide_on: estimate", Status.PASS),
        ("rate: mean_loss, at_least: 0.4", Status.PASS),
        ("rate: mean_gain, at_least: 0.1", Status.INCONCLUSIVE),
        ("rate: mean_loss, at_most: 0.6, warn_above: 0.51", Status.WARN),
        ("rate: mean_loss, at_most: 0.6, at_least_n: 101", Status.INCONCLUSIVE),
        ("rate: mean_loss, at_most: 0.4, severity: warn", Status.WARN),
    ],
)
def test_the_bound_on_the_mean_is_held_against_the_limit(rule, expected):
    (one,) = judge(policy(rule).rules, *others(rows(a=SPREAD)))
    assert one.status is expected
    assert (one.rate, one.of, one.n) == (rule[6:15], None, 100 if "loss" in rule else 0)


def test_a_finding_shows_the_mean_its_bound_and_the_p_value_that_goes_with_it():
    (one,) = judge(policy("rate: mean_loss, at_most: 0.6").rules, *others(rows(a=SPREAD)))
    assert one.estimate == pytest.approx(0.5) and one.side == "upper"
    assert one.bound is not None and one.p_value is not None and one.margin == pytest.approx(0.6 - one.bound)
    assert 0.5 < one.bound < 0.6 and one.p_value < 0.05 and (one.rows_needed, one.passes_with) == (None, None)
    (known,) = judge(policy("rate: mean_loss, at_most: 0.6").rules, *others(rows(a=SPREAD), 1.0))
    assert known.status is Status.INCONCLUSIVE and known.rows_needed is not None and known.rows_needed > 20


def test_few_losses_prove_nothing_unless_it_is_known_how_large_they_can_be():
    few = rows(a=[-0.01] * 20 + [0.0] * 500)
    (blind,) = judge(policy("rate: mean_loss, at_most: 0.5").rules, *others(few))
    (seeing,) = judge(policy("rate: mean_loss, at_most: 0.5").rules, *others(few, 1.0))
    assert (blind.status, blind.bound, blind.p_value) == (Status.INCONCLUSIVE, None, 1.0)
    assert (seeing.status, seeing.n) == (Status.PASS, 20)


def test_where_nothing_is_lost_there_is_no_mean_and_nothing_is_proven():
    nothing = rows(a=np.ones(500))
    for decide_on, expected in (("proof", "inconclusive"), ("harm", "warn"), ("estimate", "inconclusive")):
        (one,) = judge(policy(f"rate: mean_loss, at_most: 0.5, decide_on: {decide_on}").rules, *others(nothing))
        assert (one.status.value, one.estimate, one.n) == (expected, None, 0)


def test_holm_corrects_it_by_cells_and_discoveries_name_them():
    table = rows(bad=2 * SPREAD, doubtful=1.12 * SPREAD, **{f"good{i}": SPREAD for i in range(6)})
    rule = "rate: mean_loss, by: site, at_most: 0.5, decide_on: harm%s"
    plain, corrected = (judge(policy(rule % more).rules, *others(table)) for more in ("", ", correction: holm"))
    assert [f.cell.value for f in plain if f.status is Status.FAIL] == ["bad", "doubtful"]
    assert [f.cell.value for f in corrected if f.status is Status.FAIL] == ["bad"]
    (found,) = discoveries(policy(rule % "").rules, *others(table))
    assert [cell.value for cell in found.cells] == ["bad"]


def test_an_override_and_a_waiver_with_another_limit_hold_for_their_cell():
    rule = "rate: mean_loss, by: site, at_most: 0.3, overrides: [{cell: b, at_most: 0.9}]"
    waiver = "waivers: [{rule: r, cell: a, up_to: 0.7, because: x, owner: y, expires: 2030-01-31}]\n"
    given = policy(rule, waiver)
    measured, means = others(rows(a=SPREAD, b=SPREAD))
    findings, (told,) = waived(given, judge(given.rules, measured, means), measured, means, "2029-01-01")
    assert [f.status for f in findings] == [Status.WAIVED, Status.PASS]
    assert told.needed
    with pytest.raises(UsageError, match="without a % sign"):
        policy("rate: mean_loss, at_most: 0.3", waiver.replace(", cell: a", "").replace("0.7", "70%"))


def test_rows_without_scores_match_no_cell_of_such_a_rule():
    measured, means = others(FlipTable())
    with pytest.raises(UsageError, match="rule 'r' matches no cell: there is no mean_loss in this held-out set"):
        judge(policy("rate: mean_loss, at_most: 0.3").rules, measured, means)


@pytest.mark.parametrize("key", ["cluster", "weight"])
def test_rows_that_are_not_independent_or_alike_have_no_bound_and_no_rule(key):
    text = HEAD.replace("slices:", f"{key}: c, slices:") + "rules: [{id: r, rate: mean_loss, at_most: 0.3}]\n"
    with pytest.raises(UsageError) as error:
        parse_policy(text)
    assert f"takes rows as independent and alike, and holdout.{key} says otherwise" in str(error.value)
