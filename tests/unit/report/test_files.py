"""Reports as files: a whole one or none."""

from __future__ import annotations

import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gate.errors import EvidenceError, ExitCode
from gate.report.files import write_whole


@contextmanager
def _no_room_beyond(size: int) -> Iterator[None]:
    """Files end at ``size`` bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_is_written_whole_and_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    write_whole(path, b"whole\n")

    assert path.read_bytes() == b"whole\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_full_disk_leaves_the_old_report_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    path.write_bytes(b"old\n")
    with _no_room_beyond(1024), pytest.raises(EvidenceError) as caught:
        write_whole(path, b"x" * 4096)

    assert caught.value.exit_code is ExitCode.EVIDENCE
    assert caught.value.problems[0].where == str(path)
    assert caught.value.problems[0].found.startswith("cannot be written: ")
    assert path.read_bytes() == b"old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_that_is_a_folder_by_now_leaves_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "report.txt").mkdir()
    with pytest.raises(EvidenceError):
        write_whole(tmp_path / "report.txt", b"whole\n")

    assert [path.name for path in tmp_path.iterdir()] == ["report.txt"]
