"""Charts of horizontal bars as SVG, written by hand, so that the same numbers give the same bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

NAMES, WIDTH, SIDE, ROW, TOP = 400, 380, 90, 22, 44
GOOD, BAD, OURS, OTHERS = "#0b6e4f", "#c1440e", "#0b6e4f", "#7a7a7a"


@dataclass(frozen=True)
class Bar:
    """One bar: its name, its length in the chart's unit, what is written at its end, and whether it stands out."""

    name: str
    value: float
    told: str
    colour: str = OTHERS


def against_limit(title: str, bars: Sequence[Bar]) -> str:
    """Bars as shares of their limits, which is the line at 1; what is longer than two limits is cut there."""
    most = 2.0 if any(bar.value > 1.0 for bar in bars) else 1.15

    def along(value: float) -> float:
        return min(max(value, 0.0), most) / most

    return _chart(title, bars, [along(bar.value) for bar in bars], [(along(1.0), "the limit")], strong=True)


def logarithmic(title: str, bars: Sequence[Bar], unit: str) -> str:
    """Bars on a logarithmic scale, with a line at every power of ten."""
    known = [bar.value for bar in bars if bar.value > 0]
    low = math.floor(math.log10(min(known, default=1.0)) - 0.05)
    high = max(math.ceil(math.log10(max(known, default=10.0))), low + 1)

    def along(value: float) -> float:
        return (math.log10(value) - low) / (high - low) if value > 0 else 0.0

    ticks = [((power - low) / (high - low), f"{10.0**power:,.10g} {unit}") for power in range(low, high + 1)]
    return _chart(title, bars, [along(bar.value) for bar in bars], ticks, strong=False)


def _chart(
    title: str, bars: Sequence[Bar], lengths: Sequence[float], ticks: Sequence[tuple[float, str]], strong: bool
) -> str:
    width, height = NAMES + WIDTH + SIDE, TOP + ROW * len(bars) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' font-family="sans-serif" font-size="11" role="img"><title>{escape(title)}</title>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="8" y="16" font-size="13" font-weight="bold">{escape(title)}</text>',
    ]
    for place, told in ticks:
        x = NAMES + WIDTH * place
        line = 'stroke="#000000" stroke-dasharray="4 3"' if strong else 'stroke="#e3e3e3"'
        parts.append(f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{height - 8}" {line}/>')
        parts.append(f'<text x="{x:.1f}" y="{TOP - 10}" text-anchor="middle" fill="#555555">{escape(told)}</text>')
    for row, (bar, length) in enumerate(zip(bars, lengths, strict=True)):
        y, long = TOP + ROW * row, max(WIDTH * length, 1.0)
        parts.append(f'<text x="{NAMES - 8}" y="{y + 14}" text-anchor="end">{escape(bar.name)}</text>')
        parts.append(f'<rect x="{NAMES}" y="{y + 3}" width="{long:.1f}" height="{ROW - 8}" fill="{bar.colour}"/>')
        parts.append(f'<text x="{NAMES + long + 5:.1f}" y="{y + 14}">{escape(bar.told)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
