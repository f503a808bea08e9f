"""Flips between any two of several versions that answered the same units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Crossings:
    """A growing count, for each pair of ``models``, of the units that the first gets right and the second wrong.

    Batches add up; no batch leaves all counts at 0. For two models they are the negative and the positive flips.

    >>> crossings = Crossings(2)
    >>> crossings.add([np.array([True, True, False]), np.array([True, False, True])])
    >>> crossings.broken.tolist(), crossings.right.tolist(), crossings.n
    ([[0, 1], [1, 0]], [2, 2], 3)
    """

    def __init__(self, models: int) -> None:
        self.n = 0
        self._both: NDArray[np.int64] = np.zeros((models, models), dtype=np.int64)

    def add(self, right: Sequence[NDArray[np.bool_]]) -> None:
        """Add units, with one array of shape (units,) a model that says where it is right. ValueError for arrays of
        different lengths, or not as many as there are models."""
        if len(right) != len(self._both) or len({len(column) for column in right}) > 1:
            raise ValueError("one array of the same units for each model")
        self.n += len(right[0]) if right else 0
        for one, first in enumerate(right):
            for other, second in enumerate(right[: one + 1]):
                both = np.count_nonzero(first & second)
                self._both[one, other] += both
                if one != other:
                    self._both[other, one] += both

    @property
    def both(self) -> NDArray[np.int64]:
        """Units that both of two models get right; shape (models, models)."""
        return self._both.copy()

    def take(self, n: int, both: NDArray[np.int64]) -> None:
        """Add what was counted elsewhere, of other units: ``n`` and :attr:`both` there."""
        self.n += n
        self._both += both

    @property
    def right(self) -> NDArray[np.int64]:
        """Units that each model gets right; shape (models,)."""
        return self._both.diagonal().copy()

    @property
    def broken(self) -> NDArray[np.int64]:
        """Units that the model of the row gets right and the model of the column wrong; shape (models, models)."""
        found: NDArray[np.int64] = self.right[:, np.newaxis] - self._both
        return found
