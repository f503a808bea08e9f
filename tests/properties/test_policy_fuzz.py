"""Whatever the text, reading a policy gives a policy or a UsageError that says where."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gate.errors import UsageError
from gate.policy.load import load_policy, parse_policy
from gate.policy.rules import Policy, Rule

EXAMPLES = int(os.environ.get("GATE_FUZZ_EXAMPLES", "500"))
"""How many examples each property is tried on; by hand many more."""

VALID = """\
version: 1
name: fraud-classifier
task: {kind: classification, outputs: scores, classes: [legit, fraud], threshold: 0.5}
holdout:
  id: txn_id
  label: y
  slices:
    region: {column: region}
    ages: {column: age, bins: [18, 65]}
    both: {columns: [region, sex]}
    new: {where: "tenure_days < 30 and not region in ('n', 's')"}
  exclusions: excluded.csv
  noise_floor: [seed1, seed2]
  contract: expectations/holdout.json
evidence:
  confidence: 95%
  decide_on: proof
  looks: 3
on_missing_incumbent: refuse
rules:
  - {id: error-cap, rate: error_rate, of: candidate, at_most: 5%}
  - {id: no-worse, rate: error_rate_change, at_most: 0.2%}
  - {id: few, rate: nfr, at_most: 1%, warn_above: 0.7%, because: "Support reads every new mistake as a bug."}
  - {id: classes, rate: nfr, by: class, at_most: 3%, at_least_n: 200, overrides: [{cell: fraud, at_most: 1%}]}
  - {id: regions, rate: btc, by: region, decide_on: harm, at_least: 0.9, warn_below: 0.95, severity: warn}
  - {id: holm, rate: nfr, by: new, decide_on: harm, correction: holm, at_most: 3%, locked: true}
  - {id: golden, must_not_regress: golden/ids.csv}
  - {id: excess, rate: excess_nfr, at_most: 1%}
  - id: cost
    net_cost: {per: 1000, negative: [{label: fraud, output: legit, cost: 250}], positive: [{label: legit, output: fraud, gain: 4.5}]}
    at_most: 300
waivers:
  - {rule: classes, cell: legit, up_to: 5%, because: "Relabelling", owner: fraud-team, expires: 2027-01-31}
environments:
  staging: {rules: [{id: few, at_most: 2%}], waivers: [{rule: few, because: x, owner: y, expires: 2027-01-31}]}
  prod: {promotion: {alias: prod}, rules: [{id: more, rate: churn, at_most: 9%}]}
promotion: {alias: champion, keep_previous_as: previous}
"""

TOKENS = re.findall(r"\s+|[\w.%-]+|.", VALID, re.DOTALL)
HOSTILE = [
    "", " ", "\n", "\t", "\r\n", "\ufeff", ":", "-", "? ", "{", "}", "[", "]", ",", "#", "&a ", "*a", "!!python/name:os ",
    "!x ", "|", ">", "'", '"', '"\\UFFFFFFFF"', '"\\ud800"', "%", "%YAML 1.1\n---\n", "---\n", "...\n", "<<: *a", "~", "null",
    "true", ".nan", ".inf", "-.inf", "1e400", "9" * 400, "9" * 5_000, "0x", "0o9", "0b2", "1_000", "-1%", "1e5%", "٣%",
    "\U00011f59%", "2027-01-31", "{a: 1}", "[1, [2]]", "\x00", "\x1b[31m", "version", "rules", "by: class", "cell",
]  # fmt: skip

token = st.one_of(st.sampled_from(HOSTILE), st.sampled_from(TOKENS), st.text(max_size=8))
mutation = st.tuples(
    st.sampled_from(["delete", "double", "replace", "swap", "cut"]), st.integers(0, len(TOKENS) - 1), token
)


def mutated(steps: list[tuple[str, int, str]], of: list[str] = TOKENS) -> str:
    tokens = list(of)
    for what, at, new in steps:
        at = min(at, len(tokens) - 1)
        if what == "delete":
            tokens[at] = ""
        elif what == "double":
            tokens[at] *= 2
        elif what == "replace":
            tokens[at] = new
        elif what == "swap":
            tokens[at], tokens[-1 - at] = tokens[-1 - at], tokens[at]
        else:
            tokens = tokens[: at + 1]
    return "".join(tokens)


def reads_or_says_where(text: str) -> None:
    for environment in (None, "staging"):
        try:
            assert isinstance(parse_policy(text, "p.yaml", environment), Policy)
        except UsageError as error:
            says_where(error, r"p\.yaml")


def says_where(error: UsageError, files: str) -> None:
    assert error.problems
    for problem in error.problems:
        assert re.fullmatch(rf"({files})(:\d+:\d+)?", problem.where)
        assert problem.found


def test_the_policy_that_is_mutated_is_valid():
    assert len(parse_policy(VALID).rules) == 9
    assert len(parse_policy(VALID, environment="prod").rules) == 10


@settings(deadline=None, max_examples=EXAMPLES)
@given(st.lists(mutation, min_size=1, max_size=4).map(mutated))
@example(VALID.replace("of: candidate", "of: [candidate]"))
@example(VALID.replace("at_most: 5%", "at_most: " + "9" * 400))
@example(VALID.replace("0.5}", "9" * 400 + "}"))
@example(VALID.replace("confidence: 95%", "confidence: '\U00011f59\U00011f55%'"))
@example(VALID.replace("fraud-classifier", '"\\UFFFFFFFF"'))
def test_a_mutated_policy_is_read_or_refused_with_its_place(text):
    reads_or_says_where(text)


scalar = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(HOSTILE), st.text(max_size=6))
KEYS = sorted(set(re.findall(r"(\w+):", VALID))) + ["nrf", ""]
node = st.recursive(
    scalar,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=10,
)


def flow(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key or '?'}: {flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    return str(value) if value is not None else "null"


@settings(deadline=None, max_examples=max(EXAMPLES // 3, 1))
@given(st.sampled_from(KEYS[:-1]), st.sampled_from(["rules", "rule", "top"]), node)
def test_a_policy_with_anything_under_any_key_is_read_or_refused_with_its_place(key, level, value):
    line = f"{key}: {flow(value)}"
    if level == "top":
        kept = [part for part in VALID.splitlines() if not part.startswith(key)]
        reads_or_says_where("\n".join([*kept, line, ""]))
    elif level == "rule":
        reads_or_says_where(f"version: 1\nname: x\nrules:\n  - id: a\n    rate: nfr\n    at_most: 1%\n    {line}\n")
        reads_or_says_where(f"version: 1\nname: x\nrules:\n  - {{{line}, id: a, rate: error_rate, at_most: 1%}}\n")
    else:
        reads_or_says_where(f"version: 1\nname: x\nrules: [{flow(value)}]\n")


@settings(deadline=None, max_examples=max(EXAMPLES // 2, 1))
@given(st.text(alphabet=st.one_of(st.sampled_from(":-?[]{},#&*!|>'\"%@`\n\t a1\\"), st.characters()), max_size=60))
def test_random_text_is_read_or_refused_with_its_place(text):
    reads_or_says_where(text)


# families: a child, its parent, their environments

CHILD = """\
extends: org.yaml
name: child
holdout: {weight: w, slices: {more: {column: more}}}
rules:
  - {id: few, at_most: 0.9%}
  - {id: own, rate: pfr, at_least: 1%}
waivers:
  - {rule: own, because: new, owner: me, expires: 2027-02-28}
environments:
  staging: {rules: [{id: own, at_least: 0.5%}, {id: few, at_most: 5%}]}
  night: {waivers: [{rule: few, up_to: 5%, because: x, owner: y, expires: 2027-01-31}]}
"""
UNLOCKED = re.sub(r"  - id: cost\n.*\n.*\n", "", VALID.replace(", locked: true", ""))
CHILD_TOKENS = re.findall(r"\s+|[\w.%-]+|.", CHILD, re.DOTALL)
of_child = st.tuples(
    st.sampled_from(["delete", "double", "replace", "swap", "cut"]), st.integers(0, len(CHILD_TOKENS) - 1), token
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        here = Path.cwd()
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(here)


def read(child: str, parent: str, environment: str | None = None) -> Policy | None:
    for name, text in (("p.yaml", child), ("org.yaml", parent)):
        Path(name).write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        return load_policy("p.yaml", environment)
    except UsageError as error:
        says_where(error, r"p\.yaml|org\.yaml")
        return None


def test_the_family_that_is_mutated_is_valid(folder):
    for environment in (None, "staging", "night", "prod"):
        assert read(CHILD, UNLOCKED, environment) is not None


@settings(deadline=None, max_examples=EXAMPLES)
@given(
    st.lists(of_child, max_size=3), st.lists(mutation, max_size=2), st.sampled_from([None, "staging", "night", "prod"])
)
@example([("replace", CHILD_TOKENS.index("org.yaml"), '"\\0"')], [], None)
@example([("replace", CHILD_TOKENS.index("org.yaml"), '"\\ud800"')], [], None)
@example([("replace", CHILD_TOKENS.index("org.yaml"), "a" * 5_000)], [], None)
def test_a_mutated_family_is_read_or_refused_with_the_place_in_its_own_file(folder, child, parent, environment):
    found = read(
        mutated(child, CHILD_TOKENS), mutated(parent, re.findall(r"\s+|[\w.%-]+|.", UNLOCKED, re.DOTALL)), environment
    )
    if found is None or len(found.files) == 1:
        return
    again = parse_policy(found.text, "resolved.yaml")  # what is recorded says what was judged by
    assert [rule.id for rule in again.rules] == [rule.id for rule in found.rules]
    for one, other in zip(found.rules, again.rules, strict=True):
        if isinstance(one, Rule) and isinstance(other, Rule):
            assert (one.rate, one.by, one.threshold, one.decide_on, one.severity, one.holm, one.at_least_n) == (
                other.rate, other.by, other.threshold, other.decide_on, other.severity, other.holm, other.at_least_n)  # fmt: skip
    assert (again.confidence, again.looks, again.task) == (found.confidence, found.looks, found.task)


@settings(deadline=None, max_examples=EXAMPLES)
@given(st.lists(of_child, max_size=3), st.sampled_from([None, "staging", "night", "prod"]))
def test_whatever_a_child_says_a_locked_rule_is_judged_as_its_parent_wrote_it(folder, child, environment):
    parent = re.sub(r"  - id: cost\n.*\n.*\n", "", VALID)
    found = read(mutated(child, CHILD_TOKENS), parent, environment)
    if found is None or len(found.files) == 1:
        return
    alone = load_policy("org.yaml", environment if environment in ("staging", "prod") else None)
    (held,) = (rule for rule in found.rules if rule.id == "holm")
    assert held == next(rule for rule in alone.rules if rule.id == "holm")
    assert (found.confidence, found.looks, found.decide_on) == (alone.confidence, alone.looks, alone.decide_on)
    assert found.holdout.slices["new"] == alone.holdout.slices["new"]
    assert (found.holdout.label, found.holdout.contract, found.task) == (
        alone.holdout.label, alone.holdout.contract, alone.task)  # fmt: skip
    assert not any(waiver.rule == "holm" for waiver in found.waivers)
