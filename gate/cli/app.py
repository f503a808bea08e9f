"""The group of commands, loaded one at a time, and the one place where errors become exit codes."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

import click

from gate.errors import ExitCode, GateError, did_you_mean

# Written out, not asked of the commands: `gate --help` must not import them.
COMMANDS = {
    "check": ("gate.cli.check", "Judge a candidate of an MLflow registry against its incumbent."),
    "compare": ("gate.cli.compare", "Judge predictions of two models, without a registry."),
    "sign": ("gate.cli.sign", "Sign a decision, for a registry that enforces verdicts."),
    "verify": ("gate.cli.verify", "Is a signed decision genuine, and what does it say?"),
    "promote": ("gate.cli.promote", "Move the alias to a candidate that was allowed."),
    "rollback": ("gate.cli.rollback", "Put the version back that the alias was before."),
    "audit": ("gate.cli.audit", "What moved an alias, and was there a decision?"),
    "report": ("gate.cli.report", "Render the reports of a decision again."),
    "show": ("gate.cli.show", "Page through the rows that flipped."),
    "policy": ("gate.cli.policy", "Write, check, explain and test policy files."),
    "plan": ("gate.cli.plan", "How many rows does it take to decide?"),
    "keys": ("gate.cli.keys", "Make keys to sign decisions with."),
    "demo": ("gate.cli.demo", "See the gate at work on models trained before your eyes."),
}

EPILOG = (
    "Exit codes: 0 allow, 2 usage, 10 refused, 11 inconclusive, 12 evidence missing or not to be trusted, 13 conflict,"
    " 70 internal error. Only 0 allows."
)


class Commands(click.Group):
    """A group whose commands are imported when they are run, or when their own help is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            ctx.fail(f"no such command {args[0]!r}{did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, told) for name, (_, told) in COMMANDS.items()])


def _version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"gate {version('model-update-gate')}")
        ctx.exit()


@click.group(cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def gate() -> None:
    """A regression gate for model updates: it counts what an update breaks, and promotes only with evidence."""


class Terminated(KeyboardInterrupt):
    """Somebody wants this process to end; it tidies up first, as where somebody is at the terminal."""


def tidy_when_terminated() -> None:
    """Let SIGTERM end the command as Ctrl-C does: processes and temporary folders go with it."""

    def handler(number: int, _: Any) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends it at once
        raise Terminated

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, handler)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; nothing but 0 allows, whatever happens."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = gate.main(args=given, prog_name="gate", standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show(sys.stderr)
        return int(ExitCode.USAGE)
    except GateError as error:
        click.secho("Error: ", fg="red", nl=False, err=True)
        click.echo(str(error), err=True)
        return int(error.exit_code)
    except (KeyboardInterrupt, click.Abort) as error:
        terminated = isinstance(error, Terminated) or isinstance(error.__cause__, Terminated)  # click makes an Abort
        click.echo("terminated" if terminated else "interrupted", err=True)
        return int(ExitCode.TERMINATED if terminated else ExitCode.INTERRUPTED)
    except (BrokenPipeError, SystemExit):
        # Whoever read our output has gone (click makes a SystemExit of that), or some library wanted to leave with a
        # code of its own: the result was not heard, so it does not count.
        _hang_up()
        return int(ExitCode.INTERNAL)
    except Exception as error:  # the last resort: an uncaught error must not look like a verdict
        if "-v" in given or "--verbose" in given:
            import traceback

            traceback.print_exc()
        click.echo(
            f"Internal error: {type(error).__name__}: {error}\n"
            "  -> nothing was decided; run again with -v to see where",
            err=True,
        )
        _hang_up()
        return int(ExitCode.INTERNAL)


def leave(code: int) -> NoReturn:
    """End the process with an exit code, after all that is registered for its end.

    Without what Python does then: to take thousands of modules apart, one by one, takes it a second.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # ends pools and waits for threads, as Python does
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # closed, gone, or never there
            code = code or int(ExitCode.INTERNAL)
    os._exit(code)


def _hang_up() -> None:
    """What is left to be written goes nowhere: at its exit Python would try again, fail, and exit with its own code."""
    with suppress(OSError, ValueError):  # there may be no such file any more, or never was one
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
