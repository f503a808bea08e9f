"""Whatever the text, reading a policy gives a policy or a UsageError that says where."""

from __future__ import annotations

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gate.errors import UsageError
from gate.policy.load import parse_policy
from gate.policy.rules import Policy

VALID = """\
version: 1
name: fraud-classifier
task: {kind: classification, outputs: scores, classes: [legit, fraud], threshold: 0.5}
holdout:
  id: txn_id
  label: y
  slices:
    region: {column: region}
  contract: expectations/holdout.json
evidence:
  confidence: 95%
  decide_on: proof
on_missing_incumbent: refuse
rules:
  - {id: error-cap, rate: error_rate, of: candidate, at_most: 5%}
  - {id: no-worse, rate: error_rate_change, at_most: 0.2%}
  - {id: few, rate: nfr, at_most: 1%, warn_above: 0.7%, because: "Support reads every new mistake as a bug."}
  - {id: classes, rate: nfr, by: class, at_most: 3%, at_least_n: 200, overrides: [{cell: fraud, at_most: 1%}]}
  - {id: regions, rate: btc, by: region, decide_on: harm, at_least: 0.9, warn_below: 0.95, severity: warn}
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


def mutated(steps: list[tuple[str, int, str]]) -> str:
    tokens = list(TOKENS)
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
    try:
        assert isinstance(parse_policy(text, "p.yaml"), Policy)
    except UsageError as error:
        assert error.problems
        for problem in error.problems:
            assert re.fullmatch(r"p\.yaml(:\d+:\d+)?", problem.where)
            assert problem.found


def test_the_policy_that_is_mutated_is_valid():
    assert len(parse_policy(VALID).rules) == 5


@settings(deadline=None, max_examples=500)
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


@settings(deadline=None, max_examples=150)
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


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet=st.one_of(st.sampled_from(":-?[]{},#&*!|>'\"%@`\n\t a1\\"), st.characters()), max_size=60))
def test_random_text_is_read_or_refused_with_its_place(text):
    reads_or_says_where(text)
