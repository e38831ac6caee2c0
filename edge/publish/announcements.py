"""Retained messages beside the states: told at every connect, and again when somebody asks for them."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence

from edge.publish.client import Message
from edge.timebase import Clock

MIN_WAIT_S = 0.2
MAX_WAIT_S = 3.0
"""Who asks, asks all boxes at once: they answer at random within this."""


class Announcements:
    """What the sender tells; `heard` belongs to any thread, the rest to the sender's."""

    def __init__(
        self,
        messages: Sequence[Message] = (),
        *,
        ask_topic: str = "",
        is_ask: Callable[[bytes], bool] = bool,
        on_told: Callable[[], None] = lambda: None,
        clock: Clock | None = None,
    ) -> None:
        """Whoever publishes something on `ask_topic` that `is_ask` hears those messages again that have a payload.

        `on_told` is called once, when the broker has acknowledged all of `messages`.
        """
        self.ask_topic = ask_topic
        self._is_ask = is_ask
        self._messages = tuple(messages)
        self._on_told = on_told
        self._clock = clock or Clock()
        self._lock = threading.Lock()
        self._due_ns: int | None = None
        self._untold = {message.topic for message in messages}
        self._awaited: dict[int, str] = {}

    def heard(self, payload: bytes) -> None:
        """On `ask_topic`: tell everything again, soon; however often somebody asks meanwhile, once."""
        if not self._is_ask(payload):
            return
        # The jitter is against a crowd, not against an enemy.
        wait_s = random.uniform(MIN_WAIT_S, MAX_WAIT_S)  # noqa: S311
        with self._lock:
            if self._due_ns is None:
                self._due_ns = self._clock.monotonic_ns() + int(wait_s * 1e9)

    def connected(self) -> tuple[Message, ...]:
        """For a new connection: everything, and what is taken back as well until the broker has once acknowledged it."""
        self._awaited.clear()
        with self._lock:
            self._due_ns = None
        return tuple(message for message in self._messages if message.payload or message.topic in self._untold)

    def due(self) -> tuple[Message, ...]:
        """What is to be told now because somebody asked."""
        with self._lock:
            if self._due_ns is None or self._clock.monotonic_ns() < self._due_ns:
                return ()
            self._due_ns = None
        return tuple(message for message in self._messages if message.payload)

    def sent(self, mid: int, message: Message) -> None:
        """The network has it under this id."""
        if message.topic in self._untold:
            self._awaited[mid] = message.topic

    def acknowledged(self, mid: int) -> None:
        """The broker has it."""
        topic = self._awaited.pop(mid, None)
        if topic is None:
            return
        self._untold.discard(topic)
        if not self._untold:
            self._on_told()
