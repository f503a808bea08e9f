"""What MLflow validates: metrics of the whole held-out set, the candidate beside the champion. ``python set_level.py``.

Exits with an error if the candidate's area under the curve is under 0.95, or its log loss is the worse one.
"""

from __future__ import annotations

from typing import Any

import mlflow
import pandas as pd
from mlflow.models import MetricThreshold

THRESHOLDS = {
    "roc_auc": MetricThreshold(threshold=0.95, greater_is_better=True),
    "log_loss": MetricThreshold(min_absolute_change=0.001, greater_is_better=False),
}


def evaluated(model: str, rows: pd.DataFrame) -> Any:
    """MLflow's metrics of one version."""
    with mlflow.start_run():
        return mlflow.models.evaluate(
            model,
            rows,
            targets="digit",
            model_type="classifier",
            evaluators="default",
            evaluator_config={"log_explainer": False, "log_model_explainability": False},
        )


if __name__ == "__main__":
    held_out = pd.read_parquet("holdout.parquet").drop(columns="row")
    candidate, champion = (evaluated(f"models:/digits{version}", held_out) for version in ("/2", "@champion"))
    for name in THRESHOLDS:
        print(f"{name}: {champion.metrics[name]:.3f} -> {candidate.metrics[name]:.3f}")
    mlflow.validate_evaluation_results(THRESHOLDS, candidate, champion)
    print("MLflow has no objection")
