"""Make up the rents that two models expect: ``python make_predictions.py`` writes ``flats.csv``."""

from __future__ import annotations

import csv
import random
from pathlib import Path

if __name__ == "__main__":
    dice = random.Random(8)
    with Path("flats.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["flat", "district", "rent", "old", "new"])
        for number in range(1, 3001):
            district = dice.choice(["north", "south"])
            rent = dice.lognormvariate(7, 0.3)
            shared = dice.gauss(0, 0.03)
            old = rent * (1 + shared + dice.gauss(0, 0.02))
            new = rent * (1 + 0.9 * shared + dice.gauss(0, 0.01))
            rows.writerow([f"F-{number:04}", district, *(f"{euros:.2f}" for euros in (rent, old, new))])
