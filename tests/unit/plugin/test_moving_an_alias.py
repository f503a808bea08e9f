"""Setting a protected alias, through the store as MLflow's server calls it: what a signed decision allows, and no more."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from gate.core.judgement import Verdict
from gate.decisions.statement import Subject
from gate.decisions.times import stamp
from gate.plugin.files import ModelFiles
from gate.registry.journal import read_journal

Refused = Callable[..., str]
NOW = datetime.now(timezone.utc)
AGO, AHEAD = (stamp(NOW + timedelta(days=days)) for days in (-8, 1))


@pytest.fixture
def champion(place: Any) -> Any:
    """``fraud`` in versions 1 to 3, and version 1 is the champion, by a signed decision."""
    for _ in range(3):
        place.add_version()
    place.promote(1, None)
    return place


def set_alias(place: Any, version: object, alias: str = "champion", name: str = "fraud") -> None:
    place.gated.set_registered_model_alias(name, alias, version)


def put(place: Any, version: int, envelope: str, name: str = "fraud") -> None:
    """Past the gate: as if it had been there before the name was protected."""
    from mlflow.entities.model_registry import ModelVersionTag

    place.plain.set_model_version_tag(name, str(version), ModelVersionTag("gate.attestation.champion", envelope))


# -- a decision ---------------------------------------------------------------------------------------------------------


def test_a_version_with_a_signed_fresh_matching_decision_becomes_the_alias(champion: Any) -> None:
    champion.attest(champion.statement(2, 1))
    set_alias(champion, "2")
    assert champion.at() == 2
    assert champion.gated.get_model_version_by_alias("fraud", "champion").version == 2


def test_without_a_decision_nothing_moves_and_the_caller_reads_why_and_what_to_run(
    champion: Any, refused: Refused
) -> None:
    said = refused(set_alias, champion, "2")
    assert "models:/fraud/2: no signed decision stands behind it" in said
    assert "-> gate check, gate sign, and gate promote FILE" in said
    assert champion.at() == 1


@pytest.mark.parametrize(
    ("parts", "key", "found"),
    [
        ({"alias": "challenger"}, "ci", "signed for alias 'challenger'"),
        ({"environment": "staging"}, "ci", "signed for environment 'staging', and this is none"),
        ({"policy_digest": "9" * 64}, "ci", "which does not count here"),
        ({}, "stranger", "which is none of those that count"),
        ({}, "oncall", "a decision signed by oncall.pub, which is not for that"),
        ({"verdict": Verdict.REFUSE}, "ci", "the verdict is refuse"),
        ({"verdict": Verdict.INCONCLUSIVE}, "ci", "the verdict is inconclusive"),
        ({"verdict": Verdict.ERROR}, "ci", "the verdict is error"),
        ({"candidate": Subject(2, "a" * 64)}, "ci", "candidate models:/fraud/2: its files are not those"),
        ({"incumbent": Subject(1, "a" * 64)}, "ci", "incumbent models:/fraud/1: its files are not those"),
    ],
)
def test_a_decision_that_does_not_fit_moves_nothing(
    champion: Any, refused: Refused, parts: dict[str, Any], key: str, found: str
) -> None:
    put(champion, 2, champion.envelope(champion.statement(2, 1, **parts), key))
    assert found in refused(set_alias, champion, "2")
    assert champion.at() == 1


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        ({"incumbent": None}, "@champion is version 1 now; the decision compared with no version"),
        ({"expires_at": stamp(NOW)}, "expired at"),
        ({"created_at": AGO, "expires_at": AHEAD}, "older than 7 days"),
        ({"created_at": AHEAD}, "and here it is"),
        ({"signed_at": AHEAD}, "and here it is"),
    ],
)
def test_a_stale_decision_is_a_conflict(champion: Any, refused: Refused, parts: dict[str, Any], found: str) -> None:
    champion.attest(champion.statement(2, 1, **parts))
    assert found in refused(set_alias, champion, "2", conflict=True)
    assert champion.at() == 1


@pytest.mark.fault(
    34,
    given="the decision on one version or model is put onto another in an enforcing registry",
    then="refuses to move the alias there, and says what the decision is signed for",
    exit_code=None,
)
def test_a_decision_is_not_replayed_for_another_version_or_model(champion: Any, refused: Refused) -> None:
    put(champion, 3, champion.envelope(champion.statement(2, 1)))
    assert "signed for version 2, and this is 3" in refused(set_alias, champion, "3")
    for _ in range(2):
        champion.add_version("credit-eu")
    put(champion, 2, champion.envelope(champion.statement(2, None, name="credit-eu")))
    assert "signed for model 'credit-eu', and this is 'fraud'" in refused(set_alias, champion, "2")
    assert champion.at() == 1


@pytest.mark.parametrize("text", ["", "{}", "allow", "x" * 90_000])
def test_what_is_no_envelope_moves_nothing(champion: Any, refused: Refused, text: str) -> None:
    put(champion, 2, text)
    refused(set_alias, champion, "2")
    assert champion.at() == 1


@pytest.mark.fault(
    42,
    given="a byte of the signed decision in an enforcing registry is changed",
    then="takes it for no decision, and the alias stays",
    exit_code=None,
)
def test_an_envelope_of_which_a_byte_changed_moves_nothing(champion: Any, refused: Refused) -> None:
    envelope = champion.envelope(champion.statement(2, 1))
    for position in (0, 20, len(envelope) // 2, len(envelope) - 3, len(envelope) - 1):
        changed = "A" if envelope[position] != "A" else "B"
        put(champion, 2, envelope[:position] + changed + envelope[position + 1 :])
        refused(set_alias, champion, "2")
    put(champion, 2, envelope.rstrip("\n"))
    refused(set_alias, champion, "2")
    put(champion, 2, envelope)
    set_alias(champion, "2")


def test_a_registry_may_be_named_and_then_counts_alone(champion: Any, refused: Refused) -> None:
    text = (champion.folder / "enforcement.yaml").read_text()
    champion.protect(text + '    registries: ["https://mlflow.example"]\n')
    champion.attest(champion.statement(2, 1))
    assert "signed for the registry 'http://localhost:5000'" in refused(set_alias, champion, "2")
    champion.attest(champion.statement(2, 1, registry="https://mlflow.example"))
    set_alias(champion, "2")


def test_an_environment_may_be_named_and_then_counts_alone(champion: Any, refused: Refused) -> None:
    text = (champion.folder / "enforcement.yaml").read_text()
    champion.protect(text + "    environment: production\n")
    put(champion, 2, champion.envelope(champion.statement(2, 1)))
    assert "signed for environment none, and this is 'production'" in refused(set_alias, champion, "2")
    champion.attest(champion.statement(2, 1, environment="production"))
    set_alias(champion, "2")


def test_every_entry_about_an_alias_must_be_met(champion: Any, refused: Refused) -> None:
    text = (champion.folder / "enforcement.yaml").read_text().replace("[ci.pub]", "[ci.pub, stranger.pub]")
    stricter = "  - {models: ['*'], aliases: ['*'], keys: [stranger.pub], policies: any}\n"
    champion.protect(text + stricter)
    put(champion, 2, champion.envelope(champion.statement(2, 1)))
    assert "which is none of those that count: stranger.pub" in refused(set_alias, champion, "2")
    champion.protect(text + stricter.replace("stranger", "ci"))
    set_alias(champion, "2")


@pytest.mark.parametrize("after", ["another key", "no such entry", "no file"])
def test_a_key_that_is_taken_out_while_the_files_are_read_moves_nothing(
    champion: Any, refused: Refused, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    champion.attest(champion.statement(2, 1))
    text = (champion.folder / "enforcement.yaml").read_text()
    digest = ModelFiles.digest

    def slow(self: ModelFiles, model: str, version: int) -> str:
        if after == "no file":
            (champion.folder / "enforcement.yaml").unlink(missing_ok=True)
        else:
            what = ("[ci.pub]", "[stranger.pub]") if after == "another key" else ("fraud", "spam")
            champion.protect(text.replace(*what))
        return digest(self, model, version)

    monkeypatch.setattr(ModelFiles, "digest", slow)
    said = refused(set_alias, champion, "2", conflict=after == "no such entry")
    assert champion.at() == 1
    assert {"another key": "none of those that count", "no such entry": "protected no more", "no file": "not usable"}[
        after
    ] in said


# -- once, and from where it is -------------------------------------------------------------------------------------------


def test_where_it_is_already_nothing_is_asked_for(champion: Any) -> None:
    set_alias(champion, "1")
    set_alias(champion, 1)
    last = champion.rows()[-1]
    assert (last["allowed"], last["before"], last["after"], last["signed_by"]) == (1, 1, 1, None)


def test_a_decision_is_good_for_one_move(champion: Any, refused: Refused) -> None:
    champion.promote(2, 1)
    champion.attest(champion.rollback(1, 2))
    set_alias(champion, "1")
    said = refused(set_alias, champion, "2", conflict=True)
    assert "this decision moved @champion once already" in said
    assert champion.at() == 1


def test_a_decision_that_is_signed_again_does_not_bring_back_what_was_taken_back(
    champion: Any, refused: Refused
) -> None:
    champion.promote(2, 1)
    champion.attest(champion.rollback(1, 2))
    set_alias(champion, "1")
    (arrived,) = (row for row in champion.rows() if row["after"] == 2 and row["before"] == 1)
    champion.attest(champion.statement(2, 1, created_at=arrived["at"], summary="the same, signed again"))
    assert "after this was judged, and has left it since" in refused(set_alias, champion, "2", conflict=True)
    later = stamp(datetime.now(timezone.utc) + timedelta(seconds=2))  # within what clocks may differ by
    champion.attest(champion.statement(2, 1, created_at=later, signed_at=later))
    set_alias(champion, "2")


def test_of_many_at_once_one_wins_and_the_others_read_of_a_conflict(champion: Any) -> None:
    from mlflow.exceptions import MlflowException

    versions = [champion.add_version() for _ in range(8)]
    for version in versions:
        champion.attest(champion.statement(version, 1))
    told: dict[int, str] = {}
    start = threading.Barrier(len(versions))

    def promote(version: int) -> None:
        start.wait()
        try:
            set_alias(champion, version)
            told[version] = "done"
        except MlflowException as error:
            told[version] = str(error.message)

    threads = [threading.Thread(target=promote, args=(version,)) for version in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = (version for version, text in told.items() if text == "done")
    others = [text for version, text in told.items() if version != winner]
    assert len(others) == 7
    assert all(f"gate: conflict: models:/fraud/{v}" in text for v, text in told.items() if v != winner)
    assert all(f"@champion is version {winner} now" in text or "in this moment" in text for text in others)
    assert champion.at() == winner


# -- the files ------------------------------------------------------------------------------------------------------------


def test_files_that_changed_since_they_were_judged_are_refused(champion: Any, refused: Refused) -> None:
    champion.attest(champion.statement(2, 1))
    (champion.files["fraud", 2] / "code.py").write_text("print('not what was judged')")
    said = refused(set_alias, champion, "2")
    assert "candidate models:/fraud/2: its files are not those that were judged" in said
    (champion.files["fraud", 2] / "code.py").unlink()
    (champion.files["fraud", 1] / "MLmodel").write_text("flavors: {} # another incumbent")
    assert "incumbent models:/fraud/1" in refused(set_alias, champion, "2")
    assert champion.at() == 1


def test_files_that_are_not_there_are_refused(champion: Any, refused: Refused) -> None:
    champion.attest(champion.statement(2, 1))
    shutil.rmtree(champion.files["fraud", 2])
    assert "models:/fraud/2" in refused(set_alias, champion, "2")
    assert champion.at() == 1


# -- what a person decides ------------------------------------------------------------------------------------------------


def test_an_override_counts_with_a_key_that_is_for_it_and_is_told_apart(champion: Any, refused: Refused) -> None:
    put(champion, 2, champion.envelope(champion.override(2, 1), "ci"))
    assert "an override signed by ci.pub, which is not for that" in refused(set_alias, champion, "2")
    champion.attest(champion.override(2, 1), "oncall")
    set_alias(champion, "2")
    last = champion.rows()[-1]
    assert (last["kind"], last["reason"], last["signed_by"]) == (
        "override", "the site is down", champion.keys["oncall"].keyid
    )  # fmt: skip


def test_without_override_keys_there_is_no_override(champion: Any, refused: Refused) -> None:
    text = (champion.folder / "enforcement.yaml").read_text()
    champion.protect(text.replace("    override_keys: [oncall.pub]\n", ""))
    put(champion, 2, champion.envelope(champion.override(2, 1), "oncall"))
    assert "which is none of those that count" in refused(set_alias, champion, "2")


def test_an_override_needs_the_files_of_what_is_to_be_loaded_and_no_others(champion: Any, refused: Refused) -> None:
    champion.attest(champion.override(2, 1), "oncall")
    shutil.rmtree(champion.files["fraud", 1])
    (champion.files["fraud", 2] / "code.py").write_text("print('not what was judged')")
    assert "candidate models:/fraud/2" in refused(set_alias, champion, "2")
    (champion.files["fraud", 2] / "code.py").unlink()
    set_alias(champion, "2")


def test_a_rollback_goes_back_to_where_the_alias_was_and_nowhere_else(champion: Any, refused: Refused) -> None:
    champion.promote(2, 1)
    put(champion, 3, champion.envelope(champion.rollback(3, 2)))
    assert "before its last move, which is version 1" in refused(set_alias, champion, "3")
    champion.attest(champion.rollback(1, 2), "oncall")
    set_alias(champion, "1")
    assert champion.at() == 1
    assert champion.rows()[-1]["kind"] == "rollback"


def test_one_move_is_taken_back_and_not_two(champion: Any, refused: Refused) -> None:
    champion.promote(2, 1)
    champion.promote(3, 2)
    champion.attest(champion.rollback(2, 3))
    set_alias(champion, "2")
    for version in (3, 1):
        put(champion, version, champion.envelope(champion.rollback(version, 2)))
        assert "was a rollback, and one move is taken back, not two" in refused(set_alias, champion, str(version))
    assert champion.at() == 2


def test_a_rollback_is_refused_where_nothing_is_known_of_the_way(champion: Any, refused: Refused) -> None:
    champion.plain.set_registered_model_alias("fraud", "champion", "2")  # past the gate
    put(champion, 1, champion.envelope(champion.rollback(1, 2)))
    assert "there is no way back" in refused(set_alias, champion, "1")


def test_a_rollback_brings_back_the_files_that_were_promoted(champion: Any, refused: Refused) -> None:
    champion.promote(2, 1)
    (champion.files["fraud", 1] / "MLmodel").write_text("flavors: {} # edited while nobody looked")
    champion.attest(champion.rollback(1, 2))
    assert "its files changed since @champion came to it" in refused(set_alias, champion, "1")
    assert champion.at() == 2


# -- the journal ----------------------------------------------------------------------------------------------------------


def test_every_attempt_is_a_row_and_a_client_of_the_database_can_read_it(champion: Any, refused: Refused) -> None:
    refused(set_alias, champion, "3")
    champion.promote(2, 1)
    attempts = read_journal(f"gated:{champion.uri}", "fraud", "champion", str)
    assert attempts is not None
    first, denied, last = (each for each in attempts if each.tag is None)
    assert (first.before, first.after, first.allowed, first.moved) == (None, 1, True, True)
    assert (denied.before, denied.after, denied.allowed, denied.version) == (1, 1, False, 3)
    assert "no signed decision" in str(denied.reason)
    assert (last.before, last.after, last.decision_id, last.kind) == (1, 2, "1" * 64, "decision")
    assert last.signed_by == champion.keys["ci"].keyid
    assert {each.actor for each in attempts} == {"-"}


def test_a_move_that_cannot_be_written_down_is_not_made(champion: Any, refused: Refused) -> None:
    champion.attest(champion.statement(2, 1))
    champion.forget_the_journal()
    with pytest.raises(Exception, match="gate_journal"):
        set_alias(champion, "2")
    assert champion.at() == 1
    with pytest.raises(Exception, match="gate_journal"):
        set_alias(champion, "3")
    assert champion.at() == 1


def test_a_version_that_is_not_there_is_mlflows_own_error(champion: Any) -> None:
    from mlflow.exceptions import MlflowException

    for version, code in (("9", "RESOURCE_DOES_NOT_EXIST"), ("two", "INVALID_PARAMETER_VALUE")):
        with pytest.raises(MlflowException) as caught:
            set_alias(champion, version)
        assert caught.value.error_code == code
        assert champion.rows()[-1]["allowed"] == 0


def test_other_aliases_and_names_are_nobodys_business(champion: Any) -> None:
    champion.add_version("churn")
    before = len(champion.rows())
    set_alias(champion, "3", "challenger")
    set_alias(champion, "1", "champion", "churn")
    set_alias(champion, "2", "Champion")
    assert (champion.at(alias="challenger"), champion.at("churn"), champion.at(alias="Champion")) == (3, 1, 2)
    assert len(champion.rows()) == before
