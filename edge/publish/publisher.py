"""Publishing to a broker: what any thread may call, in front of the one MQTT thread."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from queue import SimpleQueue
from typing import Any

from edge import timebase
from edge.commands import Commands, parse_switch
from edge.config.settings import Mqtt
from edge.event import Event
from edge.outbox import Outbox
from edge.publish.announcements import Announcements
from edge.publish.client import Message
from edge.publish.credentials import read_password, tls_context, warn_of_open_files
from edge.publish.feeds import Feed
from edge.publish.queue import EventQueue
from edge.publish.sender import COUNTERS, Parts, Sender
from edge.publish.states import Counters, States
from edge.publish.topics import Topics
from edge.publish.waker import Waker

log = logging.getLogger(__name__)


class MqttPublisher:
    """Publishes to a broker, from one thread of its own. Owns the outbox, and closes it."""

    def __init__(
        self, mqtt: Mqtt, *, device: str, camera: str, outbox: Outbox, snapshots: bool = False, boot_id: str = "",
        announcements: Announcements | None = None, is_enabled: bool = True,
    ) -> None:  # fmt: skip
        """ConfigError for password and certificate files that cannot be used; a broker that is away is no error."""
        warn_of_open_files(mqtt)
        read_password(mqtt)
        tls_context(mqtt.tls)
        self._topics = Topics(mqtt.base_topic, device)
        self._camera = camera
        self._outbox = outbox
        self._snapshots = snapshots
        self._is_enabled = is_enabled
        self._is_closed = False
        self._parts = Parts(
            mqtt=mqtt,
            client_id=mqtt.client_id or f"ostiary-{device}",
            topics=self._topics,
            queue=EventQueue(outbox, ttl_s=mqtt.event_ttl_s, boot_id=boot_id or timebase.boot_id()),
            states=States(),
            commands=Commands(),
            counters=Counters(*COUNTERS),
            waker=Waker(),
            replies=SimpleQueue(),
            announcements=announcements or Announcements(),
        )
        self._parts.commands.on(self._topics.enabled_set, self._on_enabled_set)
        if self._parts.announcements.ask_topic:
            self._parts.commands.on(self._parts.announcements.ask_topic, self._parts.announcements.heard)
        self._tell_first_states()
        self._sender = Sender(self._parts, self._farewell())
        # A daemon thread: a name server that never answers must not keep the process from ending.
        self._thread = threading.Thread(target=self._sender.run, name="mqtt", daemon=True)
        self._thread.start()

    def _tell_first_states(self) -> None:
        """Also overwrites what a predecessor that was killed left retained."""
        self._tell(self._topics.status, "online")
        self.camera_status(is_online=False)
        self.presence(is_present=False)
        self._tell(self._topics.enabled, "ON" if self._is_enabled else "OFF")

    def _farewell(self) -> tuple[Message, ...]:
        return (
            Message(self._topics.status, b"offline", retain=True),
            Message(self._topics.camera_status(self._camera), b"offline", retain=True),
            Message(self._topics.presence, b"OFF", retain=True),
        )

    @property
    def commands(self) -> Commands:
        """Where others add what `/cmd/<verb>` does, at any time."""
        return self._parts.commands

    @property
    def topics(self) -> Topics:
        """Of this device."""
        return self._topics

    @property
    def is_enabled(self) -> bool:
        """See Publisher."""
        return self._is_enabled

    @property
    def is_connected(self) -> bool:
        """See Publisher."""
        return self._sender.connected.is_set()

    def wait_connected(self, timeout_s: float) -> bool:
        """Whether the broker has us within that time."""
        return self._sender.connected.wait(timeout_s)

    def listen(self, feed: Feed) -> None:
        """Let it hear what it asks for, from now on."""
        feed.follow(self._parts.waker.wake)
        self._parts.feeds.append(feed)
        self._parts.waker.wake()

    def publish(self, event: Event) -> None:
        """On disk when this returns, or in memory while the disk takes nothing; the MQTT thread does the rest."""
        self._parts.queue.put(event)
        self._parts.waker.wake()

    def set_enabled(self, *, is_on: bool) -> None:
        """See Publisher; the new state is told on `/enabled`."""
        if is_on != self._is_enabled:
            log.info("unlocking turned %s", "on" if is_on else "off")
        self._is_enabled = is_on
        self._tell(self._topics.enabled, "ON" if is_on else "OFF")

    def reply(self, topic: str, payload: Mapping[str, Any]) -> None:
        """See Publisher."""
        if not self.is_connected:
            self._parts.counters.add("replies_dropped")
            return
        text = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        self._parts.replies.put(Message(topic, text.encode(), content_type="application/json"))
        self._parts.waker.wake()

    def _on_enabled_set(self, payload: bytes) -> None:
        self.set_enabled(is_on=parse_switch(payload))

    def presence(self, *, is_present: bool) -> None:
        """See Publisher."""
        self._tell(self._topics.presence, "ON" if is_present else "OFF")

    def camera_status(self, *, is_online: bool) -> None:
        """See Publisher."""
        self._tell(self._topics.camera_status(self._camera), "online" if is_online else "offline")

    def health(self, payload: Mapping[str, Any]) -> None:
        """See Publisher."""
        text = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        message = Message(self._topics.health, text.encode(), qos=0, retain=True, content_type="application/json")
        self._set(message)

    def snapshot(self, jpeg: bytes) -> None:
        """See Publisher."""
        if not (self._snapshots and self.is_connected):
            self._parts.counters.add("snapshots_dropped")
            return
        self._set(Message(self._topics.snapshot, jpeg, qos=0, content_type="image/jpeg"))

    def counters(self) -> dict[str, int]:
        """See Publisher."""
        return {**self._parts.counters.values(), **self._parts.commands.counters()}

    def outbox_state(self) -> dict[str, int]:
        """See Publisher."""
        return self._outbox.state()

    def waiting_identities(self) -> set[str]:
        """See Publisher."""
        return self._outbox.identities()

    def forget(self, identity_id: str) -> int:
        """See Publisher."""
        return self._parts.queue.forget(identity_id)

    def _tell(self, topic: str, text: str) -> None:
        self._set(Message(topic, text.encode(), retain=True))

    def _set(self, message: Message) -> None:
        if self._parts.states.set(message):
            self._parts.waker.wake()

    def close(self, *, timeout_s: float = 5.0) -> None:
        """See Publisher. What is still unsent stays in the outbox for the next start."""
        if self._is_closed:
            return
        self._is_closed = True
        self._sender.request_stop(flush_s=max(0.0, timeout_s - 2.0))
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.warning("the MQTT thread did not end within %g s; left behind", timeout_s)
        else:
            self._parts.waker.close()
        self._outbox.close()
