"""What a command shows: the result on stdout, progress and remarks on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from gate.core.flips import FlippedRow
from gate.decisions.record import Decision
from gate.errors import ExitCode
from gate.report.files import Wanted, write_reports
from gate.report.words import printable
from gate.report.writers import WRITERS
from gate.stories.counting import Progress, nothing
from gate.stories.decide import Judgement

if TYPE_CHECKING:
    from gate.stories.move import Remark


def wanted(reports: Sequence[str], several: Sequence[str] = ()) -> list[Wanted]:
    """The reports asked for, checked before any work is done; ``several`` are the roles with more than one version."""
    return [Wanted.parse(text, several) for text in reports]


def show(judged: Judgement, form: str, reports: Sequence[Wanted], quiet: bool) -> int:
    """Write the result, and return the exit code of its verdict."""
    rendered(judged.decision, judged.samples, form, [report.of(judged.decision) for report in reports])
    _tell_remembered(judged.remembered, quiet)
    return _told(judged, quiet)


def show_each(judged: Sequence[Judgement], form: str, reports: Sequence[Wanted], quiet: bool) -> int:
    """Write the results of several pairs, and return the exit code of the worst of them."""
    from gate.report.several import FORMATS, worst

    sides = [(one.decision.provenance.candidate, one.decision.provenance.incumbent) for one in judged]
    whole = len({row.name for pair in sides for row in pair if row is not None}) > 1
    for one in judged:
        write_reports([report.of(one.decision, whole) for report in reports], one.decision, one.samples)
    sys.stdout.flush()
    sys.stdout.buffer.write(FORMATS[form]([(one.decision, one.samples) for one in judged]))
    sys.stdout.flush()
    remembered = dict.fromkeys(role for one in judged for role in one.remembered)
    _tell_remembered(list(remembered), quiet)
    codes = [_told(one, quiet) for one in judged]
    return int(worst([one.decision for one in judged]).exit_code) or max(codes)


def _tell_remembered(roles: Sequence[str], quiet: bool) -> None:
    if roles and not quiet:
        click.echo(f"answers known from before: {', '.join(roles)} (--no-cache asks again)", err=True)


def _told(judged: Judgement, quiet: bool) -> int:
    """The exit code of a verdict; it is no 0 where the evidence could not be recorded."""
    if judged.run_id and not quiet:
        click.echo(f"evidence: MLflow run {judged.run_id}", err=True)
    code = judged.decision.exit_code
    if judged.log_problem is not None:
        click.echo(f"Error: the verdict stands, but it could not be logged\n{judged.log_problem}", err=True)
        return code or int(ExitCode.EVIDENCE)
    return code


def rendered(decision: Decision, samples: Sequence[FlippedRow], form: str, reports: Sequence[Wanted]) -> None:
    """Write the reports, then the result to stdout: a report that fails must not stand below "ALLOWED"."""
    write_reports(reports, decision, samples)
    _to_stdout(decision, samples, form)


def _to_stdout(decision: Decision, samples: Sequence[FlippedRow], form: str) -> None:
    if form == "text" and sys.stdout.isatty():
        from rich.console import Console

        from gate.report.text import WIDTH, lay_out
        from gate.report.view import view

        console = Console()
        console.width = min(console.width, WIDTH)
        lay_out(view(decision, samples), console)
        return
    (content,) = WRITERS[form](decision, samples).values()
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.flush()


@contextmanager
def watching(quiet: bool, in_logs: bool = False) -> Iterator[Progress]:
    """Progress on stderr while a person is watching; in a log, if ``in_logs``, a line for each step."""
    if quiet or not sys.stderr.isatty():
        yield _steps() if in_logs and not quiet else nothing
        return
    from rich.console import Console

    from gate.cli.progress import Steps

    with Steps(Console(stderr=True)) as steps:
        yield steps.tell


def remarking(quiet: bool) -> Remark:
    """Remarks on stderr; a loud one is heard even by those who asked for quiet."""

    def tell(text: str, loud: bool) -> None:
        if loud:
            click.secho(f"!!! {printable(text)}", fg="red", bold=True, err=True)
        elif not quiet:
            click.echo(f"gate: {printable(text)}", err=True)

    return tell


def _steps() -> Progress:
    told: set[str] = set()

    def tell(step: str, done: int, total: int | None) -> None:
        if step not in told and not step.startswith("downloading"):  # told or not, as fast as it comes
            told.add(step)
            click.echo(f"gate: {step}", err=True)

    return tell
