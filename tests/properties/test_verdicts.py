"""Breaking one more row never improves a verdict, whoever carries the proof."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from gate.core.flips import Cells, FlipCounts, FlipTable
from gate.core.judgement import DecideOn, Severity, Source, Verdict, verdict
from gate.core.measured import Measured
from gate.core.rates import RATES, Rate
from gate.policy.judge import judge
from gate.policy.rules import Rule, Threshold

fast = settings(deadline=None, max_examples=50)

BETTER_TO_WORSE = (Verdict.ALLOW, Verdict.INCONCLUSIVE, Verdict.REFUSE, Verdict.ERROR)
number = st.one_of(st.integers(0, 4), st.integers(0, 300))
cell = st.tuples(number, number, number, number, number)


def rule(kind: Rate, limit: float, decide_on: DecideOn, **changes: object) -> Rule:
    given = {
        "id": "r",
        "rate": kind,
        "by": "class",
        "at_most": kind.harmful,
        "threshold": Threshold(limit),
        "overrides": (),
        "at_least_n": None,
        "decide_on": decide_on,
        "severity": Severity.ENFORCE,
        "because": None,
        "source": Source("policy.yaml", 1),
    }
    return Rule(**{**given, **changes})  # type: ignore[arg-type]


def table(cells: list[tuple[int, ...]]) -> FlipTable:
    columns = np.array(cells, dtype=np.int64)
    return FlipTable(FlipCounts.from_row(columns.sum(axis=0)), {"class": Cells(tuple(range(len(cells))), columns)})


def judged(rules: list[Rule], cells: list[tuple[int, ...]], confidence: float = 0.95) -> Verdict:
    return verdict(judge(rules, Measured(table(cells), confidence)))


def broken(cells: list[tuple[int, ...]], at: int) -> list[tuple[int, ...]]:
    a, b, *rest = cells[at]
    return [*cells[:at], (a - 1, b + 1, *rest), *cells[at + 1 :]]


@pytest.mark.parametrize("decide_on", DecideOn)
@pytest.mark.parametrize("kind", RATES.values(), ids=lambda kind: f"{kind.name}-{kind.of}")
@fast
@given(data=st.data())
def test_moving_a_row_from_both_right_to_negative_flip_never_improves_a_verdict(kind: Rate, decide_on, data):
    cells = data.draw(st.lists(cell, min_size=1, max_size=3))
    by = data.draw(st.sampled_from([None, "class"]))
    # A relative NFR of one or more is worse than chance: such a limit allows everything, and what an undefined one means
    # there is a matter of taste.
    limit = data.draw(st.floats(max(kind.low, -0.5), 0.999))
    at_least_n = data.draw(st.sampled_from([None, 1, 20, 200]))
    at = data.draw(st.integers(0, len(cells) - 1))
    assume(cells[at][0] > 0)
    rules = [rule(kind, limit, decide_on, by=by, at_least_n=at_least_n)]
    before, after = judged(rules, cells), judged(rules, broken(cells, at))
    assert BETTER_TO_WORSE.index(after) >= BETTER_TO_WORSE.index(before)


@fast
@given(
    st.lists(cell, min_size=1, max_size=3),
    st.lists(
        st.tuples(
            st.sampled_from(list(RATES.values())),
            st.floats(0, 0.99),
            st.sampled_from(DecideOn),
            st.sampled_from([None, "class"]),
            st.sampled_from(Severity),
        ),
        min_size=1,
        max_size=4,
    ),
    st.data(),
)
def test_nor_does_it_under_several_rules_at_once(cells, drawn, data):
    at = data.draw(st.integers(0, len(cells) - 1))
    assume(cells[at][0] > 0)
    rules = [rule(kind, limit, decide_on, by=by, severity=sev) for kind, limit, decide_on, by, sev in drawn]
    before, after = judged(rules, cells), judged(rules, broken(cells, at))
    assert BETTER_TO_WORSE.index(after) >= BETTER_TO_WORSE.index(before)


@fast
@given(st.lists(cell, min_size=1, max_size=4), st.data())
def test_more_confidence_never_turns_a_refusal_by_proof_into_an_allow_nor_back(cells, data):
    kind = data.draw(st.sampled_from(list(RATES.values())))
    rules = [rule(kind, data.draw(st.floats(0.001, 0.999)), DecideOn.PROOF)]
    lenient, strict = judged(rules, cells, 0.9), judged(rules, cells, 0.99)
    assert {lenient, strict} != {Verdict.ALLOW, Verdict.REFUSE}
    assert strict in (lenient, Verdict.INCONCLUSIVE)


@fast
@given(cell, st.floats(0.001, 0.999))
@example((300, 0, 0, 0, 0), 0.01)
def test_an_allow_by_proof_is_an_allow_by_estimate_and_by_harm(one, limit):
    for kind in RATES.values():
        if judged([rule(kind, limit, DecideOn.PROOF)], [one]) is Verdict.ALLOW:
            assert judged([rule(kind, limit, DecideOn.HARM)], [one]) is Verdict.ALLOW
            assert judged([rule(kind, limit, DecideOn.ESTIMATE)], [one]) is Verdict.ALLOW


@fast
@given(st.permutations([(290, 3, 9, 4, 4), (50, 0, 0, 1, 0), (0, 0, 0, 0, 0), (10, 10, 0, 0, 0)]))
def test_the_verdict_does_not_depend_on_the_order_of_the_cells(cells):
    nfr = RATES["nfr", None]
    for decide_on in DecideOn:
        assert judged([rule(nfr, 0.03, decide_on)], cells) is judged([rule(nfr, 0.03, decide_on)], sorted(cells))


def test_wrong_allows_by_proof_stay_within_the_promised_error():
    """Enumerated, not sampled: true NFR at the limit, every number of flips weighed by its probability."""
    n, limit = 400, 0.02
    flips = np.arange(n + 1)
    log_choose = np.cumsum(np.r_[0.0, np.log((n - flips[:-1]) / (flips[:-1] + 1))])
    probability = np.exp(log_choose + flips * np.log(limit) + (n - flips) * np.log1p(-limit))
    cells = [(n - k, k, 0, 0, 0) for k in flips.tolist()]
    found = judge([rule(RATES["nfr", None], limit, DecideOn.PROOF)], Measured(table(cells), 0.95))
    allowed = np.array([finding.status.value == "pass" for finding in found])
    refused = np.array([finding.status.value == "fail" for finding in found])
    assert 0.0 < probability[allowed].sum() <= 0.05
    assert 0.0 < probability[refused].sum() <= 0.05
