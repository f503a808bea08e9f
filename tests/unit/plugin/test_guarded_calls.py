"""Everything else that could put another model behind a protected name, and what the gate lets through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Refused = Callable[..., str]


@pytest.fixture
def champion(place: Any) -> Any:
    """``fraud`` in versions 1 and 2, version 1 the champion; ``churn``, which nobody protects, in version 1."""
    for name in ("fraud", "fraud", "churn"):
        place.add_version(name)
    place.promote(1, None)
    return place


def tag_of_version(key: str, value: str) -> Any:
    from mlflow.entities.model_registry import ModelVersionTag

    return ModelVersionTag(key, value)


def tag_of_model(key: str, value: str) -> Any:
    from mlflow.entities.model_registry import RegisteredModelTag

    return RegisteredModelTag(key, value)


# -- aliases, stages, names, versions -------------------------------------------------------------------------------------


def test_a_protected_alias_is_not_deleted(champion: Any, refused: Refused) -> None:
    said = refused(champion.gated.delete_registered_model_alias, "fraud", "champion")
    assert "models:/fraud@champion: a protected alias moves and is not deleted" in said
    assert champion.at() == 1


def test_another_alias_is_deleted_as_ever(champion: Any) -> None:
    champion.plain.set_registered_model_alias("fraud", "challenger", "2")
    champion.gated.delete_registered_model_alias("fraud", "challenger")
    assert champion.at(alias="challenger") is None


@pytest.mark.parametrize("stage", ["Production", "production", "Staging", "Archived", "None"])
@pytest.mark.parametrize("archive", [True, False])
def test_versions_of_a_protected_model_change_no_stage(
    champion: Any, refused: Refused, stage: str, archive: bool
) -> None:
    assert "change no stage" in refused(champion.gated.transition_model_version_stage, "fraud", "2", stage, archive)
    assert champion.plain.get_model_version("fraud", "2").current_stage == "None"


def test_a_protected_model_is_not_renamed_and_none_is_renamed_to_it(champion: Any, refused: Refused) -> None:
    for old, new in (("fraud", "scam"), ("churn", "credit-eu"), ("churn", "fraud")):
        assert "is protected: its models keep their name" in refused(champion.gated.rename_registered_model, old, new)
    champion.gated.rename_registered_model("churn", "churn-2")


def test_a_protected_model_is_not_deleted(champion: Any, refused: Refused) -> None:
    assert "is not deleted" in refused(champion.gated.delete_registered_model, "fraud")
    champion.gated.delete_registered_model("churn")
    assert [each.name for each in champion.plain.search_registered_models()] == ["fraud"]


def test_the_version_that_a_protected_alias_is_at_is_not_deleted(champion: Any, refused: Refused) -> None:
    assert "@champion is at this version" in refused(champion.gated.delete_model_version, "fraud", "1")
    champion.plain.set_registered_model_alias("fraud", "challenger", "2")
    champion.gated.delete_model_version("fraud", "2")
    assert (champion.at(), champion.at(alias="challenger")) == (1, None)
    assert champion.rows()[-1]["action"] == "delete_version"


def test_a_version_in_a_stage_is_not_deleted_so_that_the_stage_is_no_other_version(
    champion: Any, refused: Refused
) -> None:
    champion.plain.transition_model_version_stage("fraud", "2", "Production", False)
    assert "it is in stage Production" in refused(champion.gated.delete_model_version, "fraud", "2")
    champion.plain.transition_model_version_stage("fraud", "2", "Archived", False)
    champion.gated.delete_model_version("fraud", "2")


# -- copies -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "models:/churn/1",
        "models:/churn/latest",
        "models:/churn@best",
        "models:/churn/Production",
        "models:///churn/1",
        "MODELS:/churn/1",
        " models:/churn/1",
        "mod\nels:/churn/1",
        "models:/churn/1/x",
        "models:churn",
        "models:/",
    ],
)
def test_a_version_of_another_model_is_not_copied_into_a_protected_name(
    champion: Any, refused: Refused, source: str
) -> None:
    assert "is not copied into a protected name" in refused(champion.gated.create_model_version, "fraud", source)
    assert len(champion.plain.search_model_versions("name='fraud'")) == 2


def test_mlflows_own_copying_is_refused_too(champion: Any) -> None:
    from mlflow.exceptions import MlflowException

    original = champion.plain.get_model_version("churn", "1")
    with pytest.raises(MlflowException, match="gate: refused: models:/fraud: a version of 'churn' is not copied"):
        champion.gated.copy_model_version(original, "fraud")
    assert champion.gated.copy_model_version(original, "churn-copy").version == 1


def test_a_protected_model_is_registered_and_copied_from_as_ever(champion: Any) -> None:
    new = champion.folder / "new"
    new.mkdir()
    assert champion.gated.create_model_version("fraud", str(new)).version == 3
    assert champion.gated.create_model_version("fraud", "models:/fraud/1").version == 4
    assert champion.gated.create_model_version("churn", "models:/fraud/1").version == 2


# -- forged tags --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["gate.verdict", "gate.attestation.champion", "gate.move.champion.000001", "gate.x"])
def test_a_tag_of_the_gate_is_not_preset(champion: Any, refused: Refused, key: str) -> None:
    preset = [tag_of_version("team", "risk"), tag_of_version(key, "allow")]
    said = refused(champion.gated.create_model_version, "fraud", "/files", None, preset)
    assert f"the tag {key} is the gate's" in said
    preset = [tag_of_model(key, "allow")]
    assert f"the tag {key} is the gate's" in refused(champion.gated.create_registered_model, "credit-eu", preset)
    champion.gated.create_registered_model("free", preset)


def test_only_tags_that_follow_from_a_signed_decision_describe_a_version(champion: Any, refused: Refused) -> None:
    statement = champion.statement(2, 1, run_id="run-7")
    forged = {"gate.verdict": "allow", "gate.decision_id": "1" * 64, "gate.summary": "fine", "gate.run_id": "run-7"}
    for key, value in forged.items():
        said = refused(champion.gated.set_model_version_tag, "fraud", "2", tag_of_version(key, value))
        assert "it does not follow from a signed decision on this version" in said
    champion.attest(statement)
    for key, value in {**forged, "gate.summary": statement.summary}.items():
        champion.gated.set_model_version_tag("fraud", "2", tag_of_version(key, value))
    refused(champion.gated.set_model_version_tag, "fraud", "2", tag_of_version("gate.verdict", "override"))
    refused(champion.gated.set_model_version_tag, "fraud", "1", tag_of_version("gate.run_id", "run-7"))
    assert champion.plain.get_model_version("fraud", "2").tags["gate.verdict"] == "allow"


def test_a_signed_refusal_may_describe_its_version_and_is_no_allowance(champion: Any, refused: Refused) -> None:
    from gate.core.judgement import Verdict

    champion.attest(champion.statement(2, 1, verdict=Verdict.REFUSE))
    champion.gated.set_model_version_tag("fraud", "2", tag_of_version("gate.verdict", "refuse"))
    refused(champion.gated.set_model_version_tag, "fraud", "2", tag_of_version("gate.verdict", "allow"))
    refused(champion.gated.set_registered_model_alias, "fraud", "champion", "2")


def test_an_attestation_is_kept_where_it_is_believed_and_about_that_version(champion: Any, refused: Refused) -> None:
    good = champion.envelope(champion.statement(2, 1))
    forged = {
        "gate.attestation.champion": champion.envelope(champion.statement(2, 1), "stranger"),
        "gate.attestation.challenger": good,
        "gate.attestation.": good,
        "gate.Attestation.champion": good,
        "gate.attestation": good,
    }
    for key, value in forged.items():
        refused(champion.gated.set_model_version_tag, "fraud", "2", tag_of_version(key, value))
    refused(champion.gated.set_model_version_tag, "fraud", "1", tag_of_version("gate.attestation.champion", good))
    staging = champion.envelope(champion.statement(2, 1, environment="staging"))
    said = refused(
        champion.gated.set_model_version_tag, "fraud", "2", tag_of_version("gate.attestation.champion", staging)
    )
    assert "signed for the environment 'staging', and this is none" in said
    champion.gated.set_model_version_tag("fraud", "2", tag_of_version("gate.attestation.champion", good))


def test_an_older_signature_does_not_replace_a_newer_one(champion: Any, refused: Refused) -> None:
    old = champion.statement(2, 1, created_at="2026-01-01T00:00:00Z", signed_at="2026-01-01T00:00:00Z")
    champion.attest(old)
    champion.attest(champion.statement(2, 1))
    said = refused(champion.attest, old, conflict=True)
    assert "an older signature does not replace a newer one" in said
    champion.attest(champion.statement(2, 1), "stranger", plainly=True)  # one that nobody believes may be replaced
    champion.attest(old)


def test_an_alias_that_is_not_protected_is_attested_by_whoever_signs_for_the_model(
    champion: Any, refused: Refused
) -> None:
    refused(champion.attest, champion.statement(2, 1, alias="challenger"), "stranger")
    champion.attest(champion.statement(2, 1, alias="challenger"))
    refused(champion.gated.set_registered_model_alias, "fraud", "champion", "2")


def test_a_version_is_described_by_the_newest_signature_for_a_protected_alias_alone(
    champion: Any, refused: Refused
) -> None:
    from gate.core.judgement import Verdict

    def describe(verdict: str) -> None:
        champion.gated.set_model_version_tag("fraud", "2", tag_of_version("gate.verdict", verdict))

    text = (champion.folder / "enforcement.yaml").read_text()
    champion.protect(text.replace("[champion]", "[champion, shadow]"))
    champion.attest(champion.statement(2, None, alias="challenger"))
    assert "for a protected alias" in refused(describe, "allow")
    champion.attest(champion.statement(2, 1, verdict=Verdict.REFUSE, signed_at="2026-01-02T00:00:00Z"))
    refused(describe, "allow")
    describe("refuse")
    older = "2026-01-01T00:00:00Z"
    champion.attest(champion.statement(2, None, alias="shadow", signed_at=older))
    refused(describe, "allow")
    champion.attest(champion.statement(2, None, alias="shadow"))
    describe("allow")
    refused(describe, "refuse")


@pytest.mark.parametrize("version", ["9" * 25, str(2**31), "-" + "9" * 25])
def test_a_version_that_no_database_has_room_for_is_refused_and_written_down(
    champion: Any, refused: Refused, version: str
) -> None:
    before = len(champion.rows())
    for call in (
        lambda: champion.gated.set_registered_model_alias("fraud", "champion", version),
        lambda: champion.gated.delete_model_version("fraud", version),
        lambda: champion.gated.set_model_version_tag("fraud", version, tag_of_version("gate.verdict", "allow")),
    ):
        assert "its number is too long" in refused(call)
    rows = champion.rows()[before:]
    assert [(row["allowed"], row["version"]) for row in rows] == [(0, None)] * 3


@pytest.mark.parametrize("key", ["gate.\udc80", "gate.a\0b"])
def test_a_tag_of_which_the_name_is_no_text_is_refused_and_written_down(
    champion: Any, refused: Refused, key: str
) -> None:
    before = len(champion.rows())
    for call in (
        lambda: champion.gated.set_model_version_tag("fraud", "2", tag_of_version(key, "x")),
        lambda: champion.gated.set_registered_model_tag("fraud", tag_of_model(key, "x")),
        lambda: champion.gated.delete_registered_model_tag("fraud", key),
    ):
        refused(call).encode("utf-8")
    rows = champion.rows()[before:]
    assert [(row["allowed"], row["tag"]) for row in rows] == [
        (0, "gate.\\udc80" if "\udc80" in key else "gate.a\\x00b")
    ] * 3


def test_what_the_gate_wrote_is_not_taken_away(champion: Any, refused: Refused) -> None:
    for key in ("gate.attestation.champion", "gate.verdict"):
        refused(champion.gated.delete_model_version_tag, "fraud", "1", key)
    refused(champion.gated.delete_registered_model_tag, "fraud", "gate.move.champion.000001")
    assert "gate.attestation.champion" in champion.plain.get_model_version("fraud", "1").tags


def test_other_tags_and_descriptions_are_everybodys(champion: Any) -> None:
    before = len(champion.rows())
    champion.gated.set_model_version_tag("fraud", "1", tag_of_version("gated", "yes"))
    champion.gated.delete_model_version_tag("fraud", "1", "gated")
    champion.gated.set_registered_model_tag("fraud", tag_of_model("team", "risk"))
    champion.gated.delete_registered_model_tag("fraud", "team")
    champion.gated.update_model_version("fraud", "1", "in use since May")
    champion.gated.update_registered_model("fraud", "is it fraud?")
    champion.gated.set_model_version_tag("churn", "1", tag_of_version("gate.verdict", "allow"))
    champion.gated.set_registered_model_tag("churn", tag_of_model("gate.x", "y"))
    champion.gated.delete_registered_model_tag("churn", "gate.x")
    assert len(champion.rows()) == before


# -- prompts: registered models under another name ---------------------------------------------------------------------------


def test_no_method_for_prompts_leads_round(champion: Any, refused: Refused) -> None:
    champion.plain.set_registered_model_tag("fraud", tag_of_model("mlflow.prompt.is_prompt", "true"))
    for call in (
        lambda: champion.gated.set_prompt_alias("fraud", "champion", 2),
        lambda: champion.gated.delete_prompt_alias("fraud", "champion"),
        lambda: champion.gated.delete_prompt("fraud"),
        lambda: champion.gated.delete_prompt_version("fraud", 1),
        lambda: champion.gated.set_prompt_tag("fraud", "gate.x", "y"),
        lambda: champion.gated.delete_prompt_tag("fraud", "gate.move.champion.000001"),
        lambda: champion.gated.set_prompt_version_tag("fraud", 2, "gate.verdict", "allow"),
        lambda: champion.gated.delete_prompt_version_tag("fraud", 1, "gate.verdict"),
        lambda: champion.gated.create_prompt_version("fraud", "hello", tags={"gate.verdict": "allow"}),
        lambda: champion.gated.create_prompt("credit-eu", tags={"gate.verdict": "allow"}),
    ):
        refused(call)
    assert champion.at() == 1


# -- no configuration, no answer ------------------------------------------------------------------------------------------


def guarded(place: Any, name: str) -> list[Callable[[], object]]:
    store = place.gated
    return [
        lambda: store.set_registered_model_alias(name, "anything", "1"),
        lambda: store.delete_registered_model_alias(name, "anything"),
        lambda: store.transition_model_version_stage(name, "1", "Production", False),
        lambda: store.rename_registered_model(name, "other"),
        lambda: store.delete_registered_model(name),
        lambda: store.delete_model_version(name, "1"),
        lambda: store.create_model_version(name, "models:/fraud/1" if name != "fraud" else "models:/churn/1"),
        lambda: store.create_model_version(name, "/files", tags=[tag_of_version("gate.verdict", "allow")]),
        lambda: store.create_registered_model("new", [tag_of_model("gate.x", "y")]),
        lambda: store.set_model_version_tag(name, "1", tag_of_version("gate.verdict", "allow")),
        lambda: store.delete_model_version_tag(name, "1", "gate.verdict"),
        lambda: store.set_registered_model_tag(name, tag_of_model("gate.x", "y")),
        lambda: store.delete_registered_model_tag(name, "gate.x"),
    ]


@pytest.mark.parametrize("name", ["fraud", "churn"])
@pytest.mark.parametrize("broken", ["unset", "absent", "empty", "not yaml", "no keys", "a key that is gone"])
def test_without_a_sound_configuration_everything_guarded_is_refused_on_every_name(
    champion: Any, refused: Refused, monkeypatch: pytest.MonkeyPatch, broken: str, name: str
) -> None:
    sound = (champion.folder / "enforcement.yaml").read_text()
    if broken == "unset":
        monkeypatch.delenv("GATE_ENFORCEMENT")
    elif broken == "absent":
        (champion.folder / "enforcement.yaml").unlink()
    elif broken == "a key that is gone":
        (champion.folder / "ci.pub").unlink()
    else:
        text = {"empty": "", "not yaml": "version: [", "no keys": sound.replace("keys: [ci.pub]", "keys: []", 1)}
        champion.protect(text[broken])
    calls = guarded(champion, name)
    for call in calls:
        refused(call)
    assert champion.at() == 1
    rows = champion.rows()[-len(calls) :]
    assert not any(row["allowed"] for row in rows)
    # reading, and what is never guarded, goes on
    assert champion.gated.get_registered_model("fraud").aliases == {"champion": 1}
    champion.gated.set_model_version_tag(name, "1", tag_of_version("team", "risk"))
    champion.gated.create_model_version(name, "/files")


def test_what_is_wrong_with_the_configuration_is_for_the_log_and_not_for_clients(
    champion: Any, refused: Refused, caplog: pytest.LogCaptureFixture
) -> None:
    (champion.folder / "ci.pub").unlink()
    for _ in range(3):
        said = refused(champion.gated.set_registered_model_alias, "fraud", "champion", "2")
    assert "the server's enforcement file is not usable" in said
    assert "-> ask the server's administrator" in said
    assert str(champion.folder) not in said and "ci.pub" not in said
    assert not any(str(champion.folder) in str(row["reason"]) for row in champion.rows())
    (logged,) = (record.getMessage() for record in caplog.records if record.name == "gate.plugin.gatekeeper")
    assert str(champion.folder / "ci.pub") in logged


def test_a_configuration_counts_from_the_moment_it_is_written(champion: Any, refused: Refused) -> None:
    sound = (champion.folder / "enforcement.yaml").read_text()
    champion.protect(sound.replace("fraud", "spam"))
    champion.gated.set_registered_model_alias("fraud", "champion", "2")
    champion.protect(sound)
    refused(champion.gated.set_registered_model_alias, "fraud", "champion", "1", conflict=True)
    assert champion.at() == 2
