"""A full disk and a read-only one: events are sent all the same, nothing is lost, and the disk is used again when it can be."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.config.settings import Mqtt
from edge.errors import OutboxError
from edge.outbox import Outbox
from edge.outbox.store import MAX_HELD
from edge.publish import MqttPublisher
from edge.timebase import Clock
from tests.faults.disks import Disk, small_disk
from tests.support.data import ROOT
from tests.support.events import make_event
from tests.support.mosquitto import HOST, mosquitto, subscriber, wait_for


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk") as made:
        yield made


def ids(outbox: Outbox) -> list[str]:
    return [one.event.event_id for one in outbox.pending(limit=10_000)]


class Time:
    """Goes on only when told to."""

    def __init__(self) -> None:
        self.ns = 10**12

    def clock(self) -> Clock:
        return Clock(lambda: self.ns, lambda: self.ns / 1e9, lambda: True)


def test_what_a_full_disk_does_not_take_is_held_and_stored_later(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    time, stored = Time(), []
    outbox = Outbox(disk.path / "o.sqlite", clock=time.clock())
    stored += [outbox.append(make_event()) for _ in range(5)]
    disk.fill()
    # SQLite finds some room in files that it has already; then there is none.
    while not outbox.state()["in_memory"] and len(stored) < 5000:
        stored.append(outbox.append(make_event()))
    stored += [outbox.append(make_event()) for _ in range(20)]
    state = outbox.state()
    assert state["in_memory"] == 21
    assert (state["depth"], state["dropped"]) == (len(stored), 0)
    assert ids(outbox) == [one.event_id for one in stored]
    # The broker acknowledges some of both kinds; a full disk cannot even forget.
    outbox.acknowledge(1, 2, len(stored))
    assert ids(outbox) == [one.event_id for one in stored[2:-1]]
    assert outbox.depth == len(stored) - 3
    disk.make_room()
    time.ns += 3 * 10**9
    outbox.maintain()
    assert outbox.state()["in_memory"] == 0
    assert ids(outbox) == [one.event_id for one in stored[2:-1]]
    outbox.close()
    again = Outbox(disk.path / "o.sqlite", clock=time.clock())
    assert ids(again) == [one.event_id for one in stored[2:-1]]
    assert again.append(make_event()).seq == len(stored) + 1
    again.close()
    told = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert [("database or disk is full" in text, "on disk again" in text) for text in told] == [
        (True, False),
        (False, True),
    ]


def test_memory_is_bounded_too_and_what_it_drops_is_counted(disk: Disk) -> None:
    time = Time()
    disk.fill()
    outbox = Outbox(disk.path / "o.sqlite", clock=time.clock())
    for _ in range(MAX_HELD + 30):
        outbox.append(make_event())
    state = outbox.state()
    assert (state["depth"], state["in_memory"], state["dropped_unstored"]) == (MAX_HELD, MAX_HELD, 30)
    disk.make_room()
    time.ns += 3 * 10**9
    outbox.maintain()
    assert outbox.state()["in_memory"] == 0
    outbox.close()
    again = Outbox(disk.path / "o.sqlite", clock=time.clock())
    assert [one.seq for one in again.pending(limit=1000)] == list(range(31, MAX_HELD + 31))
    assert again.state()["dropped_unstored"] == again.dropped == 30
    again.close()


def test_a_box_that_starts_on_a_read_only_disk_works_and_goes_on_counting(disk: Disk) -> None:
    time = Time()
    path = disk.path / "o.sqlite"
    first = Outbox(path, clock=time.clock())
    for _ in range(3):
        first.append(make_event())
    first.close()
    disk.remount("ro")
    outbox = Outbox(path, clock=time.clock())
    assert outbox.append(make_event()).seq == 4
    assert outbox.state()["in_memory"] == 1
    disk.remount("rw")
    time.ns += 3 * 10**9
    outbox.maintain()
    assert [one.seq for one in outbox.pending()] == [1, 2, 3, 4]
    assert outbox.append(make_event()).seq == 5
    assert outbox.state()["in_memory"] == 0
    outbox.close()


def test_a_disk_that_goes_away_and_comes_back_with_another_past(disk: Disk, tmp_path: Path) -> None:
    """A file that tells of more events than anybody knew: those in memory are counted anew, none is lost."""
    time = Time()
    path = disk.path / "o.sqlite"
    disk.remount("ro")
    outbox = Outbox(path, clock=time.clock())
    held = [outbox.append(make_event()) for _ in range(3)]
    assert [one.seq for one in held] == [1, 2, 3]
    disk.remount("rw")
    other = Outbox(path, clock=time.clock())
    for _ in range(10):
        other.append(make_event())
    other.acknowledge(*range(1, 11))
    other.close()
    time.ns += 3 * 10**9
    outbox.maintain()
    assert [(one.seq, one.event.event_id) for one in outbox.pending()] == [
        (11 + index, one.event_id) for index, one in enumerate(held)
    ]
    assert outbox.append(make_event()).seq == 14
    outbox.close()


def test_a_wrong_path_is_no_full_disk(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(OutboxError):
        Outbox(tmp_path / "file" / "o.sqlite")


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_full_disk_stops_no_live_event(disk: Disk, tmp_path: Path, protocol: str) -> None:
    with mosquitto(tmp_path / "broker") as broker, subscriber(broker.port, "ostiary/+/event") as listening:
        disk.fill()
        mqtt = Mqtt(host=HOST, port=broker.port, protocol=protocol)
        outbox = Outbox(disk.path / "o.sqlite")
        publisher = MqttPublisher(mqtt, device="front", camera="porch", outbox=outbox, boot_id="this-boot")
        for _ in range(10):
            publisher.publish(make_event())
        wait_for(lambda: len(listening.heard) == 10, "ten live events")
        assert [one.data["seq"] for one in listening.heard] == list(range(1, 11))
        wait_for(lambda: publisher.outbox_state()["depth"] == 0, "their acknowledgements")
        assert publisher.counters()["thread_faults"] == 0
        disk.make_room()
        publisher.publish(make_event())
        wait_for(lambda: publisher.outbox_state()["in_memory"] == 0, "the disk to be used again")
        wait_for(lambda: len(listening.heard) == 11, "one more")
        publisher.close()


_LIMITED = """
import resource, sys
from pathlib import Path
from edge.outbox import Outbox
from edge.timebase import Clock
from tests.support.events import make_event
seconds = 100
outbox = Outbox(Path(sys.argv[1]), clock=Clock(lambda: seconds * 10**9))
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))
for _ in range(150):
    outbox.append(make_event())
held = outbox.state()["in_memory"]
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for _ in range(3):
    seconds += 3
    outbox.maintain()
outbox.close()
print(held, outbox.state()["in_memory"], len(Outbox(Path(sys.argv[1])).pending(limit=1000)))
"""


def test_a_limit_on_file_size_is_a_full_disk_too(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _LIMITED, str(tmp_path / "o.sqlite")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    held, left, stored = map(int, done.stdout.split())
    assert held > 0
    assert (left, stored) == (0, 150)
