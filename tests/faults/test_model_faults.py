"""Models that do harm, or come to it, where each runs as it does by default: in a process of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

Stopped = Callable[..., str]
Cli = Callable[..., Any]

REPORT = ("--report", "json=decision.json")
SECRETS = ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_TOKEN", "GITHUB_TOKEN", "GATE_SIGNING_KEY")


@pytest.fixture(autouse=True)
def held_out(folder: Path, signs: pd.DataFrame) -> None:
    signs.to_csv("signs.csv", index=False)
    (folder / "p.yaml").write_text(
        "version: 1\nname: signs\nholdout: {id: key, label: y}\nrules:\n  - {id: few, rate: nfr, at_most: 10%}\n"
    )


@pytest.mark.fault(
    23,
    given="the pickle of a model runs code of its own when it is loaded",
    then="runs it apart, in a process whose environment has no token, no key and no address of the registry",
    exit_code=None,
)
def test_a_malicious_pickle_finds_no_secret_in_its_environment(
    cli: Cli, models: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "swordfish-0451")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", models.uri)
    loot = folder / "loot.json"
    steal = f"import json, os; open({str(loot)!r}, 'w').write(json.dumps([os.getpid(), dict(os.environ)]))"
    models.add("steals", runs=steal)
    assert not loot.exists()
    done = cli(*models.apart("steals", "--data", "signs.csv"))

    assert (done.code, done.err) == (0, "")
    process, environment = json.loads(loot.read_text())
    assert process != os.getpid()
    assert not {*SECRETS, "MLFLOW_TRACKING_URI"} & {*environment}
    assert "swordfish" not in loot.read_text() and models.uri not in loot.read_text()


@pytest.mark.fault(
    24,
    given="a model runs out of memory while it predicts",
    then="gives no verdict, and says which model it was and what it asked for",
    exit_code=12,
)
def test_a_model_that_runs_out_of_memory(stopped: Stopped, models: Any) -> None:
    said = stopped(12, *models.apart("fills_the_memory", "--data", "signs.csv", *REPORT))

    assert said.startswith("Error: candidate model: predict raised ")
    assert "MemoryError: Unable to allocate 128. MiB" in said


@pytest.mark.fault(
    25,
    given="a model prints while it predicts, even past Python",
    then="keeps that out of its own output: with `--format json` stdout is the decision and nothing else",
    exit_code=None,
)
def test_a_model_that_prints_leaves_the_json_valid(cli: Cli, models: Any) -> None:
    done = cli(*models.apart("better", "--data", "signs.csv", "--format", "json", incumbent="prints"))

    assert done.code == 0
    assert json.loads(done.out)["verdict"] == "allow"
    assert done.err == ""
