"""The same from Python, on a DataFrame: the verdict, and the findings that decide."""

from __future__ import annotations

import pandas as pd

import gate

tickets = pd.read_csv("tickets.csv")
judged = gate.compare(tickets, incumbent="old", candidate="new", policy="policy.yaml")
print("verdict:", judged.verdict.value)
for finding in judged.decision.findings:
    print(f"{finding.status.value:>12}  {finding.rule}  {finding.cell.value or 'all rows'}  {finding.estimate:.2%}")
