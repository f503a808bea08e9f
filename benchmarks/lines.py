"""A chart of lines as SVG, written by hand, so that the same numbers give the same bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, LEFT, TOP = 360, 240, 52, 34
COLOURS = ("#0b6e4f", "#c1440e", "#7a7a7a", "#2f5fa8")


@dataclass(frozen=True)
class Panel:
    """One chart: lines of points (x, y), x on a logarithmic axis, y a share from 0 to ``most``; ``mark`` is a level.

    The lines are named in the upper right corner, or in the lower right one.
    """

    title: str
    x_title: str
    y_title: str
    lines: Mapping[str, Sequence[tuple[float, float]]]
    ticks: Sequence[float]
    most: float
    mark: float | None = None
    names_below: bool = False


def svg(panels: Sequence[Panel]) -> str:
    """The panels side by side."""
    step = WIDTH + LEFT + 24
    width, height = step * len(panels), HEIGHT + TOP + 44
    drawn = [_panel(panel, i * step + LEFT) for i, panel in enumerate(panels)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' font-family="sans-serif" font-size="11">\n'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n' + "".join(drawn) + "</svg>\n"
    )


def _panel(panel: Panel, left: float) -> str:
    xs = [x for points in panel.lines.values() for x, _ in points]
    low, high = math.log(min(xs)), math.log(max(xs))

    def at(x: float, y: float) -> str:
        across = left + WIDTH * (math.log(x) - low) / (high - low or 1.0)
        return f"{across:.1f},{TOP + HEIGHT * (1 - min(y, panel.most) / panel.most):.1f}"

    parts = [f'<text x="{left}" y="16" font-size="13" font-weight="bold">{panel.title}</text>']
    for i in range(5):
        y = panel.most * i / 4
        down = TOP + HEIGHT * (1 - i / 4)
        parts.append(f'<line x1="{left}" y1="{down:.1f}" x2="{left + WIDTH}" y2="{down:.1f}" stroke="#e3e3e3"/>')
        parts.append(f'<text x="{left - 6}" y="{down + 4:.1f}" text-anchor="end">{y * 100:g} %</text>')
    for x in panel.ticks:
        across = at(x, 0).split(",")[0]
        parts.append(f'<text x="{across}" y="{TOP + HEIGHT + 16}" text-anchor="middle">{x:,g}</text>')
    middle = left + WIDTH / 2
    parts.append(f'<text x="{middle}" y="{TOP + HEIGHT + 34}" text-anchor="middle">{panel.x_title}</text>')
    parts.append(f'<text x="{left}" y="{TOP - 6}" fill="#555555">{panel.y_title}</text>')
    if panel.mark is not None:
        start, end = at(min(xs), panel.mark), at(max(xs), panel.mark)
        parts.append(f'<polyline points="{start} {end}" fill="none" stroke="#000000" stroke-dasharray="4 3"/>')
    first = TOP + (HEIGHT - 26 if panel.names_below else 14)
    for i, (name, points) in enumerate(panel.lines.items()):
        colour = COLOURS[i % len(COLOURS)]
        path = " ".join(at(x, y) for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(
            f'<text x="{left + WIDTH - 4}" y="{first + 15 * i}" text-anchor="end" fill="{colour}">{name}</text>'
        )
    return "\n".join(parts) + "\n"
