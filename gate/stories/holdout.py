"""What the policy makes of the held-out set's columns, batch by batch: all about a row but the models' answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gate.core.outcomes import Codes
from gate.data.digests import ContentDigest
from gate.data.tables import Table, open_table
from gate.errors import EvidenceError, UsageError, did_you_mean
from gate.policy.rules import Golden, Policy
from gate.tasks.batch import Answers, Batch
from gate.tasks.slicing import Slices
from gate.tasks.vocabulary import Vocabulary

_LIGHTEST, _HEAVIEST = 1e-12, 1e12  # what sums of weights can hold without rounding


@dataclass(frozen=True)
class Rows:
    """A batch without answers. ``counts`` marks the rows that are not excluded, None where none is."""

    ids: pa.Array
    label: pa.Array
    slices: Mapping[str, Codes]
    columns: Mapping[str, pa.Array]
    first_row: int
    cluster: Codes | None = None
    weight: NDArray[np.float64] | None = None
    retrained: tuple[pa.Array, ...] = ()
    counts: NDArray[np.bool_] | None = None

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
            retrained=tuple(Answers.of(column) for column in self.retrained),
        )
        return whole if self.counts is None else whole.only(self.counts)


@dataclass
class _Listed:
    """Ids from a file, and which of them the held-out set has."""

    what: str
    ids: pa.Array
    seen: NDArray[np.bool_]

    def __post_init__(self) -> None:
        flaw = _first_flaw(self.ids)
        if flaw is not None:
            raise EvidenceError(flaw, where=self.what, hint="each id stands there once")

    def places(self, ids: pa.Array) -> pa.Array:
        """For each row of a batch the place of its id in the file, null where it is not there."""
        here, there = (_decoded(one) for one in (ids, self.ids))
        if here.type != there.type:
            kinds = family(here.type), family(there.type)
            if kinds[0] != kinds[1]:
                raise EvidenceError(
                    f"its ids are {self.ids.type}, those of the held-out set {ids.type}",
                    where=self.what,
                    hint="1 and '1' are not the same id: cast one side, a file of text without quotes is best Parquet",
                )
            wide = pa.int64() if kinds[0] == "integer" else pa.large_string()
            try:
                here, there = here.cast(wide), there.cast(wide)
            except pa.ArrowInvalid as error:
                hint = "write them as text"
                raise EvidenceError(f"ids are too large: {error}", where=self.what, hint=hint) from None
        places = pc.index_in(here, value_set=there)
        self.seen[places.drop_null().to_numpy()] = True
        return places

    def marks(self, ids: pa.Array) -> NDArray[np.bool_]:
        return np.asarray(pc.is_valid(self.places(ids)).to_numpy(zero_copy_only=False))

    def finish(self) -> None:
        absent = np.flatnonzero(~self.seen)
        if len(absent):
            some = ", ".join(repr(self.ids[int(place)].as_py()) for place in absent[:3])
            raise EvidenceError(
                f"{len(absent)} of its {len(self.ids)} ids are not in the held-out set"
                f" ({some}{', ...' if len(absent) > 3 else ''})",
                where=self.what,
                hint="mend the ids, or use the held-out set that they were written for",
            )


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
        self._golden = {rule: self._listed(rule) for rule in self.policy.rules if isinstance(rule, Golden)}
        self._exclusions, self._reasons = self._excluded(holdout.exclusions)

    @property
    def wanted(self) -> dict[str, str]:
        """Purpose -> column, of all columns that the policy reads but the answers."""
        holdout = self.policy.holdout
        named = {"id": holdout.id, "label": holdout.label, "cluster": holdout.cluster, "weight": holdout.weight}
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
            for name in (holdout.id, holdout.cluster, holdout.weight, *holdout.noise_floor, *marks)
            if name is not None
        )

    @property
    def exclusions(self) -> tuple[dict[str, Any], ...]:
        """What was excluded, by reason and owner, most rows first."""
        found = [{"reason": r, "owner": o, "rows": rows} for (r, o), rows in self.excluded_rows.items()]
        return tuple(sorted(found, key=lambda row: (-int(str(row["rows"])), str(row["reason"]), str(row["owner"]))))

    def rows(self, read: pa.RecordBatch, first_row: int, label: pa.Array | None = None) -> Rows:
        """What the policy makes of a batch; ``label`` overrides the label column, where it stands in another file."""
        holdout = self.policy.holdout
        ids = pa.array(np.arange(first_row, first_row + read.num_rows)) if holdout.id is None else read[holdout.id]
        if label is None:
            label = pa.nulls(read.num_rows) if holdout.label is None else read[holdout.label]
        slices = self._slices.codes({name: read[name] for name in self._slices.columns})
        counts = self._counting(ids)
        for rule, listed in self._golden.items():
            golden = self._is_golden(rule, listed, read, ids)
            if counts is not None and (golden & ~counts).any():
                raise _both(rule, ids.filter(pa.array(golden & ~counts)))
            slices[rule.by] = Codes(np.where(golden, 0, -1), (True,))
        return Rows(
            ids=ids,
            label=label,
            slices=slices,
            columns={name: read[name] for name in self.policy.task.columns.values()},
            first_row=first_row,
            cluster=None if holdout.cluster is None else self._cluster(read[holdout.cluster], first_row),
            weight=None if holdout.weight is None else self._weight(read[holdout.weight], first_row),
            retrained=tuple(read[column] for column in holdout.noise_floor),
            counts=counts,
        )

    def finish(self) -> None:
        """EvidenceError for ids of a golden set or of the exclusions that the held-out set does not have."""
        for listed in (*self._golden.values(), self._exclusions):
            if listed is not None:
                listed.finish()

    def _opened(self, file: str, what: str) -> Table:
        """The table of a listed file, whose digest is kept for the record."""
        table = open_table(file, what=what)
        digest = ContentDigest(table.schema)
        for read in table.batches(65_536):
            digest.update(read)
        self.files[file] = digest.hexdigest()
        return table

    def _listed(self, rule: Golden) -> _Listed | None:
        if rule.file is None:
            return None
        where = f"golden set {rule.file}"
        table = self._opened(rule.file, "golden set")
        names = (self.policy.holdout.id, "id")
        column = next((name for name in names if name in table.schema.names), None)
        if column is None:  # not just the only column there is: without a header the first id would name it
            wanted = " or ".join(repr(name) for name in dict.fromkeys(names) if name is not None)
            raise UsageError(
                f"no column {wanted}; found {', '.join(map(repr, table.schema.names))}",
                where=where,
                hint="the first line names the columns; that of the ids is called as holdout.id says, or id",
            )
        ids = _all_of(table, column)
        if not len(ids):
            raise EvidenceError("it has no ids", where=where, hint="a golden set without rows guards nothing")
        return _Listed(where, ids, np.zeros(len(ids), dtype=np.bool_))

    def _excluded(self, file: str | None) -> tuple[_Listed | None, list[tuple[str, str]]]:
        if file is None:
            return None, []
        where = f"exclusions {file}"
        table = self._opened(file, "exclusions")
        lacking = [name for name in ("id", "reason", "owner") if name not in table.schema.names]
        if lacking:
            near = did_you_mean(lacking[0], table.schema.names)
            raise UsageError(
                f"no column {lacking[0]!r}{near}", where=where, hint="its columns are id, reason and owner"
            )
        reasons, owners = (_all_of(table, name).to_pylist() for name in ("reason", "owner"))
        told = [
            (str(reason or "").strip(), str(owner or "").strip()) for reason, owner in zip(reasons, owners, strict=True)
        ]
        for row, (reason, owner) in enumerate(told):
            if not reason or not owner:
                missing = "reason" if not reason else "owner"
                raise UsageError(
                    f"row {row} has no {missing}", where=where, hint="an exclusion has a reason and an owner"
                )
        ids = _all_of(table, "id")
        return (_Listed(where, ids, np.zeros(len(ids), dtype=np.bool_)) if len(ids) else None), told

    def _counting(self, ids: pa.Array) -> NDArray[np.bool_] | None:
        if self._exclusions is None:
            return None
        places = self._exclusions.places(ids)
        for place in places.drop_null().to_pylist():
            told = self._reasons[place]
            self.excluded_rows[told] = self.excluded_rows.get(told, 0) + 1
        return np.asarray(places.is_null().to_numpy(zero_copy_only=False))

    def _is_golden(
        self, rule: Golden, listed: _Listed | None, read: pa.RecordBatch, ids: pa.Array
    ) -> NDArray[np.bool_]:
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
        missing = _decoded(column).is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
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


def _all_of(table: Any, column: str) -> pa.Array:
    parts = [read[column] for read in table.batches(65_536, [column])]
    return pa.concat_arrays(parts) if parts else pa.array([], table.schema.field(column).type)


def _decoded(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _first_flaw(ids: pa.Array) -> str | None:
    """The first row of a file of ids that has none, or one that stood there before."""
    seen: set[Any] = set()
    for row, value in enumerate(ids.to_pylist()):
        if value is None:
            return f"row {row} has no id"
        if value in seen:
            return f"row {row}: the id {value!r} stands there a second time"
        seen.add(value)
    return None


def _both(rule: Golden, ids: pa.Array) -> EvidenceError:
    some = ", ".join(repr(value) for value in ids.slice(0, 3).to_pylist())
    return EvidenceError(
        f"{len(ids)} of its rows are excluded ({some}{', ...' if len(ids) > 3 else ''})",
        where=f"golden set {rule.file or rule.id}",
        hint="a golden row must count: take it out of the exclusions, or out of the golden set",
    )


def family(kind: pa.DataType) -> str:
    """What kind of ids a type holds; ids of two kinds are never taken for one another.

    >>> family(pa.int32()), family(pa.large_string())
    ('integer', 'text')
    """
    if pa.types.is_integer(kind):
        return "integer"
    return "text" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else str(kind)
