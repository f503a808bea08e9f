"""The report for a terminal: plain text, 80 columns, readable in a log.

On a terminal it has colours, a bar of the four cells to scale, and bars for what each class loses and gains.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gate.core.flips import FlippedRow
from gate.decisions.record import Decision
from gate.report.bars import NEGATIVE, POSITIVE, class_bars, four_cells
from gate.report.versions import FLIPS
from gate.report.view import CellLine, View, view

WIDTH = 80
_RIGHT = "right"


def write(decision: Decision, samples: Sequence[FlippedRow]) -> dict[str, bytes]:
    """``report.txt``."""
    out = io.StringIO()
    console = Console(file=out, width=WIDTH, force_terminal=False, color_system=None, legacy_windows=False)
    lay_out(view(decision, samples), console)
    lines = (line.rstrip() for line in out.getvalue().splitlines())
    return {"report.txt": ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")}


def lay_out(shown: View, console: Console, brief: bool = False) -> None:
    """Print a view; ``brief`` leaves out the cells, the flipped rows and the provenance.

    Bars are drawn where ``console`` is a terminal that can show them; colours are its own affair.
    """
    drawn = console.is_terminal and console.encoding.lower().startswith("utf")
    console.print(Text(shown.headline, style=_STYLES.get(shown.headline, "")))
    for sentence in shown.sentences:
        console.print(Text(sentence))
    if shown.next_steps:
        _section(console, "What would make it pass")
        for step in shown.next_steps:
            _bullet(console, step)
    _section(console, f"What the update does to {shown.n} {shown.units}")
    if shown.square is not None:
        both, negative, positive, wrong = shown.square
        grid = _table(["", "candidate right", "candidate wrong"], [_RIGHT, _RIGHT])
        grid.add_row("incumbent right", f"{both} both right", Text(f"{negative} NEGATIVE FLIPS", style=NEGATIVE))
        grid.add_row("incumbent wrong", Text(f"{positive} positive flips", style=POSITIVE), f"{wrong}")
        console.print(grid)
        console.print()
        if drawn and shown.shares:
            console.print(four_cells(shown.shares, console.width - 2))
            console.print()
    _print(console, ["rate", "seen", "bounds, each one-sided"], shown.rates, [_RIGHT, _RIGHT])
    if brief:
        return
    _section(console, f"The policy (bounds at {shown.confidence} each)")
    widths = _widths([line for rule in shown.rules for line in rule.cells])
    for rule in shown.rules:
        title = Text(f"{rule.status.upper():<13} {rule.rule}: {rule.demand}")
        title.stylize(_OF_STATUS.get(rule.status, ""), 0, len(rule.status))
        console.print(Padding(title, (0, 0, 0, 2)))
        for line in rule.cells:
            texts = _texts(line)
            cells = "  ".join(text.rjust(width) for text, width in zip(texts, widths, strict=True))
            told = f"  {line.status}" if len(rule.cells) > 1 or line.status != rule.status else ""
            text = Text(cells + told)
            style = _OF_STATUS.get(line.status.partition(",")[0].partition(" ")[0], "")
            text.stylize(style, len(cells) - len(texts[-1]))
            console.print(Padding(text, (0, 0, 0, 6)))
        if rule.rest:
            console.print(Padding(Text(rule.rest), (0, 0, 0, 6)))
    if shown.harmed:
        _section(console, "Where it loses most")
        _print(
            console,
            ["cell", shown.units, "negative", "positive", "NFR", "bounds"],
            [tuple(vars(line).values()) for line in shown.harmed],
            [_RIGHT] * 5,
        )
        if drawn:
            console.print()
            for bar in class_bars(shown.harmed, console.width):
                console.print(bar, no_wrap=True, crop=True)
    if shown.flips:
        _section(console, "What was right, and what it became")
        _print(console, [shown.units, "label", "incumbent", "candidate"], shown.flips, ["left"] * 3)
    if shown.samples:
        _section(console, f"Some of the negative flips ({shown.samples_kept})")
        _print(console, ["id", "label", "incumbent", "candidate"], shown.samples, ["left"] * 3)
    if shown.versions:
        header, *lines = shown.versions
        _section(console, FLIPS)
        _print(console, header, lines, [_RIGHT] * (len(header) - 1))
    if shown.notes:
        _section(console, "Notes")
        for note in shown.notes:
            _bullet(console, note)
    _section(console, "What it rests on")
    _print(console, None, shown.provenance, ["left"])


def _widths(lines: Sequence[CellLine]) -> list[int]:
    """How wide each column of the policy's cells is, so that the numbers of all rules stand below one another."""
    return [max(map(len, column)) for column in zip(*map(_texts, lines), strict=True)]


def _texts(line: CellLine) -> tuple[str, ...]:
    return (line.cell, f"n {line.n}", line.seen, line.bound, line.margin)


_OF_STATUS = {
    "pass": "green",
    "fail": "bold red",
    "error": "bold red",
    "inconclusive": "yellow",
    "warn": "yellow",
    "waived": "yellow",
}


_STYLES = {"ALLOWED": "bold green", "REFUSED": "bold red", "INCONCLUSIVE": "bold yellow", "ERROR": "bold red"}


def _section(console: Console, title: str) -> None:
    console.print()
    console.print(Text(title, style="bold"))


def _bullet(console: Console, text: str) -> None:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_row(Text("  -"), Text(text))
    console.print(grid)


def _table(header: Sequence[str] | None, justify: Sequence[str]) -> Table:
    table = Table(box=None, show_header=header is not None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    table.add_column(Text(f"  {header[0]}" if header else ""))
    for i, side in enumerate(justify):
        table.add_column(
            Text(header[i + 1]) if header else "",
            justify="right" if side == _RIGHT else "left",
            overflow="fold",
        )
    return table


def _print(
    console: Console, header: Sequence[str] | None, rows: Iterable[Sequence[str]], justify: Sequence[str]
) -> None:
    table = _table(header, justify)
    for first, *others in rows:
        table.add_row(Text(f"  {first}"), *(Text(text) for text in others))
    console.print(table)
