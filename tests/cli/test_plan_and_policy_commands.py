"""`gate plan` and the commands of `gate policy` as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]


def test_the_schema_is_the_one_that_is_published(cli: Cli) -> None:
    ran = cli("policy", "schema")
    assert ran.code == 0
    assert ran.out == Path("docs/reference/policy.schema.json").read_bytes()
    assert json.loads(ran.out)["$schema"].startswith("https://json-schema.org/")


def test_the_ready_made_policies_meet_the_schema(cli: Cli) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    from gate.policy.source import read

    schema = json.loads(cli("policy", "schema").out)
    for file in sorted(Path("policies").glob("*.yaml")):
        jsonschema.validate(read(file.read_text("utf-8")).data, schema)


def test_explain_tells_one_rule_or_all(cli: Cli, policy: Callable[[str], Path]) -> None:
    ran = cli("policy", "explain", policy("1%"), "few-flips")
    assert ran.code == 0 and b"It takes 299 rows if no negative flips are seen" in ran.out
    assert cli("policy", "explain", policy("1%")).out == ran.out
    assert cli("policy", "explain", policy("1%"), "many-flips").code == 2


def test_init_writes_a_policy_that_validates_against_its_data_and_never_overwrites(
    cli: Cli, predictions: Path, tmp_path: Path
) -> None:
    file = tmp_path / "first.yaml"
    asked = ("policy", "init", "--data", predictions, "--label", "y", "--id", "key", "--name", "pets")
    ran = cli(*asked, "--output", file)
    assert ran.code == 0 and ran.out == b""
    assert cli(*asked).out == file.read_bytes()
    ran = cli("policy", "validate", file, "--data", predictions)
    assert ran.code == 0 and "warning" not in ran.err
    assert b"sound, 3 rules" in ran.out
    before = file.read_bytes()
    ran = cli(*asked, "--output", file)
    assert ran.code == 2 and "exists already" in ran.err
    assert file.read_bytes() == before


def test_validate_with_data_warns_and_still_exits_0(cli: Cli, policy: Callable[[str], Path], predictions: Path) -> None:
    file = policy("0.1%")
    ran = cli("policy", "validate", file, "--data", predictions)
    assert ran.code == 0
    assert f"warning: {file}:5: rule 'few-flips': can never pass: all rows (600 of 2,995 rows)" in ran.err
    assert "warning" not in cli("policy", "validate", file).err


def test_validate_with_data_that_lacks_a_column_does_not_exit_0(
    cli: Cli, policy: Callable[[str], Path], tmp_path: Path
) -> None:
    data = tmp_path / "other.csv"
    data.write_text("key,z\n1,a\n")
    ran = cli("policy", "validate", policy("1%"), "--data", data)
    assert ran.code == 12 and "no column 'y' for the label" in ran.err
    assert cli("policy", "validate", policy("1%"), "--label", "y").code == 2


def test_test_exits_0_if_all_is_as_expected_10_if_not_and_2_for_a_malformed_fixture(
    cli: Cli, policy: Callable[[str], Path], predictions: Path, tmp_path: Path
) -> None:
    policy("2%")
    case = tmp_path / "case.yaml"
    text = (
        "policy: policy.yaml\npredictions: predictions.csv\nincumbent: old\ncandidate: new\nexpect: {verdict: allow}\n"
    )
    case.write_text(text)
    ran = cli("policy", "test", case)
    assert (ran.code, ran.out) == (0, f"ok    {case}: allow\n1 case, none not as expected\n".encode())
    case.write_text(text.replace("allow", "refuse"))
    ran = cli("policy", "test", case)
    assert ran.code == 10 and b"FAIL" in ran.out and b"the verdict is allow, expected refuse" in ran.out
    case.write_text(text.replace("verdict", "verdit"))
    ran = cli("policy", "test", case)
    assert ran.code == 2 and f"{case}:5:10" in ran.err and ran.out == b""


def test_plan_shows_a_policy_and_its_data_in_80_columns(cli: Cli, predictions: Path) -> None:
    for file in sorted(Path("policies").glob("*.yaml")):
        ran = cli("plan", "--policy", file, "--data", predictions, "--label", "y", "--id", "key")
        assert ran.code == 0, ran.err
        assert max(len(line) for line in ran.out.decode().splitlines() if str(predictions) not in line) <= 80
    ran = cli("plan", "--policy", "policies/cautious.yaml", "--data", predictions, "--label", "y", "--format", "json")
    found = json.loads(ran.out)
    assert found["rows"] == 600
    assert [cell["rows"] for cell in found["certifies"]] == [600, 300, 300]
    assert found["needs"][0]["rows"] == [29, 46, 61, 103]


@pytest.mark.parametrize(
    "asked, told",
    [
        (("--limit", "0.01"), "must be a percentage"),
        (("--limit", "1%", "--policy", "p.yaml"), "plan one thing at a time"),
        (("--expected", "1%"), "--expected goes with --limit"),
        (("--classes", "3", "--policy", "policies/balanced.yaml"), "--classes goes with --limit"),
        ((), "nothing to plan"),
        (("--limit", "1%", "--power", "0%"), "--power"),
    ],
)
def test_a_plan_that_makes_no_sense_is_a_usage_error(cli: Cli, asked: tuple[str, ...], told: str) -> None:
    ran = cli("plan", *asked)
    assert ran.code == 2 and told in ran.err and ran.out == b""
