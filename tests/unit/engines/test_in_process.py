"""What a model prints in the gate's own process, by whatever way, is not in what the gate prints."""

from __future__ import annotations

import subprocess
import sys

PRINTS = """
import ctypes, os, subprocess, sys
from gate.engines.in_process import off_stdout

c = ctypes.CDLL(None)
c.printf(b"C before\\n")
sys.stdout.write("Python before\\n")
with off_stdout():
    c.printf(b"C\\n")
    print("Python")
    sys.__stdout__.write("the real one\\n")
    os.write(1, b"the descriptor\\n")
    subprocess.run([sys.executable, "-c", "print('another process')"])
try:
    with off_stdout():
        sys.exit("model")
except SystemExit:
    os.write(1, b"after\\n")
"""


def ran(code: str, shell: str = "") -> tuple[list[str], list[str]]:
    command = ["sh", "-c", f'exec "$@" {shell}', "sh", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.split("\n")[:-1], done.stderr.split("\n")[:-1]


def test_only_what_is_printed_outside_is_on_standard_output() -> None:
    out, err = ran(PRINTS)
    assert sorted(out[:2]) == ["C before", "Python before"] and out[2:] == ["after"]
    assert sorted(err) == ["C", "Python", "another process", "the descriptor", "the real one"]


def test_where_standard_output_is_closed_nothing_is_in_the_way() -> None:
    code = "import os, sys\nfrom gate.engines.in_process import off_stdout\nwith off_stdout(): print('said')"
    assert ran(code, ">&-") == ([], ["said"])
    assert ran(f"{code}\nos.write(1, b'after')\nprint()", "2>&-") == (["after"], [])
