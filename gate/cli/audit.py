"""``gate audit``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gate.cli import options

if TYPE_CHECKING:
    from gate.stories.audit import Audit, Event

_NOTHING = "-"


@click.command("audit")
@click.argument("model", metavar="NAME")
@click.option("--alias", metavar="ALIAS", default="champion", show_default=True, help="The alias to look at.")
@click.option("--since", metavar="DAY", help="Leave out what is older, YYYY-MM-DD in UTC.")
@click.option(
    "--key",
    "keys",
    metavar="PUB",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Public key: the version in use must be there on its word. Repeatable.",
)
@options.registry
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@options.loudness
def command(
    model: str,
    alias: str,
    since: str | None,
    keys: tuple[Path, ...],
    registry_uri: str | None,
    tracking_uri: str | None,
    form: str,
    quiet: bool,
    verbose: bool,
) -> int:
    """List every move of an alias of the model NAME with the decision behind it, and what has none.

    Overrides, unfinished moves and what an enforcing registry refused are listed apart. Exits with 0 if every
    move is explained, with 12 if not: an alias that is not where the last recorded move left it, a gap between two
    moves, a version in use without a verdict. What is refused is read from the registry's database, not over REST.

    \b
    gate audit fraud --since 2026-11-01
    """
    from gate.cli.output import watching
    from gate.stories.audit import audit

    with watching(quiet) as progress:
        found = audit(
            model,
            alias=alias,
            since=since,
            keys=keys,
            registry_uri=registry_uri,
            tracking_uri=tracking_uri,
            progress=progress,
        )
    click.echo(_json(found) if form == "json" else "\n".join(_lines(found)))
    return int(found.exit_code)


def _json(found: Audit) -> str:
    import json
    from dataclasses import asdict

    plain = {**asdict(found), "exit_code": int(found.exit_code), "explained": not found.unexplained}
    return json.dumps(plain, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _lines(found: Audit) -> Iterator[str]:
    from gate.report.words import printable
    from gate.stories.move import version

    def section(title: str, lines: list[str], **style: object) -> Iterator[str]:
        if lines:
            yield ""
            yield click.style(title, bold=True, **style)  # type: ignore[arg-type]
            yield from (f"  {printable(line)}" for line in lines)

    since = "" if found.since is None else f", since {found.since}"
    yield printable(f"models:/{found.model}@{found.alias} is {version(found.stands)}, in {found.registry}{since}")
    yield from section("moves", [line for event in found.events for line in _event(event)])
    yield from section(
        "OVERRIDES, against the verdict of the gate",
        [
            f"{event.at}  {_went(event)}  {event.ticket or _NOTHING}: {event.reason or _NOTHING}"
            for event in found.overrides
        ],
        fg="red",
    )
    yield from section(
        "unfinished: run the same command again",
        [f"{event.at}  {_went(event)}  {'it moved' if event.made else 'not moved'}" for event in found.unfinished],
    )
    yield from section(
        "refused by the enforcing registry",
        [
            f"{one.at}  {one.actor}  {one.action}"
            + ("" if one.version is None else f" of version {one.version}")
            + ("" if one.tag is None else f", tag {one.tag}")
            + f": {' '.join((one.reason or _NOTHING).split())}"
            for one in found.refused
        ],
    )
    yield from section("WITHOUT A DECISION", [one.found for one in found.unexplained], fg="red")
    yield ""
    if not found.journal:
        yield "Without the journal of an enforcing registry: this is what promoters themselves recorded."
    elif not found.unexplained:
        yield "The journal of the enforcing registry says the same."
    yield "Not all of it is explained." if found.unexplained else _explained(found)


def _explained(found: Audit) -> str:
    kinds = [event.kind for event in found.events if event.made]
    counts = [(kinds.count(kind), kind) for kind in ("promotion", "rollback", "override")]
    told = ", ".join(f"{number} {kind}{'' if number == 1 else 's'}" for number, kind in counts if number)
    return f"Every move is explained: {told}." if told else "There is no move to explain."


def _event(event: Event) -> Iterator[str]:
    """A move in a line, and what it rests on in those below."""
    mark = {"override": "OVERRIDE", None: "NO DECISION"}.get(event.kind, event.kind or "")
    yield f"{event.at}  {mark:<11}  {_went(event)}" + ("  (unfinished)" if event.unfinished else "")
    seen = event.by if event.actor is None else event.actor if event.actor != "-" else None
    rests = [
        ("by", seen),
        ("recorded by", event.by if event.by != seen else None),
        ("decision", event.decision_id),
        ("signed by", event.signed_by or ("nobody" if event.kind else None)),
        ("ticket", event.ticket),
        ("reason", event.reason),
    ]
    yield from (f"    {name:<11}  {value}" for name, value in rests if value)


def _went(event: Event) -> str:
    return f"{_NOTHING if event.before is None else event.before} -> {_NOTHING if event.after is None else event.after}"
