"""The kinds of task, by the name that a policy gives them. A new kind is one module and one line here."""

from __future__ import annotations

from collections.abc import Callable

from gate.tasks.batch import Classes, Task
from gate.tasks.classification import Classification, Reading
from gate.tasks.generation import Generation
from gate.tasks.multilabel import Multilabel
from gate.tasks.options import TaskOptions
from gate.tasks.regression import Regression
from gate.tasks.scores import Graded

KINDS: dict[str, Callable[[TaskOptions, Classes], Task]] = {
    "classification": lambda told, classes: Classification(
        Reading(told.outputs, told.threshold, told.top_k or 1), classes
    ),
    "multilabel": Multilabel,
    "regression": lambda told, _: Regression(told),
    "generation": lambda told, _: Generation(told),
    "scores": lambda told, _: Graded(told),
}
"""Kind -> how to make it from what the policy says under ``task`` and the classes that are known."""
