"""``gate keys new``, ``gate sign`` and ``gate verify`` as a user types them, on decisions about a real registry."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import numpy as np
import pandas as pd
import pytest

import gate
from gate.core.judgement import DecideOn, Severity, Status, Verdict, statuses
from gate.decisions.canonical import read_decision, sealed, to_bytes
from gate.decisions.envelope import sign as sign_statement
from gate.decisions.envelope import verify
from gate.decisions.keys import new_keys, read_private, read_public
from gate.decisions.record import Promotable, WaiverRow
from gate.decisions.statement import of_decision, override_of, rollback
from gate.stories.sign import contradicts_itself, sign

Cli = Callable[..., Any]


class Given(NamedTuple):
    """Decisions about version 3 of ``digits`` against version 1, which is ``@signed``; and a pair of keys."""

    allow: Path
    refuse: Path
    inconclusive: Path
    old: Path
    key: Path
    public: Path
    folder: Path


@pytest.fixture(scope="module")
def made(sqlite_registry: str, tmp_path_factory: pytest.TempPathFactory) -> Given:
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("sign")
    pixels, labels = load_digits(return_X_y=True)
    frame = pd.DataFrame(pixels, columns=[f"pixel_{i}" for i in range(64)])
    frame.assign(digit=labels, row=np.arange(len(frame)))[600:].to_parquet(folder / "holdout.parquet")
    client = mlflow.MlflowClient(sqlite_registry, sqlite_registry)
    client.set_registered_model_alias("digits", "signed", "1")
    (folder / "golden.csv").write_text("row\n601\n602\n")
    for name, limit in (("allow", "3%"), ("refuse", "0.2%"), ("inconclusive", "1.5%")):
        policy = folder / f"{name}.yaml"
        policy.write_text(
            "version: 1\nname: digits\nholdout: {id: row, label: digit}\nrules:\n"
            f"  - {{id: few-flips, rate: nfr, at_most: {limit}}}\n"
            "  - {id: golden, must_not_regress: golden.csv}\n"
            "promotion: {alias: signed, keep_previous_as: signed_before}\nenvironments: {production: {}}\n"
        )
        judged = gate.check(
            model="digits", candidate="3", incumbent="@signed", data=folder / "holdout.parquet", policy=policy,
            environment="production", registry_uri=sqlite_registry, tracking_uri=sqlite_registry, log_run=False,
            in_process=True,
        )  # fmt: skip
        assert judged.verdict.value == name
        (folder / f"{name}.json").write_bytes(to_bytes(judged.decision))
    client.delete_registered_model_alias("digits", "signed")
    allowed = read_decision(folder / "allow.json")
    (folder / "old.json").write_bytes(to_bytes(sealed(replace(allowed, created_at="2026-01-01T00:00:00Z"))))
    new_keys(folder / "ci")
    decisions = (folder / f"{name}.json" for name in ("allow", "refuse", "inconclusive", "old"))
    return Given(*decisions, folder / "ci", folder / "ci.pub", folder)


@pytest.fixture
def given(made: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Given:
    """Copies of the files above, in a folder of the test's own, which is the working directory."""
    for file in (*made[:4], made.public, made.key):
        shutil.copy(file, tmp_path / file.name)
    monkeypatch.chdir(tmp_path)
    return Given(*(Path(file.name) for file in made[:6]), tmp_path)


@pytest.fixture
def signed(cli: Cli, given: Given) -> Path:
    assert cli("sign", given.allow, "--key", given.key, "--output", "signed.json").code == 0
    return Path("signed.json")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*")}


@pytest.fixture
def stopped(cli: Cli, given: Given) -> Callable[..., str]:
    """Runs a command that must stop with this code, with no result on stdout and no file written; gives its error."""

    def command(code: int, *arguments: object) -> str:
        before = contents(given.folder)
        done = cli(*arguments)
        assert (done.code, done.out) == (code, b""), done.err
        assert contents(given.folder) == before
        return str(done.err)

    return command


# keys


def test_keys_new_writes_a_pair_and_says_which_is_secret(cli: Cli, tmp_path: Path) -> None:
    done = cli("keys", "new", tmp_path / "team")
    told = done.out.decode().splitlines()

    assert done.code == 0
    assert told == [
        f"wrote {tmp_path}/team, which signs: keep it secret, and where no model runs",
        f"wrote {tmp_path}/team.pub, which verifies: give it to servers and people",
        f"the key's id is {read_public(tmp_path / 'team.pub').keyid}",
    ]
    assert stat.S_IMODE((tmp_path / "team").stat().st_mode) == 0o600


def test_keys_new_never_overwrites(stopped: Callable[..., str]) -> None:
    assert "ci: exists already\n  -> a key is never overwritten" in stopped(2, "keys", "new", "ci")
    assert "there such a folder" in stopped(2, "keys", "new", "absent/ci")


def test_a_key_needs_a_name(stopped: Callable[..., str]) -> None:
    assert "NAME: a key needs a name, and this is empty\n  -> as in gate keys new keys/ci" in stopped(
        2, "keys", "new", ""
    )
    assert ".: a folder, and no name for a key\n  -> as in ci" in stopped(2, "keys", "new", ".")


# sign


def test_signing_says_what_is_signed_with_which_key_and_until_when(cli: Cli, given: Given) -> None:
    decision = read_decision(given.allow)
    done = cli("sign", given.allow, "--key", given.key, "--output", "signed.json", "--run-id", "r1", "--max-age", "12h")
    statement = verify(Path("signed.json").read_bytes(), [read_public(given.public)], where="x")
    until = datetime.fromisoformat(decision.created_at.replace("Z", "+00:00")) + timedelta(hours=12)

    assert (done.code, done.err) == (0, "")
    assert done.out.decode().splitlines() == [
        statement.summary,
        f"signed with ci ({read_public(given.public).keyid[:16]}), good until {until:%Y-%m-%dT%H:%M:%SZ}",
        "wrote signed.json",
    ]
    assert statement.summary.startswith("Allowed: version 3 of digits may replace version 1 as @signed: ")
    assert (statement.decision_id, statement.run_id) == (decision.decision_id, "r1")
    assert (statement.environment, statement.alias) == ("production", "signed")
    assert dict(statement.files) == dict(decision.provenance.files) and len(statement.files) == 1


@pytest.mark.parametrize(("name", "code"), [("allow", 0), ("refuse", 10), ("inconclusive", 11)])
def test_any_verdict_is_signed_and_verify_exits_with_its_code(cli: Cli, given: Given, name: str, code: int) -> None:
    assert cli("sign", f"{name}.json", "--key", given.key, "--output", "signed.json", "-q").out == b""
    done = cli("verify", "signed.json", "--key", given.public)

    assert done.code == code
    assert f"verdict {name}" in done.out.decode()


def test_an_envelope_that_is_there_is_replaced_and_nothing_is_left_beside_it(cli: Cli, given: Given) -> None:
    Path("signed.json").write_text("old")
    before = set(os.listdir())

    assert cli("sign", given.allow, "--key", given.key, "--output", "signed.json").code == 0
    assert set(os.listdir()) == before
    assert cli("verify", "signed.json", "--key", given.public).code == 0


@pytest.mark.fault(
    42,
    given="a decision was edited before it is signed",
    then="does not sign it, since its content does not hash to its id",
    exit_code=12,
)
def test_an_edited_decision_is_not_signed(stopped: Callable[..., str], given: Given) -> None:
    raw = given.refuse.read_bytes()
    for edit in (raw.replace(b'"refuse"', b'"allow"'), raw.replace(b'"digits"', b'"letters"'), raw + b"\n", raw[:-2]):
        assert edit != raw
        given.refuse.write_bytes(edit)
        found = stopped(12, "sign", given.refuse, "--key", given.key, "--output", "signed.json")
        assert "edited: it is not, byte for byte" in found or "not a decision" in found


def test_a_verdict_made_up_with_the_right_id_is_not_signed(stopped: Callable[..., str], given: Given) -> None:
    from dataclasses import replace

    refused = read_decision(given.refuse)
    forged = sealed(replace(refused, verdict=Verdict.ALLOW, exit_code=0, promotable=Promotable(True)))
    given.refuse.write_bytes(to_bytes(forged))

    found = stopped(12, "sign", given.refuse, "--key", given.key, "--output", "signed.json")
    assert "its verdict allow does not follow from its findings" in found


def test_findings_that_say_otherwise_than_their_numbers_are_not_signed(
    stopped: Callable[..., str], given: Given
) -> None:
    """Somebody edited the verdict, the findings and the id, and left the numbers as they were."""
    refused = read_decision(given.refuse)
    for status, said in ((Status.PASS, "is pass with "), (Status.WARN, "is warn with "), (Status.WAIVED, "is waived")):
        findings = tuple(replace(one, status=status) if one.status is Status.FAIL else one for one in refused.findings)
        forged = replace(refused, verdict=Verdict.ALLOW, exit_code=0, findings=findings, promotable=Promotable(True))
        given.refuse.write_bytes(to_bytes(sealed(forged)))
        for predicate in ("decision", "test-result"):
            asked = ("--key", given.key, "--output", "signed.json", "--predicate", predicate)
            assert f"refuse.json: rule 'few-flips' {said}" in stopped(12, "sign", given.refuse, *asked)


@pytest.mark.parametrize("decide_on", list(DecideOn))
@pytest.mark.parametrize("at_most", [True, False])
@pytest.mark.parametrize("severity", list(Severity))
def test_what_the_arithmetic_finds_does_not_contradict_itself_and_what_it_refuses_does_if_it_is_called_a_pass(
    given: Given, decide_on: DecideOn, at_most: bool, severity: Severity
) -> None:
    """Over a grid of bounds, by the functions that judge: nothing honest is taken for a forgery."""
    like = read_decision(given.allow).findings[0]
    for lower, estimate, upper in [
        (a / 10, b / 10, c / 10) for a in range(5) for b in range(a, 5) for c in range(b, 5)
    ]:
        numbers = [np.array([value]) for value in (estimate, lower, upper, 0.2)]
        found = statuses(decide_on, at_most, *numbers, np.array([100]))[0]
        side = "upper" if (found is Status.FAIL) is not at_most else "lower"
        bound = upper if side == "upper" else lower
        if decide_on is DecideOn.ESTIMATE:
            side, bound = "estimate", estimate
        soft = severity is Severity.WARN and found in (Status.FAIL, Status.INCONCLUSIVE)
        finding = replace(
            like, decide_on=decide_on, at_most=at_most, severity=severity, limit=0.2, bound=bound, side=side,
            status=Status.WARN if soft else found,
        )  # fmt: skip
        assert not contradicts_itself(finding, ())
        assert contradicts_itself(replace(finding, status=Status.PASS), ()) is (found is not Status.PASS)
        if found is Status.FAIL:
            assert contradicts_itself(replace(finding, status=Status.WARN), ()) is (severity is Severity.ENFORCE)
            waiver = WaiverRow(finding.rule, None, None, "why", "me", "2999-01-01", True, None, finding.source)
            waived = replace(finding, status=Status.WAIVED)
            assert contradicts_itself(waived, ()) and not contradicts_itself(waived, (waiver,))


def test_what_would_be_expired_already_is_not_signed(stopped: Callable[..., str], given: Given) -> None:
    found = stopped(13, "sign", given.old, "--key", given.key, "--output", "signed.json")
    assert "old.json: expired at 2026-01-08T00:00:00Z" in found and "judge again" in found


def test_what_is_from_the_future_is_not_signed(stopped: Callable[..., str], given: Given) -> None:
    later = datetime.now(timezone.utc) + timedelta(hours=1)
    late = replace(read_decision(given.allow), created_at=f"{later:%Y-%m-%dT%H:%M:%SZ}")
    given.allow.write_bytes(to_bytes(sealed(late)))

    found = stopped(13, "sign", given.allow, "--key", given.key, "--output", "signed.json")
    assert "and here it is" in found and "set the clocks right" in found


def test_a_comparison_of_predictions_is_not_signed(cli: Cli, stopped: Callable[..., str], given: Given) -> None:
    Path("p.csv").write_text("y,old,new\n" + "a,a,a\n" * 400)
    Path("p.yaml").write_text("version: 1\nname: p\nholdout: {label: y}\nrules:\n  - {id: r, rate: nfr, at_most: 2%}\n")
    asked = ("p.csv", "--incumbent", "old", "--candidate", "new", "--policy", "p.yaml")
    assert cli("compare", *asked, "--report", "json=p.json").code == 0

    found = stopped(12, "sign", "p.json", "--key", given.key, "--output", "signed.json")
    assert "not promotable: predictions were compared" in found


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"decision": "absent.json"}, "absent.json: no such decision"),
        ({"decision": "."}, ".: cannot be read: Is a directory"),
        ({"--key": "absent"}, "absent: no such private key\n  -> gate keys new makes a pair"),
        ({"--key": "ci.pub"}, "ci.pub: a public key, which signs nothing\n  -> give the private one: ci"),
        ({"--key": "allow.json"}, "allow.json: a private key that others can read"),
        ({"--output": "absent/signed.json"}, "--output: there is no folder absent"),
        ({"--output": "."}, "--output: . is a folder"),
        ({"--output": "ci"}, "--output: ci is needed as it is"),
        ({"--output": "ci.pub"}, "--output: ci.pub is needed as it is"),
        ({"--output": "./allow.json"}, "--output: allow.json is needed as it is"),
        ({"--max-age": "7 days"}, "--max-age: not an age: '7 days'\n  -> a number and its unit without a space: 7d"),
        ({"--max-age": "0d"}, "--max-age: not an age: '0d'"),
        ({"--predicate": "test-result", "--max-age": "7d"}, "--max-age: a test-result has no place for it"),
        ({"--predicate": "test-result", "--run-id": "r"}, "--run-id: a test-result has no place for it"),
        ({"--predicate": "slsa"}, "'slsa' is not one of"),
    ],
)
def test_what_sign_cannot_work_with(stopped: Callable[..., str], change: dict[str, str], found: str) -> None:
    asked = {"decision": "allow.json", "--key": "ci", "--output": "signed.json", **change}
    decision = asked.pop("decision")

    assert found in stopped(2, "sign", decision, *(part for option in asked.items() for part in option))


def test_a_key_that_others_can_read_signs_nothing(stopped: Callable[..., str], given: Given) -> None:
    given.key.chmod(0o644)

    found = stopped(2, "sign", given.allow, "--key", given.key, "--output", "signed.json")
    assert "ci: a private key that others can read (mode 0644)\n  -> chmod 600 ci" in found


def test_an_envelope_is_not_signed_again(stopped: Callable[..., str], given: Given, signed: Path) -> None:
    assert "signed already" in stopped(12, "sign", signed, "--key", given.key, "--output", "again.json")


def test_no_message_holds_a_secret(cli: Cli, given: Given) -> None:
    secret = given.key.read_text().splitlines()[1]
    for arguments in (
        ("verify", given.allow, "--key", given.key),
        ("verify", given.key, "--key", given.public),
        ("sign", given.key, "--key", given.key, "--output", "signed.json"),
        ("sign", given.allow, "--key", given.key, "--output", "signed.json"),
    ):
        done = cli(*arguments)
        assert secret not in done.err and secret.encode() not in done.out


def test_signing_runs_no_model_and_imports_neither_mlflow_nor_torch(given: Given) -> None:
    code = (
        "import sys; from gate.cli.app import run\n"
        "code = run(['sign', 'allow.json', '--key', 'ci', '--output', 'signed.json'])\n"
        "heavy = {'mlflow', 'torch', 'sklearn', 'sqlalchemy', 'pandas', 'great_expectations', 'cloudpickle'}\n"
        "ours = {name for name in sys.modules if name.startswith(('gate.registry', 'gate.engines', 'gate.data'))}\n"
        "print(code, sorted(heavy & set(sys.modules)), sorted(ours), 'securesystemslib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "0 [] [] True"


def test_no_key_is_read_where_models_run() -> None:
    code = (
        "import sys, gate.stories.check, gate.stories.compare, gate.engines.in_worker.serving, gate.engines.local\n"
        "print('gate.decisions.keys' in sys.modules, 'securesystemslib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "False"]


# verify


def test_verify_says_in_plain_words_what_is_signed(cli: Cli, given: Given, signed: Path) -> None:
    decision = read_decision(given.allow)
    statement = verify(signed.read_bytes(), [read_public(given.public)], where="x")
    done = cli("verify", signed, "--key", given.public)
    counts, origin = decision.counts, decision.provenance
    assert origin.incumbent is not None
    (golden,) = origin.files.items()
    sentence = (
        f"Allowed: version 3 of digits may replace version 1 as @signed: {counts.negative} negative and"
        f" {counts.positive} positive flips in 1,197 rows, policy digits."
    )
    tools = ", ".join(f"{name} {version}" for name, version in sorted(origin.tools.items()))
    said = done.out.decode().partition("  SHA-256\n")

    assert (done.code, done.err) == (0, "")
    assert " ".join(said[0].split()) == " ".join(
        [
            f"genuine: signed with ci.pub ({read_public(given.public).keyid[:16]})",
            sentence,
            "says decision, verdict allow",
            "model digits",
            "alias @signed from version 1 to version 3; version 1 is kept as @signed_before",
            "environment production",
            f"registry {decision.target.registry}",
            f"judged {decision.created_at}",
            f"signed {statement.signed_at}",
            f"good until {statement.expires_at}",
            f"tools {tools}",
        ]
    )
    assert said[2].splitlines() == [
        f"  {origin.candidate.digest}  candidate",
        f"  {origin.incumbent.digest}  incumbent",
        f"  {origin.holdout.digest}  held-out set",
        f"  {decision.policy.digest}  policy",
        f"  {statement.decision_digest}  decision",
        f"  {golden[1]}  {golden[0]}",
    ]


def test_verify_as_json_holds_the_statement(cli: Cli, given: Given, signed: Path) -> None:
    done = cli("verify", signed, "--key", given.public, "--format", "json")
    found = json.loads(done.out)

    assert (done.code, found["good"], found["because"]) == (0, True, None)
    assert found["signed_by"] == {"name": "ci.pub", "keyid": read_public(given.public).keyid}
    assert found["statement"] == json.loads(b64decode(json.loads(signed.read_bytes())["payload"]))


def test_quiet_says_nothing_and_exits_alike(cli: Cli, given: Given, signed: Path) -> None:
    assert cli("verify", signed, "--key", given.public, "-q") == (0, b"", "")


def test_one_of_several_keys_is_enough(cli: Cli, given: Given, signed: Path) -> None:
    cli("keys", "new", "other")
    done = cli("verify", signed, "--key", "other.pub", "--key", given.public)

    assert done.code == 0 and b"signed with ci.pub" in done.out


def test_another_key_does_not_count(cli: Cli, stopped: Callable[..., str], signed: Path) -> None:
    cli("keys", "new", "other")

    found = stopped(12, "verify", signed, "--key", "other.pub")
    assert "which is none of those that count: other.pub (" in found


@pytest.mark.fault(
    42,
    given="one byte of a signed decision was changed",
    then="says that it is not genuine",
    exit_code=12,
)
def test_a_changed_byte_is_not_genuine(stopped: Callable[..., str], given: Given, signed: Path) -> None:
    raw = signed.read_bytes()
    for at in range(0, len(raw), 97):
        signed.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        stopped(12, "verify", signed, "--key", given.public)


def test_the_decision_beside_it_must_be_the_one_that_was_signed(
    cli: Cli, stopped: Callable[..., str], given: Given, signed: Path
) -> None:
    asked = ("verify", signed, "--key", given.public, "--decision")
    assert cli(*asked, given.allow).code == 0

    found = stopped(12, *asked, given.refuse)
    assert "it is not about this decision" in found
    assert f"it is about decision {read_decision(given.allow).decision_id[:16]}..., so give that one" in found
    assert "it is not about this decision" in stopped(12, *asked, given.old), "only its time of writing differs"
    assert "no such decision" in stopped(2, *asked, "absent.json")
    given.allow.write_bytes(given.allow.read_bytes().replace(b'"allow"', b'"refuse"'))
    assert "edited" in stopped(12, *asked, given.allow)


@pytest.fixture
def expired(given: Given) -> Path:
    """Signed in time, and verified too late."""
    sign(given.old, key=given.key, output="expired.json", now=datetime(2026, 1, 2, tzinfo=timezone.utc))
    return Path("expired.json")


def test_what_expired_is_genuine_but_good_no_more(cli: Cli, given: Given, expired: Path) -> None:
    done = cli("verify", expired, "--key", given.public)

    assert done.code == 13
    assert done.out.startswith(b"genuine: signed with ci.pub")
    assert b"\nGOOD NO MORE: expired at 2026-01-08T00:00:00Z\n" in done.out
    assert "expired.json: genuine, but good no more: expired at 2026-01-08T00:00:00Z" in done.err


def test_what_expired_is_told_in_json_too(cli: Cli, given: Given, expired: Path) -> None:
    done = cli("verify", expired, "--key", given.public, "--format", "json")
    found = json.loads(done.out)

    assert done.code == 13
    assert (found["good"], found["because"]) == (False, "expired at 2026-01-08T00:00:00Z")


@pytest.mark.parametrize(
    ("arguments", "code", "found"),
    [
        (("absent.json", "--key", "ci.pub"), 2, "absent.json: no such envelope"),
        ((".", "--key", "ci.pub"), 2, ".: cannot be read: Is a directory"),
        (("signed.json",), 2, "Missing option '--key'"),
        (("signed.json", "--key", "absent.pub"), 2, "absent.pub: no such public key"),
        (("signed.json", "--key", "ci"), 2, "ci: a private key, where its public half is enough"),
        (("signed.json", "--key", "allow.json"), 2, "allow.json: no public key in PEM"),
        (("allow.json", "--key", "ci.pub"), 12, "allow.json: not an envelope\n  -> gate sign writes one"),
        (("ci.pub", "--key", "ci.pub"), 12, "ci.pub: not an envelope"),
    ],
)
def test_what_verify_cannot_work_with(
    stopped: Callable[..., str], signed: Path, arguments: tuple[str, ...], code: int, found: str
) -> None:
    assert found in stopped(code, "verify", *arguments)


def test_what_a_person_signed_is_said_with_who_and_why(cli: Cli, given: Given) -> None:
    now = datetime.now(timezone.utc)
    key = read_private(given.key)
    decided = of_decision(read_decision(given.refuse), signed_at=now, max_age=timedelta(days=7))
    said = override_of(decided, reason="Fraud wave.", ticket="INC-7", by="ann", signed_at=now)
    back = rollback(
        model="digits", alias="signed", candidate=decided.candidate, incumbent=None, by="bob", signed_at=now
    )  # fmt: skip
    Path("override.json").write_bytes(sign_statement(said, key))
    Path("rollback.json").write_bytes(sign_statement(back, key))

    done = cli("verify", "override.json", "--key", given.public, "--decision", given.refuse)
    told = done.out.decode()
    assert done.code == 0
    assert told.splitlines()[1].startswith(
        "OVERRIDE of the verdict refuse: @signed of digits from version 1 to version"
    )
    assert "says          override, verdict refuse" in told
    assert "by            ann\n  reason        Fraud wave.\n  ticket        INC-7" in told
    done = cli("verify", "rollback.json", "--key", given.public)
    assert done.code == 0
    assert "says          rollback\n" in done.out.decode() and "judged        not by the gate" in done.out.decode()
    done = cli("verify", "rollback.json", "--key", given.public, "--decision", given.refuse)
    assert done.code == 12 and "it is not about this decision" in done.err


# for other tools


@pytest.mark.parametrize(("name", "code", "result"), [("allow", 0, "PASSED"), ("refuse", 10, "FAILED")])
def test_a_test_result_is_signed_and_verified_and_is_no_better_than_the_verdict(
    cli: Cli, given: Given, name: str, code: int, result: str
) -> None:
    signed = cli(
        "sign", f"{name}.json", "--key", given.key, "--output", "result.json", "--predicate", "test-result"
    )  # fmt: skip
    done = cli("verify", "result.json", "--key", given.public, "--decision", f"{name}.json")
    found = json.loads(b64decode(json.loads(Path("result.json").read_bytes())["payload"]))

    assert (signed.code, done.code) == (0, code)
    assert b"it moves no alias" in signed.out
    assert f"An in-toto test-result: {result}." in done.out.decode()
    assert found["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert found["predicate"]["result"] == result
    assert "few-flips" in done.out.decode()


def test_a_test_result_of_another_decision_is_told(cli: Cli, stopped: Callable[..., str], given: Given) -> None:
    cli("sign", given.allow, "--key", given.key, "--output", "result.json", "--predicate", "test-result")

    found = stopped(12, "verify", "result.json", "--key", given.public, "--decision", given.refuse)
    assert "it is not about this decision" in found
