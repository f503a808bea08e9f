"""What a person sees: a real process on a pseudo-terminal, against what a pipe gets."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from gate.cli.progress import amount, rate

STEERING = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


def on_pty(*arguments: object, columns: int = 90, **environment: str) -> tuple[int, bytes]:
    """The exit code, and all that a terminal of so many columns is sent."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    command = [sys.executable, "-m", "gate", *map(str, arguments)]
    others = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")  # the terminal itself says how wide it is
    inherited = {name: value for name, value in os.environ.items() if name not in others}
    told = {**inherited, "TERM": "xterm-256color", "PYTHONUTF8": "1", **environment}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=told)
    os.close(theirs)
    seen = bytearray()
    while True:
        try:
            read = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not read:
            break
        seen += read
    os.close(ours)
    return process.wait(60), bytes(seen)


@pytest.fixture
def asked(predictions: Path, policy: Callable[[str], Path]) -> list[object]:
    return ["compare", predictions, "--incumbent", "old", "--candidate", "new", "--policy", policy("0.01%")]


def test_a_person_sees_colours_bars_and_progress(asked: list[object]) -> None:
    code, seen = on_pty(*asked, "--batch-rows", "100")

    assert code == 10
    assert b"\x1b[1;31mREFUSED\x1b[0m" in seen
    assert "\u2588".encode() in seen
    assert b"counting" in seen
    assert seen.index(b"counting") < seen.index(b"REFUSED")
    assert b"counting" not in seen[seen.index(b"REFUSED") :]


def test_without_colour_there_is_none_and_the_words_are_the_same(asked: list[object]) -> None:
    _, seen = on_pty(*asked, "--quiet", NO_COLOR="1")

    assert not re.search(rb"\x1b\[(3|4|9)\d", seen)
    assert b"REFUSED" in seen


def test_a_pipe_gets_the_plain_report_byte_for_byte(asked: list[object], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gate", *map(str, asked), "--report", f"text={tmp_path / 'report.txt'}"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)

    assert done.returncode == 10
    assert not STEERING.search(done.stdout)
    assert done.stdout == (tmp_path / "report.txt").read_bytes()


@pytest.mark.fault(
    40,
    given="nothing more fits where the verdict is written to, as in `gate compare ... > /dev/full`",
    then="does not exit as if the verdict had been heard",
    exit_code=70,
)
def test_a_verdict_that_finds_no_room_does_not_count(predictions: Path, policy: Callable[[str], Path]) -> None:
    command = [sys.executable, "-m", "gate", "compare", predictions, "--incumbent", "old", "--candidate", "new"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*map(str, command), "--policy", str(policy("5%"))], stdout=full, stderr=subprocess.PIPE, timeout=60
        )

    assert done.returncode == 70
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("done", "total", "seconds", "unit", "told"),
    [
        (0, 100, 1.0, "rows", ""),
        (50, 100, 0.0, "rows", ""),
        (100, 100, 2.0, "rows", "50 rows/s"),
        (1000, 601_000, 1.0, "rows", "1,000 rows/s, 10 min left"),
        (5e6, 10e6, 1.0, "bytes", "5.0 MB/s, 1 s left"),
    ],
)
def test_rate_and_time_left(done: float, total: float | None, seconds: float, unit: str, told: str) -> None:
    assert rate(done, total, seconds, unit) == told


def test_what_was_done_before_the_clock_began_does_not_make_it_faster() -> None:
    assert rate(300, 1000, 2.0, "rows", before=100) == "100 rows/s, 7 s left"


def test_how_much_is_done_of_how_much() -> None:
    assert amount(2_500_000, 5_000_000, "bytes") == "2.5 of 5.0 MB"


def test_where_the_rows_are_known_beforehand_the_time_left_is_told(asked: list[object], tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    rows = pa.csv.read_csv(asked[1])
    large = pa.concat_tables([rows.set_column(0, "key", pa.array(range(i * 600, i * 600 + 600))) for i in range(100)])
    pa.parquet.write_table(large, tmp_path / "large.parquet")
    asked[1] = tmp_path / "large.parquet"
    _, seen = on_pty(*asked, "--batch-rows", "50", columns=160)
    shown = STEERING.sub(b"", seen).decode()

    assert re.search(r"counting .* of 60,000 rows  [\d,]+ rows/s, \d+ s left", shown)


@pytest.fixture
def digits_policy(tmp_path: Path) -> Path:
    path = tmp_path / "digits.yaml"
    path.write_text(
        "version: 1\nname: digits\nholdout: {id: row, label: digit}\nrules: [{id: few, rate: nfr, at_most: 3%}]\n"
    )
    return path


@pytest.fixture
def with_many_files(sqlite_registry: str, tmp_path: Path) -> str:
    """A copy of the registry with a version 4: version 3 with so many files beside it that copying takes a while."""
    import mlflow

    shutil.copy(sqlite_registry.removeprefix("sqlite:///"), tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = mlflow.MlflowClient(uri, uri)
    files = Path(client.get_model_version_download_uri("digits", "3").removeprefix("file://"))
    shutil.copytree(files, tmp_path / "large")
    (tmp_path / "large" / "more").mkdir()
    for number in range(6000):
        (tmp_path / "large" / "more" / f"{number}.bin").write_bytes(bytes(4096))
    client.create_model_version("digits", source=(tmp_path / "large").as_uri())
    return uri


def test_a_check_shows_what_arrives_what_is_scored_and_what_is_counted_with_rate_and_time_left(
    with_many_files: str, digits_policy: Path, tmp_path: Path
) -> None:
    import pandas as pd
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    some = pd.DataFrame(pixels, columns=[f"pixel_{i}" for i in range(64)]).assign(digit=labels)[600:]
    many = pd.concat([some] * 20, ignore_index=True)
    many.assign(row=range(len(many))).to_parquet(tmp_path / "holdout.parquet")
    code, seen = on_pty(
        "check", "--model", "digits", "--candidate", "4", "--incumbent", "1", "--data", tmp_path / "holdout.parquet",
        "--policy", digits_policy, "--tracking-uri", with_many_files, "--no-log", "--batch-rows", "100", columns=160,
    )  # fmt: skip
    shown = STEERING.sub(b"", seen).decode()

    assert code == 0, shown[-2000:]
    assert re.search(r"downloading the candidate .*[\d.]+ of [\d.]+ MB  [\d.]+ MB/s", shown)
    assert re.search(r"counting .*[\d,]+ of 23,940 rows  [\d,]+ rows/s, \d+ s left", shown)
    assert shown.index("downloading the candidate") < shown.index("counting") < shown.index("ALLOWED")
    assert "counting" not in shown[shown.index("ALLOWED") :]
