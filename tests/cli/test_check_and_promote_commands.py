"""``gate check`` and ``gate promote`` as a user types them, over a real SQLite registry."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import numpy as np
import pandas as pd
import pytest

from gate.decisions.canonical import read_decision

Cli = Callable[..., Any]


class Files(NamedTuple):
    data: Path
    policy: Path
    strict: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The digits that no model saw, a policy that version 3 meets against version 1, and one that it does not."""
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("check")
    pixels, labels = load_digits(return_X_y=True)
    frame = pd.DataFrame(pixels, columns=[f"pixel_{i}" for i in range(64)])
    frame.assign(digit=labels, row=np.arange(len(frame)))[600:].to_parquet(folder / "holdout.parquet")
    for name, limit in (("policy", "3%"), ("strict", "0.2%")):
        (folder / f"{name}.yaml").write_text(
            "version: 1\nname: digits\nholdout: {id: row, label: digit}\nrules:\n"
            f"  - {{id: few-flips, rate: nfr, at_most: {limit}}}\n"
            "promotion: {alias: typed, keep_previous_as: typed_before}\n"
        )
    return Files(folder / "holdout.parquet", folder / "policy.yaml", folder / "strict.yaml")


@pytest.fixture
def client(sqlite_registry: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of the registry, which the environment names, with the alias ``typed`` on version 1."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", sqlite_registry)
    client = mlflow.MlflowClient(sqlite_registry, sqlite_registry)
    client.set_registered_model_alias("digits", "typed", "1")
    yield client
    for alias in ("typed", "typed_before"):
        client.delete_registered_model_alias("digits", alias)
    for name in client.get_model_version("digits", "3").tags:
        client.delete_model_version_tag("digits", "3", name)


@pytest.fixture
def check(cli: Cli, files: Files, client: Any) -> Cli:
    """``gate check`` of version 3 against ``@typed``, in process; further options follow."""

    def run(*more: object, policy: Path = files.policy) -> Any:
        return cli(
            "check", "--model", "digits", "--candidate", "3", "--incumbent", "@typed", "--data", files.data,
            "--policy", policy, "--in-process", *more,
        )  # fmt: skip

    return run


def at(client: Any, alias: str) -> int | None:
    aliases = client.get_registered_model("digits").aliases
    return int(aliases[alias]) if alias in aliases else None


def test_check_then_promote_moves_the_alias(cli: Cli, files: Files, client: Any, tmp_path: Path) -> None:
    path = tmp_path / "decision.json"
    checked = cli(
        "check", "--model", "digits", "--candidate", "3", "--incumbent", "@typed", "--data", files.data,
        "--policy", files.policy, "--report", f"json={path}", "--tag",
    )  # fmt: skip
    still = at(client, "typed")
    tagged = dict(client.get_model_version("digits", "3").tags)
    promoted, again = cli("promote", path), cli("promote", path)
    run = checked.err.rpartition("evidence: MLflow run ")[2].strip()

    assert (checked.code, checked.out[:8], still) == (0, b"ALLOWED\n", 1)
    assert client.get_run(run).data.tags["gate.decision_id"] == read_decision(path).decision_id
    assert (tagged["gate.verdict"], tagged["gate.run_id"]) == ("allow", run)
    assert promoted.code == 0
    assert promoted.out.decode() == (
        "models:/digits@typed is version 3 now\nmodels:/digits@typed_before is version 1, to go back to\n"
    )
    assert (at(client, "typed"), at(client, "typed_before")) == (3, 1)
    assert (again.code, again.out) == (0, b"nothing to do: models:/digits@typed is version 3 already\n")


@pytest.fixture
def lately(client: Any) -> Iterator[str]:
    """An alias of one test's own, on version 1."""
    client.set_registered_model_alias("digits", "lately", "1")
    yield "lately"
    client.delete_registered_model_alias("digits", "lately")
    for name in client.get_model_version("digits", "2").tags:
        client.delete_model_version_tag("digits", "2", name)


def test_the_last_champions_are_found_by_an_audit_and_all_of_them_are_incumbents_of_one_check(
    cli: Cli, files: Files, lately: str, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(files.policy.read_text().replace("alias: typed, keep_previous_as: typed_before", "alias: lately"))
    command = ["check", "--model", "digits", "--data", files.data, "--policy", policy, "--in-process", "--no-log"]
    first = tmp_path / "first.json"
    assert cli(*command, "--candidate", "2", "--incumbent", f"@{lately}", "--report", f"json={first}").code == 0
    assert cli("promote", first).code == 0

    (event,) = json.loads(cli("audit", "digits", "--alias", lately, "--format", "json").out)["events"]
    champions = [event["after"], event["before"]]
    assert champions == [2, 1]
    incumbents = [part for version in champions for part in ("--incumbent", version)]
    checked = cli(*command, "--candidate", "3", *incumbents, "--report", f"json={tmp_path}/{{incumbent}}.json")

    decisions = [read_decision(tmp_path / f"{version}.json") for version in champions]
    assert checked.code == max(decision.exit_code for decision in decisions)
    assert [decision.provenance.incumbent.version for decision in decisions if decision.provenance.incumbent] == [2, 1]
    assert {decision.provenance.candidate.version for decision in decisions} == {3}
    assert [row.uri for row in decisions[0].versions] == [f"models:/digits/{version}" for version in (3, 2, 1)]


@pytest.mark.parametrize(("limit", "code"), [("0.2%", 10), ("1.5%", 11)])
def test_what_is_not_allowed_is_not_promoted(
    limit: str, code: int, check: Cli, cli: Cli, client: Any, files: Files, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(files.policy.read_text().replace("3%", limit))
    path = tmp_path / "decision.json"
    checked = check("--no-log", "--report", f"json={path}", policy=policy)
    promoted = cli("promote", path)

    assert (checked.code, promoted.code) == (code, code)
    assert promoted.out == b""
    assert "only allow is promoted" in promoted.err
    assert at(client, "typed") == 1


def test_promote_says_what_stands_in_its_way(check: Cli, cli: Cli, client: Any, tmp_path: Path) -> None:
    path, edited = tmp_path / "decision.json", tmp_path / "edited.json"
    check("--no-log", "--report", f"json={path}")
    edited.write_bytes(path.read_bytes().replace(b'"alias":"typed"', b'"alias":"other"'))
    client.set_registered_model_alias("digits", "typed", "2")

    assert cli("promote", tmp_path / "absent.json").code == 2
    assert cli("promote", edited).code == 12
    moved = cli("promote", path)
    assert moved.code == 13
    assert "@typed is version 2 now; the decision compared with version 1" in moved.err


def test_json_on_stdout_is_whole_and_quiet_is_silent(check: Cli) -> None:
    done = check("--format", "json", "-q")

    assert done.code == 0
    assert json.loads(done.out)["verdict"] == "allow"
    assert done.err == ""


def test_no_log_leaves_no_remark(check: Cli) -> None:
    assert "evidence" not in check("--no-log").err


@pytest.mark.parametrize(
    ("more", "code", "found"),
    [
        (["--candidate", "99"], 12, "candidate models:/digits/99: no version 99"),
        (["--model", "digit"], 12, "did you mean 'digits'?"),
        (["--candidate", "1"], 12, "candidate and incumbent are both models:/digits/1"),
        (["--data", "absent.parquet"], 2, "absent.parquet"),
        (["--policy", "absent.yaml"], 2, "absent.yaml"),
        (["--candidate", "v7"], 2, "v7"),
        (["--registry-uri", "sqlite:////absent/mlflow.db"], 12, "no such database, and the gate does not make one"),
    ],
)
def test_errors_of_a_check_are_told_on_stderr_alone(more: list[str], code: int, found: str, check: Cli) -> None:
    done = check("--no-log", *more)

    assert done.code == code
    assert done.out == b""
    assert found in done.err


def test_a_verdict_that_could_not_be_logged_does_not_exit_0(
    check: Cli, sqlite_registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    done = check("--registry-uri", sqlite_registry, "--tracking-uri", "http://127.0.0.1:9")

    assert done.code == 12
    assert done.out.startswith(b"ALLOWED\n")
    assert "the verdict stands, but it could not be logged" in done.err
