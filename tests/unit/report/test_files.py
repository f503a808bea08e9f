"""Reports as files: a whole one or none."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from report_cases import RULES, STORIES

from gate.errors import EvidenceError, ExitCode
from gate.report.files import Wanted, write_reports, write_whole
from gate.stories.decide import Judgement


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


@pytest.mark.fault(
    40,
    given="the disk is full while a report is written",
    then="says so, and leaves the old report as it was, with nothing half written beside it",
    exit_code=12,
)
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


@pytest.mark.fault(
    40,
    given="the disk is full while the page is written as a folder",
    then="says so, and leaves all of its files as they were",
    exit_code=12,
)
def test_a_full_disk_leaves_the_old_folder_with_all_its_parts(
    tmp_path: Path, compared: Callable[..., Judgement]
) -> None:
    judged = compared(STORIES["refused"], RULES)
    wanted = [Wanted("html-dir", tmp_path / "page")]
    (tmp_path / "page").mkdir()
    for name in ("page.css", "page.js", "index.html"):
        (tmp_path / "page" / name).write_bytes(b"old")
    with _no_room_beyond(8192), pytest.raises(EvidenceError):
        write_reports(wanted, judged.decision, judged.samples)

    assert {path.name: path.read_bytes() for path in (tmp_path / "page").iterdir()} == dict.fromkeys(
        ("page.css", "page.js", "index.html"), b"old"
    )


def test_one_report_that_cannot_be_made_leaves_no_other(
    tmp_path: Path, compared: Callable[..., Judgement], monkeypatch: pytest.MonkeyPatch
) -> None:
    from gate.report.writers import WRITERS

    def breaks(*_: object) -> dict[str, bytes]:
        raise RuntimeError

    judged = compared(STORIES["refused"], RULES)
    monkeypatch.setitem(WRITERS, "markdown", breaks)
    wanted = [Wanted("json", tmp_path / "decision.json"), Wanted("markdown", tmp_path / "report.md")]
    with pytest.raises(RuntimeError):
        write_reports(wanted, judged.decision, judged.samples)

    assert not (tmp_path / "decision.json").exists()


@pytest.mark.fault(
    40,
    given="a report goes to a device that has no room, such as `/dev/full`",
    then="says so, and leaves the device as it was",
    exit_code=12,
)
def test_a_device_is_written_to_and_never_replaced() -> None:
    with pytest.raises(EvidenceError, match="No space left on device"):
        write_whole(Path("/dev/full"), b"x" * 4096)
    write_whole(Path("/dev/null"), b"x" * 4096)

    for name in ("/dev/full", "/dev/null"):
        assert stat.S_ISCHR(os.stat(name).st_mode)


def test_a_stream_of_the_process_is_written_to_even_where_it_is_a_file(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from gate.report.files import write_whole; write_whole(Path('/dev/stdout'), b'hi')"
    )
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True, timeout=60)

    assert (tmp_path / "out").read_bytes() == b"hi"
    assert Path("/dev/stdout").is_symlink()


@pytest.mark.fault(
    40,
    given="the folder for a report is read-only",
    then="says so, and leaves the old report as it was",
    exit_code=12,
)
def test_a_folder_that_is_read_only_leaves_the_old_report(tmp_path: Path) -> None:
    """In a child that is not root, since root may write anywhere."""
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "report.txt").write_bytes(b"old")
    folder.chmod(0o555)
    inside = os.open(folder, os.O_RDONLY)
    child = os.fork()
    if not child:
        code = 1
        try:
            os.fchdir(inside)
            if os.getuid() == 0:
                os.setuid(65534)
            write_whole(Path("report.txt"), b"new")
        except EvidenceError as error:
            code = 0 if "Permission denied" in str(error) else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    os.close(inside)
    folder.chmod(0o755)

    assert os.waitstatus_to_exitcode(status) == 0
    assert [(path.name, path.read_bytes()) for path in folder.iterdir()] == [("report.txt", b"old")]
