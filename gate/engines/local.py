"""Score batches with models on this machine: in worker processes, in parallel; or in this process, for debugging.

Linux and macOS only (``gate.engines.process``).
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any, Generic, TypeVar

import pyarrow as pa

from gate.engines.answers import Model, ModelInfo, SameForm, model_error
from gate.engines.canaries import FEWEST, Canaries, Part
from gate.engines.in_process import InProcess
from gate.engines.process import Worker, default_threads
from gate.engines.question import Question
from gate.engines.shared import SharedMemory
from gate.tasks.batch import Answers

__all__ = [
    "Answers",
    "InProcess",
    "Model",
    "ModelInfo",
    "Question",
    "Worker",
    "default_threads",
    "isolation",
    "model_error",
    "network_left_on",
    "score",
]

Item = TypeVar("Item")
Answered = Generator[tuple[Item, list[Question], list[Answers]], None, None]
IN_FLIGHT = 4  # batches on their way: read, sent, predicted or answered; memory is flat beyond them


def silent(_: str) -> None:
    """Takes the notes of those who do not want any."""


def score(
    models: Sequence[Model],
    batches: Iterable[tuple[Item, pa.RecordBatch]],
    *,
    canaries: bool = True,
    note: Callable[[str], object] = silent,
) -> Generator[tuple[Item, list[Answers]], None, None]:
    """Every model's answers to every batch of features, in the order of the batches and of the models.

    ``models`` are loaded (:meth:`Worker.load`), any number and mix of them, and serve one call. The item that goes with
    a batch (its ids, its labels) stays here: no model sees it. A model that names its columns is sent those only.
    Reading, sending, all models and the consumer overlap; no more than a few batches are held at a time, and the first
    and the last one. No batches give no answers. The first failure of a model, or of ``batches``, ends all processes
    and is raised: :class:`EvidenceError` for a model. A batch without rows is a ``ValueError``.

    With ``canaries`` each model that is live is asked for some rows once more at the end
    (:class:`gate.engines.canaries.Canaries`): one that answers otherwise is an EvidenceError, and ``note`` is told what
    is worth a note. Without, a model may answer the same rows as it likes.

    Example::

        for labels, (of_incumbent, of_candidate) in score([incumbent, candidate], batches):
            count(labels, of_incumbent.values, of_candidate.values)
    """
    within = any(isinstance(model, InProcess) for model in models)
    answered = one_by_one(models, batches) if within else overlapped(models, batches)
    forms = [SameForm(model.role) for model in models]
    first: list[Part] = []
    late: list[Part] = []
    try:
        for model in models:
            model.ready()
        with closing(answered):
            for item, questions, answers in answered:
                for form, answer in zip(forms, answers, strict=True):
                    form.check(answer)
                parts = list(zip(questions, answers, strict=True))
                if not first:
                    first = parts
                elif questions[0].rows >= FEWEST:
                    late = parts
                yield item, answers
        of_each = zip(models, *(parts for parts in (first, late) if parts), strict=True) if first and canaries else ()
        again = [Canaries(model, asked) for model, *asked in of_each if model.live]
        for one in again:
            one.ask()
        for one in again:
            one.check(note)
        for model in models:
            model.finish()
    except BaseException:
        for model in models:
            model.kill()
        raise


def isolation(models: Sequence[Model]) -> str:
    """Where the models run, in words for the decision. Waits until they are loaded.

    >>> isolation([InProcess.start("candidate")])
    "in the gate's own process, trusted"
    """
    if any(isinstance(model, InProcess) for model in models):
        return "in the gate's own process, trusted"
    for model in models:
        model.ready()
    asked = any(model.network_asked for model in models)
    network = {
        (False, False): "without network",
        (True, False): "with network: the system does not let it be turned off",
    }.get((any(model.network for model in models), asked), "with network, as asked")
    return f"a worker process for each model, {network}"


def network_left_on(models: Sequence[Model]) -> tuple[str, ...]:
    """A note for the decision where models ran with the network though nobody asked for it; else none. As
    :func:`isolation`, to be asked once they are loaded.

    >>> network_left_on([InProcess.start("candidate")])
    ()
    """
    if not any(model.live and model.network and not model.network_asked for model in models):
        return ()
    return (
        "the system does not let the network be turned off: models ran with it, and their answers are not kept"
        " for next time",
    )


def asked_of(models: Sequence[Model], batch: pa.RecordBatch, memory: SharedMemory | None = None) -> list[Question]:
    """The question for each model; models that want the same columns share one, and its bytes."""
    at_least_one_row(batch)
    questions: dict[tuple[str, ...] | None, Question] = {}
    for model in models:
        names = model.ready().columns
        if names not in questions:
            questions[names] = Question(wanted(batch, names), memory)
    return [questions[model.ready().columns] for model in models]


def one_by_one(models: Sequence[Model], batches: Iterable[tuple[Item, pa.RecordBatch]]) -> Answered[Item]:
    """One model after the other in the caller's thread, where a debugger works."""
    for item, batch in batches:
        questions = asked_of(models, batch)
        answers = []
        for model, question in zip(models, questions, strict=True):
            model.ask(question)
            answers.append(model.reply(question.rows))
        yield item, questions, answers


def overlapped(models: Sequence[Model], batches: Iterable[tuple[Item, pa.RecordBatch]]) -> Answered[Item]:
    """All models at once: a thread reads, a thread per model encodes and sends, another one receives."""
    pipeline = Pipeline(models, batches)
    pipeline.start()
    try:
        yield from pipeline.answers()
    finally:
        pipeline.stop()


def wanted(batch: pa.RecordBatch, columns: Sequence[str] | None) -> pa.RecordBatch:
    """The columns that a model names. Where one of them is not offered the model is sent all, and judges that itself.

    >>> batch = pa.record_batch({"a": [1], "b": [2], "c": [3]})
    >>> wanted(batch, ["c", "a"]).schema.names
    ['c', 'a']
    """
    if columns is None or not set(columns) <= set(batch.schema.names):
        return batch
    return batch.select(list(columns))


def at_least_one_row(batch: pa.RecordBatch) -> None:
    """Raises ``ValueError`` for a batch without rows, which models answer in unforeseeable ways."""
    if not batch.num_rows:
        raise ValueError("a batch to score has no rows")


class Pipeline(Generic[Item]):
    """The threads between the batches and the answers of :func:`overlapped`.

    A batch takes one of ``IN_FLIGHT`` slots before it is read and gives it back when it is answered by all, so the
    queues need no bounds of their own.
    """

    def __init__(self, models: Sequence[Model], batches: Iterable[tuple[Item, pa.RecordBatch]]) -> None:
        self._models = models
        self._batches = batches
        self._memory = SharedMemory()
        self._slots = threading.Semaphore(IN_FLIGHT)
        self._stopping = threading.Event()
        self._complete = False
        self._items: deque[tuple[Item, list[Question]]] = deque()
        self._to_send: list[queue.SimpleQueue[Question | None]] = [queue.SimpleQueue() for _ in models]
        self._to_receive: list[queue.SimpleQueue[int | None]] = [queue.SimpleQueue() for _ in models]
        # What arrived: (position of the model, its answers), (position, None) at the end, or an error.
        self._arrived: queue.SimpleQueue[tuple[int, Answers | None] | BaseException] = queue.SimpleQueue()
        self._threads = [self._thread(self._read, "reads")]
        for position, model in enumerate(models):
            self._threads.append(self._thread(partial(self._send, position), f"sends to {model.role}"))
            self._threads.append(self._thread(partial(self._receive, position), f"hears {model.role}"))

    def start(self) -> None:
        """Start reading ahead."""
        for thread in self._threads:
            thread.start()

    def answers(self) -> Iterator[tuple[Item, list[Question], list[Answers]]]:
        """Items with what was asked and the answers of all models, in order. Raises the first error of any thread."""
        waiting: list[deque[Answers]] = [deque() for _ in self._models]
        going = len(self._models)
        while going:
            arrived = self._arrived.get()
            if isinstance(arrived, BaseException):
                raise arrived
            position, answers = arrived
            if answers is None:
                going -= 1
                continue
            waiting[position].append(answers)
            if all(waiting):
                self._slots.release()
                yield *self._items.popleft(), [of_model.popleft() for of_model in waiting]
        self._complete = True

    def stop(self) -> None:
        """End the threads; after an end before the last batch the processes too, which wakes whoever waits for them."""
        self._stopping.set()
        if not self._complete:
            for model in self._models:
                model.kill()
        self._slots.release()
        for inbox in self._to_send:
            inbox.put(None)
        for outbox in self._to_receive:
            outbox.put(None)
        for thread in self._threads[1:]:
            thread.join()
        self._threads[0].join(1.0)  # it may be waiting for a slow disk; it is a daemon

    def _thread(self, work: Callable[[], None], name: str) -> threading.Thread:
        def report_errors() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001  raised again by the consumer
                self._arrived.put(error)

        return threading.Thread(target=report_errors, name=f"gate {name}", daemon=True)

    def _read(self) -> None:
        """Read batches."""
        for model in self._models:
            model.ready()
        source = iter(self._batches)
        try:
            while True:
                self._slots.acquire()
                if self._stopping.is_set():
                    return
                following = next(source, None)
                if following is None:
                    break
                item, batch = following
                questions = asked_of(self._models, batch, self._memory)
                self._items.append((item, questions))
                for inbox, question in zip(self._to_send, questions, strict=True):
                    inbox.put(question)
        finally:
            close: Any = getattr(source, "close", None)
            if close is not None:
                close()
        for inbox in self._to_send:
            inbox.put(None)

    def _send(self, position: int) -> None:
        """Send one model its batches."""
        while (question := self._to_send[position].get()) is not None and not self._stopping.is_set():
            self._to_receive[position].put(question.rows)  # first: the clock of the answer covers the sending
            self._models[position].ask(question)
        self._to_receive[position].put(None)

    def _receive(self, position: int) -> None:
        """Hear one model's answers."""
        while (rows := self._to_receive[position].get()) is not None:
            self._arrived.put((position, self._models[position].reply(rows)))
        self._arrived.put((position, None))
