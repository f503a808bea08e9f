"""A command that runs models in its own process, seen by another one: only the exit code that it tells counts.

A model can end the process it is in, with any exit code, past everything that Python would do. So the command runs in a
child that tells its exit code at the very end, and whoever ends before that has failed.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import click

from gate.errors import ExitCode

FLAG = "--in-process"


def overseen(run: Callable[[], int], leave: Callable[[int], NoReturn]) -> int:
    """The exit code of ``run``, in a child that ends by ``leave``; that of missing evidence where it told none."""
    ours, theirs = os.pipe()
    folder = tempfile.mkdtemp(prefix="gate-")
    child = os.fork()
    if not child:
        os.close(ours)
        os.environ["TMPDIR"] = tempfile.tempdir = folder  # where whoever ends it leaves nothing behind
        code = run()
        os.write(theirs, bytes([code]))
        leave(code)
    os.close(theirs)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever is at the terminal reaches the child too
    signal.signal(signal.SIGTERM, lambda number, _: os.kill(child, number))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    shutil.rmtree(folder, ignore_errors=True)
    os.set_blocking(ours, False)  # whoever a model left behind may hold the other end
    told = b""
    with suppress(BlockingIOError):
        told = os.read(ours, 1)
    if told and code >= 0:
        return code or told[0]  # 0 only where both are
    how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
    click.secho("Error: ", fg="red", nl=False, err=True)
    click.echo(
        f"{FLAG}: the gate's process ended before its end ({how}): a model left, crashed, or took all memory\n"
        "  -> without the flag a model ends only itself, and the error names it",
        err=True,
    )
    sys.stderr.flush()
    return int(ExitCode.EVIDENCE)
