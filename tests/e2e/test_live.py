"""The daemon before a live camera: visitors come and go, brokers and cameras do too."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from edge.datatypes import Image
from tests.e2e.support import DaemonProcess, MjpegDoor, RtspDoor, daemon, mqtt
from tests.support.mosquitto import Mosquitto, Subscriber, subscriber, wait_for


def recognized(listening: Subscriber, topic: str = "/event") -> list[Any]:
    return [one.data for one in listening.on(topic) if one.data["event_type"] == "recognized"]


def unknown(listening: Subscriber) -> list[Any]:
    return [one.data for one in listening.on("/event") if one.data["event_type"] == "unknown"]


def visited(door: MjpegDoor | RtspDoor, running: DaemonProcess, portrait: Image, kind: str, times: int) -> None:
    """Somebody comes, is decided for the `times`th time, and goes."""
    door.show(portrait)
    running.wait_for_log(f"{kind}: ", times)
    door.stay_empty()


def test_someone_enrolled_meanwhile_is_recognized_without_a_restart(
    tmp_path: Path, broker: Mosquitto, bust: Image, collins_file: Path
) -> None:
    with (
        MjpegDoor() as door,
        subscriber(broker.port) as listening,
        daemon(tmp_path / "box", camera={"uri": door.uri}, mqtt=mqtt(broker.port)) as running,
    ):
        assert "nobody is enrolled" in running.log
        visited(door, running, bust, "unknown", 1)
        wait_for(lambda: listening.last("/presence") == b"OFF", "an empty door")
        running.enrol("Eileen Collins", collins_file)
        running.wait_for_log("gallery revision 1: 1 embeddings")
        visited(door, running, bust, "recognized", 1)
        wait_for(lambda: recognized(listening), "the event")
        assert running.stop() == 0
    [first], [second] = unknown(listening), recognized(listening)
    assert (first["gallery_revision"], second["gallery_revision"]) == (0, 1)
    assert second["identity"]["name"] == "Eileen Collins"
    assert second["seq"] == first["seq"] + 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(
    tmp_path: Path, broker: Mosquitto, hopper: Image, hopper_file: Path, number: signal.Signals
) -> None:
    with (
        MjpegDoor() as door,
        subscriber(broker.port) as listening,
        daemon(
            tmp_path / "box", pictures={"Grace Hopper": hopper_file}, camera={"uri": door.uri}, mqtt=mqtt(broker.port)
        ) as running,
    ):
        visited(door, running, hopper, "recognized", 1)
        assert running.stop(number) == 0
        wait_for(lambda: listening.last("front/status") == b"offline", "the farewell")
    assert listening.last("camera/porch/status") == b"offline"
    assert listening.last("/presence") == b"OFF"
    assert "Traceback" not in running.log


def test_a_file_read_at_full_speed_ends_at_a_signal(tmp_path: Path, clip: Path) -> None:
    # The handler interrupts the thread that reads, wherever it is: it must never wait for a lock of that thread.
    for attempt in range(4):
        with daemon(tmp_path / f"box{attempt}", "--no-mqtt", camera={"uri": str(clip)}) as running:
            assert running.stop() == 0


def test_when_it_is_killed_the_broker_says_so(
    tmp_path: Path, broker: Mosquitto, hopper: Image, hopper_file: Path
) -> None:
    with (
        MjpegDoor() as door,
        subscriber(broker.port) as listening,
        daemon(
            tmp_path / "box", pictures={"Grace Hopper": hopper_file}, camera={"uri": door.uri}, mqtt=mqtt(broker.port)
        ) as running,
    ):
        wait_for(lambda: listening.last("front/status") == b"online", "the daemon")
        assert running.stop(signal.SIGKILL) == -signal.SIGKILL
        wait_for(lambda: listening.last("front/status") == b"offline", "the last will")
        # The next start finds everything in order.
        running.start()
        wait_for(lambda: listening.last("front/status") == b"online", "the daemon again")
        visited(door, running, hopper, "recognized", 1)
        wait_for(lambda: recognized(listening), "the event")
        assert running.stop() == 0


TTL_S = 1.0
LONGER = 30
"""Pictures at the door's pace that take longer than TTL_S."""


def check_nothing_lost(listening: Subscriber, *, live: list[int], late: list[int]) -> None:
    """Sequence numbers on either topic; what is late is told as such, and only on the topic that opens no door."""
    assert [one.data["seq"] for one in listening.on("/event")] == live
    assert [one.data["seq"] for one in listening.on("/history")] == late
    assert not any(one.data["replayed"] or one.data["age_ms"] > TTL_S * 1e3 for one in listening.on("/event"))
    assert all(one.data["replayed"] for one in listening.on("/history"))
    assert not any(one.retained for one in (*listening.on("/event"), *listening.on("/history")))


def test_a_broker_that_comes_late_misses_nothing(
    tmp_path: Path, broker: Mosquitto, hopper: Image, bust: Image, hopper_file: Path
) -> None:
    with MjpegDoor() as door, subscriber(broker.port) as listening:
        broker.stop()
        with daemon(
            tmp_path / "box", pictures={"Grace Hopper": hopper_file}, camera={"uri": door.uri},
            mqtt=mqtt(broker.port, event_ttl_s=TTL_S),
        ) as running:  # fmt: skip
            visited(door, running, hopper, "recognized", 1)
            visited(door, running, bust, "unknown", 1)
            door.stay_empty(LONGER)
            broker.start()
            wait_for(lambda: len(listening.on("/history")) == 2, "what came before the broker")
            visited(door, running, hopper, "recognized", 2)
            wait_for(lambda: listening.on("/event"), "a live event")
            assert running.stop() == 0
    check_nothing_lost(listening, late=[1, 2], live=[3])
    assert [one.data["event_type"] for one in listening.on("/history")] == ["recognized", "unknown"]
    assert "Traceback" not in running.log


def test_a_broker_that_is_restarted_misses_nothing(
    tmp_path: Path, broker: Mosquitto, hopper: Image, bust: Image, hopper_file: Path
) -> None:
    with (
        MjpegDoor() as door,
        subscriber(broker.port) as listening,
        daemon(
            tmp_path / "box", pictures={"Grace Hopper": hopper_file}, camera={"uri": door.uri},
            mqtt=mqtt(broker.port, event_ttl_s=TTL_S),
        ) as running,
    ):  # fmt: skip
        visited(door, running, hopper, "recognized", 1)
        wait_for(lambda: recognized(listening), "the first event")
        broker.stop()
        visited(door, running, bust, "unknown", 1)
        door.stay_empty(LONGER)
        broker.start()
        wait_for(lambda: listening.on("/history"), "what was decided meanwhile")
        visited(door, running, hopper, "recognized", 2)
        wait_for(lambda: len(recognized(listening)) == 2, "the third event")
        assert listening.last("front/status") == b"online"
        assert running.stop() == 0
    check_nothing_lost(listening, live=[1, 3], late=[2])
    assert "Traceback" not in running.log


def test_what_one_run_could_not_send_the_next_one_does(
    tmp_path: Path, broker: Mosquitto, clip: Path, hopper_file: Path
) -> None:
    with subscriber(broker.port) as listening:
        broker.stop()
        with daemon(
            tmp_path / "box", pictures={"Grace Hopper": hopper_file},
            camera={"uri": str(clip)}, mqtt=mqtt(broker.port, event_ttl_s=TTL_S),
        ) as running:  # fmt: skip
            assert running.ended() == 0
            broker.start()
            running.start()
            assert running.ended() == 0
            wait_for(lambda: len(listening.on("/event")) >= 2, "the second run's events")
    check_nothing_lost(listening, late=[1, 2], live=[3, 4])
    assert [one.data["event_type"] for one in listening.on("/history")] == ["recognized", "unknown"]


def test_a_network_camera_that_vanishes_and_comes_back(
    tmp_path: Path, broker: Mosquitto, hopper: Image, hopper_file: Path
) -> None:
    with (
        RtspDoor() as door,
        subscriber(broker.port) as listening,
        daemon(
            tmp_path / "box", pictures={"Grace Hopper": hopper_file}, camera={"uri": door.uri}, mqtt=mqtt(broker.port)
        ) as running,
    ):
        visited(door, running, hopper, "recognized", 1)
        wait_for(lambda: listening.last("camera/porch/status") == b"online", "the camera")
        door.vanish()
        wait_for(lambda: listening.last("camera/porch/status") == b"offline", "the camera's end")
        assert listening.last("front/status") == b"online"
        door.appear()
        wait_for(lambda: listening.last("camera/porch/status") == b"online", "the camera again", 60)
        visited(door, running, hopper, "recognized", 2)
        wait_for(lambda: len(recognized(listening)) == 2, "the second event")
        assert running.stop() == 0
    assert listening.on("/health")[-1].data["camera"]["reopened"] >= 1
    assert "Traceback" not in running.log


def test_turned_off_from_afar_it_lets_nobody_in(
    tmp_path: Path, broker: Mosquitto, hopper: Image, hopper_file: Path
) -> None:
    with (
        MjpegDoor() as door,
        subscriber(broker.port) as listening,
        daemon(
            tmp_path / "box", pictures={"Grace Hopper": hopper_file}, camera={"uri": door.uri}, mqtt=mqtt(broker.port)
        ) as running,
    ):
        wait_for(lambda: listening.last("front/enabled") == b"ON", "the daemon")
        listening.client.publish("ostiary/front/enabled/set", b"OFF", 1)
        wait_for(lambda: listening.last("front/enabled") == b"OFF", "off")
        visited(door, running, hopper, "recognized", 1)
        wait_for(lambda: listening.last("/presence") == b"OFF", "an empty door")
        listening.client.publish("ostiary/front/enabled/set", b"ON", 1)
        wait_for(lambda: listening.last("front/enabled") == b"ON", "on")
        visited(door, running, hopper, "recognized", 2)
        wait_for(lambda: len(listening.on("/event")) == 2, "both events")
        assert running.stop() == 0
    assert [(event["seq"], event["allowed"], event["reason"]) for event in recognized(listening)] == [
        (1, False, "unlocking_disabled"),
        (2, True, "allowed"),
    ]
