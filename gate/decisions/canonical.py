"""The decision as bytes, and back: sorted keys, UTF-8, no NaN; an edited decision does not read."""

from __future__ import annotations

import hashlib
import json
import math
import os
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from gate.core.bulk import uncollected
from gate.core.flips import FlippedRow
from gate.core.judgement import Finding
from gate.core.outcomes import Picture, Value
from gate.decisions.record import SCHEMA_VERSION, CellRow, Decision
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
    return _encoded(_text(document)) + b"\n"


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def document(decision: Decision) -> dict[str, Any]:
    """The decision as plain JSON data."""
    return _plain(decision) | {name: [plain(one) for one in getattr(decision, name)] for name, plain in _MANY.items()}


def _plain(decision: Decision) -> dict[str, Any]:
    """All but what there can be a hundred thousand of."""
    without = replace(decision, cells=(), findings=())
    plain: dict[str, Any] = _adapter().dump_python((without,), mode="json")[0]
    return plain


def _cell(cell: CellRow) -> dict[str, Any]:
    return {
        "by": cell.by,
        "value": _finite(cell.value),
        "counts": dict(vars(cell.counts)),
        "rates": [dict(vars(row)) for row in cell.rates],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    plain = dict(vars(finding))
    plain["cell"] = {"by": finding.cell.by, "value": _finite(finding.cell.value)}
    plain["severity"] = finding.severity._value_
    plain["decide_on"] = finding.decide_on._value_
    plain["status"] = finding.status._value_
    plain["source"] = dict(vars(finding.source))
    return plain


def to_bytes(decision: Decision) -> bytes:
    """The decision as canonical bytes; those of a sealed one are kept, since they are asked for again and again."""
    kept: bytes | None = vars(decision).get(_KEPT)
    return _joined(_written(decision)) if kept is None else kept


def sealed(decision: Decision) -> Decision:
    """The decision with its id, which leaves out when it was made, and its seal, which leaves out only itself."""
    parts = _written(decision)
    decision_id = _hash(parts, but=_NOT_IN_ID)
    parts["decision_id"] = _encoded(_text(decision_id))
    found = replace(decision, decision_id=decision_id, seal=_hash(parts, but=_NOT_IN_SEAL))
    parts["seal"] = _encoded(_text(found.seal))
    object.__setattr__(found, _KEPT, _joined(parts))  # no field: a copy with another part is written anew
    return found


_MANY: dict[str, Callable[[Any], dict[str, Any]]] = {"cells": _cell, "findings": _finding}
_AT_ONCE = 1000
_KEPT = "_canonical"
_NOT_IN_ID = ("decision_id", "seal", "created_at")
_NOT_IN_SEAL = ("seal",)


def _parts(plain: dict[str, Any]) -> dict[str, bytes]:
    """The JSON of every key of a document."""
    return {key: _encoded(_text(value)) for key, value in plain.items()}


def _written(decision: Decision) -> dict[str, bytes]:
    """The JSON of every key of a decision; of what there is much, some at a time."""
    parts = _parts(_plain(decision))
    for name, plain in _MANY.items():
        every = getattr(decision, name)
        some = (every[first : first + _AT_ONCE] for first in range(0, len(every), _AT_ONCE))
        with uncollected():
            texts = [_encoded(_text([plain(one) for one in these])[1:-1]) for these in some]
        parts[name] = b"[" + b",".join(texts) + b"]"
    return parts


def _joined(parts: Mapping[str, bytes]) -> bytes:
    """The canonical bytes of a document, from its parts."""
    return b"".join(_pieces(parts))


def _hash(parts: Mapping[str, bytes], but: Sequence[str]) -> str:
    found = hashlib.sha256()
    for piece in _pieces({key: text for key, text in parts.items() if key not in but}):
        found.update(piece)
    return found.hexdigest()


def _pieces(parts: Mapping[str, bytes]) -> Iterator[bytes]:
    opening = b"{"
    for key in sorted(parts):
        yield from (opening, _encoded(_text(key)), b":", parts[key])
        opening = b","
    yield b"}\n" if parts else b"{}\n"


def read_decision(source: str | os.PathLike[str] | bytes) -> Decision:
    """Read a decision from a file or from its bytes.

    UsageError for a file that is absent; EvidenceError for one that is no decision, is of another schema version, or
    was edited: its content must hash to its id and seal, and its bytes must be those that were written.
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
        parts = _parts(plain)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = ".".join(str(step) for step in first["loc"][1:])
        raise EvidenceError(f"not a decision: {at}: {first['msg']}", where=where) from None
    except ValueError as error:  # a number beyond all numbers, where any may stand
        raise EvidenceError(f"not a decision: {error}", where=where) from None
    whole = (_hash(parts, but=_NOT_IN_ID), _hash(parts, but=_NOT_IN_SEAL)) == (decision.decision_id, decision.seal)
    if not whole or document(decision) != plain or raw != _joined(parts):
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
    """The flipped rows as JSON Lines, one object a row, the most urgent first; no rows give no bytes.

    What stands beside a row are pairs of name and value; a picture is an object with its PNG in base64.

    >>> samples_to_bytes([FlippedRow("0a", 7, "negative", "cat", "cat", "dog")])[:53]
    b'{"beside":[],"candidate":"dog","candidate_confidence"'
    """
    return b"".join(canonical(_sample(row)) for row in samples)


def _sample(row: FlippedRow) -> dict[str, Any]:
    plain = {name: _finite(value) for name, value in vars(row).items() if name != "beside"}
    return plain | {"beside": [[name, _beside(value)] for name, value in row.beside.items()]}


def _beside(value: Value | Picture) -> Any:
    if not isinstance(value, Picture):
        return _finite(value)
    return {"png": b64encode(value.png).decode("ascii"), "width": value.width, "height": value.height}


def _finite(value: Any) -> Any:
    """A value of the data as JSON knows it: NaN is null, and an infinity, which a slice or an id may hold, is text."""
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)
