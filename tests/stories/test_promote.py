"""``gate.promote``: the alias moves only for a decision that allows it, over a registry that is as it was judged."""

from __future__ import annotations

import hashlib
import http.server
import shutil
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import pandas as pd
import pytest

import gate
from gate.core.judgement import Source, Status, Verdict
from gate.decisions.canonical import sealed, to_bytes
from gate.decisions.envelope import sign, verify
from gate.decisions.keys import new_keys, read_private, read_public
from gate.decisions.moves import Move, to_text
from gate.decisions.record import Decision, Promotable, WaiverRow
from gate.decisions.statement import Kind, of_decision
from gate.decisions.times import stamp
from gate.errors import ConflictError, EvidenceError, ExitCode, GateError, UsageError
from gate.registry.moves import read_history
from gate.registry.registry import Registry
from gate.stories.promote import NotAllowed
from gate.stories.rollback import rollback

NOW = datetime.now(timezone.utc)


def client_of(uri: str) -> Any:
    return mlflow.MlflowClient(uri, uri)


def aliases(uri: str) -> dict[str, int]:
    return {name: int(at) for name, at in client_of(uri).get_registered_model("digits").aliases.items()}


@pytest.fixture(scope="module")
def decisions(digits: pd.DataFrame, lenient: Path) -> Callable[[str], Decision]:
    """The decision that lets version 3 follow the champion, by the registry's URI."""
    made: dict[str, Decision] = {}

    def decide(uri: str) -> Decision:
        if uri not in made:
            made[uri] = gate.check(
                model="digits",
                candidate="3",
                incumbent="@champion",
                data=digits[600:],
                policy=lenient,
                registry_uri=uri,
                log_run=False,
                in_process=True,
            ).decision
        return made[uri]

    return decide


class Stage:
    """An alias of one test's own on version 1, and decisions about it."""

    def __init__(self, uri: str, alias: str, allowed: Decision) -> None:
        self.uri, self.alias, self.kept = uri, alias, f"{alias}_before"
        self.client = client_of(uri)
        self.allowed = sealed(replace(allowed, target=replace(allowed.target, alias=alias, keep_previous_as=self.kept)))
        self.client.set_registered_model_alias("digits", alias, "1")

    def at(self, alias: str) -> int | None:
        return aliases(self.uri).get(alias)

    def tags(self) -> dict[str, str]:
        tags: dict[str, str] = self.client.get_model_version("digits", "3").tags
        return {name: value for name, value in tags.items() if name.startswith("gate.")}

    def moves(self) -> tuple[Move, ...]:
        return read_history(self.client.get_registered_model("digits").tags, self.alias).moves

    def leave(self) -> None:
        for alias in (self.alias, self.kept):
            self.client.delete_registered_model_alias("digits", alias)
        for name in self.tags():
            self.client.delete_model_version_tag("digits", "3", name)
        for name in self.client.get_registered_model("digits").tags:
            self.client.delete_registered_model_tag("digits", name)


@pytest.fixture
def stage(
    sqlite_registry: str, decisions: Callable[[str], Decision], request: pytest.FixtureRequest
) -> Iterator[Stage]:
    alias = f"own_{abs(hash(request.node.name)) % 10**8}"
    stage = Stage(sqlite_registry, alias, decisions(sqlite_registry))
    yield stage
    stage.leave()


def refused(kind: type[GateError], *args: Any, **asked: Any) -> GateError:
    with pytest.raises(kind) as caught:
        gate.promote(*args, **asked)
    return caught.value


def test_an_allowed_decision_moves_the_alias_and_keeps_the_previous_version(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "decision.json"
    path.write_bytes(to_bytes(stage.allowed))
    done = gate.promote(path)

    assert (done.model, done.alias, done.version, done.already) == ("digits", stage.alias, 3, False)
    assert (done.previous, done.previous_alias) == (1, stage.kept)
    assert (stage.at(stage.alias), stage.at(stage.kept)) == (3, 1)
    told = stage.tags()
    assert told.pop("gate.summary").startswith("Allowed: version 3 of digits may replace version 1")
    assert told == {"gate.decision_id": stage.allowed.decision_id, "gate.verdict": "allow"}
    (move,) = stage.moves()
    assert done.number == move.number == 1
    assert (move.kind, move.state, move.previous, move.version) == (Kind.DECISION, "done", 1, 3)
    assert (move.decision_id, move.signed_by) == (stage.allowed.decision_id, None)
    assert (move.digest, move.previous_digest) == (
        stage.allowed.provenance.candidate.digest,
        stage.allowed.provenance.incumbent.digest,  # type: ignore[union-attr]
    )


@pytest.mark.fault(
    33,
    given="`gate promote` is run twice",
    then="does nothing the second time, and says so",
    exit_code=0,
)
def test_promoting_twice_does_nothing_the_second_time(stage: Stage) -> None:
    gate.promote(stage.allowed)
    before = aliases(stage.uri), stage.tags(), stage.moves()
    again = gate.promote(stage.allowed)

    assert again.already
    assert (aliases(stage.uri), stage.tags(), stage.moves()) == before


def test_a_decision_that_rests_on_a_waiver_is_stale_when_the_waiver_has_ended(stage: Stage) -> None:
    def resting_on(expires: str, needed: bool) -> Decision:
        waiver = WaiverRow("few", None, None, "why", "me", expires, needed, None, Source("policy.yaml", 1))
        return sealed(replace(stage.allowed, waivers=(waiver,)))

    error = refused(ConflictError, resting_on("2020-01-01", needed=True))
    assert "it rests on a waiver of 'few' that ended on 2020-01-01" in str(error)
    assert stage.at(stage.alias) == 1
    gate.promote(resting_on("2020-01-01", needed=False))
    assert stage.at(stage.alias) == 3


def test_a_promotion_killed_between_the_two_aliases_goes_on_when_it_is_run_again(stage: Stage) -> None:
    stage.client.set_registered_model_alias("digits", stage.kept, "1")  # as far as it came
    done = gate.promote(stage.allowed)

    assert not done.already
    assert (stage.at(stage.alias), stage.at(stage.kept)) == (3, 1)


def test_without_keep_previous_as_only_the_alias_moves(stage: Stage) -> None:
    bare = sealed(replace(stage.allowed, target=replace(stage.allowed.target, keep_previous_as=None)))
    done = gate.promote(bare)

    assert (done.previous, done.previous_alias) == (1, None)
    assert stage.at(stage.alias) == 3
    assert stage.at(stage.kept) is None


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        (Verdict.REFUSE, ExitCode.REFUSED),
        (Verdict.INCONCLUSIVE, ExitCode.INCONCLUSIVE),
        (Verdict.ERROR, ExitCode.EVIDENCE),
    ],
)
def test_any_other_verdict_keeps_its_exit_code_and_the_alias(stage: Stage, verdict: Verdict, code: ExitCode) -> None:
    """Even one that claims to be promotable."""
    status = {Verdict.REFUSE: Status.FAIL, Verdict.INCONCLUSIVE: Status.INCONCLUSIVE, Verdict.ERROR: Status.ERROR}
    first, *others = stage.allowed.findings
    findings = (replace(first, status=status[verdict]), *others)
    judged = sealed(replace(stage.allowed, verdict=verdict, exit_code=int(code), findings=findings))
    error = refused(NotAllowed, judged)

    assert error.exit_code is code
    assert str(error).startswith(f"decision: the verdict is {verdict.value}, and only allow is promoted\n  -> ")
    assert stage.at(stage.alias) == 1
    assert stage.tags() == {}


def test_a_verdict_that_does_not_follow_from_its_findings_is_nobodys(stage: Stage) -> None:
    findings = tuple(replace(finding, status=Status.FAIL) for finding in stage.allowed.findings)
    error = refused(EvidenceError, sealed(replace(stage.allowed, findings=findings)))

    assert "its verdict allow does not follow from its findings" in str(error)
    assert stage.at(stage.alias) == 1


def test_a_decision_that_is_not_promotable_says_why(stage: Stage) -> None:
    judged = sealed(replace(stage.allowed, promotable=Promotable(False, "the candidate is a logged model")))
    error = refused(EvidenceError, judged)

    assert error.exit_code is ExitCode.EVIDENCE
    assert "not promotable: the candidate is a logged model" in str(error)
    assert stage.at(stage.alias) == 1


@pytest.mark.fault(
    42,
    given="a decision is edited before it is promoted",
    then="finds that it is not, byte for byte, what was written, and promotes nothing",
    exit_code=12,
)
def test_an_edited_decision_counts_for_nothing(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "decision.json"
    path.write_bytes(to_bytes(stage.allowed).replace(b'"version":3', b'"version":2'))
    error = refused(EvidenceError, path)

    assert error.exit_code is ExitCode.EVIDENCE
    assert error.problems[0].where == str(path)
    assert "edited" in str(error)
    assert stage.at(stage.alias) == 1


def test_a_value_edited_in_memory_counts_for_nothing(stage: Stage) -> None:
    edited = replace(stage.allowed, counts=replace(stage.allowed.counts, negative=0))
    error = refused(EvidenceError, edited)

    assert "edited" in str(error)
    assert stage.at(stage.alias) == 1


def test_no_such_decision(tmp_path: Path) -> None:
    error = refused(UsageError, tmp_path / "absent.json")

    assert error.exit_code is ExitCode.USAGE
    assert str(error) == f"{tmp_path / 'absent.json'}: no such decision\n  -> gate check --report json=FILE writes one"


@pytest.mark.fault(
    30,
    given="somebody moves the alias between the verdict and the promotion",
    then="promotes nothing, and says which version the alias is now",
    exit_code=13,
)
def test_an_alias_that_moved_since_is_a_conflict(stage: Stage) -> None:
    stage.client.set_registered_model_alias("digits", stage.alias, "2")
    error = refused(ConflictError, stage.allowed)

    assert error.exit_code is ExitCode.CONFLICT
    assert str(error) == (
        f"decision: @{stage.alias} is version 2 now; the decision compared with version 1\n"
        "  -> judge again with gate check, against the version that it is now"
    )
    assert stage.at(stage.alias) == 2
    assert stage.at(stage.kept) is None


@pytest.mark.fault(
    28,
    given="the alias is taken away between the verdict and the promotion",
    then="promotes nothing: the version was compared with one that the alias is no more",
    exit_code=13,
)
def test_an_alias_that_is_gone_is_a_conflict(stage: Stage) -> None:
    stage.client.delete_registered_model_alias("digits", stage.alias)
    error = refused(ConflictError, stage.allowed)

    assert error.exit_code is ExitCode.CONFLICT
    assert f"@{stage.alias} is no version now" in str(error)


@pytest.mark.fault(
    29,
    given="the files of a version are swapped between the verdict and the promotion",
    then="promotes nothing: their digest is not the one that was judged",
    exit_code=12,
)
@pytest.mark.parametrize("role", ["candidate", "incumbent"])
def test_files_that_were_swapped_since_are_found(stage: Stage, role: str) -> None:
    row = getattr(stage.allowed.provenance, role)
    source = stage.client.get_model_version("digits", str(row.version)).source.removeprefix("models:/")
    folder = Path(stage.client.get_logged_model(source).artifact_location.removeprefix("file://"))
    requirements = folder / "requirements.txt"
    original = requirements.read_bytes()
    requirements.write_bytes(original + b"# one byte more\n")
    try:
        error = refused(EvidenceError, stage.allowed)
    finally:
        requirements.write_bytes(original)

    assert error.exit_code is ExitCode.EVIDENCE
    assert error.problems[0].where == f"{role} {row.uri}"
    assert "its files changed since they were judged" in str(error)
    assert stage.at(stage.alias) == 1


@pytest.mark.fault(
    34,
    given="a decision is used in another registry than the one that was judged",
    then="promotes nothing, and names both",
    exit_code=12,
)
def test_a_decision_about_another_registry_is_refused(stage: Stage, empty_store: Path, tmp_path: Path) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    other = f"sqlite:///{tmp_path}/mlflow.db"
    error = refused(EvidenceError, stage.allowed, registry_uri=other)

    assert error.exit_code is ExitCode.EVIDENCE
    assert f"the decision is about {stage.uri}, this registry is {other}" in str(error)
    assert stage.at(stage.alias) == 1


def test_a_first_version_sets_an_alias_that_is_not_there(stage: Stage) -> None:
    alone = sealed(replace(stage.allowed, provenance=replace(stage.allowed.provenance, incumbent=None)))
    taken = refused(ConflictError, alone)
    stage.client.delete_registered_model_alias("digits", stage.alias)
    done = gate.promote(alone)

    assert f"@{stage.alias} is version 1 now; the decision compared with no version" in str(taken)
    assert (done.version, done.previous, done.previous_alias) == (3, None, None)
    assert stage.at(stage.alias) == 3
    assert stage.at(stage.kept) is None


def test_over_rest_the_alias_moves_too(mlflow_server: str, decisions: Callable[[str], Decision]) -> None:
    stage = Stage(mlflow_server, "own_rest", decisions(mlflow_server))
    try:
        done = gate.promote(stage.allowed)
        moved = stage.at(stage.alias), stage.at(stage.kept)
        again = gate.promote(stage.allowed)
    finally:
        stage.leave()

    assert not done.already and again.already
    assert moved == (3, 1)


# -- whose registry it is -----------------------------------------------------------------------------------------------


class Listener:
    """A server that an attacker named: it writes down what it is sent."""

    def __enter__(self) -> Listener:
        heard = self.heard = []  # type: list[str]

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                heard.append(f"{self.path} {self.headers}")
                self.send_error(404)

            do_POST = do_GET

            def log_message(self, *_: object) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_no_token_is_sent_to_the_server_that_an_unsigned_file_names(
    fleet: Any, pairs: tuple[Pair, Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "a-secret-token")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    by_hand = {"override": True, "reason": "all is down", "ticket": "INC-7", "sign_with": pairs[1].private}
    file = tmp_path / "decision.json"
    with Listener() as evil:
        for verdict, asked in (("allow", {}), ("refuse", by_hand)):
            file.write_bytes(to_bytes(fleet.decision(2, 1, verdict, registry=evil.uri)))
            error = refused(UsageError, file, **asked)
            assert str(error).startswith(f"--registry-uri: no registry is named; the decision names {evil.uri}, and")
        assert evil.heard == []

        signed = envelope(fleet.decision(2, 1, registry=evil.uri), pairs[0], tmp_path / "signed")
        refused(EvidenceError, signed, keys=[pairs[0].public])
        assert evil.heard, "the file is signed, so its registry is asked"


def test_an_unsigned_file_may_name_a_database_of_this_machine(fleet: Any, tmp_path: Path) -> None:
    file = tmp_path / "decision.json"
    file.write_bytes(to_bytes(fleet.decision(2, 1)))
    gate.promote(file)
    assert fleet.at() == 2


@pytest.mark.parametrize("part", ["registry", "model", "alias", "keep_previous_as", "environment"])
def test_a_name_that_would_command_a_terminal_is_refused_and_shown_escaped(fleet: Any, part: str) -> None:
    error = refused(EvidenceError, fleet.decision(2, 1, **{part: "\x1b[31mred\n::error::x\u202e"}))
    assert r"no text that the gate writes: '\x1b[31mred\n::error::x\u202e'" in str(error)
    assert "\x1b" not in str(error)


# -- signed, for an environment, by a policy, in time -------------------------------------------------------------------


class Pair(NamedTuple):
    private: Path
    public: Path


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pair, Pair]:
    """The keys of the pipeline, and those of whoever is on call."""
    folder = tmp_path_factory.mktemp("keys")
    return Pair(*new_keys(folder / "ci")), Pair(*new_keys(folder / "oncall"))


@pytest.fixture
def fleet(own_registry: str, launch: Callable[..., Any]) -> Any:
    """Three versions in a registry of the test's own, with ``@champion`` on version 1."""
    fleet = launch(own_registry, "fleet", 3)
    fleet.client.set_registered_model_alias("fleet", "champion", "1")
    return fleet


def envelope(decision: Decision, pair: Pair, path: Path, max_age: timedelta = timedelta(days=7)) -> Path:
    statement = of_decision(decision, signed_at=NOW, max_age=max_age, run_id="5" * 32)
    path.write_bytes(sign(statement, read_private(pair.private)))
    return path


def moves(fleet: Any) -> tuple[Move, ...]:
    return read_history(fleet.tags(), "champion").moves


def test_a_signed_decision_is_on_the_version_that_it_promoted(
    fleet: Any, pairs: tuple[Pair, Pair], tmp_path: Path
) -> None:
    decision = fleet.decision(2, 1)
    file = envelope(decision, pairs[0], tmp_path / "signed")
    done = gate.promote(file, keys=[pairs[1].public, pairs[0].public])

    keyid = read_public(pairs[0].public).keyid
    assert (fleet.at(), done.signed_by) == (2, keyid)
    told = fleet.tags_of(2)
    assert told.pop("gate.summary").startswith("Allowed: version 2 of fleet may replace version 1")
    assert told == {
        "gate.attestation.champion": file.read_text(),
        "gate.decision_id": decision.decision_id,
        "gate.run_id": "5" * 32,
        "gate.verdict": "allow",
    }
    page = fleet.client.get_model_version("fleet", "2").description
    assert "Allowed: version 2 of fleet may replace version 1" in page
    (move,) = moves(fleet)
    assert (move.signed_by, move.statement_digest) == (keyid, hashlib.sha256(file.read_bytes()).hexdigest())


@pytest.mark.fault(
    42,
    given="a byte of a signed decision is changed, or another key signed it",
    then="promotes nothing: it is not what one of the named keys signed",
    exit_code=12,
)
def test_only_what_a_named_key_signed_is_promoted(fleet: Any, pairs: tuple[Pair, Pair], tmp_path: Path) -> None:
    file = envelope(fleet.decision(2, 1), pairs[0], tmp_path / "signed")
    changed = tmp_path / "changed"
    changed.write_bytes(file.read_bytes() + b" ")

    assert "no key to verify it with" in str(refused(UsageError, file))
    assert "which is none of those that count" in str(refused(EvidenceError, file, keys=[pairs[1].public]))
    assert "not the bytes that were written" in str(refused(EvidenceError, changed, keys=[pairs[0].public]))
    assert (fleet.at(), fleet.tags(), fleet.tags_of(2)) == (1, {}, {})


def test_a_key_asks_for_a_signature(fleet: Any, pairs: tuple[Pair, Pair]) -> None:
    error = refused(EvidenceError, fleet.decision(2, 1), keys=[pairs[0].public])
    assert "not signed, and a key is named that should have signed it" in str(error)
    assert fleet.at() == 1


def test_without_a_signature_it_is_promoted_with_a_remark(fleet: Any) -> None:
    said: list[tuple[str, bool]] = []
    gate.promote(fleet.decision(2, 1), remark=lambda text, loud: said.append((text, loud)))

    assert fleet.at() == 2
    assert [loud for _, loud in said] == [False]
    assert said[0][0].startswith("the decision is not signed")


@pytest.mark.fault(
    34,
    given="a decision for staging is used in production (`gate promote --env production`)",
    then="promotes nothing: it is good for the environment that it was made for",
    exit_code=12,
)
def test_a_decision_is_good_for_its_own_environment(fleet: Any) -> None:
    staging = fleet.decision(2, 1, environment="staging")
    assert "judged for environment 'staging', and this is 'production'" in str(
        refused(EvidenceError, staging, environment="production")
    )
    assert fleet.at() == 1
    gate.promote(staging, environment="staging")
    assert fleet.at() == 2


def test_a_decision_grows_old(fleet: Any, pairs: tuple[Pair, Pair], tmp_path: Path) -> None:
    decision = fleet.decision(2, 1)
    file = envelope(decision, pairs[0], tmp_path / "signed", max_age=timedelta(hours=1))

    assert "expired at" in str(refused(ConflictError, decision, now=NOW + timedelta(days=8)))
    assert "expired at" in str(refused(ConflictError, file, keys=[pairs[0].public], now=NOW + timedelta(hours=2)))
    assert "the clocks" in str(refused(ConflictError, decision, now=NOW - timedelta(hours=1)))
    assert fleet.at() == 1


@pytest.fixture
def golden(fleet: Any, tmp_path: Path) -> tuple[Decision, Path]:
    """A decision by a policy with a golden set, and the policy."""
    policy = tmp_path / "policy.yaml"
    (tmp_path / "golden.csv").write_text("id\n1\n2\n")
    policy.write_text(
        "version: 1\nname: golden\nholdout: {id: id, label: y}\nrules:\n"
        "  - {id: few, rate: nfr, at_most: 20%}\n  - {id: golden, must_not_regress: golden.csv}\n"
    )
    rows = {"id": list(range(200)), "y": [0, 1] * 100, "old": [0, 1] * 100, "new": [0, 1] * 100}
    judged = gate.compare(rows, policy=policy, incumbent="old", candidate="new").decision
    like = fleet.decision(2, 1)
    models = {"candidate": like.provenance.candidate, "incumbent": like.provenance.incumbent}
    decision = replace(
        judged, promotable=Promotable(True), target=like.target, provenance=replace(judged.provenance, **models)
    )
    return sealed(decision), policy


def test_the_policy_must_still_be_the_one_that_it_was_judged_by(fleet: Any, golden: tuple[Decision, Path]) -> None:
    decision, policy = golden
    text = policy.read_text()
    policy.write_text(text.replace("20%", "21%"))
    assert "judged by a policy with SHA-256" in str(refused(ConflictError, decision, policy=policy))
    policy.write_text(text)
    (policy.parent / "golden.csv").write_text("id\n1\n3\n")
    assert "a golden set or exclusion of" in str(refused(ConflictError, decision, policy=policy))
    assert fleet.at() == 1

    (policy.parent / "golden.csv").write_text("id\n1\n2\n")
    gate.promote(decision, policy=policy)
    assert fleet.at() == 2


@pytest.mark.fault(
    27,
    given="the registry cannot be reached when a decision is to be promoted",
    then="promotes nothing, and says which address does not answer",
    exit_code=12,
)
@pytest.mark.fault(
    39,
    given="a decision is promoted in a registry whose address holds a password",
    then="shows the address without it, in errors and in what is recorded",
    exit_code=12,
)
def test_a_registry_that_cannot_be_reached_is_told_without_its_password(
    fleet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        decision = fleet.decision(2, 1, registry=f"http://{address}")
        error = refused(EvidenceError, decision, registry_uri=f"http://ann:hunter2@{address}")

    assert error.exit_code is ExitCode.EVIDENCE
    assert f"the registry at http://{address} cannot be reached" in str(error)
    assert "hunter2" not in str(error)


# -- what a registry may have been through ------------------------------------------------------------------------------


def test_a_version_that_was_taken_back_is_not_promoted_by_the_same_word(fleet: Any) -> None:
    decision = fleet.decision(2, 1)
    gate.promote(decision)
    rollback("fleet", registry_uri=fleet.uri)
    error = refused(ConflictError, decision)

    assert "was promoted at" in str(error)
    assert "judge again" in str(error)
    assert fleet.at() == 1

    time.sleep(1.1)  # the times are to the second
    gate.promote(fleet.decision(2, 1))
    assert fleet.at() == 2


def test_an_alias_that_somebody_set_to_the_candidate_is_left_and_told_of(fleet: Any) -> None:
    fleet.client.set_registered_model_alias("fleet", "champion", "2")
    said: list[str] = []
    done = gate.promote(fleet.decision(2, 1), remark=lambda text, loud: said.append(text))

    assert (done.already, done.number) == (True, None)
    assert said[-1] == "@champion was not moved there by the gate: see gate audit fleet"
    assert fleet.tags() == {}, "nobody says that the gate did it"


def test_a_record_that_no_gate_wrote_stops_it(fleet: Any) -> None:
    fleet.client.set_registered_model_tag("fleet", "gate.move.champion.000007", "version 2, honestly")
    error = refused(EvidenceError, fleet.decision(2, 1))

    assert error.problems[0].where == "models:/fleet, tag gate.move.champion.000007"
    assert fleet.at() == 1


def test_what_to_do_about_such_a_record_is_told(fleet: Any) -> None:
    fleet.client.set_registered_model_tag("fleet", "gate.move.champion.000007", "version 2, honestly")
    assert (
        "find out who wrote it; then delete that tag" in refused(EvidenceError, fleet.decision(2, 1)).problems[0].hint
    )
    fleet.client.delete_registered_model_tag("fleet", "gate.move.champion.000007")
    gate.promote(fleet.decision(2, 1))
    assert fleet.at() == 2


@pytest.mark.parametrize(
    ("name", "ago"),
    [("mallory", timedelta(0)), ("ann", timedelta(days=400)), ("ann", -timedelta(days=1))],
    ids=["another's name", "too old", "of tomorrow"],
)
def test_an_intent_that_somebody_wrote_beforehand_does_not_name_the_record(
    fleet: Any, name: str, ago: timedelta
) -> None:
    decision = fleet.decision(2, 1)
    begun = stamp(datetime.now(timezone.utc))
    forged = Move(
        number=1,
        kind=Kind.DECISION,
        model="fleet",
        alias="champion",
        previous=1,
        version=2,
        decision_id=decision.decision_id,
        state="intent",
        at=stamp(datetime.now(timezone.utc) - ago),
        by=name,
        digest=fleet.digests[2],
        previous_digest=fleet.digests[1],
    )
    fleet.client.set_registered_model_tag("fleet", "gate.move.champion.000001", to_text(forged))
    gate.promote(decision, by="ann")

    first, second = moves(fleet)
    assert first == replace(forged, state="abandoned")
    assert (second.number, second.state, second.by) == (2, "done", "ann")
    assert begun <= second.at <= stamp(datetime.now(timezone.utc))
    assert gate.promote(decision, by="bob").already


@pytest.mark.parametrize(("by", "states"), [("ann", ["done"]), ("bob", ["abandoned", "done"])])
def test_what_a_dead_promoter_meant_is_done_by_whoever_comes_next(fleet: Any, by: str, states: list[str]) -> None:
    decision = fleet.decision(2, 1)
    with pytest.raises(ZeroDivisionError):
        gate.promote(decision, by="ann", progress=at_the_last_moment(lambda: 1 / 0))
    assert [(move.state, move.by) for move in moves(fleet)] == [("intent", "ann")]
    gate.promote(decision, by=by)
    assert (fleet.at(), [move.state for move in moves(fleet)], moves(fleet)[-1].by) == (2, states, by)


def test_a_version_that_an_override_put_there_is_told_of_as_that(fleet: Any, pairs: tuple[Pair, Pair]) -> None:
    decision = fleet.decision(2, 1)
    override(fleet, fleet.decision(2, 1, "refuse"), pairs[1])
    fleet.client.set_registered_model_alias("fleet", "champion", "1")
    assert "version 2 was put there by an override at" in str(refused(ConflictError, decision))


def test_a_record_is_never_written_over(fleet: Any) -> None:
    gate.promote(fleet.decision(2, 1))
    gate.promote(fleet.decision(3, 2))
    assert [(move.number, move.previous, move.version) for move in moves(fleet)] == [(1, 1, 2), (2, 2, 3)]


def at_the_last_moment(do: Callable[[], Any]) -> Callable[[str, int, int | None], None]:
    """Somebody else acts when all but the move is done."""

    def progress(step: str, done: int, total: int | None) -> None:
        if step == "moving the alias":
            do()

    return progress


@pytest.mark.fault(
    30,
    given="somebody moves the alias past the gate while `gate promote` is about to",
    then="does not overwrite it, and says what it is now",
    exit_code=13,
)
def test_an_alias_that_moves_at_the_last_moment_is_not_overwritten(fleet: Any) -> None:
    meddle = at_the_last_moment(lambda: fleet.client.set_registered_model_alias("fleet", "champion", "3"))
    error = refused(ConflictError, fleet.decision(2, 1), progress=meddle)

    assert "@champion was version 1 a moment ago and is version 3 now" in str(error)
    assert fleet.at() == 3
    assert [move.state for move in moves(fleet)] == ["intent"]


def test_a_promoter_that_lost_its_right_on_the_way_does_not_move_the_alias(fleet: Any) -> None:
    def take_over() -> None:
        for name in [name for name in fleet.tags() if name.startswith("gate.claim.")]:
            fleet.client.delete_registered_model_tag("fleet", name)

    decision = fleet.decision(2, 1)
    error = refused(ConflictError, decision, progress=at_the_last_moment(take_over))
    assert "lost the right to move the alias" in str(error)
    assert fleet.at() == 1

    gate.promote(decision)
    assert (fleet.at(), [move.state for move in moves(fleet)]) == (2, ["done"])


def test_an_alias_that_does_not_stay_where_it_was_set_is_told(fleet: Any) -> None:
    with sqlite3.connect(fleet.uri.removeprefix("sqlite:///")) as database:
        database.execute(
            "CREATE TRIGGER meddle AFTER UPDATE ON registered_model_aliases WHEN NEW.version = 2"
            " BEGIN UPDATE registered_model_aliases SET version = 3 WHERE alias = 'champion'; END"
        )
    database.close()
    error = refused(ConflictError, fleet.decision(2, 1))
    assert "@champion was set to version 2 and reads version 3: somebody moved it meanwhile" in str(error)
    assert [(move.state, move.version) for move in moves(fleet)] == [("done", 2)]


def test_somebody_elses_claim_stops_it(fleet: Any) -> None:
    with Registry.connect(fleet.uri, None).lease("fleet", "champion", purpose="another", by="bob@far"):
        error = refused(ConflictError, fleet.decision(2, 1))
    assert "@champion is being moved by bob@far" in str(error)
    assert fleet.at() == 1


# -- against the verdict ------------------------------------------------------------------------------------------------


def override(fleet: Any, decision: Any, pair: Pair, **asked: Any) -> Any:
    wanted = {"override": True, "reason": "all is down", "ticket": "INC-7", "sign_with": pair.private, "by": "ann"}
    return gate.promote(decision, **{**wanted, **asked})


@pytest.mark.parametrize("verdict", ["refuse", "inconclusive", "error"])
def test_an_override_is_signed_loud_and_a_class_of_its_own(verdict: str, fleet: Any, pairs: tuple[Pair, Pair]) -> None:
    decision = fleet.decision(2, 1, verdict, keep_previous_as="previous")
    said: list[tuple[str, bool]] = []
    done = override(fleet, decision, pairs[1], remark=lambda text, loud: said.append((text, loud)))

    keyid = read_public(pairs[1].public).keyid
    assert (fleet.at(), fleet.at("previous")) == (2, 1)
    assert (done.kind, done.signed_by) == (Kind.OVERRIDE, keyid)
    assert said == [
        (
            f"OVERRIDE of the verdict {verdict}: @champion of fleet from version 1 to version 2: all is down."
            " By ann, INC-7. It is recorded, and gate audit shows it.",
            True,
        )
    ]
    (move,) = moves(fleet)
    assert (move.kind, move.reason, move.ticket, move.by) == (Kind.OVERRIDE, "all is down", "INC-7", "ann")
    assert (move.decision_id, move.signed_by) == (decision.decision_id, keyid)
    kept = fleet.tags_of(2)
    assert kept["gate.verdict"] == "override"
    statement = verify(kept["gate.attestation.champion"].encode(), [read_public(pairs[1].public)], where="tag")
    assert (statement.kind, statement.verdict, statement.reason) == (Kind.OVERRIDE, Verdict(verdict), "all is down")


def test_an_override_of_a_signed_decision_names_both_keys(fleet: Any, pairs: tuple[Pair, Pair], tmp_path: Path) -> None:
    file = envelope(fleet.decision(2, 1, "refuse"), pairs[0], tmp_path / "signed")
    assert refused(NotAllowed, file, keys=[pairs[0].public]).exit_code is ExitCode.REFUSED
    override(fleet, file, pairs[1], keys=[pairs[0].public])
    assert fleet.at() == 2


def test_what_an_override_lacks_is_told_all_at_once(fleet: Any) -> None:
    error = refused(UsageError, fleet.decision(2, 1, "refuse"), override=True, reason=" ")
    assert [problem.where for problem in error.problems] == ["--reason", "--ticket", "--sign-with"]
    assert fleet.at() == 1


def test_what_only_an_override_has_is_told_without_one(fleet: Any) -> None:
    error = refused(UsageError, fleet.decision(2, 1), reason="why", ticket="INC-7")
    assert "--reason, --ticket without --override" in str(error)
    assert fleet.at() == 1


def test_there_is_nothing_to_override_in_an_allow(fleet: Any, pairs: tuple[Pair, Pair]) -> None:
    with pytest.raises(UsageError, match="the verdict is allow: there is nothing to override"):
        override(fleet, fleet.decision(2, 1), pairs[1])
    assert fleet.at() == 1


def test_only_the_verdict_is_overridden(fleet: Any, pairs: tuple[Pair, Pair], tmp_path: Path) -> None:
    """Not what the alias is, not the files, not the age, not the registry, not the environment."""
    decision = fleet.decision(2, 1, "refuse")
    with pytest.raises(ConflictError, match="expired at"):
        override(fleet, decision, pairs[1], now=NOW + timedelta(days=8))
    with pytest.raises(EvidenceError, match="judged for no environment, and this is 'production'"):
        override(fleet, decision, pairs[1], environment="production")
    elsewhere = fleet.decision(2, 1, "refuse", registry="sqlite:////elsewhere.db")
    with pytest.raises(EvidenceError, match="the decision is about sqlite:////elsewhere.db"):
        override(fleet, elsewhere, pairs[1], registry_uri=fleet.uri)
    (fleet.folders[2] / "MLmodel").write_text("something else")
    with pytest.raises(EvidenceError, match="its files changed since they were judged"):
        override(fleet, decision, pairs[1])
    fleet.client.set_registered_model_alias("fleet", "champion", "3")
    with pytest.raises(ConflictError, match="@champion is version 3 now"):
        override(fleet, decision, pairs[1])
    assert (fleet.at(), fleet.tags()) == (3, {})


# -- where the registry enforces decisions ------------------------------------------------------------------------------


@pytest.fixture
def enforce(
    fleet: Any, pairs: tuple[Pair, Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """The fleet behind a store that enforces decisions; keywords replace parts of what it asks for."""

    def write(**more: str) -> Any:
        asked = {"policies": "any", "keys": f"[{pairs[0].public}]", "override_keys": f"[{pairs[1].public}]", **more}
        settings = "".join(f", {name}: {value}" for name, value in asked.items())
        file = tmp_path / "enforcement.yaml"
        file.write_text(f"version: 1\nprotect:\n  - {{models: [fleet], aliases: [champion]{settings}}}\n")
        monkeypatch.setenv("GATE_ENFORCEMENT", str(file))
        fleet.uri = f"gated:{fleet.uri}"
        return fleet

    return write


def test_an_enforcing_registry_takes_a_signed_decision_and_an_override(
    enforce: Callable[..., Any], pairs: tuple[Pair, Pair], tmp_path: Path
) -> None:
    fleet = enforce()
    file = envelope(fleet.decision(2, 1, keep_previous_as="previous"), pairs[0], tmp_path / "signed")
    gate.promote(file, keys=[pairs[0].public], registry_uri=fleet.uri)
    override(fleet, fleet.decision(3, 2, "refuse"), pairs[1], registry_uri=fleet.uri)
    assert [(move.kind, move.state, move.version) for move in moves(fleet)] == [
        (Kind.DECISION, "done", 2),
        (Kind.OVERRIDE, "done", 3),
    ]
    assert (fleet.at(), fleet.at("previous")) == (3, 1)


def test_what_an_enforcing_registry_refuses_is_told_in_its_words(enforce: Callable[..., Any]) -> None:
    fleet = enforce()
    error = refused(EvidenceError, fleet.decision(2, 1), registry_uri=fleet.uri)

    assert error.exit_code is ExitCode.EVIDENCE
    assert "the registry refuses: " in str(error)
    assert "sign it with gate sign, and promote the envelope with --key PUB" in str(error)
    assert fleet.at() == 1


def test_a_refusal_at_the_last_step_is_recorded_and_what_was_kept_is_put_back(
    enforce: Callable[..., Any], pairs: tuple[Pair, Pair], tmp_path: Path
) -> None:
    fleet = enforce()
    fleet.client.set_registered_model_alias("fleet", "previous", "3")
    file = envelope(fleet.decision(2, 1, keep_previous_as="previous"), pairs[0], tmp_path / "signed")
    swap = at_the_last_moment(lambda: (fleet.folders[2] / "MLmodel").write_text("something else"))
    error = refused(EvidenceError, file, keys=[pairs[0].public], registry_uri=fleet.uri, progress=swap)

    assert "the registry refuses: " in str(error)
    assert (fleet.at(), fleet.at("previous")) == (1, 3)
    assert [(move.state, move.version) for move in moves(fleet)] == [("abandoned", 2)]
    assert [name for name in fleet.tags() if name.startswith("gate.claim.")] == []


def test_what_is_stale_to_an_enforcing_registry_is_a_conflict(
    enforce: Callable[..., Any], pairs: tuple[Pair, Pair], tmp_path: Path
) -> None:
    fleet = enforce(max_age="1m")
    old = sealed(replace(fleet.decision(2, 1), created_at=stamp(NOW - timedelta(minutes=2))))
    file = envelope(old, pairs[0], tmp_path / "signed")
    error = refused(ConflictError, file, keys=[pairs[0].public], registry_uri=fleet.uri)

    assert error.exit_code is ExitCode.CONFLICT
    assert "older than 0:01:00" in str(error)
    assert fleet.at() == 1
