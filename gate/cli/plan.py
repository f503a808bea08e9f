"""``gate plan``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gate.cli import options

if TYPE_CHECKING:
    from gate.stories.plan import LimitPlan, PolicyPlan

_WIDEST = 24
_CELLS = 20


@click.command("plan")
@click.option("--limit", metavar="PERCENT", help="A limit on a share of rows, such as 1%: how many rows prove it?")
@click.option("--expected", metavar="PERCENT", help="With --limit: the true rate [default: half the limit].")
@click.option("--classes", type=click.IntRange(1), metavar="N", help="With --limit: prove it for each of N classes.")
@click.option("--policy", metavar="FILE", type=click.Path(path_type=Path), help="How many rows do its rules take?")
@click.option("--env", "environment", metavar="NAME", help="The environment of the policy.")
@click.option("--data", metavar="FILE", help="A held-out set: what can it certify, and which rules not?")
@click.option("--label", metavar="COL", help="Column with the right answer [default: the policy's holdout.label].")
@click.option("--id", "id", metavar="COL", help="Column that names the rows [default: holdout.id].")
@click.option("--power", metavar="PERCENT", default="80%", show_default=True, help="Share of sound updates that pass.")
@click.option("--confidence", metavar="PERCENT", help="Of each bound [default: the policy's, else 95%].")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@options.loudness
def command(form: str, quiet: bool, verbose: bool, **asked: Any) -> int:
    """How many rows does it take to decide?

    For one limit, for the rules of a policy, or for a held-out set that is there: the smallest limits that it can
    certify. No model is run.

    \b
    gate plan --limit 1% --expected 0.5% --classes 10
    gate plan --policy policies/balanced.yaml
    gate plan --policy policies/balanced.yaml --data holdout.parquet --label y
    """
    from gate.errors import UsageError
    from gate.stories.plan import plan_limit, plan_policy

    shares = {name: _share(asked.pop(name), name) for name in ("limit", "expected", "power", "confidence")}
    classes = asked.pop("classes")
    if shares["limit"] is not None:
        others = [name for name in ("policy", "data", "environment", "label", "id") if asked[name] is not None]
        if others:
            raise UsageError(f"--limit goes without --{others[0]}", where="gate plan", hint="plan one thing at a time")
        found: Any = plan_limit(
            shares["limit"],
            expected=shares["expected"],
            power=shares["power"] or 0.0,
            confidence=0.95 if shares["confidence"] is None else shares["confidence"],
            classes=classes,
        )
    else:
        if shares["expected"] is not None or classes is not None:
            given = "--expected" if shares["expected"] is not None else "--classes"
            raise UsageError(f"{given} goes with --limit", where="gate plan")
        found = plan_policy(asked.pop("policy"), power=shares["power"] or 0.0, confidence=shares["confidence"], **asked)
    if form == "json":
        click.echo(_json(found))
        return 0
    for line in _of_policy(found) if hasattr(found, "needs") else _of_limit(found):
        click.echo(line)
    return 0


def _share(text: str | None, option: str) -> float | None:
    from gate.errors import UsageError
    from gate.policy.limits import percent

    if text is None:
        return None
    found = percent(text)
    if found is None:
        raise UsageError(f"must be a percentage such as 1%; found {text!r}", where=f"--{option}")
    return found


def _of_limit(plan: LimitPlan) -> list[str]:
    limit, sure = _percent(plan.limit), _percent(plan.confidence)
    lines = [f"To prove that a rate is at most {limit}, at {sure} confidence", ""]
    lines += _table([("flips seen", *map(str, plan.flips)), ("rows needed", *map(_rows, plan.rows))])
    lines.append("")
    lines += _of_power(plan, f"Where the rate truly is {_percent(plan.expected)}")
    if plan.classes is not None:
        times = f"{plan.classes:,}"
        lines += ["", f"For each of {times} classes these are rows of the class: {times} times as many"]
        lines.append("rows in all, more where the classes differ in size.")
        of_all = plan.power_of_all
        if plan.power is not None and of_all is not None:
            share = _percent(plan.power.power)
            lines.append(f"All {times} pass together {share} of the time from {of_all.first:,} rows of each on")
            lines.append(f"({of_all.first * plan.classes:,} in all), and at every number from {of_all.always:,} on.")
    return lines


def _of_power(plan: LimitPlan, when: str) -> list[str]:
    power = plan.power
    if power is None:
        return [f"{when}, it takes millions of rows: it lies too near the limit."]
    share = _percent(power.power)
    return [
        f"{when}, an update passes {share} of the time from {power.first:,}",
        f"rows on, and at every number of rows from {power.always:,} on.",
    ]


def _of_policy(plan: PolicyPlan) -> list[str]:
    from textwrap import wrap

    lines: list[str] = []
    sure = f"at {plan.confidence * 100:.6g}% confidence"
    if plan.policy is not None:
        lines += [*wrap(f"{plan.policy}: rows that prove each limit, {sure}", 80), ""]
        lines += _table(_needs(plan))
        lines += ["", *wrap(_LEGEND.format(power=_percent(plan.power)), 80)]
        if plan.depends:
            told = "- depends on more than flips: explained by `gate policy explain`."
            lines += wrap(told, 80)
    if plan.data is not None:
        lines += [""] if lines else []
        lines += [*wrap(f"{plan.data}: the smallest limit that its rows certify, {sure}", 80), ""]
        shown = [*plan.certifies[:1], *sorted(plan.certifies[1:], key=lambda cell: cell.rows)[:_CELLS]]
        lines += _table(_certifies(shown))
        rest = len(plan.certifies) - len(shown)
        if rest:
            lines.append(f"  and {rest:,} larger cells")
        if any(cell.limits[1] is None and cell.rows > 1 for cell in shown):
            lines += ["", *wrap("- depends on which rows flip, since they come in clusters or with weights.", 80)]
        for doubt in plan.doubts:
            lines += ["", *wrap(f"{doubt.level}: {doubt}", 80, break_long_words=False, break_on_hyphens=False)]
    return lines


_LEGEND = (
    "0 to 5: rows that prove it if so many flips are seen. power: rows from which on {power} of the updates pass whose"
    " rate is half the limit. By class, output or slice, these are rows of each cell. Rules marked * do not ask for"
    " proof."
)


def _needs(plan: PolicyPlan) -> list[tuple[str, ...]]:
    from gate.policy.needs import FLIPS
    from gate.report import words

    rows: list[tuple[str, ...]] = [("rule", "by", "limit", *map(str, FLIPS), "power")]
    for need in plan.needs:
        by = "" if need.by is None else words.name(need.cell if need.of_cell else need.by, 12)
        mark = "" if need.decide_on.value == "proof" else "*"
        name = words.printable(need.rule)
        name = name if len(name) < _WIDEST else name[: _WIDEST - 4] + "..."
        power = "-" if need.power is None else f"{need.power.first:,}"
        limit = _percent(need.limit) if need.percent else f"{need.limit:,.6g}"
        rows.append((name + mark, by, limit, *map(_rows, need.rows), power))
    return rows


def _certifies(cells: Any) -> list[tuple[str, ...]]:
    from gate.policy.needs import FLIPS
    from gate.report import words

    rows: list[tuple[str, ...]] = [("cell", "rows", *(_flips(number) for number in FLIPS))]
    for cell in cells:
        name = words.cell(cell.cell)
        name = name if len(name) <= _WIDEST else name[: _WIDEST - 3] + "..."
        rows.append((name, f"{cell.rows:,}", *map(_up, cell.limits)))
    return rows


def _flips(number: int) -> str:
    return f"{number or 'no'} flip{'' if number == 1 else 's'}"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]


def _rows(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _percent(share: float) -> str:
    return f"{share * 100:.6g}%"


def _up(limit: float | None) -> str:
    """A limit, rounded up so that what is shown is certified."""
    from math import ceil

    if limit is None:
        return "-"
    digits = 2 if limit >= 0.001 else 4
    return f"{min(ceil(limit * 100 * 10**digits - 1e-9) / 10**digits, 100.0):.{digits}f}%"


def _json(found: Any) -> str:
    import json
    from dataclasses import asdict
    from enum import Enum

    def plain(value: Any) -> Any:
        return value.value if isinstance(value, Enum) else str(value)

    return json.dumps(asdict(found), indent=1, sort_keys=True, default=plain, ensure_ascii=False, allow_nan=False)
