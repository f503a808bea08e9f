"""``gate promote``, ``gate rollback`` and ``gate audit`` as a user types them, over a real SQLite registry."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from gate.decisions.canonical import to_bytes
from gate.decisions.times import stamp
from gate.registry.claim import LIFETIME, Claim

Cli = Callable[..., Any]


@pytest.fixture
def fleet(own_registry: str, launch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Four versions in a registry that the environment names; the gate promoted the first."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", own_registry)
    return launch(own_registry, "fleet", 4)


@pytest.fixture
def written(fleet: Any, tmp_path: Path) -> Callable[..., Path]:
    """Writes a decision of the fleet's to a file."""

    def write(candidate: int, incumbent: int | None, verdict: str = "allow", **target: Any) -> Path:
        path = tmp_path / f"{candidate}-{verdict}.json"
        path.write_bytes(to_bytes(fleet.decision(candidate, incumbent, verdict, **target)))
        return path

    return write


@pytest.fixture
def keys(cli: Cli, tmp_path: Path) -> tuple[Path, Path]:
    assert cli("keys", "new", tmp_path / "oncall").code == 0
    return tmp_path / "oncall", tmp_path / "oncall.pub"


def test_signed_promoted_taken_back_and_told(
    fleet: Any, written: Callable[..., Path], keys: tuple[Path, Path], cli: Cli, tmp_path: Path
) -> None:
    private, public = keys
    for candidate, incumbent in ((1, None), (2, 1)):
        envelope = tmp_path / f"{candidate}.dsse.json"
        decision = written(candidate, incumbent, keep_previous_as="previous")
        assert cli("sign", decision, "--key", private, "--output", envelope).code == 0
        done = cli("promote", envelope, "--key", public)
        assert (done.code, done.err) == (0, "")
    assert done.out == (
        b"models:/fleet@champion is version 2 now\nmodels:/fleet@previous is version 1, to go back to\n"
    )

    back = cli("rollback", "fleet", "--sign-with", private, "--reason", "it was worse", "--ticket", "INC-7")
    assert (back.code, back.err) == (0, "")
    assert back.out == b"models:/fleet@champion is version 1 again; it was version 2\n"
    again = cli("rollback", "fleet", "--sign-with", private)
    assert (again.code, again.out) == (13, b"")

    told = cli("audit", "fleet", "--key", public)
    lines = told.out.decode().splitlines()
    assert (told.code, told.err) == (0, "")
    assert lines[0] == f"models:/fleet@champion is version 1, in {fleet.uri}"
    assert [line.split()[1:5] for line in lines if "->" in line] == [
        ["promotion", "-", "->", "1"],
        ["promotion", "1", "->", "2"],
        ["rollback", "2", "->", "1"],
    ]
    assert sum("signed by" in line for line in lines) == 3
    assert "      reason       it was worse" in lines
    assert lines[-1] == "Every move is explained: 2 promotions, 1 rollback."


def test_what_is_not_signed_is_promoted_with_a_remark_on_stderr(written: Callable[..., Path], cli: Cli) -> None:
    decision = written(1, None)
    done = cli("promote", decision)
    assert (done.code, done.out) == (0, b"models:/fleet@champion is version 1 now\n")
    assert done.err.startswith("gate: the decision is not signed")
    again = cli("promote", decision)
    assert (again.code, again.err) == (0, "")
    assert cli("promote", written(2, 1), "-q").err == ""
    assert cli("rollback", "fleet").err.startswith("gate: the rollback is not signed")


def test_an_override_is_loud_however_quiet_it_is_to_be(
    fleet: Any, written: Callable[..., Path], keys: tuple[Path, Path], cli: Cli
) -> None:
    assert cli("promote", written(1, None), "-q").code == 0
    refused = written(2, 1, "refuse")
    assert cli("promote", refused).code == 10
    lacking = cli("promote", refused, "--override")
    assert lacking.code == 2
    assert [line.split(":")[0] for line in lacking.err.splitlines() if "needs it" in line] == [
        "Error",
        "--ticket",
        "--sign-with",
    ]

    by_hand = ("--override", "--reason", "all is \x1b[31mdown", "--ticket", "INC-7", "--sign-with", keys[0])
    done = cli("promote", refused, *by_hand, "-q")
    assert (done.code, fleet.at()) == (0, 2)
    assert done.err.startswith("!!! OVERRIDE of the verdict refuse: @champion of fleet from version 1 to version 2")

    told = cli("audit", "fleet").out.decode()
    assert "OVERRIDES, against the verdict of the gate" in told
    assert "1 -> 2  INC-7: all is" in told
    assert "\x1b" not in told
    assert told.endswith("\nEvery move is explained: 1 promotion, 1 override.\n")
    later = cli("audit", "fleet", "--since", "2999-01-01").out.decode()
    assert later.endswith("\nThere is no move to explain.\n")


def test_the_environment_of_what_nobody_signed_is_that_of_the_judgement(
    fleet: Any, written: Callable[..., Path], cli: Cli
) -> None:
    done = cli("promote", written(1, None, environment="production"), "--env", "dev")
    assert (done.code, fleet.at()) == (12, None)
    assert "judged for environment 'production', and this is 'dev'" in done.err
    assert "signed" not in done.err


def test_a_record_that_no_gate_wrote_is_told_in_a_line_with_what_to_do(
    fleet: Any, written: Callable[..., Path], cli: Cli
) -> None:
    assert cli("promote", written(1, None)).code == 0
    fleet.client.set_registered_model_tag("fleet", "gate.move.champion.000007", "honestly")
    told = cli("audit", "fleet")
    (line,) = [line for line in told.out.decode().splitlines() if "000007" in line]
    assert (told.code, line) == (
        12,
        "  tag gate.move.champion.000007: no record of a move as the gate writes it; find out who wrote it; then delete"
        " that tag, and the gate goes on from the records that are left",
    )


def test_a_claim_with_a_giant_number_does_not_stop_a_promotion(
    fleet: Any, written: Callable[..., Path], cli: Cli
) -> None:
    now = datetime.now(timezone.utc)
    claim = Claim("a" * 16, 10**4299, "theirs", "mallory", "far:0", 1, "", stamp(now), stamp(now + LIFETIME))
    fleet.client.set_registered_model_tag("fleet", f"gate.claim.champion.{'a' * 16}", claim.to_text())
    assert (cli("promote", written(1, None)).code, fleet.at()) == (0, 1)


def test_an_audit_that_finds_a_move_without_a_decision_exits_with_12(
    fleet: Any, written: Callable[..., Path], cli: Cli
) -> None:
    assert cli("promote", written(1, None)).code == 0
    fleet.client.set_registered_model_alias("fleet", "champion", "3")
    told = cli("audit", "fleet")
    lines = told.out.decode().splitlines()
    assert told.code == 12
    assert lines[lines.index("WITHOUT A DECISION") + 1].startswith("  @champion is version 3, and the last recorded")
    assert lines[-1] == "Not all of it is explained."

    whole = cli("audit", "fleet", "--format", "json")
    found = json.loads(whole.out)
    assert (whole.code, found["exit_code"], found["explained"], found["stands"]) == (12, 12, False, 3)
    assert [(event["kind"], event["before"], event["after"]) for event in found["events"]] == [("promotion", None, 1)]
    assert len(found["unexplained"]) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "found"),
    [
        (["audit", "flet"], 12, "no model 'flet'"),
        (["audit", "fleet", "--alias", "champoin"], 12, "no alias 'champoin'"),
        (["audit", "fleet", "--since", "2026-13-01"], 2, "not a day: '2026-13-01'"),
        (["audit"], 2, "NAME"),
        (["rollback", "fleet", "--alias", "champoin"], 12, "no alias 'champoin'"),
        (["rollback", "fleet", "--sign-with", "absent"], 2, "no such private key"),
        (["promote", "absent.json"], 2, "no such decision"),
        (["promote", "absent.json", "--ticket", "INC-7"], 2, "--ticket without --override"),
        (["promote", "absent.json", "--key", "absent.pub"], 2, "no such public key"),
    ],
)
def test_errors_are_told_on_stderr_alone(arguments: list[str], code: int, found: str, fleet: Any, cli: Cli) -> None:
    done = cli(*arguments)
    assert (done.code, done.out) == (code, b"")
    assert found in done.err
