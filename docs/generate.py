"""Writes the pages of ``docs/reference`` from the code; ``--check`` fails where one is out of date.

Run::

    python docs/generate.py [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path

import click

from gate.cli.app import COMMANDS, gate
from gate.core.rates import RATES
from gate.decisions.canonical import json_schema
from gate.errors import ExitCode
from gate.policy.schema import json_schema as policy_schema
from gate.policy.schema import schema_text

HERE = Path(__file__).parent / "reference"
GENERATED = "<!-- Written by docs/generate.py from the code: change it there. -->"

_EXIT_CODES = {
    ExitCode.ALLOW: "allowed; promoted; sound",
    ExitCode.USAGE: "a wrong option, a missing file, an invalid policy",
    ExitCode.REFUSED: "refused: a rule is proven broken (or judged so by its estimate)",
    ExitCode.INCONCLUSIVE: "inconclusive: too few rows to tell",
    ExitCode.EVIDENCE: "evidence is missing or not to be trusted: no such model or version, a registry that is down,"
    " a broken contract, files that changed, a model that failed",
    ExitCode.CONFLICT: "the registry is no longer as it was judged",
    ExitCode.INTERNAL: "an internal error; nothing was decided",
    ExitCode.INTERRUPTED: "interrupted",
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
    rows = [f"| {int(code)} | {meaning} |" for code, meaning in _EXIT_CODES.items()]
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
            ]
        )
        + "\n"
    )


def pages() -> dict[str, str]:
    """File name -> text, of every generated page."""
    return {
        "commands.md": commands(),
        "rates.md": rates(),
        "decision.schema.json": schema_text(json_schema()),
        "policy.schema.json": schema_text(policy_schema()),
    }


def main() -> int:
    stale = 0
    HERE.mkdir(exist_ok=True)
    for name, text in pages().items():
        path = HERE / name
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
            print(f"wrote docs/reference/{name}")
    if stale:
        print(f"{stale} generated pages are out of date: run python docs/generate.py")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
