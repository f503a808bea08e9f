"""The policy file's shape: which keys there are and what they may hold. The JSON Schema is generated from it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

Scalar = StrictBool | StrictInt | StrictFloat | StrictStr | None
Limit = StrictStr | StrictInt | StrictFloat
Name = Annotated[StrictStr, Field(min_length=1)]
Percent = Annotated[StrictStr, Field(pattern=r"^\s*[+-]?[0-9]+(\.[0-9]+)?\s*%\s*$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TaskPart(_Part):
    """What kind of answers the models give, and how to read them."""

    kind: Literal["classification"] = "classification"
    outputs: Literal["labels", "indices", "probabilities", "logits", "scores"] | None = Field(
        default=None, description="how the models answer; left out, it is seen from shape and type"
    )
    classes: list[Scalar] | None = Field(default=None, description="all classes, in the order of the models' outputs")
    threshold: StrictFloat | StrictInt | None = Field(
        default=None, description="with outputs: scores; at or above it is the second class (default 0.5)"
    )


class SlicePart(_Part):
    """A way to cut the held-out set: a column, perhaps in bins; two columns; or a condition."""

    column: Name | None = Field(default=None, description="one cell for each value of this column")
    bins: list[StrictInt | StrictFloat] | None = Field(
        default=None, description="with column: rising edges; one cell for each interval between them"
    )
    columns: list[Name] | None = Field(default=None, description="two columns: one cell for each pair of values")
    where: Name | None = Field(default=None, description="a condition; one cell, true, for the rows that it holds for")


class HoldoutPart(_Part):
    """What the columns of the held-out set mean."""

    id: Name | None = Field(default=None, description="column that names each row; left out, the row number is the id")
    label: Name | None = Field(default=None, description="column with the right answer")
    slices: dict[Name, SlicePart] = Field(default_factory=dict)
    contract: Name | None = Field(
        default=None, description="Great Expectations suite (JSON or YAML), relative to this file"
    )


class EvidencePart(_Part):
    """How sure one must be, and who carries the proof."""

    confidence: Percent = Field(default="95%", description="of each one-sided bound")
    decide_on: Literal["proof", "estimate", "harm"] = "proof"


class OverridePart(_Part):
    """Another limit for one cell of a rule."""

    cell: Scalar = Field(description="the class, output or slice value")
    at_most: Limit | None = None
    at_least: Limit | None = None
    warn_above: Limit | None = None
    warn_below: Limit | None = None


class RulePart(_Part):
    """One demand: a rate, where to look, and its limit."""

    id: Name
    rate: Name
    of: Literal["candidate", "incumbent"] | None = None
    by: Name | None = Field(
        default=None, description="class, output, or the name of a slice; left out, all rows together"
    )
    at_most: Limit | None = None
    at_least: Limit | None = None
    warn_above: Limit | None = None
    warn_below: Limit | None = None
    at_least_n: Annotated[StrictInt, Field(ge=1, le=10**12)] | None = Field(
        default=None, description="a cell of fewer rows cannot pass; it is inconclusive"
    )
    overrides: list[OverridePart] = Field(default_factory=list)
    decide_on: Literal["proof", "estimate", "harm"] | None = None
    severity: Literal["enforce", "warn"] = "enforce"
    because: Name | None = Field(default=None, description="why the rule is there; shown where it decides")


class PromotionPart(_Part):
    """What a promotion moves."""

    alias: Name
    keep_previous_as: Name | None = None


class PolicyDocument(_Part):
    """A policy file, version 1."""

    version: Literal[1]
    name: Name
    task: TaskPart = TaskPart()
    holdout: HoldoutPart = HoldoutPart()
    evidence: EvidencePart = EvidencePart()
    on_missing_incumbent: Literal["refuse", "absolute_rules_only"] = "refuse"
    rules: list[RulePart]
    promotion: PromotionPart | None = None


def parts_at(path: tuple[Any, ...]) -> type[BaseModel] | None:
    """The part of the document that stands at ``path`` (keys and list positions), None where there is none.

    >>> parts_at(("rules", 3, "overrides", 0)).__name__
    'OverridePart'
    """
    shape = tuple("*" if isinstance(step, int) or path[:i] == ("holdout", "slices") else step
                  for i, step in enumerate(path))  # fmt: skip
    return _PARTS.get(shape)


_PARTS: dict[tuple[str, ...], type[BaseModel]] = {
    (): PolicyDocument,
    ("task",): TaskPart,
    ("holdout",): HoldoutPart,
    ("holdout", "slices", "*"): SlicePart,
    ("evidence",): EvidencePart,
    ("rules", "*"): RulePart,
    ("rules", "*", "overrides", "*"): OverridePart,
    ("promotion",): PromotionPart,
}
