"""What rules can be about beside the rates of one flip table: excesses over noise, means of scores, and costs."""

from __future__ import annotations

from dataclasses import dataclass

from gate.core.rates import NAMES, Rate, rate

EXCESS_NFR = "excess_nfr"
EXCESS_CHURN = "excess_churn"
MEAN_LOSS = "mean_loss"
MEAN_GAIN = "mean_gain"
NET_COST = "net_cost"


@dataclass(frozen=True)
class Measure:
    """A name, its unit (``percent``) and its range, as :class:`gate.core.rates.Rate` has them; ``of`` is nobody's."""

    name: str
    title: str
    meaning: str
    percent: bool
    low: float
    high: float
    source: str = ""
    of: None = None


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
            MEAN_LOSS,
            "mean loss",
            "how much lower the score gets, on average over the rows on which it gets lower",
            False,
            0.0,
            float("inf"),
            "Echterhoff et al. (MUSCLE), 2024",
        ),
        Measure(
            MEAN_GAIN,
            "mean gain",
            "how much higher the score gets, on average over the rows on which it gets higher",
            False,
            0.0,
            float("inf"),
            "Echterhoff et al. (MUSCLE), 2024",
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
OF_SCORES = (MEAN_LOSS, MEAN_GAIN)
"""The measures that only rows with two scores have."""

BEYOND_NOISE = (EXCESS_NFR, EXCESS_CHURN)
"""The measures that only a comparison with retrained incumbents has."""

RULE_NAMES = (*NAMES, *BEYOND_NOISE, *OF_SCORES)
"""The names that a rule's ``rate`` may have."""


def about(name: str, of: str | None = None) -> Rate | Measure:
    """What stands behind a name that findings use; KeyError for an unknown one.

    >>> about("nfr").percent, about("net_cost").percent
    (True, False)
    """
    return OTHERS[name] if name in OTHERS else rate(name, of)
