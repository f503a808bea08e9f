"""The flipped rows in every report that shows them: their order, their columns, their images; small and harmless."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from report_cases import HOSTILE, LONG, RULES, STORIES

from gate.core.flipped import FlippedRow
from gate.core.outcomes import Picture
from gate.report import rows, samples_table
from gate.report.files import Wanted, write_reports
from gate.report.html import page
from gate.report.writers import FOLDERS, WRITERS
from gate.stories.decide import Judgement

Compared = Callable[..., Judgement]


def picture(seed: int = 0, size: tuple[int, int] = (24, 16)) -> Picture:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0]), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return Picture(out.getvalue(), *size)


def row(number: int, **more: Any) -> FlippedRow:
    told: dict[str, Any] = {"kind": "negative", "label": "cat", "incumbent": "cat", "candidate": "dog", **more}
    return FlippedRow(digest=f"{number:04}", id=f"row-{number}", **told)


@pytest.fixture
def judged(compared: Compared) -> Judgement:
    return compared(STORIES["refused"], RULES)


class Cards(HTMLParser):
    """The list of flipped rows as a browser would see it: the text of each card, and its images."""

    def __init__(self) -> None:
        super().__init__()
        self.cards: list[list[str]] = []
        self.images: list[dict[str, str | None]] = []
        self.unfolded = 0
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given_ = dict(attrs)
        self._inside = self._inside or (tag == "ol" and given_.get("class") == "flipped")
        if self._inside and tag == "li":
            self.cards.append([])
        if tag == "img":
            self.images.append(given_)
        if tag == "details":
            self.unfolded += "open" in given_

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "ol"

    def handle_data(self, data: str) -> None:
        if self._inside and self.cards and data.strip():
            self.cards[-1].append(data.strip())


def cards(text: str) -> Cards:
    found = Cards()
    found.feed(text)
    found.close()
    return found


def written(judged: Judgement, samples: Sequence[FlippedRow]) -> str:
    (content,) = page.write(judged.decision, samples).values()
    return content.decode()


def test_golden_rows_come_first_then_the_costliest_then_the_most_confidently_wrong(judged: Judgement) -> None:
    samples = [
        row(1, candidate_confidence=0.99, incumbent_confidence=0.5),
        row(2, candidate_confidence=0.2, incumbent_confidence=0.5, cost=500.0),
        row(3, candidate_confidence=0.1, incumbent_confidence=0.5, golden=True),
        row(4, candidate_confidence=0.3, incumbent_confidence=0.5, cost=500.0),
        row(5, candidate_confidence=0.9, incumbent_confidence=0.5, cost=2.5, golden=True),
        row(6, kind="positive"),
    ]
    text = written(judged, samples)
    found = cards(text).cards

    assert [card[0] for card in found] == ["row-5", "row-3", "row-4", "row-2", "row-1"]
    assert found[0][1:] == ["golden", "costs 2.5", "was right", "cat (50% sure)", "is now", "dog (90% sure)"]
    assert found[2][1:] == ["costs 500", "was right", "cat (50% sure)", "is now", "dog (30% sure)"]
    assert "First golden rows, then the costliest, then those that the candidate is surest of." in text
    assert "The 1 positive flips that are kept are not on this page" in text
    assert "A golden row that breaks" in text
    assert "5 of 60 negative flips" in text


def test_an_answer_that_is_right_without_being_the_label_stands_beside_it(judged: Judgement) -> None:
    (card,) = cards(written(judged, [row(1, label=5.0, incumbent=5.1, candidate=9.0)])).cards
    assert card == ["row-1", "right is", "5.0", "was", "5.1", "is now", "9.0"]


def test_a_row_stands_with_its_columns_its_texts_and_its_images(judged: Judgement) -> None:
    beside = {
        "age": 39,
        "joined": "2026-01-02",
        "zip": "01234",
        "scan": picture(),
        "note": "first line\nsecond",
        "none": None,
    }
    found = cards(written(judged, [row(1, beside=beside)]))
    (card,), (image,) = found.cards, found.images

    assert card[5] == "the row's columns (5)"
    assert card[6:] == [
        "age",
        "39",
        "joined",
        "2026-01-02",
        "zip",
        "'01234'",
        "none",
        "(none)",
        "note",
        "first line\nsecond",
    ]
    assert image["alt"] == "scan of row-1, 24 \u00d7 16 pixels"
    assert image["src"] == f"data:image/png;base64,{base64.b64encode(beside['scan'].png).decode()}"  # type: ignore[attr-defined]
    assert image["class"] == "thumb small"


def test_the_columns_of_the_first_rows_are_unfolded(judged: Judgement) -> None:
    found = cards(written(judged, [row(i, beside={"age": i}) for i in range(20)]))
    assert (len(found.cards), found.unfolded) == (20, 6)


def test_a_row_without_columns_has_nothing_to_unfold(judged: Judgement) -> None:
    assert "<details" not in written(judged, [row(1)])


def test_in_a_folder_pictures_are_files_since_a_strict_policy_forbids_them_inside(judged: Judgement) -> None:
    samples = [row(i, beside={"scan": picture(i)}) for i in range(3)]
    files = page.write_folder(judged.decision, samples)
    text = files["index.html"].decode()
    sources = [str(image["src"]) for image in cards(text).images]

    assert "data:" not in text and len(sources) == 3
    assert [files[name] for name in sources] == [one.beside["scan"].png for one in samples]  # type: ignore[union-attr]
    assert set(files) == {"index.html", "page.css", "page.js", *sources}


def test_a_folder_that_is_written_anew_holds_no_picture_of_before(judged: Judgement, tmp_path: Path) -> None:
    wanted = [Wanted.parse(f"html-dir={tmp_path}/page")]
    write_reports(wanted, judged.decision, [row(i, beside={"scan": picture(i)}) for i in range(3)])
    (tmp_path / "page" / "own.png").write_bytes(b"mine")
    assert len(list((tmp_path / "page").glob("*.png"))) == 4
    write_reports(wanted, judged.decision, [])
    assert [path.name for path in (tmp_path / "page").glob("*.png")] == ["own.png"]


@pytest.mark.parametrize("form", ["html", "html-dir"])
def test_pictures_and_texts_are_shown_while_there_is_room(form: str, judged: Judgement) -> None:
    samples = [
        row(i, beside={f"text {c}": f"{i} " + "<" * 1990 for c in range(11)} | {"scan": picture(i, (90, 90))})
        for i in range(100)
    ]
    files = {**WRITERS, **FOLDERS}[form](judged.decision, samples)
    text = next(content for name, content in files.items() if name.endswith(".html")).decode()
    found = cards(text)

    assert len(text.encode()) < page.MOST_BYTES
    assert sum(map(len, files.values())) < 1_500_000
    assert len(found.cards) >= 50 and 5 <= len(found.images) < 100
    assert found.unfolded > 0
    assert re.search(r"This page has no room for all that is kept of \d+ rows: --report parquet has it.", text)


def test_the_page_has_room_for_a_hundred_thumbnails(judged: Judgement) -> None:
    found = cards(written(judged, [row(i, beside={"scan": picture(i, (48, 48))}) for i in range(100)]))
    assert len(found.images) == 100


def hostile(texts: Sequence[str]) -> list[FlippedRow]:
    """Every text as id, label, answer, name of a column and value, short and long."""
    return [
        row(
            i,
            label=text,
            incumbent=text,
            candidate=text,
            beside={text: text, f"long {text}": f"{text} " * 20, f"scan {text}": picture(i), f"{text}\n": 1},
        )
        for i, text in enumerate(texts)
    ]


@pytest.mark.fault(
    35,
    given="a flipped row's own columns hold `</script><img onerror=...>`, names and values alike",
    then="shows them as text on its page; the only images there are small pictures that it made itself",
    exit_code=None,
)
@pytest.mark.parametrize("texts", [HOSTILE, LONG], ids=["hostile", "long"])
def test_no_value_of_a_row_breaks_a_report(texts: list[str], judged: Judgement) -> None:
    harmless(judged, hostile(texts))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=80), min_size=1, max_size=3, unique=True))
def test_any_text_at_all_may_stand_in_a_row(judged: Judgement, texts: list[str]) -> None:
    harmless(judged, hostile(texts))


_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029\u202a-\u202e\u2066-\u2069\u200b\ufeff]"


def harmless(judged: Judgement, samples: list[FlippedRow]) -> None:
    ours = {
        base64.b64encode(value.png).decode()
        for one in samples
        for value in one.beside.values()
        if isinstance(value, Picture)
    }
    for text in (written(judged, samples), page.write_folder(judged.decision, samples)["index.html"].decode()):
        found = cards(text)
        assert len(found.cards) == len(found.images) == text.count("<img") == len(samples)
        assert text.count("<script") == 1
        for image in found.images:
            source = str(image["src"])
            assert set(image) == {"class", "src", "alt"}
            assert source.removeprefix("data:image/png;base64,") in ours or re.fullmatch(
                r"gate-picture-\w+\.png", source
            )
        assert not re.search(_CONTROL, text)
    (content,) = samples_table.write_csv(judged.decision, samples).values()
    header, *lines = list(csv.reader(io.StringIO(content.decode())))
    assert len(set(header)) == len(header)
    for line in (header, *lines):
        assert len(line) == len(header)
        for cell in line:
            assert not cell.lstrip().startswith(("=", "+", "@")) and not re.search(
                _CONTROL.replace("\\x0b", "\\n"), cell
            )
    (content,) = samples_table.write_parquet(judged.decision, samples).values()
    assert pq.read_table(io.BytesIO(content)).num_rows == len(samples)
    assert not re.search(_CONTROL, "".join(rows.lines(judged.decision, samples)))


def test_the_tables_hold_the_rows_columns_by_their_names(judged: Judgement) -> None:
    samples = [
        row(1, golden=True, cost=7.5, beside={"age": 1, "mixed": "a", "scan": picture(), "huge": 2**70}),
        row(2, beside={"age": 2, "mixed": 3, "late": "=1+1"}),
    ]
    (text,) = samples_table.write_csv(judged.decision, samples).values()
    first, second = csv.DictReader(io.StringIO(text.decode()))
    assert (first["golden"], first["cost"], first["row.age"], first["row.mixed"]) == ("True", "7.5", "1", "a")
    assert (first["row.scan"], first["row.late"]) == ("(picture, 24 x 16)", "")
    assert (second["golden"], second["cost"], second["row.late"], second["row.scan"]) == ("False", "", "'=1+1", "")

    (content,) = samples_table.write_parquet(judged.decision, samples).values()
    table = pq.read_table(io.BytesIO(content))
    assert table.column("golden").to_pylist() == [True, False] and table.column("cost").to_pylist() == [7.5, None]
    assert table.column("row.age").to_pylist() == [1, 2]
    assert table.column("row.mixed").to_pylist() == ["a", "3"]
    assert table.column("row.huge").to_pylist() == [str(2**70), None]
    assert Image.open(io.BytesIO(table.column("row.scan")[0].as_py())).size == (24, 16)


def test_a_pager_shows_what_is_golden_and_what_it_costs(judged: Judgement) -> None:
    lines = list(rows.lines(judged.decision, [row(1, golden=True, cost=1250.0), row(2, golden=True), row(3)]))
    assert lines[1:] == [
        "id     label  incumbent  candidate  golden, cost\n",
        "row-1  cat    cat        dog        golden, costs 1,250\n",
        "row-2  cat    cat        dog        golden\n",
        "row-3  cat    cat        dog\n",
    ]
    plain = list(rows.lines(judged.decision, [row(3)]))
    assert plain[1:] == ["id     label  incumbent  candidate\n", "row-3  cat    cat        dog\n"]


def test_the_same_rows_give_the_same_page(judged: Judgement) -> None:
    samples = [row(i, beside={"scan": picture(i), "note": "x" * 100}) for i in range(5)]
    again = [replace(one, beside=dict(one.beside)) for one in reversed(samples)]
    assert written(judged, samples) == written(judged, again)
