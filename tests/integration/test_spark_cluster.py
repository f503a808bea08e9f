"""A cluster of Spark: a master and two workers, each a process of its own, and executors that share nothing with us.

All of it on this machine, and as Spark's own scripts start it. The gate is run as a command, as in a pipeline.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from mlflow.pyfunc.model import PythonModel
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

pyspark = pytest.importorskip("pyspark", reason="pyspark is not installed: pip install 'model-update-gate[spark]'")
if shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
    pytest.skip("no Java is installed: apt-get install openjdk-17-jre-headless", allow_module_level=True)

HOME = Path(pyspark.__file__).parent
HERE = {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_HOME": str(HOME), "PYSPARK_PYTHON": sys.executable}
PATIENCE = 120.0

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the executors cannot import this file


class Nearest(PythonModel):
    """A model of one's own, which Spark runs in workers of its own: the digit with the nearest mean picture."""

    def __init__(self, means: Any) -> None:
        self.means = means

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # MLflow reads the hints
        return np.linalg.norm(model_input.to_numpy()[:, None, :] - self.means[None], axis=2).argmin(axis=1)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a master with two workers."""
    folder, port = tmp_path_factory.mktemp("cluster"), free_port()
    address, environment = f"spark://127.0.0.1:{port}", {**os.environ, **HERE, "SPARK_WORKER_DIR": str(folder / "work")}
    running = []

    def start(name: str, *arguments: str) -> None:
        words = [str(HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{name.lower()}.{name}", *arguments]
        with open(folder / f"{name}-{len(running)}.log", "wb") as log:
            running.append(subprocess.Popen(words, stdout=log, stderr=log, env=environment, start_new_session=True))

    def said(text: str) -> int:
        return sum(path.read_text(errors="replace").count(text) for path in folder.glob("*.log"))

    def wait_for(text: str, times: int) -> None:
        until = time.monotonic() + PATIENCE
        while said(text) < times:
            assert time.monotonic() < until, f"{text!r} {said(text)} times"
            time.sleep(0.1)

    try:
        start("Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0")
        wait_for("I have been elected leader", 1)
        for _ in range(2):
            start("Worker", "--host", "127.0.0.1", "--webui-port", "0", "-c", "1", "-m", "1g", address)
        wait_for("Successfully registered with master", 2)
        yield address
    finally:
        for process in running:
            os.killpg(process.pid, 15)
        for process in running:
            process.wait(PATIENCE)


INTERRUPTED = """
    import sys
    import click
    from gate.cli import app
    from gate.engines.spark.session import spark_session

    @click.command()
    def command():
        with spark_session("local[1]") as started:
            java = started.session._jvm.java.lang.Thread
            print("ready", flush=True)
            java.sleep(60000)

    app.gate = command
    sys.argv = ["gate"]
    import gate.cli
    gate.cli.main()
"""


@pytest.mark.parametrize(
    ("number", "code", "says"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_command_that_waits_for_spark_ends_with_a_word_when_it_is_told_to(
    tmp_path: Path, number: signal.Signals, code: int, says: str
) -> None:
    running = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(INTERRUPTED)],
        env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )
    assert running.stdout is not None and running.stdout.readline() == "ready\n"
    time.sleep(1.0)
    os.killpg(running.pid, number) if number is signal.SIGINT else running.send_signal(number)
    _, said = running.communicate(timeout=60)
    assert (running.returncode, said.strip()) == (code, says)
    assert not list(tmp_path.glob("gate-*"))


def test_models_and_counts_cross_to_executors_and_back_with_the_verdict_of_this_machine(
    master: str, tmp_path: Path
) -> None:
    pixels, labels = load_digits(return_X_y=True)
    frame = pd.DataFrame(pixels, columns=[f"pixel_{i}" for i in range(64)])
    store = f"sqlite:///{tmp_path}/registry.db"
    means = np.stack([pixels[:600][labels[:600] == digit].mean(axis=0) for digit in range(10)])
    program = {
        "candidate": LogisticRegression(max_iter=200).fit(frame[:600], labels[:600]),
        "incumbent": Nearest(means),
    }
    mlflow.set_tracking_uri(store)
    try:
        mlflow.set_experiment("digits")
        with warnings.catch_warnings(), mlflow.start_run():
            warnings.simplefilter("ignore")
            told: dict[str, Any] = {"registered_model_name": "digits", "signature": infer_signature(frame, labels)}
            mlflow.pyfunc.log_model(name="old", python_model=program["incumbent"], pip_requirements=[], **told)
            mlflow.sklearn.log_model(
                program["candidate"],
                name="new",
                pip_requirements=[],
                serialization_format="cloudpickle",
                **told,
            )
    finally:
        mlflow.set_tracking_uri(None)  # not set, as it was
    frame.assign(row=np.arange(len(frame)), digit=labels)[600:].to_parquet(tmp_path / "rows.parquet", index=False)
    (tmp_path / "policy.yaml").write_text(
        "version: 1\nname: digits\nholdout: {id: row, label: digit}\nrules: [{id: few, rate: nfr, at_most: 20%}]\n"
    )

    def checked(name: str, *options: str) -> dict[str, Any]:
        words = [sys.executable, "-m", "gate", "check", "--model", "digits", "--candidate", "2", "--incumbent", "1"]
        words += ["--data", "rows.parquet", "--policy", "policy.yaml", "--no-cache", "--report", f"json={name}"]
        environment = {**os.environ, **HERE, "MLFLOW_TRACKING_URI": store}
        ran = subprocess.run([*words, *options], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        found: dict[str, Any] = json.loads((tmp_path / name).read_text())
        return found

    there = checked("there.json", "--engine", "spark", "--spark-master", master)
    here = checked("here.json")
    assert there["verdict"] == here["verdict"] == "allow"
    for part in ("cells", "counts", "findings", "flip_matrix", "rates"):
        assert there[part] == here[part], part
    assert "of the cluster, each of one model alone" in json.dumps(there)
