"""Subscriptions that come and go on the publisher's connection, against the real mosquitto."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from edge.config.settings import Mqtt
from edge.outbox import Outbox
from edge.publish import MqttPublisher
from edge.publish.client import Received
from edge.publish.feeds import Wish
from tests.support.mosquitto import HOST, mosquitto, subscriber, wait_for


class Ear:
    """A feed that keeps what it hears."""

    def __init__(self) -> None:
        self.topics: list[str] = []
        self.connections: list[int] = []
        self._due: list[Wish] = []
        self._wake: Callable[[], None] = lambda: None

    def follow(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def wishes(self, connection: int, *, is_v5: bool) -> Sequence[Wish]:
        if connection not in self.connections:
            self.connections.append(connection)
            self._due = [Wish("news/+", wants_retained=False), Wish(f"state/{5 if is_v5 else 3}")]
        due, self._due = self._due, []
        return due

    def heard(self, received: Received) -> bool:
        self.topics.append(received.topic)
        return not received.topic.startswith("ostiary/")

    def ask(self, wish: Wish) -> None:
        self._due = [*self._due, wish]
        self._wake()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_feed_hears_what_it_asks_for_and_commands_the_rest(tmp_path: Path, protocol: str) -> None:
    with mosquitto(tmp_path / "broker", "allow_anonymous true") as broker, subscriber(broker.port) as voice:
        for topic in ("news/old", "state/5", "state/3", "more/old"):
            voice.client.publish(topic, b"x", 1, retain=True).wait_for_publish(10)
        settings = Mqtt(host=HOST, port=broker.port, protocol=protocol)
        publisher = MqttPublisher(settings, device="front", camera="porch", outbox=Outbox(tmp_path / "outbox.sqlite"))
        ear = Ear()
        try:
            assert publisher.wait_connected(10)
            publisher.listen(ear)
            wait_for(lambda: f"state/{protocol[0]}" in ear.topics, "what lay there")
            ear.ask(Wish("more/+"))
            wait_for(lambda: "more/old" in ear.topics, "what was asked for later")
            ear.ask(Wish("more/+", is_on=False))
            voice.client.publish("news/new", b"x", 1)
            wait_for(lambda: "news/new" in ear.topics, "news")
            voice.client.publish("more/new", b"x", 1)
            voice.client.publish("ostiary/front/enabled/set", b"OFF", 1)
            wait_for(lambda: not publisher.is_enabled, "a command")
            # MQTT 3.1.1 knows no subscription without what lies retained.
            expected = {f"state/{protocol[0]}", "more/old", "news/new", "ostiary/front/enabled/set"}
            assert set(ear.topics) == expected | ({"news/old"} if protocol == "3.1.1" else set())
            broker.stop()
            broker.start()
            wait_for(lambda: ear.connections == [1, 2], "the wishes of another connection")
        finally:
            publisher.close()
