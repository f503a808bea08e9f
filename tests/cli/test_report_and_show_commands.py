"""``gate report`` and ``gate show``: later, from the decision and its flipped rows alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gate.report.writers import FOLDERS, WRITERS

Cli = Callable[..., Any]

SECRETS = (b"hunter2", b"ann:")


@pytest.fixture
def judged(cli: Cli, predictions: Path, policy: Callable[[str], Path], tmp_path: Path) -> Path:
    """A folder with ``decision.json``, ``samples.jsonl`` and, below ``then``, every report as it was written then."""
    (tmp_path / "then").mkdir()
    every = [f"--report={form}={tmp_path}/then/{form}" for form in (*WRITERS, *FOLDERS)]
    beside = [f"--report=json={tmp_path}/decision.json", f"--report=samples={tmp_path}/samples.jsonl"]
    done = cli(
        *("compare", predictions, "--incumbent", "old", "--candidate", "new", "--policy", policy("0.01%")),
        *every,
        *beside,
    )
    assert done.code == 10
    return tmp_path


@pytest.mark.parametrize("form", WRITERS)
def test_every_report_made_later_is_the_one_that_was_made_then(form: str, judged: Path, cli: Cli) -> None:
    done = cli(
        *("report", judged / "decision.json", "--samples", judged / "samples.jsonl"),
        *("--report", f"{form}={judged}/later"),
    )

    assert done.code == 0
    assert (judged / "later").read_bytes() == (judged / "then" / form).read_bytes()


def test_a_folder_made_later_is_the_one_that_was_made_then(judged: Path, cli: Cli) -> None:
    cli(
        *("report", judged / "decision.json", "--samples", judged / "samples.jsonl"),
        *("--report", f"html-dir={judged}/later"),
    )

    then, later = (
        {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in (judged / "then" / "html-dir", judged / "later")
    )
    assert then == later and "index.html" in then


def test_without_the_flipped_rows_no_row_is_shown(judged: Path, cli: Cli) -> None:
    cli("report", judged / "decision.json", "--report", f"html={judged}/page.html")

    assert b"Rows that flipped" in (judged / "then" / "html").read_bytes()
    assert b"Rows that flipped" not in (judged / "page.html").read_bytes()


def test_it_shows_the_verdict_and_exits_0_since_it_makes_none(judged: Path, cli: Cli) -> None:
    done = cli("report", judged / "decision.json")

    assert done.code == 0
    assert done.out.startswith(b"REFUSED\n")


@pytest.mark.fault(
    42,
    given="the flipped rows beside a decision were edited, or are those of another decision",
    then="shows none of them",
    exit_code=12,
)
@pytest.mark.parametrize("command", ["report", "show"])
def test_rows_that_are_not_the_decisions_are_not_shown(command: str, judged: Path, cli: Cli) -> None:
    rows = judged / "samples.jsonl"
    rows.write_bytes(rows.read_bytes().replace(b'"negative"', b'"positive"'))
    done = cli(command, judged / "decision.json", "--samples", rows)

    assert done.code == 12
    assert done.out == b""
    assert "not the flipped rows of decision" in done.err


def test_an_edited_decision_is_not_rendered(judged: Path, cli: Cli) -> None:
    decision = judged / "decision.json"
    decision.write_bytes(decision.read_bytes().replace(b'"refuse"', b'"allow"'))

    assert cli("report", decision, "--report", f"html={judged}/page.html").code == 12
    assert not (judged / "page.html").exists()


def test_show_pages_through_the_rows_beside_the_decision(judged: Path, cli: Cli) -> None:
    done = cli("show", judged / "decision.json")
    first, header, *rows = done.out.decode().split("\n")[:-1]

    assert done.code == 0
    assert first == "2 negative flips, of 2 kept and 2 in all"
    assert header.split() == ["id", "label", "incumbent", "candidate"]
    assert sorted(row.split() for row in rows if row) == [["0", "cat", "cat", "dog"], ["1", "dog", "dog", "cat"]]


def test_show_keeps_to_a_kind_and_a_label(judged: Path, cli: Cli) -> None:
    positive = cli("show", judged / "decision.json", "--kind", "positive").out.decode()
    cats = cli("show", judged / "decision.json", "--label", "cat").out.decode()
    none = cli("show", judged / "decision.json", "--label", "horse")

    assert positive.startswith("40 positive flips")
    assert cats.startswith("1 negative flips with label cat") and "dog  " not in cats.splitlines()[2][:4]
    assert none.code == 0 and b"no such row is kept" in none.out


def test_show_without_the_rows_says_how_to_keep_them(judged: Path, cli: Cli) -> None:
    (judged / "samples.jsonl").unlink()
    done = cli("show", judged / "decision.json")

    assert done.code == 2
    assert "--report samples=FILE writes one" in done.err


def test_no_samples_is_samples_0(cli: Cli, predictions: Path, policy: Callable[[str], Path], tmp_path: Path) -> None:
    asked = ["compare", predictions, "--incumbent", "old", "--candidate", "new", "--policy", policy("0.01%")]
    for option in (["--no-samples"], ["--samples", "7", "--no-samples"], ["--no-samples", "--samples", "7"]):
        cli(*asked, *option, "--report", f"samples={tmp_path}/s", "--report", f"html={tmp_path}/page.html")
        assert (tmp_path / "s").read_bytes() == b""
        assert b"Rows that flipped" not in (tmp_path / "page.html").read_bytes()


@pytest.mark.fault(
    39,
    given="the URI of the data holds a user and a password",
    then="writes none of them into any report, decision or message",
    exit_code=None,
)
def test_no_report_holds_a_secret_of_a_uri(
    cli: Cli, predictions: Path, policy: Callable[[str], Path], tmp_path: Path
) -> None:
    fsspec = pytest.importorskip("fsspec")
    uri = "memory://ann:hunter2@bucket/predictions.csv"
    memory = fsspec.filesystem("memory")
    memory.pipe(memory._strip_protocol(uri), predictions.read_bytes())
    (tmp_path / "out").mkdir()
    every = [f"--report={form}={tmp_path}/out/{form}" for form in (*WRITERS, *FOLDERS)]
    done = cli(
        *("compare", uri, "--incumbent", "old", "--candidate", "new", "--policy", policy("0.01%"), *every),
    )

    assert done.code == 10, done.err
    assert json.loads((tmp_path / "out" / "json").read_bytes())["provenance"]["holdout"]["uri"].startswith("memory://")
    written = [done.out, done.err.encode(), *(p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file())]
    assert len(written) > len(WRITERS)
    for content in written:
        for secret in SECRETS:
            assert secret not in content
