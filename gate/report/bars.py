"""Bars of block characters for a terminal, to scale."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from gate.report.view import HarmLine

NEGATIVE, POSITIVE = "bold red", "green"
_FULL = "\u2588"


def four_cells(shares: Sequence[tuple[str, float]], width: int) -> Text:
    """The four cells as one bar to scale; what is there at all gets one column at least.

    >>> bar = four_cells([("both right", 0.5), ("broken", 0.25), ("mended", 0.25), ("both wrong", 0.0)], 8)
    >>> str(bar).splitlines()[0]
    '  ████████'
    """
    styles = ("blue", NEGATIVE, POSITIVE, "bright_black")
    widths = [max(round(share * width), 1) if share else 0 for _, share in shares]
    widths[widths.index(max(widths))] -= max(sum(widths) - width, 0)
    bar = Text("  ")
    for wide, style in zip(widths, styles, strict=True):
        bar.append(_FULL * wide, style=style)
    bar.append("\n  ")
    for (name, _), style in zip(shares, styles, strict=True):
        bar.append(_FULL, style=style)
        bar.append(f" {name}   ")
    return bar


def class_bars(lines: Sequence[HarmLine], width: int) -> list[Text]:
    """For each class or slice that loses most, a bar to the left for negative flips and one to the right for positive.

    >>> bars = class_bars([HarmLine("class 9", "89", "10", "5", "", "")], 31)
    >>> str(bars[0])
    '  class 9 ██████████│█████'
    """
    names = max((cell_len(line.cell) for line in lines), default=0)
    room = max((width - names - 4) // 2, 1)
    counts = [tuple(int(text.replace(",", "")) for text in (line.negative, line.positive)) for line in lines]
    most = max((max(pair) for pair in counts), default=1) or 1
    found = []
    for line, pair in zip(lines, counts, strict=True):
        left, right = (max(round(count / most * room), 1) if count else 0 for count in pair)
        text = Text(f"  {line.cell}{' ' * (names - cell_len(line.cell))} ")
        text.append(" " * (room - left) + _FULL * left, style=NEGATIVE)
        text.append("\u2502", style="dim")
        text.append(_FULL * right, style=POSITIVE)
        found.append(text)
    return found
