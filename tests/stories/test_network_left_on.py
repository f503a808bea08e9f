"""Where the system does not let the network be turned off, everybody who reads a report is told so."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gate.cli.app import run

NOTE = "the system does not let the network be turned off: models ran with it, and their answers are not kept for next time"


def test_text_and_markdown_say_that_models_had_the_network_that_nobody_asked_for(
    sqlite_registry: str,
    held_out: Path,
    lenient: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    monkeypatch.setattr("gate.engines.process.apart", lambda process: False)
    command = ["check", "--model", "digits", "--candidate", "3", "--incumbent", "1", "--no-log", "-q"]
    command += ["--data", str(held_out), "--policy", str(lenient), "--registry-uri", sqlite_registry]

    assert run([*command, "--report", f"markdown={tmp_path / 'decision.md'}"]) == 0
    for report in (capsys.readouterr().out, (tmp_path / "decision.md").read_text()):
        assert NOTE in " ".join(report.split())
    assert not [*Path(os.environ["GATE_CACHE_DIR"]).glob("predictions/*/*.json")], "a service may answer otherwise"
