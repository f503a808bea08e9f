"""Write UCI Adult's test split as a held-out set: ``python prepare.py FOLDER`` makes ``holdout.parquet``.

FOLDER holds ``adult-train.csv.gz`` and ``adult-test.csv.gz``, the original split: no header, no id, ``?`` for missing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

CATEGORIES = ["workclass", "education", "marital_status", "occupation", "relationship", "native_country"]
NUMBERS = ["age", "education_num", "capital_gain", "capital_loss", "hours_per_week"]
COLUMNS = [
    *("age", "workclass", "fnlwgt", "education", "education_num", "marital_status", "occupation", "relationship"),
    *("race", "sex", "capital_gain", "capital_loss", "hours_per_week", "native_country", "income"),
]


def read_split(file: Path) -> pd.DataFrame:
    """One of the two files, with names; the test labels lose the full stop that the training labels do not have."""
    people = pd.read_csv(file, header=None, names=COLUMNS, skipinitialspace=True)
    people["income"] = people["income"].str.removesuffix(".")
    return people


if __name__ == "__main__":
    people = read_split(Path(sys.argv[1]) / "adult-test.csv.gz")
    people.insert(0, "person", range(1, len(people) + 1))
    people.to_parquet("holdout.parquet", index=False)
    print(f"holdout.parquet: {len(people):,} rows, {people['income'].eq('>50K').mean():.1%} of them >50K")
