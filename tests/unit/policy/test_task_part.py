"""What may stand under ``task``: every mistake with its place, every sound way with what it becomes."""

from __future__ import annotations

import pytest

from gate.errors import UsageError
from gate.policy.load import parse_policy
from gate.tasks.options import PerModel, ScoreColumns, TaskOptions, Tolerance

HEAD = "version: 1\nname: small\n"
RULES = "rules:\n  - {id: few, rate: nfr, at_most: 1%}\n"


def mistakes(task: str, more: str = "", rules: str = RULES) -> list[str]:
    with pytest.raises(UsageError) as caught:
        parse_policy(f"{HEAD}task: {{{task}}}\n{rules}{more}", "p.yaml")
    return [str(problem).split("\n")[0] for problem in caught.value.problems]


SOUND = {
    "": TaskOptions(),
    "outputs: scores, classes: [no, yes], threshold: {candidate: 0.4, incumbent: 1}": TaskOptions(
        outputs="scores", classes=("no", "yes"), threshold=PerModel(0.4, 1.0)
    ),
    "top_k: 5": TaskOptions(top_k=5),
    "kind: multilabel, classes: [a, b]": TaskOptions("multilabel", classes=("a", "b")),
    "kind: multilabel, classes: [a]": TaskOptions("multilabel", classes=("a",)),
    "kind: multilabel, match: set": TaskOptions("multilabel", match="set"),
    "kind: multilabel, classes: [1, 2], outputs: probabilities, threshold: 0.3": TaskOptions(
        "multilabel", outputs="probabilities", classes=(1, 2), threshold=0.3
    ),
    "kind: regression, tolerance: {absolute: 1}": TaskOptions("regression", tolerance=Tolerance(absolute=1.0)),
    "kind: regression, tolerance: {relative: 5%}": TaskOptions("regression", tolerance=Tolerance(relative=0.05)),
    "kind: regression, tolerance: {column: near}": TaskOptions("regression", tolerance=Tolerance(column="near")),
    "kind: regression, continuous: true": TaskOptions("regression", continuous=True),
    "kind: generation": TaskOptions("generation"),
    "kind: generation, match: regex, pattern: '[A-D]'": TaskOptions("generation", match="regex", pattern="[A-D]"),
    "kind: generation, match: number, take: first, tolerance: {absolute: 0.5}": TaskOptions(
        "generation", match="number", take="first", tolerance=Tolerance(absolute=0.5)
    ),
    "kind: generation, score: judge, right_at_least: 1": TaskOptions(
        "generation", score=ScoreColumns("judge", "judge"), right_at_least=1.0
    ),
    "kind: generation, score: {candidate: c, incumbent: i}, continuous: true": TaskOptions(
        "generation", score=ScoreColumns("c", "i"), continuous=True
    ),
    "kind: scores": TaskOptions("scores"),
    "kind: scores, right_at_least: 0.5": TaskOptions("scores", right_at_least=0.5),
}


@pytest.mark.parametrize("task", SOUND)
def test_a_sound_task_becomes_its_options(task):
    assert parse_policy(f"{HEAD}task: {{{task}}}\n{RULES}").task == SOUND[task]


BROKEN = {
    "kind: regresion": ["8: task.kind: unknown value 'regresion'; did you mean 'regression'?"],
    "match: each": ["8: task.match: does not belong to kind: classification, which knows outputs, classes, threshold, top_k"],
    "kind: regression, tolerance: {absolute: 1}, classes: [a, b]": [
        "52: task.classes: does not belong to kind: regression, which knows tolerance, continuous, largest_change"],
    "kind: scores, match: set": [
        "22: task.match: does not belong to kind: scores, which knows right_at_least, continuous, largest_change"],
    "kind: scores, rihgt_at_least: 1": ["22: task.rihgt_at_least: unknown key; did you mean 'right_at_least'?"],
    "outputs: indicators": ["8: task.outputs: unknown value 'indicators'; did you mean 'indices'?"],
    "kind: multilabel, classes: [a, b], match: sets": ["43: task.match: unknown value 'sets'; did you mean 'set'?"],
    "kind: multilabel, classes: [a, b], match: exact": ["43: task.match: unknown value 'exact'; did you mean 'each'?"],
    "kind: generation, match: normalised": ["26: task.match: unknown value 'normalised'; did you mean 'normalized'?"],
    "kind: generation, match: number, take: middle": ["41: task.take: unknown value 'middle'; one of: first, last"],
    # classification
    "top_k: 0": ["8: task.top_k: must be greater than or equal to 1; found 0"],
    "top_k: 2, outputs: labels": ["8: task.top_k: top_k goes with one number per class: probabilities or logits"],
    "top_k: 3, classes: [a, b, c]": ["8: task.top_k: any label is among the 3 largest of 3 classes: it must be less"],
    "outputs: scores, threshold: {candidate: 0.4}": ["25: task.threshold: the key 'incumbent' is missing"],
    "outputs: scores, threshold: {candidate: 0.4, incumbant: 0.5}": [
        "25: task.threshold: the key 'incumbent' is missing",
        "53: task.threshold.incumbant: unknown key; did you mean 'incumbent'?"],
    "outputs: scores, threshold: {candidate: low, incumbent: 0.5}": [
        "37: task.threshold.candidate: must be a valid number; found 'low'"],
    # multilabel
    "kind: multilabel": ["1: task: the key 'classes' is missing: match: each judges every label of every row"],
    "kind: multilabel, match: set, outputs: indicators": [
        "1: task: the key 'classes' is missing: indicators have a place for each label"],
    "kind: multilabel, classes: []": ["26: task.classes: there must be at least one class; found 0"],
    "kind: multilabel, classes: [true, false]": [
        "36: task.classes[0]: a label is text or a whole number; found True",
        "42: task.classes[1]: a label is text or a whole number; found False"],
    "kind: multilabel, classes: [cat, not cat]": [
        "26: task.classes: 'not cat' is a class, and what a row without another class is called: rename one"],
    "kind: multilabel, classes: [a, b], threshold: 0.5": ["43: task.threshold: a threshold goes with outputs: probabilities"],
    # regression
    "kind: regression": ["1: task: nothing says what is right: say how near is right, tolerance: {absolute: 0.5}, or continuous: true"],
    "kind: regression, tolerance: {absolute: 1}, continuous: true": [
        "52: task.continuous: either tolerance says what is right, or the two models are only compared"],
    "kind: regression, tolerance: {}": ["26: task.tolerance: a tolerance is absolute, relative or a column; found none"],
    "kind: regression, tolerance: {absolute: 1, relative: 5%}": [
        "26: task.tolerance: a tolerance is absolute, relative or a column; found absolute and relative"],
    "kind: regression, tolerance: {absolute: -1}": ["38: task.tolerance.absolute: a tolerance is 0 or more; found -1"],
    "kind: regression, tolerance: {absolute: .nan}": ["38: task.tolerance.absolute: must be finite; found nan"],
    "kind: regression, tolerance: {relative: 0.05}": ["38: task.tolerance.relative: must be a percentage such as 95%; found 0.05"],
    "kind: regression, tolerance: {relative: -5%}": ["38: task.tolerance.relative: must be a percentage such as 95%; found '-5%'"],
    "kind: regression, tolerance: {collumn: near}": [
        "26: task.tolerance: a tolerance is absolute, relative or a column; found none",
        "38: task.tolerance.collumn: unknown key; did you mean 'column'?"],
    # generation
    "kind: generation, match: regex": ["1: task: the key 'pattern' is missing: it finds the answer in the text"],
    "kind: generation, match: regex, pattern: '('": [
        "40: task.pattern: not a regular expression: missing ): (?P<answer>()"],
    "kind: generation, match: regex, pattern: '(a)'": [
        "40: task.pattern: its groups must be named: (?:...) for one that only groups, (?P<answer>...) for the answer"],
    "kind: generation, pattern: a": ["26: task.pattern: a pattern goes with match: regex"],
    "kind: generation, take: last": ["26: task.take: take goes with match: number"],
    "kind: generation, tolerance: {absolute: 1}": ["26: task.tolerance: a tolerance goes with match: number"],
    "kind: generation, right_at_least: 1": ["26: task.right_at_least: right_at_least goes with score"],
    "kind: generation, continuous: true": ["26: task.continuous: continuous goes with score"],
    "kind: generation, score: s, match: exact": ["36: task.match: either score judges the texts or match does"],
    "kind: generation, score: {candidate: c}": ["26: task.score: the key 'incumbent' is missing"],
    # scores
    "kind: scores, right_at_least: 1, continuous: true": [
        "41: task.continuous: either right_at_least says what is right, or the two models are only compared"],
    "kind: scores, largest_change: 1": ["22: task.largest_change: goes with scores that are more than right or wrong"],
    "kind: generation, match: exact, largest_change: 1": [
        "40: task.largest_change: goes with scores that are more than right or wrong"],
    "kind: scores, continuous: true, largest_change: 0": [
        "40: task.largest_change: two scores of a row can be apart by more than 0; found 0"],
    "kind: scores, continuous: true, largest_change: much": [
        "40: task.largest_change: must be a valid number; found 'much'"],
    "left_open: [classes, tolerence]": [
        "29: task.left_open[1]: unknown value 'tolerence'; did you mean 'tolerance'?"],
    "kind: scores, right_at_least: half": ["22: task.right_at_least: must be a valid number; found 'half'"],
}  # fmt: skip


@pytest.mark.parametrize("task", BROKEN)
def test_a_mistake_under_task_is_told_with_its_place(task):
    assert mistakes(task) == [f"p.yaml:3:{line}" for line in BROKEN[task]]


def rule(text: str) -> str:
    return f"rules:\n  - {{id: a, {text}}}\n"


@pytest.mark.parametrize(
    ("task", "rules", "said"),
    [
        ("kind: scores", rule("rate: nfr, by: class, at_most: 1%"), "by: kind: scores has no class: cut by a slice"),
        ("kind: generation", rule("rate: nfr, by: output, at_most: 1%"), "by: kind: generation has no output: cut by a slice"),
        ("kind: multilabel, match: set", rule("rate: nfr, by: class, at_most: 1%"),
         "by: kind: multilabel, match: set has no class: cut by a slice"),
        ("kind: regression, continuous: true", rule("rate: error_rate, at_most: 1%"),
         "rate: error_rate has no meaning here: task.continuous only compares the two scores of a row; nfr and"
         " error_rate_change have one"),
        ("kind: scores", rule("rate: churn, at_most: 1%"),
         "rate: churn has no meaning here: kind: scores does not know what the models answered; nfr and error_rate_change"
         " have one"),
        ("kind: regression, continuous: true", rule("rate: error_rate_ratio, at_most: 1"),
         "rate: error_rate_ratio has no meaning here: task.continuous only compares the two scores of a row; nfr and"
         " error_rate_change have one"),
        ("kind: classification", rule("rate: mean_loss, at_most: 0.5"),
         "rate: mean_loss needs scores, and kind: classification has none"),
        ("kind: scores", rule("rate: mean_gain, at_least: 0.5"),
         "rate: mean_gain needs scores that are more than right or wrong: say task.right_at_least, or continuous: true"),
        ("kind: generation, match: exact", rule("rate: mean_loss, at_most: 0.5"),
         "rate: mean_loss needs scores that are more than right or wrong: say task.score and right_at_least, or"
         " continuous: true"),
        ("kind: scores, continuous: true", rule("rate: mean_loss, at_most: 5%"),
         "at_most: a limit on mean_loss is a number in a unit of its own, without a % sign; found '5%'"),
        ("kind: scores, continuous: true", rule("rate: mean_loss, at_most: 0"),
         "at_most: no number of rows can prove that mean_loss is 0: allow a small rate, or say decide_on: harm"),
        ("kind: scores, continuous: true", rule("rate: mean_loss, at_least: -1"),
         "at_least: mean_loss lies between 0 and inf; found -1"),
    ],
)  # fmt: skip
def test_a_rule_about_what_the_task_does_not_have_is_a_mistake(task, rules, said):
    (found,) = mistakes(task, rules=rules)
    assert found.startswith("p.yaml:5:")
    assert found.endswith(f"rules[0] 'a': {said}")


def test_a_label_that_nothing_reads_is_a_mistake():
    assert mistakes("kind: scores", "holdout: {label: y}\n") == [
        "p.yaml:6:11: holdout.label: no label is read: the predictions are judged already"
    ]


def test_multilabel_rules_may_go_by_label_and_no_slice_has_that_name():
    task = "task: {kind: multilabel, classes: [a, b]}\n"
    by_label = rule("rate: nfr, by: label, at_most: 1%")
    assert parse_policy(f"{HEAD}{task}{by_label}").rules[0].by == "label"
    (found,) = mistakes("kind: multilabel, classes: [a, b]", "holdout: {slices: {label: {column: x}}}\n")
    assert found.endswith("a slice cannot be called 'label': kind: multilabel means something else by it")
    with pytest.raises(UsageError, match="unknown slice 'label'"):
        parse_policy(f"{HEAD}{by_label}")
