"""Make up what an evaluation harness writes of two models: ``python make_predictions.py``.

Writes ``old.jsonl`` and ``new.jsonl``, one line a question with its subject, whether the answer was right (``acc``),
and a score from 0 to 1 that a judge gave it (``judge``).
"""

from __future__ import annotations

import json
import random
from pathlib import Path

SUBJECTS = ["anatomy", "law", "physics"]

if __name__ == "__main__":
    dice = random.Random(9)
    old, new = [], []
    for doc in range(2400):
        subject = dice.choice(SUBJECTS)
        right = dice.random() < 0.7
        keeps = 0.93 if subject == "law" else 0.99
        stays = dice.random() < keeps if right else dice.random() < 0.3
        for lines, acc in ((old, right), (new, stays)):
            judge = round(min(max(dice.gauss(0.75 if acc else 0.35, 0.1), 0.0), 1.0), 2)
            lines.append({"doc_id": doc, "subject": subject, "acc": float(acc), "judge": judge})
    dice.shuffle(new)
    for name, lines in (("old.jsonl", old), ("new.jsonl", new)):
        Path(name).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
