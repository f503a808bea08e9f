"""An environment for each peer, and one run of a peer at its work, watched from outside."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MOST = 0.6
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "MPLBACKEND": "agg",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


@dataclass(frozen=True)
class Ran:
    """One run: seconds of the whole process, MiB at the peak, and what it said of itself; or why it did not end."""

    whole: float
    peak: float = 0.0
    told: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None


def environment(name: str, folder: Path) -> Path:
    """The interpreter of the environment of ``NAME.txt``, which is made in ``folder`` if it is not there.

    Made by uv where there is one, else by venv and pip; byte code is compiled, as pip does. Raises RuntimeError, with
    the last words of the installer, where the packages cannot be had.
    """
    wanted = HERE / f"{name}.txt"
    home = folder / f"{name}-{hashlib.sha256(wanted.read_bytes()).hexdigest()[:12]}"
    python = home / "bin" / "python"
    if (home / "made").exists():
        return python
    shutil.rmtree(home, ignore_errors=True)
    print(f"making an environment for {name}", file=sys.stderr, flush=True)
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv:
        _said([uv, "venv", "--no-config", "--quiet", "--python", sys.executable, str(home)])
        _said(
            [
                uv,
                "pip",
                "install",
                "--no-config",
                "--quiet",
                "--compile-bytecode",
                "--python",
                str(python),
                "-r",
                str(wanted),
            ]
        )
    else:
        _said([sys.executable, "-m", "venv", str(home)])
        _said([str(python), "-m", "pip", "install", "--quiet", "-r", str(wanted)])
    (home / "made").touch()
    return python


def _said(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout).strip()[-500:])


def run(command: Sequence[str], folder: Path, limit: float) -> Ran:
    """Run it to its end in ``folder``; the last line that it prints may be JSON.

    It is stopped after ``limit`` seconds, and where it and all below it hold more than ``MOST`` of all memory.
    """
    most = MOST * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
    with tempfile.TemporaryFile("w+") as errors, tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, stdout=output, stderr=errors, env={**os.environ, **QUIET}, start_new_session=True
        )
        ended, peaks = threading.Event(), [0.0]
        watcher = threading.Thread(target=_watch, args=(process.pid, ended, peaks, most))
        watcher.start()
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return Ran(limit, peaks[0], problem=f"stopped after {limit:,g} s, at {peaks[0] / 1024:.1f} GiB")
        finally:
            whole = time.perf_counter() - started
            ended.set()
            watcher.join()
        if peaks[0] > most:
            return Ran(whole, peaks[0], problem=f"stopped at {peaks[0] / 1024:.1f} GiB, after {whole:,.0f} s")
        output.seek(0)
        errors.seek(0)
        last = (output.read().strip().splitlines() or [""])[-1]
        if code:
            said = [line.strip() for line in errors.read().splitlines() if line.strip()]
            return Ran(whole, problem=(said or [f"exit code {code}"])[-1][:300])
    told = json.loads(last) if last.startswith("{") else {}
    return Ran(whole, max(peaks[0], told.get("peak", 0.0)), told)


def _watch(process: int, ended: threading.Event, peaks: list[float], most: float) -> None:
    """The most MiB that a process and all below it held at once, looked at ten times a second; too much ends them."""
    while not ended.wait(0.1):
        peaks[0] = max(peaks[0], sum(map(_resident, _family(process))) / 2**20)
        if peaks[0] > most:
            with suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)
            return


def _family(process: int) -> list[int]:
    try:
        below = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return [process]
    return [process, *(one for child in below for one in _family(int(child)))]


def _resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0
