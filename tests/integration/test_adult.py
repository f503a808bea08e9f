"""UCI Adult, from registration to verdict and promotion, as ``docs/adult.md`` tells it. One run serves all claims."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "adult"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"UCI Adult is not there: no folder {DATA}")


class Run:
    """The page's transcript: what it came to, and the files it left."""

    def __init__(self, folder: Path) -> None:
        write = ["--write"] if os.environ.get("GATE_REGENERATE") == "1" else []
        command = [sys.executable, "docs/transcripts.py", "docs/adult.md", "--keep", str(folder), *write]
        self.done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        self.folder = folder

    def decision(self, version: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / f"version-{version}.json").read_text(encoding="utf-8"))
        return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("adult"))


def test_the_page_shows_what_its_commands_print(run: Run) -> None:
    assert run.done.returncode == 0, run.done.stdout + run.done.stderr


def test_every_row_of_the_test_split_is_counted_once_overall_and_once_in_each_slice(run: Run) -> None:
    decision = run.decision(2)
    rows: dict[str, int] = {}
    for cell in decision["cells"]:
        rows[cell["by"]] = rows.get(cell["by"], 0) + cell["counts"]["n"]
    assert decision["counts"]["n"] == 16_281
    assert {by: rows[by] for by in ("class", "sex", "race")} == dict.fromkeys(("class", "sex", "race"), 16_281)


def test_the_counts_are_those_of_the_two_pipelines_called_by_hand(run: Run) -> None:
    by_hand = """
import json, mlflow, pandas
people = pandas.read_parquet("holdout.parquet")
models = [mlflow.sklearn.load_model(f"models:/income/{version}") for version in (1, 2)]
old, new = (model.predict(people) == people["income"] for model in models)
print(json.dumps([int(rows.sum()) for rows in (old & new, old & ~new, ~old & new, ~old & ~new)]))
"""
    environment = {**os.environ, "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    done = subprocess.run(
        [sys.executable, "-c", by_hand], cwd=run.folder, env=environment, capture_output=True, text=True, check=True
    )
    counts = run.decision(2)["counts"]
    both_wrong = counts["wrong_same"] + counts["wrong_different"]
    assert [counts["both_right"], counts["negative"], counts["positive"], both_wrong] == json.loads(done.stdout)


def test_the_figures_between_the_blocks_are_those_of_the_run(run: Run) -> None:
    page = (ROOT / "docs" / "adult.md").read_text(encoding="utf-8").replace("\n", " ")
    second, third = run.decision(2), run.decision(3)
    rates = {(row["rate"], row["of"]): row["estimate"] for row in second["rates"]}
    before, after = rates["error_rate", "incumbent"], rates["error_rate", "candidate"]
    assert f"The error rate falls from {before:.1%} to {after:.1%}".replace("%", " %") in page
    assert f"But {second['counts']['negative']} people" in page
    nfr = second["counts"]["negative"] / second["counts"]["n"]
    assert f"the wrong one, {nfr:.2%} of them all".replace("%", " %") in page
    races = sorted(cell["counts"]["n"] for cell in second["cells"] if cell["by"] == "race")
    assert f"the smallest of its groups has {races[0]} people" in page
    assert 0.4 < third["counts"]["negative"] / second["counts"]["negative"] < 0.6  # "down by half"


def test_a_candidate_that_is_better_in_every_class_and_sex_does_not_pass_by_that_alone(run: Run) -> None:
    decision = run.decision(2)
    cells = [cell["counts"] for cell in decision["cells"] if cell["by"] in ("class", "sex")]
    assert len(cells) == 4
    assert all(counts["positive"] > counts["negative"] for counts in cells)
    assert decision["verdict"] == "inconclusive"


def test_the_mended_candidate_is_allowed_and_promoted(run: Run) -> None:
    import mlflow

    assert run.decision(3)["verdict"] == "allow"
    uri = f"sqlite:///{run.folder}/mlflow.db"
    aliases = mlflow.MlflowClient(uri, uri).get_registered_model("income").aliases
    assert {alias: int(version) for alias, version in aliases.items()} == {"champion": 3, "previous": 1}


def test_no_value_of_a_person_is_in_the_decision(run: Run) -> None:
    decision = run.decision(2)
    known = {"age", "occupation", "marital_status", "native_country", "workclass"}
    assert not known & {cell["by"] for cell in decision["cells"]}
    assert "Exec-managerial" not in json.dumps(decision)
