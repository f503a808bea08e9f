"""Have MLflow's scorers judge what two models answered: ``python score.py`` writes ``old.parquet`` and ``new.parquet``.

The answers are made up; no language model is asked, neither for answers nor as a judge. MLFLOW_TRACKING_URI says where
MLflow keeps what it found.
"""

from __future__ import annotations

import os
import random
from typing import Any

import mlflow
import pandas as pd
from mlflow.genai.scorers import RegexMatch, scorer

os.environ.setdefault("MLFLOW_GENAI_EVAL_MAX_WORKERS", "1")  # a SQLite store has room for one writer
CAPITALS = {"Chile": "Santiago", "Ghana": "Accra", "Japan": "Tokyo", "Kenya": "Nairobi", "Norway": "Oslo"}
QUESTIONS = 60


@scorer
def right(outputs: str, expectations: dict[str, Any]) -> bool:
    """The capital is named."""
    return expectations["capital"] in outputs


def answers(share_right: float, share_cited: float, ease: list[float], dice: random.Random) -> list[str]:
    """What a model says to each question: the same questions are hard for both."""
    said = []
    for (_, capital), easy in zip(asked(), ease, strict=True):
        city = capital if easy < share_right else dice.choice(["Lima", "Rome"])
        said.append(f"It is {city}." + (" [atlas]" if dice.random() < share_cited else ""))
    return said


def asked() -> list[tuple[str, str]]:
    """Country and capital of each question."""
    return [list(CAPITALS.items())[number % len(CAPITALS)] for number in range(QUESTIONS)]


def scored(said: list[str]) -> pd.DataFrame:
    """One row for each question, with a column for each scorer; empty where a scorer failed or a row got lost."""
    rows = [
        {
            "inputs": {"id": number, "question": f"What is the capital of {country}?"},
            "outputs": text,
            "expectations": {"capital": capital},
        }
        for number, ((country, capital), text) in enumerate(zip(asked(), said, strict=True))
    ]
    found = mlflow.genai.evaluate(data=rows, scorers=[right, RegexMatch(name="cites", pattern=r"\[\w+\]")]).result_df
    found["id"] = [inputs["id"] for inputs in found["request"]]  # never by position: rows may come in another order
    kept = found.set_index("id")[["right/value", "cites/value"]].reindex(range(QUESTIONS))
    return kept.rename_axis("id").reset_index()


if __name__ == "__main__":
    dice = random.Random(4)
    ease = [dice.random() for _ in range(QUESTIONS)]
    scored(answers(0.85, 0.95, ease, dice)).to_parquet("old.parquet")
    scored(answers(0.92, 0.70, ease, dice)).to_parquet("new.parquet")
