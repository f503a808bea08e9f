"""The flip matrix: how often each (label, incumbent output, candidate output) stands behind a flip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gate.core.outcomes import Value

Key = tuple[Value, Value, Value]


class MatrixCounts(Mapping[Key, int]):
    """Counts by (label, incumbent output, candidate output), sparse; ``1``, ``1.0`` and ``True`` are three values.

    A plain dict would take those for one key and lose counts. Counts of one key add up; iteration is in the order in
    which keys first came; a key that is not there raises KeyError, as with any mapping.

    >>> matrix = MatrixCounts([((1, 1, 2), 3), ((True, True, 2), 4), ((1, 1, 2), 1)])
    >>> matrix[1, 1, 2], matrix[True, True, 2], len(matrix)
    (4, 4, 2)
    """

    def __init__(self, counts: Iterable[tuple[Key, int]] = ()) -> None:
        self._counts: dict[tuple[Any, ...], int] = {}
        self._keys: dict[tuple[Any, ...], Key] = {}
        for key, rows in counts:
            typed = _typed(key)
            self._keys.setdefault(typed, key)
            self._counts[typed] = self._counts.get(typed, 0) + rows

    def __getitem__(self, key: Key) -> int:
        return self._counts[_typed(key)]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys.values())

    def __len__(self) -> int:
        return len(self._counts)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, MatrixCounts):
            return self._counts == other._counts
        return self._counts == MatrixCounts(other.items())._counts if isinstance(other, Mapping) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as a dict: equal by content, so not to be hashed

    def __repr__(self) -> str:
        return f"MatrixCounts({list(self.items())!r})"


def _typed(key: Key) -> tuple[Any, ...]:
    return (*key, *map(type, key))
