"""The kinds of task, by the name that a policy gives them. A new kind is one module and one line here."""

from __future__ import annotations

from collections.abc import Callable

from gate.tasks.batch import Classes, Task
from gate.tasks.classification import Classification, Reading


def _classification(outputs: str | None, threshold: float | None, classes: Classes) -> Task:
    return Classification(Reading(outputs, threshold), classes)


KINDS: dict[str, Callable[[str | None, float | None, Classes], Task]] = {"classification": _classification}
"""Kind -> how to make it from the policy's ``outputs`` and ``threshold`` and the classes that are known."""
