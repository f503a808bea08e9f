"""The page about reports runs as it stands, names every format, and shows pictures that are there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from gate.report.writers import FOLDERS, WRITERS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reports.md"


def test_it_shows_what_its_commands_print() -> None:
    command = [sys.executable, "docs/transcripts.py", "docs/reports.md"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_its_table_has_every_format_and_no_other() -> None:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if re.match(r"\| `", line)]
    named = [name for row in rows for name in re.findall(r"`([a-z-]+)`", row.split("|")[1])]
    assert sorted(named) == sorted([*WRITERS, *FOLDERS])


def test_its_pictures_are_there_and_small() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", PAGE.read_text("utf-8"))
    assert pictures
    for picture in pictures:
        content = (PAGE.parent / picture).read_bytes()
        assert content.startswith(b"\x89PNG") and len(content) < 100_000
