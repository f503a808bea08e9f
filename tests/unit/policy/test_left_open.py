"""What a right answer is belongs to the policy that locks a rule, but for what it leaves open."""

from __future__ import annotations

from pathlib import Path

import pytest

from gate.errors import UsageError
from gate.policy.load import load_policy
from gate.tasks.options import Tolerance

RULES = "rules:\n  - {id: cap, rate: nfr, at_most: 5%, locked: true}\n"


def family(folder: Path, task: str, parent: str = "", between: str = "") -> Path:
    (folder / "org.yaml").write_text(f"version: 1\nname: org\n{parent}{RULES}")
    (folder / "mid.yaml").write_text(f"extends: org.yaml\nname: mid\n{between}")
    policy = folder / "p.yaml"
    policy.write_text(f"extends: mid.yaml\nname: team\n{task}")
    return policy


def refused(policy: Path) -> list[str]:
    with pytest.raises(UsageError) as error:
        load_policy(policy)
    return [str(problem.found) for problem in error.value.problems]


@pytest.mark.parametrize(
    ("task", "key"),
    [
        ("{outputs: probabilities, top_k: 5, classes: [a, b, c, d, e, f]}", "top_k"),
        ("{kind: regression, tolerance: {absolute: 100}}", "tolerance"),
        ("{kind: scores, right_at_least: 0.01}", "right_at_least"),
        ("{kind: scores, continuous: true}", "continuous"),
        ("{kind: generation, match: normalized}", "match"),
        ("{kind: multilabel, classes: [a, b]}", "kind"),
        ("{classes: [a, b]}", "classes"),
        ("{outputs: scores, threshold: 0.1, classes: [a, b]}", "threshold"),
        ("{left_open: [top_k]}", "left_open"),
    ],
)
def test_under_a_locked_rule_a_child_may_not_say_what_its_parent_does_not(tmp_path, task, key):
    (found,) = (line for line in refused(family(tmp_path, f"task: {task}\n")) if f"task.{key}:" in line)
    assert found.startswith(f"task.{key}: decides rule 'cap', which is locked in {tmp_path}/org.yaml:4:5")
    assert ("leave it open there (task.left_open)" in found) == (key != "left_open")


def test_nor_what_a_parent_that_states_its_task_leaves_out(tmp_path):
    parent = "task: {kind: classification, outputs: probabilities, classes: [a, b, c]}\n"
    (found,) = refused(family(tmp_path, "task: {top_k: 2}\n", parent))
    assert found.startswith("task.top_k: decides rule 'cap'")
    (found,) = refused(family(tmp_path, "task: {classes: [a, b]}\n", parent))
    assert found.startswith("task.classes: decides rule 'cap'")  # restated, as ever


def test_what_is_left_open_is_said_below_and_by_a_grandchild_too(tmp_path):
    parent = "task: {left_open: [kind, tolerance]}\n"
    task = "task: {kind: regression, tolerance: {absolute: 0.5}}\n"
    assert load_policy(family(tmp_path, task, parent)).task.tolerance == Tolerance(absolute=0.5)
    half = load_policy(family(tmp_path, "task: {tolerance: {relative: 5%}}\n", parent, "task: {kind: regression}\n"))
    assert half.task.tolerance == Tolerance(relative=0.05)
    assert any("task.kind" in line for line in refused(family(tmp_path, task, "task: {left_open: [tolerance]}\n")))


def test_what_was_left_open_and_said_is_not_said_again(tmp_path):
    parent = "task: {left_open: [classes]}\n"
    policy = family(tmp_path, "task: {classes: [a, b, c]}\n", parent, "task: {classes: [a, b]}\n")
    assert [line.split(":")[0] for line in refused(policy)] == ["task.classes"]


def test_nobody_below_opens_what_is_closed_above(tmp_path):
    policy = family(tmp_path, "task: {classes: [a, b]}\n", "", "task: {left_open: [classes]}\n")
    assert any(line.startswith("task.left_open: decides rule 'cap'") for line in refused(policy))


def test_the_default_itself_may_be_said_and_nothing_at_all(tmp_path):
    for task in ("task: {kind: classification, classes: null}\n", "task: {}\n", ""):
        assert load_policy(family(tmp_path, task)).task.kind == "classification"


def test_without_a_locked_rule_a_child_says_what_it_likes(tmp_path):
    policy = family(tmp_path, "task: {classes: [a, b]}\n")
    (tmp_path / "org.yaml").write_text(f"version: 1\nname: org\n{RULES.replace(', locked: true', '')}")
    assert load_policy(policy).task.classes == ("a", "b")


def test_a_rule_that_is_locked_in_one_environment_keeps_the_task_for_itself(tmp_path):
    policy = family(tmp_path, "task: {classes: [a, b]}\n")
    (tmp_path / "org.yaml").write_text(
        "version: 1\nname: org\nrules:\n  - {id: cap, rate: nfr, at_most: 5%}\n"
        "environments: {production: {rules: [{id: cap, at_most: 1%, locked: true}]}}\n"
    )
    assert [line.split(",")[0] for line in refused(policy)] == ["task.classes: decides rule 'cap'"]
