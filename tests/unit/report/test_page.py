"""The page, as text: complete, self-contained, harmless, the same every time, and small whatever the data."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_cases import HOSTILE, LONG, RULES, STORIES, named, pets, with_hostile

import gate
from gate.decisions.record import ConfidenceBins, ConfidenceHistogram, EarlierRow
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

    assert "where status n seen with 95% confidence limit margin drawn from" in told
    assert "all rows fail 1,000 6.00% at least 4.81% \u2264 2% past it by 2.81%" in told
    assert "A rule fails where the bound on the good side is past its limit" in told
    assert "only where harm is proven" not in told


def test_a_rule_on_harm_says_what_a_warning_is_and_how_many_cells_came_out_how(compared: Compared) -> None:
    rules = "  - {id: by-class, rate: nfr, by: class, at_most: 3%, decide_on: harm}\n"
    told = shown(compared(pets(18, 40), rules))

    assert "negative flip rate (NFR) by class at most 3%; fails only where harm is proven" in told
    assert "warns in between, and a warning stops nothing" in told
    assert "cat warn 500 3.60% at most 5.29% \u2264 3% unproven by 2.29%" in told
    assert "1 warns, 1 passes of 2 classes" in told
    assert "among many cells a few lie past a limit by chance alone" in told


def test_a_waived_cell_says_by_whom_and_until_when(compared: Compared) -> None:
    waiver = "waivers:\n  - {rule: few-flips, up_to: 9%, because: Relabelling, owner: ann, expires: 2026-03-31}\n"
    told = shown(compared(STORIES["refused"], RULES, waiver))

    assert told.count("by ann until 2026-03-31") == 1
    assert "few-flips all its cells 9% ann 2026-03-31 Relabelling" in told


@pytest.mark.parametrize(
    ("rate", "cell"),
    [
        ("nfr", "broken: negative flips (was right, is wrong) 60 6.00%"),
        ("pfr", "mended: positive flips (was wrong, is right) 90 9.00%"),
        ("both_right", "both right 850 85.00%"),
        ("both_wrong", "both wrong 0 0.00%"),
    ],
)
def test_each_of_the_four_cells_has_its_bounds(rate: str, cell: str, compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    row = next(row for row in judged.decision.rates if row.rate == rate)

    assert row.lower is not None and row.upper is not None
    assert f"{cell} {row.lower:.2%} to {row.upper:.2%}" in shown(judged)


def test_of_labels_it_never_says_that_they_are_rows(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(
        "version: 1\nname: tags\nholdout: {id: id, label: y}\ntask: {kind: multilabel, classes: [a, b, c]}\n"
        "rules: [{id: few-flips, rate: nfr, at_most: 2%}]\n"
    )
    y = [["a"], ["b", "c"], []] * 200
    new = [["b"], ["b", "c"], []] * 40 + y[120:]
    rows = pa.table({"id": range(600), "y": y, "old": y, "new": new})
    judged = gate.compare(rows, policy=tmp_path / "policy.yaml", incumbent="old", candidate="new")
    for report in (shown(judged), judged.report("text"), judged.report("markdown")):
        told = " ".join(report.split())
        assert "What the update does to 1,800 labels" in told
        assert "80 of 1,800 labels" in told
        assert "1,800 rows" not in told


def test_where_only_scores_are_compared_nobody_is_called_right(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(
        "version: 1\nname: judged\nholdout: {id: id}\ntask: {kind: scores, continuous: true}\n"
        "rules: [{id: few-flips, rate: nfr, at_most: 2%}]\n"
    )
    rows = {"id": list(range(600)), "old": [0.5] * 600, "new": [0.4] * 60 + [0.6] * 60 + [0.5] * 480}
    told = shown(gate.compare(rows, policy=tmp_path / "policy.yaml", incumbent="old", candidate="new"))

    assert "as good as before 480 80.00%" in told
    assert "negative flips (the score gets worse) 60 10.00%" in told
    assert "both right" not in told
    assert "both wrong" not in told


def test_a_trend_tells_who_was_promoted_before_and_marks_the_candidate(compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    earlier = EarlierRow(
        1, "2026-01-01T00:00:00Z", "decision", 5, None, False, "0" * 64, "run", "e" * 64,
        None, None, None, 0.11, 0.1, 0.12,
    )  # fmt: skip
    later = replace(earlier, number=2, kind="override", version=6, previous=5, taken_back=True, holdout_digest="f" * 64)
    later = replace(later, nfr=0.01, nfr_lower=0.005, nfr_upper=0.02)
    drawn = replace(judged, decision=replace(judged.decision, history=(earlier, later)))

    assert "Earlier versions" not in shown(judged)
    told = shown(drawn)
    assert "Earlier versions that were promoted to @champion, and this candidate" in told
    assert "5 none 2026-01-01 not known 11.00% 10.00% to 12.00%" in told
    assert "1.00% 0.50% to 2.00% 11.00% 10.00% to 12.00% promoted against the verdict, taken back since" in told
    assert "judged on other rows" in told
    assert "7, this candidate 6 6.00%" in told
    assert html(drawn).count('class="dot now"') == 2
    one = replace(judged, decision=replace(judged.decision, history=(earlier,)))
    assert "Earlier versions" in shown(one) and 'class="dot now"' not in html(one)
    assert html(replace(drawn, decision=replace(drawn.decision, history=(earlier,) * 20))).count('class="dot"') >= 20


def test_at_a_glance_stand_what_broke_where_most_into_what_and_a_row(compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    header = shown(judged).partition("What would change it")[0]
    row = min((s for s in judged.samples if s.kind == "negative"), key=lambda s: s.digest)

    assert "Broken by the update (negative flips) 60 of 1,000 rows (6.00%)" in header
    assert (
        "Harmed most: highest proven rate of negative flips class cat: 60 of 500 rows broken (12.00% seen, at least 9.68%)"
        in header
    )
    assert "Commonest flip cat becomes dog, in 60 rows" in header
    assert f"A row that breaks {row.id}: right is cat, was cat, is now dog" in header


def test_where_another_class_gets_worse_on_average_it_is_named_too(compared: Compared) -> None:
    cats = [("cat", "cat", "dog")] * 40 + [("cat", "dog", "cat")] * 60 + [("cat", "cat", "cat")] * 400
    dogs = [("dog", "dog", "cat")] * 30 + [("dog", "dog", "dog")] * 470
    y, old, new = (list(column) for column in zip(*cats, *dogs, strict=True))
    told = shown(
        compared({"id": list(range(1000)), "y": y, "old": old, "new": new}, RULES.partition("  - {id: sites")[0])
    )

    assert "Harmed most: highest proven rate of negative flips class cat: 40 of 500 rows broken (8.00% seen," in told
    assert "Largest rise of the error rate class dog: 0.00% before, 6.00% now" in told
    assert "Largest rise of the error rate" not in shown(compared(STORIES["refused"], RULES))


def test_an_update_that_is_allowed_says_what_would_have_stopped_it(compared: Compared) -> None:
    judged = compared(STORIES["allowed"], "  - {id: few-flips, rate: nfr, at_most: 2%}\n")
    told = shown(judged)
    (finding,) = judged.decision.findings

    assert finding.margin is not None and finding.bound is not None
    assert f"What would change it 'few-flips': at most 2%; within it by {finding.margin:.2%}." in told
    assert f"what this set certifies for few-flips negative flip rate (NFR) at most {finding.bound:.2%}" in told


def test_doubt_says_how_many_rows_more_would_settle_it(compared: Compared) -> None:
    assert "inconclusive needs about 540 more rows" in shown(compared(STORIES["inconclusive"], RULES))


def test_the_evidence_says_what_the_set_could_certify(compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    finding = judged.decision.findings[0]

    assert (
        "what this set could certify for few-flips negative flip rate (NFR) at most 2%, with"
        f" {finding.passes_with} or fewer negative flips among 1,000 rows" in shown(judged)
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

    assert "First those that the candidate is surest of." in told
    assert re.search(r"(\S+) was right", told)[1] == str(surest.id)  # type: ignore[index]


def test_confidence_says_how_many_are_confidently_wrong_and_how_many_near_the_boundary(compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    some = ConfidenceHistogram((0,) * 10, (0, 0, 0, 0, 7, 20, 10, 10, 8, 5))
    bins = ConfidenceBins(tuple(i / 10 for i in range(11)), some, some)
    told = shown(replace(judged, decision=replace(judged.decision, confidence_bins=bins)))

    assert (
        "Of 60 rows that break, the candidate is at least 90% sure in 5 (confidently wrong), and at most 50% sure in 7"
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
