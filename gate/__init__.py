"""The gate: a regression gate for model updates.

It runs a candidate and an incumbent on one held-out set, counts what the update breaks (negative flips), holds that
against a policy, and lets the candidate be promoted only if the policy is met with evidence.

- :func:`check` judges two models of an MLflow registry, :func:`check_each` several at once in one pass, and
  :func:`compare` predictions that are already there.
- :func:`sign` and :func:`verify` bind a decision to a key; :func:`promote` moves the alias if the decision allows it,
  :func:`rollback` takes the move back, and :func:`audit` lists them all. :func:`validate` checks a policy file.

Importing this package imports nothing else; each function brings its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gate.stories.audit import audit as audit
    from gate.stories.check import check as check
    from gate.stories.check import check_each as check_each
    from gate.stories.compare import compare as compare
    from gate.stories.promote import promote as promote
    from gate.stories.rollback import rollback as rollback
    from gate.stories.sign import sign as sign
    from gate.stories.validate import validate as validate
    from gate.stories.verify import verify as verify

__all__ = ["audit", "check", "check_each", "compare", "promote", "rollback", "sign", "validate", "verify"]


_ELSEWHERE = {"check_each": "check"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"gate.stories.{_ELSEWHERE.get(name, name)}"), name)
