"""Models in the gate's own process: what they print is not in what the gate prints, and each is alone with its input."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import indent

import pyarrow as pa
import pytest
from mlflow.pyfunc import save_model

from gate.engines.in_process import InProcess
from gate.engines.question import Question
from gate.errors import EvidenceError

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


THREADS = """
import threading
from gate.engines.in_process import off_stdout

first, second = threading.Event(), threading.Event()

def outer():
    with off_stdout():
        first.set()
        second.wait(0.5)

def inner():
    first.wait()
    with off_stdout():
        second.set()
        thread.join(0.5)

thread, other = threading.Thread(target=outer), threading.Thread(target=inner)
thread.start(), other.start()
thread.join(), other.join()
print("RESULT")
"""


def test_threads_that_overlap_do_not_lose_standard_output() -> None:
    assert ran(THREADS) == (["RESULT"], [])


@pytest.mark.parametrize("flush", ["None", "lambda: sys.exit(0)"])
def test_a_standard_output_that_the_model_replaced_does_not_stay(flush: str) -> None:
    code = (
        "import os, sys, types\nfrom gate.engines.in_process import off_stdout\ntry:\n"
        f"    with off_stdout(): sys.__stdout__ = types.SimpleNamespace(flush={flush})\n"
        "except SystemExit: pass\nos.write(1, b'RESULT\\n')"
    )
    assert ran(code) == (["RESULT"], [])


@pytest.mark.parametrize(("closed", "held"), [(1, "its own"), (2, "")])
def test_a_file_that_has_the_number_of_a_closed_stream_is_left_alone(closed: int, held: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    code = (
        f"import os\nfrom gate.engines.in_process import off_stdout\nfile = os.open({str(path)!r}, os.O_CREAT | os.O_WRONLY)\n"
        f"assert file == {closed}\nwith off_stdout(): os.write(1, b'its own')"
    )
    ran(code, f"{closed}>&-")
    assert path.read_text() == held


def saved(folder: Path, body: str) -> Path:
    """A model without a signature, which MLflow keeps as the script that makes it."""
    script = folder.with_suffix(".py")
    script.write_text(
        "import ctypes\nfrom mlflow.models import set_model\nfrom mlflow.pyfunc import PythonModel\n"
        f"class Model(PythonModel):\n    def predict(self, context, model_input, params=None):\n{indent(body, ' ' * 8)}\n"
        "set_model(Model())\n"
    )
    save_model(str(folder), python_model=str(script), pip_requirements=[])
    return folder


def test_a_model_that_changes_its_input_changes_it_for_nobody_else(tmp_path: Path) -> None:
    sums = "return [float(sum(row)) for row in model_input['x']]"
    # past NumPy's flag that forbids it, as PyTorch does in place
    overwrites = f"for row in model_input['x']:\n    ctypes.memset(row.ctypes.data, 0, row.nbytes)\n{sums}"
    question, answers = Question(pa.record_batch({"x": [[1.0, 2.0], [3.0]]})), []
    for role, body in (("candidate", overwrites), ("incumbent", sums)):
        with InProcess.start(role) as worker:
            worker.load(saved(tmp_path / role, body))
            worker.ask(question)
            answers.append(worker.reply(2).values.to_pylist())
    assert answers == [[0.0, 0.0], [3.0, 3.0]]


def test_a_script_that_sets_no_model_does_not_get_the_one_before(tmp_path: Path) -> None:
    sets, forgets = (saved(tmp_path / name, "return [1] * len(model_input)") for name in ("sets", "forgets"))
    (forgets / "forgets.py").write_text("")
    with InProcess.start("candidate") as candidate, InProcess.start("incumbent") as incumbent:
        candidate.load(sets)
        candidate.ask(Question(pa.record_batch({"x": [0.0, 0.0]})))
        assert candidate.reply(2).values.to_pylist() == [1, 1]
        incumbent.load(forgets)
        with pytest.raises(EvidenceError, match="set_model"):
            incumbent.ready()
