"""What a rule takes: rows that prove its limit, rows for a power, flips that refuse it, each as trying finds it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gate.core.bounds import clopper_pearson
from gate.core.counts import FlipCounts
from gate.core.judgement import DecideOn, Source
from gate.core.measures import OTHERS
from gate.core.paired import tango
from gate.core.rates import rate
from gate.core.sample_size import rows_for_power, rows_to_certify
from gate.policy.load import parse_policy
from gate.policy.needs import FLIPS, Need, Power, fewest_rows, needs, power_at, refused_from, rows_that_prove
from gate.policy.rules import Cost, Rule

NFR, BTC, CHANGE, RATIO = rate("nfr"), rate("btc"), rate("error_rate_change"), rate("error_rate_ratio")


def stated(rule: str) -> list[Need]:
    (one,) = parse_policy(f"version: 1\nname: x\nrules:\n  - {{id: few, {rule}}}\n", "p.yaml").rules
    assert isinstance(one, (Rule, Cost))
    return list(needs(one, 0.95))


def test_a_rule_needs_the_rows_that_certify_its_limit_with_so_many_flips():
    (need,) = stated("rate: nfr, at_most: 2%")
    assert FLIPS == (0, 1, 2, 5)
    assert need.rows == tuple(rows_to_certify(0.02, k) for k in FLIPS)
    assert need.power == Power(0.8, 0.01, *rows_for_power(0.02, 0.01))
    assert (need.rule, need.by, need.of_cell, need.cell) == ("few", None, False, None)
    assert (need.limit, need.percent, need.at_most) == (0.02, True, True)
    assert (need.decide_on, need.source) == (DecideOn.PROOF, Source("p.yaml", 4))


def test_each_override_has_a_need_of_its_own_behind_that_of_the_rule():
    first, cat, one = stated(
        "rate: btc, by: class, at_least: 0.9, decide_on: harm, overrides: [{cell: cat, at_least: 0.8}, {cell: 1, at_least: 0.7}]"
    )
    assert [(need.of_cell, need.cell, need.limit) for need in (first, cat, one)] == [
        (False, None, 0.9),
        (True, "cat", 0.8),
        (True, 1, 0.7),
    ]
    for need, limit in ((first, 0.1), (cat, 0.2), (one, 0.3)):
        assert need.rows == tuple(rows_to_certify(limit, k) for k in FLIPS)
        assert need.power is not None
        assert (need.power.rate, need.power.first) == (
            pytest.approx(1 - limit / 2),
            rows_for_power(limit, limit / 2)[0],
        )
        assert (need.by, need.at_most, need.percent, need.decide_on) == ("class", False, False, DecideOn.HARM)


def test_rows_that_the_rule_asks_for_anyway_are_needed_at_least():
    (plain,) = stated("rate: nfr, at_most: 2%")
    (asking,) = stated("rate: nfr, at_most: 2%, at_least_n: 300")
    assert asking.rows == tuple(max(300, rows) for rows in plain.rows if rows is not None)
    assert asking.power == plain.power
    (many,) = stated("rate: nfr, at_most: 2%, at_least_n: 100000")
    assert many.rows == (100_000,) * 4
    assert many.power is not None and (many.power.first, many.power.always) == (100_000, 100_000)


@pytest.mark.parametrize("rule", ["rate: relative_nfr, at_most: 0.5", "rate: error_rate_change, at_least: 1%"])
def test_what_depends_on_more_than_flips_needs_nothing_that_can_be_said(rule):
    (need,) = stated(rule)
    assert (need.rows, need.power) == ((None,) * 4, None)


def test_a_change_needs_the_first_size_at_which_tangos_bound_clears_its_limit():
    for limit, flips in ((0.02, 0), (0.02, 3), (0.3, 1), (0.3, 0)):
        sizes = np.arange(max(flips, 1), 2000)
        clear = np.asarray(tango(flips, 0, sizes, 0.95).upper) <= limit
        assert rows_that_prove(CHANGE, limit, True, flips, 0.95) == int(sizes[clear][0])
    assert rows_that_prove(CHANGE, 0.8, True, 0, 0.95) == 1
    assert rows_that_prove(CHANGE, 0.0, True, 0, 0.95) is None
    assert rows_that_prove(CHANGE, -0.01, True, 0, 0.95) is None


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_a_limit_from_below_needs_what_its_opposite_needs(confidence):
    for limit, flips in ((0.01, 0), (0.1, 2), (0.4, 5)):
        expected = rows_to_certify(limit, flips, confidence)
        assert rows_that_prove(NFR, limit, True, flips, confidence) == expected
        assert rows_that_prove(BTC, 1 - limit, False, flips, confidence) == expected


def test_the_ends_of_the_range_need_no_rows_or_none_will_do():
    assert rows_that_prove(NFR, 1.0, True, 0, 0.95) == 1
    assert rows_that_prove(NFR, 1.0, True, 4, 0.95) == 4
    assert rows_that_prove(BTC, 0.0, False, 0, 0.95) == 1
    assert rows_that_prove(NFR, 0.0, True, 0, 0.95) is None
    assert rows_that_prove(BTC, 1.0, False, 0, 0.95) is None


@pytest.mark.parametrize("of", [RATIO, OTHERS["excess_nfr"]], ids=["ratio", "excess"])
def test_of_ratios_and_excesses_no_number_of_rows_is_said(of):
    assert rows_that_prove(of, 0.5, True, 0, 0.95) is None
    assert power_at(of, 0.5, True, None, 0.8, 0.95) is None
    assert refused_from(of, 0.5, True, 100, 0.95) is None


def test_power_is_that_of_the_rate_that_is_expected_or_of_half_the_limit():
    assert power_at(NFR, 0.04, True, 0.03, 0.9, 0.99) == Power(0.9, 0.03, *rows_for_power(0.04, 0.03, 0.9, 0.99))
    assert power_at(NFR, 0.04, True, 0.0, 0.8, 0.95) == Power(0.8, 0.0, *rows_for_power(0.04, 0.0))
    below = power_at(BTC, 0.75, False, 0.875, 0.8, 0.95)
    assert below == Power(0.8, 0.875, *rows_for_power(0.25, 0.125))
    assert power_at(BTC, 0.75, False, None, 0.8, 0.95) == below


@pytest.mark.parametrize(
    ("limit", "at_most", "expected"),
    [
        (0.0, True, None), (1.0, True, None), (1.0, False, None), (0.0, False, None),
        (0.04, True, 0.04), (0.04, True, 0.05), (0.04, True, -0.01), (0.75, False, 0.7), (0.75, False, 1.01),
        (1e-5, True, None),  # millions of rows
    ],
)  # fmt: skip
def test_no_power_is_said_of_what_cannot_be_shown_or_takes_millions_of_rows(limit, at_most, expected):
    kind = NFR if at_most else BTC
    assert power_at(kind, limit, at_most, expected, 0.8, 0.95) is None


@pytest.mark.parametrize("rows", [1, 2, 40, 300])
@pytest.mark.parametrize("limit", [0.005, 0.03, 0.5, 0.97])
@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_a_rule_refuses_from_the_first_number_of_flips_that_is_too_rare_at_its_limit(rows, limit, confidence):
    past = [k for k in range(1, rows + 1) if stats.binom.sf(k - 1, rows, limit) < 1 - confidence]
    expected = past[0] if past else None
    assert refused_from(NFR, limit, True, rows, confidence) == expected
    assert refused_from(BTC, 1 - limit, False, rows, confidence) == expected
    if expected is not None:
        assert float(clopper_pearson(expected, rows, confidence).lower) > limit
        assert float(clopper_pearson(expected - 1, rows, confidence).lower) <= limit


def test_a_limit_of_everything_refuses_nothing():
    assert refused_from(NFR, 1.0, True, 50, 0.95) is None
    assert refused_from(BTC, 0.0, False, 50, 0.95) is None


def test_a_cost_needs_the_rows_that_bound_its_dearest_flips_first():
    negative = "[{label: a, output: b, cost: 2}, {label: b, output: a, cost: 50}]"
    (need,) = stated(
        f"net_cost: {{per: 100, negative: {negative}, positive: [{{label: a, output: b, gain: 1}}]}}, at_most: 20"
    )
    assert (need.limit, need.percent, need.at_most, need.power) == (20.0, False, True, None)
    assert need.decide_on is DecideOn.PROOF
    assert (need.rule, need.by, need.of_cell, need.cell, need.source) == ("few", None, False, None, Source("p.yaml", 4))
    for flips, rows in zip(FLIPS, need.rows, strict=True):
        assert rows is not None

        def upper(n: int, seen: int = flips) -> float:
            found = clopper_pearson([seen, 0], float(n), 1 - 0.05 / 3).upper
            return float(100 * (50 * found[0] + 2 * found[1]))

        assert upper(rows) <= 20 < upper(rows - 1)


def test_a_cost_below_what_any_number_of_rows_can_prove_needs_none_that_there_are():
    (need,) = stated("net_cost: {per: 1000, negative: [{label: a, output: b, cost: 1000}]}, at_most: 0.0000001")
    assert need.rows == (None,) * 4


def test_a_cost_that_can_hardly_be_broken_needs_one_row():
    (need,) = stated("net_cost: {per: 1, negative: [{label: a, output: b, cost: 1}]}, at_most: 5")
    assert need.rows == (1, 1, 2, 5)


@pytest.mark.parametrize(
    ("limit", "at_most", "proven"),
    [
        (0.5, True, True),
        (0.9, True, True),
        (1.5, True, False),
        (0.6, True, False),
        (0.6, False, True),
        (0.5, False, False),
    ],
)
def test_a_relative_rate_needs_the_fewest_rows_among_all_answers_that_there_could_be(limit, at_most, proven):
    relative = rate("relative_nfr")
    rows = fewest_rows(relative, limit, at_most, proven, 0.8)
    assert rows is not None and 2 < rows < 60
    for n, expected in ((rows - 1, False), (rows, True)):
        # negative flips, rows that both get wrong, rows that are mended: all there could be
        flips, wrong, mended = (part.ravel() for part in np.meshgrid(*(np.arange(n + 1),) * 3))
        some = flips + wrong + mended <= n
        flips, wrong, mended = flips[some], wrong[some], mended[some]
        counts = FlipCounts(n - flips - wrong - mended, flips, mended, wrong, np.zeros_like(wrong))
        lower, upper = relative.bounds(counts, 0.8)
        kept, broken = (upper <= limit, lower > limit) if at_most else (lower >= limit, upper < limit)
        assert bool((kept if proven else broken).any()) == expected
