"""Rule by cell to finding: who carries the proof, what turns a pass into less, and what decides the verdict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gate.core.flips import Cells, FlipCounts, FlipTable
from gate.core.judgement import Cell, DecideOn, Finding, Severity, Source, Status, Verdict, statuses, verdict
from gate.core.measured import Measured
from gate.core.rates import rate
from gate.errors import ExitCode, UsageError
from gate.policy.judge import judge
from gate.policy.load import parse_policy


def table(cells: dict[object, tuple[int, ...]], by: str = "class") -> FlipTable:
    columns = np.array([*cells.values()], dtype=np.int64).reshape(-1, 5)
    return FlipTable(FlipCounts.from_row(columns.sum(axis=0)), {by: Cells(tuple(cells), columns)})  # type: ignore[arg-type]


def judged(rules: str, cells: dict[object, tuple[int, ...]], evidence: str = "") -> tuple[Finding, ...]:
    text = f"version: 1\nname: x\nrules:\n{rules}"
    policy = parse_policy(text + (f"\nevidence: {{{evidence}}}\n" if evidence else "\n"), "p.yaml")
    return judge(policy.rules, Measured(table(cells), policy.confidence))


def status(rule: str, counts: tuple[int, ...]) -> str:
    (found,) = judged(f"  - {{id: r, {rule}}}", {"a": counts})
    return found.status.value


# 1,000 rows: 0, 20 and 60 negative flips against 2 % are clearly under, near and clearly over.
UNDER, NEAR, OVER = (1000, 0, 0, 0, 0), (985, 15, 0, 0, 0), (940, 60, 0, 0, 0)
NEAR_OVER = (976, 24, 0, 0, 0)


@pytest.mark.parametrize(
    ("decide_on", "expected"),
    [
        ("proof", ["pass", "inconclusive", "inconclusive", "fail"]),
        ("estimate", ["pass", "pass", "fail", "fail"]),
        ("harm", ["pass", "warn", "warn", "fail"]),
    ],
)
def test_who_carries_the_proof_decides_the_doubtful(decide_on, expected):
    found = [status(f"rate: nfr, at_most: 2%, decide_on: {decide_on}", c) for c in (UNDER, NEAR, NEAR_OVER, OVER)]
    assert found == expected


@pytest.mark.parametrize(
    ("decide_on", "expected"),
    [
        ("proof", ["pass", "inconclusive", "inconclusive", "fail"]),
        ("estimate", ["pass", "pass", "fail", "fail"]),
        ("harm", ["pass", "warn", "warn", "fail"]),
    ],
)
def test_at_least_is_the_mirror_image(decide_on, expected):
    found = [status(f"rate: btc, at_least: 98%, decide_on: {decide_on}", c) for c in (UNDER, NEAR, NEAR_OVER, OVER)]
    assert found == expected


def test_a_finding_shows_estimate_deciding_bound_and_margin_in_the_rates_own_unit():
    (found,) = judged("  - {id: r, rate: nfr, at_most: 2%, because: why}", {"a": OVER})
    assert (found.rule, found.rate, found.of, found.cell) == ("r", "nfr", None, Cell("overall"))
    assert (found.numerator, found.n, found.limit, found.at_most, found.because) == (60, 1000, 0.02, True, "why")
    assert (found.estimate, found.side) == (0.06, "lower")  # a failure is proven by the favourable bound
    assert found.bound is not None and 0.02 < found.bound < 0.06
    assert found.margin == pytest.approx(0.02 - found.bound)
    assert found.p_value is not None and found.p_value > 0.99
    assert (found.rows_needed, found.note, found.source) == (None, None, Source("p.yaml", 4))


@pytest.mark.parametrize(
    ("rule", "side", "of_failure"),
    [
        ("rate: nfr, at_most: 2%", "upper", "lower"),
        ("rate: nfr, at_most: 2%, decide_on: harm", "upper", "lower"),
        ("rate: nfr, at_most: 2%, decide_on: estimate", "estimate", "estimate"),
        ("rate: btc, at_least: 0.98", "lower", "upper"),
        ("rate: btc, at_least: 0.98, decide_on: harm", "lower", "upper"),
        ("rate: btc, at_least: 0.98, decide_on: estimate", "estimate", "estimate"),
    ],
)
@pytest.mark.parametrize("counts", [UNDER, NEAR, OVER])
def test_the_number_that_is_held_against_the_limit_is_the_one_that_decides(rule, side, of_failure, counts):
    (found,) = judged(f"  - {{id: r, {rule}}}", {"a": counts})
    side = of_failure if found.status is Status.FAIL else side
    bounds = rate(found.rate).estimate(FlipCounts(*counts), 0.95)
    assert found.side == side
    assert found.bound == pytest.approx(float(getattr(bounds, side)))
    assert found.margin == pytest.approx(abs(found.limit - found.bound) * (1 if found.margin > 0 else -1))
    assert (found.p_value is None) == (side == "estimate")


@pytest.mark.parametrize(("rule", "counts"), [
    ("rate: nfr, at_most: 2%", UNDER), ("rate: nfr, at_most: 2%", NEAR), ("rate: btc, at_least: 0.98", UNDER),
    ("rate: error_rate_change, at_most: 1%", (900, 5, 30, 60, 5)), ("rate: nfr, at_most: 2%, decide_on: harm", OVER),
    ("rate: btc, at_least: 0.98, decide_on: harm", OVER), ("rate: nfr, at_most: 2%, decide_on: harm", NEAR),
])  # fmt: skip
def test_the_p_value_is_small_exactly_where_the_bound_has_cleared_the_limit(rule, counts):
    (found,) = judged(f"  - {{id: r, {rule}}}", {"a": counts})
    assert found.p_value is not None and found.margin is not None
    decided = Status.PASS if "harm" not in rule else Status.FAIL
    assert (found.p_value <= 0.05) == (found.status is decided)


@pytest.mark.parametrize("decide_on", ["proof", "harm"])
@pytest.mark.parametrize("counts", [(900, 1, 30, 60, 9), (900, 8, 30, 60, 2), (900, 45, 30, 20, 5)])
def test_the_p_value_of_a_relative_rate_is_small_exactly_where_its_bound_has_cleared_the_limit(decide_on, counts):
    (found,) = judged(f"  - {{id: r, rate: relative_nfr, at_most: 0.6, decide_on: {decide_on}}}", {"a": counts})
    assert found.p_value is not None and found.bound is not None
    assert (found.p_value <= 0.05) == (found.status is (Status.PASS if decide_on == "proof" else Status.FAIL))


def test_of_relative_rates_too_holm_refuses_only_what_stands_after_the_correction():
    cells = dict.fromkeys("bcdefgh", (900, 6, 30, 60, 4)) | {"a": (935, 30, 20, 10, 5), "z": (940, 20, 20, 15, 5)}
    rule = "  - {id: r, rate: relative_nfr, by: class, at_most: 0.3, decide_on: harm%s}"
    plain, corrected = (judged(rule % more, cells) for more in ("", ", correction: holm"))
    refused = {f.cell.value: f.p_value or 0.0 for f in plain if f.status is Status.FAIL}
    assert refused.keys() == {"a", "z"} and refused["a"] < 0.05 / 9 and 0.05 / 8 < refused["z"] < 0.05
    assert [f.cell.value for f in corrected if f.status is Status.FAIL] == ["a"]
    assert corrected[-1].status is Status.WARN


def test_rules_and_cells_keep_their_order():
    found = judged(
        "  - {id: b, rate: nfr, by: class, at_most: 2%}\n  - {id: a, rate: pfr, at_least: 1%}", {"y": UNDER, "x": OVER}
    )
    assert [(f.rule, f.cell.by, f.cell.value, f.source.line) for f in found] == [
        ("b", "class", "y", 4),
        ("b", "class", "x", 4),
        ("a", "overall", None, 5),
    ]


def test_overrides_bind_the_cell_of_their_type_only():
    rules = (
        "  - {id: r, rate: nfr, by: class, at_most: 2%, overrides: [{cell: 1, at_most: 9%}, {cell: '1', at_most: 8%}]}"
    )
    found = judged(rules, {1: OVER, "1": OVER, "z": OVER})
    limits = {(type(f.cell.value), f.cell.value): f.limit for f in found}
    assert limits[int, 1] == 0.09
    assert limits[str, "1"] == 0.08
    assert limits[str, "z"] == 0.02


def test_overrides_of_true_and_1_are_different_cells():
    columns = np.array([OVER, OVER], dtype=np.int64)
    flips = FlipTable(FlipCounts.from_row(columns.sum(axis=0)), {"class": Cells((True, 1), columns)})
    text = "version: 1\nname: x\nrules: [{id: r, rate: nfr, by: class, at_most: 2%, overrides: [{cell: true, at_most: 9%}]}]\n"
    found = judge(parse_policy(text).rules, Measured(flips, 0.95))
    assert [f.limit for f in found] == [0.09, 0.02]
    assert [f.status for f in found] == [Status.PASS, Status.FAIL]


def test_an_override_may_bring_its_own_warning_and_does_not_inherit_one():
    rules = (
        "  - {id: r, rate: nfr, by: class, at_most: 2%, warn_above: 0.1%, overrides: [{cell: a, at_most: 2%},"
        " {cell: b, at_most: 2%, warn_above: 1%}, {cell: c, at_most: 3%, warn_above: 0.2%}]}"
    )
    found = judged(rules, {"a": UNDER, "b": UNDER, "c": UNDER, "d": UNDER})
    assert [f.status.value for f in found] == ["pass", "pass", "warn", "warn"]


@pytest.mark.parametrize("counts", [UNDER, (985, 0, 15, 0, 0)])
def test_a_pass_beyond_the_warning_line_is_a_warning_and_no_verdict_against(counts):
    assert status("rate: nfr, at_most: 2%, warn_above: 0.2%", counts) == "warn"
    assert status("rate: nfr, at_most: 2%, warn_above: 0.4%", counts) == "pass"
    assert status("rate: btc, at_least: 0.98, warn_below: 0.999", counts) == "warn"
    assert status("rate: btc, at_least: 0.98, warn_below: 0.99", counts) == "pass"
    assert verdict(judged("  - {id: r, rate: nfr, at_most: 2%, warn_above: 0.2%}", {"a": counts})) is Verdict.ALLOW


def test_a_warning_line_does_not_soften_a_failure():
    assert status("rate: nfr, at_most: 2%, warn_above: 1%", OVER) == "fail"
    assert status("rate: nfr, at_most: 2%, warn_above: 1%", NEAR) == "inconclusive"


@pytest.mark.parametrize("decide_on", ["proof", "estimate", "harm"])
def test_too_few_rows_turn_a_pass_into_inconclusive_and_leave_a_failure(decide_on):
    rule = f"rate: nfr, at_most: 2%, decide_on: {decide_on}, at_least_n: "
    assert status(rule + "1000", UNDER) == "pass"
    assert status(rule + "1001", UNDER) == "inconclusive"
    assert status(rule + "1001", OVER) == "fail"
    (found,) = judged(f"  - {{id: r, {rule}1200}}", {"a": UNDER})
    assert (found.rows_needed, found.note) == (200, "1000 rows, the rule asks for 1200")


def test_too_few_rows_turn_a_warning_into_inconclusive_too_since_it_would_allow():
    assert status("rate: nfr, at_most: 2%, decide_on: harm, at_least_n: 2000", NEAR) == "inconclusive"
    assert status("rate: nfr, at_most: 2%, warn_above: 0.1%, at_least_n: 2000", UNDER) == "inconclusive"


def test_an_inconclusive_finding_says_how_many_rows_more_would_settle_it():
    (found,) = judged("  - {id: r, rate: nfr, at_most: 1%}", {"a": (100, 0, 0, 0, 0)})
    assert (found.status, found.rows_needed) == (Status.INCONCLUSIVE, 199)
    (found,) = judged("  - {id: r, rate: nfr, at_most: 1%, at_least_n: 1000}", {"a": (100, 0, 0, 0, 0)})
    assert found.rows_needed == 900


def test_what_no_number_of_rows_settles_is_said_to_need_none_even_where_rows_are_lacking():
    (found,) = judged("  - {id: r, rate: nfr, at_most: 1%, at_least_n: 1000}", {"a": (99, 1, 0, 0, 0)})
    assert (found.status, found.rows_needed) == (Status.INCONCLUSIVE, None)


@pytest.mark.parametrize("decide_on", ["proof", "estimate", "harm"])
def test_a_cell_without_rows_is_inconclusive_whoever_carries_the_proof(decide_on):
    found = judged(
        f"  - {{id: r, rate: nfr, by: class, at_most: 2%, decide_on: {decide_on}}}", {"a": UNDER, "b": (0, 0, 0, 0, 0)}
    )
    assert [f.status.value for f in found] == ["pass", "inconclusive"]
    assert (found[1].estimate, found[1].n) == (None, 0)
    assert verdict(found) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("decide_on", "expected"), [("proof", "inconclusive"), ("estimate", "inconclusive"), ("harm", "warn")]
)
def test_a_candidate_without_errors_is_not_harmful_and_its_share_of_new_errors_not_proven(decide_on, expected):
    for rule in ("rate: nfi, at_most: 20%", "rate: bec, at_least: 0.8", "rate: relative_nfr, at_most: 0.5"):
        assert status(f"{rule}, decide_on: {decide_on}", (900, 0, 100, 0, 0)) == expected


def test_a_rule_that_only_warns_caps_fail_and_inconclusive_at_warn():
    for counts in (NEAR, OVER, (0, 0, 0, 0, 0)):
        assert status("rate: nfr, at_most: 2%, severity: warn", counts) == "warn"
    assert status("rate: nfr, at_most: 2%, severity: warn", UNDER) == "pass"
    (found,) = judged("  - {id: r, rate: nfr, at_most: 2%, severity: warn}", {"a": NEAR})
    assert found.rows_needed is not None  # what would settle it is still worth knowing


def test_rules_that_only_warn_allow_nothing():
    assert verdict(judged("  - {id: r, rate: nfr, at_most: 2%, severity: warn}", {"a": UNDER})) is Verdict.ERROR


def test_rules_and_overrides_that_match_no_cell_are_reported_together_with_their_lines():
    text = """\
version: 1
name: x
holdout: {slices: {region: {column: region}}}
rules:
  - {id: r, rate: nfr, by: region, at_most: 2%}
  - id: s
    rate: nfr
    by: class
    at_most: 2%
    overrides:
      - {cell: catt, at_most: 1%}
      - {cell: '1', at_most: 1%}
  - {id: t, rate: nfr, at_most: 2%}
"""
    with pytest.raises(UsageError) as error:
        judge(parse_policy(text, "p.yaml").rules, Measured(table({"cat": UNDER, 1: UNDER}), 0.95))
    assert [(p.where, p.found) for p in error.value.problems] == [
        ("p.yaml:5", "rule 'r' matches no cell: there is no region in this held-out set"),
        ("p.yaml:11", "rule 's': override for 'catt', which is no class of this held-out set; did you mean 'cat'?"),
        ("p.yaml:12", "rule 's': override for '1', which is no class of this held-out set; did you mean '1'?"),
    ]
    assert "1 and '1' differ" in error.value.problems[2].hint
    assert error.value.exit_code is ExitCode.USAGE


def test_a_dimension_without_cells_is_matched_by_no_rule():
    flips = FlipTable(FlipCounts(1), {"class": Cells((), np.zeros((0, 5), dtype=np.int64))})
    with pytest.raises(UsageError, match="matches no cell"):
        judge(
            parse_policy("version: 1\nname: x\nrules: [{id: r, rate: nfr, by: class, at_most: 2%}]").rules,
            Measured(flips, 0.9),
        )


def test_no_rules_find_nothing_and_nothing_is_allowed():
    assert judge([], Measured(FlipTable(), 0.95)) == ()
    assert verdict([]) is Verdict.ERROR


# the verdict


def finding(of: Status, severity: Severity = Severity.ENFORCE) -> Finding:
    (one,) = judged("  - {id: r, rate: nfr, at_most: 2%}", {"a": UNDER})
    return replace(one, status=of, severity=severity)


ORDER = [Status.PASS, Status.INCONCLUSIVE, Status.FAIL, Status.ERROR]
VERDICTS = [Verdict.ALLOW, Verdict.INCONCLUSIVE, Verdict.REFUSE, Verdict.ERROR]


@pytest.mark.parametrize("worst", range(4))
def test_the_worst_enforced_finding_is_the_verdict(worst):
    findings = [finding(status) for status in ORDER[: worst + 1]]
    assert verdict(findings) is verdict(findings[::-1]) is VERDICTS[worst]


def test_warnings_allow_and_waived_findings_are_not_passes():
    assert verdict([finding(Status.WARN)]) is Verdict.ALLOW
    assert verdict([finding(Status.WAIVED), finding(Status.PASS)]) is Verdict.ALLOW
    assert verdict([finding(Status.WAIVED)]) is Verdict.ERROR


def test_a_rule_that_warns_decides_nothing_but_its_error_does():
    warning = Severity.WARN
    assert verdict([finding(Status.PASS), finding(Status.WARN, warning)]) is Verdict.ALLOW
    assert verdict([finding(Status.PASS), finding(Status.ERROR, warning)]) is Verdict.ERROR


def test_only_an_allow_exits_with_0():
    assert [v.exit_code for v in VERDICTS] == [0, 11, 10, 12]


@pytest.mark.parametrize("decide_on", DecideOn)
@pytest.mark.parametrize("at_most", [True, False])
def test_a_bound_that_lies_on_the_limit_keeps_it(decide_on, at_most):
    on = np.array([0.5])
    found = statuses(decide_on, at_most, on, on, on, on, np.array([10]))
    assert found.tolist() == [Status.PASS]
