"""Writes ``../statsmodels_paired.json``: paired and one-rate numbers as statsmodels gives them. Run by hand::

    pip install statsmodels
    python tests/golden/generators/statsmodels_paired.py

statsmodels has McNemar's tests (exact, asymptotic), the binomial interval of Clopper and Pearson ("beta"), and for two
*independent* proportions Newcombe's hybrid score interval, which method 10 becomes without a correlation. Tango's
interval and McNemar's mid-p it has not: those are checked against printed numbers, and mid-p against its definition
from statsmodels' exact binomial.
"""

from __future__ import annotations

import json
from pathlib import Path

import scipy
import statsmodels
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

FLIPS = [(1, 7), (7, 1), (0, 5), (3, 3), (10, 25), (40, 41), (0, 1), (120, 80)]
SHARES = [(0, 300), (1, 59), (10, 300), (300, 300), (7, 20), (250, 5000)]
PAIRS = [(20, 100, 30, 100), (5, 50, 2, 50), (0, 40, 4, 40)]
P_VALUES = [0.0004, 0.03, 0.001, 0.2, 0.012, 0.04, 0.9, 0.0004]


def main() -> None:
    found = {
        "made_by": f"statsmodels {statsmodels.__version__}, scipy {scipy.__version__}",
        "mcnemar": [
            {
                "negative": b,
                "positive": c,
                "exact": float(mcnemar([[9, b], [c, 9]], exact=True).pvalue),
                "asymptotic": float(mcnemar([[9, b], [c, 9]], exact=False, correction=False).pvalue),
                "midp": float(min(1.0, 2 * stats.binom.cdf(min(b, c), b + c, 0.5) - stats.binom.pmf(b, b + c, 0.5))),
            }
            for b, c in FLIPS
        ],
        "clopper_pearson_90": [
            {"hits": k, "n": n, "interval": [float(x) for x in proportion_confint(k, n, alpha=0.1, method="beta")]}
            for k, n in SHARES
        ],
        "newcombe_independent_90": [
            {
                "candidate": [k1, n1],
                "incumbent": [k2, n2],
                "interval": [
                    float(x)
                    for x in confint_proportions_2indep(k1, n1, k2, n2, alpha=0.1, compare="diff", method="newcomb")
                ],
            }
            for k1, n1, k2, n2 in PAIRS
        ],
        "p_values": P_VALUES,
        "holm": [bool(x) for x in multipletests(P_VALUES, alpha=0.05, method="holm")[0]],
        "benjamini_hochberg": [bool(x) for x in multipletests(P_VALUES, alpha=0.05, method="fdr_bh")[0]],
    }
    path = Path(__file__).parents[1] / "statsmodels_paired.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
