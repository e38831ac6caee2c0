"""What the log hears of an outbox: the first of everything at once, more of the same once an hour."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

from edge.errors import OutboxError
from edge.outbox.bounds import REASONS
from edge.timebase import Clock

TELL_NS = 3_600_000_000_000

log = logging.getLogger(__name__)


class Telling:
    """Remembers what was told, and when."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._told: Counter[str] = Counter()
        self._drops_due_ns = self._trouble_due_ns = 0
        self._is_in_trouble = False
        self._unreadable: set[int] = set()

    def known_drops(self, dropped: Counter[str]) -> None:
        """What an earlier process has told."""
        self._told = Counter(dropped)

    def drops(self, dropped: Counter[str]) -> None:
        """All that was dropped so far."""
        new, now = dropped - self._told, self._clock.monotonic_ns()
        if not new or now < self._drops_due_ns:
            return
        self._drops_due_ns = now + TELL_NS
        self._told = Counter(dropped)
        reasons = ", ".join(f"{count} {REASONS[name]}" for name, count in new.items())
        log.warning("%s: events were dropped: %s", self._path, reasons)

    def trouble(self, error: OutboxError) -> None:
        """The disk does not take events."""
        now = self._clock.monotonic_ns()
        if not self._is_in_trouble or now >= self._trouble_due_ns:
            self._trouble_due_ns = now + TELL_NS
            log.error("%s\n  Until it can, events are kept in memory only and do not survive a stop.", error)
        self._is_in_trouble = True

    def recovery(self, count: int) -> None:
        """It does again, and has taken `count` events that waited."""
        if self._is_in_trouble:
            self._is_in_trouble = False
            log.warning("%s: events are on disk again, with the %d that were in memory", self._path, count)

    def unreadable(self, seq: int, error: Exception) -> None:
        """A row makes no sense."""
        if seq not in self._unreadable:
            self._unreadable.add(seq)
            log.error("%s: event %d cannot be read (%s); it stays in the file", self._path, seq, error)

    @property
    def unreadable_rows(self) -> int:
        """Since the start."""
        return len(self._unreadable)
