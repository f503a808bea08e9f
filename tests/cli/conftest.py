"""The command line, run in this process: exit code, stdout as bytes, stderr as text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from gate.cli.app import run


class Ran(NamedTuple):
    code: int
    out: bytes
    err: str


@pytest.fixture
def cli(capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Ran]:
    """Runs one command line."""

    def command(*arguments: object) -> Ran:
        capfdbinary.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        return Ran(code, out, err.decode())

    return command


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    """600 rows: the new model breaks two that the old one had right, and mends forty."""
    y = ["cat", "dog"] * 300
    other = {"cat": "dog", "dog": "cat"}
    lines = ["key,y,old,new"]
    for i, label in enumerate(y):
        lines.append(f"{i},{label},{other[label] if 40 <= i < 80 else label},{other[label] if i < 2 else label}")
    path = tmp_path / "predictions.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def policy(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a policy with one limit on the NFR."""

    def write(limit: str = "5%") -> Path:
        path = tmp_path / "policy.yaml"
        path.write_text(
            "version: 1\nname: pets\nholdout: {id: key, label: y}\nrules:\n"
            f"  - {{id: few-flips, rate: nfr, at_most: {limit}}}\n"
        )
        return path

    return write
