"""What the policy makes of the held-out set's columns, batch by batch: all about a row but the models' answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gate.core.outcomes import Codes
from gate.data.identity import UniqueIds
from gate.data.tables import Table
from gate.errors import EvidenceError
from gate.policy.rules import Golden, Policy
from gate.stories.beside import columns_beside
from gate.stories.listed import Listed, golden_ids, read_exclusions, some_ids
from gate.stories.repeats import Questions, names
from gate.tasks.batch import Answers, Batch, Repeats
from gate.tasks.slicing import Slices
from gate.tasks.vocabulary import Vocabulary

_LIGHTEST, _HEAVIEST = 1e-12, 1e12  # what sums of weights can hold without rounding


@dataclass(frozen=True)
class Rows:
    """A batch without answers. ``counts`` marks the rows that are not excluded, None where none is.

    ``retrained`` are the columns of the noise floor, and ``scored`` says that they hold scores beside unknown texts.
    ``beside`` are columns that flipped rows are shown with.
    """

    ids: pa.Array
    label: pa.Array
    slices: Mapping[str, Codes]
    columns: Mapping[str, pa.Array]
    first_row: int
    cluster: Codes | None = None
    weight: NDArray[np.float64] | None = None
    retrained: tuple[pa.Array, ...] = ()
    scored: bool = False
    repeats: Repeats | None = None
    counts: NDArray[np.bool_] | None = None
    beside: pa.RecordBatch | None = None

    def batch(self, candidate: Answers, incumbent: Answers | None) -> Batch:
        """The batch with the answers of both models, without the rows that are excluded."""
        whole = Batch(
            ids=self.ids,
            label=self.label,
            candidate=candidate,
            incumbent=incumbent,
            slices=self.slices,
            first_row=self.first_row,
            cluster=self.cluster,
            weight=self.weight,
            columns=self.columns,
            retrained=tuple(self._again(column, incumbent) for column in self.retrained),
            repeats=self.repeats,
            beside=self.beside,
        )
        return whole if self.counts is None else whole.only(self.counts)

    def _again(self, column: pa.Array, incumbent: Answers | None) -> Answers:
        if not self.scored or incumbent is None:
            return Answers.of(column)
        return Answers(incumbent.values, score=column)  # what it said is not given, and decides nothing


@dataclass
class HeldOut:
    """Reads batches as a policy says; one for each run, since it remembers which listed ids it saw.

    ``files`` holds the digests of the files that the policy lists rows in: golden sets and exclusions.

    UsageError where a file that the policy names is absent, EvidenceError where it is unreadable.
    """

    policy: Policy
    excluded_rows: dict[tuple[str, str], int] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        holdout = self.policy.holdout
        self._slices = Slices(holdout.slices)
        self._clusters = Vocabulary()
        self._questions = Questions(f"column {holdout.cluster!r}")
        self._golden: dict[Golden, Listed | None] = {
            rule: golden_ids(rule, holdout.id, self.files) for rule in self.policy.rules if isinstance(rule, Golden)
        }
        self._exclusions = read_exclusions(holdout.exclusions, self.files)

    @property
    def wanted(self) -> dict[str, str]:
        """Purpose -> column, of all columns that the policy reads but the answers."""
        holdout = self.policy.holdout
        named = {"id": holdout.id, "sample number": holdout.sample, "label": holdout.label}
        named |= {"cluster": holdout.cluster, "weight": holdout.weight}
        named |= {f"noise floor ({i + 1})": column for i, column in enumerate(holdout.noise_floor)}
        named |= {f"golden set {rule.id}": rule.column for rule in self._golden if rule.column is not None}
        known = {purpose: column for purpose, column in named.items() if column is not None}
        return {**known, **self._slices.purposes, **self.policy.task.columns}

    @property
    def not_features(self) -> frozenset[str]:
        """Columns that say something about a row but not to a model, unless its signature asks for them by name."""
        holdout = self.policy.holdout
        marks = (rule.column for rule in self._golden)
        return frozenset(
            name
            for name in (holdout.id, holdout.sample, holdout.cluster, holdout.weight, *holdout.noise_floor, *marks)
            if name is not None
        )

    @property
    def exclusions(self) -> tuple[dict[str, Any], ...]:
        """What was excluded, by reason and owner, most rows first."""
        found = [{"reason": r, "owner": o, "rows": rows} for (r, o), rows in self.excluded_rows.items()]
        return tuple(sorted(found, key=lambda row: (-int(str(row["rows"])), str(row["reason"]), str(row["owner"]))))

    def rows(
        self, read: pa.RecordBatch, first_row: int, label: pa.Array | None = None, answers: Collection[str] = ()
    ) -> Rows:
        """What the policy makes of a batch; ``label`` overrides the label column, where it stands in another file.

        ``answers`` are columns that say nothing of a row itself.
        """
        holdout = self.policy.holdout
        ids = self.ids(read, first_row)
        listed_by = ids if holdout.id is None else read[holdout.id]  # files list questions, whatever the sample
        if label is None:
            label = pa.nulls(read.num_rows) if holdout.label is None else read[holdout.label]
        slices = self._slices.codes({name: read[name] for name in self._slices.columns})
        counts = self._counting(listed_by)
        for rule, listed in self._golden.items():
            golden = self._is_golden(rule, listed, read, listed_by)
            if counts is not None and (golden & ~counts).any():
                raise _both(rule, ids.filter(pa.array(golden & ~counts)))
            slices[rule.by] = Codes(np.where(golden, 0, -1), (True,))
        cluster = None if holdout.cluster is None else self._cluster(read[holdout.cluster], first_row)
        repeats = None
        if holdout.sample is not None:
            repeats = self._questions.repeats(listed_by, read[holdout.sample])
            if cluster is not None:
                self._questions.check_clusters(repeats.question, cluster)
        return Rows(
            ids=ids,
            label=label,
            slices=slices,
            columns={name: read[name] for name in self.policy.task.columns.values()},
            first_row=first_row,
            cluster=repeats.question if cluster is None and repeats is not None else cluster,
            weight=None if holdout.weight is None else self._weight(read[holdout.weight], first_row),
            retrained=tuple(read[column] for column in holdout.noise_floor),
            scored=self.policy.task.score is not None,
            repeats=repeats,
            counts=counts,
            beside=read.select(self._beside(read.schema, answers)),
        )

    def _beside(self, schema: pa.Schema, answers: Collection[str]) -> list[str]:
        """The columns that a flipped row shows, those that the policy speaks of first."""
        first = (*self._slices.columns, *self.policy.task.columns.values())
        return columns_beside(schema, first, {str(self.policy.holdout.label), *self.not_features, *answers})

    def columns(self, schema: pa.Schema) -> list[str]:
        """The columns that :meth:`rows` looks at, of those that there are, in their order."""
        looked_at = {*self.wanted.values(), *self._beside(schema, ())}
        return [name for name in schema.names if name in looked_at]

    def ids(self, read: pa.RecordBatch, first_row: int) -> pa.Array:
        """What names each row of a batch: the id, with the sample number where there is one; else the row number."""
        holdout = self.policy.holdout
        if holdout.id is None:
            return pa.array(np.arange(first_row, first_row + read.num_rows))
        if holdout.sample is None:
            return read[holdout.id]
        return names(read[holdout.id], read[holdout.sample], holdout.sample, first_row)

    @property
    def id_columns(self) -> list[str]:
        """The columns that :meth:`ids` looks at; none where row numbers are the ids."""
        holdout = self.policy.holdout
        return [name for name in (holdout.id, holdout.sample) if name is not None]

    def check_unique(self, ids: UniqueIds, table: Table, rows: int) -> None:
        """EvidenceError if an id that ``ids`` was told of is missing or stands there twice; it is read again in doubt.

        Row numbers are unique.
        """
        if self.id_columns:
            ids.check(lambda: (self.ids(read, 0) for read in table.batches(rows, self.id_columns)))

    def part(self) -> tuple[dict[tuple[str, str], int], list[NDArray[np.int64]]]:
        """What was seen so far: how many rows are excluded, by reason and owner, and which listed ids were there."""
        return dict(self.excluded_rows), [listed.part() for listed in self._listed]

    def take(self, part: tuple[dict[tuple[str, str], int], list[NDArray[np.int64]]]) -> None:
        """Add what was seen elsewhere, in other rows."""
        excluded, seen = part
        for told, rows in excluded.items():
            self.excluded_rows[told] = self.excluded_rows.get(told, 0) + rows
        for listed, places in zip(self._listed, seen, strict=True):
            listed.take(places)

    def finish(self) -> None:
        """EvidenceError for ids of a golden set or of the exclusions that the held-out set does not have."""
        for listed in self._listed:
            listed.finish()

    @property
    def _listed(self) -> list[Listed]:
        every = (*self._golden.values(), self._exclusions.ids)
        return [listed for listed in every if listed is not None]

    def _counting(self, ids: pa.Array) -> NDArray[np.bool_] | None:
        if self._exclusions.ids is None:
            return None
        places = self._exclusions.ids.places(ids)
        for place in places.drop_null().to_pylist():
            told = self._exclusions.told[place]
            self.excluded_rows[told] = self.excluded_rows.get(told, 0) + 1
        return np.asarray(places.is_null().to_numpy(zero_copy_only=False))

    def _is_golden(self, rule: Golden, listed: Listed | None, read: pa.RecordBatch, ids: pa.Array) -> NDArray[np.bool_]:
        if listed is not None:
            return listed.marks(ids)
        column = read[str(rule.column)]
        if not pa.types.is_boolean(column.type):
            raise EvidenceError(
                f"column {rule.column!r} is {column.type}, and must be true or false",
                where=f"golden set {rule.id}",
                hint="true where a row may not be a negative flip",
            )
        return np.asarray(pc.fill_null(column, False).to_numpy(zero_copy_only=False))

    def _cluster(self, column: pa.Array, first_row: int) -> Codes:
        decoded = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        missing = decoded.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
        if missing.any():
            row = first_row + int(np.argmax(missing))
            raise EvidenceError(
                f"{int(missing.sum())} rows of one batch are in no cluster, first at row {row}",
                where=f"column {self.policy.holdout.cluster!r}",
                hint="a row that belongs to nobody else is a cluster of its own: give it a name of its own",
            )
        try:
            return self._clusters.encode(column)
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
            raise EvidenceError(
                f"it is {column.type}, and cannot name clusters",
                where=f"column {self.policy.holdout.cluster!r}",
                hint="text, numbers or dates do",
            ) from None

    def _weight(self, column: pa.Array, first_row: int) -> NDArray[np.float64]:
        where = f"column {self.policy.holdout.weight!r}"
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise EvidenceError(f"weights are numbers, not {column.type}", where=where)
        weights = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        broken = {
            "missing, not finite or not above 0": ~(np.isfinite(weights) & (weights > 0)),
            "beyond 1e-12 to 1e12": ~((weights > _LIGHTEST) & (weights < _HEAVIEST)),
        }
        for what, rows in broken.items():
            if rows.any():
                raise EvidenceError(
                    f"{int(rows.sum())} weights of one batch are {what}, first at row"
                    f" {first_row + int(np.argmax(rows))}",
                    where=where,
                    hint="a row that must not count is excluded with a reason, not weighted with 0",
                )
        return np.asarray(weights)


def _both(rule: Golden, ids: pa.Array) -> EvidenceError:
    return EvidenceError(
        f"{len(ids)} of its rows are excluded ({some_ids(ids)})",
        where=f"golden set {rule.file or rule.id}",
        hint="a golden row must count: take it out of the exclusions, or out of the golden set",
    )
