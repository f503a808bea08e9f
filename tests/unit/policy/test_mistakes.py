"""Every mistake in a policy is reported with file, line and column, all of them at once."""

from __future__ import annotations

import time

import pytest

from gate.core.measures import RULE_NAMES
from gate.errors import ExitCode, UsageError, did_you_mean
from gate.policy.load import load_policy, parse_policy

HEAD = "version: 1\nname: x\n"
RULES = "rules:\n  - {id: a, rate: nfr, at_most: 1%}\n"
GOOD = HEAD + RULES


def mistakes(text: str) -> list[str]:
    with pytest.raises(UsageError) as error:
        parse_policy(text, "p.yaml")
    assert error.value.exit_code is ExitCode.USAGE
    return [f"{problem.where}: {problem.found}" for problem in error.value.problems]


def rule(inside: str) -> str:
    """A policy whose one rule, in line 4, starts in column 5 and holds ``inside`` from column 6."""
    return f"{HEAD}rules:\n  - {{{inside}}}\n"


FIVE = """\
version: 1
name: five
task: {kind: classification, outputs: logit}
rules:
  - {id: few, rate: nrf, at_most: 1%}
  - {id: bare, rate: nfr, at_most: 1}
  - id: few
    rate: error_rate
    at_most: 5%
    sevrity: warn
"""


def test_five_mistakes_are_all_reported_each_with_its_place():
    assert mistakes(FIVE) == [
        "p.yaml:3:30: task.outputs: unknown value 'logit'; did you mean 'logits'?",
        "p.yaml:5:15: rules[0] 'few': rate: unknown rate 'nrf'; did you mean 'nfr'?",
        "p.yaml:6:27: rules[1] 'bare': at_most: a limit on nfr carries a % sign; found 1, did you mean '1%'?",
        "p.yaml:7:5: rules[2] 'few': id: rule id 'few' is taken by rules[0]",
        "p.yaml:10:5: rules[2] 'few': sevrity: unknown key; did you mean 'severity'?",
    ]


SHAPE = {
    "no rules": (HEAD + "rules: []\n", ["3:1: rules: no rules: a policy that demands nothing allows nothing"]),
    "rules missing": (HEAD, ["1:1: the key 'rules' is missing"]),
    "rules null": (HEAD + "rules:\n", ["3:1: rules: must be a valid list; found None"]),
    "rules text": (HEAD + "rules: none\n", ["3:1: rules: must be a valid list; found 'none'"]),
    "a rule of text": (HEAD + "rules: [x]\n", ["3:9: rules[0]: must be a mapping of keys; found 'x'"]),
    "a list": ("- a\n", ["1:1: must be a mapping of keys; found a list"]),
    "text": ("hello\n", ["1:1: must be a mapping of keys; found 'hello'"]),
    "no version": ("name: x\n" + RULES, ["1:1: the key 'version' is missing"]),
    "version 2": ("version: 2\nname: x\n" + RULES, ["1:1: version: must be the number 1; found 2"]),
    "version text": ("version: '1'\nname: x\n" + RULES, ["1:1: version: must be the number 1; found '1'"]),
    "version true": ("version: true\nname: x\n" + RULES, ["1:1: version: must be the number 1; found True"]),
    "version 1.0": ("version: 1.0\nname: x\n" + RULES, ["1:1: version: must be the number 1; found 1.0"]),
    "empty name": ("version: 1\nname: ''\n" + RULES, ["2:1: name: String should have at least 1 character; found ''"]),
    "number as name": ("version: 1\nname: 5\n" + RULES, ["2:1: name: must be a valid string; found 5"]),
    "unknown key": (GOOD + "zzz: []\n", ["5:1: zzz: unknown key; one of: version, name, task, holdout, evidence,"
                    " on_missing_incumbent, rules, waivers, environments, promotion, extends"]),
    "near key": (GOOD + "promotoin: {alias: a}\n", ["5:1: promotoin: unknown key; did you mean 'promotion'?"]),
    "extends without a file": (GOOD + "extends: base.yaml\nenvironments: {}\n", [
        "5:1: extends: a policy that stands in no file cannot extend one"]),
    "environment of text": (GOOD + "environments: {staging: soft}\n", [
        "5:16: environments.staging: must be a mapping of keys; found 'soft'"]),
    "key in an environment": (GOOD + "environments: {staging: {holdout: {id: x}, evidnce: {}}}\n", [
        "5:26: environments.staging.holdout: unknown key; one of: evidence, rules, on_missing_incumbent, promotion,"
        " waivers",
        "5:44: environments.staging.evidnce: unknown key; did you mean 'evidence'?"]),
    "slice of nothing": (GOOD + "holdout: {slices: {g: {}}}\n", [
        "5:20: holdout.slices.g: a slice has one of column, columns and where; found none"]),
    "slice of two kinds": (GOOD + "holdout: {slices: {g: {column: a, where: b}}}\n", [
        "5:20: holdout.slices.g: a slice has one of column, columns and where; found column and where"]),
    "slice named as golden sets are": (GOOD + "holdout: {slices: {golden set a: {column: a}}}\n", [
        "5:20: holdout.slices.golden set a: a slice cannot be called 'golden set a': the gate means something else by"
        " it"]),
    "bins that fall": (GOOD + "holdout: {slices: {g: {column: a, bins: [3, 1]}}}\n", [
        "5:35: holdout.slices.g.bins: bins are edges that rise, one at least; found [3, 1]"]),
    "bins that stand still": (GOOD + "holdout: {slices: {g: {column: a, bins: [1, 1]}}}\n", [
        "5:35: holdout.slices.g.bins: bins are edges that rise, one at least; found [1, 1]"]),
    "no bins": (GOOD + "holdout: {slices: {g: {column: a, bins: []}}}\n", [
        "5:35: holdout.slices.g.bins: bins are edges that rise, one at least; found []"]),
    "endless bins": (GOOD + "holdout: {slices: {g: {column: a, bins: [.nan, .inf]}}}\n", None),
    "bins of text": (GOOD + "holdout: {slices: {g: {column: a, bins: [x]}}}\n", None),
    "bins of two columns": (GOOD + "holdout: {slices: {g: {columns: [a, b], bins: [1]}}}\n", [
        "5:41: holdout.slices.g.bins: bins go with column"]),
    "three columns": (GOOD + "holdout: {slices: {g: {columns: [a, b, c]}}}\n", [
        "5:24: holdout.slices.g.columns: an intersection is of two different columns; found ['a', 'b', 'c']"]),
    "a column with itself": (GOOD + "holdout: {slices: {g: {columns: [a, a]}}}\n", [
        "5:24: holdout.slices.g.columns: an intersection is of two different columns; found ['a', 'a']"]),
    "a condition that is none": (GOOD + "holdout: {slices: {g: {where: 'age <'}}}\n", [
        "5:24: holdout.slices.g.where: something is missing at the end (character 6 of 'age <')"]),
    "a condition that calls": (GOOD + "holdout: {slices: {g: {where: '__import__(1)'}}}\n", None),
    "a condition without end": (GOOD + f"holdout: {{slices: {{g: {{where: '{' and '.join(['a'] * 5_000)}'}}}}}}\n", None),
    "no waiver": (GOOD + "waivers: [{}]\n", [
        f"5:11: waivers[0]: the key {key!r} is missing" for key in ("because", "expires", "owner", "rule")]),
    "waiver of no rule": (GOOD + "waivers: [{rule: b, because: x, owner: y, expires: 2027-01-31}]\n", [
        "5:12: waivers[0].rule: there is no rule 'b'; one of: a"]),
    "waiver without a day": (GOOD + "waivers: [{rule: a, because: x, owner: y, expires: 31.1.2027}]\n", [
        "5:43: waivers[0].expires: must be a day, as 2027-01-31; found '31.1.2027'"]),
    "waiver until a day that is none": (GOOD + "waivers: [{rule: a, because: x, owner: y, expires: 2027-02-30}]\n", [
        "5:43: waivers[0].expires: must be a day, as 2027-01-31; found '2027-02-30'"]),
    "waiver without owner": (GOOD + "waivers: [{rule: a, because: x, expires: 2027-01-31, owner: ''}]\n", [
        "5:54: waivers[0].owner: String should have at least 1 character; found ''"]),
    "waiver of a cell of all": (GOOD + "waivers: [{rule: a, cell: x, because: x, owner: y, expires: 2027-01-31}]\n", [
        "5:21: waivers[0].cell: rule 'a' looks at all rows together: there is no cell to name"]),
    "waiver twice": (GOOD + "waivers:\n" + "  - {rule: a, because: x, owner: y, expires: 2027-01-31}\n" * 2, [
        "7:5: waivers[1]: rule 'a' is waived a second time"]),
    "waiver up to less": (GOOD + "waivers: [{rule: a, up_to: 1%, because: x, owner: y, expires: 2027-01-31}]\n", [
        "5:21: waivers[0].up_to: 1% is no wider than the rule's at_most 1%"]),
    "waiver up to a bare number": (GOOD + "waivers: [{rule: a, up_to: 2, because: x, owner: y, expires: 2027-01-31}]\n", [
        "5:21: waivers[0].up_to: a limit on nfr carries a % sign; found 2, did you mean '2%'?"]),
    "key in a slice": (GOOD + "holdout:\n  slices:\n    old: {colum: age}\n", [
        "7:5: holdout.slices.old: a slice has one of column, columns and where; found none",
        "7:11: holdout.slices.old.colum: unknown key; did you mean 'column'?",
    ]),
    "slice called class": (GOOD + "holdout: {slices: {class: {column: c}}}\n", [
        "5:20: holdout.slices.class: a slice cannot be called 'class': the gate means something else by it"]),
    "slice not a mapping": (GOOD + "holdout: {slices: {age: age}}\n", [
        "5:20: holdout.slices.age: must be a mapping of keys; found 'age'"]),
    "confidence bare": (GOOD + "evidence: {confidence: 95}\n", [
        "5:12: evidence.confidence: must be a percentage such as 95%; found 95"]),
    "confidence 100": (GOOD + "evidence: {confidence: 100%}\n", [
        "5:12: evidence.confidence: must be at least 50% and under 100%; found '100%'"]),
    "confidence 5": (GOOD + "evidence: {confidence: 5%}\n", [
        "5:12: evidence.confidence: must be at least 50% and under 100%; found '5%'"]),
    "confidence in other digits": (GOOD + "evidence: {confidence: '٩٥%'}\n", [
        "5:12: evidence.confidence: must be a percentage such as 95%; found '٩٥%'"]),
    "decide_on": (GOOD + "evidence: {decide_on: prof}\n", [
        "5:12: evidence.decide_on: unknown value 'prof'; did you mean 'proof'?"]),
    "looks": (GOOD + "evidence: {looks: 0}\n", [
        "5:12: evidence.looks: must be greater than or equal to 1; found 0"]),
    "half a look": (GOOD + "evidence: {looks: 1.5}\n", ["5:12: evidence.looks: must be a valid integer; found 1.5"]),
    "an excess without noise": (HEAD + "rules: [{id: a, rate: excess_nfr, at_most: 1%}]\n", [
        "3:17: rules[0] 'a': rate: excess_nfr needs the answers of retrained incumbents: name their columns under"
        " holdout.noise_floor"]),
    "missing incumbent": (GOOD + "on_missing_incumbent: allow\n", [
        "5:1: on_missing_incumbent: unknown value 'allow'; one of: refuse, absolute_rules_only"]),
    "kind": (GOOD + "task: {kind: retrieval}\n", [
        "5:8: task.kind: unknown value 'retrieval'; one of: classification, multilabel, regression, generation, scores"]),
    "threshold alone": (GOOD + "task: {threshold: 0.5}\n", ["5:8: task.threshold: a threshold goes with outputs: scores"]),
    "threshold text": (GOOD + "task: {outputs: scores, threshold: half}\n", [
        "5:25: task.threshold: must be a valid number; found 'half'"]),
    "threshold nan": (GOOD + "task: {outputs: scores, threshold: .nan}\n", [
        "5:25: task.threshold: must be finite; found nan"]),
    "one class": (GOOD + "task: {classes: [a]}\n", ["5:8: task.classes: there must be at least two classes; found 1"]),
    "a class twice": (GOOD + "task: {classes: [a, b, a]}\n", ["5:24: task.classes[2]: class 'a' stands here a second time"]),
    "classes of two types": (GOOD + "task: {classes: [1, '1']}\n", [
        "5:8: task.classes: classes must be of one type; found int, str: quote them, or none"]),
    "a list as a class": (GOOD + "task: {classes: [[a], [b]]}\n", [
        "5:18: task.classes[0]: must be text, a number, true or false; found a list",
        "5:23: task.classes[1]: must be text, a number, true or false; found a list"]),
    "three classes with scores": (GOOD + "task: {outputs: scores, classes: [a, b, c]}\n", [
        "5:25: task.classes: a score with a threshold needs two classes; found 3"]),
    "alias with @": (GOOD + "promotion: {alias: '@champion'}\n", [
        "5:13: promotion.alias: an alias is made of letters, digits, '_' and '-', without '@'; found '@champion'"]),
    "alias latest": (GOOD + "promotion: {alias: latest, keep_previous_as: v3}\n", [
        "5:13: promotion.alias: 'latest' is reserved by MLflow and cannot be an alias",
        "5:28: promotion.keep_previous_as: 'v3' is reserved by MLflow and cannot be an alias"]),
    "the same alias twice": (GOOD + "promotion: {alias: a, keep_previous_as: a}\n", [
        "5:23: promotion.keep_previous_as: must differ from alias, or the previous version is lost"]),
    "no alias": (GOOD + "promotion: {}\n", ["5:1: promotion: the key 'alias' is missing"]),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPE)
def test_a_mistake_outside_the_rules_is_told_with_its_place(name):
    text, said = SHAPE[name]
    found = mistakes(text)
    if said is None:
        assert found and all(line.startswith("p.yaml:5:") for line in found)
    else:
        assert found == [f"p.yaml:{line}" for line in said]


OF_RULES = {
    "a bare limit": ("id: a, rate: nfr, at_most: 0.01", [
        "24: at_most: a limit on nfr carries a % sign; found 0.01, did you mean '1%'?"]),
    "a limit of words": ("id: a, rate: nfr, at_most: low", ["24: at_most: a limit on nfr is written like '1%'; found 'low'"]),
    "a ratio of words": ("id: a, rate: relative_nfr, at_most: low", [
        "33: at_most: a limit on relative_nfr is written like 0.3; found 'low'"]),
    "a limit that is true": ("id: a, rate: nfr, at_most: true", [
        "24: at_most: a limit on nfr is written like '1%'; found True"]),
    "a mapping as limit": ("id: a, rate: nfr, at_most: {a: 1}", [
        "24: at_most: a limit on nfr is written like '1%'; found {'a': 1}"]),
    "a list as limit": ("id: a, rate: nfr, at_most: [1%]", [
        "24: at_most: a limit on nfr is written like '1%'; found ['1%']"]),
    "nan": ("id: a, rate: nfr, at_most: .nan", ["24: at_most: a limit must be finite; found nan"]),
    "inf": ("id: a, rate: relative_nfr, at_most: .inf", ["33: at_most: a limit must be finite; found inf"]),
    "inf written out": ("id: a, rate: relative_nfr, at_most: 1e999", ["33: at_most: a limit must be finite; found inf"]),
    "negative": ("id: a, rate: nfr, at_most: -1%", ["24: at_most: nfr lies between 0% and 100%; found '-1%'"]),
    "over 100 %": ("id: a, rate: nfr, at_most: 101%", ["24: at_most: nfr lies between 0% and 100%; found '101%'"]),
    "a ratio over one": ("id: a, rate: btc, at_least: 1.5", ["24: at_least: btc lies between 0 and 1; found 1.5"]),
    "a negative ratio": ("id: a, rate: relative_nfr, at_most: -0.5", [
        "33: at_most: relative_nfr lies between 0 and inf; found -0.5"]),
    "zero by proof": ("id: a, rate: nfr, at_most: 0%", [
        "24: at_most: no number of rows can prove that nfr is 0%: allow a small rate, or say decide_on: harm"]),
    "one by proof": ("id: a, rate: btc, at_least: 1.0", [
        "24: at_least: no number of rows can prove that btc is 1.0: demand a little less, or say decide_on: harm"]),
    "no limit": ("id: a, rate: nfr", ["5: a rule has either at_most or at_least; found neither"]),
    "two limits": ("id: a, rate: nfr, at_most: 1%, at_least: 0.5%", [
        "5: a rule has either at_most or at_least; found both"]),
    "unknown rate": ("id: a, rate: xyz, at_most: 1%", [
        f"13: rate: unknown rate 'xyz'{did_you_mean('xyz', RULE_NAMES)}"]),
    "no rate": ("id: a, at_most: 1%", ["5: a rule has one of rate, must_not_regress and net_cost; found none"]),
    "a rate and a golden set": ("id: a, rate: nfr, must_not_regress: a.csv, at_most: 1%", None),
    "a limit on a golden set": ("id: a, must_not_regress: a.csv, at_most: 1%", [
        "38: at_most: at_most does not go with must_not_regress"]),
    "a golden number": ("id: a, must_not_regress: 5", None),
    "a golden key": ("id: a, must_not_regress: {colum: x}", None),
    "a cost without a limit": ("id: a, net_cost: {negative: [{label: x, output: y, cost: 1}]}", [
        "5: a net_cost needs at_most: what the flips may cost"]),
    "a cost of nothing": ("id: a, net_cost: {negative: []}, at_most: 1", None),
    "a cost below zero": ("id: a, net_cost: {negative: [{label: x, output: y, cost: -1}]}, at_most: 1", [
        "57: net_cost.negative[0].cost: a cost is above 0; found -1"]),
    "an endless cost": ("id: a, net_cost: {negative: [{label: x, output: y, cost: .inf}]}, at_most: 1", [
        "57: net_cost.negative[0].cost: must be finite; found inf"]),
    "a cost of no number": ("id: a, net_cost: {negative: [{label: x, output: y, cost: .nan}]}, at_most: 1", [
        "57: net_cost.negative[0].cost: a cost is above 0; found nan"]),
    "a flip to itself": ("id: a, net_cost: {negative: [{label: x, output: x, cost: 1}]}, at_most: 1", [
        "35: net_cost.negative[0]: label and output are both 'x': that is no flip"]),
    "a flip twice": ("id: a, net_cost: {negative: [{label: x, output: y, cost: 1}, {label: x, output: y, cost: 2}]},"
                     " at_most: 1", ["67: net_cost.negative[1]: the flip 'x' to 'y' stands here a second time"]),
    "a correction by proof": ("id: a, rate: nfr, by: class, at_most: 1%, correction: holm", [
        "48: correction: a correction goes with `by` and decide_on: harm; under proof every cell must pass"]),
    "a correction without cells": ("id: a, rate: nfr, at_most: 1%, decide_on: harm, correction: holm", [
        "54: correction: a correction goes with `by` and decide_on: harm; under proof every cell must pass"]),
    "a correction without a test": (
        "id: a, rate: excess_nfr, by: class, at_most: 5%, decide_on: harm, correction: holm", [
        "13: rate: excess_nfr needs the answers of retrained incumbents: name their columns under holdout.noise_floor",
        "72: correction: there is no test of excess_nfr, so nothing could stand after the correction"]),
    "another correction": ("id: a, rate: nfr, by: class, decide_on: harm, at_most: 1%, correction: bonferroni", [
        "65: correction: unknown value 'bonferroni'; one of: holm"]),
    "of a pair": ("id: a, rate: nfr, of: candidate, at_most: 1%", [
        "24: of: nfr compares two models; `of` goes with error_rate"]),
    "of whom": ("id: a, rate: error_rate, of: candidat, at_most: 1%", [
        "31: of: unknown value 'candidat'; did you mean 'candidate'?"]),
    "of a list": ("id: a, rate: error_rate, of: [candidate], at_most: 1%", [
        "31: of: unknown value ['candidate']; did you mean 'candidate'?"]),
    "unknown slice": ("id: a, rate: nfr, by: clas, at_most: 1%", [
        "24: by: unknown slice 'clas'; did you mean 'class'? (slices stand under holdout.slices)"]),
    "a warning that never warns": ("id: a, rate: nfr, at_most: 1%, warn_above: 2%", [
        "37: warn_above: warn_above 2% lies beyond at_most 1%: it could never warn"]),
    "a warning on the other side": ("id: a, rate: nfr, at_most: 1%, warn_below: 2%", [
        "37: warn_below: warn_below goes with at_most".replace("with at_most", "with at_least")]),
    "a bare warning": ("id: a, rate: btc, at_least: 0.9, warn_below: 0.8", [
        "39: warn_below: warn_below 0.8 lies beyond at_least 0.9: it could never warn"]),
    "at_least_n of 0": ("id: a, rate: nfr, at_most: 1%, at_least_n: 0", [
        "37: at_least_n: must be greater than or equal to 1; found 0"]),
    "at_least_n of words": ("id: a, rate: nfr, at_most: 1%, at_least_n: many", [
        "37: at_least_n: must be a valid integer; found 'many'"]),
    "at_least_n beyond all data": ("id: a, rate: nfr, at_most: 1%, at_least_n: 9000000000000", [
        "37: at_least_n: must be less than or equal to 1000000000000; found 9000000000000"]),
    "severity": ("id: a, rate: nfr, at_most: 1%, severity: warning", [
        "37: severity: unknown value 'warning'; did you mean 'warn'?"]),
    "empty because": ("id: a, rate: nfr, at_most: 1%, because: ''", [
        "37: because: String should have at least 1 character; found ''"]),
    "overrides without by": ("id: a, rate: nfr, at_most: 1%, overrides: [{cell: a, at_most: 2%}]", [
        "37: overrides: overrides name a cell, so the rule needs `by`"]),
    "an override without a cell": ("id: a, rate: nfr, by: class, at_most: 1%, overrides: [{at_most: 2%}]", [
        "60: overrides[0]: the key 'cell' is missing"]),
    "an override without a limit": ("id: a, rate: nfr, by: class, at_most: 1%, overrides: [{cell: a}]", [
        "60: overrides[0]: an override restates the rule's at_most, for its cell"]),
    "an override of the other limit": ("id: a, rate: nfr, by: class, at_most: 1%, overrides: [{cell: a, at_least: 2%}]", [
        "60: overrides[0]: an override restates the rule's at_most, for its cell"]),
    "an override twice": ("id: a, rate: nfr, by: class, at_most: 1%, overrides: [{cell: a, at_most: 2%},"
                          " {cell: a, at_most: 3%}]", ["85: overrides[1].cell: cell 'a' is overridden a second time"]),
    "an override to zero": ("id: a, rate: nfr, by: class, at_most: 1%, overrides: [{cell: a, at_most: 0%}]", [
        "70: overrides[0].at_most: no number of rows can prove that nfr is 0%: allow a small rate, or say"
        " decide_on: harm"]),
    "a mapping as cell": ("id: a, rate: nfr, by: class, at_most: 1%, overrides: [{cell: {a: 1}, at_most: 2%}]", [
        "61: overrides[0].cell: must be text, a number, true or false; found a mapping"]),
    "nan as cell": ("id: a, rate: nfr, by: class, at_most: 1%, overrides: [{cell: .nan, at_most: 2%}]", [
        "61: overrides[0].cell: must be finite; found nan"]),
    "an override of text": ("id: a, rate: nfr, by: class, at_most: 1%, overrides: [x]", [
        "60: overrides[0]: must be a mapping of keys; found 'x'"]),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_RULES)
def test_a_mistake_in_a_rule_is_told_with_its_place_and_the_rules_id(name):
    inside, said = OF_RULES[name]
    if said is None:
        assert all(line.startswith("p.yaml:4:") for line in mistakes(rule(inside)))
        return
    assert mistakes(rule(inside)) == [
        f"p.yaml:4:{line.replace(': ', ': rules[0] ' + repr('a') + ': ', 1)}" for line in said
    ]


def test_zero_is_a_limit_where_nothing_must_be_proven():
    assert parse_policy(rule("id: a, rate: nfr, at_most: 0%, decide_on: harm")).rules[0].threshold.limit == 0.0
    assert parse_policy(rule("id: a, rate: nfr, at_most: 0%") + "evidence: {decide_on: estimate}\n")


def test_a_rule_without_an_id_is_named_by_its_position():
    assert mistakes(rule("rate: nrf, at_most: 1%")) == [
        "p.yaml:4:5: rules[0]: the key 'id' is missing",
        "p.yaml:4:6: rules[0]: rate: unknown rate 'nrf'; did you mean 'nfr'?",
    ]


# what makes YAML dangerous

BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))

YAML = {
    "duplicate key": (GOOD + "name: y\n", ["5:1: key 'name' stands here a second time; first in line 2"]),
    "duplicate key in a rule": (rule("id: a, rate: nfr, at_most: 1%, at_most: 2%"), [
        "4:37: key 'at_most' stands here a second time; first in line 4"]),
    "tag": (GOOD + "task: !!python/object:os.system {kind: classification}\n", [
        "5:7: tag tag:yaml.org,2002:python/object:os.system: tags are not allowed in a policy"]),
    "anchor and alias": (HEAD + "rules:\n  - &r {id: a, rate: nfr, at_most: 1%}\n  - *r\n", [
        "4:5: anchor &r: aliases are not allowed in a policy",
        "5:5: alias *r: write it out; aliases are not allowed in a policy"]),
    "merge key": (GOOD + "<<: {name: y}\n", [
        "5:1: <<: unknown key; one of: version, name, task, holdout, evidence, on_missing_incumbent, rules, waivers,"
        " environments, promotion, extends"]),
    "recursive alias": ("a: &a [*a]\n", [
        "1:4: anchor &a: aliases are not allowed in a policy",
        "1:8: alias *a: write it out; aliases are not allowed in a policy"]),
    "second document": (GOOD + "---\nversion: 1\n", ["5:1: a second document: a policy file holds one"]),
    "a list as key": (GOOD + "? [a, b]\n: c\n", ["5:3: a key must be a plain name"]),
    "tab": (HEAD + "rules:\n\t- {id: a}\n", ["4:1: not YAML: found character '\\t' that cannot start any token"]),
    "yaml 1.1": ("%YAML 1.1\n---\n" + GOOD, ["2:1: a %YAML directive: a policy is read as YAML 1.2"]),
    "control character": (GOOD + "#\x07", ["5:2: not YAML: the character '\\x07' is not allowed"]),
    "raw surrogate": (GOOD.replace("x", "\ud800", 1), ["2:7: not YAML: the character '\\ud800' is not allowed"]),
    "an escape beyond unicode": ('version: 1\nname: "\\UFFFFFFFF"\n' + RULES, None),
    "a lone surrogate": ('version: 1\nname: "\\ud800"\n' + RULES, ["2:1: name: must be a valid string, unable to parse raw"
                         " data as a unicode string; found '\\ud800'"]),
    "a number of 400 digits": (rule("id: a, rate: nfr, at_most: " + "9" * 400), None),
    "unclosed": (HEAD + "rules: [\n", None),
}  # fmt: skip


@pytest.mark.parametrize("name", YAML)
def test_what_is_dangerous_in_yaml_is_told_with_its_place(name):
    text, said = YAML[name]
    found = mistakes(text)
    if said is None:
        assert found and all(line.startswith("p.yaml:") for line in found)
    else:
        assert found == [f"p.yaml:{line}" for line in said]


def test_an_alias_bomb_is_refused_at_once():
    start = time.monotonic()
    found = mistakes(BOMB + GOOD)
    assert time.monotonic() - start < 2.0
    assert len(found) == 9 + 16
    assert found[0] == "p.yaml:1:4: anchor &a: aliases are not allowed in a policy"


@pytest.mark.parametrize(
    ("text", "place"),
    [("a: " + "[" * 5_000 + "]" * 5_000, "1:35"), ("a: " + "{b: " * 5_000, "1:128"), ("- " * 5_000 + "x", "1:65")],
)
def test_a_policy_5000_deep_is_refused_at_once(text, place):
    assert mistakes(text) == [f"p.yaml:{place}: nested more than 32 deep: not a policy"]


def test_a_policy_of_megabytes_is_refused_unread():
    assert mistakes("#" * (4 * 1024 * 1024 + 1)) == ["p.yaml:1:1: larger than 4194304 characters: not a policy"]


@pytest.mark.parametrize("text", ["", "  \n", "# nothing\n", "~\n", "null\n", "---\n"])
def test_an_empty_policy_allows_nothing(text):
    assert mistakes(text) == ["p.yaml: empty: a policy that demands nothing allows nothing"]


@pytest.mark.parametrize(
    "text", ["\ufeff" + GOOD, GOOD.replace("\n", "\r\n"), GOOD + "...\n", "---\n" + GOOD, "%YAML 1.2\n---\n" + GOOD]
)
def test_byte_order_marks_windows_lines_and_document_marks_are_fine(text):
    assert parse_policy(text).rules[0].threshold.limit == 0.01


def test_lines_count_the_same_with_windows_line_ends():
    assert mistakes(FIVE.replace("\n", "\r\n")) == mistakes(FIVE)


def test_words_that_older_yaml_took_for_booleans_are_text():
    policy = parse_policy(GOOD + "task: {classes: [NO, yes, on, 1e3x, 2027-01-31, 012x]}\n")
    assert policy.task.classes == ("NO", "yes", "on", "1e3x", "2027-01-31", "012x")


def test_numbers_are_read_as_yaml_1_2_writes_them():
    policy = parse_policy(GOOD + "task: {classes: [1, -2, 0x1F, 0o17, 1_000, +5]}\n")
    assert policy.task.classes == (1, -2, 31, 15, 1000, 5)
    assert parse_policy(GOOD + "task: {classes: [true, False]}\n").task.classes == (True, False)


# files


def test_no_such_file_and_no_text_are_usage_errors(tmp_path):
    with pytest.raises(UsageError, match="no such policy file"):
        load_policy(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xff\n")
    with pytest.raises(UsageError, match="latin.yaml: cannot be read"):
        load_policy(tmp_path / "latin.yaml")
    with pytest.raises(UsageError, match="cannot be read"):
        load_policy(tmp_path)


def test_a_file_is_named_as_the_user_named_it_and_digested_as_it_stands(tmp_path, monkeypatch):
    import hashlib

    (tmp_path / "p.yaml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    policy = load_policy("p.yaml")
    assert (policy.file, policy.text, policy.rules[0].source.line) == ("p.yaml", GOOD, 4)
    assert policy.digest == hashlib.sha256(GOOD.encode()).hexdigest()
