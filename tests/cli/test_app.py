"""The command as a whole: light, helpful about names, and with an exit code for whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

import gate.cli.app
from gate.errors import ConflictError

HEAVY = {"numpy", "torch", "mlflow", "pyarrow", "pandas", "scipy", "pydantic", "great_expectations", "rich"}


def python(code: str, *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120, **more)


def gate_process(*arguments: object, **more: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "gate", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=120, check=False, **more)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["check", "--help"], ["compare", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = "import sys; from gate.cli.app import run; code = run(sys.argv[1:]); print(*sys.modules); sys.exit(code)"
    done = python(code, *arguments)
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}

    assert done.returncode == 0
    assert not loaded & HEAVY


def test_importing_the_package_imports_nothing_heavy() -> None:
    done = python("import sys, gate; print(*sys.modules); sys.exit(0 if 'check' in dir(gate) or gate.__all__ else 1)")

    assert not {name.partition(".")[0] for name in done.stdout.split()} & {*HEAVY, "click"}


def test_help_lists_every_command_and_the_exit_codes(cli: Callable[..., Any]) -> None:
    done = cli("--help")
    shown = " ".join(done.out.decode().split())

    assert done.code == 0
    for name, (_, told) in gate.cli.app.COMMANDS.items():
        assert f"{name} {told}" in shown
    assert "0 allow, 2 usage, 10 refused, 11 inconclusive" in shown


@pytest.mark.parametrize("name", gate.cli.app.COMMANDS)
def test_every_command_has_help(name: str, cli: Callable[..., Any]) -> None:
    done = cli(name, "--help")

    assert done.code == 0
    assert f"Usage: gate {name}".encode() in done.out


def test_an_unknown_command_names_the_nearest(cli: Callable[..., Any]) -> None:
    done = cli("chekc")

    assert done.code == 2
    assert done.out == b""
    assert "no such command 'chekc'; did you mean 'check'?" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["check"],
        ["compare", "p.csv"],
        ["promote"],
        ["compare", "--polcy", "p"],
        ["check", "--timeout", "0"],
        ["policy"],
    ],
)
def test_wrong_options_exit_with_2_and_say_nothing_on_stdout(arguments: list[str], cli: Callable[..., Any]) -> None:
    done = cli(*arguments)

    assert done.code == 2
    assert done.out == b""
    assert done.err


def _raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """A command ``break`` that ends as told."""

    @click.command("break")
    @click.option("-v", "--verbose", is_flag=True)
    def command(verbose: bool) -> None:
        raise error

    module: Any = ModuleType("a_command_that_breaks")
    module.command = command
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(gate.cli.app.COMMANDS, "break", ("a_command_that_breaks", "Breaks."))


@pytest.mark.fault(
    44,
    given="something happens that nobody foresaw",
    then="says that nothing was decided",
    exit_code=70,
)
def test_an_uncaught_exception_is_an_internal_error(cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    _raising(monkeypatch, ZeroDivisionError("division by zero"))
    done = cli("break")

    assert done.code == 70
    assert done.out == b""
    assert done.err == (
        "Internal error: ZeroDivisionError: division by zero\n"
        "  -> nothing was decided; run again with -v to see where\n"
    )


def test_verbose_shows_where_an_internal_error_came_from(
    cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _raising(monkeypatch, ZeroDivisionError("division by zero"))
    done = cli("break", "-v")

    assert done.code == 70
    assert "Traceback" in done.err and "test_app.py" in done.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (RecursionError(), 70),
        (MemoryError(), 70),
        (SystemExit(0), 70),
        (ConflictError("the alias moved", where="models:/pets@champion"), 13),
        (click.exceptions.Exit(2), 2),
    ],
)
def test_whatever_happens_has_its_code(
    error: BaseException, code: int, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _raising(monkeypatch, error)

    assert cli("break").code == code


def test_python_m_gate_exits_as_the_command_does(tmp_path: Path) -> None:
    done = gate_process("compare", tmp_path / "absent.csv", "--policy", tmp_path / "absent.yaml")

    assert done.returncode == 2
    assert done.stdout == b""
    assert b"absent.yaml" in done.stderr


def test_a_real_process_prints_the_verdict_and_exits_with_its_code(
    predictions: Path, policy: Callable[[str], Path]
) -> None:
    arguments = [predictions, "--incumbent", "old", "--candidate", "new", "--policy"]
    allowed = gate_process("compare", *arguments, policy("5%"))
    refused = gate_process("compare", *arguments, policy("0.01%"), "-q")

    assert (allowed.returncode, allowed.stdout[:8], allowed.stderr) == (0, b"ALLOWED\n", b"")
    assert (refused.returncode, refused.stdout[:8], refused.stderr) == (10, b"REFUSED\n", b"")


def test_a_result_that_nobody_hears_does_not_count(predictions: Path, policy: Callable[[str], Path]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "gate", "compare", predictions, "--incumbent", "old", "--candidate", "new"]
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(
            [*map(str, command), "--policy", str(policy("5%"))], stdout=closed, stderr=subprocess.PIPE, timeout=120
        )

    assert done.returncode == 70
    assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr


def test_leaving_runs_what_is_registered_for_the_end_and_flushes(tmp_path: Path) -> None:
    program = (
        "import atexit, sys, threading, time\n"
        "from gate.cli.app import leave\n"
        "atexit.register(lambda: print('registered'))\n"
        "threading.Thread(target=lambda: (time.sleep(0.2), print('thread'))).start()\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "pool = ThreadPoolExecutor(2)\n"
        "pool.submit(int).result()\n"  # its threads wait for more until they are told to end
        "sys.stdout.write('result\\n')\n"
        "leave(11)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (11, "result\nthread\nregistered\n")


def test_an_answer_that_nobody_heard_is_no_allow() -> None:
    program = "import sys\nfrom gate.cli.app import leave\nsys.stdout.write('ALLOWED')\nleave(0)\n"
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-E", "-c", program], stdout=full, stderr=subprocess.DEVNULL, check=False
        )
    assert done.returncode == 70
