"""The script that one writes by hand, with pandas and scikit-learn: accuracy, confusion, flips by class."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.metrics import accuracy_score, classification_report, confusion_matrix

PACKAGES = ("pandas", "scikit-learn", "numpy", "pyarrow")


def flips(group: pd.DataFrame) -> pd.Series:
    """What the update does to one class."""
    return pd.Series(
        {
            "n": len(group),
            "negative": (group["old_right"] & ~group["new_right"]).sum(),
            "positive": (~group["old_right"] & group["new_right"]).sum(),
            "old": group["old_right"].mean(),
            "new": group["new_right"].mean(),
        }
    )


def count(data: str) -> dict[str, Any]:
    """A report and a confusion matrix of each model, and a table of flips by class."""
    frame = pd.read_parquet(data)
    accuracy = [accuracy_score(frame["label"], frame[model]) for model in ("old", "new")]
    for model in ("old", "new"):
        classification_report(frame["label"], frame[model], output_dict=True, zero_division=0)
        confusion_matrix(frame["label"], frame[model])
        frame[f"{model}_right"] = frame[model] == frame["label"]
    by_class = frame.groupby("label")[["old_right", "new_right"]].apply(flips)
    return {"accuracy": accuracy, "negative flips": int(by_class["negative"].sum()), "classes": len(by_class)}
