"""Between the thread that hears the broker and the one that applies: a bounded queue, and what to subscribe to.

What finds no room is dropped and counted, and nothing is lost by it: the heads are asked for again as soon as there is room,
a head says what the group consists of, and a box that lacks something asks for that shard again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from edge.publish.client import Received
from edge.publish.feeds import Wish
from edge.sync.message import MAX_BYTES
from edge.sync.names import GroupTopics

MAX_WAITING = 2048
MAX_WAITING_BYTES = 32 * 2**20


class SyncFeed:
    """A Feed (edge.publish.feeds) of some groups. The methods below the line are for the thread that applies."""

    def __init__(
        self, groups: Iterable[GroupTopics], *, max_waiting: int = MAX_WAITING, max_bytes: int = MAX_WAITING_BYTES
    ) -> None:
        self._groups = tuple(groups)
        self._roots = tuple(f"{one.root}/" for one in self._groups)
        self._limits = (max_waiting, max_bytes)
        self._lock = threading.Lock()
        self._waiting: deque[Received] = deque()
        self._bytes = 0
        self._wishes: list[Wish] = []
        self._connection = 0
        self._is_v5 = True
        self._wake: Callable[[], None] = lambda: None
        self._dropped = self._oversized = 0
        self._must_ask_again = False

    def follow(self, wake: Callable[[], None]) -> None:
        """See Feed."""
        self._wake = wake

    def wishes(self, connection: int, *, is_v5: bool) -> Sequence[Wish]:
        """See Feed. Every connection begins with the heads; what is news comes without asking where MQTT 5 allows it."""
        with self._lock:
            if connection != self._connection:
                self._connection, self._is_v5 = connection, is_v5
                self._wishes = [Wish(one.head) for one in self._groups]
                if is_v5:
                    self._wishes += [Wish(one.identities, wants_retained=False) for one in self._groups]
            wishes, self._wishes = self._wishes, []
        return wishes

    def heard(self, received: Received) -> bool:
        """See Feed."""
        if not received.topic.startswith(self._roots):
            return False
        with self._lock:
            # An empty one is how retained messages are cleared; what it means is told by signed ones alone.
            if len(received.payload) > MAX_BYTES:
                self._oversized += 1
            elif len(self._waiting) >= self._limits[0] or self._bytes + len(received.payload) > self._limits[1]:
                self._dropped += 1
                self._must_ask_again = True
            elif received.payload:
                self._waiting.append(received)
                self._bytes += len(received.payload)
        return True

    # ----

    @property
    def connection(self) -> int:
        """Number of the connection; what was subscribed to on an earlier one is over."""
        return self._connection

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    def take(self) -> Received | None:
        """The oldest that waits."""
        with self._lock:
            if self._waiting:
                taken = self._waiting.popleft()
                self._bytes -= len(taken.payload)
                return taken
            if not self._must_ask_again:
                return None
            self._must_ask_again = False
            self._wishes += [Wish(one.head) for one in self._groups]
        self._wake()
        return None

    def counters(self) -> dict[str, int]:
        """What was thrown away."""
        with self._lock:
            return {"sync_dropped": self._dropped, "sync_oversized": self._oversized}

    def ask(self, connection: int, wish: Wish) -> None:
        """Subscribe or unsubscribe on that connection, if it still is the one."""
        with self._lock:
            if connection != self._connection:
                return
            self._wishes.append(wish)
        self._wake()
