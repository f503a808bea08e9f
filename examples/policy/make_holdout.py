"""Writes holdout.csv: 4,000 payments with a label, a region and the age of the account; no two runs differ."""

import csv

with open("holdout.csv", "w", newline="", encoding="utf-8") as file:
    rows = csv.writer(file)
    rows.writerow(["txn_id", "label", "region", "tenure_days", "retrained_1"])
    for number in range(4000):
        label = "fraud" if number % 10 == 0 else "refund" if number % 40 == 1 else "legit"
        region = ["north", "south", "west"][number * 7 % 3]
        retrained = "legit" if number % 50 == 0 else label
        rows.writerow([f"t{number}", label, region, number * 13 % 900, retrained])
