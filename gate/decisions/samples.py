"""The sidecar of flipped rows, read back: it counts only if it is the one that the decision holds the digest of."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import fields
from pathlib import Path

from gate.core.flips import FlippedRow
from gate.decisions.record import Decision
from gate.errors import EvidenceError, UsageError

_NAMES = {field.name for field in fields(FlippedRow)}


def read_samples(source: str | os.PathLike[str], decision: Decision) -> tuple[FlippedRow, ...]:
    """The flipped rows of ``decision`` from the file that ``--report samples=FILE`` wrote; an empty file holds none.

    UsageError for a file that is absent; EvidenceError for one that was edited or belongs to another decision.

    Example::

        rows = read_samples("samples.jsonl", read_decision("decision.json"))
    """
    where = os.fspath(source)
    try:
        content = Path(source).read_bytes()
    except FileNotFoundError:
        raise UsageError("no such file", where=where, hint="--report samples=FILE writes one") from None
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=where) from None
    if hashlib.sha256(content).hexdigest() != decision.provenance.samples.digest:
        raise EvidenceError(
            f"not the flipped rows of decision {decision.decision_id[:16]}",
            where=where,
            hint="its SHA-256 must be the one in the decision; give the file that was written along with it",
        )
    rows = [json.loads(line) for line in content.splitlines()]
    return tuple(FlippedRow(**{name: row.get(name) for name in _NAMES}) for row in rows)
