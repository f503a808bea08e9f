"""Files that arrive slowly, in a real folder, from a real store of artifacts on the disk."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gate.registry.arriving import arriving


@pytest.fixture
def store(tmp_path: Path) -> object:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    (tmp_path / "there" / "data").mkdir(parents=True)
    (tmp_path / "there" / "MLmodel").write_bytes(b"x" * 100)
    (tmp_path / "there" / "data" / "weights").write_bytes(b"x" * 900)
    return get_artifact_repository((tmp_path / "there").as_uri())


def test_bytes_are_told_as_they_arrive_and_how_many_there_will_be(tmp_path: Path, store: object) -> None:
    here = tmp_path / "here"
    here.mkdir()
    told: list[tuple[int, int | None]] = []
    with arriving(here, store, lambda done, total: told.append((done, total))):
        (here / "MLmodel").write_bytes(b"x" * 100)
        time.sleep(0.5)
        (here / "weights").write_bytes(b"x" * 900)
        time.sleep(0.5)
    after = len(told)
    time.sleep(0.4)

    assert told[0] == (100, 1000) and told[-1] == (1000, 1000)
    assert len(told) == after


def test_where_nobody_knows_how_much_there_is_what_has_arrived_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    with arriving(tmp_path, None, lambda done, total: told.append((done, total))):
        (tmp_path / "a").write_bytes(b"x" * 10)
        time.sleep(0.5)

    assert told[-1] == (10, None)


def test_what_goes_wrong_inside_comes_out(tmp_path: Path, store: object) -> None:
    with pytest.raises(ConnectionError), arriving(tmp_path, store, lambda done, total: None):
        raise ConnectionError
