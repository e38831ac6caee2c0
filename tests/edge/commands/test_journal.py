from __future__ import annotations

import sqlite3
import stat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.commands.journal import UNLOCKING, Entry, Journal, lasting
from edge.errors import OutboxError
from tests.edge.commands.support import NOW, Time

REPLY = {"request_id": "a", "ok": True, "result": {"id": "1", "identity": {"name": "Ada"}, "revision": 3}}


def entry(request_id: str = "a", *, signer: str = "owner", at: float = NOW, digest: bytes = b"1") -> Entry:
    return Entry(signer, request_id, at, digest)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite"


def test_what_was_begun_and_answered_is_known_over_a_restart(path: Path) -> None:
    with_reply, running = entry("a"), entry("b")
    journal = Journal(path)
    assert journal.before(with_reply) is None
    journal.remember(with_reply, forget_before=NOW - 30)
    journal.remember(running, forget_before=NOW - 30)
    journal.answered(with_reply, REPLY)
    known, begun = journal.before(with_reply), journal.before(running)
    assert known is not None
    assert (known.is_same, known.reply) == (True, REPLY)
    assert begun is not None
    assert (begun.reply, begun.is_running) == (None, True)
    journal.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = Journal(path)
    known, begun = again.before(with_reply), again.before(running)
    assert known is not None
    assert known.reply == {"request_id": "a", "ok": True, "result": {"id": "1", "revision": 3, "repeated": True}}
    assert begun is not None
    assert (begun.reply, begun.is_running) == (None, False)
    again.close()


def test_no_name_goes_to_the_disk(path: Path) -> None:
    journal = Journal(path)
    journal.remember(entry(), forget_before=0)
    error = {"code": "refused", "message": "nobody called Ada"}
    journal.answered(entry(), {**REPLY, "ok": False, "error": error})
    journal.close()
    assert b"Ada" not in path.read_bytes()
    assert lasting({"request_id": "a", "ok": False, "error": error})["error"]["code"] == "refused"


def test_ids_belong_to_their_signer_and_to_what_they_said(path: Path) -> None:
    journal = Journal(path)
    journal.remember(entry(signer=""), forget_before=0)
    assert journal.before(entry(signer="owner")) is None
    journal.remember(entry(signer="owner"), forget_before=0)
    other = journal.before(entry(signer="owner", digest=b"2"))
    assert other is not None
    assert not other.is_same
    journal.close()


def test_what_is_forgotten_can_never_be_new_again(path: Path) -> None:
    journal = Journal(path)
    journal.remember(entry("a", at=NOW), forget_before=NOW - 30)
    journal.remember(entry("s", signer="", at=NOW), forget_before=NOW - 30)
    assert journal.floor("owner") == float("-inf")
    journal.remember(entry("b", at=NOW + 100), forget_before=NOW + 70)
    assert journal.before(entry("a")) is None
    assert journal.floor("owner") == NOW
    # Anybody can make a new one of those: a floor would only keep others out.
    assert journal.floor("") == float("-inf")
    assert journal.floor("guest") == float("-inf")
    journal.remember(entry("c", at=NOW - 500), forget_before=NOW - 600)
    journal.remember(entry("d", at=NOW), forget_before=NOW - 400)
    assert journal.floor("owner") == NOW
    journal.close()


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-4000, 4000), st.floats(-100, 100)), max_size=25))
def test_no_request_is_new_twice_whatever_the_clock_does(steps: list[tuple[int, float, float]]) -> None:
    """As the gate uses it: fresh by the clock, above the floor, and not known."""
    with TemporaryDirectory() as folder:
        check_replays(Journal(Path(folder) / "journal.sqlite"), steps)


def check_replays(journal: Journal, steps: list[tuple[int, float, float]]) -> None:
    window, obeyed = 30.0, set()
    for number, clock, age in [*steps, *steps]:
        issued = round(clock - age)
        one = entry(f"r{number}-{issued}", at=issued)
        if not -window <= clock - issued <= window or issued <= journal.floor("owner") or journal.before(one):
            continue
        assert one.request_id not in obeyed
        obeyed.add(one.request_id)
        journal.remember(one, forget_before=clock - window)
    assert obeyed or not steps or all(abs(age) >= window - 1 for _, _, age in steps)
    journal.close()


def test_switches_last(path: Path) -> None:
    journal = Journal(path)
    assert journal.is_on(UNLOCKING)
    journal.set_switch(UNLOCKING, is_on=False)
    journal.close()
    again = Journal(path)
    assert not again.is_on(UNLOCKING)
    again.set_switch(UNLOCKING, is_on=True)
    assert again.is_on(UNLOCKING)
    again.close()


@pytest.mark.parametrize("damage", ["garbage", "middle"])
def test_a_damaged_journal_is_moved_aside_and_nothing_old_counts(path: Path, damage: str) -> None:
    journal = Journal(path)
    for number in range(120):
        journal.remember(entry(f"a{number}"), forget_before=0)
    journal.close()
    data = bytearray(path.read_bytes())
    if damage == "garbage":
        data[:] = b"no database at all, but long enough to be one" * 100
    else:
        data[4096 : 2 * 4096] = b"\xa5" * 4096
    path.write_bytes(data)
    again = Journal(path, clock=Time().clock)
    assert again.was_damaged
    assert not again.is_on(UNLOCKING)
    assert again.floor("owner") == again.floor("guest") == NOW
    assert len(list(path.parent.glob("*.corrupt-*"))) == 1
    again.close()
    third = Journal(path)
    assert (third.was_damaged, third.is_on(UNLOCKING)) == (False, False)
    third.close()


def test_what_must_not_be_touched_is_not(path: Path) -> None:
    path.parent.mkdir()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE mine (x)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(OutboxError, match="another program's database"):
        Journal(path)
    assert path.read_bytes() == before
    path.unlink()
    Journal(path).close()
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(OutboxError, match="version 99, from a newer ostiary"):
        Journal(path)


def test_one_process_at_a_time(path: Path) -> None:
    journal = Journal(path)
    journal.set_switch(UNLOCKING, is_on=True)
    with pytest.raises(OutboxError, match="held by another process"):
        Journal(path)
    journal.close()


def test_a_disk_that_takes_nothing_is_said_so(path: Path) -> None:
    journal = Journal(path)
    journal._db.execute("PRAGMA query_only = ON")
    changes: list[Any] = [
        lambda: journal.set_switch(UNLOCKING, is_on=False),
        lambda: journal.remember(entry(), forget_before=0),
        lambda: journal.answered(entry(), REPLY),
    ]
    for change in changes:
        with pytest.raises(OutboxError, match="cannot be used"):
            change()
    assert journal.is_on(UNLOCKING)
    journal.close()


def test_it_stays_small(path: Path) -> None:
    journal = Journal(path)
    for number in range(80):
        journal.remember(entry(f"r{number}", at=NOW + number), forget_before=NOW + number - 30)
        journal.answered(entry(f"r{number}", at=NOW + number), REPLY)
    assert journal._db.execute("SELECT count(*) FROM requests").fetchone()[0] <= 31
    assert len(journal._recent) <= 64
    journal.close()
