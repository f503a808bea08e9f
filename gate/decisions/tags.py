"""The names of the tags that the gate keeps in a registry, and how long a value may be."""

from __future__ import annotations

from gate.errors import UsageError

PREFIX = "gate."
"""Every tag of the gate begins with it; an enforcing registry lets nobody else write one."""

ATTESTATION = "gate.attestation."
MOVE = "gate.move."
CLAIM = "gate.claim."

VERDICT = "gate.verdict"
DECISION_ID = "gate.decision_id"
SUMMARY = "gate.summary"
RUN_ID = "gate.run_id"
DESCRIPTIVE = (VERDICT, DECISION_ID, SUMMARY, RUN_ID)
"""The tags of a version that follow from the statement that stands behind it."""

LONGEST_VALUE = 5000
"""Characters that every supported MLflow store takes as the value of a tag."""

LONGEST_NAME = 250


def attestation(alias: str) -> str:
    """The tag of a version that holds the envelope by which it may become ``alias``.

    >>> attestation("champion")
    'gate.attestation.champion'
    """
    return _fitting(f"{ATTESTATION}{alias}")


def move(alias: str, number: int) -> str:
    """The tag of a registered model that holds its ``number``-th recorded move of ``alias``, counted from 1.

    >>> move("champion", 12)
    'gate.move.champion.000012'
    """
    return _fitting(f"{MOVE}{alias}.{number:06}")


def claim(alias: str, holder: str) -> str:
    """The tag of a registered model by which ``holder`` claims the right to move ``alias``.

    >>> claim("champion", "3f2a")
    'gate.claim.champion.3f2a'
    """
    return _fitting(f"{CLAIM}{alias}.{holder}")


def _fitting(name: str) -> str:
    if len(name) > LONGEST_NAME:
        raise UsageError(
            f"the tag's name has {len(name)} characters, and MLflow takes {LONGEST_NAME}",
            where=name[:60] + "...",
            hint="use a shorter alias",
        )
    return name
