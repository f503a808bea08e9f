"""Sizes as people write them, and memory as the system tells it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gate.engines.limits import MemoryWatch, end, family, in_words, resident, size_in_bytes
from gate.errors import UsageError


@pytest.mark.parametrize(
    ("text", "size"),
    [("4g", 4 << 30), ("512 MB", 512 << 20), ("1.5GiB", 3 << 29), ("100", 100), ("2k", 2048), (" 1T ", 1 << 40)],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert size_in_bytes(text) == size


@pytest.mark.parametrize("text", ["", "lots", "4x", "-1g", "0", "4gg", "1e9"])
def test_what_is_no_size_is_a_mistake_of_usage(text: str) -> None:
    with pytest.raises(UsageError, match="--memory"):
        size_in_bytes(text)


def test_a_size_in_words_has_the_largest_unit_that_fits() -> None:
    assert [in_words(size) for size in (1, 2048, 300 << 20, 4 << 30, 2 << 40)] == [
        "1 bytes", "2 KiB", "300 MiB", "4 GiB", "2 TiB",
    ]  # fmt: skip


HOLDS = "import sys; held = bytearray(80 << 20); print('holds', flush=True); sys.stdin.read()"


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="Linux's /proc")
def test_what_a_process_starts_counts_with_it_and_the_watch_sees_both() -> None:
    starts = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLDS!r}], stdin=sys.stdin)"
    process = subprocess.Popen(
        [sys.executable, "-c", starts], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    with process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.readline()
        assert resident(process.pid) < 80 << 20 < sum(one.memory for one in family(process.pid))
        exceeded = threading.Event()
        watch = MemoryWatch(process.pid, 90 << 20, exceeded.set)
        assert exceeded.wait(20)
        watch.stop()
        unharmed = MemoryWatch(process.pid, 10 << 30, exceeded.clear)
        unharmed.stop()
        assert exceeded.is_set()
        process.stdin.close()


def test_a_process_that_is_gone_has_no_memory() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert resident(process.pid) == 0
    assert family(process.pid) == []


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="Linux's /proc")
@pytest.mark.parametrize("parent_first", [False, True])
def test_a_child_in_a_session_of_its_own_belongs_to_the_family_and_ends_with_it(
    tmp_path: Path, parent_first: bool
) -> None:
    child = [sys.executable, "-c", "import time; print('child', flush=True); time.sleep(600)"]
    starts = f"import subprocess, time; subprocess.Popen({child!r}, start_new_session=True); time.sleep(600)"
    home = str(tmp_path)
    words = [sys.executable, "-c", starts]
    with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True, env={"HOME": home}) as process:
        assert process.stdout is not None
        process.stdout.readline()
        others = {one.number for one in family(process.pid)} - {process.pid}
        assert len(others) == 1
        if parent_first:  # then only its HOME tells whose it was
            process.kill()
            process.wait()
        assert {one.number for one in family(process.pid, home)} - {process.pid} == others
        end(process.pid, home, over=parent_first)
        process.wait()
    assert family(process.pid, home) == []
