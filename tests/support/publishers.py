"""A Publisher that keeps everything in lists."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from edge.event import Event


class MemoryPublisher:
    """Implements edge.publish.base.Publisher."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.states: list[tuple[str, bool]] = []
        """("presence" or "camera", value), in order."""
        self.healths: list[dict[str, Any]] = []
        self.snapshots: list[bytes] = []
        self.replies: list[tuple[str, dict[str, Any]]] = []
        self.is_closed = False
        self.is_connected = True
        self._is_enabled = True
        self._lock = threading.Lock()

    @property
    def is_enabled(self) -> bool:
        return self._is_enabled

    def set_enabled(self, *, is_on: bool) -> None:
        self._is_enabled = is_on

    def publish(self, event: Event) -> None:
        with self._lock:
            latency_ms = {**event.latency_ms, "publish": 0.0}
            self.events.append(replace(event, seq=len(self.events) + 1, latency_ms=latency_ms))

    def reply(self, topic: str, payload: Mapping[str, Any]) -> None:
        self.replies.append((topic, dict(payload)))

    def presence(self, *, is_present: bool) -> None:
        self.states.append(("presence", is_present))

    def camera_status(self, *, is_online: bool) -> None:
        self.states.append(("camera", is_online))

    def health(self, payload: Mapping[str, Any]) -> None:
        self.healths.append(dict(payload))

    def snapshot(self, jpeg: bytes) -> None:
        self.snapshots.append(jpeg)

    def counters(self) -> dict[str, int]:
        return {"events_published": len(self.events)}

    def outbox_state(self) -> dict[str, int]:
        return {"depth": 0, "bytes": 0, "in_memory": 0, "dropped": 0}

    def waiting_identities(self) -> set[str]:
        return set()

    def forget(self, identity_id: str) -> int:
        return 0

    def close(self, *, timeout_s: float = 5.0) -> None:
        self.is_closed = True
