"""The right to move an alias, over the tags of a real registry: one holder at a time, and nobody left behind holds it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from gate.decisions import tags
from gate.decisions.times import stamp
from gate.errors import ConflictError
from gate.registry.claim import LIFETIME, Claim, read_claim, this_host, this_process
from gate.registry.lease import lease, sweep
from gate.registry.registry import Registry

WHERE = "models:/fleet@champion"


class Tags:
    """The tags of the model ``fleet``, as a lease sees them."""

    def __init__(self, uri: str) -> None:
        self.registry = Registry.connect(uri, None)

    def read(self) -> dict[str, str]:
        return dict(self.registry.standing("fleet").tags)

    def write(self, name: str, value: str) -> None:
        self.registry.tag_model("fleet", name, value)

    def remove(self, name: str) -> None:
        self.registry.untag_model("fleet", name)

    def hang(self, claim: Claim) -> None:
        self.write(tags.claim("champion", claim.holder), claim.to_text())


@pytest.fixture
def board(own_registry: str, launch: Callable[..., Any]) -> Tags:
    launch(own_registry, "fleet", 0)
    return Tags(own_registry)


def held(board: Tags, purpose: str = "ours", patience: float = 0.3) -> Any:
    return lease(board, "champion", purpose=purpose, by="ann", where=WHERE, patience=patience)


def elsewhere(**changed: Any) -> Claim:
    """A claim of a machine that nothing is known of."""
    now = datetime.now(timezone.utc)
    claim = Claim("theirs", 1, "theirs", "bob", "far:0", 7, "1", stamp(now), stamp(now + LIFETIME))
    return replace(claim, **changed)


def test_it_is_a_tag_while_it_is_held_and_gone_afterwards(board: Tags) -> None:
    with held(board) as ours:
        (text,) = board.read().values()
        claim = read_claim(text)
        assert (claim, claim.ticket, claim.by) == (ours.claim, 1, "ann")
        assert (claim.host, (claim.pid, claim.started)) == (this_host(), this_process())
        ours.check()
    assert board.read() == {}


def test_it_is_given_back_when_what_is_done_under_it_fails(board: Tags) -> None:
    with pytest.raises(RuntimeError), held(board):
        raise RuntimeError
    assert board.read() == {}


def test_who_comes_second_is_told_who_holds_it_and_until_when(board: Tags) -> None:
    with held(board) as ours:
        with pytest.raises(ConflictError) as caught, held(board, "another"):
            raise AssertionError
        ours.check()
    assert str(caught.value) == (
        f"{WHERE}: @champion is being moved by ann on {this_host().split(':')[0]}, since {ours.claim.since}\n"
        "  -> wait until that is done, then judge again with gate check;"
        f" a claim left behind ends at {ours.claim.until}"
    )


def test_aliases_do_not_get_in_each_others_way(board: Tags) -> None:
    with held(board), lease(board, "champion.2", purpose="another", by="bob", where=WHERE) as other:
        other.check()


def test_of_many_at_once_at_least_one_gets_it_and_never_two(own_registry: str, board: Tags) -> None:
    inside: list[int] = []
    most = wins = 0
    counting = threading.Lock()
    barrier = threading.Barrier(8)

    def claim(number: int) -> None:
        nonlocal most, wins
        own = Tags(own_registry)
        for _ in range(3):
            barrier.wait()
            with suppress(ConflictError), held(own, f"purpose {number}", patience=30.0):
                with counting:
                    inside.append(number)
                    most, wins = max(most, len(inside)), wins + 1
                time.sleep(0.05)
                with counting:
                    inside.remove(number)

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert wins >= 3, "in each of three rounds somebody must get it"
    assert board.read() == {}


def test_another_run_of_the_same_is_waited_for(own_registry: str, board: Tags) -> None:
    order = []

    def first() -> None:
        with held(Tags(own_registry)):
            ready.set()
            time.sleep(0.5)
            order.append("first")

    ready = threading.Event()
    thread = threading.Thread(target=first)
    thread.start()
    ready.wait()
    with held(board, patience=30.0):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


@pytest.mark.parametrize("ticket", [0, 1])
def test_the_same_left_behind_elsewhere_is_taken_over_in_the_end(board: Tags, ticket: int) -> None:
    board.hang(elsewhere(purpose="ours", ticket=ticket))
    began = time.monotonic()
    with held(board, patience=0.5):
        assert time.monotonic() - began > 0.5
        assert [read_claim(text).by for text in board.read().values()] == ["ann"]


def test_what_another_machine_does_is_not_taken_from_it(board: Tags) -> None:
    board.hang(elsewhere())
    with pytest.raises(ConflictError, match="is being moved by bob on far"), held(board, patience=0.0):
        raise AssertionError
    assert list(board.read()) == ["gate.claim.champion.theirs"]


@pytest.mark.parametrize("ago", [timedelta(days=1), -timedelta(days=1)], ids=["too old", "of tomorrow"])
def test_a_claim_ends_by_time(board: Tags, ago: timedelta) -> None:
    since = datetime.now(timezone.utc) - ago
    board.hang(elsewhere(since=stamp(since), until=stamp(since + LIFETIME)))
    with held(board):
        assert len(board.read()) == 1


@pytest.mark.parametrize(
    "changed",
    [{"ticket": 10**4299}, {"holder": "a" * 200}, {"pid": 10**4000}, {"by": "\x1b[31mbob\n::error::x"}],
    ids=["number", "holder", "process", "name"],
)
def test_a_claim_that_no_promoter_writes_stops_nobody(board: Tags, changed: dict[str, Any]) -> None:
    board.write("gate.claim.champion.theirs", elsewhere(**changed).to_text())
    with held(board):
        assert [read_claim(text).by for text in board.read().values()] == ["ann"]


def test_where_there_is_no_number_after_theirs_it_is_a_conflict(board: Tags) -> None:
    board.hang(elsewhere(ticket=10**9))
    with pytest.raises(ConflictError, match="is being moved by bob on far"), held(board):
        raise AssertionError
    assert list(board.read()) == ["gate.claim.champion.theirs"]


def test_a_name_that_would_command_a_terminal_is_written_without_that(board: Tags) -> None:
    with lease(board, "champion", purpose="ours", by="\x1b[31mann\n" + "n" * 400, where=WHERE) as ours:
        assert ours.claim.by.startswith("\ufffd[31mann\ufffdn") and len(ours.claim.by) == 300
        ours.check()


def test_who_draws_a_number_and_never_shows_it_is_not_overtaken(board: Tags) -> None:
    board.hang(elsewhere(ticket=0))
    with pytest.raises(ConflictError, match="bob"), held(board, patience=0.2):
        raise AssertionError


def test_the_claim_of_a_process_that_died_here_is_nothing(board: Tags) -> None:
    told = "from gate.registry.claim import this_process; print(*this_process())"
    pid, started = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, check=True
    ).stdout.split()
    board.hang(elsewhere(host=this_host(), pid=int(pid), started=started))
    with held(board):
        assert len(board.read()) == 1


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not say when a process started")
def test_the_number_of_a_dead_process_may_be_anothers_now(board: Tags) -> None:
    board.hang(elsewhere(host=this_host(), pid=this_process()[0], started="1"))
    with held(board):
        assert len(board.read()) == 1


def test_a_process_that_has_ended_and_was_not_asked_how_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        deadline = time.monotonic() + 30
        claim = elsewhere(host=this_host(), pid=process.pid, started="1")
        while not claim.is_dead() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert claim.is_dead()


def test_whoever_lost_it_finds_out_before_anything_is_done(board: Tags) -> None:
    with held(board) as ours:
        board.remove(tags.claim("champion", ours.claim.holder))
        with pytest.raises(ConflictError, match="lost the right to move the alias"):
            ours.check()


def test_whoever_slept_too_long_finds_out_too(board: Tags) -> None:
    with held(board) as ours:
        slept = replace(ours, taken=ours.taken - LIFETIME.total_seconds())
        with pytest.raises(ConflictError, match="lost the right to move the alias"):
            slept.check()


def test_sweeping_takes_away_what_counts_no_more_and_nothing_else(board: Tags) -> None:
    ended = datetime.now(timezone.utc) - timedelta(hours=1)
    board.hang(elsewhere())
    board.hang(elsewhere(holder="old", since=stamp(ended), until=stamp(ended)))
    board.write("gate.claim.champion.nonsense", "{}")
    board.write("gate.claim.champion.copy", elsewhere().to_text())
    board.write("gate.move.champion.000001", "{}")
    board.write("team", "fraud")

    assert [claim.holder for claim in sweep(board, "champion")] == ["theirs"]
    assert sorted(board.read()) == ["gate.claim.champion.theirs", "gate.move.champion.000001", "team"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        elsewhere().to_text() + " ",
        elsewhere().to_text().replace('"ticket":1', '"ticket":true'),
        elsewhere().to_text().replace('"ticket":1', '"ticket":-1'),
        elsewhere().to_text().replace('"ticket":1', '"number":1,"ticket":1'),
        elsewhere(until="soon").to_text(),
        elsewhere(since="2026-01-01T00:00:00Z", until="2036-01-01T00:00:00Z").to_text(),
        "[" * 100_000,
        elsewhere(ticket=10**9 + 1).to_text(),
        elsewhere().to_text().replace('"ticket":1', f'"ticket":{"9" * 4300}'),
        elsewhere().to_text().replace('"ticket":1', f'"ticket":{"9" * 4400}'),
        elsewhere(pid=10**4000).to_text(),
        elsewhere(pid=-1).to_text(),
        elsewhere(holder="a" * 200).to_text(),
        elsewhere(holder="").to_text(),
        elsewhere(by="a" * 301).to_text(),
        elsewhere(by="\x1b[31mbob").to_text(),
        elsewhere(host="far\n::error::x").to_text(),
        elsewhere(purpose="\u202eours").to_text(),
    ],
)
def test_anything_but_a_claim_as_it_is_written_is_none(text: str) -> None:
    assert read_claim(elsewhere().to_text()) == elsewhere()
    with pytest.raises(ValueError, match="not a claim"):
        read_claim(text)
