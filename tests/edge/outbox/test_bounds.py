"""Count, bytes and age; and an age that no clock can spoil."""

from __future__ import annotations

import logging
import sqlite3
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.outbox import Bounds, Outbox
from edge.timebase import Clock
from tests.edge.outbox.support import HOUR_S, QUICK_FOLDER, Box, seqs
from tests.support.events import make_event


def size_of(path: Path) -> int:
    """By another way than the outbox's own."""
    db = sqlite3.connect(path)
    found = db.execute("SELECT coalesce(sum(length(CAST(event AS BLOB))), 0) FROM events").fetchone()[0]
    db.close()
    return int(found)


def test_bytes_are_bounded_and_counted(tmp_path: Path) -> None:
    path, box = tmp_path / "o.sqlite", Box()
    with box.outbox(path, max_bytes=10_000) as outbox:
        for _ in range(40):
            outbox.append(make_event())
        state = outbox.state()
        assert 8_000 < state["bytes"] <= 10_000
        assert state["dropped_too_large"] == state["dropped"] == 40 - outbox.depth
        assert seqs(outbox) == list(range(41 - outbox.depth, 41))
    assert size_of(path) == state["bytes"]
    with box.outbox(path, max_bytes=10_000) as outbox:
        assert outbox.state() == state
        for seq in seqs(outbox):
            outbox.acknowledge(seq)
        assert (outbox.depth, outbox.state()["bytes"]) == (0, 0)


@settings(max_examples=15)
@given(st.lists(st.tuples(st.sampled_from(["put", "put", "take"]), st.integers(0, 400)), max_size=30))
def test_bounds_hold_and_the_numbers_are_true_whatever_happens(
    steps: list[tuple[str, int]],
) -> None:
    box = Box()
    with tempfile.TemporaryDirectory(dir=QUICK_FOLDER) as folder:
        path = Path(folder) / "o.sqlite"
        check_bounds(box, path, steps)


def check_bounds(box: Box, path: Path, steps: list[tuple[str, int]]) -> None:
    with box.outbox(path, max_events=12, max_bytes=6000) as outbox:
        for kind, value in steps:
            if kind == "put":
                outbox.append(make_event(operating_point="x" * value))
            elif (waiting := seqs(outbox)) and value < 300:
                outbox.acknowledge(waiting[value % len(waiting)])
            state = outbox.state()
            assert outbox.depth <= 12
            assert state["bytes"] <= 6000
            assert state["dropped"] == state["dropped_too_many"] + state["dropped_too_large"]
            assert outbox.depth == len(seqs(outbox))
        assert outbox.append(make_event()).seq == 1 + sum(kind == "put" for kind, _ in steps)
    assert size_of(path) == outbox.state()["bytes"]


def forward(box: Box) -> None:
    box.unix += 10_000 * HOUR_S


def back(box: Box) -> None:
    box.unix -= 10_000 * HOUR_S


def lose_the_time_service(box: Box) -> None:
    box.is_synced = False


@pytest.mark.parametrize("jump", [forward, back, lose_the_time_service])
def test_within_a_boot_the_wall_clock_has_no_say(tmp_path: Path, jump: Callable[[Box], None]) -> None:
    path, box = tmp_path / "o.sqlite", Box()
    with box.outbox(path, max_age_h=2) as outbox:
        outbox.append(make_event())
        jump(box)
        box.run(1.9 * HOUR_S)
        outbox.maintain()
        assert seqs(outbox) == [1]
    with box.outbox(path, max_age_h=2) as outbox:
        outbox.append(make_event())
        jump(box)
        box.run(0.3 * HOUR_S)
        outbox.maintain()
        assert seqs(outbox) == [2]
        assert outbox.state()["dropped_too_old"] == 1


@dataclass(frozen=True, slots=True)
class Reboot:
    """Without power for `off_h`; then the clock says `unix`, or the right time when left out."""

    off_h: float
    unix: float | None = None
    was_synced: bool = True
    is_synced: bool = True


@pytest.mark.parametrize(
    ("reboot", "left"),
    [
        (Reboot(1), [1]),
        (Reboot(3), []),
        # A box that boots in 1970, or far ahead, and does not know better, drops nothing by it.
        (Reboot(3, unix=0.0, is_synced=False), [1]),
        (Reboot(1, unix=4e9, is_synced=False), [1]),
        (Reboot(1, unix=4e9, was_synced=False), [1]),
        # Set right, but behind what it was: the event is not from the future.
        (Reboot(0, unix=1.7e9), [1]),
    ],
)
def test_across_boots_the_wall_clock_counts_where_it_can_be_believed(
    tmp_path: Path, reboot: Reboot, left: list[int]
) -> None:
    path, box = tmp_path / "o.sqlite", Box()
    box.is_synced = reboot.was_synced
    with box.outbox(path, max_age_h=2) as outbox:
        outbox.append(make_event())
    box.reboot(off_s=reboot.off_h * HOUR_S, unix=reboot.unix, is_synced=reboot.is_synced)
    with box.outbox(path, max_age_h=2) as outbox:
        outbox.maintain()
        assert seqs(outbox) == left


def test_a_clock_that_is_set_right_after_the_boot_is_believed_then(tmp_path: Path) -> None:
    path, box = tmp_path / "o.sqlite", Box()
    with box.outbox(path, max_age_h=2) as outbox:
        outbox.append(make_event())
    right = box.unix + 3 * HOUR_S
    box.reboot(unix=0.0, is_synced=False)
    with box.outbox(path, max_age_h=2) as outbox:
        outbox.maintain()
        assert seqs(outbox) == [1]
        box.unix, box.is_synced = right, True
        box.run(0.3 * HOUR_S)
        outbox.maintain()
        assert seqs(outbox) == []


def test_a_box_that_never_knows_the_time_keeps_nothing_for_ever(tmp_path: Path) -> None:
    path, box = tmp_path / "o.sqlite", Box()
    box.is_synced = False
    stored = 0
    for boot in range(1, 9):
        with box.outbox(path, max_age_h=2) as outbox:
            for _ in range(4):
                outbox.append(make_event())
                stored += 1
                box.run(0.25 * HOUR_S)
                outbox.maintain()
            # Each boot runs for an hour, and tells so with its last event: the two hours before the last are left, at most.
            assert outbox.depth <= 4 * 3
            assert outbox.depth == min(stored, outbox.depth)
            assert boot < 4 or outbox.state()["dropped_too_old"] >= stored - 12
        box.reboot(off_s=1e6, unix=0.0, is_synced=False)


def test_what_lies_before_an_old_event_is_older(tmp_path: Path) -> None:
    path, box = tmp_path / "o.sqlite", Box()
    with box.outbox(path, max_age_h=2) as outbox:
        box.is_synced = False
        outbox.append(make_event())
        box.is_synced = True
        outbox.append(make_event())
    box.reboot(off_s=5 * HOUR_S)
    with box.outbox(path, max_age_h=2) as outbox:
        outbox.append(make_event())
        outbox.maintain()
        assert seqs(outbox) == [3]


def test_a_boot_without_a_name_is_always_another_one(tmp_path: Path) -> None:
    path, box = tmp_path / "o.sqlite", Box()
    for _ in range(2):
        outbox = Outbox(path, bounds=Bounds(max_age_h=1), clock=box.clock(), boot_id="unknown")
        outbox.append(make_event())
        box.up_s = 1.0
        outbox.maintain()
        outbox.close()
    assert outbox.state()["dropped_too_old"] == 0


def test_drops_are_told_at_once_and_then_once_an_hour(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    box = Box()
    with caplog.at_level(logging.WARNING), box.outbox(tmp_path / "o.sqlite", max_events=3) as outbox:
        for _ in range(50):
            outbox.append(make_event())
        assert [one.getMessage().partition("events were dropped: ")[2] for one in caplog.records] == [
            "1 above outbox.max_events"
        ]
        box.run(HOUR_S + 1)
        outbox.append(make_event())
        assert caplog.records[-1].getMessage().endswith("events were dropped: 47 above outbox.max_events")
        assert len(caplog.records) == 2
    caplog.clear()
    with caplog.at_level(logging.WARNING), box.outbox(tmp_path / "o.sqlite", max_events=3):
        assert not caplog.records


def test_an_outbox_of_version_1_goes_on(tmp_path: Path) -> None:
    path, box = tmp_path / "o.sqlite", Box()
    with box.outbox(path) as outbox:
        texts = [outbox.append(make_event()) for _ in range(3)]
    db = sqlite3.connect(path)
    rows = db.execute("SELECT seq, event, accepted_ns, accepted_at FROM events").fetchall()
    db.executescript(
        "DROP TABLE events; DROP TABLE counters;"
        "CREATE TABLE events (seq INTEGER PRIMARY KEY, event TEXT NOT NULL, accepted_ns INTEGER NOT NULL, accepted_at REAL NOT NULL);"
        "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
        "INSERT INTO counters VALUES ('last_seq', 7), ('dropped', 4);"
        "PRAGMA user_version = 1;"
    )
    db.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", rows)
    db.commit()
    db.close()
    with box.outbox(path, max_age_h=1) as outbox:
        outbox.maintain()
        assert [one.event for one in outbox.pending()] == texts
        assert outbox.state()["bytes"] == size_of_rows(rows)
        assert (outbox.dropped, outbox.state()["dropped_too_many"]) == (4, 4)
        assert outbox.append(make_event()).seq == 8
        box.run(1.1 * HOUR_S)
        outbox.maintain()
        assert seqs(outbox) == []


def size_of_rows(rows: list[tuple[int, str, int, float]]) -> int:
    return sum(len(row[1].encode()) for row in rows)


def test_the_kernels_word_is_taken_by_default() -> None:
    assert Clock().is_synced() in (True, False)
