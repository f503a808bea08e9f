"""What becomes of every waiver: the finding that is taken upon oneself, how far it reaches, and how long it lasts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from gate.core.excess import Excess, beyond
from gate.core.flips import Cells, FlipCounts, FlipTable, count
from gate.core.judgement import Cell, Status, Verdict, verdict
from gate.core.measured import Measured
from gate.core.outcomes import Outcomes
from gate.errors import UsageError
from gate.policy.judge import judge
from gate.policy.load import parse_policy
from gate.policy.waive import waived

TODAY = "2026-11-22"
# against 2 %: clearly under, undecided, clearly over
CELLS = {"a": (1000, 0, 0, 0, 0), "b": (985, 15, 0, 0, 0), "c": (940, 60, 0, 0, 0)}
RULES = """\
  - {id: few, rate: nfr, at_most: 1%}
  - {id: each, rate: nfr, by: class, at_most: 2%, overrides: [{cell: a, at_most: 1%}]}
  - {id: calm, rate: churn, by: class, at_most: 2%, severity: warn}
"""


def judged(waivers: str, cells=None, rules: str = RULES, as_of: str = TODAY):
    cells = CELLS if cells is None else cells
    text = f"version: 1\nname: x\nrules:\n{rules}waivers:\n" + "".join(
        f"  - {{{one}}}\n" for one in waivers.splitlines()
    )
    policy = parse_policy(text if waivers else text.removesuffix("waivers:\n"), "p.yaml")
    pairs = list(cells.items() if isinstance(cells, Mapping) else cells)
    columns = np.array([counts for _, counts in pairs], dtype=np.int64)
    values = tuple(value for value, _ in pairs)
    table = FlipTable(FlipCounts.from_row(columns.sum(axis=0)), {"class": Cells(values, columns)})
    measured = Measured(table, 0.95)
    found, told = waived(policy, judge(policy.rules, measured), measured, {}, as_of)
    return found, told


def waiver(rule: str, cell: str = "", up_to: str = "", expires: str = "2027-01-31") -> str:
    more = (f"cell: {cell}, " if cell else "") + (f"up_to: {up_to}, " if up_to else "")
    return f"rule: {rule}, {more}because: known, owner: team, expires: {expires}"


def statuses(found) -> dict[tuple[str, object], Status]:
    return {(one.rule, one.cell.value): one.status for one in found}


def refused(waivers: str, **more) -> list[tuple[str, str, str]]:
    with pytest.raises(UsageError) as error:
        judged(waivers, **more)
    return [(problem.where, problem.found, problem.hint) for problem in error.value.problems]


def test_without_waivers_findings_are_as_they_were():
    found, told = judged("")
    assert not told
    assert statuses(found)["each", "b"] is Status.INCONCLUSIVE and statuses(found)["few", None] is Status.FAIL


def test_a_waiver_marks_what_stands_in_the_way_and_says_who_until_when_and_why():
    found, told = judged(waiver("each", "c"))
    assert statuses(found) == {
        ("few", None): Status.FAIL,
        ("each", "a"): Status.PASS,
        ("each", "b"): Status.INCONCLUSIVE,
        ("each", "c"): Status.WAIVED,
        ("calm", "a"): Status.PASS,
        ("calm", "b"): Status.WARN,
        ("calm", "c"): Status.WARN,
    }
    (one,) = (finding for finding in found if finding.status is Status.WAIVED)
    assert one.note == "waived by team until 2027-01-31: known"
    assert one.numerator == 60
    assert [(each.waiver.rule, each.needed, each.note) for each in told] == [("each", True, None)]


def test_undecided_findings_are_waived_too_and_what_is_waived_does_not_decide():
    found, _ = judged("\n".join((waiver("few"), waiver("each", "b"), waiver("each", "c"))))
    assert statuses(found)["each", "b"] is Status.WAIVED
    assert verdict(found) is Verdict.ALLOW


@pytest.mark.parametrize(("rule", "cell"), [("each", "a"), ("calm", "c")])
def test_a_waiver_of_what_does_not_stand_in_the_way_is_not_needed(rule, cell):
    found, told = judged(waiver(rule, cell))
    assert all(one.status is not Status.WAIVED for one in found)
    assert [(each.needed, each.note) for each in told] == [(False, "not needed: the finding does not stand in the way")]


@pytest.mark.parametrize(
    ("rule", "cell", "up_to", "holds"),
    [("each", "c", "8%", True), ("each", "c", "6%", False), ("each", "b", "3%", True), ("few", "", "4%", True),
     ("few", "", "2.6%", False)],
)  # fmt: skip
def test_a_waiver_reaches_up_to_its_limit_and_no_further(rule, cell, up_to, holds):
    found, told = judged(waiver(rule, cell, up_to))
    assert (statuses(found)[rule, cell or None] is Status.WAIVED) == holds
    note = None if holds else "does not reach: the finding is beyond its limit too"
    assert [(each.needed, each.note) for each in told] == [(True, note)]


def test_the_last_day_still_counts_and_the_day_after_is_told_with_its_place():
    found, told = judged(waiver("each", "c", expires=TODAY))
    assert statuses(found)["each", "c"] is Status.WAIVED
    assert told[0].note == "ends today"
    late = "\n".join(
        (waiver("each", "c", expires="2026-11-21"), waiver("few", expires="2025-01-01"), waiver("each", "b"))
    )
    hint = "renew it with a reason, or take it out"
    assert refused(late) == [
        ("p.yaml:8", "the waiver of 'each' by team expired on 2026-11-21", hint),
        ("p.yaml:9", "the waiver of 'few' by team expired on 2025-01-01", hint),
    ]


@pytest.mark.parametrize(
    ("expires", "note"),
    [("2026-11-23", "ends in 1 day"), ("2026-11-24", "ends in 2 days"), ("2026-12-06", "ends in 14 days"),
     ("2026-12-07", None)],
)  # fmt: skip
def test_two_weeks_ahead_a_waiver_says_that_it_ends(expires, note):
    _, told = judged(waiver("each", "c", expires=expires))
    assert told[0].note == note


def test_cells_that_do_not_exist_are_all_told_with_the_nearest():
    hint = "1 and '1' differ: quote the value if it is text"
    cells = {"cat": CELLS["c"], 1: CELLS["c"]}
    rules = RULES.replace("overrides: [{cell: a, at_most: 1%}]", "overrides: []")
    assert refused("\n".join((waiver("each", "catt"), waiver("each", "'1'"), waiver("each", "cat"))), cells=cells, rules=rules) == [
        ("p.yaml:8", "the waiver of 'each' names the cell 'catt', which does not exist; did you mean 'cat'?", hint),
        ("p.yaml:9", "the waiver of 'each' names the cell '1', which does not exist; did you mean '1'?", hint),
    ]  # fmt: skip


def test_a_waiver_of_1_is_not_one_of_true():
    cells = [(True, CELLS["c"]), (1, CELLS["c"])]
    rules = RULES.replace("overrides: [{cell: a, at_most: 1%}]", "overrides: [{cell: true, at_most: 3%}]")
    found, _ = judged(waiver("each", "1", up_to="8%"), cells=cells, rules=rules)
    each = [(type(one.cell.value), one.status) for one in found if one.rule == "each"]
    assert each == [(bool, Status.FAIL), (int, Status.WAIVED)]


def test_a_waiver_moves_the_limit_of_its_cell_alone_and_replaces_that_cells_override():
    cells = {"a": CELLS["c"], "b": CELLS["c"]}
    found, told = judged("\n".join((waiver("each", "a", "8%"), waiver("each", "b", "3%"))), cells=cells)
    assert [one.status for one in found if one.rule == "each"] == [Status.WAIVED, Status.FAIL]
    assert [each.note for each in told] == [None, "does not reach: the finding is beyond its limit too"]


def test_a_waiver_up_to_a_limit_that_leaves_only_a_warning_holds():
    rules = "  - {id: each, rate: nfr, by: class, at_most: 2%, decide_on: harm}\n"
    found, _ = judged(waiver("each", "c", "5.5%"), rules=rules)
    assert statuses(found)["each", "c"] is Status.WAIVED  # not proven past 5.5 %, so under harm no longer in the way


def test_a_waiver_of_a_rule_that_was_not_judged_says_so():
    policy = parse_policy(f"version: 1\nname: x\nrules:\n{RULES}waivers: [{{{waiver('few')}}}]\n")
    table = FlipTable(FlipCounts(100))
    found, told = waived(policy, [], Measured(table, 0.95), {}, TODAY)
    assert list(found) == []
    assert [(each.needed, each.note) for each in told] == [(False, "its rule was not judged")]


def test_waivers_after_one_that_is_not_needed_still_hold():
    first = parse_policy(f"version: 1\nname: x\nrules:\n{RULES}")
    assert first.waivers == ()
    found, told = judged("\n".join((waiver("each", "a"), waiver("each", "c"))))
    assert statuses(found)["each", "c"] is Status.WAIVED
    assert [each.needed for each in told] == [False, True]
    assert [one.cell for one in found if one.status is Status.WAIVED] == [Cell("class", "c")]


def test_a_waiver_of_an_excess_reaches_up_to_its_limit_of_the_excess():
    right = np.ones(2000, dtype=bool)
    at = np.arange(2000)
    old = Outcomes(at, right, right, right)
    now, again = (replace(old, candidate_right=at % every != 0, same_output=at % every != 0) for every in (20, 100))
    excess = Excess([Measured(count(beyond(now, again, churn=False)), 0.95)], 0.95)
    measured, others = Measured(count(now), 0.95), {"excess_nfr": excess}
    upper = float(excess.estimate(None, None).upper[0])
    for limit, holds in ((upper + 0.001, True), (upper - 0.001, False)):
        text = (
            "version: 1\nname: x\nholdout: {noise_floor: [seed]}\nrules: [{id: more, rate: excess_nfr, at_most: 1%}]\n"
            f"waivers: [{{{waiver('more', up_to=f'{limit * 100:.4f}%')}}}]\n"
        )
        policy = parse_policy(text)
        found, _ = waived(policy, judge(policy.rules, measured, others), measured, others, TODAY)
        assert (found[0].status is Status.WAIVED) == holds
