"""What a policy may say under ``task``, as values, and which of it belongs to which kind of task."""

from __future__ import annotations

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
    def dimensions(self) -> tuple[str, ...]:
        """What a rule's ``by`` may name besides the slices."""
        return dimensions(self.kind, self.match)


KEYS: dict[str, tuple[str, ...]] = {
    "classification": ("outputs", "classes", "threshold", "top_k"),
    "multilabel": ("outputs", "classes", "threshold", "match"),
    "regression": ("tolerance", "continuous"),
    "generation": ("match", "pattern", "take", "tolerance", "score", "right_at_least", "continuous"),
    "scores": ("right_at_least", "continuous"),
}
"""Kind of task -> the keys that it knows besides ``kind``."""

CHOICES: dict[tuple[str, str], tuple[str, ...]] = {
    ("classification", "outputs"): ("labels", "indices", "probabilities", "logits", "scores"),
    ("multilabel", "outputs"): ("labels", "indicators", "probabilities"),
    ("multilabel", "match"): ("each", "set"),
    ("generation", "match"): ("exact", "normalized", "regex", "number"),
    ("generation", "take"): ("first", "last"),
}
"""(kind, key) -> the words that the key may hold; of ``match`` the first is the default."""

RELATIVE_RATES = ("nfr", "pfr", "error_rate_change", "churn")
"""The rates that compare the two models of each row, and so keep their meaning where no answer is right or wrong."""


def dimensions(kind: str, match: str | None) -> tuple[str, ...]:
    """What a rule's ``by`` may name besides the slices, for a kind of task and its ``match``.

    >>> dimensions("regression", None)
    ()
    """
    if kind == "classification":
        return ("class", "output")
    return ("class", "output", "label") if kind == "multilabel" and match in (None, "each") else ()
