"""The versions that were promoted before, and this candidate, on the page: NFR and error rate as a trend."""

from __future__ import annotations

from typing import Any

from gate.decisions.record import Decision, EarlierRow, RateRow
from gate.report import words
from gate.report.html import drawings
from gate.report.html.drawings import Point

_FEWEST_DRAWN = 2
_ONE_MODEL = {"nfr": None, "error_rate": "candidate"}


def trend(decision: Decision) -> dict[str, Any] | None:
    """Two drawings and a table, oldest first and the candidate last; None where nothing was promoted before."""
    if not decision.history:
        return None
    now = {name: _rate(decision, name) for name in _ONE_MODEL}
    version = decision.provenance.candidate.version
    this = "this candidate" if version is None else f"{version}, this candidate"
    lines = [*(_earlier(row, decision) for row in decision.history), _line(this, decision, now)]
    marks = [str(row.version) for row in decision.history] + ["now"]
    nfr = [Point(row.nfr, row.nfr_lower, row.nfr_upper) for row in decision.history]
    wrong = [Point(row.error_rate, row.error_rate_lower, row.error_rate_upper) for row in decision.history]
    return {
        "alias": words.printable(decision.target.alias or ""),
        "drawings": [
            {"name": title, "drawing": drawings.trend([*points, _point(now[name])], marks, _told(title, lines, name))}
            for title, name, points in (
                ()
                if len(decision.history) < _FEWEST_DRAWN
                else (
                    ("Negative flip rate (NFR)", "nfr", nfr),
                    ("Error rate", "error_rate", wrong),
                )
            )
        ],
        "lines": lines,
    }


def _earlier(row: EarlierRow, decision: Decision) -> dict[str, str]:
    remarks = [
        *(["promoted against the verdict"] if row.kind == "override" else []),
        *(["taken back since"] if row.taken_back else []),
        *(["judged on other rows"] if row.holdout_digest != decision.provenance.holdout.digest else []),
    ]
    return {
        "version": str(row.version),
        "against": "none" if row.previous is None else str(row.previous),
        "at": words.printable(row.at[:10]),
        "nfr": _seen(row.nfr, "nfr"),
        "nfr_bounds": _bounds(row.nfr_lower, row.nfr_upper, "nfr"),
        "error_rate": _seen(row.error_rate, "error_rate"),
        "error_rate_bounds": _bounds(row.error_rate_lower, row.error_rate_upper, "error_rate"),
        "remark": ", ".join(remarks),
    }


def _line(this: str, decision: Decision, now: dict[str, RateRow | None]) -> dict[str, str]:
    incumbent = decision.provenance.incumbent
    against = incumbent.version if incumbent and incumbent.version is not None else None
    found = {
        "version": this,
        "against": "none" if against is None else str(against),
        "at": "",
        "remark": decision.verdict.value,
    }
    for name, row in now.items():
        found[name] = _seen(row.estimate if row else None, name)
        found[f"{name}_bounds"] = _bounds(row.lower, row.upper, name) if row else ""
    return found


def _rate(decision: Decision, name: str) -> RateRow | None:
    return next((row for row in decision.rates if (row.rate, row.of) == (name, _ONE_MODEL[name])), None)


def _point(row: RateRow | None) -> Point:
    return Point(row.estimate, row.lower, row.upper) if row else Point(None, None, None)


def _seen(value: float | None, name: str) -> str:
    return "not known" if value is None else words.number(value, name, _ONE_MODEL[name])


def _bounds(lower: float | None, upper: float | None, name: str) -> str:
    of = _ONE_MODEL[name]
    if lower is None or upper is None:
        return ""
    return f"{words.number(lower, name, of)} to {words.number(upper, name, of)}"


def _told(title: str, lines: list[dict[str, str]], name: str) -> str:
    return f"{title}: " + ", ".join(f"version {line['version']} {line[name]}" for line in lines)
