"""What MLflow is told of a judgement: a run with the evidence, and on the candidate's version the verdict in words."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from gate.core.flips import BY_CLASS, BY_OUTPUT, FlippedRow
from gate.core.judgement import Verdict
from gate.decisions import tags as names
from gate.decisions.record import CellRow, Decision
from gate.errors import EvidenceError, GateError
from gate.registry.refusal import Refused, RefusedAsStale
from gate.registry.registry import Registry
from gate.report.markdown import escape
from gate.report.view import view
from gate.report.words import printable
from gate.report.writers import WRITERS
from gate.stories.decide import Judgement

FLIPPED_ROWS = "gate_flipped_rows.json"
PER_CLASS = "gate_per_class.json"
PER_SLICE = "gate_per_slice.json"
KEPT = ("json", "html", "markdown", "text", "samples")
"""The reports that a run holds; the others can be made of the decision at any time."""
FOLDER = "gate"
"""Where the reports are in a run that is not the gate's own; the tables, whose names are their own, are at its root."""

_LONGEST_SUMMARY = 1000
_SIGNED = "a signed decision writes them: gate sign, then gate promote"
_log = logging.getLogger("gate")


def log(judged: Judgement, registry: Registry, *, experiment: str | None, tag: bool) -> Judgement:
    """Log ``judged`` as a finished run of ``experiment`` (None: no run), and note it on the candidate's version.

    The metrics are linked to the candidate and to the held-out set; the version gets tags and a block in its
    description if ``tag`` asks for it. Returns the judgement with the id of the run. EvidenceError where the tracking
    store does not take it; a registry that guards the tags of the gate is warned of, and no error.
    """
    decision = judged.decision
    run_id = None
    if experiment is not None:
        candidate = decision.provenance.candidate
        number = {} if candidate.version is None else {"candidate_version": candidate.version}  # to plot the runs by
        run_id = registry.log_run(
            name=f"gate: {decision.verdict.value} {candidate.uri}",
            experiment=experiment,
            params={**_params(decision), **number},
            tags={**_tags(decision), **_tables_tag(judged), **_remembered(judged)},
            metrics=metrics(decision),
            model_id=candidate.model_id,
            dataset_name=decision.provenance.holdout.uri,
            dataset_digest=decision.provenance.holdout.digest[:36],
            artifacts={**_reports(judged), **tables(judged)},
        )
    logged = replace(judged, run_id=run_id)
    if tag:
        note(logged, registry)
    return logged


def add(
    judged: Judgement,
    registry: Registry,
    run_id: str,
    *,
    dataset_name: str | None = None,
    dataset_digest: str | None = None,
    tag: bool = False,
) -> Judgement:
    """Log ``judged`` into a run that somebody else started, under that run's own data set; else as :func:`log`.

    What a run of the gate's own holds as parameters are tags here: a parameter can be set only once.
    """
    from gate.registry.runs import RunRecord, add_to_run

    decision = judged.decision
    record = RunRecord(
        name="",
        tags={
            **{f"{names.PREFIX}{name}": str(value) for name, value in _params(decision).items()},
            **_tags(decision),
            **_tables_tag(judged),
        },
        metrics=metrics(decision),
        model_id=decision.provenance.candidate.model_id,
        dataset_name=dataset_name,
        dataset_digest=dataset_digest,
        artifacts={**{f"{FOLDER}/{name}": content for name, content in _reports(judged).items()}, **tables(judged)},
    )
    add_to_run(registry, run_id, record)
    logged = replace(judged, run_id=run_id)
    if tag:
        note(logged, registry)
    return logged


def metrics(decision: Decision) -> dict[str, float | None]:
    """The verdict, the overall rates with their bounds, and the counts, by the names that the run gives them.

    ``gate.allow`` is 1 or 0, ``gate.exit_code`` that of the verdict; a rate is as ``gate.nfr``, ``gate.nfr.upper``.
    """
    allowed = decision.verdict is Verdict.ALLOW
    found: dict[str, float | None] = {"gate.allow": int(allowed), "gate.exit_code": decision.exit_code}
    found["gate.n"] = decision.counts.n
    for row in decision.rates:
        name = f"gate.{row.rate}" + (f".{row.of}" if row.of else "")
        found |= {name: row.estimate, f"{name}.lower": row.lower, f"{name}.upper": row.upper}
    counts = {name: count for name, count in vars(decision.counts).items() if name != "n"}
    return found | {f"gate.count.{name}": count for name, count in counts.items()}


def summary(decision: Decision) -> str:
    """The verdict in a sentence or two of plain text: what may or must not be, and the finding that decides."""
    told = " ".join(view(decision, ()).sentences[:2])
    return told if len(told) <= _LONGEST_SUMMARY else f"{told[: _LONGEST_SUMMARY - 3]}..."


# the run


def _params(decision: Decision) -> dict[str, object]:
    candidate, incumbent = decision.provenance.candidate, decision.provenance.incumbent
    return {
        "candidate": candidate.uri,
        "incumbent": incumbent.uri if incumbent else "none",
        "policy": decision.policy.name,
        "policy_digest": decision.policy.digest,
        "holdout": decision.provenance.holdout.uri,
        "holdout_digest": decision.provenance.holdout.digest,
        "confidence": decision.evidence.confidence,
        "seed": decision.provenance.seed,
    }


def _tags(decision: Decision) -> dict[str, str]:
    return {
        names.VERDICT: decision.verdict.value,
        names.SUMMARY: summary(decision),
        names.DECISION_ID: decision.decision_id,
        "gate.holdout_digest": decision.provenance.holdout.digest,
        "gate.candidate_digest": decision.provenance.candidate.digest or "",
    }


def _remembered(judged: Judgement) -> dict[str, str]:
    """Whose answers were known from before: of the run, not of the decision, which is the same either way."""
    return {"gate.remembered": ", ".join(judged.remembered)} if judged.remembered else {}


def _reports(judged: Judgement) -> dict[str, bytes]:
    kept = (WRITERS[form](judged.decision, judged.samples) for form in KEPT)
    return {name: text for files in kept for name, text in files.items()}


def _tables_tag(judged: Judgement) -> dict[str, str]:
    from gate.registry.runs import tables_tag

    return tables_tag(tables(judged))


def tables(judged: Judgement) -> dict[str, bytes]:
    """The tables that MLflow's UI shows: the flipped rows that were kept, the classes, and the slices.

    In the form that ``mlflow.load_table`` reads. One without rows is left out.
    """
    cells = judged.decision.cells
    found = {
        FLIPPED_ROWS: _flipped(judged.samples),
        PER_CLASS: [{"class": cell.value, **_cell(cell)} for cell in cells if cell.by == BY_CLASS],
        PER_SLICE: [
            {"slice": cell.by, "value": cell.value, **_cell(cell)}
            for cell in cells
            if cell.by not in (BY_CLASS, BY_OUTPUT)
        ],
    }
    return {name: _table(rows) for name, rows in found.items() if rows}


def _flipped(samples: Sequence[FlippedRow]) -> list[dict[str, Any]]:
    columns = ("kind", "id", "label", "incumbent", "candidate", "incumbent_confidence", "candidate_confidence", "cost")
    harm_first = sorted(samples, key=lambda row: row.kind != "negative")
    return [{**{name: getattr(row, name) for name in columns}, "golden": row.golden or None} for row in harm_first]


def _cell(cell: CellRow) -> dict[str, Any]:
    counts = cell.counts  # the first columns are those that a page has room for
    first = {"n": counts.n, "negative": counts.negative, "positive": counts.positive}
    return {**first, **_rates(cell), **vars(counts)}


def _rates(cell: CellRow) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for row in cell.rates:
        name = row.rate + (f"_{row.of}" if row.of else "")
        found |= {name: row.estimate, f"{name}_lower": row.lower, f"{name}_upper": row.upper}
    return found


def _table(rows: Sequence[Mapping[str, Any]]) -> bytes:
    columns = list(dict.fromkeys(name for row in rows for name, value in row.items() if value is not None))
    data = [[_shown(row.get(name)) for name in columns] for row in rows]
    return json.dumps({"columns": columns, "data": data}, ensure_ascii=False, allow_nan=False, default=str).encode()


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


# the version


def note(judged: Judgement, registry: Registry) -> None:
    """Note a verdict on the candidate's version: tags, and the gate's block of its description.

    A candidate that is no version of a registered model has no place for it. Where the registry takes the tags only
    with a signed decision, neither is written and a warning says so.
    """
    decision = judged.decision
    model = decision.provenance.candidate
    if model.name is None or model.version is None:
        return
    told = summary(decision)
    tags = {
        names.VERDICT: decision.verdict.value,
        names.DECISION_ID: decision.decision_id,
        names.SUMMARY: told,
        names.RUN_ID: judged.run_id,
    }
    try:
        registry.tag_version(model.name, model.version, {name: value for name, value in tags.items() if value})
    except (Refused, RefusedAsStale) as error:
        _warn(
            "the verdict stands, but its tags were not written",
            error,
            _SIGNED,
        )
        return
    describe(
        registry,
        model=model.name,
        version=model.version,
        verdict=decision.verdict.value,
        summary=told,
        decision_id=decision.decision_id,
        run_id=judged.run_id,
    )


def describe(
    registry: Registry,
    *,
    model: str,
    version: int,
    verdict: str,
    summary: str,
    decision_id: str | None = None,
    run_id: str | None = None,
) -> None:
    """Put a verdict into the gate's block of a version's description, with a link to its run.

    ``verdict`` is a verdict's value, or ``override`` or ``rollback``; ``summary`` is plain text. What people wrote in
    the description stays. One that has no room for it, or that may not be written, is warned of, and no error.
    """
    from gate.registry import describe as page

    at = None
    if run_id is not None:
        with suppress(EvidenceError):  # a run that is kept elsewhere: the verdict is worth telling without the link
            at = page.run_page(registry, run_id)
    parts = [escape(summary)]
    parts += [f"[The MLflow run with the evidence]({at})."] if at else []
    parts += [f"Decision `{decision_id[:16]}`."] if decision_id else []
    try:
        page.describe(registry, model, version, verdict, " ".join(parts))
    except GateError as error:
        _warn("the description was not written", error)


def _warn(found: str, error: GateError, hint: str = "") -> None:
    _log.warning("gate: warning: %s\n%s%s", found, error, f"\n  -> {hint}" if hint else "")
