"""The page, as text: complete, self-contained, harmless, the same every time, and small whatever the data."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_cases import HOSTILE, LONG, RULES, STORIES, named, pets, with_hostile

import gate
from gate.decisions.record import ConfidenceBins, ConfidenceHistogram
from gate.report import replay
from gate.report.html import page
from gate.stories.decide import Judgement

Compared = Callable[..., Judgement]

VOID = {"meta", "link", "input", "br", "img", "hr"}


class Reader(HTMLParser):
    """Collects what a browser would load, run and show; fails where tags do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.ids: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID and tag not in ("path", "rect", "circle"):
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "data", "srcset", "action", "xlink:href") and not (value or "").startswith("#"):
                self.loads.append(value or "")
            if name.startswith("on") or name == "style":
                self.handlers.append(name)
            if name == "id":
                self.ids.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("path", "rect", "circle"):
            return
        assert self.open and self.open[-1] == tag, (tag, self.open[-3:])
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.seen.append(data)


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert not reader.open
    return reader


def html(judged: Judgement) -> str:
    (content,) = page.write(judged.decision, judged.samples).values()
    return content.decode("utf-8")


def shown(judged: Judgement) -> str:
    return " ".join(" ".join(read(html(judged)).seen).split())


@pytest.mark.parametrize("story", STORIES)
def test_the_page_says_what_the_other_reports_say(story: str, compared: Compared) -> None:
    judged = compared(STORIES[story], RULES)
    told = shown(judged)
    counts = judged.decision.counts

    assert judged.decision.verdict.value[:5].upper() in told
    assert "models:/pets/7" in told and "models:/pets/6" in told
    for rule in ("few-flips", "no-worse", "no-class-breaks", "sites"):
        assert rule in told
    assert f"broken: negative flips (was right, is wrong) {counts.negative} " in told
    assert "What was right, and what it became" in told
    assert judged.decision.decision_id in told and judged.decision.provenance.holdout.digest in told
    assert not re.search(r"\b(NaN|nan|None|null|inf|Infinity)\b", told)


def test_the_order_is_that_of_a_reader(compared: Compared) -> None:
    told = shown(compared(STORIES["refused"], RULES))
    order = [
        "REFUSED",
        "What would change it, and what to do next",
        "The policy, rule by rule",
        "What the update does to 1,000 rows",
        "Classes",
        "Slice site",
        "What was right, and what it became",
        "Rows that flipped",
        "Evidence",
        "What it rests on",
    ]
    places = [told.index(title, 0 if i == 0 else told.index(order[i - 1])) for i, title in enumerate(order)]
    assert places == sorted(places)


def test_one_page_loads_nothing_and_runs_nothing_inline(compared: Compared) -> None:
    reader = read(html(compared(STORIES["refused"], RULES)))

    assert reader.loads == []
    assert reader.handlers == []
    assert len(reader.ids) == len(set(reader.ids))


def test_the_folder_has_neither_styles_nor_scripts_in_its_page(compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    files = page.write_folder(judged.decision, judged.samples)
    text = files["index.html"].decode()

    assert set(files) == {"index.html", "page.css", "page.js"}
    assert "<style" not in text and not re.search(r"<script(?! src=\"page.js\")", text)
    assert read(text).loads == ["page.css", "page.js"]


def test_the_policy_shows_estimate_bound_limit_margin_n_and_status(compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    told = shown(judged)

    assert "where status seen bound limit margin n against the limit" in told
    assert "all rows fail 6.00% \u2265 4.81% \u2264 2% -2.81% 1,000" in told
    assert "fails where harm is proven" not in told


def test_a_waived_cell_says_by_whom_and_until_when(compared: Compared) -> None:
    waiver = "waivers:\n  - {rule: few-flips, up_to: 9%, because: Relabelling, owner: ann, expires: 2026-03-31}\n"
    told = shown(compared(STORIES["refused"], RULES, waiver))

    assert "waived by ann until 2026-03-31" in told
    assert "Relabelling" in told


def test_the_broken_and_the_mended_have_their_bounds(compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    row = next(row for row in judged.decision.rates if row.rate == "nfr")

    assert row.lower is not None and row.upper is not None
    assert f"(was right, is wrong) 60 6.00% {row.lower:.2%} to {row.upper:.2%}" in shown(judged)


def test_at_a_glance_stand_what_broke_where_most_into_what_and_a_row(compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    header = shown(judged).partition("What would change it")[0]
    row = min((s for s in judged.samples if s.kind == "negative"), key=lambda s: s.digest)

    assert "Broken by the update 60 of 1,000 rows (6.00%)" in header
    assert "Harmed most class cat: 60 of 500 rows broken (12.00%)" in header
    assert "Commonest flip cat becomes dog, in 60 rows" in header
    assert f"A row that breaks {row.id}: right is cat, was cat, is now dog" in header


def test_an_update_that_is_allowed_says_what_would_have_stopped_it(compared: Compared) -> None:
    judged = compared(STORIES["allowed"], "  - {id: few-flips, rate: nfr, at_most: 2%}\n")
    told = shown(judged)
    (finding,) = judged.decision.findings

    assert finding.margin is not None and finding.bound is not None
    assert f"What would change it 'few-flips': at most 2%, with a margin of +{finding.margin:.2%}." in told
    assert f"what this set certifies for few-flips negative flip rate (NFR) at most {finding.bound:.2%}" in told


def test_doubt_says_how_many_rows_more_would_settle_it(compared: Compared) -> None:
    assert "inconclusive needs about 540 more rows" in shown(compared(STORIES["inconclusive"], RULES))


def test_the_evidence_says_what_the_set_could_certify(compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    finding = judged.decision.findings[0]

    assert (
        "what this set could certify for few-flips negative flip rate (NFR) at most 2%, with"
        f" {finding.passes_with} or fewer of 1,000" in shown(judged)
    )


def test_the_provenance_holds_whole_digests_and_a_command_that_judges_again(compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    decision = judged.decision
    told = shown(judged)

    for digest in ("c" * 64, "d" * 64, "e" * 64, decision.policy.digest, decision.provenance.samples.digest):
        assert digest in told
    assert "gate verify FILE --key PUB" in told
    assert (
        "gate check --candidate models:/pets/7 --incumbent models:/pets/6 --data holdout.parquet"
        " --registry-uri sqlite:///mlflow.db --policy policy.yaml --label y --id id --as-of 2026-01-01 --seed 0" in told
    )


def test_the_command_of_a_comparison_judges_the_same(compared: Compared, tmp_path: Path) -> None:
    import pandas as pd

    from gate.cli.app import run
    from gate.decisions.canonical import read_decision

    compared(STORIES["refused"], RULES)  # which writes the policy
    pd.DataFrame(STORIES["refused"]).to_csv("two words.csv", index=False)
    first = gate.compare("two words.csv", policy="policy.yaml", incumbent="old", candidate="new", as_of="2026-01-01")
    words = shlex.split(replay.command(first.decision) or "")

    assert words[:2] == ["gate", "compare"]
    assert run([*words[1:], "--report", "json=again.json"]) == 10
    assert read_decision("again.json").decision_id == first.decision.decision_id


def test_the_most_confidently_wrong_rows_come_first(compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    rows = tuple(
        replace(row, incumbent_confidence=0.5, candidate_confidence=i / 1000) for i, row in enumerate(judged.samples)
    )
    told = shown(replace(judged, samples=rows)).partition("Rows that flipped")[2]
    surest = max((row for row in rows if row.kind == "negative"), key=lambda row: row.candidate_confidence or 0)

    assert told.split("candidate says", 1)[1].split()[0] == str(surest.id)


def test_confidence_says_how_many_are_confidently_wrong_and_how_many_near_the_boundary(compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    some = ConfidenceHistogram((0,) * 10, (0, 0, 0, 0, 7, 20, 10, 10, 8, 5))
    bins = ConfidenceBins(tuple(i / 10 for i in range(11)), some, some)
    told = shown(replace(judged, decision=replace(judged.decision, confidence_bins=bins)))

    assert (
        "Of 60 broken rows the candidate is at least 90% sure in 5 (confidently wrong), and at most 50% sure in 7"
        " (near the boundary)." in told
    )


def test_however_many_rules_there_are_the_page_stays_below_its_size(compared: Compared) -> None:
    rules = "".join(
        f"  - {{id: rule-{i}, rate: nfr, by: site, at_most: 2%, because: {'long ' * 90}}}\n" for i in range(600)
    )
    judged = compared(named([f"class {i}" for i in range(60)], copies=4), rules)
    text = html(judged)

    assert len(text.encode()) < page.MOST_BYTES
    assert "more rules, none of them worse, are in the decision" in text


def test_without_samples_no_row_is_on_the_page(compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    assert "Rows that flipped" in shown(judged)
    assert "Rows that flipped" not in shown(replace(judged, samples=()))


def test_a_picture_says_in_words_what_it_draws(compared: Compared) -> None:
    text = html(compared(STORIES["refused"], RULES))
    pictures = re.findall(r"<svg [^>]*>", text)

    assert pictures
    for picture in pictures:
        assert 'role="img"' in picture and re.search(r'aria-label="[^"]+"', picture)


def test_without_an_incumbent_there_are_no_four_cells(
    compared: Compared, alone: Callable[[Judgement], Judgement]
) -> None:
    judged = alone(compared(pets(4, 40), "  - {id: cap, rate: error_rate, of: candidate, at_most: 5%}\n" + RULES))
    told = shown(judged)

    assert "negative flips (was right" not in told
    assert "unknown" not in told.replace("isolation of the models unknown", "")


@pytest.mark.fault(
    35,
    given="a class is called `</script><img onerror=...>`",
    then="shows the name as text on its page, where nothing is loaded and nothing runs",
    exit_code=None,
)
@pytest.mark.parametrize("names", [HOSTILE, LONG], ids=["hostile", "long"])
def test_no_class_name_breaks_the_page(names: list[str], compared: Compared) -> None:
    harmless(html(compared(named(names), RULES)))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.text(max_size=40), min_size=2, max_size=4, unique=True))
def test_any_text_at_all_may_be_a_class_on_the_page(compared: Compared, names: list[str]) -> None:
    harmless(html(compared(named(names, copies=5), RULES)))


@pytest.mark.parametrize("place", ["rule", "because", "policy", "uri"])
def test_a_hostile_policy_or_uri_is_harmless_on_the_page(place: str, compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    for hostile in HOSTILE:
        harmless(html(replace(judged, decision=with_hostile(judged.decision, place, hostile))))


def harmless(text: str) -> None:
    reader = read(text)
    assert reader.loads == [] and reader.handlers == []
    assert text.count("<script") == 1 and "<img" not in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029\u202a-\u202e\u2066-\u2069\u200b\ufeff]", text)


def test_ten_thousand_classes_are_less_than_a_megabyte(compared: Compared) -> None:
    judged = compared(
        named([f"a class with a long name, number {i}" for i in range(10_000)], copies=2),
        "  - {id: each, rate: nfr, by: class, at_most: 9%}\n  - {id: sites, rate: nfr, by: site, at_most: 9%}\n",
    )
    text = html(judged)

    assert len(text.encode()) < 1_000_000
    assert "9,000 more, which lose less, are in the decision" in text
