"""``gate check``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gate.cli import options, running


@click.command("check")
@click.option("--model", metavar="NAME", help="Registered model; needed unless both references are full URIs.")
@click.option(
    "--candidate",
    "candidates",
    metavar="REF",
    required=True,
    multiple=True,
    help="7, @alias, latest, or models:/..., runs:/... URI. Repeatable: each is judged, in the same pass.",
)
@click.option(
    "--incumbent",
    "incumbents",
    metavar="REF",
    required=True,
    multiple=True,
    help="The version in use, named likewise. Repeatable: compatible with all of them.",
)
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
@running.engine
@running.models
@options.loudness
def command(form: str, reports: tuple[str, ...], quiet: bool, **asked: Any) -> int:
    """Judge whether the candidate may replace the incumbent.

    Runs both on the held-out set, each in a process of its own, counts what the update breaks, and holds it against the
    policy. Exits 0 only if the policy is met with evidence. Never moves an alias: that is `gate promote`.

    \b
    gate check --model fraud --candidate 7 --incumbent @champion \\
        --data holdout.parquet --label y \\
        --policy policies/balanced.yaml --report json=decision.json

    Several candidates, several incumbents: a decision for each pair, the exit code of the worst. The paths of reports
    then say {candidate} and {incumbent} where the versions go.
    """
    from gate.cli.output import show, show_each, wanted, watching
    from gate.stories.check import check_each

    asked.pop("verbose")
    several = {name: len(asked[f"{name}s"]) for name in ("candidate", "incumbent")}
    files = wanted(reports, [name for name, number in several.items() if number > 1])
    with watching(quiet, in_logs=True) as progress:
        judged = check_each(
            log_run=not asked.pop("no_log"),
            rows_per_batch=asked.pop("batch_rows"),
            cache=not asked.pop("no_cache"),
            builds=asked.pop("allow_builds"),
            progress=progress,
            **asked,
        )
    if len(judged) == 1:
        return show(judged[0], form, files, quiet)
    return show_each(judged, form, files, quiet)
