"""What a policy takes from its parent and its environments, and what it may not restate."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from gate.core.judgement import DecideOn, Source
from gate.errors import UsageError
from gate.policy.load import load_policy, parse_policy
from gate.policy.rules import Golden, Policy, Rule
from gate.tasks.slicing import ByColumn

ORG = """\
version: 1
name: org
holdout: {contract: suite.json, slices: {region: {column: area}}}
evidence: {confidence: 99%, looks: 4}
rules:
  - {id: few, rate: nfr, at_most: 1%, warn_above: 0.5%}
  - {id: golden, must_not_regress: ids.csv}
waivers:
  - {rule: few, because: old, owner: org, expires: 2027-01-31}
environments:
  staging: {evidence: {looks: 2}, rules: [{id: few, at_most: 3%}, {id: calm, rate: churn, at_most: 9%}]}
"""
TEAM = """\
extends: shared/org.yaml
name: team
holdout: {id: row, exclusions: out.csv}
evidence: {decide_on: harm}
rules:
  - {id: own, rate: pfr, at_least: 1%}
  - {id: few, at_most: 2%}
waivers:
  - {rule: own, because: new, owner: team, expires: 2027-02-28}
"""
LOCKED = """\
version: 1
name: org
task: {kind: classification, outputs: scores, threshold: 0.5}
holdout: {label: y, contract: suite.json, slices: {region: {column: area}}}
rules:
  - {id: few, rate: nfr, at_most: 1%}
  - {id: regions, rate: nfr, by: region, at_most: 1%, locked: true}
"""
SAYS = "decides rule 'regions', which is locked in"


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".yaml")
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    return folder / "p.yaml"


def mistakes(policy: Path, environment: str | None = None) -> list[str]:
    with pytest.raises(UsageError) as error:
        load_policy(policy, environment)
    return [f"{p.where}: {p.found}".replace(f"{policy.parent}/", "") for p in error.value.problems]


def rules(policy: Policy) -> dict[str, Rule]:
    return {rule.id: rule for rule in policy.rules if isinstance(rule, Rule)}


@pytest.fixture
def team(tmp_path: Path) -> Path:
    return write(tmp_path, p=TEAM, shared__org=ORG)


# extends


def test_a_childs_words_lie_over_its_parents_key_by_key_and_rules_by_id(team):
    policy = load_policy(team)
    assert (policy.name, policy.confidence, policy.looks, policy.decide_on) == ("team", 0.99, 4, DecideOn.HARM)
    assert [rule.id for rule in policy.rules] == ["few", "golden", "own"]  # the parent's order, then what is new
    few = rules(policy)["few"]
    assert (few.threshold.limit, few.threshold.warn, few.rate.name) == (0.02, 0.005, "nfr")
    assert policy.holdout.slices == {"region": ByColumn("area")}
    assert policy.holdout.id == "row"


def test_waivers_are_added_and_each_keeps_its_place(team):
    found = [(w.rule, w.owner, w.source) for w in load_policy(team).waivers]
    folder = team.parent
    assert found == [
        ("few", "org", Source(f"{folder}/shared/org.yaml", 9)),
        ("own", "team", Source(f"{folder}/p.yaml", 9)),
    ]


def test_a_rule_stands_where_it_was_last_stated(team):
    sources = {rule.id: rule.source for rule in load_policy(team).rules}
    folder = team.parent
    assert sources == {
        "few": Source(f"{folder}/p.yaml", 7),
        "golden": Source(f"{folder}/shared/org.yaml", 7),
        "own": Source(f"{folder}/p.yaml", 6),
    }


def test_files_are_found_beside_the_policy_that_names_them(team):
    policy = load_policy(team)
    (golden,) = (rule for rule in policy.rules if isinstance(rule, Golden))
    assert golden.file == str(team.parent / "shared/ids.csv")
    assert policy.holdout.contract == str(team.parent / "shared/suite.json")
    assert policy.holdout.exclusions == str(team.parent / "out.csv")


def test_a_file_that_the_child_names_instead_is_found_beside_the_child(team):
    team.write_text(TEAM + "  - {rule: golden, because: x, owner: y, expires: 2027-01-31}\n".replace("- ", "- ", 1))
    team.write_text(team.read_text().replace("{id: few, at_most: 2%}", "{id: golden, must_not_regress: mine.csv}"))
    (golden,) = (rule for rule in load_policy(team).rules if isinstance(rule, Golden))
    assert golden.file == str(team.parent / "mine.csv")


def test_the_resolved_text_says_the_same_and_its_digest_changes_with_the_parent(team):
    policy = load_policy(team)
    assert policy.files == tuple(f"{team.parent}/{name}" for name in ("shared/org.yaml", "p.yaml"))
    assert policy.digest == hashlib.sha256(policy.text.encode()).hexdigest()
    assert "extends" not in policy.text and "environments" not in policy.text
    again = parse_policy(policy.text, "x")
    for one, other in zip(policy.rules, again.rules, strict=True):
        if isinstance(one, Rule):
            assert replace(one, source=other.source) == other
    assert (again.confidence, again.looks, again.holdout.slices) == (0.99, 4, policy.holdout.slices)
    write(team.parent, shared__org=ORG.replace("99%", "98%"))
    assert load_policy(team).digest != policy.digest


def test_a_policy_on_its_own_is_digested_as_it_stands(tmp_path):
    path = write(tmp_path, p=ORG)
    assert load_policy(path).text == ORG
    assert load_policy(path).files == (str(path),)


def test_grandparents_count_too(tmp_path):
    middle = "extends: sub/org.yaml\nname: middle\nevidence: {looks: 7}\n"
    path = write(tmp_path, p="extends: mid.yaml\nname: x\n", mid=middle, sub__org=ORG)
    policy = load_policy(path)
    assert (policy.name, policy.looks, policy.confidence) == ("x", 7, 0.99)


def test_a_mistake_of_the_parent_is_told_in_the_parents_file(tmp_path):
    org = ORG.replace("rate: nfr", "rate: nrf").replace("looks", "luoks", 1)
    path = write(tmp_path, p=TEAM.replace("pfr", "pfrr"), shared__org=org)
    assert mistakes(path) == [
        "p.yaml:6:15: rules[2] 'own': rate: unknown rate 'pfrr'; did you mean 'pfr'?",
        "shared/org.yaml:4:29: evidence.luoks: unknown key; did you mean 'looks'?",
        "shared/org.yaml:6:15: rules[0] 'few': rate: unknown rate 'nrf'; did you mean 'nfr'?",
    ]


def test_a_limit_and_its_warning_from_two_files_must_fit(team):
    team.write_text(TEAM.replace("at_most: 2%", "at_most: 0.1%"))
    (found,) = mistakes(team)
    assert found == (
        "shared/org.yaml:6:39: rules[0] 'few': warn_above: warn_above 0.5% lies beyond at_most 0.1%: it could never warn"
    )


def test_an_id_twice_in_one_file_is_a_mistake_and_no_overlay(team):
    team.write_text(TEAM.replace("id: own, rate: pfr, at_least: 1%", "id: few, at_most: 3%"))
    assert any("rule id 'few' is taken" in line for line in mistakes(team))


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("none.yaml", "there is no file none.yaml"),
        ("https://x/y.yaml", "must be a local file, not a URL; found 'https://x/y.yaml'"),
        ("file:///etc/passwd", "must be a local file, not a URL; found 'file:///etc/passwd'"),
        ("../up.yaml", "'../up.yaml' leaves the folder of this policy; the parent stands beside it, or below"),
        ("sub/../../up.yaml", "'sub/../../up.yaml' leaves the folder of this policy; the parent stands beside it, or below"),
        ("/etc/passwd", "'/etc/passwd' leaves the folder of this policy; the parent stands beside it, or below"),
        ("link.yaml", "'link.yaml' leaves the folder of this policy; the parent stands beside it, or below"),
        ("way/up.yaml", "'way/up.yaml' leaves the folder of this policy; the parent stands beside it, or below"),
        ("p.yaml", "'p.yaml' leads back to where it came from"),
        ("./sub/../p.yaml", "'./sub/../p.yaml' leads back to where it came from"),
        ('"\\0"', "'\\x00' cannot be the name of a file"),
        ('""', "must name one local file; found ''"),
        ("[a.yaml, b.yaml]", "must name one local file; found ['a.yaml', 'b.yaml']"),
        ("null", "must name one local file; found None"),
        ("5", "must name one local file; found 5"),
    ],
)  # fmt: skip
def test_a_parent_that_is_not_a_file_beside_or_below_is_a_mistake(tmp_path, named, found):
    folder = tmp_path / "here"
    path = write(folder, p=f"version: 1\nname: x\nextends: {named}\nrules: [{{id: a, rate: nfr, at_most: 1%}}]\n")
    write(tmp_path, up=ORG)
    (folder / "sub").mkdir()
    (folder / "link.yaml").symlink_to(tmp_path / "up.yaml")
    (folder / "way").symlink_to(tmp_path)
    assert mistakes(path) == [f"p.yaml:3:1: extends: {found}"]


def test_a_folder_or_bytes_as_parent_cannot_be_read(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    for named in ("sub", "bytes.yaml"):
        path = write(tmp_path, p=f"version: 1\nname: x\nextends: {named}\nrules: [{{id: a, rate: nfr, at_most: 1%}}]\n")
        (found,) = mistakes(path)
        assert found.startswith(f"p.yaml:3:1: extends: {named} cannot be read:")


def test_a_cycle_of_three_is_told_where_it_closes(tmp_path):
    path = write(tmp_path, p="extends: a.yaml\nname: x\n", a="extends: b.yaml\n", b="extends: p.yaml\n" + ORG)
    assert mistakes(path) == ["b.yaml:1:1: extends: 'p.yaml' leads back to where it came from"]


def test_a_policy_that_stands_in_a_folder_with_colons_is_told_of_too(tmp_path):
    path = write(tmp_path / "a:b:c", p=ORG)
    assert mistakes(path, "prod") == ["p.yaml: no environment 'prod'; one of: staging"]


# locked rules


RESTATEMENTS = {
    "rule": ("rules: [{id: regions, severity: warn}]", [
        "3:9: rules[0] 'regions': the rule is locked in org.yaml:7:5 and cannot be restated"]),
    "evidence": ("evidence: {confidence: 60%, decide_on: harm, looks: 1}", [
        f"3:12: evidence.confidence: {SAYS} org.yaml:7:5", f"3:29: evidence.decide_on: {SAYS} org.yaml:7:5",
        f"3:46: evidence.looks: {SAYS} org.yaml:7:5"]),
    "incumbent": ("on_missing_incumbent: absolute_rules_only", [f"3:1: on_missing_incumbent: {SAYS} org.yaml:7:5"]),
    "slice": ("holdout: {slices: {region: {column: other}}}", [f"3:20: holdout.slices.region: {SAYS} org.yaml:7:5"]),
    "bins": ("holdout: {slices: {region: {bins: [1]}}}", [f"3:20: holdout.slices.region: {SAYS} org.yaml:7:5"]),
    "other slice": ("holdout: {slices: {region: {column: null, where: 'x = 1'}}}", [
        f"3:20: holdout.slices.region: {SAYS} org.yaml:7:5"]),
    "contract": ("holdout: {contract: mine.json}", [f"3:11: holdout.contract: {SAYS} org.yaml:7:5"]),
    "no contract": ("holdout: {contract: null}", [f"3:11: holdout.contract: {SAYS} org.yaml:7:5"]),
    "label": ("holdout: {label: z}", [f"3:11: holdout.label: {SAYS} org.yaml:7:5"]),
    "task": ("task: {threshold: 0.1}", [f"3:8: task.threshold: {SAYS} org.yaml:7:5"]),
    "kind": ("task: {kind: classification}", [f"3:8: task.kind: {SAYS} org.yaml:7:5"]),
    "waiver": ("waivers: [{rule: regions, cell: n, because: x, owner: y, expires: 2027-01-31}]", [
        "3:12: waivers[0].rule: rule 'regions' is locked, and cannot be waived"]),
}  # fmt: skip


@pytest.mark.parametrize("name", RESTATEMENTS)
def test_a_child_cannot_restate_a_locked_rule_nor_what_decides_it(tmp_path, name):
    said, found = RESTATEMENTS[name]
    path = write(tmp_path, p=f"extends: org.yaml\nname: x\n{said}\n", org=LOCKED)
    assert mistakes(path) == [f"p.yaml:{line}" for line in found]


@pytest.mark.parametrize("name", ["rule", "evidence", "incumbent", "waiver"])
def test_an_environment_cannot_either_even_if_it_is_not_asked_for(tmp_path, name):
    said, _ = RESTATEMENTS[name]
    path = write(tmp_path, p=f"{LOCKED}environments:\n  staging: {{{said}}}\n")
    found = mistakes(path)
    assert found and all(line.startswith("p.yaml:9:") and "locked" in line for line in found)
    child = write(tmp_path / "c", p=f"extends: org.yaml\nenvironments:\n  staging: {{{said}}}\n", org=LOCKED)
    found = mistakes(child)
    assert found and all(line.startswith("p.yaml:3:") and "locked" in line for line in found)


def test_what_the_locked_parent_leaves_open_may_be_said_below(tmp_path):
    said = (
        "holdout: {id: row, slices: {age: {column: age}}}\nrules: [{id: few, at_most: 5%}]\n"
        "promotion: {alias: champion}\nwaivers: [{rule: few, because: x, owner: y, expires: 2027-01-31}]\n"
    )
    path = write(tmp_path, p=f"extends: org.yaml\nname: x\n{said}", org=LOCKED)
    policy = load_policy(path)
    assert rules(policy)["few"].threshold.limit == 0.05
    assert set(policy.holdout.slices) == {"region", "age"}


def test_a_grandchild_cannot_restate_what_its_grandparent_locked(tmp_path):
    path = write(
        tmp_path, p="extends: mid.yaml\nrules: [{id: regions, at_most: 9%}]\n", mid="extends: org.yaml\n", org=LOCKED
    )
    assert mistakes(path) == [
        "p.yaml:2:9: rules[0] 'regions': the rule is locked in org.yaml:7:5 and cannot be restated"
    ]


def test_a_rule_that_the_parent_locks_in_an_environment_stays_there(tmp_path):
    org = ORG.replace(
        "environments:\n", "environments:\n  prod: {rules: [{id: safe, rate: nfr, at_most: 1%, locked: true}]}\n"
    )
    assert org != ORG
    for said, found in (
        ("environments: {prod: {rules: [{id: safe, at_most: 50%}]}}", "environments.prod.rules[0] 'safe': the rule is locked"),
        ("rules: [{id: safe, rate: nfr, at_most: 50%}]", "rules[0] 'safe': the rule is locked"),
        ("environments: {prod: {evidence: {decide_on: harm}}}", "evidence.decide_on: decides rule 'safe'"),
        ("evidence: {decide_on: harm}", "evidence.decide_on: decides rule 'safe'"),
    ):  # fmt: skip
        path = write(tmp_path, p=f"extends: org.yaml\n{said}\n", org=org)
        assert [line for line in mistakes(path) if found in line], said
    path = write(tmp_path, p="extends: org.yaml\nenvironments: {prod: {rules: []}}\n", org=org)
    assert rules(load_policy(path, "prod"))["safe"].threshold.limit == 0.01
    assert "safe" not in rules(load_policy(path))


# environments


def test_an_environment_lies_over_the_policy_only_where_it_is_asked_for(team):
    plain, staging = load_policy(team), load_policy(team, "staging")
    assert (plain.environment, plain.looks, rules(plain)["few"].threshold.limit) == (None, 4, 0.02)
    assert (staging.environment, staging.looks, staging.confidence) == ("staging", 2, 0.99)
    assert [rule.id for rule in staging.rules] == ["few", "golden", "own", "calm"]
    few = rules(staging)["few"]
    assert (few.threshold.limit, few.threshold.warn) == (0.03, 0.005)
    assert few.source == Source(f"{team.parent}/shared/org.yaml", 11)
    assert staging.digest != plain.digest
    assert "environments" not in staging.text


def test_a_childs_environment_lies_over_its_parents_of_that_name(team):
    team.write_text(
        TEAM + "environments:\n  staging: {rules: [{id: calm, at_most: 5%}]}\n  prod: {evidence: {looks: 9}}\n"
    )
    staging = load_policy(team, "staging")
    assert (staging.looks, rules(staging)["few"].threshold.limit) == (2, 0.03)
    assert rules(staging)["calm"].threshold.limit == 0.05
    assert rules(staging)["calm"].source == Source(f"{team.parent}/p.yaml", 11)
    assert load_policy(team, "prod").looks == 9


def test_an_unknown_environment_is_named_with_the_nearest(team):
    assert mistakes(team, "stagin") == ["p.yaml: no environment 'stagin'; did you mean 'staging'?"]
    team.write_text("version: 1\nname: x\nrules: [{id: a, rate: nfr, at_most: 1%}]\n")
    assert mistakes(team, "staging") == ["p.yaml: no environment 'staging'; the policy has none"]


def test_mistakes_of_every_environment_are_told_whichever_is_asked_for(team):
    team.write_text(
        TEAM
        + "environments:\n  a: {rules: [{id: own, at_most: 1%}]}\n  b: {rules: [{id: new, rate: nfr, at_most: 1}]}\n"
        "  c: {waivers: [{rule: ownn, because: x, owner: y, expires: 2027-01-31}]}\n"
    )
    for environment in (None, "a", "b", "staging"):
        assert mistakes(team, environment) == [
            "p.yaml:11:15: rules[2] 'own': a rule has either at_most or at_least; found both",
            "p.yaml:12:36: rules[3] 'new': at_most: a limit on nfr carries a % sign; found 1, did you mean '1%'?",
            "p.yaml:13:18: waivers[2].rule: there is no rule 'ownn'; did you mean 'own'?",
        ]


# waivers, costs


def test_a_waiver_reaches_further_than_the_override_of_its_cell_not_than_the_rule():
    text = """\
version: 1
name: x
rules: [{id: a, rate: nfr, by: class, at_most: 3%%, overrides: [{cell: fraud, at_most: 1%%}, {cell: 1, at_most: 9%%}]}]
waivers: [{rule: a, cell: %s, up_to: %s, because: x, owner: y, expires: 2027-01-31}]
"""
    assert parse_policy(text % ("fraud", "2%")).waivers[0].up_to == 0.02
    assert parse_policy(text % ("legit", "4%")).waivers[0].up_to == 0.04
    for cell, up_to in (("legit", "2%"), ("1", "5%"), ("fraud", "1%")):
        with pytest.raises(UsageError, match="is no wider than the rule's at_most"):
            parse_policy(text % (cell, up_to))


COSTLY = """\
version: 1
name: x
%s
rules: [{id: c, net_cost: {negative: [{label: fraud, output: legit, cost: 250}]}, at_most: 300}]
"""


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("task: {classes: [fraud, legitt]}", "'legit' is no class of task.classes; did you mean 'legitt'?"),
        (
            "task: {kind: regression, continuous: true}",
            "kind: regression has no classes, so no flips from one to another",
        ),
        (
            "holdout: {cluster: user}",
            "there is no sound bound on net_cost under holdout.cluster: it must allow for costly flips that were not seen,"
            " kind by kind, and those of one cluster may come together, all of them of the dearest kind",
        ),
        (
            "holdout: {weight: w}",
            "there is no sound bound on net_cost under holdout.weight: it must allow for costly flips that were not seen,"
            " and those may fall on the heaviest rows",
        ),
    ],
)
def test_a_cost_that_nothing_could_ever_incur_or_bound_is_a_mistake(said, found):
    with pytest.raises(UsageError) as error:
        parse_policy(COSTLY % said)
    assert [p.found.split(": ", 2)[-1] for p in error.value.problems] == [found] or found in str(error.value)
    assert parse_policy(COSTLY % "task: {classes: [legit, fraud]}")


@pytest.mark.parametrize("key", ["exclusions", "weight", "cluster"])
def test_a_child_of_a_locked_policy_cannot_say_which_rows_count(tmp_path, key):
    (tmp_path / "org.yaml").write_text(
        "version: 1\nname: org\nrules:\n  - {id: few, rate: nfr, at_most: 5%, locked: true}\n"
    )
    (tmp_path / "p.yaml").write_text(f"extends: org.yaml\nholdout: {{label: y, {key}: x}}\n")
    with pytest.raises(UsageError, match=rf"p\.yaml:2:\d+: holdout\.{key}: decides rule 'few', which is locked in"):
        load_policy(tmp_path / "p.yaml")
