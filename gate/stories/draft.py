"""The story of `gate policy init`: a first policy for a held-out set, with limits that its size can decide."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gate.core.counts import FlipCounts
from gate.core.outcomes import Value
from gate.core.rates import rate
from gate.core.sample_size import most_flips_allowed
from gate.data.columns import require_columns
from gate.data.tables import Table, open_table
from gate.errors import EvidenceError, UsageError
from gate.policy.load import parse_policy
from gate.policy.source import read
from gate.report import words
from gate.stories.sizes import Sizes, read_sizes

_BARE = "{version: 1, name: draft, rules: [{id: any, rate: nfr, at_most: 1%}]}"
_LADDER = (0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
_WIDEST_CLASS_LIMIT = 0.05
_FEW = 3  # flips that a limit should survive: one that passes only if nothing flips refuses every real update
_CONFIDENCE = 0.95
_MOST_CLASSES = 1000
_CLASSES_SHOWN = 12
_LOOKED_AT = 20_000
_MOST_VALUES = 12
_MOST_SLICES = 6


def draft(data: str | os.PathLike[str] | Any, *, label: str, id: str | None = None, name: str | None = None) -> str:
    """The text of a first policy for a held-out set, every choice explained in a comment; it is a sound policy.

    ``name`` is made from the data's file name if None. EvidenceError for columns that are missing, and for a label
    that does not look like classes; the held-out set must meet what ``gate check`` demands of it.

    >>> text = draft(pa.table({"y": ["cat", "dog"] * 500}), label="y", name="pets")
    >>> parse_policy(text).rules[1].threshold.limit
    0.01
    """
    table = open_table(data)
    require_columns(table, {"label": label} if id is None else {"label": label, "id": id})
    _looks_like_classes(table, label)
    sizes = read_sizes(data, parse_policy(_BARE), label=label, id=id)
    text = "\n".join(_lines(table, sizes, label, id, name or _name(table.uri))) + "\n"
    parse_policy(text)  # a draft that is not sound must never be written
    return text


def _looks_like_classes(table: Table, label: str) -> None:
    kind = table.schema.field(label).type
    if pa.types.is_floating(kind) or pa.types.is_nested(kind):
        raise EvidenceError(
            f"column {label!r} is {kind}, which does not look like classes",
            where=table.uri,
            hint="for numbers or lists start from the example of kind: regression or multilabel in docs/tasks.md",
        )


def _lines(table: Table, sizes: Sizes, label: str, id: str | None, name: str) -> list[str]:
    cells = sizes.table.cells["class"]
    rows = dict(zip(cells.values, cells.columns.sum(axis=1).tolist(), strict=True))
    if len(rows) > _MOST_CLASSES:
        raise EvidenceError(
            f"column {label!r} has {len(rows):,} values, which do not look like classes",
            where=table.uri,
            hint="for texts start from the example of kind: generation in docs/tasks.md",
        )
    n = sizes.rows
    lines = _comment(
        f"A first policy, written by `gate policy init` from {words.printable(os.path.basename(table.uri))}:"
        f" {n:,} rows, {len(rows):,} classes. Read it, change what you know better, and keep it under version control;"
        " `gate policy explain` says what it demands in plain words, `gate plan --policy` what your data can decide."
    )
    lines += ["version: 1", f"name: {_text(name)}", "", "holdout:"]
    if id is None:
        lines += _comment("No id column was named, so the row number is the id: rows must keep their order.", "  ")
        lines += ["  # id: ..."]
    else:
        lines += [f"  id: {_text(id)}"]
    lines += [f"  label: {_text(label)}", *_comment(_sizes_of(rows), "  ")]
    lines += _slices(table, label, id)
    lines += ["", "evidence:"]
    lines += _comment("Of each one-sided bound: at the edge of a limit, 1 wrong allow in 20 at most.", "  ")
    lines += ["  confidence: 95%"]
    lines += _comment("Who wants the update brings the proof; `harm` would refuse only what is proven bad.", "  ")
    lines += ["  decide_on: proof"]
    lines += _comment("Decisions that this held-out set will serve; the error is spent over them.", "  ")
    lines += ["  looks: 1", "", "rules:", *_no_worse(n), "", *_few_flips(n), "", *_classes(rows)]
    lines += ["", *_comment("What `gate promote` moves, and what it keeps to go back to.")]
    lines += ["promotion:", "  alias: champion", "  keep_previous_as: previous"]
    return lines


def _sizes_of(rows: dict[Value, int]) -> str:
    smallest = sorted(rows.items(), key=lambda item: item[1])[:_CLASSES_SHOWN]
    told = ", ".join(f"{words.name(value)} {number:,}" for value, number in smallest)
    rest = len(rows) - len(smallest)
    return f"Rows of each class, smallest first: {told}" + (f" and {rest:,} more." if rest else ".")


def _allowed(n: int, limit: float) -> int:
    return int(most_flips_allowed(np.asarray([float(n)]), limit, _CONFIDENCE)[0])


def _smallest(n: int) -> float | None:
    """The smallest limit of the ladder that ``n`` rows prove though a few flips are seen; None if there is none."""
    return next((limit for limit in _LADDER if _allowed(n, limit) >= _FEW), None)


def _no_worse(n: int) -> list[str]:
    """The smallest change of error rate that is proven where an update mends as much as it breaks, 1 % each."""
    flips = max(round(n / 100), 1)
    counts = FlipCounts(
        both_right=np.asarray([max(n - 2 * flips, 0)]), negative=np.asarray([flips]), positive=np.asarray([flips])
    )
    change = rate("error_rate_change")
    proven = (limit for limit in (0.005, *_LADDER) if change.proven(counts, limit, True, _CONFIDENCE)[0][0])
    limit = next(proven, None)
    if limit is None or limit > 0.05:
        told = f"{n:,} rows cannot prove that the average is no worse, so it is refused only if it is proven worse."
        return [*_comment(told, "  "), *_rule("no-worse", "error_rate_change", "0%", "decide_on: harm")]
    told = (
        f"The average must not get worse. {n:,} rows prove {words.percent(limit)} for an update that mends as many rows"
        " as it breaks, 1% of them each; a better one passes more easily."
    )
    return [*_comment(told, "  "), *_rule("no-worse", "error_rate_change", words.percent(limit))]


def _few_flips(n: int) -> list[str]:
    limit = _smallest(n)
    if limit is None:
        told = (
            f"{n:,} rows can prove next to nothing: an update is refused only if it is proven to break more than 10%."
            " Gather more rows; `gate plan --limit 1%` says how many."
        )
        return [*_comment(told, "  "), *_rule("few-negative-flips", "nfr", "10%", "decide_on: harm")]
    least = "the smallest that this size decides" if limit > _LADDER[0] else "less is seldom met by an honest update"
    told = (
        f"Negative flips: what was right and becomes wrong. At {words.percent(limit)}, {n:,} rows pass with up to"
        f" {_allowed(n, limit):,} of them; {least}."
    )
    return [*_comment(told, "  "), *_rule("few-negative-flips", "nfr", words.percent(limit))]


def _classes(rows: dict[Value, int]) -> list[str]:
    value, fewest = min(rows.items(), key=lambda item: item[1])
    limit = _smallest(fewest)
    if limit is not None and limit <= _WIDEST_CLASS_LIMIT:
        limit = max(limit, 0.03)
        told = (
            f"No class may pay for the others. The smallest, {words.name(value)}, has {fewest:,} rows: at"
            f" {words.percent(limit)} it passes with up to {_allowed(fewest, limit):,} negative flips."
        )
        return [*_comment(told, "  "), *_rule("no-class-breaks", "nfr", words.percent(limit), "by: class")]
    told = (
        f"No class may pay for the others. The smallest, {words.name(value)}, has {fewest:,} rows, too few to prove it"
        " safe; so a class refuses the update only if it is proven to lose more than this (after Holm's correction,"
        " since there are several), and what is not proven either way is a warning."
    )
    return [
        *_comment(told, "  "),
        *_rule("no-class-breaks", "nfr", "5%", "by: class", "decide_on: harm", "correction: holm"),
    ]


def _rule(id: str, of: str, limit: str, *more: str) -> list[str]:
    return [f"  - id: {id}", *(f"    {line}" for line in (f"rate: {of}", *more, f"at_most: {limit}"))]


def _slices(table: Table, label: str, id: str | None) -> list[str]:
    names = [name for name in table.schema.names if name not in (label, id)]
    found = _suggested(table, names)
    if not found:
        return []
    told = "Slices that look worth a rule of their own (- {id: ..., rate: nfr, by: NAME, at_most: ...}):"
    return [*_comment(told, "  "), "  # slices:", *(f"  #   {line}" for line in found)]


def _suggested(table: Table, names: Sequence[str]) -> list[str]:
    """Lines for columns of few values, and for numbers in four bins; judged by the first rows."""
    if not names:
        return []
    first = next(table.batches(_LOOKED_AT, names), None)
    if first is None:
        return []
    few, numbers = [], []
    for name in names:
        column = first[name]
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_null(kind):
            continue
        distinct = len(pc.unique(column))
        if 2 <= distinct <= _MOST_VALUES and not pa.types.is_floating(kind):
            few.append(f"{_slice(name)}: {{column: {_text(name)}}}    # {distinct} values")
        elif (pa.types.is_integer(kind) or pa.types.is_floating(kind)) and distinct > _MOST_VALUES:
            edges = _edges(column, distinct)
            if edges:
                numbers.append(f"{_slice(name)}: {{column: {_text(name)}, bins: [{', '.join(edges)}]}}")
    return [*few, *numbers][:_MOST_SLICES]


def _slice(column: str) -> str:
    """The name of a column's slice: the column's, unless the gate means something else by it."""
    return f"{column}_column" if column in ("class", "output", "overall", "label") else _text(column)


def _edges(column: pa.Array, distinct: int) -> list[str]:
    """The quartiles, in three digits; none for what counts rows, and for a column that is all one value."""
    if pa.types.is_integer(column.type) and distinct == len(column):
        return []
    values = column.cast(pa.float64(), safe=False).drop_null().to_numpy(zero_copy_only=False)
    values = values[np.isfinite(values)]
    if not len(values):
        return []
    quartiles = [f"{edge:.3g}" for edge in np.quantile(values, [0.25, 0.5, 0.75])]
    rising = sorted({float(edge) for edge in quartiles})
    return [f"{edge:.10g}" for edge in rising] if len(rising) == 3 and all(abs(e) < 1e9 for e in rising) else []


def _comment(text: str, indent: str = "") -> list[str]:
    return wrap(text, 100, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ", break_on_hyphens=False)


def _name(uri: str) -> str:
    stem = re.split(r"[/\\]", uri.rstrip("/"))[-1].split(".")[0]
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-")
    return plain or "first-policy"


def _text(value: str) -> str:
    """A text as YAML: plain where it stays the same text, quoted where it would not."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", value) and read(f"a: {value}").data == {"a": value}:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    if read(f"a: {quoted}").data == {"a": value}:
        return quoted
    raise UsageError(f"the name {words.printable(value)!r} cannot be written in a policy", where="gate policy init")
