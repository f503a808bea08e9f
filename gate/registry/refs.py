"""What a user may call a model, and what it was found to be."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gate.errors import EvidenceError, UsageError

_FORMS = "7, @champion, latest, models:/NAME/7, models:/NAME@champion, models:/m-ID or runs:/ID/PATH"


class MissingAlias(EvidenceError):
    """The model is there and has no such alias: the one kind of missing evidence that a policy may allow for."""


@dataclass(frozen=True)
class ModelRef:
    """One model, resolved once: everything later works on this and never on an alias that may have moved.

    ``uri`` is canonical (``models:/fraud/7``, ``models:/m-...`` or ``runs:/...``). ``alias`` is the one it was asked
    by. ``model_id`` and ``run_id`` are None where the registry does not know them. ``source`` is where the registry
    says that the files come from, without secrets. ``not_promotable_because`` is None for a version of a registered
    model, and a phrase otherwise.
    """

    uri: str
    name: str | None = None
    version: int | None = None
    alias: str | None = None
    model_id: str | None = None
    run_id: str | None = None
    source: str | None = None
    not_promotable_because: str | None = None


@dataclass(frozen=True)
class Asked:
    """A reference as parsed, not yet looked up: one of a version, an alias, a stage, latest, a model id, a run."""

    uri: str
    name: str = ""
    version: int | None = None
    alias: str | None = None
    stage: str | None = None
    latest: bool = False
    model_id: str | None = None
    run_id: str | None = None
    path: str = ""


def parse_ref(ref: str, *, model: str | None, role: str) -> Asked:
    """Read a reference to a model, without asking the registry.

    The short forms ``7``, ``@champion`` and ``latest`` need ``model``; the full ones (``models:/...``, ``runs:/...``)
    carry their own name. Anything else, an empty text too, raises :class:`~gate.errors.UsageError`.

    >>> parse_ref("@champion", model="fraud", role="incumbent").uri
    'models:/fraud@champion'
    >>> parse_ref("models:/fraud/7", model=None, role="candidate").version
    7
    """
    ref = ref.strip()
    if ref.startswith("runs:"):
        return _run(ref, role)
    if ref.startswith("models:"):
        return _registered(ref, role)
    if not (_is_number(ref) or ref.startswith("@") or ref.lower() == "latest"):
        hint = f"did you mean '@{ref}'?" if re.fullmatch(r"[\w-]+", ref) else f"write {_FORMS}"
        raise UsageError(f"not a reference to a model: {ref!r}", where=role, hint=hint)
    if not model:
        raise UsageError(f"{ref!r} names no model", where=role, hint=f"add --model NAME, or write one of {_FORMS}")
    return _registered(f"models:/{model}{ref}" if ref.startswith("@") else f"models:/{model}/{ref}", role)


def _registered(ref: str, role: str) -> Asked:
    match = re.fullmatch(r"models:/{1}([^/].*)|models:///([^/].*)", ref)
    parts = (match.group(1) or match.group(2)).split("/") if match else []
    if len(parts) == 1 and "@" in parts[0]:
        name, alias = parts[0].rsplit("@", 1)
        if name and alias.lower() == "latest":  # MLflow reserves the word as an alias for the newest version
            return Asked(f"models:/{name}/latest", name, latest=True)
        if name and alias:
            return Asked(f"models:/{name}@{alias}", name, alias=alias)
    elif len(parts) == 1 and parts[0].startswith("m-"):
        return Asked(f"models:/{parts[0]}", model_id=parts[0])
    elif len(parts) == 1:
        raise UsageError(
            f"{ref!r} names no version", where=role, hint=f"write models:/{parts[0]}/7 or models:/{parts[0]}@champion"
        )
    elif len(parts) == 2 and all(part.strip() for part in parts):
        name, suffix = parts
        if _is_number(suffix):
            return Asked(f"models:/{name}/{int(suffix)}", name, version=int(suffix))
        if suffix.lower() == "latest":
            return Asked(f"models:/{name}/latest", name, latest=True)
        return Asked(f"models:/{name}/{suffix}", name, stage=suffix)
    raise UsageError(f"not a reference to a model: {ref!r}", where=role, hint=f"write {_FORMS}")


def _run(ref: str, role: str) -> Asked:
    match = re.fullmatch(r"runs:/([^/?#]+)/([^?#]*[^/?#])/?", ref)
    if match is None or any(part in ("", ".", "..") for part in match.group(2).split("/")):
        raise UsageError(f"not a reference to a model of a run: {ref!r}", where=role, hint="write runs:/RUN_ID/PATH")
    run_id, path = match.groups()
    return Asked(f"runs:/{run_id}/{path}", run_id=run_id, path=path)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18
