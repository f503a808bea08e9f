"""The flipped rows one after another, for a pager: a line each, and what the columns are above them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gate.core.flips import FlippedRow
from gate.decisions.record import Decision
from gate.report import words

_HEADER = ("id", "label", "incumbent", "candidate")


def lines(
    decision: Decision, samples: Sequence[FlippedRow], *, kind: str = "negative", label: str | None = None
) -> Iterator[str]:
    """Lines with their ends: how many there are, the columns, the rows; ``label`` keeps those whose label reads so.

    Golden rows and costs stand in a column of their own, where there are any. Without any such row, a line says that
    there is none.
    """
    of_kind = [row for row in samples if row.kind == kind]
    kept = [row for row in of_kind if label is None or str(row.label) == label]
    there = decision.counts.negative if kind == "negative" else decision.counts.positive
    of_label = "" if label is None else f" with label {words.name(label)}"
    kept_of = f"of {words.rows(len(of_kind))} kept and {words.rows(there)} in all"
    yield f"{words.rows(len(kept))} {kind} flips{of_label}, {kept_of}\n"
    if not kept:
        yield "no such row is kept\n"
        return
    table = [
        (
            words.name(row.id),
            words.name(row.label),
            words.answer(row.incumbent, row.incumbent_confidence),
            words.answer(row.candidate, row.candidate_confidence),
            _urgency(row),
        )
        for row in kept
    ]
    header = (*_HEADER, "golden, cost") if any(line[-1] for line in table) else _HEADER
    widths = [max(len(line[i]) for line in (header, *table)) for i in range(len(header))]
    for line in (header, *(line[: len(header)] for line in table)):
        yield "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() + "\n"


def _urgency(row: FlippedRow) -> str:
    """Why a row is to be looked at first.

    >>> _urgency(FlippedRow("0a", 7, "negative", golden=True, cost=2500.0))
    'golden, costs 2,500'
    """
    told = [*(["golden"] if row.golden else []), *([] if row.cost is None else [f"costs {row.cost:,.10g}"])]
    return ", ".join(told)
