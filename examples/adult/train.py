"""Train classifiers of income and register them: ``python train.py FOLDER``, with ``MLFLOW_TRACKING_URI`` set.

Version 1 is a logistic regression and gets the alias ``champion``. Version 2 is gradient boosting; version 3 is the
same with twice the weight on the training rows that version 1 gets right, so that it is more likely to keep them. None
of them sees race or sex: those are in the held-out set for the slices. Nothing here knows of the gate.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import mlflow
import sklearn
from mlflow.models import infer_signature
from prepare import CATEGORIES, NUMBERS, read_split
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler


def logistic() -> Any:
    """One-hot categories, scaled numbers, a linear model."""
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), CATEGORIES),
        (StandardScaler(), NUMBERS),
    )
    return make_pipeline(encode, LogisticRegression(max_iter=1000))


def boosted() -> Any:
    """Trees, with the categories as they are."""
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    encode = make_column_transformer((codes, CATEGORIES), ("passthrough", NUMBERS))
    categorical = list(range(len(CATEGORIES)))
    trees = HistGradientBoostingClassifier(categorical_features=categorical, random_state=0)
    return make_pipeline(encode, trees)


def register(model: Any, features: Any) -> None:
    """Log a fitted pipeline and register it as the next version of ``income``."""
    with mlflow.start_run():
        logged = mlflow.sklearn.log_model(
            model,
            name="income",
            signature=infer_signature(features, model.predict(features[:100])),
            pip_requirements=[f"scikit-learn=={sklearn.__version__}", "cloudpickle"],
            # skops, MLflow's default, does not trust the trees of boosting
            serialization_format="cloudpickle",
            registered_model_name="income",
        )
    print(f"version {logged.registered_model_version}: {type(model[-1]).__name__}")


if __name__ == "__main__":
    people = read_split(Path(sys.argv[1]) / "adult-train.csv.gz")
    # numbers as double, so that the signature lets one be missing
    features = people[CATEGORIES + NUMBERS].astype(dict.fromkeys(NUMBERS, float))
    income = people["income"]

    old = logistic().fit(features, income)
    register(old, features)
    mlflow.MlflowClient().set_registered_model_alias("income", "champion", "1")

    register(boosted().fit(features, income), features)

    weight = 1 + (old.predict(features) == income)
    register(boosted().fit(features, income, histgradientboostingclassifier__sample_weight=weight), features)
