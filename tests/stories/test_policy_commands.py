"""Policies: explained, written for a held-out set, held against its size, and against fixtures."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gate.errors import EvidenceError, UsageError
from gate.policy.load import load_policy, parse_policy
from gate.policy.needs import refused_from
from gate.stories.compare import compare
from gate.stories.draft import draft
from gate.stories.explain import explain, lines
from gate.stories.rehearse import rehearse
from gate.stories.validate import undecidable


def policy(*rules: str, holdout: str = "{label: y}", more: str = "") -> Any:
    listed = "".join(f"  - {rule}\n" for rule in rules)
    return parse_policy(f"version: 1\nname: small\nholdout: {holdout}\n{more}rules:\n{listed}", "p.yaml")


def sized(**classes: int) -> pa.Table:
    return pa.table({"y": [name for name, rows in classes.items() for _ in range(rows)]})


def told(*rules: str) -> list[str]:
    return [str(doubt) for doubt in undecidable(policy(*rules), sized(cat=150, dog=40, emu=1000))]


# what a held-out set can never decide


def test_a_cell_of_150_rows_at_3_percent_passes_with_no_flip_only() -> None:
    [doubt] = undecidable(policy("{id: few, rate: nfr, at_most: 3%}"), sized(cat=150))
    assert str(doubt) == "p.yaml:5: rule 'few': passes with no flip only: all rows (150 rows at 3%)"
    assert not doubt.never


def test_cells_too_small_to_pass_are_told_apart_from_those_that_pass_with_no_flip() -> None:
    assert told("{id: classes, rate: nfr, by: class, at_most: 3%}") == [
        "p.yaml:5: rule 'classes': can never pass: 1 of 3 cells: class dog (40 of 99 rows)",
        "p.yaml:5: rule 'classes': passes with no flip only: 1 of 3 cells: class cat (150 rows at 3%)",
    ]


@pytest.mark.parametrize(
    "rule, claim",
    [
        ("{id: r, rate: nfr, at_most: 1%}", None),
        ("{id: r, rate: nfr, at_most: 0.1%}", "can never pass: all rows (1,190 of 2,995 rows)"),
        ("{id: r, rate: btc, at_least: 0.999}", "can never pass"),
        ("{id: r, rate: pfr, at_least: 99.9%}", "can never pass"),
        ("{id: r, rate: nfi, at_most: 0.1%}", "can never pass"),
        ("{id: r, rate: bec, at_least: 0.5}", None),
        ("{id: r, rate: error_rate_change, at_most: 0%}", None),
        ("{id: r, rate: error_rate_change, at_most: -99.9%}", "can never pass"),
        ("{id: r, rate: nfr, by: class, at_most: 20%, at_least_n: 100}", "at_least_n is 100: 1 of 3 cells: class dog"),
        ("{id: r, rate: nfr, by: class, at_most: 90%, decide_on: harm, correction: holm}", None),
        ("{id: r, rate: nfr, by: class, at_most: 95%, decide_on: harm}", "too small to prove harm: 1 of 3 cells: class dog"),
        ("{id: r, rate: nfr, by: class, at_most: 0.1%, decide_on: estimate}", None),
        ("{id: r, rate: nfr, by: output, at_most: 0.1%}",
         "by output, and no cell has more than all rows: can never pass: all rows (1,190 of 2,995 rows)"),
        ("{id: r, rate: nfr, by: output, at_most: 99%, at_least_n: 2000}", "can never pass, at_least_n is 2,000: all rows"),
        ("{id: r, rate: relative_nfr, at_most: 0.01}", "can never pass: all rows (1,190 of 1,550 rows)"),
        ("{id: r, rate: relative_nfr, by: class, at_most: 500, decide_on: harm}", "too small to prove harm: 3 of 3 cells"),
        ("{id: r, rate: error_rate_ratio, at_most: 0.001}", "can never pass: all rows (1,190 rows)"),
        ("{id: r, rate: error_rate_ratio, at_most: 0.5}", None),
        ("{id: r, net_cost: {negative: [{label: cat, output: dog, cost: 9}]}, at_most: 30, at_least_n: 1191}",
         "can never pass, at_least_n is 1,191: all rows (1,190 rows)"),
        ("{id: r, net_cost: {negative: [{label: cat, output: dog, cost: 9}]}, at_most: 10}", "can never pass"),
        ("{id: r, net_cost: {negative: [{label: cat, output: dog, cost: 9}]}, at_most: 30}", None),
    ],
)  # fmt: skip
def test_each_kind_of_rule_is_held_against_the_size(rule: str, claim: str | None) -> None:
    found = told(rule)
    if claim is None:
        assert found == []
    else:
        assert len(found) == 1 and claim in found[0]


def test_a_cell_too_small_to_prove_harm_is_told() -> None:
    [doubt] = undecidable(policy("{id: r, rate: nfr, by: class, at_most: 50%, decide_on: harm}"), sized(cat=100, dog=4))
    assert "can never be refused, too small to prove harm: 1 of 2 cells: class dog (4 rows)" in str(doubt)


def test_what_is_said_never_to_pass_does_not_pass_even_if_nothing_flips() -> None:
    table = sized(cat=150, dog=40)
    rules = policy("{id: r, rate: nfr, by: class, at_most: 3%}")
    [never, _] = undecidable(rules, table)
    same = table["y"]
    judged = compare(
        table.append_column("a", same).append_column("b", same), policy=rules, incumbent="a", candidate="b"
    )
    assert never.never and not judged.allowed


def test_a_class_that_the_policy_declares_but_no_row_has_can_never_pass() -> None:
    declared = parse_policy(
        "version: 1\nname: x\ntask: {classes: [cat, dog]}\nholdout: {label: y}\n"
        "rules: [{id: r, rate: nfr, by: class, at_most: 10%}]\n"
    )
    assert "class dog (0 of 29 rows)" in str(undecidable(declared, sized(cat=100))[0])


def test_rows_in_clusters_count_as_clusters() -> None:
    table = pa.table({"y": ["cat"] * 400, "user": np.arange(400) // 100})
    rules = policy("{id: r, rate: nfr, at_most: 3%}", holdout="{label: y, cluster: user}")
    assert "can never pass" in str(undecidable(rules, table)[0])
    assert undecidable(policy("{id: r, rate: nfr, at_most: 3%}"), table) == []


def test_rules_overrides_and_waivers_of_cells_that_are_not_there_are_errors() -> None:
    rules = policy(
        "{id: r, rate: nfr, by: class, at_most: 9%, overrides: [{cell: dgo, at_most: 20%}]}",
    )
    with pytest.raises(UsageError, match=r"override for 'dgo'.*did you mean 'dog'"):
        undecidable(rules, sized(cat=100, dog=100))
    waived = parse_policy(
        "version: 1\nname: x\nholdout: {label: y}\nrules: [{id: r, rate: nfr, by: class, at_most: 9%}]\n"
        "waivers: [{rule: r, cell: cow, because: b, owner: me, expires: 2020-01-01}]\n"
    )
    with pytest.raises(UsageError, match="names the cell 'cow'"):
        undecidable(waived, sized(cat=100))


def test_columns_that_are_missing_are_errors_all_at_once(tmp_path: Path) -> None:
    rules = policy("{id: r, rate: nfr, at_most: 9%}", holdout="{id: key, label: y, weight: w}")
    with pytest.raises(EvidenceError) as caught:
        undecidable(rules, sized(cat=100))
    assert [problem.found.split(" for")[0] for problem in caught.value.problems] == ["no column 'key'", "no column 'w'"]


def test_a_golden_set_without_a_marked_row_is_told() -> None:
    table = sized(cat=100).append_column("gold", pa.array([False] * 100))
    rules = policy("{id: gold, must_not_regress: {column: gold}}", "{id: r, rate: nfr, at_most: 9%}")
    [doubt] = undecidable(rules, table)
    assert doubt.rule == "gold" and doubt.never


@pytest.mark.parametrize(
    "task, table",
    [
        ("{kind: regression, tolerance: {absolute: 1}}", pa.table({"y": np.linspace(0, 1, 40)})),
        ("{kind: generation}", pa.table({"y": [f"answer {i}" for i in range(40)]})),
        ("{kind: multilabel, classes: [a, b]}", pa.table({"y": [["a"], ["a", "b"]] * 20})),
        ("{kind: classification, outputs: probabilities, classes: [a, b]}", pa.table({"y": ["a", "b"] * 20})),
        ("{kind: classification, outputs: scores, classes: [no, yes], threshold: 0.4}", pa.table({"y": ["no", "yes"] * 20})),
    ],
)  # fmt: skip
def test_every_kind_of_task_can_be_held_against_its_data(task: str, table: pa.Table) -> None:
    rules = parse_policy(
        f"version: 1\nname: x\ntask: {task}\nholdout: {{label: y}}\nrules: [{{id: r, rate: nfr, at_most: 1%}}]\n"
    )
    assert "can never pass: all rows (40 of 299 rows)" in str(undecidable(rules, table)[0])


# in plain words


def one(rule: str, **options: str) -> str:
    return " ".join(explain(policy(rule, **options)).rules[0].sentences)


def test_a_proof_says_its_limit_its_place_who_proves_and_the_rows_it_takes() -> None:
    text = one("{id: r, rate: nfr, by: class, at_most: 1%, warn_above: 0.7%, because: Support reads them.}")
    assert "is at most 1%, for each label" in text
    assert "The update carries the proof: it passes if the upper bound is at most 1%" in text
    assert "It takes 299 rows in each cell if no negative flips are seen, 473 with 1, 628 with 2, 1,049 with 5." in text
    assert "If the rate truly is 0.5%, 80% of such updates pass from 1,941 rows in each cell on" in text
    assert "above 0.7%, a pass is a warning" in text
    assert "Why: Support reads them." in text


def test_the_effective_confidence_of_several_looks_is_what_rows_are_worked_out_at() -> None:
    told_ = explain(policy("{id: r, rate: nfr, at_most: 1%}", more="evidence: {looks: 5}\n"))
    assert any("at 99% confidence: 95%, its error spent over 5 decisions" in line for line in told_.sentences)
    assert any("It takes 459 rows" in line for line in told_.rules[0].sentences)


def test_harm_says_from_how_many_flips_on_it_refuses() -> None:
    text = one("{id: r, rate: nfr, by: class, at_most: 3%, decide_on: harm, correction: holm, severity: warn}")
    assert "The objection carries the proof" in text
    assert "from 7 negative flips among 100 rows" in text
    assert "(Holm)" in text and "It only warns" in text


def test_the_flips_that_refuse_are_those_that_the_judgement_refuses() -> None:
    from gate.core.rates import rate

    flips = refused_from(rate("nfr"), 0.03, True, 100, 0.95)
    assert flips is not None
    rules = policy("{id: r, rate: nfr, at_most: 3%, decide_on: harm}")
    for seen, verdict in ((flips, "refuse"), (flips - 1, "allow")):
        table = {"y": ["a"] * 100, "old": ["a"] * 100, "new": ["b"] * seen + ["a"] * (100 - seen)}
        assert compare(table, policy=rules, incumbent="old", candidate="new").verdict.value == verdict


@pytest.mark.parametrize(
    "rule, claim",
    [
        ("{id: r, rate: btc, at_least: 0.99}", "It takes 299 rows that the incumbent gets right if no negative flips"),
        ("{id: r, rate: nfi, at_most: 20%}", "14 errors of the candidate"),
        ("{id: r, rate: error_rate_change, at_most: 0.5%}", "(and no positive ones)"),
        ("{id: r, rate: error_rate_change, at_most: 0%}", "depends on how many rows flip both ways"),
        ("{id: r, rate: relative_nfr, at_most: 0.3}", "depends on the errors of both models"),
        ("{id: r, rate: nfr, at_most: 3%, decide_on: estimate}", "Nobody carries the proof"),
        ("{id: r, rate: nfr, by: class, at_most: 3%, overrides: [{cell: cat, at_most: 1%}]}", "For cat the limit is 1%. It takes 299"),
        ("{id: r, rate: nfr, by: class, at_most: 3%, at_least_n: 200}", "fewer than 200 rows cannot pass"),
        ("{id: r, must_not_regress: golden.csv}", "ids stand in golden.csv may be a negative flip"),
        ("{id: r, must_not_regress: {column: gold}}", "the column gold marks"),
        ("{id: r, net_cost: {per: 500, negative: [{label: fraud, output: legit, cost: 250}], positive: [{label: fraud, output: legit, gain: 4}]}, at_most: 900}", "fraud that becomes legit costs 250. legit that becomes fraud saves 4."),
    ],
)  # fmt: skip
def test_every_kind_of_rule_is_told_in_words(rule: str, claim: str) -> None:
    assert claim in one(rule)


def test_an_excess_names_the_retrained_incumbents() -> None:
    text = one("{id: r, rate: excess_nfr, at_most: 1%}", holdout="{label: y, noise_floor: [seed1, seed2]}")
    assert "2 retrained incumbents (seed1, seed2)" in text


def test_a_waiver_is_told_beside_its_rule() -> None:
    text = one(
        "{id: r, rate: nfr, by: class, at_most: 3%}",
        more="waivers: [{rule: r, cell: cat, up_to: 5%, because: relabelling, owner: us, expires: 2027-01-31}]\n",
    )
    assert "Waived for cat up to 5% by us until 2027-01-31: relabelling" in text


def test_every_ready_made_policy_is_explained_in_80_columns() -> None:
    for file in sorted(Path("policies").glob("*.yaml")):
        assert max(map(len, lines(explain(file)))) <= 80


def test_a_rule_that_is_not_there_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="no rule 'fwe'; did you mean 'few'"):
        explain(policy("{id: few, rate: nfr, at_most: 1%}"), "fwe")


# a first policy


@pytest.mark.parametrize("rows", [5, 100, 300, 1000, 30_000])
@pytest.mark.parametrize("classes", [1, 2, 7])
def test_a_first_policy_is_sound_and_decides_what_it_asks(rows: int, classes: int) -> None:
    table = pa.table({"y": [f"c{i % classes}" for i in range(rows)], "x": np.linspace(0, 1, rows)})
    written = parse_policy(draft(table, label="y"))
    overall = [doubt for doubt in undecidable(written, table) if doubt.rule != "no-class-breaks"]
    assert overall == []
    if rows >= 300:
        assert undecidable(written, table) == []


def test_classes_too_small_for_proof_are_judged_on_harm_and_large_ones_on_proof() -> None:
    small = parse_policy(draft(sized(cat=900, dog=50), label="y"))
    large = parse_policy(draft(sized(cat=900, dog=600), label="y"))
    assert (small.rules[2].decide_on.value, small.rules[2].holm) == ("harm", True)
    assert (large.rules[2].decide_on.value, large.rules[2].threshold.limit) == ("proof", 0.03)


def test_the_limit_survives_a_few_flips() -> None:
    table = sized(cat=450)
    written = parse_policy(draft(table, label="y"))
    limit = next(rule for rule in written.rules if rule.id == "few-negative-flips")
    same = ["cat"] * 450
    judged = compare(
        {"y": same, "old": same, "new": ["dog"] * 3 + same[3:]}, policy=written, incumbent="old", candidate="new"
    )
    found = next(f for f in judged.decision.findings if f.rule == limit.id)
    assert found.status.value == "pass"


def test_names_that_yaml_would_read_otherwise_are_quoted() -> None:
    table = pa.table({"true": ["a", "b"] * 50, "1: #x": range(100), "class": ["u", "v"] * 50})
    written = parse_policy(draft(table, label="true", id="1: #x", name='null "quoted"'))
    assert (written.holdout.label, written.holdout.id, written.name) == ("true", "1: #x", 'null "quoted"')


def test_the_slices_that_are_suggested_can_be_uncommented() -> None:
    rng = np.random.default_rng(0)
    table = pa.table(
        {"y": ["a", "b"] * 500, "region": ["n", "s", "w", "e"] * 250, "class": ["u", "v"] * 500,
         "income": rng.normal(50, 9, 1000), "key": range(1000)}
    )  # fmt: skip
    text = draft(table, label="y")
    assert "key" not in text.split("slices:")[1].split("evidence:")[0]
    used = text.replace("  # slices:", "  slices:").replace("  #   ", "    ")
    assert set(parse_policy(used).holdout.slices) == {"region", "class_column", "income"}


def test_a_label_that_is_no_class_is_refused() -> None:
    with pytest.raises(EvidenceError, match="does not look like classes"):
        draft(pa.table({"y": [0.5, 1.5]}), label="y")
    with pytest.raises(EvidenceError, match="do not look like classes"):
        draft(pa.table({"y": [f"text {i}" for i in range(2000)]}), label="y")
    with pytest.raises(EvidenceError, match="no column 'z' for the label"):
        draft(pa.table({"y": ["a"]}), label="z")


# fixtures


PETS = """
version: 1
name: pets
holdout: {label: y}
rules:
  - {id: few, rate: nfr, at_most: 1%}
  - {id: classes, rate: nfr, by: class, at_most: 3%, decide_on: harm}
environments:
  staging: {evidence: {decide_on: estimate}}
"""
REFUSED = """
policy: ../pets.yaml
predictions:
  - {y: cat, incumbent: cat, candidate: cat, times: 500}
  - {y: dog, incumbent: dog, candidate: dog, times: 480}
  - {y: dog, incumbent: dog, candidate: cat, times: 20}
expect:
  verdict: refuse
  findings: [{rule: few, status: fail}, {rule: classes, cell: dog, status: warn}]
"""


@pytest.fixture
def fixture(tmp_path: Path) -> Callable[[str], Path]:
    (tmp_path / "pets.yaml").write_text(PETS)
    (tmp_path / "cases").mkdir()

    def write(text: str, name: str = "case.yaml") -> Path:
        path = tmp_path / "cases" / name
        path.write_text(text.lstrip("\n"))
        return path

    return write


def test_a_fixture_that_is_judged_as_expected_is_as_expected(fixture: Callable[[str], Path]) -> None:
    [case] = rehearse([fixture(REFUSED)])
    assert case.as_expected and case.verdict is not None and case.verdict.value == "refuse"


@pytest.mark.parametrize(
    "was, now, surprise",
    [
        ("verdict: refuse", "verdict: allow", "the verdict is refuse, expected allow (few fail, classes warn)"),
        ("few, status: fail", "few, status: pass", "case.yaml:8:14: rule few is fail, expected pass"),
        ("cell: dog", "cell: cat", "rule classes, class cat, is pass, expected warn"),
        ("cell: dog", "cell: cow", "rule classes has no cell cow"),
        ("cell: dog", "cell: 1", "rule classes has no cell 1"),
    ],
)
def test_each_surprise_is_told(fixture: Callable[[str], Path], was: str, now: str, surprise: str) -> None:
    [case] = rehearse([fixture(REFUSED.replace(was, now))])
    assert not case.as_expected
    assert surprise in "; ".join(case.surprises)


def test_a_finding_without_a_cell_is_met_by_any_cell(fixture: Callable[[str], Path]) -> None:
    [case] = rehearse([fixture(REFUSED.replace("cell: dog, ", ""))])
    assert case.as_expected


def test_a_folder_gives_its_fixtures_in_order_and_leaves_policies_out(fixture: Callable[..., Path]) -> None:
    fixture(REFUSED, "b.yaml")
    fixture(REFUSED.replace("refuse", "allow"), "a.yml")
    folder = fixture(PETS, "c.yaml").parent
    found = list(rehearse([folder]))
    assert [os.path.basename(case.name) for case in found] == ["a.yml", "b.yaml"]
    assert [case.as_expected for case in found] == [False, True]


def test_cases_of_one_file_share_what_stands_above_them(fixture: Callable[[str], Path]) -> None:
    path = fixture("""
policy: ../pets.yaml
expect: {verdict: allow}
cases:
  - {name: enough rows, predictions: [{y: cat, incumbent: cat, candidate: cat, times: 300}]}
  - {name: too few, predictions: [{y: cat, incumbent: cat, candidate: cat}], expect: {verdict: inconclusive}}
""")
    assert [case.name.split(": ")[1] for case in rehearse([path]) if case.as_expected] == ["enough rows", "too few"]


def test_predictions_may_be_a_file_with_columns_of_its_own(fixture: Callable[[str], Path]) -> None:
    path = fixture("""
policy: ../pets.yaml
predictions: rows.parquet
incumbent: old
candidate: new
id: key
as_of: 2026-05-01
expect: {verdict: allow}
""")
    same = ["cat", "dog"] * 300
    pq.write_table(pa.table({"y": same, "old": same, "new": same, "key": range(600)}), path.parent / "rows.parquet")
    [case] = rehearse([path])
    assert case.as_expected


def test_predictions_that_cannot_be_trusted_are_a_surprise(fixture: Callable[[str], Path]) -> None:
    path = fixture("""
policy: ../pets.yaml
predictions: [{y: cat, incumbent: cat}]
expect: {verdict: allow}
""")
    [case] = rehearse([path])
    assert not case.as_expected and "no column 'candidate'" in case.surprises[0]


@pytest.mark.parametrize(
    "text, where, found",
    [
        ("[1]", "case.yaml:1:1", "a fixture is a mapping"),
        ("policy: ../pets.yaml\nexpect: {verdict: allow}\n", "case.yaml:1:1", "'predictions' is missing"),
        (REFUSED.replace("expect:", "expected:"), "case.yaml:6:1", "expected: unknown key; did you mean 'expect'?"),
        (REFUSED.replace("refuse", "refused"), "case.yaml:7:3", "did you mean 'refuse'?"),
        (REFUSED.replace("status: warn", "status: warned"), "case.yaml:8", "did you mean 'warn'?"),
        (REFUSED.replace("rule: few", "rule: fwe"), "case.yaml:8", "the policy has no rule 'fwe'; did you mean 'few'?"),
        (REFUSED.replace("../pets", "pets"), "case.yaml:1:1", "no such policy file"),
        (REFUSED.replace("times: 20", "times: 0"), "case.yaml:5:5", "times is a whole number"),
        (REFUSED.replace("y: dog", "y: 1"), "case.yaml:2:1", "column 'y' holds values of several types"),
        (REFUSED + "as_of: 2026-13-01\n", "case.yaml:9:1", "must be a day"),
        (REFUSED + "as_of: 2026\n", "case.yaml:9:1", "must be text"),
        (REFUSED + "environment: prod\n", "case.yaml:1:1", "no environment 'prod'"),
        (REFUSED + "cases: []\n", "case.yaml:9:1", "a list of cases"),
        ("policy: ../pets.yaml\npredictions: no.csv\nexpect: {verdict: allow}\n", "case.yaml:2:1", "no such file"),
        ("a: *b\n", "case.yaml:1:4", "alias"),
    ],
)  # fmt: skip
def test_a_malformed_fixture_is_a_usage_error_with_its_line(
    fixture: Callable[[str], Path], text: str, where: str, found: str
) -> None:
    with pytest.raises(UsageError) as caught:
        list(rehearse([fixture(text)]))
    assert any(where in problem.where and found in problem.found for problem in caught.value.problems), str(
        caught.value
    )


def test_all_mistakes_of_all_fixtures_come_at_once(fixture: Callable[..., Path], tmp_path: Path) -> None:
    fixture(REFUSED.replace("refuse", "maybe").replace("rule: few", "rule: fwe"), "a.yaml")
    fixture(REFUSED.replace("status: fail", "status: 7"), "b.yaml")
    with pytest.raises(UsageError) as caught:
        list(rehearse([tmp_path / "cases", tmp_path / "nowhere.yaml"]))
    assert len(caught.value.problems) == 4


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no fixture in it"):
        list(rehearse([tmp_path]))


def test_inline_rows_are_numbered_where_the_policy_names_an_id(fixture: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "pets.yaml").write_text(PETS.replace("label: y", "label: y, id: key"))
    [case] = rehearse([fixture(REFUSED)])
    assert case.as_expected
    assert load_policy(tmp_path / "pets.yaml").holdout.id == "key"


def test_an_environment_is_what_the_fixture_says(fixture: Callable[[str], Path]) -> None:
    near = REFUSED.replace("times: 480", "times: 491").replace("times: 20", "times: 9").replace("refuse", "allow")
    near = near.split("  findings")[0]
    assert not next(rehearse([fixture(near)])).as_expected  # 9 of 1,000 are not proven to be at most 1 %
    assert next(rehearse([fixture(near + "environment: staging\n")])).as_expected
