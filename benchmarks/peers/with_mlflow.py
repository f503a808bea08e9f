"""MLflow: ``mlflow.models.evaluate`` of both models, and ``mlflow.validate_evaluation_results`` of the two.

The evaluator for classifiers of MLflow itself, without explanations of features (SHAP), into a store of its own.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.models import MetricThreshold

PACKAGES = ("mlflow", "pandas", "scikit-learn", "numpy", "pyarrow")
CONFIG = {"log_explainer": False, "log_model_explainability": False}
THRESHOLDS = {"accuracy_score": MetricThreshold(threshold=0.5, min_absolute_change=0.0001, greater_is_better=True)}


def count(data: str) -> dict[str, Any]:
    """Both models' answers as they stand in the file."""
    warnings.simplefilter("ignore")
    mlflow.set_tracking_uri(f"sqlite:///{Path(data).with_name('peer-mlflow.db')}")
    frame = pd.read_parquet(data)
    results = []
    for model in ("old", "new"):
        with mlflow.start_run():
            results.append(
                mlflow.models.evaluate(
                    data=frame[["label", model]],
                    targets="label",
                    predictions=model,
                    model_type="classifier",
                    evaluators="default",
                    evaluator_config=CONFIG,
                )
            )
    return judged(*results)


def check(registry: str, data: str) -> dict[str, Any]:
    """Two registered versions, and the held-out set."""
    warnings.simplefilter("ignore")
    mlflow.set_tracking_uri(registry)
    frame = pd.read_parquet(data)
    results = []
    for version in ("1", "2"):
        with mlflow.start_run():
            results.append(
                mlflow.models.evaluate(
                    f"models:/bench/{version}",
                    frame.drop(columns="key"),
                    targets="y",
                    model_type="classifier",
                    evaluators="default",
                    evaluator_config=CONFIG,
                )
            )
    return judged(*results)


def judged(old: Any, new: Any) -> dict[str, Any]:
    """What both evaluations say of accuracy, and whether the candidate may pass."""
    from mlflow.models.evaluation.validation import ModelValidationFailedException

    try:
        mlflow.validate_evaluation_results(THRESHOLDS, candidate_result=new, baseline_result=old)
        verdict = "passed"
    except ModelValidationFailedException:
        verdict = "failed"
    return {"accuracy": [result.metrics["accuracy_score"] for result in (old, new)], "verdict": verdict}
