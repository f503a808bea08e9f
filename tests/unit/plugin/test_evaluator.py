"""The evaluator's settings, and what MLflow is told: all mistakes at once, tables, metrics, the block of a description."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gate
from gate.errors import UsageError
from gate.plugin.settings import NAME, Settings
from gate.policy.load import parse_policy
from gate.registry.describe import END, HEADLINES, MARK, with_block
from gate.registry.runs import logged_metrics
from gate.stories.decide import Judgement
from gate.stories.log import FLIPPED_ROWS, PER_CLASS, PER_SLICE, metrics, summary, tables

CHAMPION = "models:/fraud@champion"
POLICY = "{version: 1, name: small, rules: [{id: few, rate: nfr, at_most: 2%}]}"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # MLflow's own evaluators make a database where they stand


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return str(path)


def refusal(config: object) -> str:
    with pytest.raises(UsageError) as caught:
        Settings.read(config)
    return str(caught.value)


# -- settings ---------------------------------------------------------------------------------------------------------


def test_sound_settings_are_read_with_the_defaults_of_a_check(policy: str) -> None:
    read = Settings.read({"incumbent": CHAMPION, "policy": policy, "samples": 5, "environment": None})
    assert (read.incumbent, read.policy.name, read.samples) == (CHAMPION, "small", 5)
    assert (read.seed, read.timeout, read.tag, read.in_process, read.environment) == (0, 600.0, False, False, None)


def test_a_policy_that_is_read_already_is_taken_as_it_is() -> None:
    ready = parse_policy(POLICY)
    assert Settings.read({"incumbent": CHAMPION, "policy": ready}).policy is ready


def test_all_mistakes_of_settings_and_policy_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(
        "{version: 1, name: bad, rules: [{id: few, rate: nrf, at_most: 2%, colour: red}]}"
    )
    said = refusal(
        {
            "incumbnt": CHAMPION,
            "policy": str(tmp_path / "bad.yaml"),
            "candidate": "7",
            "samples": -1,
            "seed": True,
            "timeout": 0,
            "tag": "yes",
            "rows_per_batch": 0,
            "as_of": "tomorrow",
        }
    )
    for words in (
        "unknown key 'incumbnt'; did you mean 'incumbent'?",
        "no incumbent",
        "candidate: '7' is not the URI of a model",
        "samples: -1 is not a whole number, 0 or more",
        "seed: True is not a whole number",
        "timeout: 0 is not a number of seconds",
        "tag: 'yes' is not True or False",
        "rows_per_batch: 0 is not a whole number, 1 or more",
        "evaluator_config: as_of: not a day: 'tomorrow'",
        "did you mean 'nfr'?",
        "colour",
    ):
        assert words in said


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "no policy"),
        ({"policy": "no-such-policy.yaml", "incumbent": CHAMPION}, "no-such-policy.yaml: no such policy file"),
        ({"policy": 7, "incumbent": CHAMPION}, "policy: 7 is not the path of a policy file"),
        ({"incumbent": "@champion"}, "incumbent: '@champion' is not the URI of a model"),
        ({"incumbent": "models:/fraud"}, "'models:/fraud' names no version"),
        ({"incumbent": ""}, "incumbent: '' is not the URI of a model"),
        ({"incumbent": CHAMPION, "incumbent_predictions": "old"}, "incumbent and incumbent_predictions: one of them"),
        ({"incumbent": CHAMPION, "timeout": float("nan")}, "timeout: nan is not a number of seconds"),
        ({"log_model_explainability": False}, "unknown key 'log_model_explainability'"),
        ({NAME: {"polcy": "x"}}, "unknown key 'polcy'; did you mean 'policy'?"),
        ("policies/fraud.yaml", "not a dict of settings"),
        (None, "not a dict of settings"),
    ],
)
def test_settings_that_are_not_sound_are_refused(config: object, said: str) -> None:
    assert said in refusal(config)


def test_an_environment_that_the_policy_does_not_have_is_refused(policy: str) -> None:
    assert "environment" in refusal({"incumbent": CHAMPION, "policy": policy, "environment": "staging"})


def test_settings_under_the_name_of_the_gate_are_taken_out(policy: str) -> None:
    assert Settings.read({NAME: {"incumbent": CHAMPION, "policy": policy}}).incumbent == CHAMPION


# -- when the gate is asked -------------------------------------------------------------------------------------------


def asked(evaluators: Any, config: Any) -> list[str]:
    from mlflow.models.evaluation.base import resolve_evaluators_and_configs

    found = resolve_evaluators_and_configs(evaluators, config, "classifier")
    return [
        one.name for one in found if one.evaluator.can_evaluate(model_type="classifier", evaluator_config=one.config)
    ]


def test_mlflow_knows_the_evaluator_by_its_name() -> None:
    from mlflow.models.evaluation import list_evaluators

    assert NAME in list_evaluators()


@pytest.mark.parametrize("config", [None, {}, {"log_model_explainability": False, "metric_prefix": "val_"}])
def test_who_names_no_evaluator_and_means_no_gate_gets_none(config: Any) -> None:
    assert NAME not in asked(None, config)


@pytest.mark.parametrize("config", [{NAME: {"polcy": "x"}}, {"incumbent": CHAMPION, "policy": "x"}])
def test_settings_that_are_meant_for_the_gate_ask_it_without_its_name(config: Any) -> None:
    assert NAME in asked(None, config)


@pytest.mark.parametrize("config", [None, {}, {"polcy": "x"}])
def test_who_names_the_gate_is_answered_however_wrong_the_settings_are(config: Any) -> None:
    assert asked(NAME, config) == [NAME]
    listed = None if config is None else {NAME: config}
    assert NAME in asked(["default", NAME], listed)


def test_the_module_that_mlflow_loads_for_everybody_brings_nothing_of_the_gate_but_its_errors() -> None:
    code = "import sys, gate.plugin.evaluator; print(*sorted(m for m in sys.modules if m.startswith('gate.')))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["gate.errors", "gate.plugin", "gate.plugin.evaluator"]


# -- metrics and tables -----------------------------------------------------------------------------------------------


@pytest.fixture
def judge() -> Callable[..., Judgement]:
    """200 rows, of which the first two are negative flips and the last a positive one."""

    def compare(
        samples: int = 100, rule: str = "{id: few, rate: nfr, at_most: 5%}", names: tuple[str, str] = ("a", "b")
    ) -> Judgement:
        one, two = names
        label = [one] * 150 + [two] * 50
        old = [*label[:-1], one]
        new = [two, two, *label[2:]]
        slices = "holdout: {slices: {half: {column: half}}}"
        return gate.compare(
            {"y": label, "old": old, "new": new, "half": ["odd", "even"] * 100},
            policy=parse_policy(f"{{version: 1, name: small, {slices}, rules: [{rule}]}}"),
            label="y",
            incumbent="old",
            candidate="new",
            samples=samples,
        )

    return compare


def test_the_verdict_is_a_metric_too(judge: Callable[..., Judgement]) -> None:
    allowed, refused = judge(), judge(rule="{id: few, rate: nfr, at_most: 0.1%, decide_on: estimate}")
    assert [metrics(one.decision)["gate.allow"] for one in (allowed, refused)] == [1, 0]
    assert [metrics(one.decision)["gate.exit_code"] for one in (allowed, refused)] == [0, 10]
    assert metrics(refused.decision)["gate.count.negative"] == 2


def test_a_rate_that_is_undefined_is_no_metric_rather_than_a_zero() -> None:
    right = ["a"] * 300
    judged = gate.compare(
        {"y": right, "old": right, "new": right},
        policy=parse_policy(POLICY),
        label="y",
        incumbent="old",
        candidate="new",
    )
    found = metrics(judged.decision)
    assert found["gate.relative_nfr"] is None
    assert logged_metrics(found) == {name: value for name, value in found.items() if value is not None}


def test_the_tables_hold_the_flipped_rows_harm_first_the_classes_and_the_slices(
    judge: Callable[..., Judgement],
) -> None:
    judged = judge()
    read = {name: json.loads(content) for name, content in tables(judged).items()}

    assert list(read) == [FLIPPED_ROWS, PER_CLASS, PER_SLICE]
    assert read[FLIPPED_ROWS]["columns"] == ["kind", "id", "label", "incumbent", "candidate"]
    assert [row[0] for row in read[FLIPPED_ROWS]["data"]] == ["negative", "negative", "positive"]
    assert sorted(row[1] for row in read[FLIPPED_ROWS]["data"]) == [0, 1, 199]
    assert read[PER_CLASS]["columns"][:7] == [
        "class", "n", "negative", "positive", "error_rate_candidate", "error_rate_candidate_lower",
        "error_rate_candidate_upper",
    ]  # fmt: skip
    assert [row[:4] for row in read[PER_CLASS]["data"]] == [["a", 150, 2, 0], ["b", 50, 0, 1]]
    nfr = {row.rate: row for row in judged.decision.cells[0].rates}["nfr"]
    first = dict(zip(read[PER_CLASS]["columns"], read[PER_CLASS]["data"][0], strict=True))
    assert (first["nfr"], first["nfr_upper"]) == (nfr.estimate, nfr.upper)
    assert {tuple(row[:3]) for row in read[PER_SLICE]["data"]} == {("half", "odd", 100), ("half", "even", 100)}


def test_as_many_rows_as_samples_and_with_none_no_table_of_rows(judge: Callable[..., Judgement]) -> None:
    assert len(json.loads(tables(judge(samples=1))[FLIPPED_ROWS])["data"]) == 2  # one of each kind
    assert FLIPPED_ROWS not in tables(judge(samples=0))
    assert PER_CLASS in tables(judge(samples=0))


def test_what_could_harm_a_reader_is_written_out(judge: Callable[..., Judgement]) -> None:
    written = tables(judge(names=("red\x1b[31m", "left\u202e")))
    for content in written.values():
        assert "\x1b" not in content.decode() and "\u202e" not in content.decode()
    assert json.loads(written[PER_CLASS])["data"][0][0] == "left\\u202e"


def test_the_summary_says_what_may_be_and_what_decides(judge: Callable[..., Judgement]) -> None:
    assert summary(judge(rule="{id: few, rate: nfr, at_most: 0.1%, decide_on: estimate}").decision) == (
        "(in memory)#new must not replace (in memory)#old. What decides: rule 'few' wants the negative flip rate (NFR)"
        " at most 0.1%; it is 1.00% (2 of 200 rows), judged by the estimate alone."
    )


# -- the block of a description ---------------------------------------------------------------------------------------

WRITTEN = st.text(st.characters(exclude_categories=("Cs",)))


@given(before=WRITTEN, after=WRITTEN)
def test_what_people_wrote_around_the_block_stays(before: str, after: str) -> None:
    first = with_block(before, "refuse", "It breaks.") + after
    second = with_block(first, "allow", "It holds.")
    assert second == first.replace(HEADLINES["refuse"], HEADLINES["allow"]).replace("It breaks.", "It holds.")
    assert second.startswith(before) or not before.strip()
    assert second.endswith(after)


def test_the_same_verdict_twice_changes_nothing() -> None:
    once = with_block("Trained on all rows.", "allow", "It holds.")
    assert with_block(once, "allow", "It holds.") == once


def test_a_mark_that_lost_its_end_swallows_nothing() -> None:
    torn = f"{MARK} old words, and then what Ann wrote."
    once = with_block(torn, "allow", "It holds.")
    assert with_block(once, "refuse", "It breaks.").startswith(torn)
    assert once.count("It holds.") == 1 and "It holds." not in with_block(once, "refuse", "It breaks.")


def test_of_two_blocks_one_remains() -> None:
    one = with_block("", "allow", "It holds.")
    assert with_block(f"{one} between {one} after", "error", "Nothing is left.") == (
        with_block("", "error", "Nothing is left.") + " between  after"
    )


@pytest.mark.parametrize("verdict", HEADLINES)
def test_a_block_begins_with_the_verdict_and_its_marks_are_comments(verdict: str) -> None:
    block = with_block("", verdict, "Why.")
    assert block.startswith(verdict.upper()[:5])
    assert MARK.startswith("<!--") and MARK.endswith("-->") and MARK.count("--") == 2
    assert END.startswith("<!--") and END.endswith("-->")
