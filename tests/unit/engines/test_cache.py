"""Answers on disk: found whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gate.engines.answers import ModelInfo
from gate.engines.cache import Asked, Cache
from gate.tasks.batch import Answers

HOLDOUT = "d" * 64
INFO = ModelInfo("incumbent", (0, 1), ("x",), {"python": "3.11.7"}, ("sklearn",), {"device": "cpu"})
ASKED = Asked("a" * 64, "e" * 64, 100, {"sets": False, "threads": 1})
BATCHES = [Answers(pa.array([1, 0, None])), Answers(pa.array([1]))]


def kept(folder: Path, batches: list[Answers] = BATCHES, asked: Asked = ASKED, most: int = 1 << 20) -> Cache:
    cache = Cache.open(folder, most)
    assert cache is not None
    recorder = cache.recorder(asked)
    for batch in batches:
        recorder.add(batch)
    recorder.keep(INFO, ("x",), HOLDOUT)
    return cache


def files_of(cache: Cache) -> list[Path]:
    return [path for path in cache.folder.rglob("*") if path.is_file() and path.name != "secret"]


def test_answers_come_back_as_they_were_given_batch_by_batch(tmp_path: Path) -> None:
    found = kept(tmp_path / "c").find(ASKED, HOLDOUT, "incumbent")
    assert found is not None
    assert [one.values.to_pylist() for one in found.answers()] == [[1, 0, None], [1]]
    assert (found.info, found.offered, found.rows) == (INFO, ("x",), 4)


@pytest.mark.parametrize(
    "values",
    [
        pa.array([0.1, float("nan"), None], pa.float32()),
        pa.array(["ham", "späm", None]),
        pa.array([True, False, None]),
        pa.array([["a", "b"], [], None]),
        pa.FixedSizeListArray.from_arrays(pa.array([0.1, 0.9, float("nan"), 0.2], pa.float32()), 2),
    ],
)
def test_every_form_of_answer_keeps_its_type_and_its_bits(values: pa.Array, tmp_path: Path) -> None:
    found = kept(tmp_path / "c", [Answers(values, ("no", "yes"))]).find(ASKED, HOLDOUT, "incumbent")
    assert found is not None
    (one,) = found.answers()
    assert one.values.type == values.type and one.names == ("no", "yes")
    plain, back = (v.flatten() if hasattr(v, "flatten") else v for v in (values, one.values))
    assert str(plain.to_pylist()) == str(back.to_pylist())


@pytest.mark.parametrize(
    "other",
    [
        Asked("b" * 64, "e" * 64, 100, {"sets": False, "threads": 1}),
        Asked("a" * 64, "f" * 64, 100, {"sets": False, "threads": 1}),
        Asked("a" * 64, "e" * 64, 101, {"sets": False, "threads": 1}),
        Asked("a" * 64, "e" * 64, 100, {"sets": True, "threads": 1}),
        Asked("a" * 64, "e" * 64, 100, {"sets": False, "threads": 2}),
    ],
)
def test_another_model_environment_batch_or_setting_has_no_answers(other: Asked, tmp_path: Path) -> None:
    cache = kept(tmp_path / "c")
    assert cache.any(ASKED) and not cache.any(other)
    assert cache.find(other, HOLDOUT, "incumbent") is None


def test_another_held_out_set_has_no_answers(tmp_path: Path) -> None:
    assert kept(tmp_path / "c").find(ASKED, "0" * 64, "incumbent") is None


@pytest.mark.parametrize("suffix", [".parquet", ".json"])
def test_any_changed_byte_makes_an_entry_nothing_and_takes_it_away(suffix: str, tmp_path: Path) -> None:
    cache = kept(tmp_path / "c")
    (file,) = [path for path in files_of(cache) if path.suffix == suffix]
    whole = file.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 60)):
        cache = kept(tmp_path / "c")
        broken = bytearray(whole)
        broken[place] ^= 1
        file.write_bytes(bytes(broken))
        assert cache.find(ASKED, HOLDOUT, "incumbent") is None, place
        assert not cache.any(ASKED)


def test_a_cut_file_is_no_entry(tmp_path: Path) -> None:
    cache = kept(tmp_path / "c")
    for file in files_of(cache):
        os.truncate(file, file.stat().st_size // 2)
    assert cache.find(ASKED, HOLDOUT, "incumbent") is None


def test_an_entry_of_another_cache_is_foreign_however_well_it_is_made(tmp_path: Path) -> None:
    mine, theirs = kept(tmp_path / "mine"), kept(tmp_path / "theirs", [Answers(pa.array([0, 0, 0, 0]))])
    shutil.rmtree(mine.folder / ASKED.digest)
    shutil.copytree(theirs.folder / ASKED.digest, mine.folder / ASKED.digest)
    assert mine.find(ASKED, HOLDOUT, "incumbent") is None


def test_answers_under_another_name_are_foreign(tmp_path: Path) -> None:
    cache = kept(tmp_path / "c")
    other = Asked("b" * 64, "e" * 64, 100, {"sets": False, "threads": 1})
    shutil.copytree(cache.folder / ASKED.digest, cache.folder / other.digest)
    assert cache.find(other, HOLDOUT, "incumbent") is None


def test_parquet_that_was_replaced_with_its_hash_does_not_pass(tmp_path: Path) -> None:
    cache = kept(tmp_path / "c")
    (answers,) = [path for path in files_of(cache) if path.suffix == ".parquet"]
    (note,) = [path for path in files_of(cache) if path.suffix == ".json"]
    pq.write_table(pa.table({"answer": [0, 0, 0, 0]}), answers)
    from gate.data.digests import file_digest

    note.write_text(json.dumps({**json.loads(note.read_text()), "sha256": file_digest(answers)}))
    assert cache.find(ASKED, HOLDOUT, "incumbent") is None


def test_what_was_longest_not_asked_for_goes_first(tmp_path: Path) -> None:
    cache = kept(tmp_path / "c")
    size = sum(path.stat().st_size for path in files_of(cache))
    others = [Asked(str(number) * 64, "e" * 64, 100) for number in range(4)]
    for place, asked in enumerate(others[:2]):
        kept(tmp_path / "c", asked=asked)
        for note in (cache.folder / asked.digest).glob("*.json"):
            os.utime(note, (place + 1, place + 1))
    assert cache.find(others[0], HOLDOUT, "incumbent") is not None  # asked for just now
    kept(tmp_path / "c", asked=others[2], most=3 * size + size // 2)
    assert [cache.any(asked) for asked in (ASKED, *others)] == [True, True, False, True, False]
    assert not list(cache.folder.glob(".*answers*")), "nothing is left beside the entries"


def test_answers_that_are_too_many_are_not_kept_and_leave_nothing(tmp_path: Path) -> None:
    large = [Answers(pa.array([os.urandom(4000).hex()]))]
    cache = kept(tmp_path / "c", large * 3, most=4000)
    assert not cache.any(ASKED) and files_of(cache) == []


def test_a_recording_that_was_not_finished_leaves_nothing(tmp_path: Path) -> None:
    cache = Cache.open(tmp_path / "c")
    assert cache is not None
    recorder = cache.recorder(ASKED)
    recorder.add(BATCHES[0])
    recorder.discard()
    recorder.keep(INFO, ("x",), HOLDOUT)
    assert not cache.any(ASKED) and files_of(cache) == []


def test_answers_that_change_their_type_are_not_kept(tmp_path: Path) -> None:
    assert not kept(tmp_path / "c", [Answers(pa.array([1])), Answers(pa.array(["1"]))]).any(ASKED)


def test_a_folder_that_others_can_write_to_is_no_cache(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    kept(folder)
    folder.chmod(0o777)
    assert Cache.open(folder) is None


def test_a_place_where_no_folder_can_be_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert Cache.open(tmp_path / "file" / "c") is None


def test_a_damaged_secret_is_no_cache(tmp_path: Path) -> None:
    kept(tmp_path / "c")
    (tmp_path / "c" / "secret").write_bytes(b"short")
    assert Cache.open(tmp_path / "c") is None


def test_nobody_else_can_read_the_secret(tmp_path: Path) -> None:
    kept(tmp_path / "c")
    assert (tmp_path / "c" / "secret").stat().st_mode & 0o077 == 0


def test_what_a_process_that_was_killed_left_half_written_is_taken_away(tmp_path: Path) -> None:
    records = """
        import os, signal, sys
        from pathlib import Path
        import pyarrow as pa
        from gate.engines.cache import Asked, Cache
        from gate.tasks.batch import Answers

        recorder = Cache.open(Path(sys.argv[1])).recorder(Asked("m", "e", 1))
        recorder.add(Answers(pa.array([1])))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(records), str(tmp_path / "c")], check=False)
    (left,) = (tmp_path / "c").glob(".answers-*")
    cache = Cache.open(tmp_path / "c")
    assert cache is not None and not left.exists()
    recorder = cache.recorder(ASKED)
    recorder.add(BATCHES[0])
    (going,) = cache.folder.glob(".answers-*")
    Cache.open(tmp_path / "c")
    assert going.exists(), "its process lives"
    os.utime(going, (1, 1))
    (cache.folder / ".note-of-an-older-gate").write_text("")
    Cache.open(tmp_path / "c")
    assert files_of(cache) == [], "a day is more than any recording takes"
