"""What a sound policy says, as values."""

from __future__ import annotations

import pytest

from gate.core.judgement import DecideOn, Severity, Source
from gate.core.rates import rate
from gate.errors import UsageError
from gate.policy.checks import check, limit, percent
from gate.policy.document import parts_at
from gate.policy.load import parse_policy
from gate.policy.rules import Holdout, Override, Promotion, Threshold
from gate.policy.source import Position, read
from gate.tasks.options import TaskOptions
from gate.tasks.slicing import ByColumn

WHOLE = """\
version: 1
name: fraud-classifier
task: {kind: classification, outputs: scores, classes: [legit, fraud], threshold: 1}
holdout:
  id: txn_id
  label: y
  slices:
    region: {column: area}
  contract: expectations/holdout.json
evidence: {confidence: 99.5%, decide_on: harm}
on_missing_incumbent: absolute_rules_only
rules:
  - {id: error-cap, rate: error_rate, at_most: 5%}
  - id: classes
    rate: nfr
    by: class
    at_most: 3%
    warn_above: 2.5%
    at_least_n: 200
    decide_on: proof
    severity: warn
    because: Support reads every new mistake as a bug.
    overrides:
      - {cell: fraud, at_most: 1%}
      - {cell: 1, at_most: 2%, warn_above: 1%}
      - {cell: true, at_most: 4%}
      - {cell: null, at_most: 5%}
  - {id: trust, rate: btc, by: region, at_least: 95%, warn_below: 0.97}
  - {id: old, rate: error_rate, of: incumbent, at_most: 50%}
  - {id: change, rate: error_rate_change, by: output, at_most: -0.5%}
promotion: {alias: champion, keep_previous_as: previous}
"""


def test_a_whole_policy_is_read_as_it_is_written():
    policy = parse_policy(WHOLE, "p.yaml")
    assert (policy.name, policy.file, policy.text) == ("fraud-classifier", "p.yaml", WHOLE)
    assert policy.task == TaskOptions("classification", "scores", ("legit", "fraud"), 1.0)
    assert policy.holdout == Holdout("txn_id", "y", {"region": ByColumn("area")}, "expectations/holdout.json")
    assert (policy.confidence, policy.decide_on) == (0.995, DecideOn.HARM)
    assert policy.absolute_rules_only_without_incumbent
    assert policy.promotion == Promotion("champion", "previous")
    cap, classes, trust, old, change = policy.rules
    assert (cap.rate, cap.threshold, cap.by, cap.at_most) == (rate("error_rate"), Threshold(0.05), None, True)
    assert (cap.decide_on, cap.severity, cap.at_least_n, cap.because) == (DecideOn.HARM, Severity.ENFORCE, None, None)
    assert cap.source == Source("p.yaml", 13)
    assert (classes.threshold, classes.at_least_n, classes.decide_on) == (Threshold(0.03, 0.025), 200, DecideOn.PROOF)
    assert (classes.severity, classes.because) == (Severity.WARN, "Support reads every new mistake as a bug.")
    assert classes.overrides == (
        Override("fraud", Threshold(0.01), Source("p.yaml", 24)),
        Override(1, Threshold(0.02, 0.01), Source("p.yaml", 25)),
        Override(True, Threshold(0.04), Source("p.yaml", 26)),
        Override(None, Threshold(0.05), Source("p.yaml", 27)),
    )
    assert [type(over.cell) for over in classes.overrides] == [str, int, bool, type(None)]
    assert (trust.by, trust.at_most, trust.threshold) == ("region", False, Threshold(0.95, 0.97))
    assert old.rate.of == "incumbent"
    assert (change.by, change.threshold.limit) == ("output", -0.005)


def test_only_rules_of_the_candidate_alone_need_no_incumbent():
    assert [rule.needs_incumbent for rule in parse_policy(WHOLE).rules] == [False, True, True, True, True]


def test_what_is_left_out_has_the_documented_defaults():
    policy = parse_policy("version: 1\nname: x\nrules: [{id: a, rate: nfr, at_most: 1%}]\n")
    assert (policy.file, policy.confidence, policy.decide_on) == ("policy", 0.95, DecideOn.PROOF)
    assert (policy.task, policy.holdout, policy.promotion) == (TaskOptions(), Holdout(), None)
    assert not policy.absolute_rules_only_without_incumbent


def test_the_digest_follows_the_text():
    first, second = (parse_policy(WHOLE + tail) for tail in ("", "# a remark\n"))
    assert len(first.digest) == 64
    assert first.digest != second.digest
    assert first.rules == second.rules


@pytest.mark.parametrize(
    ("text", "share"),
    [("5%", 0.05), ("0.2%", 0.002), (" 10 % ", 0.1), ("+1%", 0.01), ("-1%", -0.01), ("7%", 0.07), ("0.7%", 0.007),
     ("5", None), ("%", None), (".5%", None), ("5%%", None), ("1e1%", None), (5, None), (None, None), ("٥%", None)],
)  # fmt: skip
def test_a_percentage_is_exactly_the_share_it_says(text, share):
    assert percent(text) == share


@pytest.mark.parametrize(
    ("value", "name", "number"),
    [("1%", "nfr", 0.01), ("30%", "relative_nfr", 0.3), (0.3, "relative_nfr", 0.3), (2, "relative_nfr", 2.0),
     ("99%", "btc", 0.99), (1, "bec", 1.0), ("-2%", "error_rate_change", -0.02), ("100%", "churn", 1.0)],
)  # fmt: skip
def test_a_limit_is_in_the_rates_own_unit(value, name, number):
    assert limit(value, rate(name)) == number


def test_a_bare_limit_on_a_share_says_what_it_would_mean():
    assert limit(3, rate("nfr")) == "a limit on nfr carries a % sign; found 3, did you mean '3%'?"


def test_parts_of_the_document_are_found_by_their_path():
    assert parts_at(("holdout", "slices", "anything")).__name__ == "SlicePart"  # type: ignore[union-attr]
    assert parts_at(("rules", 0)).__name__ == "RulePart"  # type: ignore[union-attr]
    assert parts_at(("nothing", "here")) is None


def test_checks_of_data_that_is_no_policy_find_nothing():
    assert [*check(["x"])] == []
    assert [*check({"rules": "x"})] == []


def test_a_place_that_is_not_in_the_file_is_that_of_what_surrounds_it():
    document = read("a:\n  - b: 1\n")
    assert document.at(("a", 0, "b")) == Position(2, 5)
    assert document.at(("a", 0, "c", "d")) == Position(2, 5)
    assert document.at(("z",)) == Position(1, 1)
    assert read("").at(("z",)) == Position(1, 1)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("-0b1", -1), ("1.5", 1.5), ("1e3", 1000.0), (".inf", float("inf")), ("-.INF", -float("inf")),
     ("true", True), ("False", False), ("~", None), ("null", None), ("'1'", "1"), ("0o8", "0o8"), ("x", "x"), ("[]", []), ("{}", {}),
     ("18446744073709551615", 2**64 - 1), ("|\n  a\n", "a\n")],
)  # fmt: skip
def test_scalars_are_read_by_the_rules_of_yaml_1_2(text, value):
    found = read(f"a: {text}\n").data["a"]
    assert (type(found), found) == (type(value), value)


def test_an_integer_of_more_than_64_bits_is_a_mistake():
    assert read("a: 18446744073709551616\n").mistakes == ((Position(1, 4), "a number of more than 64 bits"),)


def test_an_integer_of_thousands_of_digits_is_refused_however_python_reads_it():
    with pytest.raises(UsageError):
        parse_policy(WHOLE.replace("at_least_n: 200", "at_least_n: " + "9" * 5_000))
