"""Workers that are forked from one process are as apart as workers that were started one by one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import cloudpickle
import mlflow.pyfunc
import network
import numpy as np
import pyarrow as pa
import pytest
from mlflow.pyfunc.model import PythonModel

from gate.engines.local import Worker, isolation, score
from gate.engines.process import ForkServer
from gate.engines.question import Question
from gate.errors import EvidenceError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each worker is started by itself")

ROLES = ("candidate", "incumbent")
PATIENCE = 120.0

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import this file


class Acts(PythonModel):
    """A model that does what it is told when it is asked."""

    def __init__(self, act: Callable[[Any], Any]) -> None:
        self.act = act

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # MLflow reads the hints
        return self.act(model_input)


def tells_itself(rows: Any) -> Any:
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    told = {
        "pid": os.getpid(),
        "session": os.getsid(0),
        "home": os.environ["HOME"],
        "folder": os.getcwd(),
        "network": os.readlink("/proc/self/ns/net"),
        "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16),
        "no new ones": status["NoNewPrivs"],
        "numpy": float(np.random.random()),
        "python": random.random(),
        "open": sorted(os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if is_open(fd)),
        "first to go": Path("/proc/self/oom_score_adj").read_text().strip(),
        "input": os.readlink("/proc/self/fd/0"),
        "secret": os.environ.get("DRIVERS_TOKEN"),
    }
    return [repr(told)] * len(rows)


def is_open(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")


def looks_into_its_parent(rows: Any) -> Any:
    server = os.getppid()
    gate = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[1]
    places = [
        f"/proc/{one}/{what}" for one in (server, gate) for what in ("environ", *(f"fd/{fd}" for fd in range(16)))
    ]
    found = set()
    for place in places:
        try:
            os.close(os.open(place, os.O_RDWR if "fd" in place else os.O_RDONLY))
            found.add(f"opened {place}")
        except FileNotFoundError:
            continue
        except OSError as error:
            found.add(type(error).__name__)
    return [" ".join(sorted(found))] * len(rows)


def prints(rows: Any) -> Any:
    print("printed by", rows["x"].iloc[0])
    os.write(2, b"written past Python\n")
    return rows["x"]


def answers(rows: Any) -> Any:
    return rows["x"]


def aborts(rows: Any) -> Any:
    os.abort()


def leaves(rows: Any) -> Any:
    os._exit(0)


def leaves_with_3(rows: Any) -> Any:
    os._exit(3)


def kills_itself(rows: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def kills_its_parent(rows: Any) -> Any:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)


def hangs(rows: Any) -> Any:
    Path(os.environ["TMPDIR"], f"{os.getpid()}.hangs").touch()
    time.sleep(600)


def fills(rows: Any) -> Any:
    held = [np.ones(1 << 22) for _ in range(200)]  # 32 MiB each
    return rows["x"] + held[0][0]


def leaves_somebody_behind(rows: Any) -> Any:
    """A process that is in no group, session or family of the model's, and never became another program."""
    if not os.fork():
        os.setsid()
        if not os.fork():
            Path(os.environ["TMPDIR"], f"{os.getpid()}.left").touch()
            for fd in range(3, 64):
                with suppress(OSError):
                    os.close(fd)
            time.sleep(600)
        os._exit(0)
    os.wait()
    return rows["x"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Any], Any]], Path]:
    """Saves a model that acts, once."""
    folder = tmp_path_factory.mktemp("models")

    def save(act: Callable[[Any], Any]) -> Path:
        path = folder / act.__name__
        if not path.exists():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                mlflow.pyfunc.save_model(str(path), python_model=Acts(act), pip_requirements=[])
        return path

    return save


@pytest.fixture
def own_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files that a model can find as well."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


def rows(value: float) -> pa.RecordBatch:
    return pa.record_batch({"x": [value] * 3})


def started(stack: ExitStack, *models: Path, **options: Any) -> list[Worker]:
    workers = Worker.start_several(ROLES[: len(models)], stack, **{"timeout": PATIENCE, **options})
    for worker, model in zip(workers, models, strict=True):
        worker.load(model)
    return workers


def asked(workers: list[Worker], value: float = 1.0) -> list[list[Any]]:
    ((_, found),) = list(score(workers, [(None, rows(value))], canaries=False))
    return [answer.values.to_pylist() for answer in found]


def running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until(so: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not so():
        assert time.monotonic() < until
        time.sleep(0.02)


def noted(folder: Path, what: str) -> list[int]:
    return [int(file.stem) for file in folder.glob(f"*.{what}")]


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ForkServer]]:
    """The servers that are started."""
    found: list[ForkServer] = []

    class Noted(ForkServer):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            found.append(self)

    monkeypatch.setattr("gate.engines.process.ForkServer", Noted)
    yield found
    for server in found:
        assert not running(server._process.pid)
        assert not os.path.exists(server._scratch.name)


def test_each_is_a_process_of_its_own_with_nothing_of_the_others(
    saved: Callable[..., Path], servers: list[ForkServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIVERS_TOKEN", "secret")
    with ExitStack() as stack:
        workers = started(stack, saved(tells_itself), saved(tells_itself))
        one, other = (eval(found[0]) for found in asked(workers))
        assert len(servers) == 1
        for told, worker in zip((one, other), workers, strict=True):
            assert told["pid"] == told["session"] == worker._process.pid
            assert told["home"] == told["folder"] == worker._home
            assert (told["capabilities"], told["no new ones"], told["first to go"]) == (0, "1", "1000")
            assert (told["secret"], told["input"]) == (None, "/dev/null")
            log = str(worker.log.resolve())
            assert told["open"].count(log) == 2  # its output and its errors
        for what in ("pid", "home", "numpy", "python"):
            assert one[what] != other[what]
        pipes = [{name for name in told["open"] if name.startswith(("pipe:", "socket:"))} for told in (one, other)]
        assert not pipes[0] & pipes[1]
        if network.can_be_turned_off():
            assert len({one["network"], other["network"], os.readlink("/proc/self/ns/net")}) == 3
            assert isolation(workers) == "a worker process for each model, without network"


def test_the_network_is_left_on_where_that_is_asked(saved: Callable[..., Path]) -> None:
    with ExitStack() as stack:
        workers = started(stack, saved(tells_itself), saved(tells_itself), network=True)
        one, other = (eval(found[0]) for found in asked(workers))
        assert one["network"] == other["network"] == os.readlink("/proc/self/ns/net")


@pytest.mark.skipif(not network.can_be_turned_off(), reason="as for any process of the same user")
def test_a_model_can_look_into_no_other_process(saved: Callable[..., Path]) -> None:
    with ExitStack() as stack:
        found = asked(started(stack, saved(looks_into_its_parent), saved(answers)))
        assert set(found[0]) == {"PermissionError"}


def test_each_writes_to_a_log_of_its_own(saved: Callable[..., Path]) -> None:
    with ExitStack() as stack:
        one, other = started(stack, saved(prints), saved(answers))
        asked([one, other], 7.0)
        assert "printed by 7.0\n" in one.log.read_text() and "written past Python\n" in one.log.read_text()
        assert "printed" not in other.log.read_text()


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (aborts, "died while it answered a batch: SIGABRT"),
        (leaves, "left without a result while it answered a batch: exit code 0 is not enough"),
        (leaves_with_3, "died while it answered a batch: exit code 3"),
        (kills_itself, "killed while it answered a batch: probably out of memory"),
    ],
)
def test_the_end_of_one_is_its_error_and_not_the_others(
    saved: Callable[..., Path], act: Callable[[Any], Any], says: str, servers: list[ForkServer]
) -> None:
    with ExitStack() as stack:
        one, other = started(stack, saved(act), saved(answers))
        other.ready()
        with pytest.raises(EvidenceError) as caught:
            asked([one])
        assert str(caught.value).startswith(f"candidate model: {says}")
        assert asked([other], 2.0) == [[2.0] * 3]


def test_one_that_hangs_is_ended_and_the_other_goes_on(saved: Callable[..., Path], own_tmp: Path) -> None:
    with ExitStack() as stack:
        one, other = started(stack, saved(hangs), saved(answers))
        one.ready()
        one.timeout = 1.0
        with pytest.raises(EvidenceError, match="candidate model: timed out after 1 s while it answered a batch"):
            asked([one])
        (pid,) = noted(own_tmp, "hangs")
        assert not running(pid)
        assert asked([other], 3.0) == [[3.0] * 3]


def test_one_that_takes_too_much_memory_is_ended_and_the_other_goes_on(saved: Callable[..., Path]) -> None:
    with ExitStack() as stack:
        one, other = started(stack, saved(fills), saved(answers), memory=1 << 30)
        with pytest.raises(EvidenceError, match="candidate model: took more than 1 GiB of memory"):
            asked([one])
        assert asked([other], 3.0) == [[3.0] * 3]


def test_whoever_a_model_leaves_behind_is_ended_with_the_check(saved: Callable[..., Path], own_tmp: Path) -> None:
    with ExitStack() as stack:
        asked(started(stack, saved(leaves_somebody_behind), saved(answers)))
        (left,) = noted(own_tmp, "left")
        assert running(left)
    wait_until(lambda: not running(left))  # it was told to end, and may be about to
    assert not [path for path in own_tmp.iterdir() if path.suffix != ".left"]  # no folder is left either


def test_those_that_nobody_waits_for_end_at_once_and_are_never_asked(
    saved: Callable[..., Path], own_tmp: Path, servers: list[ForkServer]
) -> None:
    began = time.monotonic()
    with ExitStack() as stack:
        workers = started(stack, saved(hangs), saved(hangs))
        assert [worker._process.pid for worker in workers] == [None, None]  # what all need is being imported
    assert time.monotonic() - began < 3.0
    assert not noted(own_tmp, "hangs")
    with ExitStack() as stack:
        one, other = Worker.start_several(ROLES, stack, timeout=PATIENCE)
        one.close()
        other.load(saved(answers))
        assert asked([other], 4.0) == [[4.0] * 3]
        assert one._process.pid is None
        (only,) = children_of(servers[1]._process.pid)
        assert only == other._process.pid


def children_of(process: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def test_without_the_server_all_of_them_are_over(saved: Callable[..., Path], own_tmp: Path) -> None:
    with ExitStack() as stack:
        one, other = started(stack, saved(hangs), saved(hangs))
        for worker in (one, other):
            worker.ready()
            worker.ask(Question(rows(1.0)))
        wait_until(lambda: len(noted(own_tmp, "hangs")) == 2)
        (server,) = {int(Path(f"/proc/{pid}/stat").read_text().split()[3]) for pid in noted(own_tmp, "hangs")}
        os.kill(server, signal.SIGKILL)
        for worker, role in ((one, "candidate"), (other, "incumbent")):
            with pytest.raises(EvidenceError, match=f"{role} model: killed while it answered a batch"):
                worker.reply(3)
        assert not any(map(running, noted(own_tmp, "hangs")))


def test_a_server_that_dies_before_it_forks_is_an_error_with_its_last_words(
    saved: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "__main__.py"
    program.write_text("raise SystemExit('the disk is full')")
    monkeypatch.setattr("gate.engines.fork_server.PROGRAM", program)
    with ExitStack() as stack:
        one, other = started(stack, saved(answers), saved(answers))
        for worker in (one, other):
            with pytest.raises(EvidenceError, match=r"died while it loaded: exit code 1\n +\| the disk is full"):
                worker.ready()


def test_they_die_with_the_gate_even_in_the_middle_of_a_batch(saved: Callable[..., Path], own_tmp: Path) -> None:
    program = """
        import sys
        from contextlib import ExitStack
        from pathlib import Path
        import pyarrow as pa
        from gate.engines.local import Worker, score

        workers = Worker.start_several(("candidate", "incumbent"), ExitStack())
        for worker in workers:
            worker.load(Path(sys.argv[1]))
        list(score(workers, [(None, pa.record_batch({"x": [1.0]}))]))
    """
    gate = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program), str(saved(hangs))])
    wait_until(lambda: len(noted(own_tmp, "hangs")) == 2)
    pids = noted(own_tmp, "hangs")
    (server,) = {int(Path(f"/proc/{pid}/stat").read_text().split()[3]) for pid in pids}
    assert all(map(running, [server, *pids]))
    gate.kill()
    gate.wait()
    wait_until(lambda: not any(map(running, [server, *pids])))


def test_one_alone_is_started_by_itself(saved: Callable[..., Path], servers: list[ForkServer]) -> None:
    with ExitStack() as stack:
        (one,) = started(stack, saved(answers))
        assert asked([one], 5.0) == [[5.0] * 3]
    assert not servers
