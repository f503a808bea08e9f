"""``gate show``."""

from __future__ import annotations

from pathlib import Path

import click

from gate.cli import options


@click.command("show")
@click.argument("decision", type=click.Path(path_type=Path))
@click.option(
    "--samples",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The flipped rows [default: samples.jsonl beside the decision].",
)
@click.option("--kind", type=click.Choice(["negative", "positive"]), default="negative", show_default=True)
@click.option("--label", metavar="LABEL", help="Only rows with this label.")
@options.loudness
def command(decision: Path, samples: Path | None, kind: str, label: str | None, quiet: bool, verbose: bool) -> int:
    """Page through the flipped rows of DECISION.

    \b
    gate check ... --report json=decision.json --report samples=samples.jsonl
    gate show decision.json --label fraud

    Exits 0 whatever the verdict is.
    """
    from gate.decisions.canonical import read_decision
    from gate.decisions.samples import read_samples
    from gate.report.rows import lines

    judged = read_decision(decision)
    rows = read_samples(samples or decision.parent / "samples.jsonl", judged)
    click.echo_via_pager(lines(judged, rows, kind=kind, label=label))
    return 0
