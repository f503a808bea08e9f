"""``gate compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gate.cli import options


@click.command("compare")
@click.argument("predictions", nargs=-1)
@click.option("--label", metavar="COL", help="Column with the right answer [default: the policy's holdout.label].")
@click.option("--incumbent", metavar="COL", help="Column with the incumbent's answers.")
@click.option("--candidate", metavar="COL", help="Column with the candidate's answers.")
@click.option(
    "--id", "id", metavar="COL", help="Column that names the rows [default: holdout.id, else the row number]."
)
@click.option("--incumbent-predictions", metavar="FILE", help="Two files instead of one: the incumbent's,")
@click.option("--candidate-predictions", metavar="FILE", help="and the candidate's, joined by --id.")
@click.option("--prediction", metavar="COL", help="With two files: the column with the answers.")
@click.option("--policy", metavar="FILE", required=True, type=click.Path(path_type=Path), help="Policy file.")
@options.result
@options.judging
@options.loudness
def command(form: str, reports: tuple[str, ...], quiet: bool, **asked: Any) -> int:
    """Judge an update by predictions that are already there.

    PREDICTIONS is a file (Parquet, CSV, Feather, JSON Lines) or URI with the label and both models' answers.

    \b
    gate compare predictions.parquet --label label --incumbent old \\
        --candidate new --policy policies/balanced.yaml
    """
    from gate.cli.output import show, wanted, watching
    from gate.errors import UsageError
    from gate.stories.compare import compare

    predictions = asked.pop("predictions")
    if len(predictions) > 1:
        raise UsageError(
            f"{len(predictions)} files of predictions",
            where="gate compare",
            hint="for one file each: --incumbent-predictions FILE --candidate-predictions FILE --prediction COL",
        )

    asked.pop("verbose")
    files = wanted(reports)
    with watching(quiet) as progress:
        judged = compare(*predictions, rows_per_batch=asked.pop("batch_rows"), progress=progress, **asked)
    return show(judged, form, files, quiet)
