"""Answers that were given several times: repeated runs as columns, repeated samples as rows, and the noise in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gate
from gate.core.judgement import Finding
from gate.errors import EvidenceError, UsageError
from gate.stories.decide import Judgement
from gate.stories.validate import undecidable

QUESTIONS, TIMES = 60, 4
EXCESS = "{id: r, rate: excess_nfr, at_most: 99%}"
SAMPLED = "{id: q, sample: s}"


@pytest.fixture(scope="module")
def asked() -> pd.DataFrame:
    """60 questions, asked four times each: whether both models were right, a judge's scores, and texts that say so."""
    random = np.random.default_rng(3)
    ease = random.beta(2, 1, QUESTIONS).repeat(TIMES)
    frame = pd.DataFrame({"q": np.arange(QUESTIONS).repeat(TIMES), "s": np.tile(np.arange(TIMES), QUESTIONS)})
    for name, harder in {"old": 0.0, "new": 0.1, "run1": 0.0, "run2": 0.0}.items():
        right = random.random(len(frame)) < ease - harder
        frame[name] = right
        frame[f"{name}_score"] = np.where(right, 0.9, 0.1) + random.uniform(-0.09, 0.09, len(frame)).round(3)
        frame[f"{name}_text"] = np.where(right, "yes it is", "no " + frame.s.astype(str))
    return frame.assign(y="yes it is")


def judged(folder: Path, table: Any, task: str, holdout: str, rule: str = EXCESS, **options: Any) -> Judgement:
    policy = folder / "policy.yaml"
    policy.write_text(f"version: 1\nname: x\ntask: {{{task}}}\nholdout: {holdout}\nrules:\n  - {rule}\n")
    given = () if table is None else (table,)
    return gate.compare(*given, policy=policy, **options)


def finding(found: Judgement) -> Finding:
    (only,) = found.decision.findings
    return only


def flips(frame: pd.DataFrame, now: str, then: str = "old") -> float:
    """The share of rows that ``then`` got right and ``now`` does not."""
    return float((frame[then] & ~frame[now]).mean())


def against_itself(frame: pd.DataFrame) -> float:
    """NFR of the incumbent against its answer to the same question the next time, the first after the last."""
    ordered = frame.sort_values(["q", "s"])
    again = ordered.groupby("q").old.transform(lambda right: np.roll(right, -1))
    return float((ordered.old & ~again).mean())


# repeated runs, a column each


@pytest.mark.parametrize(
    ("task", "old", "new", "floor"),
    [
        ("kind: scores", "old", "new", "run1, run2"),
        ("kind: scores, right_at_least: 0.5", "old_score", "new_score", "run1_score, run2_score"),
        ("kind: generation", "old_text", "new_text", "run1_text, run2_text"),
        (
            "kind: generation, score: {incumbent: old_score, candidate: new_score}, right_at_least: 0.5",
            "old_text",
            "new_text",
            "run1_score, run2_score",
        ),
    ],
    ids=["right or wrong", "scores", "texts", "texts with scores"],
)
def test_repeated_runs_of_the_incumbent_are_a_noise_floor(asked, tmp_path, task, old, new, floor):
    label = ", label: y" if task == "kind: generation" else ""
    found = judged(tmp_path, asked, task, f"{{noise_floor: [{floor}]{label}}}", incumbent=old, candidate=new)
    noise = (flips(asked, "run1") + flips(asked, "run2")) / 2
    assert finding(found).estimate == pytest.approx(flips(asked, "new") - noise)
    assert noise > 0.05


def test_the_scores_of_repeated_runs_are_compared_in_the_continuous_form_too(asked, tmp_path):
    task = "kind: generation, score: {incumbent: old_score, candidate: new_score}, continuous: true"
    floor = "{noise_floor: [run1_score]}"
    found = judged(tmp_path, asked, task, floor, incumbent="old_text", candidate="new_text")
    worse = {name: (asked[f"{name}_score"] < asked.old_score).mean() for name in ("new", "run1")}
    assert finding(found).estimate == pytest.approx(worse["new"] - worse["run1"])


def test_the_scores_of_repeated_runs_stand_in_the_incumbents_file(asked, tmp_path):
    rows = asked.assign(key=np.arange(len(asked)))
    names = {"old_text": "text", "old_score": "judge"}
    rows[["key", *names, "run1_score"]].rename(columns=names).to_parquet(tmp_path / "old.parquet")
    names = {"new_text": "text", "new_score": "judge"}
    rows[["key", *names]].rename(columns=names).sample(frac=1, random_state=1).to_parquet(tmp_path / "new.parquet")
    found = judged(
        tmp_path, None, "kind: generation, score: judge, right_at_least: 0.5", "{id: key, noise_floor: [run1_score]}",
        prediction="text", incumbent_predictions=tmp_path / "old.parquet",
        candidate_predictions=tmp_path / "new.parquet",
    )  # fmt: skip
    assert finding(found).estimate == pytest.approx(flips(asked, "new") - flips(asked, "run1"))


def test_a_run_with_a_missing_score_is_named(asked, tmp_path):
    holed = asked.assign(run1_score=asked.run1_score.where(asked.index != 7))
    task = "kind: generation, score: {incumbent: old_score, candidate: new_score}, right_at_least: 0.5"
    with pytest.raises(EvidenceError, match=r"holdout\.noise_floor, column 'run1_score': missing scores: .* at row 7"):
        judged(tmp_path, holed, task, "{noise_floor: [run1_score]}", incumbent="old_text", candidate="new_text")


def test_the_scores_of_a_run_say_nothing_of_churn(tmp_path):
    task = "kind: generation, score: judge, right_at_least: 0.5"
    rule = "{id: r, rate: excess_churn, at_most: 1%}"
    with pytest.raises(UsageError, match=r"rules\[0\] 'r': rate: excess_churn has no meaning here: under task\.score"):
        judged(tmp_path, {}, task, "{noise_floor: [a]}", rule, incumbent="o", candidate="n")


@pytest.mark.parametrize("name", ["new_score", "old_score", "new_text"])
def test_the_noise_is_not_measured_on_what_is_judged(asked, tmp_path, name):
    task = "kind: generation, score: {incumbent: old_score, candidate: new_score}, right_at_least: 0.5"
    with pytest.raises(UsageError, match="are the same column"):
        judged(tmp_path, asked, task, f"{{noise_floor: [{name}]}}", incumbent="old_text", candidate="new_text")


# repeated samples, a row each


def sampled(folder: Path, frame: pd.DataFrame, holdout: str = SAMPLED, rule: str = EXCESS, **options: Any) -> Judgement:
    return judged(folder, frame, "kind: scores", holdout, rule, **{"incumbent": "old", "candidate": "new", **options})


@pytest.mark.parametrize(
    ("task", "old", "new"),
    [
        ("kind: scores", "old", "new"),
        ("kind: generation", "old_text", "new_text"),
        (
            "kind: generation, score: {incumbent: old_score, candidate: new_score}, right_at_least: 0.5",
            "old_text",
            "new_text",
        ),
    ],
)
def test_the_other_samples_of_the_incumbent_are_its_noise_floor(asked, tmp_path, task, old, new):
    holdout = "{id: q, sample: s, label: y}" if task == "kind: generation" else SAMPLED
    found = judged(tmp_path, asked, task, holdout, incumbent=old, candidate=new)
    assert finding(found).estimate == pytest.approx(flips(asked, "new") - against_itself(asked))
    assert against_itself(asked) > 0.05


def test_an_incumbent_that_answers_at_random_has_no_excess_over_itself_on_average(tmp_path):
    random = np.random.default_rng(8)
    ease = random.beta(2, 1, 1000).repeat(3)
    frame = pd.DataFrame({"q": np.arange(1000).repeat(3), "s": np.tile([0, 1, 2], 1000)})
    frame = frame.assign(old=random.random(3000) < ease, new=random.random(3000) < ease)
    found = sampled(tmp_path, frame, rule="{id: r, rate: excess_nfr, at_most: 3%}")
    assert found.allowed
    assert abs(finding(found).estimate or 1.0) < 0.02
    assert (frame.old & ~frame.new).mean() > 0.1


def test_the_samples_of_a_question_are_one_cluster(asked, tmp_path):
    few = "{id: r, rate: nfr, at_most: 90%}"
    by_sample = sampled(tmp_path, asked, rule=few)
    by_hand = sampled(tmp_path, asked.assign(key=asked.index), "{id: key, cluster: q}", few)
    apart = sampled(tmp_path, asked, "{}", few)
    assert finding(by_sample).bound == finding(by_hand).bound
    assert (finding(by_sample).bound or 0.0) > (finding(apart).bound or 1.0)


def test_the_order_of_rows_and_the_size_of_batches_do_not_matter(asked, tmp_path):
    found = [
        sampled(tmp_path, frame, rows_per_batch=size)
        for frame, size in ((asked, 240), (asked, 7), (asked.sample(frac=1, random_state=2), 31))
    ]
    assert len({(finding(one).estimate, finding(one).bound) for one in found}) == 1
    assert len({tuple(row.id for row in one.samples) for one in found}) == 1
    assert {row.id for row in found[0].samples} <= {f"{q}/{s}" for q in range(QUESTIONS) for s in range(TIMES)}


@pytest.mark.parametrize("kind", [str, int])
def test_two_files_are_joined_by_question_and_sample(asked, tmp_path, kind):
    rows = asked.assign(q=asked.q.astype(kind))
    for model in ("old", "new"):
        mixed = rows[["q", "s", model]].rename(columns={model: "acc"}).sample(frac=1, random_state=len(model))
        mixed.to_parquet(tmp_path / f"{model}.parquet")
    files = {f"{role}_predictions": tmp_path / f"{name}.parquet" for role, name in ROLES.items()}
    found = judged(tmp_path, None, "kind: scores", SAMPLED, prediction="acc", **files)
    assert finding(found).estimate == pytest.approx(flips(asked, "new") - against_itself(asked))


ROLES = {"incumbent": "old", "candidate": "new"}


def test_ids_of_two_kinds_are_told_apart_though_their_names_are_text(asked, tmp_path):
    for model, kind in (("old", int), ("new", str)):
        frame = asked[["q", "s", model]].rename(columns={model: "acc"})
        frame.assign(q=frame.q.astype(kind)).to_parquet(tmp_path / f"{model}.parquet")
    files = {f"{role}_predictions": tmp_path / f"{name}.parquet" for role, name in ROLES.items()}
    with pytest.raises(EvidenceError, match="ids are int64 in"):
        judged(tmp_path, None, "kind: scores", SAMPLED, prediction="acc", **files)


def test_a_sample_that_one_model_lacks_is_named(asked, tmp_path):
    for model in ("old", "new"):
        frame = asked[["q", "s", model]].rename(columns={model: "acc"})
        frame[frame.index != (5 if model == "new" else -1)].to_parquet(tmp_path / f"{model}.parquet")
    files = {f"{role}_predictions": tmp_path / f"{name}.parquet" for role, name in ROLES.items()}
    with pytest.raises(EvidenceError, match=r"1 of the 240 ids of .* are not here \('1/1'\)"):
        judged(tmp_path, None, "kind: scores", SAMPLED, prediction="acc", **files)


def test_a_question_that_was_asked_once_has_no_noise_and_is_named(asked, tmp_path):
    lonely = asked[(asked.q != 9) | (asked.s == 0)]
    with pytest.raises(EvidenceError, match=r"1 question was asked once only \('9'\)"):
        sampled(tmp_path, lonely)
    assert sampled(tmp_path, lonely, rule="{id: r, rate: nfr, at_most: 90%}").allowed


def test_rows_of_one_id_that_ask_different_things_are_no_noise(asked, tmp_path):
    task, holdout = "kind: generation", "{id: q, sample: s, label: y}"
    mixed = asked.assign(y=np.where(asked.index == 6, "no", asked.y))
    with pytest.raises(EvidenceError, match="rows 5 and 6 have the same id and different labels, 'yes it is' and 'no'"):
        judged(tmp_path, mixed, task, holdout, incumbent="old_text", candidate="new_text")
    several = asked.assign(y=[["yes it is", "yes"]] * len(asked))
    found = judged(tmp_path, several, task, holdout, incumbent="old_text", candidate="new_text")
    assert finding(found).estimate == pytest.approx(flips(asked, "new") - against_itself(asked))


def test_a_sample_that_stands_twice_is_no_two_rows(asked, tmp_path):
    twice = asked.assign(s=asked.s.where(asked.index != 1, 0))
    with pytest.raises(EvidenceError, match="2 rows share their id with another row: '0/0' in rows 0, 1"):
        sampled(tmp_path, twice)


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        ([0.5] * 240, "it is double, and sample numbers are whole numbers"),
        (["a"] * 240, "it is .*string, and sample numbers are whole numbers"),
        (pd.array([*range(239), None], dtype="Int64"), "1 rows of one batch have no sample number, first at row 239"),
    ],
)
def test_sample_numbers_are_whole_numbers(asked, tmp_path, samples, said):
    with pytest.raises(EvidenceError, match=f"column 's': {said}"):
        sampled(tmp_path, asked.assign(s=samples))


def test_a_question_without_an_id_is_a_row_without_an_id(asked, tmp_path):
    holed = asked.assign(q=asked.q.where(asked.index != 3))
    with pytest.raises(EvidenceError, match="1 row has no id: row 3"):
        sampled(tmp_path, holed)


def test_a_cluster_may_hold_several_questions_but_none_of_them_in_part(asked, tmp_path):
    holdout = "{id: q, sample: s, cluster: c}"
    whole = sampled(tmp_path, asked.assign(c=asked.q // 2), holdout)
    assert finding(whole).estimate == pytest.approx(flips(asked, "new") - against_itself(asked))
    with pytest.raises(EvidenceError, match=r"column 'c': 60 ids are in more than one cluster \('0', '1', '2', ...\)"):
        sampled(tmp_path, asked.assign(c=asked.s), holdout, rows_per_batch=50_000)
    with pytest.raises(EvidenceError, match="are in more than one cluster"):
        sampled(tmp_path, asked.assign(c=asked.s), holdout, rows_per_batch=2)


def test_golden_sets_and_exclusions_list_questions(asked, tmp_path):
    broken = asked[asked.old & ~asked.new].q
    (tmp_path / "golden.csv").write_text(f"id\n{broken.iloc[0]}\n")
    found = sampled(tmp_path, asked, rule="{id: g, must_not_regress: golden.csv}")
    assert finding(found).n == TIMES
    assert (finding(found).numerator or 0) >= 1
    (tmp_path / "out.csv").write_text(f"id,reason,owner\n{broken.iloc[0]},disputed,me\n")
    found = sampled(tmp_path, asked, "{id: q, sample: s, exclusions: out.csv}")
    kept = asked[asked.q != broken.iloc[0]]
    assert found.decision.counts.n == len(kept)
    assert finding(found).estimate == pytest.approx(flips(kept, "new") - against_itself(kept))


def test_every_row_excluded_is_still_told(asked, tmp_path):
    (tmp_path / "out.csv").write_text("id,reason,owner\n" + "".join(f"{q},why,me\n" for q in range(QUESTIONS)))
    with pytest.raises(EvidenceError, match="every row of it is excluded"):
        sampled(tmp_path, asked, "{id: q, sample: s, exclusions: out.csv}")


def test_named_runs_come_before_the_other_samples(asked, tmp_path):
    found = sampled(tmp_path, asked, "{id: q, sample: s, noise_floor: [run1]}")
    assert finding(found).estimate == pytest.approx(flips(asked, "new") - flips(asked, "run1"))


def test_samples_need_an_id_which_the_command_line_may_name(asked, tmp_path):
    with pytest.raises(UsageError, match="no id column is named"):
        sampled(tmp_path, asked, "{sample: s}")
    assert sampled(tmp_path, asked, "{sample: s}", id="q").decision.counts.n == len(asked)


def test_without_runs_or_samples_there_is_no_excess(asked, tmp_path):
    with pytest.raises(UsageError, match="needs the answers of retrained incumbents"):
        sampled(tmp_path, asked, "{id: q}")


def test_the_sizes_of_a_set_with_samples_are_read_as_they_will_be_judged(asked, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        f"version: 1\nname: x\ntask: {{kind: scores}}\nholdout: {SAMPLED}\nrules: [{{id: r, rate: nfr, at_most: 2%}}]\n"
    )
    assert undecidable(policy, asked[["q", "s"]])  # 240 rows would do, 60 questions do not
    policy.write_text(policy.read_text().replace(SAMPLED, "{}"))
    assert not undecidable(policy, asked[["q", "s"]])
    policy.write_text(policy.read_text().replace("holdout: {}", f"holdout: {SAMPLED}"))
    with pytest.raises(EvidenceError, match="share their id"):
        undecidable(policy, pd.concat([asked, asked])[["q", "s"]])


def test_an_explanation_says_whose_noise_it_is_and_what_the_clusters_are(tmp_path):
    from gate.stories.explain import explain

    policy = tmp_path / "policy.yaml"
    policy.write_text(f"version: 1\nname: x\ntask: {{kind: scores}}\nholdout: {SAMPLED}\nrules:\n  - {EXCESS}\n")
    told = explain(policy)
    assert any("Rows of one q are not independent" in sentence for sentence in told.sentences)
    assert any("the incumbent against itself" in sentence for sentence in told.rules[0].sentences)
