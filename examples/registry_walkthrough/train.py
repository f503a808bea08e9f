"""Train two classifiers of handwritten digits and register them, as one does without the gate: ``python train.py``.

``MLFLOW_TRACKING_URI`` says where. Version 1 of ``digits`` gets the alias ``champion``; version 2 would like to have
it. The rows that neither has seen go to ``holdout.parquet``.
"""

from __future__ import annotations

from typing import Any

import mlflow
import sklearn
from mlflow.models import infer_signature
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier


def register(model: Any, features: Any) -> int:
    """Log a fitted model and register it as the next version of ``digits``."""
    with mlflow.start_run():
        logged = mlflow.sklearn.log_model(
            model,
            name="digits",
            signature=infer_signature(features, model.predict(features)),
            pip_requirements=[f"scikit-learn=={sklearn.__version__}"],
            registered_model_name="digits",
        )
    return int(logged.registered_model_version)


def train() -> None:
    """Both models, the alias, and the held-out set."""
    pixels, digit = load_digits(return_X_y=True, as_frame=True)
    unseen = pixels.index % 2 == 1
    features, labels = pixels[~unseen], digit[~unseen]

    first = register(GaussianNB(var_smoothing=0.01).fit(features, labels), features)
    mlflow.MlflowClient().set_registered_model_alias("digits", "champion", str(first))
    second = register(KNeighborsClassifier(n_neighbors=3).fit(features, labels), features)

    holdout = pixels[unseen].assign(digit=digit[unseen]).rename_axis("row").reset_index()
    holdout.to_parquet("holdout.parquet", index=False)
    print(f"digits: version {first} is @champion, version {second} is new; {len(holdout)} rows held out")


if __name__ == "__main__":
    train()
