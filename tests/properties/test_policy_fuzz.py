"""Whatever the text, a policy is read or refused with its place; and no broken policy ever allows anything.

2,000 broken policies in all, ``GATE_FUZZ_POLICIES`` of them where that is set: by hand many more.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from gate.core.judgement import DecideOn, Severity, Verdict
from gate.errors import EvidenceError, UsageError
from gate.policy.load import load_policy, parse_policy
from gate.policy.rules import AnyRule, Cost, Golden, Policy, Rule
from gate.stories.compare import compare

POLICIES = int(os.environ.get("GATE_FUZZ_POLICIES", "2000"))
SHARES = {"mutated": 20, "any key": 10, "random": 15, "family": 15, "locked": 15, "judged": 20, "loosened": 5}
"""Of a hundred of these policies, how many each property is tried on."""


def some(share: str) -> settings:
    return settings(deadline=None, max_examples=max(POLICIES * SHARES[share] // 100, 1))


def test_the_properties_share_all_the_policies():
    assert sum(SHARES.values()) == 100


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


@some("mutated")
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


@some("any key")
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


@some("random")
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


@some("family")
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


@some("locked")
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


# judged: whatever a policy says, it allows nothing that breaks a rule that is still in it

ROWS = 800
JUDGED = (
    VALID.replace("outputs: scores, ", "")
    .replace(", threshold: 0.5", "")
    .replace("  contract: expectations/holdout.json\n", "")
)
JUDGED_TOKENS = re.findall(r"\s+|[\w.%-]+|.", JUDGED, re.DOTALL)
RIGHT = ["legit" if i % 4 else "fraud" for i in range(ROWS)]
TABLE = pa.table(
    {
        "txn_id": [f"t{i}" for i in range(ROWS)],
        "y": RIGHT,
        "old": RIGHT,
        "new": ["fraud" if right == "legit" else "legit" for right in RIGHT],
        "seed1": RIGHT,
        "seed2": RIGHT,
        "region": [("n", "s", "w")[i % 3] for i in range(ROWS)],
        "sex": [("f", "m")[i // 3 % 2] for i in range(ROWS)],
        "age": [i % 90 for i in range(ROWS)],
        "tenure_days": [i // 5 % 60 for i in range(ROWS)],
    }
)
"""The incumbent is always right and the candidate never, in every cell: every rule of the policy is broken by far."""

WORST: dict[tuple[str, str | None], float] = {
    ("error_rate", "candidate"): 1.0, ("error_rate", "incumbent"): 0.0, ("error_rate_change", None): 1.0,
    ("nfr", None): 1.0, ("pfr", None): 0.0, ("error_rate_ratio", None): float("inf"), ("relative_nfr", None): 1.0,
    ("nfi", None): 1.0, ("btc", None): 0.0, ("bec", None): 0.0, ("churn", None): 1.0,
    ("wrong_to_different_wrong", None): 0.0, ("both_right", None): 0.0, ("both_wrong", None): 0.0,
    ("excess_nfr", None): 1.0, ("excess_churn", None): 1.0,
}  # fmt: skip
"""What each rate is there, overall and in every cell."""


def broken(policy: Policy) -> list[str]:
    """The rules that this policy still enforces, and that these models break by far, as its own words show.

    Where the objection carries the proof it takes rows and confidence: there only what no cut of the rows, no cluster,
    no absurd confidence and no priced gain can hide.
    """
    whole = parse_policy(JUDGED)
    plain = policy.holdout.cluster is None and policy.holdout.weight is None and policy.confidence_of_a_look < 1 - 1e-6
    found = []
    for rule in policy.rules:
        if rule.severity is not Severity.ENFORCE or _excused(policy, rule):
            continue
        if isinstance(rule, Golden):
            found.append(rule.id)
        elif isinstance(rule, Cost):
            if rule.decide_on is not DecideOn.HARM and _beyond(rule, rule.threshold.limit):
                found.append(rule.id)
        else:
            same_cells = rule.by in (None, "class", "output") or (
                policy.holdout.slices.get(rule.by) == whole.holdout.slices.get(rule.by)
            )
            provable = rule.decide_on is not DecideOn.HARM or (plain and same_cells)
            limits = [rule.threshold.limit, *(over.threshold.limit for over in rule.overrides)]
            if provable and all(_beyond(rule, limit) for limit in limits):
                found.append(rule.id)
    return found


def _beyond(rule: AnyRule, limit: float) -> bool:
    if isinstance(rule, Golden):
        return True
    if isinstance(rule, Cost):
        shares = {"legit": 0.75, "fraud": 0.25}
        return limit < rule.per * sum(price.amount * shares[str(price.label)] for price in rule.negative) / 2
    truth = WORST[rule.rate.name, getattr(rule.rate, "of", None)]
    slack = 0.5 if rule.decide_on is DecideOn.HARM else 0.0
    return limit < truth - slack if rule.at_most else limit > truth + slack


def _excused(policy: Policy, rule: AnyRule) -> bool:
    """Whether a waiver takes it; one for a single cell leaves the other cells of a rule on classes or outputs."""
    whole = isinstance(rule, Rule) and rule.by in ("class", "output")
    return any(
        waiver.rule == rule.id and not (waiver.by_cell and whole)
        and (waiver.up_to is None or not _beyond(rule, waiver.up_to))
        for waiver in policy.waivers
    )  # fmt: skip


def _waived(policy: Policy, rule: AnyRule) -> bool:
    """Whether all that the rule finds is waived, and has to be."""
    whole = any(waiver.rule == rule.id and not waiver.by_cell and waiver.up_to is None for waiver in policy.waivers)
    return whole and (isinstance(rule, Golden) or _beyond(rule, rule.threshold.limit))


@pytest.fixture(scope="module")
def files(folder: Path) -> Path:
    """The folder with the files that the policy names."""
    (folder / "golden").mkdir()
    (folder / "golden" / "ids.csv").write_text("id\nt3\nt4\nt5\n")
    (folder / "excluded.csv").write_text("id,reason,owner\nt10,disputed,me\nt11,disputed,me\n")
    return folder


def verdict_by(text: str, environment: str | None = None) -> tuple[Verdict, Policy] | None:
    """The verdict by a policy and what was read of it; None where there is none, since it, or what it names, is wrong."""
    Path("judged.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    asked: dict[str, Any] = {
        "environment": environment, "label": "y", "id": "txn_id", "incumbent": "old", "candidate": "new",
        "as_of": "2026-11-22",
    }  # fmt: skip
    try:
        policy = load_policy("judged.yaml", environment)
    except UsageError:
        with pytest.raises(UsageError):
            compare(TABLE, policy="judged.yaml", **asked)
        return None
    try:
        return compare(TABLE, policy=policy, **asked).verdict, policy
    except (UsageError, EvidenceError):
        return None


def test_the_policy_that_is_judged_by_breaks_every_rule_of_it(files):
    for environment in (None, "staging", "prod"):
        found = verdict_by(JUDGED, environment)
        assert found is not None
        assert found[0] is Verdict.REFUSE
        enforced = [rule.id for rule in found[1].rules if rule.severity is Severity.ENFORCE]
        assert broken(found[1]) == [rule for rule in enforced if (environment, rule) != ("staging", "few")]


JUDGED_HEAD, _, _rest = JUDGED.partition("rules:\n")
RULES = [rule for rule in re.split(r"(?m)^(?=  - )", _rest.partition("waivers:\n")[0]) if rule]
ALIKE = [
    ["0.2%", "0.7%", "1%", "3%", "5%", "50%", "100%", "100%", "100%"],
    ["0.9", "0.5", "0.1", "0", "1"],
    ["300", "200", "1000", "250", "1000000"],
    ["proof", "harm", "estimate"],
    ["enforce", "warn"],
    ["nfr", "btc", "error_rate", "error_rate_change", "churn", "excess_nfr"],
    ["class", "region", "output", "ages", "both", "new"],
    ["at_most", "at_least"],
    ["warn_above", "warn_below", "at_least_n"],
    ["legit", "fraud"],
]
"""Words that may stand in the place of one another, so that the policy is often read all the same."""

of_judged = st.tuples(
    st.sampled_from(["delete", "double", "replace", "swap", "cut"]), st.integers(0, len(JUDGED_TOKENS) - 1), token
)


@st.composite
def reworded(draw: st.DrawFn) -> str:
    """Some rules of the policy and perhaps one that is kept, one perhaps waived, some words and limits replaced."""
    rules = draw(st.lists(st.sampled_from(RULES), min_size=1, max_size=3, unique=True))
    text = "rules:\n" + "".join(rules)
    if draw(st.booleans()):
        text += "  - {id: kept, rate: pfr, at_most: 50%}\n"
    if draw(st.booleans()):
        up_to = draw(st.sampled_from(["", "up_to: 50%, ", "up_to: 100%, "]))
        (name,) = re.findall(r"\bid: ([\w-]+)", rules[0])
        text += f"waivers:\n  - {{rule: {name}, {up_to}because: x, owner: y, expires: 2027-01-31}}\n"
    tokens = re.findall(r"\s+|[\w.%-]+|.", text, re.DOTALL)
    places = [(at, words) for at, word in enumerate(tokens) for words in ALIKE if word in words]
    for at, words in draw(st.lists(st.sampled_from(places), max_size=6)) if places else []:
        tokens[at] = draw(st.sampled_from(words))
    return JUDGED_HEAD + "".join(tokens)


def test_every_rule_of_the_policy_that_is_judged_by_can_stand_alone(files):
    assert len(RULES) == 9
    for rule in RULES:
        found = verdict_by(f"{JUDGED_HEAD}rules:\n{rule}")
        assert found is not None
        assert found[0] is (Verdict.ERROR if "severity: warn" in rule else Verdict.REFUSE), rule


@some("judged")
@given(
    st.tuples(
        st.lists(of_judged, min_size=1, max_size=3).map(lambda steps: mutated(steps, JUDGED_TOKENS)),
        st.sampled_from([None, "staging", "prod"]),
    )
    | st.tuples(reworded(), st.none()),
)
@example((JUDGED.replace("at_most: 5%", "at_most: 100%"), None))
@example((JUDGED.replace("locked: true", "severity: warn"), "prod"))
def test_no_broken_policy_allows_what_a_rule_that_it_still_has_forbids(files, given):
    text, environment = given
    found = verdict_by(text, environment)
    if found is None:
        return
    verdict, policy = found
    if verdict is Verdict.ALLOW:
        assert broken(policy) == []
        assert any(rule.severity is Severity.ENFORCE and not _waived(policy, rule) for rule in policy.rules)
    rules_are_as_written(text, policy if environment is None else parse_policy(text))


def rules_are_as_written(text: str, policy: Policy) -> None:
    """The rules that were read are those that another reader of YAML finds, with the limits that stand there."""
    written = YAML(typ="base", pure=True).load(text)["rules"]  # every scalar as the text that it is
    assert [rule.id for rule in policy.rules] == [part["id"] for part in written]
    for rule, part in zip(policy.rules, written, strict=True):
        assert rule.severity.value == part.get("severity", "enforce")
        if not isinstance(rule, Golden):
            limits = {key: part[key] for key in ("at_most", "at_least") if part.get(key) not in (None, *NOTHING)}
            ((key, limit),) = limits.items()
            number = Decimal(limit.strip().removesuffix("%").strip()) / (100 if "%" in limit else 1)
            assert rule.threshold.limit == pytest.approx(float(number), rel=1e-12)
            assert getattr(rule, "at_most", True) == (key == "at_most")


NOTHING = ("", "~", "null", "Null", "NULL")
stated = st.fixed_dictionaries(
    {
        "rate": st.sampled_from(["nfr", "churn", "nfi", "error_rate", "excess_nfr", "error_rate_change"]),
        "at_most": st.sampled_from(["0.5%", "20%", "99%", "100%", "100%"]),
        "by": st.sampled_from([None, "class", "output", "region", "ages", "both", "new"]),
        "decide_on": st.sampled_from(["proof", "estimate", "harm"]),
        "severity": st.sampled_from(["enforce", "enforce", "warn"]),
    }
)


@some("loosened")
@given(st.lists(stated, min_size=1, max_size=4))
def test_a_policy_allows_exactly_where_none_of_its_enforced_rules_is_broken(files, rules):
    """Where the objection carries the proof, 99 % is neither broken by far nor kept: that may go either way."""
    lines = [
        f"  - {{id: r{i}, {', '.join(f'{key}: {value}' for key, value in rule.items() if value is not None)}}}"
        for i, rule in enumerate(rules)
    ]
    found = verdict_by(JUDGED_HEAD + "rules:\n" + "\n".join(lines) + "\n")
    assert found is not None
    verdict, policy = found
    open_ = any(rule["at_most"] == "99%" and rule["decide_on"] == "harm" for rule in rules)
    enforced = any(rule["severity"] == "enforce" for rule in rules)
    if broken(policy) or not enforced or not open_:
        assert (verdict is Verdict.ALLOW) == (enforced and not broken(policy))
