"""The same inputs give the same decision, whoever runs the models: processes, this process, nobody, or Spark."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyspark", reason="pyspark is not installed: pip install 'model-update-gate[spark]'")
if shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
    pytest.skip("no Java is installed: apt-get install openjdk-17-jre-headless", allow_module_level=True)

import gate
from gate.cli.app import run
from gate.stories.decide import Judgement

POLICY = """
version: 1
name: digits
holdout: {id: row, label: digit, slices: {half: {column: half}}}
rules:
  - {id: few-flips, rate: nfr, at_most: 3%}
  - {id: no-worse, rate: error_rate_change, at_most: 0.2%}
  - {id: halves, rate: nfr, by: half, at_most: 5%}
  - {id: classes, rate: nfr, by: class, at_most: 2%, severity: warn}
"""
# Who ran the models and read the rows is told by the decision; nothing else of it may rest on that.
MAY_DIFFER = {
    "": ("decision_id", "seal", "created_at"),
    "provenance": ("isolation", "batch_rows", "tools"),
    "provenance.holdout": ("digest",),  # on Spark it is that of rows in any order
}

Checked = Callable[..., Judgement]


@pytest.fixture(scope="module", autouse=True)
def short_jobs() -> Iterator[None]:
    """Spark's settings for jobs that are over before Java's second compiler pays."""
    with pytest.MonkeyPatch.context() as patch:
        options = "--driver-java-options -XX:TieredStopAtLevel=1 --conf spark.sql.shuffle.partitions=2 pyspark-shell"
        patch.setenv("PYSPARK_SUBMIT_ARGS", options)
        yield


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Limits that are met, and one for each class that is not."""
    path = tmp_path_factory.mktemp("policy") / "digits.yaml"
    path.write_text(POLICY)
    return path


@pytest.fixture
def checked(sqlite_registry: str, held_out: Path, policy: Path, monkeypatch: pytest.MonkeyPatch) -> Checked:
    """Version 3 against version 1, without a run; keywords say who runs them."""
    # Whoever edits the project while its tests run changes the environment, if it is installed to be edited.
    monkeypatch.setattr("gate.stories.remembering.fingerprint", lambda: "e" * 64)

    def check(**how: Any) -> Judgement:
        return gate.check(
            model="digits",
            candidate="3",
            incumbent="1",
            data=held_out,
            policy=policy,
            registry_uri=sqlite_registry,
            as_of="2026-03-01",
            log_run=False,
            **how,
        )

    return check


def common(text: str) -> tuple[dict[str, Any], list[str]]:
    """A decision without what may differ, and its notes without the one that tells that the digest does."""
    decision = json.loads(text)
    for path, names in MAY_DIFFER.items():
        part = decision
        for step in filter(None, path.split(".")):
            part = part[step]
        for name in names:
            del part[name]
    notes = decision["evidence"].pop("notes")
    return decision, [note for note in notes if not note.startswith("the digest of the held-out set is that of its")]


def test_every_engine_comes_to_the_same_decision(checked: Checked) -> None:
    processes = checked()
    found = {
        "known": checked(),
        "this process": checked(in_process=True),
        "spark": checked(engine="spark", spark_master="local[2]"),
    }
    assert found["known"].remembered == ("candidate", "incumbent"), "nobody was asked"
    assert (processes.decision.counts.negative or 0) > 0 and processes.samples
    assert processes.decision.cells and processes.decision.findings and processes.decision.flip_matrix.rows
    for engine, judged in found.items():
        assert judged.verdict is processes.verdict, engine
        assert judged.samples == processes.samples, engine
        assert common(judged.report("json")) == common(processes.report("json")), engine
    ways = [processes, *(found[engine] for engine in ("this process", "spark"))]
    assert len({judged.decision.provenance.isolation for judged in ways}) == len(ways)


def test_the_command_judges_on_spark_as_here(
    sqlite_registry: str, held_out: Path, policy: Path, tmp_path: Path
) -> None:
    decisions = []
    for name, engine in (
        ("here", ["--in-process"]),
        ("spark", ["--engine", "spark", "--spark-master", "local[2]"]),
    ):
        path = tmp_path / f"{name}.json"
        command = [
            *("check", "--model", "digits", "--candidate", "3", "--incumbent", "1", "--data", str(held_out)),
            *("--policy", str(policy), "--registry-uri", sqlite_registry, "--no-log", "--as-of", "2026-03-01"),
            *("--report", f"json={path}", "-q"),
        ]
        assert run([*command, *engine]) == 0
        decisions.append(path.read_text("utf-8"))
    assert common(decisions[0]) == common(decisions[1])
    assert "spark" in json.loads(decisions[1])["provenance"]["isolation"].lower()
