"""What runs in a model's process stands alone: it needs no gate, and the model's own imports do not find it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow.pyfunc
import pyarrow as pa
import pytest

from gate.engines import in_worker
from gate.engines.in_worker.failures import Refusal
from gate.engines.in_worker.frames import FAIL, HEADER, parse_header
from gate.engines.in_worker.serving import check_pyarrow
from gate.engines.process import PROGRAM, Worker
from gate.engines.question import Question
from gate.engines.spark.wrapped import wrap

FILES = sorted(Path(in_worker.__file__).parent.glob("*.py"))
OTHERS = {"PIL", "mlflow", "numpy", "pandas", "pyarrow", "torch"}

MODEL = """
import importlib.util, json, sys

import answers, frames

class Looks:
    def predict(self, rows):
        found = [name for name in {names!r} if importlib.util.find_spec(name)]
        near = [place for place in sys.path if {folder!r} in place]
        return [json.dumps([answers.WHOSE, frames.WHOSE, found, near])] * len(rows)

def _load_pyfunc(path):
    return Looks()
"""


def imported(file: Path) -> Iterator[tuple[int, str]]:
    """How many folders up, and from where."""
    for node in ast.walk(ast.parse(file.read_text(), feature_version=(3, 9))):
        if isinstance(node, ast.Import):
            yield from ((0, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_imports_its_neighbours_and_what_a_models_environment_has(file: Path) -> None:
    for level, module in imported(file):
        assert level == 1 or (not level and module.partition(".")[0] in {*sys.stdlib_module_names, *OTHERS}), module


def test_a_models_own_modules_are_found_whatever_they_are_called(tmp_path: Path) -> None:
    names = [file.stem for file in FILES if not file.stem.startswith("__")]
    looks = MODEL.format(names=names, folder=str(PROGRAM.parent))
    for name, text in (("looks", looks), ("answers", "WHOSE = 'mine'"), ("frames", "WHOSE = 'mine too'")):
        (tmp_path / f"{name}.py").write_text(text)
    code = [str(tmp_path / f"{name}.py") for name in ("looks", "answers", "frames")]
    mlflow.pyfunc.save_model(tmp_path / "model", loader_module="looks", code_paths=code, pip_requirements=[])
    with Worker.start("candidate") as worker:
        worker.load(tmp_path / "model")
        worker.ready()
        worker.ask(Question(pa.record_batch({"x": [1.0]})))
        (answer,) = worker.reply(1).values.to_pylist()
    assert json.loads(answer) == ["mine", "mine too", ["answers", "frames"], []]


def test_without_what_every_worker_needs_it_says_so_in_a_frame() -> None:
    command = [sys.executable, "-I", "-B", "-S", str(PROGRAM), "0", "1"]  # -S: nothing that is installed
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (1, b"")
    header, payload = done.stdout[: HEADER.size], done.stdout[HEADER.size :]
    assert parse_header(header) == (FAIL, len(payload))
    assert json.loads(payload) == {
        "found": f"its Python ({sys.executable}) cannot import what every worker needs: No module named 'numpy'",
        "hint": "install mlflow, numpy, pandas and pyarrow 14 or newer there",
    }


def test_a_pyarrow_that_is_too_old_is_refused() -> None:
    with pytest.raises(Refusal, match="has pyarrow 13.0.0, which is too old"):
        check_pyarrow("13.0.0")


def test_spark_is_given_all_of_it_but_the_program(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    wrap(tmp_path / "model", {}, tmp_path / "wrapped", {})
    code = tmp_path / "wrapped" / "code"
    assert {file.name for file in (code / "gate_model").iterdir()} == {file.name for file in FILES} - {PROGRAM.name}
    looks = f"import sys; sys.path.insert(0, {str(code)!r}); import gate_model.spark_model; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-B", "-c", looks], capture_output=True, text=True, check=True)
    assert not {"gate", "torch", "mlflow", "pandas", "gate_model.torch_models"} & set(done.stdout.split())
