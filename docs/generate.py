"""Writes the pages of ``docs/reference`` from the code, and ``docs/faults.md`` from the tests.

``--check`` writes nothing, and fails where a page is out of date.

Run::

    python docs/generate.py [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path

import click
import fault_table

from gate.cli.app import COMMANDS, gate
from gate.core.measures import OTHERS
from gate.core.rates import RATES
from gate.decisions.canonical import json_schema
from gate.errors import ExitCode
from gate.policy.schema import json_schema as policy_schema
from gate.policy.schema import schema_text

HERE = Path(__file__).parent
GENERATED = "<!-- Written by docs/generate.py from the code: change it there. -->"

_OTHERS_HEADER = "| name | what it is | limits | source |"
_EXIT_CODES = {
    ExitCode.ALLOW: "allowed; promoted; sound",
    ExitCode.USAGE: "a wrong option, a missing file, an invalid policy",
    ExitCode.REFUSED: "refused: a rule is proven broken (or judged so by its estimate)",
    ExitCode.INCONCLUSIVE: "inconclusive: too few rows to tell",
    ExitCode.EVIDENCE: "evidence is missing or not to be trusted: no such model or version, a registry that is down,"
    " a broken contract, files that changed, a model that failed",
    ExitCode.CONFLICT: "the registry is no longer as it was judged",
    ExitCode.INTERNAL: "an internal error; nothing was decided",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C)",
    ExitCode.TERMINATED: "ended by SIGTERM",
}


def commands() -> str:
    """Every command with its help, as the terminal shows it."""
    root = click.Context(gate, info_name="gate", terminal_width=80, max_content_width=80, **gate.context_settings)
    parts = [GENERATED, "# Commands", "```text\n" + _help(root) + "```"]
    for name in COMMANDS:
        command = gate.get_command(root, name)
        assert command is not None
        for context in _each(click.Context(command, parent=root, info_name=name)):
            parts += [f"## `{context.command_path}`", "```text\n" + _help(context) + "```"]
    parts += ["## Exit codes", "Only 0 allows. 1 is left to a crashed interpreter."]
    rows = [f"| {int(code)} | {_EXIT_CODES[code]} |" for code in ExitCode]
    parts.append("\n".join(["| code | meaning |", "| --- | --- |", *rows]))
    return "\n\n".join(parts) + "\n"


def _each(context: click.Context) -> Iterator[click.Context]:
    yield context
    if isinstance(context.command, click.Group):
        for name, below in context.command.commands.items():
            yield from _each(click.Context(below, parent=context, info_name=name))


def _help(context: click.Context) -> str:
    return "\n".join(line.rstrip() for line in context.get_help().splitlines()) + "\n"


def rates() -> str:
    """The table of rates."""
    rows = []
    for rate in RATES.values():
        key = f"`{rate.name}`" + (f" `of: {rate.of}`" if rate.of else "")
        unit = "%" if rate.percent else "bare number"
        rows.append(f"| {key} | {rate.meaning} | `{rate.formula}` | {unit} | {rate.method} | {rate.source} |")
    others = [
        f"| `{one.name}` | {one.meaning} | {'%' if one.percent else 'bare number'} | {one.source} |"
        for one in OTHERS.values()
    ]
    header = "| rate | what it is | formula | limits | bounds | source |"
    return (
        "\n\n".join(
            [
                GENERATED,
                "# Rates",
                "Five counts give every rate: `both_right`, `negative` (negative flips: the incumbent was right, the"
                " candidate is wrong), `positive` (the reverse), and rows that both get wrong, with the same output"
                " (`wrong_same`) or two different ones (`wrong_different`); `both_wrong` is the sum of these two, `n`"
                " the sum of all. A rate whose denominator is 0 is undefined; its bounds are the ends of its range.",
                "\n".join([header, "| --- | --- | --- | --- | --- | --- |", *rows]),
                "## What else a rule can be about",
                "These take more than the five counts: answers of retrained incumbents, the two scores of each row, or"
                " what a flip costs. [How the gate decides](../how-the-gate-decides.md) has their bounds.",
                "\n".join([_OTHERS_HEADER, "| --- | --- | --- | --- |", *others]),
            ]
        )
        + "\n"
    )


def faults() -> str:
    """What happens when something is wrong; ``SystemExit`` with their places where markers of tests are malformed."""
    shown, malformed = fault_table.found_in()
    if malformed:
        raise SystemExit("\n".join(map(str, malformed)))
    return fault_table.page(shown)


def pages() -> dict[str, str]:
    """File name -> text, of every generated page."""
    return {
        "faults.md": faults(),
        "reference/commands.md": commands(),
        "reference/rates.md": rates(),
        "reference/decision.schema.json": schema_text(json_schema()),
        "reference/policy.schema.json": schema_text(policy_schema()),
    }


def main() -> int:
    stale = 0
    for name, text in pages().items():
        path = HERE / name
        path.parent.mkdir(exist_ok=True)
        found = path.read_text("utf-8") if path.exists() else ""
        if found == text:
            continue
        if "--check" in sys.argv:
            stale += 1
            sys.stdout.writelines(
                unified_diff(
                    found.splitlines(True), text.splitlines(True), f"{name} as it is", f"{name} as it should be"
                )
            )
        else:
            path.write_text(text, "utf-8")
            print(f"wrote docs/{name}")
    if stale:
        print(f"{stale} generated pages are out of date: run python docs/generate.py")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
