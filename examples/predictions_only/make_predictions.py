"""Make up the answers of two models that route support tickets to teams: ``python make_predictions.py``.

The new model is better on average, and worse at returns. Writes ``tickets.csv`` with both answers side by side, and
``old.csv`` and ``new.csv`` with one each, in another order.
"""

from __future__ import annotations

import csv
import random
from pathlib import Path

TEAMS = ["billing", "delivery", "returns", "technical"]
OLD_IS_RIGHT = {"billing": 0.88, "delivery": 0.90, "returns": 0.93, "technical": 0.85}
NEW_KEEPS = {"billing": 0.995, "delivery": 0.99, "returns": 0.93, "technical": 0.99}
NEW_MENDS = 0.45


def answer(dice: random.Random, team: str, right: bool) -> str:
    """The team, or one of the others."""
    return team if right else dice.choice([other for other in TEAMS if other != team])


def write(name: str, header: list[str], rows: list[list[str]]) -> None:
    """A CSV file with a header."""
    with Path(name).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


if __name__ == "__main__":
    dice = random.Random(4)
    tickets = []
    for number in range(1, 4001):
        team = dice.choices(TEAMS, weights=[4, 3, 1, 2])[0]
        channel = dice.choice(["mail", "chat"])
        old_right = dice.random() < OLD_IS_RIGHT[team]
        new_right = dice.random() < (NEW_KEEPS[team] if old_right else NEW_MENDS)
        old, new = answer(dice, team, old_right), answer(dice, team, new_right)
        tickets.append([f"T-{number:04}", channel, team, old, new])
    write("tickets.csv", ["ticket", "channel", "team", "old", "new"], tickets)
    columns = ["ticket", "channel", "team", "answer"]
    write("old.csv", columns, [[*known, old] for *known, old, _ in tickets])
    dice.shuffle(tickets)
    write("new.csv", columns, [[*known, new] for *known, _, new in tickets])
