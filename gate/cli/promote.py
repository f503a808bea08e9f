"""``gate promote``."""

from __future__ import annotations

from pathlib import Path

import click

from gate.cli import options


@click.command("promote")
@click.argument("decision", type=click.Path(path_type=Path))
@options.registry
@options.loudness
def command(decision: Path, registry_uri: str | None, tracking_uri: str | None, quiet: bool, verbose: bool) -> int:
    """Move the policy's alias to the candidate of DECISION, if it allows that.

    DECISION is what `gate check --report json=FILE` wrote. The registry must still be as it was judged: the alias on
    the incumbent, and the files of both versions unchanged. Run twice, the second time nothing happens.
    """
    from gate.cli.output import watching
    from gate.stories.promote import promote

    with watching(quiet) as progress:
        done = promote(decision, registry_uri=registry_uri, tracking_uri=tracking_uri, progress=progress)
    if done.already:
        click.echo(f"nothing to do: models:/{done.model}@{done.alias} is version {done.version} already")
        return 0
    click.echo(f"models:/{done.model}@{done.alias} is version {done.version} now")
    if done.previous_alias is not None:
        click.echo(f"models:/{done.model}@{done.previous_alias} is version {done.previous}, to go back to")
    return 0
