"""What rows in clusters and weighted rows are worth, number by number: each share, each cell, and what is planned."""

from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
import pytest

from gate.core.bounds import clopper_pearson, ratio_of_proportions
from gate.core.clusters import ClusteredCells, count_clusters, spread
from gate.core.counts import FlipCounts
from gate.core.effective import FEWEST_CLUSTERS, Design
from gate.core.evidence import Evidence
from gate.core.flips import FlipTable, count
from gate.core.measured import Measured
from gate.core.outcomes import Codes, Outcomes
from gate.core.rates import RATES, Share, rate
from gate.core.sample_size import rows_needed

NFR, CHANGE, RELATIVE = rate("nfr"), rate("error_rate_change"), rate("relative_nfr")


def table(old, new, cluster=None, weight=None, **slices) -> FlipTable:
    old, new = np.asarray(old, dtype=bool), np.asarray(new, dtype=bool)
    return count(
        Outcomes(
            np.arange(len(old)),
            old,
            new,
            old == new,
            slices={name: Codes.of(values) for name, values in slices.items()},
            cluster=None if cluster is None else Codes.of(np.asarray(cluster).tolist()),
            weight=None if weight is None else np.asarray(weight, dtype=float),
        )
    )


def design(of: FlipTable, by: str = "overall") -> Design:
    if by == "overall":
        cells = Measured(of, 0.95).cells(None)
        assert cells is not None
    else:
        cells = of.cells[by]
    return Design(cells.values, cells.counts, of.clusters.get(by), of.weights.get(by))


def alone(share: Share) -> Share:
    return share._replace(also=())


# the variance between clusters


def test_two_clusters_have_a_variance_and_one_has_none():
    found = spread(np.array([3, 0, 2]), np.array([4, 6, 9]), np.array([0, 0, 1]), 2)
    # of 3 in 10: 2 / 1 * ((3 - 4 * 0.3)^2 + (6 * 0.3)^2) / 10^2
    assert found.variance.tolist() == pytest.approx([2 * (1.8**2 + 1.8**2) / 100, np.nan], nan_ok=True)
    assert (found.clusters.tolist(), found.alike.tolist()) == ([2, 1], [100 / 52, 1])


def test_the_variance_is_exact_until_its_last_division_however_large_the_sums_of_weights():
    random = np.random.default_rng(2)
    rows = [int(n) * 2**64 + int(n) for n in random.integers(1, 1000, 30)]
    hits = [n // int(part) for n, part in zip(rows, random.integers(1, 9, 30), strict=True)]
    found = spread(np.array(hits, dtype=object), np.array(rows, dtype=object), np.zeros(30, dtype=np.int64), 1)
    p = Fraction(sum(hits), sum(rows))
    exact = Fraction(30, 29) * sum((b - n * p) ** 2 for b, n in zip(hits, rows, strict=True)) / sum(rows) ** 2
    assert found.variance[0] == float(exact)
    assert found.alike[0] == float(Fraction(sum(rows) ** 2, sum(n * n for n in rows)))


# what rows are worth


def test_a_single_cluster_is_worth_the_row_or_so_that_the_formula_leaves():
    none = design(table(np.ones(10), np.ones(10), np.zeros(10))).worth(NFR.parts[0])
    assert (none.n[0], none.one[0], none.clusters[0]) == (1.0, 1.0, 1.0)
    # five flips of ten: deff = (5 + 10^2) / (5 + 10)
    half = design(table(np.ones(10), np.arange(10) < 5, np.zeros(10))).worth(NFR.parts[0])
    assert half.n[0] == pytest.approx(10 / 7)
    assert half.one[0] == pytest.approx(10 / 7)


def test_a_cell_without_rows_is_worth_nothing_in_no_cluster():
    cells = Codes(np.repeat([0, 2], 30), ("a", "b", "c"))
    right = np.ones(60, dtype=bool)
    counted = count(
        Outcomes(np.arange(60), right, right, right, slices={"part": cells}, cluster=Codes.of(list(range(60))))
    )
    worth = design(counted, "part").worth(NFR.parts[0])
    assert worth.n.tolist() == pytest.approx([30, 0, 30])
    assert (worth.clusters.tolist(), worth.one.tolist()) == ([30, 0, 30], [1, 1, 1])
    found = Measured(counted, 0.95)
    assert "clusters" in found.estimate(NFR, "part").method and "fewer" not in found.estimate(NFR, "part").method
    asked = np.ones(3, dtype=bool)
    assert found.rows_needed(NFR, "part", np.full(3, 0.01), True, asked)[1] == 299


def test_a_change_is_worth_the_least_of_itself_and_its_two_sides_in_each_cell():
    # in a the flips of a cluster cancel, in b each row is its own cluster, in c only the positive ones are clustered
    part = ["a"] * 200 + ["b"] * 200 + ["c"] * 200
    cluster = np.r_[np.arange(200) // 10, 1000 + np.arange(200), 2000 + np.arange(200) // 10]
    at = np.arange(200)
    worse = np.r_[(at < 50) & (at % 10 < 5), at % 40 == 0, at % 20 == 0]
    better = np.r_[(at < 50) & (at % 10 >= 5), at % 50 == 1, (at % 100 >= 90)]
    drawn = design(table(~better, ~worse, cluster, part=part), "part")
    (share,) = CHANGE.parts
    found, each = drawn.worth(share), [drawn.worth(alone(one)) for one in (share, *share.also)]
    n = np.array([worth.n for worth in each])
    least = n.argmin(axis=0)
    assert len(set(least.tolist())) > 1
    assert found.n.tolist() == n.min(axis=0).tolist()
    assert found.one.tolist() == [each[which].one[cell] for cell, which in enumerate(least)]


def test_a_ratio_is_bounded_by_what_the_rows_are_worth_to_each_of_its_two_shares():
    random = np.random.default_rng(4)
    cluster = np.repeat(np.arange(120), 6)
    hard = random.beta(0.5, 1.5, 120)[cluster]
    drawn = table(random.random(720) > hard * 0.4, random.random(720) > hard * 0.7, cluster)
    how, counts = design(drawn), Measured(drawn, 0.95).cells(None)
    assert counts is not None
    parts = []
    for share in RELATIVE.parts:
        worth, n = how.worth(share), share.n(counts.counts)
        parts.append((share.numerator(counts.counts) * worth.n / n, worth.n, worth.one))
    (hits, n, one), (under, m, one_under) = parts
    assert one != one_under
    expected = ratio_of_proportions(hits, n, under, m, 0.95, one, one_under)
    found = Evidence(RELATIVE, counts.counts, how)
    assert [float(bound[0]) for bound in found.bounds(0.95)] == pytest.approx([float(bound[0]) for bound in expected])
    (kept,), (broken,) = found.proven(expected.upper * 1.001, True, 0.95)
    assert kept and not broken


def test_a_ratio_of_proportions_is_the_quotient_of_the_opposite_bounds():
    top, bottom = clopper_pearson(10, 100, 0.975), clopper_pearson(50, 90, 0.975)
    found = ratio_of_proportions(10, 100, 50, 90, 0.95)
    assert (float(found.lower), float(found.upper)) == pytest.approx(
        (top.lower / bottom.upper, top.upper / bottom.lower)
    )
    top, bottom = clopper_pearson(10, 100, 0.975, 3.0), clopper_pearson(50, 90, 0.975, 7.0)
    found = ratio_of_proportions(10, 100, 50, 90, 0.95, 3.0, 7.0)
    assert (float(found.lower), float(found.upper)) == pytest.approx(
        (top.lower / bottom.upper, top.upper / bottom.lower)
    )


@pytest.mark.parametrize("kind", [NFR, CHANGE, RELATIVE], ids=lambda kind: kind.name)
def test_only_the_ratios_of_weights_matter_not_their_unit(kind):
    at = np.arange(300)
    old, new, weight = at % 9 != 0, at % 7 != 0, 2.0 ** (at % 3)
    plain = Measured(table(old, new, weight=weight), 0.95).estimate(kind, None)
    tiny = Measured(table(old, new, weight=weight / 2**20), 0.95).estimate(kind, None)
    for number in ("estimate", "lower", "upper", "effective_n"):
        assert float(getattr(tiny, number)[0]) == pytest.approx(float(getattr(plain, number)[0]), rel=1e-12)


def test_clusters_and_weights_are_found_by_the_value_of_their_cell():
    at = np.arange(120)
    part = np.array(["a", "b", "c"])[at % 3].tolist()
    everything = table(np.ones(120), at % 5 != 0, at // 6, 1.0 + at % 4, part=part)
    cells = everything.cells["part"]
    full = design(everything, "part")
    for values in (("c", "a"), ("b",), ("nowhere", "c")):
        where = [cells.values.index(value) if value in cells.values else None for value in values]
        rows = [np.zeros(5, dtype=np.int64) if position is None else cells.columns[position] for position in where]
        some = Design(
            values, FlipCounts.from_columns(np.array(rows)), everything.clusters["part"], everything.weights["part"]
        )
        found, expected = some.worth(NFR.parts[0]), full.worth(NFR.parts[0])
        for one, other in zip(found, expected, strict=True):
            for number, position in zip(one.tolist(), where, strict=True):
                if position is not None:
                    assert number == pytest.approx(other[position])


def test_a_cell_that_no_cluster_or_weight_is_known_of_is_worth_nothing():
    at = np.arange(40)
    everything = table(np.ones(40), at % 5 != 0, at // 2, 1.0 + at % 4, part=["a"] * 40)
    lost = Design(
        ("b", "a"),
        FlipCounts.from_columns(np.array([[0] * 5, everything.cells["part"].columns[0]])),
        everything.clusters["part"],
        everything.weights["part"],
    )
    assert lost.worth(NFR.parts[0]).n.tolist()[0] == 0


# too few clusters


def test_a_ratio_has_too_few_clusters_where_only_one_of_its_shares_has():
    at = np.arange(400)
    cluster, wrong = at // 10, at < 30  # 40 clusters, but the candidate's errors are in three
    found = Measured(table(~wrong | (at % 2 == 0), ~wrong, cluster), 0.95)
    assert "fewer than" in found.estimate(RELATIVE, None).method
    assert "fewer than" not in found.estimate(NFR, None).method
    needed = found.rows_needed(RELATIVE, None, np.array([0.9]), True, np.array([True]))
    assert needed[0] >= np.ceil(400 * (FEWEST_CLUSTERS - 3) / 3)


def test_one_row_in_one_cluster_is_too_few_clusters_already():
    found = Measured(table([True], [True], [0]), 0.95)
    assert f"fewer than {FEWEST_CLUSTERS} clusters: no bound" in found.estimate(NFR, None).method
    assert "in some cells" not in found.estimate(NFR, None).method


def test_cells_with_too_few_clusters_are_told_from_cells_with_enough():
    at = np.arange(200)
    part = np.where(at < 150, "many", "few").tolist()
    found = Measured(table(np.ones(200), np.ones(200), at // 10, part=part), 0.95)
    assert f"fewer than {FEWEST_CLUSTERS} clusters in some cells: no bound" in found.estimate(NFR, "part").method


@pytest.mark.parametrize("clusters", [1, 3, 9])
def test_the_clusters_that_lack_are_asked_for_at_the_size_of_those_seen(clusters):
    size = 1000
    found = Measured(
        table(np.ones(size * clusters), np.ones(size * clusters), np.arange(size * clusters) // size), 0.95
    )
    needed = found.rows_needed(NFR, None, np.array([0.99]), True, np.array([True]))
    assert needed[0] == (FEWEST_CLUSTERS - clusters) * size


def test_where_clusters_lack_and_flips_are_near_the_limit_the_rows_to_settle_it_are_asked_for():
    at = np.arange(100)
    drawn = table(np.ones(100), at % 25 != 0, at // 20)  # five clusters, 4 % of flips
    found = Measured(drawn, 0.95)
    limit, asked = np.array([0.05]), np.array([True])
    needed = found.rows_needed(NFR, None, limit, True, asked)
    how, cells = design(drawn), found.cells(None)
    assert cells is not None
    worth = how.worth(NFR.parts[0])
    planned = rows_needed(
        NFR, how.effective(NFR.parts[0], worth, 0), limit, True, 0.95, np.asarray(cells.counts.n, dtype=float)
    )
    assert needed[0] == planned[0] > 10 * FEWEST_CLUSTERS * 20
    assert np.isnan(found.rows_needed(NFR, None, np.array([0.04]), True, asked)[0])  # seen at its limit


# cell by cell


def test_tests_and_plans_of_a_dimension_are_those_of_its_cells_alone():
    at = np.arange(900)
    part, worse = np.array(["a", "b", "c"])[at % 3], at % np.array([30, 60, 300])[at % 3] == at % 3
    found = Measured(table(np.ones(900), ~worse, part=part.tolist()), 0.95)
    limit, asked = np.full(3, 0.02), np.array([True, True, True])
    for cell, value in enumerate(("a", "b", "c")):
        rows = part == value
        single = Measured(table(np.ones(300), ~worse[rows]), 0.95)
        for ask in ("p_better", "p_worse"):
            assert getattr(found, ask)(NFR, "part", limit)[cell] == getattr(single, ask)(NFR, None, limit[:1])[0]
        needed = single.rows_needed(NFR, None, limit[:1], True, asked[:1])
        assert found.rows_needed(NFR, "part", limit, True, asked)[cell] == pytest.approx(needed[0], nan_ok=True)
    assert len(set(found.p_better(NFR, "part", limit).tolist())) == 3


def test_each_dimension_is_measured_on_its_own_cells_in_any_order_of_asking():
    at = np.arange(240)
    counted = table(np.ones(240), at % 7 != 0, at // 4, part=(at % 3).tolist(), half=(at % 2).tolist())
    alone = {by: Measured(counted, 0.9).estimate(NFR, by) for by in ("part", "half", None)}
    for order in (("part", "half", None), (None, "half", "part")):
        found = Measured(counted, 0.9)
        for by in order:
            estimate = found.estimate(NFR, by)
            assert estimate.upper.tolist() == alone[by].upper.tolist()
            assert (len(estimate.upper), estimate.confidence) == ({"part": 3, "half": 2, None: 1}[by], 0.9)
            assert found.rows(by).tolist() == [240 // len(estimate.upper)] * len(estimate.upper)
    with pytest.raises(KeyError, match="nowhere"):
        Measured(counted, 0.9).value(NFR, "nowhere")


@pytest.mark.parametrize("kind", RATES.values(), ids=lambda kind: f"{kind.name}-{kind.of}")
def test_where_nothing_is_known_nobody_is_warned_by_numpy(kind):
    at = np.arange(60)
    cells = Codes(at % 2 * 2, ("a", "none", "c"))
    right = (at % 2 == 0) | (at % 5 == 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for cluster, weight in ((None, None), (Codes(at // 3, tuple(range(20))), None), (None, 1.0 + at % 3)):
            for new in (right, np.ones(60, dtype=bool), np.zeros(60, dtype=bool)):
                rows = Outcomes(at, right, new, right == new, slices={"part": cells}, cluster=cluster, weight=weight)
                found = Measured(count(rows), 0.95)
                estimate = found.estimate(kind, "part")
                assert np.isnan(estimate.estimate[1])
                assert (estimate.lower[1], estimate.upper[1]) == (kind.low, kind.high)
                found.proven(kind, "part", np.full(3, 0.1), True)
                found.rows_needed(kind, "part", np.full(3, 0.1), True, np.ones(3, dtype=bool))
                found.value(kind, "part")


def test_counted_clusters_of_an_empty_vocabulary_are_none():
    nothing = Codes(np.zeros(0, dtype=np.int64), ())
    found = count_clusters(nothing, None, np.zeros(0, dtype=np.uint8), None)
    assert isinstance(found, ClusteredCells)
    assert (len(found.cell), found.clusters, found.columns.shape) == (0, (), (0, 5))
