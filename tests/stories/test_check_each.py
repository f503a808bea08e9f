"""Several candidates and several incumbents in one pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

import gate
from gate.cli.app import run
from gate.core.judgement import Verdict
from gate.decisions.canonical import read_decision, to_bytes
from gate.errors import EvidenceError, UsageError
from gate.stories.decide import Judgement

AS_OF = "2026-03-01"


@pytest.fixture(scope="module")
def each(sqlite_registry: str, held_out: Path, lenient: Path) -> Callable[..., tuple[Judgement, ...]]:
    """Versions 2 and 3 against version 1, without a run; keywords replace parts."""

    def judged(**changes: Any) -> tuple[Judgement, ...]:
        asked: dict[str, Any] = {
            "model": "digits",
            "candidates": ["2", "3"],
            "incumbents": ["1"],
            "data": held_out,
            "policy": lenient,
            "registry_uri": sqlite_registry,
            "as_of": AS_OF,
            "log_run": False,
            "in_process": True,
        }
        return gate.check_each(**{**asked, **changes})

    return judged


@pytest.fixture(scope="module")
def both(each: Callable[..., tuple[Judgement, ...]]) -> tuple[Judgement, ...]:
    """In workers, as by default."""
    return each(in_process=False)


def uris(judged: Judgement) -> tuple[str, str | None]:
    origin = judged.decision.provenance
    return origin.candidate.uri, origin.incumbent.uri if origin.incumbent else None


def test_each_pair_has_a_decision_of_its_own(both: tuple[Judgement, ...]) -> None:
    assert [uris(one) for one in both] == [
        ("models:/digits/2", "models:/digits/1"),
        ("models:/digits/3", "models:/digits/1"),
    ]
    assert len({one.decision.decision_id for one in both}) == 2


def test_counts_and_cells_are_those_of_a_check_of_the_pair_alone(
    both: tuple[Judgement, ...], sqlite_registry: str, held_out: Path, lenient: Path
) -> None:
    for judged, version in zip(both, ("2", "3"), strict=True):
        alone = gate.check(
            model="digits",
            candidate=version,
            incumbent="1",
            data=held_out,
            policy=lenient,
            registry_uri=sqlite_registry,
            as_of=AS_OF,
            log_run=False,
        )
        assert judged.decision.counts == alone.decision.counts
        assert judged.decision.flip_matrix == alone.decision.flip_matrix
        assert judged.samples == alone.samples
        assert [c.counts for c in judged.decision.cells] == [c.counts for c in alone.decision.cells]
        assert judged.decision.provenance.holdout == alone.decision.provenance.holdout


def test_each_candidate_counts_as_a_look(both: tuple[Judgement, ...], lenient: Path) -> None:
    for judged in both:
        assert judged.decision.evidence.looks == 2
        assert judged.decision.evidence.confidence == pytest.approx(0.975)
        assert any("2 candidates are judged at once" in note for note in judged.decision.evidence.notes)


def test_looks_that_the_policy_declares_are_enough_for_as_many_candidates(
    each: Callable[..., tuple[Judgement, ...]], lenient: Path, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(lenient.read_text() + "evidence: {looks: 5}\n")
    for judged in each(policy=policy):
        assert judged.decision.evidence.looks == 5
        assert not any("at once" in note for note in judged.decision.evidence.notes)


def test_the_matrix_counts_the_flips_between_any_two_versions(
    both: tuple[Judgement, ...], each: Callable[..., tuple[Judgement, ...]]
) -> None:
    versions = both[0].decision.versions
    assert [row.uri for row in versions] == ["models:/digits/2", "models:/digits/3", "models:/digits/1"]
    assert both[1].decision.versions == versions
    for place, judged in enumerate(both):
        counts = judged.decision.counts
        assert versions[2].broken[place] == counts.negative
        assert versions[place].broken[2] == counts.positive
        assert versions[place].right == (counts.both_right or 0) + (counts.positive or 0)
    (between,) = each(candidates=["3"], incumbents=["2"])
    assert versions[1].broken[0] == between.decision.counts.positive
    assert versions[0].broken[1] == between.decision.counts.negative
    assert between.decision.versions == (), "two versions have their flips in the counts"


def test_a_candidate_that_is_refused_against_one_incumbent_is_promotable_against_none(
    each: Callable[..., tuple[Judgement, ...]], sqlite_registry: str
) -> None:
    client = mlflow.MlflowClient(sqlite_registry, sqlite_registry)
    client.set_registered_model_alias("digits", "each-old", "1")
    policy = """
version: 1
name: digits
holdout: {id: row, label: digit}
rules: [{id: few-flips, rate: nfr, at_most: %s, decide_on: estimate}]
promotion: {alias: each-old}
"""
    try:
        first = each(candidates=["3"], incumbents=["@each-old", "2"], policy=gate_policy(policy % "50%"))
        assert [one.decision.promotable.value for one in first] == [True, False]
        nfrs = [(one.decision.counts.negative or 0) / one.decision.counts.n for one in first]
        assert nfrs[0] != nfrs[1], "the test needs a limit between the two"
        limit = f"{50 * sum(nfrs):.4f}%"
        split = each(candidates=["3"], incumbents=["@each-old", "2"], policy=gate_policy(policy % limit))
        verdicts = [one.verdict for one in split]
        assert sorted(v.value for v in verdicts) == ["allow", "refuse"]
        assert not any(one.decision.promotable.value for one in split)
        if verdicts[0] is Verdict.ALLOW:
            assert "against models:/digits/2 the verdict is refuse" in str(split[0].decision.promotable.because)
    finally:
        client.delete_registered_model_alias("digits", "each-old")


def gate_policy(text: str) -> Any:
    from gate.policy.load import parse_policy

    return parse_policy(text)


def test_two_names_of_one_incumbent_are_one_and_a_candidate_named_twice_is_an_error(
    each: Callable[..., tuple[Judgement, ...]],
) -> None:
    assert len(each(candidates=["3"], incumbents=["@champion", "1"])) == 1
    with pytest.raises(UsageError, match="models:/digits/3 is named twice"):
        each(candidates=["3", "models:/digits/3"])
    with pytest.raises(EvidenceError, match="candidate and incumbent are both models:/digits/1"):
        each(candidates=["3", "1"])
    with pytest.raises(UsageError, match="no candidates"):
        each(candidates=[])
    with pytest.raises(UsageError, match="give a list"):
        each(candidates="3")


def test_a_model_that_fails_is_named_by_its_version(
    each: Callable[..., tuple[Judgement, ...]], digits: pd.DataFrame
) -> None:
    with pytest.raises(EvidenceError, match=r"candidate [23] model"):
        each(data=digits[600:][["row", "digit", "half", "pixel_0"]])


def test_the_same_inputs_give_the_same_bytes(each: Callable[..., tuple[Judgement, ...]]) -> None:
    def bytes_of(judged: tuple[Judgement, ...]) -> list[str]:
        return [one.decision.decision_id for one in judged]

    assert bytes_of(each()) == bytes_of(each())


@pytest.fixture
def command(
    sqlite_registry: str, held_out: Path, tmp_path: Path, each: Callable[..., tuple[Judgement, ...]]
) -> list[str]:
    """Versions 2 and 1 against 3, with a limit that the first is within and the second is not."""
    (first, second) = each(candidates=["2", "1"], incumbents=["3"])
    right = [one.decision.versions[place].right for place, one in enumerate((first, second))]
    limit = 100 - 50 * sum(right) / first.decision.counts.n
    policy = tmp_path / "error.yaml"
    policy.write_text(
        "version: 1\nname: digits\nholdout: {id: row, label: digit}\n"
        f"rules: [{{id: error, rate: error_rate, of: candidate, at_most: {limit:.4f}%, decide_on: estimate}}]\n"
    )
    return [
        *("check", "--model", "digits", "--candidate", "2", "--candidate", "1", "--incumbent", "3"),
        *("--data", str(held_out), "--policy", str(policy), "--registry-uri", sqlite_registry),
        *("--as-of", AS_OF, "--no-log", "--in-process"),
    ]


def test_the_command_exits_with_the_worst_verdict_and_shows_the_matrix(command: list[str], capsysbinary: Any) -> None:
    assert run(command) == 10
    out = capsysbinary.readouterr().out.decode()
    assert out.startswith("2 decisions, the whole is REFUSE")
    lines = [line.split() for line in out.splitlines()[3:5]]
    assert [line[0] for line in lines] == ["ALLOW", "REFUSE"] and lines[1][-1] == "error"
    assert "Flips between versions" in out
    assert out.count("What it rests on") == 2


def test_the_command_writes_one_json_object_and_a_report_for_each_pair(
    command: list[str], capsysbinary: Any, tmp_path: Path
) -> None:
    code = run([*command, "--format", "json", "--report", f"json={tmp_path}/{{candidate}}.json"])
    told = json.loads(capsysbinary.readouterr().out)
    assert told["exit_code"] == code and told["verdict"] == "refuse"
    for one, version in zip(told["decisions"], ("2", "1"), strict=True):
        kept = read_decision(tmp_path / f"{version}.json")
        assert kept.decision_id == one["decision_id"]
        assert json.loads(to_bytes(kept)) == one


def test_markdown_shows_every_decision(command: list[str], capsysbinary: Any) -> None:
    run([*command, "--format", "markdown"])
    out = capsysbinary.readouterr().out.decode()
    assert out.count("### What it rests on") == 2 and "### Flips between versions" in out


def test_a_path_that_would_be_written_twice_is_refused_before_any_work(
    command: list[str], capsys: Any, tmp_path: Path
) -> None:
    assert run([*command, "--report", f"json={tmp_path}/decision.json"]) == 2
    assert "decision.json would be written for each candidate" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.json"))


def test_a_run_is_logged_for_each_pair(
    each: Callable[..., tuple[Judgement, ...]], sqlite_registry: str, digits: pd.DataFrame
) -> None:
    judged = each(log_run=True, experiment="each", data=digits[600:900])
    runs = {one.run_id for one in judged}
    assert len(runs) == 2 and None not in runs
    assert np.unique([one.decision.evidence.uses_before for one in judged]).tolist() == [0]
