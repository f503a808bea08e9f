"""``gate compare``, ``gate policy validate`` and the options that all commands share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gate.decisions.canonical import read_decision

Cli = Callable[..., Any]
Policies = Callable[..., Path]


@pytest.fixture
def compare(cli: Cli, predictions: Path, policy: Policies) -> Cli:
    """``gate compare`` of the predictions with a limit on the NFR, and more options."""

    def run(*more: object, limit: str = "5%") -> Any:
        return cli("compare", predictions, "--incumbent", "old", "--candidate", "new", "--policy", policy(limit), *more)

    return run


@pytest.mark.parametrize(
    ("limit", "code", "opening"),
    [("5%", 0, b"ALLOWED\n"), ("0.01%", 10, b"REFUSED\n"), ("0.5%", 11, b"INCONCLUSIVE\n")],
)
def test_every_verdict_has_its_word_and_exit_code(limit: str, code: int, opening: bytes, compare: Cli) -> None:
    done = compare(limit=limit)

    assert done.code == code
    assert done.out.startswith(opening)
    assert done.err == ""


def test_json_on_stdout_is_the_decision_and_nothing_else(compare: Cli, tmp_path: Path) -> None:
    done = compare("--format", "json", "--report", f"json={tmp_path}/decision.json")

    assert read_decision(done.out).verdict.value == json.loads(done.out)["verdict"] == "allow"
    assert (tmp_path / "decision.json").read_bytes() == done.out


def test_markdown_on_stdout(compare: Cli) -> None:
    assert compare("--format", "markdown").out.startswith(b"## ALLOWED\n")


def test_every_report_that_is_asked_for_is_written(compare: Cli, tmp_path: Path) -> None:
    names = {"text": "r.txt", "json": "d.json", "markdown": "r.md", "samples": "s.jsonl"}
    done = compare(*(f"--report={form}={tmp_path / name}" for form, name in names.items()))

    assert done.code == 0
    assert (tmp_path / "r.txt").read_bytes() == done.out
    assert [json.loads(line)["kind"] for line in (tmp_path / "s.jsonl").read_text().splitlines()].count("negative") == 2
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("report", "found"),
    [
        ("jsno={}/d.json", "--report: unknown format 'jsno'; did you mean 'json'?"),
        ("json", "--report: 'json' is not FORMAT=PATH\n  -> as in json=decision.json"),
        ("json=", "--report: 'json=' is not FORMAT=PATH\n  -> as in json=decision.json"),
        ("json={}", "--report: {} is a folder\n  -> name a file: json={}/report"),
        ("json={}/absent/d.json", "--report: there is no folder {}/absent\n  -> make it first"),
    ],
)
def test_a_report_that_cannot_be_meant_is_an_error_before_any_work(
    report: str, found: str, cli: Cli, policy: Policies, tmp_path: Path
) -> None:
    asked = report.replace("{}", str(tmp_path))
    done = cli(
        "compare", "/absent.csv", "--incumbent", "a", "--candidate", "b", "--policy", policy(), "--report", asked
    )

    assert done.code == 2
    assert done.out == b""
    assert done.err == f"Error: {found}\n".replace("{}", str(tmp_path))


@pytest.mark.fault(
    40,
    given="a report is to go where nothing can be written",
    then="says which file it was, and does not allow: a verdict without its report does not count",
    exit_code=12,
)
@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that even root cannot write to")
def test_a_folder_where_nothing_can_be_written_leaves_nothing_half_written(compare: Cli) -> None:
    done = compare("--report", "json=/proc/self/decision.json")

    assert done.code == 12
    assert "/proc/self/decision.json: cannot be written: " in done.err
    assert "is there room, and may you write there?" in done.err


def test_a_report_replaces_what_was_there_whole(compare: Cli, tmp_path: Path) -> None:
    path = tmp_path / "decision.json"
    path.write_text("x" * 1_000_000)
    compare("--report", f"json={path}")

    assert read_decision(path).verdict.value == "allow"


@pytest.mark.fault(
    45,
    given="the same predictions are compared twice as of the same day",
    then="gives the same decision, byte for byte",
    exit_code=None,
)
def test_the_same_day_gives_the_same_bytes(compare: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1772323200")
    first, second = (compare("--format", "json", "--as-of", "2026-03-01").out for _ in range(2))

    assert first == second


def test_options_reach_the_decision(compare: Cli) -> None:
    done = compare("--format", "json", "--as-of", "2026-03-01", "--seed", 7, "--samples", 1, "--batch-rows", 7)
    plain = json.loads(done.out)

    assert plain["as_of"] == "2026-03-01"
    assert plain["provenance"]["seed"] == 7
    assert plain["provenance"]["batch_rows"] == 7
    assert plain["provenance"]["samples"]["rows"] == 2  # one of each kind


def test_two_files(cli: Cli, predictions: Path, policy: Policies, tmp_path: Path) -> None:
    rows = [line.split(",") for line in predictions.read_text().splitlines()[1:]]
    (tmp_path / "old.csv").write_text("key,y,answer\n" + "".join(f"{k},{y},{o}\n" for k, y, o, _ in rows))
    (tmp_path / "new.csv").write_text("key,answer\n" + "".join(f"{k},{n}\n" for k, _, _, n in reversed(rows)))
    done = cli(
        "compare", "--incumbent-predictions", tmp_path / "old.csv", "--candidate-predictions", tmp_path / "new.csv",
        "--prediction", "answer", "--policy", policy(), "--format", "json",
    )  # fmt: skip
    counts = json.loads(done.out)["counts"]

    assert done.code == 0
    assert (counts["negative"], counts["positive"], counts["n"]) == (2, 40, 600)


@pytest.mark.parametrize(
    ("more", "code", "found"),
    [
        (["--label", "old"], 2, "the label column is 'old' here and 'y' in the policy's holdout.label"),
        (["--as-of", "soon"], 2, "--as-of: not a day: 'soon'"),
        (["--candidate", "nwe"], 12, "no column 'nwe' for the candidate; did you mean 'new'?"),
        (["--candidate", "y"], 2, "label and candidate are the same column 'y'"),
    ],
)
def test_what_goes_wrong_is_told_on_stderr_alone(more: list[str], code: int, found: str, compare: Cli) -> None:
    done = compare(*more)

    assert done.code == code
    assert done.out == b""
    assert found in done.err


def test_no_predictions_at_all(cli: Cli, policy: Policies) -> None:
    done = cli("compare", "--policy", policy())

    assert done.code == 2
    assert done.err == (
        "Error: gate compare: no predictions\n  -> a file, or --incumbent-predictions and --candidate-predictions\n"
    )


# gate policy validate


def test_a_sound_policy(cli: Cli, policy: Policies) -> None:
    path = policy()
    done = cli("policy", "validate", path)

    assert (done.code, done.out.decode(), done.err) == (0, f"{path}: sound, 1 rule\n", "")
    assert cli("policy", "validate", "-q", path).out == b""


def test_the_mistakes_of_all_policies_are_told_together(cli: Cli, policy: Policies, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("version: 1\nname: bad\nrules:\n  - {id: a, rate: nrf, at_most: 1%}\n  - {id: b, rate: nfr}\n")
    done = cli("policy", "validate", bad, policy(), tmp_path / "absent.yaml")

    assert done.code == 2
    assert f"{bad}:4:" in done.err and "did you mean 'nfr'?" in done.err
    assert f"{bad}:5:" in done.err
    assert "absent.yaml" in done.err
    assert b"policy.yaml: sound" in done.out
