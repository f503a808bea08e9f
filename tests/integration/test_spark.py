"""Spark on this machine: the same verdicts as the local engine, however the rows are cut.

One session serves all tests, and its Spark is real. The local engine runs in this process, which gives the same answers
as processes of its own and starts at once.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from mlflow.models import ModelSignature, infer_signature
from mlflow.pyfunc.model import PythonModel
from mlflow.types import ColSpec, Schema

pytest.importorskip("pyspark", reason="pyspark is not installed: pip install 'model-update-gate[spark]'")
if shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
    pytest.skip("no Java is installed: apt-get install openjdk-17-jre-headless", allow_module_level=True)

from gate.core.flips import BY_OUTPUT
from gate.core.outcomes import Value
from gate.data.spark import open_frame
from gate.decisions.canonical import samples_to_bytes, to_bytes
from gate.decisions.record import HoldoutRow, ModelRow
from gate.engines.spark import jobs
from gate.engines.spark import models as spark_models
from gate.engines.spark.session import Started, spark_session
from gate.errors import EvidenceError, GateError, UsageError
from gate.policy.load import parse_policy
from gate.policy.rules import Policy
from gate.registry.refs import ModelRef
from gate.stories import cluster as story
from gate.stories.asking import How
from gate.stories.cluster import open_cluster
from gate.stories.counting import nothing
from gate.stories.decide import Compared, decided
from gate.stories.here import open_here
from gate.stories.holdout import HeldOut
from gate.stories.scoring import Scored
from gate.stories.sides import Side, Sides

DATA = Path(__file__).parents[3] / "shared" / "data"
HERE = How(in_process=True, cache=False)
RULES = "rules:\n  - {id: few-flips, rate: nfr, at_most: 30%}\n"
SECRETS = {"OPENAI_API_KEY": "sk-of-the-driver", "AWS_SECRET_ACCESS_KEY": "of-the-driver", "DRIVERS_TOKEN": "secret"}

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import this file


class Acts(PythonModel):
    """A model that does what it is told when it is asked."""

    def __init__(self, act: Callable[[Any], Any]) -> None:
        self.act = act

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # MLflow reads the hints
        return self.act(model_input)


def looks_up(column: str) -> Callable[[Any], Any]:
    """A model whose answers are a column."""
    return lambda rows: rows[column].to_numpy()


def raises(rows: Any) -> Any:
    raise ValueError("cannot reach postgresql://me:hunter2@db/features")


def turns_around(rows: Any) -> Any:
    return rows["old"][::-1]


def knows_nothing(rows: Any) -> Any:
    return [None if number > 1 else answer for number, answer in zip(rows["x"], rows["old"], strict=True)]


def leaves(rows: Any) -> Any:
    os._exit(0)


def leaves_late(rows: Any) -> Any:
    return rows["old"] if len(rows) <= 16 else os._exit(0)


def says_ham(rows: Any) -> Any:
    return np.array(["ham"] * len(rows))


def sleeps(rows: Any) -> Any:
    time.sleep(60)


def asks_its_module(rows: Any) -> Any:
    import which_column

    return rows[which_column.NAME].to_numpy()


def tells_a_row(rows: Any) -> Any:
    raise KeyError(rows["id"].iloc[0] if "id" in rows else rows["region"].iloc[0])


def tells_names(rows: Any) -> Any:
    print("written by the model")
    told = " ".join(sorted(os.environ)) + " " + os.environ.get("MLFLOW_TRACKING_URI", "")
    return np.where(rows["x"] > 0, told, rows["old"])


def tells_its_scikit_learn(rows: Any) -> Any:
    import sklearn

    return np.where(rows["x"] > 0, sklearn.__version__, rows["old"])


def sets_of(column: str) -> Callable[[Any], Any]:
    return lambda rows: [text.split() for text in rows[column]]


def probabilities(shift: float) -> Callable[[Any], Any]:
    def act(rows: Any) -> Any:
        third = 1 / (1 + np.exp(-(rows["x"].to_numpy() + shift)))
        return pd.DataFrame({"b": third, "a": 1 - third})

    return act


@pytest.fixture(scope="module")
def session() -> Iterator[Started]:
    """A session that the gate starts, with secrets around, and that stays active."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        patch.setenv("MLFLOW_TRACKING_URI", "https://me:hunter2@tracking.invalid")
        # Short jobs are over before Java's second compiler pays.
        patch.setenv("PYSPARK_SUBMIT_ARGS", "--driver-java-options -XX:TieredStopAtLevel=1 pyspark-shell")
        with spark_session("local[2]", at_hand=story.__name__) as started:
            patch.delenv("MLFLOW_TRACKING_URI")
            started.session.conf.set("spark.sql.shuffle.partitions", "2")
            yield started


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Saves a model that acts, once for each name; ``columns`` are those of its signature, text where not said."""
    folder = tmp_path_factory.mktemp("models")

    def save(name: str, act: Callable[[Any], Any], columns: dict[str, str] | None = None) -> Path:
        path = folder / name
        if not path.exists():
            signature = None
            if columns is not None:
                signature = ModelSignature(Schema([ColSpec(kind, column) for column, kind in columns.items()]))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                mlflow.pyfunc.save_model(str(path), python_model=Acts(act), pip_requirements=[], signature=signature)
        return path

    return save


def sides(candidates: list[Path], incumbents: list[Path]) -> Sides:
    def named(role: str, folders: list[Path]) -> tuple[Side, ...]:
        many = len(folders) > 1
        return tuple(
            Side(f"{role} {i}" if many else role, ModelRef(f"models:/m/{role}{i}", "m", i), path, f"{role}{i}")
            for i, path in enumerate(folders)
        )

    return Sides(named("candidate", candidates), named("incumbent", incumbents))


def policy(holdout: str, more: str = "", rules: str = RULES, folder: Path | None = None) -> Policy:
    text = f"version: 1\nname: small\nholdout: {holdout}\n{more}{rules}"
    return parse_policy(text, str((folder or Path("/nowhere")) / "policy.yaml"))


def on_spark(
    data: Any, rules: Policy, of: Sides, parts: int | None = None, samples: int = 20
) -> tuple[Scored, list[Any]]:
    """What Spark finds, and the judgement of each pair without its provenance."""
    with open_cluster(data) as cluster:
        if parts is not None:
            cluster._frame = open_frame(cluster._started.session, cluster._frame.rows.repartition(parts))
        return judged(cluster, rules, of, samples)


def on_this_machine(data: Any, rules: Policy, of: Sides, samples: int = 20) -> tuple[Scored, list[Any]]:
    with open_here(data, HERE) as engine:
        engine.start(len(of.candidates), len(of.incumbents))
        return judged(engine, rules, of, samples)


def judged(engine: Any, rules: Policy, of: Sides, samples: int) -> tuple[Scored, list[Any]]:
    held_out = HeldOut(rules)
    contract, before = engine.contract(rules, values=samples > 0)
    found = engine.scored(held_out, of, before=before, rows=None, seed=3, samples=samples, progress=nothing)
    told = []
    for counted in found.counted:
        compared = Compared(
            candidate=ModelRow("new"),
            incumbent=ModelRow("old"),
            holdout=HoldoutRow("rows", "0" * 64, found.rows, rules.holdout.id, rules.holdout.label),
            isolation="",
            batch_rows=1,
            contract=contract,
            exclusions=held_out.exclusions,
            files=held_out.files,
        )
        one = decided(
            rules, counted, compared, seed=3, as_of="2026-01-01", now=datetime(2026, 1, 1, tzinfo=timezone.utc)
        )
        told.append((to_bytes(one.decision), samples_to_bytes(one.samples)))
    if found.crossings is not None:
        told.append((found.crossings.broken.tolist(), found.crossings.right.tolist()))
    return found, told


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 rows with everything that a policy may speak of."""
    made = np.random.default_rng(5)
    rows = 400
    label = made.choice(["ham", "spam", "None"], rows)

    def mostly(share: float) -> Any:
        return np.where(made.random(rows) < share, label, made.choice(["ham", "spam", "None"], rows))

    frame = pd.DataFrame(
        {
            "id": np.arange(rows) * 3,
            "y": label,
            "old": mostly(0.8),
            "again": mostly(0.8),
            "new": mostly(0.85),
            "newer": mostly(0.9),
            "x": made.normal(size=rows),
            "age": made.integers(0, 90, rows),
            "region": made.choice(["n", "s", None], rows),
            "user": made.integers(0, 60, rows),
            "times": made.random(rows) + 0.5,
            "day.of": pd.to_datetime(made.integers(0, 3, rows), unit="D").astype("datetime64[us]"),
        }
    )
    path = tmp_path_factory.mktemp("data") / "small.parquet"
    frame.to_parquet(path)
    return path


TEXTS = {"old": "string", "new": "string", "newer": "string"}


@pytest.mark.fault(
    45,
    given="the same rows are judged by the local engine and by Spark, in whatever number of partitions",
    then="comes to the same judgement, byte for byte",
    exit_code=None,
)
def test_digits_are_judged_as_on_this_machine_and_alike_in_1_2_and_7_partitions(
    session: Started, tmp_path: Path
) -> None:
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    pixels, labels = load_digits(return_X_y=True)
    frame = pd.DataFrame(pixels, columns=[f"pixel_{i}" for i in range(64)])
    folders = []
    for rows in (600, 150):
        folders.append(tmp_path / str(rows))
        mlflow.sklearn.save_model(
            LogisticRegression(max_iter=500).fit(frame[:rows], labels[:rows]),
            str(folders[-1]),
            signature=infer_signature(frame.head(), labels[:5]),
            pip_requirements=["scikit-learn"],
            serialization_format="cloudpickle",  # read in a moment; skops brings torch, where it is installed
        )
    half = np.where(np.arange(len(frame)) % 2, "odd", "even")
    frame.assign(digit=labels, row=np.arange(len(frame)), half=half)[600:].to_parquet(tmp_path / "rows.parquet")
    suite = {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "digit", "min_value": 0, "max_value": 9},
    }
    (tmp_path / "suite.json").write_text(json.dumps({"name": "digits", "expectations": [suite]}))
    per_half = RULES + "  - {id: halves, rate: nfr, by: half, at_most: 5%}\n"
    holdout = "id: row, label: digit, slices: {half: {column: half}}"
    under_contract = policy(f"{{{holdout}, contract: suite.json}}", rules=per_half, folder=tmp_path)
    plain = policy(f"{{{holdout}}}", rules=per_half, folder=tmp_path)
    of = sides(folders[:1], folders[1:])
    found = []
    for rules, parts in ((under_contract, 1), (plain, 2), (plain, 7)):
        found.append(on_spark(tmp_path / "rows.parquet", rules, of, parts))
        assert found[-1][1] == on_this_machine(tmp_path / "rows.parquet", rules, of)[1]
    assert len({one.digest for one, _ in found}) == 1 and {one.rows for one, _ in found} == {1197}
    assert found[0][0].infos["candidate"].versions["sklearn"]


def test_slices_clusters_weights_golden_rows_exclusions_and_noise_are_counted_as_on_this_machine(
    session: Started, small: Path, saved: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "golden.csv").write_text("id\n" + "".join(f"{3 * i}\n" for i in range(100, 140)))
    (tmp_path / "out.csv").write_text("id,reason,owner\n0,broken,ann\n3,broken,ann\n9,unclear,bob\n1197,broken,bob\n")
    rules = policy(
        "{id: id, label: y, cluster: user, weight: times, exclusions: out.csv, noise_floor: [again], slices:"
        " {region: {column: region}, ages: {column: age, bins: [18, 65]}, day: {column: day.of},"
        ' both: {columns: [region, user]}, old_ones: {where: "age >= 65"}}}',
        rules=RULES
        + "  - {id: excess, rate: excess_nfr, at_most: 30%}\n  - {id: golden, must_not_regress: golden.csv}\n"
        + "  - {id: by-region, rate: nfr, by: region, at_most: 60%, severity: warn}\n",
        folder=tmp_path,
    )
    models = [saved(column, looks_up(column), TEXTS) for column in ("new", "newer", "old")]
    of = sides(models[:2], models[2:])
    monkeypatch.setattr(story, "gathered", partial(story.gathered, together=2))  # so that some are added in the cluster
    found, there = on_spark(small, rules, of, parts=7)
    assert (found.rows, len(found.counted)) == (400, 2)
    assert there == on_this_machine(small, rules, of)[1]


@pytest.mark.parametrize("apart", [False, True], ids=["in the process that counts", "each in a worker of its own"])
def test_sets_of_labels_probabilities_and_numbers_are_read_as_on_this_machine(
    apart: bool,
    session: Started,
    small: Path,
    saved: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spark_models, "_may_share", lambda kinds: not apart)
    frame = pd.read_parquet(small)
    made = np.random.default_rng(6)
    some = ["", "cat", "dog", "cat dog"]
    frame["sets"] = [text.split() for text in made.choice(some, len(frame))]
    frame["old_sets"], frame["new_sets"] = made.choice(some, len(frame)), made.choice(some, len(frame))
    frame["ab"] = np.where(frame["x"] > 0, "b", "a")
    frame["target"] = frame["x"] * 2
    frame.to_parquet(tmp_path / "rows.parquet")
    cases = [
        (
            policy("{id: id, label: sets}", "task: {kind: multilabel, classes: [cat, dog]}\n"),
            sides([saved("new_sets", sets_of("new_sets"))], [saved("old_sets", sets_of("old_sets"))]),
        ),
        (
            policy("{id: id, label: ab}", "task: {kind: classification, classes: [a, b], outputs: probabilities}\n"),
            sides([saved("close", probabilities(0.1))], [saved("far", probabilities(-0.5))]),
        ),
        (
            policy("{id: id, label: target}", "task: {kind: regression, tolerance: {absolute: 1}}\n"),
            sides([saved("double", lambda rows: rows["x"].to_numpy() * 1.9)], [saved("as_it_is", looks_up("x"))]),
        ),
    ]
    for rules, of in cases:
        assert (
            on_spark(tmp_path / "rows.parquet", rules, of, 1 if apart else 3)[1]
            == on_this_machine(tmp_path / "rows.parquet", rules, of)[1]
        )


def test_answers_asked_again_are_held_against_one_another_wherever_their_rows_lie(
    session: Started, small: Path, saved: Callable[..., Path], tmp_path: Path
) -> None:
    frame = pd.read_parquet(small)
    frame["try"] = frame.groupby(frame["id"] % 100).cumcount()
    frame["question"] = [f"q{number % 100}" for number in frame["id"]]
    frame["y"] = frame.groupby("question")["y"].transform("first")
    frame.to_parquet(tmp_path / "rows.parquet")
    rules = policy(
        "{id: question, label: y, sample: try}", rules=RULES + "  - {id: excess, rate: excess_nfr, at_most: 60%}\n"
    )
    of = sides([saved("new", looks_up("new"), TEXTS)], [saved("old", looks_up("old"), TEXTS)])
    assert (
        on_spark(tmp_path / "rows.parquet", rules, of, 5)[1] == on_this_machine(tmp_path / "rows.parquet", rules, of)[1]
    )


@pytest.mark.skipif(not DATA.is_dir(), reason=f"there is no folder {DATA}")
def test_imagenet_predictions_and_adult_are_judged_as_on_this_machine(
    session: Started, saved: Callable[..., Path], tmp_path: Path
) -> None:
    names = pq.read_schema(DATA / "imagenet-val-predictions" / "predictions.parquet").names
    images = pq.read_table(DATA / "imagenet-val-predictions" / "predictions.parquet").slice(0, 10_000).to_pandas()
    label = next(name for name in names if name in ("label", "y", "target"))
    models = [
        name for name in names if name != label and images[name].dtype.kind in "iu" and images[name].nunique() < 1001
    ]
    images = images.assign(row_id=np.arange(len(images)))[["row_id", label, *models[:2]]]
    images.to_parquet(tmp_path / "images.parquet")
    rules = policy(
        f"{{id: row_id, label: {label}}}", rules=RULES + "  - {id: each, rate: nfr, by: class, at_most: 90%}\n"
    )
    of = sides(*([saved(f"image-{name}", looks_up(name))] for name in models[:2]))
    assert (
        on_spark(tmp_path / "images.parquet", rules, of, 3)[1]
        == on_this_machine(tmp_path / "images.parquet", rules, of)[1]
    )

    with gzip.open(DATA / "adult" / "adult-test.csv.gz", "rt") as file:
        people = pd.read_csv(file, header=None, comment="|", skipinitialspace=True)
    people.columns = [f"c{i}" for i in range(people.shape[1])]
    people = people.assign(row=np.arange(len(people)), income=people[f"c{people.shape[1] - 1}"].astype(str))
    people.to_parquet(tmp_path / "people.parquet")
    rich, poor = sorted(people["income"].unique())[::-1][:2]
    rules = policy("{id: row, label: income, slices: {work: {column: c1}}}")
    of = sides(
        [saved("educated", lambda rows: np.where(rows["c4"].to_numpy() > 11, rich, poor))],
        [saved("gains", lambda rows: np.where(rows["c10"].to_numpy() > 0, rich, poor))],
    )
    assert (
        on_spark(tmp_path / "people.parquet", rules, of, 2)[1]
        == on_this_machine(tmp_path / "people.parquet", rules, of)[1]
    )


def test_models_that_bring_modules_of_one_name_each_run_their_own(
    session: Started, small: Path, tmp_path: Path
) -> None:
    folders = []
    for column in ("new", "old"):
        (tmp_path / column).mkdir()
        (tmp_path / column / "which_column.py").write_text(f"NAME = {column!r}\n")
        folders.append(tmp_path / f"{column}-model")
        mlflow.pyfunc.save_model(
            str(folders[-1]),
            python_model=Acts(asks_its_module),
            code_paths=[str(tmp_path / column / "which_column.py")],
            pip_requirements=[],
            signature=ModelSignature(Schema([ColSpec("string", column)])),
        )
    found, _ = on_spark(small, policy("{id: id, label: y}"), sides(folders[:1], folders[1:]), 5)
    rows = pd.read_parquet(small)
    negative = int(((rows["old"] == rows["y"]) & (rows["new"] != rows["y"])).sum())
    assert negative and found.counted[0].table.overall.negative == negative


class Meddles(PythonModel):  # type: ignore[misc]
    """Changes what all models of a process share: what is imported by a name, settings, its input."""

    def __init__(self, meddling: bool) -> None:
        self.meddling = meddling

    def load_context(self, context):  # type: ignore[no-untyped-def]
        import os
        import sys

        sys.path.insert(0, context.artifacts["source"])
        import my_rules

        self.column = my_rules.COLUMN
        if self.meddling:
            os.environ["MEDDLED"] = "yes"

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        import os

        import torch

        signs = [float(torch.from_numpy(row).min()) < 0 for row in model_input["signs"]]
        if self.meddling:
            for row in model_input["signs"]:
                torch.from_numpy(row).abs_()  # past NumPy's flag that it must not be written
        plain = "MEDDLED" not in os.environ
        answers = model_input[self.column].astype(str).to_numpy(dtype=object)
        return np.where(signs, answers, answers if plain != self.meddling else "changed")


def test_what_a_model_changes_in_its_process_changes_no_other_model(
    session: Started, small: Path, tmp_path: Path
) -> None:
    frame = pd.read_parquet(small)
    made = np.random.default_rng(8)
    frame["signs"] = [list(made.normal(size=2)) for _ in range(len(frame))]
    frame.to_parquet(tmp_path / "rows.parquet")
    for column, meddling in (("new", True), ("old", False)):
        (tmp_path / column).mkdir()
        (tmp_path / column / "my_rules.py").write_text(f"COLUMN = {column!r}\n")
        mlflow.pyfunc.save_model(
            str(tmp_path / f"{column}-model"),
            python_model=Meddles(meddling),
            artifacts={"source": str(tmp_path / column)},
            pip_requirements=[],
        )
    for old, new in (("old", "new"), ("new", "old")):
        of = sides([tmp_path / f"{new}-model"], [tmp_path / f"{old}-model"])
        (candidate,), (incumbent,) = of.candidates, of.incumbents
        of = Sides((replace(candidate, digest=new),), (replace(incumbent, digest=old),))  # as models' digests are
        counts = on_spark(tmp_path / "rows.parquet", policy("{id: id, label: y}"), of, 3)[0].counted[0].table.overall
        broken = int(((frame[old] == frame["y"]) & (frame[new] != frame["y"])).sum())
        mended = int(((frame[old] != frame["y"]) & (frame[new] == frame["y"])).sum())
        assert (counts.negative, counts.positive) == (broken, mended) and broken and mended


def test_partitions_that_spark_tried_again_are_told(
    session: Started, small: Path, saved: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def tried_again(*given: Any, **named: Any) -> tuple[list[str], int]:
        return jobs.gathered(*given, **named)[0], 2

    monkeypatch.setattr(story, "gathered", tried_again)
    of = sides([saved("new", looks_up("new"), TEXTS)], [saved("old", looks_up("old"), TEXTS)])
    assert story.AGAIN.format(2) in on_spark(small, policy("{id: id, label: y}"), of)[0].notes


def test_a_held_out_set_without_a_column_for_models_is_refused(
    session: Started, small: Path, saved: Callable[..., Path], tmp_path: Path
) -> None:
    pd.read_parquet(small)[["id", "y"]].to_parquet(tmp_path / "rows.parquet")
    of = sides([saved("ham", says_ham)], [saved("ham", says_ham)])
    with pytest.raises(EvidenceError, match="it has no column for a model"):
        on_spark(tmp_path / "rows.parquet", policy("{id: id, label: y}"), of)


def test_a_model_that_takes_too_long_in_all_is_ended(session: Started, small: Path, saved: Callable[..., Path]) -> None:
    of = sides([saved("sleeps", sleeps)], [saved("old", looks_up("old"), TEXTS)])
    with (
        open_cluster(small, How(total_timeout=2)) as cluster,
        pytest.raises(EvidenceError, match="Spark: timed out after 2 s in all"),
    ):
        judged(cluster, policy("{id: id, label: y}"), of, 0)
    assert session.session.sparkContext.getLocalProperty("spark.jobGroup.id") is None


def test_without_samples_no_value_of_a_row_is_in_the_decision_or_in_an_error(
    session: Started, small: Path, saved: Callable[..., Path], tmp_path: Path
) -> None:
    def private(name: str, doubled: bool = False) -> Path:
        frame = pd.read_parquet(small)
        frame["id"] = [f"private-{0 if doubled else number}" for number in frame["id"]]
        frame["region"] = [f"private-{number}" for number in frame["age"]]
        (tmp_path / name).mkdir()
        frame.to_parquet(tmp_path / name / "rows.parquet")
        return tmp_path / name

    suite = {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "region", "value_set": ["n"]}}
    (tmp_path / "suite.json").write_text(json.dumps({"name": "regions", "expectations": [suite]}))
    models = [saved(column, looks_up(column), TEXTS) for column in ("new", "old")]
    of, rules = sides(models[:1], models[1:]), policy("{id: id, label: y}")
    found, told = on_spark(private("rows"), rules, of, samples=0)
    assert found.counted[0].table.samples == () and b"private" not in b"".join(map(bytes, told[0]))
    tells = sides([saved("tells_a_row", tells_a_row)], models[1:])
    wrong = [
        (private("doubled", doubled=True), rules, of, "share their id"),
        (tmp_path / "rows", rules, tells, "predict raised KeyError"),
        (tmp_path / "rows", policy("{id: id, label: y, contract: suite.json}", folder=tmp_path), of, "broken"),
    ]
    for data, asked, models_asked, expected in wrong:
        with open_cluster(data) as cluster, pytest.raises(GateError) as caught:
            judged(cluster, asked, models_asked, 0)
        told = str(caught.value.without_data())
        assert expected in told and "private" not in told


BROKEN: list[tuple[str, Callable[[Any], Any], str]] = [
    ("raises", raises, "predict raised ValueError: cannot reach postgresql://***@db/features"),
    ("turns_around", turns_around, "predict returned its rows in another order"),
    ("knows_nothing", knows_nothing, "predict returned no answer for "),
    ("leaves", leaves, "a Python worker of Spark ended without an answer"),
    ("leaves_late", leaves_late, "a Python worker of Spark ended without an answer"),
]


@pytest.mark.parametrize(("name", "act", "found"), BROKEN, ids=[name for name, _, _ in BROKEN])
def test_a_model_that_fails_in_the_cluster_is_an_error_of_that_version(
    name: str,
    act: Callable[[Any], Any],
    found: str,
    session: Started,
    small: Path,
    saved: Callable[..., Path],
    capfd: pytest.CaptureFixture[str],
) -> None:
    of = sides([saved(name, act)], [saved("old", looks_up("old"), TEXTS)])
    with pytest.raises(EvidenceError) as caught:
        on_spark(small, policy("{id: id, label: y}"), of, 2)
    assert str(caught.value).startswith(f"candidate model, version 0: {found}")
    if "leaves" in name:
        assert "--batch-rows" in caught.value.problems[0].hint
    assert "hunter2" not in str(caught.value)
    assert capfd.readouterr().out == ""


@pytest.mark.fault(
    23,
    given="a model looks for tokens in a Spark session that the gate started on this machine",
    then="has given it an environment without any, and no tracking URI with a password",
    exit_code=None,
)
def test_models_see_no_token_of_the_driver_and_nothing_that_they_print_is_on_stdout(
    session: Started, small: Path, saved: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    of = sides([saved("tells", tells_names)], [saved("old", looks_up("old"), TEXTS)])
    found, _ = on_spark(small, policy("{id: id, label: y}"), of, 2, samples=400)
    names = max(str(row.candidate) for row in found.counted[0].table.samples if "PATH" in str(row.candidate))
    assert not any(secret in names for secret in (*SECRETS, "hunter2"))
    assert capfd.readouterr().out == ""
    assert os.environ["DRIVERS_TOKEN"] == "secret"
    for apart, said in ((True, "each of one model alone"), (False, "which models and counting share")):
        assert "an environment without tokens" in session.isolation(apart=apart)
        assert said in session.isolation(apart=apart)


def changed(small: Path, folder: Path, **columns: Callable[[pd.DataFrame], Value | Any]) -> Path:
    frame = pd.read_parquet(small)
    for name, made in columns.items():
        frame[name] = made(frame)
    frame.to_parquet(folder / "changed.parquet")
    return folder / "changed.parquet"


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        (
            {"id": lambda rows: rows["id"].replace({3: 0, 9: 6})},
            "4 rows share their id with another row: 0 in 2 rows; 6 in",
        ),
        ({"id": lambda rows: rows["id"].where(rows["id"] > 3)}, "2 rows have no id"),
        ({"y": lambda rows: rows["y"].where(rows["id"] > 3)}, "2 of 400 labels are missing"),
        ({"user": lambda rows: rows["user"].where(rows["id"] > 3)}, "2 rows of one batch are in no cluster"),
    ],
    ids=["twice", "no id", "no label", "no cluster"],
)
def test_rows_that_cannot_be_judged_are_refused(
    columns: Any, found: str, session: Started, small: Path, saved: Callable[..., Path], tmp_path: Path
) -> None:
    of = sides([saved("new", looks_up("new"), TEXTS)], [saved("old", looks_up("old"), TEXTS)])
    with pytest.raises(EvidenceError) as caught:
        on_spark(changed(small, tmp_path, **columns), policy("{id: id, label: y, cluster: user}"), of, 1)
    assert found in str(caught.value)


def test_listed_ids_that_no_partition_has_and_golden_rows_that_are_excluded_are_refused(
    session: Started, small: Path, saved: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "golden.csv").write_text("id\n0\n1\n600\n")
    of = sides([saved("new", looks_up("new"), TEXTS)], [saved("old", looks_up("old"), TEXTS)])
    rules = policy("{id: id, label: y}", rules="rules:\n  - {id: g, must_not_regress: golden.csv}\n", folder=tmp_path)
    with pytest.raises(EvidenceError, match=r"1 of its 3 ids are not in the held-out set \(1\)"):
        on_spark(small, rules, of, 3)


def test_a_contract_that_is_broken_stops_before_any_model_runs(
    session: Started, small: Path, saved: Callable[..., Path], tmp_path: Path
) -> None:
    expectations = [
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "age", "max_value": 80}},
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "lable"}},
    ]
    (tmp_path / "suite.json").write_text(json.dumps({"name": "people", "expectations": expectations}))
    of = sides([saved("raises", raises)], [saved("old", looks_up("old"), TEXTS)])
    with pytest.raises(EvidenceError) as caught:
        on_spark(small, policy("{id: id, label: y, contract: suite.json}", folder=tmp_path), of)
    broken, crashed = caught.value.problems
    assert "broken" in broken.found and "of 400 values are not as expected" in broken.found
    assert "crashed" in crashed.found


def test_without_ids_rows_cannot_be_named_so_spark_refuses(session: Started, small: Path, saved: Any) -> None:
    with pytest.raises(UsageError, match="rows that have no order have no numbers either") as caught:
        on_spark(small, policy("{label: y}"), sides([saved("new", looks_up("new"))], [saved("old", looks_up("old"))]))
    assert "--id COL" in caught.value.problems[0].hint


@pytest.mark.parametrize(
    ("source", "error", "found"),
    [
        ("spark:no_such_table", UsageError, "spark:no_such_table: "),
        ("/no/such/folder", UsageError, "/no/such/folder: "),
        ("spark:nonsense:/tmp", GateError, "spark:nonsense:/tmp: "),
    ],
)
def test_data_that_are_not_there_are_named(source: str, error: Any, found: str, session: Started) -> None:
    with pytest.raises(error) as caught, open_cluster(source):
        pass
    assert str(caught.value).startswith(found) and "\tat " not in str(caught.value)


def test_tables_folders_csv_and_dataframes_are_read(session: Started, small: Path, tmp_path: Path) -> None:
    spark = session.session
    rows = spark.read.parquet(str(small))
    rows.createOrReplaceTempView("held_out")
    rows.select("id", "y").write.csv(str(tmp_path / "rows.csv"), header=True)
    rows.write.orc(str(tmp_path / "orc"))
    schemas = {}
    for source in ("spark:held_out", small.parent, rows, f"spark:orc:{tmp_path}/orc", tmp_path / "rows.csv"):
        with open_cluster(source) as cluster:
            schemas[str(source)] = cluster.header.schema.names
    assert schemas.pop(str(tmp_path / "rows.csv")) == ["id", "y"]
    assert {tuple(names) for names in schemas.values()} == {tuple(rows.columns)}


def test_a_folder_with_a_delta_log_is_read_as_its_log_says(
    session: Started, small: Path, saved: Callable[..., Path], tmp_path: Path
) -> None:
    """A table of Delta, written by Delta's own library, with rows that are deleted.

    Spark knows the format by the package that is among its jars; here, where there is none, by a source in Python.
    """
    deltalake = pytest.importorskip("deltalake", reason="Delta's library is not installed: pip install deltalake")
    source = pytest.importorskip("pyspark.sql.datasource", reason="sources in Python came with Spark 4")
    folder, frame = tmp_path / "rows", pd.read_parquet(small).drop(columns="day.of")
    (tmp_path / "unknown" / "_delta_log").mkdir(parents=True)
    with pytest.raises(UsageError, match="Spark does not know the format 'delta'"):
        open_frame(session.session, tmp_path / "unknown")
    deltalake.write_deltalake(folder, frame[:250])
    deltalake.write_deltalake(folder, frame[250:], mode="append")
    deltalake.DeltaTable(folder).delete("age > 60")
    left = frame[frame["age"] <= 60]
    assert len(list(folder.glob("*.parquet"))) > len(deltalake.DeltaTable(folder).file_uris())  # deleted ones lie there
    left.to_parquet(tmp_path / "left.parquet", index=False)

    kinds = session.session.read.parquet(str(tmp_path / "left.parquet")).schema

    class Reader(source.DataSourceReader):  # type: ignore[misc,name-defined]  # of a module that may not be there
        def __init__(self, path: str) -> None:
            self.path = path

        def read(self, partition: Any) -> Any:
            from deltalake import DeltaTable

            yield from DeltaTable(self.path).to_pyarrow_table().to_batches()

    class Delta(source.DataSource):  # type: ignore[misc,name-defined]
        @classmethod
        def name(cls) -> str:
            return "delta"

        def schema(self) -> Any:
            return kinds

        def reader(self, schema: Any) -> Reader:
            return Reader(self.options["path"].removeprefix("file:"))

    session.session.dataSource.register(Delta)
    of = sides([saved("new", looks_up("new"), TEXTS)], [saved("old", looks_up("old"), TEXTS)])
    rules = policy("{id: id, label: y, slices: {region: {column: region}}}")
    found, there = on_spark(folder, rules, of)
    assert found.rows == len(left) < 400
    assert there == on_this_machine(tmp_path / "left.parquet", rules, of)[1]
    assert open_frame(session.session, f"spark:delta:{folder}").rows.count() == len(left)


def test_models_that_need_two_scikit_learns_run_each_in_an_environment_of_its_own(
    session: Started, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv = pytest.importorskip("uv", reason="uv is not installed: pip install 'model-update-gate[uv]'")
    folders = {}
    for version in ("1.5.2", "1.7.2", "0.0.77"):
        folders[version] = tmp_path / version
        mlflow.pyfunc.save_model(
            str(folders[version]),
            python_model=Acts(tells_its_scikit_learn),
            signature=ModelSignature(Schema([ColSpec("double", "x"), ColSpec("string", "old")])),
            pip_requirements=[f"mlflow=={mlflow.__version__}", "cloudpickle", f"scikit-learn=={version}"],
        )
    # uv is where pip put it, beside this interpreter, and not in PATH
    beside = os.path.dirname(uv.find_uv_bin())
    places = [place for place in os.environ["PATH"].split(os.pathsep) if not Path(place, "uv").exists()]
    assert beside not in places
    monkeypatch.setenv("PATH", os.pathsep.join(places))
    rules = policy("{id: id, label: y}", rules="rules:\n  - {id: few, rate: churn, at_most: 100%}\n")
    with open_cluster(small, How(env_manager="uv")) as cluster:
        found, _ = judged(cluster, rules, sides([folders["1.7.2"]], [folders["1.5.2"]]), samples=20)
        table, above = found.counted[0].table, int((pd.read_parquet(small)["x"] > 0).sum())
        assert (found.rows, table.overall.wrong_different) == (400, above) and above  # they agree on all other rows
        assert "1.7.2" in table.cells[BY_OUTPUT].values and "1.5.2" not in table.cells[BY_OUTPUT].values
        with pytest.raises(EvidenceError, match="candidate model, version 0: MLflow cannot make its environment"):
            judged(cluster, rules, sides([folders["0.0.77"]], [folders["1.5.2"]]), samples=0)


def test_options_of_the_local_engine_and_another_master_are_refused(session: Started, small: Path) -> None:
    with pytest.raises(UsageError, match="--memory: it is of the local engine"), open_cluster(small, How(memory=1)):
        pass
    with pytest.raises(UsageError, match=r"a session of local\[2\] is active"), open_cluster(small, master="local[1]"):
        pass


def test_the_digest_of_a_set_of_rows_changes_with_any_value_and_not_with_their_order(
    session: Started, small: Path
) -> None:
    from pyspark.sql import functions as F  # noqa: N812

    from gate.data.spark import digest_of

    frame = open_frame(session.session, small)
    rows = frame.rows

    def digest(of: Any) -> str:
        one = open_frame(session.session, of)
        return digest_of(one).hexdigest(one.columns)

    same = digest(rows)
    assert same == digest(rows.orderBy(F.desc("id")).repartition(3))
    others = [
        rows.withColumn("age", F.when(F.col("id") == 30, 1000).otherwise(F.col("age"))),
        rows.withColumn("region", F.when(F.col("id") == 30, None).otherwise(F.lit("n"))),
        rows.where("id != 30"),
        rows.union(rows.where("id = 30")),
        rows.withColumnRenamed("age", "years"),
        rows.withColumn("age", F.col("age").cast("double")),
    ]
    assert len({same, *map(digest, others)}) == 1 + len(others)
