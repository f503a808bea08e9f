"""Run the transcript of a page, and compare it with what the page says: ``python docs/transcripts.py PAGE [--write]``.

The ``console`` blocks of a Markdown page are one transcript: lines that begin with ``$`` are typed into one shell, one
after the other, in a fresh folder with a copy of the example's files; what is printed must be what the page shows, but
for what differs from run to run (digests, run ids, days). A block below ``<!-- file: PATH -->`` must equal that file.
A command that fails is shown with its exit code: ``$ echo $?`` follows it.

A page may say ``<!-- transcript: PATH NAME=PATH ... -->``: the folder whose files are copied (its own, if it does not)
and variables of the shell; all paths from the project's root. ``--write`` puts what was found into the page; ``--keep
FOLDER`` runs the transcript there and leaves its files. Exits 0 if the page is right, 1 if not, 77 if a path is absent.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(
    r"(?:<!-- file: (?P<file>\S+) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
TRANSCRIPT = re.compile(r"<!-- transcript:(?P<words>[^>]*)-->")
VARYING = (
    (re.compile(r"\b[0-9a-f]{12,64}\b"), "<digest>"),
    (re.compile(r"\b20\d\d-[01]\d-[0-3]\d\b"), "<day>"),
    (re.compile(r"\b[\d.]+ (?=seconds\b)"), "<time> "),
)
ABSENT = 77


@dataclass(frozen=True)
class Step:
    """A command as it is typed (its lines, with prompts), and what it printed."""

    typed: str
    printed: str

    @property
    def command(self) -> str:
        """What the shell reads."""
        return "\n".join(line[2:] for line in self.typed.splitlines())


def steps(block: str) -> Iterator[Step]:
    """The commands of a block; a line that ends in a backslash goes on below, after ``>``."""
    typed: list[str] = []
    printed: list[str] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            if typed:
                yield Step("\n".join(typed), "\n".join(printed))
            typed, printed = [line], []
        elif line.startswith("> ") and typed and not printed and typed[-1].endswith("\\"):
            typed.append(line)
        elif typed:
            printed.append(line)
        else:
            raise SystemExit(f"a console block begins with a command, not with {line!r}")
    yield Step("\n".join(typed), "\n".join(printed))


def run(commands: list[str], folder: Path, variables: dict[str, str]) -> list[str]:
    """What each command printed, on stdout and stderr, in one shell in ``folder``."""
    mark = "=-=-= next =-=-="
    script = ["status=0"]
    for command in commands:
        script += [f'(exit "$status")\n{command}', "status=$?", f'printf "\\n%s %s\\n" "{mark}" "$status"']
    environment = {
        name: value for name, value in os.environ.items() if not name.endswith(("TRACKING_URI", "REGISTRY_URI"))
    }
    environment |= {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]), "COLUMNS": "80"}
    environment |= {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=folder,
        env=environment | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=900,
        check=False,
    )
    *printed, _ = re.split(rf"\n?^{mark} (\d+)\n", done.stdout.decode(), flags=re.MULTILINE)
    outputs, codes = printed[::2], [int(code) for code in printed[1::2]]
    for at, code in enumerate(codes):
        if code and commands[at + 1 : at + 2] != ["echo $?"]:
            raise SystemExit(f"exit code {code} of: {commands[at]}\n{outputs[at]}")
    return [text.rstrip("\n") for text in outputs]


def steady(text: str) -> str:
    """The text without what differs from run to run."""
    for varying, instead in VARYING:
        text = varying.sub(instead, text)
    return "\n".join(line.rstrip() for line in text.splitlines())


def renewed(page: str, outputs: Iterator[str]) -> str:
    """The page with the outputs of its commands and the texts of its files; what differs only as it may stays."""

    def block(found: re.Match[str]) -> str:
        if found["file"]:
            text = (ROOT / found["file"]).read_text(encoding="utf-8")
        elif found["kind"] == "console":
            text = "".join(told(step, next(outputs)) for step in steps(found["text"]))
        else:
            return found[0]
        start, end = (at - found.start() for at in found.span("text"))
        return found[0][:start] + text + found[0][end:]

    return BLOCK.sub(block, page)


def told(step: Step, printed: str) -> str:
    """A command and its output, as a page has them."""
    kept = step.printed if steady(step.printed) == steady(printed) else printed
    return f"{step.typed}\n" + (f"{kept}\n" if kept else "")


def main() -> int:
    """Run one page."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("page", type=Path)
    asked.add_argument("--write", action="store_true", help="put what was found into the page")
    asked.add_argument("--keep", type=Path, metavar="FOLDER", help="run there, and leave the files")
    options = asked.parse_args()

    page = options.page.read_text(encoding="utf-8")
    found = TRANSCRIPT.search(page)
    named = found["words"].split() if found else []
    paths = dict(word.partition("=")[::2] for word in named if "=" in word)
    copied = next((ROOT / word for word in named if "=" not in word), options.page.resolve().parent)
    for path in [copied, *(ROOT / path for path in paths.values())]:
        if not path.exists():
            print(f"{options.page}: there is no {path}")
            return ABSENT

    typed = [
        step.command for found in BLOCK.finditer(page) if found["kind"] == "console" for step in steps(found["text"])
    ]
    with tempfile.TemporaryDirectory(prefix="transcript-") as temporary:
        folder = options.keep or Path(temporary)
        shutil.copytree(copied, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        outputs = run(typed, folder, {name: str((ROOT / path).resolve()) for name, path in paths.items()})
    found = renewed(page, iter(outputs))
    if found == page:
        return 0
    if options.write:
        options.page.write_text(found, encoding="utf-8")
        print(f"{options.page}: written")
        return 0
    lines = difflib.unified_diff(page.splitlines(), found.splitlines(), "the page says", "found", lineterm="", n=1)
    print("\n".join(lines))
    return 1


if __name__ == "__main__":
    sys.exit(main())
