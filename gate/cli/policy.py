"""``gate policy``."""

from __future__ import annotations

from pathlib import Path

import click

from gate.cli import options

_FILE = click.Path(path_type=Path)
_label = click.option("--label", metavar="COL", help="Its column with the right answer [default: holdout.label].")
_id = click.option("--id", "id", metavar="COL", help="Its column that names the rows [default: holdout.id].")


@click.group("policy", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Write, check, explain and test policy files."""


@command.command("init")
@click.option("--data", metavar="FILE", required=True, help="Held-out set: Parquet, CSV, Feather, JSON Lines.")
@click.option("--label", metavar="COL", required=True, help="Column with the right answer.")
@click.option("--id", "id", metavar="COL", help="Column that names the rows [default: the row number].")
@click.option("--name", metavar="NAME", help="Name of the policy [default: that of the data's file].")
@click.option("--output", metavar="FILE", type=_FILE, help="File to write; must not exist [default: stdout].")
@options.loudness
def init_command(
    data: str, label: str, id: str | None, name: str | None, output: Path | None, quiet: bool, verbose: bool
) -> int:
    """Write a first policy for a held-out set, with limits that its size can decide.

    Every choice is explained in a comment. Never overwrites a file.

    \b
    gate policy init --data holdout.parquet --label y --output policy.yaml
    """
    from gate.errors import UsageError
    from gate.stories.draft import draft

    taken = UsageError("exists already", where=str(output), hint="nothing is overwritten: name another file")
    if output is not None and output.exists():
        raise taken
    text = draft(data, label=label, id=id, name=name)
    if output is None:
        click.echo(text, nl=False)
        return 0
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise taken from None
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", where=str(output)) from None
    if not quiet:
        click.echo(f"wrote {output}; `gate policy explain {output}` says what it demands", err=True)
    return 0


@command.command("validate")
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option("--data", metavar="FILE", help="Held-out set: warn of rules that it can never decide.")
@_label
@_id
@click.option("--env", "environment", metavar="NAME", help="With --data: the environment of the policy.")
@options.loudness
def validate_command(
    files: tuple[Path, ...],
    data: str | None,
    label: str | None,
    id: str | None,
    environment: str | None,
    quiet: bool,
    verbose: bool,
) -> int:
    """Check policy files: every mistake, with file, line and column.

    Reads the contract that a policy names, too. Exits 0 only if all files are sound; a warning changes nothing.
    """
    from gate.errors import Problem, UsageError
    from gate.stories.validate import undecidable, validate

    if data is None and (stray := next((o for o, v in zip(_DATA, (label, id, environment), strict=True) if v), None)):
        raise UsageError(f"{stray} goes with --data", where="gate policy validate")
    problems: list[Problem] = []
    for file in files:
        try:
            policy = validate(file)
            doubts = [] if data is None else undecidable(file, data, environment=environment, label=label, id=id)
        except UsageError as error:
            problems.extend(error.problems)
            continue
        if quiet:
            continue
        rules = len(policy.rules)
        click.echo(f"{file}: sound, {rules} rule{'' if rules == 1 else 's'}")
        for doubt in doubts:
            click.echo(f"{doubt.level}: {doubt}", err=True)
    if problems:
        raise UsageError(problems=problems)
    return 0


_DATA = ("--label", "--id", "--env")


@command.command("explain")
@click.argument("file", type=_FILE)
@click.argument("rule", required=False)
@click.option("--env", "environment", metavar="NAME", help="The environment of the policy.")
@options.loudness
def explain_command(file: Path, rule: str | None, environment: str | None, quiet: bool, verbose: bool) -> int:
    """Say in plain words what a policy demands, or one RULE of it, and how many rows that takes."""
    from gate.stories.explain import explain, lines

    click.echo("\n".join(lines(explain(file, rule, environment=environment))))
    return 0


@command.command("test")
@click.argument("fixtures", nargs=-1, required=True, type=_FILE)
@options.loudness
def test_command(fixtures: tuple[Path, ...], quiet: bool, verbose: bool) -> int:
    """Judge fixture predictions, and compare the verdicts with those expected.

    FIXTURES are YAML files, or folders of them: a policy, predictions (a file, or rows), and what to expect. Exits 0
    only if all are as expected, 10 if not.
    """
    from gate.errors import ExitCode
    from gate.stories.rehearse import rehearse

    total = surprised = 0
    for case in rehearse(fixtures):
        total += 1
        if case.as_expected:
            if not quiet and case.verdict is not None:
                click.echo(f"ok    {case.name}: {case.verdict.value}")
            continue
        surprised += 1
        click.echo(f"FAIL  {case.name}: {'; '.join(case.surprises)}")
    if not quiet:
        click.echo(f"{total} case{'' if total == 1 else 's'}, {surprised or 'none'} not as expected")
    return int(ExitCode.REFUSED) if surprised else 0


@command.command("schema")
@options.loudness
def schema_command(quiet: bool, verbose: bool) -> int:
    """Print the JSON Schema of policy files, for editors and other tools."""
    from gate.policy.schema import json_schema, schema_text

    click.echo(schema_text(json_schema()), nl=False)
    return 0
