"""Policies that are broken, given to every command that reads one: none of them allows anything."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HEAD = "version: 1\nname: pets\nholdout: {id: key, label: y, slices: {site: {column: site}}}\n"
RULE = "  - {id: few, rate: nfr, at_most: 5%}\n"
SOUND = f"{HEAD}rules:\n{RULE}"
COMPARE = ("compare", "predictions.csv", "--incumbent", "old", "--candidate", "new", "--policy", "p.yaml")
REPORT = ("--report", "json=decision.json")

Stopped = Callable[..., str]
Refused = Callable[[str], str]


@pytest.fixture
def predictions(folder: Path) -> Path:
    """Answers of two models to 400 pets, all of them right: what is sound allows."""
    path = folder / "predictions.csv"
    pets = ["dog", "cat"] * 200
    path.write_text("key,y,old,new,site\n" + "".join(f"{i},{pet},{pet},{pet},n\n" for i, pet in enumerate(pets)))
    return path


@pytest.fixture
def refused(stopped: Stopped, folder: Path, predictions: Path) -> Refused:
    """Gives a policy to every command that reads one; each must end with exit code 2. What `gate compare` says."""
    case = "policy: p.yaml\npredictions: predictions.csv\nincumbent: old\ncandidate: new\nexpect: {verdict: allow}\n"

    def give(text: str) -> str:
        (folder / "p.yaml").write_text(text, encoding="utf-8")
        (folder / "case.yaml").write_text(case)
        said = stopped(2, *COMPARE, *REPORT)
        registry = (
            "--candidate",
            "models:/pets/2",
            "--incumbent",
            "models:/pets/1",
            "--registry-uri",
            "sqlite:///r.db",
        )
        for command in (
            ("check", *registry, "--data", "predictions.csv", "--policy", "p.yaml", *REPORT),
            ("policy", "validate", "p.yaml"),
            ("policy", "validate", "p.yaml", "--data", "predictions.csv"),
            ("policy", "explain", "p.yaml"),
            ("plan", "--policy", "p.yaml"),
        ):
            assert stopped(2, *command) == said
        assert "case.yaml:1:1" in stopped(2, "policy", "test", "case.yaml")
        return said

    return give


@pytest.fixture
def judged(stopped: Stopped, folder: Path, predictions: Path) -> Refused:
    """Gives a policy whose mistake only the data shows; the commands that see both must end with exit code 2."""

    def give(text: str) -> str:
        (folder / "p.yaml").write_text(text)
        said = stopped(2, *COMPARE, *REPORT)
        if "expired" not in said:  # a day is no matter of the data
            assert stopped(2, "policy", "validate", "p.yaml", "--data", "predictions.csv") == said
        return said

    return give


def test_the_policy_that_is_broken_below_allows(cli: Any, folder: Path, predictions: Path) -> None:
    (folder / "p.yaml").write_text(SOUND)
    done = cli(*COMPARE, *REPORT)

    assert (done.code, done.out[:8], done.err) == (0, b"ALLOWED\n", "")
    assert (folder / "decision.json").is_file()


@pytest.mark.fault(
    1,
    given="a policy has no rules, or says nothing at all",
    then="does not read it: a policy that demands nothing allows nothing",
    exit_code=2,
)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{HEAD}rules: []\n", "p.yaml:4:1: rules: no rules: a policy that demands nothing allows nothing"),
        (HEAD, "p.yaml:1:1: the key 'rules' is missing"),
        ("# later\n", "p.yaml: empty: a policy that demands nothing allows nothing"),
        ("", "p.yaml: empty: a policy that demands nothing allows nothing"),
    ],
)
def test_a_policy_without_rules_allows_nothing(text: str, said: str, refused: Refused) -> None:
    assert refused(text) == f"Error: {said}\n"


@pytest.mark.fault(
    2,
    given="a rule is about a slice that nobody defined",
    then="does not read the policy, and names the nearest slice there is",
    exit_code=2,
)
def test_a_rule_about_a_slice_that_is_not_defined(refused: Refused) -> None:
    said = refused(f"{HEAD}rules:\n  - {{id: sites, rate: nfr, by: sit, at_most: 5%}}\n")

    assert "p.yaml:5:28: rules[0] 'sites': by: unknown slice 'sit'; did you mean 'site'?" in said


@pytest.mark.fault(
    2,
    given="a rule matches no class or slice of the held-out set",
    then="gives no verdict, and names the rule and its line",
    exit_code=2,
)
@pytest.mark.parametrize(
    ("slices", "rule", "said"),
    [
        (
            '{tiny: {where: "key > 4000"}}',
            "{id: r, rate: nfr, by: tiny, at_most: 5%}",
            "p.yaml:5: rule 'r' matches no cell: there is no tiny in this held-out set",
        ),
        (
            "{}",
            "{id: r, rate: nfr, by: class, at_most: 5%, overrides: [{cell: cta, at_most: 1%}]}",
            "p.yaml:5: rule 'r': override for 'cta', which is no class of this held-out set; did you mean 'cat'?",
        ),
    ],
)
def test_a_rule_that_matches_nothing(slices: str, rule: str, said: str, judged: Refused) -> None:
    found = judged(f"version: 1\nname: pets\nholdout: {{id: key, label: y, slices: {slices}}}\nrules:\n  - {rule}\n")

    assert f"Error: {said}" in found


@pytest.mark.fault(
    3,
    given="a key, a choice or a rate is misspelt",
    then="tells every misspelt word at once, each with its line, column and the nearest right word",
    exit_code=2,
)
def test_misspelt_words_are_told_together_with_the_nearest(refused: Refused) -> None:
    said = refused(
        "version: 1\nname: pets\nholdout: {lable: y}\nevidence: {decide_on: prof}\nrules:\n"
        "  - {id: few, rate: nrf, at_most: 5%}\n  - {id: more, rate: nfr, at_most: 5%, sevrity: warn}\n"
    )

    assert said.splitlines() == [
        "Error: p.yaml:3:11: holdout.lable: unknown key; did you mean 'label'?",
        "p.yaml:4:12: evidence.decide_on: unknown value 'prof'; did you mean 'proof'?",
        "p.yaml:6:15: rules[0] 'few': rate: unknown rate 'nrf'; did you mean 'nfr'?",
        "p.yaml:7:40: rules[1] 'more': sevrity: unknown key; did you mean 'severity'?",
    ]


@pytest.mark.fault(
    4,
    given="a key, or the name of a rule, stands there twice",
    then="takes neither of the two, and says where both are",
    exit_code=2,
)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            f"{HEAD}rules:\n  - {{id: few, rate: nfr, at_most: 1%, at_most: 99%}}\n",
            "p.yaml:5:39: key 'at_most' stands here a second time; first in line 5",
        ),
        (f"{SOUND}rules: []\n", "p.yaml:6:1: key 'rules' stands here a second time; first in line 4"),
        (f"{SOUND}{RULE.replace('5%', '99%')}", "p.yaml:6:6: rules[1] 'few': id: rule id 'few' is taken by rules[0]"),
    ],
)
def test_what_stands_there_twice_counts_for_nothing(text: str, said: str, refused: Refused) -> None:
    assert refused(text) == f"Error: {said}\n"


@pytest.mark.fault(
    5,
    given="a policy holds YAML aliases that would grow to billions of words",
    then="does not expand them, and names each one",
    exit_code=2,
)
def test_an_alias_bomb_does_not_go_off(refused: Refused) -> None:
    levels = zip("abcdefghijklmnopqrs", "bcdefghijklmnopqrst", strict=True)
    bomb = "a: &a [x, x, x]\n" + "".join(f"{new}: &{new} [*{old}, *{old}, *{old}]\n" for old, new in levels)
    began = time.monotonic()
    said = refused(bomb + SOUND)

    assert time.monotonic() - began < 30  # for seven commands; its 3^20 words would take hours
    assert "Error: p.yaml:1:4: anchor &a: aliases are not allowed in a policy\n" in said
    assert "p.yaml:20:16: alias *s: write it out; aliases are not allowed in a policy\n" in said


@pytest.mark.fault(
    5,
    given="a policy holds a YAML tag that would run a program",
    then="runs nothing: tags are refused where they stand",
    exit_code=2,
)
def test_a_tag_runs_nothing(refused: Refused) -> None:
    said = refused(f"{SOUND}task: !!python/object/apply:os.system ['echo > ran']\n")

    assert said == (
        "Error: p.yaml:6:7: tag tag:yaml.org,2002:python/object/apply:os.system: tags are not allowed in a policy\n"
    )


@pytest.mark.fault(
    6,
    given="a policy is nested 5,000 levels deep",
    then="stops reading at the 33rd level, before any memory or stack is used up",
    exit_code=2,
)
@pytest.mark.parametrize("deep", ["[" * 5_000 + "]" * 5_000, "{a: " * 5_000, "\n" + "- " * 5_000 + "x"])
def test_a_policy_5000_levels_deep(deep: str, refused: Refused) -> None:
    assert "nested more than 32 deep: not a policy\n" in refused(f"{SOUND}task: {deep}\n")


@pytest.mark.fault(
    7,
    given="a limit is not a number, is endless, or lies where no rate can be",
    then="refuses the limit, and says between which values the rate lies",
    exit_code=2,
)
@pytest.mark.parametrize(
    ("rate", "limit", "said"),
    [
        ("nfr", ".nan", "a limit must be finite; found nan"),
        ("nfr", ".inf", "a limit must be finite; found inf"),
        ("relative_nfr", ".inf", "a limit must be finite; found inf"),
        ("relative_nfr", "-.inf", "a limit must be finite; found -inf"),
        ("relative_nfr", "1e999", "a limit must be finite; found inf"),
        ("nfr", "-1%", "nfr lies between 0% and 100%; found '-1%'"),
        ("nfr", "101%", "nfr lies between 0% and 100%; found '101%'"),
        ("relative_nfr", "-0.5", "relative_nfr lies between 0 and inf; found -0.5"),
    ],
)
def test_a_limit_that_is_no_number_of_its_rate(rate: str, limit: str, said: str, refused: Refused) -> None:
    found = refused(f"{HEAD}rules:\n  - {{id: few, rate: {rate}, at_most: {limit}}}\n")
    column = len(f"  - {{id: few, rate: {rate}, ") + 1

    assert found == f"Error: p.yaml:5:{column}: rules[0] 'few': at_most: {said}\n"


@pytest.mark.fault(
    8,
    given="a limit on a rate is a bare number, so that 1 could mean one per cent or all of it",
    then="asks for the % sign, and offers the limit as it was probably meant",
    exit_code=2,
)
@pytest.mark.parametrize(("bare", "meant"), [("1", "1%"), ("0.01", "1%"), ("5.0", "5%")])
def test_a_bare_number_on_a_rate(bare: str, meant: str, refused: Refused) -> None:
    said = refused(f"{HEAD}rules:\n  - {{id: few, rate: nfr, at_most: {bare}}}\n")

    assert said == (
        "Error: p.yaml:5:26: rules[0] 'few': at_most: a limit on nfr carries a % sign;"
        f" found {bare}, did you mean '{meant}'?\n"
    )


@pytest.mark.fault(
    9,
    given="a policy extends itself, a file that is absent, a URL, or a file outside its folder, also by a link",
    then="reads nothing of that file, and says at which line the chain breaks",
    exit_code=2,
)
@pytest.mark.parametrize(
    ("parent", "said"),
    [
        ("p.yaml", "p.yaml:1:1: extends: 'p.yaml' leads back to where it came from"),
        ("ring.yaml", "ring.yaml:1:1: extends: 'p.yaml' leads back to where it came from"),
        ("absent.yaml", "p.yaml:1:1: extends: there is no file absent.yaml"),
        ("https://example.org/p.yaml", "p.yaml:1:1: extends: must be a local file, not a URL"),
        ("../outside.yaml", "p.yaml:1:1: extends: '../outside.yaml' leaves the folder of this policy"),
        (
            "below/../../outside.yaml",
            "p.yaml:1:1: extends: 'below/../../outside.yaml' leaves the folder of this policy",
        ),
        ("link.yaml", "p.yaml:1:1: extends: 'link.yaml' leaves the folder of this policy"),
        ("way/outside.yaml", "p.yaml:1:1: extends: 'way/outside.yaml' leaves the folder of this policy"),
    ],
)
def test_a_parent_that_is_no_file_beside_the_policy(
    parent: str, said: str, refused: Refused, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = folder.parent / "outside.yaml"
    outside.write_text(SOUND.replace("pets", "swordfish"))
    (folder / "below").mkdir()
    (folder / "ring.yaml").write_text("extends: p.yaml\n")
    (folder / "link.yaml").symlink_to(outside)
    (folder / "way").symlink_to(folder.parent, target_is_directory=True)
    try:
        found = refused(f"extends: {parent}\n{SOUND}")
    finally:
        outside.unlink()

    assert f"Error: {said}" in found
    assert "swordfish" not in found


LOCKED = """\
version: 1
name: org
holdout: {label: y, slices: {site: {column: site}}}
rules:
  - {id: few, rate: nfr, at_most: 1%, locked: true}
  - {id: sites, rate: nfr, by: site, at_most: 5%, locked: true}
"""


@pytest.mark.fault(
    10,
    given="a policy restates a rule that its parent has locked, or what decides that rule",
    then="refuses the policy, and names the line of the lock",
    exit_code=2,
)
@pytest.mark.parametrize(
    ("child", "said"),
    [
        (
            "rules: [{id: few, at_most: 99%}]",
            "rules[0] 'few': the rule is locked in org.yaml:5:5 and cannot be restated",
        ),
        ("rules: [{id: few, severity: warn}]", "rules[0] 'few': the rule is locked in org.yaml:5:5"),
        ("evidence: {confidence: 50%}", "evidence.confidence: decides rule 'few', which is locked in org.yaml:5:5"),
        ("evidence: {decide_on: harm}", "evidence.decide_on: decides rule 'few', which is locked in org.yaml:5:5"),
        ("holdout: {slices: {site: {column: key}}}", "holdout.slices.site: decides rule 'few', which is locked in"),
        ("holdout: {label: new}", "holdout.label: decides rule 'few', which is locked in org.yaml:5:5"),
        ("holdout: {exclusions: out.csv}", "holdout.exclusions: decides rule 'few', which is locked in org.yaml:5:5"),
        (
            "waivers: [{rule: few, because: x, owner: y, expires: 2999-01-31}]",
            "waivers[0].rule: rule 'few' is locked, and cannot be waived",
        ),
    ],
)
def test_a_child_cannot_soften_what_its_parent_has_locked(
    child: str, said: str, refused: Refused, folder: Path
) -> None:
    (folder / "org.yaml").write_text(LOCKED)

    found = refused(f"extends: org.yaml\n{child}\n")

    assert found.startswith("Error: p.yaml:2:")
    assert f": {said}" in found


@pytest.mark.fault(
    10,
    given="an environment of a policy restates a locked rule, even one that nobody asked for",
    then="refuses the policy in every environment",
    exit_code=2,
)
def test_an_environment_cannot_soften_a_locked_rule(
    refused: Refused, stopped: Stopped, folder: Path, predictions: Path
) -> None:
    said = refused(f"{LOCKED}environments:\n  night: {{rules: [{{id: few, at_most: 99%}}]}}\n  day: {{rules: []}}\n")

    assert "p.yaml:8:19: environments.night.rules[0] 'few': the rule is locked in p.yaml:5:5" in said
    for environment in ("night", "day"):
        assert stopped(2, *COMPARE, *REPORT, "--env", environment) == said


@pytest.mark.fault(
    11,
    given="a waiver has no owner, no reason or no last day, or is for a rule that does not exist",
    then="does not read the policy, and says what the waiver lacks",
    exit_code=2,
)
@pytest.mark.parametrize(
    ("waiver", "said"),
    [
        ("{rule: few, because: x, expires: 2999-01-31}", "p.yaml:7:5: waivers[0]: the key 'owner' is missing"),
        ("{rule: few, because: x, owner: '', expires: 2999-01-31}", "p.yaml:7:29: waivers[0].owner: "),
        ("{rule: few, owner: me, expires: 2999-01-31}", "p.yaml:7:5: waivers[0]: the key 'because' is missing"),
        ("{rule: few, because: x, owner: me}", "p.yaml:7:5: waivers[0]: the key 'expires' is missing"),
        ("{rule: few, because: x, owner: me, expires: never}", "p.yaml:7:40: waivers[0].expires: must be a day"),
        (
            "{rule: fwe, because: x, owner: me, expires: 2999-01-31}",
            "p.yaml:7:6: waivers[0].rule: there is no rule 'fwe'; did you mean 'few'?",
        ),
    ],
)
def test_a_waiver_that_nobody_answers_for(waiver: str, said: str, refused: Refused) -> None:
    assert f"Error: {said}" in refused(f"{SOUND}waivers:\n  - {waiver}\n")


@pytest.mark.fault(
    11,
    given="a waiver has expired, or is for a cell that does not exist",
    then="gives no verdict, even where the waiver would not have been needed",
    exit_code=2,
)
@pytest.mark.parametrize(
    ("waiver", "said"),
    [
        (
            "{rule: classes, cell: cat, because: x, owner: me, expires: 2026-01-31}",
            "Error: p.yaml:7: the waiver of 'classes' by me expired on 2026-01-31\n  -> renew it with a reason, or take it out",
        ),
        (
            "{rule: classes, cell: cta, because: x, owner: me, expires: 2999-01-31}",
            "Error: p.yaml:7: the waiver of 'classes' names the cell 'cta', which does not exist; did you mean 'cat'?\n"
            "  -> 1 and '1' differ: quote the value if it is text",
        ),
    ],
)
def test_a_waiver_that_has_ended_or_excuses_nothing(waiver: str, said: str, judged: Refused) -> None:
    rule = "  - {id: classes, rate: nfr, by: class, at_most: 5%}\n"

    assert judged(f"{HEAD}rules:\n{rule}waivers:\n  - {waiver}\n") == f"{said}\n"
