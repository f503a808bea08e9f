"""What ``gate.check`` cannot work with: each thing with its place, what was found, a hint, and the exit code."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import gate
from gate.core.judgement import Verdict
from gate.data.tables import Table
from gate.errors import EvidenceError, ExitCode, GateError, UsageError
from gate.stories.contract import contract_of
from gate.stories.decide import Judgement
from gate.stories.holdout import HeldOut
from gate.stories.remembering import Before
from gate.stories.scoring import Reader

Check = Callable[..., Judgement]
Policies = Callable[..., Path]


@pytest.fixture
def check(acting: str, signs: Path, policy: Policies) -> Check:
    """``better`` against ``honest`` with a policy that allows it, in this process; keywords replace its parts."""

    def run(**changes: Any) -> Judgement:
        asked: dict[str, Any] = {
            "model": "acting",
            "candidate": "@better",
            "incumbent": "@honest",
            "data": signs,
            "policy": changes.get("policy") or policy(),
            "registry_uri": acting,
            "log_run": False,
            "in_process": True,
        }
        return gate.check(**{**asked, **changes})

    return run


def refused(kind: type[GateError], check: Callable[[], Any]) -> GateError:
    with pytest.raises(kind) as caught:
        check()
    return caught.value


def told(error: GateError) -> str:
    """The only problem, as a reader sees it."""
    (problem,) = error.problems
    return str(problem)


def test_the_models_used_below_are_sound(check: Check) -> None:
    judged = check()

    assert judged.decision.counts.n == 400
    assert judged.decision.counts.both_right + judged.decision.counts.negative == 400  # type: ignore[operator]


# what was asked for is not there


def test_no_such_data_file(check: Check, tmp_path: Path) -> None:
    error = refused(UsageError, lambda: check(data=tmp_path / "absent.parquet"))

    assert error.exit_code is ExitCode.USAGE
    assert error.problems[0].where == str(tmp_path / "absent.parquet")
    assert "no such" in told(error)


def test_a_typo_in_the_data_is_found_before_the_registry_is_asked(check: Check, tmp_path: Path) -> None:
    error = refused(UsageError, lambda: check(data=tmp_path / "absent.csv", registry_uri="http://127.0.0.1:9"))

    assert error.problems[0].where == str(tmp_path / "absent.csv")


def test_no_such_policy(check: Check, tmp_path: Path) -> None:
    error = refused(UsageError, lambda: check(policy=tmp_path / "absent.yaml"))

    assert error.problems[0].where.startswith(str(tmp_path / "absent.yaml"))


def test_a_day_that_is_none_is_found_before_any_model_is_run(check: Check) -> None:
    error = refused(UsageError, lambda: check(as_of="2026-02-30", data="/absent.csv"))

    assert told(error) == "--as-of: not a day: '2026-02-30'\n  -> write it as 2026-12-31 (UTC)"


def test_no_such_model_names_the_nearest(check: Check, acting: str) -> None:
    error = refused(EvidenceError, lambda: check(model="actin"))

    assert error.exit_code is ExitCode.EVIDENCE
    assert told(error) == f"candidate models:/actin@better: no model 'actin' in {acting}; did you mean 'acting'?"


@pytest.mark.fault(
    28,
    given="the candidate's alias does not exist",
    then="gives no verdict, and names the nearest alias and those that are there",
    exit_code=12,
)
def test_no_such_alias_names_those_that_are_there(check: Check) -> None:
    error = refused(EvidenceError, lambda: check(candidate="@bettr"))

    assert error.exit_code is ExitCode.EVIDENCE
    assert told(error).startswith("candidate models:/acting@bettr: no alias 'bettr'; did you mean 'better'?")
    assert "aliases: better, dies" in error.problems[0].hint


def test_no_such_version_names_some_that_are_there(check: Check) -> None:
    error = refused(EvidenceError, lambda: check(candidate="99"))

    assert error.exit_code is ExitCode.EVIDENCE
    assert told(error).startswith("candidate models:/acting/99: no version 99")
    assert "1" in error.problems[0].hint


def test_no_registry_at_all(check: Check) -> None:
    error = refused(UsageError, lambda: check(registry_uri=None))

    assert told(error).startswith("--registry-uri: no registry is named\n  -> give --registry-uri URI")


@pytest.mark.fault(
    27,
    given="the registry is down",
    then="gives no verdict, and says which registry could not be reached",
    exit_code=12,
)
def test_a_registry_that_is_down_and_whose_password_stays_secret(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    error = refused(EvidenceError, lambda: check(registry_uri="http://ann:hunter2@127.0.0.1:9"))

    assert error.exit_code is ExitCode.EVIDENCE
    assert told(error) == (
        "candidate models:/acting@better: the registry at http://127.0.0.1:9 cannot be reached (connection refused)\n"
        "  -> is the server up, and the URI right?"
    )


def test_a_reference_into_another_model_than_the_one_named(check: Check) -> None:
    error = refused(EvidenceError, lambda: check(candidate="models:/digits/1"))

    assert "no model 'digits'" in told(error)


# candidate and incumbent are one


@pytest.mark.fault(
    28,
    given="candidate and incumbent are the same version",
    then="gives no verdict: a model has no flips against itself",
    exit_code=12,
)
def test_candidate_and_incumbent_are_the_same_version(check: Check, acting: str) -> None:
    error = refused(EvidenceError, lambda: check(candidate="1", incumbent="@honest"))

    assert told(error) == (
        f"{acting}: candidate and incumbent are both models:/acting/1\n"
        "  -> a model has no flips against itself: name two versions"
    )


@pytest.mark.fault(
    28,
    given="candidate and incumbent are two versions of the same files",
    then="gives no verdict, and asks whether the right version was registered",
    exit_code=12,
)
def test_candidate_and_incumbent_are_two_versions_of_the_same_files(check: Check, acting: str) -> None:
    error = refused(EvidenceError, lambda: check(candidate="@honest_again"))

    assert error.exit_code is ExitCode.EVIDENCE
    assert told(error).startswith(f"{acting}: models:/acting/12 and models:/acting/1 hold the same files (SHA-256 ")
    assert error.problems[0].hint == "a model has no flips against itself: is the right version registered?"


# the held-out set


def test_a_label_column_that_is_absent_names_the_nearest(check: Check, policy: Policies, signs: Path) -> None:
    error = refused(EvidenceError, lambda: check(policy=policy(holdout="{label: yy}")))

    assert error.exit_code is ExitCode.EVIDENCE
    assert told(error) == f"{signs}: no column 'yy' for the label; did you mean 'y'?"


def test_id_and_slice_columns_that_are_absent_are_told_together(check: Check, policy: Policies, signs: Path) -> None:
    holdout = "{label: y, id: kee, slices: {region: {column: region}}}"
    error = refused(EvidenceError, lambda: check(policy=policy(holdout=holdout)))

    assert [str(problem) for problem in error.problems] == [
        f"{signs}: no column 'kee' for the id; did you mean 'key'?",
        f"{signs}: no column 'region' for the slice region; one of: key, x, y",
    ]


def test_a_policy_without_a_label(check: Check, policy: Policies) -> None:
    path = policy(holdout="{id: key}")
    error = refused(UsageError, lambda: check(policy=path))

    hint = "--label COL, or holdout: {label: COL} in the policy"
    assert told(error) == f"held-out set: no label column is named\n  -> {hint}"


def test_five_mistakes_of_a_policy_are_told_at_once_with_their_lines(check: Check, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(
        "version: 1\nname: five\nholdout: {lable: y}\nevidence: {confidence: 0.95}\nrules:\n"
        "  - {id: a, rate: nrf, at_most: 1%}\n  - {id: b, rate: nfr, at_most: 1}\n"
        "  - {id: b, rate: churn, at_most: 2%}\n"
    )
    error = refused(UsageError, lambda: check(policy=path))

    assert error.exit_code is ExitCode.USAGE
    assert [int(problem.where.removeprefix(f"{path}:").split(":")[0]) for problem in error.problems] == [3, 4, 6, 7, 8]
    text = str(error)
    assert "unknown key; did you mean 'label'?" in text
    assert "unknown rate 'nrf'; did you mean 'nfr'?" in text


@pytest.mark.fault(
    15,
    given="the held-out set has labels that neither model ever saw",
    then="gives no verdict, and names the labels, and the classes that the models know",
    exit_code=12,
)
def test_labels_that_the_models_never_saw(sqlite_registry: str, digits: pd.DataFrame, lenient: Path) -> None:
    strange = digits[600:700].assign(digit=lambda frame: frame["digit"].replace({7: 17}))
    error = refused(
        EvidenceError,
        lambda: gate.check(
            model="digits",
            candidate="3",
            incumbent="1",
            data=strange,
            policy=lenient,
            registry_uri=sqlite_registry,
            log_run=False,
            in_process=True,
        ),
    )

    assert error.exit_code is ExitCode.EVIDENCE
    assert "held-out set: the labels 17 are not among the classes of either model (0, 1, 2, 3, 4, 5, ...)" in str(error)
    assert "relabel, or name the classes in the policy under task.classes" in str(error)


def test_an_empty_held_out_set_allows_nothing(check: Check, tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.write_text("key,x,y\n")
    error = refused(EvidenceError, lambda: check(data=path))

    assert error.exit_code is ExitCode.EVIDENCE
    assert "no rows" in told(error)


def test_a_label_that_is_missing_names_its_row(check: Check) -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, -1.0], "y": pd.array([1, None, 0], dtype="Int64")})
    error = refused(EvidenceError, lambda: check(data=frame))

    assert told(error).startswith("held-out set: 1 of 3 labels are missing in one batch, first at row 1")


def test_ids_given_twice_name_the_ids_and_rows(check: Check, policy: Policies) -> None:
    frame = pd.DataFrame({"key": [1, 2, 2, 3], "x": [1.0, 2.0, -1.0, -2.0], "y": [1, 1, 0, 0]})
    error = refused(EvidenceError, lambda: check(data=frame, policy=policy(holdout="{id: key, label: y}")))

    assert error.exit_code is ExitCode.EVIDENCE
    assert "2" in told(error) and "row" in told(error)


def test_a_held_out_set_that_changes_between_contract_and_scoring(
    check: Check, policy: Policies, tmp_path: Path
) -> None:
    """A set that is read twice and differs the second time, as a file does that somebody writes to."""
    frame = pd.DataFrame({"x": [1.0, 2.0, -1.0, -2.0], "y": [1, 1, 0, 0]})
    before, after = pa.Table.from_pandas(frame), pa.Table.from_pandas(frame.assign(x=[1.0, 2.0, -1.0, -2.5]))
    contract = _suite(tmp_path, {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "y"}})
    rules = gate.validate(policy(holdout=f"{{label: y, contract: {contract.name}}}"))
    reads = 0

    def chunks(columns: Any, rows: int) -> Iterator[pa.RecordBatch]:
        nonlocal reads
        reads += 1
        yield from (before if reads == 1 else after).select(list(columns)).to_batches()

    table = Table("changing.parquet", before.schema.remove_metadata(), chunks)
    _, agreed = contract_of(rules, table)
    reader = Reader(table, HeldOut(rules), (), 100)
    assert sum(batch.num_rows for _, batch in reader.features()) == 4
    assert agreed is not None
    before_scoring = Before(agreed, "the contract was met by other rows than those scored")
    error = refused(EvidenceError, lambda: reader.finish(before_scoring))

    assert reads == 2
    assert told(error) == (
        "changing.parquet: it changed while it was read: the contract was met by other rows than those scored\n"
        "  -> run again on a copy that nobody writes to"
    )


# the contract


def _suite(folder: Path, *expectations: dict[str, Any]) -> Path:
    path = folder / "suite.json"
    path.write_text(json.dumps({"name": "clean", "expectations": list(expectations)}))
    return path


BETWEEN = {"type": "expect_column_values_to_be_between", "kwargs": {"column": "x", "min_value": -1, "max_value": 1}}
NOT_NULL = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "y"}}


def test_a_contract_that_is_met_is_on_record(check: Check, policy: Policies, tmp_path: Path) -> None:
    _suite(tmp_path, NOT_NULL)
    contract = check(policy=policy(holdout="{label: y, contract: suite.json}")).decision.contract

    assert (contract.status, contract.suite) == ("met", "clean")
    assert [(row.type, row.status) for row in contract.results] == [(NOT_NULL["type"], "met")]
    assert contract.digest is not None and len(contract.digest) == 64


def test_a_broken_contract_names_every_expectation_that_is_not_met(
    check: Check, policy: Policies, tmp_path: Path
) -> None:
    _suite(tmp_path, BETWEEN, NOT_NULL)
    error = refused(EvidenceError, lambda: check(policy=policy(holdout="{label: y, contract: suite.json}")))

    assert error.exit_code is ExitCode.EVIDENCE
    (problem,) = error.problems
    assert problem.where == "contract clean"
    assert problem.found.startswith(
        "expect_column_values_to_be_between (column='x', min_value=-1, max_value=1) broken: "
    )
    assert problem.hint == "mend the held-out set, or the contract"


def test_an_expectation_that_crashes_is_no_pass(check: Check, policy: Policies, tmp_path: Path) -> None:
    _suite(tmp_path, {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "absent", "min_value": 0}})
    error = refused(EvidenceError, lambda: check(policy=policy(holdout="{label: y, contract: suite.json}")))

    assert error.exit_code is ExitCode.EVIDENCE
    assert "crashed: " in told(error)
    assert error.problems[0].hint == "the expectation itself could not be checked, and what is not checked is refused"


def test_a_contract_that_names_no_file(check: Check, policy: Policies, tmp_path: Path) -> None:
    path = policy(holdout="{label: y, contract: absent.json}")
    for ask in (lambda: check(policy=path), lambda: gate.validate(path)):
        error = refused(UsageError, ask)

        assert error.exit_code is ExitCode.USAGE
        assert str(tmp_path / "absent.json") in told(error)


# no incumbent


@pytest.mark.fault(
    28,
    given="the incumbent's alias does not exist",
    then="gives no verdict, unless the policy says by which rules a first version stands alone",
    exit_code=12,
)
def test_without_an_incumbent_nothing_is_allowed_by_default(check: Check) -> None:
    error = refused(EvidenceError, lambda: check(incumbent="@champion"))

    assert error.exit_code is ExitCode.EVIDENCE
    assert "incumbent models:/acting@champion: no alias 'champion'" in str(error)
    assert "nothing to compare with" in str(error)
    assert "for a first version say on_missing_incumbent: absolute_rules_only in the policy" in str(error)


def test_a_first_version_is_judged_by_the_absolute_rules_alone_where_the_policy_says_so(
    check: Check, policy: Policies
) -> None:
    path = policy(
        rule="{id: cap, rate: error_rate, of: candidate, at_most: 40%}\n  - {id: flips, rate: nfr, at_most: 1%}",
        more="on_missing_incumbent: absolute_rules_only\npromotion: {alias: first_ever}\n",
    )
    decision = check(policy=path, incumbent="@first_ever").decision

    assert decision.verdict is Verdict.ALLOW
    assert decision.promotable.value
    assert [finding.rule for finding in decision.findings] == ["cap"]
    assert [left.rule for left in decision.evidence.not_judged] == ["flips"]
    assert decision.provenance.incumbent is None
    assert (decision.counts.negative, decision.counts.both_right, decision.counts.n) == (None, None, 400)
    assert decision.evidence.mcnemar_midp is None
    assert "there is no @first_ever to compare with" in decision.evidence.notes


def test_a_first_version_with_no_rule_of_its_own_is_not_allowed(check: Check, policy: Policies) -> None:
    path = policy(more="on_missing_incumbent: absolute_rules_only\npromotion: {alias: first_ever}\n")
    decision = check(policy=path, incumbent="@first_ever").decision

    assert decision.verdict is Verdict.ERROR
    assert decision.exit_code == 12
    assert not decision.promotable.value


@pytest.mark.parametrize(
    ("promotion", "hint"),
    [("", "and it names none"), ("promotion: {alias: champion}\n", "@champion: is it mistyped?")],
)
def test_a_mistyped_alias_does_not_switch_the_comparison_off(
    check: Check, policy: Policies, promotion: str, hint: str
) -> None:
    path = policy(
        rule="{id: cap, rate: error_rate, of: candidate, at_most: 40%}",
        more=f"on_missing_incumbent: absolute_rules_only\n{promotion}",
    )
    found = str(refused(EvidenceError, lambda: check(policy=path, incumbent="@chmapion")))

    assert f"only the alias of the policy's promotion may be missing, {hint}" in found


def test_only_a_missing_alias_counts_as_no_incumbent(check: Check, policy: Policies) -> None:
    path = policy(
        rule="{id: cap, rate: error_rate, of: candidate, at_most: 40%}",
        more="on_missing_incumbent: absolute_rules_only\n",
    )

    assert "no version 99" in told(refused(EvidenceError, lambda: check(policy=path, incumbent="99")))


# models


def test_a_signature_that_asks_for_the_label(check: Check) -> None:
    error = refused(EvidenceError, lambda: check(candidate="@sees_label"))

    assert error.exit_code is ExitCode.EVIDENCE
    assert told(error) == (
        "candidate model: its signature asks for the label column 'y'\n"
        "  -> a model that sees the answers proves nothing: log it with the signature of its features"
    )


def test_a_feature_that_the_held_out_set_lacks(check: Check) -> None:
    error = refused(EvidenceError, lambda: check(incumbent="@wants_more"))

    assert error.exit_code is ExitCode.EVIDENCE
    assert error.problems[0].where == "incumbent model"
    assert "income" in told(error)


def test_a_model_that_answers_fewer_rows_than_it_was_given(check: Check) -> None:
    error = refused(EvidenceError, lambda: check(candidate="@one_row_less"))

    assert error.problems[0].where == "candidate model"
    assert "399" in told(error) and "400" in told(error)


def test_a_model_that_answers_with_text_where_the_labels_are_numbers(check: Check) -> None:
    error = refused(EvidenceError, lambda: check(candidate="@text_labels"))

    assert error.problems[0].where == "candidate model"
    assert "it answers with text" in told(error) and "the labels are integers" in told(error)


def test_a_score_that_is_nan_is_neither_right_nor_wrong(check: Check, policy: Policies) -> None:
    path = policy(more="task: {outputs: scores, threshold: 0.0, classes: [0, 1]}\n")
    error = refused(EvidenceError, lambda: check(policy=path, candidate="@nan_scores"))

    assert error.exit_code is ExitCode.EVIDENCE
    assert "candidate model: NaN in 1 scores of one batch, first at row 3" in told(error)


def test_a_probability_that_is_nan_names_its_row_in_the_whole_set(check: Check) -> None:
    error = refused(
        EvidenceError,
        lambda: check(candidate="@probabilities_with_nan", incumbent="@honest", rows_per_batch=150),
    )

    assert "candidate model: NaN in 1 answers of one batch, first at row 5" in told(error)


@pytest.mark.fault(
    39,
    given="a model fails with a message that holds a password",
    then="shows the message without the password",
    exit_code=12,
)
def test_an_exception_in_a_model_tells_what_it_was_and_no_secret(check: Check) -> None:
    error = refused(EvidenceError, lambda: check(candidate="@raises"))

    assert error.problems[0].where == "candidate model"
    assert "ValueError" in told(error)
    assert "hunter2" not in str(error)


# models in processes of their own


@pytest.mark.fault(
    24,
    given="a model hangs",
    then="ends it after the seconds of `--timeout`, and gives no verdict",
    exit_code=12,
)
def test_a_model_that_hangs_is_given_up(check: Check) -> None:
    began = time.monotonic()
    error = refused(EvidenceError, lambda: check(candidate="@hangs", in_process=False, timeout=10))

    assert error.exit_code is ExitCode.EVIDENCE
    assert error.problems[0].where == "candidate model"
    assert "10" in told(error) and "--timeout" in error.problems[0].hint
    assert time.monotonic() - began < 90


@pytest.mark.fault(
    24,
    given="a model is killed, or ends its own process with exit code 0",
    then="gives no verdict: without its answers a model has failed, whatever its exit code",
    exit_code=12,
)
@pytest.mark.parametrize(("role", "act"), [("candidate", "dies"), ("incumbent", "leaves_quietly")])
def test_a_model_that_ends_its_process_is_no_evidence(check: Check, role: str, act: str) -> None:
    sides = {"candidate": "@better", "incumbent": "@honest", role: f"@{act}"}
    error = refused(EvidenceError, lambda: check(in_process=False, **sides))

    assert error.exit_code is ExitCode.EVIDENCE
    assert error.problems[0].where == f"{role} model"


def test_a_verdict_that_cannot_be_logged_stands_and_says_so(check: Check, acting: str, tmp_path: Path) -> None:
    judged = check(log_run=True, registry_uri=acting, tracking_uri="http://127.0.0.1:9")

    assert judged.run_id is None
    assert judged.decision.counts.n == 400
    assert "cannot be reached (connection refused)" in str(judged.log_problem)
