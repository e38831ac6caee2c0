"""Whatever strangers send, on every topic that a daemon listens to: no exception, no effect, and counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.bundle import load_bundle
from edge.commands.arguments import VERBS
from edge.commands.asking import make_command
from edge.commands.desk import Desk
from edge.commands.opening import Reception, open_reception
from edge.commands.signature import public_key
from edge.config import settings as config
from edge.config.settings import Settings
from edge.publish import MqttPublisher, open_publisher
from edge.reader import Models
from tests.edge.commands.support import OWNER, STRANGER, TOPICS
from tests.support.fakes import FakeDetector, FakeEmbedder
from tests.support.mosquitto import HOST, free_port, mosquitto, subscriber, wait_for


class Target:
    """What a daemon puts before its broker, as it puts it."""

    def __init__(self, folder: Path, port: int) -> None:
        keys = folder / "keys"
        keys.write_text(public_key(OWNER).line() + "\n", encoding="utf-8")
        self.settings = Settings(
            device=config.Device(name="front"), mqtt=config.Mqtt(host=HOST, port=port), gallery=folder / "gallery.sqlite",
            commands=config.Commands(keys_file=keys, unsigned=(), per_minute=6000),
        )  # fmt: skip
        reception = open_reception(self.settings)
        assert isinstance(reception, Reception)
        publisher = open_publisher(self.settings, folder / "outbox.sqlite")
        assert isinstance(publisher, MqttPublisher)
        self.reception, self.publisher = reception, publisher
        self.restarts = 0
        models = Models(load_bundle(), FakeDetector(), FakeEmbedder())  # type: ignore[arg-type]
        desk = reception.desk(publisher, models, restart=self._restart, refresh=lambda: None)
        assert isinstance(desk, Desk)
        self.desk, self.router = desk, publisher.commands
        self.orders = [topic for topic in self.router.topics if topic.startswith("ostiary/")]
        assert set(self.orders) == {TOPICS.enabled_set, *map(TOPICS.command, VERBS)}

    def _restart(self) -> None:
        self.restarts += 1

    def check_nothing_happened(self, ignored: int) -> None:
        counters = self.router.counters()
        self.desk.tick()
        assert counters["commands_ignored"] == ignored
        assert (counters["commands_obeyed"], counters["commands_failed"]) == (0, 0)
        assert self.desk._running == []
        assert self.restarts == 0
        assert self.publisher.is_enabled
        assert self.reception.is_unlocking_on
        assert not self.settings.gallery or not self.settings.gallery.exists()

    def close(self) -> None:
        self.desk.close()
        self.publisher.close(timeout_s=2.0)
        self.reception.close()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Its broker is away: what is here is heard through the router."""
    made = Target(tmp_path_factory.mktemp("fuzz"), free_port())
    yield made
    made.close()


def sound(verb: str) -> bytes:
    """A command that is right but for its signature."""
    arguments: dict[str, dict[str, Any]] = {
        "enrol": {"name": "Eve"}, "enrol-picture": {"name": "Eve", "pictures": ["AAAA"]}, "rename": {"who": "Ada", "name": "Eve"},
        "list": {}, "bundle": {"bundle": "two"}, "snapshot": {}, "restart": {}, "unlocking": {"on": False},
    }  # fmt: skip
    return make_command(TOPICS, verb, arguments.get(verb, {"who": "Ada"}), STRANGER).payload


def mutated(data: bytes) -> st.SearchStrategy[bytes]:
    """Cut, doubled, or with some bytes changed."""
    places = st.integers(0, len(data) - 1)
    changed = st.tuples(places, st.binary(min_size=1, max_size=3)).map(
        lambda change: data[: change[0]] + change[1] + data[change[0] + len(change[1]) :]
    )
    return st.one_of(places.map(lambda end: data[:end]), changed, st.just(data + data), st.just(data))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["signed", "key", "signature", "request_id", "issued_at", "on", "who"]) | st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
ODD = st.sampled_from([
    b"", b"{}", b"[]", b"null", b"[" * 65_000, b'{"signed":' * 6000, b"\xff" * 65_536, b" " * 65_536, b" " * 65_537,
    b" " * 1_048_577, b'{"on": NaN}', b'{"on": 1e999}', b'{"on": ' + b"1" * 60_000 + b"}", b'{"request_id": "a", "request_id": "b"}',
    '{"on": true}'.encode("utf-16"), b'{"signed": "\\ud800", "key": "owner", "signature": "AAAA"}', b"\x00" * 100,
    b'{"signed": "{}", "key": "owner", "signature": "' + b"A" * 86 + b'=="}', b"on", b"TRUE", b"1", b"ON ", b"\xef\xbb\xbfON",
])  # fmt: skip


@settings(max_examples=120)
@given(data=st.data())
def test_strangers_have_no_effect(target: Target, data: st.DataObject) -> None:
    topic = data.draw(st.sampled_from(target.orders))
    verb = topic.rpartition("/")[2]
    payloads = [st.binary(max_size=200), JSON.map(lambda found: json.dumps(found).encode()), ODD]
    if verb in VERBS:
        payloads.append(mutated(sound(verb)))
    payload = data.draw(st.one_of(payloads).filter(lambda found: found not in (b"ON", b"OFF")))
    before = target.router.ignored
    assert not target.router.dispatch(topic, payload, retained=data.draw(st.booleans()))
    target.check_nothing_happened(before + 1)


@given(payload=st.binary(max_size=200) | ODD, retained=st.booleans())
@settings(max_examples=40)
def test_other_topics_raise_nothing_either(target: Target, payload: bytes, retained: bool) -> None:  # noqa: FBT001
    for topic in set(target.router.topics) - set(target.orders):
        target.router.dispatch(topic, payload, retained=retained)
    assert not target.router.dispatch("ostiary/front/cmd/coffee", payload, retained=retained)
    assert target.router.counters()["commands_failed"] == 0


def test_over_a_broker_on_every_topic(tmp_path: Path) -> None:
    payloads = [b"", b"{", b"\xff\xfe", b"[" * 65_536, b" " * 65_537, json.dumps({"request_id": "a"}).encode()]
    with mosquitto(tmp_path / "broker") as broker:
        target = Target(tmp_path, broker.port)
        try:
            with subscriber(broker.port, "ostiary/front/status", is_checking=False) as listening:
                wait_for(lambda: all(f"{topic} (QoS 1)" in broker.log for topic in target.orders), "its subscriptions")
                for topic in target.orders:
                    for payload in payloads:
                        listening.client.publish(topic, payload, 1)
                    # Kept by the broker: comes again with every connection.
                    listening.client.publish(topic, sound("list"), 1, retain=True)
                expected = len(target.orders) * (len(payloads) + 1)
                wait_for(lambda: target.router.ignored == expected, "all of it")
            target.check_nothing_happened(expected)
            assert target.publisher.is_connected
        finally:
            target.close()
