"""What a policy says is what is done: golden sets, costs, waivers, exclusions, corrections, looks, noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import binom, binomtest

import gate
from gate.core.judgement import Finding, Verdict
from gate.errors import EvidenceError, UsageError
from gate.policy.load import load_policy
from gate.stories.decide import Judgement

HEAD = "version: 1\nname: x\n"
AS_OF = "2026-11-22"


def data(rows: int = 400, flips: int = 4, **more: Any) -> dict[str, Any]:
    """``rows`` rows of the label a, all right before; the first ``flips`` of them answered b now."""
    return {
        "id": [f"r{i}" for i in range(rows)],
        "y": ["a"] * (rows - 50) + ["b"] * 50,
        "old": ["a"] * (rows - 50) + ["b"] * 50,
        "new": ["b"] * flips + ["a"] * (rows - 50 - flips) + ["b"] * 50,
        **more,
    }


def judged(folder: Path, policy: str, table: dict[str, Any] | None = None, **options: Any) -> Judgement:
    path = folder / "p.yaml"
    head = "" if "holdout:" in policy else "holdout: {id: id, label: y}\n"
    path.write_text(HEAD + head + policy)
    given: Any = pa.table(data() if table is None else table)
    options = {"as_of": AS_OF, "incumbent": "old", "candidate": "new", **options}
    return gate.compare(given, policy=path, **options)


def only(found: Judgement, rule: str) -> Finding:
    (finding,) = (one for one in found.decision.findings if one.rule == rule)
    return finding


def status(found: Judgement) -> dict[Any, str]:
    return {(f.rule, f.cell.value): f.status.value for f in found.decision.findings}


def said(raised: pytest.ExceptionInfo[Any]) -> str:
    return str(raised.value)


# golden sets


GOLDEN = "rules: [{id: g, must_not_regress: golden.csv}]\n"


def golden(folder: Path, *lines: str) -> None:
    (folder / "golden.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("name", ["id", "row"])
def test_no_golden_row_may_be_a_negative_flip(tmp_path, name):
    golden(tmp_path, name, "r4", "r5")
    rows = {("id" if key == "id" and name == "id" else {"id": "row"}.get(key, key)): col for key, col in data().items()}
    policy = f"holdout: {{id: {name}, label: y}}\n{GOLDEN}"
    found = judged(tmp_path, policy, rows)
    assert (found.verdict, only(found, "g").n, only(found, "g").numerator) == (Verdict.ALLOW, 2, 0)
    golden(tmp_path, name, "r4", "r3")
    found = judged(tmp_path, policy, rows)
    assert (found.verdict, only(found, "g").n, only(found, "g").numerator) == (Verdict.REFUSE, 2, 1)


def test_a_golden_row_that_both_get_wrong_is_no_regression(tmp_path):
    golden(tmp_path, "id", "r0")
    table = data()
    table["old"][0] = "b"
    assert judged(tmp_path, GOLDEN, table).allowed


def test_a_column_can_mark_the_golden_rows(tmp_path):
    policy = "rules: [{id: g, must_not_regress: {column: gold}}]\n"
    marks = [i >= 4 for i in range(400)]
    assert judged(tmp_path, policy, data(gold=marks)).allowed
    assert judged(tmp_path, policy, data(gold=[True] * 400)).verdict is Verdict.REFUSE
    assert judged(tmp_path, policy, data(gold=[False] * 400)).verdict is Verdict.INCONCLUSIVE
    for wrong in ([1] * 400, ["true"] * 400):
        with pytest.raises(EvidenceError, match="must be true or false"):
            judged(tmp_path, policy, data(gold=wrong))
    with pytest.raises(EvidenceError, match="gold"):
        judged(tmp_path, policy, data())


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["id", "r4", "q1", "q2"], "2 of its 3 ids are not in the held-out set ('q1', 'q2')"),
        (["id", "r4", "r5", "r4"], "row 2: the id 'r4' stands there a second time"),
        (["id"], "it has no ids"),
        (["id", "4", "5"], "its ids are int64, those of the held-out set"),
        (["id,why", "r4,x", ",y"], "row 1 has no id"),
        (["r4", "r5"], "no column 'id'; found 'r4'"),
        (["key,why", "r4,x"], "no column 'id'; found 'key', 'why'"),
    ],
)
def test_a_golden_file_that_does_not_fit_guards_nothing_and_is_an_error(tmp_path, lines, found):
    golden(tmp_path, *lines)
    with pytest.raises((EvidenceError, UsageError)) as error:
        judged(tmp_path, GOLDEN)
    assert found in said(error)
    assert "golden.csv" in said(error)


def test_a_golden_file_that_is_not_there_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"golden\.csv"):
        judged(tmp_path, GOLDEN)


def test_integers_of_any_width_are_the_same_id_and_a_missing_one_is_told(tmp_path):
    table = data(
        id=pa.array([i % 128 for i in range(100)], pa.int8()), **{k: v[300:] for k, v in data().items() if k != "id"}
    )
    golden(tmp_path, "id", "4", "5")
    assert judged(tmp_path, GOLDEN, table).allowed
    golden(tmp_path, "id", "4", "1000")
    with pytest.raises(EvidenceError, match=r"1 of its 2 ids are not in the held-out set \(1000\)"):
        judged(tmp_path, GOLDEN, table)


def test_a_golden_row_cannot_be_excluded(tmp_path):
    golden(tmp_path, "id", "r3", "r4")
    (tmp_path / "out.csv").write_text("id,reason,owner\nr3,disputed,me\n")
    with pytest.raises(EvidenceError, match=r"1 of its rows are excluded \('r3'\)"):
        judged(tmp_path, "holdout: {id: id, label: y, exclusions: out.csv}\n" + GOLDEN)
    with pytest.raises(EvidenceError, match="1 of its rows are excluded"):
        judged(
            tmp_path,
            "holdout: {id: id, label: y, exclusions: out.csv}\nrules: [{id: g, must_not_regress: {column: gold}}]\n",
            data(gold=[True] * 400),
        )


# slices


def test_the_four_kinds_of_slices_cut_as_they_say(tmp_path):
    policy = """\
holdout:
  id: id
  label: y
  slices:
    sex: {column: sex}
    ages: {column: age, bins: [30, 60]}
    both: {columns: [sex, area]}
    young: {where: "age < 30 and sex = 'f'"}
rules:
  - {id: sex, rate: nfr, by: sex, at_most: 99%}
  - {id: ages, rate: nfr, by: ages, at_most: 99%}
  - {id: both, rate: nfr, by: both, at_most: 99%}
  - {id: young, rate: nfr, by: young, at_most: 99%}
"""
    sex, age, area = ["f", "m"] * 200, [20, 30, 59, 60] * 100, (["n"] * 3 + ["s"]) * 100
    found = judged(tmp_path, policy, data(sex=sex, age=age, area=area))
    rows = {(f.rule, f.cell.value): f.n for f in found.decision.findings}
    assert rows == {
        ("sex", "f"): 200, ("sex", "m"): 200,
        ("ages", "under 30"): 100, ("ages", "30 to under 60"): 200, ("ages", "60 and over"): 100,
        ("both", "f & n"): 200, ("both", "m & n"): 100, ("both", "m & s"): 100,
        ("young", True): 100,
    }  # fmt: skip


# costs


COSTS = """\
rules:
  - id: c
    net_cost:
      per: 1000
      negative: [{label: a, output: b, cost: 10}, {label: b, output: a, cost: 250}]
      positive: [{label: a, output: b, gain: 3}]
    at_most: %s
"""


def by_hand(n: int, negative: int, unseen: int, positive: int) -> tuple[float, float, float]:
    """Estimate, lower and upper bound of the net cost: Clopper-Pearson, the 5 % split over the three kinds."""

    def side(hits: int, name: str) -> float:
        interval = binomtest(hits, n).proportion_ci(1 - 2 * 0.05 / 3, "exact")
        return float(getattr(interval, name))

    estimate = 1000 * (10 * negative + 250 * unseen - 3 * positive) / n
    lower = 1000 * (10 * side(negative, "low") + 250 * side(unseen, "low") - 3 * side(positive, "high"))
    upper = 1000 * (10 * side(negative, "high") + 250 * side(unseen, "high") - 3 * side(positive, "low"))
    return estimate, lower, upper


def with_gains(gains: int) -> dict[str, Any]:
    table = data()
    table["old"][10 : 10 + gains] = ["b"] * gains
    return table


@pytest.mark.parametrize("gains", [0, 7, 60])
def test_a_net_cost_is_what_hand_and_textbook_say(tmp_path, gains):
    estimate, lower, upper = by_hand(400, 4, 0, gains)
    found = only(judged(tmp_path, COSTS % "1", with_gains(gains)), "c")
    assert found.estimate == pytest.approx(estimate)
    assert (found.status.value, found.side, found.bound) == ("inconclusive", "upper", pytest.approx(upper))
    found = only(judged(tmp_path, COSTS % f"{upper + 0.01}", with_gains(gains)), "c")
    assert found.status.value == "pass"
    found = only(judged(tmp_path, COSTS % f"{lower - 0.01}", with_gains(gains)), "c")
    assert (found.status.value, found.side, found.bound) == ("fail", "lower", pytest.approx(lower))


def test_costly_flips_that_were_not_seen_cost_in_the_bound_and_gains_lower_it(tmp_path):
    none = only(judged(tmp_path, COSTS % "1", data(flips=0)), "c")
    assert none.estimate == 0.0
    # 0 of 400 at 1 - 0.05 / 3: 10 and 250 for each kind, of which none was seen
    assert none.bound == pytest.approx(1000 * 260 * (1 - (0.05 / 3) ** (1 / 400)))
    gained = only(judged(tmp_path, COSTS % "1", {**with_gains(60)}), "c")
    plain = only(judged(tmp_path, COSTS % "1", with_gains(0)), "c")
    assert gained.bound < plain.bound and gained.estimate < plain.estimate


def test_the_estimate_decides_a_cost_where_the_policy_says_so(tmp_path):
    evidence = "evidence: {decide_on: estimate}\n"
    assert judged(tmp_path, evidence + COSTS % "100").allowed  # 4 flips of 10 in 400 rows: 100 for 1,000
    assert judged(tmp_path, evidence + COSTS % "99.9").verdict is Verdict.REFUSE


def test_costs_of_classes_that_are_not_there_are_told_with_the_nearest(tmp_path):
    table = data(y=[1] * 400, old=[1] * 400, new=[2] * 4 + [1] * 396)
    priced = "rules: [{id: c, net_cost: {negative: [{label: %s, output: %s, cost: 1}]}, at_most: 1000}]\n"
    assert judged(tmp_path, priced % (1, 2), table).allowed
    for label, output, found in (
        ("'1'", 2, "label '1', which is no class of this held-out set; did you mean '1'?"),
        (1, 3, "output 3, which is no class of this held-out set"),
    ):
        with pytest.raises(UsageError) as error:
            judged(tmp_path, priced % (label, output), table)
        assert found in said(error)


# waivers


WAIVED = """\
rules:
  - {id: few, rate: nfr, at_most: 50%%}
  - {id: cls, rate: nfr, by: class, at_most: 0.5%%}
waivers:
  - {rule: cls, cell: a, because: relabelling, owner: me, expires: %s%s}
  - {rule: cls, cell: b, because: small, owner: me, expires: 2027-06-30}
"""


def test_a_waived_finding_is_shown_as_waived_and_does_not_stand_in_the_way(tmp_path):
    found = judged(tmp_path, WAIVED % ("2027-06-30", ""))
    assert status(found) == {("few", None): "pass", ("cls", "a"): "waived", ("cls", "b"): "waived"}
    assert found.verdict is Verdict.ALLOW
    (note,) = (f.note for f in found.decision.findings if f.cell.value == "a")
    assert note == "waived by me until 2027-06-30: relabelling"
    assert [(w.rule, w.cell, w.needed, w.owner) for w in found.decision.waivers] == [
        ("cls", "a", True, "me"), ("cls", "b", True, "me")]  # fmt: skip


def test_a_waiver_holds_up_to_its_limit_only(tmp_path):
    # 4 flips of 350 rows: bounded at 2.6 %
    upper = binomtest(4, 350).proportion_ci(0.9, "exact").high * 100
    near = judged(tmp_path, WAIVED % ("2027-06-30", f", up_to: {upper + 0.01:.4f}%"))
    assert status(near)["cls", "a"] == "waived"
    far = judged(tmp_path, WAIVED % ("2027-06-30", f", up_to: {upper - 0.01:.4f}%"))
    assert status(far)["cls", "a"] == "inconclusive"
    assert far.verdict is Verdict.INCONCLUSIVE
    assert "does not reach" in str(far.decision.waivers[0].note)


def test_a_waiver_counts_on_its_last_day_and_not_after(tmp_path):
    found = judged(tmp_path, WAIVED % (AS_OF, ""))
    assert found.decision.waivers[0].note == "ends today"
    assert judged(tmp_path, WAIVED % ("2026-12-06", "")).decision.waivers[0].note == "ends in 14 days"
    assert judged(tmp_path, WAIVED % ("2026-12-07", "")).decision.waivers[0].note is None
    with pytest.raises(UsageError) as error:
        judged(tmp_path, WAIVED % ("2026-11-21", ""))
    assert "p.yaml:8: the waiver of 'cls' by me expired on 2026-11-21" in said(error)


def test_a_waiver_that_was_not_needed_is_a_note(tmp_path):
    policy = WAIVED % ("2027-06-30", "")
    found = judged(tmp_path, policy.replace("at_most: 0.5%", "at_most: 20%"))
    assert found.allowed
    assert [(w.needed, w.note) for w in found.decision.waivers] == [
        (False, "not needed: the finding does not stand in the way")
    ] * 2
    assert any("not needed" in note for note in found.decision.evidence.notes)


def test_a_waiver_of_a_cell_that_does_not_exist_is_told_with_the_nearest(tmp_path):
    with pytest.raises(UsageError) as error:
        judged(tmp_path, (WAIVED % ("2027-06-30", "")).replace("cell: b", "cell: bb"))
    assert "p.yaml:9: the waiver of 'cls' names the cell 'bb', which does not exist; did you mean 'b'?" in said(error)


def test_an_expired_waiver_is_an_error_even_where_it_is_not_needed(tmp_path):
    with pytest.raises(UsageError, match="expired"):
        judged(tmp_path, (WAIVED % ("2026-01-01", "")).replace("at_most: 0.5%", "at_most: 20%"))


def test_where_every_enforced_rule_is_waived_nothing_is_allowed(tmp_path):
    policy = (
        "rules: [{id: r, rate: nfr, at_most: 1%}]\nwaivers: [{rule: r, because: x, owner: y, expires: 2027-01-01}]\n"
    )
    found = judged(tmp_path, policy)
    assert status(found) == {("r", None): "waived"}
    assert (found.verdict, found.decision.exit_code) == (Verdict.ERROR, 12)


def test_a_golden_set_is_waived_whole(tmp_path):
    golden(tmp_path, "id", "r0")
    more = "  - {id: few, rate: nfr, at_most: 50%}\nwaivers: [{rule: g, because: x, owner: y, expires: 2027-01-01}]\n"
    found = judged(tmp_path, "rules:\n  - {id: g, must_not_regress: golden.csv}\n" + more)
    assert (status(found)["g", True], found.verdict) == ("waived", Verdict.ALLOW)


def test_up_to_moves_the_limit_of_its_cell_only_where_holm_looks_at_all_of_them(tmp_path):
    policy = """\
rules:
  - {id: cls, rate: nfr, by: class, at_most: 0.5%, decide_on: harm, correction: holm}
waivers: [{rule: cls, cell: a, up_to: 1%, because: x, owner: y, expires: 2027-01-01}]
"""
    found = judged(tmp_path, policy, data(flips=40))
    assert status(found)["cls", "a"] == "fail"  # 40 of 350 is far beyond 1 % too
    assert found.verdict is Verdict.REFUSE


# exclusions


EXCLUDING = "holdout: {id: id, label: y, exclusions: out.csv}\nrules: [{id: r, rate: nfr, at_most: 3%}]\n"


def excluded(folder: Path, *lines: str) -> None:
    (folder / "out.csv").write_text("\n".join(["id,reason,owner", *lines]) + "\n")


def test_excluded_rows_do_not_count_for_either_model_and_are_counted_by_reason_and_owner(tmp_path):
    excluded(tmp_path, "r0,disputed,me", "r1,disputed,me", "r9,disputed,you", "r399,blurred,me")
    found = judged(tmp_path, EXCLUDING, rows_per_batch=7)
    assert [(e.reason, e.owner, e.rows) for e in found.decision.exclusions] == [
        ("disputed", "me", 2), ("blurred", "me", 1), ("disputed", "you", 1)]  # fmt: skip
    counts = found.decision.counts
    assert (counts.n, counts.negative, counts.both_right) == (396, 2, 394)
    assert only(found, "r").n == 396
    kept = [i for i in range(400) if i not in (0, 1, 9, 399)]
    without = {name: [column[i] for i in kept] for name, column in data().items()}
    again = judged(tmp_path, EXCLUDING.replace(", exclusions: out.csv", ""), without)
    assert again.decision.rates == found.decision.rates


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["q,disputed,me"], "1 of its 1 ids are not in the held-out set ('q')"),
        (["r0,,me"], "row 0 has no reason"),
        (["r0,disputed,"], "row 0 has no owner"),
        (["r0,disputed, "], "row 0 has no owner"),
        (["r0,disputed,me", "r0,disputed,you"], "row 1: the id 'r0' stands there a second time"),
        (["7,disputed,me"], "its ids are int64"),
        ([f"r{i},disputed,me" for i in range(400)], "every row of it is excluded"),
    ],
)
def test_exclusions_that_do_not_fit_are_errors(tmp_path, lines, found):
    excluded(tmp_path, *lines)
    with pytest.raises((EvidenceError, UsageError)) as error:
        judged(tmp_path, EXCLUDING)
    assert found in said(error)


def test_exclusions_without_an_owner_column_or_without_a_file_are_usage_errors(tmp_path):
    (tmp_path / "out.csv").write_text("id,reason,ownr\nr0,x,y\n")
    with pytest.raises(UsageError, match="no column 'owner'; did you mean 'ownr'"):
        judged(tmp_path, EXCLUDING)
    (tmp_path / "out.csv").unlink()
    with pytest.raises(UsageError, match=r"out\.csv"):
        judged(tmp_path, EXCLUDING)


def test_no_exclusions_exclude_nothing(tmp_path):
    excluded(tmp_path)
    assert judged(tmp_path, EXCLUDING).decision.counts.n == 400


def test_a_duplicate_id_is_found_though_its_rows_are_excluded(tmp_path):
    excluded(tmp_path, "r0,disputed,me")
    table = data()
    table["id"][1] = "r0"
    with pytest.raises(EvidenceError, match="r0"):
        judged(tmp_path, EXCLUDING, table)


# corrections, discoveries, looks


MANY = "holdout: {id: id, label: y, slices: {s: {column: s}}}\nrules:\n  - {id: s, rate: nfr, by: s, at_most: 5%%, decide_on: harm%s}\n"


def sliced(flips: dict[str, int], rows: int = 100) -> dict[str, Any]:
    new = [answer for count in flips.values() for answer in ["b"] * count + ["a"] * (rows - count)]
    n = len(new)
    return {
        "id": list(range(n)),
        "y": ["a"] * n,
        "old": ["a"] * n,
        "new": new,
        "s": [s for s in flips for _ in range(rows)],
    }


def test_holm_refuses_only_what_stands_after_the_correction(tmp_path):
    flips = {"s1": 18, "s2": 12, "s3": 10, "s4": 5, "s5": 0}
    tails = {name: binom.sf(k - 1, 100, 0.05) for name, k in flips.items()}
    ordered = sorted(tails.values())
    rejected = 0
    while rejected < 5 and ordered[rejected] <= 0.05 / (5 - rejected):
        rejected += 1
    by_hand = {name: "fail" for name, p in tails.items() if p in ordered[:rejected]}
    assert set(by_hand) == {"s1", "s2"} and tails["s3"] <= 0.05  # s3 looks proven on its own
    plain = judged(tmp_path, MANY % "", sliced(flips))
    assert {k for (_, k), v in status(plain).items() if v == "fail"} == {"s1", "s2", "s3"}
    corrected = judged(tmp_path, MANY % ", correction: holm", sliced(flips))
    assert {k: v for (_, k), v in status(corrected).items() if v == "fail"} == by_hand
    assert status(corrected)["s", "s3"] == "warn"
    assert corrected.verdict is Verdict.REFUSE


def test_what_only_looked_harmful_warns_under_holm_and_is_allowed(tmp_path):
    flips = {"s1": 10, "s2": 0, "s3": 0, "s4": 0, "s5": 0}
    assert judged(tmp_path, MANY % "", sliced(flips)).verdict is Verdict.REFUSE
    found = judged(tmp_path, MANY % ", correction: holm", sliced(flips))
    assert (found.verdict, status(found)["s", "s1"]) == (Verdict.ALLOW, "warn")


def test_discoveries_are_reported_and_decide_nothing(tmp_path):
    found = judged(tmp_path, MANY.replace("harm", "proof") % ", severity: warn" + "  - {id: r, rate: nfr, at_most: 20%}\n",
                   sliced({"s1": 25, "s2": 12, "s3": 0}))  # fmt: skip
    (discovery,) = found.decision.evidence.discoveries
    assert (discovery.rule, sorted(str(cell.value) for cell in discovery.cells)) == ("s", ["s1", "s2"])
    assert found.verdict is Verdict.ALLOW


def test_too_few_rows_turn_a_pass_into_inconclusive(tmp_path):
    policy = "rules: [{id: r, rate: nfr, by: class, at_most: 10%, at_least_n: 51}]\n"
    found = judged(tmp_path, policy)
    assert status(found) == {("r", "a"): "pass", ("r", "b"): "inconclusive"}
    assert found.verdict is Verdict.INCONCLUSIVE


def test_the_error_is_spent_over_the_declared_looks(tmp_path):
    policy = "evidence: {confidence: 95%, looks: 5}\nrules: [{id: r, rate: nfr, at_most: 2.5%}]\n"
    found = judged(tmp_path, policy)
    upper = binomtest(4, 400).proportion_ci(1 - 2 * 0.05 / 5, "exact").high
    assert only(found, "r").bound == pytest.approx(upper)
    assert found.decision.evidence.looks == 5
    assert found.decision.evidence.confidence == pytest.approx(0.99)
    assert [row.confidence for row in found.decision.rates] == pytest.approx([0.99] * len(found.decision.rates))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert judged(tmp_path, policy.replace("looks: 5", "looks: 1")).allowed  # at 95 % the bound is 2.28 %


# the noise of retraining


NOISY = """\
holdout: {id: id, label: y, noise_floor: [seed1, seed2]}
evidence: {decide_on: estimate}
rules:
  - {id: nfr, rate: excess_nfr, at_most: 99%}
  - {id: churn, rate: excess_churn, at_most: 99%}
"""


def noisy(rows: int = 600) -> dict[str, Any]:
    random = np.random.default_rng(5)
    answers = {
        name: random.choice(["a", "b", "c"], rows, p=[0.8, 0.1, 0.1]) for name in ("old", "new", "seed1", "seed2")
    }
    return {"id": np.arange(rows), "y": np.full(rows, "a"), **answers}


def test_an_excess_is_what_numpy_counts(tmp_path):
    table = noisy()
    found = judged(tmp_path, NOISY, table)
    right = {name: table[name] == table["y"] for name in ("old", "new", "seed1", "seed2")}
    nfr = {name: (right["old"] & ~right[name]).mean() for name in right}
    churn = {name: (table["old"] != table[name]).mean() for name in right}
    assert only(found, "nfr").estimate == pytest.approx(nfr["new"] - (nfr["seed1"] + nfr["seed2"]) / 2)
    assert only(found, "churn").estimate == pytest.approx(churn["new"] - (churn["seed1"] + churn["seed2"]) / 2)


def test_a_candidate_like_its_retrainings_has_no_excess(tmp_path):
    table = noisy()
    table["seed1"] = table["seed2"] = table["new"]
    found = judged(tmp_path, NOISY, table)
    assert [only(found, rule).estimate for rule in ("nfr", "churn")] == [0.0, 0.0]


def test_retrainings_like_the_incumbent_leave_the_whole_rate(tmp_path):
    table = noisy()
    table["seed1"] = table["seed2"] = table["old"]
    found = judged(tmp_path, NOISY, table)
    rates = {row.rate: row.estimate for row in found.decision.rates}
    assert only(found, "nfr").estimate == pytest.approx(rates["nfr"])
    assert only(found, "churn").estimate == pytest.approx(rates["churn"])


def test_an_excess_is_judged_in_every_cell_and_recorded(tmp_path):
    table = {**noisy(), "s": ["even", "odd"] * 300}
    policy = NOISY.replace("noise_floor", "slices: {s: {column: s}}, noise_floor").replace(
        "excess_nfr,", "excess_nfr, by: s,"
    )
    found = judged(tmp_path, policy, table)
    cells = {f.cell.value: f.estimate for f in found.decision.findings if f.rule == "nfr"}
    for part, rows in (("even", slice(0, None, 2)), ("odd", slice(1, None, 2))):
        right = {name: (table[name] == table["y"])[rows] for name in ("old", "new", "seed1", "seed2")}
        nfr = {name: (right["old"] & ~right[name]).mean() for name in right}
        assert cells[part] == pytest.approx(nfr["new"] - (nfr["seed1"] + nfr["seed2"]) / 2)


def test_missing_answers_of_a_retraining_are_not_the_candidates_fault(tmp_path):
    table = {**noisy(), "seed2": ["a"] * 599 + [None]}
    with pytest.raises(EvidenceError, match=r"holdout\.noise_floor, column 'seed2': missing answers: 1 in one batch"):
        judged(tmp_path, NOISY, table)


@pytest.mark.parametrize("name", ["new", "old", "y", "id"])
def test_the_noise_of_retraining_is_not_measured_on_what_is_judged(tmp_path, name):
    with pytest.raises(UsageError, match="are the same column"):
        judged(tmp_path, NOISY.replace("seed2", name), noisy())


def test_a_column_of_retrainings_that_is_not_there_is_named(tmp_path):
    table = noisy()
    del table["seed2"]
    with pytest.raises(EvidenceError, match="seed2"):
        judged(tmp_path, NOISY, table)


# clusters and weights


CLUSTERED = "holdout: {id: id, label: y, cluster: user}\nrules: [{id: r, rate: nfr, at_most: 3%}]\n"
WEIGHTED = "holdout: {id: id, label: y, weight: w}\nrules: [{id: r, rate: nfr, at_most: 3%}]\n"


def test_rows_of_one_user_count_less_than_rows_of_many(tmp_path):
    own = judged(tmp_path, CLUSTERED, data(user=list(range(400))))
    assert own.allowed
    shared = judged(tmp_path, CLUSTERED, data(user=[i // 20 for i in range(400)]))
    assert shared.verdict is Verdict.INCONCLUSIVE
    assert only(shared, "r").bound > only(own, "r").bound
    few = judged(tmp_path, CLUSTERED.replace("3%", "99%"), data(user=[i // 200 for i in range(400)]))
    assert few.verdict is Verdict.INCONCLUSIVE


def test_a_heavy_flip_weighs_more(tmp_path):
    plain = judged(tmp_path, WEIGHTED, data(w=[2.5] * 400))
    assert only(plain, "r").estimate == pytest.approx(0.01)
    assert plain.allowed
    heavy = judged(tmp_path, WEIGHTED, data(w=[10.0] * 4 + [1.0] * 396))
    assert only(heavy, "r").estimate == pytest.approx(40 / 436)
    assert heavy.verdict is not Verdict.ALLOW


@pytest.mark.parametrize(
    ("policy", "column", "found"),
    [
        (CLUSTERED, None, "user"),
        (CLUSTERED, ["u"] * 7 + [None] * 393, "393 rows of one batch are in no cluster, first at row 7"),
        (CLUSTERED, np.array([1.0] * 7 + [np.nan] * 393), "393 rows of one batch are in no cluster, first at row 7"),
        (WEIGHTED, None, "column 'w'"),
        (
            WEIGHTED,
            [1.0] * 7 + [None] * 393,
            "393 weights of one batch are missing, not finite or not above 0, first at row 7",
        ),
        (WEIGHTED, [1.0] * 7 + [-1.0] * 393, "not above 0, first at row 7"),
        (WEIGHTED, [1.0] * 7 + [0.0] * 393, "not above 0, first at row 7"),
        (WEIGHTED, [1.0] * 7 + [float("inf")] * 393, "not finite"),
        (WEIGHTED, ["1"] * 400, "weights are numbers, not string"),
    ],
)
def test_a_cluster_or_weight_that_is_missing_or_makes_no_sense_is_an_error(tmp_path, policy, column, found):
    name = "user" if policy is CLUSTERED else "w"
    with pytest.raises(EvidenceError) as error:
        judged(tmp_path, policy, data() if column is None else data(**{name: column}))
    assert found in said(error)


# environments


STAGED = "rules: [{id: r, rate: nfr, at_most: 0.5%}]\nenvironments: {staging: {rules: [{id: r, at_most: 9%}]}}\n"


def test_the_environment_is_judged_for_and_recorded(tmp_path):
    assert judged(tmp_path, STAGED).verdict is Verdict.INCONCLUSIVE
    found = judged(tmp_path, STAGED, environment="staging")
    assert (found.verdict, found.decision.target.environment) == (Verdict.ALLOW, "staging")
    with pytest.raises(UsageError, match="no environment 'prod'; one of: staging"):
        judged(tmp_path, STAGED, environment="prod")


def test_a_policy_that_was_read_for_another_environment_is_not_taken_for_this_one(tmp_path):
    (tmp_path / "p.yaml").write_text(HEAD + STAGED)
    pq.write_table(pa.table(data()), tmp_path / "d.parquet")
    options: dict[str, Any] = {"label": "y", "incumbent": "old", "candidate": "new", "as_of": AS_OF}
    read = load_policy(tmp_path / "p.yaml", "staging")
    assert gate.compare(tmp_path / "d.parquet", policy=read, **options).allowed
    assert gate.compare(tmp_path / "d.parquet", policy=read, environment="staging", **options).allowed
    with pytest.raises(UsageError, match="was read for the environment none, not for 'staging'"):
        gate.compare(tmp_path / "d.parquet", policy=load_policy(tmp_path / "p.yaml"), environment="staging", **options)


def test_a_contract_is_held_by_compare_too(tmp_path):
    import json

    expected = {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "y", "value_set": ["a"]}}
    (tmp_path / "suite.json").write_text(json.dumps({"name": "labels", "expectations": [expected]}))
    (tmp_path / "p.yaml").write_text(
        "version: 1\nname: p\nholdout: {label: y, contract: suite.json}\nrules:\n  - {id: few, rate: nfr, at_most: 5%}\n"
    )
    table = {"y": ["a"] * 100, "old": ["a"] * 100, "new": ["a"] * 100}
    met = gate.compare(table, policy=tmp_path / "p.yaml", incumbent="old", candidate="new")
    assert (met.decision.contract.status, met.decision.contract.suite) == ("met", "labels")
    with pytest.raises(EvidenceError, match="expect_column_values_to_be_in_set .* broken"):
        gate.compare({**table, "y": ["a"] * 99 + ["b"]}, policy=tmp_path / "p.yaml", incumbent="old", candidate="new")


def test_the_files_that_list_rows_are_digested_into_the_decision(tmp_path):
    (tmp_path / "golden.csv").write_text("id\nr1\nr2\n")
    (tmp_path / "p.yaml").write_text(
        "version: 1\nname: p\nholdout: {id: id, label: y}\nrules:\n"
        "  - {id: golden, must_not_regress: golden.csv}\n  - {id: few, rate: nfr, at_most: 5%}\n"
    )
    table = {"id": [f"r{i}" for i in range(100)], "y": ["a"] * 100, "old": ["a"] * 100, "new": ["a"] * 100}

    def files():
        return gate.compare(
            table, policy=tmp_path / "p.yaml", incumbent="old", candidate="new"
        ).decision.provenance.files

    before = files()
    assert list(before) == [str(tmp_path / "golden.csv")]
    (tmp_path / "golden.csv").write_text("id\nr1\nr3\n")
    assert files() != before


def test_what_is_no_feature_is_offered_to_a_model_only_by_name(tmp_path):
    from gate.data.tables import open_table
    from gate.engines.local import ModelInfo
    from gate.policy.load import parse_policy
    from gate.stories.holdout import HeldOut
    from gate.stories.scoring import Reader

    rules = parse_policy(
        "version: 1\nname: p\n"
        "holdout: {id: id, label: y, cluster: user, weight: w, noise_floor: [again], slices: {site: {column: site}}}\n"
        "rules:\n  - {id: golden, must_not_regress: {column: gold}}\n  - {id: few, rate: excess_nfr, at_most: 5%}\n"
    )
    row = {"id": [1], "y": ["a"], "user": ["u"], "w": [1.0], "again": ["a"], "gold": [True], "site": ["s"], "x": [0.5]}
    table = open_table(pa.table(row))

    def offered(columns):
        reader = Reader(table, HeldOut(rules), (ModelInfo("candidate", None, columns, {}),), 10)
        return [batch.schema.names for _, batch in reader.features()]

    assert offered(None) == [["site", "x"]]
    assert offered(("x", "user")) == [["user", "site", "x"]]


# what a sceptic found


def _judge(tmp_path: Path, text: str, table: dict[str, Any], **more: Any) -> Judgement:
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\nname: p\n" + text)
    return gate.compare(table, policy=path, label="y", incumbent="o", candidate="c", **more)


Y = ["a", "b"] * 150


def test_noise_that_names_classes_otherwise_excuses_nobody(tmp_path):
    rules = "holdout: {noise_floor: [r]}\nrules:\n  - {id: n, rate: excess_nfr, at_most: 1%}\n"
    table = {"y": Y, "o": Y, "c": ["b", "a"] * 120 + ["a", "b"] * 30, "r": ["A", "B"] * 150}
    with pytest.raises(EvidenceError, match="column 'r': it is never right"):
        _judge(tmp_path, rules, table)
    assert _judge(tmp_path, rules, {**table, "r": Y}).verdict is Verdict.REFUSE


def test_an_incumbent_that_answers_outside_the_declared_classes_is_an_error(tmp_path):
    rules = "task: {classes: [a, b]}\nrules:\n  - {id: n, rate: nfr, at_most: 5%}\n"
    with pytest.raises(EvidenceError, match="incumbent model: it answers 'b ', which is not among"):
        _judge(tmp_path, rules, {"y": Y, "o": ["a", "b "] * 150, "c": ["a"] * 300})


def test_the_same_file_twice_is_no_comparison(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("id,y,p\n" + "".join(f"{i},{'ab'[i % 2]},a\n" for i in range(300)))
    (tmp_path / "p.yaml").write_text("version: 1\nname: p\nrules:\n  - {id: n, rate: nfr, at_most: 5%}\n")
    with pytest.raises(EvidenceError, match="hold the same rows and answers"):
        gate.compare(
            incumbent_predictions=path, candidate_predictions=path, id="id", label="y", prediction="p",
            policy=tmp_path / "p.yaml",
        )  # fmt: skip


NFR = "rules:\n  - {id: n, rate: nfr, at_most: 5%}\n"


def test_masked_answers_are_missing_answers(tmp_path):
    hidden = np.ma.masked_array(np.array(Y), mask=[True] * 50 + [False] * 250)
    with pytest.raises(EvidenceError, match="missing"):
        _judge(tmp_path, NFR, {"y": Y, "o": Y, "c": hidden})


@pytest.mark.parametrize("column", [["a", 1] * 150, [["a"], 1] * 150])
def test_a_column_that_is_none_is_a_usage_error(tmp_path, column):
    with pytest.raises(UsageError, match="'c' is no column"):
        _judge(tmp_path, NFR, {"y": Y, "o": Y, "c": column})


def test_a_batch_has_rows(tmp_path):
    with pytest.raises(UsageError, match="a batch has at least one row, not -1"):
        _judge(tmp_path, NFR, {"y": Y, "o": Y, "c": Y}, rows_per_batch=-1)


def test_two_pairs_never_share_a_cell(tmp_path):
    rules = "holdout: {slices: {s: {columns: [one, two]}}}\n" + NFR
    one, two = ["x & y"] * 150 + ["x"] * 150, ["z"] * 150 + ["y & z"] * 150
    judged = _judge(tmp_path, rules, {"y": Y, "o": Y, "c": Y, "one": one, "two": two})
    cells = {cell.value: cell.counts.n for cell in judged.decision.cells if cell.by == "s"}
    assert cells == {"x && y & z": 150, "x & y && z": 150}


@pytest.mark.parametrize("kind", [pa.dictionary(pa.int32(), pa.string()), pa.string_view(), pa.large_string()])
def test_ids_are_joined_however_they_are_encoded(tmp_path, kind):
    (tmp_path / "p.yaml").write_text("version: 1\nname: p\n" + NFR)
    ids = pa.array([f"r{i}" for i in range(300)]).cast(pa.string())
    coded = ids.dictionary_encode() if pa.types.is_dictionary(kind) else ids.cast(kind)
    here = pa.table({"id": coded, "y": Y, "p": Y})
    there = pa.table({"id": coded, "p": [*Y[:-1], "a"]})
    judged = gate.compare(
        incumbent_predictions=here, candidate_predictions=there, id="id", label="y", prediction="p",
        policy=tmp_path / "p.yaml",
    )  # fmt: skip
    assert judged.decision.counts.negative == 1


@pytest.mark.parametrize("weight", [1e13, 1e-13])
def test_absurd_weights_are_an_error_that_names_the_row(tmp_path, weight):
    with pytest.raises(EvidenceError, match="beyond 1e-12 to 1e12, first at row 0"):
        _judge(tmp_path, "holdout: {weight: w}\n" + NFR, {"y": Y, "o": Y, "c": Y, "w": [weight] * 300})


def test_clusters_of_lists_are_an_error(tmp_path):
    table = pa.table({"y": Y, "o": Y, "c": Y, "k": [[1]] * 300})
    with pytest.raises(EvidenceError, match="column 'k': it is list"):
        _judge(tmp_path, "holdout: {cluster: k}\n" + NFR, table)


def test_missing_numbers_among_a_models_answers_are_an_error(tmp_path):
    table = pa.table(
        {"y": [0, 1] * 150, "o": [[True, False], [False, True]] * 150, "c": [[True, None], [False, True]] * 150}
    )
    with pytest.raises(EvidenceError, match="missing"):
        _judge(tmp_path, NFR, table)


def test_errors_too_large_to_measure_are_refused(tmp_path):
    far = 1.7e308
    table = {"y": [-far] * 300, "o": [-far] * 300, "c": [far] * 300}
    with pytest.raises(EvidenceError, match="apart"):
        _judge(tmp_path, "task: {kind: regression, tolerance: {absolute: 1}}\n" + NFR, table)
