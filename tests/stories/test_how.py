"""Options of how models are run: none of them does nothing in silence."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields
from typing import Any

import pytest

from gate.cli import running
from gate.core.outcomes import Value
from gate.engines.answers import ModelInfo
from gate.engines.environments import MANAGERS
from gate.errors import UsageError
from gate.registry.refs import ModelRef
from gate.stories.asking import How
from gate.stories.check import _Asked, _worn, check
from gate.stories.sides import Side, Sides, _named


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"in_process": True, "env_manager": "uv"}, "--env-manager"),
        ({"in_process": True, "memory": 1 << 30}, "--memory"),
        ({"in_process": True, "timeout": 10.0}, "--timeout"),
        ({"in_process": True, "total_timeout": 10.0}, "--total-timeout"),
        ({"builds": True}, "--allow-builds"),
        ({"accept_clash": True, "env_manager": "uv"}, "--accept-clash"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        How(**options)


def info(role: str, torch: dict[str, Value]) -> ModelInfo:
    return ModelInfo(role, None, None, {}, (), torch)


def test_options_for_torch_that_said_nothing_to_a_model_are_a_note() -> None:
    infos = [info("candidate", {"device": "cpu"}), info("incumbent", {})]
    (note,) = How(device="cpu", compile=True).not_told(infos)
    assert note == "the incumbent is not run as a plain PyTorch model: --device, --compile said nothing to it"
    assert How().not_told(infos) == ()


def ref(name: str | None, version: int | None, uri: str) -> ModelRef:
    return ModelRef(uri, name, version)


def test_versions_of_one_number_of_two_models_have_roles_of_their_own() -> None:
    refs = [ref("a", 2, "models:/a/2"), ref("b", 2, "models:/b/2")]
    assert [role for role, _ in _named("candidate", refs)] == ["candidate models:/a/2", "candidate models:/b/2"]
    same = [ref("a", 2, "models:/a/2"), ref("a", 3, "models:/a/3")]
    assert [role for role, _ in _named("candidate", same)] == ["candidate 2", "candidate 3"]
    assert [role for role, _ in _named("incumbent", same[:1])] == ["incumbent"]


def test_two_versions_with_one_role_cannot_be(tmp_path: Any) -> None:
    side = Side("candidate 2", ref("a", 2, "models:/a/2"), tmp_path, "a" * 64)
    with pytest.raises(ValueError, match="two versions with one role"):
        Sides((side, side), ())


@pytest.mark.parametrize(
    ("before", "now", "declared", "told"),
    [
        (2, 3, 1, True),
        (1, 2, 2, True),
        (1, 2, 3, False),
        (0, 3, 1, False),  # that is said by the note about looks
        (5, 1, 1, False),  # and so is that
        (None, 3, 1, False),
    ],
)
def test_candidates_before_and_now_are_looks_together(before: int | None, now: int, declared: int, told: bool) -> None:
    assert bool(_worn(before, now, declared)) is told


def test_one_pair_and_several_have_the_same_defaults() -> None:
    stated = {name: one.default for name, one in inspect.signature(check).parameters.items()}
    for field in fields(_Asked):
        if field.name != "how":
            assert stated[field.name] is (inspect.Parameter.empty if field.default is MISSING else field.default)


def test_the_command_offers_the_managers_that_there_are() -> None:
    assert running.MANAGERS == MANAGERS
