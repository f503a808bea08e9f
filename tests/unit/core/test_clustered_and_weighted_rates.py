"""What rows are worth that come in clusters or weigh unequally: the design effect, its ends, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest

from gate.core.bounds import clopper_pearson
from gate.core.clusters import spread
from gate.core.effective import FEWEST_CLUSTERS
from gate.core.flips import FlipTable, count
from gate.core.measured import Measured
from gate.core.outcomes import Codes, Outcomes, Scores
from gate.core.paired import tango
from gate.core.rates import RATES, rate

NFR, CHANGE, RELATIVE, BTC = rate("nfr"), rate("error_rate_change"), rate("relative_nfr"), rate("btc")
ASKED = np.array([True])


def table(flipped, cluster=None, weight=None, gained=None, wrong=None) -> FlipTable:
    """One table of rows that are both right, but for those flipped, gained, or wrong twice."""
    flipped = np.asarray(flipped, dtype=bool)
    nothing = np.zeros(len(flipped), dtype=bool)
    gained = nothing if gained is None else np.asarray(gained, dtype=bool)
    wrong = nothing if wrong is None else np.asarray(wrong, dtype=bool)
    return count(
        Outcomes(
            ids=np.arange(len(flipped)),
            incumbent_right=~(gained | wrong),
            candidate_right=~(flipped | wrong),
            same_output=~(flipped | gained),
            cluster=None if cluster is None else Codes.of([int(x) for x in cluster]),
            weight=None if weight is None else np.asarray(weight, dtype=float),
        )
    )


def measured(*args, **more) -> Measured:
    return Measured(table(*args, **more), 0.95)


def one(found) -> tuple[float, float, float]:
    return float(found.lower[0]), float(found.upper[0]), float(found.effective_n[0])


def test_the_variance_between_clusters_is_the_formula_of_the_definitions():
    random = np.random.default_rng(5)
    b, n = random.integers(0, 4, 40), random.integers(4, 12, 40)
    p, k = b.sum() / n.sum(), len(n)
    found = spread(b, n, np.zeros(40, dtype=np.int64), 1)
    assert found.variance[0] == pytest.approx(k / (k - 1) * ((b - n * p) ** 2).sum() / n.sum() ** 2, rel=1e-12)
    assert found.clusters[0] == 40


def test_clusters_without_rows_that_the_rate_divides_by_do_not_count():
    found = spread(np.array([1, 0, 0]), np.array([2, 3, 0]), np.zeros(3, dtype=np.int64), 1)
    assert found.clusters[0] == 2


def test_with_many_flips_the_bounds_are_clopper_pearson_on_n_over_the_design_effect():
    random = np.random.default_rng(1)
    cluster = np.repeat(np.arange(400), 10)
    flipped = random.random(4000) < random.beta(1, 3, 400)[cluster]
    lower, upper, worth = one(measured(flipped, cluster).estimate(NFR, None))
    p = flipped.mean()
    hits = np.bincount(cluster, weights=flipped)
    deff = 400 / 399 * ((hits - 10 * p) ** 2).sum() / 4000**2 / (p * (1 - p) / 4000)
    assert deff > 2
    assert worth == pytest.approx(4000 / deff, rel=0.03)
    plain = clopper_pearson(4000 * p / deff, 4000 / deff, 0.95)
    assert (lower, upper) == pytest.approx((float(plain.lower), float(plain.upper)), abs=0.003)


@pytest.mark.parametrize("size", [1, 3, 20])
def test_without_a_flip_clusters_of_one_size_are_bounded_exactly_as_that_many_rows(size):
    cluster = np.repeat(np.arange(60), size)
    found = measured(np.zeros(60 * size), cluster)
    lower, upper, worth = one(found.estimate(NFR, None))
    assert (lower, upper) == pytest.approx((0.0, float(clopper_pearson(0, 60, 0.95).upper)))
    assert worth == pytest.approx(60)
    lower, upper, _ = one(found.estimate(BTC, None))  # and mirrored
    assert (lower, upper) == pytest.approx((float(clopper_pearson(60, 60, 0.95).lower), 1.0))
    change = one(found.estimate(CHANGE, None))
    assert change[:2] == pytest.approx((float(tango(0, 0, 60, 0.95).lower), float(tango(0, 0, 60, 0.95).upper)))


def test_clusters_of_unequal_size_are_worth_fewer():
    cluster = np.repeat(np.arange(60), np.arange(60) + 1)
    worth = one(measured(np.zeros(len(cluster)), cluster).estimate(NFR, None))[2]
    sizes = np.arange(60) + 1.0
    assert worth == pytest.approx(sizes.sum() ** 2 / (sizes**2).sum())
    assert worth < 60


def test_one_flip_never_bounds_tighter_than_none():
    cluster = np.repeat(np.arange(60), 10)
    none, some = np.zeros(600), np.zeros(600)
    some[0] = 1
    assert one(measured(some, cluster).estimate(NFR, None))[1] > one(measured(none, cluster).estimate(NFR, None))[1]


def test_a_negative_correlation_within_clusters_never_makes_rows_worth_more():
    cluster = np.repeat(np.arange(100), 10)
    flipped = np.tile([1] + [0] * 9, 100)  # exactly one in each: no variance between clusters at all
    lower, upper, worth = one(measured(flipped, cluster).estimate(NFR, None))
    plain = one(measured(flipped).estimate(NFR, None))
    assert worth <= 1000
    assert lower <= plain[0] and upper >= plain[1]


def test_clusters_of_one_row_are_worth_the_rows_but_for_one():
    flipped = np.arange(300) < 9
    single, plain = measured(flipped, np.arange(300)), measured(flipped)
    assert one(single.estimate(NFR, None)) == pytest.approx(one(plain.estimate(NFR, None)), rel=0.01)


@pytest.mark.parametrize("kind", RATES.values(), ids=lambda kind: f"{kind.name}-{kind.of}")
def test_with_too_few_clusters_the_bounds_are_the_ends_of_the_range_and_the_method_says_so(kind):
    few = FEWEST_CLUSTERS - 1
    rows = np.arange(few * 50)
    found = measured(rows % 7 == 0, rows % few, gained=rows % 7 == 1, wrong=rows % 7 == 2)
    estimate = found.estimate(kind, None)
    assert one(estimate)[:2] == (kind.low, kind.high)
    assert f"fewer than {FEWEST_CLUSTERS} clusters: no bound" in estimate.method
    kept, broken = found.proven(kind, None, np.array([0.5]), True)
    assert not kept.any() and not broken.any()
    enough = measured(rows % 7 == 0, rows % FEWEST_CLUSTERS, gained=rows % 7 == 1, wrong=rows % 7 == 2)
    assert "fewer" not in enough.estimate(kind, None).method
    assert one(enough.estimate(kind, None))[1] < kind.high


def test_rows_needed_asks_for_enough_clusters_too():
    few = FEWEST_CLUSTERS // 2
    rows = np.arange(few * 1000)
    found = measured(rows % 50 == 0, rows % few)
    needed = found.rows_needed(NFR, None, np.array([0.9]), True, ASKED)
    assert needed[0] == len(rows)  # as many clusters again


def test_rows_needed_settles_a_clustered_question_if_they_come_alike():
    cluster = np.repeat(np.arange(100), 5)
    found = measured(np.zeros(500), cluster)
    limit = np.array([0.01])
    needed = float(found.rows_needed(NFR, None, limit, True, ASKED)[0])
    assert 990 < needed <= 995  # 299 clusters of 5 rows
    more = measured(np.zeros(1495), np.repeat(np.arange(299), 5))
    assert more.proven(NFR, None, limit, True)[0].all()
    assert not measured(np.zeros(1490), np.repeat(np.arange(298), 5)).proven(NFR, None, limit, True)[0].any()


def test_p_values_fit_the_bounds_of_clustered_rows():
    cluster = np.repeat(np.arange(80), 5)
    flipped = np.isin(cluster, [3, 9]) & (np.arange(400) % 5 < 3)
    found = measured(flipped, cluster)
    for kind in (NFR, BTC, CHANGE):
        estimate = found.estimate(kind, None)
        assert found.p_better(kind, None, estimate.upper)[0] == pytest.approx(0.05, abs=1e-6)
        assert found.p_worse(kind, None, estimate.lower)[0] == pytest.approx(0.05, abs=1e-6)


def test_weighted_rates_are_weighted_and_their_rows_worth_what_kish_says():
    weight = np.tile([1.0, 3.0], 200)
    flipped = np.arange(400) % 40 == 1  # 10 rows, all of the heavy half
    found = measured(flipped, weight=weight).estimate(NFR, None)
    assert found.estimate[0] == pytest.approx(30 / 800)
    assert found.effective_n[0] == pytest.approx(800**2 / (200 * 1 + 200 * 9))
    assert (found.numerator[0], found.n[0]) == (10, 400)
    plain = clopper_pearson(320 * 30 / 800, 320, 0.95)
    assert one(found)[:2] == pytest.approx((float(plain.lower), float(plain.upper)))
    assert "Kish" in found.method


def test_a_rate_over_some_rows_is_worth_what_those_rows_weigh():
    weight = np.r_[np.full(100, 5.0), np.ones(60), np.full(40, 2.0)]
    wrong = np.arange(200) >= 100
    flipped = np.arange(200) >= 160
    nfi = measured(flipped, weight=weight, wrong=wrong & ~flipped).estimate(rate("nfi"), None)
    assert nfi.estimate[0] == pytest.approx(80 / 140)
    assert nfi.effective_n[0] == pytest.approx(140**2 / (60 + 160))


def test_relative_nfr_is_bounded_through_both_its_parts():
    random = np.random.default_rng(3)
    cluster = np.repeat(np.arange(150), 8)
    hard = random.beta(0.4, 1.2, 150)[cluster]
    flipped, wrong = random.random(1200) < hard * 0.2, random.random(1200) < hard * 0.5
    found = measured(flipped & ~wrong, cluster, wrong=wrong)
    plain = measured(flipped & ~wrong, wrong=wrong)
    (lower, upper, _), (tight_lower, tight_upper, _) = (one(m.estimate(RELATIVE, None)) for m in (found, plain))
    assert lower < tight_lower < tight_upper < upper < np.inf


def test_how_many_flips_would_pass_is_not_said_where_it_depends_on_which():
    rows = np.zeros(400)
    limit = np.array([0.01])
    assert measured(rows).passes_with(NFR, None, limit, ASKED)[0] == 0
    assert np.isnan(measured(rows, np.arange(400) // 4).passes_with(NFR, None, limit, ASKED)[0])
    assert np.isnan(measured(rows, weight=np.ones(400)).passes_with(NFR, None, limit, ASKED)[0])


def test_plain_rows_are_worth_themselves():
    found = measured(np.arange(50) < 2).estimate(NFR, None)
    assert found.effective_n[0] == found.n[0] == 50
    assert found.method == "Clopper-Pearson"


def test_gains_and_losses_of_scores_are_summed_by_cell():
    right = np.ones(4, dtype=bool)
    counted = count(
        Outcomes(
            np.arange(4), right, right, right,
            slices={"part": Codes(np.array([0, 0, 1, -1]), ("a", "b"))},
            scores=Scores(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.5, 2.0, 5.0, 1.0])),
        )
    )  # fmt: skip
    overall, part = counted.scores["overall"], counted.scores["part"]
    assert overall.columns.tolist() == [[4, 2, 1]]
    assert (overall.mean_loss[0], overall.mean_gain[0]) == (1.75, 2.0)
    assert part.columns.tolist() == [[2, 1, 0], [1, 0, 1]]
    assert part.mean_loss.tolist()[0] == 0.5 and np.isnan(part.mean_loss[1])
