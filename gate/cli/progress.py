"""Progress for a person who is watching: the step, how much of it is done, how fast, and how long it may still take."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.text import Text

_OFTEN = 0.1
_BYTES = "downloading"


def rate(done: float, total: float | None, seconds: float, unit: str, before: float = 0) -> str:
    """How fast, and how long still; empty where nothing is done yet or no time has passed.

    ``before`` was done already when the ``seconds`` began.

    >>> rate(2000, 10_000, 4.0, "rows"), rate(2000, None, 4.0, "rows"), rate(3e6, None, 2.0, "bytes")
    ('500 rows/s, 16 s left', '500 rows/s', '1.5 MB/s')
    """
    if done <= before or seconds <= 0:
        return ""
    a_second = (done - before) / seconds
    told = f"{a_second / 1e6:,.1f} MB/s" if unit == "bytes" else f"{a_second:,.0f} {unit}/s"
    if total is None or total <= done:
        return told
    left = (total - done) / a_second
    return f"{told}, {left:.0f} s left" if left < 120 else f"{told}, {left / 60:.0f} min left"


def amount(done: float, total: float | None, unit: str) -> str:
    """What is done of how much; empty where nothing is.

    >>> amount(500, 1000, "rows"), amount(500, None, "rows"), amount(2_500_000, None, "bytes"), amount(0, None, "rows")
    ('500 of 1,000 rows', '500 rows', '2.5 MB', '')
    """
    if done <= 0:
        return ""
    if unit == "bytes":
        return f"{done / 1e6:,.1f}" + (f" of {total / 1e6:,.1f} MB" if total else " MB")
    return f"{done:,.0f}" + (f" of {total:,.0f} {unit}" if total else f" {unit}")


class _Amount(ProgressColumn):
    def render(self, task: Task) -> Text:
        unit = task.fields["unit"]
        speed = rate(task.completed, task.total, task.elapsed or 0.0, unit, task.fields["before"])
        parts = (amount(task.completed, task.total, unit), speed)
        return Text("  ".join(part for part in parts if part))


class Steps:
    """A line on ``console`` for the step that is going on; it goes away at the end.

    ``tell`` is what stories want: a step, how much of it is done, how much there is (None: not known). Each step has a
    clock of its own.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            _Amount(),
            TimeElapsedColumn(),
        )
        self._bar = Bar(*columns, console=console, transient=True, get_time=clock)
        self._clock = clock
        self._step: str | None = None
        self._shown = self._bar.add_task("starting", total=None, unit="rows", before=0)
        self._told = 0.0

    def __enter__(self) -> Steps:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def tell(self, step: str, done: int, total: int | None) -> None:
        """Show where the work is; a step that was not there before starts its clock."""
        if step != self._step:
            self._step = step
            unit = "bytes" if step.startswith(_BYTES) else "rows"
            self._bar.reset(self._shown, description=step, total=total, completed=done, unit=unit, before=done)
        elif self._clock() - self._told < _OFTEN:
            return
        self._told = self._clock()
        self._bar.update(self._shown, description=step, completed=done, total=total)
        self._bar.refresh()  # now: on a busy machine the bar's own thread comes late, or never
