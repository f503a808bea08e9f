"""Drawings in SVG, to scale: nothing but geometry of numbers that the decision holds.

No styles and no scripts inside, only classes, so that a strict content policy lets them through; every drawing has a
text that says the same. Coordinates are rounded to a tenth, so that the bytes are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

_WIDTH = 180.0
_HALF = 90.0


@dataclass(frozen=True)
class Scale:
    """Values from ``low`` to ``high`` onto 0 to ``width`` units; what lies outside is put on the edge.

    >>> Scale(0.0, 0.5, 100.0)(0.25), Scale(0.0, 0.5, 100.0)(7.0)
    (50.0, 100.0)
    """

    low: float
    high: float
    width: float = _WIDTH

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        share = (value - self.low) / span if span > 0 else 0.5
        return round(min(max(share, 0.0), 1.0) * self.width, 1)

    @classmethod
    def over(cls, values: Sequence[float | None], width: float = _WIDTH) -> Scale:
        """The scale that shows all of them, with room at both ends; undefined ones are left out.

        >>> Scale.over([0.1, None, 0.2]).low < 0.1 < 0.2 < Scale.over([0.1, None, 0.2]).high
        True
        """
        known = [value for value in values if value is not None]
        if not known:
            return cls(0.0, 1.0, width)
        low, high = min(known), max(known)
        room = (high - low) * 0.06 or abs(high) * 0.1 or 0.01
        return cls(low - room, high + room, width)


def interval(
    scale: Scale, estimate: float | None, lower: float | None, upper: float | None, limit: float | None, told: str
) -> Markup:
    """A dot at the estimate on the line between its bounds, against the limit; what is undefined is not drawn.

    >>> str(interval(Scale(0.0, 1.0, 100.0), 0.5, 0.4, 0.6, 0.7, "50%"))[:46]
    '<svg class="interval" viewBox="-4 0 188 16" ro'
    """
    parts = []
    if lower is not None or upper is not None:
        start = 0.0 if lower is None else scale(lower)
        end = scale.width if upper is None else scale(upper)
        parts.append(Markup('<path class="reach" d="M{} 8H{}M{} 5v6M{} 5v6"/>').format(start, end, start, end))
    if limit is not None:
        parts.append(Markup('<path class="limit" d="M{} 0v16"/>').format(scale(limit)))
    if estimate is not None:
        parts.append(Markup('<circle class="dot" cx="{}" cy="8" r="3.5"/>').format(scale(estimate)))
    return _picture("interval", f"-4 0 {_WIDTH + 8:g} 16", told, parts)


def mirrored(negative: int, positive: int, most: int, told: str) -> Markup:
    """Negative flips to the left, positive ones to the right, both on the scale of ``most``.

    >>> 'width="45.0"' in mirrored(5, 0, 10, "5 negative, 0 positive")
    True
    """
    scale = Scale(0, max(most, 1), _HALF)
    left, right = scale(negative), scale(positive)
    parts = [
        Markup('<rect class="negative" x="{}" y="2" width="{}" height="10"/>').format(round(_HALF - left, 1), left),
        Markup('<rect class="positive" x="{}" y="2" width="{}" height="10"/>').format(_HALF, right),
    ]
    return _picture("mirrored", f"0 0 {_WIDTH:g} 14", told, parts)


def square(both_right: int, negative: int, positive: int, both_wrong: int, told: str) -> Markup:
    """The four cells as areas of one square of 100 by 100: rows of it the incumbent, right above wrong.

    Empty parts are not drawn; with no rows at all there is nothing but the frame.

    >>> square(50, 0, 50, 0, "half and half").count("<rect")
    3
    """
    n = both_right + negative + positive + both_wrong
    parts = [Markup('<rect class="frame" x="0" y="0" width="100" height="100"/>')]
    if n:
        top = both_right + negative
        height = round(100 * top / n, 2)
        rows = (
            (0.0, height, (("both-right", both_right), ("negative", negative))),
            (height, round(100 - height, 2), (("positive", positive), ("both-wrong", both_wrong))),
        )
        for y, tall, pair in rows:
            x = 0.0
            whole = sum(count for _, count in pair)
            for name, count in pair:
                if not count:
                    continue
                wide = round(100 * count / whole, 2)
                parts.append(
                    Markup('<rect class="{}" x="{:g}" y="{:g}" width="{:g}" height="{:g}"/>').format(
                        name, x, y, wide, tall
                    )
                )
                x = round(x + wide, 2)
    return _picture("square", "-1 -1 102 102", told, parts)


def bar(count: int, most: int, told: str) -> Markup:
    """One bar from the left, on the scale of ``most``.

    >>> 'width="60.0"' in bar(5, 10, "5 rows")
    True
    """
    wide = Scale(0, max(most, 1), 120.0)(count)
    part = Markup('<rect class="negative" x="0" y="2" width="{}" height="10"/>').format(wide)
    return _picture("bar", "0 0 120 14", told, [part])


def histogram(counts: Sequence[int], most: int, name: str, ends: tuple[str, str], told: str) -> Markup:
    """One bar a bin, from the least to the most; ``name`` is the class that colours them, ``ends`` stand below.

    >>> histogram([1, 0, 2], 2, "negative", ("0%", "100%"), "three bins").count("<rect")
    2
    """
    wide = _WIDTH / max(len(counts), 1)
    scale = Scale(0, max(most, 1), 48.0)
    parts = [
        Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
            name, round(i * wide + 1, 1), round(50 - scale(count), 1), round(wide - 2, 1), scale(count)
        )
        for i, count in enumerate(counts)
        if count
    ]
    parts.append(Markup('<path class="axis" d="M0 50.5H180"/>'))
    parts += [
        Markup('<text class="{}" x="{}" y="64">{}</text>').format(side, x, end)
        for side, x, end in zip(("start", "end"), ("0", f"{_WIDTH:g}"), ends, strict=True)
    ]
    return _picture("histogram", f"0 0 {_WIDTH:g} 68", told, parts)


def _picture(name: str, box: str, told: str, parts: Sequence[Markup]) -> Markup:
    inside = Markup("").join(parts)
    return Markup('<svg class="{}" viewBox="{}" role="img" aria-label="{}">{}</svg>').format(
        name, box, escape(told), inside
    )
