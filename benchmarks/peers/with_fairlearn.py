"""Fairlearn: a MetricFrame of each model with the class as the group, the difference, and flips as a metric of ours.

The documented way to a metric of one's own is a function of ``y_true`` and ``y_pred``: the incumbent's right answers
stand for the truth, so that a negative flip is right in ``y_true`` and wrong in ``y_pred``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame
from sklearn.metrics import accuracy_score

PACKAGES = ("fairlearn", "pandas", "scikit-learn", "numpy", "pyarrow")


def negative_flips(was_right: Any, is_right: Any) -> int:
    return int(np.sum(np.asarray(was_right, bool) & ~np.asarray(is_right, bool)))


def count(data: str) -> dict[str, Any]:
    """Accuracy overall and by class of both, its difference by class, and negative flips by class."""
    frame = pd.read_parquet(data)
    label = frame["label"]
    old, new = (
        MetricFrame(metrics=accuracy_score, y_true=label, y_pred=frame[model], sensitive_features=label)
        for model in ("old", "new")
    )
    change = new.by_group - old.by_group
    flips = MetricFrame(
        metrics=negative_flips, y_true=frame["old"] == label, y_pred=frame["new"] == label, sensitive_features=label
    )
    return {
        "accuracy": [float(old.overall), float(new.overall)],
        "negative flips": int(flips.overall),
        "classes": len(change),
    }
