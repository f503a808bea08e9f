"""The story of `gate compare`: predictions that are already there, counted, judged, decided. No registry, no model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gate.data.columns import batch_rows, require_columns
from gate.data.digests import ContentDigest
from gate.data.identity import UniqueIds
from gate.data.tables import Table, open_table
from gate.decisions.record import HoldoutRow, ModelRow, Promotable, Target
from gate.errors import EvidenceError, Problem, UsageError
from gate.policy.rules import Policy
from gate.stories.columns import policy_for, with_columns
from gate.stories.contract import contract_of
from gate.stories.decide import Compared, Judgement, Progress, counted, day, decided, nothing
from gate.stories.holdout import HeldOut, family
from gate.tasks.batch import Answers, Batch, Classes
from gate.tasks.kinds import KINDS
from gate.tasks.options import TaskOptions

Source = Any
"""A file or URI, an Arrow table, a DataFrame, or a mapping of names to arrays."""

_NOT_PROMOTABLE = Promotable(False, "predictions were compared, not versions of a registered model")


def compare(
    predictions: Source | None = None,
    *,
    policy: str | os.PathLike[str] | Policy,
    label: str | None = None,
    incumbent: str | None = None,
    candidate: str | None = None,
    id: str | None = None,
    incumbent_predictions: Source | None = None,
    candidate_predictions: Source | None = None,
    prediction: str | None = None,
    environment: str | None = None,
    seed: int = 0,
    samples: int = 100,
    as_of: str | None = None,
    rows_per_batch: int | None = None,
    progress: Progress = nothing,
) -> Judgement:
    """Judge an update by predictions alone: those of both models in one table, or in one table each.

    With one table, ``predictions``: ``label``, ``incumbent`` and ``candidate`` are its columns, ``id`` too (left out,
    the row number is the id). With two, ``incumbent_predictions`` and ``candidate_predictions``: both have the columns
    ``id`` and ``prediction``, at least one has the ``label``; they are joined by id, and an id that one of them lacks
    is an error. Columns that the policy's ``holdout`` names can be left out.

    A table is a file or URI (Parquet, CSV, Feather, JSON Lines), an Arrow table, a DataFrame, or a mapping of names to
    arrays, of shape (n,) or (n, classes). ``samples`` flipped rows of each kind are kept, chosen by ``seed``. No rows
    are an error. UsageError for options and policy, EvidenceError for the data.

    >>> from gate.policy.load import parse_policy
    >>> few_flips = parse_policy("{version: 1, name: small, rules: [{id: few, rate: nfr, at_most: 2%}]}")
    >>> compare(
    ...     {"y": ["a"] * 400, "old": ["a"] * 400, "new": ["a"] * 399 + ["b"]},
    ...     policy=few_flips, label="y", incumbent="old", candidate="new",
    ... )
    Judgement(verdict='allow', negative flips=1 of 400)
    """
    rules = policy_for(policy, environment)
    if predictions is None and (incumbent_predictions is None or candidate_predictions is None):
        raise UsageError(
            "no predictions",
            where="gate compare",
            hint="a file, or --incumbent-predictions and --candidate-predictions",
        )
    if rows_per_batch is not None and rows_per_batch < 1:
        raise UsageError(f"a batch has at least one row, not {rows_per_batch}", where="--batch-rows")
    rules = with_columns(rules, label=label, id=id, id_needed=predictions is None)
    columns = _Columns(rules.holdout.label, rules.holdout.id, HeldOut(rules), rules.task)
    as_of = day(as_of)
    if predictions is not None:
        if incumbent_predictions is not None or candidate_predictions is not None:
            raise UsageError("give one table of predictions or two, not both", where="gate compare")
        if incumbent is None or candidate is None:
            raise UsageError(
                "name the two columns of predictions", where="gate compare", hint="--incumbent COL --candidate COL"
            )
        paired: _OneTable | _TwoTables = _OneTable(_opened(predictions), columns, incumbent, candidate)
    else:
        if prediction is None:
            raise UsageError("name the column of predictions", where="gate compare", hint="--prediction COL")
        assert incumbent_predictions is not None and candidate_predictions is not None  # seen to above
        paired = _TwoTables(_opened(incumbent_predictions), _opened(candidate_predictions), columns, prediction)
    contract, agreed = contract_of(rules, paired.table)
    rows = rows_per_batch or batch_rows(paired.table)
    task = KINDS[rules.task.kind](rules.task, Classes(rules.task.classes))
    found = counted(task, paired.batches(rows), rules, seed=seed, samples=samples, progress=progress)
    columns.held_out.finish()
    if agreed is not None and agreed != paired.digest:
        raise EvidenceError("it changed while it was read", where=paired.table.uri, hint="compare a copy of it")
    compared = replace(
        paired.compared(rows),
        contract=contract,
        target=Target(environment=rules.environment),
        exclusions=columns.held_out.exclusions,
        files=columns.held_out.files,
    )
    return decided(rules, found, compared, seed=seed, as_of=as_of)


@dataclass(frozen=True)
class _Columns:
    label: str | None
    id: str | None
    held_out: HeldOut
    task: TaskOptions

    def wanted(self, **others: str) -> dict[str, str]:
        return {**self.held_out.wanted, **others}

    def scores(self, *roles: str) -> dict[str, str]:
        """The columns with the scores of these models, where the task asks for scores."""
        given = self.task.score
        return {} if given is None else {f"score of {role}": getattr(given, role) for role in roles}


def _apart(**columns: str | None) -> None:
    """No column may stand for two things: predictions that are the label would be right by definition."""
    purposes: dict[str, str] = {}
    for purpose, column in columns.items():
        if column is not None and (other := purposes.setdefault(column, purpose)) != purpose:
            raise UsageError(
                f"{other} and {purpose} are the same column {column!r}",
                where="holdout.noise_floor" if purpose.startswith("noise floor") else f"--{purpose}",
                hint="each needs a column of its own",
            )


def _opened(source: Source) -> Table:
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
        array = values if isinstance(values, np.ma.MaskedArray) else np.asarray(values)  # which would drop the mask
        if array.ndim == 1:
            return pa.array(values if isinstance(values, list) else array, from_pandas=True)
        if array.ndim == 2:
            return pa.FixedSizeListArray.from_arrays(pa.array(array.ravel(), from_pandas=False), array.shape[1])
    except (pa.ArrowException, ValueError, TypeError) as error:
        found = f"{name!r} is no column: {error}"
        raise UsageError(found, where="predictions", hint="values of one type, of shape (n,) or (n, classes)") from None
    raise UsageError(f"{name!r} has {array.ndim} dimensions: one, or two (rows by classes)", where="predictions")


class _OneTable:
    """Both models' predictions in one table."""

    def __init__(self, table: Table, columns: _Columns, incumbent: str, candidate: str) -> None:
        self.table = table
        self._columns, self._incumbent, self._candidate = columns, incumbent, candidate
        self._scores = columns.scores("incumbent", "candidate")
        noise = {f"noise floor ({i + 1})": name for i, name in enumerate(columns.held_out.policy.holdout.noise_floor)}
        _apart(label=columns.label, id=columns.id, incumbent=incumbent, candidate=candidate, **self._scores, **noise)
        require_columns(table, columns.wanted(incumbent=incumbent, candidate=candidate, **self._scores))
        self._digest = ContentDigest()

    def batches(self, rows: int) -> Iterator[Batch]:
        ids = UniqueIds(where=self.table.uri)
        first = 0
        for read in self.table.batches(rows):
            self._digest.update(read)
            answers = [
                Answers.of(read[column], _scored(read, self._scores.get(f"score of {role}")))
                for role, column in (("incumbent", self._incumbent), ("candidate", self._candidate))
            ]
            held_out = self._columns.held_out.rows(read, first)
            if self._columns.id is not None:
                ids.update(held_out.ids, first)
            first += read.num_rows
            yield held_out.batch(answers[1], answers[0])
        if self._columns.id is not None:
            column = self._columns.id
            ids.check(lambda: (read[column] for read in self.table.batches(rows, [column])))

    @property
    def digest(self) -> str:
        """The digest of the table that the contract is about."""
        return self._digest.hexdigest()

    def compared(self, rows: int) -> Compared:
        digest = self.digest
        return Compared(
            candidate=ModelRow(f"{self.table.uri}#{self._candidate}"),
            incumbent=ModelRow(f"{self.table.uri}#{self._incumbent}"),
            holdout=HoldoutRow(self.table.uri, digest, self._digest.rows, self._columns.id, self._columns.label),
            isolation="predictions were given",
            batch_rows=rows,
            promotable=_NOT_PROMOTABLE,
        )


class _TwoTables:
    """One table for each model, joined by id. The candidate's is held in memory, the incumbent's is streamed."""

    def __init__(self, incumbent: Table, candidate: Table, columns: _Columns, prediction: str) -> None:
        self.table = incumbent
        self._other = candidate
        self._columns, self._prediction = columns, prediction
        _apart(label=columns.label, id=columns.id, prediction=prediction)
        self._digests = ContentDigest(), ContentDigest()
        self._label_here = columns.label in incumbent.schema.names
        self._label_there = columns.label in candidate.schema.names
        self._score = columns.task.score
        wanted = columns.wanted(prediction=prediction, **columns.scores("incumbent"))
        if not self._label_here and self._label_there:
            wanted.pop("label")
        require_columns(incumbent, wanted)
        require_columns(candidate, {"id": str(columns.id), "prediction": prediction, **columns.scores("candidate")})

    def batches(self, rows: int) -> Iterator[Batch]:
        id_column = str(self._columns.id)
        there = self._read_candidate(rows, id_column)
        places = self._places(rows, id_column, there)
        first = 0
        for read in self.table.batches(rows):
            self._digests[0].update(read)
            matched = there.take(places[first : first + read.num_rows])
            given = matched["score"].combine_chunks() if self._score is not None else None
            candidate = Answers.of(matched["prediction"].combine_chunks(), given)
            own = None if self._score is None else self._score.incumbent
            incumbent = Answers.of(read[self._prediction], _scored(read, own))
            label = None if self._columns.label is None else self._label(read, matched, first)
            yield self._columns.held_out.rows(read, first, label).batch(candidate, incumbent)
            first += read.num_rows

    def _read_candidate(self, rows: int, id_column: str) -> pa.Table:
        ids = UniqueIds(where=self._other.uri)
        parts = []
        first = 0
        names = {"id": id_column, "prediction": self._prediction}
        if self._label_there:
            names["label"] = str(self._columns.label)
        if self._score is not None:
            names["score"] = self._score.candidate
        for read in self._other.batches(rows):
            self._digests[1].update(read)
            ids.update(read[id_column], first)
            first += read.num_rows
            parts.append(pa.RecordBatch.from_arrays([read[column] for column in names.values()], names=list(names)))
        ids.check(lambda: (read[id_column] for read in self._other.batches(rows, [id_column])))
        if not parts:
            raise EvidenceError("it has no rows", where=self._other.uri)
        return pa.Table.from_batches(parts)

    def _places(self, rows: int, id_column: str, there: pa.Table) -> pa.Array:
        """For each row of the incumbent's table, the row of the candidate's with the same id."""
        ids = UniqueIds(where=self.table.uri)
        columns = []
        first = 0
        for read in self.table.batches(rows, [id_column]):
            ids.update(read[id_column], first)
            first += read.num_rows
            columns.append(read[id_column])
        ids.check(lambda: (read[id_column] for read in self.table.batches(rows, [id_column])))
        here = pa.chunked_array(columns, type=self.table.schema.field(id_column).type)
        other = there["id"]
        here, other = (_plain_ids(ids_) for ids_ in (here, other))
        if here.type != other.type:
            kinds = family(here.type), family(other.type)
            if kinds[0] != kinds[1]:
                raise EvidenceError(
                    f"ids are {here.type} in {self.table.uri} and {other.type} in {self._other.uri}",
                    where=f"column {id_column!r}",
                    hint="1 and '1' are not the same id: cast one side",
                )
            here, other = self._alike(here, other)
        places = pc.index_in(here, value_set=other.combine_chunks())
        places = places.combine_chunks() if isinstance(places, pa.ChunkedArray) else places
        missing = places.null_count
        unused = len(other) - (len(here) - missing)
        if missing or unused:
            raise EvidenceError(problems=[*self._lacks(here, other, missing), *self._lacks_here(here, other, unused)])
        return places

    def _alike(self, here: Any, other: Any) -> tuple[Any, Any]:
        """Both columns of ids in the widest type of their family, so that an id that one cannot hold is just absent."""
        wide = pa.int64() if pa.types.is_integer(here.type) else pa.large_string()
        try:
            return here.cast(wide), other.cast(wide)
        except pa.ArrowInvalid as error:
            hint = "write them as text"
            raise EvidenceError(f"ids are too large: {error}", where=self.table.uri, hint=hint) from None

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
                        f" {first + apart[0]}: {one!r} and {two!r}",
                        where=f"column {self._columns.label!r}",
                        hint="both models must be held against the same truth",
                    )
        return label

    @property
    def digest(self) -> str:
        """The digest of the table that the contract is about: the incumbent's."""
        return self._digests[0].hexdigest()

    def compared(self, rows: int) -> Compared:
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
    if pa.types.is_dictionary(ids.type):
        ids = ids.cast(ids.type.value_type)
    return ids.cast(pa.large_string()) if pa.types.is_string_view(ids.type) else ids


def _lacking(where: str, number: int, of: int, absent: Any, other: str) -> Problem:
    some = ", ".join(repr(value) for value in absent.slice(0, 3).to_pylist())
    return Problem(
        f"{number} of the {of} ids of {other} are not here ({some}{', ...' if number > 3 else ''})",
        where,
        "both models must have answered the same rows: complete one file, or cut the other",
    )


def _scored(read: pa.RecordBatch, column: str | None) -> pa.Array | None:
    return None if column is None else read[column]
