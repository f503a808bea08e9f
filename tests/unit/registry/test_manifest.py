"""The digest of a model's files sees every change of the files, and nothing else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gate.errors import EvidenceError
from gate.registry.manifest import model_digest, model_files


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "code" / "fraud").mkdir(parents=True)
    (folder / "MLmodel").write_bytes(b"flavors: {}\n")
    (folder / "model.skops").write_bytes(bytes(range(256)))
    (folder / "code" / "fraud" / "features.py").write_bytes(b"WINDOW = 30\n")
    return folder


def test_a_digest_is_64_hex_digits_and_repeats(model: Path) -> None:
    digest = model_digest(model)
    assert len(digest) == 64
    assert int(digest, 16) >= 0
    assert model_digest(model) == digest


def test_a_digest_is_pinned_so_that_recorded_decisions_stay_valid(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_bytes(b"flavors: {}\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "weights").write_bytes(b"\x00\x01")
    # printf '%s\n' '["MLmodel", 12, "7f8f..."]' '["data/weights", 2, "b413..."]' | sha256sum
    assert model_digest(tmp_path) == "17f09f8fa7bbbb166b2b98395c427f91a1223eba1ee2ca2076abbb3dd96920ac"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(position=st.integers(0, 255), bit=st.integers(0, 7))
def test_any_flipped_bit_changes_the_digest(model: Path, position: int, bit: int) -> None:
    before = model_digest(model)
    weights = model / "model.skops"
    content = bytearray(weights.read_bytes())
    content[position] ^= 1 << bit
    weights.write_bytes(content)
    after = model_digest(model)
    content[position] ^= 1 << bit
    weights.write_bytes(content)
    assert after != before
    assert model_digest(model) == before


def test_a_renamed_a_moved_an_added_and_a_removed_file_change_the_digest(model: Path) -> None:
    seen = {model_digest(model)}
    (model / "model.skops").rename(model / "model.pkl")
    seen.add(model_digest(model))
    (model / "model.pkl").rename(model / "code" / "model.pkl")
    seen.add(model_digest(model))
    (model / "empty").touch()
    seen.add(model_digest(model))
    (model / "code" / "model.pkl").unlink()
    seen.add(model_digest(model))
    assert len(seen) == 5


def test_two_files_that_swap_their_contents_change_the_digest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    before = model_digest(tmp_path)
    (tmp_path / "a").write_bytes(b"2")
    (tmp_path / "b").write_bytes(b"1")
    assert model_digest(tmp_path) != before


def test_a_name_with_a_line_break_cannot_pass_for_two_files(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
    (one / "a\nb").write_bytes(b"")
    (two / "a").write_bytes(b"")
    (two / "b").write_bytes(b"")
    assert model_digest(one) != model_digest(two)


def test_what_a_download_writes_does_not_change_the_digest(model: Path) -> None:
    before = model_digest(model)
    (model / "registered_model_meta").write_bytes(b"model_name: fraud\nmodel_version: 7\n")
    (model / "logs").mkdir()
    assert model_digest(model) == before


def test_byte_code_counts_since_python_runs_it_in_place_of_the_source(model: Path) -> None:
    before = model_digest(model)
    (model / "code" / "fraud" / "__pycache__").mkdir()
    (model / "code" / "fraud" / "__pycache__" / "features.cpython-311.pyc").write_bytes(b"\x00")
    assert model_digest(model) != before


def test_only_the_note_at_the_top_is_left_out(model: Path) -> None:
    before = model_digest(model)
    (model / "code" / "registered_model_meta").write_bytes(b"")
    (model / "__pycache__").write_bytes(b"a file of that name is a file")
    assert model_digest(model) != before
    assert [entry.path for entry in model_files(model)] == [
        "MLmodel",
        "__pycache__",
        "code/fraud/features.py",
        "code/registered_model_meta",
        "model.skops",
    ]


def test_a_copy_elsewhere_with_other_times_has_the_same_digest(model: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(model, tmp_path / "elsewhere" / "copy")
    os.utime(copy / "MLmodel", (0, 0))
    (copy / "MLmodel").chmod(0o600)
    assert model_digest(copy) == model_digest(model)


def test_a_link_inside_the_folder_counts_as_what_it_points_to(model: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(model, tmp_path / "copy")
    shutil.copytree(copy / "code", copy / "linked")
    (copy / "same").write_bytes((copy / "MLmodel").read_bytes())
    (model / "linked").symlink_to(model / "code", target_is_directory=True)
    (model / "same").symlink_to("MLmodel")
    assert model_digest(model) == model_digest(copy)


@pytest.mark.parametrize(
    ("target", "found"),
    [("../outside", "leaves the model's folder"), ("nowhere", "leads nowhere"), ("..", "leaves the model's folder")],
)
def test_a_link_that_leaves_the_folder_or_leads_nowhere_is_an_error(model: Path, target: str, found: str) -> None:
    (model.parent / "outside").write_bytes(b"changes unseen")
    (model / "link").symlink_to(target)
    with pytest.raises(EvidenceError, match=found):
        model_digest(model)


def test_links_that_go_round_in_circles_are_an_error(model: Path) -> None:
    (model / "code" / "up").symlink_to(model / "code", target_is_directory=True)
    with pytest.raises(EvidenceError, match="leads back"):
        model_digest(model)


def test_a_link_to_itself_is_an_error(model: Path) -> None:
    (model / "self").symlink_to("self")
    with pytest.raises(EvidenceError, match="leads nowhere"):
        model_digest(model)


def test_a_pipe_is_an_error_and_is_not_waited_for(model: Path) -> None:
    os.mkfifo(model / "pipe")
    with pytest.raises(EvidenceError, match="neither a file nor a folder"):
        model_digest(model)


def test_a_folder_that_is_absent_or_has_no_files_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="no such folder"):
        model_digest(tmp_path / "absent")
    (tmp_path / "empty" / "__pycache__").mkdir(parents=True)
    (tmp_path / "empty" / "registered_model_meta").touch()
    with pytest.raises(EvidenceError, match="no files"):
        model_digest(tmp_path / "empty")
