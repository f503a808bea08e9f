"""Make up what two language models answer to sums: ``python make_predictions.py`` writes ``answers.jsonl``.

Each question is asked four times, as a model that draws its words gives another answer each time.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

SAYS = ["The answer is {}.", "{}", "Adding up, we get {}", "I make it **{}**"]

if __name__ == "__main__":
    dice = random.Random(3)
    with Path("answers.jsonl").open("w", encoding="utf-8") as file:
        for question in range(1, 501):
            one, two = dice.randint(100, 900), dice.randint(100, 900)
            hard = dice.random()  # what makes a question hard makes it hard each time, and for both models
            for sample in range(1, 5):
                said = []
                for share in (0.30, 0.22):
                    wrong = dice.random() < share * hard
                    total = f"{one + two + (10 if wrong else 0):,}"
                    said.append(dice.choice(SAYS).format(total))
                row = {"question": question, "sample": sample, "sum": one + two}
                file.write(json.dumps(row | {"old": said[0], "new": said[1]}) + "\n")
