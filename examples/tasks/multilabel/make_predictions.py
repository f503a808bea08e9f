"""Make up the topics that two models find in articles: ``python make_predictions.py`` writes ``articles.jsonl``."""

from __future__ import annotations

import json
import random
from pathlib import Path

TOPICS = {"business": 0.4, "health": 0.15, "politics": 0.35, "sport": 0.25}
OLD_ERRS = {"business": 0.07, "health": 0.03, "politics": 0.06, "sport": 0.04}
NEW_BREAKS = {"business": 0.004, "health": 0.05, "politics": 0.004, "sport": 0.004}
NEW_MENDS = 0.6

if __name__ == "__main__":
    dice = random.Random(5)
    with Path("articles.jsonl").open("w", encoding="utf-8") as file:
        for number in range(1, 2001):
            truth, old, new = [], [], []
            for topic, share in TOPICS.items():
                there = dice.random() < share
                old_right = dice.random() >= OLD_ERRS[topic]
                new_right = dice.random() >= NEW_BREAKS[topic] if old_right else dice.random() < NEW_MENDS
                for topics, found in ((truth, there), (old, there == old_right), (new, there == new_right)):
                    if found:
                        topics.append(topic)
            row = {"article": f"A-{number:04}", "topics": truth, "old": old, "new": new}
            file.write(json.dumps(row) + "\n")
