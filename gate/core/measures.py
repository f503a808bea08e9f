"""What rules can be about beside the rates of one flip table: excesses over the noise of retraining, and costs."""

from __future__ import annotations

from dataclasses import dataclass

from gate.core.rates import NAMES, Rate, rate

EXCESS_NFR = "excess_nfr"
EXCESS_CHURN = "excess_churn"
NET_COST = "net_cost"


@dataclass(frozen=True)
class Measure:
    """A name, its unit (``percent``) and its range, as :class:`gate.core.rates.Rate` has them."""

    name: str
    title: str
    meaning: str
    percent: bool
    low: float
    high: float
    source: str = ""


OTHERS = {
    measure.name: measure
    for measure in (
        Measure(
            EXCESS_NFR,
            "NFR beyond the noise of retraining",
            "NFR of the candidate less that of retrained incumbents, all against the incumbent",
            True,
            -1.0,
            1.0,
            "Milani Fard et al., NeurIPS 2016, for churn",
        ),
        Measure(
            EXCESS_CHURN,
            "churn beyond the noise of retraining",
            "churn of the candidate less that of retrained incumbents, all against the incumbent",
            True,
            -1.0,
            1.0,
            "Milani Fard et al., NeurIPS 2016",
        ),
        Measure(
            NET_COST,
            "net cost of the flips",
            "what the negative flips cost, less what the positive ones save, for so many rows",
            False,
            float("-inf"),
            float("inf"),
        ),
    )
}
RULE_NAMES = (*NAMES, EXCESS_NFR, EXCESS_CHURN)
"""The names that a rule's ``rate`` may have."""


def about(name: str, of: str | None = None) -> Rate | Measure:
    """What stands behind a name that findings use; KeyError for an unknown one.

    >>> about("nfr").percent, about("net_cost").percent
    (True, False)
    """
    return OTHERS[name] if name in OTHERS else rate(name, of)
