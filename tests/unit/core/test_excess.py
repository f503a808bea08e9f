"""The excess of flips over the noise of retraining, against a direct count."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.core.bounds import Floats
from gate.core.excess import Excess, beyond
from gate.core.flips import count
from gate.core.judgement import Status
from gate.core.measured import Measured
from gate.core.measures import OTHERS
from gate.core.outcomes import Codes, Outcomes
from gate.core.rates import rate
from gate.policy.judge import judge
from gate.policy.load import parse_policy

ANY = OTHERS["excess_nfr"]


def outcomes(old: Floats, new: Floats, label: Floats, slices: Mapping[str, Codes] | None = None) -> Outcomes:
    return Outcomes(
        ids=np.arange(len(label)),
        incumbent_right=old == label,
        candidate_right=new == label,
        same_output=old == new,
        slices=slices or {},
    )


def answers(seed: int, n: int = 500, models: int = 4) -> list[Floats]:
    random = np.random.default_rng(seed)
    return [np.zeros(n), *(random.choice(3, n, p=[0.7, 0.2, 0.1]).astype(float) for _ in range(models))]


def excess(
    label: Floats, old: Floats, new: Floats, *seeds: Floats, churn: bool, slices: Mapping[str, Codes] | None = None
) -> Excess:
    now = outcomes(old, new, label, slices)
    tables = [count(beyond(now, outcomes(old, seed, label, slices), churn)) for seed in seeds]
    return Excess([Measured(table, 1 - 0.05 / len(seeds)) for table in tables], 0.95)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.booleans())
def test_an_excess_is_the_difference_of_the_two_shares_counted_directly(seed, churn):
    label, old, new, one, two = answers(seed)
    found = excess(label, old, new, one, two, churn=churn)
    flips = [
        np.mean(old != other) if churn else np.mean((old == label) & (other != label)) for other in (new, one, two)
    ]
    assert found.estimate(ANY, None).estimate[0] == pytest.approx(flips[0] - (flips[1] + flips[2]) / 2, abs=1e-12)
    assert found.value(ANY, None)[0] == pytest.approx(flips[0] - (flips[1] + flips[2]) / 2, abs=1e-12)


def test_the_bounds_are_the_mean_of_bounds_that_hold_together():
    label, old, new, one, two = answers(3)
    found = excess(label, old, new, one, two, churn=False).estimate(ANY, None)
    now = outcomes(old, new, label)
    parts = [
        rate("error_rate_change").estimate(count(beyond(now, outcomes(old, seed, label), False)).overall, 0.975)
        for seed in (one, two)
    ]
    assert found.upper[0] == pytest.approx(np.mean([float(part.upper) for part in parts]))
    assert found.lower[0] == pytest.approx(np.mean([float(part.lower) for part in parts]))
    assert (found.confidence, found.n[0]) == (0.95, 500)
    assert found.lower[0] < found.estimate[0] < found.upper[0]


def test_identical_retrainings_change_nothing_of_the_estimate_and_widen_the_bound():
    label, old, new, one, _ = answers(4)
    alone = excess(label, old, new, one, churn=True).estimate(ANY, None)
    thrice = excess(label, old, new, one, one, one, churn=True).estimate(ANY, None)
    assert thrice.estimate[0] == pytest.approx(alone.estimate[0])
    assert thrice.upper[0] > alone.upper[0]


def test_a_candidate_that_is_one_more_retraining_has_no_excess():
    label, old, new, _, _ = answers(5)
    found = excess(label, old, new, new, churn=True).estimate(ANY, None)
    assert (found.estimate[0], found.numerator[0]) == (0.0, 0.0)
    assert found.lower[0] < 0 < found.upper[0]


def test_cells_are_judged_each_on_its_own_rows():
    label, old, new, one, two = answers(6)
    half = Codes(np.arange(500) % 2, ("even", "odd"))
    found = excess(label, old, new, one, two, churn=False, slices={"half": half})
    for cell, value in enumerate(found.estimate(ANY, "half").estimate):
        rows = np.arange(500) % 2 == cell
        part = excess(*(column[rows] for column in (label, old, new, one, two)), churn=False)
        assert value == pytest.approx(part.estimate(ANY, None).estimate[0])
    assert found.rows("half").tolist() == [250, 250]


def test_a_row_that_both_flip_is_no_excess_and_one_that_only_the_candidate_flips_is():
    label, old = np.zeros(4), np.zeros(4)
    new, seed = np.array([1.0, 1.0, 0.0, 0.0]), np.array([1.0, 0.0, 1.0, 0.0])
    table = count(beyond(outcomes(old, new, label), outcomes(old, seed, label), False))
    assert (table.overall.negative, table.overall.positive, table.overall.n) == (1, 1, 4)


def test_a_rule_on_the_excess_is_judged_by_its_bounds():
    label, old, new, one, two = answers(7, n=3_000)
    found = excess(label, old, new, one, two, churn=False)
    bounds = found.estimate(ANY, None)
    for limit, expected in ((bounds.upper[0] + 1e-4, Status.PASS), (bounds.upper[0] - 1e-4, Status.INCONCLUSIVE),
                            (bounds.lower[0] - 1e-4, Status.FAIL)):  # fmt: skip
        text = f"version: 1\nname: x\nholdout: {{noise_floor: [s]}}\nrules: [{{id: r, rate: excess_nfr, at_most: {limit * 100:.6f}%}}]\n"
        (finding,) = judge(
            parse_policy(text).rules, Measured(count(outcomes(old, new, label)), 0.95), {"excess_nfr": found}
        )
        assert finding.status is expected
        assert (finding.p_value, finding.rows_needed) == (None, None)
