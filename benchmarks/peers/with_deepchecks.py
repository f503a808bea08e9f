"""Deepchecks: the check of two sets' performance, per class, with the incumbent's answers as the first set's.

It compares one model on two sets; answers that are there already may be those of two models, so the same rows are given
twice, once with the answers of each.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from deepchecks.tabular import Dataset
from deepchecks.tabular.checks import TrainTestPerformance

PACKAGES = ("deepchecks", "pandas", "scikit-learn", "numpy", "pyarrow")


def count(data: str) -> dict[str, Any]:
    """Precision and recall of every class, and accuracy, of both, with the condition on how far they may fall."""
    warnings.simplefilter("ignore")
    frame = pd.read_parquet(data)
    rows = frame[["label"]].assign(key=np.arange(len(frame)))
    sets = [
        Dataset(rows.set_axis(range(start, start + len(rows))), label="label", features=["key"], cat_features=[])
        for start in (0, len(rows))
    ]
    check = TrainTestPerformance(scorers=["accuracy", "precision_per_class", "recall_per_class"])
    check.add_condition_train_test_relative_degradation_less_than(0.1)
    classes = sorted(frame["label"].unique())
    ran = check.run(
        *sets, y_pred_train=frame["old"].to_numpy(), y_pred_test=frame["new"].to_numpy(), model_classes=classes,
        with_display=False,
    )  # fmt: skip
    values = ran.value
    whole = values[values["Class"].isna()].set_index("Dataset")["Value"]
    return {
        "accuracy": [float(whole["Train"]), float(whole["Test"])],
        "classes": int(values["Class"].nunique()),
        "verdict": "passed" if ran.passed_conditions() else "failed",
    }
