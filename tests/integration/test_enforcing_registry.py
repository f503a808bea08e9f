"""A server that enforces decisions, as users meet it: no way round by any route, for anybody; with a verdict, the door.

The server is a process of its own, with basic-auth, once on SQLite and once on PostgreSQL. ``ann`` made the models and
may manage them; ``admin`` may do anything that MLflow knows.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import requests
from servers import globally

from gate.decisions.envelope import sign
from gate.decisions.statement import Subject, of_decision, override_of, rollback
from gate.errors import ConflictError, GateError
from gate.registry.manifest import model_digest
from gate.registry.registry import Registry

MANY = 20
USERS = ("ann", "admin")
# A prefix of the API, and whether the JSON is written once or, as MLflow takes it too, as JSON in a JSON string. In the
# second form basic-auth finds no name in the request: it turns ann away, and lets the administrator through.
PLAIN = ("api", False)
WAYS = [PLAIN, ("ajax-api", False), ("api", True), ("ajax-api", True)]


@pytest.fixture(scope="module")
def world(enforcing_server: Any, launch: Callable[[str, str, int], Any]) -> Any:
    """The server, and on it ``fraud`` in many versions, version 1 the champion, and ``churn``, which nobody protects."""
    with enforcing_server.as_user("ann"):
        fleet = launch(enforcing_server.uri, "fraud", MANY + 12)
        other = launch(enforcing_server.uri, "churn", 2)
    return World(enforcing_server, fleet, other)


class World:
    def __init__(self, server: Any, fleet: Any, other: Any) -> None:
        self.server, self.fleet, self.other = server, fleet, other
        self._next = 1
        self.promote(None)

    def fresh(self) -> int:
        """A version that no test has used."""
        self._next += 1
        return self._next - 1

    def envelope(self, version: int, incumbent: int | None, key: str = "ci", **target: Any) -> str:
        """What CI signs of a decision on two versions."""
        now = datetime.now(timezone.utc)
        decision = self.fleet.decision(version, incumbent, **target)
        statement = of_decision(decision, signed_at=now, max_age=timedelta(days=1))
        return sign(statement, self.server.keys[key]).decode("utf-8")

    def attest(self, version: int, envelope: str) -> None:
        with self.server.as_user("ann") as client:
            client.set_model_version_tag("fraud", str(version), "gate.attestation.champion", envelope)

    def promote(self, incumbent: int | None) -> int:
        """Signed, put onto the version and moved, by ann."""
        version = self.fresh()
        self.attest(version, self.envelope(version, incumbent))
        with self.server.as_user("ann") as client:
            client.set_registered_model_alias("fraud", "champion", str(version))
        return version

    def champion(self) -> int | None:
        (row,) = self.server.rows(
            "select version from registered_model_aliases where name = 'fraud' and alias = 'champion'"
        )
        return int(row["version"])

    def everything(self) -> list[Any]:
        """All that the registry holds, past the server."""
        tables = ("registered_models", "model_versions", "registered_model_aliases", "registered_model_tags")
        return [
            sorted(json.dumps(row, sort_keys=True, default=str) for row in self.server.rows(f"select * from {table}"))
            for table in (*tables, "model_version_tags")
        ]

    def call(self, user: str, way: tuple[str, bool], verb: str, path: str, body: dict[str, Any]) -> requests.Response:
        """A request that no client of MLflow's had a hand in."""
        prefix, doubly = way
        text = json.dumps(json.dumps(body)) if doubly else json.dumps(body)
        return requests.request(
            verb,
            f"{self.server.uri}/{prefix}/2.0/mlflow/{path}",
            data=text,
            headers={"Content-Type": "application/json"},
            auth=(user, self.server.secret),
            timeout=60,
        )


def forgeries(world: World) -> list[tuple[str, str, dict[str, Any]]]:
    """What would put another version behind ``@champion``, or make it look as if there were a verdict."""
    at, new = world.champion(), world.fleet and 2
    forged = world.envelope(new, at, "stranger")
    tag = {"key": "gate.verdict", "value": "allow"}
    moved = {"key": "gate.move.champion.000009", "value": "{}"}
    on_version, attested = {"name": "fraud", "version": str(new)}, "gate.attestation.champion"
    source = world.server.rows("select source, run_id from model_versions where name = 'fraud' and version = 2")[0]
    return [
        ("POST", "registered-models/alias", {**on_version, "alias": "champion"}),
        ("POST", "registered-models/alias", {**on_version, "version": f" {new} ", "alias": "champion"}),
        ("DELETE", "registered-models/alias", {"name": "fraud", "alias": "champion"}),
        ("POST", "model-versions/transition-stage", {**on_version, "stage": "Production"}),
        (
            "POST",
            "model-versions/transition-stage",
            {**on_version, "stage": "production", "archive_existing_versions": True},
        ),
        ("POST", "registered-models/rename", {"name": "fraud", "new_name": "spam"}),
        ("POST", "registered-models/rename", {"name": "churn", "new_name": "credit-eu"}),
        ("DELETE", "registered-models/delete", {"name": "fraud"}),
        ("DELETE", "model-versions/delete", {"name": "fraud", "version": str(at)}),
        ("POST", "model-versions/create", {"name": "fraud", "source": "models:/churn/1"}),
        ("POST", "model-versions/create", {"name": "fraud", "source": "models:/churn/latest"}),
        ("POST", "model-versions/create", {"name": "fraud", **source, "tags": [tag]}),
        ("POST", "model-versions/create", {"name": "fraud", **source, "tags": [{"key": attested, "value": forged}]}),
        ("POST", "registered-models/create", {"name": "credit-new", "tags": [tag]}),
        ("POST", "model-versions/set-tag", {**on_version, **tag}),
        ("POST", "model-versions/set-tag", {**on_version, "key": attested, "value": forged}),
        ("POST", "model-versions/set-tag", {**on_version, "key": attested, "value": world.envelope(1, None)}),
        ("DELETE", "model-versions/delete-tag", {"name": "fraud", "version": str(at), "key": attested}),
        ("POST", "registered-models/set-tag", {"name": "fraud", **moved}),
        ("POST", "registered-models/set-tag", {"name": "fraud", **tag}),
        ("DELETE", "registered-models/delete-tag", {"name": "fraud", "key": "gate.move.champion.000001"}),
    ]


# -- no way round -----------------------------------------------------------------------------------------------------------


def test_ann_may_manage_the_protected_model(world: World) -> None:
    from mlflow.server import get_app_client

    with world.server.as_user("admin"):
        client = get_app_client("basic-auth", tracking_uri=world.server.uri)
        found = client.get_user_permission("ann", "registered_model", "fraud")
    assert "MANAGE" in str(getattr(found, "permission", found))


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way[0]}{'-doubly' if way[1] else ''}")
def test_no_request_leads_round_for_anybody(world: World, user: str, way: tuple[str, bool]) -> None:
    before, rows = world.everything(), len(world.server.rows())
    attacks = forgeries(world)
    turned_away = 0
    for verb, path, body in attacks:
        answer = world.call(user, way, verb, path, body)
        assert world.server.secret not in answer.text
        if user == "ann" and way[1] and answer.status_code == 400:
            turned_away += 1
            continue
        assert answer.status_code == 403, (path, body, answer.text)
        assert answer.json()["error_code"] == "PERMISSION_DENIED"
        assert answer.json()["message"].startswith("gate: refused: "), answer.text
    assert world.everything() == before
    written = world.server.rows()[rows:]
    assert len(written) == len(attacks) - turned_away
    assert {row["actor"] for row in written} <= {user}
    assert not any(row["allowed"] for row in written)


@pytest.mark.parametrize("user", USERS)
def test_no_call_of_mlflows_client_leads_round_for_anybody(world: World, user: str) -> None:
    from mlflow.exceptions import MlflowException

    before = world.everything()
    at = str(world.champion())
    forged = world.envelope(2, int(at), "stranger")
    with world.server.as_user(user) as client:
        calls: list[Callable[[], object]] = [
            lambda: client.set_registered_model_alias("fraud", "champion", "2"),
            lambda: client.delete_registered_model_alias("fraud", "champion"),
            lambda: client.transition_model_version_stage("fraud", "2", "Production"),
            lambda: client.rename_registered_model("fraud", "spam"),
            lambda: client.rename_registered_model("churn", "credit-eu"),
            lambda: client.delete_registered_model("fraud"),
            lambda: client.delete_model_version("fraud", at),
            lambda: client.copy_model_version("models:/churn/1", "fraud"),
            lambda: client.create_model_version("fraud", "models:/churn/1"),
            lambda: client.create_registered_model("credit-new", tags={"gate.verdict": "allow"}),
            lambda: client.set_model_version_tag("fraud", "2", "gate.verdict", "allow"),
            lambda: client.set_model_version_tag("fraud", "2", "gate.attestation.champion", forged),
            lambda: client.delete_model_version_tag("fraud", at, "gate.attestation.champion"),
            lambda: client.set_registered_model_tag("fraud", "gate.move.champion.000009", "{}"),
        ]
        for number, call in enumerate(calls):
            with pytest.raises(MlflowException, match="gate: refused: ") as caught:
                call()
            assert caught.value.get_http_status_code() in (403, 500), number  # a copy wraps what it was told
            assert world.server.secret not in str(caught.value)
    assert world.everything() == before


def test_the_client_reads_why_and_what_to_run(world: World) -> None:
    found = "models:/fraud/2: no signed decision stands behind it"
    with world.server.as_user("ann") as client, pytest.raises(Exception, match=found) as caught:
        client.set_registered_model_alias("fraud", "champion", "2")
    assert "gate check, gate sign, and gate promote FILE" in str(caught.value)


# -- with a verdict ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way[0]}{'-doubly' if way[1] else ''}")
def test_after_a_signed_verdict_the_same_request_succeeds(world: World, way: tuple[str, bool]) -> None:
    at, new = world.champion(), world.fresh()
    user = "admin" if way[1] else "ann"
    body = {"name": "fraud", "alias": "champion", "version": str(new)}
    assert world.call(user, way, "POST", "registered-models/alias", body).status_code == 403
    on_version = {"name": "fraud", "version": str(new)}
    for key, value in (
        ("gate.attestation.champion", world.envelope(new, at)),
        ("gate.verdict", "allow"),
        ("gate.decision_id", world.fleet.decision(new, at).decision_id),
    ):
        answer = world.call(user, way, "POST", "model-versions/set-tag", {**on_version, "key": key, "value": value})
        assert answer.status_code == 200, answer.text
    answer = world.call(user, way, "POST", "registered-models/alias", body)
    assert answer.status_code == 200, answer.text
    assert world.champion() == new
    moved = world.server.rows()[-1]
    assert (moved["actor"], moved["before"], moved["after"], moved["kind"]) == (user, at, new, "decision")
    again = world.call(user, way, "POST", "registered-models/alias", body)
    assert again.status_code == 200, "where it is already, nothing happens"


@pytest.mark.parametrize("user", USERS)
def test_after_a_signed_verdict_mlflows_client_succeeds(world: World, user: str) -> None:
    at, new = world.champion(), world.fresh()
    world.attest(new, world.envelope(new, at))
    with world.server.as_user(user) as client:
        client.set_registered_model_alias("fraud", "champion", str(new))
        assert client.get_model_version_by_alias("fraud", "champion").version == str(new)
    assert world.server.rows()[-1]["actor"] == user


@pytest.mark.fault(
    30,
    given="the alias moved since the decision, and somebody sets it on an enforcing server",
    then="refuses the request (403) as a conflict, and says which version the alias is now",
    exit_code=None,
)
def test_a_stale_verdict_is_refused_as_a_conflict(world: World) -> None:
    from mlflow.exceptions import MlflowException

    at, new = world.champion(), world.fresh()
    world.attest(new, world.envelope(new, at - 1 if at else None))
    with world.server.as_user("ann") as client, pytest.raises(MlflowException, match="gate: conflict: ") as caught:
        client.set_registered_model_alias("fraud", "champion", str(new))
    assert caught.value.error_code == "PERMISSION_DENIED"
    assert f"@champion is version {at} now" in str(caught.value)


@pytest.mark.fault(
    29,
    given="files of the candidate were swapped on an enforcing server after the verdict",
    then="reads them again there, and refuses the request (403) with both digests",
    exit_code=None,
)
def test_files_that_were_swapped_on_the_server_are_refused(world: World) -> None:
    at, new = world.champion(), world.fresh()
    world.attest(new, world.envelope(new, at))
    (row,) = world.server.rows(f"select source from model_versions where name = 'fraud' and version = {new}")
    kept = world.server.folder / "files" / row["source"].removeprefix("mlflow-artifacts:/") / "MLmodel"
    judged = kept.read_bytes()
    kept.write_text("not what was judged")
    with world.server.as_user("ann") as client:
        with pytest.raises(Exception, match="its files are not those that were judged"):
            client.set_registered_model_alias("fraud", "champion", str(new))
        kept.write_bytes(judged)
        client.set_registered_model_alias("fraud", "champion", str(new))


def test_an_override_and_the_way_back(world: World) -> None:
    at, new = world.champion(), world.fresh()
    now = datetime.now(timezone.utc)
    refused = of_decision(world.fleet.decision(new, at, "refuse"), signed_at=now, max_age=timedelta(days=1))
    override = override_of(refused, reason="the site is down", ticket="INC-7", by="ann", signed_at=now)
    digests = world.fleet.digests
    back = rollback(
        model="fraud", alias="champion", candidate=Subject(at, digests[at]), incumbent=Subject(new, digests[new]),
        signed_at=now, by="ann",
    )  # fmt: skip
    oncall = world.server.keys["oncall"]
    with world.server.as_user("ann") as client:
        for version, statement in ((new, override), (at, back)):
            world.attest(version, sign(statement, oncall).decode("utf-8"))
            client.set_registered_model_alias("fraud", "champion", str(version))
            assert world.champion() == version
            assert world.server.rows()[-1]["kind"] == statement.kind.value


@pytest.mark.fault(
    31,
    given="twenty signed decisions move one alias on an enforcing server at the same moment",
    then="lets one of them through, and refuses nineteen (403) as conflicts",
    exit_code=None,
)
def test_twenty_at_once_are_one_promotion_and_nineteen_conflicts(world: World) -> None:
    at = world.champion()
    versions = [world.fresh() for _ in range(MANY)]
    for version in versions:
        world.attest(version, world.envelope(version, at))
    answers: dict[int, requests.Response] = {}
    start = threading.Barrier(MANY)

    def promote(version: int) -> None:
        body = {"name": "fraud", "alias": "champion", "version": str(version)}
        start.wait()
        answers[version] = world.call("ann", PLAIN, "POST", "registered-models/alias", body)

    threads = [threading.Thread(target=promote, args=(version,)) for version in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = (version for version, answer in answers.items() if answer.status_code == 200)
    others = [answer for version, answer in answers.items() if version != winner]
    assert [answer.status_code for answer in others] == [403] * (MANY - 1)
    assert all(answer.json()["message"].startswith("gate: conflict: ") for answer in others)
    assert world.champion() == winner
    moves = [row for row in world.server.rows() if row["before"] == at and row["after"] != at and row["allowed"]]
    assert [row["after"] for row in moves if row["version"] in versions] == [winner]


# -- the commands of the gate against it --------------------------------------------------------------------------------------


def test_gate_promote_and_gate_rollback_go_through_the_door(world: World, tmp_path: Path) -> None:
    from gate.stories.promote import promote
    from gate.stories.rollback import rollback as take_back

    server = world.server
    at, new = world.champion(), world.fresh()
    file = tmp_path / "decision.dsse.json"
    file.write_text(world.envelope(new, at, keep_previous_as="previous"))
    with server.as_user("ann"):
        done = promote(file, keys=[server.folder / "ci.pub"], registry_uri=server.uri)
        assert (done.version, done.previous, done.already) == (new, at, False)
        assert world.champion() == new
        assert promote(file, keys=[server.folder / "ci.pub"], registry_uri=server.uri).already
        (row,) = server.rows("select version from registered_model_aliases where alias = 'previous'")
        assert row["version"] == at
        with pytest.raises(GateError, match="the registry refuses"):
            take_back("fraud", registry_uri=server.uri, sign_with=server.folder / "stranger")
        assert take_back("fraud", registry_uri=server.uri, sign_with=server.folder / "oncall").version == at
        assert world.champion() == at
        with pytest.raises(ConflictError):
            promote(file, keys=[server.folder / "ci.pub"], registry_uri=server.uri)
    assert [row["kind"] for row in server.rows() if row["kind"]][-2:] == ["decision", "rollback"]


def test_an_unsigned_decision_is_refused_by_the_server_and_nothing_moves(world: World) -> None:
    from gate.stories.promote import promote

    at, new = world.champion(), world.fresh()
    with world.server.as_user("ann"), pytest.raises(GateError, match="the registry refuses") as caught:
        promote(world.fleet.decision(new, at), registry_uri=world.server.uri)
    assert caught.value.exit_code == 12
    assert world.champion() == at


def test_a_model_that_was_really_logged_has_the_digest_that_its_client_saw(world: World, tmp_path: Path) -> None:
    import mlflow
    from sklearn.linear_model import LogisticRegression

    server = world.server
    with server.as_user("ann") as client, globally(server.uri):
        for weight in (1, 2):
            model = LogisticRegression().fit([[0.0], [1.0], [2.0]], [0, weight % 2, 1])
            with mlflow.start_run(experiment_id=client.create_experiment(f"credit {weight}")):
                mlflow.sklearn.log_model(
                    model, name="credit", pip_requirements=["scikit-learn"], registered_model_name="credit-eu",
                    await_registration_for=None,
                )  # fmt: skip
        registry = Registry.connect(server.uri, None)
        seen = {}
        for version in (1, 2):
            ref = registry.resolve(str(version), model="credit-eu", role="candidate")
            seen[version] = model_digest(registry.download(ref, tmp_path / str(version)))
            assert str(client.get_model_version("credit-eu", str(version)).source).startswith("models:/m-")
        assert seen[1] != seen[2]
        for version, incumbent in ((1, None), (2, 1)):
            statement = of_decision(
                world.fleet.decision(1, None), signed_at=datetime.now(timezone.utc), max_age=timedelta(days=1)
            )
            envelope = sign(replaced(statement, version, incumbent, seen, "credit-eu"), server.keys["ci"]).decode(
                "utf-8"
            )
            client.set_model_version_tag("credit-eu", str(version), "gate.attestation.champion", envelope)
            client.set_registered_model_alias("credit-eu", "champion", str(version))
        assert client.get_model_version_by_alias("credit-eu", "champion").version == "2"


def replaced(statement: Any, version: int, incumbent: int | None, digests: dict[int, str], model: str) -> Any:
    from dataclasses import replace

    old = None if incumbent is None else Subject(incumbent, digests[incumbent])
    return replace(statement, model=model, candidate=Subject(version, digests[version]), incumbent=old)


# -- while the server runs ----------------------------------------------------------------------------------------------------


def test_without_its_configuration_the_server_refuses_and_with_it_goes_on(world: World) -> None:
    file = world.server.folder / "enforcement.yaml"
    aside = world.server.folder / "aside.yaml"
    shutil.move(file, aside)
    try:
        for name in ("fraud", "churn"):
            body = {"name": name, "alias": "anything", "version": "1"}
            answer = world.call("admin", PLAIN, "POST", "registered-models/alias", body)
            assert answer.status_code == 403
            assert "the server's enforcement file is not usable" in answer.json()["message"]
        assert world.champion() is not None
    finally:
        shutil.move(aside, file)
    body = {"name": "churn", "alias": "anything", "version": "1"}
    assert world.call("ann", PLAIN, "POST", "registered-models/alias", body).status_code == 200


@pytest.mark.fault(
    39,
    given="the registry's URI holds a password, and the enforcing server refuses or writes its log",
    then="shows the password nowhere",
    exit_code=None,
)
def test_the_server_never_wrote_a_secret_into_its_log_nor_a_stray_folder(world: World) -> None:
    text = (world.server.folder / "server.log").read_text(errors="replace")
    assert world.server.secret not in text
    assert not (world.server.folder / "mlruns").exists()
    assert not (world.server.folder / "mlartifacts").exists()
