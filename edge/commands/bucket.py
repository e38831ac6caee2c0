"""How many a minute: the token bucket."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edge.timebase import now_ns


class Bucket:
    """Holds `per_minute` tokens at first and gains as many in a minute; any thread may take."""

    def __init__(self, per_minute: int, clock: Callable[[], int] = now_ns) -> None:
        """`clock` gives monotonic nanoseconds."""
        self._size = float(per_minute)
        self._clock = clock
        self._tokens = self._size
        self._filled_ns = clock()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Whether there was one."""
        with self._lock:
            now = self._clock()
            gained = (now - self._filled_ns) / 60e9 * self._size
            self._tokens, self._filled_ns = min(self._size, self._tokens + gained), now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True
