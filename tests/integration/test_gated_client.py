"""`gated:http://...` on a client: the same checks before a request is sent, for whoever wants to be kept from mistakes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from gate.decisions.envelope import sign
from gate.decisions.keys import PrivateKey, new_keys, read_private
from gate.decisions.statement import Subject, of_decision, rollback


@pytest.fixture(scope="module")
def fleet(mlflow_server: str, launch: Callable[[str, str, int], Any]) -> Any:
    return launch(mlflow_server, "reminded", 6)


@pytest.fixture
def key(fleet: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PrivateKey:
    private, _ = new_keys(tmp_path / "ci")
    (tmp_path / "enforcement.yaml").write_text(
        "version: 1\nprotect:\n  - {models: [reminded], aliases: ['*'], keys: [ci.pub], policies: any}\n"
    )
    monkeypatch.setenv("GATE_ENFORCEMENT", str(tmp_path / "enforcement.yaml"))
    return read_private(private)


@pytest.fixture
def client(mlflow_server: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(mlflow_server, f"gated:{mlflow_server}")


def attest(fleet: Any, client: Any, key: PrivateKey, version: int, incumbent: int | None, alias: str) -> None:
    decision = fleet.decision(version, incumbent, alias=alias)
    statement = of_decision(decision, signed_at=datetime.now(timezone.utc), max_age=timedelta(days=1))
    envelope = sign(statement, key).decode("utf-8")
    client.set_model_version_tag("reminded", str(version), f"gate.attestation.{alias}", envelope)


def test_the_client_refuses_by_itself_and_lets_a_signed_decision_through(
    fleet: Any, client: Any, key: PrivateKey
) -> None:
    with pytest.raises(Exception, match="gate: refused: models:/reminded/1: no signed decision stands behind it"):
        client.set_registered_model_alias("reminded", "champion", "1")
    for call in (
        lambda: client.delete_registered_model_alias("reminded", "champion"),
        lambda: client.rename_registered_model("reminded", "renamed"),
        lambda: client.transition_model_version_stage("reminded", "1", "Production"),
        lambda: client.set_model_version_tag("reminded", "1", "gate.verdict", "allow"),
        lambda: client.delete_registered_model("reminded"),
    ):
        with pytest.raises(Exception, match="gate: refused: "):
            call()
    attest(fleet, client, key, 1, None, "champion")
    client.set_registered_model_alias("reminded", "champion", "1")
    attest(fleet, client, key, 2, 1, "champion")
    client.set_registered_model_alias("reminded", "champion", "2")
    assert fleet.at() == 2


def test_a_plain_uri_goes_around_it(fleet: Any, client: Any, key: PrivateKey) -> None:
    with pytest.raises(Exception, match="gate: refused: "):
        client.set_registered_model_alias("reminded", "around", "3")
    fleet.client.set_registered_model_alias("reminded", "around", "3")
    assert fleet.at("around") == 3


def test_without_a_configuration_the_client_sends_nothing(
    fleet: Any, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GATE_ENFORCEMENT", raising=False)
    with pytest.raises(Exception, match="no enforcement file is named"):
        client.set_registered_model_alias("reminded", "unset", "3")
    assert fleet.at("unset") is None


def test_the_way_back_is_read_from_what_promoters_recorded(
    fleet: Any, client: Any, key: PrivateKey, mlflow_server: str, tmp_path: Path
) -> None:
    import gate

    gated = f"gated:{mlflow_server}"
    for version, incumbent in ((4, None), (5, 4)):
        file = tmp_path / f"{version}.json"
        decision = fleet.decision(version, incumbent, alias="live")
        statement = of_decision(decision, signed_at=datetime.now(timezone.utc), max_age=timedelta(days=1))
        file.write_bytes(sign(statement, key))
        assert gate.promote(file, keys=[tmp_path / "ci.pub"], registry_uri=gated).version == version
    now = datetime.now(timezone.utc)
    for version, found in ((6, "which is version 4"), (4, None)):
        back = rollback(
            model="reminded", alias="live", candidate=Subject(version, fleet.digests[version]),
            incumbent=Subject(5, fleet.digests[5]), signed_at=now, by="ann",
        )  # fmt: skip
        envelope = sign(back, key).decode("utf-8")
        client.set_model_version_tag("reminded", str(version), "gate.attestation.live", envelope)
        if found:
            with pytest.raises(Exception, match=found):
                client.set_registered_model_alias("reminded", "live", str(version))
        else:
            client.set_registered_model_alias("reminded", "live", str(version))
    assert fleet.at("live") == 4
