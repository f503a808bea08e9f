"""Make up the scores of two models that look for fraud: ``python make_predictions.py`` writes ``payments.csv``.

The new model sees more, and its scores are lower all over: a threshold of its own makes up for that.
"""

from __future__ import annotations

import csv
import random
from pathlib import Path

if __name__ == "__main__":
    dice = random.Random(12)
    with Path("payments.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["payment", "label", "old_score", "new_score"])
        for number in range(1, 5001):
            fraud = dice.random() < 0.1
            shared = dice.gauss(0, 0.08)
            old = (0.7 if fraud else 0.3) + shared + dice.gauss(0, 0.05)
            new = (0.6 if fraud else 0.2) + shared + dice.gauss(0, 0.03)
            scores = [f"{min(max(score, 0.0), 1.0):.3f}" for score in (old, new)]
            rows.writerow([f"P-{number:04}", "fraud" if fraud else "fine", *scores])
