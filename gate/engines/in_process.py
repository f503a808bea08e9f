"""A model inside the gate's own process: for debugging, and for those who trust it.

The model's code sees the gate's memory and environment, and a crash of the model is a crash of the gate.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from gate.engines.answers import ModelInfo, from_batch, model_error
from gate.engines.in_worker.failures import failure
from gate.engines.in_worker.loaded import LoadedModel, load
from gate.engines.in_worker.predicting import predict
from gate.engines.question import Question
from gate.errors import EvidenceError
from gate.tasks.batch import Answers

STDOUT, STDERR = 1, 2  # as C and the system know them
REDIRECTING = threading.RLock()  # a process has one standard output; two who put it back in turn would lose it


class InProcess:
    """The surface of :class:`gate.engines.process.Worker` without a process; the same functions do the work.

    No limit of time or memory applies, and the network stays on. What the model prints, past Python too, goes to
    standard error.

    Example::

        with InProcess.start("candidate") as candidate:
            candidate.load(folder)
            candidate.ask(Question(batch))
            print(candidate.reply(batch.num_rows).values)
    """

    live = True
    network = True
    network_asked = True

    def __init__(self, role: str) -> None:
        self.role = role
        self._model_dir: Path | None = None
        self._sets = False
        self._options: Mapping[str, Any] = {}
        self._asked: deque[Question] = deque()
        self._model: LoadedModel | None = None

    @classmethod
    def start(cls, role: str, **_: Any) -> InProcess:
        """Nothing starts, and no limit that a worker has applies."""
        return cls(role)

    def load(self, model_dir: Path, sets: bool = False, options: Mapping[str, Any] | None = None) -> None:
        """Remember which model to load, and whether it may answer with sets; :meth:`ready` loads it."""
        self._model_dir, self._sets, self._options = Path(model_dir), sets, options or {}

    def ready(self) -> ModelInfo:
        """Load the model; what it says of itself. A second call gives the same at once."""
        return ModelInfo.from_json(self.role, self._loaded().about)

    def ask(self, question: Question) -> None:
        """Keep the question; :meth:`reply` answers it, where a debugger can follow."""
        self._asked.append(question)

    def reply(self, rows: int) -> Answers:
        """The answers to the oldest question that is unanswered, which has ``rows`` rows."""
        model, batch = self._loaded(), self._asked.popleft().batch
        try:
            with off_stdout():
                answered = predict(model, batch)
        except (Exception, SystemExit) as error:
            raise self._failed("predict", error) from error
        return from_batch(answered, rows, self.role)

    def finish(self) -> None:
        """Nothing is left to wait for."""

    def kill(self) -> None:
        """Let go of the model."""
        self._model = None

    def close(self) -> None:
        """Let go of the model."""
        self._model = None

    def __enter__(self) -> InProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _loaded(self) -> LoadedModel:
        if self._model is None:
            try:
                with off_stdout():
                    self._model = load(str(self._model_dir), self._sets, self._options)
            except (Exception, SystemExit) as error:
                raise self._failed("loading it", error) from error
        return self._model

    def _failed(self, stage: str, error: BaseException) -> EvidenceError:
        told = failure(stage, error)
        return model_error(self.role, **told)


@contextmanager
def off_stdout() -> Iterator[None]:
    """What is printed inside, past Python too, goes to standard error: standard output is for the result alone.

    Where there is no standard output or error at all, only what Python prints is sent elsewhere: their numbers may be
    those of other files by now. Of several threads one at a time is inside.
    """
    with REDIRECTING:
        flush()
        kept = None
        if sys.__stdout__ is not None and sys.__stderr__ is not None:
            with suppress(OSError):
                kept = os.dup(STDOUT)
                os.dup2(STDERR, STDOUT)
        try:
            with redirect_stdout(sys.stderr):
                yield
        finally:
            try:
                flush()
            finally:
                if kept is not None:
                    os.dup2(kept, STDOUT)
                    os.close(kept)


@contextmanager
def output_to(log: Path) -> Iterator[None]:
    """What this process and those that it starts write inside goes to a file, standard output and error alike."""
    with REDIRECTING, open(log, "ab") as told:
        flush()
        kept = [os.dup(stream) for stream in (STDOUT, STDERR)]
        for stream in (STDOUT, STDERR):
            os.dup2(told.fileno(), stream)
        try:
            yield
        finally:
            try:
                flush()
            finally:
                for stream, before in zip((STDOUT, STDERR), kept, strict=True):
                    os.dup2(before, stream)
                    os.close(before)


def flush() -> None:
    """Write out what Python and C hold back of standard output, to wherever that goes now."""
    for stream in {id(one): one for one in (sys.stdout, sys.__stdout__) if one is not None}.values():
        with suppress(Exception):  # closed, unread, or no file at all: who writes the result will say so
            stream.flush()
    ctypes.CDLL(None).fflush(None)
