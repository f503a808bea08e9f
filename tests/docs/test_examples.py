"""The examples run, and print what their READMEs show. ``GATE_REGENERATE=1`` rewrites the READMEs instead."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(str(page.relative_to(ROOT)) for page in (ROOT / "examples").rglob("README.md"))


def test_the_examples_are_here() -> None:
    assert {"examples/predictions_only/README.md", "examples/registry_walkthrough/README.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_an_example_prints_what_its_readme_shows(page: str) -> None:
    write = ["--write"] if os.environ.get("GATE_REGENERATE") == "1" else []
    ran = subprocess.run(
        [sys.executable, "docs/transcripts.py", page, *write], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_page_that_shows_another_output_is_told_apart(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\n$ echo found\nclaimed\n```\n", encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "docs/transcripts.py", str(page)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert "-claimed\n+found" in ran.stdout


def test_a_command_that_fails_without_its_exit_code_shown_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\n$ false\n$ true\n```\n", encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "docs/transcripts.py", str(page)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert "exit code 1 of: false" in ran.stderr
