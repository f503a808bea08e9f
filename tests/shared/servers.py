"""What fixtures that start a server of MLflow share."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def globally(uri: str) -> Iterator[None]:
    """``log_model`` has no client of its own: it uses the process's."""
    import mlflow

    unset: Any = None
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(unset)


def free_port() -> int:
    """A port of this machine below the range that the system gives to outgoing connections."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path, seconds: float = 180.0) -> None:
    """Until it answers; RuntimeError with the end of its log where it does not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"mlflow server did not start:\n{log.read_text(errors='replace')[-4000:]}")


def end_group(server: subprocess.Popen[bytes]) -> None:
    """First a polite word to all, so that the workers end too; then the same as an order, to whoever is left."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(10)
