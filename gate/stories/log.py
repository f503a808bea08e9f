"""The evidence as an MLflow run: metrics of the candidate, the decision, and its reports."""

from __future__ import annotations

from dataclasses import replace

from gate.decisions.record import Decision
from gate.registry.registry import Registry
from gate.report.writers import WRITERS
from gate.stories.decide import Judgement


def log(judged: Judgement, registry: Registry, *, experiment: str | None, tag: bool) -> Judgement:
    """Log ``judged`` as a finished run of ``experiment`` (None: no run), and tag the candidate's version if asked to.

    The metrics are linked to the candidate and to the held-out set. Returns the judgement with the id of the run.
    EvidenceError where the tracking store does not take it.
    """
    decision = judged.decision
    run_id = None
    if experiment is not None:
        candidate, incumbent = decision.provenance.candidate, decision.provenance.incumbent
        run_id = registry.log_run(
            name=f"gate: {decision.verdict.value} {candidate.uri}",
            experiment=experiment,
            params={
                "candidate": candidate.uri,
                "incumbent": incumbent.uri if incumbent else "none",
                "policy": decision.policy.name,
                "policy_digest": decision.policy.digest,
                "holdout": decision.provenance.holdout.uri,
                "holdout_digest": decision.provenance.holdout.digest,
                "confidence": decision.evidence.confidence,
                "seed": decision.provenance.seed,
            },
            tags={
                "gate.verdict": decision.verdict.value,
                "gate.decision_id": decision.decision_id,
                "gate.holdout_digest": decision.provenance.holdout.digest,
                "gate.candidate_digest": candidate.digest or "",
            },
            metrics=metrics(decision),
            model_id=candidate.model_id,
            dataset_name=decision.provenance.holdout.uri,
            dataset_digest=decision.provenance.holdout.digest[:36],
            artifacts={
                name: content for write in WRITERS.values() for name, content in write(decision, judged.samples).items()
            },
        )
    model = decision.provenance.candidate
    if tag and model.name is not None and model.version is not None:
        tags = {"gate.verdict": decision.verdict.value, "gate.decision_id": decision.decision_id}
        registry.tag_version(model.name, model.version, {**tags, **({"gate.run_id": run_id} if run_id else {})})
    return replace(judged, run_id=run_id)


def metrics(decision: Decision) -> dict[str, float | None]:
    """The overall rates with their bounds, and the counts, by the names that the run gives them (``gate.nfr``)."""
    found: dict[str, float | None] = {"gate.n": decision.counts.n}
    for row in decision.rates:
        name = f"gate.{row.rate}" + (f".{row.of}" if row.of else "")
        found |= {name: row.estimate, f"{name}.lower": row.lower, f"{name}.upper": row.upper}
    counts = {name: count for name, count in vars(decision.counts).items() if name != "n"}
    return found | {f"gate.count.{name}": count for name, count in counts.items()}
