"""Tables of predictions: both models' in one table, or in one table each, joined by id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gate.data.columns import require_columns
from gate.data.digests import ContentDigest
from gate.data.identity import UniqueIds
from gate.data.tables import Table, open_table
from gate.decisions.record import HoldoutRow, ModelRow, Promotable
from gate.errors import EvidenceError, Problem, UsageError, datum
from gate.stories.decide import Compared
from gate.stories.holdout import HeldOut
from gate.stories.listed import family, some_ids
from gate.tasks.batch import Answers, Batch
from gate.tasks.options import TaskOptions

Source = Any
"""A file or URI, an Arrow table, a DataFrame, or a mapping of names to arrays."""

_OF_THE_POLICY = {
    "noise floor": "holdout.noise_floor",
    "sample number": "holdout.sample",
    "score of incumbent": "task.score",
    "score of candidate": "task.score",
}
_SETS = (list, tuple, set, frozenset)
_NOT_PROMOTABLE = Promotable(False, "predictions were compared, not versions of a registered model")


@dataclass(frozen=True)
class Columns:
    """The columns of a comparison: what the policy makes of the held-out set's, and what the task asks for besides."""

    held_out: HeldOut
    task: TaskOptions

    @property
    def label(self) -> str | None:
        return self.held_out.policy.holdout.label

    @property
    def id(self) -> str | None:
        return self.held_out.policy.holdout.id

    def wanted(self, **others: str) -> dict[str, str]:
        """Purpose -> column, of all columns that are read; ``others`` are those of the answers."""
        return {**self.held_out.wanted, **others}

    def apart(self, **others: str) -> None:
        """UsageError for a column that stands for two things: predictions that are the label would always be right."""
        holdout = self.held_out.policy.holdout
        named = {"label": self.label, "id": self.id, "sample number": holdout.sample, **others}
        named |= {f"noise floor ({i + 1})": name for i, name in enumerate(holdout.noise_floor)}
        purposes: dict[str, str] = {}
        for purpose, column in named.items():
            if column is not None and (other := purposes.setdefault(column, purpose)) != purpose:
                raise UsageError(
                    f"{other} and {purpose} are the same column {column!r}",
                    where=_OF_THE_POLICY.get(purpose.split(" (")[0], f"--{purpose}"),
                    hint="each needs a column of its own",
                )

    def scores(self, *roles: str) -> dict[str, str]:
        """The columns with the scores of these models, where the task asks for scores."""
        given = self.task.score
        return {} if given is None else {f"score of {role}": getattr(given, role) for role in roles}


def opened(source: Source) -> Table:
    """The table of a source of predictions.

    >>> opened({"y": ["a", "b"], "sets": [["a"], []]}).schema.names
    ['y', 'sets']
    """
    if isinstance(source, Mapping):
        columns = {name: _column(values, name) for name, values in source.items()}
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise UsageError(f"columns of different lengths: {lengths}", where="predictions")
        source = pa.table(columns)
    return open_table(source, what="predictions")


def _column(values: Any, name: str) -> pa.Array:
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    try:
        if isinstance(values, list) and any(isinstance(value, _SETS) for value in values):
            return pa.array([list(value) if isinstance(value, _SETS) else value for value in values])
        array = values if isinstance(values, np.ma.MaskedArray) else np.asarray(values)  # which would drop the mask
        if array.ndim == 1:
            return pa.array(values if isinstance(values, list) else array, from_pandas=True)
        if array.ndim == 2:
            return pa.FixedSizeListArray.from_arrays(pa.array(array.ravel(), from_pandas=False), array.shape[1])
    except (pa.ArrowException, ValueError, TypeError) as error:
        found = f"{name!r} is no column: {datum(error, str)}"
        raise UsageError(found, where="predictions", hint="values of one type, of shape (n,) or (n, classes)") from None
    raise UsageError(f"{name!r} has {array.ndim} dimensions: one, or two (rows by classes)", where="predictions")


class OneTable:
    """Both models' predictions in one table."""

    def __init__(self, table: Table, columns: Columns, incumbent: str, candidate: str) -> None:
        self.table = table
        self._columns, self._incumbent, self._candidate = columns, incumbent, candidate
        self._scores = columns.scores("incumbent", "candidate")
        columns.apart(incumbent=incumbent, candidate=candidate, **self._scores)
        require_columns(table, columns.wanted(incumbent=incumbent, candidate=candidate, **self._scores))
        self._digest = ContentDigest()

    def batches(self, rows: int) -> Iterator[Batch]:
        ids = UniqueIds(where=self.table.uri)
        held_out = self._columns.held_out
        first = 0
        for read in self.table.batches(rows):
            self._digest.update(read)
            answers = [
                Answers.of(read[column], _scored(read, self._scores.get(f"score of {role}")))
                for role, column in (("incumbent", self._incumbent), ("candidate", self._candidate))
            ]
            kept = held_out.rows(read, first, answers=(self._incumbent, self._candidate, *self._scores.values()))
            if held_out.id_columns:
                ids.update(kept.ids, first)
            first += read.num_rows
            yield kept.batch(answers[1], answers[0])
        held_out.check_unique(ids, self.table, rows)

    @property
    def digest(self) -> str:
        """The digest of the table that the contract is about."""
        return self._digest.hexdigest()

    def compared(self, rows: int) -> Compared:
        """What was compared, once all batches were read."""
        digest = self.digest
        return Compared(
            candidate=ModelRow(f"{self.table.uri}#{self._candidate}"),
            incumbent=ModelRow(f"{self.table.uri}#{self._incumbent}"),
            holdout=HoldoutRow(self.table.uri, digest, self._digest.rows, self._columns.id, self._columns.label),
            isolation="predictions were given",
            batch_rows=rows,
            promotable=_NOT_PROMOTABLE,
        )


class TwoTables:
    """One table for each model, joined by id. The candidate's is held in memory, the incumbent's is streamed."""

    def __init__(self, incumbent: Table, candidate: Table, columns: Columns, prediction: str) -> None:
        self.table = incumbent
        self._other = candidate
        self._columns, self._prediction = columns, prediction
        for role in ("incumbent", "candidate"):
            columns.apart(prediction=prediction, **columns.scores(role))
        self._digests = ContentDigest(), ContentDigest()
        self._label_here = columns.label in incumbent.schema.names
        self._label_there = columns.label in candidate.schema.names
        self._score = columns.task.score
        wanted = columns.wanted(prediction=prediction, **columns.scores("incumbent"))
        if not self._label_here and self._label_there:
            wanted.pop("label")
        require_columns(incumbent, wanted)
        named = dict(zip(("id", "sample number"), columns.held_out.id_columns, strict=False))
        require_columns(candidate, {**named, "prediction": prediction, **columns.scores("candidate")})

    def batches(self, rows: int) -> Iterator[Batch]:
        there = self._read_candidate(rows)
        places = self._places(rows, there)
        first = 0
        for read in self.table.batches(rows):
            self._digests[0].update(read)
            matched = there.take(places[first : first + read.num_rows])
            given = matched["score"].combine_chunks() if self._score is not None else None
            candidate = Answers.of(matched["prediction"].combine_chunks(), given)
            own = None if self._score is None else self._score.incumbent
            incumbent = Answers.of(read[self._prediction], _scored(read, own))
            label = None if self._columns.label is None else self._label(read, matched, first)
            answers = {self._prediction, *self._columns.scores("incumbent").values()}
            yield self._columns.held_out.rows(read, first, label, answers).batch(candidate, incumbent)
            first += read.num_rows

    def _read_candidate(self, rows: int) -> pa.Table:
        ids = UniqueIds(where=self._other.uri)
        held_out = self._columns.held_out
        parts = []
        first = 0
        names = {"prediction": self._prediction}
        if self._label_there:
            names["label"] = str(self._columns.label)
        if self._score is not None:
            names["score"] = self._score.candidate
        for read in self._other.batches(rows):
            self._digests[1].update(read)
            named = held_out.ids(read, first)
            ids.update(named, first)
            first += read.num_rows
            columns = [named, *(read[column] for column in names.values())]
            parts.append(pa.RecordBatch.from_arrays(columns, names=["id", *names]))
        held_out.check_unique(ids, self._other, rows)
        if not parts:
            raise EvidenceError("it has no rows", where=self._other.uri)
        return pa.Table.from_batches(parts)

    def _places(self, rows: int, there: pa.Table) -> pa.Array:
        """For each row of the incumbent's table, the row of the candidate's with the same id."""
        ids = UniqueIds(where=self.table.uri)
        held_out = self._columns.held_out
        self._check_kinds()
        columns = []
        first = 0
        for read in self.table.batches(rows, held_out.id_columns):
            columns.append(held_out.ids(read, first))
            ids.update(columns[-1], first)
            first += read.num_rows
        held_out.check_unique(ids, self.table, rows)
        here = pa.chunked_array(columns) if columns else pa.chunked_array([], type=there.schema.field("id").type)
        other = there["id"]
        here, other = (_plain_ids(ids_) for ids_ in (here, other))
        if here.type != other.type:
            here, other = self._alike(here, other)
        places = pc.index_in(here, value_set=other.combine_chunks())
        places = places.combine_chunks() if isinstance(places, pa.ChunkedArray) else places
        missing = places.null_count
        unused = len(other) - (len(here) - missing)
        if missing or unused:
            raise EvidenceError(problems=[*self._lacks(here, other, missing), *self._lacks_here(here, other, unused)])
        return places

    def _check_kinds(self) -> None:
        """EvidenceError where the ids of the two tables are of two kinds."""
        name = str(self._columns.id)
        kinds = [_plain_type(table.schema.field(name).type) for table in (self.table, self._other)]
        if kinds[0] != kinds[1] and family(kinds[0]) != family(kinds[1]):
            raise EvidenceError(
                f"ids are {kinds[0]} in {self.table.uri} and {kinds[1]} in {self._other.uri}",
                where=f"column {name!r}",
                hint="1 and '1' are not the same id: cast one side",
            )

    def _alike(self, here: Any, other: Any) -> tuple[Any, Any]:
        """Both columns of ids in the widest type of their family, so that an id that one cannot hold is just absent."""
        wide = pa.int64() if pa.types.is_integer(here.type) else pa.large_string()
        try:
            return here.cast(wide), other.cast(wide)
        except pa.ArrowInvalid as error:
            hint = "write them as text"
            raise EvidenceError(f"ids are too large: {datum(error, str)}", where=self.table.uri, hint=hint) from None

    def _lacks(self, here: Any, other: Any, missing: int) -> list[Problem]:
        if not missing:
            return []
        absent = here.filter(pc.invert(pc.is_in(here, value_set=other.combine_chunks())))
        return [_lacking(self._other.uri, missing, len(here), absent, self.table.uri)]

    def _lacks_here(self, here: Any, other: Any, unused: int) -> list[Problem]:
        if not unused:
            return []
        absent = other.filter(pc.invert(pc.is_in(other, value_set=here.combine_chunks())))
        return [_lacking(self.table.uri, unused, len(other), absent, self._other.uri)]

    def _label(self, read: pa.RecordBatch, matched: pa.Table, first: int) -> pa.Array:
        if not self._label_here:
            return matched["label"].combine_chunks()
        label = read[self._columns.label]
        if self._label_there:
            other = matched["label"].combine_chunks()
            same = label.equals(other) if label.type == other.type else label.to_pylist() == other.to_pylist()
            if not same:
                pairs = list(zip(label.to_pylist(), other.to_pylist(), strict=True))
                apart = [i for i, (one, two) in enumerate(pairs) if one != two or type(one) is not type(two)]
                if apart:
                    one, two = pairs[apart[0]]
                    raise EvidenceError(
                        f"the two files disagree on the label of {len(apart)} rows of one batch, first at row"
                        f" {first + apart[0]}: {datum(one)} and {datum(two)}",
                        where=f"column {self._columns.label!r}",
                        hint="both models must be held against the same truth",
                    )
        return label

    @property
    def digest(self) -> str:
        """The digest of the table that the contract is about: the incumbent's."""
        return self._digests[0].hexdigest()

    def compared(self, rows: int) -> Compared:
        """What was compared, once all batches were read; EvidenceError for two tables of the same content."""
        here, there = (digest.hexdigest() for digest in self._digests)
        if here == there:
            raise EvidenceError(
                f"{self.table.uri} and {self._other.uri} hold the same rows and answers",
                where="gate compare",
                hint="a model has no flips against itself: is the right file named?",
            )
        both = sha256(f"{here} {there}".encode()).hexdigest()
        uri = f"{self.table.uri} + {self._other.uri}"
        return Compared(
            candidate=ModelRow(f"{self._other.uri}#{self._prediction}", digest=there),
            incumbent=ModelRow(f"{self.table.uri}#{self._prediction}", digest=here),
            holdout=HoldoutRow(uri, both, self._digests[0].rows, self._columns.id, self._columns.label),
            isolation="predictions were given",
            batch_rows=rows,
            promotable=_NOT_PROMOTABLE,
        )


def _plain_ids(ids: Any) -> Any:
    """Ids that Arrow can look up, however the file encodes them."""
    wanted = _plain_type(ids.type)
    return ids if ids.type == wanted else ids.cast(wanted)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.large_string() if pa.types.is_string_view(kind) else kind


def _lacking(where: str, number: int, of: int, absent: Any, other: str) -> Problem:
    return Problem(
        f"{number} of the {of} ids of {other} are not here ({some_ids(absent)})",
        where,
        "both models must have answered the same rows: complete one file, or cut the other",
    )


def _scored(read: pa.RecordBatch, column: str | None) -> pa.Array | None:
    return None if column is None else read[column]
