"""``gate policy``."""

from __future__ import annotations

from pathlib import Path

import click

from gate.cli import options


@click.group("policy", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Check a policy file."""


@command.command("validate")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.loudness
def validate_command(files: tuple[Path, ...], quiet: bool, verbose: bool) -> int:
    """Check policy files: every mistake, with file, line and column.

    Reads the contract that a policy names, too. Exits 0 only if all files are sound.
    """
    from gate.errors import Problem, UsageError
    from gate.stories.validate import validate

    problems: list[Problem] = []
    for file in files:
        try:
            policy = validate(file)
        except UsageError as error:
            problems.extend(error.problems)
            continue
        if not quiet:
            rules = len(policy.rules)
            click.echo(f"{file}: sound, {rules} rule{'' if rules == 1 else 's'}")
    if problems:
        raise UsageError(problems=problems)
    return 0
