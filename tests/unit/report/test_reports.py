"""Whole reports: for each verdict as text and as Markdown, within 80 columns, whatever the classes are called."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_cases import HOSTILE, LONG, RULES, STORIES, VERDICTS, named, pets, with_hostile
from rich.cells import cell_len

import gate
from gate.core.judgement import Severity, Status, Verdict
from gate.decisions.record import Promotable
from gate.report import markdown, text
from gate.report.writers import WRITERS
from gate.stories.decide import Judgement

Compared = Callable[..., Judgement]
Golden = Callable[[str, bytes], None]


def as_text(judged: Judgement) -> str:
    return text.write(judged.decision, judged.samples)["report.txt"].decode()


def as_markdown(judged: Judgement) -> str:
    return markdown.write(judged.decision, judged.samples)["report.md"].decode()


def squeezed(judged: Judgement) -> str:
    return " ".join(as_text(judged).split())


def within_80_columns(report: str) -> None:
    for line in report.splitlines():
        assert cell_len(line) <= 80, line


def nothing_undefined(report: str) -> None:
    assert not re.search(r"\b(NaN|nan|None|null|inf|Infinity)\b", report), report


@pytest.mark.parametrize("story", STORIES)
def test_the_whole_report(story: str, compared: Compared, same_as_golden: Golden) -> None:
    judged = compared(STORIES[story], RULES)

    assert judged.verdict is VERDICTS[story]
    for report in (as_text(judged), as_markdown(judged)):
        nothing_undefined(report)
    within_80_columns(as_text(judged))
    same_as_golden(f"{story}.txt", as_text(judged).encode())
    same_as_golden(f"{story}.md", as_markdown(judged).encode())


def test_the_whole_report_where_no_rule_is_enforced(compared: Compared, same_as_golden: Golden) -> None:
    judged = compared(pets(4, 40), "  - {id: few-flips, rate: nfr, at_most: 2%, severity: warn}\n")

    assert judged.verdict is Verdict.ERROR
    nothing_undefined(as_text(judged))
    same_as_golden("nothing-enforced.txt", as_text(judged).encode())
    same_as_golden("nothing-enforced.md", as_markdown(judged).encode())


def test_the_whole_report_without_an_incumbent(
    compared: Compared, alone: Callable[[Judgement], Judgement], same_as_golden: Golden
) -> None:
    judged = alone(compared(pets(4, 40), "  - {id: cap, rate: error_rate, of: candidate, at_most: 5%}\n" + RULES))

    for report in (as_text(judged), as_markdown(judged)):
        nothing_undefined(report)
        assert "unknown" not in report
    same_as_golden("no-incumbent.txt", as_text(judged).encode())
    same_as_golden("no-incumbent.md", as_markdown(judged).encode())


def test_without_samples_none_are_shown(compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    bare = replace(judged, samples=())

    assert "Some of the negative flips" in as_text(judged)
    assert "Some of the negative flips" not in as_text(bare)
    assert "Some of the negative flips" not in as_markdown(bare)


def test_an_allowed_update_with_a_warning_does_not_say_that_all_is_well(compared: Compared) -> None:
    judged = compared(pets(4, 40), "  - {id: few-flips, rate: nfr, at_most: 2%, warn_above: 0.1%}\n")

    assert judged.verdict is Verdict.ALLOW
    assert "warning" in as_text(judged).partition("What the update does")[0]


def test_an_update_that_is_allowed_only_because_of_a_waiver_says_so(compared: Compared) -> None:
    waiver = "waivers:\n  - {rule: few-flips, up_to: 9%, because: Relabelling, owner: ann, expires: 2026-03-31}\n"
    judged = compared(STORIES["refused"], RULES.partition("  - {id: no-class")[0], waiver)

    assert judged.verdict is Verdict.ALLOW
    assert "1 of them only because of a waiver" in squeezed(judged)


def test_the_deciding_sentence_names_rule_limit_rate_and_bound(compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    opening = " ".join(as_text(judged).partition("What would make it pass")[0].split())

    assert opening.startswith("REFUSED models:/pets/7 must not replace models:/pets/6.")
    assert "'few-flips' wants the negative flip rate (NFR) at most 2%; it is 6.00% (60 of 1,000 rows)" in opening
    assert "with 95% confidence at least 4." in opening
    assert "Support reads every new mistake as a bug." in opening


def test_an_inconclusive_report_says_what_would_settle_it(compared: Compared) -> None:
    judged = compared(STORIES["inconclusive"], RULES)
    report = " ".join(as_text(judged).split())
    (finding,) = [f for f in judged.decision.findings if f.rule == "few-flips"]

    assert finding.rows_needed is not None
    assert finding.rows_needed == 542
    assert f"passes with {finding.passes_with} or fewer negative flips among 1,000 rows, which would prove" in report
    assert "at most 2% with 95% confidence; there are 14; or about 540 more rows would settle it" in report


def test_a_refused_report_weighs_the_average_against_what_breaks(compared: Compared) -> None:
    better, worse = compared(pets(60, 90), RULES), compared(pets(60, 10), RULES)

    assert "On average it is better (error rate 9.00% before, 6.00% now), but it breaks 60 rows" in squeezed(better)
    assert "On average it is worse (error rate 1.00% before, 6.00% now), and it breaks 60 rows" in squeezed(worse)
    told = squeezed(compared(pets(60, 62), RULES))
    assert "On average it looks better (error rate 6.20% before, 6.00% now; a change of" in told
    assert "so that is not proven), but it breaks 60 rows" in told


def test_the_advice_is_never_to_train_on_the_held_out_rows(compared: Compared) -> None:
    told = squeezed(compared(STORIES["refused"], RULES))

    assert "mend the candidate with other rows like them. Never train it on these" in told
    assert "look at the positive flips and at rows that did not flip too" in told
    assert "The bounds allow for 1 look at this held-out set (a candidate judged is a look): another one needs" in told


def test_it_says_how_many_looks_are_used_and_what_else_keeps_it_from_being_promoted(compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    decision = judged.decision
    because = "@champion is version 3, and version 1 was compared with"
    used = replace(
        decision,
        evidence=replace(decision.evidence, looks=3, uses_before=1),
        promotable=Promotable(False, because),
    )
    told = squeezed(replace(judged, decision=used))

    assert (
        f"Even if it were allowed, it could not be promoted: {because}." in told.partition("What would make it pass")[0]
    )
    assert (
        "allow for 3 looks at this held-out set (a candidate judged is a look), and before this check it had judged 1 other candidate:"
        in told
    )


def test_a_margin_says_which_way_it_lies(compared: Compared) -> None:
    rules = "  - {id: by-class, rate: nfr, by: class, at_most: 3%, decide_on: harm}\n"
    told = squeezed(compared(pets(18, 40), rules + RULES))

    assert "unproven by 2.2" in told  # the cats: seen 3.6%, at most 5.2%, at least 2.3%
    assert "1 warns, 1 passes of 2 classes" in told
    assert "past it by" in squeezed(compared(STORIES["refused"], RULES))
    assert "within it by" in squeezed(compared(STORIES["allowed"], RULES))


def test_each_status_and_severity_is_laid_out(compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    first = judged.decision.findings[0]
    for status in Status:
        for severity in Severity:
            findings = (replace(first, status=status, severity=severity), *judged.decision.findings[1:])
            shown = replace(judged, decision=replace(judged.decision, findings=findings))

            assert status.value.upper() in as_text(shown)
            within_80_columns(as_text(shown))
            assert status.value.upper() in as_markdown(shown)


def test_undefined_numbers_are_words(compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    decision = judged.decision
    bare = replace(
        decision,
        rates=tuple(replace(row, estimate=None, lower=None, upper=None) for row in decision.rates),
        findings=tuple(replace(f, estimate=None, bound=None, margin=None) for f in decision.findings),
    )

    for report in (as_text(replace(judged, decision=bare)), as_markdown(replace(judged, decision=bare))):
        nothing_undefined(report)
        assert "undefined" in report


# whatever the classes are called


def harmless(report: str) -> None:
    """Nothing in it steers a terminal, a runner of workflows, or a renderer."""
    bad = [
        char for char in report if char != "\n" and (ord(char) < 32 or char in "\x7f\x85\u2028\u2029\u202e\u200b\ufeff")
    ]
    assert not bad
    assert not [line for line in report.split("\n") if line.lstrip().startswith("::")]


@pytest.mark.fault(
    38,
    given="a name holds colour codes, characters that turn the writing round, or other control characters",
    then="shows none of them to the terminal",
    exit_code=None,
)
@pytest.mark.parametrize("names", [HOSTILE, LONG], ids=["hostile", "long"])
def test_no_class_name_breaks_the_text(names: list[str], compared: Compared) -> None:
    report = as_text(compared(named(names), RULES))

    harmless(report)
    within_80_columns(report)


@pytest.mark.fault(
    35,
    given="a class is called `</script><img onerror=...>`, and the report is Markdown",
    then="writes the name as plain text",
    exit_code=None,
)
@pytest.mark.fault(
    36,
    given="a class is called `|`, `@all`, or a new line and `::set-output`",
    then="writes the name so that no table breaks, nobody is called and no workflow hears a command",
    exit_code=None,
)
@pytest.mark.parametrize("names", [HOSTILE, LONG], ids=["hostile", "long"])
def test_no_class_name_breaks_the_markdown(names: list[str], compared: Compared) -> None:
    report = as_markdown(compared(named(names), RULES))

    harmless(report)
    assert "<img" not in report and "</script" not in report
    assert not re.search(r"@(all|octocat)", report)
    assert not re.search(r"(?<!\\)\[click", report)
    assert not re.search(r"(?<!&)#\d", report)
    assert not re.search(r"\bwww\.|https?://", report)
    columns = 0
    for line in report.splitlines():
        if line.startswith("|"):
            cells = len(re.findall(r"(?<!\\)\|", line))
            columns = columns or cells
            assert cells == columns, line
        else:
            columns = 0


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.text(max_size=60), min_size=2, max_size=5, unique=True))
def test_any_text_at_all_may_be_a_class(compared: Compared, names: list[str]) -> None:
    judged = compared(named(names, copies=5), RULES)
    report = as_text(judged)

    harmless(report)
    within_80_columns(report)
    harmless(as_markdown(judged))


@pytest.mark.parametrize("place", ["rule", "because", "policy", "uri"])
def test_a_hostile_policy_or_uri_is_harmless_too(place: str, compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    for hostile in (*HOSTILE, *LONG):
        decision = with_hostile(judged.decision, place, hostile)
        report = as_text(replace(judged, decision=decision))

        harmless(report)
        within_80_columns(report)
        harmless(as_markdown(replace(judged, decision=decision)))
        assert "<img" not in as_markdown(replace(judged, decision=decision))


def test_values_that_could_be_mistaken_are_quoted(compared: Compared) -> None:
    columns = named(["1", "True", "None", " spaced ", ""], copies=40)
    report = as_text(compared(columns, RULES))

    for shown in ("'1'", "'True'", "'None'", "' spaced '", "''"):
        assert shown in report


@pytest.mark.parametrize("form", WRITERS)
def test_a_writer_gives_the_same_bytes_twice_and_changes_nothing(form: str, compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    before = repr(judged.decision)

    assert WRITERS[form](judged.decision, judged.samples) == WRITERS[form](judged.decision, judged.samples)
    assert repr(judged.decision) == before


@pytest.mark.parametrize(
    ("plain", "escaped"),
    [
        ("error rate change -3.60%, 1.042", "error rate change -3.60%, 1.042"),
        ("- item", r"\- item"),
        ("+ item", r"\+ item"),
        ("# heading", r"\# heading"),
        ("---", r"\---"),
        ("-3.6%", "-3.6%"),
        ("1. item", r"1\. item"),
        ("2) item", r"2\) item"),
        ("a_b*c", r"a\_b\*c"),
        ("a|b", r"a\|b"),
        ("<b>&amp;</b>", "&lt;b&gt;&amp;amp;&lt;/b&gt;"),
        ("issue #12", "issue #&#8203;12"),
        ("@all", "@&#8203;all"),
        ("https://x.example www.x.example", r"https\://x.example www\.x.example"),
        ("one\ntwo\r\nthree", "one two three"),
        ("models:/pets@champion", "models:/pets@&#8203;champion"),
    ],
)
def test_only_what_markdown_would_read_is_escaped(plain: str, escaped: str) -> None:
    assert markdown.escape(plain) == escaped


@pytest.mark.fault(
    41,
    given="the summary of a job would be larger than its host shows",
    then="leaves out the sections that matter least, says which, and keeps the verdict",
    exit_code=None,
)
def test_a_summary_that_would_be_too_large_loses_what_matters_least(compared: Compared) -> None:
    rules = "".join(f"  - {{id: {'r' * 300}-{i}, rate: nfr, by: class, at_most: 2%}}\n" for i in range(400))
    judged = compared(STORIES["refused"], rules)
    report = as_markdown(judged)

    assert len(report.encode()) <= markdown.MOST_BYTES
    assert report.startswith("## REFUSED")
    assert "*Left out, for its size:" in report and "policy" in report.rpartition("Left out")[2]


def test_rows_that_belong_together_are_said_to_be_worth_less(compared: Compared) -> None:
    columns = {**pets(20, 40), "owner": [i // 10 for i in range(1000)]}
    plain = compared(columns, "  - {id: few-flips, rate: nfr, at_most: 5%}\n")
    text_ = Path("policy.yaml").read_text().replace("label: y,", "label: y, cluster: owner,")
    Path("policy.yaml").write_text(text_)
    judged = gate.compare(columns, policy="policy.yaml", incumbent="old", candidate="new")

    assert "independent ones" not in as_text(plain)
    assert re.search(r"these 1,000 rows are worth \d+ independent ones", " ".join(as_text(judged).split()))


def test_what_goes_beyond_the_noise_is_told_with_its_bound(compared: Compared) -> None:
    columns = {**pets(60, 40), "again": pets(10, 40)["new"]}
    compared(columns, "  - {id: few-flips, rate: nfr, at_most: 5%}\n")
    text_ = Path("policy.yaml").read_text().replace("label: y,", "label: y, noise_floor: [again],")
    Path("policy.yaml").write_text(text_.replace("rate: nfr", "rate: excess_nfr"))
    judged = gate.compare(columns, policy="policy.yaml", incumbent="old", candidate="new")
    told = " ".join(as_text(judged).split())

    assert judged.decision.findings[0].side != "estimate"
    assert "by the estimate alone" not in told
    assert re.search(r"NFR beyond the noise of retraining.* with \S+ confidence at (most|least) ", told)
