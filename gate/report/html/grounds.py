"""What the verdict rests on, on the page: evidence, contract, provenance."""

from __future__ import annotations

from gate.core.judgement import Severity, Status
from gate.core.measures import about as measure
from gate.core.rates import CLOPPER_PEARSON
from gate.decisions.record import Decision
from gate.report import words
from gate.report.view import View

_MOST_NAMED = 12
_SIDES = {"upper": "at most", "lower": "at least"}
_PROOF = {
    "proof": "the update: what is not shown to be within the limit does not pass",
    "estimate": "nobody: what was seen decides",
    "harm": "the objection: only what is proven harmful fails",
}


def evidence(decision: Decision) -> list[tuple[str, str]]:
    """How much was seen, how sure it is, and what these rows could have certified."""
    told, counts = decision.evidence, decision.counts
    units = decision.task.units
    found = [(units, words.rows(counts.n))]
    if units != "rows":
        found.append(("these are labels of", f"{words.rows(decision.provenance.holdout.rows)} rows"))
    if counts.negative is not None and counts.positive is not None:
        found.append((f"{units} on which exactly one model is right", words.rows(counts.negative + counts.positive)))
    if told.mcnemar_midp is not None:
        found.append(("any difference in accuracy at all (McNemar, mid-p)", f"p = {told.mcnemar_midp:.3g}"))
    found += [
        ("confidence of each bound", words.percent(told.confidence)),
        ("who carries the proof, where a rule says nothing else", _PROOF.get(told.decide_on, told.decide_on)),
        ("how the bounds are computed", _methods(decision) or "no rule asks for one"),
        ("looks that this held-out set is declared for", str(told.looks)),
    ]
    if told.uses_before is not None:
        found.append(("other candidates judged on it before", words.rows(told.uses_before)))
    found += _certifiable(decision)
    for one in told.discoveries:
        named = ", ".join(words.cell(cell) for cell in one.cells[:_MOST_NAMED])
        more = f" and {len(one.cells) - _MOST_NAMED} more" if len(one.cells) > _MOST_NAMED else ""
        found.append(
            (
                f"past the limit of {words.printable(one.rule)}, at most {words.percent(one.share)} of them by chance",
                f"{named}{more}" if named else "none",
            )
        )
    return found


def _methods(decision: Decision) -> str:
    """The methods of the bounds of those rates that rules are about."""
    asked = {(finding.rate, finding.of) for finding in decision.findings}
    methods = dict.fromkeys(row.method for row in decision.rates if (row.rate, row.of) in asked)
    return "; ".join(f"{method}, exact for shares" if method == CLOPPER_PEARSON else method for method in methods)


def _certifiable(decision: Decision) -> list[tuple[str, str]]:
    """For each enforced rule over all rows what this set certifies, or with how many such rows at most it would."""
    found = []
    for finding in decision.findings:
        if finding.cell.by != "overall" or finding.severity is not Severity.ENFORCE:
            continue
        title, rule = measure(finding.rate, finding.of).title, words.printable(finding.rule)
        if finding.passes_with is not None:
            what, among = words.counted(finding, decision.task.units)
            few = f"with {words.rows(finding.passes_with)} or fewer {what} among {words.rows(finding.n)} {among}"
            found.append((f"what this set could certify for {rule}", f"{title} {words.limit(finding)}, {few}"))
        elif finding.status is Status.PASS and finding.side in _SIDES and finding.bound is not None:
            bound = words.number(finding.bound, finding.rate, finding.of)
            found.append((f"what this set certifies for {rule}", f"{title} {_SIDES[finding.side]} {bound}"))
    return found[:_MOST_NAMED]


def contract(decision: Decision) -> list[str]:
    """The checks of the held-out set, built in and its own."""
    of = decision.contract
    lines = [f"built in: {', '.join(of.built_in)}"] if of.built_in else []
    for result in of.results:
        settings = ", ".join(f"{name}={value!r}" for name, value in sorted(result.kwargs.items()))
        told = f": {result.message}" if result.message else ""
        lines.append(words.printable(f"{result.status}: {result.type}({settings}){told}"))
    return lines


def provenance(decision: Decision, shown: View) -> list[tuple[str, str]]:
    """Models, data, policy and tools, with whole digests."""
    origin = decision.provenance
    rows = [("candidate", origin.candidate), *([("incumbent", origin.incumbent)] if origin.incumbent else [])]
    found = []
    for role, row in rows:
        found.append((role, words.printable(row.uri)))
        found += [(f"SHA-256 of the {role}'s files", row.digest)] if row.digest else []
        told = ", ".join(f"{name} {version}" for name, version in sorted(row.versions.items()))
        found += [(f"versions the {role} ran with", words.printable(told))] if told else []
    found += [
        ("held-out set", f"{words.printable(origin.holdout.uri)}, {words.rows(origin.holdout.rows)} rows"),
        ("SHA-256 of its content", origin.holdout.digest),
        ("policy", f"{words.printable(decision.policy.name)} ({words.printable(decision.policy.file)})"),
        ("SHA-256 of the policy", decision.policy.digest),
        *((f"SHA-256 of {words.printable(name)}", digest) for name, digest in sorted(origin.files.items())),
        (
            "SHA-256 of the flipped rows",
            f"{origin.samples.digest} ({words.rows(origin.samples.rows)} rows, negative and positive flips)",
        ),
        ("decision", decision.decision_id),
        ("made", f"{decision.created_at}, as of {decision.as_of}"),
        ("signature", "stands in a file of its own: gate verify FILE --key PUB --decision decision.json"),
        ("isolation of the models", words.printable(origin.isolation)),
        ("seed, rows a batch", f"{origin.seed}, {origin.batch_rows}"),
        ("tools", ", ".join(f"{name} {version}" for name, version in sorted(origin.tools.items()))),
    ]
    return [*found, *(line for line in shown.provenance if line[0] == "promotable")]
