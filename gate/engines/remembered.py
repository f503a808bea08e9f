"""A model that is not run: its answers are known from an earlier run on the same rows."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from gate.engines.answers import ModelInfo, model_error
from gate.engines.cache import Kept
from gate.engines.question import Question
from gate.tasks.batch import Answers


class Remembered:
    """The surface of :class:`gate.engines.process.Worker` over answers that were kept.

    It is asked with the batches that the model was asked with; one of another length, and a batch too many or too few,
    is an :class:`EvidenceError`.
    """

    live = False
    network = network_asked = False  # answers of a model that could reach it are not kept

    def __init__(self, role: str, kept: Kept) -> None:
        self.role = role
        self.offered = kept.offered
        self._kept = kept
        self._answers: Iterator[Answers] = iter(())
        self._told = 0
        self._begun = False

    def ready(self) -> ModelInfo:
        """What the model said of itself when it was run."""
        return self._kept.info

    def ask(self, question: Question) -> None:
        """Nothing is sent."""

    def reply(self, rows: int) -> Answers:
        """The answers to the next batch, of ``rows`` rows."""
        if not self._begun:
            self._answers, self._begun = self._kept.answers(), True
        try:
            found = next(self._answers, None)
        except (OSError, pa.ArrowException) as error:
            raise self._unlike("they cannot be read") from error
        if found is None or len(found.values) != rows:
            raise self._unlike("they do not belong to these rows")
        self._told += rows
        return found

    def finish(self) -> None:
        """EvidenceError unless all that was kept has been told."""
        if self._told != self._kept.rows:
            raise self._unlike("they do not belong to these rows")

    def kill(self) -> None:
        """Let go of the answers."""
        self._kept.close()

    def close(self) -> None:
        """Let go of the answers."""
        self._kept.close()

    def _unlike(self, found: str) -> Exception:
        return model_error(self.role, f"its answers were kept, and {found}", "run again with --no-cache")
