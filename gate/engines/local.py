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

from gate.engines import worker as wire
from gate.engines.answers import ModelInfo, SameForm, model_error
from gate.engines.in_process import InProcess
from gate.engines.process import Worker
from gate.tasks.batch import Answers

__all__ = ["Answers", "InProcess", "ModelInfo", "Worker", "model_error", "score"]

Item = TypeVar("Item")
IN_FLIGHT = 4  # batches on their way: read, sent, predicted or answered; memory is flat beyond them


def score(
    workers: Sequence[Worker | InProcess], batches: Iterable[tuple[Item, pa.RecordBatch]]
) -> Iterator[tuple[Item, list[Answers]]]:
    """Every model's answers to every batch of features, in the order of the batches and of the models.

    ``workers`` are loaded (:meth:`Worker.load`), and serve one call. The item that goes with a batch (its ids, its
    labels) stays here: no model sees it. A model that names its columns is sent those only. Reading, sending, both
    models and the consumer overlap; no more than a few batches are held at a time. No batches give no answers. The
    first failure of a model, or of ``batches``, ends all processes and is raised: :class:`EvidenceError` for a model. A
    batch without rows is a ``ValueError``.

    Example::

        for labels, (of_incumbent, of_candidate) in score([incumbent, candidate], batches):
            count(labels, of_incumbent.values, of_candidate.values)
    """
    processes = [worker for worker in workers if isinstance(worker, Worker)]
    answered = overlapped(processes, batches) if len(processes) == len(workers) else one_by_one(workers, batches)
    forms = [SameForm(worker.role) for worker in workers]
    try:
        for worker in workers:
            worker.ready()
        with closing(answered):
            for item, answers in answered:
                for form, answer in zip(forms, answers, strict=True):
                    form.check(answer)
                yield item, answers
        for worker in workers:
            worker.finish()
    except BaseException:
        for worker in workers:
            worker.kill()
        raise


def one_by_one(
    workers: Sequence[Worker | InProcess], batches: Iterable[tuple[Item, pa.RecordBatch]]
) -> Generator[tuple[Item, list[Answers]], None, None]:
    """One model after the other in the caller's thread, where a debugger works."""
    for item, batch in batches:
        at_least_one_row(batch)
        yield item, [worker.answer(wanted(batch, worker.ready().columns)) for worker in workers]


def overlapped(
    workers: Sequence[Worker], batches: Iterable[tuple[Item, pa.RecordBatch]]
) -> Generator[tuple[Item, list[Answers]], None, None]:
    """All models at once: a thread reads and encodes, a thread per model sends, another one receives."""
    pipeline = Pipeline(workers, batches)
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

    def __init__(self, workers: Sequence[Worker], batches: Iterable[tuple[Item, pa.RecordBatch]]) -> None:
        self._workers = workers
        self._batches = batches
        self._slots = threading.Semaphore(IN_FLIGHT)
        self._stopping = threading.Event()
        self._complete = False
        self._items: deque[Item] = deque()
        self._to_send: list[queue.SimpleQueue[tuple[pa.Buffer, int] | None]] = [queue.SimpleQueue() for _ in workers]
        self._to_receive: list[queue.SimpleQueue[int | None]] = [queue.SimpleQueue() for _ in workers]
        # What arrived: (position of the model, its answers), (position, None) at the end, or an error.
        self._arrived: queue.SimpleQueue[tuple[int, Answers | None] | BaseException] = queue.SimpleQueue()
        self._threads = [self._thread(self._read, "reads")]
        for position, worker in enumerate(workers):
            self._threads.append(self._thread(partial(self._send, position), f"sends to {worker.role}"))
            self._threads.append(self._thread(partial(self._receive, position), f"hears {worker.role}"))

    def start(self) -> None:
        """Start reading ahead."""
        for thread in self._threads:
            thread.start()

    def answers(self) -> Iterator[tuple[Item, list[Answers]]]:
        """Items with the answers of all models, in order. Raises the first error of any thread."""
        waiting: list[deque[Answers]] = [deque() for _ in self._workers]
        going = len(self._workers)
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
                yield self._items.popleft(), [of_model.popleft() for of_model in waiting]
        self._complete = True

    def stop(self) -> None:
        """End the threads; after an end before the last batch the processes too, which wakes whoever waits for them."""
        self._stopping.set()
        if not self._complete:
            for worker in self._workers:
                worker.kill()
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
        """Read and encode batches; two models that want the same columns share the bytes."""
        columns = [worker.ready().columns for worker in self._workers]
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
                at_least_one_row(batch)
                encoded: dict[tuple[str, ...] | None, pa.Buffer] = {}
                self._items.append(item)
                for inbox, names in zip(self._to_send, columns, strict=True):
                    if names not in encoded:
                        encoded[names] = wire.to_ipc(wanted(batch, names))
                    inbox.put((encoded[names], batch.num_rows))
        finally:
            close: Any = getattr(source, "close", None)
            if close is not None:
                close()
        for inbox in self._to_send:
            inbox.put(None)

    def _send(self, position: int) -> None:
        """Send one model its batches."""
        while (batch := self._to_send[position].get()) is not None and not self._stopping.is_set():
            payload, rows = batch
            self._to_receive[position].put(rows)  # first: the clock of the answer covers the sending
            self._workers[position].ask(payload, rows)
        self._to_receive[position].put(None)

    def _receive(self, position: int) -> None:
        """Hear one model's answers."""
        while (rows := self._to_receive[position].get()) is not None:
            self._arrived.put((position, self._workers[position].reply(rows)))
        self._arrived.put((position, None))
