"""How much of each long list there is room for on a page that must stay small."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Room:
    """The most of each list that the page shows; what is left out is counted there.

    ``policy`` and ``texts`` are characters, ``pictures`` bytes.
    """

    rules: int = 200
    findings: int = 12
    cells: int = 1000
    flips: int = 25
    samples: int = 100
    policy: int = 20_000
    pictures: int = 350_000
    texts: int = 150_000

    def less(self) -> Room:
        """Half of it, but never less than one.

        >>> Room().less().cells, Room(samples=1).less().samples
        (500, 1)
        """
        return Room(*(max(most // 2, 1) for most in vars(self).values()))
