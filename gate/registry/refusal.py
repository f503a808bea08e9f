"""What an enforcing registry says when it refuses, and how a client tells it from a failure."""

from __future__ import annotations

import re

from gate.errors import ConflictError, EvidenceError

_LONGEST = 2000
# What a registry that enforces decisions says before its reason.
_REFUSAL = re.compile(r"gate: (refused|conflict): (.*)", re.DOTALL)


class Refused(EvidenceError):
    """The registry did not do it, for want of evidence: nothing changed."""


class RefusedAsStale(ConflictError):
    """The registry did not do it, since it is no longer as it was judged: nothing changed."""


def refusal(text: str, where: str) -> Refused | RefusedAsStale | None:
    """The refusal in the text of an error, in the registry's own words; None where there is none.

    >>> print(refusal("PERMISSION_DENIED: gate: conflict: it moved\\n  -> judge again", "models:/fraud@champion"))
    models:/fraud@champion: the registry refuses: it moved
      -> judge again
    """
    found = _REFUSAL.search(text)
    if found is None:
        return None
    kind: type[Refused | RefusedAsStale] = RefusedAsStale if found[1] == "conflict" else Refused
    reason, _, hint = (_short(part) for part in found[2].partition("\n  -> "))
    return kind(f"the registry refuses: {reason}", where=where, hint=hint)


def _short(text: str) -> str:
    bare = text.strip()
    return bare if len(bare) <= _LONGEST else f"{bare[:_LONGEST]}..."
