from __future__ import annotations

import logging
import math
import multiprocessing
import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.datatypes import Box, Identity
from edge.errors import OutboxError
from edge.event import Event
from edge.outbox import Bounds, Outbox, decode_event, encode_event
from tests.support.events import ADA, make_event


@contextmanager
def opened(path: Path, *, max_events: int = 1000) -> Iterator[Outbox]:
    outbox = Outbox(path, bounds=Bounds(max_events))
    try:
        yield outbox
    finally:
        outbox.close()


def seqs(outbox: Outbox) -> list[int]:
    return [one.seq for one in outbox.pending(limit=10_000)]


def test_events_are_counted_without_a_gap_across_restarts(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    given_seqs = []
    for _ in range(3):
        with opened(path) as outbox:
            given_seqs += [outbox.append(make_event()).seq for _ in range(4)]
            for seq in given_seqs[-4:]:
                outbox.acknowledge(seq)
    assert given_seqs == list(range(1, 13))


def test_what_is_not_acknowledged_is_still_there_after_a_restart(tmp_path: Path) -> None:
    events = [make_event(), make_event(identity=None), make_event(identity=Identity("x", "Zoë \x1b[31m 火"))]
    with opened(tmp_path / "o.sqlite") as outbox:
        stored = [outbox.append(event) for event in events]
        outbox.acknowledge(2)
    with opened(tmp_path / "o.sqlite") as outbox:
        assert [one.event for one in outbox.pending()] == [stored[0], stored[2]]
        assert outbox.depth == 2


def test_the_oldest_are_dropped_above_the_bound_and_counted_for_ever(tmp_path: Path) -> None:
    with opened(tmp_path / "o.sqlite", max_events=5) as outbox:
        for _ in range(8):
            outbox.append(make_event())
        assert (seqs(outbox), outbox.depth, outbox.dropped) == ([4, 5, 6, 7, 8], 5, 3)
    with opened(tmp_path / "o.sqlite", max_events=2) as outbox:
        assert outbox.append(make_event()).seq == 9
        assert (seqs(outbox), outbox.depth, outbox.dropped) == ([8, 9], 2, 7)


def test_pending_pages_in_order(tmp_path: Path) -> None:
    with opened(tmp_path / "o.sqlite") as outbox:
        for _ in range(7):
            outbox.append(make_event())
        assert [one.seq for one in outbox.pending(limit=3)] == [1, 2, 3]
        assert [one.seq for one in outbox.pending(after=3, limit=3)] == [4, 5, 6]
        assert [one.seq for one in outbox.pending(after=6, limit=3)] == [7]


def test_an_unknown_acknowledgement_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "o.sqlite") as outbox:
        outbox.append(make_event())
        outbox.acknowledge(99)
        outbox.acknowledge(99)
        assert (seqs(outbox), outbox.depth) == ([1], 1)


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "o.sqlite"
    with opened(path) as outbox:
        outbox.append(make_event())
        modes = {one.name: one.stat().st_mode & 0o777 for one in path.parent.iterdir()}
    assert modes["o.sqlite"] == 0o600
    assert set(modes.values()) == {0o600}
    path.chmod(0o644)
    with opened(path):
        assert path.stat().st_mode & 0o777 == 0o600


def test_threads_may_append_and_acknowledge_at_once(tmp_path: Path) -> None:
    with opened(tmp_path / "o.sqlite") as outbox:
        found: list[int] = []

        def work() -> None:
            for index in range(15):
                seq = outbox.append(make_event()).seq
                found.append(seq)
                if index % 3 == 0:
                    outbox.acknowledge(seq)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found) == list(range(1, 61))
        assert outbox.depth == len(seqs(outbox)) == 40


def append_and_die(path: Path, count: int) -> None:
    outbox = Outbox(path)
    for _ in range(count):
        outbox.append(make_event())
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    path = tmp_path / "o.sqlite"
    process = multiprocessing.get_context("spawn").Process(target=append_and_die, args=(path, 6))
    process.start()
    process.join(60)
    assert process.exitcode == -9
    with opened(path) as outbox:
        assert seqs(outbox) == [1, 2, 3, 4, 5, 6]
        assert outbox.append(make_event()).seq == 7


def test_a_second_owner_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "o.sqlite"
    with opened(path), pytest.raises(OutboxError, match="held by another process"):
        Outbox(path)


def garbage(path: Path) -> None:
    path.write_bytes(b"not a database at all" * 400)


def damaged_page(path: Path) -> None:
    with path.open("r+b") as handle:
        handle.seek(4096 + 5)
        handle.write(b"\xff" * 4000)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:6000])


@pytest.mark.parametrize("damage", [garbage, damaged_page, cut])
def test_a_corrupt_file_is_moved_aside_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    path = tmp_path / "outbox.sqlite"
    with opened(path) as outbox:
        for _ in range(3):
            outbox.append(make_event())
    damage(path)
    broken = path.read_bytes()
    with caplog.at_level(logging.ERROR), opened(path) as outbox:
        outbox.append(make_event())
        assert outbox.depth == 1
    aside = [one for one in tmp_path.iterdir() if one.name.startswith("outbox.sqlite.corrupt-")]
    assert broken in [one.read_bytes() for one in aside]
    assert "corrupt outbox" in caplog.text


def test_seq_continues_from_what_a_corrupt_file_still_tells(tmp_path: Path) -> None:
    path = tmp_path / "o.sqlite"
    with opened(path) as outbox:
        for _ in range(200):
            outbox.append(make_event())
    with sqlite3.connect(path) as db:
        root = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events'").fetchone()[0]
    db.close()
    with path.open("r+b") as handle:
        handle.seek((root - 1) * 4096)
        handle.write(b"\xff" * 4096)
    with opened(path) as outbox:
        assert outbox.append(make_event()).seq == 201


def test_a_file_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "o.sqlite"
    with opened(path):
        pass
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 9")
    db.close()
    before = path.read_bytes()
    with pytest.raises(OutboxError, match="outbox of version 9, from a newer ostiary") as caught:
        Outbox(path)
    assert caught.value.exit_code == 4
    assert path.read_bytes() == before


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "gallery.sqlite"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE people (name TEXT)")
    db.commit()
    db.close()
    with pytest.raises(OutboxError, match="another program's database"):
        Outbox(path)
    db = sqlite3.connect(path)
    assert [row[0] for row in db.execute("SELECT name FROM sqlite_master")] == ["people"]
    db.close()


def test_a_path_that_cannot_be_written_is_an_error_with_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(OutboxError, match=r"outbox\.file"):
        Outbox(tmp_path / "file" / "o.sqlite")
    with pytest.raises(OutboxError, match="cannot be opened"):
        Outbox(tmp_path)


def test_a_row_that_cannot_be_read_is_passed_over_told_once_and_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "o.sqlite"
    with opened(path) as outbox:
        for _ in range(3):
            outbox.append(make_event())
    db = sqlite3.connect(path)
    db.execute("UPDATE events SET event = '{\"decision\": 3}' WHERE seq = 2")
    db.commit()
    db.close()
    with opened(path) as outbox:
        for _ in range(2):
            assert seqs(outbox) == [1, 3]
        assert (outbox.depth, outbox.unreadable) == (3, 1)
    assert caplog.text.count("event 2 cannot be read") == 1


def test_what_json_cannot_say_is_refused_and_takes_no_seq(tmp_path: Path) -> None:
    with opened(tmp_path / "o.sqlite") as outbox:
        with pytest.raises(ValueError, match="JSON"):
            outbox.append(make_event(similarity=math.nan))
        assert outbox.append(make_event()).seq == 1


finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=("Cs",)))


@given(
    st.builds(
        make_event,
        identity=st.none() | st.builds(Identity, texts, texts) | st.just(ADA),
        similarity=finite,
        margin=finite,
        box=st.builds(Box, finite, finite, finite, finite),
        captured_ns=st.integers(0, 2**62),
    )
)
def test_an_event_comes_back_as_it_was(event: Event) -> None:
    assert decode_event(encode_event(event), 0) == event
