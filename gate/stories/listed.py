"""Rows that a file lists by their ids: golden sets, and exclusions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gate.data.digests import ContentDigest
from gate.data.tables import Table, open_table
from gate.errors import EvidenceError, UsageError, datum, did_you_mean
from gate.policy.rules import Golden


@dataclass
class Listed:
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
                found = f"ids are too large: {datum(error, str)}"
                raise EvidenceError(found, where=self.what, hint="write them as text") from None
        places = pc.index_in(here, value_set=there)
        self.seen[places.drop_null().to_numpy()] = True
        return places

    def marks(self, ids: pa.Array) -> NDArray[np.bool_]:
        """Which rows of a batch are listed."""
        return np.asarray(pc.is_valid(self.places(ids)).to_numpy(zero_copy_only=False))

    def part(self) -> NDArray[np.int64]:
        """Which ids were seen so far, by their places in the file."""
        return np.flatnonzero(self.seen)

    def take(self, places: NDArray[np.int64]) -> None:
        """Add ids that were seen elsewhere, in other rows."""
        self.seen[places] = True

    def finish(self) -> None:
        """EvidenceError for ids that no batch had."""
        absent = np.flatnonzero(~self.seen)
        if len(absent):
            raise EvidenceError(
                f"{len(absent)} of its {len(self.ids)} ids are not in the held-out set"
                f" ({some_ids(self.ids.take(pa.array(absent[:4])))})",
                where=self.what,
                hint="mend the ids, or use the held-out set that they were written for",
            )


@dataclass(frozen=True)
class Exclusions:
    """The rows that do not count, for either model; reason and owner of each id in the file. ``ids`` may be none."""

    ids: Listed | None = None
    told: tuple[tuple[str, str], ...] = ()


def golden_ids(rule: Golden, id_column: str | None, digests: dict[str, str]) -> Listed | None:
    """The ids that a golden set's file lists; None where a column of the held-out set marks them.

    ``digests`` is told that of the file. UsageError where it is absent or lacks the column, EvidenceError where it is
    empty or an id stands there twice.
    """
    if rule.file is None:
        return None
    where = f"golden set {rule.file}"
    table = _opened(rule.file, "golden set", digests)
    names = (id_column, "id")
    column = next((name for name in names if name in table.schema.names), None)
    if column is None:  # not just the only column there is: without a header the first id would name it
        wanted = " or ".join(repr(name) for name in dict.fromkeys(names) if name is not None)
        raise UsageError(
            f"no column {wanted}; found {datum(', '.join(map(repr, table.schema.names)), str)}",
            where=where,
            hint="the first line names the columns; that of the ids is called as holdout.id says, or id",
        )
    ids = _all_of(table, column)
    if not len(ids):
        raise EvidenceError("it has no ids", where=where, hint="a golden set without rows guards nothing")
    return Listed(where, ids, np.zeros(len(ids), dtype=np.bool_))


def read_exclusions(file: str | None, digests: dict[str, str]) -> Exclusions:
    """The rows that a file excludes; none without a file. Each must have a reason and an owner (UsageError)."""
    if file is None:
        return Exclusions()
    where = f"exclusions {file}"
    table = _opened(file, "exclusions", digests)
    lacking = [name for name in ("id", "reason", "owner") if name not in table.schema.names]
    if lacking:
        near = did_you_mean(lacking[0], table.schema.names)
        raise UsageError(f"no column {lacking[0]!r}{near}", where=where, hint="its columns are id, reason and owner")
    reasons, owners = (_all_of(table, name).to_pylist() for name in ("reason", "owner"))
    told = tuple(
        (str(reason or "").strip(), str(owner or "").strip()) for reason, owner in zip(reasons, owners, strict=True)
    )
    for row, (reason, owner) in enumerate(told):
        if not reason or not owner:
            missing = "reason" if not reason else "owner"
            raise UsageError(f"row {row} has no {missing}", where=where, hint="an exclusion has a reason and an owner")
    ids = _all_of(table, "id")
    return Exclusions(Listed(where, ids, np.zeros(len(ids), dtype=np.bool_)) if len(ids) else None, told)


def _opened(file: str, what: str, digests: dict[str, str]) -> Table:
    """The table of a listed file, whose digest is kept for the record."""
    table = open_table(file, what=what)
    digest = ContentDigest(table.schema)
    for read in table.batches(65_536):
        digest.update(read)
    digests[file] = digest.hexdigest()
    return table


def _all_of(table: Table, column: str) -> pa.Array:
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
            return f"row {row}: the id {datum(value)} stands there a second time"
        seen.add(value)
    return None


def some_ids(ids: Any) -> str:
    """The first three ids for a message, and a sign that there are more."""
    return datum(", ".join(map(repr, ids.slice(0, 3).to_pylist())), str) + (", ..." if len(ids) > 3 else "")


def family(kind: pa.DataType) -> str:
    """What kind of ids a type holds; ids of two kinds are never taken for one another.

    >>> family(pa.int32()), family(pa.large_string())
    ('integer', 'text')
    """
    if pa.types.is_integer(kind):
        return "integer"
    return "text" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else str(kind)
