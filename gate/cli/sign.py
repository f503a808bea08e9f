"""``gate sign``."""

from __future__ import annotations

from pathlib import Path

import click

from gate.cli import options

_FILE = click.Path(path_type=Path)


@click.command("sign")
@click.argument("decision", type=_FILE)
@click.option("--key", metavar="KEY", required=True, type=_FILE, help="Private key, as gate keys new makes one.")
@click.option("--output", metavar="FILE", required=True, type=_FILE, help="Envelope to write; replaced if it exists.")
@click.option("--max-age", metavar="AGE", help="How long after the verdict it is good: 7d, 12h, 30m [default: 7d].")
@click.option("--run-id", metavar="ID", help="The MLflow run with the evidence, as gate check names it.")
@click.option(
    "--predicate",
    type=click.Choice(["decision", "test-result"]),
    default="decision",
    show_default=True,
    help="What moves an alias, or an in-toto test-result for other tools.",
)
@options.loudness
def command(
    decision: Path,
    key: Path,
    output: Path,
    max_age: str | None,
    run_id: str | None,
    predicate: str,
    quiet: bool,
    verbose: bool,
) -> int:
    """Sign DECISION, so that a registry that enforces verdicts takes it.

    DECISION is what `gate check --report json=FILE` wrote. Any verdict can be signed; signing does not change it. What
    comes out is good for one model, alias, environment and pair of versions, and until it expires. No model runs here
    and no registry is asked: sign where the key is, judge where it is not.

    \b
    gate sign decision.json --key keys/ci --output decision.dsse.json
    """
    from gate.decisions.times import age
    from gate.errors import UsageError
    from gate.report.words import printable
    from gate.stories.sign import MAX_AGE, sign, sign_test_result

    if predicate == "test-result":
        if stray := next((name for name, given in (("--max-age", max_age), ("--run-id", run_id)) if given), None):
            raise UsageError(
                "a test-result has no place for it", where=stray, hint="leave it out, or sign the decision itself"
            )
        signed = sign_test_result(decision, key=key, output=output)
    else:
        good_for = MAX_AGE if max_age is None else age(max_age)
        signed = sign(decision, key=key, output=output, max_age=good_for, run_id=run_id)
    if quiet:
        return 0
    if signed.statement is not None:
        click.echo(printable(signed.statement.summary))
        click.echo(f"signed with {key} ({signed.key.keyid[:16]}), good until {signed.statement.expires_at}")
    else:
        click.echo(f"signed as a test-result with {key} ({signed.key.keyid[:16]}); it moves no alias")
    click.echo(f"wrote {output}")
    return 0
