"""What is listened to besides commands, by whoever asks for it: subscriptions that come and go on the one connection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from edge.publish.client import Received


@dataclass(frozen=True, slots=True)
class Wish:
    """A subscription to begin or to end."""

    topic: str
    is_on: bool = True
    wants_retained: bool = True
    """Whether what lies retained is wanted, too; only MQTT 5 can do without."""


class Feed(Protocol):
    """Somebody who listens. `wishes` and `heard` are called in the MQTT thread, and must be quick."""

    def follow(self, wake: Callable[[], None]) -> None:
        """Takes what lets the MQTT thread ask for wishes at once."""

    def wishes(self, connection: int, *, is_v5: bool) -> Sequence[Wish]:
        """What to ask of the broker now. Another number of the connection: nothing of before holds any more."""

    def heard(self, received: Received) -> bool:
        """Whether the message was for this feed."""
