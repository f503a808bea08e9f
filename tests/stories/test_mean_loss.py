"""How much is lost, end to end: from scores to a decision that shows it, judges it, and says on what it rests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import gate
from gate.cli.app import run
from gate.decisions.canonical import read_decision, to_bytes
from gate.errors import EvidenceError
from gate.policy.load import parse_policy
from gate.stories.decide import Judgement, built_in
from gate.stories.explain import explain
from gate.stories.validate import undecidable
from gate.tasks.options import TaskOptions

RULES = """\
version: 1
name: answers
task: {kind: scores, %s}
holdout: {slices: {site: {column: site}}}
rules:
  - {id: few, rate: nfr, at_most: 70%%}
  - {id: loss, rate: mean_loss, at_most: %s}
  - {id: sites, rate: mean_loss, by: site, at_most: 0.9, decide_on: harm, correction: holm}
"""
RANDOM = np.random.default_rng(0)
OLD = RANDOM.uniform(1, 5, 600)
NEW = np.clip(OLD + RANDOM.normal(0.05, 0.5, 600), 1, 5)
SCORES = {"old": OLD, "new": NEW, "site": RANDOM.choice(["north", "south"], 600)}


def compared(task: str = "continuous: true", limit: float = 0.5, **changed: Any) -> Judgement:
    return gate.compare(
        {**SCORES, **changed}, policy=parse_policy(RULES % (task, limit), "p.yaml"), incumbent="old", candidate="new"
    )


def test_the_decision_shows_mean_loss_and_mean_gain_overall_and_in_every_cell():
    decision = read_decision(to_bytes(compared().decision))
    change = NEW - OLD
    loss, gain = decision.rates[-2:]
    assert (loss.rate, loss.n, gain.rate, gain.n) == ("mean_loss", (change < 0).sum(), "mean_gain", (change > 0).sum())
    assert loss.estimate == pytest.approx(-change[change < 0].mean(), rel=1e-6)
    assert gain.estimate == pytest.approx(change[change > 0].mean(), rel=1e-6)
    for cell in decision.cells:
        here = change[SCORES["site"] == cell.value]
        assert cell.rates[-2].estimate == pytest.approx(-here[here < 0].mean(), rel=1e-6)
    assert [f.status.value for f in decision.findings] == ["pass"] * 4


def test_a_regression_within_a_tolerance_has_them_too():
    policy = parse_policy(
        "version: 1\nname: x\ntask: {kind: regression, tolerance: {absolute: 0.6}}\nholdout: {label: y}\n"
        "rules: [{id: a, rate: nfr, at_most: 30%}, {id: b, rate: mean_loss, at_most: 2}]\n"
    )
    label = RANDOM.uniform(0, 10, 400)
    old, new = (label + RANDOM.normal(0, 0.5, 400) for _ in range(2))
    judged = gate.compare({"y": label, "old": old, "new": new}, policy=policy, incumbent="old", candidate="new")
    lost = np.abs(new - label) - np.abs(old - label)
    assert judged.allowed and judged.decision.rates[-2].estimate == pytest.approx(lost[lost > 0].mean(), rel=1e-6)


def test_scores_that_are_right_or_wrong_have_none():
    right = {name: np.ones(400, dtype=bool) for name in ("old", "new")}
    policy = parse_policy("version: 1\nname: x\ntask: {kind: scores}\nrules: [{id: a, rate: nfr, at_most: 3%}]\n")
    judged = gate.compare(right, policy=policy, incumbent="old", candidate="new")
    assert not {"mean_loss", "mean_gain"} & {row.rate for row in judged.decision.rates}


def test_a_loss_that_is_proven_too_large_refuses_and_the_report_names_it():
    judged = compared(limit=0.3)
    assert judged.verdict.value == "refuse"
    told = r"'loss' wants the mean loss at most 0\.3; it is 0\.\d+, and with 95% confidence at least 0\.3"
    assert re.search(told, " ".join(judged.report().split()))


def test_the_largest_change_makes_the_bound_exact_and_must_not_be_less_than_what_was_seen():
    known = compared("continuous: true, largest_change: 4", 0.8)
    loss = known.decision.rates[-2]
    assert loss.method == "Hoeffding, of changes of at most 4" and known.decision.task.options["largest_change"] == 4.0
    with pytest.raises(EvidenceError) as error:
        compared("continuous: true, largest_change: 1")
    assert str(error.value).startswith("p.yaml: task.largest_change: the two scores of a row are 1.")
    assert "say what can be, not what was seen" in str(error.value)


def test_scores_as_far_apart_as_they_can_be_are_within_it_though_they_are_rounded():
    old = np.r_[np.full(300, 1.1), 0.1]
    new = np.r_[np.full(300, 1.1), 1.2]
    policy = parse_policy(
        "version: 1\nname: x\ntask: {kind: scores, continuous: true, largest_change: 1.1}\n"
        "rules: [{id: a, rate: nfr, at_most: 3%}]\n"
    )
    assert gate.compare({"old": old, "new": new}, policy=policy, incumbent="old", candidate="new").allowed


def test_the_batches_do_not_change_a_byte():
    one, other = (
        gate.compare(
            SCORES, policy=parse_policy(RULES % ("continuous: true", 0.5), "p.yaml"), incumbent="old", candidate="new",
            rows_per_batch=size, as_of="2026-01-01",
        ).decision
        for size in (600, 7)
    )  # fmt: skip
    assert (one.rates, one.cells, one.findings) == (other.rates, other.cells, other.findings)


def test_it_is_explained_with_what_its_bound_rests_on():
    def told(task: str) -> str:
        return " ".join(explain(parse_policy(RULES % (task, 0.5)), "loss").rules[0].sentences)

    assert "30 of them at least; the bound is approximate" in told("continuous: true")
    assert "No row can lose more than 4, so the bound holds" in told("continuous: true, largest_change: 4")
    assert "depends on how many of them lose" in told("continuous: true")


# what sizes say of it


def doubts(task: str, rule: str, n: int) -> list[tuple[str, str]]:
    text = f"version: 1\nname: x\ntask: {{kind: scores, continuous: true{task}}}\nrules: [{{id: a, {rule}}}]\n"
    return [(one.level, one.found) for one in undecidable(parse_policy(text), pa.table({"score": np.zeros(n)}))]


def test_too_few_rows_for_any_mean_are_told_and_else_that_it_depends_on_the_rows_that_lose():
    rule = "rate: mean_loss, at_most: 0.2"
    assert doubts("", rule, 29) == [("warning", "can never pass: all rows (29 rows)")]
    ((level, found),) = doubts("", rule, 30)
    assert level == "note" and found.startswith("it rests on the rows that lose, and fewer than 30 of them prove")
    assert doubts(", largest_change: 1", rule, 13) == [("warning", "can never pass: all rows (13 rows)")]
    assert doubts(", largest_change: 1", rule, 14) == [("note", "it rests on the rows that lose")]
    harm = "rate: mean_gain, at_least: 0.2, decide_on: harm"
    assert doubts(", largest_change: 1", harm, 13)[0][1].startswith("can never be refused, too small")
    assert doubts("", "rate: mean_loss, at_most: 0.2, decide_on: estimate", 5) == []
    assert doubts("", rule + ", at_least_n: 40", 35) == [
        ("warning", "can never pass, at_least_n is 40: all rows (35 rows)")
    ]


# the contract that every held-out set has


def test_what_is_said_to_be_checked_is_what_is_checked():
    assert compared().decision.contract.built_in == ("no score missing", "ids unique and not missing", "not empty")
    assert built_in(TaskOptions("regression"))[0] == "label present"
    with pytest.raises(EvidenceError, match="missing"):
        compared(new=np.r_[np.nan, NEW[1:]])


# a waiver that held on the day of judgement


def waived(as_of: str, expires: str = "2026-02-01") -> tuple[str, ...]:
    text = RULES % ("continuous: true", 0.3)
    text += f"waivers: [{{rule: loss, because: known, owner: ann, expires: {expires}}}]\n"
    policy = parse_policy(text, "p.yaml")
    judged = gate.compare(SCORES, policy=policy, incumbent="old", candidate="new", as_of=as_of)
    assert judged.allowed
    return judged.decision.evidence.notes


def test_judging_as_of_a_day_when_a_waiver_still_held_says_that_it_ended(monkeypatch: pytest.MonkeyPatch):
    ended = (
        "judged as of 2026-01-15, the waiver of 'loss' by ann still held; it ended on 2026-02-01, so this decision cannot"
        " be promoted"
    )
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1770000000")  # 2026-02-02
    assert ended in waived("2026-01-15")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1769900000")  # 2026-01-31: not yet
    assert not any("still held" in note for note in waived("2026-01-15"))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1770000000")
    assert not any("still held" in note for note in waived("2026-01-15", "2027-01-01"))


def test_a_waiver_that_was_not_needed_or_a_day_that_is_today_says_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1770000000")
    text = RULES % ("continuous: true", 0.5)
    text += "waivers: [{rule: loss, because: known, owner: ann, expires: 2026-02-01}]\n"
    judged = gate.compare(SCORES, policy=parse_policy(text), incumbent="old", candidate="new", as_of="2026-01-15")
    assert not any("still held" in note for note in judged.decision.evidence.notes)
    assert not any("still held" in note for note in waived("2027-05-05", "2027-05-05"))


def test_validate_tells_what_only_predictions_will_tell_as_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy, data = tmp_path / "p.yaml", tmp_path / "h.csv"
    policy.write_text(
        "version: 1\nname: x\nholdout: {label: y, noise_floor: [again]}\nrules:\n"
        "  - {id: answers, rate: nfr, by: output, at_most: 5%}\n"
        "  - {id: noise, rate: excess_nfr, at_most: 1%}\n"
        "  - {id: chance, rate: relative_nfr, at_most: 0.5}\n"
    )
    data.write_text("y,again\n" + "a,a\n" * 200)
    assert run(["policy", "validate", str(policy), "--data", str(data)]) == 0
    found = [line.replace(f"{policy}:", "") for line in capsys.readouterr().err.splitlines()]
    assert found == [
        "note: 5: rule 'answers': its cells are known only when there are predictions to cut by output; each takes 59 rows"
        " if nothing counts against it",
        "warning: 6: rule 'noise': passes only if the noise flips rows that the candidate does not: all rows (200 of 268"
        " rows)",
        "note: 6: rule 'noise': whether these rows decide it depends on how much the noise flips",
        "note: 7: rule 'chance': whether these rows decide it depends on how often both models err",
    ]
