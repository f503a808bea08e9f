"""Real models, saved by MLflow, in real worker processes."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import mlflow.pyfunc
import mlflow.pytorch
import mlflow.sklearn
import network
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from mlflow.models import ModelSignature
from mlflow.pyfunc.model import PythonModel
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gate.engines.local import Answers, InProcess, Worker, isolation, network_left_on, score
from gate.errors import EvidenceError

ROWS = 40
PATIENCE = 120.0

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import this file


class Acts(PythonModel):
    """A model that does what it is told when it is asked."""

    def __init__(self, act: Callable[[Any], Any]) -> None:
        self.act = act

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # MLflow reads the hints
        return self.act(model_input)


def act_hang(_: Any) -> Any:
    time.sleep(600)


def act_abort(_: Any) -> Any:
    os.abort()


def act_kill_itself(_: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def act_leave_quietly(_: Any) -> Any:
    os._exit(0)


def act_sys_exit(_: Any) -> Any:
    sys.exit(0)


def act_one_row_less(rows: Any) -> Any:
    return rows["x"].to_numpy()[:-1]


def act_reorder(rows: Any) -> Any:
    return rows.sort_values("x", ascending=False)["x"]


def act_print(rows: Any) -> Any:
    print("printed by the model")
    os.write(1, b"written by the model\n")
    return rows["x"]


def act_raise(rows: Any) -> Any:
    raise ValueError("cannot reach postgresql://me:hunter2@db/features")


def act_environment(rows: Any) -> Any:
    return [" ".join(sorted(os.environ)) + " HOME=" + os.environ["HOME"]] * len(rows)


def act_columns(rows: Any) -> Any:
    return [" ".join(rows.columns)] * len(rows)


def act_types(rows: Any) -> Any:
    return [" ".join(f"{name}:{kind}" for name, kind in rows.dtypes.items())] * len(rows)


def act_mean_of_image(images: Any) -> Any:
    return images.reshape(len(images), 3, -1).mean(axis=2)


def act_table(rows: Any) -> Any:
    return pd.DataFrame({"ham": rows["x"], "spam": 1.0 - rows["x"]})


def act_change_form(rows: Any) -> Any:
    return ["text"] * len(rows) if rows["x"].iloc[0] > 0 else [1] * len(rows)


def act_reach(rows: Any) -> Any:
    reached = []
    for port in rows["x"].astype(int):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=10).close()
            reached.append("reached")
        except OSError as error:
            reached.append(type(error).__name__)
    return reached


def act_talk_to_itself(rows: Any) -> Any:
    listening = socket.create_server(("127.0.0.1", 0))
    socket.create_connection(listening.getsockname(), timeout=10).close()
    return rows["x"]


def act_write_and_read(rows: Any) -> Any:
    Path(os.environ["HOME"], "note").write_text("kept")
    return [f"{os.getuid()} {Path(os.environ['HOME'], 'note').read_text()}"] * len(rows)


def act_fill(rows: Any) -> Any:
    held = [np.ones(1 << 22) for _ in range(200)]  # 32 MiB each
    return rows["x"] + held[0][0]


def act_fill_elsewhere(rows: Any) -> Any:
    program = "held = [bytearray(1 << 25) for _ in range(200)]; import time; time.sleep(60)"
    subprocess.run([sys.executable, "-c", program], check=True)
    return rows["x"]


def act_slowly(rows: Any) -> Any:
    time.sleep(0.4)
    return rows["x"]


def act_draw(rows: Any) -> Any:
    return np.random.default_rng().integers(0, 2, len(rows))


def act_sort(rows: Any) -> Any:
    return np.sort(rows["x"].to_numpy())


def act_sort_rare_labels(rows: Any) -> Any:
    return np.sort((rows["x"].to_numpy() > 5).astype(int))


def act_look_at_the_gate(rows: Any) -> Any:
    try:
        return [Path(f"/proc/{os.getppid()}/environ").read_text()] * len(rows)
    except OSError as error:
        return [type(error).__name__] * len(rows)


def act_scale_by_the_batch(rows: Any) -> Any:
    return (rows["x"] - rows["x"].mean()) / rows["x"].std()


calls = itertools.count()


def act_count_calls(rows: Any) -> Any:
    return [next(calls) % 3] * len(rows)


def act_drop_out(rows: Any) -> Any:
    inputs = torch.from_numpy(rows[["x"]].to_numpy(np.float32))
    return torch.nn.Dropout(0.5)(inputs)  # a layer that nobody told to stop training


def act_almost_tie(rows: Any) -> Any:
    x = rows["x"].to_numpy()
    return np.where((x == x.max()) & (len(x) < 40), 0, 1)  # one row of them all, by rounding


remembered: list[Any] = []


def act_keep_input(rows: Any) -> Any:
    remembered.append(rows["x"])
    return [float(remembered[0].sum())] * len(rows)


def act_keep_words(rows: Any) -> Any:
    remembered.append(rows["word"])
    return [" ".join(remembered[0])] * len(rows)


def act_hash(rows: Any) -> Any:
    return [hash(str(x)) % 1000 for x in rows["x"]]


def act_process_id(rows: Any) -> Any:
    Path(os.environ["TMPDIR"], "worker.pid").write_text(str(os.getpid()))
    time.sleep(600)


def save_acting(folder: Path, act: Callable[[Any], Any], schema: Schema | None = None) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(
            str(folder),
            python_model=Acts(act),
            pip_requirements=[],
            signature=None if schema is None else ModelSignature(schema),
        )
    return folder


@pytest.fixture(scope="module")
def acting(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Saves a model that acts, once."""
    saved: dict[str, Path] = {}

    def save(act: Callable[[Any], Any], schema: Schema | None = None) -> Path:
        if act.__name__ not in saved:
            saved[act.__name__] = save_acting(tmp_path_factory.mktemp("acting") / act.__name__, act, schema)
        return saved[act.__name__]

    return save


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    random = np.random.default_rng(7)
    return pd.DataFrame({"age": random.normal(40, 9, 400), "hours": random.normal(35, 5, 400)})


@pytest.fixture(scope="module")
def classifier(people: pd.DataFrame) -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(
        people, np.where(people["age"] + people["hours"] > 75, "yes", "no")
    )


@pytest.fixture(scope="module")
def labelling(tmp_path_factory: pytest.TempPathFactory, classifier: Any) -> Path:
    folder = tmp_path_factory.mktemp("sklearn") / "labels"
    schema = Schema([ColSpec("double", "age"), ColSpec("float", "hours")])
    mlflow.sklearn.save_model(
        classifier,
        str(folder),
        pip_requirements=[],
        signature=ModelSignature(schema),
        serialization_format="cloudpickle",
    )
    return folder


@pytest.fixture(scope="module")
def scoring(tmp_path_factory: pytest.TempPathFactory, classifier: Any) -> Path:
    folder = tmp_path_factory.mktemp("sklearn") / "probabilities"
    mlflow.sklearn.save_model(
        classifier,
        str(folder),
        pip_requirements=[],
        pyfunc_predict_fn="predict_proba",
        serialization_format="cloudpickle",
    )
    return folder


def in_batches(batch: pa.RecordBatch, rows: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    for start in range(0, batch.num_rows, rows):
        yield start, batch.slice(start, rows)


def column(values: Any = range(ROWS)) -> pa.RecordBatch:
    return pa.record_batch({"x": pa.array(list(values), pa.float64())})


def ask(model: Path, batch: pa.RecordBatch, *, timeout: float = PATIENCE, engine: Any = Worker) -> Answers:
    """One batch through one model, by the whole pipeline."""
    with engine.start("candidate", timeout=timeout) as worker:
        worker.load(model)
        ((_, (answers,)),) = list(score([worker], [(None, batch)]))
    return answers


def error_of(model: Path, batch: pa.RecordBatch, **options: Any) -> str:
    with pytest.raises(EvidenceError) as caught:
        ask(model, batch, **options)
    assert caught.value.problems[0].where == "candidate model"
    return str(caught.value)


# --- answers ----------------------------------------------------------------------------------------------------------


def test_two_models_answer_in_order_over_many_batches(
    labelling: Path, scoring: Path, classifier: Any, people: pd.DataFrame
) -> None:
    batch = pa.RecordBatch.from_pandas(people.assign(region="north").drop(columns="region"))
    with Worker.start("incumbent") as incumbent, Worker.start("candidate") as candidate:
        incumbent.load(labelling)
        candidate.load(scoring)
        assert incumbent.ready().classes == ("no", "yes")
        assert incumbent.ready().columns == candidate.ready().columns == ("age", "hours")
        assert incumbent.ready().versions["sklearn"]
        assert "sklearn" in incumbent.ready().flavors
        answered = list(score([incumbent, candidate], in_batches(batch, 7)))
    assert [start for start, _ in answered] == list(range(0, len(people), 7))
    labels = pa.concat_arrays([of_incumbent.values for _, (of_incumbent, _) in answered])
    probabilities = pa.concat_arrays([of_candidate.values for _, (_, of_candidate) in answered])
    assert labels.to_pylist() == classifier.predict(people.astype({"hours": np.float32})).tolist()
    assert probabilities.type == pa.list_(pa.float64(), 2)
    assert np.allclose(probabilities.flatten().to_numpy().reshape(-1, 2), classifier.predict_proba(people))


def test_each_worker_has_a_hash_seed_of_its_own_so_that_a_model_that_goes_by_it_differs_from_itself(
    acting: Callable[..., Path],
) -> None:
    with Worker.start("incumbent") as incumbent, Worker.start("candidate") as candidate:
        for worker in (incumbent, candidate):
            worker.load(acting(act_hash))
        ((_, (one, other)),) = list(score([incumbent, candidate], [(None, column())]))
    assert one.values != other.values


def test_models_run_at_the_same_time(acting: Callable[..., Path]) -> None:
    def act_sleep(rows: Any) -> Any:
        time.sleep(0.3)
        return rows["x"]

    model = acting(act_sleep)
    with Worker.start("incumbent") as incumbent, Worker.start("candidate") as candidate:
        for worker in (incumbent, candidate):
            worker.load(model)
        for worker in (incumbent, candidate):
            worker.ready()
        begun = time.monotonic()
        assert len(list(score([incumbent, candidate], in_batches(column(), 10)))) == 4
        assert time.monotonic() - begun < 2 * 4 * 0.3  # what one after the other takes at least


def test_the_same_answers_come_from_within_the_process(labelling: Path, scoring: Path, people: pd.DataFrame) -> None:
    batch = pa.RecordBatch.from_pandas(people)
    assert ask(labelling, batch) == ask(labelling, batch, engine=InProcess)
    apart, within = ask(scoring, batch).values, ask(scoring, batch, engine=InProcess).values
    assert apart.type == within.type
    # Another number of threads may sum in another order.
    assert np.allclose(apart.flatten().to_numpy(), within.flatten().to_numpy(), rtol=1e-13)


def test_a_torch_tensor_comes_from_a_fixed_size_list(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
    schema = Schema([TensorSpec(np.dtype(np.float32), (-1, 3, 2, 2))])
    mlflow.pytorch.save_model(
        network,
        str(tmp_path / "m"),
        pip_requirements=[],
        signature=ModelSignature(schema),
        serialization_format="pickle",
    )
    pixels = np.random.default_rng(0).random((ROWS, 12))
    image = pa.FixedSizeListArray.from_arrays(pa.array(pixels.reshape(-1)), 12)
    answers = ask(tmp_path / "m", pa.record_batch({"image": image, "weight": pa.array(range(ROWS))}))
    assert answers.values.type == pa.list_(pa.float32(), 3)
    with torch.no_grad():
        expected = network(torch.tensor(pixels, dtype=torch.float32).reshape(-1, 3, 2, 2)).numpy()
    assert np.allclose(answers.values.flatten().to_numpy().reshape(-1, 3), expected, atol=1e-6)


def test_encoded_images_are_decoded_channels_first_and_not_scaled(acting: Callable[..., Path]) -> None:
    def png(colour: tuple[int, int, int]) -> bytes:
        encoded = io.BytesIO()
        Image.new("RGB", (4, 5), colour).save(encoded, "PNG")
        return encoded.getvalue()

    colours = [(255, 0, 10), (1, 2, 3)]
    model = acting(act_mean_of_image, Schema([TensorSpec(np.dtype(np.float32), (-1, 3, 5, 4))]))
    answers = ask(model, pa.record_batch({"image": [png(colour) for colour in colours]}))
    assert answers.values.to_pylist() == [list(map(float, colour)) for colour in colours]
    assert "no image that Pillow can read" in error_of(
        model, pa.record_batch({"image": [b"not one"]}), engine=InProcess
    )


def test_columns_are_cast_by_the_signature(acting: Callable[..., Path]) -> None:
    kinds = {
        "whole": DataType.integer,
        "long": DataType.long,
        "single": DataType.float,
        "double": DataType.double,
        "word": DataType.string,
        "flag": DataType.boolean,
        "day": DataType.datetime,
    }
    model = acting(act_types, Schema([ColSpec(kind, name) for name, kind in kinds.items()]))
    batch = pa.record_batch(
        {
            "day": pa.array(["2026-01-31"]),
            "flag": pa.array([1], pa.int8()),
            "word": pa.array(["a"]).dictionary_encode(),
            "double": pa.array([3]),
            "single": pa.array([0.1]),
            "long": pa.array([7], pa.int16()),
            "whole": pa.array([7]),
        }
    )
    (seen,) = ask(model, batch).values.to_pylist()
    string = "str" if int(pd.__version__.split(".")[0]) >= 3 else "object"
    assert seen == (f"whole:int32 long:int64 single:float32 double:float64 word:{string} flag:bool day:datetime64[ns]")


def test_names_of_score_columns_travel_along(acting: Callable[..., Path]) -> None:
    answers = ask(acting(act_table), column([0.25]))
    assert answers.names == ("ham", "spam")
    assert answers.values.to_pylist() == [[0.25, 0.75]]


def test_a_model_is_sent_its_own_columns_only_and_never_the_label(acting: Callable[..., Path]) -> None:
    model = acting(act_columns, Schema([ColSpec("double", "x")]))
    batch = pa.record_batch({"other": [1], "x": [0.5]})
    with Worker.start("candidate") as worker:
        worker.load(model)
        ((item, (answers,)),) = list(score([worker], [({"label": "secret"}, batch)]))
    assert item == {"label": "secret"}
    assert answers.values.to_pylist() == ["x"]


def act_shared_memory(rows: Any) -> Any:
    with open("/proc/self/maps", encoding="utf-8") as maps:
        mapped = [line.split() for line in maps if "memfd:gate batch" in line]
    assert {rights for _, rights, *_ in mapped} == {"r--s"}  # shared, and only to be read
    (number,) = {number for _, _, _, _, number, *_ in mapped}
    return np.full(len(rows), int(number))


@pytest.mark.skipif(sys.platform != "linux", reason="such memory is Linux's")
def test_a_batch_is_in_one_memory_that_all_models_read(acting: Callable[..., Path]) -> None:
    with Worker.start("incumbent") as incumbent, Worker.start("candidate") as candidate:
        for worker in (incumbent, candidate):
            worker.load(acting(act_shared_memory))
        ((_, answers),) = score([incumbent, candidate], [(None, column())], canaries=False)
    (memory,) = {number for of_model in answers for number in of_model.values.to_pylist()}
    assert memory > 0


def test_where_no_memory_can_be_shared_each_model_is_sent_a_copy(
    labelling: Path, people: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = pa.RecordBatch.from_pandas(people)
    shared = ask(labelling, batch)
    monkeypatch.delattr(os, "memfd_create", raising=False)
    assert ask(labelling, batch) == shared


def test_no_batches_give_no_answers(acting: Callable[..., Path]) -> None:
    with Worker.start("candidate") as worker:
        worker.load(acting(act_columns, Schema([ColSpec("double", "x")])))
        assert list(score([worker], [])) == []


# --- failures ---------------------------------------------------------------------------------------------------------


def test_a_model_that_hangs_is_timed_out(acting: Callable[..., Path]) -> None:
    model = acting(act_hang)
    with Worker.start("candidate", timeout=PATIENCE) as worker:
        worker.load(model)
        worker.ready()
        worker.timeout = 1.0
        with pytest.raises(EvidenceError, match=r"candidate model: timed out after 1 s(.|\n)*--timeout"):
            list(score([worker], [(None, column())]))
        assert worker._process.poll() == -signal.SIGKILL


@pytest.mark.parametrize(
    ("engine", "act", "says"),
    [
        (Worker, act_abort, "died while it answered a batch: SIGABRT"),
        (Worker, act_kill_itself, "killed while it answered a batch: probably out of memory"),
        (Worker, act_leave_quietly, "left without a result"),
        (InProcess, act_sys_exit, "predict raised SystemExit"),
        (Worker, act_one_row_less, "predict returned 39 rows for 40"),
        (Worker, act_reorder, "rows in another order"),
        (InProcess, act_change_form, "answers text after it answered numbers"),
    ],
)
def test_a_model_that_misbehaves_is_named(
    acting: Callable[..., Path], engine: Any, act: Callable[[Any], Any], says: str
) -> None:
    with engine.start("candidate") as worker:
        worker.load(acting(act))
        with pytest.raises(EvidenceError) as caught:
            list(score([worker], [(0, column(-np.arange(ROWS))), (1, column(range(1, ROWS + 1)))]))
    assert str(caught.value).startswith("candidate model: ")
    assert says in str(caught.value)


@pytest.mark.parametrize("engine", [Worker, InProcess])
def test_an_exception_tells_type_message_and_line_but_no_password(acting: Callable[..., Path], engine: Any) -> None:
    said = error_of(acting(act_raise), column(), engine=engine)
    assert "predict raised ValueError: cannot reach postgresql://***@db/features (test_workers.py:" in said
    assert "in act_raise)" in said


def test_the_first_failure_ends_the_other_model_too(acting: Callable[..., Path]) -> None:
    with Worker.start("incumbent") as incumbent, Worker.start("candidate") as candidate:
        incumbent.load(acting(act_hang))
        candidate.load(acting(act_raise))
        begun = time.monotonic()
        with pytest.raises(EvidenceError, match="candidate model: predict raised ValueError"):
            list(score([incumbent, candidate], in_batches(column(), 1)))
        assert time.monotonic() - begun < 60
        assert incumbent._process.poll() == -signal.SIGKILL


def test_a_failure_while_batches_are_read_is_raised_and_ends_the_model(acting: Callable[..., Path]) -> None:
    def broken() -> Iterator[tuple[int, pa.RecordBatch]]:
        yield 0, column()
        raise EvidenceError("the file ends in the middle of a row", where="data.csv")

    with Worker.start("candidate") as worker:
        worker.load(acting(act_hang))
        with pytest.raises(EvidenceError, match="data.csv"):
            list(score([worker], broken()))
        assert worker._process.poll() == -signal.SIGKILL


def test_what_a_model_prints_goes_to_its_log(acting: Callable[..., Path], tmp_path: Path, capfd: Any) -> None:
    with Worker.start("candidate", log_dir=tmp_path) as worker:
        worker.load(acting(act_print))
        list(score([worker], [(None, column())]))
    assert capfd.readouterr().out == ""
    log = (tmp_path / "candidate.log").read_text()
    assert "printed by the model" in log
    assert "written by the model" in log


def test_a_model_finds_no_secret_in_its_environment(
    acting: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_TOKEN", "GATE_SIGNING_KEY", "MLFLOW_TRACKING_URI", "OTHER"):
        monkeypatch.setenv(name, "swordfish-0451")
    monkeypatch.setenv("LC_TIME", "C")
    (seen,) = ask(acting(act_environment), column([1])).values.to_pylist()
    names = set(seen.split())
    assert not names & {"AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_TOKEN", "GATE_SIGNING_KEY", "OTHER"}
    assert {name for name in names if name.startswith(("MLFLOW_", "AWS_"))} == {"MLFLOW_DISABLE_TELEMETRY"}
    assert {"PATH", "LC_TIME", "OMP_NUM_THREADS", "DO_NOT_TRACK"} <= names
    assert f"HOME={os.environ.get('HOME')}" not in names


def test_a_missing_feature_is_named_with_the_nearest_one(labelling: Path, people: pd.DataFrame) -> None:
    said = error_of(labelling, pa.RecordBatch.from_pandas(people.rename(columns={"hours": "hour"})))
    assert "its signature asks for the column 'hours', which is not among the features offered" in said
    assert "did you mean 'hour'?" in said


def test_a_folder_without_a_model_is_an_error_of_loading(tmp_path: Path) -> None:
    with Worker.start("incumbent") as worker:
        worker.load(tmp_path)
        with pytest.raises(EvidenceError, match="incumbent model: loading it raised"):
            worker.ready()


def test_a_model_of_another_scikit_learn_is_refused(
    tmp_path: Path, classifier: Any, monkeypatch: pytest.MonkeyPatch, people: pd.DataFrame
) -> None:
    monkeypatch.setattr("sklearn.base.__version__", "1.0.2")
    mlflow.sklearn.save_model(
        classifier, str(tmp_path / "old"), pip_requirements=[], serialization_format="cloudpickle"
    )
    monkeypatch.undo()
    said = error_of(tmp_path / "old", pa.RecordBatch.from_pandas(people))
    assert "it was saved by another version of scikit-learn" in said
    assert "1.0.2" in said


def test_a_worker_dies_with_its_parent_even_in_the_middle_of_a_batch(
    acting: Callable[..., Path], tmp_path: Path
) -> None:
    program = """
        import sys
        from pathlib import Path
        import pyarrow as pa
        from gate.engines.local import Worker, score

        worker = Worker.start("candidate")
        worker.load(Path(sys.argv[1]))
        list(score([worker], [(n, pa.record_batch({"x": [float(n)]})) for n in range(9)]))
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(acting(act_process_id))],
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    noted = tmp_path / "worker.pid"
    wait_until(lambda: noted.exists() and noted.read_text() != "")
    worker = int(noted.read_text())
    parent.kill()
    parent.wait()
    wait_until(lambda: not running(worker))


# --- limits, and no network --------------------------------------------------------------------------------------------


@pytest.fixture
def port() -> Iterator[int]:
    """A port of this machine where somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.skipif(not network.can_be_turned_off(), reason=network.LEFT_ON)
def test_a_model_reaches_no_port_of_this_machine_but_its_own(acting: Callable[..., Path], port: int) -> None:
    with Worker.start("candidate") as without, Worker.start("candidate", network=True) as with_network:
        for worker in (without, with_network):
            worker.load(acting(act_reach))
        ((_, (kept_in, let_out)),) = list(score([without, with_network], [(None, column([port]))]))
        assert kept_in.values.to_pylist() == ["ConnectionRefusedError"]
        assert let_out.values.to_pylist() == ["reached"]
        assert isolation([without]) == "a worker process for each model, without network"
        assert isolation([with_network]) == "a worker process for each model, with network, as asked"
    assert len(ask(acting(act_talk_to_itself), column()).values) == ROWS


@pytest.mark.skipif(not network.can_be_turned_off(), reason="as for any process of the same user")
def test_a_model_cannot_read_the_environment_of_the_gate(acting: Callable[..., Path]) -> None:
    assert set(ask(acting(act_look_at_the_gate), column()).values.to_pylist()) == {"PermissionError"}


def test_without_the_network_files_and_user_are_the_same(acting: Callable[..., Path]) -> None:
    assert ask(acting(act_write_and_read), column([1])).values.to_pylist() == [f"{os.getuid()} kept"]


def test_where_the_system_lets_no_network_be_turned_off_the_decision_says_so(acting: Callable[..., Path]) -> None:
    with Worker.start("candidate", network=True) as worker:
        worker.load(acting(act_columns, Schema([ColSpec("double", "x")])))
        worker.ready()
        worker.network_asked = False  # as after an unshare that was refused: the process is in our network
        assert isolation([worker]) == (
            "a worker process for each model, with network: the system does not let it be turned off"
        )
        (note,) = network_left_on([worker])
        assert "the network" in note and "not kept" in note
        worker.network_asked = True
        assert network_left_on([worker]) == ()


@pytest.mark.parametrize("act", [act_fill, act_fill_elsewhere])
def test_a_model_that_takes_more_memory_than_allowed_is_ended(
    acting: Callable[..., Path], act: Callable[[Any], Any]
) -> None:
    with Worker.start("candidate", memory=1 << 30) as worker:
        worker.load(acting(act))
        worker.ready()
        with pytest.raises(EvidenceError) as caught:
            list(score([worker], [(None, column())]))
        said = str(caught.value)
    assert said.startswith("candidate model: took more than 1 GiB of memory while it answered a batch, and was ended")
    assert "--memory" in said and "--batch-rows" in said


def test_a_model_may_take_so_long_in_all(acting: Callable[..., Path]) -> None:
    with Worker.start("candidate", total_timeout=PATIENCE) as worker:
        worker.load(acting(act_slowly))
        worker.ready()
        worker.total_timeout, worker._ends_at = 2.0, time.monotonic() + 2.0
        with pytest.raises(EvidenceError, match=r"timed out after 2 s in all, (.|\n)*--total-timeout"):
            list(score([worker], in_batches(column(), 1)))


# --- asked twice ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", [Worker, InProcess])
@pytest.mark.parametrize(
    ("act", "says"),
    [
        (act_draw, r"answers differently on the same rows: \d+ of 40 when it was asked a second time"),
        (act_drop_out, r"answers differently on the same rows: \d+ of 40(.|\n)*model\.eval\(\)"),
        (act_count_calls, "answers differently on the same rows: 40 of 40(.|\n)*holdout\\.sample"),
        (act_sort, r"its answers depend on the order or the company of the rows: \d of 8"),
        (act_sort_rare_labels, r"its answers depend on the order or the company of the rows: \d of"),
        (act_scale_by_the_batch, "its answers depend on the order or the company of the rows"),
    ],
)
def test_a_model_that_does_not_stand_by_its_answers_is_no_evidence(
    acting: Callable[..., Path], engine: Any, act: Callable[[Any], Any], says: str
) -> None:
    x = np.random.default_rng(5).lognormal(size=ROWS)
    assert re.search(says, error_of(acting(act), column(x), engine=engine))


def test_a_model_that_is_meant_to_vary_is_not_asked_twice(acting: Callable[..., Path]) -> None:
    with Worker.start("candidate") as worker:
        worker.load(acting(act_draw))
        assert len(list(score([worker], in_batches(column(), 10), canaries=False))) == 4


def test_a_near_tie_passes_with_a_note(acting: Callable[..., Path]) -> None:
    notes: list[str] = []
    with Worker.start("candidate") as worker:
        worker.load(acting(act_almost_tie))
        list(score([worker], [(None, column())], note=notes.append))
    assert notes == [
        "candidate model: 1 of 8 rows asked twice were answered differently in a smaller batch: near ties of its"
        " arithmetic"
    ]


@pytest.mark.parametrize("schema", [None, Schema([ColSpec("double", "x")])], ids=["bare", "signature"])
def test_a_model_may_keep_its_input_which_no_later_batch_overwrites(tmp_path: Path, schema: Schema | None) -> None:
    model = save_acting(tmp_path / "keeps", act_keep_input, schema)
    with Worker.start("candidate") as worker:
        worker.load(model)
        batches = in_batches(column(range(20_000)), 500)
        answered = list(score([worker], batches, canaries=False))
    assert {value for _, (answers,) in answered for value in answers.values.to_pylist()} == {sum(range(500))}


@pytest.mark.parametrize("schema", [None, Schema([ColSpec("string", "word")])], ids=["bare", "signature"])
def test_a_model_may_keep_words_too(tmp_path: Path, schema: Schema | None) -> None:
    model = save_acting(tmp_path / "keeps", act_keep_words, schema)
    words = pa.record_batch({"word": [f"word-{number:03}" for number in range(60)]})
    with Worker.start("candidate") as worker:
        worker.load(model)
        answered = list(score([worker], in_batches(words, 3), canaries=False))
    said = {value for _, (answers,) in answered for value in answers.values.to_pylist()}
    assert said == {"word-000 word-001 word-002"}


# --- another Python ---------------------------------------------------------------------------------------------------


def test_a_python_without_what_a_worker_needs_says_so(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    python = tmp_path / "bare" / "bin" / "python"
    with Worker.start("candidate", python=python) as worker:
        worker.load(tmp_path)
        with pytest.raises(EvidenceError) as caught:
            worker.ready()
    assert f"candidate model: its Python ({python}) cannot import what every worker needs" in str(caught.value)
    assert "install mlflow, numpy, pandas and pyarrow 14 or newer there" in str(caught.value)


def test_four_models_answer_in_one_pass(labelling: Path, people: pd.DataFrame) -> None:
    batch = pa.RecordBatch.from_pandas(people)
    roles = [f"candidate {position}" for position in range(4)]
    with contextlib.ExitStack() as stack:
        models = [stack.enter_context(Worker.start(role, threads=1)) for role in roles]
        for model in models:
            model.load(labelling)
        answered = list(score(models, in_batches(batch, 60)))
    assert [start for start, _ in answered] == list(range(0, len(people), 60))
    assert all(len(answers) == 4 and all(one == answers[0] for one in answers) for _, answers in answered)


def wait_until(happened: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < limit
        time.sleep(0.05)


def running(pid: int) -> bool:
    """Whether a process runs; one that waits to be collected by its parent does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.strip().startswith("Z")
