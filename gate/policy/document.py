"""The policy file's shape: which keys there are and what they may hold. The JSON Schema is generated from it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StrictBool, StrictFloat, StrictInt, StrictStr, Tag

Scalar = StrictBool | StrictInt | StrictFloat | StrictStr | None
Limit = StrictStr | StrictInt | StrictFloat
Name = Annotated[StrictStr, Field(min_length=1)]
Percent = Annotated[StrictStr, Field(pattern=r"^\s*[+-]?[0-9]+(\.[0-9]+)?\s*%\s*$")]


TaskKey = Literal[
    "kind", "outputs", "classes", "threshold", "top_k", "match", "pattern", "take", "tolerance", "score",
    "right_at_least", "continuous", "largest_change",
]  # fmt: skip


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PerModelPart(_Part):
    """A number for each model."""

    candidate: StrictFloat | StrictInt
    incumbent: StrictFloat | StrictInt


class ScoreColumnsPart(_Part):
    """A column of scores for each model."""

    candidate: Name
    incumbent: Name


def _shape(value: Any) -> str:
    return "mapping" if isinstance(value, (dict, BaseModel)) else "one"


OneOrPerModel = Annotated[
    Annotated[StrictFloat | StrictInt, Tag("one")] | Annotated[PerModelPart, Tag("mapping")], Discriminator(_shape)
]
OneOrTwoColumns = Annotated[
    Annotated[Name, Tag("one")] | Annotated[ScoreColumnsPart, Tag("mapping")], Discriminator(_shape)
]


class TolerancePart(_Part):
    """How far from the label is still right; one of the three."""

    absolute: StrictFloat | StrictInt | None = Field(default=None, description="in the label's unit")
    relative: Annotated[StrictStr, Field(pattern=r"^\s*[0-9]+(\.[0-9]+)?\s*%\s*$")] | None = Field(
        default=None, description="of the label's size, such as 5%"
    )
    column: Name | None = Field(default=None, description="column with an absolute tolerance for each row")


class TaskPart(_Part):
    """What kind of answers the models give, and how to read them."""

    kind: Literal["classification", "multilabel", "regression", "generation", "scores"] = "classification"
    outputs: Literal["labels", "indices", "indicators", "probabilities", "logits", "scores"] | None = Field(
        default=None, description="how the models answer; left out, it is seen from shape and type"
    )
    classes: list[Scalar] | None = Field(default=None, description="all classes, in the order of the models' outputs")
    threshold: OneOrPerModel | None = Field(
        default=None,
        description="a score at or above it is the second class, a probability the label (default 0.5);"
        " one number, or one for each model",
    )
    top_k: Annotated[StrictInt, Field(ge=1)] | None = Field(
        default=None, description="classification: right if the label is among the k largest"
    )
    match: Literal["each", "set", "exact", "normalized", "regex", "number"] | None = Field(
        default=None,
        description="multilabel: each label for itself (default), or the set;"
        " generation: how a text is held against the label (default exact)",
    )
    pattern: Name | None = Field(
        default=None, description="with match: regex (RE2); finds the answer, all of it or its group (?P<answer>...)"
    )
    take: Literal["first", "last"] | None = Field(
        default=None, description="with match: number; which number of the text is the answer (default last)"
    )
    tolerance: TolerancePart | None = Field(default=None, description="how far from the label is still right")
    score: OneOrTwoColumns | None = Field(
        default=None,
        description="generation: the column of a scorer's scores, one name where each model has a file of its own",
    )
    right_at_least: StrictFloat | StrictInt | None = Field(
        default=None, description="the score from which on it is right"
    )
    continuous: StrictBool = Field(
        default=False, description="compare the two scores of each row: a lower one is a negative flip"
    )
    largest_change: StrictFloat | StrictInt | None = Field(
        default=None,
        description="how far two scores of a row can be apart at most, in the unit of the score: with it the bounds of"
        " mean_loss and mean_gain hold whatever the scores are like",
    )
    left_open: list[TaskKey] = Field(
        default_factory=list,
        description="what a policy that extends this one may say of the task, though it decides a locked rule",
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
    sample: Name | None = Field(
        default=None,
        description="column that numbers the answers to one id, where it is asked several times; the id is the cluster"
        " unless `cluster` names larger ones",
    )
    label: Name | None = Field(default=None, description="column with the right answer")
    slices: dict[Name, SlicePart] = Field(default_factory=dict)
    contract: Name | None = Field(
        default=None, description="Great Expectations suite (JSON or YAML), relative to this file"
    )
    cluster: Name | None = Field(default=None, description="column of what belongs together: a user, a document")
    weight: Name | None = Field(default=None, description="column with the weight of each row, above 0")
    exclusions: Name | None = Field(
        default=None, description="file with the columns id, reason and owner: rows that do not count, for either model"
    )
    noise_floor: list[Name] = Field(
        default_factory=list,
        description="columns with the answers of retrained incumbents, or under task.score with their scores, for the"
        " excess_ rates; left out, the other samples are their noise",
    )


class EvidencePart(_Part):
    """How sure one must be, and who carries the proof."""

    confidence: Percent = Field(default="95%", description="of each one-sided bound")
    decide_on: Literal["proof", "estimate", "harm"] = "proof"
    looks: Annotated[StrictInt, Field(ge=1, le=10_000)] = Field(
        default=1, description="decisions that this held-out set will serve; the error is spent over them"
    )


class OverridePart(_Part):
    """Another limit for one cell of a rule."""

    cell: Scalar = Field(description="the class, output or slice value")
    at_most: Limit | None = None
    at_least: Limit | None = None
    warn_above: Limit | None = None
    warn_below: Limit | None = None


class GoldenPart(_Part):
    """A column that marks the golden rows."""

    column: Name = Field(description="true where a row may not be a negative flip")


class FlipCostPart(_Part):
    """What one kind of negative flip costs."""

    label: Scalar = Field(description="the label")
    output: Scalar = Field(description="the candidate's wrong answer")
    cost: StrictFloat | StrictInt


class FlipGainPart(_Part):
    """What one kind of positive flip saves."""

    label: Scalar = Field(description="the label")
    output: Scalar = Field(description="the incumbent's wrong answer")
    gain: StrictFloat | StrictInt


class NetCostPart(_Part):
    """What the flips cost, less what they save."""

    per: Annotated[StrictInt, Field(ge=1)] = Field(default=1000, description="rows that the limit is about")
    negative: list[FlipCostPart] = Field(min_length=1)
    positive: list[FlipGainPart] = Field(default_factory=list)


class RulePart(_Part):
    """One demand: a rate, where to look, and its limit; or a golden set; or what flips may cost."""

    id: Name
    rate: Name | None = None
    must_not_regress: Name | GoldenPart | None = Field(
        default=None, description="file of ids, or {column: ...}: none of these rows may be a negative flip"
    )
    net_cost: NetCostPart | None = None
    of: Literal["candidate", "incumbent"] | None = None
    by: Name | None = Field(
        default=None, description="class, output, or the name of a slice; left out, all rows together"
    )
    at_most: Limit | None = None
    at_least: Limit | None = None
    warn_above: Limit | None = None
    warn_below: Limit | None = None
    at_least_n: Annotated[StrictInt, Field(ge=1, le=10**12)] | None = Field(
        default=None,
        description="a cell of fewer rows cannot pass; it is inconclusive",
    )
    overrides: list[OverridePart] = Field(default_factory=list)
    decide_on: Literal["proof", "estimate", "harm"] | None = None
    correction: Literal["holm"] | None = Field(
        default=None, description="with decide_on: harm and by: refuse a cell only if it stands after Holm's correction"
    )
    severity: Literal["enforce", "warn"] = "enforce"
    locked: StrictBool = Field(default=False, description="cannot be restated or waived below")
    because: Name | None = Field(default=None, description="why the rule is there; shown where it decides")


class PromotionPart(_Part):
    """What a promotion moves."""

    alias: Name
    keep_previous_as: Name | None = None


class WaiverPart(_Part):
    """A finding that somebody takes upon themselves, for a while."""

    rule: Name
    cell: Scalar = Field(default=None, description="for a rule with `by`: the cell")
    up_to: Limit | None = Field(default=None, description="the limit that still holds; left out, none does")
    because: Name
    owner: Name
    expires: Name = Field(description="last day, YYYY-MM-DD in UTC")


class EnvironmentPart(_Part):
    """What is different in one environment; laid over the rest."""

    evidence: EvidencePart | None = None
    rules: list[RulePart] | None = None
    on_missing_incumbent: Literal["refuse", "absolute_rules_only"] | None = None
    promotion: PromotionPart | None = None
    waivers: list[WaiverPart] | None = None


class PolicyDocument(_Part):
    """A policy file, version 1."""

    version: Literal[1]
    name: Name
    task: TaskPart = TaskPart()
    holdout: HoldoutPart = HoldoutPart()
    evidence: EvidencePart = EvidencePart()
    on_missing_incumbent: Literal["refuse", "absolute_rules_only"] = "refuse"
    rules: list[RulePart]
    waivers: list[WaiverPart] = Field(default_factory=list)
    environments: dict[Name, EnvironmentPart] = Field(default_factory=dict)
    promotion: PromotionPart | None = None
    extends: Name | None = Field(default=None, description="one local policy file that this one builds on")


def parts_at(path: tuple[Any, ...]) -> type[BaseModel] | None:
    """The part of the document that stands at ``path`` (keys and list positions), None where there is none.

    >>> parts_at(("rules", 3, "overrides", 0)).__name__, parts_at(("environments", "staging", "rules", 1)).__name__
    ('OverridePart', 'RulePart')
    """
    if path[:1] == ("environments",) and len(path) > 2:
        return EnvironmentPart if len(path) == 2 else parts_at(path[2:])
    named = (("holdout", "slices"), ("environments",))
    shape = tuple("*" if isinstance(step, int) or path[:i] in named else step for i, step in enumerate(path))
    return _PARTS.get(shape)


_PARTS: dict[tuple[str, ...], type[BaseModel]] = {
    (): PolicyDocument,
    ("task",): TaskPart,
    ("task", "threshold"): PerModelPart,
    ("task", "tolerance"): TolerancePart,
    ("task", "score"): ScoreColumnsPart,
    ("holdout",): HoldoutPart,
    ("holdout", "slices", "*"): SlicePart,
    ("evidence",): EvidencePart,
    ("rules", "*"): RulePart,
    ("rules", "*", "overrides", "*"): OverridePart,
    ("rules", "*", "must_not_regress"): GoldenPart,
    ("rules", "*", "net_cost"): NetCostPart,
    ("rules", "*", "net_cost", "negative", "*"): FlipCostPart,
    ("rules", "*", "net_cost", "positive", "*"): FlipGainPart,
    ("waivers", "*"): WaiverPart,
    ("environments", "*"): EnvironmentPart,
    ("promotion",): PromotionPart,
}
