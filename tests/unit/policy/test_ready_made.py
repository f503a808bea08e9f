"""The ready-made policies are sound, and the figures in their comments are true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gate.core.sample_size import most_flips_allowed, rows_for_power, rows_to_certify
from gate.policy.load import load_policy

POLICIES = sorted((Path(__file__).parents[3] / "policies").glob("*.yaml"))


@pytest.mark.parametrize("file", POLICIES, ids=lambda file: file.stem)
def test_a_ready_made_policy_is_sound_and_named_as_its_file(file: Path):
    assert load_policy(file).name == file.stem


def test_there_are_three():
    assert [file.stem for file in POLICIES] == ["balanced", "cautious", "small-holdout"]


def test_the_figures_of_balanced():
    assert rows_to_certify(0.01) == 299
    assert rows_for_power(0.01, 0.005)[1] == 2185


def test_the_figures_of_cautious():
    assert (rows_to_certify(0.03), rows_to_certify(0.03, 3)) == (99, 257)


def test_the_figures_of_small_holdout():
    assert most_flips_allowed(np.array([300.0]), 0.05, 0.95).tolist() == [8.0]
