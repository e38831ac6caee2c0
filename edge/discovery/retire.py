"""Taking back what a box that is gone has left retained at a broker."""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Iterable

from edge.config.settings import Mqtt, Settings
from edge.discovery.memory import retained_states
from edge.discovery.message import discovery_topic
from edge.errors import BrokerError
from edge.publish.client import Connection, Listener, Message, Received
from edge.publish.reasons import address_of
from edge.publish.topics import Topics

QUIET_S = 0.7
"""Retained messages follow a subscription at once; when none comes for so long, there are no more."""
LOOK_S = 10.0
CLEAR_S = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """The box to forget."""

    base: str
    device: str
    camera: str | None
    prefix: str

    @property
    def discovery(self) -> str:
        """Topic of its discovery message."""
        return discovery_topic(self.prefix, self.device)

    @property
    def known(self) -> tuple[str, ...]:
        """Where it may have left something, by the contract."""
        return (self.discovery, *retained_states(self.base, self.device, self.camera))


def target_of(settings: Settings, *, device: str | None, camera: str | None) -> Target:
    """The configuration's own box, unless another is named."""
    is_own = device is None or device == settings.device.name
    camera = camera or (settings.camera.name if is_own else None)
    prefix = settings.home_assistant.prefix
    return Target(settings.mqtt.base_topic, device or settings.device.name, camera, prefix)


def retained_of(mqtt: Mqtt, target: Target) -> dict[str, bytes]:
    """What lies retained in its name, as far as the broker lets us look: topic -> payload. BrokerError."""
    found: dict[str, bytes] = {}

    def hear(received: Received) -> None:
        if received.retained:
            found[received.topic] = received.payload

    connection = _connection(mqtt, target, Listener(hear))
    connection.open()
    try:
        for topic in (f"{Topics(target.base, target.device).root}/#", target.discovery):
            connection.subscribe(topic, qos=0)
        _until_quiet(connection, found)
    finally:
        connection.close()
    return found


def _until_quiet(connection: Connection, found: dict[str, bytes]) -> None:
    began = quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < QUIET_S and time.monotonic() - began < LOOK_S:
        before = len(found)
        connection.step(0.1)
        if len(found) > before:
            quiet_since = time.monotonic()


def clear(mqtt: Mqtt, target: Target, topics: Iterable[str]) -> None:
    """Nothing lies retained there any more when this returns. BrokerError when the broker refuses any of it."""
    awaited: dict[int, str] = {}
    refused: dict[str, str] = {}

    def on_acknowledged(mid: int) -> None:
        awaited.pop(mid, None)

    def on_refused(mid: int, reason: str) -> None:
        if mid in awaited:
            refused[awaited.pop(mid)] = reason

    connection = _connection(mqtt, target, Listener(on_acknowledged=on_acknowledged, on_refused=on_refused))
    connection.open()
    try:
        for topic in topics:
            awaited[connection.publish(Message(topic, b"", retain=True))] = topic
        until = time.monotonic() + CLEAR_S
        while awaited and time.monotonic() < until:
            connection.step(0.1)
    finally:
        connection.close()
    left = refused | dict.fromkeys(awaited.values(), "no answer")
    if left:
        topic, reason = next(iter(left.items()))
        hint = f"It may not be ours to write: use the user of {target.device}, or one that may write below {target.base}/ and {target.prefix}/."
        raise BrokerError(
            f"does not clear {topic} and {len(left) - 1} more ({reason})", where=address_of(mqtt), hint=hint
        )


def _connection(mqtt: Mqtt, target: Target, listener: Listener) -> Connection:
    """Under an id of its own, so that a running daemon is not pushed out."""
    return Connection(mqtt, f"ostiary-{target.device}-retire-{secrets.token_hex(3)}", listener=listener)
