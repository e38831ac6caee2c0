"""The one MQTT thread: connects, tells the states, hands over events, hears acknowledgements and commands, starts again."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import threading
import time
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from edge.backoff import Backoff, BackoffPlan
from edge.commands import Commands
from edge.config.settings import Mqtt
from edge.errors import BrokerError, OstiaryError
from edge.publish.announcements import Announcements
from edge.publish.client import Connection, Listener, Message, Received
from edge.publish.feeds import Feed
from edge.publish.queue import EventQueue, Handover
from edge.publish.reasons import address_of
from edge.publish.states import Counters, States
from edge.publish.topics import Topics
from edge.publish.waker import Waker

RETRY_CAP_S = 5.0
"""A door waits for its broker: no attempt is further away than this."""
STEADY_S = 10.0
"""A connection that lasted so long was a good one, and the next attempt follows soon."""
COUNTERS = (
    "events_published",
    "events_replayed",
    "events_refused",
    "connections",
    "connection_failures",
    "snapshots_dropped",
    "replies_dropped",
    "thread_faults",
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the sender works with; shared with the publisher in front of it."""

    mqtt: Mqtt
    client_id: str
    topics: Topics
    queue: EventQueue
    states: States
    commands: Commands
    counters: Counters
    waker: Waker
    replies: SimpleQueue[Message]
    """Answers to commands, each told once."""
    announcements: Announcements
    feeds: list[Feed] = field(default_factory=list)
    """Only ever added to."""


class Sender:
    """Body of the MQTT thread. `run` returns after `request_stop`."""

    def __init__(self, parts: Parts, farewell: tuple[Message, ...]) -> None:
        """`farewell` is told last on a clean stop; its first message is the last will, too."""
        self._parts = parts
        self._farewell = farewell
        self._backoff = Backoff(BackoffPlan(cap_s=RETRY_CAP_S))
        self._stopping = threading.Event()
        self._connected = threading.Event()
        self._flush_until = math.inf
        self._awaited: set[int] = set()
        self._reasons: set[str] = set()
        self._subscribed: set[str] = set()
        self._opened_at = 0.0
        self._connection_number = 0

    @property
    def connected(self) -> threading.Event:
        """Set while the broker has us."""
        return self._connected

    def request_stop(self, *, flush_s: float) -> None:
        """Send what is young for at most `flush_s`, say goodbye, and end."""
        self._flush_until = time.monotonic() + flush_s
        self._stopping.set()
        self._parts.waker.wake()

    def run(self) -> None:
        """Until stopped; nothing that a broker does ends it."""
        while True:
            try:
                self._serve()
            except OstiaryError as error:
                self._report(error)
            except Exception:
                # The thread must outlive a fault of its own: without it nothing reaches the door any more.
                self._parts.counters.add("thread_faults")
                log.exception("publishing failed; it is started again")
            else:
                return
            finally:
                self._connected.clear()
            if self._stopping.wait(self._next_delay()):
                return

    def _next_delay(self) -> float:
        if self._opened_at and time.monotonic() - self._opened_at > STEADY_S:
            self._backoff.reset()
        self._opened_at = 0.0
        return self._backoff.next_s()

    def _report(self, error: OstiaryError) -> None:
        self._parts.counters.add("connection_failures")
        if str(error) not in self._reasons:
            self._reasons.add(str(error))
            log.warning("%s", error)

    def _serve(self) -> None:
        """One connection, from its first packet to its last. Returns after a clean goodbye."""
        parts = self._parts
        listener = Listener(self._on_message, self._on_acknowledged, self._on_refused, parts.queue.answered)
        parts.queue.connection_lost()
        self._awaited.clear()
        connection = Connection(
            parts.mqtt, parts.client_id, listener=listener, will=self._farewell[0], waker=parts.waker
        )
        connection.open(is_stopping=self._is_flush_over)
        try:
            self._greet(connection)
            while not self._is_done():
                self._pump(connection)
            self._say_goodbye(connection)
        except BaseException:
            connection.abort()
            raise
        connection.close()

    def _greet(self, connection: Connection) -> None:
        self._opened_at = time.monotonic()
        self._reasons.clear()
        self._parts.counters.add("connections")
        log.info("%s: connected as %s", address_of(self._parts.mqtt), self._parts.client_id)
        self._parts.states.forget_sent()
        self._subscribed.clear()
        self._connection_number += 1
        self._subscribe(connection)
        self._tell_states(connection)
        self._announce(connection, self._parts.announcements.connected())
        self._connected.set()

    def _subscribe(self, connection: Connection) -> None:
        """To what was added since the last time."""
        for topic in self._parts.commands.topics:
            if topic not in self._subscribed:
                self._subscribed.add(topic)
                connection.subscribe(topic)
        for feed in self._parts.feeds:
            for wish in feed.wishes(self._connection_number, is_v5=self._parts.mqtt.protocol == "5"):
                if wish.is_on:
                    connection.subscribe(wish.topic, wants_retained=wish.wants_retained)
                else:
                    connection.unsubscribe(wish.topic)

    def _pump(self, connection: Connection) -> None:
        """Send what may be sent, then wait for the network or for something new."""
        self._subscribe(connection)
        self._tell_states(connection)
        self._announce(connection, self._parts.announcements.due())
        # On the way out only what is young is worth the wait; the rest is on disk.
        is_live_only = self._stopping.is_set()
        while (handover := self._parts.queue.next(is_live_only=is_live_only)) is not None:
            self._hand_over(connection, handover)
        if self._parts.queue.needs_proof:
            self._parts.queue.asked(connection.ask(self._parts.topics.question))
        wait_s = 0.05 if self._parts.queue.has_backlog or self._stopping.is_set() else 1.0
        connection.step(wait_s)
        if self._parts.queue.oldest_wait_s() > self._parts.mqtt.keepalive_s:
            hint = "Is it overloaded? The connection is made anew; nothing is lost."
            raise BrokerError("does not acknowledge events", where=address_of(self._parts.mqtt), hint=hint)

    def _tell_states(self, connection: Connection) -> None:
        for message in self._parts.states.take():
            connection.publish(message)
        with contextlib.suppress(Empty):
            while True:
                connection.publish(self._parts.replies.get_nowait())

    def _announce(self, connection: Connection, messages: tuple[Message, ...]) -> None:
        for message in messages:
            self._parts.announcements.sent(connection.publish(message), message)

    def _hand_over(self, connection: Connection, handover: Handover) -> None:
        mqtt, topics = self._parts.mqtt, self._parts.topics
        payload = handover.event.payload(age_ms=handover.age_ms, replayed=handover.is_replay)
        # Whole seconds, and 0 would mean for ever; brokers round up by themselves.
        left_s = max(1, math.floor(mqtt.event_ttl_s - handover.age_ms / 1e3))
        message = Message(
            topics.history if handover.is_replay else topics.event,
            json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(),
            expiry_s=None if handover.is_replay else left_s,
            content_type="application/json",
        )
        self._parts.queue.sent(connection.publish(message), handover)
        self._parts.counters.add("events_replayed" if handover.is_replay else "events_published")

    def _is_flush_over(self) -> bool:
        return self._stopping.is_set() and time.monotonic() > self._flush_until

    def _is_done(self) -> bool:
        return self._stopping.is_set() and (self._parts.queue.is_live_empty or self._is_flush_over())

    def _say_goodbye(self, connection: Connection) -> None:
        self._tell_states(connection)
        self._awaited = {connection.publish(message) for message in reversed(self._farewell)}
        until = time.monotonic() + 1.0
        while self._awaited and time.monotonic() < until:
            connection.step(0.1)

    def _on_acknowledged(self, mid: int) -> None:
        self._awaited.discard(mid)
        self._parts.announcements.acknowledged(mid)
        self._parts.queue.acknowledged(mid)

    def _on_refused(self, mid: int, reason: str) -> None:
        self._awaited.discard(mid)
        was_event = self._parts.queue.refused(mid)
        if was_event:
            self._parts.counters.add("events_refused")
        text = f"{address_of(self._parts.mqtt)} refuses {'an event' if was_event else 'a message'}: {reason}"
        if text not in self._reasons:
            self._reasons.add(text)
            log.warning("%s\n  Check its access rules for %s/#.", text, self._parts.topics.root)

    def _on_message(self, received: Received) -> None:
        if any(feed.heard(received) for feed in self._parts.feeds):
            return
        self._parts.commands.dispatch(received.topic, received.payload, retained=received.retained)
