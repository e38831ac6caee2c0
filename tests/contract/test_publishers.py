"""What every publisher promises, fakes included."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge.config.settings import Mqtt, Settings
from edge.config.settings import Publish as PublishSettings
from edge.publish import Publisher, open_publisher
from tests.support.events import ADA, make_event, make_health
from tests.support.mosquitto import HOST, mosquitto, subscriber, wait_for
from tests.support.publishers import MemoryPublisher
from tests.support.schemas import validate

TOPIC = "ostiary/front/event"


@dataclass(frozen=True, slots=True)
class Rig:
    """A publisher, and what came out of it."""

    publisher: Publisher
    payloads: Callable[[], list[Any]]
    """Event payloads so far, each held against its schema."""


@contextmanager
def memory(tmp_path: Path) -> Iterator[Rig]:
    publisher = MemoryPublisher()

    def payloads() -> list[Any]:
        return [validate(TOPIC, json.dumps(event.payload(age_ms=1.0)).encode()) for event in publisher.events]

    yield Rig(publisher, payloads)


@contextmanager
def log(tmp_path: Path) -> Iterator[Rig]:
    lines: list[str] = []
    publisher = open_publisher(Settings(mqtt=Mqtt(enabled=False)), tmp_path / "outbox.sqlite", write=lines.append)
    yield Rig(publisher, lambda: [validate(TOPIC, line.encode()) for line in lines])
    publisher.close()


@contextmanager
def mqtt(tmp_path: Path, protocol: str) -> Iterator[Rig]:
    with mosquitto(tmp_path / "broker") as broker, subscriber(broker.port) as listening:
        settings = Settings(mqtt=Mqtt(host=HOST, port=broker.port, protocol=protocol), publish=PublishSettings())
        publisher = open_publisher(settings, tmp_path / "outbox.sqlite")
        yield Rig(publisher, lambda: [one.data for one in listening.on("/event")])
        publisher.close()


KINDS: dict[str, Callable[[Path], AbstractContextManager[Rig]]] = {
    "memory": memory,
    "log": log,
    "mqtt 5": lambda tmp_path: mqtt(tmp_path, "5"),
    "mqtt 3.1.1": lambda tmp_path: mqtt(tmp_path, "3.1.1"),
}


@pytest.fixture(params=list(KINDS))
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    with KINDS[request.param](tmp_path) as made:
        yield made


def expect(rig: Rig, count: int) -> list[Any]:
    wait_for(lambda: len(rig.payloads()) >= count, f"{count} events")
    return rig.payloads()


def test_every_event_comes_out_once_in_order_and_counted(rig: Rig) -> None:
    events = [make_event(), make_event(identity=None), make_event(event_type="spoof_suspected")]
    for event in events:
        rig.publisher.publish(event)
    payloads = expect(rig, 3)
    assert [one["event_id"] for one in payloads] == [event.event_id for event in events]
    assert [one["seq"] for one in payloads] == [1, 2, 3]
    assert not any(one["replayed"] for one in payloads)
    assert rig.publisher.counters()["events_published"] == 3


def test_an_event_is_not_changed_by_publishing(rig: Rig) -> None:
    event = make_event()
    before = repr(event)
    rig.publisher.publish(event)
    expect(rig, 1)
    assert repr(event) == before


def test_threads_may_publish_at_once(rig: Rig) -> None:
    threads = [
        threading.Thread(target=lambda: [rig.publisher.publish(make_event()) for _ in range(5)]) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one["seq"] for one in expect(rig, 15)] == list(range(1, 16))


def test_events_are_told_while_unlocking_is_off(rig: Rig) -> None:
    assert rig.publisher.is_enabled
    rig.publisher.set_enabled(is_on=False)
    assert not rig.publisher.is_enabled
    rig.publisher.publish(make_event())
    rig.publisher.set_enabled(is_on=True)
    assert rig.publisher.is_enabled
    rig.publisher.publish(make_event())
    assert [one["seq"] for one in expect(rig, 2)] == [1, 2]


def test_states_are_taken_at_any_time(rig: Rig) -> None:
    for value in (True, False, True):
        rig.publisher.presence(is_present=value)
        rig.publisher.camera_status(is_online=value)
    rig.publisher.health(make_health())
    rig.publisher.snapshot(b"\xff\xd8\xff")
    rig.publisher.publish(make_event())
    assert len(expect(rig, 1)) == 1


def test_once_told_nothing_waits(rig: Rig) -> None:
    rig.publisher.publish(make_event())
    expect(rig, 1)
    wait_for(lambda: not any(rig.publisher.outbox_state().values()), "an empty outbox")


def test_nobody_is_named_by_what_has_left(rig: Rig) -> None:
    rig.publisher.publish(make_event())
    expect(rig, 1)
    wait_for(lambda: not rig.publisher.waiting_identities(), "the event to have left")
    assert rig.publisher.forget(ADA.id) == 0


def test_closing_twice_is_closing_once(rig: Rig) -> None:
    rig.publisher.publish(make_event())
    rig.publisher.close()
    rig.publisher.close()
    assert len(expect(rig, 1)) == 1
