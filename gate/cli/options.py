"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, in their order."""

    def apply(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return apply


_PRIVATE = "gate.no_samples"


def _private(context: click.Context, option: click.Parameter, given: bool) -> None:
    context.meta[_PRIVATE] = given


def _unless_private(context: click.Context, option: click.Parameter, samples: int) -> int:
    return 0 if context.meta.get(_PRIVATE) else samples


loudness = together(
    click.option("-q", "--quiet", is_flag=True, help="No progress and no remarks on stderr."),
    click.option("-v", "--verbose", is_flag=True, help="Show where an internal error came from."),
)

registry = together(
    click.option("--registry-uri", metavar="URI", help="MLflow registry [default: $MLFLOW_REGISTRY_URI]."),
    click.option("--tracking-uri", metavar="URI", help="MLflow tracking store [default: $MLFLOW_TRACKING_URI]."),
)

result = together(
    click.option(
        "--format",
        "form",
        type=click.Choice(["text", "json", "markdown"]),
        default="text",
        show_default=True,
        help="What is written to stdout.",
    ),
    click.option(
        "--report",
        "reports",
        metavar="FORMAT=PATH",
        multiple=True,
        help="Also write a report: html, json (the decision), samples (the flipped rows), csv, parquet, markdown, text,"
        " junit, sarif, github, openmetrics, outputs; html-dir writes a folder. Repeatable.",
    ),
)

judging = together(
    click.option("--env", "environment", metavar="NAME", help="The environment of the policy to judge for."),
    click.option("--as-of", metavar="DAY", help="Judge as of this day, YYYY-MM-DD in UTC [default: today]."),
    click.option("--seed", type=int, default=0, show_default=True, help="Chooses which flipped rows are kept."),
    click.option(
        "--samples",
        type=click.IntRange(0),
        default=100,
        show_default=True,
        help="Flipped rows kept of each kind.",
        callback=_unless_private,
    ),
    click.option(
        "--no-samples",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        help="For private data, as --samples 0: no value of a row is in a report or an error.",
        callback=_private,
    ),
    click.option("--batch-rows", type=click.IntRange(1), help="Rows in a batch [default: some 64 MiB of them]."),
)
