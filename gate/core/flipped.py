"""The flipped rows that are kept as samples: which ones, the same for every batching and sharding."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gate.core.outcomes import Codes, Outcomes, Picture, Value

KINDS = ("negative", "positive")


@dataclass(frozen=True)
class FlippedRow:
    """One flipped unit: what it is, what was right, what each model said.

    ``golden`` and ``cost`` belong to negative flips: whether the row may not flip at all, and what such a flip costs,
    None where nobody says. ``beside`` are other values of the row, by column. Two are equal if their ``digest`` is;
    they are ordered by ``rank``.
    """

    digest: str
    id: Value = field(compare=False)
    kind: str = field(compare=False)
    label: Value = field(compare=False, default=None)
    incumbent: Value = field(compare=False, default=None)
    candidate: Value = field(compare=False, default=None)
    incumbent_confidence: float | None = field(compare=False, default=None)
    candidate_confidence: float | None = field(compare=False, default=None)
    golden: bool = field(compare=False, default=False)
    cost: float | None = field(compare=False, default=None)
    beside: Mapping[str, Value | Picture] = field(compare=False, default_factory=dict)

    @property
    def rank(self) -> tuple[bool, float, str]:
        """The smallest come first: golden rows, then the costliest, then by the hash of seed and id."""
        return (not self.golden, -(self.cost or 0.0), self.digest)

    def __lt__(self, other: FlippedRow) -> bool:
        return self.rank < other.rank


def row_digest(seed: int, unit: object) -> str:
    """SHA-256 of seed and id, as hex: decides which of equally urgent rows are kept, the same on every engine.

    The id's type is part of it, so that ``1`` and ``"1"`` differ.

    >>> row_digest(0, "a")[:8] != row_digest(1, "a")[:8]
    True
    """
    return hashlib.sha256(f"{seed}\x1f{type(unit).__name__}\x1f{unit}".encode("utf-8", "surrogatepass")).hexdigest()


def chosen(outcomes: Outcomes, flipped: NDArray[np.intp], seed: int, keep: int) -> tuple[FlippedRow, ...]:
    """The ``keep`` units of each kind with the smallest rank, of those at the positions ``flipped``; in their order.

    >>> outcomes = Outcomes(
    ...     ids=np.array([5, 6]), incumbent_right=np.array([True, True]), candidate_right=np.array([False, False]),
    ...     same_output=np.array([False, False]), golden=np.array([False, True]),
    ... )
    >>> [row.id for row in chosen(outcomes, np.array([0, 1]), seed=0, keep=1)]
    [6]
    """
    if not keep or not len(flipped):
        return ()
    negative = outcomes.incumbent_right.take(flipped)
    kept: list[FlippedRow] = []
    for kind, side in zip(KINDS, (negative, ~negative), strict=True):
        units = flipped.take(np.flatnonzero(side))
        golden, cost = _urgency(outcomes, units) if kind == "negative" else (None, None)
        ahead, equal = _by_urgency(golden, cost, len(units), keep)
        ids = outcomes.ids.take(units.take(equal)).tolist()
        places = [*ahead.tolist(), *equal.take(_smallest_hashes(seed, ids, keep - len(ahead))).tolist()]
        at = units.take(places)
        for place, unit, name in zip(places, at.tolist(), outcomes.ids.take(at).tolist(), strict=True):
            price = None if cost is None or np.isnan(cost[place]) else float(cost[place])
            first = golden is not None and bool(golden[place])
            kept.append(_row(outcomes, unit, row_digest(seed, name), name, kind, first, price))
    return _in_order(kept)


def _urgency(outcomes: Outcomes, at: NDArray[np.intp]) -> tuple[NDArray[np.bool_] | None, NDArray[np.float64] | None]:
    golden, cost = outcomes.golden, outcomes.cost
    return None if golden is None else golden[at], None if cost is None else cost[at]


def _by_urgency(
    golden: NDArray[np.bool_] | None, cost: NDArray[np.float64] | None, units: int, keep: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Units that are kept whatever their hash, and those that are equally urgent, of which the hash keeps the rest."""
    everyone = np.arange(units)
    if (golden is None and cost is None) or units <= keep:
        return everyone[:0], everyone
    last = np.zeros(units, dtype=np.bool_) if golden is None else ~golden
    price = np.zeros(units) if cost is None else np.where(np.isnan(cost), 0.0, -cost)
    order = np.lexsort((price, last))
    equal = (last == last[order[keep - 1]]) & (price == price[order[keep - 1]])
    return order[:keep][~equal[order[:keep]]], np.flatnonzero(equal)


def _smallest_hashes(seed: int, ids: Sequence[object], keep: int) -> list[int]:
    """The places of the ``keep`` ids with the smallest digest."""
    if len(ids) <= keep:
        return list(range(len(ids)))
    digests = _hashes(seed, ids)
    # Eight bytes decide, but for ids whose digests begin alike.
    leading = np.frombuffer(b"".join(digests), ">u8")[::4].astype(np.uint64)
    bound = np.partition(leading, keep - 1)[keep - 1]
    return [
        place for _, place in sorted((digests[place], place) for place in np.flatnonzero(leading <= bound).tolist())
    ][:keep]


def _hashes(seed: int, ids: Sequence[object]) -> list[bytes]:
    """What :func:`row_digest` gives for each id, as bytes."""
    sha256 = hashlib.sha256
    heads = {kind: f"{seed}\x1f{kind.__name__}\x1f".encode() for kind in set(map(type, ids))}
    return [sha256(heads[type(unit)] + str(unit).encode("utf-8", "surrogatepass")).digest() for unit in ids]


def _row(
    outcomes: Outcomes, unit: int, digest: str, name: Value, kind: str, golden: bool, cost: float | None
) -> FlippedRow:
    sure, shown = outcomes.confidence, outcomes.shown
    return FlippedRow(
        digest=digest,
        id=name,
        kind=kind,
        label=_value(outcomes.label, unit) if shown is None else shown.label[unit],
        incumbent=_value(outcomes.incumbent, unit) if shown is None else shown.incumbent[unit],
        candidate=_value(outcomes.candidate, unit) if shown is None else shown.candidate[unit],
        incumbent_confidence=None if sure is None else float(sure.incumbent[unit]),
        candidate_confidence=None if sure is None else float(sure.candidate[unit]),
        golden=golden,
        cost=cost,
        beside={} if outcomes.beside is None else outcomes.beside[unit],
    )


def _value(column: Codes | None, unit: int) -> Value:
    return None if column is None else column.values[int(column.codes[unit])]


def smallest(rows: Iterable[FlippedRow], keep: int) -> tuple[FlippedRow, ...]:
    """The ``keep`` rows of each kind with the smallest rank, in their order; no rows give none."""
    everything = _in_order(rows)
    return _in_order(row for kind in KINDS for row in [r for r in everything if r.kind == kind][:keep])


def _in_order(rows: Iterable[FlippedRow]) -> tuple[FlippedRow, ...]:
    return tuple(sorted(rows, key=lambda row: row.rank))
