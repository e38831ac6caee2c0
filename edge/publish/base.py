"""What the daemon tells the world: events, presence, camera, health, snapshots, and whether it may tell at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from edge.interfaces import EventSink


class Publisher(EventSink, Protocol):
    """An EventSink that tells states, too. No method waits for a network."""

    @property
    def is_enabled(self) -> bool:
        """Whether this box may open doors; off, events are still told, and allow nothing."""

    @property
    def is_connected(self) -> bool:
        """Whether somebody is there to hear."""

    def set_enabled(self, *, is_on: bool) -> None:
        """Let this box open doors, or not; told on `/enabled`."""

    def reply(self, topic: str, payload: Mapping[str, Any]) -> None:
        """The answer to a command; dropped and counted while nobody is there to hear it."""

    def presence(self, *, is_present: bool) -> None:
        """Somebody is in front of the camera, or nobody."""

    def camera_status(self, *, is_online: bool) -> None:
        """The camera gives frames, or does not."""

    def health(self, payload: Mapping[str, Any]) -> None:
        """Plain data as docs/schemas/health.schema.json has it."""

    def snapshot(self, jpeg: bytes) -> None:
        """The last decided face; dropped unless publish.snapshot allows it and a broker is connected."""

    def counters(self) -> dict[str, int]:
        """What happened since the start, for /health."""

    def outbox_state(self) -> dict[str, int]:
        """For /health: `depth`, `bytes`, `in_memory`, `dropped`, and `dropped_...` for each reason."""

    def waiting_identities(self) -> set[str]:
        """Ids of everybody whom an event names that has not left yet."""

    def forget(self, identity_id: str) -> int:
        """Take an identity's name and id out of what has not left yet; how many events. OutboxError: the disk would not."""

    def close(self, *, timeout_s: float = 5.0) -> None:
        """Send what is young, say goodbye, and let go, all within `timeout_s`; any number of times."""
