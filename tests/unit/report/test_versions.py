"""Several versions in one report, and several decisions in one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from report_cases import RULES, STORIES

from gate.core.judgement import Verdict
from gate.decisions.record import Decision, VersionRow
from gate.errors import UsageError
from gate.report import several
from gate.report.files import Wanted
from gate.report.versions import matrix
from gate.report.writers import WRITERS
from gate.stories.decide import Judgement

HOSTILE = "models:/<script>|x\x1b[31m/7"
VERSIONS = (
    VersionRow("candidate 7", HOSTILE, 1900, (0, 40, 1234)),
    VersionRow("candidate 8", "models:/pets/8", 1940, (80, 0, 5)),
    VersionRow("incumbent", "models:/pets/5", 1935, (1269, 0, 0)),
)


@pytest.fixture
def decision(compared: Callable[..., Judgement]) -> Decision:
    return replace(compared(STORIES["refused"], RULES).decision, versions=VERSIONS)


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_every_report_shows_what_each_version_breaks_of_every_other(form: str, decision: Decision) -> None:
    (content,) = WRITERS[form](decision, ()).values()
    text = content.decode()
    assert "Flips between versions" in text and "1,234" in text and "1,940" in text
    assert "\x1b" not in text and ("<script>|" not in text or form == "text")


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_two_versions_have_no_such_table(form: str, decision: Decision) -> None:
    (content,) = WRITERS[form](replace(decision, versions=()), ()).values()
    assert "Flips between versions" not in content.decode()


def test_the_matrix_has_no_number_where_a_version_meets_itself() -> None:
    table = matrix(VERSIONS)
    assert [line[1:4] for line in table[1:]] == [("-", "40", "1,234"), ("80", "-", "5"), ("1,269", "0", "-")]
    assert matrix(()) == []


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [
        ((Verdict.ALLOW, Verdict.ALLOW), Verdict.ALLOW),
        ((Verdict.ALLOW, Verdict.INCONCLUSIVE), Verdict.INCONCLUSIVE),
        ((Verdict.INCONCLUSIVE, Verdict.REFUSE, Verdict.ALLOW), Verdict.REFUSE),
        ((Verdict.REFUSE, Verdict.ERROR), Verdict.ERROR),
    ],
)
def test_the_whole_is_as_bad_as_the_worst(verdicts: tuple[Verdict, ...], whole: Verdict, decision: Decision) -> None:
    decisions = [replace(decision, verdict=one, exit_code=int(one.exit_code)) for one in verdicts]
    assert several.worst(decisions).verdict is whole
    told = json.loads(several.write_json([(one, ()) for one in decisions]))
    assert (told["verdict"], told["exit_code"]) == (whole.value, int(whole.exit_code))
    assert len(told["decisions"]) == len(verdicts)


def test_a_path_says_where_the_versions_go(decision: Decision, tmp_path: Path) -> None:
    wanted = Wanted.parse(f"json={tmp_path}/{{candidate}}-on-{{incumbent}}.json", ["candidate", "incumbent"])
    origin = decision.provenance
    with_versions = replace(
        decision,
        provenance=replace(
            origin,
            candidate=replace(origin.candidate, version=7),
            incumbent=replace(origin.candidate, version=None, uri="runs:/abc/../model"),
        ),
    )
    assert wanted.of(with_versions).path == tmp_path / "7-on-runs-abc-..-model.json"
    assert wanted.of(replace(decision, provenance=replace(with_versions.provenance, incumbent=None))).path.name == (
        "7-on-none.json"
    )
    with pytest.raises(UsageError, match="would be written for each incumbent"):
        Wanted.parse(f"json={tmp_path}/{{candidate}}.json", ["candidate", "incumbent"])
    with pytest.raises(UsageError, match="has a place for 'cand'; did you mean 'candidate'?"):
        Wanted.parse(f"json={tmp_path}/{{cand}}-{{incumbent}}.json", ["incumbent"])
