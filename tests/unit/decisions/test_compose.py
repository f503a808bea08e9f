"""The tables of a decision: every number looked up or divided once, none made up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gate.core.flips import Cells, FlipCounts, FlipTable, count
from gate.core.means import Means
from gate.core.measured import Measured
from gate.core.outcomes import Codes, Outcomes, Scores
from gate.decisions.compose import cell_rows, counts_row, flip_matrix, rate_rows
from gate.stories.decide import Judgement


def test_counts_add_up(judged: Judgement) -> None:
    counts = vars(judged.decision.counts)

    assert sum(count for name, count in counts.items() if name != "n") == counts["n"] == 200


def test_the_cells_of_a_dimension_add_up_to_all_rows(judged: Judgement) -> None:
    for by in ("class", "site", "output"):
        cells = [cell.counts for cell in judged.decision.cells if cell.by == by]

        assert sum(cell.n for cell in cells) == 200
        assert sum(cell.negative or 0 for cell in cells) == judged.decision.counts.negative


def test_the_flip_matrix_holds_every_flip(judged: Judgement) -> None:
    matrix = judged.decision.flip_matrix
    negative = sum(row.count for row in matrix.rows if row.kind == "negative")

    assert negative + matrix.rest_negative == judged.decision.counts.negative


def test_a_matrix_that_is_cut_says_how_much_it_left_out() -> None:
    table = FlipTable(
        overall=FlipCounts(negative=9, positive=4),
        matrix={("a", "a", "b"): 5, ("b", "b", "a"): 3, ("c", "c", "a"): 1, ("a", "b", "a"): 4},
        keep=0,
    )
    cut = flip_matrix(table, keep=1)

    assert [(row.kind, row.label, row.count) for row in cut.rows] == [("negative", "a", 5), ("positive", "a", 4)]
    assert (cut.rest_negative, cut.rest_positive) == (4, 0)


def test_one_and_true_are_not_one_label_in_the_matrix() -> None:
    cut = flip_matrix(FlipTable(overall=FlipCounts(positive=1), matrix={(1, True, 1): 1}, keep=0))

    assert [row.kind for row in cut.rows] == ["positive"]


def test_the_effective_n_is_n_where_rows_are_independent_and_less_where_they_come_in_clusters() -> None:
    rows = np.arange(240)
    wrong = (rows % 24 == 0) | (rows % 24 == 1)
    outcomes = Outcomes(
        rows, np.ones(240, dtype=bool), ~wrong, ~wrong, slices={"site": Codes(rows % 2, ("a", "b"))},
        cluster=Codes(rows // 4, tuple(range(60))),
    )  # fmt: skip
    plain, clustered = (Measured(count(one), 0.95) for one in (replace(outcomes, cluster=None), outcomes))

    for row in (*rate_rows(plain), *cell_rows(plain, [])[0].rates):
        assert row.effective_n == row.n
    nfr, loose = (next(row for row in rate_rows(of) if row.rate == "nfr") for of in (plain, clustered))
    assert loose.n == 240 and 40 < loose.effective_n < 240 and loose.upper is not None and nfr.upper is not None
    assert loose.upper > nfr.upper and "design effect" in loose.method
    assert cell_rows(clustered, [])[0].rates[2].effective_n < 120


def test_mean_loss_and_mean_gain_stand_behind_the_rates_wherever_rows_have_scores() -> None:
    right = np.ones(4, dtype=bool)
    scores = Scores(np.zeros(4), np.array([-1.0, -3.0, 0.5, 0.0]))
    table = count(
        Outcomes(np.arange(4), right, right, right, slices={"site": Codes.of(["a", "a", "b", "b"])}, scores=scores)
    )
    measured = Measured(table, 0.95)
    means = Means(measured, 5.0)

    *_, loss, gain = rate_rows(measured, means=means)
    assert (loss.rate, loss.of, loss.estimate, loss.numerator, loss.n) == ("mean_loss", None, 2.0, 2, 2)
    assert (gain.rate, gain.estimate, gain.n, gain.effective_n) == ("mean_gain", 0.5, 1, 1)
    found = [[row.estimate for row in cell.rates[-2:]] for cell in cell_rows(measured, [], means=means)]
    assert found == [[2.0, None], [None, 0.5]]
    assert not any(row.rate == "mean_loss" for row in rate_rows(measured))
    assert all(row.rate != "mean_loss" for row in rate_rows(measured, means=Means(Measured(FlipTable(), 0.95))))


def test_a_dimension_without_cells_gives_no_rows() -> None:
    empty = FlipTable(cells={"site": Cells((), np.zeros((0, 5), dtype=np.int64))})

    assert cell_rows(Measured(empty, 0.95), []) == ()


def test_without_a_comparison_only_the_rows_are_counted() -> None:
    row = counts_row(FlipCounts(positive=7, wrong_different=3), compared=False)

    assert vars(row) == {
        "both_right": None,
        "negative": None,
        "positive": None,
        "wrong_same": None,
        "wrong_different": None,
        "n": 10,
    }
