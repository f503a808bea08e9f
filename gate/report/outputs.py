"""What a pipeline's next steps want to know, as ``name=value`` lines: the form of GitHub's outputs and of dotenv files.

Every value is one line and holds nothing but letters, digits, spaces and ``.-_,``: names of rules too, where other
characters are written as ``_``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gate.core.flips import FlippedRow
from gate.core.judgement import Severity, Status
from gate.decisions.record import Decision

_STANDS_IN_THE_WAY = (Status.FAIL, Status.INCONCLUSIVE, Status.ERROR)


def write(decision: Decision, samples: Sequence[FlippedRow]) -> dict[str, bytes]:
    """``outputs.env``: verdict, exit_code, failed_rules, nfr and n; what is undefined is empty."""
    nfr = next((row.estimate for row in decision.rates if row.rate == "nfr"), None)
    rules = dict.fromkeys(
        finding.rule
        for finding in decision.findings
        if finding.severity is Severity.ENFORCE and finding.status in _STANDS_IN_THE_WAY
    )
    values = {
        "verdict": decision.verdict.value,
        "exit_code": str(decision.exit_code),
        "failed_rules": ",".join(re.sub(r"[^A-Za-z0-9. _-]", "_", rule) for rule in rules),
        "nfr": "" if nfr is None else f"{nfr:.6g}",
        "n": str(decision.counts.n),
    }
    return {"outputs.env": "".join(f"{name}={value}\n" for name, value in values.items()).encode()}
