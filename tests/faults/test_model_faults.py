"""Models that do harm, or come to it, where each runs as it does by default: in a process of its own."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import network
import numpy as np
import pandas as pd
import pytest
import torch

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import this file

Stopped = Callable[..., str]
Cli = Callable[..., Any]

REPORT = ("--report", "json=decision.json")
PRINTED = {'{"verdict": "allow"}', "written past Python"}
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
    monkeypatch.setenv("GATE_CACHE_DIR", str(folder / "answers-of-all-models"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cached"))
    steal = f"import json, os; open(f'{folder}/loot-{{os.getpid()}}.json', 'w').write(json.dumps(dict(os.environ)))"
    models.add("steals", runs=steal)
    assert not [*folder.glob("loot-*")]
    done = cli(*models.apart("steals", "--data", "signs.csv"))

    assert (done.code, done.err) == (0, "")
    (loot,) = folder.glob("loot-*")  # it was loaded in one process,
    assert loot.name != f"loot-{os.getpid()}.json"  # which is not the gate's
    environment = json.loads(loot.read_text())
    assert not {*SECRETS, "MLFLOW_TRACKING_URI", "GATE_CACHE_DIR", "XDG_CACHE_HOME"} & {*environment}
    assert environment["HOME"] != str(Path.home())
    for treasure in ("swordfish", models.uri, "answers-of-all-models", "cached"):
        assert treasure not in loot.read_text()


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


def hoards(rows: Any) -> Any:
    held = [np.ones(1 << 22) for _ in range(200)]  # 32 MiB each
    return (rows["x"].to_numpy() > 0.05 * held[0][0]).astype("int64")


@pytest.mark.fault(
    24,
    given="a model takes more memory than `--memory` allows it",
    then="ends its process before the machine runs out, and says which model it was, the limit and the options",
    exit_code=12,
)
def test_a_model_that_takes_more_memory_than_allowed(stopped: Stopped, models: Any) -> None:
    models.add("hoards", hoards)
    said = stopped(12, *models.apart("hoards", "--data", "signs.csv", "--memory", "1g", *REPORT))

    assert said.startswith("Error: candidate model: took more than 1 GiB of memory while it answered a batch")
    assert "--memory" in said and "--batch-rows" in said


def dawdles(rows: Any) -> Any:
    import time

    time.sleep(1)
    return (rows["x"].to_numpy() > 0.05).astype("int64")


@pytest.mark.fault(
    24,
    given="a model answers every batch in time, and takes for ever in all",
    then="ends it after the seconds of `--total-timeout`, and gives no verdict",
    exit_code=12,
)
def test_a_model_that_takes_too_long_in_all(stopped: Stopped, models: Any) -> None:
    models.add("dawdles", dawdles)
    options = ("--batch-rows", "4", "--total-timeout", "12")
    said = stopped(12, *models.apart("dawdles", "--data", "signs.csv", *options, *REPORT))

    assert said.startswith("Error: candidate model: timed out after 12 s in all")
    assert "--total-timeout" in said


def crashes(_: Any) -> Any:
    os.kill(os.getpid(), signal.SIGSEGV)


def exits(_: Any) -> Any:
    sys.exit(0)


@pytest.mark.fault(
    24,
    given="a model crashes its process, or calls `sys.exit(0)`",
    then="gives no verdict, and says by which signal it died or where it left",
    exit_code=12,
)
@pytest.mark.parametrize(
    ("act", "says"),
    [(crashes, "died while it answered a batch: SIGSEGV"), (exits, "predict raised SystemExit: 0")],
)
def test_a_model_that_crashes_or_leaves(stopped: Stopped, models: Any, act: Callable[[Any], Any], says: str) -> None:
    models.add(act.__name__, act)
    said = stopped(12, *models.apart(act.__name__, "--data", "signs.csv", *REPORT))

    assert said.startswith(f"Error: candidate model: {says}")


@pytest.mark.fault(
    25,
    given="a model prints while it predicts, even past Python",
    then="keeps that out of its own output, with `--in-process` too: with `--format json` stdout is the decision and nothing else",
    exit_code=None,
)
@pytest.mark.parametrize(("within", "shown"), [((), set()), (("--in-process",), PRINTED)])
def test_a_model_that_prints_leaves_the_json_valid(
    within: tuple[str, ...], shown: set[str], cli: Cli, models: Any
) -> None:
    done = cli(*models.apart("better", "--data", "signs.csv", "--format", "json", *within, incumbent="prints"))

    assert done.code == 0
    assert json.loads(done.out)["verdict"] == "allow"
    assert {*done.err.splitlines()} == shown


def draws_lots(rows: Any) -> Any:
    return np.random.default_rng().integers(0, 2, len(rows))


calls = itertools.count()


def counts_its_calls(rows: Any) -> Any:
    return np.full(len(rows), next(calls) % 3)


def drops_out(rows: Any) -> Any:
    inputs = torch.from_numpy(rows[["x"]].to_numpy(np.float32))
    return (torch.nn.Dropout(0.5)(inputs)[:, 0] > 0).to(torch.int64)  # a layer that nobody told to stop training


def sorts_its_input(rows: Any) -> Any:
    return (np.sort(rows["x"].to_numpy()) > 0).astype("int64")


@pytest.mark.fault(
    26,
    given="a model draws its answers by lot, has dropout left on, or changes from call to call",
    then="asks it for some rows a second time, gives no verdict, and says on how many rows it differs from itself",
    exit_code=12,
)
@pytest.mark.parametrize("act", [draws_lots, drops_out, counts_its_calls])
def test_a_model_that_answers_differently_on_the_same_rows(
    stopped: Stopped, models: Any, act: Callable[[Any], Any]
) -> None:
    models.add(act.__name__, act)
    said = stopped(12, *models.apart(act.__name__, "--data", "signs.csv", *REPORT))

    assert said.startswith("Error: candidate model: answers differently on the same rows: ")
    assert "of 400 when it was asked a second time" in said
    assert "random seed" in said and "model.eval()" in said and "holdout.sample" in said


@pytest.mark.fault(
    26,
    given="a model answers in another order than it was asked in",
    then="asks for some rows a second time in an order and a batch of their own, and gives no verdict",
    exit_code=12,
)
def test_a_model_that_sorts_its_input(stopped: Stopped, models: Any) -> None:
    models.add("sorts_its_input", sorts_its_input)
    said = stopped(12, *models.apart("sorts_its_input", "--data", "signs.csv", *REPORT))

    assert said.startswith("Error: candidate model: its answers depend on the order or the company of the rows: ")
    assert "in the order of its input" in said


def ties_by_a_hair(rows: Any) -> Any:
    x = rows["x"].to_numpy()
    return ((x > 0) ^ ((x == x.max()) & (len(x) < 100))).astype("int64")


@pytest.mark.fault(
    26,
    given="a sound model has a near tie that falls otherwise in a batch of another size",
    then="takes it for what it is, judges as always, and notes it in the decision",
    exit_code=None,
)
def test_a_near_tie_is_no_fault(cli: Cli, models: Any) -> None:
    models.add("ties_by_a_hair", ties_by_a_hair)
    done = cli(*models.apart("ties_by_a_hair", "--data", "signs.csv", "--format", "json"))

    assert done.code == 0, done.err
    decision = json.loads(done.out)
    assert decision["verdict"] == "allow"
    assert any("1 of 40 rows asked twice were answered differently" in note for note in notes_of(decision))


def notes_of(decision: dict[str, Any]) -> list[str]:
    return [text for found in walk(decision) if isinstance(text := found, str)]


def walk(value: Any) -> Any:
    if isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from walk(part)
    else:
        yield value


@pytest.mark.fault(
    45,
    given="the same inputs are judged twice, by workers and in the gate's own process",
    then="comes to the same judgement each time; the decisions differ in where the models ran and what was imported",
    exit_code=None,
)
def test_the_same_inputs_give_the_same_decision_wherever_the_models_run(cli: Cli, models: Any) -> None:
    def judged(*options: object) -> dict[str, Any]:
        asked = models.apart("better", "--data", "signs.csv", "--format", "json", "--as-of", "2026-11-22", *options)
        done = cli(*asked)
        assert done.code == 0, done.err
        return dict(json.loads(done.out))

    apart, again, within = judged("--no-cache"), judged("--no-cache"), judged("--in-process")
    for decision in (apart, again, within):
        del decision["created_at"], decision["seal"]  # the seal is over the time of writing too
    assert apart == again
    assert apart["provenance"].pop("isolation") != within["provenance"].pop("isolation")
    for decision in (apart, within):
        del decision["decision_id"]
        notes = decision["evidence"]["notes"]  # workers say where the system left them the network
        notes[:] = [note for note in notes if not note.startswith(network.LEFT_ON)]
        for role in ("candidate", "incumbent"):  # a worker imports what its model needs, and this process more
            del decision["provenance"][role]["versions"]
    assert apart == within
