"""Find an interpreter of a version of Python on this machine. Nothing is downloaded."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ASKS = "import sys; print('%d.%d' % sys.version_info[:2])"
PATIENCE_SECONDS = 20.0


def interpreter(minor: str, environment: Mapping[str, str] | None = None) -> Path | None:
    """An interpreter of version ``minor`` (``3.12``) that runs, or None: the gate's own, one in PATH, pyenv's, uv's.

    It is asked for its version: a shim of pyenv's lies in PATH for versions that it does not let run.
    """
    around = os.environ if environment is None else environment
    found = (path for path in candidates(minor, around) if os.access(path, os.X_OK) and version_of(path) == minor)
    return next(found, None)


def candidates(minor: str, environment: Mapping[str, str]) -> Iterator[Path]:
    """Where an interpreter could be, the likely ones first."""
    if minor == "{}.{}".format(*sys.version_info[:2]):
        yield Path(getattr(sys, "_base_executable", None) or sys.executable)
    name = f"python{minor}"
    for folder in environment.get("PATH", os.defpath).split(os.pathsep):
        if folder:
            yield Path(folder, name)
    home = Path(environment.get("HOME") or "~").expanduser()
    yield from newest(Path(environment.get("PYENV_ROOT") or home / ".pyenv") / "versions", f"{minor}.*", name)
    data = Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share")
    yield from newest(
        Path(environment.get("UV_PYTHON_INSTALL_DIR") or data / "uv" / "python"), f"cpython-{minor}.*", name
    )


def newest(folder: Path, pattern: str, name: str) -> Iterator[Path]:
    """The interpreters ``bin/NAME`` in the folders that fit a pattern, the one with the highest version first."""
    numbered = [([int(number) for number in re.findall(r"\d+", path.name)], path) for path in folder.glob(pattern)]
    for _, path in sorted(numbered, reverse=True):
        yield path / "bin" / name


def version_of(python: Path) -> str | None:
    """The minor version of an interpreter, None where it does not run.

    Nor where only pyenv's variable lets it run: installers and models are started without that.
    """
    around = {name: value for name, value in os.environ.items() if name != "PYENV_VERSION"}
    try:
        answer = subprocess.run(
            [python, "-I", "-S", "-c", ASKS],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=True,
            env=around,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
