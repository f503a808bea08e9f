"""``gate report``."""

from __future__ import annotations

from pathlib import Path

import click

from gate.cli import options


@click.command("report")
@click.argument("decision", type=click.Path(path_type=Path))
@click.option(
    "--samples",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The flipped rows, as --report samples=FILE wrote them; without them no row is shown.",
)
@options.result
@options.loudness
def command(
    decision: Path, samples: Path | None, form: str, reports: tuple[str, ...], quiet: bool, verbose: bool
) -> int:
    """Render the reports of DECISION again, from the decision alone.

    \b
    gate report decision.json --samples samples.jsonl --report html=verdict.html

    Exits 0 whatever the verdict is: it shows one, it makes none.
    """
    from gate.cli.output import rendered, wanted
    from gate.decisions.canonical import read_decision
    from gate.decisions.samples import read_samples

    files = wanted(reports)
    judged = read_decision(decision)
    rows = read_samples(samples, judged) if samples is not None else ()
    rendered(judged, rows, form, files)
    return 0
