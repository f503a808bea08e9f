"""What a policy's words become where no rule shows it, and mistakes in its rarer corners."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gate.core.flips import Cells, FlipCounts, FlipTable
from gate.core.measured import Measured
from gate.errors import UsageError
from gate.policy.judge import judge
from gate.policy.load import load_policy, parse_policy
from gate.policy.schema import json_schema, schema_text
from gate.tasks.slicing import ByBins, ByColumn, ByColumns, Where
from gate.tasks.where import parse

HEAD = "version: 1\nname: x\n"
RULES = "rules:\n  - {id: a, rate: nfr, at_most: 1%}\n"


def mistakes(text: str) -> list[str]:
    with pytest.raises(UsageError) as error:
        parse_policy(text, "p.yaml")
    return [f"{problem.where}: {problem.found}" for problem in error.value.problems]


def test_each_way_to_cut_is_read_as_it_is_written():
    condition = "tenure < 30 and not region in ('n', 's')"
    text = f"""{HEAD}holdout:
  slices:
    region: {{column: area}}
    ages: {{column: age, bins: [18, 65.5]}}
    both: {{columns: [area, sex]}}
    new: {{where: "{condition}"}}
{RULES}"""
    assert parse_policy(text).holdout.slices == {
        "region": ByColumn("area"),
        "ages": ByBins("age", (18.0, 65.5)),
        "both": ByColumns(("area", "sex")),
        "new": Where(parse(condition), condition),
    }
    assert [type(edge) for edge in parse_policy(text).holdout.slices["ages"].edges] == [float, float]


POSITIVE = {
    "a gain of nothing": ("{label: x, output: y, gain: 0}", "101: net_cost.positive[0].gain: a gain is above 0; found 0"),
    "a flip to itself": (
        "{label: x, output: x, gain: 1}", "79: net_cost.positive[0]: label and output are both 'x': that is no flip",
    ),
    "a flip twice": (
        "{label: x, output: y, gain: 1}, {label: x, output: y, gain: 2}",
        "111: net_cost.positive[1]: the flip 'x' to 'y' stands here a second time",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", POSITIVE)
def test_flips_that_save_are_checked_as_those_that_cost(name):
    flips, said = POSITIVE[name]
    cost = "negative: [{label: x, output: y, cost: 1}]"
    column, told = said.split(": ", 1)
    assert mistakes(f"{HEAD}rules:\n  - {{id: a, net_cost: {{{cost}, positive: [{flips}]}}, at_most: 1}}\n") == [
        f"p.yaml:4:{column}: rules[0] 'a': {told}"
    ]


def test_a_flip_may_both_cost_one_way_and_save_the_other():
    text = (
        f"{HEAD}rules:\n  - id: a\n    at_most: 1\n    net_cost: {{positive: [{{label: x, output: y, gain: 1}}],\n"
        "      negative: [{label: x, output: y, cost: 1}]}\n"
    )
    (rule,) = parse_policy(text).rules
    assert rule.id == "a"


def test_an_unknown_key_of_an_environment_is_told_with_the_nearest_of_its_own():
    assert mistakes(f"{HEAD}{RULES}environments: {{prod: {{evidense: {{}}}}}}\n") == [
        "p.yaml:5:23: environments.prod.evidense: unknown key; did you mean 'evidence'?"
    ]
    assert mistakes(f"{HEAD}{RULES}environments: {{prod: {{evidence: {{luoks: 2}}}}}}\n") == [
        "p.yaml:5:34: environments.prod.evidence.luoks: unknown key; did you mean 'looks'?"
    ]


@pytest.mark.parametrize("parent", ["- a\n- b\n", "just text\n", ""])
def test_a_parent_that_is_no_policy_brings_nothing_and_the_childs_mistakes_keep_their_places(tmp_path, parent):
    (tmp_path / "p.yaml").write_text("extends: org.yaml\nname: x\nevidence: {luoks: 2}\n")
    (tmp_path / "org.yaml").write_text(parent)
    with pytest.raises(UsageError) as error:
        load_policy(tmp_path / "p.yaml")
    assert [f"{problem.where}: {problem.found}".replace(f"{tmp_path}/", "") for problem in error.value.problems] == [
        "p.yaml:1:1: the key 'rules' is missing",
        "p.yaml:1:1: the key 'version' is missing",
        "p.yaml:3:12: evidence.luoks: unknown key; did you mean 'looks'?",
    ]


def test_a_schema_is_published_sorted_in_plain_letters_and_says_which_language_it_is():
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    text = schema_text({"b": "für", "a": [1, {"c": None}]})
    assert text == '{\n "a": [\n  1,\n  {\n   "c": null\n  }\n ],\n "b": "für"\n}\n'
    assert json.loads(schema_text(schema)) == schema


GENERATION = {
    "score: judge, right_at_least: 1, continuous: true":
        "task.continuous: either right_at_least says what is right, or the two models are only compared",
    "score: judge, match: exact": "task.match: either score judges the texts or match does",
    "right_at_least: 1": "task.right_at_least: right_at_least goes with score",
    "continuous: true": "task.continuous: continuous goes with score",
}  # fmt: skip


@pytest.mark.parametrize("task", GENERATION)
def test_texts_are_judged_in_one_way_only(task):
    found = mistakes(f"{HEAD}task: {{kind: generation, {task}}}\n{RULES}")
    assert GENERATION[task] in [line.split(": ", 1)[1] for line in found]


@pytest.mark.parametrize(
    ("rule", "up_to", "wider"),
    [("rate: btc, at_least: 0.9", "0.8", True), ("rate: btc, at_least: 0.9", "0.95", False),
     ("rate: btc, at_least: 0.9", "0.9", False), ("rate: nfr, at_most: 3%", "4%", True),
     ("rate: nfr, at_most: 3%", "2%", False), ("rate: nfr, at_most: 3%", "3%", False)],
)  # fmt: skip
def test_a_waiver_moves_a_limit_outwards_only_from_either_side(rule, up_to, wider):
    text = (
        f"{HEAD}rules: [{{id: a, {rule}}}]\n"
        f"waivers: [{{rule: a, because: x, owner: y, expires: 2027-01-31, up_to: {up_to}}}]\n"
    )
    if wider:
        assert parse_policy(text).waivers[0].up_to is not None
    else:
        (found,) = mistakes(text)
        assert f"{up_to} is no wider than the rule's" in found


def test_a_policy_that_is_not_there_says_where_to_find_one(tmp_path):
    with pytest.raises(UsageError) as error:
        load_policy(tmp_path / "none.yaml")
    (problem,) = error.value.problems
    assert (problem.where, problem.found) == (str(tmp_path / "none.yaml"), "no such policy file")
    assert problem.hint == (
        "is the path right? `gate demo` writes one, and the gate's repository has some in policies/"
    )


def test_the_columns_and_files_of_the_held_out_set_are_read():
    text = (
        f"{HEAD}holdout: {{id: row, label: y, cluster: user, weight: w, exclusions: out.csv, contract: suite.json,"
        f" noise_floor: [s1, s2]}}\n{RULES}"
    )
    found = parse_policy(text, "folder/p.yaml").holdout
    assert (found.id, found.label, found.cluster, found.weight) == ("row", "y", "user", "w")
    assert (found.exclusions, found.contract) == ("folder/out.csv", "folder/suite.json")
    assert found.noise_floor == ("s1", "s2")


def test_an_override_that_is_no_mapping_hides_no_mistake_behind_it():
    text = f"{HEAD}rules: [{{id: a, rate: nfr, by: class, at_most: 1%, overrides: [x, {{cell: b, at_most: 5}}]}}]\n"
    assert [line.split(": ", 1)[1] for line in mistakes(text)] == [
        "rules[0] 'a': overrides[0]: must be a mapping of keys; found 'x'",
        "rules[0] 'a': overrides[1].at_most: a limit on nfr carries a % sign; found 5, did you mean '5%'?",
    ]


@pytest.mark.parametrize("of", ["candidate", "incumbent"])
def test_limits_on_the_error_rate_of_either_model_are_checked(of):
    (found,) = mistakes(f"{HEAD}rules: [{{id: a, rate: error_rate, of: {of}, at_most: 5}}]\n")
    assert found.endswith("at_most: a limit on error_rate carries a % sign; found 5, did you mean '5%'?")


def test_labels_are_a_dimension_where_each_is_judged_for_itself_and_not_where_the_set_is():
    task = "task: {kind: multilabel, classes: [a, b], match: %s}\n"
    rules = "rules: [{id: a, rate: nfr, by: label, at_most: 1%}]\n"
    assert parse_policy(HEAD + task % "each" + rules).rules[0].id == "a"
    (found,) = mistakes(HEAD + task % "set" + rules)
    assert "unknown slice 'label'" in found


def test_rules_that_fit_no_cell_are_all_told_whatever_their_kind():
    flips = FlipTable(FlipCounts(5), {"class": Cells(("x", "y"), np.array([[2, 0, 0, 0, 0], [3, 0, 0, 0, 0]]))})
    text = (
        f"{HEAD}rules:\n"
        "  - {id: a, rate: nfr, by: output, at_most: 1%}\n"
        "  - {id: b, net_cost: {negative: [{label: z, output: y, cost: 1}]}, at_most: 1}\n"
        "  - {id: c, rate: nfr, by: class, at_most: 1%, overrides: [{cell: q, at_most: 2%}]}\n"
    )
    with pytest.raises(UsageError) as error:
        judge(parse_policy(text, "p.yaml").rules, Measured(flips, 0.95))
    assert [problem.where for problem in error.value.problems] == ["p.yaml:4", "p.yaml:5", "p.yaml:6"]


COST = "net_cost: {negative: [{label: x, output: y, cost: 1}]}"
PLACED = {
    "after a rule of text": (
        "rules: [x, {id: a, rate: nfr, at_most: 1}]\n",
        ["3:9: rules[0]: must be a mapping of keys; found 'x'",
         "3:31: rules[1] 'a': at_most: a limit on nfr carries a % sign; found 1, did you mean '1%'?"],
    ),
    "after a waiver of text": (
        RULES + "waivers: [x, {rule: b, because: c, owner: d, expires: 2027-01-31}]\n",
        ["5:11: waivers[0]: must be a mapping of keys; found 'x'", "5:15: waivers[1].rule: there is no rule 'b'; one of: a"],
    ),
    "after keys that are no names": (
        "? [a]\n: 1\n? {b: c}\n: 2\nnmae: y\n" + RULES,
        ["3:3: a key must be a plain name", "5:3: a key must be a plain name",
         "7:1: nmae: unknown key; did you mean 'name'?"],
    ),
    "a cost by cells": (
        f"rules: [{{id: a, {COST}, at_most: 1, by: class}}]\n", ["3:85: rules[0] 'a': by: by does not go with net_cost"],
    ),
    "a cost of texts": (
        f"task: {{kind: generation, match: exact}}\nrules: [{{id: a, {COST}, at_most: 1}}]\n",
        ["4:17: rules[0] 'a': net_cost: kind: generation has no classes, so no flips from one to another"],
    ),
    "a cost of label sets": (
        f"task: {{kind: multilabel, classes: [x, y], match: set}}\nrules: [{{id: a, {COST}, at_most: 1}}]\n",
        ["4:17: rules[0] 'a': net_cost: kind: multilabel has no classes, so no flips from one to another"],
    ),
    "a cost of a class that there is not": (
        f"task: {{classes: [x, z]}}\nrules: [{{id: a, {COST}, at_most: 1}}]\n",
        ["4:50: rules[0] 'a': net_cost.negative[0].output: 'y' is no class of task.classes; one of: x, z"],
    ),
    "a slice called as the labels are": (
        "task: {kind: multilabel, classes: [a]}\nholdout: {slices: {label: {column: c}}}\n" + RULES,
        ["4:20: holdout.slices.label: a slice cannot be called 'label': kind: multilabel means something else by it"],
    ),
    "a cost of words": (
        f"rules: [{{id: a, {COST}, at_most: z}}]\n",
        ["3:73: rules[0] 'a': at_most: a limit on net_cost is written like 0.3; found 'z'"],
    ),
    "a loss of repeated answers": (
        "task: {kind: generation, score: j, right_at_least: 1}\nholdout: {id: r, sample: s}\n"
        "rules: [{id: a, rate: mean_loss, at_most: 1}]\n",
        ["5:17: rules[0] 'a': rate: mean_loss takes rows as independent and alike, and holdout.sample says otherwise:"
         " there is no bound on it"],
    ),
    "a loss without scores": (
        "task: {kind: generation}\nrules: [{id: a, rate: mean_loss, at_most: 1}]\n",
        ["4:17: rules[0] 'a': rate: mean_loss needs scores that are more than right or wrong: say task.score and"
         " right_at_least, or continuous: true"],
    ),
    "a locked rule in an environment": (
        "rules:\n  - {id: a, rate: nfr, at_most: 1%, locked: true}\n"
        "environments: {prod: {rules: [{id: a, at_most: 2%}]}}\n",
        ["5:31: environments.prod.rules[0] 'a': the rule is locked in p.yaml:4:5 and cannot be restated"],
    ),
    "bins that are words": (
        "holdout: {slices: {s: {column: c, bins: [x, 3, 1]}}}\n" + RULES,
        ["3:42: holdout.slices.s.bins[0]: must be a valid integer; found 'x'"],
    ),
    "a waiver of the candidate's errors": (
        "rules: [{id: a, rate: error_rate, of: candidate, at_most: 2%}]\n"
        "waivers: [{rule: a, because: b, owner: c, expires: 2027-01-31, up_to: 1%}]\n",
        ["4:64: waivers[0].up_to: 1% is no wider than the rule's at_most 2%"],
    ),
    "a waiver of the incumbent's errors": (
        "rules: [{id: a, rate: error_rate, of: incumbent, at_most: 2%}]\n"
        "waivers: [{rule: a, because: b, owner: c, expires: 2027-01-31, up_to: 1%}]\n",
        ["4:64: waivers[0].up_to: 1% is no wider than the rule's at_most 2%"],
    ),
    "a label beside scores": (
        "task: {kind: generation, score: judge, right_at_least: 1}\nholdout: {label: y}\n" + RULES,
        ["4:11: holdout.label: no label is read: the predictions are judged already"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLACED)
def test_a_mistake_in_a_corner_is_told_with_its_place_and_hides_none(name):
    text, said = PLACED[name]
    assert mistakes(HEAD + text) == [f"p.yaml:{line}" for line in said]


def test_a_cost_of_weighted_rows_is_told_where_it_stands():
    (found,) = mistakes(f"{HEAD}holdout: {{weight: w}}\nrules: [{{id: a, {COST}, at_most: 1}}]\n")
    assert found.startswith("p.yaml:4:17: rules[0] 'a': net_cost: ") and "holdout.weight" in found


@pytest.mark.parametrize(
    "text",
    [
        "task: {kind: regression, tolerance: {absolute: 0}}\n" + RULES,
        "task: {kind: generation}\nholdout: {label: y}\n" + RULES,
        f"task: {{kind: multilabel, classes: [x, y]}}\nrules: [{{id: a, {COST}, at_most: 1}}]\n",
    ],
)
def test_what_is_unusual_and_right_is_read(text):
    assert parse_policy(HEAD + text).rules[0].id == "a"


def test_numbers_may_be_written_with_underscores():
    (rule,) = parse_policy(f"{HEAD}rules: [{{id: a, rate: relative_nfr, at_most: 1_0.2_5}}]\n").rules
    assert rule.threshold.limit == 10.25
