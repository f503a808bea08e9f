"""The environment that answers rest on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from gate.engines import fingerprint as module
from gate.engines.fingerprint import fingerprint


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages, and no other."""
    folder = tmp_path / "site-packages"
    (folder / "numpy-2.4.6.dist-info").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(folder)])
    return folder


def test_another_version_of_a_package_is_another_environment(packages: Path) -> None:
    before = fingerprint()
    assert before == fingerprint()
    (packages / "numpy-2.4.6.dist-info").rename(packages / "numpy-2.4.7.dist-info")
    assert fingerprint() != before


def test_one_more_package_is_another_environment(packages: Path) -> None:
    before = fingerprint()
    (packages / "torch-2.13.0.dist-info").mkdir()
    assert fingerprint() != before


@pytest.mark.parametrize(
    ("pointer", "line"), [("mine.pth", "{}\n"), ("__editable___mine_finder.py", "MAPPING = {{'mine': '{}'}}\n")]
)
def test_what_is_edited_in_place_is_another_environment(
    pointer: str, line: str, packages: Path, tmp_path: Path
) -> None:
    source = tmp_path / "mine" / "features.py"
    source.parent.mkdir()
    source.write_text("x = 1\n")
    (packages / pointer).write_text(line.format(source.parent))
    before = fingerprint()
    assert before == fingerprint()
    os.utime(source, ns=(1, 1))
    assert fingerprint() != before


def test_more_sources_than_can_be_looked_at_say_nothing(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_SOURCES", 0)
    assert fingerprint() is None


def test_folders_that_are_not_there_are_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["/nowhere/site-packages"])
    assert fingerprint() is not None
