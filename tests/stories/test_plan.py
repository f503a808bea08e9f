"""`gate plan`: how many rows it takes, by the numbers of DEFINITIONS, and what the rows that there are can certify."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from gate.cli.app import run
from gate.errors import EvidenceError, UsageError
from gate.policy.load import parse_policy
from gate.stories.plan import FLIPS, plan_limit, plan_policy

# DEFINITIONS, "Size of the held-out set": smallest n that certifies the limit at 95 % when k flips are seen.
SIZES = {
    "5%": (59, 93, 124, 208, 336),
    "2%": (149, 236, 313, 523, 845),
    "1%": (299, 473, 628, 1049, 1693),
    "0.5%": (598, 947, 1258, 2100, 3389),
    "0.1%": (2995, 4742, 6294, 10511, 16959),
}
# The same, for 80 % power: (limit, true rate) -> smallest n, and n from which the power stays above.
POWERS = {("1%", "0.5%"): (1941, 2185), ("1%", "0.2%"): (628, 773), ("5%", "4%"): (2698, 2869)}


@pytest.fixture
def planned(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def plan(*arguments: object) -> Any:
        assert run(["plan", *map(str, arguments), "--format", "json"]) == 0
        return json.loads(capsys.readouterr().out)

    return plan


@pytest.mark.parametrize("limit", SIZES)
def test_the_command_gives_the_25_sizes_of_the_definitions(planned: Callable[..., Any], limit: str) -> None:
    found = planned("--limit", limit)
    assert found["flips"] == [0, 1, 2, 5, 10]
    assert tuple(found["rows"]) == SIZES[limit]


@pytest.mark.parametrize("limit, expected", POWERS)
def test_the_command_gives_the_power_of_the_definitions(planned: Callable[..., Any], limit: str, expected: str) -> None:
    power = planned("--limit", limit, "--expected", expected)["power"]
    assert (power["first"], power["always"]) == POWERS[limit, expected]


@pytest.mark.parametrize("limit", SIZES)
def test_the_text_shows_the_same_sizes_in_80_columns(limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "--limit", limit, "--classes", "1000"]) == 0
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if "rows needed" in line)
    assert row.split()[2:] == [f"{n:,}" for n in SIZES[limit]]
    assert max(map(len, lines)) <= 80


def test_all_classes_pass_together_with_the_power_asked_for() -> None:
    found = plan_limit(0.05, expected=0.01, classes=10)
    assert found.power_of_all is not None and found.power is not None
    n = found.power_of_all.first
    most = max(k for k in range(n) if stats.beta.ppf(0.95, k + 1, n - k) <= 0.05)
    assert stats.binom.cdf(most, n, 0.01) ** 10 >= 0.8
    assert n > found.power.first


def test_an_expected_rate_next_to_the_limit_takes_millions_of_rows_and_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert plan_limit(0.01, expected=0.009999).power is None
    assert run(["plan", "--limit", "1%", "--expected", "0.9999%"]) == 0
    assert "it takes millions of rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong, told",
    [
        ({"limit": 0.0}, "--limit"),
        ({"limit": 1.0}, "--limit"),
        ({"limit": 0.01, "expected": 0.01}, "--expected"),
        ({"limit": 0.01, "expected": -0.01}, "--expected"),
        ({"limit": 0.01, "power": 1.0}, "--power"),
        ({"limit": 0.01, "power": 0.0}, "--power"),
        ({"limit": 0.01, "confidence": 1.0}, "--confidence"),
        ({"limit": 0.01, "confidence": 0.4}, "--confidence"),
        ({"limit": 0.01, "classes": 0}, "--classes"),
    ],
)
def test_numbers_out_of_range_name_their_option(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        plan_limit(**wrong)


POLICY = """
version: 1
name: plan
holdout: {label: y, slices: {region: {column: region}}}
rules:
  - {id: few, rate: nfr, at_most: 1%}
  - {id: trust, rate: btc, at_least: 0.99}
  - {id: classes, rate: nfr, by: class, at_most: 3%, at_least_n: 150, overrides: [{cell: dog, at_most: 5%}]}
  - {id: change, rate: error_rate_change, at_most: 0.5%}
  - {id: better, rate: error_rate_change, at_most: 0%}
  - {id: chance, rate: relative_nfr, at_most: 0.3}
  - {id: cost, net_cost: {negative: [{label: dog, output: cat, cost: 10}]}, at_most: 100}
"""
ONE_RULE = "version: 1\nname: plan\nholdout: {label: y, cluster: user}\nrules: [{id: few, rate: nfr, at_most: 1%}]\n"


def holdout(cats: int = 300, dogs: int = 100) -> pa.Table:
    n = cats + dogs
    return pa.table({"y": ["cat"] * cats + ["dog"] * dogs, "region": ["n", "s"] * (n // 2), "user": np.arange(n) // 4})


def test_each_limit_of_a_policy_has_its_rows() -> None:
    found = plan_policy(parse_policy(POLICY))
    rows = {(need.rule, need.cell): need.rows for need in found.needs}
    assert rows["few", None] == (299, 473, 628, 1049)
    assert rows["trust", None] == rows["few", None]  # of the rows that the incumbent gets right
    assert rows["classes", None] == (150, 157, 208, 348)  # at_least_n asks for more than the limit does
    assert rows["classes", "dog"] == (150, 150, 150, 208)
    assert rows["cost", None] == rows["few", None]  # 100 for 1,000 rows, at 10 a flip: 1 %
    assert rows["better", None] == rows["chance", None] == (None,) * 4
    assert found.depends == ("better", "chance")


def test_the_rows_of_a_change_are_those_from_which_it_passes() -> None:
    from gate.core.counts import FlipCounts
    from gate.core.rates import rate

    [need] = [need for need in plan_policy(parse_policy(POLICY)).needs if need.rule == "change"]
    for flips, rows in zip((0, 1, 2, 5), need.rows, strict=True):
        assert rows is not None
        for n, passes in ((rows, True), (rows - 1, False)):
            counts = FlipCounts(both_right=np.array([n - flips]), negative=np.array([flips]))
            assert bool(rate("error_rate_change").proven(counts, np.array([0.005]), True, 0.95)[0][0]) is passes


def test_looks_make_it_take_more_rows() -> None:
    once = plan_policy(parse_policy(POLICY))
    often = plan_policy(parse_policy(POLICY.replace("rules:", "evidence: {looks: 5}\nrules:")))
    assert often.confidence == pytest.approx(0.99)
    assert often.needs[0].rows[0] == 459 > (once.needs[0].rows[0] or 0)


def test_a_held_out_set_certifies_the_limits_of_the_exact_bound() -> None:
    found = plan_policy(data=holdout(), label="y")
    cells = {(cell.cell.by, cell.cell.value): cell for cell in found.certifies}
    assert {key: cell.rows for key, cell in cells.items()} == {
        ("overall", None): 400, ("class", "cat"): 300, ("class", "dog"): 100,
    }  # fmt: skip
    assert cells["class", "cat"].limits[0] == pytest.approx(0.00994, abs=5e-6)  # DEFINITIONS: 0 of 300
    for flips, limit in zip((0, 1, 2, 5), cells["class", "dog"].limits, strict=True):
        assert limit == pytest.approx(stats.beta.ppf(0.95, flips + 1, 100 - flips))


def test_rows_in_clusters_certify_what_their_clusters_do_and_only_if_nothing_flips() -> None:
    overall = plan_policy(parse_policy(ONE_RULE), data=holdout()).certifies[0]
    assert overall.limits[0] == pytest.approx(1 - 0.05 ** (1 / 100))  # 100 clusters of four
    assert overall.limits[1:] == (None, None, None)


def test_the_data_is_read_as_check_would_read_it(tmp_path: Path) -> None:
    with pytest.raises(
        EvidenceError, match=r"(?s)no column 'y' for the label.*no column 'region' for the slice region"
    ):
        plan_policy(parse_policy(POLICY), data=pa.table({"x": [1]}))
    with pytest.raises(EvidenceError, match="no rows"):
        plan_policy(parse_policy(POLICY), data=holdout(0, 0))
    with pytest.raises(UsageError, match="no label column is named"):
        plan_policy(data=holdout())
    with pytest.raises(UsageError, match="no such"):
        plan_policy(data=tmp_path / "nowhere.csv", label="y")


def test_a_plan_of_nothing_and_two_confidences_are_refused() -> None:
    with pytest.raises(UsageError, match="nothing to plan"):
        plan_policy()
    with pytest.raises(UsageError, match="the policy says how sure to be"):
        plan_policy(parse_policy(POLICY), confidence=0.9)


def test_the_numbers_of_flips_are_those_of_the_definitions() -> None:
    assert FLIPS == (0, 1, 2, 5, 10)
