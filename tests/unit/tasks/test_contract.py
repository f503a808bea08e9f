"""What every task promises, put to each of them alike: one case a task, the same claims for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gate.core.flips import FlipTable, count, merge
from gate.core.outcomes import Codes
from gate.errors import EvidenceError
from gate.tasks.batch import Answers, Batch, Classes
from gate.tasks.kinds import KINDS
from gate.tasks.options import KEYS, PerModel, ScoreColumns, TaskOptions, Tolerance

ROWS = 240
random = np.random.default_rng(20)
CITIES = ("bern", "oslo", "rome")
TAGS = ("sport", "money", "war", "art")


@dataclass(frozen=True)
class Case:
    """A task, and 240 rows with both models' answers."""

    options: TaskOptions
    label: pa.Array
    incumbent: pa.Array
    candidate: pa.Array
    scores: tuple[pa.Array, pa.Array] | None = None  # of the incumbent and of the candidate
    columns: dict[str, pa.Array] = field(default_factory=dict)
    needs_incumbent: bool = False

    def task(self) -> Any:
        return KINDS[self.options.kind](self.options, Classes(self.options.classes))

    def batch(self, start: int = 0, stop: int = ROWS, *, alone: bool = False, swapped: bool = False) -> Batch:
        def part(column: pa.Array) -> pa.Array:
            return column.slice(start, stop - start)

        values = [self.incumbent, self.candidate]
        scores = [None, None] if self.scores is None else [part(column) for column in self.scores]
        old, new = (Answers.of(part(v), s) for v, s in zip(values, scores, strict=True))
        if swapped:
            old, new = new, old
        return Batch(
            ids=part(pa.array([f"r{i}" for i in range(ROWS)])),
            label=part(self.label),
            candidate=new,
            incumbent=None if alone else old,
            slices={"half": Codes(np.arange(start, stop) % 2, ["even", "odd"])},
            first_row=start,
            weight=np.linspace(1, 2, ROWS)[start:stop],
            columns={name: part(column) for name, column in self.columns.items()},
        )


def spoilt(truth: Any, share: float, wrong: Callable[[int], Any]) -> list[Any]:
    """The truth with a share of its rows replaced."""
    return [wrong(i) if random.random() < share else value for i, value in enumerate(truth)]


def rows_of_numbers(width: int) -> pa.Array:
    numbers = random.dirichlet(np.ones(width), ROWS)
    return pa.FixedSizeListArray.from_arrays(pa.array(numbers.ravel()), width)


cities = [CITIES[i] for i in random.integers(0, 3, ROWS)]
tags = [[t for t in TAGS if random.random() < 0.4] for _ in range(ROWS)]
prices = random.gamma(3.0, 50.0, ROWS)
sums = random.integers(-9, 1000, ROWS)


def other_city(_: int) -> str:
    return str(random.choice(CITIES))


def other_tags(_: int) -> list[str]:
    return [t for t in TAGS if random.random() < 0.4]


def indicators(sets: list[list[str]], kind: pa.DataType) -> pa.Array:
    return pa.array([[int(tag in some) for tag in TAGS] for some in sets], pa.list_(pa.int8())).cast(pa.list_(kind))


old_tags, new_tags = spoilt(tags, 0.3, other_tags), spoilt(tags, 0.2, other_tags)
old_prices = prices + random.normal(0, 10, ROWS).round(3)
new_prices = pa.array(np.where(random.random(ROWS) < 0.2, old_prices, prices + random.normal(0, 8, ROWS).round(3)))
old_prices = pa.array(old_prices)
old_text = spoilt([f"It is {s}." for s in sums], 0.3, lambda i: "no idea" if i % 2 else f"{i} or {i + 1}")
new_text = spoilt([f"{s}" for s in sums], 0.3, lambda i: f"{i + 0.5} I think" if i % 2 else "none")
old_name = spoilt(cities, 0.3, lambda i: ["Bern!", "OSLO", "paris"][i % 3])
new_name = spoilt([c.title() for c in cities], 0.3, lambda i: ["", "rome", "the rome"][i % 3])
graded = [pa.array(random.random(ROWS).round(2)) for _ in range(2)]
passed = [pa.array(random.random(ROWS) < share) for share in (0.6, 0.7)]

CASES = {
    "classification": Case(
        TaskOptions(), pa.array(cities), pa.array(spoilt(cities, 0.3, other_city)), pa.array(spoilt(cities, 0.2, other_city))
    ),
    "classification, top 2": Case(
        TaskOptions(classes=CITIES, top_k=2), pa.array(cities), rows_of_numbers(3), rows_of_numbers(3)
    ),
    "classification, a threshold each": Case(
        TaskOptions(outputs="scores", classes=("no", "yes"), threshold=PerModel(candidate=0.4, incumbent=0.6)),
        pa.array(["yes" if x else "no" for x in random.random(ROWS) < 0.5]), *graded,
    ),
    "multilabel, each": Case(
        TaskOptions("multilabel", classes=TAGS), pa.array(tags), pa.array(old_tags), pa.array(new_tags)
    ),
    "multilabel, indicators": Case(
        TaskOptions("multilabel", classes=TAGS), indicators(tags, pa.bool_()), indicators(old_tags, pa.float64()),
        indicators(new_tags, pa.int64()),
    ),
    "multilabel, probabilities": Case(
        TaskOptions("multilabel", outputs="probabilities", classes=TAGS, threshold=0.25), pa.array(tags),
        rows_of_numbers(4), rows_of_numbers(4),
    ),
    "multilabel, one label": Case(
        TaskOptions("multilabel", classes=("war",)), pa.array([t.count("war") for t in tags]),
        pa.array([t.count("war") > 0 for t in old_tags]), pa.array([["war"] * t.count("war") for t in new_tags]),
    ),
    "multilabel, set": Case(
        TaskOptions("multilabel", match="set"), pa.array(tags), pa.array(old_tags), pa.array(new_tags)
    ),
    "regression, absolute": Case(
        TaskOptions("regression", tolerance=Tolerance(absolute=5.0)), pa.array(prices), old_prices, new_prices
    ),
    "regression, relative": Case(
        TaskOptions("regression", tolerance=Tolerance(relative=0.05)), pa.array(prices), old_prices, new_prices
    ),
    "regression, a column": Case(
        TaskOptions("regression", tolerance=Tolerance(column="near")), pa.array(prices), old_prices, new_prices,
        columns={"near": pa.array(random.random(ROWS) * 10)},
    ),
    "regression, continuous": Case(
        TaskOptions("regression", continuous=True), pa.array(prices), old_prices, new_prices, needs_incumbent=True
    ),
    "generation, exact": Case(
        TaskOptions("generation"), pa.array(cities), pa.array(old_name), pa.array(new_name)
    ),
    "generation, normalized": Case(
        TaskOptions("generation", match="normalized"), pa.array(cities), pa.array(old_name), pa.array(new_name)
    ),
    "generation, any of several": Case(
        TaskOptions("generation", match="normalized"), pa.array([[c, "x"] if i % 3 else [c] for i, c in enumerate(cities)]),
        pa.array(old_name), pa.array(new_name),
    ),
    "generation, regex": Case(
        TaskOptions("generation", match="regex", pattern="(?i)bern|oslo|rome"), pa.array(cities), pa.array(old_name),
        pa.array(new_name),
    ),
    "generation, number": Case(
        TaskOptions("generation", match="number", tolerance=Tolerance(absolute=0.5)), pa.array(sums), pa.array(old_text),
        pa.array(new_text),
    ),
    "generation, scored": Case(
        TaskOptions("generation", score=ScoreColumns("new_score", "old_score"), right_at_least=0.5), pa.nulls(ROWS),
        pa.array(old_text), pa.array(new_text), scores=(graded[0], graded[1]),
    ),
    "scores, right or wrong": Case(TaskOptions("scores"), pa.nulls(ROWS), *passed),
    "scores, yes or no": Case(
        TaskOptions("scores"), pa.nulls(ROWS), *(pa.array(["yes" if right else "no" for right in p.to_pylist()]) for p in passed)
    ),
    "scores, from a half on": Case(TaskOptions("scores", right_at_least=0.5), pa.nulls(ROWS), *graded),
    "scores, continuous": Case(
        TaskOptions("scores", continuous=True), pa.nulls(ROWS), *graded, needs_incumbent=True
    ),
}  # fmt: skip

every = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


def counted(case: Case, *cuts: int, swapped: bool = False) -> FlipTable:
    task = case.task()
    edges = [0, *cuts, ROWS]
    parts = [case.batch(a, b, swapped=swapped) for a, b in pairwise(edges)]
    return task.finish(merge([count(task.outcomes(part), keep=ROWS * 4) for part in parts]))


def contents(table: FlipTable) -> object:
    """All that a table says, whatever it is that it counts."""
    return {name: _plain(part) for name, part in vars(table).items() if name not in ("matrix",)}, sorted(
        (repr(key), n) for key, n in table.matrix.items()
    )


def _plain(part: Any) -> Any:
    if isinstance(part, np.ndarray):
        return part.tolist()
    if isinstance(part, tuple):
        return [_plain(item) for item in part]
    if hasattr(part, "items"):
        return {key: _plain(value) for key, value in part.items()}
    if hasattr(part, "__dict__"):
        return {key: _plain(value) for key, value in vars(part).items() if not key.startswith("_")}
    return part


def test_every_kind_of_task_is_among_the_cases():
    assert {case.options.kind for case in CASES.values()} == set(KINDS) == set(KEYS)


@every
def test_the_rows_hold_flips_of_both_kinds_so_that_the_other_claims_say_something(case):
    found = counted(case).overall
    assert found.negative and found.positive and found.both_right


@every
def test_counting_shards_and_adding_equals_counting_once(case):
    once = case.task()
    whole = count(once.outcomes(case.batch()), keep=ROWS * 4)
    shards = []
    for a, b in ((0, 100), (100, 101), (101, ROWS)):
        task = case.task()  # each shard on a machine of its own
        shards.append(count(task.outcomes(case.batch(a, b)), keep=ROWS * 4))
    assert contents(once.finish(merge(shards))) == contents(once.finish(whole))


@every
@pytest.mark.parametrize("cuts", [(1,), (80, 160), tuple(range(7, ROWS, 7))], ids=["1", "80", "7"])
def test_the_size_of_the_batches_does_not_move_the_counts(case, cuts):
    assert contents(counted(case, *cuts)) == contents(counted(case))


@every
def test_swapping_the_models_swaps_the_flips(case):
    other, threshold = case, case.options.threshold
    if isinstance(threshold, PerModel):  # each keeps its own
        exchanged = PerModel(candidate=threshold.incumbent, incumbent=threshold.candidate)
        other = replace(case, options=replace(case.options, threshold=exchanged))
    assert counted(other, swapped=True).overall == counted(case).overall.swapped()


@every
def test_slices_and_weights_travel_along_with_every_unit(case):
    found = case.task().outcomes(case.batch())
    units = len(found) // ROWS
    assert set(found.slices) >= {"half"}
    assert found.slices["half"].codes.tolist() == np.repeat(np.arange(ROWS) % 2, units).tolist()
    assert found.weight.tolist() == np.repeat(np.linspace(1, 2, ROWS), units).tolist()
    assert counted(case).cells["half"].values == ("even", "odd")


@every
def test_clusters_travel_along_with_every_unit(case):
    batch = case.batch()
    clusters = Codes(np.arange(ROWS) // 5, list(range(ROWS // 5)))
    found = case.task().outcomes(replace(batch, cluster=clusters))
    assert found.cluster is not None
    assert found.cluster.codes.tolist() == np.repeat(np.arange(ROWS) // 5, len(found) // ROWS).tolist()


@every
def test_without_an_incumbent_the_candidate_is_judged_alone_or_the_task_says_why_not(case):
    if case.needs_incumbent:
        with pytest.raises(EvidenceError, match="there is no incumbent, and `continuous` only compares"):
            case.task().outcomes(case.batch(alone=True))
        return
    task = case.task()
    alone = count(task.outcomes(case.batch(alone=True))).overall
    both = counted(case).overall
    assert alone.negative == alone.both_right == 0
    assert alone.positive == both.both_right + both.positive
    assert alone.both_wrong == both.negative + both.both_wrong


@every
def test_an_empty_batch_adds_nothing(case):
    task = case.task()
    whole = count(task.outcomes(case.batch()))
    empty = task.outcomes(case.batch(0, 0))
    assert len(empty) == 0
    assert contents(task.finish(merge([whole, count(empty)]))) == contents(task.finish(whole))
    alone = case.task()
    assert alone.finish(count(alone.outcomes(case.batch(0, 0)))).overall.n == 0


def holed(column: pa.Array, row: int, value: Any = None) -> pa.Array:
    values = column.to_pylist()
    values[row] = value
    return pa.array(values, column.type if value is None else None)


@every
@pytest.mark.parametrize("role", ["incumbent", "candidate"])
def test_a_missing_answer_is_an_error_that_names_the_row(case, role):
    broken = replace(case, **{role: holed(getattr(case, role), 17)})
    with pytest.raises(EvidenceError) as caught:
        broken.task().outcomes(broken.batch(10, 30))
    assert caught.value.problems[0].where == f"{role} model"
    assert "missing" in str(caught.value) and "row 17" in str(caught.value)


@every
@pytest.mark.parametrize("role", ["incumbent", "candidate", "label"])
def test_after_exclusions_a_row_keeps_its_number_in_messages(case, role):
    if role == "label" and not case.options.needs_label:
        pytest.skip("it reads no label")
    broken = replace(case, **{role: holed(getattr(case, role), 17)})
    kept = np.isin(np.arange(10, 30), [11, 12, 15], invert=True)
    with pytest.raises(EvidenceError, match=r"missing.*row 17"):
        broken.task().outcomes(broken.batch(10, 30).only(kept))


@every
@pytest.mark.parametrize("role", ["incumbent", "candidate"])
def test_a_nan_is_an_error_that_names_the_row(case, role):
    column = getattr(case, role)
    kind = column.type
    if pa.types.is_floating(kind):
        broken = holed(column, 17, float("nan"))
    elif pa.types.is_fixed_size_list(kind):
        broken = holed(column, 17, [float("nan")] * kind.list_size)
    elif pa.types.is_list(kind) and pa.types.is_floating(kind.value_type):
        broken = holed(column, 17, [float("nan")] * len(TAGS))
    else:
        pytest.skip("its answers cannot be NaN")
    spoilt_ = replace(case, **{role: broken})
    with pytest.raises(EvidenceError, match=r"NaN.*row 17") as caught:
        spoilt_.task().outcomes(spoilt_.batch(10, 30))
    assert caught.value.problems[0].where == f"{role} model"


@every
def test_a_missing_label_is_an_error_that_names_the_row(case):
    if not case.options.needs_label:
        pytest.skip("it reads no label")
    broken = replace(case, label=holed(case.label, 17))
    with pytest.raises(EvidenceError, match=r"missing.*row 17") as caught:
        broken.task().outcomes(broken.batch(10, 30))
    assert caught.value.problems[0].where == "held-out set"


@every
def test_one_answer_less_is_an_error(case):
    batch = case.batch(0, 20)
    short = Answers.of(case.candidate.slice(0, 19), None if case.scores is None else case.scores[1].slice(0, 19))
    with pytest.raises(EvidenceError, match=r"19 (answers|scores) for 20 rows"):
        case.task().outcomes(replace(batch, candidate=short))


@every
def test_answers_of_a_type_that_it_does_not_know_are_an_error(case):
    batch = case.batch(0, 2)
    for strange in (pa.array([{"a": 1}, {"a": 2}]), pa.array([[["x"]], [["y"]]])):
        with pytest.raises(EvidenceError):
            case.task().outcomes(replace(batch, candidate=Answers(strange)))


@every
def test_finishing_an_empty_table_is_no_mistake(case):
    assert case.task().finish(FlipTable()).overall.n == 0
