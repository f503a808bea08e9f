"""What happens when something is wrong, as a page: read from the markers of the tests that show it.

A test says ``@pytest.mark.fault(number, given="...", then="...", exit_code=N)``. ``given`` goes on from "what happens
when", ``then`` from "the gate". The markers are found in the tests' syntax trees: nothing of the tests is imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from gate.errors import ExitCode

ROOT = Path(__file__).resolve().parent.parent
SECTIONS = {
    "Policy": range(1, 12),
    "Data": range(12, 23),
    "Models and registry": range(23, 35),
    "Output and integrity": range(35, 46),
}
KEYS = ("given", "then", "exit_code")
TOP = """\
<!-- Written by docs/generate.py from the tests: change the markers there. -->

# What happens when ...

Files are cut off, models hang, somebody moves the alias in between. Each line below says what the gate does then, and
names the test that shows it. The tests run with every change of the gate, on real files, models, registries and
processes.

Three things always hold. An error says where it is, what was found, and what to do. Nothing is left half written. And
only exit code 0 allows anything: [the exit codes](reference/commands.md#exit-codes). A dash stands where the exit code
is that of the verdict, or where no command of the gate was run."""


@dataclass(frozen=True)
class Shown:
    """A fault, what is done about it, and the test that shows it; ``file`` is relative to the project."""

    number: int
    given: str
    then: str
    exit_code: int | None
    file: str
    line: int
    test: str


@dataclass(frozen=True)
class Malformed:
    """A marker that says less, or other things, than a row of the page needs."""

    file: str
    line: int
    found: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.found}"


def found_in(tests: Path = ROOT / "tests") -> tuple[list[Shown], list[Malformed]]:
    """All markers below a folder, in the order of the faults, and those that are malformed."""
    each = chain.from_iterable(_markers(file) for file in sorted(tests.rglob("*.py")))
    shown: list[Shown] = []
    malformed: list[Malformed] = []
    for marker in each:
        if isinstance(marker, Malformed):
            malformed.append(marker)
        else:
            shown.append(marker)
    shown.sort(key=lambda row: (row.number, row.file, row.line))
    return shown, [*malformed, *_said_twice(shown)]


def page(shown: list[Shown]) -> str:
    """The page, in Markdown; a section of which no fault is shown is left out."""
    parts = [TOP]
    for title, numbers in SECTIONS.items():
        rows = [_row(each) for each in shown if each.number in numbers]
        if rows:
            header = "| | when ... | the gate ... | exit code | shown by |"
            parts += [f"## {title}", "\n".join([header, "| --- | --- | --- | --- | --- |", *rows])]
    return "\n\n".join(parts) + "\n"


def _row(each: Shown) -> str:
    given, then = (text.replace("|", r"\|") for text in (each.given, each.then))
    code = "-" if each.exit_code is None else each.exit_code
    name = f"{Path(each.file).name}::{each.test}"
    return f"| {each.number} | {given} | {then} | {code} | [`{name}`](../{each.file}) |"


def _markers(file: Path) -> Iterator[Shown | Malformed]:
    tree = ast.parse(file.read_text("utf-8"))
    name = file.relative_to(ROOT).as_posix() if file.is_relative_to(ROOT) else file.as_posix()
    seen: set[ast.expr] = set()
    for test in tree.body if file.name.startswith("test_") else []:
        if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
            for call in test.decorator_list:
                if isinstance(call, ast.Call) and _is_marker(call.func):
                    seen.add(call.func)
                    yield _read(call, name, test.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.expr) and _is_marker(node) and node not in seen:
            yield Malformed(name, node.lineno, "a marker stands above a test, its number and words in brackets")


def _is_marker(node: ast.expr) -> bool:
    """Whether this is ``pytest.mark.fault``."""
    return isinstance(node, ast.Attribute) and node.attr == "fault" and ast.unparse(node.value).endswith("mark")


def _read(call: ast.Call, file: str, test: str) -> Shown | Malformed:
    try:
        numbers = [ast.literal_eval(argument) for argument in call.args]
        words = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    except ValueError:
        return Malformed(file, call.lineno, "only literals: the page is made without running the tests")
    if len(numbers) != 1 or tuple(sorted(words)) != tuple(sorted(KEYS)):
        return Malformed(file, call.lineno, f"it has one number, and {', '.join(KEYS)} by name")
    (number,) = numbers
    given, then, exit_code = (words[key] for key in KEYS)
    if type(number) is not int or not any(number in numbers_ for numbers_ in SECTIONS.values()):
        return Malformed(file, call.lineno, f"there is no fault {number!r}")
    for key, text in (("given", given), ("then", then)):
        flaw = _flaw(text)
        if flaw:
            return Malformed(file, call.lineno, f"{key} {flaw}: {text!r}")
    if exit_code is not None and (type(exit_code) is not int or exit_code not in [*ExitCode]):
        return Malformed(file, call.lineno, f"no command exits with {exit_code!r}")
    return Shown(number, given, then, exit_code, file, call.lineno, test)


def _flaw(text: object) -> str | None:
    """What keeps a text from being the middle of a sentence."""
    if not isinstance(text, str) or not text.strip():
        return "must be words"
    if text != " ".join(text.split()):
        return "stands on one line, its words one space apart"
    if text.endswith("."):
        return "is the middle of a sentence, without a full stop"
    return None


def _said_twice(shown: list[Shown]) -> Iterator[Malformed]:
    first: dict[tuple[int, str], Shown] = {}
    for each in shown:
        before = first.setdefault((each.number, each.given), each)
        if before is not each:
            found = f"fault {each.number} is given in the same words in {before.file}:{before.line}"
            yield Malformed(each.file, each.line, found)
