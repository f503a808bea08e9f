"""The same from Python: check the candidate, read the judgement, promote it if it is allowed."""

from __future__ import annotations

import gate

judged = gate.check(
    model="digits", candidate="2", incumbent="@champion", data="holdout.parquet", policy="policy.yaml", log_run=False
)
decision = judged.decision
print("verdict:", judged.verdict.value)
print("negative flips:", decision.counts.negative, "of", decision.counts.n)
for finding in decision.findings:
    print(f"  {finding.rule}: {finding.status.value}, {finding.estimate:.2%} seen, {finding.bound:.2%} at the bound")
print("rows that flipped:", sorted(row.id for row in judged.samples if row.kind == "negative"))

if judged.allowed:
    done = gate.promote(decision)
    print(f"{done.model}@{done.alias} is version {done.version}; it was {done.previous}")
