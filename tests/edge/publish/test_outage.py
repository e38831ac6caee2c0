"""Brokers that go away, freeze and come back, and a publisher that is killed: nothing is lost, nothing old is live."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.config.settings import Mqtt
from edge.outbox import Outbox
from edge.publish import MqttPublisher
from edge.timebase import Clock
from tests.support.data import ROOT
from tests.support.events import make_event
from tests.support.mosquitto import HOST, Heard, Mosquitto, free_port, mosquitto, subscriber, wait_for

TTL_S = 0.5


@pytest.fixture(params=["5", "3.1.1"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """It keeps sessions over a restart, so that the subscriber misses nothing."""
    folder = tmp_path / "broker"
    with mosquitto(folder, "allow_anonymous true", "persistence true", f"persistence_location {folder}/") as running:
        yield running


class WallClock:
    """Right until somebody sets it."""

    def __init__(self) -> None:
        self.shift_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.shift_s


@contextmanager
def publishing(
    tmp_path: Path, port: int, protocol: str, *, wall_clock: WallClock | None = None
) -> Iterator[MqttPublisher]:
    mqtt = Mqtt(host=HOST, port=port, protocol=protocol, event_ttl_s=TTL_S, keepalive_s=2)
    clock = Clock(unix_s=wall_clock) if wall_clock is not None else None
    outbox = Outbox(tmp_path / "outbox.sqlite", clock=clock)
    publisher = MqttPublisher(mqtt, device="front", camera="porch", outbox=outbox, boot_id="this-boot")
    try:
        yield publisher
    finally:
        publisher.close()


def publish(publisher: MqttPublisher, count: int) -> list[str]:
    """Events of now; their ids."""
    events = [make_event() for _ in range(count)]
    for event in events:
        publisher.publish(event)
    return [event.event_id for event in events]


def ids(heard: list[Heard]) -> list[str]:
    """Without repetitions: QoS 1 may bring a message twice, from us as from the broker."""
    return list(dict.fromkeys(one.data["event_id"] for one in heard))


def check_topics(live: list[Heard], history: list[Heard]) -> None:
    """What holds whatever happened: fresh on /event, replayed on /history, order kept, nothing retained."""
    assert all(one.data["age_ms"] <= TTL_S * 1e3 and not one.data["replayed"] for one in live)
    assert all(one.data["replayed"] for one in history)
    assert not any(one.retained for one in live + history)
    for heard in (live, history):
        first_seqs = list(dict.fromkeys(one.data["seq"] for one in heard))
        assert first_seqs == sorted(first_seqs)


@pytest.mark.parametrize(("protocol", "jump_s"), [("5", 3600.0), ("3.1.1", -3600.0)])
def test_double_take_281_a_broker_stopped_and_started_again(
    tmp_path: Path, broker: Mosquitto, protocol: str, jump_s: float
) -> None:
    """Nor does somebody who sets the wall clock while events wait make an old one live."""
    clock = WallClock()
    with (
        subscriber(broker.port) as listening,
        publishing(tmp_path, broker.port, protocol, wall_clock=clock) as publisher,
    ):
        before = publish(publisher, 5)
        wait_for(lambda: len(listening.on("/event")) == 5, "the events before")
        wait_for(lambda: publisher.outbox_state()["depth"] == 0, "their acknowledgements")
        broker.stop()
        wait_for(lambda: not publisher.is_connected, "the loss to be noticed")
        during = publish(publisher, 6)
        clock.shift_s = jump_s
        during += publish(publisher, 6)
        # Each attempt that fails is at least 0.35 s after the last: the events outlive their time.
        failures = publisher.counters()["connection_failures"]
        wait_for(lambda: publisher.counters()["connection_failures"] >= failures + 2, "two attempts")
        broker.start()
        assert publisher.wait_connected(15)
        after = publish(publisher, 5)
        wait_for(lambda: len(ids(listening.on("/event"))) == 10, "the live ones")
        wait_for(lambda: len(ids(listening.on("/history"))) == 12, "the old ones")
        live, history = listening.on("/event"), listening.on("/history")
        check_nothing_is_retained(broker.port)
    assert (ids(live), ids(history)) == (before + after, during)
    assert {one.data["seq"] for one in live + history} == set(range(1, 23))
    check_topics(live, history)
    # The age is counted, not read from a clock that somebody sets.
    assert all(TTL_S * 1e3 < one.data["age_ms"] < 60_000 for one in history)


def check_nothing_is_retained(port: int) -> None:
    """Whoever comes now hears how things are, and of no event."""
    with subscriber(port) as newcomer:
        wait_for(lambda: newcomer.last("front/status"), "the retained states")
        assert newcomer.on("/event") + newcomer.on("/history") == []


@pytest.mark.parametrize(("first_s", "second_s"), [(0.0, 3600.0), (0.0, -3600.0)])
def test_double_take_281_processes_whose_clocks_disagree(
    tmp_path: Path, broker: Mosquitto, first_s: float, second_s: float
) -> None:
    outbox = tmp_path / "outbox.sqlite"
    with subscriber(broker.port) as listening:
        with killable(free_port(), "5", outbox, 3, shift_s=first_s) as process:
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        with killable(broker.port, "5", outbox, 0, shift_s=second_s):
            wait_for(lambda: len(ids(listening.on("/history"))) == 3, "all as history")
            check_nothing_is_retained(broker.port)
        assert [one.data["seq"] for one in listening.on("/history")] == [1, 2, 3]
        assert listening.on("/event") == []


def test_a_broker_that_freezes_loses_nothing(tmp_path: Path, broker: Mosquitto, protocol: str) -> None:
    with subscriber(broker.port) as listening, publishing(tmp_path, broker.port, protocol) as publisher:
        sent = publish(publisher, 2)
        wait_for(lambda: publisher.outbox_state()["depth"] == 0, "the first events")
        broker.freeze()
        sent += publish(publisher, 15)
        wait_for(lambda: not publisher.is_connected, "the silence to be noticed")
        sent += publish(publisher, 3)
        broker.thaw()
        wait_for(lambda: publisher.outbox_state()["depth"] == 0, "the outbox to empty")
        wait_for(lambda: set(ids(listening.on("/event") + listening.on("/history"))) == set(sent), "all events")
        check_topics(listening.on("/event"), listening.on("/history"))


@contextmanager
def killable(
    port: int, protocol: str, outbox: Path, events: int, *, shift_s: float = 0.0
) -> Iterator[subprocess.Popen[str]]:
    """A publisher in a process of its own, ready; its wall clock is wrong by `shift_s`."""
    modules = ["tests.support.shifted_clock", str(shift_s), "tests.support.publishing_process"]
    command = [sys.executable, "-m", *modules, str(port), protocol, str(outbox), str(events)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def test_the_last_will_is_told_when_the_process_is_killed(tmp_path: Path, broker: Mosquitto, protocol: str) -> None:
    with subscriber(broker.port) as listening, killable(broker.port, protocol, tmp_path / "o.sqlite", 0) as process:
        wait_for(lambda: listening.last("front/status") == b"online", "online")
        wait_for(lambda: listening.last("/presence") == b"ON", "presence")
        process.send_signal(signal.SIGKILL)
        wait_for(lambda: listening.last("front/status") == b"offline", "the last will")
    with subscriber(broker.port, "ostiary/front/status") as late:
        wait_for(lambda: late.heard, "the retained last will")
        assert (late.heard[0].payload, late.heard[0].retained) == (b"offline", True)


def test_double_take_281_a_killed_publishers_events_are_history_for_the_next(
    tmp_path: Path, broker: Mosquitto, protocol: str
) -> None:
    with subscriber(broker.port) as listening:
        with killable(free_port(), protocol, tmp_path / "outbox.sqlite", 4) as process:
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        with publishing(tmp_path, broker.port, protocol) as publisher:
            publish(publisher, 1)
            wait_for(lambda: len(ids(listening.on("/event") + listening.on("/history"))) == 5, "five events")
    assert [one.data["seq"] for one in listening.on("/history")] == [1, 2, 3, 4]
    assert [one.data["seq"] for one in listening.on("/event")] == [5]
    check_topics(listening.on("/event"), listening.on("/history"))


def test_states_are_told_again_to_a_broker_that_forgot_them(tmp_path: Path, protocol: str) -> None:
    with (
        mosquitto(tmp_path / "forgetful") as broker,
        publishing(tmp_path, broker.port, protocol) as publisher,
    ):
        assert publisher.wait_connected(15)
        publisher.presence(is_present=True)
        publisher.camera_status(is_online=True)
        broker.stop()
        wait_for(lambda: not publisher.is_connected, "the loss to be noticed")
        broker.start()
        with subscriber(broker.port) as listening:
            wait_for(lambda: len({one.topic for one in listening.heard}) == 4, "four states")
        assert listening.last("front/status") == b"online"
        assert listening.last("camera/porch/status") == b"online"
        assert listening.last("/presence") == b"ON"
