"""The report on a terminal: colours and bars added, nothing taken away, and no name that steers it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from report_cases import HOSTILE, LONG, RULES, STORIES, named, with_hostile
from rich.cells import cell_len
from rich.console import Console

from gate.report import text
from gate.report.text import lay_out
from gate.report.view import view
from gate.stories.decide import Judgement

Compared = Callable[..., Judgement]

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
BAR = re.compile(r"[\u2588\u2502]")


class Terminal(io.StringIO):
    """A stream of bytes in UTF-8, or in what else is said, that takes itself for a terminal."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__()
        self.told = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.told


def on_terminal(judged: Judgement, width: int = 80, encoding: str = "utf-8") -> str:
    out = Terminal(encoding)
    console = Console(file=out, force_terminal=True, color_system="truecolor", width=width, legacy_windows=False)
    lay_out(view(judged.decision, judged.samples), console)
    return out.getvalue()


def plain(shown: str) -> str:
    return COLOUR.sub("", shown)


@pytest.mark.parametrize("story", STORIES)
def test_it_is_the_plain_report_with_colours_and_bars(story: str, compared: Compared) -> None:
    judged = compared(STORIES[story], RULES)
    (piped,) = text.write(judged.decision, judged.samples).values()
    words = [line.strip() for line in plain(on_terminal(judged)).splitlines() if line.strip() and not BAR.search(line)]

    assert words == [line.strip() for line in piped.decode().splitlines() if line.strip()]
    assert "\x1b" not in piped.decode()


def test_what_breaks_is_red_and_what_is_mended_green(compared: Compared) -> None:
    shown = on_terminal(compared(STORIES["refused"], RULES))

    assert "\x1b[1;31mREFUSED\x1b[0m" in shown
    assert re.search("\x1b\\[1;31m *60 NEGATIVE FLIPS\x1b", shown)
    assert re.search("\x1b\\[32m *90 positive flips\x1b", shown)
    assert "\x1b[1;31mFAIL\x1b[0m" in shown and "\x1b[32mPASS\x1b[0m" in shown
    assert re.search("\x1b\\[1;31mpast it by \\d+\\.\\d+%", shown)


def test_the_four_cells_are_drawn_to_scale(compared: Compared) -> None:
    shown = on_terminal(compared(STORIES["refused"], RULES), width=102)
    (line,) = [line for line in shown.splitlines() if line.startswith("  ") and plain(line).count("\u2588") > 90]
    wide = [len(part) for part in re.findall("\u2588+", COLOUR.sub("|", line))]

    # of 1,000 rows 850 both right, 60 broken, 90 mended
    assert wide == [85, 6, 9]


def test_the_bars_of_classes_are_mirrored_and_within_the_width(compared: Compared) -> None:
    lines = plain(on_terminal(compared(STORIES["refused"], RULES), width=60)).splitlines()
    bars = [line for line in lines if "\u2502" in line]

    assert bars and len({line.index("\u2502") for line in bars}) == 1
    assert all(cell_len(line) <= 60 for line in lines)
    assert bars[0].startswith("  class cat") and "\u2588\u2502" in bars[0]


def test_a_terminal_that_knows_no_blocks_gets_no_bars(compared: Compared) -> None:
    assert not BAR.search(on_terminal(compared(STORIES["refused"], RULES), encoding="ascii"))


@pytest.mark.fault(
    38,
    given="a class is named with colour codes, and the report goes to a terminal in colour",
    then="sends the terminal its own colours only",
    exit_code=None,
)
@pytest.mark.parametrize("names", [HOSTILE, LONG], ids=["hostile", "long"])
def test_no_class_name_steers_a_terminal(names: list[str], compared: Compared) -> None:
    harmless(on_terminal(compared(named(names), RULES)))


@pytest.mark.parametrize("place", ["rule", "because", "policy", "uri"])
def test_a_hostile_policy_or_uri_does_not_steer_a_terminal(place: str, compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    for hostile in (*HOSTILE, *LONG):
        harmless(on_terminal(replace(judged, decision=with_hostile(judged.decision, place, hostile))))


def harmless(shown: str) -> None:
    bad = [c for c in plain(shown) if c != "\n" and (ord(c) < 32 or c in "\x7f\x85\u2028\u2029\u202e\u200b\ufeff")]
    assert not bad
    for line in plain(shown).splitlines():
        assert cell_len(line) <= 80, line
