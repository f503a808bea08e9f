"""What CI systems and spreadsheets read: each format is parsed back by a reader that is not ours."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_cases import HOSTILE, LONG, RULES, STORIES, named

from gate.core.flips import FlippedRow
from gate.core.judgement import Status
from gate.report import github, junit, openmetrics, outputs, samples_table, sarif
from gate.report import json as json_writer
from gate.report.writers import WRITERS
from gate.stories.decide import Judgement

Compared = Callable[..., Judgement]

WAIVER = "waivers:\n  - {rule: few-flips, up_to: 9%, because: Relabelling, owner: pets-team, expires: 2026-03-31}\n"


def written(writer: Any, judged: Judgement) -> str:
    (content,) = writer.write(judged.decision, judged.samples).values()
    return content.decode("utf-8")


def cases(judged: Judgement) -> dict[tuple[str, str], ET.Element]:
    root = ET.fromstring(written(junit, judged))
    return {(case.get("classname", ""), case.get("name", "")): case for case in root.iter("testcase")}


def test_in_junit_a_failure_fails_and_doubt_is_an_error(compared: Compared) -> None:
    refused, doubtful = compared(STORIES["refused"], RULES), compared(STORIES["inconclusive"], RULES)

    failed = cases(refused)["few-flips", "all rows"].find("failure")
    assert failed is not None and "6.00% of 1,000" in failed.get("message", "")
    error = cases(doubtful)["few-flips", "all rows"].find("error")
    assert error is not None and error.get("type") == "inconclusive"
    assert cases(refused)["no-worse", "all rows"].find("failure") is None


def test_in_junit_a_waived_finding_is_skipped_with_the_reason(compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES, WAIVER)

    skipped = cases(judged)["few-flips", "all rows"].find("skipped")
    assert skipped is not None and skipped.get("message", "").startswith("Relabelling (pets-team, until 2026-03-31)")


@pytest.mark.parametrize("story", STORIES)
def test_junit_is_red_exactly_where_the_verdict_does_not_allow(story: str, compared: Compared) -> None:
    judged = compared(STORIES[story], RULES)
    red = [
        case for case in cases(judged).values() if case.find("failure") is not None or case.find("error") is not None
    ]

    assert bool(red) == bool(judged.decision.exit_code)
    verdict = next(case for (rule, _), case in cases(judged).items() if rule == "verdict")
    assert (len(verdict) > 0) == bool(judged.decision.exit_code)


def test_junit_lists_every_cell_that_does_not_pass(compared: Compared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(junit, "MOST_CELLS", 1)
    judged = compared(named([f"class {i}" for i in range(8)]), "  - {id: each, rate: nfr, by: class, at_most: 9%}\n")
    open_ = [f for f in judged.decision.findings if f.status is not Status.PASS]

    listed = [case for (rule, _), case in cases(judged).items() if rule == "each"]
    assert len(listed) == max(len(open_), 1)


def test_sarif_points_at_the_line_of_the_rule(compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    (run,) = json.loads(written(sarif, judged))["runs"]
    policy = judged.decision.policy.text.splitlines()

    assert run["invocations"][0]["exitCode"] == 10
    assert run["results"], "a refusal without results"
    for result in run["results"]:
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "policy.yaml"
        assert f"id: {result['ruleId']}" in policy[place["region"]["startLine"] - 1]
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]


def test_sarif_has_levels_and_suppresses_what_is_waived(compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES, WAIVER)
    results = json.loads(written(sarif, judged))["runs"][0]["results"]
    of = {result["ruleId"]: result for result in results}

    (waived,) = of["few-flips"]["suppressions"]
    assert waived["justification"] == "Relabelling (pets-team, until 2026-03-31)"
    assert of["sites"]["level"] == "warning"
    assert of["no-class-breaks"]["level"] == "error"


def test_annotations_are_one_line_each_at_the_rule(compared: Compared) -> None:
    lines = written(github, compared(STORIES["refused"], RULES)).splitlines()

    assert re.match(r"::error file=policy\.yaml,line=\d+,title=gate%3A few-flips::fail: ", lines[0])
    assert any(line.startswith("::warning ") and "sites" in line for line in lines)
    assert lines[-1] == "::notice title=gate::refuse: 1,000 rows, 60 negative flips"


def test_an_allowed_update_has_no_annotation_but_the_notice(compared: Compared) -> None:
    lines = written(github, compared(STORIES["allowed"], "  - {id: few-flips, rate: nfr, at_most: 2%}\n")).splitlines()
    assert lines == ["::notice title=gate::allow: 1,000 rows, 4 negative flips"]


def test_no_more_annotations_than_the_host_shows(compared: Compared) -> None:
    rules = "".join(f"  - {{id: rule-{i}, rate: nfr, at_most: 1%}}\n" for i in range(25))
    lines = written(github, compared(STORIES["refused"], rules)).splitlines()
    assert sum(line.startswith("::error") for line in lines) == 10


def test_openmetrics_holds_verdict_counts_and_rates(compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    lines = written(openmetrics, judged).splitlines()

    assert lines[-1] == "# EOF"
    assert "gate_allowed 0" in lines and "gate_exit_code 10" in lines
    assert 'gate_rows{cell="negative"} 60' in lines
    assert 'gate_rate{rate="nfr",of="update",value="estimate"} 0.06' in lines
    for line in lines[:-1]:
        assert re.fullmatch(r'# (TYPE|HELP) gate_\w+ .+|gate_\w+({(\w+="[^"]*",?)+})? -?[\d.e+-]+', line), line


def test_a_cell_that_begins_like_a_formula_is_text_in_a_spreadsheet(compared: Compared) -> None:
    rows = [
        FlippedRow("0", text, "negative", text, text, text)
        for text in ("=cmd()|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", " =1", "\uff1d1")
    ]
    (content,) = samples_table.write_csv(compared(STORIES["refused"], RULES).decision, rows).values()
    header, *lines = csv.reader(io.StringIO(content.decode()))

    assert header[0] == "id" and len(lines) == len(rows)
    for line in lines:
        assert line[0].startswith("'") and line[2].startswith("'")


def test_the_tables_hold_every_sample(compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    (content,) = samples_table.write_parquet(judged.decision, judged.samples).values()
    table = pq.read_table(io.BytesIO(content))
    (text,) = samples_table.write_csv(judged.decision, judged.samples).values()

    assert table.num_rows == len(judged.samples) == len(text.decode().splitlines()) - 1
    assert table.column("id").to_pylist() == [row.id for row in judged.samples]
    assert set(table.column("kind").to_pylist()) == {"negative", "positive"}


@pytest.mark.parametrize("form", WRITERS)
def test_without_samples_every_format_is_written(form: str, compared: Compared) -> None:
    judged = compared(STORIES["refused"], RULES)
    (content,) = WRITERS[form](judged.decision, ()).values()
    assert content or form == "samples"


@pytest.mark.fault(
    37,
    given="a flipped row's id or label is `=cmd()`",
    then="writes it as text into CSV files, so that no spreadsheet computes it",
    exit_code=None,
)
@pytest.mark.fault(
    36,
    given="a rule or a class is named with a new line and `::error::`, and the report is one for machines",
    then="writes it on one line, so that each format reads back as what it is and commands nothing",
    exit_code=None,
)
@pytest.mark.parametrize("names", [HOSTILE, LONG], ids=["hostile", "long"])
def test_no_class_name_breaks_a_machine_format(names: list[str], compared: Compared) -> None:
    parse_all(compared(named(names), RULES))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.text(max_size=40), min_size=2, max_size=4, unique=True))
def test_any_text_at_all_may_be_a_class_in_a_machine_format(compared: Compared, names: list[str]) -> None:
    parse_all(compared(named(names, copies=5), RULES))


def parse_all(judged: Judgement) -> None:
    hostile_rules = replace(
        judged.decision, findings=tuple(replace(f, rule=HOSTILE[2]) for f in judged.decision.findings)
    )
    for shown in (judged, replace(judged, decision=hostile_rules)):
        assert ET.fromstring(written(junit, shown)).tag == "testsuites"
        assert json.loads(written(sarif, shown))["version"] == "2.1.0"
        for line in written(github, shown).splitlines():
            assert re.match(r"::(error|warning|notice) ", line), line
        for line in written(openmetrics, shown).splitlines()[:-1]:
            assert re.fullmatch(r'# (TYPE|HELP) gate_\w+ .+|gate_\w+({(\w+="([^"\\]|\\.)*",?)+})? -?[\d.e+-]+', line), (
                line
            )
        for line in written(outputs, shown).splitlines():
            assert re.fullmatch(r"[a-z_]+=[A-Za-z0-9 .,_-]*", line), line
        for line in json_writer.write_samples(shown.decision, shown.samples)["samples.jsonl"].splitlines():
            assert json.loads(line)["kind"] in ("negative", "positive")
        (text,) = samples_table.write_csv(shown.decision, shown.samples).values()
        for line in list(csv.reader(io.StringIO(text.decode())))[1:]:
            assert len(line) == len(samples_table.COLUMNS) + 1  # the slice is a column of the row
            assert not line[0].lstrip().startswith(("=", "+", "@"))
        (content,) = samples_table.write_parquet(shown.decision, shown.samples).values()
        assert pq.read_table(io.BytesIO(content)).num_rows == len(shown.samples)
