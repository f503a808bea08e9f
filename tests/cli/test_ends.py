"""However a command is ended, only an exit code that it told itself counts, and nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SLEEPS = """
    import sys, tempfile, time
    import click
    from gate.cli import app

    @click.command()
    def command():
        with tempfile.TemporaryDirectory(prefix="gate-"):
            print("ready", flush=True)
            time.sleep(60)

    app.gate = command
    sys.argv = ["gate", *sys.argv[1:]]
    import gate.cli
    gate.cli.main()
"""
ENDS = """
    import os, signal, sys, tempfile
    from gate.cli import app

    def run(arguments=None):
        tempfile.mkdtemp(prefix="gate-")
        return {how}

    app.run = run
    import gate.cli
    gate.cli.main()
"""


def program(text: str, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", textwrap.dedent(text), *arguments]
    environment = {**os.environ, "TMPDIR": str(folder)}
    return subprocess.Popen(
        words,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )


@pytest.mark.parametrize("options", [[], ["--in-process"]])
@pytest.mark.parametrize(
    ("number", "code", "says"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_a_signal_ends_a_command_tidily(
    tmp_path: Path, options: list[str], number: signal.Signals, code: int, says: str
) -> None:
    text = SLEEPS.replace("@click.command()", "@click.command(context_settings={'ignore_unknown_options': True})")
    text = text.replace("def command():", "def command(rest):").replace(
        "    def command", "    @click.argument('rest', nargs=-1)\n    def command"
    )
    running = program(text, tmp_path, *options)
    assert running.stdout is not None and running.stdout.readline() == "ready\n"
    if options and number is signal.SIGINT:  # of the terminal, to all of its processes
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
        if not children.exists():
            pytest.skip("the system does not tell a process's children")
        for child in children.read_text().split():
            os.kill(int(child), number)
    running.send_signal(number)
    _, said = running.communicate(timeout=60)
    assert (running.returncode, said.strip()) == (code, says)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("how", "code", "says"),
    [
        ("0", 0, ""),
        ("10", 10, ""),
        ("os._exit(0)", 12, "(exit code 0)"),
        ("os._exit(10)", 12, "(exit code 10)"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 12, "(SIGKILL)"),
    ],
)
def test_whatever_a_model_does_in_the_gates_process_only_a_code_that_was_told_counts(
    tmp_path: Path, how: str, code: int, says: str
) -> None:
    running = program(ENDS.replace("{how}", how), tmp_path, "check", "--in-process")
    _, said = running.communicate(timeout=60)
    assert running.returncode == code
    assert says in said and bool(said) == bool(says)
    assert not list(tmp_path.iterdir()) or code in (0, 10)


def test_a_second_word_to_end_is_not_waited_for(tmp_path: Path) -> None:
    text = SLEEPS.replace('print("ready", flush=True)', "sleep_twice()").replace(
        "    @click.command()",
        """    def sleep_twice():
        try:
            print("ready", flush=True)
            time.sleep(60)
        finally:
            print("tidying up", flush=True)
            time.sleep(60)

    @click.command()""",
    )
    running = program(text, tmp_path)
    for said in ("ready\n", "tidying up\n"):
        assert running.stdout is not None and running.stdout.readline() == said
        running.send_signal(signal.SIGTERM)
    running.communicate(timeout=20)
    assert running.returncode == -signal.SIGTERM


def test_whoever_a_model_leaves_behind_is_not_waited_for(tmp_path: Path) -> None:
    left = "(os.fork() or (os.close(1), os.close(2), __import__('time').sleep(20))) and os._exit(0)"
    running = program(ENDS.replace("{how}", left), tmp_path, "check", "--in-process")
    running.communicate(timeout=15)
    assert running.returncode == 12
