"""A program without the network, where the system lets it be; without MLflow, so that it is quick."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gate.engines import unplugged
from gate.engines.process import apart

TRIES = """
import os, socket, sys
print(os.readlink("/proc/self/ns/net"), os.getuid(), os.getgid())
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=10)
    print("reached")
except OSError as error:
    print(type(error).__name__)
with socket.create_server(("127.0.0.1", 0)) as own:
    socket.create_connection(own.getsockname(), timeout=10).close()
    print("own")
"""
HERE = str(Path(unplugged.__file__).resolve())
NO_MORE = "echo 0 > /proc/sys/user/max_net_namespaces && exec "


def unshare(*words: str) -> bool:
    """Whether the system's own tool can do what the gate would do."""
    tool = shutil.which("unshare")
    return tool is not None and not subprocess.run([tool, *words], capture_output=True, check=False).returncode


def to_be_the_first() -> bool:
    """Whether a process may say that it goes first where memory runs out."""
    return not subprocess.run(["sh", "-c", "echo 1000 > /proc/self/oom_score_adj"], capture_output=True).returncode


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")


def run(*words: str) -> list[str]:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.skipif(not (unshare("-n", "true") or unshare("-Urn", "true")), reason="the system does not allow it")
def test_the_program_reaches_its_own_loopback_and_no_other_and_is_the_same_user() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = str(listening.getsockname()[1])
        space, *told = run(sys.executable, "-I", "-S", HERE, sys.executable, "-I", "-c", TRIES, port)
        assert told == [str(os.getuid()), str(os.getgid()), "ConnectionRefusedError", "own"]
        assert space != os.readlink("/proc/self/ns/net")
        assert run(sys.executable, "-I", "-c", TRIES, port)[3] == "reached"


@pytest.mark.skipif(not unshare("-Ur", "sh", "-c", f"{NO_MORE} true"), reason="the system does not allow it")
def test_where_the_system_refuses_the_program_starts_all_the_same_in_this_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = str(listening.getsockname()[1])
        command = [sys.executable, "-I", "-S", HERE, sys.executable, "-I", "-c", TRIES, port]
        space, _, _, told, own = run("unshare", "-Ur", "sh", "-c", NO_MORE + '"$@"', "sh", *command)
    assert (space, told, own) == (os.readlink("/proc/self/ns/net"), "reached", "own")


WALKS_BACK = """
import ctypes, os
print(open("/proc/self/status").read().split("CapEff:")[1].split()[0])
parent = f"/proc/{os.getppid()}"
for name in ("environ", "ns/net"):
    try:
        print("opened", os.open(f"{parent}/{name}", os.O_RDONLY))
    except PermissionError:
        print("kept out")
libc = ctypes.CDLL(None, use_errno=True)
print("back" if libc.setns(int(os.environ["SPACE"]), 0) == 0 else "stays")
"""


@pytest.mark.skipif(not (unshare("-n", "true") or unshare("-Urn", "true")), reason="the system does not allow it")
def test_not_even_the_superuser_walks_back_or_reads_what_is_in_the_environment_of_the_gate() -> None:
    space = os.open("/proc/self/ns/net", os.O_RDONLY)  # as if it had got hold of it
    os.set_inheritable(space, True)
    try:
        told = subprocess.run(
            [sys.executable, "-I", "-S", HERE, sys.executable, "-c", WALKS_BACK],
            capture_output=True,
            text=True,
            check=True,
            pass_fds=(space,),
            env={"SPACE": str(space)},
        ).stdout.split("\n")
    finally:
        os.close(space)
    assert told[:4] == ["0" * 16, "kept out", "kept out", "stays"]


def test_the_network_can_be_left_to_a_program_that_has_no_capability_all_the_same() -> None:
    status = "print(open('/proc/self/status').read()); import os; print(os.readlink('/proc/self/ns/net'))"
    told = run(sys.executable, "-I", "-S", HERE, "--network", sys.executable, "-c", status)
    assert told[-1] == os.readlink("/proc/self/ns/net")
    for kind in ("CapInh:", "CapPrm:", "CapEff:", "CapBnd:" if not os.getuid() else "CapAmb:", "CapAmb:"):
        assert told[told.index(kind) + 1] == "0" * 16, kind
    assert told[told.index("NoNewPrivs:") + 1] == "1"


@pytest.mark.skipif(not to_be_the_first(), reason="the system does not allow it")
@pytest.mark.parametrize("asked", [(), ("--network",)])
def test_where_memory_runs_out_the_program_goes_before_the_gate(asked: tuple[str, ...]) -> None:
    reads = "print(open('/proc/self/oom_score_adj').read())"
    told = run(sys.executable, "-I", "-S", HERE, *asked, sys.executable, "-c", reads)
    assert told == ["1000"]


def test_a_process_in_this_network_is_not_taken_for_one_without() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert not apart(process.pid)
    assert not apart(process.pid)  # nor one that is gone
