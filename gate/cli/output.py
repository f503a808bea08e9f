"""What a command shows: the result on stdout, progress and remarks on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from gate.errors import ExitCode
from gate.report.files import Wanted, write_reports
from gate.report.writers import WRITERS
from gate.stories.decide import Judgement, Progress, nothing


def wanted(reports: Sequence[str]) -> list[Wanted]:
    """The reports asked for, checked before any work is done."""
    return [Wanted.parse(text) for text in reports]


def show(judged: Judgement, form: str, reports: Sequence[Wanted], quiet: bool) -> int:
    """Write the result, and return the exit code of its verdict."""
    write_reports(reports, judged.decision, judged.samples)  # first: a report that fails must not stand below "ALLOWED"
    _to_stdout(judged, form)
    if judged.run_id and not quiet:
        click.echo(f"evidence: MLflow run {judged.run_id}", err=True)
    code = judged.decision.exit_code
    if judged.log_problem is not None:
        click.echo(f"Error: the verdict stands, but it could not be logged\n{judged.log_problem}", err=True)
        return code or int(ExitCode.EVIDENCE)
    return code


def _to_stdout(judged: Judgement, form: str) -> None:
    if form == "text" and sys.stdout.isatty():
        from rich.console import Console

        from gate.report.text import WIDTH, lay_out
        from gate.report.view import view

        console = Console()
        console.width = min(console.width, WIDTH)
        lay_out(view(judged.decision, judged.samples), console)
        return
    (content,) = WRITERS[form](judged.decision, judged.samples).values()
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
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        shown = bar.add_task("starting", total=None)

        def tell(step: str, done: int, total: int | None) -> None:
            of = f" of {total:,}" if total else ""
            bar.update(shown, description=f"{step}: {done:,}{of} rows" if done else step)

        yield tell


def _steps() -> Progress:
    told: set[str] = set()

    def tell(step: str, done: int, total: int | None) -> None:
        if step not in told:
            told.add(step)
            click.echo(f"gate: {step}", err=True)

    return tell
