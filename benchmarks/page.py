"""Writes docs/benchmarks.md and its pictures from the results in benchmarks/results.

``--check`` writes nothing, and fails where a file is out of date.

Run::

    python benchmarks/page.py [--check]
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
if __package__ in (None, ""):
    sys.path.insert(0, str(HERE.parent))

from benchmarks.bars import BAD, GOOD, OTHERS, OURS, Bar, against_limit, logarithmic  # noqa: E402

RESULTS = HERE / "results"
DOCS = HERE.parent / "docs"
WRITTEN = "<!-- Written by benchmarks/page.py from benchmarks/results: run the benchmarks to change it. -->"
LIMITS, PEERS = "pictures/benchmarks-limits.svg", "pictures/benchmarks-peers-{}.svg"


@dataclass(frozen=True)
class Row:
    """One figure, with its limit where it has one."""

    what: str
    value: float | None
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    aim: float | None = None
    more: Mapping[str, Any] | None = None

    @property
    def limit(self) -> float | None:
        return self.at_most if self.at_most is not None else self.at_least

    @property
    def holds(self) -> bool:
        """Whether the limit is kept; what could not be measured keeps none."""
        if self.value is None:
            return False
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )

    @property
    def used(self) -> float:
        """How much of the limit is used, 1 being all of it."""
        if self.value is None or self.limit is None:
            return 0.0
        return self.value / self.limit if self.at_most is not None else self.limit / self.value

    @property
    def limit_shown(self) -> str:
        if self.limit is None:
            return ""
        words = f"{'≤' if self.at_most is not None else '≥'} {shown(self.limit, self.unit)}"
        return words if self.aim is None else f"{words}, aim {shown(self.aim, self.unit)}"


@dataclass(frozen=True)
class Measured:
    """What one benchmark found, and where and when."""

    name: str
    rows: tuple[Row, ...]
    about: Mapping[str, Any]

    @property
    def trial(self) -> bool:
        return bool(self.about.get("trial"))

    @property
    def machine(self) -> str:
        about = self.about
        parts = [str(about["processor"]), f"{about['cores']} cores"]
        parts += [f"{about['memory_gib']} GiB"] if about.get("memory_gib") else []
        parts += [str(about["card"])] if about.get("card") else []
        versions = " ".join(f"{name} {number}" for name, number in about["versions"].items())
        return f"{about['date']}, {', '.join(parts)}; {about['system']}; {versions}"


_OWN = ("what", "value", "unit", "at_most", "at_least", "aim")


def measured(content: Mapping[str, Any]) -> Measured:
    """A result file as values."""
    rows = tuple(
        Row(
            row["what"],
            row["value"],
            row["unit"],
            row.get("at_most"),
            row.get("at_least"),
            row.get("aim"),
            {key: value for key, value in row.items() if key not in _OWN},
        )
        for row in content["rows"]
    )
    return Measured(content["benchmark"], rows, content)


def shown(value: float | None, unit: str) -> str:
    """A figure with its unit.

    >>> shown(1.2345, "x"), shown(0.034, "share"), shown(12345.0, "s"), shown(0.00123, "s"), shown(None, "s")
    ('1.23 x', '3.4 %', '12,345 s', '0.0012 s', 'not measured')
    """
    if value is None:
        return "not measured"
    if unit == "share":
        return f"{value * 100:.1f} %"
    if value and abs(value) < 0.1:
        return f"{float(f'{value:.2g}'):.10g} {unit}"
    number = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return f"{number} {unit}"


@dataclass(frozen=True)
class Section:
    """A question of the page, and the benchmarks that answer it; what is ``lacking`` is said where one was not run."""

    title: str
    text: str
    names: tuple[str, ...]
    lacking: Mapping[str, str] = field(default_factory=dict)


SECTIONS = (
    Section(
        "Counting",
        "How much more than one coded `np.bincount` over whole arrays, which checks nothing, does counting cost? The"
        " limit is 1.3 times for the five counts of every class, 3 times with the flip matrix, and for text labels.",
        ("counting",),
    ),
    Section(
        "Scoring and counting in `gate check`",
        "How much longer than a bare loop that reads the same file, calls both models, and counts? The models run side"
        " by side, so it can be less than 1. The limit is 1.10 times, and 0.6 times where the incumbent's answers are"
        " known. Both are what a command pays: fresh processes, which import, allocate and call each model for the"
        " first time. *Warm* is the bare loop's second pass in its process, which no command ever sees; there is no"
        " limit for it, and a small held-out set is far above it.",
        ("checking", "cached"),
    ),
    Section(
        "PyTorch models",
        "A small network on made images on the CPU: at most 1.10 times a bare loop. On a GPU: at least 90 % of the"
        " throughput of a bare loop.",
        ("torch_models", "torch_gpu_float32", "torch_gpu_bf16"),
        {
            f"torch_gpu_{dtype}": f"ResNet-50 in {dtype} on a GPU: not measured, none was at hand."
            for dtype in ("float32", "bf16")
        },
    ),
    Section(
        "Memory",
        "The peak of many rows against that of few, after 8 bytes an id are taken off both: at most 1.10 times.",
        ("memory",),
    ),
    Section(
        "Spark",
        "One pass of the gate against two bare passes of `mlflow.pyfunc.spark_udf` over the same rows, all warm: at"
        " most 1.15 times. In the pass: asking the models what they are, reading, both models, the digest of all rows,"
        " and counting; the search for ids that stand twice is a job of its own. These models share a"
        " process. *Models apart*: each in workers of its own, as models with code of their own run, so that rows cross"
        " to each and once more to the count; there is no limit for it.",
        ("spark",),
    ),
    Section(
        "Environments of the models' own",
        "What an environment that is there already adds to a check, beyond importing: at most 2 seconds for each"
        " model.",
        ("environments",),
    ),
    Section(
        "All else",
        "The start of the command, `gate compare` of a file, judging, reports, a registry's store with the gate before"
        " it, and the ways that rows can take to a model's process.",
        ("start", "judging", "reports", "wrapped_store", "transport"),
    ),
)


def page(results: Mapping[str, Measured]) -> str:
    """The whole page."""
    parts = [
        WRITTEN,
        "# Benchmarks",
        "How fast the gate is, as ratios against bare loops on the same data in the same run. Every figure of this page"
        " is from a file in [`benchmarks/results`](../benchmarks/results); each table names its machine, its date, and"
        " the command that gives it again. Absolute seconds are those of one machine; ratios travel better."
        " `python -m benchmarks --record` measures all that can be measured here and writes this page anew.",
    ]
    parts += [_index(results), f"![Each figure as a share of its limit]({LIMITS})"]
    for section in SECTIONS:
        parts += [f"## {section.title}", section.text]
        found = [results[name] for name in section.names if name in results]
        parts += [block for one in found for block in _table(one)] or ["Not measured yet."]
        parts += [told for name, told in section.lacking.items() if name not in results]
    parts += [*_peers(results.get("peers")), *_where(results.get("where")), *_profiles(results.get("profiles"))]
    return "\n\n".join(map(_wrapped, parts)) + "\n"


def _wrapped(block: str) -> str:
    """Prose in lines of 120; tables, headings, pictures and what has lines already stay as they are."""
    if "\n" in block or block.startswith(("|", "#", "!", "<")):
        return block
    return textwrap.fill(block, 120, break_long_words=False, break_on_hyphens=False)


def _index(results: Mapping[str, Measured]) -> str:
    rows = [(one, row) for one in results.values() if not one.trial for row in one.rows if row.limit is not None]
    kept = sum(row.holds for _, row in rows)
    broken = [f"{row.what} ({shown(row.value, row.unit)}, {row.limit_shown})" for _, row in rows if not row.holds]
    words = f"**{kept} of {len(rows)} limits are kept.**"
    if broken:
        words += " Broken: " + "; ".join(broken) + "."
    trials = [one.name for one in results.values() if one.trial]
    if trials:
        words = f"{_wrapped(words)}\n\n> **Trials, no results**, of small runs on a busy machine: {', '.join(trials)}."
    return words


def _about(one: Measured) -> str:
    trial = "**A trial: no result.** " if one.trial else ""
    return f"{trial}`{one.about['command']}`: {one.machine}."


def _table(one: Measured) -> list[str]:
    limits = any(row.limit is not None for row in one.rows)
    lines = (
        ["| what | found | limit | |", "| --- | ---: | --- | --- |"]
        if limits
        else ["| what | found |", "| --- | ---: |"]
    )
    for row in one.rows:
        line = f"| {_cell(row.what)} | {shown(row.value, row.unit)} |"
        if limits:
            line += f" {row.limit_shown} | {'' if row.limit is None else 'kept' if row.holds else '**broken**'} |"
        lines.append(line)
    return ["\n".join(lines), _about(one)]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _peers(one: Measured | None) -> list[str]:
    parts = [
        "## Peers at the same work",
        "Each in an environment of its own ([`benchmarks/peers`](../benchmarks/peers)), in turns, medians. *Work* is"
        " without imports and with reading the file, *whole* is the process from start to end, and *peak* the memory of"
        " all its processes. The last columns say what each found, which shows that it did the work, and what it cannot"
        " say: negative flips need the two models' answers row by row.",
    ]
    if one is None:
        return [*parts, "Not measured yet."]
    for number, what in enumerate(_stories(one)):
        rows = [row for row in one.rows if (row.more or {}).get("of") == what]
        lines = [
            "| | work | ratio | whole | ratio | peak | accuracy | negative flips | verdict | does not say |",
            "| --- | ---: | ---: | ---: | ---: | ---: | --- | ---: | --- | --- |",
        ]
        lines += [_peer(row) for row in rows]
        parts += [f"### {what[0].upper()}{what[1:]}", f"![{what}]({PEERS.format(number + 1)})", "\n".join(lines)]
    versions = [f"{row.more['peer']}: {_versions(row)}" for row in one.rows if row.more and "versions" in row.more]
    return [*parts, _about(one), "Versions of the peers. " + "; ".join(dict.fromkeys(versions)) + "."]


def _stories(one: Measured) -> list[str]:
    return list(dict.fromkeys(str(row.more["of"]) for row in one.rows if row.more and "of" in row.more))


def _versions(row: Row) -> str:
    return ", ".join(f"{name} {number}" for name, number in (row.more or {})["versions"].items())


def _peer(row: Row) -> str:
    more = dict(row.more or {})
    if row.value is None:
        return f"| {more['peer']} | could not be run: {_cell(more['problem'])} |" + " |" * 8
    found = more["found"]
    accuracy = " → ".join(f"{one:.2%}" for one in found.get("accuracy", []))
    flips = f"{found['negative flips']:,}" if "negative flips" in found else "cannot say"
    name = f"**{more['peer']}**" if more["peer"].startswith(("the gate", "gate")) else more["peer"]
    return (
        f"| {name} | {shown(row.value, 's')} | {_ratio(more.get('ratio'))} | {shown(more['whole'], 's')} |"
        f" {_ratio(more.get('whole_ratio'))} | {shown(more['peak_mib'], 'MiB')} | {accuracy} | {flips} |"
        f" {found.get('verdict', 'none')} | {more['lacks'] or 'nothing'} |"
    )


def _ratio(value: float | None) -> str:
    return "" if value is None else shown(value, "x")


def _where(one: Measured | None) -> list[str]:
    parts = [
        "## Where the time of `gate check` goes",
        "One whole command, nothing cached, with a clock around its steps; what a step does inside another is taken off"
        " that one. The models' processes work beside it, so that what is waited for is theirs.",
    ]
    if one is None:
        return [*parts, "Not measured yet."]
    lines = ["| step | seconds | share |", "| --- | ---: | ---: |"]
    for row in one.rows:
        share = (row.more or {}).get("share")
        lines.append(f"| {_cell(row.what)} | {row.value:.3f} | {'' if share is None else shown(share, 'share')} |")
    return [*parts, "\n".join(lines), _about(one)]


def _profiles(one: Measured | None) -> list[str]:
    parts = [
        "## Profiles",
        "Samples by py-spy, by the function of Python that ran: compiled code stands where it was called. The first"
        " line is the share of importing; those below are the functions with the most of all other samples, and what is"
        " left of these.",
        "To read them: importing is most of a short command, and MLflow's is most of that. Beyond it `gate compare`"
        " spends its time on the SHA-256 of the flipped rows' ids, by which samples are chosen, and on the digest of"
        " the columns. In `gate check` threads wait for the models (`_worker`, `Pipeline._send`, `Pipeline._receive`,"
        " `Worker._wait`); its own work is the digest and reading. A model's process waits for rows (`read_exactly`,"
        " `serve`); the rest is scikit-learn, and the copies into one block that it wants.",
    ]
    if one is None:
        return [*parts, "Not measured yet."]
    before = None
    for row in one.rows:
        more = row.more or {}
        if before != (more["of"], more["process"]):
            before = (more["of"], more["process"])
            parts += [f"### {more['of']}: {more['process']}", "| function | share of the samples |\n| --- | ---: |"]
        parts[-1] += f"\n| `{_cell(row.what)}` | {shown(row.value, 'share')} |"
    return [*parts, _about(one)]


def pictures(results: Mapping[str, Measured]) -> dict[str, str]:
    """File name -> SVG."""
    rows = [row for one in results.values() for row in one.rows if row.limit is not None and row.value is not None]
    bars = [
        Bar(row.what, row.used, f"{shown(row.value, row.unit)}, {row.limit_shown}", GOOD if row.holds else BAD)
        for row in rows
    ]
    drawn = {LIMITS: against_limit("Each figure as a share of its limit", bars)}
    peers = results.get("peers")
    for number, what in enumerate(_stories(peers) if peers else ()):
        assert peers is not None
        ours = [row for row in peers.rows if (row.more or {}).get("of") == what and row.value is not None]
        # A whole command is compared as a whole: the gate imports while it works.
        whole = bool(ours) and (ours[0].more or {})["story"] == "check"
        bars = [_bar(row, whole) for row in ours]
        drawn[PEERS.format(number + 1)] = logarithmic(f"{what}: seconds {'in all' if whole else 'of work'}", bars, "s")
    return drawn


def _bar(row: Row, whole: bool) -> Bar:
    more = row.more or {}
    seconds: float = more["whole"] if whole else row.value or 0.0
    ratio = more.get("whole_ratio" if whole else "ratio")
    ours = more["peer"].startswith(("the gate", "gate"))
    told = shown(seconds, "s") if ours or ratio is None else f"{shown(seconds, 's')}, {shown(ratio, 'x')}"
    return Bar(more["peer"], seconds, told, OURS if ours else OTHERS)


def files(folder: Path = RESULTS) -> dict[str, str]:
    """Every file that is made of the results, by its path within docs/."""
    found = [measured(json.loads(path.read_text("utf-8"))) for path in sorted(folder.glob("*.json"))]
    order = [name for section in SECTIONS for name in section.names]
    by_name = {one.name: one for one in sorted(found, key=lambda one: _place(order, one.name))}
    return {"benchmarks.md": page(by_name), "spark.md": _planning(by_name.get("spark")), **pictures(by_name)}


def _planning(one: Measured | None) -> str:
    """The page about Spark, with what was measured between its marks."""
    text = (DOCS / "spark.md").read_text("utf-8")
    if one is None:
        return text
    before, opens, rest = text.partition("<!-- benchmarks/spark.py -->\n")
    _, closes, after = rest.partition("<!-- /benchmarks/spark.py -->")
    heads = [
        "master",
        "rows",
        "two bare passes, s",
        "the gate's pass, s",
        "ratio",
        "models apart, s",
        "µs of a core for a row",
    ]
    table = [f"| {' | '.join([*heads, 'ids, s', 'whole check, s'])} |", "| --- |" + " ---: |" * 8]
    apart = {row.what: (row.more or {}).get("apart_s") for row in one.rows}
    for row in one.rows:
        more = row.more or {}
        if apart[row.what] is not None:
            continue
        seconds = [f"{more[name]:.1f}" for name in ("bare_s", "gate_s", "ids_s", "whole_s")]
        beside = apart.get(f"{row.what}, models apart")
        cells = [
            f"`{more['master']}`",
            f"{more['rows']:,}",
            *seconds[:2],
            f"{row.value:.2f}",
            "" if beside is None else f"{beside:.1f}",
            f"{more['us_a_row']:.0f}",
        ]
        table.append(f"| {' | '.join([*cells, *seconds[2:]])} |")
    return before + opens + "\n".join([*table, "", _about(one)]) + "\n" + closes + after


def _place(order: Sequence[str], name: str) -> int:
    return order.index(name) if name in order else len(order)


def main() -> int:
    stale = 0
    for name, text in files().items():
        path = DOCS / name
        if path.exists() and path.read_text("utf-8") == text:
            continue
        if "--check" in sys.argv:
            stale += 1
            print(f"docs/{name} is not what the results say: run python benchmarks/page.py")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote docs/{name}")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
