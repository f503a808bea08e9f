"""``gate check``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gate.cli import options


@click.command("check")
@click.option("--model", metavar="NAME", help="Registered model; needed unless both references are full URIs.")
@click.option("--candidate", metavar="REF", required=True, help="7, @alias, latest, or models:/..., runs:/... URI.")
@click.option("--incumbent", metavar="REF", required=True, help="The version in use, named likewise.")
@click.option(
    "--data", metavar="FILE", required=True, help="Held-out set: Parquet, CSV, Feather, JSON Lines; or a URI."
)
@click.option("--policy", metavar="FILE", required=True, type=click.Path(path_type=Path), help="Policy file.")
@click.option("--label", metavar="COL", help="Column with the right answer [default: the policy's holdout.label].")
@click.option(
    "--id", "id", metavar="COL", help="Column that names the rows [default: holdout.id, else the row number]."
)
@options.registry
@click.option("--no-log", is_flag=True, help="Log no MLflow run.")
@click.option("--experiment", default="gate", show_default=True, help="MLflow experiment that the run is logged to.")
@click.option("--tag", is_flag=True, help="Note the verdict in the description and tags of the candidate's version.")
@options.result
@options.judging
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=600.0,
    show_default=True,
    help="Seconds that a model may take to load, and for each batch.",
)
@click.option("--in-process", is_flag=True, help="TRUST both models: run them in the gate's own process, to debug.")
@options.loudness
def command(form: str, reports: tuple[str, ...], quiet: bool, **asked: Any) -> int:
    """Judge whether the candidate may replace the incumbent.

    Runs both on the held-out set, each in a process of its own, counts what the update breaks, and holds it against the
    policy. Exits 0 only if the policy is met with evidence. Never moves an alias: that is `gate promote`.

    \b
    gate check --model fraud --candidate 7 --incumbent @champion \\
        --data holdout.parquet --label y \\
        --policy policies/balanced.yaml --report json=decision.json
    """
    from gate.cli.output import show, wanted, watching
    from gate.stories.check import check

    asked.pop("verbose")
    files = wanted(reports)
    with watching(quiet, in_logs=True) as progress:
        judged = check(
            log_run=not asked.pop("no_log"),
            rows_per_batch=asked.pop("batch_rows"),
            progress=progress,
            **asked,
        )
    return show(judged, form, files, quiet)
