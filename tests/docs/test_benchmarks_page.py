"""The page of benchmarks says what the results say, and a limit that is broken is shown as broken."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAID = {
    "benchmark": "counting",
    "command": "python benchmarks/counting.py",
    "date": "2026-01-02",
    "trial": False,
    "processor": "a processor",
    "cores": 2,
    "memory_gib": 8,
    "system": "Linux x86_64",
    "card": None,
    "versions": {"python": "3.11.7"},
    "rows": [
        {"what": "within", "value": 1.2, "unit": "x", "at_most": 1.3},
        {"what": "beyond", "value": 1.4, "unit": "x", "at_most": 1.3},
        {"what": "too little", "value": 0.8, "unit": "share", "at_least": 0.9},
        {"what": "<no> limit", "value": 5.0, "unit": "s"},
    ],
}


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.page")


def test_the_page_and_its_pictures_are_what_the_results_say() -> None:
    command = [sys.executable, "benchmarks/page.py", "--check"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_figure_has_its_machine_its_date_and_the_command_that_gives_it_again(page: Any, tmp_path: Path) -> None:
    (tmp_path / "counting.json").write_text(json.dumps(SAID))
    text = " ".join(page.files(tmp_path)["benchmarks.md"].split())
    assert "`python benchmarks/counting.py`: 2026-01-02, a processor, 2 cores, 8 GiB" in text
    assert "| within | 1.20 x | ≤ 1.30 x | kept |" in text


def test_a_limit_that_is_broken_is_named_first(page: Any, tmp_path: Path) -> None:
    (tmp_path / "counting.json").write_text(json.dumps(SAID))
    found = page.files(tmp_path)
    top = " ".join(found["benchmarks.md"].split("## ")[0].split())
    assert "**1 of 3 limits are kept.** Broken: beyond (1.40 x, ≤ 1.30 x); too little (80.0 %, ≥ 90.0 %)." in top
    assert found["pictures/benchmarks-limits.svg"].count(page.BAD) == 2


def test_a_trial_is_called_a_trial_and_no_result(page: Any, tmp_path: Path) -> None:
    (tmp_path / "counting.json").write_text(json.dumps({**SAID, "trial": True}))
    text = page.files(tmp_path)["benchmarks.md"]
    assert "**Trials, no results**" in text and "**A trial: no result.**" in text


def test_the_page_about_spark_plans_with_what_was_measured(page: Any, tmp_path: Path) -> None:
    more = {"master": "local[2]", "rows": 1000, "bare_s": 2.0, "gate_s": 1.5, "ids_s": 0.1, "whole_s": 3.0}
    row = {"what": "local[2]", "value": 0.75, "unit": "x", "us_a_row": 20.0, **more}
    apart = {"what": "local[2], models apart", "value": 1.25, "unit": "x", "apart_s": 2.5}
    (tmp_path / "spark.json").write_text(json.dumps({**SAID, "benchmark": "spark", "rows": [row, apart]}))
    text = page.files(tmp_path)["spark.md"]
    assert "| `local[2]` | 1,000 | 2.0 | 1.5 | 0.75 | 2.5 | 20 | 0.1 | 3.0 |" in text
    assert text.count("| `local[2]` |") == 1 and "## Planning 10^9 rows" in text and "Grouping in SQL" in text


def test_what_could_not_be_run_says_why_and_keeps_no_limit(page: Any, tmp_path: Path) -> None:
    row = {"what": "count: Slow", "value": None, "unit": "s", "story": "count", "of": "count", "peer": "Slow"}
    peers = {**SAID, "benchmark": "peers", "rows": [{**row, "problem": "stopped after 900 s"}]}
    (tmp_path / "peers.json").write_text(json.dumps(peers))
    assert "| Slow | could not be run: stopped after 900 s |" in page.files(tmp_path)["benchmarks.md"]
    assert not page.measured({**SAID, "rows": [{**row, "at_most": 1.0}]}).rows[0].holds


@pytest.mark.parametrize("dtype", ["float32", "bf16"])
def test_what_no_gpu_was_at_hand_for_is_said_and_what_was_measured_on_one_names_it(
    dtype: str, page: Any, tmp_path: Path
) -> None:
    lacking = f"ResNet-50 in {dtype} on a GPU: not measured, none was at hand."
    assert lacking in page.files(tmp_path)["benchmarks.md"]
    said = {**SAID, "benchmark": f"torch_gpu_{dtype}", "card": "a card"}
    (tmp_path / f"torch_gpu_{dtype}.json").write_text(json.dumps(said))
    text = page.files(tmp_path)["benchmarks.md"]
    assert lacking not in text and "8 GiB, a card;" in " ".join(text.split())


def test_every_benchmark_has_its_script_and_those_on_a_gpu_have_names_of_their_own(page: Any) -> None:
    benchmarks = importlib.import_module("benchmarks.__main__")
    assert all(benchmarks.script_of(name).exists() for name in benchmarks.BENCHMARKS)
    shown = {name for section in page.SECTIONS for name in section.names} | {"peers", "where", "profiles"}
    assert set(benchmarks.BENCHMARKS) == shown
    for dtype in ("float32", "bf16"):
        asked = " ".join(benchmarks.BENCHMARKS[f"torch_gpu_{dtype}"].full)
        wanted = f"--model resnet50 --device cuda --dtype {dtype} --rows 20000 --batch-rows 256"
        assert asked == wanted and benchmarks.script_of(f"torch_gpu_{dtype}").name == "torch_models.py"


def test_without_a_gpu_its_benchmarks_say_so_and_do_not_fail() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    command = [sys.executable, "-m", "benchmarks", "torch_gpu_bf16", "--quick"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "resnet50, bf16, on a GPU: not measured, PyTorch finds no CUDA device on this machine" in ran.stdout


def test_nothing_is_recorded_unless_it_is_asked_for(page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = importlib.import_module("benchmarks.machine")
    monkeypatch.delenv(machine.KEPT, raising=False)
    machine.record("counting", SAID["rows"])
    monkeypatch.setenv(machine.KEPT, str(tmp_path))
    monkeypatch.setenv(machine.TRIAL, "1")
    machine.record("counting", [{"what": "one", "value": 1.23456, "unit": "x"}])
    (kept,) = tmp_path.iterdir()
    told = page.measured(json.loads(kept.read_text()))
    assert told.trial and told.rows[0].value == 1.235


def test_the_steps_that_are_timed_are_where_they_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    where = importlib.import_module("benchmarks.where")
    for place in where.STEPS:
        module, _, name = place.partition(":")
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        assert callable(found), place


def test_a_profile_is_told_by_the_function_that_ran_in_each_kind_of_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    profiles = importlib.import_module("benchmarks.profiles")
    found = profiles.tally(
        [
            'process 7:"python -m gate";run (gate/cli/app.py:9);count (/x/gate/core/flips.py:70) 12',
            'process 7:"python -m gate";run (gate/cli/app.py:9);_load (<frozen importlib._bootstrap>:1);a (a.py:1) 3',
            'process 8:"python gate/engines/in_worker/__main__.py";main (gate/engines/in_worker/serving.py:5);dot (/v/site-packages/n/a.py:2) 4',
            "what is no stack",
        ]
    )
    assert found == {
        "the gate": {"count (gate/core/flips.py)": 12, "importing": 3},
        "a model's process": {"dot (n/a.py)": 4},
    }


@pytest.mark.parametrize("file", sorted((ROOT / "benchmarks" / "peers").glob("*.txt")), ids=lambda path: path.stem)
def test_what_a_peer_needs_is_pinned_to_the_last_digit(file: Path) -> None:
    for line in file.read_text("utf-8").splitlines():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][^ ;]*( ;.*)?", line), line
