"""Small comparisons and hostile names that every report is tried on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gate.core.judgement import Verdict
from gate.decisions.record import Decision

HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "abc\u202edcba",
    "line\n::set-output name=verdict::allow",
    "\r\n::error::gotcha",
    "</script><img src=x onerror=alert(1)>",
    "a|b|c",
    "@all",
    "@octocat",
    "#1",
    "[click](javascript:alert(1))",
    "`code`",
    "**bold**",
    "- item",
    "www.evil.example",
    "https://evil.example/x",
    "\x00\x07\x85\u2028\u2029",
    "\u200b\ufeff",
    "=cmd()|' /C calc'!A0",
]
LONG = [
    "a-class-name-that-goes-on-and-on-" * 4,
    "漢字の分類名がとても長い場合でも幅を守ること" * 3,
    "x" * 200,
    "ﷺ" * 50,
]


def pets(flips: int, gains: int, rows: int = 1000) -> dict[str, list[Any]]:
    """``rows`` rows, half cats and half dogs; some cats become dogs, some wrong dogs are right now."""
    half = rows // 2
    y = ["cat"] * half + ["dog"] * half
    old = ["cat"] * half + ["cat"] * gains + ["dog"] * (half - gains)
    new = ["dog"] * flips + ["cat"] * (half - flips) + ["dog"] * half
    return {"id": list(range(rows)), "y": y, "old": old, "new": new, "site": ["north", "south"] * half}


def named(names: list[str], copies: int = 40) -> dict[str, list[Any]]:
    """Every name as label, output, slice and id; the first copy of each is broken by the update."""
    y = [name for name in names for _ in range(copies)]
    new = [names[(i // copies + 1) % len(names)] if i % copies == 0 else y[i] for i in range(len(y))]
    return {"id": [f"{name}/{i}" for i, name in enumerate(y)], "y": y, "old": list(y), "new": new, "site": list(y)}


RULES = (
    "  - {id: few-flips, rate: nfr, at_most: 2%, because: Support reads every new mistake as a bug.}\n"
    "  - {id: no-worse, rate: error_rate_change, at_most: 0.5%}\n"
    "  - {id: no-class-breaks, rate: nfr, by: class, at_most: 5%, at_least_n: 200}\n"
    "  - {id: sites, rate: nfr, by: site, at_most: 3%, severity: warn}\n"
)
STORIES = {"allowed": pets(4, 40), "refused": pets(60, 90), "inconclusive": pets(14, 40)}
VERDICTS = {"allowed": Verdict.ALLOW, "refused": Verdict.REFUSE, "inconclusive": Verdict.INCONCLUSIVE}


def with_hostile(decision: Decision, place: str, hostile: str) -> Decision:
    origin = decision.provenance
    return {
        "rule": lambda: replace(decision, findings=tuple(replace(f, rule=hostile) for f in decision.findings)),
        "because": lambda: replace(decision, findings=tuple(replace(f, because=hostile) for f in decision.findings)),
        "policy": lambda: replace(decision, policy=replace(decision.policy, name=hostile, file=hostile)),
        "uri": lambda: replace(
            decision,
            provenance=replace(
                origin,
                candidate=replace(origin.candidate, uri=hostile),
                holdout=replace(origin.holdout, uri=hostile),
            ),
        ),
    }[place]()
