"""The pages about policies run as they stand, and leave no key of the language out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gate.policy.schema import json_schema

ROOT = Path(__file__).resolve().parents[2]
OF_OTHER_TASKS = {"absolute", "relative", "threshold", "top_k", "match", "pattern", "take", "tolerance", "score"}
OF_OTHER_TASKS |= {"right_at_least", "continuous", "largest_change", "candidate", "incumbent"}  # docs/tasks.md


@pytest.mark.parametrize("page", ["docs/policy.md", "docs/plan.md"])
def test_a_page_shows_what_its_commands_print(page: str) -> None:
    command = [sys.executable, "docs/transcripts.py", page]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_example_of_the_policy_page_has_every_key() -> None:
    page = (ROOT / "docs/policy.md").read_text("utf-8")
    absent = {key for key in _keys(json_schema()) - OF_OTHER_TASKS if not re.search(rf"\b{key}:", page)}
    assert absent == set()


def _keys(part: Any) -> set[str]:
    found: set[str] = set()
    if isinstance(part, dict):
        found |= set(part["properties"]) if isinstance(part.get("properties"), dict) else set()
        for below in part.values():
            found |= _keys(below)
    elif isinstance(part, list):
        for below in part:
            found |= _keys(below)
    return found
