"""What is counted at once, with clusters, weights and scores, is what counting row by row gives."""

from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
import pytest

from gate.core.clusters import count_clusters, durkalski, merge_clusters
from gate.core.counts import COLUMNS, count_by, unite
from gate.core.exact import exact_sums
from gate.core.flips import FlipTable, count, merge, row_digest
from gate.core.judgement import Cell, DecideOn, Finding, Findings, Severity, Source, Status, Verdict, verdict
from gate.core.outcomes import Codes, Outcomes, Scores, Shown
from gate.core.scored import count_scores, merge_scores
from gate.core.weights import check_weights, count_weights, merge_weights

# incumbent right, candidate right, same output: 0 is two wrong answers that differ
COLUMN = {0: 4, 1: 3, 2: 2, 3: 2, 4: 1, 5: 1, 6: 0, 7: 0}
UNIT = Fraction(1, 2**64)


def drawn(seed: int, n: int = 300) -> tuple[Codes, Codes, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    cluster = Codes(random.integers(0, 40, n), tuple(f"u{i}" for i in range(40)))
    cell = Codes(random.integers(-1, 4, n), ("a", "b", "c", 4))
    return cluster, cell, random.integers(0, 8, n).astype(np.uint8), random.choice([0.25, 1.0, 3.5, 1e6], n)


def by_hand(cluster: Codes, cell: Codes | None, bits: np.ndarray, weight: np.ndarray):
    rows: dict[tuple[object, object], list[Fraction]] = {}
    weights: dict[tuple[object, object], list[Fraction]] = {}
    for at, bit in enumerate(bits.tolist()):
        if cell is not None and cell.codes[at] < 0:
            continue
        key = (None if cell is None else cell.values[cell.codes[at]], cluster.values[cluster.codes[at]])
        for table, one in ((rows, Fraction(1)), (weights, Fraction(weight[at]))):
            table.setdefault(key, [Fraction(0)] * len(COLUMNS))[COLUMN[bit]] += one
    return rows, weights


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("everything_in_one", [True, False])
def test_clusters_are_counted_and_weighed_as_one_row_after_the_other(seed, everything_in_one):
    cluster, cell, bits, weight = drawn(seed)
    column = None if everything_in_one else cell
    rows, weights = by_hand(cluster, column, bits, weight)
    whole = count_clusters(cluster, column, bits, weight)
    halves = []
    for part in (slice(0, 120), slice(120, 120), slice(120, None)):
        some = None if column is None else Codes(column.codes[part], column.values)
        halves.append(count_clusters(Codes(cluster.codes[part], cluster.values), some, bits[part], weight[part]))
    for found in (whole, merge_clusters(halves)):
        keys = [
            (found.values[a], found.clusters[b])
            for a, b in zip(found.cell.tolist(), found.cluster.tolist(), strict=True)
        ]
        assert len(set(keys)) == len(keys)
        assert dict(zip(keys, found.columns.tolist(), strict=True)) == rows
        assert found.weights is not None
        exact = [[number * UNIT for number in row] for row in found.weights.tolist()]
        assert dict(zip(keys, exact, strict=True)) == weights


def test_cells_are_counted_as_one_row_after_the_other():
    _, cell, bits, weight = drawn(3)
    one = Codes(np.zeros(len(bits), dtype=np.int64), ("all",))
    rows, _ = by_hand(one, cell, bits, weight)
    found = count_by(cell, bits)
    assert {(v, "all"): row for v, row in zip(found.values, found.columns.tolist(), strict=True)} == rows


def test_a_unit_without_a_cluster_is_refused_in_so_many_words():
    with pytest.raises(ValueError, match="^a unit without a cluster$"):
        count_clusters(Codes(np.array([0, -1]), ("a",)), None, np.zeros(2, dtype=np.uint8), None)


def test_merging_with_and_without_weights_forgets_the_weights():
    cluster, cell, bits, weight = drawn(4)
    one, other = count_clusters(cluster, cell, bits, weight), count_clusters(cluster, cell, bits, None)
    assert merge_clusters([one, other]).weights is None
    assert merge_clusters([one, one]).weights is not None


def test_one_cluster_alone_has_a_chi_square_of_one_whatever_it_did():
    assert durkalski([1], [0], [4]).chi_square == pytest.approx(1.0)
    assert durkalski([1, 0], [0, 0], [50, 3]).chi_square == pytest.approx(1.0)
    assert durkalski([1], [0], [4]).p_value == pytest.approx(0.31731, abs=1e-5)


def test_more_flips_both_ways_than_rows_cannot_be():
    with pytest.raises(ValueError, match="^a cluster's flips must be at least 0 and together at most its rows$"):
        durkalski([1], [1], [1])


def test_weights_of_shards_add_to_those_of_all_rows_though_their_cells_differ():
    _, cell, bits, weight = drawn(5)
    whole = count_weights(weight, cell, bits)
    renamed = Codes(np.where(cell.codes < 0, -1, 3 - cell.codes), cell.values[::-1])  # the same cells, turned round
    parts = [
        count_weights(weight[at], Codes(of.codes[at], of.values), bits[at])
        for at, of in ((slice(0, 90), cell), (slice(90, 200), renamed), (slice(200, None), cell))
    ]
    found = merge_weights(parts)
    assert found.values == whole.values
    assert (found.sums == whole.sums).all() and (found.squares == whole.squares).all()
    assert sum(found.sums.ravel().tolist()) * UNIT == sum(Fraction(w) for w in weight[cell.codes >= 0])


# exact sums


def test_numbers_of_every_size_are_summed_exactly_with_their_squares():
    numbers = np.array([2.0**-40, 2.0**39, 1.0, 3.0, 0.0, 0.1, 1e12, 1 - 2.0**-24])
    groups = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    totals, squares = exact_sums(numbers, groups, 4)
    rounded = [Fraction(0 if x == 0 else np.ldexp(np.rint(np.ldexp(f, 24)), int(e) - 24))
               for x, (f, e) in zip(numbers, (np.frexp(x) for x in numbers), strict=True)]  # fmt: skip
    for group in range(4):
        mine = [x for x, of in zip(rounded, groups, strict=True) if of == group]
        assert totals[group] * UNIT == sum(mine)
        assert squares[group] * UNIT * UNIT == sum(x * x for x in mine)


@pytest.mark.parametrize("number", [2.0**-42, 2.0**40])
def test_a_number_out_of_the_range_of_exact_sums_is_refused_with_the_range(number):
    with pytest.raises(ValueError, match=r"^a number is out of range: not from 9\.1e-13 to 1\.1e\+12$"):
        exact_sums(np.array([1.0, number]), np.array([0, 0]), 1)


@pytest.mark.parametrize("number", [np.inf, np.nan, -1.0])
def test_what_is_no_number_of_at_least_0_is_not_summed(number):
    with pytest.raises(ValueError, match="^weights and scores must be finite, and sums are of numbers of at least 0$"):
        exact_sums(np.array([1.0, number]), np.array([0, 0]), 1)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.0, -2.0])
def test_the_first_weight_that_cannot_be_is_told_with_its_row(wrong):
    with pytest.raises(ValueError, match=f"^weight {wrong} at row 2: weights must be finite and above 0$"):
        check_weights(np.array([1.0, 3.0, wrong, 1.0, wrong]))
    check_weights(np.array([1e-9, 1e9]))


# scores


def test_differences_from_a_billionth_of_a_thousandth_on_count():
    smallest = 2.0**-40
    found = count_scores(Scores(np.zeros(4), np.array([smallest, -smallest, smallest * 0.75, -smallest * 0.6])), None)
    assert found.columns.tolist() == [[4, 1, 1]]
    assert (found.mean_loss[0], found.mean_gain[0]) == (smallest, smallest)


def test_a_score_that_is_not_finite_is_refused():
    for wrong in (np.nan, np.inf):
        with pytest.raises(ValueError, match="^scores must be finite$"):
            count_scores(Scores(np.array([0.0, 1.0]), np.array([0.0, wrong])), None)


def test_cells_without_losses_have_no_mean_loss_and_nobody_is_warned():
    found = count_scores(Scores(np.zeros(3), np.array([1.0, 2.0, 0.0])), Codes(np.array([0, 0, 1]), ("a", "b")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(found.mean_loss).all()
        assert found.mean_gain.tolist() == pytest.approx([1.5, np.nan], nan_ok=True)


def test_scores_of_shards_add_to_those_of_all_rows():
    random = np.random.default_rng(6)
    scores, cell = Scores(random.random(200), random.random(200)), Codes(random.integers(-1, 3, 200), ("a", "b", "c"))
    for column in (cell, None):
        whole = count_scores(scores, column)
        parts = []
        for at in (slice(0, 70), slice(70, None)):
            some = None if column is None else Codes(column.codes[at], column.values)
            parts.append(count_scores(Scores(scores.incumbent[at], scores.candidate[at]), some))
        merged = merge_scores(parts)
        assert (merged.values, merged.columns.tolist()) == (whole.values, whole.columns.tolist())
        assert merged.sums.tolist() == whole.sums.tolist()
        assert merged.columns.dtype.kind == "i"


# tables and findings


def test_an_empty_column_is_coded_by_no_integers():
    found = Codes.of([])
    assert (found.codes.dtype.kind, len(found.codes), found.values) == ("i", 0, ())


def test_vocabularies_are_united_by_typed_value_and_none_give_the_empty_one():
    assert unite([]) == ((), [])
    for first, second in (((1,), (True,)), ((1.0, 2), (1, 2.0)), (("a", 1), ("a", True, 1))):
        values, positions = unite([first, second])
        assert sorted(map(repr, values)) == sorted({*map(repr, first), *map(repr, second)})
        for part, at in zip((first, second), positions, strict=True):
            assert [repr(values[i]) for i in at.tolist()] == [*map(repr, part)]


def test_labels_without_coded_answers_have_cells_and_no_matrix():
    label = Codes(np.array([0, 1, 0]), ("x", "y"))
    right, wrong = np.ones(3, dtype=bool), np.zeros(3, dtype=bool)
    for answers in ({"incumbent": label}, {"candidate": label}, {}):
        found = count(Outcomes(np.arange(3), right, wrong, wrong, label=label, **answers))
        assert len(found.matrix) == 0
        assert found.cells["class"].columns.tolist() == [[0, 2, 0, 0, 0], [0, 1, 0, 0, 0]]


def test_tables_without_confidence_have_none_when_added():
    assert merge([table(), table()]).confidence is None


def table(weight: bool = False, cluster: bool = False, scores: bool = False, n: int = 3) -> FlipTable:
    right = np.ones(n, dtype=bool)
    return count(
        Outcomes(
            np.arange(n), right, right, right,
            cluster=Codes(np.zeros(n, dtype=np.int64), ("a",)) if cluster else None,
            weight=np.ones(n) if weight else None,
            scores=Scores(np.ones(n), np.ones(n)) if scores else None,
        )
    )  # fmt: skip


@pytest.mark.parametrize("what", ["clusters", "weights", "scores"])
def test_tables_of_which_only_some_have_clusters_weights_or_scores_are_not_added(what):
    one = table(weight=what == "weights", cluster=what == "clusters", scores=what == "scores")
    with pytest.raises(ValueError, match=f"^only some of the tables that are added have {what}$"):
        merge([one, table()])
    assert merge([one, table(n=0)]).overall.n == 3  # an empty table has no say
    assert merge([one, one]).overall.n == 6


def test_findings_that_are_already_written_count_for_the_verdict():
    failed = Finding(
        "r", "nfr", None, Cell("overall"), Severity.ENFORCE, DecideOn.PROOF, Status.FAIL, 0.0, 0.0, "upper", True, 0.1,
        0.1, 9, 0, None, None, None, None, None, Source("p.yaml", 1),
    )  # fmt: skip
    assert verdict(Findings([(failed,)])) is Verdict.REFUSE
    assert Findings([(failed,), ()]).seen() == {(Status.FAIL, Severity.ENFORCE)}


def flipped(n: int, **more) -> Outcomes:
    right = np.ones(n, dtype=bool)
    return Outcomes(np.arange(n), right, ~right, ~right, **more)


def test_unless_told_a_hundred_flips_of_each_kind_are_kept_those_of_seed_0():
    found = count(flipped(150))
    assert [row.digest for row in found.samples] == sorted(row_digest(0, unit) for unit in range(150))[:100]
    assert found.keep == FlipTable().keep == 100
    assert len(count(flipped(150), keep=0).samples) == 0


def test_a_sample_shows_what_the_task_says_is_to_be_shown():
    coded = Codes.of(["x", "y"])
    shown = Shown(["label 0", "label 1"], ["old 0", "old 1"], ["new 0", "new 1"])
    found = count(flipped(2, label=coded, incumbent=coded, candidate=coded, shown=shown)).samples
    assert {(row.id, row.label, row.incumbent, row.candidate) for row in found} == {
        (0, "label 0", "old 0", "new 0"),
        (1, "label 1", "old 1", "new 1"),
    }


def test_a_merged_table_keeps_samples_of_both_kinds_clusters_and_weights():
    right, at = np.ones(20, dtype=bool), np.arange(20)
    more = {"cluster": Codes(at // 5, tuple("abcd")), "weight": 1.0 + at % 3}
    worse = count(Outcomes(at, right, ~right, ~right, **more), keep=4)
    better = count(Outcomes(at + 20, ~right, right, ~right, **more), keep=6)
    found = merge([worse, better, better])
    assert found.keep == 4
    kept = {kind: [row.id for row in found.samples if row.kind == kind] for kind in ("negative", "positive")}
    assert sorted(kept["negative"]) == sorted(row.id for row in worse.samples) and len(kept["negative"]) == 4
    assert len(kept["positive"]) == 4 and set(kept["positive"]) <= {row.id for row in better.samples}
    assert found.clusters["overall"].counts.n.tolist() == [3 * n for n in worse.clusters["overall"].counts.n.tolist()]
    assert found.weights["overall"].weights.n.tolist() == [3 * n for n in worse.weights["overall"].weights.n.tolist()]
