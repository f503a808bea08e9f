"""``gate rollback``."""

from __future__ import annotations

from pathlib import Path

import click

from gate.cli import options


@click.command("rollback")
@click.argument("model", metavar="NAME")
@click.option("--alias", metavar="ALIAS", default="champion", show_default=True, help="The alias to take back.")
@click.option("--reason", metavar="TEXT", help="Why, for the record.")
@click.option("--ticket", metavar="ID", help="Where that is talked about, for the record.")
@click.option(
    "--sign-with", metavar="KEY", type=click.Path(path_type=Path), help="Private key of whoever takes it back."
)
@click.option("--env", "environment", metavar="NAME", help="The environment [default: of the last signed decision].")
@options.registry
@options.loudness
def command(
    model: str,
    alias: str,
    reason: str | None,
    ticket: str | None,
    sign_with: Path | None,
    environment: str | None,
    registry_uri: str | None,
    tracking_uri: str | None,
    quiet: bool,
    verbose: bool,
) -> int:
    """Put the version back that an alias of the model NAME was before its last recorded move.

    Its files must be those that were judged; no verdict is needed. One move is taken back, and no more: after that, to
    go forward or further back is a promotion. Where somebody moved the alias past the gate, nothing is done (exit 13).
    Killed anywhere, it goes on when it is run again.

    \b
    gate rollback fraud --reason "wrong answers for new customers" --ticket INC-7
    """
    from gate.cli.output import remarking, watching
    from gate.stories.rollback import rollback

    with watching(quiet) as progress:
        done = rollback(
            model,
            alias=alias,
            registry_uri=registry_uri,
            tracking_uri=tracking_uri,
            environment=environment,
            reason=reason,
            ticket=ticket,
            sign_with=sign_with,
            progress=progress,
            remark=remarking(quiet),
        )
    left = "no version" if done.left is None else f"version {done.left}"
    click.echo(f"models:/{done.model}@{done.alias} is version {done.version} again; it was {left}")
    return 0
