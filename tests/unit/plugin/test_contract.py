"""Where no protected name is touched, a store behind the gate answers as the same store without it, word for word.

MLflow's package brings no tests of its stores, so one long session goes over every method, errors included, through
both, on databases that began as the same bytes.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from gate.plugin.store import GUARDED, HARMLESS, READS, THROUGH_GUARDED

Step = tuple[str, tuple[Any, ...], dict[str, Any]]

# A database does not send webhooks, and there is no such run, model or trace.
NEVER = {"test_webhook", "link_prompt_version_to_run", "link_prompt_version_to_model", "link_prompts_to_trace"}

LAST: Any = object()
"""Stands for the id of the webhook that was made last."""


def step(method: str, *args: Any, **kwargs: Any) -> Step:
    return method, args, kwargs


def session(folder: Path) -> Iterator[Step]:
    """Every method of a store, in an order that leaves something for each to find."""
    from mlflow.entities.model_registry import ModelVersion, ModelVersionTag, RegisteredModelTag
    from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent, WebhookStatus

    def on_model(key: str, value: str) -> Any:
        return RegisteredModelTag(key, value)

    def on_version(key: str, value: str) -> Any:
        return ModelVersionTag(key, value)

    files = str(folder)
    yield step("create_registered_model", "churn", [on_model("team", "risk")], "who leaves?")
    yield step("create_registered_model", "churn")
    yield step("create_registered_model", "")
    yield step("create_registered_model", "a/b")
    yield step("create_registered_model", "price", tags=[on_model("gate.verdict", "allow")])
    yield step("create_registered_model", "x" * 300)
    yield step("get_registered_model", "churn")
    yield step("get_registered_model", "nobody")
    yield step("update_registered_model", "churn", "who stays?")
    yield step("update_registered_model", "nobody", "who?")
    for _ in range(3):
        yield step("create_model_version", "churn", files)
    yield step("create_model_version", "churn", files, "run", [on_version("gate.verdict", "allow")], "link", "new")
    yield step("create_model_version", "nobody", files)
    yield step("create_model_version", "price", "models:/churn/1")
    yield step("create_model_version", "price", "models:/churn/99")
    yield step("create_model_version", "price", "models:/churn")
    yield step("create_model_version", "price", "models:/")
    yield step("create_model_version", "price", files, tags=[on_version("", "x")])
    yield step("copy_model_version", _version(ModelVersion, "churn", 2), "price")
    yield step("copy_model_version", _version(ModelVersion, "churn", 2), "fresh")
    yield step("get_model_version", "churn", "1")
    yield step("get_model_version", "churn", "99")
    yield step("get_model_version", "churn", "one")
    yield step("get_model_version_download_uri", "price", "1")
    yield step("update_model_version", "churn", "1", "the first")
    yield step("update_model_version", "churn", "99", "none")
    yield step("set_model_version_tag", "churn", "1", on_version("seen", "yes"))
    yield step("set_model_version_tag", "churn", "1", on_version("gate.verdict", "allow"))
    yield step("set_model_version_tag", "churn", "one", on_version("gate.verdict", "allow"))
    yield step("set_model_version_tag", "churn", "1", on_version("gate.x", "x" * 200_000))
    yield step("set_model_version_tag", "nobody", "1", on_version("seen", "yes"))
    yield step("delete_model_version_tag", "churn", "1", "gate.verdict")
    yield step("delete_model_version_tag", "churn", "1", "gate.verdict")
    yield step("delete_model_version_tag", "churn", "1", "seen")
    yield step("set_registered_model_tag", "churn", on_model("gate.claim.champion.x", "mine"))
    yield step("set_registered_model_tag", "churn", on_model("team", "growth"))
    yield step("set_registered_model_tag", "nobody", on_model("team", "growth"))
    yield step("delete_registered_model_tag", "churn", "gate.claim.champion.x")
    yield step("delete_registered_model_tag", "churn", "team")
    yield step("set_registered_model_alias", "churn", "champion", "1")
    yield step("set_registered_model_alias", "churn", "champion", "2")
    yield step("set_registered_model_alias", "churn", "champion", 2)
    yield step("set_registered_model_alias", "churn", "champion", "99")
    yield step("set_registered_model_alias", "churn", "champion", "one")
    yield step("set_registered_model_alias", "churn", "latest", "1")
    yield step("set_registered_model_alias", "churn", "v1", "1")
    yield step("set_registered_model_alias", "churn", "a b", "1")
    yield step("set_registered_model_alias", "churn", "", "1")
    yield step("set_registered_model_alias", "nobody", "champion", "1")
    yield step("get_model_version_by_alias", "churn", "champion")
    yield step("get_model_version_by_alias", "churn", "latest")
    yield step("get_model_version_by_alias", "churn", "nobody")
    yield step("transition_model_version_stage", "churn", "1", "Production", True)
    yield step("transition_model_version_stage", "churn", "2", "Production", True)
    yield step("transition_model_version_stage", "churn", "2", "None", True)
    yield step("transition_model_version_stage", "churn", "2", "Nowhere", False)
    yield step("get_latest_versions", "churn")
    yield step("get_latest_versions", "churn", ["Production"])
    yield step("delete_model_version", "churn", "2")
    yield step("delete_model_version", "churn", "2")
    yield step("delete_model_version", "churn", "one")
    yield step("get_registered_model", "churn")
    yield step("delete_registered_model_alias", "churn", "champion")
    yield step("delete_registered_model_alias", "churn", "champion")
    yield step("delete_registered_model_alias", "nobody", "champion")
    yield step("rename_registered_model", "price", "cost")
    yield step("rename_registered_model", "cost", "churn")
    yield step("rename_registered_model", "nobody", "somebody")
    yield step("rename_registered_model", "cost", "")
    yield step("search_registered_models")
    yield step("search_registered_models", "name LIKE 'c%'", 1, ["name DESC"])
    yield step("search_registered_models", "nonsense")
    yield step("search_model_versions", "name='churn'")
    yield step("search_model_versions", None, 2, ["version_number ASC"])
    yield step("delete_registered_model", "cost")
    yield step("delete_registered_model", "cost")
    yield from _prompts()
    created = WebhookEvent(WebhookEntity.MODEL_VERSION, WebhookAction.CREATED)
    yield step("create_webhook", "hook", "https://127.0.0.1:9/hook", [created])
    yield step("create_webhook", "hook", "not a url", [created])
    yield step("list_webhooks")
    yield step("list_webhooks_by_event", created)
    yield step("get_webhook", LAST)
    yield step("update_webhook", LAST, status=WebhookStatus.DISABLED)
    yield step("test_webhook", LAST)
    yield step("delete_webhook", LAST)
    yield step("get_webhook", LAST)
    # A protected name may be read, registered and described by anybody.
    yield step("create_registered_model", "fraud", [on_model("team", "risk")])
    yield step("create_model_version", "fraud", files, tags=[on_version("team", "risk")])
    yield step("update_model_version", "fraud", "1", "the first")
    yield step("set_model_version_tag", "fraud", "1", on_version("seen", "yes"))
    yield step("set_registered_model_alias", "fraud", "challenger", "1")
    yield step("delete_registered_model_alias", "fraud", "challenger")
    for method, *args in (
        ("get_registered_model", "fraud"),
        ("get_model_version", "fraud", "1"),
        ("get_model_version_download_uri", "fraud", "1"),
        ("get_latest_versions", "fraud"),
        ("get_model_version_by_alias", "fraud", "champion"),
        ("search_model_versions", "name='fraud'"),
        ("search_registered_models", "name='fraud'"),
    ):
        yield step(method, *args)


def _prompts() -> Iterator[Step]:
    yield step("create_prompt", "greet", "says hello", {"team": "chat"})
    yield step("create_prompt_version", "greet", "hello {{name}}", "first", {"gate.verdict": "allow"})
    yield step("create_prompt_version", "greet", "good day {{name}}")
    yield step("get_prompt", "greet")
    yield step("get_prompt_version", "greet", 1)
    yield step("search_prompts")
    yield step("search_prompt_versions", "greet")
    yield step("set_prompt_alias", "greet", "champion", 1)
    yield step("get_prompt_version_by_alias", "greet", "champion")
    yield step("delete_prompt_alias", "greet", "champion")
    yield step("set_prompt_tag", "greet", "gate.x", "y")
    yield step("delete_prompt_tag", "greet", "gate.x")
    yield step("set_prompt_version_tag", "greet", 1, "seen", "yes")
    yield step("delete_prompt_version_tag", "greet", 1, "seen")
    yield step("link_prompt_version_to_run", "greet", "1", "no-such-run")
    yield step("link_prompt_version_to_model", "greet", "1", "no-such-model")
    yield step("link_prompts_to_trace", [], "no-such-trace")
    yield step("delete_prompt_version", "greet", "2")
    yield step("delete_prompt", "greet")


def _version(kind: Any, name: str, number: int) -> Any:
    return kind(name, number, 0, tags=[], run_id="run", description="a copy")


def answers(store: Any, steps: Iterator[Step]) -> list[str]:
    """What the store says to each step: a value or an error, without the times and ids that are never the same."""
    told = []
    last = ""
    for method, args, kwargs in steps:
        args = tuple(last if arg is LAST else arg for arg in args)
        try:
            found = getattr(store, method)(*args, **kwargs)
            last = getattr(found, "webhook_id", None) or last
            said = f"{method}{args}: {plain(found)}"
        except Exception as error:  # noqa: BLE001 - an error is an answer too, whatever it is
            said = f"{method}{args}: {type(error).__name__} {getattr(error, 'error_code', '')}: {error}"
        said = said.replace("GatedSqlAlchemyStore", "SqlAlchemyStore")
        told.append(re.sub(r"\b1[78]\d{11}\b|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|0x[0-9a-f]+", "#", said))
    return told


def plain(value: Any) -> Any:
    if isinstance(value, list):
        return [plain(item) for item in value], getattr(value, "token", None)
    if isinstance(value, Enum) or not hasattr(value, "__dict__"):
        return value
    return {name: plain(item) for name, item in vars(value).items()}


@pytest.fixture
def both(place: Any, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """A store behind the gate and one without it, on copies of one empty database."""
    import mlflow
    from mlflow.store.model_registry import sqlalchemy_store

    make_store: Any = sqlalchemy_store.SqlAlchemyStore
    (tmp_path / "plain").mkdir()
    shutil.copy(empty_store, tmp_path / "plain" / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.uri)  # for what a store asks of the tracking store
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
    unset: Any = None
    mlflow.set_tracking_uri(unset)
    return place.gated, make_store(f"sqlite:///{tmp_path}/plain/mlflow.db")


def test_one_session_gets_the_same_answers_with_the_gate_and_without(both: tuple[Any, Any], tmp_path: Path) -> None:
    gated, ungated = (answers(store, session(tmp_path)) for store in both)
    assert gated == ungated
    failed = [each for each in gated if re.match(r"\w+\(.*\): \w*(Exception|Error) ", each)]
    answered = {each.partition("(")[0] for each in gated if each not in failed}
    assert {each.partition("(")[0] for each in gated} - answered <= NEVER
    assert len(failed) > 25, "errors are a part of it"
    assert not any("gate: " in each for each in gated)


def test_the_session_calls_every_method_of_a_store(tmp_path: Path) -> None:
    from mlflow.store.model_registry.abstract_store import AbstractStore

    called = {method for method, _, _ in session(tmp_path)}
    methods = {name for name in dir(AbstractStore) if not name.startswith("_")} - {"supports_workspaces"}
    assert called == methods
    assert {name for name in called if not name.startswith(READS)} == (
        GUARDED | THROUGH_GUARDED | HARMLESS - {"supports_workspaces"}
    )


def test_what_is_not_protected_is_written_as_without_the_gate(both: tuple[Any, Any], tmp_path: Path) -> None:
    import sqlalchemy

    dumps = []
    for store in both:
        answers(store, session(tmp_path))
        with store.engine.connect() as connection:
            names = sqlalchemy.inspect(store.engine).get_table_names()
            registry = sorted(name for name in names if "model" in name and name != "gate_journal")
            dumps.append({name: _rows(connection, name) for name in registry})
    assert dumps[0] == dumps[1]
    assert dumps[0]["registered_models"]


def _rows(connection: Any, table: str) -> list[str]:
    import sqlalchemy

    select: Callable[[str], Any] = sqlalchemy.text
    return sorted(
        re.sub(r"\b1[78]\d{11}\b", "#", str(row)) for row in connection.execute(select(f"select * from {table}"))
    )
