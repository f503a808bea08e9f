"""The decision as bytes, and back: sorted keys, UTF-8, no NaN; an edited decision does not read."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from gate.core.flips import FlippedRow
from gate.decisions.record import SCHEMA_VERSION, Decision
from gate.errors import EvidenceError, UsageError


@cache
def _adapter() -> TypeAdapter[tuple[Decision]]:
    # of a tuple, since only so does the configuration reach the dataclasses, which know nothing of pydantic
    return TypeAdapter(tuple[Decision], config=ConfigDict(extra="forbid", allow_inf_nan=False))


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the decision, as published in ``docs/reference/decision.schema.json``."""
    definitions = _adapter().json_schema(mode="serialization")["$defs"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Decision of the gate",
        "$ref": "#/$defs/Decision",
        "$defs": definitions,
    }


def canonical(document: Any) -> bytes:
    """Any JSON value as canonical bytes: sorted keys, no spaces, UTF-8, one line. ValueError for NaN or infinity.

    >>> canonical({"b": 1, "a": [None, "é"]})
    b'{"a":[null,"\\xc3\\xa9"],"b":1}\\n'
    """
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace") + b"\n"


def document(decision: Decision) -> dict[str, Any]:
    """The decision as plain JSON data."""
    plain: dict[str, Any] = _adapter().dump_python((decision,), mode="json")[0]
    for cell in (*plain["cells"], *(finding["cell"] for finding in plain["findings"])):
        cell["value"] = _finite(cell["value"])
    return plain


def to_bytes(decision: Decision) -> bytes:
    """The decision as canonical bytes."""
    return canonical(document(decision))


def sealed(decision: Decision) -> Decision:
    """The decision with its id: SHA-256 of everything but the id and ``created_at``."""
    return replace(decision, decision_id=_id(document(decision)))


def _id(plain: dict[str, Any]) -> str:
    return hashlib.sha256(
        canonical({k: v for k, v in plain.items() if k not in ("decision_id", "created_at")})
    ).hexdigest()


def read_decision(source: str | os.PathLike[str] | bytes) -> Decision:
    """Read a decision from a file or from its bytes.

    UsageError for a file that is absent; EvidenceError for one that is no decision, is of another schema version, or
    was edited: its content must hash to its id, and its bytes must be those that were written.
    """
    where = "decision" if isinstance(source, bytes) else os.fspath(source)
    raw = source if isinstance(source, bytes) else _bytes_of(source)
    try:
        plain = json.loads(raw.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"not a decision: {error}", where=where, hint="gate check writes one") from None
    if not isinstance(plain, dict) or "schema_version" not in plain:
        raise EvidenceError("not a decision: it has no schema_version", where=where, hint="gate check writes one")
    if plain["schema_version"] != SCHEMA_VERSION:
        raise EvidenceError(
            f"schema version {plain['schema_version']!r}; this gate reads version {SCHEMA_VERSION}",
            where=where,
            hint="use the version of the gate that wrote it",
        )
    try:
        (decision,) = _adapter().validate_python((plain,))
        found = _id(plain)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = ".".join(str(step) for step in first["loc"][1:])
        raise EvidenceError(f"not a decision: {at}: {first['msg']}", where=where) from None
    if found != decision.decision_id or document(decision) != plain or raw != canonical(plain):
        raise EvidenceError(
            "edited: it is not, byte for byte, what its decision_id was made of",
            where=where,
            hint="judge again with gate check; an edited decision counts for nothing",
        )
    return decision


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number that a decision holds")


def _bytes_of(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise UsageError(
            "no such decision", where=os.fspath(path), hint="gate check --report json=FILE writes one"
        ) from None
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=os.fspath(path)) from None


def samples_to_bytes(samples: Sequence[FlippedRow]) -> bytes:
    """The flipped rows as JSON Lines, one object a row, in the order of their hashes; no rows give no bytes.

    >>> samples_to_bytes([FlippedRow("0a", 7, "negative", "cat", "cat", "dog")])[:53]
    b'{"candidate":"dog","candidate_confidence":null,"diges'
    """
    return b"".join(canonical({name: _finite(value) for name, value in vars(row).items()}) for row in samples)


def _finite(value: Any) -> Any:
    """A value of the data as JSON knows it: NaN is null, and an infinity, which a slice or an id may hold, is text."""
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)
