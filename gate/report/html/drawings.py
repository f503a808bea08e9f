"""Drawings in SVG, to scale: nothing but geometry of numbers that the decision holds.

No styles and no scripts inside, only classes, so that a strict content policy lets them through; every drawing has a
text that says the same. Coordinates are rounded to a tenth, so that the bytes are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def square(
    both_right: int, negative: int, positive: int, both_wrong: int, names: Mapping[str, str], told: str
) -> Markup:
    """The four cells as areas of one square of 100 by 100: rows of it the incumbent, right above wrong.

    Empty parts are not drawn, and only those with room for it have their name in them; with no rows at all there is
    nothing but the frame.

    >>> drawn = square(50, 0, 50, 0, {"both-right": "both right", "positive": "mended"}, "half and half")
    >>> drawn.count("<rect"), "mended" in drawn
    (3, True)
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
                area = Markup('<rect class="{}" x="{:g}" y="{:g}" width="{:g}" height="{:g}"/>')
                parts.append(area.format(name, x, y, wide, tall))
                if wide >= 28 and tall >= 8:
                    within = Markup('<text class="in {}" x="{:g}" y="{:g}">{}</text>')
                    parts.append(within.format(name, x + 2.5, y + 6.5, names[name]))
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
    """One bar a bin with its count above it, from the least to the most; ``name`` is the class that colours them.

    ``ends`` stand below the first and the last bin. Counts of more than four digits are left to the text.

    >>> drawn = histogram([1, 0, 2], 2, "negative", ("0%", "100%"), "three bins")
    >>> drawn.count("<rect"), drawn.count('class="middle"')
    (2, 2)
    """
    wide = _WIDTH / max(len(counts), 1)
    scale = Scale(0, max(most, 1), 48.0)
    parts = []
    for i, count in enumerate(counts):
        if not count:
            continue
        left, tall = round(i * wide + 1, 1), scale(count)
        bar_ = Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>')
        parts.append(bar_.format(name, left, round(60 - tall, 1), round(wide - 2, 1), tall))
        if count < 10_000:
            above = Markup('<text class="middle" x="{}" y="{}">{}</text>')
            parts.append(above.format(round((i + 0.5) * wide, 1), round(58 - tall, 1), count))
    parts.append(Markup('<path class="axis" d="M0 60.5H180"/>'))
    parts += [
        Markup('<text class="{}" x="{}" y="72">{}</text>').format(side, x, end)
        for side, x, end in zip(("start", "end"), ("0", f"{_WIDTH:g}"), ends, strict=True)
    ]
    return _picture("histogram", f"0 0 {_WIDTH:g} 75", told, parts)


@dataclass(frozen=True)
class Point:
    """One point of a trend with its bounds; None is unknown, and not drawn."""

    estimate: float | None
    lower: float | None
    upper: float | None


_TREND, _TALL, _TOP, _LEFT = 340.0, 80.0, 14.0, 6.0
_MOST_MARKS = 12


def trend(points: Sequence[Point], marks: Sequence[str], told: str) -> Markup:
    """Points from the left to the right above their marks, zero at the bottom; the last one, which is new, stands out.

    Of many marks only the first and the last are written.

    >>> drawn = trend([Point(0.1, 0.0, 0.2), Point(None, None, None), Point(0.2, 0.1, 0.3)], ["1", "2", "now"], "two")
    >>> drawn.count("<circle"), drawn.count('class="dot now"')
    (2, 1)
    """
    known = [value for point in points for value in (point.estimate, point.lower, point.upper) if value is not None]
    scale = Scale(0.0, max(known, default=0.0) or 1.0, _TALL)
    step = _TREND / max(len(points), 1)

    def down(value: float) -> float:
        return round(_TOP + _TALL - scale(value), 1)

    bottom = _TOP + _TALL
    parts = [Markup('<path class="axis" d="M0 {}H{}"/>').format(bottom + 0.5, _TREND)]
    if known:
        parts.append(Markup('<text x="0" y="10">{:.10g}%</text>').format(round(scale.high * 100, 2)))
    for i, (point, mark) in enumerate(zip(points, marks, strict=True)):
        x = round(_LEFT + (i + 0.5) * (step - 2 * _LEFT / max(len(points), 1)), 1)
        last = i == len(points) - 1
        if point.lower is not None and point.upper is not None:
            parts.append(Markup('<path class="reach" d="M{} {}V{}"/>').format(x, down(point.lower), down(point.upper)))
        if point.estimate is not None:
            name, size = ("dot now", 5) if last else ("dot", 3.5)
            parts.append(
                Markup('<circle class="{}" cx="{}" cy="{}" r="{}"/>').format(name, x, down(point.estimate), size)
            )
        if len(points) <= _MOST_MARKS or i == 0 or last:
            parts.append(Markup('<text class="middle" x="{}" y="{}">{}</text>').format(x, bottom + 14, mark))
    return _picture("trend", f"0 0 {_TREND:g} {bottom + 18:g}", told, parts)


def _picture(name: str, box: str, told: str, parts: Sequence[Markup]) -> Markup:
    inside = Markup("").join(parts)
    return Markup('<svg class="{}" viewBox="{}" role="img" aria-label="{}">{}</svg>').format(
        name, box, escape(told), inside
    )
