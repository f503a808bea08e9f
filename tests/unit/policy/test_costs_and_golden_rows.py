"""What the flips cost and whether golden rows flipped, finding by finding, against the arithmetic written out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from gate.core.bounds import clopper_pearson
from gate.core.flips import count
from gate.core.judgement import Cell, DecideOn, Finding, Severity, Source, Status
from gate.core.measured import Measured
from gate.core.outcomes import Codes, Outcomes
from gate.errors import UsageError
from gate.policy.judge import judge
from gate.policy.load import parse_policy

Answers = tuple[object, object, object]
Flips = Mapping[Answers, int] | Sequence[tuple[Answers, int]]

# label, incumbent's answer, candidate's answer: how many rows
FLIPS = {
    ("fraud", "fraud", "legit"): 6,  # 250 each
    ("legit", "legit", "fraud"): 10,  # 3 each
    ("legit", "fraud", "legit"): 30,  # saves 4.5 each
    ("fraud", "legit", "fraud"): 4,  # mended, but of no price
    ("fraud", "fraud", "fraud"): 500,
    ("legit", "legit", "legit"): 1400,
    ("fraud", "legit", "legit"): 50,
}
ROWS = sum(FLIPS.values())
KINDS = (
    "negative: [{label: fraud, output: legit, cost: 250}, {label: legit, output: fraud, cost: 3}],"
    " positive: [{label: legit, output: fraud, gain: 4.5}]"
)


def measured(flips: Flips, golden: list[bool] | None = None) -> Measured:
    pairs = flips.items() if isinstance(flips, Mapping) else flips
    rows = [answers for answers, n in pairs for _ in range(n)]
    everything = Codes.of([one for row in rows for one in row])
    label, old, new = (Codes(everything.codes[side::3], everything.values) for side in range(3))
    slices = {} if golden is None else {"golden set gold": Codes(np.where(golden, 0, -1), (True,))}
    outcomes = Outcomes(
        np.arange(len(rows)),
        label.codes == old.codes,
        label.codes == new.codes,
        old.codes == new.codes,
        label,
        old,
        new,
        slices=slices,
    )
    return Measured(count(outcomes), 0.95)


def found(rule: str, of: Measured) -> Finding:
    text = f"version: 1\nname: x\ntask: {{classes: [fraud, legit]}}\nrules:\n  - {{id: gold, {rule}}}\n"
    (one,) = judge(parse_policy(text, "p.yaml").rules, of)
    return one


def cost(limit: float, more: str = "", per: int = 1000, of: Flips = FLIPS) -> Finding:
    return found(f"net_cost: {{per: {per}, {KINDS}}}, at_most: {limit}{more}", measured(of))


def bounds(per: int = 1000) -> tuple[float, float, float]:
    seen, worth = np.array([6, 10, 30.0]), np.array([250.0, 3, -4.5]) * per
    each = clopper_pearson(seen, float(ROWS), 1 - 0.05 / 3)
    estimate = float(worth @ seen) / ROWS
    lower = worth @ np.array([each.lower[0], each.lower[1], each.upper[2]])
    upper = worth @ np.array([each.upper[0], each.upper[1], each.lower[2]])
    return float(lower), estimate, float(upper)


def test_a_cost_is_what_each_kind_of_flip_costs_less_what_it_saves_with_the_error_split_over_the_kinds():
    lower, estimate, upper = bounds()
    assert estimate == pytest.approx((6 * 250 + 10 * 3 - 30 * 4.5) / ROWS * 1000)
    one = cost(3000)
    assert (one.rule, one.rate, one.of, one.cell) == ("gold", "net_cost", None, Cell("overall"))
    assert (one.n, one.numerator, one.limit, one.at_most) == (ROWS, 46, 3000.0, True)
    assert one.estimate == pytest.approx(estimate)
    assert (one.side, one.bound) == ("upper", pytest.approx(upper))
    assert one.margin == pytest.approx(3000 - upper)
    assert (one.p_value, one.rows_needed, one.passes_with, one.because) == (None, None, None, None)
    assert one.note == "for 1,000 rows; each of 3 kinds of flips bounded on its own"
    assert one.source == Source("p.yaml", 5)
    assert (one.severity, one.decide_on, one.status) == (Severity.ENFORCE, DecideOn.PROOF, Status.PASS)
    assert lower < estimate < upper


@pytest.mark.parametrize(
    ("decide_on", "expected"),
    [
        ("proof", ["pass", "inconclusive", "inconclusive", "fail"]),
        ("estimate", ["pass", "pass", "fail", "fail"]),
        ("harm", ["pass", "warn", "warn", "fail"]),
    ],
)
def test_who_carries_the_proof_decides_of_a_cost_as_of_a_rate(decide_on, expected):
    lower, estimate, upper = bounds()
    limits = [upper + 1e-6, estimate + 1e-6, estimate - 1e-6, lower - 1e-6]
    findings = [
        judge(
            parse_policy(
                f"version: 1\nname: x\nevidence: {{decide_on: {decide_on}}}\n"
                f"rules: [{{id: a, net_cost: {{per: 1000, {KINDS}}}, at_most: {limit!r}}}]"
            ).rules,
            measured(FLIPS),
        )[0]
        for limit in limits
    ]
    assert [one.status.value for one in findings] == expected
    for one, limit in zip(findings, limits, strict=True):
        side = "estimate" if decide_on == "estimate" else "lower" if one.status is Status.FAIL else "upper"
        assert one.side == side
        assert one.bound == pytest.approx({"lower": lower, "estimate": estimate, "upper": upper}[side])
        assert one.margin == pytest.approx(limit - one.bound)


def test_a_cost_is_for_as_many_rows_as_the_rule_says():
    one = cost(1e6, per=50_000)
    assert one.estimate == pytest.approx(bounds(50_000)[1])
    assert one.bound == pytest.approx(50 * bounds(1000)[2])
    assert one.note == "for 50,000 rows; each of 3 kinds of flips bounded on its own"


def test_a_cost_past_its_warning_line_is_a_warning_and_softens_no_failure():
    lower, _, upper = bounds()
    assert cost(upper + 9, f", warn_above: {upper - 1e-6!r}").status is Status.WARN
    assert cost(upper + 9, f", warn_above: {upper + 1e-6!r}").status is Status.PASS
    assert cost(lower - 1, f", warn_above: {lower - 2!r}").status is Status.FAIL


def test_a_cost_that_only_warns_never_stands_in_the_way():
    lower, estimate, upper = bounds()
    for limit, expected in ((upper + 1, Status.PASS), (estimate, Status.WARN), (lower - 1, Status.WARN)):
        one = cost(limit, ", severity: warn, because: dear")
        assert (one.status, one.severity, one.because) == (expected, Severity.WARN, "dear")


def test_flips_that_were_not_seen_may_still_cost():
    calm = {("fraud", "fraud", "fraud"): 500, ("legit", "legit", "legit"): 500}
    one = cost(1, of=calm)
    unseen = float(clopper_pearson(0, 1000, 1 - 0.05 / 3).upper)
    assert (one.estimate, one.numerator, one.status) == (0.0, 0, Status.INCONCLUSIVE)
    assert one.bound == pytest.approx(1000 * (250 + 3) * unseen)


def test_without_rows_a_cost_is_unknown():
    empty = measured({("fraud", "fraud", "fraud"): 1, ("legit", "legit", "legit"): 1})
    none = Measured(count(Outcomes(np.arange(0), *(np.zeros(0, dtype=bool),) * 3, *(Codes(np.zeros(0, dtype=int), empty.cells("class").values),) * 3)), 0.95)  # fmt: skip
    one = found(f"net_cost: {{per: 1000, {KINDS}}}, at_most: 5", none)
    assert (one.status, one.estimate, one.n) == (Status.INCONCLUSIVE, None, 0)


def test_prices_of_1_and_true_are_of_different_classes():
    rows = [((1, 1, 2), 3), ((True, True, 2), 5), ((2, 2, 2), 100), ((1, 2, 2), 1)]
    text = "version: 1\nname: x\nrules: [{id: a, net_cost: {per: 1, negative: [{label: 1, output: 2, cost: 9}]}, at_most: 8}]"
    (one,) = judge(parse_policy(text).rules, measured(rows))
    assert one.numerator == 3


def test_prices_of_classes_that_are_not_there_are_all_told_with_the_nearest():
    text = (
        "version: 1\nname: x\nrules:\n"
        "  - {id: a, net_cost: {per: 1, negative: [{label: fraudd, output: legit, cost: 9}],"
        " positive: [{label: legit, output: 1, gain: 2}]}, at_most: 8}\n"
    )
    with pytest.raises(UsageError) as error:
        judge(parse_policy(text, "p.yaml").rules, measured(FLIPS))
    assert [(p.where, p.found, p.hint) for p in error.value.problems] == [
        ("p.yaml:4", "rule 'a': label 'fraudd', which is no class of this held-out set; did you mean 'fraud'?",
         "1 and '1' differ: quote the value if it is text"),
        ("p.yaml:4", "rule 'a': output 1, which is no class of this held-out set; one of: 'fraud', 'legit'",
         "1 and '1' differ: quote the value if it is text"),
    ]  # fmt: skip


def test_an_answer_that_is_no_label_may_have_a_price():
    rows = {("fraud", "fraud", "unsure"): 2, ("fraud", "fraud", "fraud"): 9, ("legit", "legit", "legit"): 9}
    text = "version: 1\nname: x\nrules: [{id: a, net_cost: {per: 1, negative: [{label: fraud, output: unsure, cost: 9}]}, at_most: 8}]"
    (one,) = judge(parse_policy(text).rules, measured(rows))
    assert one.numerator == 2


def test_a_cost_without_classes_matches_nothing():
    right = np.ones(3, dtype=bool)
    bare = Measured(count(Outcomes(np.arange(3), right, right, right)), 0.95)
    with pytest.raises(
        UsageError, match="rule 'gold' matches no cell: there is no class in this held-out set"
    ) as error:
        found(f"net_cost: {{per: 1, {KINDS}}}, at_most: 5", bare)
    assert error.value.problems[0].where == "p.yaml:5"


# golden rows


def golden(flipped: int, kept: int, more: str = "") -> Finding:
    flips = {("fraud", "fraud", "legit"): 5, ("legit", "legit", "legit"): 95, ("legit", "fraud", "legit"): 3}
    marks = [True] * flipped + [False] * (5 - flipped) + [True] * kept + [False] * (98 - kept)
    return found(f"must_not_regress: ids.csv{more}", measured(flips, marks))


def test_a_golden_row_that_flips_fails_however_few():
    one = golden(1, 49, ", because: promised")
    assert (one.status, one.n, one.numerator, one.limit, one.at_most) == (Status.FAIL, 50, 1, 0.0, True)
    assert (one.estimate, one.bound, one.margin, one.side) == (0.02, 0.02, -0.02, "estimate")
    assert (one.rate, one.of, one.cell, one.decide_on) == (
        "nfr",
        None,
        Cell("golden set gold", True),
        DecideOn.ESTIMATE,
    )
    assert (one.p_value, one.rows_needed, one.passes_with, one.because) == (None, None, 0, "promised")
    assert (one.note, one.source, one.rule) == (
        "none of these rows may be a negative flip",
        Source("p.yaml", 5),
        "gold",
    )
    assert one.severity is Severity.ENFORCE


def test_golden_rows_that_stay_right_pass_and_rows_that_are_mended_do_no_harm():
    one = golden(0, 98)
    assert (one.status, one.n, one.numerator, one.estimate, one.passes_with) == (Status.PASS, 98, 0, 0.0, None)
    assert (one.bound, one.margin) == (0.0, 0.0)


def test_a_golden_set_without_rows_is_inconclusive():
    one = golden(0, 0)
    assert (one.status, one.n, one.numerator, one.estimate, one.bound, one.margin) == (
        Status.INCONCLUSIVE, 0, 0, None, None, None,
    )  # fmt: skip
    nowhere = found("must_not_regress: ids.csv", measured(FLIPS))
    assert (nowhere.status, nowhere.n, nowhere.numerator, nowhere.estimate) == (Status.INCONCLUSIVE, 0, 0, None)


def test_golden_rows_of_a_rule_that_warns_only_warn():
    assert golden(1, 9, ", severity: warn").status is Status.WARN
    assert golden(0, 0, ", severity: warn").status is Status.WARN
    assert golden(0, 9, ", severity: warn").status is Status.PASS
    assert golden(1, 9, ", severity: warn").severity is Severity.WARN
