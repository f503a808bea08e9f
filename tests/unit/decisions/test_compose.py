"""The tables of a decision: every number looked up or divided once, none made up."""

from __future__ import annotations

from gate.core.flips import FlipCounts, FlipTable
from gate.decisions.compose import counts_row, flip_matrix
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
