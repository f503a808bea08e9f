"""What is known of a held-out set and a model from earlier: answers that need not be asked for again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gate.data.digests import ContentDigest
from gate.data.tables import Table
from gate.engines.cache import MOST_BYTES, Asked, Cache, Kept, Recorder
from gate.engines.environments import Environment, kept_in
from gate.engines.fingerprint import fingerprint
from gate.engines.limits import size_in_bytes
from gate.stories.sides import Side


def most_bytes() -> int:
    """How much the kept answers may take: $GATE_CACHE_SIZE (``500m``, ``4g``), else 2 GiB; UsageError for no size.

    >>> most_bytes() >= 0
    True
    """
    text = os.environ.get("GATE_CACHE_SIZE")
    return size_in_bytes(text, where="$GATE_CACHE_SIZE") if text else MOST_BYTES


@dataclass(frozen=True)
class Before:
    """An earlier reading of the held-out set: the digest of its content, and what it means if that is another now."""

    digest: str
    unlike: str


MET_BY_OTHERS = "the contract was met by other rows than those scored"
"""What it means if the rows are others now than those that met the contract."""


class Remembering:
    """The cache as one check uses it: looked into before the models are asked, added to afterwards."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._environment = fingerprint()

    @classmethod
    def here(cls) -> Remembering | None:
        """The user's cache; None where there can be none."""
        cache = Cache.open(kept_in(os.environ).parent / "predictions", most_bytes())
        return None if cache is None else cls(cache)

    @property
    def empty(self) -> bool:
        """Whether nothing is kept at all."""
        return next(self._cache.folder.glob("*/*.json"), None) is None

    def asked(self, side: Side, rows: int, environment: Environment, options: Mapping[str, Any]) -> Asked | None:
        """What the answers of one version rest on; None where that cannot be said."""
        known = self._environment if not environment.digest else fingerprint(environment.python)
        if known is None:
            return None
        return Asked(side.digest, f"{environment.digest} {known}".strip(), rows, options)

    def any(self, asked: Asked) -> bool:
        """Whether there are answers to some held-out set."""
        return self._cache.any(asked)

    def find(self, asked: Asked, holdout: str, role: str) -> Kept | None:
        """The answers to the held-out set with this digest, if they are there and whole."""
        return self._cache.find(asked, holdout, role)

    def recorder(self, asked: Asked) -> Recorder:
        """Takes the answers of a version that is asked now."""
        return self._cache.recorder(asked)


def digest_of(table: Table, rows: int) -> str:
    """SHA-256 of the content of a held-out set, in a pass of its own."""
    digest = ContentDigest()
    for batch in table.batches(rows):
        digest.update(batch)
    return digest.hexdigest()
