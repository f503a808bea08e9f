"""Processes that do not keep to the conversation: each is an error of its model, in time, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gate.engines.limits import family
from gate.engines.local import score
from gate.engines.process import Worker
from gate.engines.question import Question
from gate.errors import EvidenceError

PRELUDE = """
import json, os, queue, signal, socket, subprocess, sys, threading, time
import numpy as np
import pyarrow as pa

from gate.engines.in_worker import frames as wire
from gate.engines.in_worker.answers import answer_batch
from gate.engines.in_worker.serving import read_frames

out = int(sys.argv[2])
for descriptor in (int(sys.argv[1]), out):
    os.set_inheritable(descriptor, False)
frames = queue.Queue(maxsize=2)
channel = socket.socket(fileno=int(sys.argv[1]))
reader = threading.Thread(target=read_frames, args=(channel, frames), daemon=True)

def say(kind, payload):
    wire.write_frame(out, kind, payload)

def ready():
    say(wire.READY, b'{"classes": null, "columns": null, "versions": {}}')

def answer(array):
    say(wire.ANSWER, wire.to_ipc(answer_batch(array, len(array))))
"""
USUAL = "reader.start(); frames.get(); ready()\n"

Started = Callable[..., Worker]


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Started]:
    """Starts a worker that runs other code than it should."""
    workers: list[Worker] = []

    def start(code: str, **limits: float) -> Worker:
        program = tmp_path / "other.py"
        program.write_text(PRELUDE + textwrap.dedent(code))
        with monkeypatch.context() as patch:
            patch.setattr("gate.engines.process.PROGRAM", program)
            workers.append(Worker.start("candidate", network=True, **{"timeout": 60.0, **limits}))  # type: ignore[arg-type]
        workers[-1].load(tmp_path)
        return workers[-1]

    yield start
    for worker in workers:
        worker.close()


def ask(worker: Worker, times: int = 1) -> None:
    worker.ready()
    for _ in range(times):
        worker.ask(Question(pa.record_batch({"x": [1.0]})))
        worker.reply(1)


@pytest.mark.parametrize(
    "said",
    [
        "say(wire.READY, b'{nonsense')",
        "say(wire.READY, b'[1]')",
        "say(wire.READY, b'[' * 200_000)",
        "say(wire.READY, b'\\xff')",
        """say(wire.READY, b'{"classes": 3}')""",
        """say(wire.READY, b'{"classes": [[1]]}')""",
        """say(wire.READY, b'{"classes": [NaN]}')""",
        """say(wire.READY, b'{"columns": [1]}')""",
        """say(wire.READY, b'{"versions": ["3.11"]}')""",
        """say(wire.READY, b'{"flavors": null}')""",
        """say(wire.READY, b'{"torch": {"notes": "all in one"}}')""",
        "say(wire.FAIL, b'[1]')",
        "say(wire.FAIL, b'')",
        "say(wire.DONE, b'{}')",
        "os.write(out, b'x' * 16)",
        "os.write(out, wire.HEADER.pack(wire.MAGIC, wire.READY, 1 << 33))",
    ],
)
def test_what_is_no_frame_instead_of_ready_is_an_error_of_the_model(started: Started, said: str) -> None:
    with pytest.raises(EvidenceError, match="candidate model: "):
        started(f"reader.start(); frames.get(); {said}; time.sleep(60)").ready()


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("say(wire.ANSWER, wire.to_ipc(pa.RecordBatch.from_arrays([], names=[])))", "it has 0 columns"),
        ("say(wire.ANSWER, wire.to_ipc(pa.record_batch({'a': [1], 'b': [1]})))", "it has 2 columns"),
        ("say(wire.ANSWER, wire.to_ipc(pa.record_batch({'a': [{'b': 1}]})))", "it is of type struct"),
        ("say(wire.ANSWER, wire.to_ipc(pa.record_batch({'a': [[[1]]]})))", "it is of type list"),
        ("say(wire.ANSWER, wire.to_ipc(pa.record_batch({'a': [1]}).replace_schema_metadata({'names': '3'})))", "names"),
        ("say(wire.ANSWER, b'not Arrow')", "its answer cannot be read"),
        ("say(wire.ANSWER, b'')", "its answer cannot be read"),
        ("say(wire.FAIL, b'[1]')", "wrote something into its answers that is none"),
        ("say(wire.READY, b'{}')", "an answer that nobody had asked for"),
        ("os.write(out, wire.HEADER.pack(wire.MAGIC, wire.ANSWER, 3 << 20))", "wrote 3 MiB while it answered a batch"),
    ],
)
def test_what_is_no_answer_is_an_error_of_the_model(started: Started, said: str, found: str) -> None:
    worker = started(USUAL + f"frames.get(); {said}; time.sleep(60)")
    worker.ready()
    with pytest.raises(EvidenceError, match=f"candidate model: .*{found}"):
        ask(worker)


def test_a_model_that_always_answers_at_once_is_ended_by_the_clock_over_all(started: Started) -> None:
    worker = started(USUAL + "while True: frames.get(); time.sleep(0.05); answer(np.zeros(1))", total_timeout=3.0)
    with pytest.raises(EvidenceError, match=r"timed out after 3 s in all, (.|\n)*--total-timeout"):
        ask(worker, times=200)  # ten seconds


@pytest.mark.parametrize(("limits", "says"), [({"timeout": 4.0}, "4 s while"), ({"total_timeout": 4.0}, "4 s in all")])
def test_an_answer_that_drips_holds_nobody_past_the_clocks(
    started: Started, limits: dict[str, float], says: str
) -> None:
    begins = "frames.get(); os.write(out, wire.HEADER.pack(wire.MAGIC, wire.ANSWER, 1 << 20))\n"
    worker = started(USUAL + begins + "while True: os.write(out, b'x'); time.sleep(0.1)", **limits)
    begun = time.monotonic()
    with pytest.raises(EvidenceError, match=f"timed out after {says}"):
        ask(worker)
    assert time.monotonic() - begun < 20


STOPS = "kind, payload = frames.get(); answer(np.zeros(640)); os.kill(os.getpid(), signal.SIGSTOP)"


@pytest.mark.parametrize("limits", [{"timeout": 4.0}, {"total_timeout": 8.0}])
def test_a_process_that_stops_itself_holds_nobody_who_writes_to_it(started: Started, limits: dict[str, float]) -> None:
    worker = started(USUAL + STOPS, **limits)
    wide = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(640 * 20_000)), 20_000)  # more than the pipe holds
    with pytest.raises(EvidenceError, match="timed out after"):
        list(score([worker], [(0, pa.record_batch({"x": wide}))]))
    assert worker._process.poll() == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="asks for prctl")
def test_a_process_that_stopped_itself_dies_with_the_gate(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(PRELUDE + "os.kill(os.getpid(), signal.SIGSTOP)")
    starts = f"""
        import sys
        from pathlib import Path
        from gate.engines import process
        from gate.engines.process import Worker

        process.PROGRAM = {str(tmp_path / "other.py")!r}
        worker = Worker.start("candidate")
        print(worker._process.pid, flush=True)
        worker.load(Path("/"))
        worker.ready()
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(starts)], stdout=subprocess.PIPE) as gate:
        assert gate.stdout is not None
        process = int(gate.stdout.readline())
        assert happens(lambda: state(process) == "T")
        gate.kill()
    assert happens(lambda: state(process) in ("", "Z"))


@pytest.mark.skipif(sys.platform != "linux", reason="asks for /proc")
@pytest.mark.parametrize(
    "afterwards", ["answer(np.zeros(1)); time.sleep(60)", "os.kill(os.getpid(), signal.SIGKILL)"], ids=["lives", "died"]
)
def test_a_child_that_left_its_group_ends_with_the_model(started: Started, afterwards: str) -> None:
    child = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)"
    worker = started(USUAL + f"frames.get(); {child}; {afterwards}")
    worker.ready()
    try:
        ask(worker)
    except EvidenceError as error:
        assert "killed while it answered a batch" in str(error)
    else:
        assert len(family(worker._process.pid, worker._home)) == 2
    worker.close()
    assert family(worker._process.pid, worker._home) == []


@pytest.mark.skipif(sys.platform != "linux", reason="asks for /proc")
def test_the_memory_of_a_child_that_left_its_group_counts(started: Started) -> None:
    holds = "'held = bytearray(600 << 20); import time; time.sleep(600)'"
    child = f"subprocess.Popen([sys.executable, '-c', {holds}], start_new_session=True)"
    worker = started(USUAL + f"frames.get(); {child}; time.sleep(60)", memory=500 << 20)
    worker.ready()
    with pytest.raises(EvidenceError, match="took more than 500 MiB of memory while it answered a batch"):
        ask(worker)


def test_closing_waits_for_a_thread_that_still_reads(started: Started) -> None:
    worker = started(USUAL + "time.sleep(60)")
    worker.ready()
    caught: list[BaseException] = []

    def hear() -> None:
        try:
            worker.reply(1)
        except BaseException as error:  # noqa: BLE001  looked at below
            caught.append(error)

    thread = threading.Thread(target=hear)
    thread.start()
    time.sleep(0.5)  # it waits for an answer now
    worker.close()
    descriptor = os.open(os.devnull, os.O_RDONLY)  # would be taken for the pipe
    thread.join(1)
    os.close(descriptor)
    assert not thread.is_alive()
    (error,) = caught
    assert isinstance(error, EvidenceError)
    with pytest.raises(EvidenceError):
        worker.reply(1)


def state(process: int) -> str:
    """``R``, ``S``, ``T`` (stopped), ``Z`` (over, and not collected) ...; empty where there is no such process."""
    try:
        told = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    return re.sub(r".*\) ", "", told)[0]


def happens(what: Callable[[], bool]) -> bool:
    limit = time.monotonic() + 30
    while not what():
        if time.monotonic() > limit:
            return False
        time.sleep(0.05)
    return True
