"""The enforcement file: what it protects, all its mistakes at once, and when a change of it counts."""

from __future__ import annotations

import re
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from gate.errors import UsageError
from gate.plugin.enforcement import KEYS, Enforcement, parse
from gate.plugin.watched import SETTING, EnforcementFile
from gate.policy.source import read

SOUND = """\
version: 1
protect:
  - models: [fraud, credit-*]
    aliases: [champion]
    environment: production
    keys: [ci.pub]
    override_keys: [oncall.pub]
    policies: ["5555555555555555555555555555555555555555555555555555555555555555"]
    max_age: 12h
  - {models: ["*"], aliases: [live, "v-*"], keys: [ci.pub], policies: any}
"""


@pytest.fixture
def folder(pairs: Path, tmp_path: Path) -> Path:
    shutil.copytree(pairs, tmp_path, dirs_exist_ok=True)
    return tmp_path


def parsed(text: str, folder: Path) -> Enforcement:
    return parse(read(text), str(folder / "gate.yaml"))


def test_names_and_aliases_are_matched_by_name_or_pattern_to_the_letter(folder: Path) -> None:
    found = parsed(SOUND, folder)
    (rule,) = found.on_alias("credit-eu", "champion")
    assert rule.models == ("fraud", "credit-*")
    assert len(found.on_model("fraud")) == 2
    assert len(found.on_model("churn")) == 1
    assert not found.on_alias("churn", "champion")
    assert not found.on_alias("Fraud", "champion")
    assert not found.on_alias("fraud", "Champion")
    assert not found.on_alias("credit", "champion")
    assert found.on_alias("churn", "v-1") and found.on_alias("fraud", "live")


def test_what_a_rule_says_is_read_and_what_it_leaves_out_is_strict(folder: Path) -> None:
    first, second = parsed(SOUND, folder).rules
    assert first.policies == frozenset({"5" * 64})
    assert first.max_age == timedelta(hours=12)
    assert first.environment == "production"
    assert [key.name for key in first.all_keys] == ["ci.pub", "oncall.pub"]
    assert (second.policies, second.environment, second.registries, second.override_keys) == (None, None, None, ())
    assert second.max_age == timedelta(days=7)


def test_keys_are_found_beside_the_file(folder: Path) -> None:
    (folder / "keys").mkdir()
    shutil.move(folder / "ci.pub", folder / "keys" / "ci.pub")
    found = parsed(SOUND.replace("[ci.pub]", "[keys/ci.pub]"), folder)
    assert found.rules[0].keys[0].name == "ci.pub"


@pytest.mark.parametrize(
    ("change", "line", "found"),
    [
        (("version: 1", "version: 2"), 1, "version: must be the number 1; found 2"),
        (("version: 1", "version: true"), 1, "version: must be the number 1; found True"),
        (("version: 1\n", ""), 1, "version: must be the number 1; found nothing"),
        (("protect:", "protects:"), 2, "unknown key 'protects'; did you mean 'protect'?"),
        (("aliases: [champion]", "alias: [champion]"), 4, "unknown key 'alias'; did you mean 'aliases'?"),
        (("    aliases: [champion]\n", ""), 3, "protect[0]: the key 'aliases' is missing"),
        (("    keys: [ci.pub]\n", ""), 3, "protect[0]: the key 'keys' is missing"),
        (("keys: [ci.pub]", "keys: []"), 6, "protect[0].keys: must be a list of text, and not empty; found a list"),
        (("keys: [ci.pub]", "keys: ci.pub"), 6, "must be a list of text, and not empty; found 'ci.pub'"),
        (("keys: [ci.pub]", "keys: [cI.pub]"), 6, "cI.pub: no such public key"),
        (("keys: [ci.pub]", "keys: [ci]"), 6, "a private key, where its public half is enough"),
        (("[oncall.pub]", "[ci.pub]"), 6, "a key that signs decisions cannot override them too"),
        (("    policies: [", "    policy: ["), 8, "unknown key 'policy'; did you mean 'policies'?"),
        (("5555", "555"), 8, "not the SHA-256 of a policy"),
        (("[fraud, credit-*]", "[models:/fraud]"), 3, "no model can be called 'models:/fraud'"),
        (("[fraud, credit-*]", "[]"), 3, "protect[0].models: must be a list of text"),
        (("[fraud, credit-*]", "[fraud, 7]"), 3, "protect[0].models[1]: must be text"),
        (("[fraud, credit-*]", '[" fraud"]'), 3, "must be text, without spaces around it"),
        (("[champion]", '["@champion"]'), 4, "no alias can be called '@champion': an alias has letters"),
        (("[champion]", '["!champion"]'), 4, "has no way to say what is not"),
        (("[champion]", '["champ[ion"]'), 4, "a bracket is opened and not closed"),
        (("[champion]", '["champ[!]"]'), 4, "nothing is in its brackets"),
        (("[champion]", '["champ[z-a]"]'), 4, "nothing is in its brackets"),
        (("[champion]", '["champ[@.]"]'), 4, "an alias has letters, digits, _ and -"),
        (("[champion]", "[latest]"), 4, "MLflow takes latest and v1, v2, ... for no alias"),
        (("[champion]", "[V12]"), 4, "MLflow takes latest and v1, v2, ... for no alias"),
        (("[fraud, credit-*]", '["credit-*", "!fraud"]'), 3, "protect[0].models[1]: no model is meant by '!fraud'"),
        (("[fraud, credit-*]", '["fraud["]'), 3, "a bracket is opened and not closed"),
        (
            ('"*"], aliases: [live', '"*-eu"], aliases: ["ch*n"'),
            10,
            "no decision meets this and protect[0].environment",
        ),
        (("environment: production", "environment: [production]"), 5, "must be the name of an environment"),
        (("environment: production", "environment:"), 5, "must be the name of an environment; found nothing"),
        (("max_age: 12h", "max_age: 12"), 9, "not an age: '12'"),
        (("max_age: 12h", "max_age: 0d"), 9, "not an age: '0d'"),
        (("environment: production", "registries: []"), 5, "registries: must be a list of text"),
        (("version: 1", "version: 1\nversion: 1"), 2, "key 'version' stands here a second time"),
        (("environment: production", "environment: &a x"), 5, "aliases are not allowed"),
        (("environment: production", "environment: !!python/name:os.system x"), 5, "tags are not allowed"),
    ],
)
def test_a_mistake_is_told_with_its_line(folder: Path, change: tuple[str, str], line: int, found: str) -> None:
    text = SOUND.replace(*change, 1)
    assert text != SOUND
    with pytest.raises(UsageError) as caught:
        parsed(text, folder)
    told = [str(problem) for problem in caught.value.problems]
    assert any(f"gate.yaml:{line}:" in each and found in each for each in told), told


def test_a_name_with_brackets_is_protected_as_it_is_spelled(folder: Path) -> None:
    found = parsed(SOUND.replace("fraud", '"fraud[eu]"'), folder)
    assert found.on_alias("fraud[eu]", "champion")
    assert found.on_alias("fraude", "champion"), "and as a pattern, as ever"
    assert not found.on_alias("fraud", "champion")


TWO = """\
version: 1
protect:
  - {models: [fraud-*], aliases: [champion], keys: [ci.pub], policies: any}
  - {models: ["*-eu"], aliases: ["c*", live], keys: [ci.pub], policies: any}
"""


@pytest.mark.parametrize(
    ("second", "key"),
    [
        ("keys: [ci.pub], policies: any, environment: eu", "environment"),
        ("keys: [stranger.pub], policies: any", "keys"),
    ],
)
def test_two_entries_that_no_decision_can_meet_are_a_mistake_where_they_may_be_about_one_alias(
    folder: Path, second: str, key: str
) -> None:
    parsed(TWO, folder)
    text = TWO.replace("live], keys: [ci.pub], policies: any", f"live], {second}")
    with pytest.raises(UsageError) as caught:
        parsed(text, folder)
    (told,) = map(str, caught.value.problems)
    assert "gate.yaml:4:" in told
    assert f"protect[1].{key}: no decision meets this and protect[0].{key}, and both may be about one alias" in told
    for apart in (text.replace("*-eu", "*-[ab]u").replace("fraud-*", "fraud-?x"), text.replace('"c*"', '"c?"')):
        parsed(apart, folder)


def test_two_entries_that_share_no_policy_or_registry_are_a_mistake(folder: Path) -> None:
    for key, mine, its in (("policies", "5" * 64, "6" * 64), ("registries", "http://a", "http://b")):
        more = "" if key == "policies" else "policies: any, "
        entries = [
            f"  - {{models: [m], aliases: [c], keys: [ci.pub], {more}{key}: ['{each}']}}" for each in (mine, its)
        ]
        with pytest.raises(UsageError, match=rf"gate.yaml:4:.*protect\[1\].{key}: no decision meets this"):
            parsed("\n".join(["version: 1", "protect:", *entries]), folder)


@pytest.mark.parametrize("text", ["", "[]", "protect", "version: 1", "version: 1\nprotect: []", "{", "\x00"])
def test_what_protects_nothing_is_a_mistake(folder: Path, text: str) -> None:
    with pytest.raises(UsageError):
        parsed(text, folder)


def test_all_mistakes_are_told_at_once(folder: Path) -> None:
    text = SOUND.replace("version: 1", "version: 3").replace("[champion]", "['@champion']").replace("12h", "soon")
    with pytest.raises(UsageError) as caught:
        parsed(text.replace("oncall.pub", "gone.pub"), folder)
    assert len(caught.value.problems) == 4


def test_the_file_that_the_documentation_shows_is_sound(folder: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "enforce.md").read_text("utf-8")
    (shown,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (rule,) = parsed(shown, folder).on_alias("credit-eu", "champion")
    assert rule.policies is None and rule.override_keys
    table = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert table == set(KEYS), "every key, and no other"


# -- read when it is asked for --------------------------------------------------------------------------------------------


@pytest.fixture
def watched(folder: Path) -> EnforcementFile:
    (folder / "gate.yaml").write_text(SOUND)
    return EnforcementFile({SETTING: str(folder / "gate.yaml")})


def test_the_file_is_read_once_while_nothing_changes(watched: EnforcementFile) -> None:
    assert watched.now() is watched.now()


def test_a_change_of_the_file_counts_at_once(watched: EnforcementFile, folder: Path) -> None:
    assert watched.now().on_alias("fraud", "champion")
    (folder / "gate.yaml").write_text(SOUND.replace("fraud", "spam!"))  # of the same length, in the same moment
    assert not watched.now().on_alias("fraud", "champion")
    (folder / "gate.yaml").unlink()
    with pytest.raises(UsageError, match="no such enforcement file"):
        watched.now()
    (folder / "gate.yaml").write_text(SOUND)
    assert watched.now().on_alias("fraud", "champion")


def test_a_key_that_is_exchanged_or_gone_counts_at_once(watched: EnforcementFile, folder: Path) -> None:
    before = watched.now().rules[0].keys[0].keyid
    shutil.copy(folder / "stranger.pub", folder / "ci.pub")
    assert watched.now().rules[0].keys[0].keyid != before
    (folder / "ci.pub").unlink()
    with pytest.raises(UsageError, match="no such public key"):
        watched.now()
    with pytest.raises(UsageError, match="no such public key"):
        watched.now()


def test_mistakes_are_kept_and_told_each_time_until_they_are_mended(watched: EnforcementFile, folder: Path) -> None:
    (folder / "gate.yaml").write_text("version: 2")
    errors = []
    for _ in range(2):
        with pytest.raises(UsageError) as caught:
            watched.now()
        errors.append(caught.value)
    assert errors[0] is not errors[1]
    assert errors[0].problems == errors[1].problems


def test_another_file_is_named_and_read(folder: Path) -> None:
    (folder / "one.yaml").write_text(SOUND)
    (folder / "two.yaml").write_text(SOUND.replace("fraud", "spam"))
    environment = {SETTING: str(folder / "one.yaml")}
    watched = EnforcementFile(environment)
    assert watched.now().on_alias("fraud", "champion")
    environment[SETTING] = str(folder / "two.yaml")
    assert not watched.now().on_alias("fraud", "champion")
    del environment[SETTING]
    with pytest.raises(UsageError, match="no enforcement file is named"):
        watched.now()


def test_a_file_that_cannot_be_read_is_an_error(folder: Path) -> None:
    for name, content in (("folder", None), ("latin1", b"version: 1 # \xff")):
        place = folder / name
        if content is None:
            place.mkdir()
        else:
            place.write_bytes(content)
        with pytest.raises(UsageError, match="cannot be read"):
            EnforcementFile({SETTING: str(place)}).now()
