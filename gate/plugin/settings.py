"""What ``evaluator_config`` says to the gate: read as a whole, with every mistake told at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any

from gate.errors import Problem, UsageError, did_you_mean
from gate.policy.rules import Policy

NAME = "regression_gate"
"""What ``evaluators=`` calls the gate."""

_WHERE = "evaluator_config"


@dataclass(frozen=True)
class Settings:
    """A sound ``evaluator_config``; but for the incumbent the names and the defaults are those of :func:`gate.check`.

    Either ``incumbent`` is the URI of a model (``models:/fraud@champion``), or ``incumbent_predictions`` the column of
    the data with its predictions. ``candidate`` says which version the evaluated model is, where several hold it.
    """

    policy: Policy
    incumbent: str | None = None
    incumbent_predictions: str | None = None
    candidate: str | None = None
    id: str | None = None
    environment: str | None = None
    registry_uri: str | None = None
    tag: bool = False
    seed: int = 0
    samples: int = 100
    as_of: str | None = None
    rows_per_batch: int | None = None
    timeout: float = 600.0
    in_process: bool = False

    @classmethod
    def read(cls, config: object) -> Settings:
        """Read and check a configuration, the policy too; UsageError with all that is wrong.

        >>> Settings.read({"polcy": "fraud.yaml", "incumbent": "models:/fraud@champion"})
        Traceback (most recent call last):
        gate.errors.UsageError: evaluator_config: unknown key 'polcy'; did you mean 'policy'?
        evaluator_config: no policy
          -> the path of a policy file: "policy": "policies/fraud.yaml"
        """
        if not isinstance(config, Mapping):
            raise UsageError(f"not a dict of settings: {config!r}", where=_WHERE)
        nested = config.get(NAME)
        said: Mapping[Any, Any] = nested if set(config) == {NAME} and isinstance(nested, Mapping) else config
        given = {key: value for key, value in said.items() if value is not None}
        keys = [field.name for field in fields(cls)]
        problems = [Problem(f"unknown key {key!r}{did_you_mean(key, keys)}", _WHERE) for key in said if key not in keys]
        problems += [
            Problem(f"{key}: {given[key]!r} is not {wanted}", _WHERE)
            for key, (wanted, fits) in _KINDS.items()
            if key in given and not fits(given[key])
        ]
        problems += [*_of_incumbent(given), *_of_uris(given), *_of_day(given)]
        policy, mistakes = _policy(given)
        if problems or mistakes or policy is None:
            raise UsageError(problems=[*problems, *mistakes])
        return cls(**{**given, "policy": policy})


def is_meant(config: object) -> bool:
    """Whether a configuration that MLflow gave to every evaluator there is was written for the gate.

    >>> is_meant({"incumbnt": "models:/fraud@champion"}), is_meant({"log_model_explainability": False}), is_meant({})
    (True, False, False)
    """
    own = (NAME, "incumbent", "incumbent_predictions", "policy")
    return isinstance(config, Mapping) and any(get_close_matches(str(key), own, n=1) for key in config)


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf")


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


_KINDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "policy": ("the path of a policy file", lambda value: isinstance(value, (str, os.PathLike, Policy))),
    **dict.fromkeys(("incumbent", "candidate"), ("the URI of a model", _text)),
    **dict.fromkeys(("incumbent_predictions", "id"), ("the name of a column", _text)),
    **dict.fromkeys(("environment", "registry_uri", "as_of"), ("text", _text)),
    **dict.fromkeys(("tag", "in_process"), ("True or False", lambda value: isinstance(value, bool))),
    "seed": ("a whole number", lambda value: _whole(value, 0)),
    "samples": ("a whole number, 0 or more", lambda value: _whole(value, 0)),
    "rows_per_batch": ("a whole number, 1 or more", lambda value: _whole(value, 1)),
    "timeout": ("a number of seconds", _number),
}


def _of_incumbent(given: Mapping[str, Any]) -> list[Problem]:
    if ("incumbent" in given) != ("incumbent_predictions" in given):
        return []
    found = "incumbent and incumbent_predictions: one of them" if "incumbent" in given else "no incumbent"
    hint = '"incumbent": "models:/NAME@champion", or "incumbent_predictions": "COLUMN" of the data'
    return [Problem(found, _WHERE, hint)]


def _of_uris(given: Mapping[str, Any]) -> list[Problem]:
    from gate.registry.refs import parse_ref

    problems = []
    for role in ("incumbent", "candidate"):
        uri = given.get(role)
        if not isinstance(uri, str) or not uri:
            continue  # absent, or told already
        if not uri.startswith(("models:", "runs:")):
            hint = "write models:/NAME/7, models:/NAME@champion, models:/m-ID or runs:/ID/PATH"
            problems.append(Problem(f"{role}: {uri!r} is not the URI of a model", _WHERE, hint))
            continue
        try:
            parse_ref(uri, model=None, role=f"{_WHERE}: {role}")
        except UsageError as error:
            problems += error.problems
    return problems


def _of_day(given: Mapping[str, Any]) -> list[Problem]:
    from gate.stories.decide import day

    if not _text(given.get("as_of")):
        return []
    try:
        day(given["as_of"])
    except UsageError as error:
        return [replace(problem, where=f"{_WHERE}: as_of") for problem in error.problems]
    return []


def _policy(given: Mapping[str, Any]) -> tuple[Policy | None, list[Problem]]:
    from gate.stories.columns import policy_for

    if "policy" not in given:
        hint = 'the path of a policy file: "policy": "policies/fraud.yaml"'
        return None, [Problem("no policy", _WHERE, hint)]
    environment = given.get("environment")
    sound = all(fits(given[key]) for key, (_, fits) in _KINDS.items() if key in given and key in _OF_POLICY)
    if not sound:
        return None, []  # told already
    try:
        return policy_for(given["policy"], environment), []
    except UsageError as error:
        return None, list(error.problems)


_OF_POLICY = ("policy", "environment")
