"""``gate.check`` from registry to verdict: scikit-learn's digits, in a SQLite store and over REST."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import mlflow
import mlflow.sklearn
import pandas as pd
import pyarrow.parquet as pq
import pytest

import gate
from gate.core.judgement import Status, Verdict
from gate.decisions.canonical import document, json_schema, read_decision, samples_to_bytes, to_bytes
from gate.stories.decide import Judgement

AS_OF = "2026-03-01"


def client_of(uri: str) -> Any:
    return mlflow.MlflowClient(uri, uri)


def run_of(uri: str, judged: Judgement) -> Any:
    assert judged.log_problem is None and judged.run_id is not None
    return client_of(uri).get_run(judged.run_id)


def model_id_of(uri: str, version: int) -> str:
    """The logged model behind a version: ``models:/m-...`` is where MLflow 3 says that its files are."""
    source: str = client_of(uri).get_model_version("digits", str(version)).source
    return source.removeprefix("models:/")


def sklearn_answers(uri: str, version: int, rows: pd.DataFrame) -> Any:
    """What the model of a version says, asked without the gate."""
    folder = client_of(uri).get_logged_model(model_id_of(uri, version)).artifact_location.removeprefix("file://")
    return mlflow.sklearn.load_model(folder).predict(rows[[f"pixel_{i}" for i in range(64)]])


def by_hand(label: Any, old: Any, new: Any) -> dict[str, int]:
    right, now = old == label, new == label
    return {
        "both_right": int((right & now).sum()),
        "negative": int((right & ~now).sum()),
        "positive": int((~right & now).sum()),
        "wrong_same": int((~right & ~now & (old == new)).sum()),
        "wrong_different": int((~right & ~now & (old != new)).sum()),
        "n": len(label),
    }


@pytest.fixture(scope="module")
def judged(sqlite_registry: str, held_out: Path, lenient: Path) -> Judgement:
    """Version 3 against the champion, in workers, logged; the alias is what the other tests look at."""
    return gate.check(
        model="digits",
        candidate="3",
        incumbent="@champion",
        data=held_out,
        policy=lenient,
        registry_uri=sqlite_registry,
        as_of=AS_OF,
    )


@pytest.fixture(scope="module")
def checked(sqlite_registry: str, held_out: Path, lenient: Path) -> Callable[..., Judgement]:
    """The same check in this process and without a run, where those are not the point; keywords replace its parts."""

    def check(**changes: Any) -> Judgement:
        asked: dict[str, Any] = {
            "model": "digits",
            "candidate": "3",
            "incumbent": "@champion",
            "data": held_out,
            "policy": lenient,
            "registry_uri": sqlite_registry,
            "as_of": AS_OF,
            "in_process": True,
            "log_run": False,
        }
        return gate.check(**{**asked, **changes})

    return check


def test_the_counts_are_those_of_the_two_models_compared_by_hand(
    judged: Judgement, sqlite_registry: str, digits: pd.DataFrame
) -> None:
    rows = digits[600:]
    old, new = (sklearn_answers(sqlite_registry, version, rows) for version in (1, 3))

    assert vars(judged.decision.counts) == by_hand(rows["digit"].to_numpy(), old, new)
    for half in ("even", "odd"):
        at = (rows["half"] == half).to_numpy()
        (cell,) = [c for c in judged.decision.cells if c.by == "half" and c.value == half]
        assert vars(cell.counts) == by_hand(rows["digit"].to_numpy()[at], old[at], new[at])


def test_the_kept_samples_are_flips_that_happened(
    judged: Judgement, sqlite_registry: str, digits: pd.DataFrame
) -> None:
    rows = digits[600:].set_index("row", drop=False)
    old, new = (pd.Series(sklearn_answers(sqlite_registry, version, rows), index=rows.index) for version in (1, 3))

    assert sum(row.kind == "negative" for row in judged.samples) == judged.decision.counts.negative
    for row in judged.samples:
        assert (row.label, row.incumbent, row.candidate) == (rows["digit"][row.id], old[row.id], new[row.id])


def test_a_better_candidate_with_few_flips_is_allowed_and_promotable(judged: Judgement) -> None:
    assert judged.allowed
    assert judged.verdict is Verdict.ALLOW
    assert judged.decision.exit_code == 0
    assert judged.decision.promotable.value and judged.decision.promotable.because is None
    assert {f.rule: f.status for f in judged.decision.findings if f.cell.by != "class"} == {
        "few-flips": Status.PASS,
        "no-worse": Status.PASS,
        "halves": Status.PASS,
    }


def test_the_decision_follows_its_published_schema_and_reads_back(judged: Judgement) -> None:
    plain = json.loads(to_bytes(judged.decision))

    jsonschema.Draft202012Validator.check_schema(json_schema())
    jsonschema.Draft202012Validator(json_schema()).validate(plain)
    assert read_decision(to_bytes(judged.decision)) == judged.decision


def test_the_schema_refuses_a_decision_with_a_key_more_or_less(judged: Judgement) -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    plain = document(judged.decision)

    assert not validator.is_valid({**plain, "surprise": 1})
    assert not validator.is_valid({key: value for key, value in plain.items() if key != "verdict"})


def test_the_decision_says_what_it_rests_on(judged: Judgement, held_out: Path, sqlite_registry: str) -> None:
    origin = judged.decision.provenance

    assert (origin.candidate.uri, origin.candidate.version) == ("models:/digits/3", 3)
    assert (origin.incumbent.uri, origin.incumbent.alias) == ("models:/digits/1", "champion")  # type: ignore[union-attr]
    assert len(origin.candidate.digest or "") == 64
    assert origin.holdout.uri == str(held_out)
    assert origin.holdout.rows == 1197
    assert origin.isolation.startswith("a worker process for each model, with")
    assert judged.decision.target.registry == sqlite_registry
    assert judged.decision.contract.status == "met"
    assert set(origin.tools) == {"gate", "python", "numpy", "scipy", "pyarrow", "mlflow"}


def test_no_held_out_row_is_in_the_decision(judged: Judgement) -> None:
    assert b"pixel_" not in to_bytes(judged.decision)
    assert judged.decision.provenance.samples.rows == len(judged.samples)


def test_a_run_with_metrics_of_the_candidate_and_the_evidence_is_logged(
    judged: Judgement, sqlite_registry: str, tmp_path: Path
) -> None:
    run = run_of(sqlite_registry, judged)
    client = client_of(sqlite_registry)
    names = {item.path for item in client.list_artifacts(run.info.run_id)}
    texts = {name: Path(client.download_artifacts(run.info.run_id, name, str(tmp_path))).read_bytes() for name in names}
    rates = {(row.rate, row.of): row for row in judged.decision.rates}

    assert run.info.status == "FINISHED"
    assert names == {
        "decision.json",
        "report.txt",
        "report.md",
        "report.html",
        "samples.jsonl",
        "gate_flipped_rows.json",
        "gate_per_class.json",
        "gate_per_slice.json",
    }
    assert texts["decision.json"] == to_bytes(judged.decision)
    assert texts["samples.jsonl"] == samples_to_bytes(judged.samples)
    assert texts["report.txt"].startswith(b"ALLOWED\n")
    assert texts["report.md"].startswith(b"## ALLOWED\n")
    assert run.data.metrics["gate.nfr"] == rates["nfr", None].estimate
    assert run.data.metrics["gate.nfr.upper"] == rates["nfr", None].upper
    assert run.data.metrics["gate.error_rate.candidate"] == rates["error_rate", "candidate"].estimate
    assert run.data.metrics["gate.count.negative"] == judged.decision.counts.negative
    assert run.data.tags["gate.decision_id"] == judged.decision.decision_id
    assert run.data.tags["gate.verdict"] == "allow"
    assert run.data.params["incumbent"] == "models:/digits/1"


def test_the_metrics_are_linked_to_the_logged_model_of_the_candidate(judged: Judgement, sqlite_registry: str) -> None:
    client = client_of(sqlite_registry)
    model_id = model_id_of(sqlite_registry, 3)
    model = client.get_logged_model(model_id)
    linked = {metric.key for metric in model.metrics if metric.run_id == judged.run_id}

    assert judged.decision.provenance.candidate.model_id == model_id
    assert {"gate.nfr", "gate.nfr.upper", "gate.error_rate.candidate"} <= linked


def test_a_check_moves_no_alias_and_tags_nothing(judged: Judgement, sqlite_registry: str) -> None:
    client = client_of(sqlite_registry)

    assert {name: int(at) for name, at in client.get_registered_model("digits").aliases.items()} == {"champion": 1}
    assert not [tag for tag in client.get_model_version("digits", "3").tags if tag.startswith("gate.")]


@pytest.fixture(scope="module")
def again(checked: Callable[..., Judgement]) -> Judgement:
    return checked()


def test_without_a_run_nothing_is_logged(
    checked: Callable[..., Judgement], sqlite_registry: str, judged: Judgement, again: Judgement
) -> None:
    client = client_of(sqlite_registry)
    (experiment,) = client.search_experiments(filter_string="name = 'gate'")
    before = len(client.search_runs([experiment.experiment_id]))
    unlogged = checked()

    assert unlogged.run_id is None and unlogged.log_problem is None
    assert len(client.search_runs([experiment.experiment_id])) == before


def test_the_process_in_which_a_model_runs_is_recorded_and_changes_no_number(
    judged: Judgement, again: Judgement
) -> None:
    trusted, isolated = again.decision, judged.decision

    assert trusted.provenance.isolation == "in the gate's own process, trusted"
    assert (trusted.counts, trusted.findings, trusted.cells) == (isolated.counts, isolated.findings, isolated.cells)


@pytest.mark.fault(
    45,
    given="the same models are checked twice on the same held-out set, as of the same day",
    then="gives the same judgement with the same `decision_id`; only the time of writing differs",
    exit_code=None,
)
def test_the_same_check_on_the_same_day_is_the_same_decision_byte_for_byte(
    checked: Callable[..., Judgement], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1772323200")
    one, two, other_day = checked(), checked(), checked(as_of="2026-03-02")

    assert to_bytes(one.decision) == to_bytes(two.decision)
    assert one.decision.created_at == "2026-03-01T00:00:00Z"
    assert other_day.decision.decision_id != one.decision.decision_id
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    later = checked()
    assert later.decision.decision_id == one.decision.decision_id
    assert later.decision.created_at != one.decision.created_at


def test_batches_of_seven_rows_and_of_a_thousand_give_one_judgement(
    checked: Callable[..., Judgement], again: Judgement
) -> None:
    few, many = checked(rows_per_batch=7).decision, checked(rows_per_batch=1000).decision

    for other in (few, many):
        assert other.counts == again.decision.counts
        assert other.findings == again.decision.findings
        assert other.cells == again.decision.cells
        assert other.flip_matrix == again.decision.flip_matrix
        assert other.provenance.holdout == again.decision.provenance.holdout
    assert few.provenance.samples == many.provenance.samples == again.decision.provenance.samples
    assert few.decision_id != many.decision_id  # floats may differ with the batch, so the batch is on record


def test_a_table_and_a_data_frame_are_held_out_sets_like_a_file(
    checked: Callable[..., Judgement], again: Judgement, held_out: Path
) -> None:
    for data in (pq.read_table(held_out), pd.read_parquet(held_out)):
        decision = checked(data=data).decision

        assert decision.provenance.holdout.uri == "(in memory)"
        assert decision.provenance.holdout.digest == again.decision.provenance.holdout.digest
        assert decision.counts == again.decision.counts


def test_full_uris_of_versions_and_aliases_need_no_model_name(
    checked: Callable[..., Judgement], again: Judgement
) -> None:
    decision = checked(model=None, candidate="models:/digits/3", incumbent="models:/digits@champion").decision

    assert decision == replace(again.decision, created_at=decision.created_at, seal=decision.seal)


@pytest.mark.parametrize("role", ["candidate", "incumbent"])
def test_a_logged_model_is_judged_but_not_promotable(
    checked: Callable[..., Judgement], sqlite_registry: str, role: str
) -> None:
    model_id = model_id_of(sqlite_registry, {"candidate": 3, "incumbent": 1}[role])
    decision = checked(**{role: f"models:/{model_id}"}).decision

    assert decision.verdict is Verdict.ALLOW
    assert decision.promotable.value is False
    assert decision.promotable.because == f"the {role} is a logged model, not a version of a registered one"


def test_a_model_of_a_run_is_judged_but_not_promotable(checked: Callable[..., Judgement], sqlite_registry: str) -> None:
    run_id = client_of(sqlite_registry).get_model_version("digits", "3").run_id
    decision = checked(candidate=f"runs:/{run_id}/digits").decision

    assert decision.provenance.candidate.run_id == run_id
    assert decision.promotable.value is False
    assert decision.promotable.because == "the candidate is a model of a run, not a version of a registered one"


def test_a_check_against_another_version_than_the_aliass_is_not_promotable(checked: Callable[..., Judgement]) -> None:
    decision = checked(incumbent="2").decision

    assert decision.promotable.value is False
    assert decision.promotable.because == "@champion is version 1, and version 2 was compared with"


def test_a_policy_without_a_promotion_makes_nothing_promotable(
    checked: Callable[..., Judgement], lenient: Path, tmp_path: Path
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(lenient.read_text().partition("promotion:")[0])
    decision = checked(policy=path).decision

    assert decision.promotable.because == "the policy names no promotion.alias"


def test_a_candidate_that_breaks_a_rule_is_refused(
    checked: Callable[..., Judgement], lenient: Path, tmp_path: Path
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(lenient.read_text().replace("at_most: 3%", "at_most: 0.5%"))
    decision = checked(policy=path).decision

    assert decision.verdict is Verdict.REFUSE
    assert decision.exit_code == 10
    assert decision.promotable.because == "the verdict is refuse"


def test_a_limit_between_the_bounds_is_inconclusive_and_says_how_many_rows_would_settle_it(
    checked: Callable[..., Judgement], lenient: Path, tmp_path: Path
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(lenient.read_text().replace("at_most: 3%", "at_most: 1.5%"))
    decision = checked(policy=path).decision
    (finding,) = [f for f in decision.findings if f.rule == "few-flips"]

    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.exit_code == 11
    assert finding.status is Status.INCONCLUSIVE
    assert finding.rows_needed is not None and finding.rows_needed > 0


def test_a_tag_notes_the_verdict_on_the_version(checked: Callable[..., Judgement], sqlite_registry: str) -> None:
    judged = checked(candidate="2", tag=True)
    client = client_of(sqlite_registry)
    tags = client.get_model_version("digits", "2").tags
    for name in tags:
        client.delete_model_version_tag("digits", "2", name)

    assert tags["gate.verdict"] == judged.verdict.value
    assert tags["gate.decision_id"] == judged.decision.decision_id
    assert "gate.run_id" not in tags


def test_the_same_check_over_rest_judges_alike_logs_and_moves_nothing(
    mlflow_server: str, held_out: Path, lenient: Path, again: Judgement, tmp_path: Path
) -> None:
    judged = gate.check(
        model="digits",
        candidate="3",
        incumbent="@champion",
        data=held_out,
        policy=lenient,
        tracking_uri=mlflow_server,
        as_of=AS_OF,
    )
    decision = judged.decision
    client = client_of(mlflow_server)
    run = run_of(mlflow_server, judged)
    kept = client.download_artifacts(run.info.run_id, "decision.json", str(tmp_path))
    model = client.get_logged_model(model_id_of(mlflow_server, 3))

    assert decision.target.registry == mlflow_server
    assert (decision.counts, decision.findings) == (again.decision.counts, again.decision.findings)
    assert decision.promotable.value
    assert Path(kept).read_bytes() == to_bytes(decision)
    assert "gate.nfr" in {metric.key for metric in model.metrics if metric.run_id == judged.run_id}
    assert {name: int(at) for name, at in client.get_registered_model("digits").aliases.items()} == {"champion": 1}
