"""The demo's images, models and registry: real digits, real training, a real SQLite store."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

import torch

from gate.demo.images import Split, split_digits, write_images
from gate.demo.training import predict, train_candidate, train_distilled, train_incumbent


@pytest.fixture(scope="module")
def split() -> Split:
    return split_digits(seed=0)


@pytest.fixture(scope="module")
def incumbent(split: Split) -> torch.nn.Module:
    return train_incumbent(split.incumbent, seed=0)


def test_no_image_is_in_two_parts_of_the_split(split: Split) -> None:
    parts = [set(part.rows.tolist()) for part in (split.held_out, split.incumbent, split.candidate)]
    assert [len(part) for part in parts] == [898, 250, 350]
    assert len(set.union(*parts)) == sum(len(part) for part in parts)


def test_the_same_seed_deals_the_same_split_and_another_seed_another(split: Split) -> None:
    np.testing.assert_array_equal(split_digits(seed=0).held_out.rows, split.held_out.rows)
    assert split_digits(seed=1).held_out.rows.tolist() != split.held_out.rows.tolist()


def test_pixels_are_float32_from_zero_to_one_in_the_shape_that_the_models_take(split: Split) -> None:
    pixels = split.held_out.pixels
    assert pixels.shape == (898, 1, 8, 8)
    assert pixels.dtype == np.float32
    assert (pixels.min(), pixels.max()) == (0.0, 1.0)


def test_the_parquet_file_holds_text_ids_fixed_size_images_and_integer_labels(split: Split, tmp_path: Path) -> None:
    table = pq.read_table(write_images(split.held_out, tmp_path / "held-out.parquet"))
    assert table.schema.names == ["id", "image", "label"]
    assert table.schema.types == [pa.string(), pa.list_(pa.float32(), 64), pa.int64()]
    assert len(set(table["id"].to_pylist())) == 898
    images = table["image"].combine_chunks().flatten().to_numpy().reshape(-1, 1, 8, 8)
    np.testing.assert_array_equal(images, split.held_out.pixels)
    assert table["label"].to_pylist() == split.held_out.labels.tolist()


def test_the_same_seed_trains_the_same_models_whatever_was_drawn_before(
    split: Split, incumbent: torch.nn.Module
) -> None:
    torch.rand(7)
    again = train_incumbent(split.incumbent, seed=0)
    _assert_same_weights(incumbent, again)
    candidates = [train_candidate(split.candidate, seed=3, epochs=2) for _ in range(2)]
    _assert_same_weights(*candidates)
    distilled = [train_distilled(split.candidate, incumbent, seed=3, epochs=2) for _ in range(2)]
    _assert_same_weights(*distilled)


def test_training_leaves_the_random_state_and_the_threads_of_torch_alone(split: Split) -> None:
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    train_candidate(split.candidate, seed=3, epochs=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_focal_distillation_breaks_less_of_what_worked_than_training_without_it(
    split: Split, incumbent: torch.nn.Module
) -> None:
    started = time.process_time()
    candidate = train_candidate(split.candidate, seed=0)
    distilled = train_distilled(split.candidate, incumbent, seed=0)
    assert time.process_time() - started < 20
    was, new, kept = (
        predict(m, split.held_out).numpy() == split.held_out.labels for m in (incumbent, candidate, distilled)
    )
    assert new.mean() > was.mean() > 0.8
    assert (was & ~kept).sum() < (was & ~new).sum()


def test_registered_models_load_in_a_fresh_isolated_process_and_answer_the_same_logits(
    split: Split, incumbent: torch.nn.Module, tmp_path: Path
) -> None:
    """In a process of its own, since MLflow keeps one registry for a whole process; then in one that knows no gate."""
    images = write_images(split.held_out, tmp_path / "held-out.parquet")
    registry = tmp_path / "registry"
    torch.save(incumbent, tmp_path / "incumbent.pt")
    registered = _run(_REGISTER, registry, tmp_path / "incumbent.pt", cwd=tmp_path)
    assert registered.stderr == ""
    said = json.loads(registered.stdout)  # nothing else was printed
    assert said["versions"] == [1, 2]
    assert said["champion"] == "1"
    assert sorted(path.name for path in registry.iterdir()) == ["artifacts", "mlflow.db"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["held-out.parquet", "incumbent.pt", "registry"]

    (model,) = [file.parent for file in registry.glob("artifacts/**/MLmodel") if said["model"] in file.parts]
    loaded = _run(_LOAD, model, images, isolated=True, cwd=tmp_path)
    with torch.no_grad():
        expected = incumbent(torch.from_numpy(split.held_out.pixels)).numpy()
    np.testing.assert_allclose(np.array(json.loads(loaded.stdout)), expected, rtol=1e-5, atol=1e-5)


_REGISTER = """
import json, sys
from pathlib import Path
from gate.demo.register import open_registry, register_model
import torch, mlflow
uri = open_registry(Path(sys.argv[1]))
model = torch.load(sys.argv[2], weights_only=False)
versions = [register_model(model, "digits", alias="champion", params={"seed": 0}), register_model(model, "digits")]
client = mlflow.MlflowClient()
champion = client.get_model_version_by_alias("digits", "champion")
assert uri == mlflow.get_tracking_uri() == mlflow.get_registry_uri()
model = champion.source.rpartition("/")[2]
print(json.dumps({"versions": versions, "champion": str(champion.version), "model": model}))
"""

_LOAD = """
import json, sys
import mlflow.pyfunc, numpy as np, pyarrow.parquet as pq
table = pq.read_table(sys.argv[2])
pixels = table["image"].combine_chunks().flatten().to_numpy().reshape(-1, 1, 8, 8)
model = mlflow.pyfunc.load_model(sys.argv[1])
one, rest = model.predict(pixels[:1]), model.predict(pixels[1:])  # any size of batch
assert not any(name == "gate" or name.startswith("gate.") for name in sys.modules)
print(json.dumps(np.concatenate([one, rest]).tolist()))
"""


def _run(script: str, *arguments: Path, cwd: Path, isolated: bool = False) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(cwd), "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [sys.executable, *(["-I"] if isolated else []), "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment if isolated else None,
        timeout=120,
        check=False,  # the assertion below shows what it said
    )
    assert done.returncode == 0, done.stderr
    return done


def _assert_same_weights(one: torch.nn.Module, other: torch.nn.Module) -> None:
    weights, others = one.state_dict(), other.state_dict()
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
