"""Retained states, and the newest snapshot: what a broker has to hear again after every connect."""

from __future__ import annotations

import threading

from edge.publish.client import Message


class States:
    """The newest message of each retained topic; any thread sets, the sender takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: dict[str, Message] = {}
        self._unsent: dict[str, Message] = {}

    def set(self, message: Message) -> bool:
        """Remember it; whether it says anything new. The same state twice is sent once."""
        with self._lock:
            if self._current.get(message.topic) == message:
                return False
            if message.retain:
                self._current[message.topic] = message
            self._unsent[message.topic] = message
            return True

    def forget_sent(self) -> None:
        """A new connection: every state has to be told again, and what was only for the moment is over."""
        with self._lock:
            self._unsent = dict(self._current)

    def take(self) -> list[Message]:
        """What has to be told now, in the order in which it was set."""
        with self._lock:
            taken, self._unsent = list(self._unsent.values()), {}
        return taken


class Counters:
    """Named numbers that only grow."""

    def __init__(self, *names: str) -> None:
        self._lock = threading.Lock()
        self._values = dict.fromkeys(names, 0)

    def add(self, name: str) -> None:
        """One more."""
        with self._lock:
            self._values[name] += 1

    def values(self) -> dict[str, int]:
        """A copy."""
        with self._lock:
            return dict(self._values)
