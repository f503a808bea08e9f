"""What models say: of themselves once they are loaded, and of each batch."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from gate.engines.environment import presentable
from gate.engines.in_worker.arrow_types import FLOATS, is_list, is_text
from gate.engines.in_worker.frames import LARGEST_FRAME
from gate.engines.question import Question
from gate.errors import EvidenceError, Problem
from gate.tasks.batch import Answers

LARGEST_JSON = 16 << 20  # the names of a million classes or columns
BYTES_A_ROW = 256 << 10  # 32,768 scores


@dataclass(frozen=True)
class ModelInfo:
    """What a loaded model says of itself.

    ``classes`` are in the order of its scores, None where it does not say. ``columns`` are the feature columns that it
    names (some may be optional), None when it takes whatever is offered. ``versions`` are those of Python and of the
    libraries that it runs on; ``flavors`` those of the MLflow model; ``torch`` says how a PyTorch model is run.
    """

    role: str
    classes: tuple[int | str | bool | float, ...] | None
    columns: tuple[str, ...] | None
    versions: Mapping[str, str]
    flavors: tuple[str, ...] = ()
    torch: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, role: str, about: Mapping[str, Any]) -> ModelInfo:
        """From the payload of a worker's READY. ``ValueError`` where a part of it has another shape.

        >>> ModelInfo.from_json("candidate", {"classes": [0, 1], "columns": None, "versions": {}}).classes
        (0, 1)
        """
        check_shape(about)
        classes, columns = about.get("classes"), about.get("columns")
        return cls(
            role,
            None if classes is None else tuple(classes),
            None if columns is None else tuple(columns),
            dict(about.get("versions", {})),
            tuple(about.get("flavors", ())),
            dict(about.get("torch", {})),
        )


def document(payload: bytes) -> dict[str, Any]:
    """The JSON object in what a worker wrote. ``ValueError`` for anything else: foreign code may write there.

    >>> document(b'{"rows": 3}')
    {'rows': 3}
    """
    try:
        told = json.loads(payload)
    except RecursionError as error:
        raise ValueError("JSON that is nested too deeply") from error
    if not isinstance(told, dict):
        raise ValueError("JSON that is no object")
    return told


def check_shape(about: Mapping[str, Any]) -> None:
    """``ValueError`` unless what a model says of itself has the shape that :class:`ModelInfo` has.

    >>> check_shape({"classes": 3})
    Traceback (most recent call last):
    ValueError: classes
    """
    for name, right in SHAPES.items():
        if name in about and not right(about[name]):
            raise ValueError(name)


def text_list(value: Any) -> bool:
    """Whether it is a list of texts."""
    return isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value)


def label_list(value: Any) -> bool:
    """Whether it is a list of labels."""
    plain = isinstance(value, (list, tuple)) and all(isinstance(one, (int, float, str)) for one in value)
    return plain and all(math.isfinite(one) for one in value if isinstance(one, float))


def mapping(value: Any) -> bool:
    """Whether it maps texts to something; its notes, where it has some, are texts."""
    return isinstance(value, Mapping) and text_list(list(value)) and text_list(value.get("notes", []))


SHAPES: dict[str, Callable[[Any], bool]] = {
    "classes": lambda value: value is None or label_list(value),
    "columns": lambda value: value is None or text_list(value),
    "versions": lambda value: mapping(value) and text_list(list(value.values())),
    "flavors": text_list,
    "torch": mapping,
}


class Model(Protocol):
    """Who answers questions: a worker process, a model in this process, or answers that were kept.

    ``role`` names it in messages. ``live`` says that a model runs that can be asked again; answers that were kept are
    given in the order in which they were asked for, and never twice.
    """

    @property
    def role(self) -> str: ...

    @property
    def live(self) -> bool: ...

    @property
    def network(self) -> bool:
        """Whether it can reach, or could reach, the network; known when it is ready."""
        ...

    @property
    def network_asked(self) -> bool:
        """Whether it was meant to."""
        ...

    def ready(self) -> ModelInfo:
        """Wait until it can be asked; what it says of itself."""
        ...

    def ask(self, question: Question) -> None:
        """Ask for some rows without waiting for the answers."""
        ...

    def reply(self, rows: int) -> Answers:
        """Wait for the answers to the oldest question that is unanswered, which has ``rows`` rows."""
        ...

    def finish(self) -> None:
        """No question follows; EvidenceError where it did not answer them all."""
        ...

    def kill(self) -> None:
        """End it at once. Another thread may still be waiting for an answer."""
        ...

    def close(self) -> None:
        """Let go of all that it holds. May be called again."""
        ...


def largest_answer(rows: int) -> int:
    """The most bytes that the answers to so many rows may have.

    >>> largest_answer(4) == (1 << 20) + 4 * BYTES_A_ROW
    True
    """
    return min(LARGEST_FRAME, (1 << 20) + rows * BYTES_A_ROW)


def from_batch(batch: pa.RecordBatch, rows: int, role: str) -> Answers:
    """The answers in the payload of a worker's ANSWER. Raises :class:`EvidenceError` unless there are ``rows`` of them,
    and ``ValueError`` for a batch that is no column of labels, scores or sets.

    A null is a row that the model gave no answer to, NaN is a score.
    """
    batch.validate(full=True)  # it comes from a process that runs foreign code
    if batch.num_columns != 1:
        raise ValueError(f"it has {batch.num_columns} columns")
    values = batch.column(0)
    if len(values) != rows:
        raise model_error(role, f"answered {len(values)} rows for {rows}: the wrong number of rows")
    kind = values.type.value_type if is_list(values.type) else values.type
    numbers = pa.types.is_integer(kind) or pa.types.is_boolean(kind) or kind in FLOATS
    texts = kind == pa.string() and not pa.types.is_fixed_size_list(values.type)
    nothing = kind == pa.null() and pa.types.is_list(values.type)  # sets that are all empty
    if not (numbers or texts or nothing):
        raise ValueError(f"it is of type {values.type}")
    metadata = batch.schema.metadata or {}
    if b"names" not in metadata:
        return Answers(values)
    try:
        names = json.loads(metadata[b"names"])
    except RecursionError:
        names = None
    if not text_list(names):
        raise ValueError("its names are no texts")
    return Answers(values, tuple(names))


def form(answers: Answers) -> tuple[str, int, tuple[str, ...] | None]:
    """What must not change from batch to batch: text or numbers or truth values, the scores per row, their names.

    >>> form(Answers(pa.array(["ham", "spam"])))
    ('text', 0, None)
    >>> form(Answers(pa.array([["ham"], []])))
    ('lists of text', 0, None)
    """
    kind = answers.values.type
    listed = is_list(kind)
    if listed:
        kind = kind.value_type
    family = "text" if is_text(kind) else "truth values" if pa.types.is_boolean(kind) else "numbers"
    return f"lists of {family}" if listed and answers.width is None else family, answers.width or 0, answers.names


@dataclass
class SameForm:
    """Watches that a model's answers keep their form: labels that turn from numbers into text would match nothing."""

    role: str
    first: Answers | None = field(default=None)

    def check(self, answers: Answers) -> None:
        """Raises :class:`EvidenceError` where the form is not that of the first batch.

        A batch of nothing but empty lists goes with lists of any kind, and decides nothing.
        """
        kind = answers.values.type
        nothing = is_list(kind) and pa.types.is_null(kind.value_type)
        if nothing and (self.first is None or form(self.first)[0].startswith("lists")):
            return
        if self.first is None:
            self.first = answers
        elif form(answers) != form(self.first):
            raise model_error(
                self.role,
                f"answers {in_words(answers)} after it answered {in_words(self.first)}",
                "predict must return the same kind of answer for every batch",
            )


def in_words(answers: Answers) -> str:
    """The form of answers, for a message.

    >>> in_words(Answers(pa.array([1, 2])))
    'numbers'
    """
    family, width, names = form(answers)
    return family + (f" in {width} columns" if width else "") + (f" named {', '.join(names)}" if names else "")


def model_error(role: str, found: str, hint: str = "", withheld: str = "") -> EvidenceError:
    """The error of a model, by its role; what the model wrote is made presentable.

    ``withheld`` is what is said where no value of the data may be, if ``found`` might hold one.

    >>> print(model_error("candidate", "predict raised ValueError: no"))
    candidate model: predict raised ValueError: no
    """
    problem = Problem(presentable(found), f"{role} model", presentable(hint), presentable(withheld))
    return EvidenceError(problems=[problem])
