"""Reading, the models and counting overlap, and never more than a few batches are on their way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pyarrow as pa

from gate.engines.answers import ModelInfo
from gate.engines.local import IN_FLIGHT, score
from gate.engines.question import Question
from gate.tasks.batch import Answers


class Waiting:
    """Answers what it is asked; before each answer it waits for what ``before`` says."""

    live = network = network_asked = False

    def __init__(self, role="candidate", before=lambda number: None):
        self.role, self.before = role, before
        self.questions: list[Question] = []
        self._told = 0

    def ready(self):
        return ModelInfo(self.role, None, ("x",), {})

    def ask(self, question):
        self.questions.append(question)

    def reply(self, rows):
        self.before(self._told)
        self._told += 1
        return Answers(pa.array([0] * rows))

    def finish(self): ...
    def kill(self): ...
    def close(self): ...


def batches(number: int, read: list[int]) -> Iterator[tuple[int, pa.RecordBatch]]:
    for at in range(number):
        read.append(at)
        yield at, pa.record_batch({"x": [float(at)]})


def happens(event: threading.Event) -> None:
    assert event.wait(20), "nothing overlaps"


def test_the_next_batch_is_read_while_a_model_answers():
    second = threading.Event()

    def source():
        yield 0, pa.record_batch({"x": [0.0]})
        second.set()
        yield 1, pa.record_batch({"x": [1.0]})

    model = Waiting(before=lambda number: happens(second) if number == 0 else None)
    assert [item for item, _ in score([model], source())] == [0, 1]


def test_two_models_answer_at_the_same_time():
    both = threading.Barrier(2, timeout=20)
    models = [Waiting(role, lambda number: both.wait()) for role in ("incumbent", "candidate")]
    assert len(list(score(models, batches(3, [])))) == 3


def test_a_model_answers_while_the_consumer_counts():
    second = threading.Event()
    model = Waiting(before=lambda number: second.set() if number == 1 else None)
    for item, _ in score([model], batches(2, [])):
        if item == 0:
            happens(second)


def test_no_more_than_a_few_batches_are_on_their_way_and_each_is_read_once():
    read: list[int] = []
    for item, _ in score([Waiting()], batches(40, read)):
        time.sleep(0.002)
        assert len(read) - item <= IN_FLIGHT + 1
    assert read == list(range(40))


def test_models_that_want_the_same_columns_are_asked_one_question():
    models = [Waiting("incumbent"), Waiting("candidate")]
    list(score(models, batches(3, [])))
    assert all(a is b for a, b in zip(models[0].questions, models[1].questions, strict=True))
