"""Events as JSON lines, for a box without a broker."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from edge.event import Event
from edge.outbox import Outbox
from edge.publish.states import Counters
from edge.timebase import now_ns

log = logging.getLogger(__name__)


class LogPublisher:
    """Writes events as JSON lines, for mqtt.enabled: false. The outbox only counts `seq`."""

    def __init__(self, outbox: Outbox, *, write: Callable[[str], None] | None = None) -> None:
        """`write` takes one line; the log when left out."""
        self._outbox = outbox
        self._write = write or (lambda line: log.info("%s", line))
        self._counters = Counters("events_published", "snapshots_dropped")
        self._is_enabled = True

    @property
    def is_enabled(self) -> bool:
        """See Publisher."""
        return self._is_enabled

    @property
    def is_connected(self) -> bool:
        """A log is always there."""
        return True

    def publish(self, event: Event) -> None:
        """Write one line."""
        pending = self._outbox.accept(event)
        now = now_ns()
        waited_ms = (now - pending.accepted_ns) / 1e6
        stored = replace(pending.event, latency_ms={**event.latency_ms, "publish": waited_ms})
        age_ms = max(0.0, (now - event.decision.captured_ns) / 1e6)
        self._write(json.dumps(stored.payload(age_ms=age_ms), ensure_ascii=False, allow_nan=False))
        self._outbox.acknowledge(stored.seq)
        self._counters.add("events_published")

    def set_enabled(self, *, is_on: bool) -> None:
        """See Publisher."""
        self._is_enabled = is_on

    def reply(self, topic: str, payload: Mapping[str, Any]) -> None:
        """Nobody can have asked."""
        log.debug("%s %s", topic, json.dumps(payload, allow_nan=False))

    def presence(self, *, is_present: bool) -> None:
        """Not written unless asked for with logging.level: debug."""
        log.debug("presence %s", "ON" if is_present else "OFF")

    def camera_status(self, *, is_online: bool) -> None:
        """See `presence`."""
        log.debug("camera %s", "online" if is_online else "offline")

    def health(self, payload: Mapping[str, Any]) -> None:
        """See `presence`."""
        log.debug("health %s", json.dumps(payload, allow_nan=False))

    def snapshot(self, jpeg: bytes) -> None:  # noqa: ARG002 - a picture has no place in a log
        """Dropped and counted."""
        self._counters.add("snapshots_dropped")

    def counters(self) -> dict[str, int]:
        """See Publisher."""
        return self._counters.values()

    def outbox_state(self) -> dict[str, int]:
        """See Publisher."""
        return self._outbox.state()

    def waiting_identities(self) -> set[str]:
        """See Publisher."""
        return self._outbox.identities()

    def forget(self, identity_id: str) -> int:
        """See Publisher."""
        return self._outbox.forget(identity_id)

    def close(self, *, timeout_s: float = 5.0) -> None:  # noqa: ARG002 - nothing to wait for
        """See Publisher."""
        self._outbox.close()
