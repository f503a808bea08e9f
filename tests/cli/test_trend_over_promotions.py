"""Three versions promoted one after the other by the real commands; what the fourth check tells of them."""

from __future__ import annotations

import re
import shutil
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cloudpickle
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature
from mlflow.pyfunc.model import PythonModel
from mlflow.types import ColSpec, Schema

from gate.cli.app import run
from gate.decisions.canonical import read_decision
from gate.decisions.record import Decision, Target
from gate.registry.history import MOST, promotions
from gate.registry.registry import Registry
from gate.stories.earlier import earlier

cloudpickle.register_pickle_by_value(sys.modules[__name__])

POLICY = """
version: 1
name: signs
holdout: {id: key, label: y}
rules: [{id: few-flips, rate: nfr, at_most: 3%}]
promotion: {alias: champion, keep_previous_as: previous}
"""


class Signs(PythonModel):
    """Says whether x is above zero; wrong of what is just above it, and of some rows that are its own."""

    def __init__(self, threshold: float, broken: int) -> None:
        self.threshold, self.broken = threshold, broken

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # MLflow reads the hints
        x = model_input["x"].to_numpy()
        own = (np.abs(x) * 1e6).astype("int64") % 500 < self.broken
        return np.where(own, x <= 0, x > self.threshold).astype("int64")


class Place(NamedTuple):
    uri: str
    data: Path
    policy: Path


@pytest.fixture(scope="module")
def place(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A registry with five versions, each a little better than the one before, and wrong on a few rows more."""
    folder = tmp_path_factory.mktemp("trend")
    shutil.copy(empty_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder}/mlflow.db"
    client = mlflow.MlflowClient(uri, uri)
    client.create_registered_model("signs")
    for number in range(1, 6):
        model = Signs((5 - number) / 20, broken=3 * number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlflow.pyfunc.save_model(
                str(folder / f"v{number}"),
                python_model=model,
                pip_requirements=[],
                signature=ModelSignature(Schema([ColSpec("double", "x")])),
            )
        client.create_model_version("signs", source=(folder / f"v{number}").as_uri())
    client.set_registered_model_alias("signs", "champion", "1")
    x = np.random.default_rng(5).normal(size=1000)
    frame = pd.DataFrame({"key": np.arange(1000), "x": x, "y": (x > 0).astype(int)})
    frame.to_csv(folder / "holdout.csv", index=False)
    (folder / "policy.yaml").write_text(POLICY)
    return Place(uri, folder / "holdout.csv", folder / "policy.yaml")


class Promoted(NamedTuple):
    place: Place
    decisions: dict[int, Decision]


def check(place: Place, version: int, *reports: object) -> int:
    """The exit code of ``gate check`` of a version against ``@champion``."""
    return run([str(part) for part in (
        "check", "--model", "signs", "--candidate", version, "--incumbent", "@champion", "--data", place.data,
        "--policy", place.policy, "--in-process", "--tracking-uri", place.uri, "--quiet",
        *(word for report in reports for word in ("--report", report)),
    )])  # fmt: skip


@pytest.fixture(scope="module")
def promoted(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Promoted:
    """The registry after ``gate check`` and ``gate promote`` of versions 2, 3 and 4, and what was decided."""
    folder = tmp_path_factory.mktemp("decisions")
    decisions = {}
    for version in (2, 3, 4):
        file = folder / f"{version}.json"
        assert check(place, version, f"json={file}") == 0
        assert run(["promote", str(file), "--quiet"]) == 0
        decisions[version] = read_decision(file)
    return Promoted(place, decisions)


@pytest.fixture
def copy(promoted: Promoted, tmp_path: Path) -> str:
    """The URI of a copy of that registry, for a test that changes it."""
    shutil.copy(promoted.place.uri.removeprefix("sqlite:///"), tmp_path / "copy.db")
    return f"sqlite:///{tmp_path}/copy.db"


TARGET = Target("sqlite:///x", "signs", "champion", "previous")


def test_the_page_of_a_fourth_check_shows_the_three_promotions_before(promoted: Promoted, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert check(promoted.place, 5, f"json={tmp_path / '5.json'}", f"html={page}") == 0

    history = read_decision(tmp_path / "5.json").history
    assert [(row.version, row.previous, row.taken_back) for row in history] == [
        (2, 1, False), (3, 2, False), (4, 3, False),
    ]  # fmt: skip
    for row in history:
        decision = promoted.decisions[row.version]
        assert [one.version for one in decision.history] == list(range(2, row.version))
        rates = {(rate.rate, rate.of): rate for rate in decision.rates}
        nfr, error_rate = rates["nfr", None], rates["error_rate", "candidate"]
        assert (row.nfr, row.nfr_lower, row.nfr_upper) == (nfr.estimate, nfr.lower, nfr.upper)
        assert row.error_rate == error_rate.estimate
        assert (row.error_rate_lower, row.error_rate_upper) == (error_rate.lower, error_rate.upper)
        assert row.decision_id == decision.decision_id
        assert row.holdout_digest == decision.provenance.holdout.digest
    section = page.read_text().partition('id="trend"')[2].partition("<h3")[0]
    drawings = re.findall(r'<svg class="trend".*?</svg>', section)
    assert len(drawings) == 2  # the NFR and the error rate
    assert all(drawing.count('class="dot"') == 3 for drawing in drawings)
    assert all(drawing.count('class="dot now"') == 1 for drawing in drawings)
    assert re.findall(r'<th scope="row">([^<]*)</th>', section) == ["2", "3", "4", "5, this candidate"]


def test_a_version_that_was_taken_back_is_marked_and_the_rollback_is_no_promotion(copy: str) -> None:
    rolled = ["rollback", "signs", "--alias", "champion", "--reason", "worse on Mondays", "--ticket", "INC-7"]
    assert run([*rolled, "--tracking-uri", copy]) == 0
    history, notes = earlier(Registry.connect(copy, None), TARGET, "gate")

    assert [(row.version, row.taken_back) for row in history] == [(2, False), (3, False), (4, True)]
    assert notes == ()


def test_a_promotion_whose_run_is_gone_is_left_out_with_a_note(copy: str) -> None:
    registry = Registry.connect(copy, None)
    run_of_3 = promotions(registry, "signs", "champion", "gate").done[1].run
    assert run_of_3 is not None
    mlflow.MlflowClient(copy, copy).delete_run(run_of_3.run_id)
    history, (note,) = earlier(registry, TARGET, "gate")

    assert [row.version for row in history] == [2, 4]
    assert note.startswith("the trend leaves out version 3, promoted to @champion before")


def test_a_run_of_another_experiment_is_found_by_the_tag_of_the_version(copy: str) -> None:
    client, registry = mlflow.MlflowClient(copy, copy), Registry.connect(copy, None)
    runs = [one.run for one in promotions(registry, "signs", "champion", "gate").done]
    assert None not in runs
    assert [row.version for row in earlier(registry, TARGET, "elsewhere")[0]] == []
    client.set_model_version_tag("signs", "3", "gate.run_id", runs[1].run_id)
    client.set_model_version_tag("signs", "4", "gate.run_id", runs[1].run_id)  # the run of another decision

    assert [row.version for row in earlier(registry, TARGET, "elsewhere")[0]] == [3]


@pytest.mark.parametrize(
    "target", [Target(), replace(TARGET, alias=None), replace(TARGET, alias="nobody"), replace(TARGET, model=None)]
)
def test_where_nothing_was_promoted_there_is_no_trend(place: Place, target: Target) -> None:
    assert earlier(Registry.connect(place.uri, None), target, "gate") == ((), ())


def test_a_registry_that_does_not_answer_stops_no_check(place: Place) -> None:
    history, (note,) = earlier(Registry.connect(place.uri, None), replace(TARGET, model="nobody"), "gate")

    assert history == ()
    assert note.startswith("the earlier promotions of @champion could not be read: no model 'nobody'")


def test_records_of_moves_that_cannot_be_read_are_told_and_the_others_shown(copy: str) -> None:
    mlflow.MlflowClient(copy, copy).set_registered_model_tag("signs", "gate.move.champion.000099", "{}")
    history, (note,) = earlier(Registry.connect(copy, None), TARGET, "gate")

    assert [row.version for row in history] == [2, 3, 4]
    assert "leaves out 1 of the recorded moves of @champion" in note


def test_of_many_promotions_the_last_twenty_are_told(place: Place) -> None:
    from gate.decisions import tags
    from gate.decisions.moves import Move, to_text
    from gate.decisions.statement import Kind

    client = mlflow.MlflowClient(place.uri, place.uri)
    client.create_registered_model("often")
    for number in range(1, MOST + 4):
        move = Move(
            number, Kind.DECISION, "often", "champion", number, number + 1, None, "done", "2026-01-01T00:00:00Z", "a"
        )
        client.set_registered_model_tag("often", tags.move("champion", number), to_text(move))
    found = promotions(Registry.connect(place.uri, None), "often", "champion", "gate").done

    assert [one.move.number for one in found] == list(range(4, MOST + 4))
    assert all(one.run is None for one in found)
