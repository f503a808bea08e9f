"""What a policy may say under ``task``, as values, and which of it belongs to which kind of task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gate.core.outcomes import Value


@dataclass(frozen=True)
class PerModel:
    """A number for each model.

    >>> PerModel(candidate=0.4, incumbent=0.5).of("candidate")
    0.4
    """

    candidate: float
    incumbent: float

    def of(self, role: str) -> float:
        return self.candidate if role == "candidate" else self.incumbent


@dataclass(frozen=True)
class ScoreColumns:
    """The columns that hold what a scorer gave each answer. One name where each model has a table of its own."""

    candidate: str
    incumbent: str


@dataclass(frozen=True)
class Tolerance:
    """How far an answer may be from the label and still be right; one of the three is set.

    ``absolute`` is in the label's unit, ``relative`` a share of the label's size, ``column`` the column of the held-out
    set with an absolute tolerance for each row.
    """

    absolute: float | None = None
    relative: float | None = None
    column: str | None = None


@dataclass(frozen=True)
class TaskOptions:
    """The kind of task and all that the policy says of it; None is what it does not say.

    >>> TaskOptions("multilabel", match="each", classes=("a", "b")).dimensions
    ('class', 'output', 'label')
    """

    kind: str = "classification"
    outputs: str | None = None
    classes: tuple[Value, ...] | None = None
    threshold: float | PerModel | None = None
    top_k: int | None = None
    match: str | None = None
    pattern: str | None = None
    take: str | None = None
    tolerance: Tolerance | None = None
    score: ScoreColumns | None = None
    right_at_least: float | None = None
    continuous: bool = False
    largest_change: float | None = None

    @property
    def scored(self) -> bool:
        """Whether each row has two scores, so that a loss or a gain has a size."""
        return scored(self.kind, self.score is not None, self.right_at_least is not None or self.continuous)

    @property
    def needs_label(self) -> bool:
        """Whether there must be a right answer to hold the outputs against; else they were judged already."""
        return self.kind != "scores" and self.score is None

    @property
    def columns(self) -> dict[str, str]:
        """The columns of the held-out set that it needs besides the label: purpose -> name."""
        named = self.tolerance.column if self.tolerance is not None else None
        return {} if named is None else {"tolerance": named}

    @property
    def meaningless(self) -> tuple[str, ...]:
        """The rates that this task gives no meaning to."""
        return tuple(without_meaning(self.kind, self.continuous))

    def units(self, by: str | None) -> int:
        """How many units a row makes in the cells of ``by`` (None: over all): one for each label, where each is judged.

        A cell of the task's own dimensions has at most one of a row.

        >>> told = TaskOptions("multilabel", classes=("a", "b", "c"))
        >>> told.units(None), told.units("label"), TaskOptions().units(None)
        (3, 1, 1)
        """
        each = self.kind == "multilabel" and self.match in (None, "each")
        return len(self.classes or ("",)) if each and by not in self.dimensions else 1

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What a rule's ``by`` may name besides the slices."""
        return dimensions(self.kind, self.match)


KEYS: dict[str, tuple[str, ...]] = {
    "classification": ("outputs", "classes", "threshold", "top_k"),
    "multilabel": ("outputs", "classes", "threshold", "match"),
    "regression": ("tolerance", "continuous", "largest_change"),
    "generation": (
        "match", "pattern", "take", "tolerance", "score", "right_at_least", "continuous", "largest_change",
    ),
    "scores": ("right_at_least", "continuous", "largest_change"),
}  # fmt: skip
"""Kind of task -> the keys that it knows besides ``kind``."""

CHOICES: dict[tuple[str, str], tuple[str, ...]] = {
    ("classification", "outputs"): ("labels", "indices", "probabilities", "logits", "scores"),
    ("multilabel", "outputs"): ("labels", "indicators", "probabilities"),
    ("multilabel", "match"): ("each", "set"),
    ("generation", "match"): ("exact", "normalized", "regex", "number"),
    ("generation", "take"): ("first", "last"),
}
"""(kind, key) -> the words that the key may hold; of ``match`` the first is the default."""

_OF_OUTPUTS = ("churn", "wrong_to_different_wrong", "excess_churn")
_OF_RIGHT_ANSWERS = (
    "error_rate", "error_rate_ratio", "relative_nfr", "nfi", "btc", "bec", "both_right", "both_wrong",
)  # fmt: skip


def without_meaning(kind: str, continuous: bool) -> dict[str, str]:
    """The rates that a task gives no meaning to, each with the reason.

    >>> list(without_meaning("scores", continuous=False))
    ['churn', 'wrong_to_different_wrong', 'excess_churn']
    >>> without_meaning("classification", continuous=False)
    {}
    """
    if continuous:
        return dict.fromkeys(_OF_RIGHT_ANSWERS + _OF_OUTPUTS, "task.continuous only compares the two scores of a row")
    if kind == "scores":
        return dict.fromkeys(_OF_OUTPUTS, "kind: scores does not know what the models answered")
    return {}


def scored(kind: str, has_score: bool, graded: bool) -> bool:
    """Whether each row has two scores: in a regression it does, elsewhere where scores are more than right or wrong.

    ``graded`` says that they are: that ``right_at_least`` reads them, or ``continuous`` compares them.

    >>> scored("regression", False, False), scored("scores", False, False), scored("scores", False, True)
    (True, False, True)
    """
    return kind == "regression" or (graded and (kind == "scores" or (kind == "generation" and has_score)))


def clash(classes: Sequence[Value]) -> Value:
    """A class that is called like the absence of another one, None if there is none.

    >>> clash(["cat", "dog"]), clash(["cat", "not cat"])
    (None, 'not cat')
    """
    absent = {f"not {value}" for value in classes}
    return next((value for value in classes if value in absent), None)


def dimensions(kind: str, match: str | None) -> tuple[str, ...]:
    """What a rule's ``by`` may name besides the slices, for a kind of task and its ``match``.

    >>> dimensions("regression", None)
    ()
    """
    if kind == "classification":
        return ("class", "output")
    return ("class", "output", "label") if kind == "multilabel" and match in (None, "each") else ()
