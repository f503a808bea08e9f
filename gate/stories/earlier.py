"""Earlier versions of a model as a trend: what was promoted to the alias before, and how good it was found to be.

A trend is told and decides nothing. So whatever of it cannot be read is left out with a note, and stops no check.
"""

from __future__ import annotations

from gate.decisions.record import EarlierRow, Target
from gate.errors import GateError
from gate.registry.registry import Registry

_HOLDOUT = "gate.holdout_digest"
_NFR, _ERROR_RATE = "gate.nfr", "gate.error_rate.candidate"


def earlier(registry: Registry, target: Target, experiment: str) -> tuple[tuple[EarlierRow, ...], tuple[str, ...]]:
    """The last promotions to the alias that a decision is about, oldest first, and notes of what is missing.

    Their runs are looked for in ``experiment``. Without a model or an alias there is nothing to look up. Never an
    error.

    Example::

        history, notes = earlier(registry, target, "gate")
    """
    if target.model is None or target.alias is None:
        return (), ()
    from gate.registry.history import Promotion, promotions

    def row(of: Promotion) -> EarlierRow | None:
        if of.run is None or of.move.version is None:
            return None
        read = of.run.metrics.get
        found = EarlierRow(
            number=of.move.number,
            at=of.move.at,
            kind=of.move.kind.value,
            version=of.move.version,
            previous=of.move.previous,
            taken_back=of.taken_back,
            decision_id=of.move.decision_id,
            run_id=of.run.run_id,
            holdout_digest=of.run.tags.get(_HOLDOUT),
            nfr=read(_NFR),
            nfr_lower=read(f"{_NFR}.lower"),
            nfr_upper=read(f"{_NFR}.upper"),
            error_rate=read(_ERROR_RATE),
            error_rate_lower=read(f"{_ERROR_RATE}.lower"),
            error_rate_upper=read(f"{_ERROR_RATE}.upper"),
        )
        return None if found.nfr is None and found.error_rate is None else found

    try:
        found = promotions(registry, target.model, target.alias, experiment)
    except GateError as error:
        return (), (f"the earlier promotions of @{target.alias} could not be read: {error.problems[0].found}",)
    rows = [(one.move.version, row(one)) for one in found.done]
    unknown = [str(version) for version, known in rows if known is None]
    notes = []
    if unknown:
        versions = f"version{'s' if len(unknown) > 1 else ''} {', '.join(unknown)}"
        notes.append(
            f"the trend leaves out {versions}, promoted to @{target.alias} before: the run that judged it was not found"
        )
    if found.broken:
        notes.append(
            f"the trend leaves out {found.broken} of the recorded moves of @{target.alias}, which cannot be read:"
            f" see gate audit {target.model}"
        )
    return tuple(known for _, known in rows if known is not None), tuple(notes)
