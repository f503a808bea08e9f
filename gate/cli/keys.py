"""``gate keys``."""

from __future__ import annotations

import click

from gate.cli import options


@click.group("keys", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Make keys to sign decisions with."""


@command.command("new")
@click.argument("name", type=click.Path())  # as it is typed: an empty path would be the folder
@options.loudness
def new_command(name: str, quiet: bool, verbose: bool) -> int:
    """Make a key pair: NAME signs, NAME.pub verifies.

    NAME is the private key: keep it secret, and where no model runs. NAME.pub is the public one: give it to servers
    and people. Both are Ed25519 in PEM, which other tools read too. Never overwrites a file.

    \b
    gate keys new keys/ci
    """
    from gate.decisions.keys import new_keys, read_public

    private, public = new_keys(name)
    if not quiet:
        click.echo(f"wrote {private}, which signs: keep it secret, and where no model runs")
        click.echo(f"wrote {public}, which verifies: give it to servers and people")
        click.echo(f"the key's id is {read_public(public).keyid}")
    return 0
