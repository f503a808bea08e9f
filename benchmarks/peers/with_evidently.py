"""Evidently: the classification preset with its tests, the incumbent's answers as the reference.

The preset has precision, recall and F1 of every class, for both models. Its generated tests are of the whole; the
documented ``recall_by_label_tests`` ask of every class that its recall is not more than a tenth below the incumbent's.
"""

from __future__ import annotations

import warnings
from typing import Any

import pandas as pd
from evidently import DataDefinition, Dataset, MulticlassClassification, Report
from evidently.core.tests import Reference
from evidently.presets import ClassificationPreset
from evidently.tests import gte

PACKAGES = ("evidently", "pandas", "scikit-learn", "numpy", "pyarrow")


def count(data: str) -> dict[str, Any]:
    """The report on the candidate's answers, and its tests."""
    warnings.simplefilter("ignore")
    frame = pd.read_parquet(data)
    definition = DataDefinition(
        classification=[MulticlassClassification(target="label", prediction_labels="prediction")],
        categorical_columns=["label", "prediction"],
    )
    old, new = (
        Dataset.from_pandas(frame[["label", model]].rename(columns={model: "prediction"}), data_definition=definition)
        for model in ("old", "new")
    )
    limits = {label: [gte(Reference(relative=0.1))] for label in sorted(frame["label"].unique().tolist())}
    report = Report([ClassificationPreset(recall_by_label_tests=limits)], include_tests=True)
    ran = report.run(new, old)
    told = ran.dict()
    whole = next(metric for metric in told["metrics"] if metric["metric_name"].startswith("Accuracy"))
    before = ran.context.get_reference_metric_result(whole["id"])
    by_class = next(metric for metric in told["metrics"] if metric["metric_name"].startswith("RecallByLabel"))
    failed = sum(test["status"].value == "FAIL" for test in told["tests"])
    return {
        "accuracy": [before.value, whole["value"]],
        "classes": len(by_class["value"]),
        "tests": len(told["tests"]),
        "verdict": "failed" if failed else "passed",
    }
