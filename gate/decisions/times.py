"""Moments as they are written in what is signed (UTC, to the second), and ages as people write them (``7d``)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from gate.errors import UsageError

LONGEST_AGE = timedelta(days=3650)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_AGE = re.compile(r"([0-9]{1,6})([dhm])")
_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}


def stamp(moment: datetime) -> str:
    """The moment in UTC, cut to the second. ValueError for one without a time zone.

    >>> stamp(datetime(2026, 11, 22, 10, 30, 59, 999, timezone.utc))
    '2026-11-22T10:30:59Z'
    """
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone")
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


def moment(text: str) -> datetime:
    """The moment that :func:`stamp` wrote; ValueError for any other way to write one.

    >>> moment("2026-11-22T10:30:59Z").isoformat()
    '2026-11-22T10:30:59+00:00'
    """
    if not _MOMENT.fullmatch(text):
        raise ValueError(f"{text!r} is not written as 2026-11-22T10:30:59Z")
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)


def age(text: str, where: str = "--max-age") -> timedelta:
    """An age such as ``7d``, ``12h`` or ``30m``; UsageError for any other, for none, and for more than ten years.

    >>> age("12h")
    datetime.timedelta(seconds=43200)
    """
    found = _AGE.fullmatch(text)
    length = int(found[1]) * _UNITS[found[2]] if found else timedelta(0)
    if not timedelta(0) < length <= LONGEST_AGE:
        raise UsageError(
            f"not an age: {text!r}",
            where=where,
            hint="a number and its unit without a space: 7d (days), 12h (hours) or 30m (minutes); 3650d at most",
        )
    return length
