"""``gate demo``."""

from __future__ import annotations

from pathlib import Path

import click

from gate.cli import options


@click.command("demo")
@click.option("--dir", "folder", metavar="DIR", type=click.Path(path_type=Path), help="Folder [default: ./gate-demo].")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed: other images, models and numbers.")
@options.loudness
def command(folder: Path | None, seed: int, quiet: bool, verbose: bool) -> int:
    """See the gate at work, in about half a minute.

    Trains three small networks on handwritten digits and registers them in an MLflow registry in a folder of its own.
    The second has the better error rate and is, as a rule, refused for what it breaks; the third is trained to keep
    what worked, allowed, and promoted. Nothing is canned.
    """
    from rich.console import Console
    from rich.text import Text

    from gate.cli.output import watching
    from gate.demo.story import demo
    from gate.report.text import WIDTH, lay_out
    from gate.report.view import view
    from gate.stories.decide import Judgement

    console = Console(highlight=False)
    console.width = min(console.width, WIDTH)

    def say(paragraph: str) -> None:
        if paragraph:
            console.print(Text(paragraph), soft_wrap="$ " in paragraph)
            console.print()

    def show(judged: Judgement, brief: bool) -> None:
        lay_out(view(judged.decision, judged.samples), console, brief=brief)
        console.print()

    with watching(quiet) as progress:
        demo(folder or _free(Path("gate-demo")), seed=seed, say=say, show=show, progress=progress)
    return 0


def _free(folder: Path) -> Path:
    """The folder, or where that one is taken the first of its name with a number that is not."""
    number = 1
    found = folder
    while found.exists():
        number += 1
        found = folder.with_name(f"{folder.name}-{number}")
    return found
