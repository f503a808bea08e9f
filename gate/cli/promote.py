"""``gate promote``."""

from __future__ import annotations

from pathlib import Path

import click

from gate.cli import options

_FILE = click.Path(path_type=Path)


@click.command("promote")
@click.argument("decision", metavar="FILE", type=_FILE)
@click.option("--key", "keys", metavar="PUB", multiple=True, type=_FILE, help="Public key that counts. Repeatable.")
@click.option("--policy", metavar="FILE", type=_FILE, help="It must have been judged by this policy as it is now.")
@click.option("--env", "environment", metavar="NAME", help="It must have been judged for this environment.")
@options.registry
@click.option("--override", is_flag=True, help="BREAK THE GLASS: promote against the verdict. Recorded for ever.")
@click.option("--reason", metavar="TEXT", help="Why the verdict is overridden.")
@click.option("--ticket", metavar="ID", help="Where that was talked about.")
@click.option("--sign-with", metavar="KEY", type=_FILE, help="Private key of whoever overrides it.")
@options.loudness
def command(
    decision: Path,
    keys: tuple[Path, ...],
    policy: Path | None,
    environment: str | None,
    registry_uri: str | None,
    tracking_uri: str | None,
    override: bool,
    reason: str | None,
    ticket: str | None,
    sign_with: Path | None,
    quiet: bool,
    verbose: bool,
) -> int:
    """Move the policy's alias to the candidate of the decision in FILE, if it allows that.

    FILE is what `gate check --report json=FILE` or, with --key, what `gate sign` wrote. The registry must still be as
    it was judged: the alias on the incumbent, and the files of both versions unchanged. What is done is recorded in the
    registry before and after; `gate audit` shows it. Killed anywhere, it goes on when it is run again; run twice, the
    second time nothing happens. Of several at once one wins, and the others exit 13.

    --override promotes a version that the gate did not allow, on a person's word; it needs --reason, --ticket and
    --sign-with. Only the verdict is overridden: a decision that is stale stays stale.

    \b
    gate promote decision.dsse.json --key keys/ci.pub
    """
    from gate.cli.output import remarking, watching
    from gate.stories.promote import promote

    with watching(quiet) as progress:
        done = promote(
            decision,
            registry_uri=registry_uri,
            tracking_uri=tracking_uri,
            keys=keys,
            policy=policy,
            environment=environment,
            override=override,
            reason=reason,
            ticket=ticket,
            sign_with=sign_with,
            progress=progress,
            remark=remarking(quiet),
        )
    if done.already:
        click.echo(f"nothing to do: models:/{done.model}@{done.alias} is version {done.version} already")
        return 0
    click.echo(f"models:/{done.model}@{done.alias} is version {done.version} now")
    if done.previous_alias is not None:
        click.echo(f"models:/{done.model}@{done.previous_alias} is version {done.previous}, to go back to")
    return 0
