"""The sidecar of flipped rows, read back: it counts only if it is the one that the decision holds the digest of."""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64decode
from dataclasses import fields
from pathlib import Path
from typing import Any

from gate.core.flipped import KINDS, FlippedRow
from gate.core.outcomes import Picture, Value
from gate.decisions.record import Decision
from gate.errors import EvidenceError, UsageError

_PNG = b"\x89PNG\r\n\x1a\n"
_LARGEST_PNG = 100_000
_LARGEST_NUMBER = 1e300
_NAMES = {field.name for field in fields(FlippedRow)}
_NUMBER = (int, float, type(None))
_KINDS: dict[str, tuple[type, ...]] = {
    "digest": (str,),
    "kind": (str,),
    "incumbent_confidence": _NUMBER,
    "candidate_confidence": _NUMBER,
    "golden": (bool,),
    "cost": _NUMBER,
    "beside": (list,),
}
_VALUE = (bool, int, float, str, type(None))


def read_samples(source: str | os.PathLike[str], decision: Decision) -> tuple[FlippedRow, ...]:
    """The flipped rows of ``decision`` from the file that ``--report samples=FILE`` wrote; an empty file holds none.

    UsageError for a file that is absent; EvidenceError for one that was edited or belongs to another decision, and for
    a line that is no flipped row, however it came to the decision's digest.

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
    rows = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            rows.append(_row(json.loads(line, parse_constant=_refuse)))
        except (ValueError, RecursionError):
            raise EvidenceError(
                f"line {number} is no flipped row", where=where, hint="gate check writes them"
            ) from None
    return tuple(rows)


def _row(plain: Any) -> FlippedRow:
    """ValueError for what is no row. Fields that were added later may be absent."""
    if not isinstance(plain, dict) or not {"digest", "id", "kind"} <= set(plain) <= _NAMES:
        raise ValueError
    for name, value in plain.items():
        allowed = _KINDS.get(name, _VALUE)
        if not isinstance(value, allowed) or (bool not in allowed and isinstance(value, bool)):
            raise ValueError(name)
    for name in ("incumbent_confidence", "candidate_confidence", "cost"):
        if abs(plain.get(name) or 0) > _LARGEST_NUMBER:
            raise ValueError(name)
    if plain["kind"] not in KINDS:
        raise ValueError(plain["kind"])
    beside = dict(_pair(pair) for pair in plain.get("beside", ()))
    return FlippedRow(**{**plain, "beside": beside})


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _pair(pair: Any) -> tuple[str, Value | Picture]:
    if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
        raise ValueError
    name, value = pair
    if isinstance(value, dict):
        return name, _picture(value)
    if not isinstance(value, _VALUE):
        raise ValueError
    return name, value


def _picture(plain: dict[str, Any]) -> Picture:
    png, width, height = (plain.pop(name, None) for name in ("png", "width", "height"))
    sizes = isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0
    if plain or not sizes or not isinstance(png, str):
        raise ValueError
    content = b64decode(png, validate=True)
    if not content.startswith(_PNG) or len(content) > _LARGEST_PNG:
        raise ValueError
    return Picture(content, width, height)
